//! Tables of `/proc/net` in which addresses stand in hexadecimal, and where: there alone a number of eight digits
//! is an address.
//!
//! ```text
//! route        eth0  0002000A  0100000A  0003  0  0  100  00FFFFFF  0  0  0
//! tcp             0: 0200000A:00B3 0300000A:8F2C 01 00000000:00000000 ...
//! tcp6            0: 0000000000000000FFFF00000200000A:00B3 ...
//! if_inet6     fd000000000000000000000000000002 02 40 20 80     eth0
//! ipv6_route   fd000000000000000000000000000000 40 00000000000000000000000000000000 00 ...
//! ```
//!
//! IPv4 addresses and the words of IPv6 addresses in `tcp6` and its like are numbers of the machine's: the lowest
//! byte comes first on every machine that calivet runs on.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::address::{network_v4, network_v6};
use super::scan::Scanner;

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Destination, gateway, and in the eighth column the mask.
    Route,
    /// Two sockets, `ADDRESS:PORT`, of either family.
    Sockets,
    /// An address per line.
    Addresses6,
    /// Destination, source and next hop, the first two with their lengths.
    Route6,
}

impl Table {
    /// The table that an artifact is, by its path in a bundle.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/')?;
        if folder != "net" && !folder.ends_with("/net") {
            return None;
        }
        Some(match name {
            "route" => Self::Route,
            "tcp" | "tcp6" | "udp" | "udp6" | "udplite" | "udplite6" | "raw" | "raw6" | "icmp"
            | "icmp6" => Self::Sockets,
            "if_inet6" => Self::Addresses6,
            "ipv6_route" => Self::Route6,
            _ => return None,
        })
    }

    /// What is replaced in a line, in order.
    pub(super) fn replacements(
        self,
        scanner: &mut Scanner,
        line: &[u8],
    ) -> Vec<(Range<usize>, String)> {
        let fields = fields(line);
        let text = |column: usize| fields.get(column).map_or(&b""[..], |at| &line[at.clone()]);
        let mut found = Vec::new();
        match self {
            Self::Route => {
                for column in [1, 2] {
                    let Some(address) = swapped_v4(text(column)) else { continue };
                    let mut pseudonym = scanner.ipv4(address);
                    if let Some(mask) = swapped_v4(text(7)).filter(|_| column == 1) {
                        let length = mask.to_bits().leading_ones();
                        pseudonym = network_v4(address, pseudonym, length);
                    }
                    found.push((fields[column].clone(), hex_v4(pseudonym)));
                }
            }
            Self::Sockets => {
                for column in [1, 2] {
                    let mut parts = text(column).splitn(2, |&byte| byte == b':');
                    let (Some(address), Some(_)) = (parts.next(), parts.next()) else { continue };
                    let start = fields[column].start;
                    let place = start..start + address.len();
                    if let Some(address) = swapped_v4(address) {
                        found.push((place, hex_v4(scanner.ipv4(address))));
                    } else if let Some(address) = swapped_v6(address) {
                        found.push((place, hex_v6(scanner.ipv6(address))));
                    }
                }
            }
            Self::Addresses6 => {
                if let Some(address) = bits(text(0), 32) {
                    let pseudonym = scanner.ipv6(Ipv6Addr::from_bits(address));
                    found.push((fields[0].clone(), format!("{:032x}", pseudonym.to_bits())));
                }
            }
            Self::Route6 => {
                for column in [0, 2, 4] {
                    let Some(address) = bits(text(column), 32).map(Ipv6Addr::from_bits) else {
                        continue;
                    };
                    let mut pseudonym = scanner.ipv6(address);
                    let length = bits(text(column + 1), 2).filter(|_| column < 4);
                    if let Some(length) = length.and_then(|length| u32::try_from(length).ok()) {
                        pseudonym = network_v6(address, pseudonym, length);
                    }
                    found.push((fields[column].clone(), format!("{:032x}", pseudonym.to_bits())));
                }
            }
        }
        found
    }
}

/// Where the first words of a line stand.
fn fields(line: &[u8]) -> Vec<Range<usize>> {
    let mut fields = Vec::with_capacity(8);
    let mut at = 0;
    while fields.len() < 8 {
        let Some(begin) = line[at..].iter().position(|byte| !byte.is_ascii_whitespace()) else {
            break;
        };
        let start = at + begin;
        let length = line[start..].iter().position(u8::is_ascii_whitespace);
        at = length.map_or(line.len(), |length| start + length);
        fields.push(start..at);
    }
    fields
}

/// The number of exactly so many hexadecimal digits.
fn bits(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u128::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn swapped_v4(text: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from_bits(u32::try_from(bits(text, 8)?).ok()?.swap_bytes()))
}

fn hex_v4(address: Ipv4Addr) -> String {
    format!("{:08X}", address.to_bits().swap_bytes())
}

fn swapped_v6(text: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from_bits(swap_words(bits(text, 32)?)))
}

fn hex_v6(address: Ipv6Addr) -> String {
    format!("{:032X}", swap_words(address.to_bits()))
}

/// The bytes of each of the four words the other way round.
fn swap_words(bits: u128) -> u128 {
    let mut bytes = bits.to_be_bytes();
    bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    u128::from_be_bytes(bytes)
}
