//! ipsets, as `linux/netfilter/ipset/ip_set.h` has them: the headers of all, and only then members, so that a large set
//! takes the place of no header. No specification knows this protocol, so that its attributes are read here.
//!
//! ```text
//! {"name":"cali40s:abc","type":"hash:net","family":"ipv4","revision":7,"hashsize":1024,"maxelem":1048576,"entries":2,
//!  "references":1,"memory_bytes":568,...}
//! {"set":"cali40s:abc","member":"192.168.1.0/26"}
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use nix::errno::Errno;
use serde::Serialize;
use serde_json::json;

use super::attributes::{INET, INET6, attributes, hardware, ip, ip_protocol, name, network_number};
use super::document::Document;
use super::kernel::{Kernel, Netfilter, Trouble};

#[derive(Debug, Default, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "they are the document's")]
struct Set {
    name: String,
    r#type: Option<String>,
    family: Option<&'static str>,
    revision: Option<u64>,
    hashsize: Option<u64>,
    maxelem: Option<u64>,
    entries: Option<u64>,
    references: Option<u64>,
    memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    netmask: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucketsize: Option<u64>,
    counters: bool,
    comment: bool,
    skbinfo: bool,
    forceadd: bool,
}

#[derive(Debug, Default, Serialize)]
#[allow(clippy::struct_field_names, reason = "they are the document's")]
struct Member<'a> {
    set: &'a str,
    member: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nomatch: bool,
}

/// `NFNL_SUBSYS_IPSET`.
const SUBSYSTEM: u8 = 6;
/// `IPSET_CMD_LIST`.
const LIST: u8 = 7;
/// The oldest protocol that kernels still speak; what 7 adds is not needed.
const PROTOCOL: u8 = 6;
/// `IPSET_FLAG_LIST_HEADER`.
const ONLY_HEADERS: u32 = 1 << 2;

// Attributes of a message.
const ATTR_PROTOCOL: u16 = 1;
const ATTR_SETNAME: u16 = 2;
const ATTR_TYPENAME: u16 = 3;
const ATTR_REVISION: u16 = 4;
const ATTR_FAMILY: u16 = 5;
const ATTR_FLAGS: u16 = 6;
const ATTR_DATA: u16 = 7;
const ATTR_ADT: u16 = 8;

// Attributes of a header and of a member.
const IP: u16 = 1;
const IP_TO: u16 = 2;
const CIDR: u16 = 3;
const PORT: u16 = 4;
const PORT_TO: u16 = 5;
const TIMEOUT: u16 = 6;
const PROTO: u16 = 7;
const CADT_FLAGS: u16 = 8;
const MARK: u16 = 10;
const HASHSIZE: u16 = 18;
const MAXELEM: u16 = 19;
const NETMASK: u16 = 20;
const BUCKETSIZE: u16 = 21;
const SIZE: u16 = 23;
const ELEMENTS: u16 = 24;
const REFERENCES: u16 = 25;
const MEMSIZE: u16 = 26;
const ETHER: u16 = 17;
const NAME: u16 = 18;
const IP2: u16 = 20;
const CIDR2: u16 = 21;
const IFACE: u16 = 23;
const BYTES: u16 = 24;
const PACKETS: u16 = 25;
const COMMENT: u16 = 26;

// `IPSET_FLAG_*` of CADT_FLAGS.
const FLAG_PHYSDEV: u64 = 1 << 1;
const FLAG_NOMATCH: u64 = 1 << 2;
const FLAG_COUNTERS: u64 = 1 << 3;
const FLAG_COMMENT: u64 = 1 << 4;
const FLAG_FORCEADD: u64 = 1 << 5;
const FLAG_SKBINFO: u64 = 1 << 6;

/// `IPSET_CMD_TYPE`.
const TYPE: u8 = 13;
/// The oldest revision of a type that the kernel still has (`IPSET_ATTR_REVISION_MIN`).
const ATTR_REVISION_MIN: u16 = 10;

/// Types of sets that Felix makes, and the module that has each.
const TYPES: [(&str, &str); 5] = [
    ("hash:ip", "ip_set_hash_ip"),
    ("hash:net", "ip_set_hash_net"),
    ("hash:ip,port", "ip_set_hash_ipport"),
    ("hash:net,net", "ip_set_hash_netnet"),
    ("bitmap:port", "ip_set_bitmap_port"),
];

/// Which of `TYPES` may be asked for, a bit each: the kernel loads the module of a type that it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetTypes(u8);

impl SetTypes {
    /// Those whose module is there.
    pub fn with(is_loaded: impl Fn(&str) -> bool) -> Self {
        let bits = TYPES.iter().enumerate().filter(|(_, (_, module))| is_loaded(module));
        Self(bits.fold(0, |all, (bit, _)| all | 1 << bit))
    }
}

/// What the kernel says of a type.
#[derive(Debug, Default, Serialize)]
struct Known {
    r#type: &'static str,
    revision: Option<u64>,
    oldest_revision: Option<u64>,
}

/// Writes `types`, and `sets` as far as their type and revision goes.
pub(super) fn write_types(
    wanted: SetTypes,
    kernel: &mut Kernel,
    document: &mut Document,
) -> Result<(), Trouble> {
    document.list("types");
    for (bit, (name_of_type, _)) in TYPES.into_iter().enumerate() {
        if wanted.0 & 1 << bit == 0 {
            continue;
        }
        let mut row = Known { r#type: name_of_type, ..Known::default() };
        // The kernel's names end with a zero byte. IPv4 will do: each of these types is of both families.
        let question = Netfilter::new(SUBSYSTEM, TYPE, false, INET)
            .with(ATTR_PROTOCOL, &[PROTOCOL])
            .with(ATTR_TYPENAME, &[name_of_type.as_bytes(), b"\0"].concat())
            .with(ATTR_FAMILY, &[INET]);
        let asked = kernel.ask("IPSET_CMD_TYPE", &question, |message| {
            for (kind, value) in attributes(message) {
                match kind {
                    ATTR_REVISION => row.revision = network_number(value),
                    ATTR_REVISION_MIN => row.oldest_revision = network_number(value),
                    _ => {}
                }
            }
            Ok(())
        });
        match asked {
            // IPSET_ERR_FIND_TYPE, which no other part of the kernel has: it knows no such type.
            Ok(()) | Err(Trouble::Refused(_, Errno::ENOENT | Errno::UnknownErrno)) => {}
            Err(trouble) => return Err(trouble),
        }
        document.row(&row)?;
    }
    document.list("sets");
    let headers = Netfilter::new(SUBSYSTEM, LIST, true, INET)
        .with(ATTR_PROTOCOL, &[PROTOCOL])
        .with(ATTR_FLAGS, &ONLY_HEADERS.to_be_bytes());
    kernel.ask("IPSET_CMD_LIST", &headers, |message| {
        let Set { name, r#type, family, revision, .. } = header(message);
        document.row(&json!({"name": name, "type": r#type, "family": family, "revision": revision}))
    })
}

/// Writes `sets` and `members`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let mut types: HashMap<String, String> = HashMap::new();
    let question = || Netfilter::new(SUBSYSTEM, LIST, true, INET).with(ATTR_PROTOCOL, &[PROTOCOL]);
    document.list("sets");
    let headers = question().with(ATTR_FLAGS, &ONLY_HEADERS.to_be_bytes());
    kernel.ask("IPSET_CMD_LIST", &headers, |message| {
        let set = header(message);
        if let Some(kind) = &set.r#type {
            types.insert(set.name.clone(), kind.clone());
        }
        document.row(&set)
    })?;
    document.list("members");
    kernel.ask("IPSET_CMD_LIST", &question(), |message| {
        let (set, data) = parts(message);
        // A set that came to be meanwhile says its type in the first of its messages.
        if let Some(kind) = text_of(message, ATTR_TYPENAME) {
            types.insert(set.clone(), kind);
        }
        let kind = types.get(&set).map_or("", String::as_str);
        for (_, value) in attributes(data) {
            document.row(&member(&set, kind, value))?;
        }
        Ok(())
    })
}

/// The name of the set, and its members.
fn parts(message: &[u8]) -> (String, &[u8]) {
    let data = attributes(message).find(|(kind, _)| *kind == ATTR_ADT);
    (text_of(message, ATTR_SETNAME).unwrap_or_default(), data.map_or(&[], |(_, data)| data))
}

fn text_of(message: &[u8], wanted: u16) -> Option<String> {
    attributes(message).find(|(kind, _)| *kind == wanted).map(|(_, value)| name(value))
}

fn header(message: &[u8]) -> Set {
    let mut set = Set::default();
    for (kind, value) in attributes(message) {
        match kind {
            ATTR_SETNAME => set.name = name(value),
            ATTR_TYPENAME => set.r#type = Some(name(value)),
            ATTR_REVISION => set.revision = network_number(value),
            ATTR_FAMILY => {
                set.family = match value {
                    [INET] => Some("ipv4"),
                    [INET6] => Some("ipv6"),
                    _ => None,
                };
            }
            ATTR_DATA => set.fill(value),
            _ => {}
        }
    }
    set
}

impl Set {
    fn fill(&mut self, data: &[u8]) {
        let (mut low, mut high, mut bits) = (None, None, None);
        for (kind, value) in attributes(data) {
            match kind {
                IP => low = address(value).map(|ip| ip.to_string()),
                IP_TO => high = address(value).map(|ip| ip.to_string()),
                CIDR => bits = network_number(value),
                PORT => low = network_number(value).map(|port| port.to_string()),
                PORT_TO => high = network_number(value).map(|port| port.to_string()),
                TIMEOUT => self.timeout_seconds = network_number(value),
                HASHSIZE => self.hashsize = network_number(value),
                MAXELEM => self.maxelem = network_number(value),
                NETMASK => self.netmask = network_number(value),
                BUCKETSIZE => self.bucketsize = network_number(value),
                SIZE => self.size = network_number(value),
                ELEMENTS => self.entries = network_number(value),
                REFERENCES => self.references = network_number(value),
                MEMSIZE => self.memory_bytes = network_number(value),
                CADT_FLAGS => {
                    let flags = network_number(value).unwrap_or_default();
                    self.counters = flags & FLAG_COUNTERS != 0;
                    self.comment = flags & FLAG_COMMENT != 0;
                    self.forceadd = flags & FLAG_FORCEADD != 0;
                    self.skbinfo = flags & FLAG_SKBINFO != 0;
                }
                _ => {}
            }
        }
        self.range = match (low, high, bits) {
            (Some(low), Some(high), _) => Some(format!("{low}-{high}")),
            (Some(low), None, Some(bits)) => Some(format!("{low}/{bits}")),
            (low, ..) => low,
        };
    }
}

/// The parts of one member.
#[derive(Debug, Default)]
struct Parts {
    ip: Option<IpAddr>,
    ip_to: Option<IpAddr>,
    cidr: Option<u64>,
    ip2: Option<IpAddr>,
    cidr2: Option<u64>,
    port: Option<u64>,
    port_to: Option<u64>,
    protocol: Option<u8>,
    mac: Option<String>,
    mark: Option<u64>,
    interface: Option<String>,
    name: Option<String>,
    is_physical: bool,
}

fn member<'a>(set: &'a str, kind: &str, data: &[u8]) -> Member<'a> {
    let mut member = Member { set, ..Member::default() };
    let mut parts = Parts::default();
    for (kind, value) in attributes(data) {
        match kind {
            IP => parts.ip = address(value),
            IP_TO => parts.ip_to = address(value),
            CIDR => parts.cidr = network_number(value),
            IP2 => parts.ip2 = address(value),
            CIDR2 => parts.cidr2 = network_number(value),
            PORT => parts.port = network_number(value),
            PORT_TO => parts.port_to = network_number(value),
            PROTO => parts.protocol = value.first().copied(),
            MARK => parts.mark = network_number(value),
            ETHER => parts.mac = hardware(value, false).map(|mac| mac.to_uppercase()),
            NAME => parts.name = Some(name(value)),
            IFACE => parts.interface = Some(name(value)),
            TIMEOUT => member.timeout_seconds = network_number(value),
            BYTES => member.bytes = network_number(value),
            PACKETS => member.packets = network_number(value),
            COMMENT => member.comment = Some(name(value)),
            CADT_FLAGS => {
                let flags = network_number(value).unwrap_or_default();
                member.nomatch = flags & FLAG_NOMATCH != 0;
                parts.is_physical = flags & FLAG_PHYSDEV != 0;
            }
            _ => {}
        }
    }
    member.member = parts.as_text(kind);
    member
}

impl Parts {
    /// As `ipset` writes it: the parts in the order in which the type names them.
    fn as_text(&self, kind: &str) -> String {
        let dimensions = kind.split_once(':').map_or("", |(_, dimensions)| dimensions);
        let mut addresses = 0;
        let mut text = String::new();
        for dimension in dimensions.split(',') {
            let part = match dimension {
                "ip" | "net" => {
                    addresses += 1;
                    if addresses == 1 {
                        range(self.ip, self.ip_to, self.cidr)
                    } else {
                        range(self.ip2, None, self.cidr2)
                    }
                }
                "port" => self.port(),
                "mac" => self.mac.clone(),
                "mark" => self.mark.map(|mark| format!("{mark:#010x}")),
                "iface" => self.interface.as_ref().map(|name| {
                    if self.is_physical { format!("physdev:{name}") } else { name.clone() }
                }),
                "set" => self.name.clone(),
                _ => None,
            };
            if let Some(part) = part {
                let comma = if text.is_empty() { "" } else { "," };
                let _memory_does_not_fail = write!(text, "{comma}{part}");
            }
        }
        text
    }

    fn port(&self) -> Option<String> {
        let port = self.port?;
        // What counts as the port of ICMP is its type and code.
        let mut text = match self.protocol {
            Some(protocol @ (1 | 58)) => {
                let name = ip_protocol(protocol).unwrap_or_default();
                return Some(format!("{name}:{}/{}", port >> 8, port & 0xff));
            }
            Some(protocol) => match ip_protocol(protocol) {
                Some(name) => format!("{name}:{port}"),
                None => format!("{protocol}:{port}"),
            },
            None => port.to_string(),
        };
        if let Some(to) = self.port_to.filter(|to| *to != port) {
            let _memory_does_not_fail = write!(text, "-{to}");
        }
        Some(text)
    }
}

fn range(from: Option<IpAddr>, to: Option<IpAddr>, bits: Option<u64>) -> Option<String> {
    let from = from?;
    let all = if from.is_ipv4() { 32 } else { 128 };
    Some(match (to.filter(|to| *to != from), bits.filter(|bits| *bits != all)) {
        (Some(to), _) => format!("{from}-{to}"),
        (None, Some(bits)) => format!("{from}/{bits}"),
        (None, None) => from.to_string(),
    })
}

/// An address is nested: its type says its family.
fn address(value: &[u8]) -> Option<IpAddr> {
    attributes(value).find_map(|(_, bytes)| ip(bytes))
}

#[cfg(test)]
mod tests;
