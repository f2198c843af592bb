//! The only door to a machine or a bundle.
//!
//! A [`Host`] answers for [`Artifact`]s: pieces of host state, each with its [`Source`] (how a live machine is
//! asked), its place in a bundle and its limits. Bounds of time and bytes are kept here, so that no caller can
//! forget them, and no answer is an error: a [`Reading`] says what happened and holds what there is.
#![allow(clippy::disallowed_methods, reason = "this is the door that all others must use")]

mod apart;
mod artifact;
mod beneath;
mod bird_socket;
pub mod bundle;
mod command;
pub mod enter;
mod file;
mod http;
mod kernel_log;
mod live;
pub mod netlink;
mod pattern;
mod process;
mod program;
mod reading;
mod sysctl;
mod tree;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

pub use artifact::{Artifact, DEFAULT_MAX_BYTES, Extent, Family, Sensitivity, Source, Tree};
pub use reading::{Collected, Evidence, Found, Listing, Outcome, Reading};

/// A machine, a folder that holds one, or a bundle.
#[derive(Debug)]
pub struct Host {
    view: View,
}

#[derive(Debug)]
enum View {
    Live(Box<live::Live>),
    Bundle(bundle::Bundle),
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
        bundle::Bundle::open(path).map(|bundle| Self { view: View::Bundle(bundle) })
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

    /// Reads an artifact in chunks of at most 256 KiB, which are sent as they come; the reading that is returned
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

    /// The files of a tree, in the order of their paths; bounded in depth, number and time. A folder that is not
    /// there gives none.
    pub async fn list(&self, tree: &Tree) -> Listing {
        match &self.view {
            View::Live(live) => live.list(tree).await,
            View::Bundle(bundle) => bundle.list(tree),
        }
    }
}

/// The most bytes in one chunk of a stream: little enough to stay in the processor's cache while it is redacted,
/// hashed and compressed, and to be held some times by each item that is under way.
const CHUNK: usize = 256 << 10;

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
