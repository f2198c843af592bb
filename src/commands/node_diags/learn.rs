//! What is read before anything is written: the node's secrets, so that they can be cut out wherever they turn up.
//!
//! Credential files, configuration files, the environments of Calico's processes. The run waits for it, so all of
//! it together has one limit; and a folder that hangs costs the limit of one file, whatever it holds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::environment;
use crate::bundle::manifest::{Learning, Unread};
use crate::collect;
use crate::collectors::{self, COLLECTORS, Node};
use crate::commands::pseudonyms::names_nodes;
use crate::host::{Artifact, Host, Outcome, Reading, Sensitivity, Source, Tree};
use crate::redact::Secrets;

/// How many of the whole time's parts one question may take: what hangs must leave time for what does not.
const PARTS: u32 = 4;

/// What was learned, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// The node's secrets.
    pub(super) secrets: Secrets,
    /// The files among them that tell names of other nodes.
    pub(super) named: Vec<(Artifact, Reading)>,
    /// How it went.
    pub(super) learning: Learning,
}

/// What is read one after the other, because it lies in one folder.
enum Place {
    Folder(Tree),
    Files(Vec<Artifact>),
}

/// Reads the node's secrets, from at most `side_by_side` places at once, within `limit`.
pub(super) async fn learn(
    host: &Host,
    node: &Node,
    side_by_side: usize,
    limit: Duration,
) -> Learned {
    let reader = Reader {
        host,
        each: limit / PARTS,
        until: Instant::now() + limit,
        limit,
        learned: Mutex::default(),
    };
    futures_util::stream::iter(places(node))
        .for_each_concurrent(side_by_side, |place| reader.place(place))
        .await;
    let mut learned = reader.learned.into_inner().unwrap_or_else(PoisonError::into_inner);
    for secret in environment::secrets() {
        learned.secrets.learn_value(&secret);
    }
    learned.learning.values = learned.secrets.len() as u64;
    learned.learning.unread.sort_by(|one, other| one.source.cmp(&other.source));
    learned
}

/// Where secrets may be found on this node.
fn places(node: &Node) -> Vec<Place> {
    let mut trees = Vec::new();
    let mut files: BTreeMap<PathBuf, Vec<Artifact>> = BTreeMap::new();
    // Logs tell secrets only by accident, and are too large to be read twice.
    for collector in COLLECTORS.iter().filter(|collector| collector.name != "logs") {
        let rows = collectors::rows(collector, node);
        let private = |sensitivity| sensitivity != Sensitivity::Public;
        let wanted = rows.trees.into_iter().filter(|tree| private(tree.sensitivity));
        trees.extend(wanted.map(Place::Folder));
        for artifact in rows.artifacts.into_iter().filter(|row| private(row.sensitivity)) {
            if let (Source::File(_), Some(folder)) =
                (&artifact.source, collect::folder_of(&artifact))
            {
                files.entry(folder).or_default().push(artifact);
            }
        }
    }
    trees.into_iter().chain(files.into_values().map(Place::Files)).collect()
}

struct Reader<'a> {
    host: &'a Host,
    /// The bound on one question.
    each: Duration,
    /// When all must have been read.
    until: Instant,
    limit: Duration,
    learned: Mutex<Learned>,
}

impl Reader<'_> {
    async fn place(&self, place: Place) {
        let files = match place {
            Place::Files(files) => files,
            Place::Folder(tree) => self.list(&tree).await,
        };
        let mut files = files.into_iter();
        while let Some(file) = files.next() {
            let left = self.until.saturating_duration_since(Instant::now()).min(self.each);
            if left.is_zero() {
                let reason =
                    format!("not read within the {:?} that all of it may take", self.limit);
                self.unread(file.describe(), Outcome::Timeout, reason);
                continue;
            }
            let file = file.within(left);
            let reading = self.host.read(&file).await;
            if reading.outcome == Outcome::Timeout {
                let reason = format!("not tried: beside it, {} did not answer", file.describe());
                for file in files.by_ref() {
                    self.unread(file.describe(), Outcome::Timeout, reason.clone());
                }
            }
            self.take(file, reading);
        }
    }

    async fn list(&self, tree: &Tree) -> Vec<Artifact> {
        let until = self.until.min(Instant::now() + self.each);
        let Ok(listing) = timeout_at(until, self.host.list(tree)).await else {
            let reason = format!("not listed within {:?}", self.each);
            self.unread(tree.folder.to_string(), Outcome::Timeout, reason);
            return Vec::new();
        };
        if listing.outcome.is_trouble() {
            let reason = listing.reason.unwrap_or_default();
            self.unread(tree.folder.to_string(), listing.outcome, reason);
        }
        let read = listing.found.iter().filter(|found| found.refusal.is_none());
        read.map(|found| tree.leaf(&found.path)).collect()
    }

    fn take(&self, file: Artifact, reading: Reading) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = &mut learned.secrets;
        let learn = AssertUnwindSafe(|| match file.sensitivity {
            Sensitivity::Credential => secrets.learn_credential_file(&reading.bytes),
            _ => secrets.learn(&reading.bytes),
        });
        let panicked = catch_unwind(learn).is_err();
        drop(learned);
        if panicked {
            let reason = "a fault of calivet's own while it was searched for secrets";
            self.unread(file.describe(), Outcome::Failed, reason.to_owned());
        } else if reading.outcome.is_trouble() {
            let reason = reading.reason.clone().unwrap_or_default();
            self.unread(file.describe(), reading.outcome, reason);
        }
        if names_nodes(&file.path()) {
            let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
            learned.named.push((file, reading));
        }
    }

    fn unread(&self, source: String, outcome: Outcome, reason: String) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.learning.unread.push(Unread { source, outcome, reason });
    }
}
