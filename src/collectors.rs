//! What can be read of a node: tables of artifacts, one file a subject.
//!
//! A [`Collector`] is a subject. Its rows are known before the host is: files, folders, programs, questions.
//! What depends on the node (a row per daemon, per interface, per option) is a function that yields rows from a
//! [`Node`]. A new artifact is one row in its subject's table, and nothing else.

mod bird;
mod calico;
mod cni;
pub mod conntrack;
mod datastore;
mod felix;
pub mod kernel;
mod logs;
pub mod netfilter;
pub mod network;
mod networkmanager;
mod system;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::{Artifact, Evidence, Extent, Source, Tree};
use crate::processes::{self, Agent, Agents, Process};
use crate::status;

pub(crate) use kernel::SYSCTLS;
pub(crate) use system::{CHRONY, TIMEDATECTL};

/// A subject: what is read of it, and the name by which `--only` and `--skip` know it.
#[derive(Debug)]
pub struct Collector {
    /// Kebab-case and unique.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Rows that every host has.
    pub artifacts: &'static [Artifact],
    /// Folders, whose files become rows.
    pub trees: &'static [Tree],
    /// Rows that depend on the node.
    pub more: fn(&Node) -> Rows,
}

/// Rows that are known only once the node is.
#[derive(Debug, Default)]
pub struct Rows {
    /// Single artifacts.
    pub artifacts: Vec<Artifact>,
    /// Folders.
    pub trees: Vec<Tree>,
}

/// The collectors, in the order of worth: whatever ends a run early, the best is already there.
pub const COLLECTORS: &[Collector] = &[
    bird::COLLECTOR,
    felix::COLLECTOR,
    system::COLLECTOR,
    network::COLLECTOR,
    netfilter::COLLECTOR,
    calico::COLLECTOR,
    datastore::COLLECTOR,
    cni::COLLECTOR,
    networkmanager::COLLECTOR,
    kernel::COLLECTOR,
    logs::COLLECTOR,
    conntrack::AGAIN,
];

/// What rows depend on: a few facts of the node, and what the user asked for.
#[derive(Debug, Clone, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "they are facts that have nothing to do with each other"
)]
pub struct Node {
    /// The node's name as Calico knows it, else the host's; empty where neither can be read.
    pub name: String,
    /// The table of processes, as far as it could be read.
    pub processes: Vec<Process>,
    /// Interface names, from `/proc/net/dev`.
    pub interfaces: Vec<String>,
    /// Legacy iptables has tables in use (`/proc/net/ip_tables_names` is not empty), so that reading them loads
    /// no module.
    pub legacy_iptables: bool,
    /// The same for IPv6.
    pub legacy_ip6tables: bool,
    /// Names in `/proc/modules` and `/lib/modules/*/modules.builtin`; `None` where the kernel has no modules at
    /// all, so that nothing can be loaded by asking.
    pub modules: Option<Vec<String>>,
    /// The kernel's release, as `uname -r` says; empty where it cannot be read.
    pub release: String,
    /// Tables of connections of the eBPF dataplane are pinned.
    pub ebpf: bool,
    /// systemd is the first process, so that its tools have whom to ask.
    pub systemd: bool,
    /// Where Calico's log files are.
    pub log_dir: PathBuf,
    /// How far back logs are wanted.
    pub since: Option<Duration>,
    /// The most that is kept of a log file, in bytes.
    pub max_file_bytes: u64,
    /// calicoctl's configuration file.
    pub config: PathBuf,
    /// BGP peers that are down are not connected to.
    pub passive: bool,
    /// Files that hold the user's own credentials for the datastore: what `KUBECONFIG` and `ETCD_KEY_FILE` name.
    pub credentials: Vec<PathBuf>,
}

/// The most bytes of a file that holds one name: the kernel and Kubernetes allow a name some 250.
const NAME_BYTES: u64 = 4 << 10;

/// All rows of a subject on a node.
#[must_use]
pub fn rows(collector: &Collector, node: &Node) -> Rows {
    let Rows { artifacts, trees } = (collector.more)(node);
    Rows {
        artifacts: collector.artifacts.iter().cloned().chain(artifacts).collect(),
        trees: collector.trees.iter().cloned().chain(trees).collect(),
    }
}

/// Those of [`FIRST`] that tell which modules the kernel has.
pub const MODULES: &[Artifact] = &[kernel::MODULES, kernel::RELEASE];

/// What must be read before the rows are known.
pub const FIRST: &[Artifact] = &[
    system::AGENTS,
    network::INTERFACES,
    netfilter::LEGACY_NAMES,
    netfilter::LEGACY_NAMES6,
    system::INIT,
    kernel::MODULES,
    kernel::RELEASE,
    kernel::HOSTNAME,
    calico::NODENAME,
    conntrack::BPF_MAPS_ROW,
];

/// What must be read next: where it is depends on what was read first.
#[must_use]
pub fn then(evidence: &Evidence) -> Vec<Artifact> {
    kernel::builtin_modules(&release(evidence)).into_iter().collect()
}

fn release(evidence: &Evidence) -> String {
    let release = evidence.get(&kernel::RELEASE.path()).map(crate::host::Reading::text);
    let release = release.map(|release| release.trim().to_owned());
    release.filter(|release| kernel::is_release(release)).unwrap_or_default()
}

impl Node {
    /// A node of which nothing could be found out: no module is taken for loaded.
    #[must_use]
    pub fn unknown() -> Self {
        Self { modules: Some(Vec::new()), ..Self::default() }
    }

    /// The facts in `evidence` of the artifacts in [`FIRST`]. What could not be read is absent: it yields fewer
    /// rows, never wrong ones.
    #[must_use]
    pub fn from_evidence(evidence: &Evidence) -> Self {
        let text =
            |artifact: &Artifact| evidence.get(&artifact.path()).map(crate::host::Reading::text);
        let in_use = |artifact| text(artifact).is_some_and(|names| !names.trim().is_empty());
        let processes = evidence
            .get(&system::PROCESSES.path())
            .and_then(|reading| processes::parse(&reading.bytes).ok())
            .unwrap_or_default();
        // A `/proc` that shows processes only, or none at all, says nothing of modules.
        let has_modules = text(&kernel::RELEASE).is_none_or(|release| release.is_empty())
            || evidence
                .get(&kernel::MODULES.path())
                .is_none_or(|reading| reading.outcome != crate::host::Outcome::Missing);
        Self {
            name: status::node_name(evidence).0.unwrap_or_default(),
            processes,
            interfaces: text(&network::INTERFACES)
                .map(|table| network::interface_names(&table))
                .unwrap_or_default(),
            release: release(evidence),
            systemd: text(&system::INIT).is_some_and(|name| name.trim() == "systemd"),
            ebpf: text(&conntrack::BPF_MAPS_ROW)
                .is_some_and(|listing| conntrack::conntrack_maps(&listing).next().is_some()),
            legacy_iptables: in_use(&netfilter::LEGACY_NAMES),
            legacy_ip6tables: in_use(&netfilter::LEGACY_NAMES6),
            modules: has_modules.then(|| {
                let loaded = text(&kernel::MODULES).map(|table| kernel::module_names(&table));
                let builtin =
                    then(evidence).first().and_then(text).map(|list| kernel::builtin_names(&list));
                [loaded.unwrap_or_default(), builtin.unwrap_or_default()].concat()
            }),
            ..Self::default()
        }
    }

    /// Calico's processes.
    #[must_use]
    pub fn agents(&self) -> Agents<'_> {
        processes::find(&self.processes)
    }

    /// The process of one of Calico's daemons.
    fn agent(&self, agent: Agent) -> Option<&Process> {
        let agents = self.agents();
        match agent {
            Agent::Felix => agents.felix.process,
            Agent::Bird => agents.bird.process,
            Agent::Bird6 => agents.bird6.process,
            Agent::Confd => agents.confd.process,
        }
    }

    /// Whether a kernel feature can be asked for without loading the module that holds it.
    #[must_use]
    pub fn is_loaded(&self, module: &str) -> bool {
        self.modules.as_ref().is_none_or(|names| names.iter().any(|name| name == module))
    }
}

/// What `check networkmanager` rests on: all rows of its collector.
#[must_use]
pub fn networkmanager(node: &Node) -> Rows {
    rows(&networkmanager::COLLECTOR, node)
}

/// What calicoctl, with this configuration file, would reach the datastore by.
#[must_use]
pub fn environment(config: &Path) -> Artifact {
    calico::environment(config)
}

/// What the certificates say that are used here, also by calicoctl with this configuration file.
#[must_use]
pub fn certificates(config: &Path) -> Artifact {
    calico::certificates(config)
}

/// The links, their addresses and the rules, as the kernel has them.
#[must_use]
pub fn links() -> Vec<Artifact> {
    network::links()
}

/// Which modules are part of this node's kernel: what [`then`] asks for, once the node is known.
#[must_use]
pub fn builtin(node: &Node) -> Vec<Artifact> {
    kernel::builtin_modules(&node.release).into_iter().collect()
}

/// The rows that keep what they read at these paths, as far as this node has them.
#[must_use]
pub fn at(node: &Node, paths: &[&str]) -> Rows {
    let mut found = Rows::default();
    for collector in COLLECTORS {
        let Rows { artifacts, trees } = rows(collector, node);
        let is_wanted = |path: Cow<'_, str>| paths.contains(&path.as_ref());
        found.artifacts.extend(artifacts.into_iter().filter(|row| is_wanted(row.path())));
        found.trees.extend(trees.into_iter().filter(|tree| is_wanted(tree.path())));
    }
    found
}

/// What `check datastore` rests on: all rows of its collector.
#[must_use]
pub fn datastore(node: &Node) -> Vec<Artifact> {
    rows(&datastore::COLLECTOR, node).artifacts
}

/// How long a check waits for the datastore that can do without.
const BRIEFLY: Duration = Duration::from_secs(1);

/// The same rows, for a check that can do without the datastore: it is waited for a second at most.
#[must_use]
pub fn briefly(mut rows: Rows) -> Rows {
    for row in &mut rows.artifacts {
        if matches!(row.source, Source::Datastore { .. }) {
            row.max_time = Some(BRIEFLY);
        }
    }
    rows
}

/// A look at the BGP peers that are down; `connect`: also with a connection to each.
#[must_use]
pub fn probes(node: &Node, connect: bool) -> Artifact {
    bird::probes(node, connect)
}

/// The artifacts on which `node status` rests and that are known at once.
#[must_use]
pub fn status() -> Vec<Artifact> {
    [vec![calico::NODENAME, kernel::HOSTNAME], bird::status()].concat()
}

/// The processes among which Calico's daemons are, on which `node status` rests too.
pub const AGENTS: Artifact = system::AGENTS;

/// What `node status` asks of Felix: where it serves its health is in its environment.
#[must_use]
pub fn health(node: &Node) -> Vec<Artifact> {
    felix::health(node)
}

/// The artifacts on which the class Routes of a `CalicoNodeStatus` rests.
#[must_use]
pub fn routes() -> Vec<Artifact> {
    bird::routes()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::full as full_node;
