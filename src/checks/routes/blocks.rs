//! The blocks of other nodes that are reached over VXLAN. Felix makes three things for each node: a neighbour (the VTEP's
//! address and its MAC), a forwarding entry (the MAC and the node's address), and a route for each block. They must agree.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use serde_json::json;

use super::facts::Facts;
use crate::checks::figures::counted;
use crate::checks::network::{first, some, troubled};
use crate::checks::tables::{Link, PERMANENT};
use crate::checks::{Finding, Level};
use crate::prefix::Prefix;

pub(super) const BLOCKS: &str = "routes.blocks";
pub(super) const VTEPS: &str = "routes.vteps";

/// Calico's VXLAN devices, by index.
fn devices<'a>(facts: &'a Facts<'_>) -> HashMap<u32, &'a Link> {
    let names = ["vxlan.calico", "vxlan-v6.calico"];
    let links = names.into_iter().filter_map(|name| facts.network.link(name));
    links.map(|link| (link.index, link)).collect()
}

/// The VTEPs of other nodes that Felix has told the kernel of: device and address, and MAC.
fn known(
    facts: &Facts<'_>,
    devices: &HashMap<u32, &Link>,
) -> Result<BTreeMap<(u32, IpAddr), String>, String> {
    let neighbours = facts.neighbours.as_ref().map_err(Clone::clone)?;
    let permanent = neighbours
        .iter()
        .filter(|row| devices.contains_key(&row.index) && row.state.has(PERMANENT));
    Ok(permanent.filter_map(|row| Some(((row.index, row.address?), row.mac.clone()?))).collect())
}

fn not_known(id: &'static str, reason: &str) -> Finding {
    let summary = format!("where frames of VXLAN go is not known: {reason}");
    Finding::new(id, Level::Unknown, summary)
}

/// Whether there is a route to each node that Felix knows: the address of its VTEP is one of its block.
pub(super) fn without_route(facts: &Facts<'_>) -> Finding {
    let devices = devices(facts);
    if devices.is_empty() {
        return Finding::new(BLOCKS, Level::Skip, "there is no VXLAN device of Calico's");
    }
    let vteps = match known(facts, &devices) {
        Ok(vteps) => vteps,
        Err(reason) => return not_known(BLOCKS, &reason),
    };
    if vteps.is_empty() {
        return Finding::new(BLOCKS, Level::Skip, "Felix has told the kernel of no other node");
    }
    let ways = facts.ways();
    let is_routed = |address: IpAddr| {
        let address = Prefix::of(address);
        ways.by_destination.contains_key(&address) || ways.around(address).is_some()
    };
    let without: Vec<IpAddr> =
        vteps.keys().map(|(_, address)| *address).filter(|address| !is_routed(*address)).collect();
    let evidence = json!({
        "vteps": vteps.len(), "withoutRoute": some(&without), "counts": {"withoutRoute": without.len()},
    });
    if without.is_empty() {
        let nodes = counted(vteps.len(), "other node", "other nodes");
        let summary = format!("the blocks of {nodes} have a route");
        return Finding::new(BLOCKS, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "of {} other nodes that Felix knows, {} have no route to their block (that of {})",
        vteps.len(),
        without.len(),
        first(&without)
    );
    Finding::new(BLOCKS, Level::Fail, summary)
        .evidence(evidence)
        .remedy("Felix makes these routes anew within 90 s: see whether something deletes them (calivet check networkmanager), and Felix's log")
        .remedy("since Calico 3.33: see programClusterRoutes in FelixConfiguration and BGPConfiguration, exactly one of which must be on")
}

/// Whether each route over VXLAN leads to a neighbour, and that to a node.
pub(super) fn vteps(facts: &Facts<'_>) -> Finding {
    let devices = devices(facts);
    let mut gateways: BTreeMap<(u32, IpAddr), usize> = BTreeMap::new();
    for route in facts.to_nodes() {
        for hop in route.hops() {
            if let (Some(index), Some(gateway)) = (hop.index, hop.gateway)
                && devices.contains_key(&index)
            {
                *gateways.entry((index, gateway)).or_default() += 1;
            }
        }
    }
    if gateways.is_empty() {
        return Finding::new(VTEPS, Level::Skip, "no route leads over VXLAN");
    }
    let (vteps, fdb) = match (known(facts, &devices), &facts.fdb) {
        (Ok(vteps), Ok(fdb)) => (vteps, fdb),
        (Err(reason), _) => return not_known(VTEPS, &reason),
        (_, Err(reason)) => return not_known(VTEPS, reason),
    };
    let sent: HashSet<(u32, &str)> = fdb
        .iter()
        .filter(|row| row.destination.is_some())
        .filter_map(|row| Some((row.index, row.mac.as_deref()?)))
        .collect();
    let is_external = |index: u32| {
        let detail = devices.get(&index).and_then(|link| link.detail.as_ref());
        detail.is_some_and(|detail| detail.external == Some(true))
    };
    let mut without_mac = Vec::new();
    let mut without_node = Vec::new();
    for (index, gateway) in gateways.keys() {
        match vteps.get(&(*index, *gateway)) {
            None => without_mac.push(*gateway),
            Some(mac) if !is_external(*index) && !sent.contains(&(*index, mac.as_str())) => {
                without_node.push(*gateway);
            }
            Some(_) => {}
        }
    }
    let mut by_mac: BTreeMap<(u32, &str), Vec<IpAddr>> = BTreeMap::new();
    for ((index, address), mac) in &vteps {
        by_mac.entry((*index, mac)).or_default().push(*address);
    }
    let is_own = |index: u32, mac: &str| {
        devices.get(&index).is_some_and(|link| link.mac.as_deref() == Some(mac))
    };
    let same: Vec<IpAddr> = by_mac
        .into_iter()
        .filter(|((index, mac), addresses)| addresses.len() > 1 || is_own(*index, mac))
        .flat_map(|(_, addresses)| addresses)
        .collect();
    let evidence = json!({
        "nextHops": gateways.len(), "withoutNeighbour": some(&without_mac), "withoutForwarding": some(&without_node),
        "sameMac": some(&same),
        "counts": {
            "withoutNeighbour": without_mac.len(), "withoutForwarding": without_node.len(), "sameMac": same.len(),
        },
    });
    let again = "Felix makes them anew within 90 s: see what deletes them, and Felix's log";
    let troubles = [
        (without_mac.as_slice(), "have no neighbour entry, so that no MAC address is known", again),
        (without_node.as_slice(), "have no forwarding entry, so that no node is known", again),
        (
            same.as_slice(),
            "have a MAC address that another node has too",
            "two nodes have one name, or were cloned: give each its own name (NODENAME), and restart calico-node",
        ),
    ];
    let many = counted(gateways.len(), "next hop over VXLAN", "next hops over VXLAN");
    let well = if gateways.len() == 1 { "leads to a node" } else { "lead to a node" };
    troubled(VTEPS, &many, well, &troubles).evidence(evidence)
}
