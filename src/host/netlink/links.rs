//! Links with the details of their kind and their counters.
//!
//! ```text
//! {"index":7,"name":"vxlan.calico","kind":"vxlan","type":"ether","flags":["up","broadcast",...],"operstate":"unknown",
//!  "mtu":1450,"mac":"66:2a:5b:00:00:01","master":null,"link":2,"link_name":"eth0","netnsid":null,"qdisc":"noqueue",...,
//!  "detail":{"id":4096,"local":"10.0.0.1","port":4789,"learning":false},"statistics":{"rx_packets":70,...}}
//! ```

mod detail;

use netlink_bindings::rt_link::{self, Ifinfomsg, LinkAttrs, LinkinfoAttrs, PropListLinkAttrs};
use serde::Serialize;
use serde_json::{Map, Value};

use super::attributes::{
    Flags, INET, INET6, Names, Word, attributes, flags, hardware, number, text,
};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "they are the document's")]
struct Link<'a> {
    index: i32,
    name: Option<String>,
    kind: Option<String>,
    r#type: Word,
    flags: Flags<'a>,
    operstate: Option<Word>,
    mtu: Option<u32>,
    mac: Option<String>,
    broadcast: Option<String>,
    permanent_mac: Option<String>,
    master: Option<&'a str>,
    link: Option<u32>,
    link_name: Option<&'a str>,
    netnsid: Option<i32>,
    qdisc: Option<String>,
    queue_length: Option<u32>,
    carrier: Option<bool>,
    carrier_changes: Option<u32>,
    promiscuity: Option<u32>,
    group: Option<u32>,
    tx_queues: Option<u32>,
    rx_queues: Option<u32>,
    gso_max_bytes: Option<u32>,
    gso_max_segments: Option<u32>,
    min_mtu: Option<u32>,
    max_mtu: Option<u32>,
    alias: Option<String>,
    other_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_device: Option<String>,
    detail: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port_of: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    ipv4: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    ipv6: Map<String, Value>,
    statistics: Option<Map<String, Value>>,
}

/// `IFF_*`.
const FLAGS: [&str; 19] = [
    "up",
    "broadcast",
    "debug",
    "loopback",
    "pointopoint",
    "notrailers",
    "running",
    "noarp",
    "promisc",
    "allmulti",
    "master",
    "slave",
    "multicast",
    "portsel",
    "automedia",
    "dynamic",
    "lower_up",
    "dormant",
    "echo",
];

/// `IF_OPER_*`.
const fn operstate_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "unknown",
        1 => "notpresent",
        2 => "down",
        3 => "lowerlayerdown",
        4 => "testing",
        5 => "dormant",
        6 => "up",
        _ => return None,
    })
}

/// `ARPHRD_*`, as iproute2 calls them.
const fn type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        1 => "ether",
        32 => "infiniband",
        512 => "ppp",
        768 => "ipip",
        769 => "tunnel6",
        772 => "loopback",
        776 => "sit",
        778 => "gre",
        823 => "gre6",
        824 => "netlink",
        0xfffe => "none",
        _ => return None,
    })
}

/// Writes `links`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("links");
    let request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
    kernel.ask("RTM_GETLINK", &request, |(header, attributes)| {
        document.row(&row(&header, attributes, &names))
    })
}

/// `IFLA_AF_SPEC`.
const AF_SPEC: u16 = 26;
/// `IFLA_INET_CONF`.
const INET_CONF: u16 = 1;
/// `IFLA_INET6_CONF`.
const INET6_CONF: u16 = 2;

/// The link's own settings in `/proc/sys/net/ipv4/conf` that are kept, by their place in the kernel's array:
/// `IPV4_DEVCONF_*` less one (`linux/ip.h`).
const IPV4_SETTINGS: [(usize, &str); 9] = [
    (0, "forwarding"),
    (2, "proxy_arp"),
    (7, "rp_filter"),
    (12, "arp_filter"),
    (17, "arp_announce"),
    (18, "arp_ignore"),
    (22, "accept_local"),
    (23, "src_valid_mark"),
    (25, "route_localnet"),
];

/// The same of `/proc/sys/net/ipv6/conf`: `DEVCONF_*` (`linux/ipv6.h`).
const IPV6_SETTINGS: [(usize, &str); 4] =
    [(0, "forwarding"), (3, "accept_ra"), (22, "proxy_ndp"), (26, "disable_ipv6")];

/// A link's settings in a family. The kernel tells all of them with the link, so that no file is read for each.
fn settings(link: &[u8], family: u8, array: u16, wanted: &[(usize, &str)]) -> Map<String, Value> {
    let find = |buffer, wanted: u16| {
        attributes(buffer).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
    };
    let values = find(link, AF_SPEC)
        .and_then(|families| find(families, family.into()))
        .and_then(|family| find(family, array))
        .unwrap_or_default();
    let value = |place: usize| {
        let bytes = values.chunks_exact(4).nth(place)?;
        Some(i32::from_ne_bytes(bytes.try_into().ok()?))
    };
    let known = wanted.iter().filter_map(|(place, name)| Some((*name, value(*place)?)));
    known.map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// `IFLA_STATS64`.
const STATS64: u16 = 23;

#[allow(clippy::too_many_lines, reason = "one line for each attribute")]
fn row<'a>(header: &Ifinfomsg, link: rt_link::IterableLinkAttrs<'_>, names: &'a Names) -> Link<'a> {
    let is_tunnel = matches!(header.ifi_type, 768 | 769 | 776 | 778 | 823);
    let buffer = link.get_buf();
    let mut row = Link {
        index: header.ifi_index,
        name: None,
        kind: None,
        r#type: Word(type_name(header.ifi_type), header.ifi_type.into()),
        flags: flags(header.ifi_flags, &FLAGS),
        operstate: None,
        mtu: None,
        mac: None,
        broadcast: None,
        permanent_mac: None,
        master: None,
        link: None,
        link_name: None,
        netnsid: None,
        qdisc: None,
        queue_length: None,
        carrier: None,
        carrier_changes: None,
        promiscuity: None,
        group: None,
        tx_queues: None,
        rx_queues: None,
        gso_max_bytes: None,
        gso_max_segments: None,
        min_mtu: None,
        max_mtu: None,
        alias: None,
        other_names: Vec::new(),
        parent_device: None,
        detail: None,
        port_of: None,
        port: None,
        ipv4: settings(buffer, INET, INET_CONF, &IPV4_SETTINGS),
        ipv6: settings(buffer, INET6, INET6_CONF, &IPV6_SETTINGS),
        statistics: attributes(buffer)
            .find(|(kind, _)| *kind == STATS64)
            .map(|(_, counters)| statistics(counters)),
    };
    for attribute in link.flatten() {
        match attribute {
            LinkAttrs::Ifname(name) => row.name = Some(text(name)),
            LinkAttrs::Operstate(state) => {
                row.operstate = Some(Word(operstate_name(state), state.into()));
            }
            LinkAttrs::Mtu(mtu) => row.mtu = Some(mtu),
            LinkAttrs::Address(bytes) => row.mac = hardware(bytes, is_tunnel),
            LinkAttrs::Broadcast(bytes) => row.broadcast = hardware(bytes, is_tunnel),
            LinkAttrs::PermAddress(bytes) => row.permanent_mac = hardware(bytes, is_tunnel),
            LinkAttrs::Master(index) => row.master = names.of(index),
            LinkAttrs::Link(index) => row.link = Some(index).filter(|index| *index != 0),
            LinkAttrs::LinkNetnsid(id) => row.netnsid = Some(id),
            LinkAttrs::Qdisc(name) => row.qdisc = Some(text(name)),
            LinkAttrs::Txqlen(length) => row.queue_length = Some(length),
            LinkAttrs::Carrier(on) => row.carrier = Some(on != 0),
            LinkAttrs::CarrierChanges(count) => row.carrier_changes = Some(count),
            LinkAttrs::Promiscuity(count) => row.promiscuity = Some(count),
            LinkAttrs::Group(group) => row.group = Some(group),
            LinkAttrs::NumTxQueues(count) => row.tx_queues = Some(count),
            LinkAttrs::NumRxQueues(count) => row.rx_queues = Some(count),
            LinkAttrs::GsoMaxSize(bytes) => row.gso_max_bytes = Some(bytes),
            LinkAttrs::GsoMaxSegs(count) => row.gso_max_segments = Some(count),
            LinkAttrs::MinMtu(mtu) => row.min_mtu = Some(mtu),
            LinkAttrs::MaxMtu(mtu) => row.max_mtu = Some(mtu),
            LinkAttrs::Ifalias(alias) => row.alias = Some(text(alias)),
            LinkAttrs::ParentDevName(name) => row.parent_device = Some(text(name)),
            LinkAttrs::PropList(list) => {
                let other = list.flatten().map(|PropListLinkAttrs::AltIfname(name)| text(name));
                row.other_names.extend(other);
            }
            LinkAttrs::Linkinfo(info) => kind(&mut row, info, names),
            _ => {}
        }
    }
    // The other end of a link into another namespace has its index there.
    if row.netnsid.is_none() {
        row.link_name = row.link.and_then(|index| names.of(index));
    }
    row
}

/// `IFLA_INFO_DATA` and `IFLA_INFO_SLAVE_DATA`.
const DATA: u16 = 2;
const PORT_DATA: u16 = 5;

fn kind(row: &mut Link, info: rt_link::IterableLinkinfoAttrs<'_>, names: &Names) {
    // The bindings know only some kinds.
    let buffer = info.get_buf();
    let value = |wanted| attributes(buffer).find(|(kind, _)| *kind == wanted);
    for attribute in info.flatten() {
        match attribute {
            LinkinfoAttrs::Kind(name) => {
                let name = text(name);
                row.detail = value(DATA).and_then(|(_, data)| detail::of(&name, data, names));
                row.kind = Some(name);
            }
            LinkinfoAttrs::SlaveKind(name) => {
                let name = text(name);
                row.port = value(PORT_DATA).and_then(|(_, data)| detail::of_port(&name, data));
                row.port_of = Some(name);
            }
            _ => {}
        }
    }
}

/// `struct rtnl_link_stats64`, which grows with the kernel: what an older one does not count is not there.
fn statistics(counters: &[u8]) -> Map<String, Value> {
    const NAMES: [&str; 25] = [
        "rx_packets",
        "tx_packets",
        "rx_bytes",
        "tx_bytes",
        "rx_errors",
        "tx_errors",
        "rx_dropped",
        "tx_dropped",
        "multicast",
        "collisions",
        "rx_length_errors",
        "rx_over_errors",
        "rx_crc_errors",
        "rx_frame_errors",
        "rx_fifo_errors",
        "rx_missed_errors",
        "tx_aborted_errors",
        "tx_carrier_errors",
        "tx_fifo_errors",
        "tx_heartbeat_errors",
        "tx_window_errors",
        "rx_compressed",
        "tx_compressed",
        "rx_nohandler",
        "rx_otherhost_dropped",
    ];
    let counters = counters.chunks_exact(8).map(|counter| number(counter).into());
    NAMES.into_iter().map(str::to_owned).zip(counters).collect()
}
