//! A look at each peer whose session is down: the kernel's way to it and, unless that was not wanted, a connection.
//!
//! ```json
//! {"looks": [{"name": "Node_10_0_0_3", "address": "10.0.0.3", "port": 179, "source": "10.0.0.1",
//!   "route": {"type": "unicast", "dev": "eth0", "gateway": null, "source": "10.0.0.1", "mtu": null},
//!   "neighbour": {"address": "10.0.0.3", "state": "reachable", "mac": "ee:ee:ee:ee:ee:ee"},
//!   "connection": {"outcome": "refused", "milliseconds": 0, "errno": "ECONNREFUSED"}}],
//!  "leftOut": 0}
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::message::Said;
use crate::bird::configuration::{self, Configuration};
use crate::bird::protocols::Protocol;

/// Where a bundle keeps the document.
pub const PATH: &str = "bgp/probes.json";

/// At most so many peers are looked at. Calico's mesh is meant for a hundred nodes or so.
pub const MOST: usize = 512;

/// A peer to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name of BIRD's protocol.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// From where.
    pub source: Source,
    /// Why no connection is made, where none is.
    pub refusal: Option<&'static str>,
}

/// This node's end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This address.
    Address(IpAddr),
    /// The kernel's choice, as it is configured (`sourceAddress: None`).
    Any,
    /// It is not known: the configuration could not be read.
    Unknown,
}

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Looks {
    /// The peers that were looked at.
    pub looks: Vec<Look>,
    /// How many more there are.
    #[serde(default)]
    pub left_out: usize,
}

/// What a look at one peer gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Look {
    /// The name of BIRD's protocol.
    pub name: String,
    /// The peer's address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// This node's end of the session; `None`: the kernel's choice, or not known.
    pub source: Option<String>,
    /// The kernel's way to the peer; `None` if it was not asked.
    pub route: Option<Way>,
    /// The next hop on the link, after the connection was tried.
    pub neighbour: Option<Neighbour>,
    /// How the connection went.
    pub connection: Option<Connection>,
    /// Why none was tried.
    pub untried: Option<String>,
}

/// Where the kernel would send a packet to a peer (`ip route get`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Way {
    /// `unicast`, or `local` for an address of this node itself.
    #[serde(rename = "type")]
    pub kind: String,
    /// The link.
    pub dev: Option<String>,
    /// The gateway, if the peer is not on the link.
    pub gateway: Option<String>,
    /// The address that the kernel would choose for a packet without one.
    pub source: Option<String>,
    /// The MTU of the path, where the kernel has learned one or the route has one.
    pub mtu: Option<u32>,
    /// The kernel's word in place of a way: `ENETUNREACH` (no route), `EHOSTUNREACH`, `EACCES`, `EINVAL` (a route of
    /// type unreachable, prohibit, blackhole).
    pub errno: Option<String>,
}

/// An entry of the kernel's table of neighbours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbour {
    /// The next hop.
    pub address: String,
    /// `reachable`, `stale`, `delay`, `probe`, `permanent`, `noarp`; `incomplete` and `failed`: it does not answer.
    pub state: String,
    /// Its link layer address.
    pub mac: Option<String>,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// In one word.
    pub outcome: Outcome,
    /// How long it took until then.
    pub milliseconds: u64,
    /// The errno, where there is one.
    #[serde(default)]
    pub errno: Option<String>,
    /// What the peer said.
    #[serde(default)]
    pub said: Option<Said>,
    /// When the peer closed it, counted from when it stood.
    #[serde(default)]
    pub closed_after_milliseconds: Option<u64>,
}

/// How an attempt to connect ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It stood until it was closed from here.
    Connected,
    /// It stood, and the peer closed it.
    Closed,
    /// The peer's host, or a firewall in its name, refused.
    Refused,
    /// Nobody answered in time.
    TimedOut,
    /// The kernel has no route.
    NoRoute,
    /// The next hop does not answer, or somebody on the way said that the host cannot be reached.
    HostUnreachable,
    /// The source address is not on this host.
    AddressNotAvailable,
    /// This host's kernel does not allow it.
    Denied,
    /// Something else: the errno.
    Failed,
}

impl Looks {
    /// The document in `bytes`; `None` if it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The peers to look at: those whose session does not stand, by what BIRD says and how it is configured.
///
/// A peer whose session stands is never connected to: it would take the new connection for a restart of this node's
/// BIRD and give the old one up (RFC 4724, section 4.2). Nor is one with which a session is just being made.
#[must_use]
pub fn targets(protocols: &[Protocol], configurations: &[Configuration]) -> Vec<Target> {
    let configured: HashMap<&str, &configuration::Session> = configurations
        .iter()
        .flat_map(|configuration| &configuration.peers)
        .map(|session| (session.name.as_str(), session))
        .collect();
    let mut targets: Vec<Target> = Vec::new();
    for protocol in protocols.iter().filter(|protocol| protocol.proto == "BGP") {
        let Some(bgp) = &protocol.bgp else { continue };
        if bgp.state == "Established" || targets.iter().any(|known| known.name == protocol.name) {
            continue;
        }
        let session = configured.get(protocol.name.as_str());
        let address = bgp.neighbor_address.as_deref();
        let Some(address) = address.and_then(|address| address.parse::<IpAddr>().ok()) else {
            continue;
        };
        let refusal = match (protocol.state.as_str(), bgp.state.as_str()) {
            ("start", "OpenSent" | "OpenConfirm") => Some("a session is just being made"),
            ("start", _) => None,
            _ => Some("the protocol is down"),
        };
        let port = bgp.neighbor_port.or_else(|| session?.port).or_else(|| port_in(&protocol.name));
        targets.push(Target {
            name: protocol.name.clone(),
            address,
            port: port.unwrap_or(configuration::PORT),
            source: source(session.copied(), address, protocols),
            refusal,
        });
    }
    targets
}

/// The port in the name that confd gives: `Node_10_0_0_9_port_1790`.
fn port_in(name: &str) -> Option<u16> {
    name.rsplit_once("_port_")?.1.parse().ok()
}

/// This node's end of a session: as it is configured, else as in the sessions of the same family that stand, which
/// Calico all begins from the node's address.
fn source(
    session: Option<&configuration::Session>,
    peer: IpAddr,
    protocols: &[Protocol],
) -> Source {
    match session.map(|session| &session.source) {
        Some(Some(address)) => address.parse().map_or(Source::Unknown, Source::Address),
        Some(None) => Source::Any,
        None => protocols
            .iter()
            .filter_map(|protocol| protocol.bgp.as_ref()?.source_address.as_ref()?.parse().ok())
            .find(|address: &IpAddr| address.is_ipv4() == peer.is_ipv4())
            .map_or(Source::Unknown, Source::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bird::protocols::Bgp;

    fn protocol(name: &str, state: &str, bgp: &str, address: &str) -> Protocol {
        Protocol {
            name: name.to_owned(),
            proto: "BGP".to_owned(),
            state: state.to_owned(),
            bgp: Some(Bgp {
                state: bgp.to_owned(),
                neighbor_address: Some(address.to_owned()),
                source_address: (bgp == "Established").then(|| "10.0.0.1".to_owned()),
                ..Bgp::default()
            }),
            ..Protocol::default()
        }
    }

    #[test]
    fn a_session_that_stands_or_is_being_made_is_left_alone() {
        let protocols = [
            protocol("Mesh_10_0_0_2", "up", "Established", "10.0.0.2"),
            protocol("Mesh_10_0_0_3", "wait", "Established", "10.0.0.3"),
            protocol("Mesh_10_0_0_4", "start", "OpenSent", "10.0.0.4"),
            protocol("Mesh_10_0_0_5", "down", "Down", "10.0.0.5"),
            protocol("Node_10_0_0_6_port_1790", "start", "Connect", "10.0.0.6"),
        ];
        let targets = targets(&protocols, &[]);
        let seen: Vec<_> =
            targets.iter().map(|it| (it.name.as_str(), it.port, it.refusal.is_none())).collect();
        assert_eq!(
            seen,
            [
                ("Mesh_10_0_0_4", 179, false),
                ("Mesh_10_0_0_5", 179, false),
                ("Node_10_0_0_6_port_1790", 1790, true)
            ]
        );
        assert_eq!(targets[2].source, Source::Address("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn nothing_is_guessed_of_the_source() {
        let down = [protocol("a", "start", "Idle", "10.0.0.4")];
        assert_eq!(targets(&down, &[])[0].source, Source::Unknown);
        let configured = configuration::parse("protocol bgp a { neighbor 10.0.0.4 as 1; }");
        assert_eq!(targets(&down, &[configured])[0].source, Source::Any);
        let text = "protocol bgp a { neighbor 10.0.0.4 as 1; source address 10.9.9.9; }";
        let configured = configuration::parse(text);
        let source = targets(&down, &[configured])[0].source;
        assert_eq!(source, Source::Address("10.9.9.9".parse().unwrap()));
    }
}
