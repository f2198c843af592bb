//! Types of sets and their revisions: `ipset` and the kernel agree on the highest that both know.
//!
//! A set keeps the revision with which it was made. What a newer `ipset` made, an older one cannot list, and the one in
//! calico-node's image may be older than the host's (`Kernel and userspace incompatible`, `Failed to update IP sets`).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::tally::{Subject, Tally};
use super::{Facts, IPSET, facilities};
use crate::checks::dataplane::Dataplane;
use crate::checks::network::{first, some};
use crate::checks::{Finding, Level, tables};
use crate::collectors::netfilter::IPSET_TYPES;
use crate::host::Evidence;

/// A type that the kernel was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Known {
    pub(super) r#type: String,
    /// The highest; `None`: the kernel does not know the type.
    pub(super) revision: Option<u64>,
    oldest_revision: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Set {
    name: String,
    r#type: Option<String>,
    revision: Option<u64>,
}

/// The types, or why they are not known.
pub(super) fn types(evidence: &Evidence) -> Result<Vec<Known>, String> {
    tables::all(evidence, IPSET_TYPES, "types")
}

/// Whether a set is Felix's.
fn is_felix(set: &Set) -> bool {
    set.name.starts_with("cali4") || set.name.starts_with("cali6")
}

/// Whether the kernel has the types that Felix makes, and whether others make them with revisions that Felix's `ipset`
/// does not.
pub(super) fn judge(facts: &Facts) -> Finding {
    let mut tally = Tally::of(&facts.kernel, facilities::IPSET);
    let sets: Vec<Set> = tables::all(facts.evidence, IPSET_TYPES, "sets").unwrap_or_default();
    // The highest of each type that Felix's sets have is what its `ipset` makes, or has made before.
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    for set in sets.iter().filter(|set| is_felix(set)) {
        if let (Some(kind), Some(revision)) = (&set.r#type, set.revision) {
            let highest = own.entry(kind).or_default();
            *highest = revision.max(*highest);
        }
    }
    let newer: Vec<&str> = sets
        .iter()
        .filter(|set| !is_felix(set))
        .filter(|set| {
            let known = set.r#type.as_deref().and_then(|kind| own.get(kind));
            known.zip(set.revision).is_some_and(|(known, revision)| revision > *known)
        })
        .map(|set| set.name.as_str())
        .collect();
    if !newer.is_empty() {
        tally.notes.push(format!(
            "{} sets of others have a higher revision than Felix's own ({}): a Felix that lists all sets may stumble over \
             them, which felix.errors shows",
            newer.len(),
            first(&newer)
        ));
    }
    let types = types(facts.evidence).unwrap_or_default();
    let revisions: BTreeMap<&str, _> = types
        .iter()
        .map(|row| {
            let range = row.revision.map(|last| [row.oldest_revision.unwrap_or(last), last]);
            (row.r#type.as_str(), range)
        })
        .collect();
    Subject { id: IPSET, what: "the iptables dataplane's use of sets", open: Level::Warn }
        .finding(facts, &facts.dataplane.uses(Dataplane::Iptables), &tally)
        .evidence(json!({
            "revisions": revisions, "felixRevisions": own, "newerSets": some(&newer),
            "counts": {"newerSets": newer.len()},
        }))
}
