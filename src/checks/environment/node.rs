//! What calico-node itself uses on this node, and whether calicoctl would look into another datastore.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::checks::{Finding, Level};
use crate::collectors::Node;
use crate::datastore::environment::Environment;
use crate::host::Evidence;

pub(super) const ID: &str = "environment.node";

/// One finding.
pub(super) fn judge(environment: &Environment, evidence: &Evidence) -> Finding {
    let node = Node::from_evidence(evidence);
    let agents = node.agents();
    let Some(felix) = agents.felix.process else {
        return Finding::new(
            ID,
            Level::Skip,
            "Felix was not seen: what calico-node uses is not known",
        );
    };
    let Some(variables) = &felix.environment else {
        return Finding::new(ID, Level::Unknown, "Felix's environment could not be read")
            .remedy("run calivet as root");
    };
    let Used { store, by, endpoints, typha } = used(variables);
    let evidence = json!({
        "calicoNode": {"datastoreType": store, "from": by, "endpoints": endpoints, "typha": typha},
        "calicoctl": environment.effective("datastoreType").map(|row| &row.shown),
    });
    let through =
        typha.as_ref().map_or(String::new(), |typha| format!(", through Typha ({typha})"));
    let Some(store) = store else {
        let summary =
            format!("calico-node's environment does not say which datastore it uses{through}");
        return Finding::new(ID, Level::Info, summary).evidence(evidence);
    };
    let uses = format!("calico-node uses {store} ({}){through}", by.unwrap_or_default());
    if environment.is_refused() || !is_known(environment) {
        return Finding::new(ID, Level::Info, uses).evidence(evidence);
    }
    let theirs = environment.effective("datastoreType").map_or("", |row| row.shown.as_str());
    let finding = if theirs != store {
        Finding::new(ID, Level::Warn, format!("calicoctl would use {theirs}, but {uses}")).remedy(
            format!(
                "set DATASTORE_TYPE={store}, or spec.datastoreType in {}",
                environment.file.path
            ),
        )
    } else if let (Some(ours), Some(listed)) = (&endpoints, environment.effective("etcdEndpoints"))
        && hosts(ours).is_disjoint(&hosts(&listed.shown))
    {
        let summary = format!("calicoctl would ask {}, but calico-node asks {ours}", listed.shown);
        Finding::new(ID, Level::Warn, summary)
            .remedy("set ETCD_ENDPOINTS to one and the same etcd's")
    } else {
        Finding::new(ID, Level::Ok, format!("{uses}, and so does calicoctl"))
    };
    finding.evidence(evidence)
}

/// Whether calicoctl's settings say where it would go, and not only its default.
fn is_known(environment: &Environment) -> bool {
    environment.effective.iter().any(|row| row.variable.is_some() || row.line.is_some())
}

/// What calico-node uses.
struct Used {
    store: Option<String>,
    /// The variable that says so.
    by: Option<String>,
    endpoints: Option<String>,
    /// The Typha between it and the datastore.
    typha: Option<String>,
}

/// Felix's own variables win over those of calico-node.
fn used(variables: &BTreeMap<String, String>) -> Used {
    let first = |names: [&str; 2]| {
        let set = |name: &&str| variables.get(*name).is_some_and(|value| !value.is_empty());
        let name = names.into_iter().find(set)?;
        Some((variables.get(name)?.clone(), name.to_owned()))
    };
    let (store, by) = first(["FELIX_DATASTORETYPE", "DATASTORE_TYPE"]).unzip();
    Used {
        store,
        by,
        endpoints: first(["FELIX_ETCDENDPOINTS", "ETCD_ENDPOINTS"]).map(|(value, _)| value),
        typha: first(["FELIX_TYPHAADDR", "FELIX_TYPHAK8SSERVICENAME"]).map(|(value, _)| value),
    }
}

/// Hosts and ports, however the URLs are written.
fn hosts(urls: &str) -> BTreeSet<String> {
    let host = |url: &str| {
        let rest = url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    urls.split(',').map(host).collect()
}
