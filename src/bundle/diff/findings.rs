//! What the checks found of both bundles: what became wrong, what was mended, and what is not seen any more.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::network::is_of_pod;
use crate::checks::{Finding, Level, Report};

/// Members of a finding's evidence that tell of what it is, where one id is found of many.
const SUBJECTS: [&str; 12] = [
    "interface",
    "name",
    "address",
    "peer",
    "daemon",
    "probe",
    "family",
    "pool",
    "path",
    "file",
    "unit",
    "key",
];

/// A finding that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FindingChange {
    /// Its id.
    pub id: &'static str,
    /// Of what, where the id is found of many.
    pub subject: Option<String>,
    /// What that means.
    pub change: Change,
    /// What it was.
    pub before: Option<Verdict>,
    /// What it is.
    pub after: Option<Verdict>,
}

/// What a check said.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Verdict {
    /// How bad it is.
    pub level: Level,
    /// With the measured numbers.
    pub summary: String,
}

/// What another verdict means; the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was not wrong, or not there, and is.
    Appeared,
    /// It was wrong and is worse.
    Worse,
    /// It was known and is not any more: neither that it is well nor that it is mended.
    LossOfSight,
    /// It is wrong as before, for another cause.
    AnotherCause,
    /// It was wrong and is less so.
    Better,
    /// It was wrong and is not, or is not there any more.
    Vanished,
    /// It was not known and is now, and nothing is wrong.
    SightRegained,
    /// Neither was nor is it wrong.
    Changed,
}

/// What differs, the gravest first. Another number in the same verdict is no difference.
pub(super) fn compare(before: &Report, after: &Report) -> Vec<FindingChange> {
    let mut old = by_subject(before);
    let mut changes = Vec::new();
    let blind: BTreeSet<&str> =
        unknown(after).difference(&unknown(before)).map(|it| it.0).collect();
    for ((id, subject, number), finding) in by_subject(after) {
        let was = old.remove(&(id, subject.clone(), number));
        changes.extend(change(id, subject, was, Some(finding)));
    }
    for ((id, subject, _), finding) in old {
        let found = change(id, subject, Some(finding), None);
        // What a check does not tell any more is not mended where the check sees less than it did.
        let is_lost = blind.contains(finding.check);
        changes.extend(found.map(|it| FindingChange {
            change: if is_lost { Change::LossOfSight } else { it.change },
            ..it
        }));
    }
    changes.sort_by(|one, other| one.change.cmp(&other.change).then_with(|| one.id.cmp(other.id)));
    changes
}

/// What is not known: the checks, and the ids of their findings.
fn unknown(report: &Report) -> BTreeSet<(&'static str, &'static str)> {
    let unknown = report.findings.iter().filter(|finding| finding.level == Level::Unknown);
    unknown.map(|finding| (finding.check, finding.id)).collect()
}

/// By id and of what it is; of several that cannot be told apart, by their order.
fn by_subject(report: &Report) -> BTreeMap<(&'static str, Option<String>, usize), &Finding> {
    let mut found = BTreeMap::new();
    for finding in &report.findings {
        let subject = SUBJECTS
            .iter()
            .find_map(|member| finding.evidence.get(*member)?.as_str().map(ToOwned::to_owned));
        let mut number = 0;
        while found.contains_key(&(finding.id, subject.clone(), number)) {
            number += 1;
        }
        found.insert((finding.id, subject, number), finding);
    }
    found
}

fn change(
    id: &'static str,
    subject: Option<String>,
    was: Option<&Finding>,
    is: Option<&Finding>,
) -> Option<FindingChange> {
    let level = |finding: Option<&Finding>| finding.map(|finding| finding.level);
    let cause =
        |finding: Option<&Finding>| finding.and_then(|it| it.evidence.get("cause")).cloned();
    let is_wrong = |level| matches!(level, Some(Level::Warn | Level::Fail));
    let (old, new) = (level(was), level(is));
    let change = match (old, new) {
        (_, Some(Level::Unknown)) if old != new => Change::LossOfSight,
        (Some(Level::Warn), Some(Level::Fail)) => Change::Worse,
        (Some(Level::Fail), Some(Level::Warn)) => Change::Better,
        _ if is_wrong(new) && !is_wrong(old) => Change::Appeared,
        _ if is_wrong(old) && !is_wrong(new) => Change::Vanished,
        _ if old == new && cause(was) != cause(is) => Change::AnotherCause,
        _ if old == new => return None,
        // A pod that came or went, and nothing was or is wrong with it.
        (None, _) | (_, None) if subject.as_deref().is_some_and(is_of_pod) => return None,
        // That something is well which was not there before is told below, among the subjects.
        (None, Some(Level::Ok)) | (Some(Level::Ok), None) => return None,
        (Some(Level::Unknown), Some(Level::Ok | Level::Info)) => Change::SightRegained,
        _ => Change::Changed,
    };
    let verdict =
        |finding: &Finding| Verdict { level: finding.level, summary: finding.summary.clone() };
    Some(FindingChange { id, subject, change, before: was.map(verdict), after: is.map(verdict) })
}
