//! Routes of others in the table `main` that are chosen before Calico's: more specific, or with a lower metric.

use serde_json::json;

use super::facts::{Facts, Way};
use crate::checks::network::{first, is_block, is_calicos, some};
use crate::checks::tables::{Route, Type};
use crate::checks::{Finding, Level};
use crate::prefix::Prefix;

pub(super) const BLACKHOLES: &str = "routes.blackholes";
pub(super) const FOREIGN: &str = "routes.foreign";

/// A route, and what it wins over.
struct Winner<'a> {
    route: &'a Route,
    destination: Prefix,
    way: Way,
}

fn winners<'a>(
    facts: &'a Facts<'_>,
    is_judged: impl Fn(&Route) -> bool,
) -> Option<Vec<Winner<'a>>> {
    let ways = facts.ways();
    if ways.by_destination.is_empty() {
        return None;
    }
    let candidates = facts.main().filter(|route| is_block(route.destination) && is_judged(route));
    let winners = candidates.filter_map(|route| {
        let destination = route.destination;
        if let Some(way) = ways.by_destination.get(&destination) {
            return (route.metric() <= way.metric).then_some(Winner {
                route,
                destination,
                way: *way,
            });
        }
        // Beneath an aggregate of other nodes, this node's own block is as it should be.
        if is_calicos(route) {
            return None;
        }
        ways.around(destination).map(|(destination, way)| Winner { route, destination, way })
    });
    Some(winners.collect())
}

fn none(id: &'static str) -> Finding {
    Finding::new(id, Level::Skip, "there is no route of Calico's to pods")
}

/// Whether a blackhole (or `unreachable`, `prohibit`) hides pods.
pub(super) fn blackholes(facts: &Facts<'_>) -> Finding {
    let Some(found) = winners(facts, |route| route.r#type == Type::Dropped) else {
        return none(BLACKHOLES);
    };
    let named: Vec<String> = found
        .iter()
        .map(|winner| format!("{} hides {}", winner.route.destination, winner.destination))
        .collect();
    let evidence = json!({"hiding": some(&named), "counts": {"hiding": named.len()}});
    if named.is_empty() {
        return Finding::new(BLACKHOLES, Level::Ok, "no blackhole hides pods").evidence(evidence);
    }
    let summary =
        format!("packets to pods are dropped by {} routes: {}", named.len(), first(&named));
    let finding = Finding::new(BLACKHOLES, Level::Fail, summary).evidence(evidence).remedy(
        "see who made them: ip -details route show type blackhole (proto 80 is Felix, 12 BIRD)",
    );
    let calicos = found.iter().any(|winner| is_calicos(winner.route));
    if calicos {
        finding.remedy("Felix or BIRD takes the block for this node's own: restart calico-node, and see calicoctl ipam check")
    } else {
        finding.remedy("delete what is not Calico's: ip route delete blackhole DESTINATION")
    }
}

/// Whether a route that is not Calico's takes pods' traffic.
pub(super) fn foreign(facts: &Facts<'_>) -> Finding {
    let links = facts.by_index();
    let is_foreign = |route: &Route| {
        let is_ours = |index: &u32| facts.pods.contains(index) || facts.tunnels.contains(index);
        route.r#type == Type::Unicast
            && !is_calicos(route)
            && !route.hops().any(|hop| hop.index.as_ref().is_some_and(is_ours))
    };
    let Some(found) = winners(facts, is_foreign) else { return none(FOREIGN) };
    let named: Vec<String> = found
        .iter()
        .map(|winner| {
            let hop = winner.route.hops().next();
            let dev = Facts::name(&links, hop.and_then(|hop| hop.index));
            format!("{} dev {dev} wins over {}", winner.route.destination, winner.destination)
        })
        .collect();
    let evidence = json!({"winning": some(&named), "counts": {"winning": named.len()}});
    if named.is_empty() {
        let summary = "no foreign route wins over Calico's in the table main";
        return Finding::new(FOREIGN, Level::Ok, summary).evidence(evidence);
    }
    // What BIRD has without a tunnel may be a network of the site's, in which this one has a place.
    let is_certain = found.iter().any(|winner| winner.way.is_certain || winner.way.is_pods);
    let summary = format!("{} foreign routes take traffic to pods: {}", named.len(), first(&named));
    Finding::new(FOREIGN, if is_certain { Level::Fail } else { Level::Warn }, summary)
        .evidence(evidence)
        .remedy("see who made them: ip -details route show DESTINATION; the pods' networks must overlap with no other: calicoctl get ippools -o wide")
}
