//! Rules of packet filters as text and as JSON: comments and names in them are whoever's wrote the rule.
#![no_main]

use calivet::packet_filter::{iptables, lock, nftables};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = iptables::is_nft(&text);
    let chains = iptables::parse(&text, "ip");
    assert_eq!(chains, iptables::parse(&text, "ip"));
    let rules: usize = chains.iter().map(|chain| chain.rules.len()).sum();
    assert!(rules <= text.lines().count(), "no rule without a line");
    if let Some(chains) = nftables::parse(bytes) {
        for chain in &chains {
            let _ = chain.place();
        }
    }
    let _ = lock::Lock::parse(bytes);
    let _ = lock::holders(&text, (8, 1), 42);
});
