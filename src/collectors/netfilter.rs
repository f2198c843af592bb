//! Packet filter, sets and connection tracking.
//!
//! Asking must load no kernel module: `iptables-legacy-save` makes a table for each one that it looks at, so it
//! is run only where `/proc/net/ip_tables_names` names one; nftables, ipset and conntrack are asked only where
//! their module is there already.

use std::borrow::Cow;

use super::{Artifact, Collector, Node, Rows, Source, conntrack};
use crate::host::netlink::{Dump, SetTypes};
use crate::packet_filter::lock;

/// The tables of legacy iptables that are in use, one a line; absent where the module is.
pub(super) const LEGACY_NAMES: Artifact = Artifact::file("/proc/net/ip_tables_names").public();
/// The same for IPv6.
pub(super) const LEGACY_NAMES6: Artifact = Artifact::file("/proc/net/ip6_tables_names").public();

/// Types of ipsets, as the kernel knows them.
pub const IPSET_TYPES: &str = "netfilter/ipset_types.json";

pub(super) const COLLECTOR: Collector = Collector {
    name: "netfilter",
    about: "iptables of both back ends, nftables, ipsets, connection tracking",
    artifacts: &[
        LEGACY_NAMES,
        LEGACY_NAMES6,
        Artifact::file("/proc/net/ip_tables_matches").public(),
        Artifact::file("/proc/net/ip_tables_targets").public(),
        Artifact::file("/proc/net/ip6_tables_matches").public(),
        Artifact::file("/proc/net/ip6_tables_targets").public(),
        conntrack::PROC_ROW,
        conntrack::MODES_ROW,
        Artifact::file("/proc/net/stat/synproxy").public(),
        Artifact::file("/proc/net/nf_conntrack_expect").public(),
        Artifact::file("/proc/net/netfilter/nf_log").public(),
        Artifact::file("/proc/sys/net/nf_conntrack_max").public(),
        Artifact::new(Cow::Borrowed(lock::PATH), Source::XtablesLock).public(),
    ],
    trees: &[],
    more,
};

fn more(node: &Node) -> Rows {
    let mut artifacts = Vec::new();
    if node.is_loaded("nf_tables") {
        artifacts.extend([
            // Where only `iptables-save` is there, it may be the legacy one.
            if node.legacy_iptables {
                Artifact::command("ipv4_tables", "iptables-nft-save -c | iptables-save -c")
            } else {
                Artifact::command("ipv4_tables", "iptables-nft-save -c")
            },
            if node.legacy_ip6tables {
                Artifact::command("ipv6_tables", "ip6tables-nft-save -c | ip6tables-save -c")
            } else {
                Artifact::command("ipv6_tables", "ip6tables-nft-save -c")
            },
            Artifact::command("nft_ruleset", "nft -n -a list ruleset"),
            netlink("netfilter/nftables.json", Dump::Nftables).at_most(64 << 20),
        ]);
    }
    if node.legacy_iptables {
        artifacts.push(Artifact::command(
            "netfilter/ipv4_tables_legacy",
            "iptables-legacy-save -c | iptables-save -c",
        ));
    }
    if node.legacy_ip6tables {
        artifacts.push(Artifact::command(
            "netfilter/ipv6_tables_legacy",
            "ip6tables-legacy-save -c | ip6tables-save -c",
        ));
    }
    if node.is_loaded("ip_set") {
        artifacts.extend([
            Artifact::command("ipsets", "ipset list"),
            netlink("netfilter/ipsets.json", Dump::Ipsets),
        ]);
        let types = SetTypes::with(|module| node.is_loaded(module));
        artifacts.push(netlink(IPSET_TYPES, Dump::IpsetTypes(types)));
    }
    if node.is_loaded("nf_conntrack") {
        artifacts.push(Artifact::command("netfilter/conntrack_stats", "conntrack -S").public());
        artifacts.extend(conntrack::counters(node, Some(conntrack::TOP_ROWS)));
        if node.is_loaded("nf_conntrack_netlink") {
            artifacts.push(
                netlink("netfilter/conntrack.json", Dump::Conntrack).public().at_most(64 << 20),
            );
        } else {
            // The same table as text. To walk it costs the kernel as much again, so that it is not asked for both.
            artifacts.push(Artifact::file("/proc/net/nf_conntrack").public().at_most(64 << 20));
        }
    }
    artifacts.extend(conntrack::kube_proxy(node));
    Rows { artifacts, trees: Vec::new() }
}

/// One of the kernel's tables, asked where the module that has it is there.
const fn netlink(name: &'static str, dump: Dump) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Netlink(dump))
}
