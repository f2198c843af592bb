//! What a bundle holds: what its manifest says, laid beside the files that are there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::manifest::{Again, Comparison, Learning, Manifest, Tool};
use crate::archive::entry_path;
use crate::host::bundle::{Bundle, File};
use crate::host::{Collected, Outcome};

/// The files that a bundle holds beside its items, and that no manifest lists.
const DOCUMENTS: [&str; 4] = ["findings.json", "manifest.json", "status.json", "summary.txt"];

/// A bundle without the content of its files.
#[derive(Debug)]
pub struct Inventory {
    /// What the bundle says of itself; `None`: it has no manifest that can be read.
    pub manifest: Option<Manifest>,
    bundle: Bundle,
    warnings: Vec<String>,
}

/// The document of `bundle show`.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The bundle, as it was named.
    pub bundle: String,
    /// Who wrote it; `null` where it has no manifest, as calicoctl's have none.
    pub tool: Option<Tool>,
    /// Of which node.
    pub node: Option<String>,
    /// When the run began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// What the user asked for.
    pub options: Value,
    /// A signal or the deadline ended the run.
    pub interrupted: Option<bool>,
    /// Whatever was there on the node was read whole, and the archive has its end.
    pub complete: Option<bool>,
    /// What is wrong with the archive itself.
    pub warnings: Vec<String>,
    /// Files in the bundle.
    pub files: usize,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// How many items had which outcome.
    pub outcomes: BTreeMap<String, usize>,
    /// The items that are there on the node and were not read whole.
    pub troubles: Vec<Trouble>,
    /// How often each rule of redaction was applied, in all.
    pub redactions: BTreeMap<String, u64>,
    /// When it was redacted once more, and by what.
    pub redacted_again: Vec<Again>,
    /// How it went to learn the node's secrets.
    pub secrets: Option<Learning>,
    /// The proof that nothing on the node was changed.
    pub untouched: Option<BTreeMap<String, Comparison>>,
}

/// An item that was not read whole.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Trouble {
    /// Where the bundle keeps it, or would.
    pub path: String,
    /// What happened.
    pub outcome: Outcome,
    /// In a sentence.
    pub reason: Option<String>,
}

/// The document of `bundle list`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The items, in the order of their paths.
    pub items: Vec<Row>,
}

/// A line of `bundle list`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Relative to `diagnostics/`.
    pub path: String,
    /// What happened when it was read; `null` where no manifest says it.
    pub outcome: Option<Outcome>,
    /// Bytes in the bundle; `null`: it is not in there.
    pub bytes: Option<u64>,
    /// Bytes on the host.
    pub original_bytes: Option<u64>,
    /// To which subject it belongs.
    pub collector: Option<String>,
    /// What was read, asked or run.
    pub source: Option<String>,
    /// Why it is not `ok`.
    pub reason: Option<String>,
}

/// The document of `bundle verify`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// The bundle, as it was named.
    pub bundle: String,
    /// Items whose size and SHA-256 are those that the manifest lists.
    pub verified: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is not as the manifest says.
    pub problems: Vec<Problem>,
}

/// What is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Problem {
    /// The file; `null`: the bundle as a whole.
    pub path: Option<String>,
    /// In what way.
    pub kind: Kind,
    /// In a sentence.
    pub reason: String,
}

/// In what way something is not as the manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// There is no manifest, or none that can be read, or only the one with which a bundle begins.
    NoManifest,
    /// The archive's end is missing, or it is damaged, or it was never finished.
    Cut,
    /// The manifest lists it, the archive lacks it.
    Missing,
    /// It has another size.
    Size,
    /// It has another content.
    Sha256,
    /// It could not be read to its end.
    Unreadable,
    /// The manifest does not list it.
    Unlisted,
    /// It has the name of another.
    Repeated,
    /// It is no regular file, or its path leads out.
    Refused,
}

impl Inventory {
    /// Lays the manifest beside the files.
    #[must_use]
    pub fn of(bundle: Bundle) -> Self {
        let mut warnings = bundle.warnings().to_vec();
        let parsed = bundle.manifest_json().map(Manifest::parse);
        let manifest = match parsed {
            Some(Ok(manifest)) => Some(manifest),
            Some(Err(error)) => {
                let told = warnings.iter().any(|warning| warning.contains("manifest"));
                if !told {
                    warnings.push(format!("the bundle's manifest cannot be read: {error}"));
                }
                None
            }
            None => None,
        };
        Self { manifest, bundle, warnings }
    }

    /// What is wrong with the bundle itself.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What happened to each item; none without a manifest.
    #[must_use]
    pub fn items(&self) -> &[Collected] {
        self.manifest.as_ref().map_or(&[], |manifest| &manifest.items)
    }

    /// The bundle at a glance.
    #[must_use]
    pub fn overview(&self, name: &str) -> Overview {
        let manifest = self.manifest.as_ref();
        let mut outcomes = BTreeMap::new();
        let mut redactions = BTreeMap::new();
        let mut troubles = Vec::new();
        for item in self.items() {
            *outcomes.entry(item.outcome.to_string()).or_default() += 1;
            for (rule, count) in &item.redactions {
                let sum: &mut u64 = redactions.entry(rule.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
            if item.outcome.is_trouble() {
                let (path, reason) = (item.path.clone(), item.reason.clone());
                troubles.push(Trouble { path, outcome: item.outcome, reason });
            }
        }
        let is_cut = self.bundle.cut().is_some();
        Overview {
            schema_version: 1,
            bundle: name.to_owned(),
            tool: manifest.map(|it| it.tool.clone()),
            node: manifest.map(|it| it.node.clone()).filter(|node| !node.is_empty()),
            started: manifest.map(|it| it.started),
            finished: manifest.and_then(|it| it.finished),
            options: manifest.map_or(Value::Null, |it| it.options.clone()),
            interrupted: manifest.map(|it| it.interrupted),
            complete: if is_cut { Some(false) } else { manifest.map(|it| it.complete) },
            warnings: self.warnings.clone(),
            files: self.bundle.files().count(),
            bytes: self.bundle.files().fold(0, |sum, file| sum.saturating_add(file.bytes)),
            outcomes,
            troubles,
            redactions,
            redacted_again: manifest.map(|it| it.redacted_again.clone()).unwrap_or_default(),
            secrets: manifest.and_then(|it| it.secrets.clone()),
            untouched: manifest.and_then(|it| it.untouched.clone()),
        }
    }

    /// What is in the bundle, and what the manifest says is not: a row a path.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        for item in self.items() {
            let path = entry_path(&item.path);
            let row = Row {
                path: path.clone(),
                outcome: Some(item.outcome),
                bytes: None,
                original_bytes: Some(item.original_bytes),
                collector: Some(item.collector.clone()),
                source: Some(item.source.clone()),
                reason: item.reason.clone(),
            };
            rows.insert(path, row);
        }
        for File { path, bytes, .. } in self.bundle.files() {
            let row = rows.entry(path.to_owned()).or_insert_with(|| Row {
                path: path.to_owned(),
                outcome: None,
                bytes: None,
                original_bytes: None,
                collector: None,
                source: None,
                reason: None,
            });
            row.bytes = Some(bytes);
        }
        rows.into_values().collect()
    }

    /// Whether each file is what the manifest says, of a bundle that was looked at with its digests.
    #[must_use]
    pub fn verify(&self, name: &str) -> Verification {
        let mut found = Verification {
            schema_version: 1,
            bundle: name.to_owned(),
            verified: 0,
            bytes: 0,
            problems: Vec::new(),
        };
        let mut problem = |path: Option<&str>, kind, reason: String| {
            let path = path.map(ToOwned::to_owned);
            found.problems.push(Problem { path, kind, reason });
        };
        if let Some(cut) = self.bundle.cut() {
            problem(None, Kind::Cut, cut.to_owned());
        }
        if self.manifest.is_none() {
            let told = self.warnings.iter().find(|warning| warning.contains("manifest"));
            let reason = told.map_or("the bundle has no manifest", String::as_str);
            problem(None, Kind::NoManifest, reason.to_owned());
        }
        for refusal in self.bundle.refused() {
            problem(Some(&refusal.path), Kind::Refused, refusal.reason.clone());
        }
        for path in self.bundle.repeated() {
            let reason = "it stands more than once in the archive".to_owned();
            problem(Some(path), Kind::Repeated, reason);
        }
        let files: BTreeMap<&str, File> =
            self.bundle.files().map(|file| (file.path, file)).collect();
        let mut listed = BTreeSet::new();
        let (mut verified, mut bytes) = (0, 0_u64);
        for item in self.items() {
            let path = entry_path(&item.path);
            match judge(item, files.get(path.as_str())) {
                Ok(true) => (verified, bytes) = (verified + 1, bytes.saturating_add(item.bytes)),
                Ok(false) => {}
                Err((kind, reason)) => problem(Some(&path), kind, reason),
            }
            listed.insert(path);
        }
        let is_listed = |path: &str| listed.contains(path) || DOCUMENTS.contains(&path);
        let unlisted = || files.keys().filter(|path| !is_listed(path));
        match &self.manifest {
            Some(manifest) if manifest.finished.is_some() => unlisted().for_each(|path| {
                problem(Some(path), Kind::Unlisted, "the manifest does not list it".to_owned());
            }),
            // Only that with which the bundle begins, and which lists nothing yet.
            Some(_) => {
                let reason = format!(
                    "the manifest at the bundle's end is missing: {} files are listed nowhere",
                    unlisted().count()
                );
                problem(None, Kind::NoManifest, reason);
            }
            None => {}
        }
        Verification { verified, bytes, ..found }
    }
}

/// Whether a file is what the manifest says; `Ok(false)`: it says that there is none.
fn judge(item: &Collected, file: Option<&File>) -> Result<bool, (Kind, String)> {
    let (listed, file) = match (&item.sha256, file) {
        (None, None) => return Ok(false),
        (None, Some(_)) => {
            let reason = format!("the manifest says that nothing was written ({})", item.outcome);
            return Err((Kind::Unlisted, reason));
        }
        (Some(_), None) => {
            let reason = "the manifest lists it, the archive lacks it".to_owned();
            return Err((Kind::Missing, reason));
        }
        (Some(listed), Some(file)) => (listed, file),
    };
    let Some(computed) = file.sha256 else {
        return Err((Kind::Unreadable, "it cannot be read to its end".to_owned()));
    };
    if file.bytes != item.bytes {
        let reason = format!("it has {} bytes, the manifest lists {}", file.bytes, item.bytes);
        Err((Kind::Size, reason))
    } else if !computed.eq_ignore_ascii_case(listed) {
        Err((Kind::Sha256, "its SHA-256 is not the one that the manifest lists".to_owned()))
    } else {
        Ok(true)
    }
}
