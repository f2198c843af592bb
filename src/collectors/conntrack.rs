//! What `check conntrack` rests on, and the collector of what is read a second time, so that rates can be told.

use std::borrow::Cow;

use super::{
    Artifact, Collector, Node, Rows, Source, Tree, cni, felix, kernel, logs, network, system,
};
use crate::bpf_maps;
use crate::host::netlink::Dump;
use crate::kube_proxy;
use crate::sysctl;

/// Rows of who fills the table that a bundle holds: as many as `--top` may ask for.
pub const TOP_ROWS: usize = 1000;

/// Counters, entries and limit as netlink tells them.
pub const STATS: &str = "netfilter/conntrack_stats.json";
/// The same once more.
pub const STATS_LATER: &str = "netfilter/conntrack_stats_later.json";
/// The counters that everybody may read.
pub const PROC: &str = "host/proc/net/stat/nf_conntrack";
/// The same once more.
pub const PROC_LATER: &str = "netfilter/conntrack_stat_later";
/// Who fills the table.
pub const TOP: &str = "netfilter/conntrack_top.json";
/// The same once more.
pub const TOP_LATER: &str = "netfilter/conntrack_top_later.json";
/// The settings, a file each.
pub const SETTINGS: &str = "host/proc/sys/net/netfilter";
/// Who may change them.
pub const MODES: &str = "netfilter/settings_modes";
/// The kernel's log.
pub const KERNEL_LOG: &str = "logs/kernel.log";
/// Routes, among them those to the pods of this node.
pub const ROUTES: &str = "network/routes.json";
/// The folders of the pods' logs, which are named after them.
pub const PODS: &str = "logs/pods_listing";
/// What is pinned of the eBPF dataplane.
pub const BPF_MAPS: &str = "felix/bpf_maps";
/// How large the maps of the eBPF dataplane are.
pub const BPF_SIZES: &str = "felix/bpf_maps.json";
/// What Felix counts.
pub const METRICS: &str = "felix/metrics";
/// What container runtimes remember of pods' interfaces.
pub const CNI_RESULTS: &str = "host/var/lib/cni/results";
/// The modules that are loaded.
pub const MODULES: &str = "host/proc/modules";
/// The kernel's release.
pub const RELEASE: &str = "host/proc/sys/kernel/osrelease";
/// The first process's name.
pub const INIT: &str = "host/proc/1/comm";
/// The table of processes.
pub const PROCESSES: &str = "processes.json";
/// A line for each CPU.
pub const CPUS: &str = "host/proc/stat";
/// The machine's memory.
pub const MEMINFO: &str = "host/proc/meminfo";
/// What the kernel's objects take.
pub const SLABINFO: &str = "host/proc/slabinfo";
/// Seconds since boot.
pub const UPTIME: &str = "host/proc/uptime";

/// Last, so that as much time as a run takes lies between both looks.
pub(super) const AGAIN: Collector = Collector {
    name: "rates",
    about: "counters of connection tracking and of links once more, so that rates can be told",
    artifacts: &[],
    trees: &[],
    more: |node| {
        let mut rows = later(node, Some(TOP_ROWS));
        rows.artifacts.extend(network::counters_later().artifacts);
        rows
    },
};

const fn netlink(name: &'static str, dump: Dump) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Netlink(dump)).public()
}

/// Whether the kernel can be asked without loading a module for it.
fn can_ask(node: &Node) -> bool {
    node.is_loaded("nf_conntrack") && node.is_loaded("nf_conntrack_netlink")
}

/// The counters, and so many rows of who fills the table if that is wanted, where the kernel can be asked.
#[must_use]
pub fn counters(node: &Node, top: Option<usize>) -> Vec<Artifact> {
    let mut artifacts = Vec::new();
    if can_ask(node) {
        artifacts.push(netlink(STATS, Dump::ConntrackStats));
        artifacts.extend(top.map(|rows| netlink(TOP, Dump::ConntrackTop { rows })));
    }
    artifacts
}

/// Who may change the settings: read-only in each network namespace but the first.
pub(super) const MODES_ROW: Artifact =
    Artifact::new(Cow::Borrowed(MODES), Source::Listing(Cow::Borrowed("/proc/sys/net/netfilter")))
        .public();

pub(super) const PROC_ROW: Artifact = Artifact::file("/proc/net/stat/nf_conntrack").public();

pub(super) const BPF_MAPS_ROW: Artifact = Artifact::new(
    Cow::Borrowed(BPF_MAPS),
    Source::Listing(Cow::Borrowed("/sys/fs/bpf/tc/globals")),
)
.public();

/// The tables of connections among the maps that are pinned, by the listing of their folder.
pub fn conntrack_maps(listing: &str) -> impl Iterator<Item = &str> {
    let names = listing.lines().filter_map(|line| line.split_ascii_whitespace().nth(5));
    names.filter(|name| bpf_maps::family(name).is_some())
}

/// The sizes of the maps, where there are any. calico-node's image has the program.
pub(super) fn bpf_sizes(node: &Node) -> Option<Artifact> {
    node.ebpf.then(|| Artifact::command(BPF_SIZES, "bpftool -j map show").public())
}

/// kube-proxy's configuration, where it was told to read one: in its own file system.
pub(super) fn kube_proxy(node: &Node) -> Option<Artifact> {
    let process = kube_proxy::find(&node.processes)?;
    let path = kube_proxy::config_path(&process.argv).filter(|path| path.starts_with('/'))?;
    let path = format!("/proc/{}/root{path}", process.pid);
    Some(Artifact::new(Cow::Borrowed(""), Source::File(Cow::Owned(path))))
}

/// The settings that are looked at: each costs more than the whole rest of a judgement.
const SETTINGS_READ: &[&str] = &[
    "nf_conntrack_buckets",
    "nf_conntrack_count",
    "nf_conntrack_max",
    "nf_conntrack_tcp_timeout_close_wait",
    "nf_conntrack_tcp_timeout_established",
    "nf_conntrack_udp_timeout",
    "nf_conntrack_udp_timeout_stream",
];

/// What is read for the check; `top` as of [`counters`].
#[must_use]
pub fn check(node: &Node, top: Option<usize>) -> Rows {
    let mut artifacts = counters(node, top);
    artifacts.extend([
        PROC_ROW,
        MODES_ROW,
        BPF_MAPS_ROW,
        kernel::LOG,
        kernel::UPTIME,
        kernel::MEMINFO,
        kernel::SLABINFO,
        kernel::STAT,
        kernel::SYSCTL_CONF,
        kernel::ETC_MODULES,
        system::INIT,
    ]);
    artifacts.extend(kube_proxy(node));
    if node.ebpf {
        artifacts.extend(bpf_sizes(node));
        artifacts.push(felix::metrics(node));
    }
    let mut trees = vec![Tree::new("/proc/sys/net/netfilter", SETTINGS_READ).public()];
    if top.is_some() {
        artifacts.extend([netlink(ROUTES, Dump::Routes).at_most(64 << 20), logs::PODS_LISTING]);
        trees.push(cni::RESULTS);
    }
    trees.extend(kernel::configuration());
    Rows { artifacts, trees }
}

/// What is read for the check a second time.
#[must_use]
pub fn later(node: &Node, top: Option<usize>) -> Rows {
    let file = Source::File(Cow::Borrowed("/proc/net/stat/nf_conntrack"));
    let mut artifacts = vec![Artifact::new(Cow::Borrowed(PROC_LATER), file).public()];
    if can_ask(node) {
        artifacts.push(netlink(STATS_LATER, Dump::ConntrackStats));
        artifacts.extend(top.map(|rows| netlink(TOP_LATER, Dump::ConntrackTop { rows })));
    }
    Rows { artifacts, trees: Vec::new() }
}

/// The folders in which it is written what the kernel's settings and modules are after a boot.
pub(super) fn folders() -> impl Iterator<Item = &'static str> {
    [sysctl::FOLDERS, sysctl::MODULE_FOLDERS, sysctl::OPTION_FOLDERS].into_iter().flatten()
}
