//! A BGP peer: what BIRD says of one protocol, and what its name says.
//!
//! confd names a peer by its type and its address, dots and colons made underscores, and a port that is not BGP's
//! own: `Mesh_10_0_0_2`, `Global_fd00__5`, `Node_10_0_0_9_port_1790`, `Local_Workload_10_65_0_3`.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::clock::{self, Clock};
use crate::bird::protocols::{self, Channel, Limit, Protocol};

/// A BGP peer.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// The name of BIRD's protocol.
    pub name: String,
    /// The neighbour's address, as BIRD says, else as the name says.
    pub address: Option<String>,
    /// The neighbour's port, where it is not BGP's own.
    pub port: Option<u16>,
    /// Why it is a peer.
    #[serde(rename = "type")]
    pub kind: PeerType,
    /// The protocol's state.
    pub state: String,
    /// Since when, as BIRD wrote it.
    pub since: String,
    /// Since when; `null` if BIRD's text does not tell the moment.
    pub since_time: Option<Timestamp>,
    /// BIRD's info column; empty for a disabled peer.
    pub info: String,
    /// BGP's own state.
    pub bgp_state: Option<String>,
    /// Whether the session is up.
    pub established: bool,
    /// BIRD's last error, which stays after the session is up again.
    pub last_error: Option<String>,
    /// The neighbour's AS.
    pub remote_as: Option<u32>,
    /// Our AS; BIRD 1.6 does not tell it.
    pub local_as: Option<u32>,
    /// The neighbour's router id.
    pub neighbor_id: Option<String>,
    /// Our address in the session.
    pub source_address: Option<String>,
    /// Flags of the session.
    pub session: Option<String>,
    /// Numbers of routes over all channels; `null` if they are not known.
    pub routes: Option<PeerRoutes>,
    /// The limit of imported routes.
    pub import_limit: Option<ImportLimit>,
    /// Seconds left and the whole of them: `167/240`.
    pub hold_timer: Option<String>,
    /// Likewise.
    pub keepalive_timer: Option<String>,
    /// Likewise, until the next attempt to connect.
    pub connect_delay: Option<String>,
    /// Likewise, of the back-off after an error.
    pub error_wait: Option<String>,
    /// Whether its neighbour is an IPv6 one.
    #[serde(skip)]
    pub(super) is_ipv6: bool,
}

/// Why a peer is one, by the name that confd gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
pub enum PeerType {
    /// `Mesh_`.
    #[serde(rename = "node-to-node mesh")]
    Mesh,
    /// `Node_`: a `BGPPeer` for this node.
    #[serde(rename = "node specific")]
    Node,
    /// `Global_`: a `BGPPeer` for all nodes.
    #[serde(rename = "global")]
    Global,
    /// `Local_Workload_`: a workload of this node.
    #[serde(rename = "local workload")]
    LocalWorkload,
    /// Not named by Calico.
    #[serde(rename = "other")]
    Other,
}

/// Numbers of routes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerRoutes {
    /// Routes that came from the peer and passed the import filter.
    pub imported: Option<u64>,
    /// Routes that the import filter rejected and that are kept; `null` where they are not.
    pub filtered: Option<u64>,
    /// Routes that went to the peer.
    pub exported: Option<u64>,
    /// Imported routes that are the best of their destination.
    pub preferred: Option<u64>,
}

/// A limit of imported routes.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportLimit {
    /// The most routes.
    pub routes: u64,
    /// Whether it is reached.
    pub hit: bool,
    /// What happens then.
    pub action: Option<String>,
}

impl Peer {
    /// The peer of a BGP protocol of BIRD's; `clock` is the daemon's.
    pub(super) fn new(protocol: Protocol, clock: Option<&Clock>) -> Self {
        let (kind, rest) = peer_type(&protocol.name);
        let (encoded, port) = split_port(rest);
        let routes = routes(&protocol);
        let import_limit =
            protocol.channels.iter().find_map(|channel| channel.import_limit.as_ref()).map(
                |Limit { routes, is_hit, action }| ImportLimit {
                    routes: *routes,
                    hit: *is_hit,
                    action: action.clone(),
                },
            );
        let bgp = protocol.bgp.unwrap_or_default();
        let bgp_state = Some(bgp.state).filter(|state| !state.is_empty()).or_else(|| {
            protocol.info.split(' ').next().filter(|word| is_bgp_state(word)).map(Into::into)
        });
        let address = bgp.neighbor_address.or_else(|| decode(encoded));
        let is_ipv6 =
            address.as_ref().or(bgp.neighbor_range.as_ref()).is_some_and(|text| text.contains(':'));
        let since_time = clock::epoch(&protocol.since)
            .or_else(|| clock.and_then(|clock| clock.since(&protocol.since)));
        Self {
            address,
            port: bgp.neighbor_port.or(port),
            kind,
            since_time,
            // In graceful restart the protocol is held in `wait`, but the session is up.
            established: bgp_state.as_deref() == Some("Established"),
            bgp_state,
            last_error: bgp.last_error,
            remote_as: bgp.neighbor_as,
            local_as: bgp.local_as,
            neighbor_id: bgp.neighbor_id,
            source_address: bgp.source_address,
            session: bgp.session,
            routes,
            import_limit,
            hold_timer: bgp.hold_timer,
            keepalive_timer: bgp.keepalive_timer,
            connect_delay: bgp.connect_delay,
            error_wait: bgp.error_wait,
            is_ipv6,
            name: protocol.name,
            state: protocol.state,
            since: protocol.since,
            info: protocol.info,
        }
    }
}

/// Whether a word of the info column is a state of BGP's and not the class of an error.
fn is_bgp_state(word: &str) -> bool {
    matches!(
        word,
        "Idle"
            | "Connect"
            | "Active"
            | "OpenSent"
            | "OpenConfirm"
            | "Established"
            | "Close"
            | "Passive"
            | "Down"
    )
}

/// The routes of all channels. BIRD gives no numbers for what is down, and there it has no routes: `down` comes
/// only after `flush`.
fn routes(protocol: &Protocol) -> Option<PeerRoutes> {
    let none = protocols::Routes {
        imported: Some(0),
        filtered: None,
        exported: Some(0),
        preferred: Some(0),
    };
    let is_down =
        |channel: &Channel| protocol.state == "down" || channel.state.as_deref() == Some("DOWN");
    let mut sum: Option<PeerRoutes> = None;
    for channel in &protocol.channels {
        let routes = channel.routes.or_else(|| is_down(channel).then_some(none))?;
        let plus = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => a.checked_add(b),
            (a, b) => a.or(b),
        };
        let so_far = sum.unwrap_or_default();
        sum = Some(PeerRoutes {
            imported: plus(so_far.imported, routes.imported),
            filtered: plus(so_far.filtered, routes.filtered),
            exported: plus(so_far.exported, routes.exported),
            preferred: plus(so_far.preferred, routes.preferred),
        });
    }
    sum
}

/// A peer's type and what follows it in the name.
fn peer_type(name: &str) -> (PeerType, &str) {
    [
        ("Mesh_", PeerType::Mesh),
        ("Node_", PeerType::Node),
        ("Global_", PeerType::Global),
        ("Local_Workload_", PeerType::LocalWorkload),
    ]
    .into_iter()
    .find_map(|(prefix, kind)| Some((kind, name.strip_prefix(prefix)?)))
    .unwrap_or((PeerType::Other, ""))
}

/// Takes `_port_1790` off a name.
fn split_port(name: &str) -> (&str, Option<u16>) {
    name.rsplit_once("_port_")
        .and_then(|(address, port)| Some((address, Some(port.parse().ok()?))))
        .unwrap_or((name, None))
}

/// The address that confd wrote with underscores.
fn decode(encoded: &str) -> Option<String> {
    let dotted = encoded.replace('_', ".").parse::<Ipv4Addr>().map(|address| address.to_string());
    let colons =
        || encoded.replace('_', ":").parse::<Ipv6Addr>().map(|address| address.to_string());
    dotted.or_else(|_| colons()).ok()
}
