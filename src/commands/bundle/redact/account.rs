//! The manifest of a bundle that is written anew: what the old one says, without secrets, and what became of each item.
//!
//! It stays a [`Value`], so that fields that only a newer calivet knows are kept.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Redone;
use crate::archive;
use crate::bundle::manifest::{self, Again};
use crate::redact::Redactor;

/// A manifest, if it is one and takes no more memory than one should.
pub(super) fn parse(json: &[u8]) -> Option<Value> {
    let parsed = || serde_json::from_slice::<Value>(json).ok().filter(Value::is_object);
    if manifest::is_bearable(json) { parsed() } else { None }
}

/// The manifest with which a bundle opens: nothing of its items.
pub(super) fn opening(manifest: &Value) -> serde_json::Result<Vec<u8>> {
    let fields = manifest.as_object().into_iter().flatten().filter(|(name, _)| *name != "items");
    let mut opening: Value =
        fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>().into();
    opening["items"] = json!([]);
    opening["finished"] = Value::Null;
    opening["complete"] = Value::Bool(false);
    serde_json::to_vec_pretty(&opening)
}

/// Cuts secrets out of every text of a manifest, also of fields that only a newer calivet knows.
pub(super) fn conceal(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.redact_name(text),
        Value::Array(values) => values.iter_mut().for_each(|value| conceal(value, redactor)),
        Value::Object(values) => values.values_mut().for_each(|value| conceal(value, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Tells in the manifest what became of each item.
pub(super) fn close(
    manifest: &mut Value,
    redone: &BTreeMap<String, Redone>,
    again: &Again,
    redactor: &Redactor,
) {
    // Paths in the manifest have been redacted, those of the archive's entries not.
    let by_path: BTreeMap<String, &Redone> =
        redone.iter().map(|(path, done)| (redactor.redact_name(path), done)).collect();
    for item in manifest["items"].as_array_mut().into_iter().flatten() {
        let path = item["path"].as_str().map(archive::entry_path).unwrap_or_default();
        // What was not what the manifest lists does not become so.
        let is_listed = |done: &&&Redone| {
            item["sha256"].as_str().is_some_and(|listed| done.was.eq_ignore_ascii_case(listed))
        };
        let Some(done) = by_path.get(&path).filter(is_listed) else { continue };
        item["path"] = json!(done.path);
        item["bytes"] = json!(done.bytes);
        item["sha256"] = json!(done.sha256);
        let mut counts: BTreeMap<String, u64> =
            serde_json::from_value(item["redactions"].take()).unwrap_or_default();
        for (rule, count) in &done.redactions {
            let sum = counts.entry(rule.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        item["redactions"] = json!(counts);
    }
    let mut runs = manifest["redactedAgain"].as_array().cloned().unwrap_or_default();
    runs.push(json!(again));
    manifest["redactedAgain"] = Value::Array(runs);
}
