//! What a host needs of a bundle's manifest, read so that a newer one, or one that lies, does no harm.
//!
//! ```json
//! {"schemaVersion": 1, "node": "node-1", "started": "2026-11-23T02:33:26Z", "finished": "2026-11-23T02:33:27Z",
//!  "interrupted": false, "complete": true,
//!  "items": [{"path": "date", "outcome": "ok", "reason": null, "originalBytes": 29, "sha256": "5e...",
//!             "started": "2026-11-23T02:33:26Z", "durationMs": 3, "exitStatus": 0}]}
//! ```

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use crate::archive::entry_path;
use crate::host::Outcome;

/// Where a bundle keeps its manifest.
pub(super) const PATH: &str = "manifest.json";

/// The newest manifest that is understood whole.
const SCHEMA_VERSION: u64 = 1;

/// No node has as many items; a manifest that has more is not for reading.
const MAX_ITEMS: usize = 100_000;

/// A manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    schema_version: u64,
    #[serde(default)]
    pub(super) node: Option<String>,
    #[serde(default)]
    pub(super) started: Option<Timestamp>,
    #[serde(default)]
    pub(super) finished: Option<Timestamp>,
    #[serde(default)]
    interrupted: bool,
    /// By the path at which the archive keeps each.
    #[serde(default, deserialize_with = "items")]
    pub(super) items: BTreeMap<String, Item>,
}

/// What happened to one item.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    path: String,
    #[serde(deserialize_with = "Outcome::known")]
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) place: Option<String>,
    #[serde(default)]
    pub(super) original_bytes: u64,
    #[serde(default)]
    pub(super) modified: Option<Timestamp>,
    #[serde(default)]
    pub(super) link: Option<String>,
    #[serde(default)]
    pub(super) sha256: Option<String>,
    #[serde(default)]
    pub(super) started: Option<Timestamp>,
    #[serde(default)]
    pub(super) duration_ms: u64,
    #[serde(default)]
    pub(super) exit_status: Option<i32>,
}

impl Manifest {
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// What a reader of the bundle should know before trusting it.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.schema_version > SCHEMA_VERSION {
            let version = self.schema_version;
            warnings.push(format!(
                "a newer calivet wrote the bundle (schema version {version}, {SCHEMA_VERSION} is known here)"
            ));
        }
        if self.interrupted {
            warnings.push("the run that wrote the bundle was interrupted".to_owned());
        }
        warnings
    }
}

fn items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Item>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = BTreeMap<String, Item>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut items = BTreeMap::new();
            while let Some(item) = list.next_element::<Item>()? {
                if items.len() == MAX_ITEMS {
                    return Err(A::Error::custom(format!("more than {MAX_ITEMS} items")));
                }
                items.insert(entry_path(&item.path), item);
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Items)
}
