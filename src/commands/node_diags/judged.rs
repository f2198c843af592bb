//! What the checks make of what goes into the bundle: `findings.json`, which is what `check --from` will say of it.
//!
//! The evidence is what the bundle holds, redacted as there, kept as it goes by. That costs memory, so that it is bounded:
//! of an item that is too large the bytes are not kept, and a check that reads it says so.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::checks::{self, Asked, CHECKS, Report};
use crate::collectors::{self, Node, Rows};
use crate::commands::check;
use crate::host::Evidence;

/// The most bytes of one item.
pub(super) const MOST_OF_ONE: u64 = 4 << 20;
/// The most bytes of all items together.
const MOST: u64 = 16 << 20;

/// What the checks rest on, and what of it could not be kept.
pub(super) struct Judged {
    rows: Vec<(&'static checks::Check, Wanted)>,
    /// What tells of which node they are, and what must be known before the rows are.
    first: BTreeSet<String>,
    left: u64,
    /// Paths of what was too large.
    dropped: BTreeSet<String>,
}

/// Where in a bundle a check's evidence is.
struct Wanted {
    paths: BTreeSet<String>,
    folders: Vec<String>,
}

impl Wanted {
    fn has(&self, path: &str) -> bool {
        let is_beneath = |folder: &String| {
            path.strip_prefix(folder.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.paths.contains(path) || self.folders.iter().any(is_beneath)
    }
}

impl Judged {
    /// What all checks want of this node, whose bundle holds a path as `shown`.
    pub(super) fn new(node: &Node, shown: impl Fn(&str) -> String) -> Self {
        let asked = Asked::default();
        let wanted = |check: &'static checks::Check| {
            let Rows { artifacts, trees } = (check.reads)(node, &asked);
            let paths = artifacts.iter().map(|row| shown(&row.path())).collect();
            let folders = trees.iter().map(|tree| shown(&tree.path())).collect();
            (check, Wanted { paths, folders })
        };
        let first = [collectors::FIRST.to_vec(), collectors::builtin(node)].concat();
        Self {
            rows: CHECKS.iter().map(wanted).collect(),
            first: first.iter().map(|row| shown(&row.path())).collect(),
            left: MOST,
            dropped: BTreeSet::new(),
        }
    }

    /// Whether a check rests on what the bundle holds at this path.
    pub(super) fn wants(&self, path: &str) -> bool {
        self.first.contains(path) || self.rows.iter().any(|(_, wanted)| wanted.has(path))
    }

    /// Whether there is room for the bytes of an item. `None`: they were not kept as they came.
    pub(super) fn has_room(&mut self, path: &str, bytes: Option<usize>) -> bool {
        let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
        if let Some(left) = bytes.and_then(|bytes| self.left.checked_sub(bytes)) {
            self.left = left;
            return true;
        }
        self.dropped.insert(path.to_owned());
        false
    }

    /// The findings of all checks. One that lacks something because it was too large to be kept is unknown here.
    pub(super) async fn report(&self, evidence: Evidence, time: Timestamp) -> Report {
        let name = Node::from_evidence(&evidence).name;
        let lacks = |wanted: &Wanted| self.dropped.iter().find(|path| wanted.has(path));
        let able = self.rows.iter().filter(|(_, wanted)| lacks(wanted).is_none());
        let able: Vec<_> = able.map(|(check, _)| *check).collect();
        let judged = check::judge(&able, evidence, &Asked::default(), 1).await;
        let findings = self.rows.iter().flat_map(|(check, wanted)| match lacks(wanted) {
            Some(path) => checks::unknown(
                check,
                &format!("{path} was too large to be kept while the bundle was made: calivet check --from judges it"),
            ),
            None => judged.iter().filter(|it| it.check == check.name).cloned().collect(),
        });
        Report::new((!name.is_empty()).then_some(name), time, findings.collect())
    }
}
