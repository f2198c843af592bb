//! What becomes of the routes: those that BIRD has from its peers against those that the kernel has.
//!
//! Since Calico 3.33 BIRD and Felix share the routes between nodes (`programClusterRoutes` of BGPConfiguration and of
//! FelixConfiguration), and nothing checks that what one leaves the other takes: a block may be routed by both, or by
//! none. VXLAN and WireGuard blocks are always Felix's.

use std::collections::BTreeMap;

use serde_json::json;

use super::facts::Facts;
use crate::bird::routes::{Kind, Rank};
use crate::checks::{Finding, Level};
use crate::host::Family;
use crate::status::{FamilyStatus, State};

const ID: &str = "bgp.routes";

/// The table `main`.
const MAIN: u32 = 254;
/// Routes of BIRD's in the kernel.
const BIRD: u8 = 12;
/// Routes of Felix's (`felix/dataplane/linux/dataplanedefs`).
const FELIX: u8 = 80;
/// How many destinations are named.
const NAMED: usize = 20;

/// One finding for each daemon that answers.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (family, status) in facts.families() {
        let is_second = family == Family::Ipv6 && facts.is_one_daemon();
        if status.state == Some(State::Ready) && !is_second {
            findings.push(of_daemon(facts, family, status));
        }
    }
    findings
}

/// A destination's owners in the kernel's table `main`.
#[derive(Debug, Default, Clone, Copy)]
struct Owners {
    bird: bool,
    felix: bool,
    any: bool,
}

fn of_daemon(facts: &Facts<'_>, family: Family, status: &FamilyStatus) -> Finding {
    let name = status.daemon;
    let unknown = |what: &str| {
        Finding::new(
            ID,
            Level::Unknown,
            format!("whether the kernel has {name}'s routes is not known: {what}"),
        )
    };
    let Some(table) = facts.table(family) else {
        return unknown("its answer to `show route` is not whole");
    };
    let Some(kernel) = &facts.routes else {
        return unknown("the kernel's routes could not be read whole");
    };
    let mut owners: BTreeMap<&str, Owners> = BTreeMap::new();
    for route in kernel.iter().filter(|route| route.table == MAIN) {
        let owner = owners.entry(route.destination.as_str()).or_default();
        owner.any = true;
        owner.bird |= route.protocol == BIRD;
        owner.felix |= route.protocol == FELIX;
    }
    let peers: Vec<&str> = facts
        .families()
        .into_iter()
        .flat_map(|(_, status)| &status.peers)
        .map(|peer| peer.name.as_str())
        .collect();
    let (mut refused, mut unresolved, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut from_peers = 0;
    for route in &table.list {
        if route.rank == Rank::NotInKernel {
            refused.push(route.destination.as_str());
            continue;
        }
        if route.rank != Rank::Best || !peers.contains(&route.protocol.as_str()) {
            continue;
        }
        from_peers += 1;
        if route.kind == Kind::Unreachable || route.metric.as_deref() == Some("-") {
            unresolved.push(route.destination.as_str());
        } else if !owners.get(route.destination.as_str()).is_some_and(|owner| owner.any) {
            missing.push(route.destination.as_str());
        }
    }
    let both: Vec<&str> = owners
        .iter()
        .filter(|(destination, owner)| {
            owner.bird && owner.felix && destination.contains(':') == (family == Family::Ipv6)
                || (owner.bird && owner.felix && facts.is_one_daemon())
        })
        .map(|(destination, _)| *destination)
        .collect();
    let evidence = json!({
        "daemon": name, "fromPeers": from_peers, "refused": some(&refused), "unresolved": some(&unresolved),
        "missing": some(&missing), "ownedByBoth": some(&both),
        "counts": {"refused": refused.len(), "unresolved": unresolved.len(), "missing": missing.len(), "ownedByBoth": both.len()},
    });
    let is_recovering = status.graceful_restart.is_some();
    let mut parts = Vec::new();
    let mut remedies = Vec::new();
    if !refused.is_empty() {
        parts.push(format!("the kernel did not take {} ({})", refused.len(), first(&refused)));
        remedies.push(
            "another route to the same destination is in the way, or the next hop is not on a link: ip route get ADDRESS; \
             BIRD's log says why (grep Netlink)"
                .to_owned(),
        );
    }
    if !unresolved.is_empty() {
        parts.push(format!(
            "the next hop of {} cannot be resolved ({})",
            unresolved.len(),
            first(&unresolved)
        ));
        remedies.push(
            "the peer that announces it is not on a connected network: ip route get NEXTHOP"
                .to_owned(),
        );
    }
    if !missing.is_empty() {
        parts.push(format!(
            "{} are in no route of the kernel's ({})",
            missing.len(),
            first(&missing)
        ));
        remedies.push(if is_recovering {
            "BIRD withholds them until its graceful restart ends: see bgp.graceful-restart".to_owned()
        } else {
            "see who is to program them: kubectl get felixconfiguration,bgpconfiguration default -o yaml | grep -i programClusterRoutes (3.33 and later: exactly one of both)".to_owned()
        });
    }
    if !both.is_empty() {
        parts.push(format!(
            "{} are routed by BIRD and by Felix at once ({})",
            both.len(),
            first(&both)
        ));
        remedies.push(
            "let one of them program cluster routes: programClusterRoutes in FelixConfiguration and BGPConfiguration must be complementary"
                .to_owned(),
        );
    }
    if parts.is_empty() {
        let level = if is_recovering { Level::Info } else { Level::Ok };
        let summary =
            format!("the kernel has the {from_peers} routes that {name} has from its peers");
        return Finding::new(ID, level, summary).evidence(evidence);
    }
    let summary = format!("of {name}'s routes {}", parts.join(", "));
    let mut finding = Finding::new(ID, Level::Fail, summary).evidence(evidence);
    finding.remedy = remedies;
    finding
}

fn some<'a>(destinations: &'a [&'a str]) -> &'a [&'a str] {
    &destinations[..destinations.len().min(NAMED)]
}

fn first(destinations: &[&str]) -> String {
    let more = if destinations.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", destinations[..destinations.len().min(3)].join(", "))
}
