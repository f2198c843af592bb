//! The routes to pods of this node.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::facts::Facts;
use crate::checks::figures::counted;
use crate::checks::network::{first, some};
use crate::checks::{Finding, Level};
use crate::prefix::Prefix;

pub(super) const PODS: &str = "routes.pods";
pub(super) const DUPLICATES: &str = "routes.duplicates";

/// Whether each pod's link has a route. A link that is down has none: the kernel took it.
pub(super) fn missing(facts: &Facts<'_>) -> Finding {
    let routed: HashSet<u32> = facts.to_pods().map(|(_, index)| index).collect();
    let pods = facts.network.pods();
    let judged: Vec<_> =
        pods.into_iter().filter(|link| link.is_up() && !facts.gone.contains(&link.name)).collect();
    if judged.is_empty() {
        return Finding::new(PODS, Level::Skip, "there is no interface of a pod that is up");
    }
    let without: Vec<&str> = judged
        .iter()
        .filter(|link| !routed.contains(&link.index))
        .map(|link| link.name.as_str())
        .collect();
    let evidence = json!({
        "interfaces": judged.len(), "withoutRoute": some(&without), "counts": {"withoutRoute": without.len()},
    });
    if without.is_empty() {
        let (one, many) = ("interface of a pod has a route", "interfaces of pods have a route");
        let summary = counted(judged.len(), one, many);
        return Finding::new(PODS, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "of {} interfaces of pods, no address leads to {} ({})",
        judged.len(),
        without.len(),
        first(&without)
    );
    Finding::new(PODS, Level::Fail, summary)
        .evidence(evidence)
        .remedy("Felix makes these routes: its log says why it does not (grep the interface's name)")
        .remedy("see whether another interface has the pod's address: calicoctl get workloadendpoints -A -o wide; ip route get ADDRESS")
}

/// Whether no address leads to two pods' links.
pub(super) fn duplicates(facts: &Facts<'_>) -> Finding {
    let mut links: BTreeMap<Prefix, Vec<u32>> = BTreeMap::new();
    for (route, index) in facts.to_pods() {
        links.entry(route.destination).or_default().push(index);
    }
    if links.is_empty() {
        return Finding::new(DUPLICATES, Level::Skip, "there is no route to a pod of this node");
    }
    let count = links.len();
    let by_index = facts.by_index();
    let mut twice = Vec::new();
    for (destination, mut indices) in links {
        indices.sort_unstable();
        indices.dedup();
        if indices.len() > 1 {
            let names: Vec<&str> =
                indices.iter().map(|index| Facts::name(&by_index, Some(*index))).collect();
            twice.push((destination.to_string(), names));
        }
    }
    let shown = |(destination, names): &(String, Vec<&str>)| json!({"destination": destination, "interfaces": names});
    let evidence = json!({
        "addresses": count, "duplicates": some(&twice).iter().map(shown).collect::<Vec<_>>(),
        "counts": {"duplicates": twice.len()},
    });
    if twice.is_empty() {
        let each = "addresses of pods lead to one interface each";
        let summary = counted(count, "address of a pod leads to one interface", each);
        return Finding::new(DUPLICATES, Level::Ok, summary).evidence(evidence);
    }
    let named: Vec<String> = twice
        .iter()
        .map(|(destination, names)| format!("{destination} to {}", names.join(" and ")))
        .collect();
    let many = counted(twice.len(), "address leads", "addresses lead");
    let summary = format!("{many} to more than one pod: {}", first(&named));
    Finding::new(DUPLICATES, Level::Fail, summary)
        .evidence(evidence)
        .remedy("see which of them the pod has (calicoctl get workloadendpoints -A -o wide), and delete the other: ip link delete NAME")
        .remedy("look for addresses that were given twice: calicoctl ipam check")
}
