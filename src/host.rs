//! The only door to a machine or a bundle.
//!
//! A [`Host`] answers for [`Artifact`]s: pieces of host state, each with its [`Source`] (how a live machine is
//! asked), its place in a bundle and its limits. Bounds of time and bytes are kept here, so that no caller can
//! forget them, and no answer is an error: a [`Reading`] says what happened and holds what there is.
#![allow(clippy::disallowed_methods, reason = "this is the door that all others must use")]

pub mod address_space;
mod apart;
mod artifact;
mod beneath;
mod bird_socket;
pub mod bundle;
mod certificates;
mod change;
mod clock;
mod command;
pub mod confine;
mod credentials;
mod datastore;
mod dbus;
pub mod enter;
mod environment;
mod file;
mod filesystems;
mod http;
mod kernel_log;
mod live;
mod logs;
pub mod memory;
pub mod netlink;
mod pattern;
mod probe;
mod process;
mod program;
mod reading;
mod sysctl;
mod tree;
mod unix_socket;
mod xtables_lock;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc;

pub use artifact::{Artifact, DEFAULT_MAX_BYTES, Extent, Family, Sensitivity, Source, Tree};
pub use reading::{Collected, Evidence, Found, Listing, Reading};

pub use crate::outcome::Outcome;

/// A machine, a folder that holds one, or a bundle.
#[derive(Debug)]
pub struct Host {
    view: View,
}

#[derive(Debug)]
enum View {
    Live(Box<live::Live>),
    Bundle(Box<bundle::Bundle>),
}

impl Host {
    /// This machine, or the one whose file system is at `root`. No question takes longer than `timeout` unless
    /// its artifact says so.
    #[must_use]
    pub fn live(root: &Path, timeout: Duration) -> Self {
        Self { view: View::Live(Box::new(live::Live::new(root, timeout))) }
    }

    /// The machine of which `path` is a bundle.
    ///
    /// # Errors
    /// There is no bundle at `path`, or it cannot be read.
    pub fn bundle(path: &Path) -> Result<Self, bundle::BundleError> {
        bundle::Bundle::open(path).map(Self::of)
    }

    /// The machine of which this is a bundle.
    #[must_use]
    pub fn of(bundle: bundle::Bundle) -> Self {
        Self { view: View::Bundle(Box::new(bundle)) }
    }

    /// The bundle that it is, if it is one.
    #[must_use]
    pub fn as_bundle(&self) -> Option<&bundle::Bundle> {
        match &self.view {
            View::Live(_) => None,
            View::Bundle(bundle) => Some(bundle),
        }
    }

    /// The same host, whose programs in other file systems are run by the `calivet` at `executable`: for a process
    /// that is not `calivet` itself, such as a test.
    #[must_use]
    pub fn entered_by(mut self, executable: &Path) -> Self {
        if let View::Live(live) = &mut self.view {
            live.calivet = Some(executable.to_owned());
        }
        self
    }

    /// When the machine was asked: the time at which a live host was opened, or at which the bundle was begun.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match &self.view {
            View::Live(live) => live.opened(),
            View::Bundle(bundle) => bundle.time(),
        }
    }

    /// Whether it answers now: not so a bundle.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.view, View::Live(_))
    }

    /// What a reader of this host should know: what a bundle lacks as a whole.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match &self.view {
            View::Live(_) => &[],
            View::Bundle(bundle) => bundle.warnings(),
        }
    }

    /// Reads an artifact into memory.
    pub async fn read(&self, artifact: &Artifact) -> Reading {
        // It is in memory already.
        if let View::Bundle(bundle) = &self.view {
            return bundle.read(artifact);
        }
        let (sender, mut chunks) = mpsc::channel(2);
        let gather = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                if bytes.is_empty() {
                    bytes = chunk;
                } else {
                    bytes.extend_from_slice(&chunk);
                }
            }
            bytes
        };
        let (reading, bytes) = tokio::join!(self.stream(artifact, sender), gather);
        Reading { bytes, ..reading }
    }

    /// Reads an artifact in chunks of at most 128 KiB, which are sent as they come; the reading that is returned
    /// holds no bytes. Ends early when the receiver is dropped.
    pub async fn stream(&self, artifact: &Artifact, chunks: mpsc::Sender<Vec<u8>>) -> Reading {
        match &self.view {
            View::Live(live) => live.stream(artifact, chunks).await,
            View::Bundle(bundle) => {
                let mut reading = bundle.read(artifact);
                if !in_chunks(std::mem::take(&mut reading.bytes), &chunks).await {
                    (reading.outcome, reading.reason) = apart::nobody_listens();
                }
                reading
            }
        }
    }

    /// Reads artifacts and the files of folders, all at once. What of a folder is not read (a link, a FIFO) stands
    /// under its own path with the reason; a folder that could not be listed stands under the folder's path.
    pub async fn evidence(&self, artifacts: &[Artifact], trees: &[Tree]) -> Evidence {
        let artifact = |artifact: &Artifact| {
            let artifact = artifact.clone();
            async move { (artifact.path().into_owned(), self.read(&artifact).await) }
        };
        let (artifacts, trees) = tokio::join!(
            join_all(artifacts.iter().map(artifact)),
            join_all(trees.iter().map(|tree| self.tree(tree)))
        );
        artifacts.into_iter().chain(trees.into_iter().flatten()).collect()
    }

    /// What the files of a folder say, a few at once: a folder that hangs costs one file's time.
    async fn tree(&self, tree: &Tree) -> Vec<(String, Reading)> {
        let listing = self.list(tree).await;
        let mut readings = Vec::new();
        if listing.outcome != Outcome::Ok {
            let folder = Reading { outcome: listing.outcome, ..Reading::begin() };
            readings.push((tree.path().into_owned(), Reading { reason: listing.reason, ..folder }));
        }
        let hung = OnceLock::new();
        let read = |Found { path, refusal, link, bytes, modified }| {
            let hung = &hung;
            async move {
                let leaf = tree.leaf(&path);
                let reading = match (refusal, hung.get()) {
                    (Some((outcome, reason)), _) => Reading {
                        original_bytes: bytes,
                        modified: Some(modified),
                        link,
                        ..Reading::failed(outcome, reason)
                    },
                    (None, Some(reason)) => Reading::failed(Outcome::Timeout, reason),
                    (None, None) => self.read(&leaf).await,
                };
                if reading.outcome == Outcome::Timeout {
                    let said = format!("not tried: beside it, {} did not answer", path.display());
                    hung.get_or_init(|| said);
                }
                (leaf.path().into_owned(), reading)
            }
        };
        let found = stream::iter(listing.found).map(read).buffered(OF_A_FOLDER);
        readings.extend(found.collect::<Vec<_>>().await);
        readings
    }

    /// Gives a file a new text, whole and at once, if it still holds `before` (`None`: if it is not there). Returns
    /// where the old one is kept. For [`crate::fix`] alone.
    ///
    /// # Errors
    /// It could not be done: what was there is still there.
    pub fn replace_file(
        &self,
        path: &Path,
        before: Option<&str>,
        text: &str,
        now: Timestamp,
    ) -> anyhow::Result<Option<String>> {
        change::replace(self.root()?, path, before, text, now)
    }

    /// Writes a value to one of the kernel's settings below `/proc/sys`. For [`crate::fix`] alone.
    ///
    /// # Errors
    /// The kernel did not take it.
    pub fn write_setting(&self, path: &Path, value: &str) -> anyhow::Result<()> {
        change::write_setting(self.root()?, path, value)
    }

    /// Asks a service to read its files again. For [`crate::fix`] alone.
    ///
    /// # Errors
    /// It is not there, or it refused.
    pub async fn reload_network_manager(&self) -> anyhow::Result<()> {
        dbus::reload(self.root()?).await
    }

    fn root(&self) -> anyhow::Result<&Path> {
        match &self.view {
            View::Live(live) => Ok(live.root()),
            View::Bundle(_) => anyhow::bail!("a bundle cannot be changed"),
        }
    }

    /// The files of a tree, in the order of their paths; bounded in depth, number and time. A folder that is not
    /// there gives none.
    pub async fn list(&self, tree: &Tree) -> Listing {
        match &self.view {
            View::Live(live) => live.list(tree).await,
            View::Bundle(bundle) => bundle.list(tree),
        }
    }
}

/// Files of one folder that are read at once.
const OF_A_FOLDER: usize = 8;

/// The most bytes in one chunk of a stream: little enough to stay in the processor's cache while it is redacted,
/// hashed and compressed, and to be held some times by each item that is under way.
const CHUNK: usize = 128 << 10;

/// Sends what is already in memory. `false`: nobody listens any more.
async fn in_chunks(bytes: Vec<u8>, chunks: &mpsc::Sender<Vec<u8>>) -> bool {
    if bytes.is_empty() {
        return true;
    }
    if bytes.len() <= CHUNK {
        return chunks.send(bytes).await.is_ok();
    }
    for chunk in bytes.chunks(CHUNK) {
        if chunks.send(chunk.to_vec()).await.is_err() {
            return false;
        }
    }
    true
}

/// Text that stands in one line and does nothing to a terminal.
fn printable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}
