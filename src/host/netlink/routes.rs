//! Routes of all tables and both families.
//!
//! ```text
//! {"family":"ipv4","type":"unicast","destination":"192.168.1.64/26","table":254,"table_name":"main","protocol":12,
//!  "protocol_name":"bird","scope":"global","metric":null,"gateway":"10.0.0.2","dev":"eth0","index":2,"source":null,
//!  "flags":["onlink"],"nexthops":[]}
//! ```

use std::net::IpAddr;

use netlink_bindings::rt_route::{self, Metrics, RouteAttrs, Rtmsg};
use serde::Serialize;
use serde_json::{Map, Value};

use super::attributes::{
    Flags, INET, INET6, Names, Prefix, Word, attributes, family, flags, ip, number, protocol_name,
    scope_name, table_name,
};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
struct Route<'a> {
    family: &'static str,
    r#type: Word,
    destination: Prefix,
    table: u32,
    table_name: Option<&'static str>,
    protocol: u8,
    protocol_name: Option<&'static str>,
    scope: Word,
    metric: Option<u32>,
    gateway: Option<IpAddr>,
    dev: Option<&'a str>,
    index: Option<u32>,
    source: Option<IpAddr>,
    flags: Flags<'a>,
    nexthops: Vec<Nexthop<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Prefix>,
    #[serde(skip_serializing_if = "is_zero")]
    tos: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    preference: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nexthop_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encapsulation: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ticks: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<i32>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metrics: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct Nexthop<'a> {
    gateway: Option<IpAddr>,
    dev: Option<&'a str>,
    index: u32,
    weight: u16,
    flags: Flags<'a>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

/// `RTNH_F_*` in the lower byte, `RTM_F_*` above.
const FLAGS: [&str; 30] = [
    "dead",
    "pervasive",
    "onlink",
    "offload",
    "linkdown",
    "unresolved",
    "trap",
    "",
    "notify",
    "cloned",
    "equalize",
    "prefix",
    "lookup-table",
    "fib-match",
    "rt-offload",
    "rt-trap",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "rt-offload-failed",
];

pub(super) const fn type_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "unspec",
        1 => "unicast",
        2 => "local",
        3 => "broadcast",
        4 => "anycast",
        5 => "multicast",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        9 => "throw",
        10 => "nat",
        _ => return None,
    })
}

/// Router preference of RFC 4191.
const fn preference_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "medium",
        1 => "high",
        3 => "low",
        _ => return None,
    })
}

/// `LWTUNNEL_ENCAP_*`.
const fn encapsulation_name(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "mpls",
        2 => "ip",
        3 => "ila",
        4 => "ip6",
        5 => "seg6",
        6 => "bpf",
        7 => "seg6local",
        8 => "rpl",
        9 => "ioam6",
        10 => "xfrm",
        _ => return None,
    })
}

/// Writes `routes`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("routes");
    for family in [INET, INET6] {
        let mut header = Rtmsg::new();
        header.rtm_family = family;
        let request = rt_route::Request::new().op_getroute_dump(&header);
        kernel.ask("RTM_GETROUTE", &request, |(header, attributes)| {
            match row(&header, attributes, &names) {
                Some(route) => document.row(&route),
                None => Ok(()),
            }
        })?;
    }
    Ok(())
}

fn row<'a>(
    header: &Rtmsg,
    attributes: rt_route::IterableRouteAttrs<'_>,
    names: &'a Names,
) -> Option<Route<'a>> {
    let buffer = attributes.get_buf();
    let mut route = Route {
        family: family(header.rtm_family)?,
        r#type: Word(type_name(header.rtm_type), header.rtm_type.into()),
        destination: Prefix::all(header.rtm_family),
        table: header.rtm_table.into(),
        table_name: None,
        protocol: header.rtm_protocol,
        protocol_name: protocol_name(header.rtm_protocol),
        scope: Word(scope_name(header.rtm_scope), header.rtm_scope.into()),
        metric: None,
        gateway: None,
        dev: None,
        index: None,
        source: None,
        flags: flags(header.rtm_flags, &FLAGS),
        nexthops: Vec::new(),
        from: None,
        tos: header.rtm_tos,
        preference: None,
        nexthop_id: None,
        encapsulation: None,
        expires_ticks: None,
        error: None,
        metrics: Map::new(),
    };
    for attribute in attributes {
        match attribute {
            Ok(RouteAttrs::Dst(address)) => {
                route.destination = Prefix(address, header.rtm_dst_len);
            }
            Ok(RouteAttrs::Src(address)) => route.from = Some(Prefix(address, header.rtm_src_len)),
            Ok(RouteAttrs::Oif(index)) => {
                route.index = Some(index);
                route.dev = names.of(index);
            }
            Ok(RouteAttrs::Gateway(address)) => route.gateway = Some(address),
            Ok(RouteAttrs::Priority(metric)) => route.metric = Some(metric),
            Ok(RouteAttrs::Prefsrc(address)) => route.source = Some(address),
            Ok(RouteAttrs::Table(table)) => route.table = table,
            Ok(RouteAttrs::Multipath(nexthops)) => route.nexthops = multipath(nexthops, names),
            Ok(RouteAttrs::Pref(pref)) => {
                route.preference = Some(Word(preference_name(pref), pref.into()));
            }
            Ok(RouteAttrs::NhId(id)) => route.nexthop_id = Some(id),
            Ok(RouteAttrs::EncapType(kind)) => {
                route.encapsulation = Some(Word(encapsulation_name(kind), kind.into()));
            }
            Ok(RouteAttrs::Cacheinfo(cache)) => {
                let [expires, error] = [cache.rta_expires, cache.rta_error].map(u32::cast_signed);
                route.expires_ticks = (expires != 0).then_some(expires);
                route.error = (error != 0).then_some(error);
            }
            Ok(RouteAttrs::Metrics(values)) => route.metrics = metrics(values),
            // The bindings take it for a bare address.
            Err(_) => route.gateway = route.gateway.or_else(|| via_of(buffer)),
            Ok(_) => {}
        }
    }
    route.table_name = table_name(route.table);
    Some(route)
}

/// `RTA_VIA`: the gateway of another family.
const VIA: u16 = 18;
/// `RTA_GATEWAY`.
const GATEWAY: u16 = 5;

fn via_of(buffer: &[u8]) -> Option<IpAddr> {
    attributes(buffer).find(|(kind, _)| *kind == VIA).and_then(|(_, value)| via(value))
}

/// `struct rtvia`: a family of two bytes, then the address.
fn via(value: &[u8]) -> Option<IpAddr> {
    ip(value.get(2..)?)
}

/// A row of `struct rtnexthop`: length, flags, hops (weight less one), index, then attributes.
fn multipath<'a>(mut bytes: &[u8], names: &'a Names) -> Vec<Nexthop<'a>> {
    let mut nexthops = Vec::new();
    while let Some(&[a, b, bits, hops, c, d, e, f]) = bytes.first_chunk::<8>() {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let Some(own) = bytes.get(8..length) else { break };
        let index = u32::from_ne_bytes([c, d, e, f]);
        let gateway = attributes(own).find_map(|(kind, value)| match kind {
            GATEWAY => ip(value),
            VIA => via(value),
            _ => None,
        });
        nexthops.push(Nexthop {
            gateway,
            dev: names.of(index),
            index,
            weight: u16::from(hops) + 1,
            flags: flags(bits.into(), &FLAGS),
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    nexthops
}

/// `RTAX_*`: those that matter on a node have names, others their numbers.
fn metrics(values: rt_route::IterableMetrics<'_>) -> Map<String, Value> {
    let mut metrics = Map::new();
    if let Some(Ok(Metrics::CcAlgo(name))) =
        values.clone().find(|metric| matches!(metric, Ok(Metrics::CcAlgo(_))))
    {
        metrics.insert("congestion_control".to_owned(), name.to_string_lossy().into());
    }
    for (kind, value) in attributes(values.get_buf()) {
        let name = match kind {
            1 => "lock",
            2 => "mtu",
            3 => "window",
            4 => "rtt",
            5 => "rttvar",
            6 => "ssthresh",
            7 => "cwnd",
            8 => "advmss",
            9 => "reordering",
            10 => "hoplimit",
            11 => "initcwnd",
            12 => "features",
            13 => "rto_min",
            14 => "initrwnd",
            15 => "quickack",
            17 => "fastopen_no_cookie",
            _ => continue,
        };
        metrics.insert(name.to_owned(), number(value).into());
    }
    metrics
}
