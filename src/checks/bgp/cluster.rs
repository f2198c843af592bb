//! What the datastore says of the cluster's BGP, where it could be asked: which nodes there are and with which
//! addresses, whether there is a mesh, which AS is expected.

use serde_json::json;

use super::facts::Facts;
use super::kernel::{address, is_same};
use crate::checks::{Finding, Level};
use crate::datastore::Resource;
use crate::datastore::resources::{BgpConfiguration, BgpPeer, DEFAULT_AS, IpPool, List, Node};
use crate::host::{Evidence, Family, Outcome};
use crate::status::{FamilyStatus, PeerType, State};

const ID: &str = "bgp.datastore";

/// At most so many nodes are named in a sentence.
const NAMED: usize = 5;

/// What the datastore says; `None` where it was not told.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) nodes: Option<Vec<Node>>,
    /// Whether these are all.
    pub(super) is_whole: bool,
    configurations: Option<Vec<BgpConfiguration>>,
    pub(super) peers: Option<Vec<BgpPeer>>,
    pools: Option<Vec<IpPool>>,
    /// Why there is nothing.
    why: String,
}

impl Cluster {
    pub(super) fn read(evidence: &Evidence) -> Self {
        let list = |resource: Resource| {
            let reading = evidence.get(resource.path())?;
            matches!(reading.outcome, Outcome::Ok | Outcome::Truncated)
                .then(|| List::parse(&reading.bytes))?
        };
        let nodes = list(Resource::Nodes);
        let why = evidence.get(Resource::Nodes.path()).map_or("it was not asked", |reading| {
            reading.reason.as_deref().unwrap_or("its answer is not understood")
        });
        // Only a whole list of peers says which there are not.
        let peers = list(Resource::BgpPeers).filter(List::is_whole);
        Self {
            is_whole: nodes.as_ref().is_some_and(List::is_whole),
            nodes: nodes.map(|list| list.nodes()),
            configurations: list(Resource::BgpConfigurations).map(|list| list.bgp_configurations()),
            peers: peers.map(|list| list.bgp_peers()),
            pools: list(Resource::IpPools).map(|list| list.ip_pools()),
            why: why.to_owned(),
        }
    }

    /// The node that has an address.
    pub(super) fn node_with(&self, address: &str) -> Option<&Node> {
        self.nodes.iter().flatten().find(|node| node.addresses().any(|own| is_same(own, address)))
    }

    /// The node of a name.
    pub(super) fn node_called(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().flatten().find(|node| node.name == name)
    }

    /// The AS that a node is to have.
    pub(super) fn as_of(&self, node: &Node) -> Option<u32> {
        let common = self.configurations.as_ref().map(|_| self.common_as());
        node.autonomous_system.or(common)
    }

    fn common_as(&self) -> u32 {
        self.configuration().and_then(|it| it.autonomous_system).unwrap_or(DEFAULT_AS)
    }

    fn configuration(&self) -> Option<&BgpConfiguration> {
        self.configurations.iter().flatten().find(|it| it.name == "default")
    }

    /// Whether each node has a session with each other; on unless it is said to be off.
    fn mesh(&self) -> Option<bool> {
        self.configurations.as_ref()?;
        Some(self.configuration().and_then(|it| it.mesh).unwrap_or(true))
    }

    /// Whether no pool needs BIRD: there are pools, and packets of all of them travel in VXLAN.
    pub(super) fn is_vxlan_only(&self) -> bool {
        let mut pools = self.pools.iter().flatten().filter(|pool| !pool.is_disabled).peekable();
        pools.peek().is_some() && pools.all(|pool| pool.vxlan)
    }
}

/// One finding on a node that runs BIRD.
pub(super) fn judge(facts: &Facts<'_>) -> Option<Finding> {
    let families = facts.families();
    let running: Vec<(Family, &FamilyStatus)> =
        families.into_iter().filter(|(_, it)| it.state == Some(State::Ready)).collect();
    if running.is_empty() {
        return None;
    }
    let cluster = &facts.cluster;
    let Some(nodes) = &cluster.nodes else {
        // It is evidence more, not a condition.
        let summary = format!("not compared with the datastore: {}", cluster.why);
        return Some(Finding::new(ID, Level::Skip, summary));
    };
    let name = facts.status.node.as_deref().unwrap_or_default();
    let own = cluster.node_called(name);
    let mut differences: Vec<(Level, String)> = Vec::new();
    match own {
        None if cluster.is_whole => differences.push((
            Level::Warn,
            format!("this node, {name}, is not among the {} nodes of the datastore", nodes.len()),
        )),
        None => {}
        Some(own) => {
            differences.extend(own_address(facts, own));
            differences.extend(own_as(facts, own));
        }
    }
    for (family, status) in &running {
        differences.extend(mesh(facts, own, *family, status));
    }
    let evidence = json!({
        "node": own.map(|own| json!({"name": own.name, "addresses": own.addresses().collect::<Vec<_>>(), "as": cluster.as_of(own)})),
        "nodes": nodes.len(), "mesh": cluster.mesh(),
        "pools": cluster.pools.as_ref().map(|pools| pools.iter().map(shown).collect::<Vec<_>>()),
        "differences": differences.iter().map(|(_, text)| text).collect::<Vec<_>>(),
    });
    let Some(level) = differences.iter().map(|(level, _)| *level).max() else {
        return Some(
            Finding::new(ID, Level::Ok, agreement(cluster, nodes, own)).evidence(evidence),
        );
    };
    let texts: Vec<String> = differences.into_iter().map(|(_, text)| text).collect();
    let finding = Finding::new(ID, level, texts.join("; "))
        .evidence(evidence)
        .remedy("compare: calicoctl get node NAME -o yaml (spec.bgp), calicoctl get bgpconfiguration default -o yaml")
        .remedy("if the datastore is right, confd has not followed: look at its log, and at Typha, and restart calico-node");
    Some(finding)
}

fn agreement(cluster: &Cluster, nodes: &[Node], own: Option<&Node>) -> String {
    let mesh = match cluster.mesh() {
        Some(true) => ", the mesh is on",
        Some(false) => ", the mesh is off",
        None => "",
    };
    let count = match nodes.len() {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let own = own.map_or(String::new(), |own| {
        let addresses: Vec<&str> = own.addresses().collect();
        let number = cluster.as_of(own).map_or(String::new(), |number| format!(" in AS {number}"));
        format!(", this one is {} with {}{number}", own.name, addresses.join(" and "))
    });
    format!("the datastore has {count}{own}{mesh}: BIRD runs the same")
}

fn shown(pool: &IpPool) -> serde_json::Value {
    let encapsulation = match (pool.vxlan, pool.ipip) {
        (true, _) => "VXLAN",
        (false, true) => "IPIP",
        (false, false) => "none",
    };
    json!({"name": pool.name, "cidr": pool.cidr, "encapsulation": encapsulation, "disabled": pool.is_disabled})
}

/// This node's address is to be on this host.
fn own_address<'a>(
    facts: &'a Facts<'_>,
    own: &'a Node,
) -> impl Iterator<Item = (Level, String)> + 'a {
    let held = facts.addresses.as_ref();
    own.addresses().filter_map(move |wanted| {
        let is_held = |it: &super::kernel::Address| {
            it.address.as_deref().is_some_and(|it| is_same(it, wanted))
        };
        let held = held?;
        let is_absent = address(wanted).is_some() && !held.iter().any(is_held);
        is_absent.then(|| {
            let text = format!(
                "in the datastore this node, {}, has {wanted}, which is on no link of this host",
                own.name
            );
            (Level::Fail, text)
        })
    })
}

/// The AS of the mesh's sessions is to be this node's.
fn own_as(facts: &Facts<'_>, own: &Node) -> Option<(Level, String)> {
    let wanted = facts.cluster.as_of(own)?;
    let files = facts.files.iter().flatten();
    let mut sessions = files.flat_map(|file| &file.configuration.peers);
    let running = sessions.find_map(|session| {
        session.name.starts_with("Mesh_").then_some(session.local_as).flatten()
    })?;
    (running != wanted).then(|| {
        (
            Level::Warn,
            format!("BIRD runs AS {running}, and the datastore has AS {wanted} for this node"),
        )
    })
}

/// The sessions of the mesh are to be those with the other nodes.
fn mesh(
    facts: &Facts<'_>,
    own: Option<&Node>,
    family: Family,
    status: &FamilyStatus,
) -> Option<(Level, String)> {
    let cluster = &facts.cluster;
    let sessions: Vec<&str> = status
        .peers
        .iter()
        .filter(|peer| peer.kind == PeerType::Mesh)
        .filter_map(|peer| peer.address.as_deref())
        .collect();
    if !cluster.mesh()? {
        let count = sessions.len();
        return (count > 0).then(|| {
            (
                Level::Warn,
                format!(
                    "the mesh is off in the datastore, and BIRD still has {count} sessions of it"
                ),
            )
        });
    }
    // Who is a route reflector is not in the mesh; and of half a list of peers nothing is missing.
    let own = own.filter(|own| own.cluster_id.is_none())?;
    status.established?;
    let of_family = |node: &Node| match family {
        Family::Ipv4 => node.ipv4.clone(),
        Family::Ipv6 => node.ipv6.clone(),
    };
    // Without an address of the family it has no sessions of it.
    of_family(own)?;
    let others = cluster.nodes.iter().flatten();
    let others = others.filter(|node| node.name != own.name && node.cluster_id.is_none());
    let lacking: Vec<String> = others
        .filter_map(|node| Some((node, of_family(node)?)))
        .filter(|(_, address)| !sessions.iter().any(|session| is_same(session, address)))
        .map(|(node, address)| format!("{} ({address})", node.name))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let more = lacking.len().saturating_sub(NAMED);
    let named = lacking.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some((Level::Warn, format!("BIRD has no session with {named}{more}, of the datastore's nodes")))
}
