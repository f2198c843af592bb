//! Links, addresses, routes, neighbours and sockets, as the kernel has them.

use std::borrow::Cow;

use super::{Artifact, Collector, Node, Rows, Source};
use crate::host::netlink::{Dump, Protocols};

/// The kernel's table of interfaces.
pub(super) const INTERFACES: Artifact = Artifact::file("/proc/net/dev").public();

/// The same once more, so that it is seen what came between.
#[must_use]
pub fn counters_later() -> Rows {
    let file = Source::File(Cow::Borrowed("/proc/net/dev"));
    let artifacts = vec![Artifact::new(Cow::Borrowed("network/dev_later"), file).public()];
    Rows { artifacts, trees: Vec::new() }
}

pub(super) const COLLECTOR: Collector = Collector {
    name: "network",
    about: "links, addresses, routes of all tables, rules, neighbours, sockets",
    artifacts: &[
        netlink("network/links.json", Dump::Links),
        netlink("network/addresses.json", Dump::Addresses).public(),
        netlink("network/routes.json", Dump::Routes).public().at_most(64 << 20),
        netlink("network/rules.json", Dump::Rules).public(),
        netlink("network/neighbours.json", Dump::Neighbours).public(),
        netlink("network/fdb.json", Dump::Fdb).public(),
        netlink("network/qdiscs.json", Dump::Qdiscs).public(),
        netlink("network/features.json", Dump::Features).public(),
        Artifact::command("ipv4_route", "ip -4 route").public(),
        Artifact::command("ipv6_route", "ip -6 route").public(),
        Artifact::command("ipv4_addr", "ip -4 addr").public(),
        Artifact::command("ipv6_addr", "ip -6 addr").public(),
        Artifact::command("network/ipv4_rule", "ip -4 -details rule").public(),
        Artifact::command("network/ipv6_rule", "ip -6 -details rule").public(),
        Artifact::command("network/ipv4_route_all", "ip -4 -details route show table all").public(),
        Artifact::command("network/ipv6_route_all", "ip -6 -details route show table all").public(),
        Artifact::command("network/links", "ip -details -statistics link"),
        Artifact::command("network/neighbours", "ip -statistics neighbour").public(),
        Artifact::command("network/bridge_fdb", "bridge -statistics fdb").public(),
        Artifact::command("network/qdiscs", "tc -statistics qdisc").public(),
        Artifact::command("network/xfrm_policy", "ip xfrm policy").public(),
        Artifact::command("network/netns", "ip netns list").public(),
        Artifact::command("network/wireguard", "wg show"),
        Artifact::command("ss", "ss -a -n | netstat -a -n").public(),
        Artifact::command("network/ss_owners", "ss -tuanpei"),
        INTERFACES,
        Artifact::file("/proc/net/route").public(),
        Artifact::file("/proc/net/ipv6_route").public(),
        Artifact::file("/proc/net/if_inet6").public(),
        Artifact::file("/proc/net/arp").public(),
        Artifact::file("/proc/net/snmp").public(),
        Artifact::file("/proc/net/snmp6").public(),
        Artifact::file("/proc/net/netstat").public(),
        Artifact::file("/proc/net/sockstat").public(),
        Artifact::file("/proc/net/sockstat6").public(),
        Artifact::file("/proc/net/softnet_stat").public(),
        Artifact::file("/proc/net/tcp").public(),
        Artifact::file("/proc/net/tcp6").public(),
        Artifact::file("/proc/net/udp").public(),
        Artifact::file("/proc/net/udp6").public(),
        Artifact::file("/proc/net/raw").public(),
        Artifact::file("/proc/net/stat/arp_cache").public(),
        Artifact::file("/proc/net/stat/ndisc_cache").public(),
        Artifact::file("/proc/net/stat/rt_cache").public(),
    ],
    trees: &[],
    more,
};

/// Links, addresses and rules: by them it is told whose an interface is.
pub(super) fn links() -> Vec<Artifact> {
    vec![
        netlink("network/links.json", Dump::Links),
        netlink("network/addresses.json", Dump::Addresses).public(),
        netlink("network/rules.json", Dump::Rules).public(),
    ]
}

/// One of the kernel's tables, as it tells it to whoever asks.
const fn netlink(name: &'static str, dump: Dump) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Netlink(dump))
}

/// Calico's own devices, whose checksum offload is a classic fault, and the tunnel that a kernel makes for them.
const TUNNELS: [&str; 5] =
    ["vxlan.calico", "vxlan-v6.calico", "tunl0", "wireguard.cali", "wg-v6.cali"];

fn more(node: &Node) -> Rows {
    let tunnels = node.interfaces.iter().filter(|name| TUNNELS.contains(&name.as_str()));
    let artifacts = tunnels.map(|name| {
        let argv = format!("ethtool --show-features {name}");
        Artifact::new(
            Cow::Owned(format!("network/ethtool_features/{name}")),
            Source::Command(Cow::Owned(argv)),
        )
        .public()
    });
    let mut artifacts: Vec<Artifact> = artifacts.collect();
    // Whoever asks for the sockets of a protocol makes the kernel load the module that lists them.
    let protocols = Protocols {
        tcp: node.is_loaded("tcp_diag"),
        udp: node.is_loaded("udp_diag"),
        raw: node.is_loaded("raw_diag"),
    };
    if node.is_loaded("inet_diag") && (protocols.tcp || protocols.udp || protocols.raw) {
        artifacts.push(netlink("network/sockets.json", Dump::Sockets(protocols)).public());
    }
    if node.is_loaded("wireguard") {
        artifacts.push(netlink("network/wireguard.json", Dump::Wireguard));
    }
    Rows { artifacts, trees: Vec::new() }
}

/// The names in `/proc/net/dev`:
///
/// ```text
/// Inter-|   Receive                                                |  Transmit
///  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
///     lo: 5880      70    0    0    0     0          0         0     5880      70    0    0
/// ```
pub(super) fn interface_names(table: &str) -> Vec<String> {
    let names = table.lines().filter_map(|line| Some(line.rsplit_once(": ")?.0.trim().to_owned()));
    names.collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn interface_names_are_those_before_the_counters() {
        let table = "Inter-|   Receive |  Transmit\n face |bytes    packets|bytes\n    lo: 5880 70\nvxlan.calico: 1 2\n";
        assert_eq!(super::interface_names(table), ["lo", "vxlan.calico"]);
    }
}
