//! What the checks rest on, kept in memory while the bundle is written, so that it can hold their verdict.
//!
//! The verdict is not made of what was read but of what is in the bundle, redacted and with its pseudonyms: it is what
//! `calivet check --from BUNDLE` says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::receive::Keep;
use crate::checks::{Asked, CHECKS, Check, Report};
use crate::collectors::{self, Node};
use crate::commands::check;
use crate::host::Host;

/// The most bytes that are kept: a node with 5,000 rules and 110 pods has some 4 MiB.
const MOST: u64 = 16 << 20;

/// See the module.
pub(in crate::commands::node_diags) struct Judged {
    paths: BTreeSet<String>,
    /// Paths of folders, each with a slash at its end.
    folders: Vec<String>,
    left: Arc<AtomicU64>,
    entries: Vec<(String, Vec<u8>)>,
    /// Something of it is not kept.
    lacks: bool,
}

impl Judged {
    /// Nothing yet of a node, whose bundle holds a path as `shown`.
    pub(in crate::commands::node_diags) fn new(
        node: &Node,
        shown: impl Fn(&str) -> String,
    ) -> Self {
        let asked = Asked::default();
        let mut paths: BTreeSet<String> =
            collectors::FIRST.iter().map(|row| shown(&row.path())).collect();
        // Which modules the kernel holds is one of the facts of the node.
        let mut folders = vec!["host/lib/modules/".to_owned()];
        for check in CHECKS {
            let rows = (check.reads)(node, &asked);
            paths.extend(rows.artifacts.iter().map(|row| shown(&row.path())));
            folders.extend(rows.trees.iter().map(|tree| format!("{}/", shown(&tree.path()))));
        }
        let left = Arc::new(AtomicU64::new(MOST));
        Self { paths, folders, left, entries: Vec::new(), lacks: false }
    }

    /// How much of the item at this path is wanted.
    pub(super) fn keep(&self, path: &str) -> Keep {
        if self.is_wanted(path) { Keep::Within(Arc::clone(&self.left)) } else { Keep::No }
    }

    fn is_wanted(&self, path: &str) -> bool {
        self.paths.contains(path) || self.folders.iter().any(|folder| path.starts_with(folder))
    }

    /// Keeps what the bundle holds at a path. `None`: it was too much.
    pub(super) fn add(&mut self, path: &str, bytes: Option<Vec<u8>>) {
        if !self.is_wanted(path) {
            return;
        }
        match bytes {
            Some(bytes) => self.entries.push((path.to_owned(), bytes)),
            None => self.lacks = true,
        }
    }

    /// What all checks say of the bundle with this manifest; or why that is not known.
    pub(super) async fn report(&mut self, manifest: Vec<u8>) -> Result<Report, String> {
        if self.lacks || self.left.load(Ordering::Relaxed) == 0 {
            return Err(format!(
                "what the checks rest on is more than {MOST} bytes: `calivet check --from` judges it"
            ));
        }
        let mut entries = std::mem::take(&mut self.entries);
        entries.push(("manifest.json".to_owned(), manifest));
        // A task of its own: a fault in it costs the verdict and not the bundle.
        let judging = tokio::spawn(async move {
            let checks: Vec<&Check> = CHECKS.iter().collect();
            check::report(&Host::within_bundle(entries), &checks, &Asked::default()).await
        });
        judging.await.map_err(|error| format!("a fault of calivet's own: {error}"))
    }
}
