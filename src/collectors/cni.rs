//! The container network interface: which configuration the runtime takes, and which plugins are there.

use std::borrow::Cow;

use crate::cni::credentials;

use super::{Artifact, Collector, Rows, Source, Tree};

pub(super) const COLLECTOR: Collector = Collector {
    name: "cni",
    about: "CNI configuration and plugins",
    artifacts: &[
        listing("cni/plugins", "/opt/cni/bin"),
        listing("cni/configurations", "/etc/cni/net.d"),
        // Where else runtimes are told to look for plugins.
        listing("cni/plugins_lib", "/var/lib/cni/bin"),
        listing("cni/plugins_home", "/home/kubernetes/bin"),
        listing("cni/plugins_k3s", "/var/lib/rancher/k3s/data/current/bin"),
        listing("cni/plugins_k3s_cni", "/var/lib/rancher/k3s/data/cni"),
        listing("cni/plugins_microk8s", "/var/snap/microk8s/current/opt/cni/bin"),
        listing("cni/plugins_debian", "/usr/lib/cni"),
        Artifact::new(Cow::Borrowed(credentials::PATH), Source::CniCredentials),
    ],
    trees: &[
        Tree::new("/etc/cni/net.d", NET_D),
        Tree::new("/etc/cni/net.d/calico-tls", &["*"]).credential(),
        // Where distributions put it: k3s, MicroK8s, OpenShift.
        Tree::new("/var/lib/rancher/k3s/agent/etc/cni/net.d", NET_D),
        Tree::new("/var/snap/microk8s/current/args/cni-network", NET_D),
        Tree::new("/etc/kubernetes/cni/net.d", NET_D),
        RESULTS,
    ],
    more: |_| Rows::default(),
};

/// What libcni remembers of each pod's interface ([`crate::cni_cache`]); a file for each.
pub(super) const RESULTS: Tree = Tree::new("/var/lib/cni/results", &["*"]);

const fn listing(name: &'static str, folder: &'static str) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Listing(Cow::Borrowed(folder)))
}

/// What a runtime reads of such a folder, and the kubeconfig that Calico's plugin uses.
const NET_D: &[&str] =
    &["*.conf", "*.conflist", "*.json", "calico-kubeconfig", "*.kubeconfig", "*/*kubeconfig"];
