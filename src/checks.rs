//! What can be wrong with a node: a table of checks, one file a subject.
//!
//! A [`Check`] says what it reads and holds a pure function from what was read to findings, so that the verdict on
//! the node, in a pod and from a bundle is the same. Each of its findings has a stable id (`conntrack.usage`), a
//! heading in `docs/checks.md`, and a sentence that is true when it passes.

mod bgp;
mod certificates;
mod cni;
mod conntrack;
mod dataplane;
mod datastore;
mod disk;
mod environment;
pub mod explained;
mod felix;
pub(crate) mod figures;
mod firewall;
mod interfaces;
mod logged;
mod logs;
mod network;
mod networkmanager;
mod routes;
mod ruleset;
mod settings;
pub mod suppressions;
mod sysctl;
mod system;
mod tables;
mod time;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::collectors::conntrack::TOP_ROWS;
use crate::collectors::{Node, Rows};
use crate::datastore::settings::DEFAULT_PATH;
use crate::fix::{Applied, Change};
use crate::host::Evidence;
use suppressions::Suppressed;

/// The checks, in the order in which they are run and shown.
pub const CHECKS: &[Check] = &[
    time::CHECK,
    disk::CHECK,
    certificates::CHECK,
    system::CHECK,
    sysctl::CHECK,
    interfaces::CHECK,
    routes::CHECK,
    felix::CHECK,
    bgp::CHECK,
    firewall::CHECK,
    cni::CHECK,
    conntrack::CHECK,
    datastore::CHECK,
    environment::CHECK,
    networkmanager::CHECK,
    logs::CHECK,
];

/// What lets a user read the kernel's log (`dmesg_restrict` in sysctl/kernel.rst).
const READ_KERNEL_LOG: &str = "run as root, or allow it: sudo sysctl kernel.dmesg_restrict=0";

/// A subject of `calivet check`.
#[derive(Debug)]
pub struct Check {
    /// As on the command line: kebab-case and unique.
    pub name: &'static str,
    /// What it looks at, in a few words.
    pub about: &'static str,
    /// What it can find.
    pub finds: &'static [Kind],
    /// What it reads. The facts of the node are in the evidence too.
    pub reads: fn(&Node, &Asked) -> Rows,
    /// What it reads once more after [`Asked::interval`], under other paths, so that rates can be told.
    pub later: fn(&Node, &Asked) -> Rows,
    /// The verdict: at least one finding, each of a kind that it names.
    pub judge: fn(&Evidence, &Asked) -> Vec<Finding>,
}

/// A kind of finding.
#[derive(Debug)]
pub struct Kind {
    /// `CHECK.NAME`, stable: scripts know it.
    pub id: &'static str,
    /// A sentence that is true when it passes.
    pub passes: &'static str,
}

/// What the user asked for, of all checks.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whether peers that are down are looked at actively (bounded probes).
    pub probe: bool,
    /// calicoctl's configuration file.
    pub config: PathBuf,
    /// The time between two looks, for rates.
    pub interval: Option<Duration>,
    /// From how many per cent of the limit on the conntrack table is warned of.
    pub warn_percent: u8,
    /// From how many per cent on it is full.
    pub fail_percent: u8,
    /// How many rows of who fills the conntrack table are wanted; `None`: it is not dumped.
    pub top: Option<usize>,
    /// The limit that the conntrack table should have.
    pub max: u64,
    /// The interfaces to judge, whether they exist or not; empty: Calico's.
    pub interfaces: Vec<String>,
    /// A kernel's configuration that the user gave, and the name of its file.
    pub kernel_config: Option<Arc<(Vec<u8>, String)>>,
}

impl Asked {
    /// How many rows of who fills the conntrack table are read: what grows may stand far below what is shown.
    #[must_use]
    pub fn top_rows(&self) -> Option<usize> {
        self.top.map(|shown| if self.interval.is_some() { TOP_ROWS } else { shown })
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            probe: true,
            config: DEFAULT_PATH.into(),
            interval: None,
            warn_percent: 75,
            fail_percent: 90,
            top: None,
            max: 1_000_000,
            interfaces: Vec::new(),
            kernel_config: None,
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing is wrong.
    Ok,
    /// Worth knowing.
    Info,
    /// It will become wrong, or is wrong for some.
    Warn,
    /// It is wrong.
    Fail,
    /// It could not be determined, and the summary says why.
    Unknown,
    /// It does not apply here, and the summary says why.
    Skip,
}

impl Level {
    /// As documents have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::Skip => "skip",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable name, `CHECK.NAME`.
    pub id: &'static str,
    /// The check that found it.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// One sentence with the measured numbers.
    pub summary: String,
    /// What it rests on; the fields of each id are in docs/checks.md.
    pub evidence: Map<String, Value>,
    /// What mends it: commands, or what is to be done, a line each.
    pub remedy: Vec<String>,
    /// Where it is explained: a heading in the documentation.
    pub docs: String,
    /// That it is known and accepted: then it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppressed>,
    /// What `--fix` would do about it.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

impl Finding {
    /// A finding whose check is the part of the id before the first dot.
    #[must_use]
    pub fn new(id: &'static str, level: Level, summary: impl Into<String>) -> Self {
        let check = id.split_once('.').map_or(id, |(check, _)| check);
        Self {
            id,
            check,
            level,
            summary: summary.into(),
            evidence: Map::new(),
            remedy: Vec::new(),
            docs: format!("docs/checks.md#{}", id.replace('.', "")),
            suppressed: None,
            changes: Vec::new(),
        }
    }

    /// The same, resting on the members of a JSON object.
    #[must_use]
    pub fn evidence(mut self, members: Value) -> Self {
        if let Value::Object(members) = members {
            self.evidence.extend(members);
        }
        self
    }

    /// The same, with one more line of what mends it.
    #[must_use]
    pub fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy.push(line.into());
        self
    }

    /// The same, with one more thing that `--fix` would do.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }
}

/// What all checks that ran have found: the document of `calivet check -o json`.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The node's name as Calico knows it, else the host's; `null` where neither is known.
    pub node: Option<String>,
    /// When the host was asked.
    pub time: Timestamp,
    /// How many findings there are of each level.
    pub summary: Summary,
    /// The findings, in the order of the checks.
    pub findings: Vec<Finding>,
    /// With `--fix`: what was changed before these findings were made, or with `--dry-run` would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<Applied>>,
}

/// How many findings there are of each level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Summary {
    /// Nothing is wrong.
    pub ok: usize,
    /// Worth knowing.
    pub info: usize,
    /// Warnings.
    pub warn: usize,
    /// What is wrong.
    pub fail: usize,
    /// What could not be determined.
    pub unknown: usize,
    /// What does not apply.
    pub skip: usize,
    /// What is known and accepted, and so counts nowhere else.
    #[serde(skip_serializing_if = "is_zero")]
    pub suppressed: usize,
}

impl Summary {
    /// How many of each level, from the worst on.
    #[must_use]
    pub const fn counts(self) -> [(usize, Level); 6] {
        [
            (self.fail, Level::Fail),
            (self.warn, Level::Warn),
            (self.unknown, Level::Unknown),
            (self.info, Level::Info),
            (self.ok, Level::Ok),
            (self.skip, Level::Skip),
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// The report on a node of what checks have found.
    #[must_use]
    pub fn new(node: Option<String>, time: Timestamp, findings: Vec<Finding>) -> Self {
        let mut summary = Summary::default();
        for finding in &findings {
            *match finding.level {
                _ if finding.suppressed.is_some() => &mut summary.suppressed,
                Level::Ok => &mut summary.ok,
                Level::Info => &mut summary.info,
                Level::Warn => &mut summary.warn,
                Level::Fail => &mut summary.fail,
                Level::Unknown => &mut summary.unknown,
                Level::Skip => &mut summary.skip,
            } += 1;
        }
        Self { schema_version: 1, node, time, summary, findings, changes: None }
    }
}

/// Runs one check. A fault of its own costs its verdict and no other.
#[must_use]
pub fn run(check: &Check, evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    catch_unwind(AssertUnwindSafe(|| (check.judge)(evidence, asked))).unwrap_or_else(|_| {
        unknown(check, "a fault of calivet's own: please report it with the bundle of this node")
    })
}

/// What stands for the verdict of a check that gave none.
#[must_use]
pub fn unknown(check: &Check, summary: &str) -> Vec<Finding> {
    let kinds = check.finds.iter().take(1);
    kinds.map(|kind| Finding::new(kind.id, Level::Unknown, summary)).collect()
}

#[cfg(test)]
mod tests;
