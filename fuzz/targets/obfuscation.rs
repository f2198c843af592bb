//! Pseudonyms are consistent and keep prefixes, no known name comes out, and chunks do not matter.
//!
//! ```text
//! input: | two IPv4 addresses: 8 bytes | two IPv6 addresses: 32 bytes | sizes of chunks: 4 bytes | path u8 | text |
//! ```
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use calivet::obfuscate::{Key, Names, Obfuscator};
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 6] = [
    "logs/calico/felix/current",
    "host/proc/net/tcp",
    "host/proc/net/route",
    "host/proc/net/if_inet6",
    "network/routes.json",
    "bird/ipv4/show-route-all",
];

fuzz_target!(|bytes: &[u8]| {
    let Some((head, text)) = bytes.split_first_chunk::<45>() else { return };
    let mut names = Names::default();
    names.learn_node("worker-prague-7.corp.example.net");
    names.learn_pod_folder("payments-eu_ledger-6f7d9_0c5b2a");
    let obfuscator = Obfuscator::new(Key::new(&[7; 32]), &names);

    let four =
        |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&head[at..at + 4]).expect("four bytes"));
    let six = |at: usize| {
        Ipv6Addr::from(<[u8; 16]>::try_from(&head[at..at + 16]).expect("sixteen bytes"))
    };
    pair(&obfuscator, four(0).into(), four(4).into());
    pair(&obfuscator, six(8).into(), six(24).into());

    let path = PATHS[usize::from(head[44]) % PATHS.len()];
    let mut stream = obfuscator.stream(path);
    let mut whole = stream.push(text.to_vec());
    let (rest, count) = stream.finish();
    whole.extend(rest);
    let mut stream = obfuscator.stream(path);
    let mut out = Vec::new();
    let mut rest = text;
    for size in head[40..44].iter().cycle() {
        let (chunk, more) = rest.split_at(rest.len().min(usize::from(*size) + 1));
        out.extend(stream.push(chunk.to_vec()));
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    let (end, again) = stream.finish();
    out.extend(end);
    assert_eq!(out, whole, "chunks do not matter");
    assert_eq!(count, again);
    assert!(whole.len() <= text.len() * 12 + 64, "{} bytes became {}", text.len(), whole.len());

    let named = [text, b" worker-prague-7: ledger-6f7d9 ", text].concat();
    let out = obfuscator.text(&String::from_utf8_lossy(&named));
    assert!(!out.contains(" worker-prague-7: ledger-6f7d9 "));
});

/// Two addresses have as long a prefix in common afterwards as before, if both are replaced.
fn pair(obfuscator: &Obfuscator, one: IpAddr, two: IpAddr) {
    let by = [one, two].map(|address| obfuscator.text(&address.to_string()));
    assert_eq!(
        by[0],
        obfuscator.text(&format!("{one} ")).trim_end(),
        "the same wherever it stands"
    );
    let parsed = by.clone().map(|text| text.parse::<IpAddr>().expect("an address becomes one"));
    assert_eq!(parsed[0] == parsed[1], one == two, "{one} and {two} became {by:?}");
    if parsed[0] != one && parsed[1] != two {
        assert_eq!(common(one, two), common(parsed[0], parsed[1]), "{one} and {two} became {by:?}");
    }
}

fn common(one: IpAddr, two: IpAddr) -> u32 {
    match (one, two) {
        (IpAddr::V4(one), IpAddr::V4(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(two)) => (one.to_bits() ^ two.to_bits()).leading_zeros(),
        _ => 0,
    }
}
