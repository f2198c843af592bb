//! The same facts as a `CalicoNodeStatus` (projectcalico.org/v3), with the classes Agent, BGP and Routes.
//!
//! ```yaml
//! apiVersion: projectcalico.org/v3
//! kind: CalicoNodeStatus
//! status:
//!   bgp:
//!     peersV4:
//!     - {peerIP: 10.128.0.242, since: '09:23:22', state: Established, type: NodeMesh}
//!   routes:
//!     routesV4:
//!     - {destination: 0.0.0.0/0, gateway: 172.18.0.1, interface: eth0, learnedFrom: {sourceType: Kernel}, type: FIB}
//! ```
//!
//! The schema (`api/pkg/apis/projectcalico/v3/nodestatus.go`) has no word for some states and types. Such rows are
//! left out one by one, never the whole, and annotations say how many and what else is missing.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Answers, FamilyStatus, NodeStatus, Peer, PeerType, State};
use crate::bird::reply;
use crate::bird::routes::{self, Kind, NextHop, Rank, Route};
use crate::host::{Evidence, Family};

/// How many rows or words the schema could not express, in words.
pub const NOT_EXPRESSIBLE: &str = "calivet/not-expressible";
/// What could not be known, in words.
pub const UNKNOWN: &str = "calivet/unknown";

/// The resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CalicoNodeStatus {
    /// `projectcalico.org/v3`.
    pub api_version: &'static str,
    /// `CalicoNodeStatus`.
    pub kind: &'static str,
    /// Name and annotations.
    pub metadata: Metadata,
    /// What was asked.
    pub spec: Spec,
    /// What was found.
    pub status: Status,
}

/// The resource's name, which is the node's, and what the schema has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// The node's name.
    pub name: String,
    /// [`NOT_EXPRESSIBLE`] and [`UNKNOWN`], where there is anything to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<&'static str, String>,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// `Agent`, `BGP`, `Routes`.
    pub classes: [&'static str; 3],
    /// The node's name.
    pub node: String,
    /// 0: filled once, never refreshed.
    pub update_period_seconds: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// RFC 3339, whole seconds.
    pub last_updated: String,
    /// The class Agent.
    pub agent: AgentStatus,
    /// The class BGP.
    pub bgp: BgpStatus,
    /// The class Routes.
    pub routes: RouteStatus,
}

/// The daemons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentStatus {
    /// The daemon for IPv4.
    #[serde(rename = "birdV4")]
    pub v4: DaemonStatus,
    /// The daemon for IPv6.
    #[serde(rename = "birdV6")]
    pub v6: DaemonStatus,
}

/// A daemon. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonStatus {
    /// `Ready`, `NotReady`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its router id.
    #[serde(rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// When it started, in BIRD's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_boot_time: Option<String>,
    /// When it took its configuration, in BIRD's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconfiguration_time: Option<String>,
}

/// The peers. The numbers are of the peers that are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BgpStatus {
    /// Established IPv4 peers.
    #[serde(rename = "numberEstablishedV4")]
    pub established_v4: usize,
    /// Other IPv4 peers.
    #[serde(rename = "numberNotEstablishedV4")]
    pub not_established_v4: usize,
    /// Established IPv6 peers.
    #[serde(rename = "numberEstablishedV6")]
    pub established_v6: usize,
    /// Other IPv6 peers.
    #[serde(rename = "numberNotEstablishedV6")]
    pub not_established_v6: usize,
    /// IPv4 peers.
    #[serde(rename = "peersV4", skip_serializing_if = "Vec::is_empty")]
    pub v4: Vec<PeerStatus>,
    /// IPv6 peers.
    #[serde(rename = "peersV6", skip_serializing_if = "Vec::is_empty")]
    pub v6: Vec<PeerStatus>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// Its address.
    #[serde(rename = "peerIP", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `NodeMesh`, `NodePeer`, `GlobalPeer`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// BGP's state; left out where the schema has no word for it (`Passive`, `Down`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Since when, in BIRD's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub since: String,
}

/// The routes that BIRD has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RouteStatus {
    /// IPv4 routes.
    #[serde(rename = "routesV4", skip_serializing_if = "Vec::is_empty")]
    pub v4: Vec<RouteRow>,
    /// IPv6 routes.
    #[serde(rename = "routesV6", skip_serializing_if = "Vec::is_empty")]
    pub v6: Vec<RouteRow>,
}

/// A route; one with several next hops is a row for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRow {
    /// `FIB` if the kernel has it, else `RIB`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The prefix.
    pub destination: String,
    /// The gateway, `N/A` without one.
    pub gateway: String,
    /// The link, or `blackhole`, `unreachable`, `prohibited`.
    pub interface: String,
    /// Where it comes from.
    pub learned_from: LearnedFrom,
}

/// Where a route comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LearnedFrom {
    /// The peer's address.
    #[serde(rename = "peerIP", skip_serializing_if = "Option::is_none")]
    pub peer_ip: Option<String>,
    /// `Kernel`, `Static`, `Direct`, `NodeMesh`, `BGPPeer`.
    pub source_type: &'static str,
}

/// What did not make it into the resource.
#[derive(Debug, Default)]
struct Gaps {
    /// Numbers by what they count.
    not_expressible: BTreeMap<&'static str, usize>,
    unknown: Vec<String>,
}

/// The resource for a node's status and the answers to `show route` in the evidence.
#[must_use]
pub fn resource(status: &NodeStatus, evidence: &Evidence) -> CalicoNodeStatus {
    let mut gaps = Gaps::default();
    let families = [(Family::Ipv4, &status.bgp.ipv4), (Family::Ipv6, &status.bgp.ipv6)];
    let [v4, v6] = families.map(|(family, found)| daemon(family, found, &mut gaps));
    let agent = AgentStatus { v4, v6 };
    let [v4, v6] = families.map(|(_, found)| peers(&found.peers, &mut gaps));
    let bgp = BgpStatus {
        established_v4: established(&v4),
        not_established_v4: v4.len() - established(&v4),
        established_v6: established(&v6),
        not_established_v6: v6.len() - established(&v6),
        v4: v4.into_iter().map(|(peer, _)| peer).collect(),
        v6: v6.into_iter().map(|(peer, _)| peer).collect(),
    };
    let routes = route_status(status, evidence, &mut gaps);
    let name = status.node.clone().unwrap_or_default();
    gaps.unknown.extend(status.node_reason.clone());
    let last_updated = status.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    CalicoNodeStatus {
        api_version: "projectcalico.org/v3",
        kind: "CalicoNodeStatus",
        metadata: Metadata { name: name.clone(), annotations: gaps.annotations() },
        spec: Spec { classes: ["Agent", "BGP", "Routes"], node: name, update_period_seconds: 0 },
        status: Status { last_updated, agent, bgp, routes },
    }
}

impl Gaps {
    fn count(&mut self, what: &'static str) {
        *self.not_expressible.entry(what).or_default() += 1;
    }

    fn annotations(self) -> BTreeMap<&'static str, String> {
        let counts: Vec<String> =
            self.not_expressible.iter().map(|(what, count)| format!("{what}: {count}")).collect();
        [(NOT_EXPRESSIBLE, counts), (UNKNOWN, self.unknown)]
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(key, parts)| (key, parts.join("; ")))
            .collect()
    }
}

fn daemon(family: Family, found: &FamilyStatus, gaps: &mut Gaps) -> DaemonStatus {
    let daemon = family.daemon();
    if found.state != Some(State::NotRunning)
        && found.state != Some(State::Disabled)
        && let Some(error) = &found.error
    {
        gaps.unknown.push(format!("{daemon}: {error}"));
    }
    DaemonStatus {
        state: found.state.map(|state| if state == State::Ready { "Ready" } else { "NotReady" }),
        version: found.version.clone(),
        router_id: found.router_id.clone(),
        last_boot_time: found.last_reboot.clone(),
        last_reconfiguration_time: found.last_reconfiguration.clone(),
    }
}

/// The peers that the schema has a type for, and whether each is established.
fn peers(peers: &[Peer], gaps: &mut Gaps) -> Vec<(PeerStatus, bool)> {
    let mut rows = Vec::new();
    for peer in peers {
        let kind = match peer.kind {
            PeerType::Mesh => "NodeMesh",
            PeerType::Node => "NodePeer",
            PeerType::Global => "GlobalPeer",
            PeerType::LocalWorkload => {
                gaps.count("peers that are local workloads, left out");
                continue;
            }
            PeerType::Other => {
                gaps.count("peers that Calico did not name, left out");
                continue;
            }
        };
        let state = peer.bgp_state.clone().filter(|state| has_word_for(state));
        if state.is_none() {
            gaps.count("peers in a state without a word, listed without state");
        }
        let row =
            PeerStatus { address: plain_address(peer), kind, state, since: peer.since.clone() };
        rows.push((row, peer.established));
    }
    rows
}

fn established(rows: &[(PeerStatus, bool)]) -> usize {
    rows.iter().filter(|(_, established)| *established).count()
}

/// The schema's states of a BGP session.
fn has_word_for(state: &str) -> bool {
    matches!(
        state,
        "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established" | "Close"
    )
}

/// The address without the link that BIRD adds to a link-local one: the schema wants an address alone.
fn plain_address(peer: &Peer) -> Option<String> {
    let address = peer.address.as_deref()?;
    Some(address.split('%').next().unwrap_or(address).to_owned())
}

/// The routes of both daemons, by family.
fn route_status(status: &NodeStatus, evidence: &Evidence, gaps: &mut Gaps) -> RouteStatus {
    let mut rows = RouteStatus::default();
    let families = [(Family::Ipv4, &status.bgp.ipv4), (Family::Ipv6, &status.bgp.ipv6)];
    let peers: HashMap<&str, &Peer> = (status.bgp.ipv4.peers.iter())
        .chain(&status.bgp.ipv6.peers)
        .map(|peer| (peer.name.as_str(), peer))
        .collect();
    for (family, found) in families {
        // BIRD 2 and 3 have told the routes of both families by the first socket.
        if found.daemon != family.daemon() {
            continue;
        }
        let Some(reading) = evidence.get(Answers::of(family).route) else {
            if found.state == Some(State::Ready) {
                gaps.unknown.push(format!("{}: `show route` was not asked", family.daemon()));
            }
            continue;
        };
        let reply = reply::parse(&reading.bytes);
        if found.state == Some(State::Ready) && (!reply.is_whole() || reply.refusal().is_some()) {
            let reason = reading.reason.clone().or_else(|| reply.refusal());
            let reason = reason.unwrap_or_else(|| "the answer is cut off".to_owned());
            gaps.unknown.push(format!("{}: `show route`: {reason}", family.daemon()));
        }
        let parsed = routes::parse(&reply);
        if parsed.not_understood > 0 {
            let number = parsed.not_understood;
            gaps.unknown.push(format!("{number} lines of `show route` were not understood"));
        }
        for route in parsed.list {
            let list = if route.destination.contains(':') { &mut rows.v6 } else { &mut rows.v4 };
            match learned_from(&route, &peers) {
                Ok(source) => list.extend(route_rows(&route, &source)),
                Err(gap) => gaps.count(gap),
            }
        }
    }
    rows
}

/// Where a route comes from, or why the schema cannot say it.
fn learned_from(route: &Route, peers: &HashMap<&str, &Peer>) -> Result<LearnedFrom, &'static str> {
    let name = route.protocol.as_str();
    if let Some(source_type) = [("kernel", "Kernel"), ("static", "Static"), ("direct", "Direct")]
        .into_iter()
        .find_map(|(prefix, source_type)| name.starts_with(prefix).then_some(source_type))
    {
        return Ok(LearnedFrom { peer_ip: None, source_type });
    }
    let peer = peers.get(name).copied();
    let source_type = match peer.map(|peer| peer.kind) {
        Some(PeerType::Mesh) => "NodeMesh",
        Some(PeerType::Node | PeerType::Global) => "BGPPeer",
        Some(PeerType::LocalWorkload) => return Err("routes of local workloads, left out"),
        Some(PeerType::Other) | None => return Err("routes of other protocols, left out"),
    };
    Ok(LearnedFrom { peer_ip: peer.and_then(plain_address), source_type })
}

fn route_rows(route: &Route, source: &LearnedFrom) -> Vec<RouteRow> {
    let row = |gateway: Option<&String>, interface: &str| RouteRow {
        kind: if route.rank == Rank::Best { "FIB" } else { "RIB" },
        destination: route.destination.clone(),
        gateway: gateway.map_or_else(|| "N/A".to_owned(), Clone::clone),
        interface: interface.to_owned(),
        learned_from: source.clone(),
    };
    match &route.kind {
        Kind::Unicast => route
            .next_hops
            .iter()
            .map(|NextHop { gateway, interface, .. }| {
                row(gateway.as_ref(), interface.as_deref().unwrap_or_default())
            })
            .collect(),
        Kind::Blackhole => vec![row(None, "blackhole")],
        Kind::Unreachable => vec![row(None, "unreachable")],
        Kind::Prohibited => vec![row(None, "prohibited")],
        Kind::Other(word) => vec![row(None, word)],
    }
}

#[cfg(test)]
mod tests;
