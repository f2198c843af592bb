//! BGP peers and Calico's agents, by what they do and not by when or under which process id.

use std::collections::BTreeMap;

use super::{Changed, Difference, Seen, Side};
use crate::status::{FamilyStatus, Peer};

fn families<'a>(side: &Side<'a>) -> [(&'static str, &'a FamilyStatus); 2] {
    [("ipv4", &side.status.bgp.ipv4), ("ipv6", &side.status.bgp.ipv6)]
}

fn name(peer: &Peer) -> String {
    match &peer.address {
        Some(address) => format!("{address} ({})", peer.name),
        None => peer.name.clone(),
    }
}

pub(super) fn see(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for (family, status) in families(side) {
        // A daemon that is known not to answer has no peers; that is told among the agents.
        if status.state.is_none() {
            let reason = status.error.as_deref().unwrap_or("its peers are not known");
            return Err(format!("{family}: {reason}"));
        }
        for peer in &status.peers {
            let mut facts = BTreeMap::new();
            let mut is = |field: &str, value: Option<String>| {
                if let Some(value) = value {
                    facts.insert(field.to_owned(), value);
                }
            };
            // A session that is tried goes round its states in seconds.
            let session = match (peer.established, peer.state.as_str()) {
                (true, _) => "Established",
                (false, "down") => "down",
                (false, _) => "not established",
            };
            is("session", Some(session.to_owned()));
            is("last error", peer.last_error.clone().filter(|_| !peer.established));
            is("remote AS", peer.remote_as.map(|number| number.to_string()));
            is("source address", peer.source_address.clone());
            is("port", peer.port.map(|port| port.to_string()));
            seen.facts.insert(name(peer), facts);
        }
    }
    Ok(seen)
}

/// A session that is up in both and began between them was down meanwhile.
pub(super) fn began_anew(before: &Side, after: &Side, difference: &mut Difference) {
    if difference.not_compared.is_some() {
        return;
    }
    let since: BTreeMap<String, &Peer> = families(before)
        .into_iter()
        .flat_map(|(_, status)| &status.peers)
        .filter(|peer| peer.established)
        .map(|peer| (name(peer), peer))
        .collect();
    for peer in families(after).into_iter().flat_map(|(_, status)| &status.peers) {
        let Some(was) = since.get(&name(peer)).filter(|_| peer.established) else { continue };
        if peer.since_time.is_some_and(|time| time > before.bundle.time()) {
            difference.changed.push(Changed {
                name: name(peer),
                field: "established since".to_owned(),
                before: was.since_time.map(|time| format!("{time:.0}")),
                after: peer.since_time.map(|time| format!("{time:.0}")),
                diff: None,
            });
        }
    }
}

pub(super) fn agents(side: &Side) -> Seen {
    let agents = &side.status.agents;
    let mut seen = Seen::default();
    let mut is = |agent: &str, field: &str, value: Option<String>| {
        let facts = seen.facts.entry(agent.to_owned()).or_default();
        // What is not known is said, so that it is told as a loss of sight.
        let value = value.unwrap_or_else(|| "not known".to_owned());
        facts.insert(field.to_owned(), value);
    };
    let said = |value: Option<bool>| value.map(|value| if value { "yes" } else { "no" }.to_owned());
    for (name, presence) in [
        ("felix", &agents.felix.presence),
        ("bird", &agents.bird.presence),
        ("bird6", &agents.bird6.presence),
        ("confd", &agents.confd.presence),
    ] {
        is(name, "running", said(presence.running));
    }
    is("felix", "live", said(agents.felix.live));
    is("felix", "ready", said(agents.felix.ready));
    for (family, status) in families(side) {
        let state = status.state.and_then(|state| serde_json::to_value(state).ok());
        let state = state.and_then(|state| state.as_str().map(ToOwned::to_owned));
        is(&format!("BGP {family}"), "state", state);
        if let Some(router_id) = &status.router_id {
            is(&format!("BGP {family}"), "router id", Some(router_id.clone()));
        }
    }
    seen
}
