//! Calico's resources as the datastore has them: what a bundle keeps as `datastore/nodes.json` and beside it.
//!
//! ```json
//! {"source": "https://10.0.0.1:2379/calico/resources/v3/projectcalico.org/nodes/", "truncated": false, "unreadable": 0,
//!  "items": [{"kind": "Node", "metadata": {"name": "node-1"},
//!    "spec": {"bgp": {"ipv4Address": "10.0.0.1/24", "asNumber": 64512}}}]}
//! ```
//!
//! With Kubernetes a node is the API's own, cut down to its name, labels, addresses and Calico's annotations:
//!
//! ```json
//! {"metadata": {"name": "node-1", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}},
//!  "spec": {"podCIDRs": ["10.244.0.0/24"]}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The AS of a cluster that does not say otherwise (`libcalico-go`).
pub const DEFAULT_AS: u32 = 64_512;

/// The beginning of the names of Calico's annotations.
pub const ANNOTATION: &str = "projectcalico.org/";

/// A list of resources.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Where they are from.
    pub source: String,
    /// Whether there are more than were read.
    pub truncated: bool,
    /// How many were no JSON.
    pub unreadable: u64,
    /// The resources.
    pub items: Vec<Value>,
}

/// A node, as far as BGP is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its IPv4 address for BGP, without the length of the network's prefix.
    pub ipv4: Option<String>,
    /// Its IPv6 address for BGP.
    pub ipv6: Option<String>,
    /// Its AS, where it is not the cluster's.
    pub autonomous_system: Option<u32>,
    /// It is a route reflector of this cluster id, and so not part of the mesh.
    pub cluster_id: Option<String>,
    /// Its labels, by which peers may be selected.
    pub labels: serde_json::Map<String, Value>,
}

/// What holds for the BGP of the whole cluster, or of one node (`node.<name>`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BgpConfiguration {
    /// `default`, or `node.` and the node's name.
    pub name: String,
    /// Whether each node has a session with each other.
    pub mesh: Option<bool>,
    /// The AS of nodes that have none of their own.
    pub autonomous_system: Option<u32>,
    /// The port on which nodes listen.
    pub listen_port: Option<u16>,
}

/// A peer beside the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BgpPeer {
    /// The resource's name.
    pub name: String,
    /// The one node that has this peer; `None`: all, or those selected.
    pub node: Option<String>,
    /// Selects the nodes that have this peer.
    pub node_selector: Option<String>,
    /// The peer's address, without a port.
    pub address: Option<String>,
    /// Selects the nodes that are the peers.
    pub peer_selector: Option<String>,
    /// The peer's AS.
    pub autonomous_system: Option<u32>,
}

/// A pool of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpPool {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub cidr: String,
    /// Whether packets are put into VXLAN: always, or across networks only.
    pub vxlan: bool,
    /// Whether packets are put into IP-in-IP.
    pub ipip: bool,
    /// Whether no more addresses are given out.
    pub is_disabled: bool,
}

impl List {
    /// The document in `bytes`; `None` if it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether all there are were read and understood, so that what is not in it is not there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        !self.truncated && self.unreadable == 0
    }

    /// The nodes among them.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.items.iter().filter_map(Node::of).collect()
    }

    /// The BGP configurations among them.
    #[must_use]
    pub fn bgp_configurations(&self) -> Vec<BgpConfiguration> {
        let read = |item: &Value| {
            let spec = &item["spec"];
            Some(BgpConfiguration {
                name: name(item)?,
                mesh: spec["nodeToNodeMeshEnabled"].as_bool(),
                autonomous_system: autonomous_system(&spec["asNumber"]),
                listen_port: spec["listenPort"].as_u64().and_then(|it| u16::try_from(it).ok()),
            })
        };
        self.items.iter().filter_map(read).collect()
    }

    /// The peers among them.
    #[must_use]
    pub fn bgp_peers(&self) -> Vec<BgpPeer> {
        let read = |item: &Value| {
            let spec = &item["spec"];
            Some(BgpPeer {
                name: name(item)?,
                node: text(&spec["node"]),
                node_selector: text(&spec["nodeSelector"]),
                address: text(&spec["peerIP"]).map(|address| without_port(&address).to_owned()),
                peer_selector: text(&spec["peerSelector"]),
                autonomous_system: autonomous_system(&spec["asNumber"]),
            })
        };
        self.items.iter().filter_map(read).collect()
    }

    /// The pools among them.
    #[must_use]
    pub fn ip_pools(&self) -> Vec<IpPool> {
        let read = |item: &Value| {
            let spec = &item["spec"];
            let is_on = |mode: &Value| mode.as_str().is_some_and(|mode| mode != "Never");
            Some(IpPool {
                name: name(item)?,
                cidr: text(&spec["cidr"])?,
                vxlan: is_on(&spec["vxlanMode"]),
                ipip: is_on(&spec["ipipMode"]),
                is_disabled: spec["disabled"].as_bool().unwrap_or(false),
            })
        };
        self.items.iter().filter_map(read).collect()
    }

    /// The spec of the resource of a name, such as `default` or `node.node-1` among Felix's configurations.
    #[must_use]
    pub fn spec(&self, wanted: &str) -> Option<&Value> {
        let is_wanted = |item: &&Value| item["metadata"]["name"] == wanted;
        self.items.iter().find(is_wanted).map(|item| &item["spec"])
    }
}

impl Node {
    fn of(item: &Value) -> Option<Self> {
        let bgp = &item["spec"]["bgp"];
        let annotations = &item["metadata"]["annotations"];
        let told = |field: &str, annotation: &str| {
            let annotation = || text(&annotations[format!("{ANNOTATION}{annotation}")]);
            text(&bgp[field]).or_else(annotation)
        };
        let address = |field, annotation| {
            told(field, annotation).map(|cidr| without_prefix_length(&cidr).to_owned())
        };
        let in_annotation = || autonomous_system(&annotations[format!("{ANNOTATION}ASNumber")]);
        Some(Self {
            name: name(item)?,
            ipv4: address("ipv4Address", "IPv4Address"),
            ipv6: address("ipv6Address", "IPv6Address"),
            autonomous_system: autonomous_system(&bgp["asNumber"]).or_else(in_annotation),
            cluster_id: told("routeReflectorClusterID", "RouteReflectorClusterID"),
            labels: item["metadata"]["labels"].as_object().cloned().unwrap_or_default(),
        })
    }

    /// Its addresses for BGP.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        [&self.ipv4, &self.ipv6].into_iter().flatten().map(String::as_str)
    }
}

fn name(item: &Value) -> Option<String> {
    text(&item["metadata"]["name"])
}

/// A text that says something.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// An AS, as a number, as a text, or as `1.10` (RFC 5396).
fn autonomous_system(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => number.as_u64().and_then(|it| u32::try_from(it).ok()),
        Value::String(text) => match text.split_once('.') {
            Some((high, low)) => Some(
                u32::from(high.parse::<u16>().ok()?) << 16 | u32::from(low.parse::<u16>().ok()?),
            ),
            None => text.parse().ok(),
        },
        _ => None,
    }
}

fn without_prefix_length(cidr: &str) -> &str {
    cidr.split_once('/').map_or(cidr, |(address, _)| address)
}

/// The address in `10.0.0.9:1790` and `[fd00::9]:1790`.
fn without_port(peer: &str) -> &str {
    if let Some(rest) = peer.strip_prefix('[') {
        return rest.split_once(']').map_or(peer, |(address, _)| address);
    }
    match peer.split_once(':') {
        Some((address, port)) if !port.contains(':') => address,
        _ => peer,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(items: &Value) -> List {
        let document = json!({"source": "x", "items": items});
        List::parse(document.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_node_says_the_same_in_etcd_and_in_kubernetes() {
        let in_etcd = list(&json!([{
            "kind": "Node", "metadata": {"name": "node-1", "labels": {"rack": "a"}},
            "spec": {"bgp": {"ipv4Address": "10.0.0.1/24", "ipv6Address": "fd00::1/64", "asNumber": 64513,
                "routeReflectorClusterID": "1.0.0.1"}},
        }]));
        let in_kubernetes = list(&json!([{
            "metadata": {"name": "node-1", "labels": {"rack": "a"}, "annotations": {
                "projectcalico.org/IPv4Address": "10.0.0.1/24", "projectcalico.org/IPv6Address": "fd00::1/64",
                "projectcalico.org/ASNumber": "64513", "projectcalico.org/RouteReflectorClusterID": "1.0.0.1"}},
        }]));
        assert_eq!(in_etcd.nodes(), in_kubernetes.nodes());
        let node = &in_etcd.nodes()[0];
        assert_eq!(node.addresses().collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
        assert_eq!(
            (node.autonomous_system, node.cluster_id.as_deref()),
            (Some(64_513), Some("1.0.0.1"))
        );
    }

    #[test]
    fn a_node_without_an_address_is_a_node() {
        let nodes = list(&json!([{"metadata": {"name": "a"}}, {"metadata": {}}, 7, null])).nodes();
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes[0].addresses().count(), 0);
    }

    #[test]
    fn the_port_of_a_peer_is_not_its_address() {
        let peers = ["10.0.0.9:1790", "10.0.0.9", "[fd00::9]:1790", "fd00::9"].map(
            |peer| json!({"metadata": {"name": "p"}, "spec": {"peerIP": peer, "asNumber": "1.10"}}),
        );
        let peers = list(&json!(peers)).bgp_peers();
        let addresses: Vec<_> = peers.iter().filter_map(|peer| peer.address.as_deref()).collect();
        assert_eq!(addresses, ["10.0.0.9", "10.0.0.9", "fd00::9", "fd00::9"]);
        assert_eq!(peers[0].autonomous_system, Some(65_546));
    }

    #[test]
    fn the_modes_of_a_pool_are_off_unless_they_are_on() {
        let pools = list(&json!([
            {"metadata": {"name": "a"}, "spec": {"cidr": "10.1.0.0/16", "vxlanMode": "CrossSubnet"}},
            {"metadata": {"name": "b"}, "spec": {"cidr": "10.2.0.0/16", "vxlanMode": "Never", "ipipMode": "Always"}},
        ]))
        .ip_pools();
        assert_eq!((pools[0].vxlan, pools[0].ipip), (true, false));
        assert_eq!((pools[1].vxlan, pools[1].ipip), (false, true));
    }

    #[test]
    fn what_is_no_document_is_none_and_a_part_is_not_the_whole() {
        assert_eq!(List::parse(b"{\"items\": ["), None);
        assert!(!List { truncated: true, ..List::default() }.is_whole());
        assert!(!List { unreadable: 1, ..List::default() }.is_whole());
    }
}
