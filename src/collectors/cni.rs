//! The container network interface: which configuration the runtime takes, and which plugins are there.

use super::{Artifact, Collector, Rows, Tree};

pub(super) const COLLECTOR: Collector = Collector {
    name: "cni",
    about: "CNI configuration and plugins",
    artifacts: &[
        Artifact::command("cni/plugins", "ls -l /opt/cni/bin"),
        Artifact::command("cni/configurations", "ls -l --time-style=full-iso /etc/cni/net.d"),
    ],
    trees: &[
        Tree::new("/etc/cni/net.d", NET_D),
        Tree::new("/etc/cni/net.d/calico-tls", &["*"]).credential(),
        // Where distributions put it: k3s, MicroK8s, OpenShift.
        Tree::new("/var/lib/rancher/k3s/agent/etc/cni/net.d", NET_D),
        Tree::new("/var/snap/microk8s/current/args/cni-network", NET_D),
        Tree::new("/etc/kubernetes/cni/net.d", NET_D),
    ],
    more: |_| Rows::default(),
};

/// What a runtime reads of such a folder, and the kubeconfig that Calico's plugin uses.
const NET_D: &[&str] =
    &["*.conf", "*.conflist", "*.json", "calico-kubeconfig", "*.kubeconfig", "*/*kubeconfig"];
