//! What changed on a node between two bundles, by meaning.
//!
//! Findings first, computed from both bundles by the same checks; then, subject by subject, what appeared, vanished or
//! has another value; then counters as rates. Indexes, process ids, order and times are no difference. What comes and
//! goes with pods (links, routes to one address, chains of one endpoint) is counted and not listed.
//!
//! A subject is a row of `SUBJECTS`: it makes `Seen` of each bundle, and what is compared is the same for all. Where
//! one of them lacks the evidence, nothing is said to have vanished: the subject says why it is not compared.

mod counters;
mod files;
mod findings;
mod host;
mod netfilter;
mod network;
mod peers;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::checks::Report;
use crate::host::bundle::Bundle;
use crate::status::NodeStatus;

pub use counters::Rate;
pub use findings::{Change, FindingChange};

/// One of the two bundles, and what today's calivet makes of it.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What it holds.
    pub bundle: &'a Bundle,
    /// What the checks found.
    pub report: &'a Report,
    /// Peers and agents.
    pub status: &'a NodeStatus,
}

/// The document of `bundle diff`.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The first bundle.
    pub before: Origin,
    /// The second.
    pub after: Origin,
    /// The time between them; negative where the second is the older one.
    pub elapsed_seconds: i64,
    /// Whether both are of the same node; `null`: one does not say of which it is.
    pub same_node: Option<bool>,
    /// What is to be known before the rest is read.
    pub notes: Vec<String>,
    /// Findings that are not what they were, the gravest first.
    pub findings: Vec<FindingChange>,
    /// What differs, by subject, in the order of the command's documentation.
    pub subjects: Vec<Difference>,
    /// Counters that moved.
    pub counters: Vec<Rate>,
    /// Why counters are not compared, where they are not.
    pub counters_reason: Option<String>,
}

/// Of which node and when a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Origin {
    /// The node's name, if it is known.
    pub node: Option<String>,
    /// When the run began.
    pub time: Timestamp,
}

/// What differs of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its name.
    pub subject: &'static str,
    /// Why it is not compared, if it is not.
    pub not_compared: Option<String>,
    /// What is only in the second bundle.
    pub appeared: Vec<Thing>,
    /// What is only in the first.
    pub vanished: Vec<Thing>,
    /// What is in both and has another value.
    pub changed: Vec<Changed>,
    /// How many came or went as pods do; they are not listed.
    pub churn: usize,
}

/// Something that is in one bundle only.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Thing {
    /// What it is called.
    pub name: String,
    /// What is known of it.
    pub facts: BTreeMap<String, String>,
}

/// A fact that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Changed {
    /// Of what.
    pub name: String,
    /// Which.
    pub field: String,
    /// What it was; `null`: nothing.
    pub before: Option<String>,
    /// What it is; `null`: nothing.
    pub after: Option<String>,
    /// Of a file of text, line by line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What is known of each thing: its facts by name.
type Facts = BTreeMap<String, BTreeMap<String, String>>;

/// A subject as one bundle has it.
#[derive(Debug, Default)]
struct Seen {
    facts: Facts,
    /// The names of what comes and goes with pods.
    fleeting: BTreeSet<String>,
}

/// A subject: its name, and how it is compared.
type Subject = (&'static str, fn(&Side, &Side) -> Difference);

/// The subjects, in the order in which they are shown.
const SUBJECTS: &[Subject] = &[
    ("peers", |before, after| {
        let mut difference = compare(before, after, peers::see);
        peers::began_anew(before, after, &mut difference);
        difference
    }),
    ("agents", |before, after| compare(before, after, |side| Ok(peers::agents(side)))),
    ("links", |before, after| compare(before, after, network::links)),
    ("addresses", |before, after| compare(before, after, network::addresses)),
    ("routes", |before, after| compare(before, after, network::routes)),
    ("rules", |before, after| compare(before, after, network::rules)),
    ("sysctls", |before, after| compare(before, after, host::sysctls)),
    ("nftables", |before, after| compare(before, after, netfilter::nftables)),
    ("iptables", |before, after| compare(before, after, netfilter::iptables)),
    ("modules", |before, after| compare(before, after, host::modules)),
    ("versions", |before, after| compare(before, after, host::versions)),
    ("files", files::compare),
];

/// Compares two bundles.
#[must_use]
pub fn diff(before: &Side, after: &Side) -> Diff {
    let [from, to] = [before, after].map(|side| Origin {
        node: side.report.node.clone().or_else(|| side.bundle.node().map(ToOwned::to_owned)),
        time: side.bundle.time(),
    });
    let elapsed = to.time.duration_since(from.time);
    let same_node = from.node.as_ref().zip(to.node.as_ref()).map(|(one, other)| one == other);
    let subjects =
        SUBJECTS.iter().map(|(name, differ)| Difference { subject: name, ..differ(before, after) });
    let counters = counters::rates(before, after, elapsed);
    let (counters, counters_reason) = match counters {
        Ok(rates) => (rates, None),
        Err(reason) => (Vec::new(), Some(reason)),
    };
    Diff {
        schema_version: 1,
        elapsed_seconds: elapsed.as_secs(),
        same_node,
        notes: notes(before, after, &from, &to, same_node),
        findings: findings::compare(before.report, after.report),
        subjects: subjects.collect(),
        counters,
        counters_reason,
        before: from,
        after: to,
    }
}

fn notes(
    before: &Side,
    after: &Side,
    from: &Origin,
    to: &Origin,
    same_node: Option<bool>,
) -> Vec<String> {
    let mut notes = Vec::new();
    match (same_node, &from.node, &to.node) {
        (Some(false), Some(one), Some(other)) => {
            notes.push(format!("the bundles are of different nodes: A is of {one}, B of {other}"));
        }
        (None, ..) => notes.push("it is not known whether both are of the same node".to_owned()),
        _ => {}
    }
    if to.time < from.time {
        notes.push("B is older than A: what appeared here vanished in truth".to_owned());
    }
    if let Some((one, other)) = host::boots(before, after) {
        notes.push(format!(
            "the node was booted between them: A since {one:.0}, B since {other:.0}"
        ));
    }
    for (name, side) in [("A", before), ("B", after)] {
        notes.extend(side.bundle.warnings().iter().map(|warning| format!("{name}: {warning}")));
    }
    notes
}

/// Compares a subject as both bundles have it.
fn compare(before: &Side, after: &Side, see: fn(&Side) -> Result<Seen, String>) -> Difference {
    match (see(before), see(after)) {
        (Ok(before), Ok(after)) => difference(before, after),
        (Err(one), Err(other)) if one == other => not_compared(format!("A and B: {one}")),
        (Err(one), Err(other)) => not_compared(format!("A: {one}; B: {other}")),
        (Err(reason), Ok(_)) => not_compared(format!("A: {reason}")),
        (Ok(_), Err(reason)) => not_compared(format!("B: {reason}")),
    }
}

fn not_compared(reason: String) -> Difference {
    Difference { not_compared: Some(reason), ..Difference::default() }
}

fn difference(before: Seen, mut after: Seen) -> Difference {
    let mut found = Difference::default();
    for (name, facts) in before.facts {
        match after.facts.remove(&name) {
            Some(now) => found.changed.extend(changes(&name, &facts, &now)),
            None if before.fleeting.contains(&name) => found.churn += 1,
            None => found.vanished.push(Thing { name, facts }),
        }
    }
    for (name, facts) in after.facts {
        if after.fleeting.contains(&name) {
            found.churn += 1;
        } else {
            found.appeared.push(Thing { name, facts });
        }
    }
    found
}

/// The facts that are not what they were.
fn changes(
    name: &str,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Changed> {
    let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = fields.into_iter().filter(|field| before.get(*field) != after.get(*field));
    changed
        .map(|field| Changed {
            name: name.to_owned(),
            field: field.clone(),
            before: before.get(field).cloned(),
            after: after.get(field).cloned(),
            diff: None,
        })
        .collect()
}

impl Difference {
    /// Whether both bundles have the same of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.appeared.is_empty() && self.vanished.is_empty() && self.changed.is_empty()
    }
}

#[cfg(test)]
mod tests;
