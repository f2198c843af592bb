//! Why a session is down: one case, and the questions that are put to it in turn.

mod connection;
mod here;
mod stale;
mod told;

use super::Verdict;
use crate::bgp::looks::{Connection, Look, Outcome};
use crate::bird::configuration::{PORT, Session};
use crate::checks::bgp::facts::Facts;
use crate::host::Family;
use crate::status::{FamilyStatus, Peer, PeerType};

/// All that is known of a session that is down.
pub(super) struct Case<'a> {
    facts: &'a Facts<'a>,
    family: Family,
    status: &'a FamilyStatus,
    peer: &'a Peer,
    /// The peer's address, or its name where it has none.
    address: &'a str,
    port: u16,
    /// How it is configured; `None` if that is not known.
    pub(super) session: Option<&'a Session>,
    pub(super) look: Option<&'a Look>,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        facts: &'a Facts<'a>,
        family: Family,
        status: &'a FamilyStatus,
        peer: &'a Peer,
        session: Option<&'a Session>,
    ) -> Self {
        let look = facts.looks.get(&peer.name);
        let port = peer.port.or_else(|| session?.port).unwrap_or(PORT);
        let address = peer.address.as_deref().unwrap_or(&peer.name);
        Self { facts, family, status, peer, address, port, session, look }
    }

    /// The cause.
    pub(super) fn verdict(&self) -> Verdict {
        self.not_started()
            .or_else(|| self.not_loaded())
            .or_else(|| self.stale())
            .or_else(|| self.wrong_here())
            .or_else(|| self.told())
            .or_else(|| self.by_connection())
            .or_else(|| self.by_last_error())
            .unwrap_or_else(|| Verdict::unknown(self.nothing_fits()))
    }

    /// A protocol that is down is not tried at all: BIRD gave it up, or somebody took it down.
    fn not_started(&self) -> Option<Verdict> {
        if self.peer.state != "down" {
            return None;
        }
        let error = self.error();
        if error.contains("Route limit exceeded") {
            let limit = self.peer.import_limit.as_ref();
            let routes = limit.map_or(String::new(), |limit| format!(" ({} routes)", limit.routes));
            let verdict = Verdict::certain(
                "route-limit",
                format!(
                    "BIRD shut it down because the peer announced more routes than its import limit{routes}"
                ),
            );
            return Some(
                verdict
                    .remedy("find out why it announces so many, or raise the limit in its configuration")
                    .remedy(format!("then start it again: birdcl enable {}", self.peer.name)),
            );
        }
        if error.contains("No listening socket") {
            return Some(self.no_listener().unwrap_or_else(|| {
                Verdict::likely(
                    "not-listening",
                    "BIRD could not open its listening socket when the session began",
                )
                .remedy(format!("start it again: birdcl enable {}", self.peer.name))
            }));
        }
        if !error.is_empty() {
            return self.told();
        }
        let place = match self.session {
            Some(session) if session.is_disabled => "in the configuration",
            Some(_) => "by hand (birdcl disable), for the configuration does not say so",
            None => "by hand or in the configuration",
        };
        Some(
            Verdict::certain("disabled-here", format!("it is disabled on this node, {place}"))
                .remedy(format!("birdcl enable {}", self.peer.name)),
        )
    }

    /// The file on disk says of the session what BIRD does not run.
    fn not_loaded(&self) -> Option<Verdict> {
        let session = self.session?;
        let (running, wanted) = (self.peer.remote_as?, session.remote_as?);
        (running != wanted).then(|| {
            Verdict::certain(
                "config-not-loaded",
                format!("BIRD runs it with AS {running} for the peer, the configuration on disk has AS {wanted}"),
            )
            .remedy("have BIRD load it: in the container of calico-node, sv hup bird; if it is refused, bird -p says why")
        })
    }

    /// BIRD's last error, from the details or the row.
    fn error(&self) -> &str {
        let in_row = || {
            let info = self.peer.info.as_str();
            let state = self.peer.bgp_state.as_deref().unwrap_or_default();
            info.strip_prefix(state).unwrap_or(info).trim()
        };
        self.peer.last_error.as_deref().unwrap_or_else(in_row)
    }

    fn bgp_state(&self) -> &str {
        self.peer.bgp_state.as_deref().unwrap_or_default()
    }

    fn connection(&self) -> Option<&'a Connection> {
        self.look?.connection.as_ref()
    }

    /// Whether the peer's host took a connection.
    fn reached_peer(&self) -> Option<bool> {
        let outcome = self.connection()?.outcome;
        Some(matches!(outcome, Outcome::Connected | Outcome::Closed))
    }

    /// Whether the peer is to call this node, and not the other way round.
    fn is_passive(&self) -> bool {
        self.bgp_state() == "Passive" || self.session.is_some_and(|session| session.is_passive)
    }

    fn has_password(&self) -> bool {
        self.session.is_some_and(|session| session.has_password)
    }

    fn has_ttl_security(&self) -> bool {
        self.session.is_some_and(|session| session.has_ttl_security)
    }

    /// This node's end of the session.
    fn source(&self) -> Option<&'a str> {
        let look = || self.look?.source.as_deref();
        self.session.and_then(|session| session.source.as_deref()).or_else(look)
    }

    /// How a resource that configures this session is changed.
    fn resource(&self) -> &'static str {
        match self.peer.kind {
            PeerType::Mesh => {
                "calicoctl get node -o yaml (spec.bgp), calicoctl get bgpconfiguration default -o yaml"
            }
            _ => "calicoctl get bgppeer -o yaml",
        }
    }

    fn nothing_fits(&self) -> String {
        let error = match self.error() {
            "" => "no error".to_owned(),
            error => format!("the last error \"{error}\""),
        };
        let untried = self.look.and_then(|look| look.untried.as_deref());
        let untried = match (self.look, untried) {
            (None, _) if self.facts.probe => ", and the peer was not looked at".to_owned(),
            (None, _) => ", and the peer was not looked at (--no-probe)".to_owned(),
            (Some(_), Some(reason)) => format!(", and no connection was tried: {reason}"),
            (Some(_), None) => ", and a connection to it can be made".to_owned(),
        };
        format!("BIRD tells {error}{untried}; look again in a minute, and at BIRD's log")
    }
}
