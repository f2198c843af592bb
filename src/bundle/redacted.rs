//! What `bundle redact` tells of the bundle that it wrote.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// The document of `bundle redact`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redacted {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The new bundle, as it was named.
    pub bundle: String,
    /// How many files it holds.
    pub files: usize,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many secrets were learned from the old bundle, and searched for in all of it.
    pub learned: u64,
    /// How often each rule was applied.
    pub redactions: BTreeMap<String, u64>,
    /// Whether the old bundle was whole, and all of it what a bundle holds.
    pub whole: bool,
}
