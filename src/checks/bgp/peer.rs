//! Each peer: is its session established, and if not, why?
//!
//! What tells most comes first: that the session is down on purpose, what is wrong on this host, what the peer itself
//! said, how a connection to it ends. BIRD keeps the last error of a session for ever, so that it counts only as long as
//! a connection does not end otherwise.

mod cause;
mod kept;
mod unacknowledged;

use serde_json::{Map, Value, json};

use super::facts::Facts;
use crate::bird::configuration::Session;
use crate::bird::reply::Trouble;
use crate::checks::{Finding, Level};
use crate::host::Family;
use crate::status::{FamilyStatus, Peer, State};
use cause::Case;

const ID: &str = "bgp.peer";

/// Why a session is down.
#[derive(Debug, Clone)]
struct Verdict {
    /// One of the words that docs/checks.md lists.
    cause: &'static str,
    certainty: Certainty,
    /// What follows "10.0.0.2: ".
    summary: String,
    remedy: Vec<String>,
    facts: Map<String, Value>,
}

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Certainty {
    /// No other cause fits what was seen.
    Certain,
    /// Another cause fits, and is less likely.
    Likely,
    /// It could not be told.
    Unknown,
}

impl Verdict {
    fn new(cause: &'static str, certainty: Certainty, summary: impl Into<String>) -> Self {
        let (remedy, facts) = (Vec::new(), Map::new());
        Self { cause, certainty, summary: summary.into(), remedy, facts }
    }

    fn certain(cause: &'static str, summary: impl Into<String>) -> Self {
        Self::new(cause, Certainty::Certain, summary)
    }

    fn likely(cause: &'static str, summary: impl Into<String>) -> Self {
        Self::new(cause, Certainty::Likely, summary)
    }

    fn unknown(summary: impl Into<String>) -> Self {
        Self::new("unknown", Certainty::Unknown, summary)
    }

    /// The same, only likely unless `is_certain`.
    fn certain_if(mut self, is_certain: bool) -> Self {
        if !is_certain && self.certainty == Certainty::Certain {
            self.certainty = Certainty::Likely;
        }
        self
    }

    fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy.push(line.into());
        self
    }

    fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// One finding for each peer that BIRD has, and for each that it should have.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (family, status) in facts.families() {
        for peer in &status.peers {
            let session = facts.session(family, &peer.name);
            findings.push(if peer.established {
                kept::established(facts, family, peer)
            } else {
                let case = Case::new(facts, family, status, peer, session);
                down(peer, &case, case.verdict())
            });
        }
        findings.extend(missing(facts, family, status));
    }
    findings
}

fn down(peer: &Peer, case: &Case<'_>, verdict: Verdict) -> Finding {
    let address = peer.address.as_deref().unwrap_or(&peer.name);
    let word = match verdict.certainty {
        Certainty::Certain | Certainty::Unknown => "",
        Certainty::Likely => "likely ",
    };
    let node = case.node();
    // Whose AS is wrong, the datastore knows.
    let expected = node.zip(case.expected_as()).filter(|_| verdict.cause == "bad-peer-as");
    let expected = expected.map_or(String::new(), |(node, number)| {
        format!("; in the datastore {} has AS {number}", node.name)
    });
    let summary = format!(
        "{address} ({}) is {}: {word}{}: {}{expected}",
        peer.name,
        peer.bgp_state.as_deref().unwrap_or(&peer.state),
        verdict.cause,
        verdict.summary
    );
    let mut finding = Finding::new(ID, Level::Fail, summary)
        .evidence(json!({
            "name": peer.name, "address": peer.address, "cause": verdict.cause, "certainty": verdict.certainty,
        }))
        .evidence(about(peer))
        .evidence(json!({
            "look": case.look, "configured": case.session.map(shown),
            "datastore": node.map(|node| json!({"node": node.name, "as": case.expected_as()})),
        }))
        .evidence(Value::Object(verdict.facts));
    finding.remedy = verdict.remedy;
    finding
}

/// What BIRD says of a peer.
fn about(peer: &Peer) -> Value {
    json!({
        "type": peer.kind, "port": peer.port, "state": peer.state, "bgpState": peer.bgp_state,
        "since": peer.since, "lastError": peer.last_error, "info": peer.info, "remoteAs": peer.remote_as,
        "routes": peer.routes,
    })
}

/// How a session is configured; of a password only that there is one.
fn shown(session: &Session) -> Value {
    json!({
        "source": session.source, "passive": session.is_passive, "password": session.has_password,
        "ttlSecurity": session.has_ttl_security, "localAs": session.local_as, "remoteAs": session.remote_as,
    })
}

/// Sessions that are configured and that BIRD does not have, or cannot tell of.
fn missing(facts: &Facts<'_>, family: Family, status: &FamilyStatus) -> Vec<Finding> {
    let Some(file) = facts.file(family) else { return Vec::new() };
    let is_blocked = status.state == Some(State::Unreachable)
        && matches!(status.trouble, Some(Trouble::Blocked | Trouble::TimedOut));
    let is_known = status.state == Some(State::Ready) && status.established.is_some();
    let wanted = file.configuration.peers.iter().filter(|session| {
        let of_family = session
            .neighbor
            .as_ref()
            .is_some_and(|neighbor| neighbor.contains(':') == (family == Family::Ipv6));
        of_family && !status.peers.iter().any(|peer| peer.name == session.name)
    });
    wanted
        .filter_map(|session| {
            let verdict = if is_blocked {
                Verdict::certain(
                    "bird-blocked",
                    "BIRD does not answer, so that nothing is known of the session: see bgp.daemon",
                )
            } else if is_known {
                Verdict::certain(
                    "config-not-loaded",
                    "it is in the configuration on disk, and BIRD does not know it: see bgp.configuration",
                )
                .remedy("have BIRD load it: in the container of calico-node, sv hup bird")
            } else {
                return None;
            };
            let level = if is_blocked { Level::Unknown } else { Level::Fail };
            let address = session.neighbor.as_deref().unwrap_or(&session.name);
            let summary = format!("{address} ({}): {}: {}", session.name, verdict.cause, verdict.summary);
            let mut finding = Finding::new(ID, level, summary)
                .evidence(json!({
                    "name": session.name, "address": session.neighbor, "cause": verdict.cause,
                    "certainty": verdict.certainty, "configured": shown(session),
                }));
            finding.remedy = verdict.remedy;
            Some(finding)
        })
        .collect()
}
