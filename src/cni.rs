//! A network's configuration as a container runtime reads it, and the credentials that Calico's plugin uses
//! ([`credentials`]).
//!
//! ```text
//! {"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
//!   {"type": "calico", "datastore_type": "kubernetes", "mtu": 0, "nodename_file_optional": false,
//!    "ipam": {"type": "calico-ipam"}, "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}},
//!   {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}]}
//! ```
//!
//! A `.conflist` holds a list of plugins, a `.conf` or `.json` one of them (`libcni/conf.go` of
//! `containernetworking/cni`). Of all files in its folder the runtime takes the first, by the bytes of their names.

pub mod credentials;

use serde::Deserialize;
use serde_json::Value;

/// The folders in which runtimes look for configurations: the usual one, and those of distributions (k3s, `MicroK8s`,
/// `OpenShift`).
pub const FOLDERS: &[&str] = &[
    "/etc/cni/net.d",
    "/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "/var/snap/microk8s/current/args/cni-network",
    "/etc/kubernetes/cni/net.d",
];

/// A network: what is done for each pod, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// What makes it up, in order.
    pub plugins: Vec<Plugin>,
}

/// A program that is run for each pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Plugin {
    /// The name of its program.
    #[serde(default, rename = "type")]
    pub program: String,
    /// The MTU of pods' links; 0: what `/var/lib/calico/mtu` says.
    #[serde(default)]
    pub mtu: Option<Value>,
    /// The node's name; where there is none, the nodename file is read.
    #[serde(default)]
    pub nodename: Option<Value>,
    /// Where the nodename file is.
    #[serde(default)]
    pub nodename_file: Option<Value>,
    /// Whether it does without the nodename file.
    #[serde(default)]
    pub nodename_file_optional: Option<Value>,
    #[serde(default)]
    ipam: Value,
    #[serde(default)]
    kubernetes: Value,
    #[serde(default)]
    policy: Value,
}

impl Plugin {
    /// The program that gives addresses.
    #[must_use]
    pub fn ipam(&self) -> Option<&str> {
        self.ipam.get("type").and_then(Value::as_str).filter(|name| !name.is_empty())
    }

    /// The kubeconfig that it uses.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&str> {
        self.kubernetes.get("kubeconfig").and_then(Value::as_str).filter(|path| !path.is_empty())
    }

    /// A token that stands in the configuration itself, as very old manifests had it.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.policy.get("k8s_auth_token").and_then(Value::as_str).filter(|token| !token.is_empty())
    }
}

/// A file that is no configuration of a network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// It is no JSON, or its members are of other types.
    #[error("it is not valid JSON for a network: line {}, column {}", .0.line(), .0.column())]
    Json(#[from] serde_json::Error),
    /// It names no plugin.
    #[error("it names no plugin")]
    Empty,
}

impl Network {
    /// The network in a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, NetworkError> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            name: String,
            plugins: Option<Vec<Plugin>>,
        }
        let list: List = serde_json::from_slice(bytes)?;
        let plugins = match list.plugins {
            Some(plugins) => plugins,
            None => vec![serde_json::from_slice(bytes)?],
        };
        if plugins.is_empty() || plugins.iter().any(|plugin| plugin.program.is_empty()) {
            return Err(NetworkError::Empty);
        }
        Ok(Self { name: list.name, plugins })
    }

    /// Calico's own plugin.
    #[must_use]
    pub fn calico(&self) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.program == "calico")
    }

    /// All programs that are run.
    pub fn programs(&self) -> impl Iterator<Item = &str> {
        self.plugins
            .iter()
            .flat_map(|plugin| [Some(plugin.program.as_str()), plugin.ipam()])
            .flatten()
    }
}

/// Whether a runtime takes a file of this name for a configuration.
#[must_use]
pub fn is_configuration(name: &str) -> bool {
    let is_wanted = |extension: &str| matches!(extension, "conf" | "conflist" | "json");
    !name.contains('/') && name.rsplit_once('.').is_some_and(|(_, extension)| is_wanted(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
        {"type": "calico", "mtu": 0, "ipam": {"type": "calico-ipam"},
         "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}},
        {"type": "portmap", "snat": true}]}"#;

    #[test]
    fn a_list_names_its_programs_and_a_single_plugin_is_a_list_of_one() {
        let network = Network::parse(LIST.as_bytes()).unwrap();
        assert_eq!(network.programs().collect::<Vec<_>>(), ["calico", "calico-ipam", "portmap"]);
        let calico = network.calico().unwrap();
        assert_eq!(calico.kubeconfig(), Some("/etc/cni/net.d/calico-kubeconfig"));
        let single = Network::parse(br#"{"name": "lo", "type": "loopback"}"#).unwrap();
        assert_eq!((single.plugins.len(), single.calico()), (1, None));
    }

    #[test]
    fn what_is_no_network_says_where() {
        let told = |text: &str| Network::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(
            told(&LIST.replace("0,", "__CNI_MTU__,")).contains("line 2, column"),
            "{}",
            told("{")
        );
        for empty in [r#"{"plugins": []}"#, "{}", r#"{"plugins": [{"mtu": 1}]}"#] {
            assert_eq!(told(empty), "it names no plugin");
        }
    }

    #[test]
    fn a_runtime_reads_three_kinds_of_files() {
        let names = [
            "10-calico.conflist",
            "a.conf",
            "b.json",
            "calico-kubeconfig",
            "x.conf.bak",
            "d/e.conf",
        ];
        assert_eq!(names.map(is_configuration), [true, true, true, false, false, false]);
    }
}
