//! What the kernel answers over netlink: names in it are any container's.
#![no_main]

use calivet::host::Outcome;
use calivet::host::netlink::{self, Dump, Protocols, State};
use libfuzzer_sys::fuzz_target;

const DUMPS: [Dump; 16] = [
    Dump::Links,
    Dump::Addresses,
    Dump::Routes,
    Dump::Rules,
    Dump::Neighbours,
    Dump::Fdb,
    Dump::Qdiscs,
    Dump::Sockets(Protocols { tcp: true, udp: true, raw: true }),
    Dump::Features,
    Dump::Wireguard,
    Dump::ConntrackStats,
    Dump::Conntrack,
    Dump::ConntrackTop { rows: 1000 },
    Dump::Ipsets,
    Dump::Nftables,
    Dump::Fingerprint(State::Routes),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, answers)) = bytes.split_first() else { return };
    let dump = DUMPS[usize::from(*kind) % DUMPS.len()];
    let reading = netlink::from_answers(dump, answers);
    assert!(reading.outcome != Outcome::Timeout, "{dump:?} takes longer than it may");
    if !reading.bytes.is_empty() {
        let text = std::str::from_utf8(&reading.bytes).expect("a document is UTF-8");
        let _: serde_json::Value = serde_json::from_str(text).expect("a document is JSON");
    }
    assert_eq!(reading.bytes, netlink::from_answers(dump, answers).bytes);
});
