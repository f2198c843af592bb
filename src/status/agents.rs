//! Calico's daemons: do they run, and is Felix well?

use schemars::JsonSchema;
use serde::Serialize;

use super::bgp::Answer;
use super::{FELIX_LIVENESS, FELIX_READINESS, Intent, Table};
use crate::felix::{self, Probe};
use crate::host::{Evidence, Outcome};
use crate::processes::{self, Sighting};

/// Calico's daemons.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Agents {
    /// Felix.
    pub felix: Felix,
    /// BIRD: of BIRD 2 and 3 the one daemon, of 1.6 that for IPv4.
    pub bird: Daemon,
    /// BIRD 1.6 for IPv6.
    pub bird6: Daemon,
    /// confd.
    pub confd: Daemon,
}

/// Whether a daemon runs, and as what.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Whether it runs; `null` if that is not known.
    pub running: Option<bool>,
    /// Its process, if that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Its arguments, joined by blanks; of long ones the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The letter in `/proc/PID/stat`: `T` for a stopped process, `D` for one that hangs in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process_state: Option<String>,
    /// How many processes there are of it, where there is more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

/// A daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Daemon {
    /// Whether it runs.
    #[serde(flatten)]
    pub presence: Presence,
    /// The control socket that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<String>,
    /// Why `running` is `null`, or why a process that looks like it is not taken for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Felix.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Felix {
    /// Whether it runs.
    #[serde(flatten)]
    pub presence: Presence,
    /// Whether it is configured to serve its health (`FELIX_HEALTHENABLED`); `null` if that is not known.
    pub health_enabled: Option<bool>,
    /// Whether its liveness probe succeeds; `null` if that is not known.
    pub live: Option<bool>,
    /// Whether its readiness probe succeeds; `null` if that is not known.
    pub ready: Option<bool>,
    /// Why one of the above is not `true`; `null` if all are.
    pub reason: Option<String>,
}

/// The most characters of a command line that are shown.
const MAX_COMMAND: usize = 200;

/// What is known of the daemons.
pub(super) fn agents(
    evidence: &Evidence,
    table: &Table,
    found: &processes::Agents<'_>,
    answers: &[Answer; 2],
    intent: &Intent,
) -> Agents {
    let [ipv4, ipv6] = answers;
    // BIRD 2 and 3 may serve the other name too, by a link: that is no second daemon.
    let is_bird6 = ipv6.major.is_none_or(|major| major < 2);
    Agents {
        felix: felix(evidence, daemon(table, &found.felix), intent),
        bird: bird(daemon(table, &found.bird), ipv4),
        bird6: if is_bird6 {
            bird(daemon(table, &found.bird6), ipv6)
        } else {
            daemon(table, &found.bird6)
        },
        confd: daemon(table, &found.confd),
    }
}

/// What the table of processes says of a daemon.
fn daemon(table: &Table, sighting: &Sighting<'_>) -> Daemon {
    if let Some(process) = sighting.process {
        let presence = Presence {
            running: Some(true),
            pid: Some(process.pid),
            command: Some(bounded(&process.argv.join(" "))),
            process_state: Some(process.state.clone()).filter(|state| !state.is_empty()),
            instances: Some(sighting.count).filter(|count| *count > 1),
        };
        return Daemon { presence, ..Daemon::default() };
    }
    let disbelieved = sighting.disbelieved.map(|process| {
        let why = if process.is_zombie() {
            "has ended and is a zombie"
        } else {
            "has its arguments but does not run as the host's root"
        };
        format!("process {} {why}", process.pid)
    });
    let running = table.gap.is_none().then_some(false);
    let reasons: Vec<_> = table.gap.iter().cloned().chain(disbelieved).collect();
    Daemon {
        presence: Presence { running, ..Presence::default() },
        socket: None,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
    }
}

/// Adds what the control socket says: only root can put one there, so that what answers BIRD's protocol is BIRD,
/// be it in a process namespace that cannot be seen.
fn bird(daemon: Daemon, answer: &Answer) -> Daemon {
    if !answer.answers() {
        return daemon;
    }
    let unseen = daemon.presence.pid.is_none();
    Daemon {
        presence: Presence { running: Some(true), ..daemon.presence },
        socket: answer.socket.clone(),
        reason: unseen.then(|| "it answers on its socket; its process was not seen".to_owned()),
    }
}

/// Adds what Felix says of its health.
fn felix(evidence: &Evidence, daemon: Daemon, intent: &Intent) -> Felix {
    let mut felix =
        Felix { presence: daemon.presence, health_enabled: intent.health, ..Felix::default() };
    let mut reasons: Vec<String> = daemon.reason.into_iter().collect();
    let live = health(evidence, Probe::Liveness, &felix);
    let ready = health(evidence, Probe::Readiness, &felix);
    if felix.presence.running == Some(false) && (live.said.is_some() || ready.said.is_some()) {
        felix.presence.running = None;
        reasons.push("its process was not seen, but its health port answers".to_owned());
    } else if felix.presence.running.is_none() && (live.is_felix || ready.is_felix) {
        felix.presence.running = Some(true);
        reasons.push("its process was not seen; it answers on its health port".to_owned());
    }
    felix.live = live.said;
    felix.ready = ready.said;
    reasons.extend(live.reason);
    reasons.extend(ready.reason);
    reasons.dedup();
    felix.reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    felix
}

/// What one probe of Felix's health gave.
#[derive(Debug, Default)]
struct Health {
    said: Option<bool>,
    /// Whether the answer is Felix's beyond doubt: it holds Felix's table.
    is_felix: bool,
    reason: Option<String>,
}

fn health(evidence: &Evidence, probe: Probe, felix: &Felix) -> Health {
    let (path, words) = match probe {
        Probe::Liveness => (FELIX_LIVENESS, "liveness"),
        Probe::Readiness => (FELIX_READINESS, "readiness"),
    };
    let unknown = |reason: String| Health { reason: Some(reason), ..Health::default() };
    let Some(reading) = evidence.get(path) else {
        return unknown(format!("its {words} was not asked for"));
    };
    let reason = reading.reason.as_deref().unwrap_or("no reason was given");
    match reading.outcome {
        // The status line and the table come first: what is missing of a cut answer is the end of the table.
        Outcome::Ok | Outcome::Truncated => match felix::parse(&reading.bytes) {
            Some(health) => Health {
                said: Some(health.is_good()),
                is_felix: !health.components.is_empty(),
                reason: health.reason(probe),
            },
            None => unknown(format!("its answer about {words} is not HTTP's")),
        },
        // A probe that gets no answer fails, if there is to be one.
        Outcome::Missing | Outcome::Failed | Outcome::Timeout
            if felix.presence.running == Some(true) =>
        {
            let failed = format!("{} failed: {reason}", probe.words());
            match felix.health_enabled {
                Some(false) => unknown("its health is not served (FELIX_HEALTHENABLED)".to_owned()),
                Some(true) => Health { said: Some(false), is_felix: false, reason: Some(failed) },
                None if reading.outcome == Outcome::Timeout => {
                    Health { said: Some(false), is_felix: false, reason: Some(failed) }
                }
                None => unknown(format!("{failed} (whether its health is served is not known)")),
            }
        }
        _ if felix.presence.running == Some(false) => Health::default(),
        _ => unknown(format!("its {words} is not known: {reason}")),
    }
}

/// The beginning of a command line.
fn bounded(command: &str) -> String {
    match command.char_indices().nth(MAX_COMMAND) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_owned(),
    }
}
