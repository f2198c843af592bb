//! What `node diags --dry-run` tells: what a bundle would be made of.

use schemars::JsonSchema;
use serde::Serialize;

use crate::host::Outcome;

/// The document of `node diags --dry-run`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// What would be read and run, and what would be left out.
    pub items: Vec<Planned>,
}

/// One item of a bundle that is not made yet.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The subject that it belongs to, as `--only` and `--skip` know it.
    pub collector: String,
    /// Where it would be in the bundle; the files of a folder, which are not known yet, as one path that ends in `/`.
    pub path: String,
    /// What would be read, asked or run.
    pub source: String,
    /// `skipped`: it would be left out; `null`: what becomes of it is not known before.
    pub outcome: Option<Outcome>,
    /// Why it would be left out.
    pub reason: Option<String>,
}
