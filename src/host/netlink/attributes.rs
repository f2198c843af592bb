//! What the attributes of several subjects have in common: names of numbers, and values as text.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_bindings::rt_link;
use netlink_bindings::utils::IterableChunks;
use serde::{Serialize, Serializer};

use super::kernel::{Kernel, Trouble};

/// `AF_INET`.
pub(super) const INET: u8 = 2;
/// `AF_INET6`.
pub(super) const INET6: u8 = 10;

/// The name of an address family; `None` for others than IP.
pub(super) const fn family(number: u8) -> Option<&'static str> {
    match number {
        INET => Some("ipv4"),
        INET6 => Some("ipv6"),
        _ => None,
    }
}

/// The names of the links, by index.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<u32, String>);

impl Names {
    /// Asks the kernel.
    pub(super) fn read(kernel: &mut Kernel) -> Result<Self, Trouble> {
        let mut names = HashMap::new();
        let mut request = rt_link::Request::new().op_getlink_dump(&rt_link::Ifinfomsg::new());
        // RTEXT_FILTER_SKIP_STATS: to count packets costs more than all the rest.
        request.encode().push_ext_mask(1 << 3);
        kernel.ask("RTM_GETLINK", &request, |(header, link)| {
            if let (Ok(index), Ok(name)) = (u32::try_from(header.ifi_index), link.get_ifname()) {
                names.insert(index, text(name));
            }
            Ok(())
        })?;
        Ok(Self(names))
    }

    /// The name of a link; `None` where there is no such link, or 0 for none.
    pub(super) fn of(&self, index: u32) -> Option<&str> {
        self.0.get(&index).map(String::as_str)
    }
}

/// A name or text of the kernel's. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn text(bytes: &CStr) -> String {
    bytes.to_string_lossy().into_owned()
}

/// A name or text that ends with a NUL, or without one. Bytes that are no UTF-8 become U+FFFD.
pub(super) fn name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Bytes as hexadecimal digits after `0x`.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 + 2 * bytes.len());
    digits.push_str("0x");
    for byte in bytes {
        let _memory_does_not_fail = write!(digits, "{byte:02x}");
    }
    digits
}

/// A link layer address as it is written by its length: an IP address of a tunnel, or pairs of digits.
pub(super) fn hardware(bytes: &[u8], is_tunnel: bool) -> Option<String> {
    match bytes.len() {
        0 => None,
        4 | 16 if is_tunnel => ip(bytes).map(|address| address.to_string()),
        _ => {
            let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(pairs.join(":"))
        }
    }
}

/// An address of 4 or 16 bytes.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

/// A number of 1, 2, 4 or 8 bytes in the machine's order.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    match *bytes {
        [a] => Some(u64::from(a)),
        [a, b] => Some(u64::from(u16::from_ne_bytes([a, b]))),
        [a, b, c, d] => Some(u64::from(u32::from_ne_bytes([a, b, c, d]))),
        _ => bytes.try_into().ok().map(u64::from_ne_bytes),
    }
}

/// A number of 1, 2, 4 or 8 bytes in network order.
pub(super) fn network_number(bytes: &[u8]) -> Option<u64> {
    let mut padded = [0; 8];
    match bytes.len() {
        length @ (1 | 2 | 4 | 8) => padded[8 - length..].copy_from_slice(bytes),
        _ => return None,
    }
    Some(u64::from_be_bytes(padded))
}

/// The attributes in `bytes`, as far as they are well-formed: type and value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    IterableChunks::new(bytes).map(|(header, value)| (header.r#type, value))
}

/// The names of the bits that are set; those without a name stand as `bit 9`.
pub(super) fn flags<'a>(bits: u32, names: &'a [&'a str]) -> Flags<'a> {
    Flags { bits, names }
}

/// See [`flags`].
#[derive(Debug)]
pub(super) struct Flags<'a> {
    bits: u32,
    names: &'a [&'a str],
}

impl Serialize for Flags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let set = (0..u32::BITS).filter(|bit| self.bits & (1 << bit) != 0);
        serializer.collect_seq(set.map(|bit| Flag {
            bit,
            name: self.names.get(bit as usize).copied().filter(|name| !name.is_empty()),
        }))
    }
}

struct Flag<'a> {
    bit: u32,
    name: Option<&'a str>,
}

impl Serialize for Flag<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&format_args!("bit {}", self.bit)),
        }
    }
}

/// A name, or the number where it has none.
#[derive(Debug)]
pub(super) struct Word(pub(super) Option<&'static str>, pub(super) u32);

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&self.1),
        }
    }
}

/// An address and the bits of it that count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix(pub(super) IpAddr, pub(super) u8);

impl Prefix {
    /// All addresses of a family.
    pub(super) const fn all(family: u8) -> Self {
        match family {
            INET6 => Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            _ => Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.0, self.1)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who made a route or a rule (`/etc/iproute2/rt_protos`, and Felix's own).
pub(super) const fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "redirect",
        2 => "kernel",
        3 => "boot",
        4 => "static",
        8 => "gated",
        9 => "ra",
        10 => "mrt",
        11 => "zebra",
        12 => "bird",
        13 => "dnrouted",
        14 => "xorp",
        15 => "ntk",
        16 => "dhcp",
        17 => "mrouted",
        18 => "keepalived",
        42 => "babel",
        80 => "calico",
        186 => "bgp",
        187 => "isis",
        188 => "ospf",
        189 => "rip",
        192 => "eigrp",
        _ => return None,
    })
}

/// How far an address or a route reaches.
pub(super) const fn scope_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "global",
        200 => "site",
        253 => "link",
        254 => "host",
        255 => "nowhere",
        _ => return None,
    })
}

/// The routing tables that have a name on every host.
pub(super) const fn table_name(number: u32) -> Option<&'static str> {
    Some(match number {
        253 => "default",
        254 => "main",
        255 => "local",
        _ => return None,
    })
}

/// The name of an IP protocol.
pub(super) const fn ip_protocol(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipip",
        6 => "tcp",
        17 => "udp",
        33 => "dccp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => return None,
    })
}
