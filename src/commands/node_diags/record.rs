//! Puts what the collectors give into the bundle, and keeps what the status rests on.
//!
//! Several items are received and compressed side by side, each by a task of its own; one hand appends those that
//! are whole. What waits in memory is bounded: the compressed data of a few small items and of two large ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::archive::writer::{Compressor, Entry, Packed, WriteError, Writer};
use crate::cli::Format;
use crate::collect::{End, Item, LARGE, LARGE_AT_ONCE, SIDE_BY_SIDE, Stop};
use crate::collectors::{self, Node};
use crate::host::{Collected, Evidence, Outcome, Reading};
use crate::output::{self, Output};
use crate::status::{self, NodeStatus};

/// Items that are received, compressed or wait to be written at once.
const OPEN: usize = 2 * SIDE_BY_SIDE;

/// What the closing documents take of a bundle that may not grow beyond a size: at least, and for each item.
const CLOSING: u64 = 8 << 10;
const CLOSING_PER_ITEM: u64 = 120;

/// An item that has come whole.
struct Parcel {
    collected: Collected,
    /// `None`: it has no bytes.
    entry: Option<Packed>,
    /// The bytes of what the status rests on.
    evidence: Option<Vec<u8>>,
    /// Of a large item, its turn, kept until it is written.
    permit: Option<OwnedSemaphorePermit>,
}

/// See the module.
pub(super) struct Recorder {
    writer: Writer,
    stop: watch::Sender<Option<Stop>>,
    /// The most bytes that the bundle may take.
    max_bytes: Option<u64>,
    receiving: JoinSet<Option<Parcel>>,
    /// What is being received: the number and the path of each.
    open: HashMap<Id, (u64, String)>,
    /// Whole items whose turn has not come.
    waiting: BTreeMap<u64, Parcel>,
    begun: u64,
    large: Arc<Semaphore>,
    /// What happened to each item so far.
    pub(super) items: Vec<Collected>,
    /// How many of them are in the bundle with their bytes.
    pub(super) written: u64,
    /// What the status rests on.
    evidence: Evidence,
    /// Paths of evidence that is still to come; `None` when the status has been written.
    awaited: Option<BTreeSet<String>>,
    time: Timestamp,
    /// Why the bundle cannot be written further: the first error.
    pub(super) broken: Option<WriteError>,
    progress: indicatif::ProgressBar,
}

impl Recorder {
    /// A recorder for the host that was asked at `time`. If the bundle cannot be written further, that is told to
    /// `stop`.
    pub(super) fn new(
        writer: Writer,
        node: &Node,
        time: Timestamp,
        max_bytes: Option<u64>,
        stop: watch::Sender<Option<Stop>>,
        output: Output,
    ) -> Self {
        let rows =
            [collectors::status(), vec![collectors::AGENTS], collectors::health(node)].concat();
        let awaited = rows.iter().map(|row| row.path().into_owned()).collect();
        let progress = output.progress();
        progress.enable_steady_tick(Duration::from_millis(100));
        Self {
            writer,
            stop,
            max_bytes,
            receiving: JoinSet::new(),
            open: HashMap::new(),
            waiting: BTreeMap::new(),
            begun: 0,
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            items: Vec::new(),
            written: 0,
            evidence: Evidence::default(),
            awaited: Some(awaited),
            time,
            broken: None,
            progress,
        }
    }

    /// Takes items until there are no more and all are written.
    pub(super) async fn record(&mut self, mut items: mpsc::Receiver<Item>) {
        let mut more = true;
        while more || !self.receiving.is_empty() {
            let room = self.receiving.len() + self.waiting.len() < OPEN;
            tokio::select! {
                item = items.recv(), if more && room => match item {
                    Some(item) => self.begin(item),
                    None => more = false,
                },
                Some(joined) = self.receiving.join_next_with_id() => self.end(joined).await,
            }
        }
    }

    fn begin(&mut self, item: Item) {
        let kept = self.awaited.as_ref().is_some_and(|awaited| awaited.contains(&item.path));
        let path = item.path.clone();
        let number = self.begun;
        self.begun += 1;
        let (compressor, large) = (self.writer.compressor(), Arc::clone(&self.large));
        let handle = self.receiving.spawn(receive(item, kept, compressor, large));
        self.open.insert(handle.id(), (number, path));
    }

    async fn end(&mut self, joined: Result<(Id, Option<Parcel>), JoinError>) {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((number, path)) = self.open.remove(&id) else { return };
        let fault = || Parcel {
            collected: own_fault(&path, "bundle"),
            entry: None,
            evidence: None,
            permit: None,
        };
        let parcel = joined.map_or_else(|_| Some(fault()), |(_, parcel)| parcel);
        if let Some(mut parcel) = parcel {
            if self.max_bytes.is_some() {
                // It may wait for one that was begun earlier and needs a turn itself.
                parcel.permit = None;
            }
            self.waiting.insert(number, parcel);
        }
        // Of a bundle that may not grow beyond a size, what is worth more gets its place first, so what was begun
        // later waits. It waits no longer than the limit of a single item.
        let first_open = self.open.values().map(|(number, _)| *number).min();
        while let Some(entry) = self.waiting.first_entry() {
            if self.max_bytes.is_some() && first_open.is_some_and(|open| open < *entry.key()) {
                break;
            }
            let parcel = entry.remove();
            self.put(parcel).await;
        }
    }

    /// Appends an item, if there is room for it.
    async fn put(&mut self, parcel: Parcel) {
        let Parcel { mut collected, entry, mut evidence, permit: _until_written } = parcel;
        if let Some(entry) = entry {
            let refusal = if self.broken.is_some() {
                let reason = "the bundle could not be written further before its turn";
                Some((Outcome::Interrupted, reason.to_owned()))
            } else if let Some(max) = self.max_bytes.filter(|max| !self.fits(*max, &entry)) {
                let reason = format!("left out to keep the bundle within --max-size ({max} bytes)");
                Some((Outcome::Skipped, reason))
            } else {
                entry.path().clone_into(&mut collected.path);
                self.append(entry).await
            };
            if let Some((outcome, reason)) = refusal {
                (collected.outcome, collected.reason) = (outcome, Some(reason));
                (collected.bytes, collected.sha256) = (0, None);
                evidence = None;
            } else {
                self.written += 1;
            }
        }
        if let Some(awaited) = &mut self.awaited
            && awaited.remove(&collected.path)
        {
            self.evidence.insert(collected.path.clone(), reading(&collected, evidence));
        }
        let path = output::printable(&collected.path);
        self.progress.set_message(format!("{} items: {path}", self.items.len()));
        self.items.push(collected);
        if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.finish_status().await;
        }
    }

    /// Appends an entry. Outcome and reason, if that fails.
    async fn append(&mut self, entry: Packed) -> Option<(Outcome, String)> {
        let error = self.writer.put_packed(entry).await.err()?;
        let reason = match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        };
        self.broken.get_or_insert(error);
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(Stop::Output);
            first
        });
        Some((Outcome::Failed, reason))
    }

    fn fits(&self, max: u64, entry: &Packed) -> bool {
        let items = (self.items.len() + OPEN) as u64;
        let closing = CLOSING + CLOSING_PER_ITEM * items;
        self.writer.written() + entry.bytes() + closing <= max
    }

    /// The node's status, from what has come, and `None` where there was a fault in computing it.
    pub(super) fn status(&self) -> Option<NodeStatus> {
        let compute = || status::node_status(self.time, &self.evidence);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).ok()
    }

    /// Writes the status once, as soon as all that it rests on is there, or at the end.
    pub(super) async fn finish_status(&mut self) {
        if self.awaited.take().is_none() {
            return;
        }
        let text = self.status().and_then(|it| output::document(&it, Format::Json).ok());
        match text {
            Some(text) => self.document("status.json", text.into_bytes()).await,
            None => self.items.push(own_fault("status.json", "node status")),
        }
    }

    /// Writes a document of calivet's own.
    pub(super) async fn document(&mut self, name: &str, text: Vec<u8>) {
        if let Err(error) = self.writer.add(name, text, Timestamp::now()).await {
            self.broken.get_or_insert(error);
        }
    }

    /// Ends the bundle: its size in bytes, or the first error of all.
    pub(super) async fn finish(self) -> (u64, Option<WriteError>) {
        self.progress.finish_and_clear();
        let written = self.writer.written();
        match (self.writer.finish().await, self.broken) {
            (Ok(bytes), broken) => (bytes, broken),
            (Err(_), Some(first)) => (written, Some(first)),
            (Err(error), None) => (written, Some(error)),
        }
    }
}

/// Receives an item to its end and compresses it. `None`: it broke off, and is told of elsewhere.
async fn receive(
    mut item: Item,
    kept: bool,
    compressor: Compressor,
    large: Arc<Semaphore>,
) -> Option<Parcel> {
    let mut entry = None;
    let mut evidence = kept.then(Vec::new);
    let mut permit = None;
    while let Some(bytes) = item.bytes.recv().await {
        let entry = entry.get_or_insert_with(|| Entry::begin(&compressor, &item.path));
        if let Some(evidence) = &mut evidence {
            evidence.extend_from_slice(&bytes);
        }
        if permit.is_none() && entry.bytes() + bytes.len() as u64 > LARGE {
            // The semaphore is never closed.
            permit = Arc::clone(&large).acquire_owned().await.ok();
        }
        entry.push(bytes).await;
    }
    let End { collected, modified } = item.end.await.ok()?;
    let mut packed = None;
    if collected.sha256.is_some() {
        let entry = entry.unwrap_or_else(|| Entry::begin(&compressor, &item.path));
        let entry =
            entry.finish(modified.or(collected.modified).unwrap_or(collected.started)).await;
        packed = Some(entry.packed().await);
    }
    Some(Parcel { collected, entry: packed, evidence, permit })
}

/// What a bundle will say of an item: the status in it must be what a reader of the bundle computes.
fn reading(collected: &Collected, bytes: Option<Vec<u8>>) -> Reading {
    Reading {
        outcome: collected.outcome,
        reason: collected.reason.clone(),
        bytes: bytes.unwrap_or_default(),
        original_bytes: collected.original_bytes,
        modified: collected.modified,
        link: collected.link.clone(),
        place: collected.place.clone(),
        started: collected.started,
        duration: Duration::from_millis(collected.duration_ms),
        exit_status: collected.exit_status,
    }
}

/// What is said of an item that a panic has cost.
fn own_fault(path: &str, source: &str) -> Collected {
    Collected {
        path: path.to_owned(),
        source: source.to_owned(),
        place: None,
        collector: "calivet".to_owned(),
        outcome: Outcome::Failed,
        reason: Some("a fault of calivet's own".to_owned()),
        bytes: 0,
        original_bytes: 0,
        modified: None,
        link: None,
        sha256: None,
        started: Timestamp::now(),
        duration_ms: 0,
        exit_status: None,
        redactions: BTreeMap::new(),
    }
}
