//! What becomes of the routes: those that BIRD has from its peers against those that the kernel has.
//!
//! Since Calico 3.33 BIRD and Felix share the routes between nodes (`programClusterRoutes` of `BGPConfiguration` and of
//! `FelixConfiguration`), and nothing checks that what one leaves the other takes: a block may be routed by both, or by
//! none. VXLAN and `WireGuard` blocks are always Felix's.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::facts::Facts;
use super::kernel::Route;
use crate::bird::routes::{Kind, Rank, Routes};
use crate::checks::network::{first, some};
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
}

/// Destinations with which something is wrong.
#[derive(Debug, Default)]
struct Compared<'a> {
    /// How many routes peers have announced that are the best of their destination.
    from_peers: usize,
    /// The kernel did not take them.
    refused: Vec<&'a str>,
    /// Nothing is known of the way to their next hop.
    unresolved: Vec<&'a str>,
    /// The kernel has none.
    missing: Vec<&'a str>,
    /// BIRD and Felix both have one.
    both: Vec<&'a str>,
}

fn of_daemon(facts: &Facts<'_>, family: Family, status: &FamilyStatus) -> Finding {
    let name = status.daemon;
    let unknown = |what: &str| {
        let summary = format!("whether the kernel has {name}'s routes is not known: {what}");
        Finding::new(ID, Level::Unknown, summary)
    };
    let Some(table) = facts.table(family) else {
        return unknown("its answer to `show route` is not whole");
    };
    let Some(kernel) = facts.routes() else {
        return unknown("the kernel's routes could not be read whole");
    };
    let compared = compare(facts, family, &table, kernel);
    told(status, &compared)
}

fn compare<'a>(
    facts: &Facts<'_>,
    family: Family,
    table: &'a Routes,
    kernel: &'a [Route],
) -> Compared<'a> {
    let mut owners: BTreeMap<&str, Owners> = BTreeMap::new();
    for route in kernel.iter().filter(|route| route.table == MAIN) {
        let owner = owners.entry(route.destination.as_str()).or_default();
        owner.bird |= route.protocol == BIRD;
        owner.felix |= route.protocol == FELIX;
    }
    let families = facts.families();
    let peers: BTreeSet<&str> = families
        .iter()
        .flat_map(|(_, status)| &status.peers)
        .map(|peer| peer.name.as_str())
        .collect();
    let mut compared = Compared::default();
    for route in &table.list {
        let destination = route.destination.as_str();
        if route.rank == Rank::NotInKernel {
            compared.refused.push(destination);
        } else if route.rank == Rank::Best && peers.contains(route.protocol.as_str()) {
            compared.from_peers += 1;
            if route.kind == Kind::Unreachable || route.metric.as_deref() == Some("-") {
                compared.unresolved.push(destination);
            } else if !owners.contains_key(destination) {
                compared.missing.push(destination);
            }
        }
    }
    let is_ours = |destination: &str| {
        facts.is_one_daemon() || destination.contains(':') == (family == Family::Ipv6)
    };
    let both = owners.into_iter().filter(|(to, owner)| owner.bird && owner.felix && is_ours(to));
    compared.both = both.map(|(destination, _)| destination).collect();
    compared
}

fn told(status: &FamilyStatus, compared: &Compared<'_>) -> Finding {
    let name = status.daemon;
    let Compared { from_peers, refused, unresolved, missing, both } = compared;
    let evidence = json!({
        "daemon": name, "fromPeers": from_peers, "refused": some(refused), "unresolved": some(unresolved),
        "missing": some(missing), "ownedByBoth": some(both),
        "counts": {
            "refused": refused.len(), "unresolved": unresolved.len(), "missing": missing.len(),
            "ownedByBoth": both.len(),
        },
    });
    let is_recovering = status.graceful_restart.is_some();
    let withheld = "BIRD withholds them until its graceful restart ends: see bgp.graceful-restart";
    let unowned = "see who is to program them: kubectl get felixconfiguration,bgpconfiguration default -o yaml | grep -i \
                   programClusterRoutes (3.33 and later: exactly one of both)";
    let troubles = [
        (
            refused,
            "the kernel did not take",
            "another route to the same destination is in the way, or the next hop is on no \
            link: ip route get ADDRESS; BIRD's log says why (grep Netlink)",
        ),
        (
            unresolved,
            "the next hop cannot be resolved of",
            "the peer that announces them is on no network that this node \
            has a route to: ip route get NEXTHOP",
        ),
        (missing, "the kernel has no route for", if is_recovering { withheld } else { unowned }),
        (
            both,
            "BIRD and Felix both have a route for",
            "let one of them program cluster routes: programClusterRoutes in \
            FelixConfiguration and BGPConfiguration must be complementary",
        ),
    ];
    let troubles: Vec<_> = troubles.into_iter().filter(|(list, _, _)| !list.is_empty()).collect();
    if troubles.is_empty() {
        let level = if is_recovering { Level::Info } else { Level::Ok };
        let summary = match from_peers {
            0 => format!("{name} has no route from its peers"),
            1 => format!("the kernel has the route that {name} has from its peers"),
            _ => format!("the kernel has the {from_peers} routes that {name} has from its peers"),
        };
        return Finding::new(ID, level, summary).evidence(evidence);
    }
    let parts: Vec<String> = troubles
        .iter()
        .map(|(list, what, _)| format!("{what} {} destinations ({})", list.len(), first(list)))
        .collect();
    let finding = Finding::new(ID, Level::Fail, format!("{name}: {}", parts.join("; ")));
    troubles
        .iter()
        .fold(finding.evidence(evidence), |finding, (_, _, remedy)| finding.remedy(*remedy))
}
