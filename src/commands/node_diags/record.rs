//! Puts what the collectors give into the bundle, and keeps what the status rests on.
//!
//! Several items are received and compressed side by side, each by a task of its own (see [`receive`]); one hand
//! appends those that are whole. What waits in memory is bounded; an item that finds no room there goes to its place in
//! the bundle as it comes, and the others wait until it is whole.

mod receive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use self::receive::{Parcel, Piece, Rooms, receive};
use super::judged::{self, Judged};
use crate::archive::writer::{WriteError, Writer};
use crate::checks::Report;
use crate::cli::Format;
use crate::collect::{Item, SIDE_BY_SIDE, Stop};
use crate::collectors::{self, Node};
use crate::host::{Collected, Evidence, Outcome, Reading};
use crate::output::{self, Output};
use crate::status::{self, NodeStatus};

/// Items that are received, compressed or wait to be written at once.
const OPEN: usize = 2 * SIDE_BY_SIDE;

/// What the closing documents take of a bundle that may not grow beyond a size: at least, and for each item.
const CLOSING: u64 = 8 << 10;
const CLOSING_PER_ITEM: u64 = 120;

/// An item that goes into the bundle as it comes.
struct Through {
    number: u64,
    /// Outcome and reason, if it was taken back.
    refusal: Option<(Outcome, String)>,
}

/// What a bundle, and what waits to be written to it, may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    /// Bytes of the bundle.
    pub(super) bytes: Option<u64>,
    /// Compressed bytes that all items together may hold in memory beyond what each may.
    pub(super) waiting: u32,
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
    rooms: Rooms,
    /// What has come of the item that finds no room in memory.
    pieces: mpsc::Receiver<Piece>,
    through: Option<Through>,
    /// What happened to each item so far.
    pub(super) items: Vec<Collected>,
    /// How many of them are in the bundle with their bytes.
    pub(super) written: u64,
    /// What the status and the checks rest on.
    evidence: Evidence,
    /// Paths of evidence that is still to come; `None` when the status has been written.
    awaited: Option<BTreeSet<String>>,
    /// What the checks rest on.
    judged: Judged,
    time: Timestamp,
    /// Why the bundle cannot be written further: the first error.
    pub(super) broken: Option<WriteError>,
    progress: indicatif::ProgressBar,
    #[cfg(test)]
    judging_panics: bool,
}

impl Recorder {
    /// A recorder for the host that was asked at `time`. If the bundle cannot be written further, that is told to
    /// `stop`.
    pub(super) fn new(
        writer: Writer,
        node: &Node,
        time: Timestamp,
        most: Most,
        stop: watch::Sender<Option<Stop>>,
        judged: Judged,
        output: Output,
    ) -> Self {
        let rows =
            [collectors::status(), vec![collectors::AGENTS], collectors::health(node)].concat();
        let awaited = rows.iter().map(|row| row.path().into_owned()).collect();
        let progress = output.progress();
        progress.enable_steady_tick(Duration::from_millis(100));
        let (rooms, pieces) = Rooms::new(most.waiting, most.bytes.is_some(), writer.can_begin());
        Self {
            writer,
            stop,
            max_bytes: most.bytes,
            receiving: JoinSet::new(),
            open: HashMap::new(),
            waiting: BTreeMap::new(),
            begun: 0,
            rooms,
            pieces,
            through: None,
            items: Vec::new(),
            written: 0,
            evidence: Evidence::default(),
            awaited: Some(awaited),
            judged,
            time,
            broken: None,
            progress,
            #[cfg(test)]
            judging_panics: false,
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
                Some(piece) = self.pieces.recv() => self.piece(piece).await,
                Some(joined) = self.receiving.join_next_with_id() => self.end(joined).await,
            }
        }
    }

    fn begin(&mut self, item: Item) {
        let kept = if self.awaited.as_ref().is_some_and(|awaited| awaited.contains(&item.path)) {
            u64::MAX
        } else if self.judged.wants(&item.path) {
            judged::MOST_OF_ONE
        } else {
            0
        };
        let path = item.path.clone();
        let number = self.begun;
        self.begun += 1;
        let room = self.rooms.room(number);
        let handle = self.receiving.spawn(receive(item, kept, self.writer.compressor(), room));
        self.open.insert(handle.id(), (number, path));
        self.tell_first();
    }

    /// The first item that is still coming: of a bundle that may not grow beyond a size, what is worth more gets its
    /// place first.
    fn first_open(&self) -> Option<u64> {
        self.open.values().map(|(number, _)| *number).min()
    }

    fn tell_first(&self) {
        self.rooms.first.send_replace(self.first_open().unwrap_or(self.begun));
    }

    /// Takes a part of an item that goes into the bundle as it comes.
    async fn piece(&mut self, piece: Piece) {
        let refusal = match piece {
            Piece::Begin { number, path } => {
                self.through = Some(Through { number, refusal: None });
                match self.broken {
                    Some(_) => Some(refused_before()),
                    None => self.writer.begin(&path).await.err().map(|error| self.failed(error)),
                }
            }
            Piece::More { path, members } => {
                if self.through.as_ref().is_none_or(|through| through.refusal.is_some()) {
                    return;
                }
                let bytes = members.iter().map(|member| member.len() as u64).sum();
                let too_much = self.too_much(bytes);
                if too_much.is_some() {
                    self.writer.take_back().await;
                    too_much
                } else {
                    let extended = self.writer.extend(&path, members).await;
                    extended.err().map(|error| self.failed(error))
                }
            }
        };
        if let Some(through) = &mut self.through {
            through.refusal = refusal;
        }
    }

    async fn end(&mut self, joined: Result<(Id, Option<Parcel>), JoinError>) {
        // Whatever the item had sent was sent before it ended.
        while let Ok(piece) = self.pieces.try_recv() {
            self.piece(piece).await;
        }
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((number, path)) = self.open.remove(&id) else { return };
        let through = self.through.take_if(|through| through.number == number);
        let parcel = match joined {
            Ok((_, parcel)) => parcel,
            Err(_) => Some(Parcel::empty(own_fault(&path, "bundle"))),
        };
        match (parcel, through) {
            (Some(parcel), Some(through)) => self.put_rest(parcel, through).await,
            (Some(parcel), None) => {
                self.waiting.insert(number, parcel);
            }
            (None, Some(_)) => self.writer.take_back().await,
            (None, None) => {}
        }
        self.put_waiting().await;
        self.tell_first();
    }

    /// Appends what has its turn.
    async fn put_waiting(&mut self) {
        // Of a bundle that may not grow beyond a size, what was begun later waits. It waits no longer than the limit
        // of a single item.
        let first_open = self.first_open().filter(|_| self.max_bytes.is_some());
        while self.through.is_none()
            && let Some(entry) = self.waiting.first_entry()
            && first_open.is_none_or(|open| *entry.key() < open)
        {
            let parcel = entry.remove();
            self.put(parcel).await;
        }
    }

    /// Appends an item, if there is room for it.
    async fn put(&mut self, parcel: Parcel) {
        let Parcel { mut collected, entry, evidence, room: _until_written } = parcel;
        let mut refusal = None;
        if let Some(entry) = entry {
            refusal = match self.broken {
                Some(_) => Some(refused_before()),
                None => self.too_much(entry.bytes()),
            };
            if refusal.is_none() {
                entry.path().clone_into(&mut collected.path);
                let put = self.writer.put_packed(entry).await;
                refusal = put.err().map(|error| self.failed(error));
            }
        }
        self.note(collected, evidence, refusal).await;
    }

    /// Ends an item that went into the bundle as it came.
    async fn put_rest(&mut self, parcel: Parcel, through: Through) {
        let Parcel { mut collected, entry, evidence, room: _until_written } = parcel;
        let mut refusal = through.refusal;
        if let Some(rest) = entry {
            refusal = refusal.or_else(|| self.too_much(rest.bytes()));
            if refusal.is_none() {
                rest.path().clone_into(&mut collected.path);
                refusal = self.writer.end(rest).await.err().map(|error| self.failed(error));
            }
        }
        // If it was refused, or is not whole by a fault of our own.
        self.writer.take_back().await;
        self.note(collected, evidence, refusal).await;
    }

    /// Keeps in mind what happened to an item.
    async fn note(
        &mut self,
        mut collected: Collected,
        mut evidence: Option<Vec<u8>>,
        refusal: Option<(Outcome, String)>,
    ) {
        if let Some((outcome, reason)) = refusal {
            (collected.outcome, collected.reason) = (outcome, Some(reason));
            (collected.bytes, collected.sha256) = (0, None);
            evidence = None;
        } else if collected.sha256.is_some() {
            self.written += 1;
        }
        let path = collected.path.as_str();
        let is_awaited = self.awaited.as_mut().is_some_and(|awaited| awaited.remove(path));
        let is_judged = self.judged.wants(path)
            && (collected.sha256.is_none()
                || self.judged.has_room(path, evidence.as_ref().map(Vec::len)));
        if is_awaited || is_judged {
            self.evidence.insert(path.to_owned(), reading(&collected, evidence));
        }
        let path = output::printable(&collected.path);
        self.progress.set_message(format!("{} items: {path}", self.items.len()));
        self.items.push(collected);
        if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
            self.finish_status().await;
        }
    }

    /// What is said of an item that could not be written.
    fn failed(&mut self, error: WriteError) -> (Outcome, String) {
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
        (Outcome::Failed, reason)
    }

    /// Why so many bytes more would be too much for the bundle, if they are.
    fn too_much(&self, bytes: u64) -> Option<(Outcome, String)> {
        let max = self.max_bytes?;
        let items = (self.items.len() + OPEN) as u64;
        let closing = CLOSING + CLOSING_PER_ITEM * items;
        (self.writer.length() + bytes + closing > max).then(|| {
            let reason = format!("left out to keep the bundle within --max-size ({max} bytes)");
            (Outcome::Skipped, reason)
        })
    }

    /// The node's status, from what has come, and `None` where there was a fault in computing it.
    fn status(&self) -> Option<NodeStatus> {
        let compute = || {
            #[cfg(test)]
            assert!(!self.judging_panics, "on purpose");
            status::node_status(self.time, &self.evidence)
        };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).ok()
    }

    /// Writes the status once, as soon as all that it rests on is there, or at the end.
    async fn finish_status(&mut self) {
        if self.awaited.take().is_none() {
            return;
        }
        let text = self.status().and_then(|it| output::document(&it, Format::Json).ok());
        match text {
            Some(text) => self.document("status.json", text.into_bytes()).await,
            None => self.items.push(own_fault("status.json", "node status")),
        }
    }

    /// Writes what is made of all that has come: the status, if there was no fault in computing it, and the findings.
    pub(super) async fn judge(&mut self) -> (Option<NodeStatus>, Report) {
        self.finish_status().await;
        let status = self.status();
        (status, self.finish_findings().await)
    }

    /// Lets the checks judge what the bundle holds, and writes what they find.
    async fn finish_findings(&mut self) -> Report {
        let report = self.judged.report(std::mem::take(&mut self.evidence), self.time).await;
        match output::document(&report, Format::Json) {
            Ok(text) => self.document("findings.json", text.into_bytes()).await,
            Err(_) => self.items.push(own_fault("findings.json", "check")),
        }
        report
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

fn refused_before() -> (Outcome, String) {
    (Outcome::Interrupted, "the bundle could not be written further before its turn".to_owned())
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
pub(super) fn own_fault(path: &str, source: &str) -> Collected {
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
