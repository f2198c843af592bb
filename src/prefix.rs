//! IP networks, and sets of their addresses.
//!
//! ```text
//! 192.168.0.64/26   0.0.0.0/0   fd00:10:65::/122
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A network, or with its full length an address. Networks sort by family and address, the wider before those in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    is_ipv6: bool,
    /// The first address; of IPv4 the upper 32 bits.
    first: u128,
    length: u8,
}

const fn mask(length: u8) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length as u32),
    }
}

impl Prefix {
    /// The network of this length around an address; `None` if no network is so long.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (is_ipv6, bits) = match address {
            IpAddr::V4(address) => (false, u128::from(u32::from(address)) << 96),
            IpAddr::V6(address) => (true, u128::from(address)),
        };
        let full = if is_ipv6 { 128 } else { 32 };
        (length <= full).then(|| Self { is_ipv6, first: bits & mask(length), length })
    }

    /// One address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let length = if address.is_ipv6() { 128 } else { 32 };
        Self::new(address, length).unwrap_or(Self { is_ipv6: true, first: 0, length: 128 })
    }

    /// How many bits all its addresses share.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether it is of IPv6.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        self.is_ipv6
    }

    /// Whether it is one address.
    #[must_use]
    pub const fn is_single(self) -> bool {
        self.length == if self.is_ipv6 { 128 } else { 32 }
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.is_ipv6 == other.is_ipv6
            && self.length <= other.length
            && other.first & mask(self.length) == self.first
    }

    /// The network of this length in which it is; itself if it is wider.
    #[must_use]
    pub const fn widened(self, length: u8) -> Self {
        let length = if length < self.length { length } else { self.length };
        Self { is_ipv6: self.is_ipv6, first: self.first & mask(length), length }
    }

    const fn last(self) -> u128 {
        self.first | !mask(self.length)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_ipv6 {
            write!(formatter, "{}/{}", Ipv6Addr::from(self.first), self.length)
        } else {
            let bits = u32::try_from(self.first >> 96).unwrap_or_default();
            write!(formatter, "{}/{}", Ipv4Addr::from(bits), self.length)
        }
    }
}

/// A text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no network of IPv4 or IPv6")]
pub struct NoPrefix;

impl FromStr for Prefix {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, NoPrefix> {
        match text.split_once('/') {
            Some((address, length)) => {
                let address = address.parse().map_err(|_| NoPrefix)?;
                Self::new(address, length.parse().map_err(|_| NoPrefix)?).ok_or(NoPrefix)
            }
            None => text.parse().map(Self::of).map_err(|_| NoPrefix),
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Prefix;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a network")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Prefix, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The addresses of any number of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Family, first and last; sorted, and none overlaps another.
    ranges: Vec<(bool, u128, u128)>,
}

impl Addresses {
    /// Whether any address of a network is among them.
    #[must_use]
    pub fn overlap(&self, network: Prefix) -> bool {
        // The first range that does not end before the network begins.
        let at = self.ranges.partition_point(|(is_ipv6, _, last)| {
            (*is_ipv6, *last) < (network.is_ipv6, network.first)
        });
        self.ranges.get(at).is_some_and(|(is_ipv6, first, _)| {
            *is_ipv6 == network.is_ipv6 && *first <= network.last()
        })
    }

    /// Whether there are none of this family.
    #[must_use]
    pub fn is_empty(&self, is_ipv6: bool) -> bool {
        self.ranges.iter().all(|range| range.0 != is_ipv6)
    }
}

impl FromIterator<Prefix> for Addresses {
    fn from_iter<I: IntoIterator<Item = Prefix>>(networks: I) -> Self {
        let mut networks: Vec<Prefix> = networks.into_iter().collect();
        networks.sort_unstable();
        let mut ranges: Vec<(bool, u128, u128)> = Vec::new();
        for network in networks {
            match ranges.last_mut() {
                // The wider stand before those in them, so none reaches beyond.
                Some((is_ipv6, _, last))
                    if *is_ipv6 == network.is_ipv6 && network.first <= *last => {}
                _ => ranges.push((network.is_ipv6, network.first, network.last())),
            }
        }
        Self { ranges }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_read_and_written_as_the_kernel_has_it() {
        for text in ["0.0.0.0/0", "192.168.0.64/26", "10.65.0.1/32", "::/0", "fd00:10:65::/122"] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("10.0.0.1"), prefix("10.0.0.1/32"));
        assert_eq!(prefix("10.0.0.77/26"), prefix("10.0.0.64/26"));
        for text in ["", "/", "10.0.0.0/33", "::/129", "10.0.0/8", "default", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<Prefix>(), Err(NoPrefix), "{text}");
        }
    }

    #[test]
    fn a_network_contains_those_in_it_and_none_of_the_other_family() {
        assert!(prefix("10.65.0.0/16").contains(prefix("10.65.3.64/26")));
        assert!(!prefix("10.65.3.64/26").contains(prefix("10.65.0.0/16")));
        assert!(!prefix("10.65.3.64/26").contains(prefix("10.65.3.128/32")));
        assert!(!prefix("0.0.0.0/0").contains(prefix("::/0")));
        assert!(prefix("10.65.3.64/26").contains(prefix("10.65.3.64/26")));
        assert_eq!(prefix("10.65.3.77/32").widened(26), prefix("10.65.3.64/26"));
    }

    proptest! {
        #[test]
        fn a_set_knows_the_same_as_its_networks(
            networks in proptest::collection::vec((any::<u16>(), 16u8..=32), 0..20),
            (asked, length) in (any::<u16>(), 8u8..=32),
        ) {
            let network = |(bits, length): (u16, u8)| {
                Prefix::new(Ipv4Addr::from(0x0a41_0000 | u32::from(bits)).into(), length).unwrap()
            };
            let networks: Vec<Prefix> = networks.into_iter().map(network).collect();
            let asked = network((asked, length));
            let overlaps = networks.iter().any(|it| it.contains(asked) || asked.contains(*it));
            let set: Addresses = networks.iter().copied().collect();
            prop_assert_eq!(set.overlap(asked), overlaps);
            prop_assert!(!set.overlap(prefix("::/0")));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<Prefix>();
        }
    }
}
