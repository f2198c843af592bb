//! `check conntrack`: is the table of connections full, who fills it, and what will its limit be tomorrow?

mod bpf;
mod fix;
mod growth;
mod limit;
mod owners;
mod proxy;
mod settings;
mod top;
mod usage;

use crate::collectors::{Node, conntrack as rows};
use crate::conntrack::Statistics;
use crate::host::{Evidence, Outcome, Reading};

use super::{Asked, Check, Finding, Kind, Level};

pub(super) const CHECK: Check = Check {
    name: "conntrack",
    about: "the table of connections: how full, what is dropped, its limit now and after a reboot",
    finds: &[
        Kind { id: USAGE, passes: "The table of connections has room." },
        Kind { id: DROPS, passes: "No packet is dropped for want of an entry." },
        Kind { id: KERNEL_LOG, passes: "The kernel's log does not tell of a full table." },
        Kind { id: LIMIT, passes: "The limit is the same after a reboot." },
        Kind { id: BUCKETS, passes: "There are enough hash buckets for the limit." },
        Kind { id: TIMEOUTS, passes: "Dead connections leave the table in time." },
        Kind { id: BPF, passes: "The kernel's table is the one that Calico uses." },
        Kind { id: TOP, passes: "It is known who fills the table." },
    ],
    reads: |node, asked| rows::check(node, asked.top_rows()),
    later: |node, asked| rows::later(node, asked.top_rows()),
    judge,
};

const USAGE: &str = "conntrack.usage";
const DROPS: &str = "conntrack.drops";
const KERNEL_LOG: &str = "conntrack.kernel-log";
const LIMIT: &str = "conntrack.limit";
const BUCKETS: &str = "conntrack.buckets";
const TIMEOUTS: &str = "conntrack.timeouts";
const BPF: &str = "conntrack.bpf";
const TOP: &str = "conntrack.top";

/// What several of the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    asked: &'a Asked,
    node: Node,
    /// Entries in the table.
    count: Option<u64>,
    /// The most that it may hold; 0: there is no limit.
    max: Option<u64>,
    buckets: Option<u64>,
    now: Result<Look, String>,
    /// The second look, if there was one.
    later: Option<Look>,
}

/// One look at the counters.
struct Look {
    statistics: Statistics,
    at: jiff::Timestamp,
    /// Where they come from.
    source: &'static str,
}

impl Look {
    /// The seconds between an earlier look and this one.
    fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at.duration_since(earlier.at).as_secs_f64()
    }
}

fn judge(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    let facts = Facts::new(evidence, asked);
    if let Some(why) = facts.absent() {
        return vec![Finding::new(USAGE, Level::Skip, why)];
    }
    let mut findings = vec![
        usage::usage(&facts),
        usage::drops(&facts),
        usage::kernel_log(&facts),
        limit::judge(&facts),
        settings::buckets(&facts),
        settings::timeouts(&facts),
        bpf::judge(&facts),
    ];
    findings.extend(asked.top.map(|rows| top::judge(&facts, rows)));
    findings
}

impl<'a> Facts<'a> {
    fn new(evidence: &'a Evidence, asked: &'a Asked) -> Self {
        let now = look(evidence, rows::STATS, rows::PROC);
        let later = look(evidence, rows::STATS_LATER, rows::PROC_LATER)
            .ok()
            .filter(|_| asked.interval.is_some());
        let told = |of: fn(&Statistics) -> Option<u64>| {
            now.as_ref().ok().and_then(|look: &Look| of(&look.statistics))
        };
        Self {
            evidence,
            asked,
            node: Node::from_evidence(evidence),
            count: setting(evidence, "nf_conntrack_count").or_else(|| told(|all| all.entries)),
            max: setting(evidence, "nf_conntrack_max").or_else(|| told(|all| all.max)),
            buckets: setting(evidence, "nf_conntrack_buckets"),
            now,
            later,
        }
    }

    /// Why there is no table.
    fn absent(&self) -> Option<&'static str> {
        let modules = self.evidence.get(rows::MODULES)?;
        let is_loaded = self.node.modules.as_ref()?.iter().any(|name| name == "nf_conntrack");
        (modules.outcome == Outcome::Ok && !is_loaded && self.count.is_none())
            .then_some("the module nf_conntrack is not loaded: no connection is tracked")
    }

    fn setting(&self, name: &str) -> Option<u64> {
        setting(self.evidence, name)
    }

    fn reading(&self, path: &str) -> Option<&'a Reading> {
        self.evidence.get(path)
    }

    /// The text of what was read whole.
    fn text(&self, path: &str) -> Option<std::borrow::Cow<'a, str>> {
        self.reading(path).filter(|reading| reading.outcome == Outcome::Ok).map(Reading::text)
    }

    /// Use in per cent of the limit.
    fn percent(&self) -> Option<f64> {
        match (self.count, self.max) {
            (Some(count), Some(max)) if max > 0 => Some(percent(count, max)),
            _ => None,
        }
    }

    /// Whether so much is in use that it is warned of.
    fn is_crowded(&self) -> bool {
        self.percent().is_some_and(|percent| percent >= f64::from(self.asked.warn_percent))
    }
}

/// A number in `/proc/sys/net/netfilter`.
fn setting(evidence: &Evidence, name: &str) -> Option<u64> {
    let reading = evidence.get(&format!("{}/{name}", rows::SETTINGS))?;
    reading.text().trim().parse().ok().filter(|_| reading.outcome == Outcome::Ok)
}

/// The counters over netlink, or else from `/proc`; why there are none.
fn look(evidence: &Evidence, netlink: &str, proc: &str) -> Result<Look, String> {
    let mut reasons = Vec::new();
    for (path, source) in [(netlink, "netlink"), (proc, "/proc/net/stat/nf_conntrack")] {
        let Some(reading) = evidence.get(path) else { continue };
        let statistics = match reading.outcome {
            Outcome::Ok if path == netlink => Statistics::from_netlink(&reading.bytes),
            Outcome::Ok => Statistics::from_proc(&reading.text()),
            _ => None,
        };
        match statistics {
            Some(statistics) => return Ok(Look { statistics, at: reading.started, source }),
            None => reasons.push(why(reading, source)),
        }
    }
    if reasons.is_empty() {
        reasons.push("they were not asked for".to_owned());
    }
    Err(reasons.join("; "))
}

/// Why something is not known, in words.
fn why(reading: &Reading, source: &str) -> String {
    match (&reading.reason, reading.outcome) {
        (Some(reason), _) => format!("{source}: {reason}"),
        (None, Outcome::Ok) => format!("{source}: not understood"),
        (None, outcome) => format!("{source}: {outcome}"),
    }
}

/// A part of a whole in per cent, with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "no table has 2^52 entries")]
fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

/// How many in a second, with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "no counter of 32 bits reaches 2^52")]
fn rate(growth: u64, seconds: f64) -> f64 {
    (growth as f64 * 10.0 / seconds).round() / 10.0
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in MiB, rounded up.
fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

#[cfg(test)]
mod tests;
