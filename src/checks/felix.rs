//! `check felix`: does Felix run, as what, is it well, and what do its log and its metrics say?
//!
//! All of it rests on what Felix shows of itself: its process, its health, its metrics, the end of its log
//! ([`crate::logs`]), and what it has made in the kernel. The datastore is looked at where it was read.

mod errors;
mod health;
mod log_level;
mod metrics;
mod mode;
mod process;

use jiff::Timestamp;

use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Rows};
use crate::felix::settings::Settings;
use crate::host::{Evidence, Outcome, Reading};
use crate::logs::{self, Message, Severity, Summary};
use crate::processes::{self, Process};
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "felix",
    about: "Felix: does it run, in which mode, is it well, what do its log and metrics say",
    finds: &[
        Kind { id: RUNNING, passes: "Felix runs." },
        Kind { id: HEALTH, passes: "Felix is live and ready." },
        Kind { id: RESTARTS, passes: "Felix has not been restarted lately." },
        Kind { id: MODE, passes: "What Felix has made in the kernel is that of one dataplane." },
        Kind { id: LOG_LEVEL, passes: "Felix logs what is needed and no more." },
        Kind { id: ERRORS, passes: "Felix has logged no error lately." },
        Kind { id: METRICS, passes: "Felix's metrics show no trouble." },
    ],
    reads: |node, _| collectors::briefly(collectors::at(node, READ)),
    later: |_, _| Rows::default(),
    judge,
};

const RUNNING: &str = "felix.running";
const HEALTH: &str = "felix.health";
const RESTARTS: &str = "felix.restarts";
const MODE: &str = "felix.mode";
const LOG_LEVEL: &str = "felix.log-level";
const ERRORS: &str = "felix.errors";
const METRICS: &str = "felix.metrics";

/// What the verdict rests on.
const READ: &[&str] = &[
    DATASTORE,
    FELIX_METRICS,
    IPV4_LEGACY,
    IPV6_LEGACY,
    LINKS,
    NFTABLES,
    logs::PATH,
    collectors::conntrack::BPF_MAPS,
    collectors::conntrack::KERNEL_LOG,
    "felix/liveness",
    "felix/readiness",
    "host/etc/calico",
    "host/proc/stat",
    "host/proc/uptime",
    "host/var/lib/calico/nodename",
    "host/proc/net/ip_tables_names",
    "host/proc/net/ip6_tables_names",
];

/// Felix's configuration in the datastore.
const DATASTORE: &str = "datastore/felixconfigurations.json";
const FELIX_METRICS: &str = "felix/metrics";
const LINKS: &str = "network/links.json";
const NFTABLES: &str = "netfilter/nftables.json";
const IPV4_LEGACY: &str = "netfilter/ipv4_tables_legacy";
const IPV6_LEGACY: &str = "netfilter/ipv6_tables_legacy";

/// What several of the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    /// What `node status` says of it.
    felix: status::agents::Felix,
    /// Its process, where that was seen.
    process: Option<Process>,
    /// When the processes were looked at.
    now: Option<Timestamp>,
    /// The node's name; empty where that is not known.
    node: String,
    settings: Settings,
    /// Why the datastore's part of the settings is not known.
    datastore: Option<String>,
    logs: Result<Summary, String>,
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let facts = Facts::read(evidence);
    let mut findings = vec![
        process::running(&facts),
        health::judge(&facts),
        process::restarts(&facts),
        mode::judge(&facts),
        log_level::judge(&facts),
    ];
    findings.extend(errors::judge(&facts));
    findings.extend(metrics::judge(&facts));
    findings
}

impl<'a> Facts<'a> {
    fn read(evidence: &'a Evidence) -> Self {
        let table = evidence.get(status::PROCESSES);
        let now = table.map(|reading| reading.started);
        let found = table.and_then(|reading| processes::parse(&reading.bytes).ok());
        let process = processes::find(&found.unwrap_or_default()).felix.process.cloned();
        let status = status::node_status(now.unwrap_or_default(), evidence);
        let node = status.node.unwrap_or_default();
        let mut settings = Settings::default();
        settings.environment(process.iter().flat_map(processes::Process::variables));
        if let Some(file) = evidence.get("host/etc/calico/felix.cfg") {
            settings.file(&file.text());
        }
        let datastore = match evidence.get(DATASTORE) {
            Some(reading) if matches!(reading.outcome, Outcome::Ok | Outcome::Truncated) => {
                let is_read = settings.datastore(&reading.bytes, &node).is_some();
                (!is_read).then(|| "what was read of it cannot be understood".to_owned())
            }
            Some(reading) => Some(reason(reading)),
            None => Some("it was not asked".to_owned()),
        };
        let logs = match evidence.get(logs::PATH) {
            None => Err("the logs were not read".to_owned()),
            Some(reading) => Summary::parse(&reading.bytes).ok_or_else(|| match reading.outcome {
                Outcome::Ok => "their summary cannot be read".to_owned(),
                _ => reason(reading),
            }),
        };
        Self { evidence, felix: status.agents.felix, process, now, node, settings, datastore, logs }
    }

    /// Whether Felix is known not to run.
    fn is_absent(&self) -> bool {
        self.felix.presence.running == Some(false)
    }

    /// When Felix's process started.
    fn started(&self) -> Option<Timestamp> {
        let stat = self.evidence.get("host/proc/stat")?.text();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        let ticks = i64::try_from(self.process.as_ref()?.start_time).ok()?;
        // USER_HZ is 100 wherever Calico runs.
        Timestamp::from_second(boot.trim().parse::<i64>().ok()?.checked_add(ticks / 100)?).ok()
    }

    /// How many seconds Felix has run.
    fn uptime(&self) -> Option<i64> {
        let seconds = self.now?.duration_since(self.started()?).as_secs();
        (seconds >= 0).then_some(seconds)
    }

    /// Felix's messages in the logs, and the ends of Go programs of calico-node that do not say which they were.
    fn messages(&self) -> Vec<&Message> {
        let messages = self.logs.iter().flat_map(|summary| &summary.messages);
        messages
            .filter(|message| {
                message.component == "felix"
                    || message.component == "calico-node" && message.severity >= Severity::Fatal
            })
            .collect()
    }

    /// The files in which Felix's lines are.
    fn log_files(&self) -> impl Iterator<Item = &logs::LogFile> {
        let files = self.logs.iter().flat_map(|summary| &summary.files);
        files.filter(|file| {
            file.counted.severities.contains_key("felix")
                || file.path.contains("/felix")
                || file.path.contains("/calico-node/")
        })
    }

    /// What nobody but Felix can tell, where it does not run.
    fn skipped(&self, id: &'static str) -> Option<Finding> {
        self.is_absent().then(|| Finding::new(id, Level::Skip, "Felix does not run"))
    }
}

/// Why something was not read, in words.
fn reason(reading: &Reading) -> String {
    reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string())
}

/// A span of time as people say it: `3 d 4 h`, `2 min 5 s`.
fn span(seconds: i64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(3);
    let mut words = Vec::new();
    let mut left = seconds.max(0);
    for (length, unit) in units.iter().skip(first).take(2) {
        if left / length > 0 || words.is_empty() {
            words.push(format!("{} {unit}", left / length));
        }
        left %= length;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;
