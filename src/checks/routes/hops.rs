//! The way to the next node: its neighbour entry, and the link that leads there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::json;

use super::facts::Facts;
use crate::checks::figures::counted;
use crate::checks::network::{first, some};
use crate::checks::tables::{DEAD, FAILED, LINK_DOWN};
use crate::checks::{Finding, Level};

pub(super) const HOPS: &str = "routes.next-hops";
pub(super) const LINKS: &str = "routes.links";

/// Whether the next hops of Calico's routes answer ARP or neighbour discovery: the gateways, and the nodes at the other
/// end of VXLAN.
pub(super) fn neighbours(facts: &Facts<'_>) -> Finding {
    let mut hops: BTreeSet<IpAddr> = BTreeSet::new();
    for route in facts.to_nodes() {
        hops.extend(route.hops().filter_map(|hop| hop.gateway));
    }
    if hops.is_empty() {
        return Finding::new(HOPS, Level::Skip, "no route of Calico's leads to another node");
    }
    let neighbours = match &facts.neighbours {
        Ok(neighbours) => neighbours,
        Err(reason) => {
            let summary = format!("whether the next hops answer is not known: {reason}");
            return Finding::new(HOPS, Level::Unknown, summary);
        }
    };
    if let Ok(fdb) = &facts.fdb {
        let ends = fdb.iter().filter(|row| facts.tunnels.contains(&row.index));
        hops.extend(ends.filter_map(|row| row.destination));
    }
    let failed: BTreeSet<IpAddr> = neighbours
        .iter()
        .filter(|row| row.state.has(FAILED))
        .filter_map(|row| row.address.filter(|address| hops.contains(address)))
        .collect();
    let failed: Vec<IpAddr> = failed.into_iter().collect();
    let evidence = json!({"nextHops": hops.len(), "failed": some(&failed), "counts": {"failed": failed.len()}});
    if failed.is_empty() {
        let summary = format!("none of {} next hops failed to answer", hops.len());
        return Finding::new(HOPS, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "of {} next hops of Calico's routes, {} do not answer ARP or neighbour discovery ({})",
        hops.len(),
        failed.len(),
        first(&failed)
    );
    Finding::new(HOPS, Level::Fail, summary)
        .evidence(evidence)
        .remedy("see whether that node is up, and on the same network: ip neighbour show to ADDRESS; ping ADDRESS")
}

/// Whether the links of Calico's routes are up.
pub(super) fn links(facts: &Facts<'_>) -> Finding {
    let by_index = facts.by_index();
    let mut down: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = 0;
    for route in facts.to_nodes() {
        count += 1;
        for hop in route.hops() {
            let link = hop.index.and_then(|index| by_index.get(&index));
            let is_down = link.is_none_or(|link| !link.is_up() || !link.has_carrier());
            if is_down || hop.flags.has(DEAD) || hop.flags.has(LINK_DOWN) {
                *down.entry(Facts::name(&by_index, hop.index)).or_default() += 1;
            }
        }
    }
    if count == 0 {
        return Finding::new(LINKS, Level::Skip, "no route of Calico's leads to another node");
    }
    let named: Vec<&str> = down.keys().copied().collect();
    let evidence =
        json!({"routes": count, "down": down, "counts": {"down": down.values().sum::<usize>()}});
    if named.is_empty() {
        let routes = counted(count, "route to another node", "routes to other nodes");
        let summary = format!("the links of {routes} are up");
        return Finding::new(LINKS, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "of {count} routes to other nodes, {} lead through a link that is down ({})",
        down.values().sum::<usize>(),
        first(&named)
    );
    Finding::new(LINKS, Level::Fail, summary)
        .evidence(evidence)
        .remedy("ip link show NAME: set it up, or mend its cable or its bond")
}
