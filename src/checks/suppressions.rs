//! Findings that are known and accepted: from a file, each with a reason and the day on which that ends.
//!
//! ```yaml
//! - id: conntrack.limit
//!   reason: raised with the next image
//!   until: 2027-01-31
//! - id: networkmanager.device
//!   where: {interface: tunl0}
//!   reason: there is no IPIP here
//!   until: 2027-06-30
//! ```
//!
//! `where` names members of the finding's evidence that must be equal. `until` is the last day, in UTC, on which the
//! finding is accepted: nothing is accepted for ever.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CHECKS, Finding, Level};

/// A finding that is known and accepted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppression {
    /// The finding's id.
    pub id: String,
    /// Members of its evidence that must be equal.
    #[serde(default, rename = "where")]
    pub members: Map<String, Value>,
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it is, in UTC.
    pub until: Date,
}

/// What is said of a finding that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Suppressed {
    /// Why it is accepted.
    pub reason: String,
    /// The last day on which it is, in UTC.
    pub until: Date,
}

/// Why a file of suppressions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SuppressionError {
    /// It is no list of suppressions.
    #[error("failed to parse it")]
    Parse(#[source] serde_yaml::Error),
    /// It names what no check finds, which would never suppress anything.
    #[error("entry {number}: no check finds {id}")]
    UnknownId {
        /// Its place in the list, from 1.
        number: usize,
        /// What it names.
        id: String,
    },
    /// It gives no reason.
    #[error("entry {number}: {id} has no reason")]
    NoReason {
        /// Its place in the list, from 1.
        number: usize,
        /// What it names.
        id: String,
    },
}

/// Reads a file of suppressions.
///
/// # Errors
/// It is not as this module's documentation shows, or an entry cannot be meant so.
pub fn parse(text: &str) -> Result<Vec<Suppression>, SuppressionError> {
    // An error is one line: the place does, and what stands there is the user's to look at.
    let options = serde_yaml::options! { with_snippet: false };
    let entries: Vec<Suppression> =
        serde_yaml::from_str_with_options(text, options).map_err(SuppressionError::Parse)?;
    for (number, Suppression { id, reason, .. }) in (1..).zip(&entries) {
        let mut kinds = CHECKS.iter().flat_map(|check| check.finds);
        if !kinds.any(|kind| kind.id == id) {
            return Err(SuppressionError::UnknownId { number, id: id.clone() });
        }
        if reason.trim().is_empty() {
            return Err(SuppressionError::NoReason { number, id: id.clone() });
        }
    }
    Ok(entries)
}

/// Marks the findings that are accepted on the day of `time`. Returns what is said of entries that have run out and
/// would still hide something.
pub fn apply(entries: &[Suppression], findings: &mut [Finding], time: Timestamp) -> Vec<String> {
    let today = time.to_zoned(TimeZone::UTC).date();
    let mut over = Vec::new();
    for finding in findings {
        if !matches!(finding.level, Level::Warn | Level::Fail | Level::Unknown) {
            continue;
        }
        let fits = |entry: &&Suppression| {
            let is = |(name, value): (&String, &Value)| finding.evidence.get(name) == Some(value);
            entry.id == finding.id && entry.members.iter().all(is)
        };
        let (valid, expired): (Vec<_>, Vec<_>) =
            entries.iter().filter(fits).partition(|entry| entry.until >= today);
        if let Some(Suppression { reason, until, .. }) = valid.first() {
            finding.suppressed = Some(Suppressed { reason: reason.clone(), until: *until });
        } else if let Some(entry) = expired.first() {
            let note =
                format!("{} was accepted until {} ({})", entry.id, entry.until, entry.reason);
            if !over.contains(&note) {
                over.push(note);
            }
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finding(level: Level, interface: &str) -> Finding {
        Finding::new("networkmanager.device", level, "x").evidence(json!({"interface": interface}))
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    const FILE: &str = "\
- id: networkmanager.device
  where: {interface: tunl0}
  reason: there is no IPIP here
  until: 2027-06-30
";

    #[test]
    fn a_finding_is_accepted_through_the_last_day_and_no_longer() {
        let entries = parse(FILE).unwrap();
        let suppressed = |time: &str| {
            let mut findings = [finding(Level::Fail, "tunl0")];
            let over = apply(&entries, &mut findings, at(time));
            (findings[0].suppressed.is_some(), over.len())
        };
        assert_eq!(suppressed("2027-06-30T23:59:59Z"), (true, 0));
        assert_eq!(suppressed("2027-07-01T00:00:00Z"), (false, 1));
    }

    #[test]
    fn only_what_is_not_well_and_fits_is_accepted() {
        let entries = parse(FILE).unwrap();
        let mut findings = [
            finding(Level::Ok, "tunl0"),
            finding(Level::Fail, "vxlan.calico"),
            Finding::new("networkmanager.reload", Level::Warn, "x"),
            finding(Level::Unknown, "tunl0"),
        ];
        apply(&entries, &mut findings, at("2027-01-01T00:00:00Z"));
        assert_eq!(
            findings.map(|finding| finding.suppressed.is_some()),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_file_that_cannot_be_meant_so_is_refused() {
        for (text, wrong) in [
            (
                "- {id: nothing.at-all, reason: x, until: 2027-01-01}",
                "no check finds nothing.at-all",
            ),
            ("- {id: bgp.peer, reason: ' ', until: 2027-01-01}", "has no reason"),
            ("- {id: bgp.peer, reason: x}", "failed to parse"),
            ("- {id: bgp.peer, reason: x, until: soon}", "failed to parse"),
            ("- {id: bgp.peer, reason: x, until: 2027-01-01, unless: y}", "failed to parse"),
            ("{", "failed to parse"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }
}
