//! Receives one item to its end and compresses it, within the memory that there is for what waits.
//!
//! An entry's header tells its size, so an item waits until it is whole. Each may hold a little; what is larger takes
//! room, in bytes as they come, of which there is so much for all items together. Who finds none goes through: what has
//! come of it goes to the bundle, and then whatever comes. Only one can at a time, and the others wait if they need
//! room too. So memory does not grow with what is read, also when it does not compress, and an item that hangs keeps
//! from the others only what it holds, or if it goes through, delays them until its own time is over.
//!
//! A bundle that goes to a pipe cannot be corrected where the size stands. Who would go through is then held in memory
//! whole: one item at a time, which is bounded by `--max-file-size`.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::archive::entry::{Compressor, Entry, Packed};
use crate::collect::Item;
use crate::host::Collected;

/// Compressed bytes for which an item never waits: what is small is not held up by what is large.
const FREE: u64 = 256 << 10;

/// An item that has come whole.
pub(super) struct Parcel {
    pub(super) collected: Collected,
    /// `None`: it has no bytes.
    pub(super) entry: Option<Packed>,
    /// The bytes of what the status and the checks rest on.
    pub(super) evidence: Option<Vec<u8>>,
    /// Kept until it is written.
    pub(super) room: Option<Room>,
}

/// Something of an item that goes through.
pub(super) enum Piece {
    Begin { number: u64, path: String },
    More { path: String, members: Vec<Vec<u8>> },
}

/// The memory that there is for items.
pub(super) struct Rooms {
    room: Arc<Semaphore>,
    /// The right to go through.
    through: Arc<Semaphore>,
    pieces: mpsc::Sender<Piece>,
    /// The number of the first item that has not ended.
    pub(super) first: watch::Sender<u64>,
    in_order: bool,
    to_file: bool,
}

/// An item's share.
pub(super) struct Room {
    number: u64,
    /// What is left for all.
    left: Arc<Semaphore>,
    through: Arc<Semaphore>,
    pieces: mpsc::Sender<Piece>,
    /// `None`: any may go through.
    first: Option<watch::Receiver<u64>>,
    to_file: bool,
    taken: Option<OwnedSemaphorePermit>,
    goes_through: Option<OwnedSemaphorePermit>,
    has_begun: bool,
}

impl Parcel {
    /// An item without bytes.
    pub(super) fn empty(collected: Collected) -> Self {
        Self { collected, entry: None, evidence: None, room: None }
    }
}

impl Rooms {
    /// So many compressed bytes for all together, and where the pieces of what goes through come out. `in_order`: items are written in the order of
    /// their numbers, so only the first may go through. `to_file`: the bundle can be corrected.
    pub(super) fn new(room: u32, in_order: bool, to_file: bool) -> (Self, mpsc::Receiver<Piece>) {
        let (pieces, received) = mpsc::channel(1);
        let rooms = Self {
            room: Arc::new(Semaphore::new(room as usize)),
            through: Arc::new(Semaphore::new(1)),
            pieces,
            first: watch::channel(0).0,
            in_order,
            to_file,
        };
        (rooms, received)
    }

    /// The share of the item with this number: nothing yet.
    pub(super) fn room(&self, number: u64) -> Room {
        Room {
            number,
            left: Arc::clone(&self.room),
            through: Arc::clone(&self.through),
            pieces: self.pieces.clone(),
            first: self.in_order.then(|| self.first.subscribe()),
            to_file: self.to_file,
            taken: None,
            goes_through: None,
            has_begun: false,
        }
    }
}

impl Room {
    /// Waits until there is room for `held` bytes in all. `false`: they have to go to the bundle.
    async fn find(&mut self, held: u64) -> bool {
        if self.goes_through.is_none() {
            let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) as u64;
            let wanted = held.saturating_sub(FREE).saturating_sub(taken);
            let Some(wanted) = u32::try_from(wanted).ok().filter(|wanted| *wanted > 0) else {
                return true;
            };
            // Neither semaphore is ever closed.
            tokio::select! {
                biased;
                Ok(more) = Arc::clone(&self.left).acquire_many_owned(wanted) => {
                    match &mut self.taken {
                        Some(taken) => taken.merge(more),
                        None => self.taken = Some(more),
                    }
                    return true;
                }
                right = right(Arc::clone(&self.through), self.first.clone(), self.number) => {
                    self.goes_through = right;
                }
            }
        }
        !self.to_file
    }

    /// Gives the bundle what has come of the item. The receiver is gone only when the run is.
    async fn hand_on(&mut self, path: &str, members: Vec<Vec<u8>>) {
        let path = path.to_owned();
        if !self.has_begun {
            let begin = Piece::Begin { number: self.number, path: path.clone() };
            let _nobody_listens = self.pieces.send(begin).await;
            self.has_begun = true;
        }
        if !members.is_empty() {
            let _nobody_listens = self.pieces.send(Piece::More { path, members }).await;
        }
        self.taken = None;
    }
}

/// Waits for the right to go through.
async fn right(
    through: Arc<Semaphore>,
    first: Option<watch::Receiver<u64>>,
    number: u64,
) -> Option<OwnedSemaphorePermit> {
    if let Some(mut first) = first {
        let _nobody_writes = first.wait_for(|first| *first >= number).await;
    }
    through.acquire_owned().await.ok()
}

/// Receives an item to its end and compresses it. `None`: it broke off, and is told of elsewhere. `kept`: the most bytes
/// that are kept as evidence; of an item that has more, none are.
pub(super) async fn receive(
    mut item: Item,
    kept: u64,
    compressor: Compressor,
    mut room: Room,
) -> Option<Parcel> {
    let mut entry = None;
    let mut evidence = (kept > 0).then(Vec::new);
    while let Some(bytes) = item.bytes.recv().await {
        let entry = entry.get_or_insert_with(|| Entry::begin(&compressor, &item.path));
        if let Some(held) = &mut evidence {
            if (held.len() + bytes.len()) as u64 <= kept {
                held.extend_from_slice(&bytes);
            } else {
                evidence = None;
            }
        }
        entry.push(bytes).await;
        if !room.find(entry.held()).await {
            room.hand_on(entry.path().to_owned().as_str(), entry.take()).await;
        }
    }
    let collected = item.end.await.ok()?;
    let mut packed = None;
    if collected.sha256.is_some() {
        let entry = entry.unwrap_or_else(|| Entry::begin(&compressor, &item.path));
        let entry =
            entry.finish(collected.modified.unwrap_or(collected.started)).await.packed().await;
        if !room.find(entry.bytes()).await {
            // The rest goes with the parcel.
            room.hand_on(entry.path(), Vec::new()).await;
        }
        packed = Some(entry);
    }
    Some(Parcel { collected, entry: packed, evidence, room: Some(room) })
}
