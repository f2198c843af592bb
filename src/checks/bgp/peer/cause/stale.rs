//! The datastore no longer has the peer: BIRD runs a session with a node that is gone, or has another address by now.

use serde_json::json;

use super::super::{Certainty, Verdict};
use super::Case;
use crate::checks::bgp::kernel::is_same;
use crate::datastore::resources::Node;
use crate::status::PeerType;

impl Case<'_> {
    /// The datastore's node that has the peer's address.
    pub(in super::super) fn node(&self) -> Option<&Node> {
        self.facts.cluster.node_with(self.address)
    }

    /// The AS that the peer is to have by the datastore.
    pub(in super::super) fn expected_as(&self) -> Option<u32> {
        self.facts.cluster.as_of(self.node()?)
    }

    /// Nobody has the peer's address by a list of all nodes.
    pub(super) fn stale(&self) -> Option<Verdict> {
        let cluster = &self.facts.cluster;
        if !cluster.is_whole || self.peer.address.is_none() || self.node().is_some() {
            return None;
        }
        match self.peer.kind {
            PeerType::Mesh => {}
            PeerType::Node | PeerType::Global => return self.no_peer(),
            PeerType::LocalWorkload | PeerType::Other => return None,
        }
        let count = cluster.nodes.as_ref().map_or(0, Vec::len);
        // A datastore that does not know this node may be that of another cluster.
        let own = self.facts.status.node.as_deref().unwrap_or_default();
        let is_known = cluster.node_called(own).is_some();
        let certainty = if is_known { Certainty::Certain } else { Certainty::Likely };
        let noted = self.session.and_then(|session| session.node.as_deref());
        let verdict = if let Some(node) = noted.and_then(|name| cluster.node_called(name)) {
            let addresses: Vec<&str> = node.addresses().collect();
            let now = if addresses.is_empty() {
                "no address".to_owned()
            } else {
                addresses.join(" and ")
            };
            let summary =
                format!("{} has changed its address: in the datastore it has {now}", node.name);
            Verdict::new("stale-node", certainty, summary)
                .fact("node", json!({"name": node.name, "addresses": addresses}))
        } else {
            let whose = noted.map_or(String::new(), |name| format!("it was {name}'s, and "));
            let summary = format!(
                "{whose}none of the {count} nodes of the datastore has this address any more"
            );
            Verdict::new("stale-node", certainty, summary)
                .fact("node", json!(noted.map(|name| json!({"name": name, "addresses": []}))))
        };
        Some(
            verdict
                .remedy("compare: calicoctl get nodes -o wide")
                .remedy("BIRD's configuration is older than the datastore: look at the logs of confd and Typha, and restart calico-node"),
        )
    }

    /// No `BGPPeer` has the peer's address, and no node that one might select.
    fn no_peer(&self) -> Option<Verdict> {
        let peers = self.facts.cluster.peers.as_ref()?;
        let is_peer = |address: &String| is_same(address, self.address);
        if peers.iter().filter_map(|peer| peer.address.as_ref()).any(is_peer) {
            return None;
        }
        let summary = "the datastore has no BGPPeer with this address any more, and no node either: BIRD runs an older configuration";
        Some(
            Verdict::likely("config-not-loaded", summary).remedy(
                "calicoctl get bgppeers -o wide; look at confd's log, and restart calico-node",
            ),
        )
    }
}
