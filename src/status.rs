//! BGP peers and Calico's agents of a node, from evidence.
//!
//! [`node_status`] is a pure function of readings, so that a bundle gives what the node gave. Its types serialise
//! to the JSON of `node status`: fields may be added, never renamed; what is not known is `null` with a reason
//! beside it.

pub mod agents;
pub mod bgp;
pub mod clock;
pub mod peer;
pub mod resource;
pub mod verdict;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::host::{Evidence, Family, Outcome};
use crate::processes;

pub use agents::Agents;
pub use bgp::{Bgp, FamilyStatus, State};
pub use peer::{ImportLimit, Peer, PeerRoutes, PeerType};
pub use resource::{CalicoNodeStatus, resource};
pub use verdict::{Verdict, verdict};

/// Where the table of processes is kept.
pub const PROCESSES: &str = "processes.json";
/// Where Felix's answer about its liveness is kept.
pub const FELIX_LIVENESS: &str = "felix/liveness";
/// Where Felix's answer about its readiness is kept.
pub const FELIX_READINESS: &str = "felix/readiness";
/// Where the file is kept to which calico/node writes the node's name.
pub const NODENAME: &str = "host/var/lib/calico/nodename";
/// Where the kernel's host name is kept.
pub const HOSTNAME: &str = "host/proc/sys/kernel/hostname";

/// Where the answers of one daemon are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// That to `show status`.
    pub status: &'static str,
    /// That to `show protocols all`.
    pub protocols: &'static str,
    /// That to `show route`; only [`resource()`] looks at it.
    pub route: &'static str,
}

impl Answers {
    /// The answers of the daemon for this family.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self {
                status: "bird/ipv4/show-status",
                protocols: "bird/ipv4/show-protocols-all",
                route: "bird/ipv4/show-route",
            },
            Family::Ipv6 => Self {
                status: "bird/ipv6/show-status",
                protocols: "bird/ipv6/show-protocols-all",
                route: "bird/ipv6/show-route",
            },
        }
    }
}

/// A node's agents and BGP peers.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The version of this document's schema.
    pub schema_version: u32,
    /// The node's name: what calico/node wrote, else the host name in lower case.
    pub node: Option<String>,
    /// Why the name is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_reason: Option<String>,
    /// When the node was asked.
    pub time: Timestamp,
    /// `CALICO_NETWORKING_BACKEND` as the agents were given it, `bird` if they were given none; `null` if their
    /// environment is not known.
    pub networking_backend: Option<String>,
    /// Calico's daemons.
    pub agents: Agents,
    /// What BIRD says.
    pub bgp: Bgp,
}

/// Judges the evidence. `time` is when the node was asked.
#[must_use]
pub fn node_status(time: Timestamp, evidence: &Evidence) -> NodeStatus {
    let table = Table::read(evidence);
    let found = processes::find(&table.processes);
    let intent = Intent::of(&found);
    let answers = Family::ALL.map(|family| bgp::ask(evidence, family));
    let agents = agents::agents(evidence, &table, &found, &answers, &intent);
    let bgp = bgp::judge(answers, &agents, &intent);
    let (node, node_reason) = node_name(evidence);
    NodeStatus {
        schema_version: 1,
        node,
        node_reason,
        time,
        networking_backend: intent.backend,
        agents,
        bgp,
    }
}

/// The table of processes, as far as it is known.
#[derive(Debug, Default)]
struct Table {
    processes: Vec<processes::Process>,
    /// Why a process that is not in it may run nevertheless.
    gap: Option<String>,
}

impl Table {
    fn read(evidence: &Evidence) -> Self {
        let Some(reading) = evidence.get(PROCESSES) else {
            let gap = Some("the table of processes was not read".to_owned());
            return Self { gap, ..Self::default() };
        };
        let gap = (reading.outcome != Outcome::Ok).then(|| {
            let reason = reading.reason.as_deref().unwrap_or("no reason was given");
            format!("the table of processes is not complete: {reason}")
        });
        match processes::parse(&reading.bytes) {
            Ok(processes) => Self { processes, gap },
            Err(error) => {
                let unreadable = format!("the table of processes cannot be read: {error}");
                Self { processes: Vec::new(), gap: gap.or(Some(unreadable)) }
            }
        }
    }
}

/// Why a process of Calico's may run that was not seen; `None` where all processes were.
pub(crate) fn unseen(evidence: &Evidence) -> Option<String> {
    Table::read(evidence).gap
}

/// What this node is configured to run, as the environment of its agents says.
#[derive(Debug, Default)]
struct Intent {
    /// See [`NodeStatus::networking_backend`].
    backend: Option<String>,
    /// Whether Felix serves its health.
    health: Option<bool>,
    /// `IP`: an address, how one is found, or `none`.
    ip: Option<String>,
    /// `IP6`, likewise; unset means none.
    ip6: Option<String>,
}

impl Intent {
    /// An environment that holds none of the variables tells no more than one that could not be read: calico/node is
    /// never started with none of them, and a Felix without calico/node says nothing of BIRD.
    fn of(found: &processes::Agents<'_>) -> Self {
        let sightings = [&found.felix, &found.confd, &found.bird, &found.bird6];
        let environments: Vec<_> = sightings
            .iter()
            .filter_map(|sighting| sighting.process)
            .filter_map(|process| process.environment.as_ref())
            .filter(|environment| !environment.is_empty())
            .collect();
        let variable =
            |name: &str| environments.iter().find_map(|environment| environment.get(name)).cloned();
        let backend = variable("CALICO_NETWORKING_BACKEND").filter(|backend| !backend.is_empty());
        Self {
            backend: backend.or_else(|| (!environments.is_empty()).then(|| "bird".to_owned())),
            health: variable("FELIX_HEALTHENABLED").and_then(|value| truth(&value)),
            ip: variable("IP"),
            ip6: variable("IP6"),
        }
    }

    /// Whether a daemon is to run for this family; `None` if that is not known.
    fn expects(&self, family: Family) -> Option<bool> {
        let backend = self.backend.as_deref()?;
        let is_wanted = match family {
            Family::Ipv4 => self.ip.as_deref() != Some("none"),
            Family::Ipv6 => self.ip6.as_deref().is_some_and(|ip| !ip.is_empty() && ip != "none"),
        };
        Some(!runs_no_bird(backend) && is_wanted)
    }

    /// Whether the node is known to run no BIRD.
    fn is_without_bird(&self) -> bool {
        self.backend.as_deref().is_some_and(runs_no_bird)
    }
}

/// calico/node starts BIRD and confd with every other backend, unknown words too.
fn runs_no_bird(backend: &str) -> bool {
    matches!(backend, "none" | "vxlan")
}

/// A Boolean as Felix reads its parameters.
fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// The node's name, or why it is not known. calico/node writes its file without a line feed; one that is there
/// all the same is no part of a name that is shown.
pub(crate) fn node_name(evidence: &Evidence) -> (Option<String>, Option<String>) {
    let name = |path: &str| {
        let reading = evidence.get(path)?;
        let text = reading.text();
        let name = text.trim_end_matches(['\n', '\r']);
        (reading.outcome == Outcome::Ok && !name.is_empty()).then(|| name.to_owned())
    };
    match name(NODENAME).or_else(|| name(HOSTNAME).map(|name| name.to_lowercase())) {
        Some(name) => (Some(name), None),
        None => {
            (None, Some("neither /var/lib/calico/nodename nor the host name can be read".into()))
        }
    }
}

#[cfg(test)]
mod tests;
