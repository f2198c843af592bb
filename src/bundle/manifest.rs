//! The manifest: what was asked of a node, and what happened to each item.
//!
//! It can be complete only at the end, so a bundle opens with what is known at the start and closes with the
//! whole; unpacking leaves the last one in place.
//!
//! ```json
//! {
//!   "schemaVersion": 1,
//!   "tool": { "name": "calivet", "version": "0.1.0" },
//!   "node": "node-1",
//!   "started": "2026-11-23T02:33:26Z",
//!   "finished": "2026-11-23T02:33:27.1Z",
//!   "options": { "since": "24h" },
//!   "interrupted": false,
//!   "complete": true,
//!   "untouched": { "modules": { "before": 82, "after": 82, "changed": [] }, "...": {} },
//!   "secrets": { "values": 12, "unread": [] },
//!   "items": [ { "path": "bird/ipv4/show-status", "outcome": "ok", "...": "..." } ]
//! }
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::{Collected, Outcome};

/// Where a bundle keeps its manifest, relative to `diagnostics/`.
pub const PATH: &str = "manifest.json";

/// The version of the manifest that this calivet writes. Fields may be added to it, never renamed.
pub const SCHEMA_VERSION: u32 = 1;

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who wrote it.
    pub tool: Tool,
    /// The node's name, as Calico knows it where that could be found out.
    pub node: String,
    /// When the run began.
    pub started: Timestamp,
    /// When it ended; `null` in the manifest with which a bundle opens.
    pub finished: Option<Timestamp>,
    /// What the user asked for, by the names of the command line.
    pub options: Value,
    /// A signal or the deadline ended the run.
    pub interrupted: bool,
    /// The run came to its end and whatever was there was read whole (no item's [`Outcome::is_trouble`]);
    /// `false` in the manifest with which a bundle opens.
    ///
    /// [`Outcome::is_trouble`]: crate::host::Outcome::is_trouble
    pub complete: bool,
    /// The proof that nothing on the node was changed, by subject; `null` where none was taken. What others
    /// changed meanwhile is in it too.
    #[serde(default)]
    pub untouched: Option<BTreeMap<String, Comparison>>,
    /// How it went to learn the node's secrets; `null` in the manifest with which a bundle opens, and where the
    /// run was ended before that.
    #[serde(default)]
    pub secrets: Option<Learning>,
    /// When it was redacted once more by `bundle redact`, and by what; the items' counts are sums.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted_again: Vec<Again>,
    /// What happened to each item.
    pub items: Vec<Collected>,
}

/// One run of `bundle redact`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Again {
    /// When.
    pub time: Timestamp,
    /// By what.
    pub tool: Tool,
    /// How many secrets were learned from the bundle itself, and searched for in all of it.
    pub values: u64,
}

/// A subject of the node, such as its routes, before the run and after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Comparison {
    /// How many there were; `null` where that could not be read.
    pub before: Option<u64>,
    /// How many there are now; `null` where that could not be read.
    pub after: Option<u64>,
    /// What differs: `+NAME` is new, `-NAME` has gone, `NAME` has another value.
    pub changed: Vec<String>,
    /// Why it could not be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How it went to learn the node's secrets before anything was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Learning {
    /// How many values were learned, and are searched for in all that is written.
    pub values: u64,
    /// What is there and could not be read: a secret in it is cut out only where its form gives it away.
    pub unread: Vec<Unread>,
}

/// A file or folder that may hold secrets and could not be read.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Unread {
    /// What was to be read.
    pub source: String,
    /// What happened.
    pub outcome: Outcome,
    /// In a sentence.
    pub reason: String,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Tool {
    /// This program.
    #[must_use]
    pub fn this() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The most that the values of a manifest may weigh in [`is_bearable`]: what it takes in memory is some hundred bytes each.
const MOST_VALUES: usize = 2_000_000;
/// What an object weighs beside another value: it takes a node of a map, however little is in it.
const OBJECT: usize = 20;

/// Whether a manifest that is not to be trusted takes no more memory than one should, whatever is in it: JSON takes up to
/// a hundred times its length.
#[must_use]
pub fn is_bearable(json: &[u8]) -> bool {
    let weight = |byte: &u8| match byte {
        b'{' => OBJECT,
        b',' | b'[' => 1,
        _ => 0,
    };
    json.iter().map(weight).sum::<usize>() <= MOST_VALUES
}

impl Manifest {
    /// What is known when a run begins.
    #[must_use]
    pub fn opening(node: impl Into<String>, started: Timestamp, options: Value) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool::this(),
            node: node.into(),
            started,
            finished: None,
            options,
            interrupted: false,
            complete: false,
            untouched: None,
            secrets: None,
            redacted_again: Vec::new(),
            items: Vec::new(),
        }
    }

    /// The whole, when the run has ended.
    #[must_use]
    pub fn closing(self, items: Vec<Collected>, finished: Timestamp, interrupted: bool) -> Self {
        let unread = self.secrets.as_ref().is_some_and(|secrets| !secrets.unread.is_empty());
        let trouble = items.iter().any(|item| item.outcome.is_trouble());
        let complete = !interrupted && !unread && !trouble;
        Self { finished: Some(finished), interrupted, complete, items, ..self }
    }

    /// Reads one that is not to be trusted.
    ///
    /// # Errors
    /// It is none, or takes more memory than one should.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        if !is_bearable(json) {
            return Err(serde_json::Error::custom("it holds more values than are read"));
        }
        serde_json::from_slice(json)
    }

    /// As it stands in a bundle: indented JSON with a newline at its end.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn the_opening_manifest_says_that_it_is_not_complete() {
        let opening =
            Manifest::opening("node-1", at("2026-11-23T02:33:26Z"), json!({"since": "24h"}));
        let value: Value = serde_json::from_slice(&opening.to_json().unwrap()).unwrap();
        assert_eq!(
            value,
            json!({
                "schemaVersion": 1,
                "tool": {"name": "calivet", "version": env!("CARGO_PKG_VERSION")},
                "node": "node-1", "started": "2026-11-23T02:33:26Z", "finished": null,
                "options": {"since": "24h"}, "interrupted": false, "complete": false,
                "untouched": null, "secrets": null, "items": []
            })
        );
    }

    #[test]
    fn the_closing_manifest_lists_the_items_by_the_documented_names() {
        let item = Collected {
            path: "nft_ruleset".to_owned(),
            source: "nft list ruleset".to_owned(),
            place: None,
            collector: "netfilter".to_owned(),
            outcome: Outcome::NotApplicable,
            reason: Some("no nf_tables".to_owned()),
            bytes: 0,
            original_bytes: 7,
            modified: None,
            link: None,
            sha256: None,
            started: at("2026-11-23T02:33:26.5Z"),
            duration_ms: 12,
            exit_status: Some(1),
            redactions: [("bird-password".to_owned(), 2)].into(),
        };
        let manifest = Manifest::opening("n", at("2026-11-23T02:33:26Z"), Value::Null);
        let manifest = manifest.closing(vec![item], at("2026-11-23T02:33:27Z"), false);
        let json = manifest.to_json().unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&json).unwrap(), manifest);
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&value["complete"], &value["interrupted"]), (&json!(true), &json!(false)));
        assert_eq!(
            value["items"][0],
            json!({
                "path": "nft_ruleset", "source": "nft list ruleset", "collector": "netfilter",
                "outcome": "not-applicable", "reason": "no nf_tables", "bytes": 0, "originalBytes": 7,
                "sha256": null, "started": "2026-11-23T02:33:26.5Z", "durationMs": 12, "exitStatus": 1,
                "redactions": {"bird-password": 2}
            })
        );
    }

    #[test]
    fn a_run_that_could_not_learn_the_secrets_is_not_complete() {
        let mut manifest = Manifest::opening("n", at("2026-11-23T02:33:26Z"), Value::Null);
        manifest.secrets = Some(Learning::default());
        let whole = manifest.clone().closing(Vec::new(), at("2026-11-23T02:33:27Z"), false);
        assert!(whole.complete);
        manifest.secrets = Some(Learning {
            values: 0,
            unread: vec![Unread {
                source: "/etc/calico/calicoctl.cfg".to_owned(),
                outcome: Outcome::Timeout,
                reason: "did not finish within 2.5s".to_owned(),
            }],
        });
        let partial = manifest.closing(Vec::new(), at("2026-11-23T02:33:27Z"), false);
        assert!(!partial.complete);
    }

    #[test]
    fn an_interrupted_run_is_not_complete() {
        let manifest = Manifest::opening("n", at("2026-11-23T02:33:26Z"), Value::Null);
        let manifest = manifest.closing(Vec::new(), at("2026-11-23T02:33:27Z"), true);
        assert!(manifest.interrupted && !manifest.complete);
    }
}
