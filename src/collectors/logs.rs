//! Logs: Calico's own, those of its pods, and the journal. No container runtime is asked: the kubelet's files
//! under `/var/log/pods` are there also when it is broken.

use std::borrow::Cow;

use super::{Artifact, Collector, Node, Rows, Source, Tree};
use crate::host::Sensitivity;
use crate::logs;

pub(super) const COLLECTOR: Collector = Collector {
    name: "logs",
    about: "log files of Calico and its pods, journal of calico-node",
    artifacts: &[PODS_LISTING],
    trees: &[],
    more,
};

/// The names of the pods on this node: those of their folders.
pub(super) const PODS_LISTING: Artifact = Artifact::new(
    Cow::Borrowed("logs/pods_listing"),
    Source::Listing(Cow::Borrowed("/var/log/pods")),
);

/// Folders of `/var/log/pods` are named `NAMESPACE_POD_UID`; those of Calico and its operator are wanted.
const PODS: &[&str] = &["*calico*/**", "tigera-operator*/**"];

/// Where calico-node's log files are where nobody says otherwise.
const LOG_DIR: &str = "/var/log/calico";

fn more(node: &Node) -> Rows {
    let since = node.since.map(|span| format!(" --since=-{}s", span.as_secs())).unwrap_or_default();
    let journal = |name: &'static str, unit: &str| {
        let argv = format!("journalctl --unit={unit} --no-pager{since}");
        Artifact::new(Cow::Borrowed(name), Source::Command(Cow::Owned(argv)))
            .at_most(node.max_file_bytes)
    };
    let tree = |name: &'static str, folder: String, include: &'static [&'static str]| Tree {
        name: Cow::Borrowed(name),
        folder: Cow::Owned(folder),
        include: Cow::Borrowed(include),
        sensitivity: Sensitivity::Private,
        max_bytes: node.max_file_bytes,
    };
    let log_dir = if node.log_dir.is_absolute() {
        node.log_dir.display().to_string()
    } else {
        LOG_DIR.to_owned()
    };
    Rows {
        artifacts: vec![
            // The checks rest on it; it is read like the logs themselves, and before them.
            Artifact::new(Cow::Borrowed(logs::PATH), Source::Logs(Cow::Owned(log_dir.clone()))),
            journal("journalctl_calico_node", "calico-node.service"),
        ],
        trees: vec![
            tree("logs", log_dir, &["**"]),
            tree("logs/pods", "/var/log/pods".to_owned(), PODS),
        ],
    }
}
