//! What the readiness and liveness probes of calico/node say, computed as they compute it and in their own words
//! (`node/pkg/health` of Calico): what an operator sees in `kubectl describe pod`.

use jiff::SignedDuration;
use serde_json::json;

use super::facts::Facts;
use crate::bird::reply::Trouble;
use crate::checks::{Finding, Level};
use crate::host::{Family, Outcome};
use crate::status::agents::Daemon;
use crate::status::{FamilyStatus, NODENAME, Peer, PeerType, State};

/// The probes' `--threshold-time`: how long after its start all peers of a node must be established.
const THRESHOLD: SignedDuration = SignedDuration::from_secs(30);

/// Readiness and liveness of each family that is meant to run.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ((family, status), probe) in facts.families().into_iter().zip([IPV4, IPV6]) {
        let is_absent = matches!(status.state, Some(State::Disabled | State::NotRunning) | None);
        if is_absent && (family == Family::Ipv6 || status.expected != Some(true)) {
            continue;
        }
        findings.push(readiness(facts, status, &probe));
        findings.push(liveness(facts, status, &probe));
    }
    findings
}

/// How the probes name a family.
struct Probe {
    ready: &'static str,
    version: char,
    daemon: &'static str,
    socket: &'static str,
    separator: &'static str,
}

const IPV4: Probe =
    Probe { ready: "BIRD", version: '4', daemon: "bird", socket: "bird.ctl", separator: "." };
const IPV6: Probe =
    Probe { ready: "BIRD6", version: '6', daemon: "bird6", socket: "bird6.ctl", separator: ":" };

fn readiness(facts: &Facts<'_>, status: &FamilyStatus, probe: &Probe) -> Finding {
    const ID: &str = "bgp.readiness";
    let Probe { ready, version, socket, .. } = probe;
    let not_ready = |why: &str| {
        let message = format!("{ready} is not ready: {why}");
        Finding::new(ID, Level::Fail, format!("calico/node is not ready: {message}"))
            .evidence(json!({"probe": format!("{}-ready", probe.daemon), "message": message}))
    };
    let unknown = |why: String| {
        let summary = format!("what the readiness probe says of {ready} is not known: {why}");
        Finding::new(ID, Level::Unknown, summary)
    };
    let nodename = facts.evidence.get(NODENAME);
    match nodename.map(|reading| reading.outcome) {
        Some(Outcome::Ok) => {}
        Some(Outcome::Missing) => {
            return not_ready(
                "failed to stat() nodename file: stat /var/lib/calico/nodename: no such file or directory",
            )
            .remedy("calico/node has not finished its start: kubectl logs -n calico-system POD -c calico-node");
        }
        _ => return unknown("/var/lib/calico/nodename could not be read".to_owned()),
    }
    match (status.state, status.trouble) {
        (Some(State::Ready), _) if status.established.is_some() => {}
        (
            Some(State::NotRunning | State::Unreachable),
            Some(trouble @ (Trouble::Absent | Trouble::Refused)),
        ) => {
            let errno = match trouble {
                Trouble::Absent => "no such file or directory",
                _ => "connection refused",
            };
            return not_ready(&format!(
                "error querying BIRD: unable to connect to BIRDv{version} socket: dial unix /var/run/calico/{socket}: \
                 connect: {errno}"
            ));
        }
        _ => {
            return unknown(
                status.error.clone().unwrap_or_else(|| "BIRD's answer is not whole".to_owned()),
            );
        }
    }
    let peers: Vec<&Peer> = status.peers.iter().filter(|peer| counts(peer)).collect();
    let is_up = |peer: &&&Peer| seen_state(peer) == Some("Established");
    let up = peers.iter().filter(is_up).count();
    let down: Vec<String> = peers
        .iter()
        .filter(|peer| !is_up(peer))
        .map(|peer| address_in(&peer.name).replace('_', probe.separator))
        .collect();
    let age = nodename
        .and_then(|reading| reading.modified)
        .map(|modified| facts.time.duration_since(modified));
    let Some(age) = age else {
        return unknown("the age of /var/lib/calico/nodename is not known".to_owned());
    };
    let remedy = "mend the peers that are down: see bgp.peer";
    let listed = down.join(",");
    if age < THRESHOLD && !down.is_empty() || up == 0 && !peers.is_empty() {
        let mut finding = not_ready(&format!("BGP not established with {listed}")).remedy(remedy);
        if up > 0 {
            // Asked again a little later, the probe says something else of the same peers.
            finding.summary += " (all must be in its first 30 s, one is enough then)";
        }
        return finding;
    }
    if age < THRESHOLD && !peers.is_empty() && status.graceful_restart.is_some() {
        return not_ready("graceful restart in progress").remedy(remedy);
    }
    let rule = if down.is_empty() {
        String::new()
    } else {
        format!(
            ", although {} of its {} peers are down: once calico/node runs for 30 s, one that is established is enough",
            down.len(),
            peers.len()
        )
    };
    let level = if down.is_empty() { Level::Ok } else { Level::Info };
    Finding::new(ID, level, format!("the readiness probe finds {ready} ready{rule}"))
        .evidence(json!({"probe": format!("{}-ready", probe.daemon), "established": up, "notEstablished": down}))
}

/// Whether the probe counts a peer: by its name, and a disabled one has no sixth column.
fn counts(peer: &Peer) -> bool {
    matches!(peer.kind, PeerType::Mesh | PeerType::Node | PeerType::Global)
        && seen_state(peer).is_some()
}

/// What the probe takes for the state: the sixth word of the row. Where `since` is two words it is the second of them.
fn seen_state(peer: &Peer) -> Option<&str> {
    peer.since.split_whitespace().chain(peer.info.split_whitespace()).nth(1)
}

/// What follows the type in a name.
fn address_in(name: &str) -> &str {
    name.split_once('_').map_or(name, |(_, rest)| rest)
}

fn liveness(facts: &Facts<'_>, status: &FamilyStatus, probe: &Probe) -> Finding {
    const ID: &str = "bgp.liveness";
    let Probe { daemon, .. } = probe;
    let not_live = |message: String| {
        Finding::new(ID, Level::Fail, format!("calico/node is not ready: {message}"))
            .evidence(json!({"probe": format!("{daemon}-live"), "message": message}))
            .remedy("kubectl logs -n calico-system POD -c calico-node --previous")
    };
    let agents = &facts.status.agents;
    let bird: &Daemon =
        if *daemon == "bird" || facts.is_one_daemon() { &agents.bird } else { &agents.bird6 };
    for (service, agent) in [("confd", &agents.confd), (*daemon, bird)] {
        match agent.presence.running {
            Some(true) => {}
            Some(false) => {
                return not_live(format!(
                    "{daemon}/confd is not live: service {service} is not running."
                ));
            }
            None => {
                let why = agent.reason.as_deref().unwrap_or("its process was not seen");
                let summary = format!("whether {service} runs is not known: {why}");
                return Finding::new(ID, Level::Unknown, summary);
            }
        }
    }
    match (status.state, status.trouble) {
        (Some(State::Ready), _) => {
            let summary = format!("the liveness probe finds {daemon} live");
            Finding::new(ID, Level::Ok, summary)
                .evidence(json!({"probe": format!("{daemon}-live")}))
        }
        (Some(State::Unreachable), Some(Trouble::Blocked | Trouble::TimedOut)) => {
            not_live(format!(
                "{daemon} is not live: birdcl gets no answer, until the probe itself runs out of time"
            ))
        }
        (
            Some(State::Unreachable | State::NotRunning),
            Some(Trouble::Refused | Trouble::Absent),
        ) => not_live(format!("{daemon} is not live: exit status 1")),
        _ => {
            let summary = format!("what the liveness probe says of {daemon} is not known");
            Finding::new(ID, Level::Unknown, summary)
        }
    }
}
