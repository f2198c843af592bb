//! The kernel's tables as checks read them: rows of the documents in `docs/netlink.md`.
//!
//! ```text
//! {"source":"RTM_GETROUTE",
//! "routes":[
//! {"family":"ipv4","type":"blackhole","destination":"192.168.0.0/26","table":254,"protocol":80,...},
//! ],
//! "consistent":true,"complete":true}
//! ```
//!
//! A row is a line, so that of a table with hundreds of thousands of routes no more is held than what is asked for.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::host::{Evidence, Outcome};
use crate::prefix::Prefix;

/// A link.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(clippy::struct_field_names, reason = "they are the document's")]
pub(super) struct Link {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) name: String,
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) flags: Flags,
    pub(super) mtu: Option<u32>,
    pub(super) mac: Option<String>,
    /// The link below, or a veth's other end where that is in this namespace.
    pub(super) link_name: Option<String>,
    /// The namespace of the link in `link`, where it is another one.
    pub(super) netnsid: Option<i32>,
    pub(super) detail: Option<Detail>,
}

impl Link {
    pub(super) const fn is_up(&self) -> bool {
        self.flags.has(UP)
    }

    pub(super) const fn has_carrier(&self) -> bool {
        self.flags.has(LOWER_UP)
    }
}

/// What a tunnel has of its own.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Detail {
    pub(super) id: Option<u32>,
    pub(super) link: Option<serde_json::Value>,
    pub(super) local: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) learning: Option<bool>,
    pub(super) external: Option<bool>,
}

/// An address of a link.
#[derive(Debug, Clone, Default, Deserialize)]
#[allow(clippy::struct_field_names, reason = "they are the document's")]
pub(super) struct Address {
    pub(super) dev: Option<String>,
    pub(super) address: Option<String>,
    #[serde(default)]
    pub(super) prefix_length: u8,
    #[serde(default)]
    pub(super) flags: Vec<String>,
}

/// A route, without what is text: there may be very many.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Route {
    pub(super) r#type: Type,
    pub(super) destination: Prefix,
    pub(super) table: u32,
    pub(super) protocol: u8,
    pub(super) metric: Option<u32>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) flags: Flags,
    #[serde(default)]
    pub(super) nexthops: Vec<Nexthop>,
}

impl Route {
    /// Its ways: one, or those of a multipath route.
    pub(super) fn hops(&self) -> impl Iterator<Item = Nexthop> {
        let own = Nexthop { gateway: self.gateway, index: self.index, flags: self.flags };
        let own = self.nexthops.is_empty().then_some(own);
        own.into_iter().chain(self.nexthops.iter().copied())
    }

    /// The lower, the earlier.
    pub(super) fn metric(&self) -> u32 {
        self.metric.unwrap_or_default()
    }
}

/// One way of a route.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Nexthop {
    pub(super) gateway: Option<IpAddr>,
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) flags: Flags,
}

/// What becomes of a packet that takes a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Unicast,
    /// Dropped, with an answer or without: `blackhole`, `unreachable`, `prohibit`.
    Dropped,
    /// Looked up further.
    Throw,
    /// This host's own, broadcast, ...
    Other,
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Type;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a route's type")
            }

            fn visit_str<E>(self, text: &str) -> Result<Type, E> {
                Ok(match text {
                    "unicast" => Type::Unicast,
                    "blackhole" | "unreachable" | "prohibit" => Type::Dropped,
                    "throw" => Type::Throw,
                    _ => Type::Other,
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Flags of a link, a route or a neighbour, as far as checks ask for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

pub(super) const UP: u16 = 1;
pub(super) const LOWER_UP: u16 = 1 << 1;
pub(super) const DEAD: u16 = 1 << 2;
pub(super) const LINK_DOWN: u16 = 1 << 3;
pub(super) const FAILED: u16 = 1 << 4;
pub(super) const NOT: u16 = 1 << 5;
pub(super) const PERMANENT: u16 = 1 << 6;

impl Flags {
    pub(super) const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Flags;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("flags")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Flags, A::Error> {
                let mut flags = Flags::default();
                while let Some(Word(bit)) = words.next_element()? {
                    flags.0 |= bit;
                }
                Ok(flags)
            }
        }
        deserializer.deserialize_seq(Words)
    }
}

/// One word of a list of flags, as its bit.
struct Word(u16);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Word;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a flag")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word(match text {
                    "up" => UP,
                    "lower_up" => LOWER_UP,
                    "dead" => DEAD,
                    "linkdown" => LINK_DOWN,
                    "failed" => FAILED,
                    "not" => NOT,
                    "permanent" => PERMANENT,
                    _ => 0,
                }))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A policy rule.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub(super) family: String,
    pub(super) priority: u32,
    pub(super) action: String,
    pub(super) table: u32,
    pub(super) from: Option<Prefix>,
    pub(super) to: Option<Prefix>,
    pub(super) fwmark: Option<u32>,
    pub(super) fwmask: Option<u32>,
    pub(super) iif: Option<String>,
    pub(super) oif: Option<String>,
    #[serde(default)]
    pub(super) flags: Flags,
    pub(super) suppress_prefix_length: Option<u32>,
    pub(super) l3mdev: Option<bool>,
    #[serde(default)]
    pub(super) tos: u8,
    pub(super) ip_protocol: Option<IgnoredAny>,
    pub(super) source_ports: Option<IgnoredAny>,
    pub(super) destination_ports: Option<IgnoredAny>,
    pub(super) uids: Option<IgnoredAny>,
    pub(super) dscp: Option<IgnoredAny>,
    pub(super) tunnel_id: Option<IgnoredAny>,
}

/// A neighbour.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Neighbour {
    pub(super) address: Option<IpAddr>,
    pub(super) mac: Option<String>,
    #[serde(default)]
    pub(super) index: u32,
    #[serde(default)]
    pub(super) state: Flags,
}

/// Where a VXLAN device sends frames.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Forwarding {
    pub(super) mac: Option<String>,
    #[serde(default)]
    pub(super) index: u32,
    pub(super) destination: Option<IpAddr>,
}

/// Offloads of a link.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Features {
    pub(super) dev: String,
    #[serde(default)]
    pub(super) features: HashMap<String, bool>,
}

/// Gives each row of a list of a table to `take`; `wanted` looks at its text first, so that rows can be passed over for
/// little.
///
/// # Errors
/// The table is not known whole, and why.
pub(super) fn each<T: for<'de> Deserialize<'de>>(
    evidence: &Evidence,
    path: &str,
    list: &str,
    wanted: impl Fn(&[u8]) -> bool,
    mut take: impl FnMut(T),
) -> Result<(), String> {
    let reading = evidence.get(path).ok_or_else(|| format!("{path} was not read"))?;
    if reading.outcome != Outcome::Ok {
        let reason = reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string());
        return Err(format!("{path}: {reason}"));
    }
    let misread = || format!("{path} is not of the form that calivet writes");
    let head = format!("\n\"{list}\":[");
    let begins = memmem::find(&reading.bytes, head.as_bytes()).ok_or_else(misread)?;
    let rest = reading.bytes.get(begins + head.len()..).unwrap_or_default();
    let mut is_ended = rest.first() == Some(&b']');
    let mut rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    while !is_ended {
        if rest.is_empty() {
            return Err(misread());
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, others) = rest.split_at(end);
        rest = others.get(1..).unwrap_or_default();
        if line.first() == Some(&b']') {
            is_ended = true;
        } else if wanted(line) {
            let row = line.strip_suffix(b",").unwrap_or(line);
            take(serde_json::from_slice(row).map_err(|_| misread())?);
        }
    }
    let tail = reading.bytes.get(reading.bytes.len().saturating_sub(64)..).unwrap_or_default();
    if memmem::find(tail, b"\"consistent\":false").is_some() {
        return Err(format!("{path} changed while it was read"));
    }
    Ok(())
}

/// All rows of a list of a table.
///
/// # Errors
/// The table is not known whole, and why.
pub(super) fn all<T: for<'de> Deserialize<'de>>(
    evidence: &Evidence,
    path: &str,
    list: &str,
) -> Result<Vec<T>, String> {
    let mut rows = Vec::new();
    each(evidence, path, list, |_| true, |row| rows.push(row))?;
    Ok(rows)
}

/// Whether two texts are the same address: an IPv4 one may stand as one of IPv6.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// An address, without the link of a link-local one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(address, _)| address);
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fmt::Write as _;

    use serde_json::Value;

    use super::*;
    use crate::host::Reading;

    /// A table as `host/netlink/document.rs` writes it.
    pub(in crate::checks) fn table(lists: &[(&str, &[Value])]) -> Reading {
        let mut text = String::from("{\"source\":\"RTM\"");
        for (name, rows) in lists {
            let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
            let (begin, end) = if rows.is_empty() { ("", "") } else { ("\n", "\n") };
            let _ = write!(text, ",\n\"{name}\":[{begin}{}{end}]", rows.join(",\n"));
        }
        text.push_str(",\n\"consistent\":true,\"complete\":true}\n");
        Reading { bytes: text.into_bytes(), ..Reading::begin() }
    }

    #[test]
    fn the_rows_of_one_list_are_given_and_those_passed_over_are_not_parsed() {
        let row = |index: u32| serde_json::json!({"index": index, "name": format!("eth{index}")});
        let mut evidence = Evidence::default();
        let lists = [("links", &[row(1), row(2)][..]), ("others", &[row(3)]), ("none", &[])];
        evidence.insert("table", table(&lists));
        let names = |list: &str| -> Vec<String> {
            let rows: Vec<Link> = all(&evidence, "table", list).unwrap();
            rows.into_iter().map(|link| link.name).collect()
        };
        assert_eq!(names("links"), ["eth1", "eth2"]);
        assert_eq!(names("others"), ["eth3"]);
        assert_eq!(names("none"), [""; 0]);
        assert!(all::<Link>(&evidence, "table", "absent").is_err());
        assert!(all::<Link>(&evidence, "nothing", "links").is_err());
        let wanted = |row: &[u8]| memmem::find(row, b"eth2").is_some();
        let mut given = Vec::new();
        each(&evidence, "table", "links", wanted, |link: Link| given.push(link.index)).unwrap();
        assert_eq!(given, [2]);
    }

    #[test]
    fn bytes_of_any_kind_give_an_error_and_no_panic() {
        let hostile: [&[u8]; 6] = [
            b"",
            b"\n\"links\":[",
            b"\n\"links\":[\n",
            b"{\"s\":1,\n\"links\":[\n{\"index\":1},\n",
            b"{\"s\":1,\n\"links\":[\n\xff\xfe\n]",
            b"{\"s\":1,\n\"links\":[\n{\"index\":-1}\n]",
        ];
        for bytes in hostile {
            let mut evidence = Evidence::default();
            evidence.insert("t", Reading { bytes: bytes.to_vec(), ..Reading::begin() });
            assert!(all::<Link>(&evidence, "t", "links").is_err(), "{bytes:?}");
        }
    }
}
