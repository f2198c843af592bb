//! Calico's own files on the host: what calicoctl, Felix and the CNI plugin read and leave there.

use std::borrow::Cow;

use super::{Artifact, Collector, Rows, Source, Tree};

/// The node's name as Calico knows it, written by calico-node when it has started.
pub(super) const NODENAME: Artifact = Artifact::file("/var/lib/calico/nodename");

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
    more: |node| {
        // The default file is in the folder above.
        if node.config.starts_with("/etc/calico") || node.config.as_os_str().is_empty() {
            return Rows::default();
        }
        let path = node.config.display().to_string();
        let artifact = Artifact::new(Cow::Borrowed(""), Source::File(Cow::Owned(path)));
        Rows { artifacts: vec![artifact], trees: Vec::new() }
    },
};
