//! IP addresses: keyed, one to one, and preserving prefixes (in the manner of Crypto-PAn).
//!
//! Two addresses whose first n bits are the same, and no more, have pseudonyms whose first n bits are the same,
//! and no more. Bit i of an address is inverted or not depending on the key and on the bits before it, nothing
//! else. So subnets stay subnets, and a route still covers what it covered.
//!
//! ```text
//! 10.65.3.7     10.201.88.19
//! 10.65.3.9     10.201.88.30      the same /28 as above
//! 10.66.0.1     10.202.17.130     the same /14
//! 192.168.0.1   192.168.131.44    private stays private
//! 169.254.1.1   169.254.1.1       what every node has stays
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::hardware;
use super::key::{Key, Role};

/// A range of addresses that maps to itself.
struct Range {
    /// Its first address; IPv4 in the upper 32 bits.
    start: u128,
    /// Bits of its prefix.
    length: u32,
    /// Each address in it stays, too.
    fixed: bool,
}

const fn v4(start: [u8; 4], length: u32, fixed: bool) -> Range {
    Range { start: (u32::from_be_bytes(start) as u128) << 96, length, fixed }
}

const fn v6(group: u16, length: u32, fixed: bool) -> Range {
    Range { start: (group as u128) << 112, length, fixed }
}

/// IANA's special-purpose registry, as far as a check or a reader of a bundle goes by it.
const IPV4: &[Range] = &[
    // "This network": the default route, the unspecified address, wildcard masks.
    v4([0, 0, 0, 0], 8, true),
    v4([10, 0, 0, 0], 8, false),
    v4([100, 64, 0, 0], 10, false),
    v4([127, 0, 0, 0], 8, true),
    v4([169, 254, 0, 0], 16, false),
    // The gateway of each of Calico's workloads, a node's DNS cache, a cloud's metadata service.
    v4([169, 254, 1, 1], 32, true),
    v4([169, 254, 20, 10], 32, true),
    v4([169, 254, 169, 254], 32, true),
    v4([172, 16, 0, 0], 12, false),
    v4([192, 168, 0, 0], 16, false),
    // Multicast, reserved, broadcast; with them every netmask but the two shortest.
    v4([224, 0, 0, 0], 3, true),
    v4([128, 0, 0, 0], 32, true),
    v4([192, 0, 0, 0], 32, true),
];

const IPV6: &[Range] = &[
    // The unspecified address, loopback and what the IETF reserved.
    v6(0, 8, true),
    v6(0x2000, 3, false),
    v6(0xfc00, 8, false),
    v6(0xfd00, 8, false),
    v6(0xfe80, 64, false),
    v6(0xff00, 8, true),
];

/// How many subtrees are remembered: then all are forgotten, so that memory stays flat.
const MOST: usize = 8192;

/// Makes pseudonyms of addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    key: Key,
    /// What is inverted below a prefix, for its next eight bits: a heap of 255 nodes.
    subtrees: HashMap<(Role, usize, u128), [u8; 32]>,
}

impl Addresses {
    pub(super) fn new(key: Key) -> Self {
        Self { key, subtrees: HashMap::new() }
    }

    pub(super) fn ipv4(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        let bits = self.map(Role::Ipv4, u128::from(address.to_bits()) << 96);
        #[allow(clippy::cast_possible_truncation, reason = "the upper 32 bits are the address")]
        Ipv4Addr::from_bits((bits >> 96) as u32)
    }

    pub(super) fn ipv6(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        let bits = address.to_bits();
        // IPv4-mapped, IPv4-compatible and NAT64 addresses are spellings of an IPv4 address.
        if matches!(bits >> 32, 0 | 0xffff | 0x0064_ff9b_0000_0000_0000_0000) {
            #[allow(clippy::cast_possible_truncation, reason = "the lower 32 bits are wanted")]
            let embedded = self.ipv4(Ipv4Addr::from_bits(bits as u32));
            return Ipv6Addr::from_bits(bits >> 32 << 32 | u128::from(embedded.to_bits()));
        }
        // A link-local address that was made from a MAC is made from its pseudonym, so that ee:ee:ee:ee:ee:ee
        // and what follows from it stay.
        if let Some(mac) = mac_within(address) {
            return link_local(hardware::mac(&self.key, mac));
        }
        Ipv6Addr::from_bits(self.map(Role::Ipv6, bits))
    }

    /// `bits` with those inverted that the key says; IPv4 in the upper 32 bits.
    fn map(&mut self, role: Role, bits: u128) -> u128 {
        let (ranges, octets) = match role {
            Role::Ipv4 => (IPV4, 4),
            _ => (IPV6, 16),
        };
        // Whatever a bit's prefix decides keeps prefixes. On the way to a range nothing is inverted; right below
        // one the first bit always is, so that no address in it is its own pseudonym by chance.
        let (mut kept, mut inverted) = (0, 0);
        for range in ranges {
            let common = (bits ^ range.start).leading_zeros();
            if common < range.length {
                kept |= upper(common + 1);
            } else if range.fixed {
                return bits;
            } else {
                kept |= upper(range.length);
                inverted |= 1 << (127 - range.length);
            }
        }
        for octet in 0..octets {
            let prefix = bits & upper(8 * octet);
            let subtree = self.subtree(role, octet as usize, prefix);
            let mut node = 1;
            for bit in 8 * octet..8 * octet + 8 {
                inverted |= u128::from(subtree[node / 8] >> (node % 8) & 1) << (127 - bit);
                node = node << 1 | usize::from(bits >> (127 - bit) & 1 == 1);
            }
        }
        bits ^ (inverted & !kept)
    }

    /// What is inverted in the octet that follows `prefix`.
    fn subtree(&mut self, role: Role, octets: usize, prefix: u128) -> [u8; 32] {
        if self.subtrees.len() == MOST {
            self.subtrees.clear();
        }
        let key = &self.key;
        *self
            .subtrees
            .entry((role, octets, prefix))
            .or_insert_with(|| key.prf(role, &prefix.to_be_bytes()[..octets]))
    }
}

/// The MAC from which a link-local address was made (RFC 4291, appendix A).
fn mac_within(address: Ipv6Addr) -> Option<[u8; 6]> {
    let octets = address.octets();
    let is_made = octets[..8] == LINK_LOCAL && octets[11..13] == [0xff, 0xfe];
    let mac = [octets[8] ^ 2, octets[9], octets[10], octets[13], octets[14], octets[15]];
    is_made.then_some(mac)
}

fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&LINK_LOCAL);
    octets[8..11].copy_from_slice(&mac[..3]);
    octets[8] ^= 2;
    octets[11..13].copy_from_slice(&[0xff, 0xfe]);
    octets[13..].copy_from_slice(&mac[3..]);
    Ipv6Addr::from(octets)
}

/// The prefix of all link-local addresses.
const LINK_LOCAL: [u8; 8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];

/// The upper `bits` bits, at most 128.
fn upper(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

/// `pseudonym` of `original` as the address of a network of `length` bits: if the original had no bit beyond
/// them, the pseudonym has none.
pub(super) fn network_v4(original: Ipv4Addr, pseudonym: Ipv4Addr, length: u32) -> Ipv4Addr {
    let beyond = u32::MAX.checked_shr(length).unwrap_or(0);
    match original.to_bits() & beyond {
        0 => Ipv4Addr::from_bits(pseudonym.to_bits() & !beyond),
        _ => pseudonym,
    }
}

/// The same for IPv6.
pub(super) fn network_v6(original: Ipv6Addr, pseudonym: Ipv6Addr, length: u32) -> Ipv6Addr {
    let beyond = u128::MAX.checked_shr(length).unwrap_or(0);
    match original.to_bits() & beyond {
        0 => Ipv6Addr::from_bits(pseudonym.to_bits() & !beyond),
        _ => pseudonym,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addresses(key: u8) -> Addresses {
        Addresses::new(Key::new(&[key; 32]))
    }

    fn mapped4(text: &str) -> Ipv4Addr {
        addresses(1).ipv4(text.parse().unwrap())
    }

    fn mapped6(text: &str) -> Ipv6Addr {
        addresses(1).ipv6(text.parse().unwrap())
    }

    #[test]
    fn what_every_node_has_stays() {
        for same in [
            "0.0.0.0",
            "127.0.0.1",
            "127.0.0.53",
            "169.254.1.1",
            "169.254.169.254",
            "224.0.0.5",
            "239.1.2.3",
            "255.255.255.255",
            "255.255.255.0",
            "255.255.240.0",
            "240.0.0.0",
            "128.0.0.0",
            "192.0.0.0",
            "0.0.0.255",
        ] {
            assert_eq!(mapped4(same).to_string(), same);
        }
        for same in [
            "::",
            "::1",
            "ff02::1",
            "ff02::1:ff00:1",
            "::ffff:127.0.0.1",
            "::ffff:0.0.0.0",
            "fe80::ecee:eeff:feee:eeee",
        ] {
            assert_eq!(mapped6(same).to_string(), same);
        }
    }

    #[test]
    fn private_stays_private_and_nothing_in_it_stays_itself() {
        for (first, last, length) in [
            ("10.0.0.0", "10.255.255.255", 8),
            ("172.16.0.0", "172.31.255.255", 12),
            ("192.168.0.0", "192.168.255.255", 16),
            ("100.64.0.0", "100.127.255.255", 10),
        ] {
            for address in [first, last] {
                let pseudonym = mapped4(address);
                let original: Ipv4Addr = address.parse().unwrap();
                assert_ne!(pseudonym, original);
                let common = (pseudonym.to_bits() ^ original.to_bits()).leading_zeros();
                assert_eq!(common, length, "{address} became {pseudonym}");
            }
        }
        assert!(mapped4("169.254.3.4").is_link_local());
        assert!(mapped6("fd00::1").to_string().starts_with("fd"));
        assert!(mapped6("fe80::1").to_string().starts_with("fe80::"));
        assert_ne!(mapped6("fe80::1").to_string(), "fe80::1");
    }

    #[test]
    fn a_range_keeps_its_name() {
        for (network, length) in [("10.0.0.0", 8), ("192.168.0.0", 16), ("172.16.0.0", 12)] {
            let original = network.parse().unwrap();
            assert_eq!(network_v4(original, mapped4(network), length), original);
        }
        let original = "fe80::".parse().unwrap();
        assert_eq!(network_v6(original, mapped6("fe80::"), 64), original);
        assert_eq!(network_v6(original, mapped6("fe80::"), 10), original);
    }

    #[test]
    fn an_ipv4_address_within_an_ipv6_address_is_the_same_address() {
        let plain = mapped4("10.0.0.2");
        assert_eq!(mapped6("::ffff:10.0.0.2"), plain.to_ipv6_mapped());
        assert_eq!(
            mapped6("64:ff9b::10.0.0.2").to_bits() & u128::from(u32::MAX),
            u128::from(plain.to_bits())
        );
    }

    #[test]
    fn a_link_local_address_made_from_a_mac_is_made_from_its_pseudonym() {
        let mac = hardware::mac(&Key::new(&[1; 32]), [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
        let expected = link_local(mac);
        assert_eq!(mac_within(expected), Some(mac));
        assert_eq!(mapped6("fe80::5054:ff:fe12:3456"), expected);
    }

    /// Pairs whose common prefix is of any length.
    fn pair(width: u32) -> impl Strategy<Value = (u128, u128)> {
        (any::<u128>(), any::<u128>(), 0..=width)
            .prop_map(|(one, other, common)| (one, one & upper(common) | other & !upper(common)))
    }

    proptest! {
        #[test]
        fn the_common_prefix_of_two_ipv4_addresses_is_kept((one, other) in pair(32)) {
            let [one, other] = [one, other].map(|bits| Ipv4Addr::from_bits((bits >> 96) as u32));
            let mut addresses = addresses(7);
            let (first, second) = (addresses.ipv4(one), addresses.ipv4(other));
            prop_assert_eq!(
                (first.to_bits() ^ second.to_bits()).leading_zeros(),
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            );
            prop_assert_eq!(super::Addresses::new(Key::new(&[7; 32])).ipv4(one), first);
        }

        #[test]
        fn the_common_prefix_of_two_ipv6_addresses_is_kept((one, other) in pair(128)) {
            let [one, other] = [one, other].map(Ipv6Addr::from_bits);
            let mut addresses = addresses(7);
            let (first, second) = (addresses.ipv6(one), addresses.ipv6(other));
            prop_assert_eq!(
                (first.to_bits() ^ second.to_bits()).leading_zeros(),
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            );
        }

        #[test]
        fn another_key_gives_another_pseudonym(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(0x0a00_0000 | bits & 0x00ff_ffff);
            prop_assert_ne!(addresses(1).ipv4(address), addresses(2).ipv4(address));
        }

        #[test]
        fn a_network_holds_what_it_held(bits in any::<u32>(), length in 0..=32_u32) {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let (host, network) = (Ipv4Addr::from_bits(bits), Ipv4Addr::from_bits(bits & mask));
            let mut addresses = addresses(3);
            let pseudonym = addresses.ipv4(network);
            let network = network_v4(network, pseudonym, length);
            prop_assert_eq!(addresses.ipv4(host).to_bits() & mask, network.to_bits());
        }
    }
}
