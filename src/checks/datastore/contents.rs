//! What is in it: Calico's resources, whether they may be read, and this node among them.

use serde_json::json;

use super::{Facts, KEYS, NODE, PERMISSIONS};
use crate::checks::{Finding, Level};
use crate::datastore::Resource;
use crate::datastore::health::Kind;
use crate::host::Outcome;
use crate::status;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = vec![keys(facts)];
    findings.push(permissions(facts));
    findings.push(node(facts));
    findings
}

fn keys(facts: &Facts<'_>) -> Finding {
    let health = &facts.health;
    match health.kind {
        Kind::Etcd => {
            let evidence = json!({"keys": health.keys});
            match health.keys {
                Some(0) => Finding::new(KEYS, Level::Fail, "etcd holds nothing of Calico's: no key begins with /calico/")
                    .remedy("is this the right etcd? compare with etcdEndpoints in the ConfigMap calico-config"),
                Some(keys) => Finding::new(KEYS, Level::Ok, format!("etcd holds {keys} keys of Calico's")),
                None => {
                    let why = health.refusal.iter().chain(&health.unknown).next();
                    let why = why.map_or("they could not be counted", String::as_str);
                    Finding::new(KEYS, Level::Unknown, format!("whether etcd holds Calico's keys is not known: {why}"))
                }
            }
            .evidence(evidence)
        }
        Kind::Kubernetes => {
            let evidence = json!({"groups": health.groups});
            match health.groups.as_deref() {
                Some([]) => Finding::new(
                    KEYS,
                    Level::Fail,
                    "the API serves nothing of Calico's: neither crd.projectcalico.org/v1 nor projectcalico.org/v3",
                )
                .remedy("is this the right cluster? kubectl config current-context; kubectl get crd | grep projectcalico"),
                Some(groups) => Finding::new(KEYS, Level::Ok, format!("the API serves {}", groups.join(" and "))),
                None => {
                    let why = health.refusal.iter().chain(&health.unknown).next();
                    let why = why.map_or("they were not told", String::as_str);
                    Finding::new(KEYS, Level::Unknown, format!("which groups the API serves is not known: {why}"))
                }
            }
            .evidence(evidence)
        }
    }
}

/// By the answers to the questions themselves.
fn permissions(facts: &Facts<'_>) -> Finding {
    let mut denied = Vec::new();
    let mut failed = Vec::new();
    let mut reason = None;
    for resource in Resource::ALL {
        let name = resource.plural();
        match facts.reading(resource) {
            None => failed.push(format!("{name} (not asked)")),
            Some(reading) => match reading.outcome {
                Outcome::Ok | Outcome::Truncated | Outcome::Missing => {}
                Outcome::Denied => {
                    denied.push(name);
                    reason = reason.or(reading.reason.as_deref());
                }
                outcome => {
                    let why = reading.reason.clone().unwrap_or_else(|| outcome.to_string());
                    failed.push(format!("{name}: {why}"));
                }
            },
        }
    }
    let evidence = json!({"denied": denied, "failed": failed});
    if !denied.is_empty() {
        let remedy = match facts.health.kind {
            Kind::Etcd => "etcdctl role grant-permission ROLE --prefix=true read /calico/",
            Kind::Kubernetes => {
                "kubectl auth can-i list ippools.crd.projectcalico.org; grant list of these to who asks (ClusterRole)"
            }
        };
        let why = reason.unwrap_or("denied");
        return Finding::new(
            PERMISSIONS,
            Level::Fail,
            format!("{} may not be read: {why}", denied.join(", ")),
        )
        .evidence(evidence)
        .remedy(remedy);
    }
    if !failed.is_empty() {
        let summary = format!("whether all may be read is not known: {}", failed.join("; "));
        return Finding::new(PERMISSIONS, Level::Unknown, summary).evidence(evidence);
    }
    let names = Resource::ALL.map(Resource::plural).join(", ");
    Finding::new(PERMISSIONS, Level::Ok, format!("{names} may be read")).evidence(evidence)
}

fn node(facts: &Facts<'_>) -> Finding {
    let unknown = |why: String| {
        Finding::new(
            NODE,
            Level::Unknown,
            format!("whether this node is in the datastore is not known: {why}"),
        )
    };
    let Some(name) = &facts.node else {
        return unknown("this node's name could not be read".to_owned());
    };
    let Some(list) = facts.list(Resource::Nodes) else {
        let why = facts.reading(Resource::Nodes).and_then(|reading| reading.reason.clone());
        return unknown(why.unwrap_or_else(|| "the nodes were not read".to_owned()));
    };
    let nodes = list.nodes();
    let evidence = json!({"node": name, "nodes": nodes.len()});
    let told = facts.evidence.get(status::NODENAME).map(|reading| reading.outcome);
    match nodes.iter().find(|node| &node.name == name) {
        // Then the name is only the host's.
        None if told != Some(Outcome::Ok) => Finding::new(
            NODE,
            Level::Skip,
            format!("Calico has left no name of a node on this host, and {name} is none of the datastore's"),
        )
        .evidence(evidence),
        None if list.is_whole() => Finding::new(
            NODE,
            Level::Fail,
            format!("this node, {name}, is not among the {} nodes of the datastore", nodes.len()),
        )
        .remedy("compare /var/lib/calico/nodename with calicoctl get nodes; calico/node writes the name when it starts (NODENAME)")
        .evidence(evidence),
        None => unknown(format!("{name} is not among the {} nodes that were read", nodes.len())),
        Some(node) => {
            let addresses: Vec<&str> = node.addresses().collect();
            // A node without BGP has none.
            let (level, shown) = if addresses.is_empty() {
                (Level::Info, "without an address for BGP".to_owned())
            } else {
                (Level::Ok, format!("with {}", addresses.join(", ")))
            };
            Finding::new(NODE, level, format!("this node is in the datastore as {name}, {shown}"))
                .evidence(evidence)
                .evidence(json!({"addresses": addresses, "as": node.autonomous_system}))
        }
    }
}
