//! What a link of a certain kind has of its own, as tables: attribute, name, how to read it.

use serde_json::{Map, Value};

use crate::host::netlink::attributes::{
    Names, attributes, hardware, hex, ip, network_number, number,
};

/// How a value is to be read.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// In the machine's order.
    Number,
    /// In network order.
    Network,
    /// 0 or not.
    Flag,
    /// There or not.
    Presence,
    /// An IP address; all zeros stand for none.
    Ip,
    /// The index of a link.
    Link,
    /// A hardware address.
    Mac,
    /// Two port numbers in network order.
    Ports,
    /// `struct ifla_bridge_id`: priority, then hardware address.
    BridgeId,
    /// An index into names.
    Word(&'static [&'static str]),
}

use Form::{BridgeId, Flag, Ip, Link, Mac, Network, Number, Ports, Presence, Word};

type Row = (u16, &'static str, Form);

const VXLAN: &[Row] = &[
    (1, "id", Number),
    (2, "group", Ip),
    (3, "link", Link),
    (4, "local", Ip),
    (5, "ttl", Number),
    (6, "tos", Number),
    (7, "learning", Flag),
    (8, "ageing_seconds", Number),
    (9, "limit", Number),
    (10, "source_ports", Ports),
    (11, "proxy", Flag),
    (12, "rsc", Flag),
    (13, "l2miss", Flag),
    (14, "l3miss", Flag),
    (15, "port", Network),
    (16, "group", Ip),
    (17, "local", Ip),
    (18, "udp_checksum", Flag),
    (19, "udp_zero_checksum6_tx", Flag),
    (20, "udp_zero_checksum6_rx", Flag),
    (23, "gbp", Presence),
    (25, "external", Flag),
    (26, "label", Network),
    (28, "ttl_inherit", Flag),
    (29, "df", Number),
    (30, "vnifilter", Flag),
];

/// `IFLA_IPTUN_*`: ipip, sit, ip6tnl.
const TUNNEL: &[Row] = &[
    (1, "link", Link),
    (2, "local", Ip),
    (3, "remote", Ip),
    (4, "ttl", Number),
    (5, "tos", Number),
    (6, "encapsulation_limit", Number),
    (9, "protocol", Number),
    (10, "path_mtu_discovery", Flag),
    (15, "udp_encapsulation", Number),
    (17, "udp_source_port", Network),
    (18, "udp_destination_port", Network),
    (19, "external", Presence),
    (20, "fwmark", Number),
];

const GRE: &[Row] = &[
    (1, "link", Link),
    (4, "input_key", Network),
    (5, "output_key", Network),
    (6, "local", Ip),
    (7, "remote", Ip),
    (8, "ttl", Number),
    (9, "tos", Number),
    (10, "path_mtu_discovery", Flag),
    (18, "external", Presence),
    (20, "fwmark", Number),
];

const GENEVE: &[Row] = &[
    (1, "id", Number),
    (2, "remote", Ip),
    (3, "ttl", Number),
    (4, "tos", Number),
    (5, "port", Network),
    (6, "external", Presence),
    (7, "remote", Ip),
    (8, "udp_checksum", Flag),
];

const VLAN_PROTOCOL: Form = Network;

const VLAN: &[Row] = &[(1, "id", Number), (5, "protocol", VLAN_PROTOCOL)];

const BRIDGE: &[Row] = &[
    (1, "forward_delay_ticks", Number),
    (2, "hello_time_ticks", Number),
    (3, "max_age_ticks", Number),
    (4, "ageing_time_ticks", Number),
    (5, "stp_state", Number),
    (6, "priority", Number),
    (7, "vlan_filtering", Flag),
    (8, "vlan_protocol", Network),
    (9, "group_forward_mask", Number),
    (10, "root_id", BridgeId),
    (11, "bridge_id", BridgeId),
    (12, "root_port", Number),
    (13, "root_path_cost", Number),
    (14, "topology_change", Flag),
    (20, "group_address", Mac),
    (22, "multicast_router", Number),
    (23, "multicast_snooping", Flag),
    (25, "multicast_querier", Flag),
    (36, "nf_call_iptables", Flag),
    (37, "nf_call_ip6tables", Flag),
    (38, "nf_call_arptables", Flag),
    (39, "vlan_default_pvid", Number),
    (48, "fdb_learned", Number),
    (49, "fdb_max_learned", Number),
];

const BOND_MODES: &[&str] = &[
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];

const BOND: &[Row] = &[
    (1, "mode", Word(BOND_MODES)),
    (2, "active_port", Link),
    (3, "miimon_milliseconds", Number),
    (4, "updelay_milliseconds", Number),
    (5, "downdelay_milliseconds", Number),
    (6, "use_carrier", Flag),
    (7, "arp_interval_milliseconds", Number),
    (11, "primary", Link),
    (
        14,
        "transmit_hash_policy",
        Word(&["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"]),
    ),
    (18, "min_links", Number),
    (21, "lacp_rate", Word(&["slow", "fast"])),
];

const VRF: &[Row] = &[(1, "table", Number)];

const TUN: &[Row] = &[
    (1, "owner", Number),
    (2, "group", Number),
    (3, "mode", Word(&["", "tun", "tap"])),
    (4, "packet_information", Flag),
    (5, "virtual_header", Flag),
    (6, "persistent", Flag),
    (7, "multi_queue", Flag),
];

const MACVLAN: &[Row] = &[(1, "mode", Number)];

const IPVLAN: &[Row] = &[(1, "mode", Word(&["l2", "l3", "l3s"])), (2, "flags", Number)];

const BRIDGE_PORT: &[Row] = &[
    (1, "state", Word(&["disabled", "listening", "learning", "forwarding", "blocking"])),
    (2, "priority", Number),
    (3, "cost", Number),
    (4, "hairpin", Flag),
    (5, "guard", Flag),
    (6, "protect", Flag),
    (7, "fast_leave", Flag),
    (8, "learning", Flag),
    (9, "unicast_flood", Flag),
    (10, "proxy_arp", Flag),
    (27, "multicast_flood", Flag),
    (32, "neighbour_suppression", Flag),
    (33, "isolated", Flag),
];

const BOND_PORT: &[Row] = &[
    (1, "state", Word(&["active", "backup"])),
    (2, "mii_status", Word(&["up", "going-down", "down", "going-back"])),
    (3, "link_failures", Number),
    (4, "permanent_mac", Mac),
    (5, "queue_id", Number),
    (6, "aggregator_id", Number),
];

/// The details of a link; `None` for a kind of which nothing is known.
pub(super) fn of(kind: &str, data: &[u8], names: &Names) -> Option<Map<String, Value>> {
    let rows = match kind {
        "vxlan" => VXLAN,
        "ipip" | "sit" | "ip6tnl" => TUNNEL,
        "gre" | "gretap" | "ip6gre" | "ip6gretap" => GRE,
        "geneve" => GENEVE,
        "vlan" => VLAN,
        "bridge" => BRIDGE,
        "bond" => BOND,
        "vrf" => VRF,
        "tun" => TUN,
        "macvlan" | "macvtap" => MACVLAN,
        "ipvlan" | "ipvtap" => IPVLAN,
        _ => return None,
    };
    Some(read(rows, data, names))
}

/// The details of a link as a port of a master of some kind.
pub(super) fn of_port(kind: &str, data: &[u8]) -> Option<Map<String, Value>> {
    let rows = match kind {
        "bridge" => BRIDGE_PORT,
        "bond" => BOND_PORT,
        _ => return None,
    };
    Some(read(rows, data, &Names::default()))
}

fn read(rows: &[Row], data: &[u8], names: &Names) -> Map<String, Value> {
    let mut detail = Map::new();
    for (kind, value) in attributes(data) {
        let Some((_, name, form)) = rows.iter().find(|(wanted, ..)| *wanted == kind) else {
            continue;
        };
        detail.insert((*name).to_owned(), form.read(value, names));
    }
    detail
}

impl Form {
    /// `null` where the value does not have this form.
    fn read(self, value: &[u8], names: &Names) -> Value {
        let index = |value| number(value).and_then(|number| u32::try_from(number).ok());
        match self {
            Number => number(value).into(),
            Network => network_number(value).into(),
            Flag => number(value).map(|number| number != 0).into(),
            Presence => true.into(),
            Ip => ip(value)
                .filter(|address| !address.is_unspecified())
                .map(|address| address.to_string())
                .into(),
            Link => index(value).and_then(|index| names.of(index)).into(),
            Mac => hardware(value, false).into(),
            Ports => match *value {
                [a, b, c, d] => vec![u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])].into(),
                _ => Value::Null,
            },
            BridgeId => match value {
                [a, b, mac @ ..] => hardware(mac, false)
                    .map(|mac| format!("{:04x}.{mac}", u16::from_be_bytes([*a, *b])))
                    .into(),
                _ => Value::Null,
            },
            Word(words) => {
                let word = index(value).and_then(|index| words.get(index as usize));
                word.map_or_else(|| hex(value).into(), |word| (*word).into())
            }
        }
    }
}
