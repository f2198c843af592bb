//! Calico's own files on the host: what calicoctl, Felix and the CNI plugin read and leave there.

use std::borrow::Cow;
use std::path::Path;

use crate::certificates;
use crate::datastore::environment;
use crate::datastore::settings::DEFAULT_PATH;

use super::{Artifact, Collector, NAME_BYTES, Node, Rows, Source, Tree};

/// The node's name as Calico knows it, written by calico-node when it has started.
pub(super) const NODENAME: Artifact =
    Artifact::file("/var/lib/calico/nodename").at_most(NAME_BYTES);

pub(super) const COLLECTOR: Collector = Collector {
    name: "calico",
    about: "Calico's configuration and state files on the host",
    artifacts: &[
        NODENAME,
        Artifact::file("/var/lib/calico/mtu"),
        Artifact::file("/var/lib/calico/shutdownTS"),
    ],
    trees: &[Tree::new(
        "/etc/calico",
        // confd's output is on the host where Calico runs without a container.
        &["*.cfg", "*.yaml", "*.yml", "*.json", "*.conf", "confd/config/*.cfg"],
    )],
    more,
};

/// What calicoctl, with this configuration file, would reach the datastore by.
pub(super) fn environment(config: &Path) -> Artifact {
    let config = if config.as_os_str().is_empty() { Path::new(DEFAULT_PATH) } else { config };
    let source = Source::Environment { config: config.to_owned() };
    Artifact::new(Cow::Borrowed(environment::PATH), source)
}

/// What the certificates say that are used here, also by calicoctl with this configuration file.
pub(super) fn certificates(config: &Path) -> Artifact {
    let config = if config.as_os_str().is_empty() { Path::new(DEFAULT_PATH) } else { config };
    let source = Source::Certificates { config: config.to_owned() };
    Artifact::new(Cow::Borrowed(certificates::PATH), source)
}

/// Credentials in the container of calico-node: its API token, and its key for Typha or etcd.
const CONTAINED: [&str; 3] = [
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "/node-certs/tls.key",
    "/calico-secrets/etcd-key",
];

fn more(node: &Node) -> Rows {
    let file = |path: String| Artifact::new(Cow::Borrowed(""), Source::File(Cow::Owned(path)));
    let mut artifacts = vec![environment(&node.config), certificates(&node.config)];
    // The default file is in the folder above.
    if node.config.is_absolute() && !node.config.starts_with("/etc/calico") {
        artifacts.push(file(node.config.display().to_string()));
    }
    for path in &node.credentials {
        artifacts.push(file(path.display().to_string()).credential());
    }
    let agents = node.agents();
    let daemons = [&agents.felix, &agents.confd, &agents.bird, &agents.bird6];
    for process in daemons.into_iter().filter_map(|sighting| sighting.process) {
        artifacts.push(file(format!("/proc/{}/environ", process.pid)).credential());
    }
    if let Some(felix) = agents.felix.process {
        let contained = CONTAINED.map(|path| file(format!("/proc/{}/root{path}", felix.pid)));
        artifacts.extend(contained.map(Artifact::credential));
    }
    Rows { artifacts, trees: Vec::new() }
}
