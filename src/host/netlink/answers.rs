//! Answers of the kernel's as bytes, for tests and fuzz targets that play its part.

use super::{Dump, Protocols, State};

/// Every document.
pub const DUMPS: [Dump; 16] = [
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

/// One attribute, padded.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(4);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// One message with its header.
pub(super) fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap_or(16);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(1u32.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The end of a dump.
pub(super) fn done() -> Vec<u8> {
    message(3, 2, &[0; 4])
}
