//! Entries of an archive on their way into it: filled by whoever reads the host, compressed as they come.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use futures_util::FutureExt;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::entry_path;
use super::gzip::{Encoders, stored};
use super::header::{header, zeros};

/// The most data in one gzip member. What a reader loses of compression by starting anew is under 1 % here.
pub(super) const PART: usize = 1 << 20;

/// Pieces of a part that are together smaller than this are put into one.
const TOGETHER: usize = 64 << 10;

/// What an archive deliberately holds twice: short at its beginning, whole at its end.
const WRITTEN_TWICE: [&str; 2] = ["manifest.json", "summary.txt"];

/// Compresses entries on a bounded number of threads. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Compressor {
    pub(super) encoders: Arc<Encoders>,
    threads: Arc<Semaphore>,
    names: Arc<Mutex<HashSet<String>>>,
}

/// An entry whose data are coming in.
#[derive(Debug)]
pub struct Entry {
    compressor: Compressor,
    path: String,
    bytes: u64,
    /// What waits to become a part; less than [`PART`].
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    parts: VecDeque<JoinHandle<io::Result<Vec<u8>>>>,
    /// Parts that are compressed, in order.
    members: Vec<Vec<u8>>,
    failure: Option<io::Error>,
}

/// An entry whose data have all come, though they may not all be compressed yet.
#[derive(Debug)]
pub struct Finished {
    entry: Entry,
    /// Empty if it stands in the only part.
    header: Vec<u8>,
}

/// An entry, or the rest of one, that is compressed and waits to be written.
#[derive(Debug)]
pub struct Packed {
    pub(super) path: String,
    /// The header's own member; empty if it stands in the first of the others.
    pub(super) header: Vec<u8>,
    pub(super) members: io::Result<Vec<Vec<u8>>>,
}

impl Compressor {
    pub(super) fn new(jobs: usize, level: u32) -> Self {
        let threads = jobs.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            encoders: Arc::new(Encoders::new(Compression::new(level.min(9)))),
            threads: Arc::new(Semaphore::new(threads)),
            names: Arc::default(),
        }
    }

    /// Starts to compress `pieces` as one gzip member; waits while all threads are at work.
    async fn member(&self, pieces: Vec<Vec<u8>>) -> JoinHandle<io::Result<Vec<u8>>> {
        // The semaphore is never closed; without a permit there would only be one thread more.
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok();
        let encoders = Arc::clone(&self.encoders);
        spawn_blocking(move || {
            let member = encoders.gzip(pieces);
            drop(permit);
            member
        })
    }

    /// `path`, or where an entry has that already, `path~2`.
    fn claim(&self, path: String) -> String {
        if WRITTEN_TWICE.contains(&path.as_str()) {
            return path;
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unique = path.clone();
        let mut count = 1_u64;
        while !names.insert(unique.clone()) {
            count += 1;
            unique = format!("{path}~{count}");
        }
        unique
    }
}

impl Entry {
    /// An empty entry at `path` beneath [`FOLDER`](super::FOLDER), made safe by [`entry_path`] and distinct from every other.
    #[must_use]
    pub fn begin(compressor: &Compressor, path: impl AsRef<[u8]>) -> Self {
        Self {
            path: compressor.claim(entry_path(path)),
            compressor: compressor.clone(),
            bytes: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            parts: VecDeque::new(),
            members: Vec::new(),
            failure: None,
        }
    }

    /// Where the archive keeps it, relative to [`FOLDER`](super::FOLDER).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many bytes have come.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds data. Waits while all threads are at work, so that no more than a part of each entry waits in memory
    /// uncompressed. If the future is dropped while it waits, the entry is not whole and must be dropped too.
    pub async fn push(&mut self, chunk: Vec<u8>) {
        self.bytes += chunk.len() as u64;
        let mut chunk = chunk;
        // Parts are cut by size alone, so that the same data give the same archive however they came.
        while self.pending_bytes + chunk.len() >= PART {
            let rest = chunk.split_off(PART - self.pending_bytes);
            self.pending.push(chunk);
            chunk = rest;
            self.pending_bytes = 0;
            let part = std::mem::take(&mut self.pending);
            self.parts.push_back(self.compressor.member(part).await);
        }
        self.pending_bytes += chunk.len();
        match self.pending.last_mut() {
            // Many small ones are one.
            Some(last) if last.len() + chunk.len() <= TOGETHER => last.extend_from_slice(&chunk),
            _ if chunk.is_empty() => {}
            _ => self.pending.push(chunk),
        }
    }

    /// How many compressed bytes of it wait in memory.
    pub fn held(&mut self) -> u64 {
        while let Some(part) = self.parts.front_mut().and_then(FutureExt::now_or_never) {
            self.parts.pop_front();
            self.take_in(part);
        }
        self.members.iter().map(|member| member.len() as u64).sum()
    }

    /// What of it is compressed, for [`Writer::extend`](super::writer::Writer::extend).
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.members)
    }

    fn take_in(&mut self, part: Result<io::Result<Vec<u8>>, JoinError>) {
        match part.map_err(io::Error::other).flatten() {
            Ok(member) => self.members.push(member),
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    /// All has come; `modified` is the time that unpacking gives the file.
    pub async fn finish(mut self, modified: Timestamp) -> Finished {
        let header = header(&self.path, self.bytes, modified);
        let mut last = std::mem::take(&mut self.pending);
        last.push(zeros(self.bytes).to_vec());
        let header = if self.bytes < PART as u64 {
            last.insert(0, header);
            Vec::new()
        } else {
            stored(&header)
        };
        if last.iter().any(|piece| !piece.is_empty()) {
            self.parts.push_back(self.compressor.member(last).await);
        }
        Finished { entry: self, header }
    }
}

impl Finished {
    /// Where the archive keeps it, relative to [`FOLDER`](super::FOLDER).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.entry.path
    }

    /// Waits until all of it is compressed.
    pub async fn packed(mut self) -> Packed {
        for part in std::mem::take(&mut self.entry.parts) {
            self.entry.take_in(part.await);
        }
        let Entry { path, members, failure, .. } = self.entry;
        Packed { path, header: self.header, members: failure.map_or(Ok(members), Err) }
    }
}

impl Packed {
    /// Where the archive keeps it, relative to [`FOLDER`](super::FOLDER).
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many bytes of the archive it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let members = self.members.as_ref().map_or(&[][..], Vec::as_slice);
        self.header.len() as u64 + members.iter().map(|member| member.len() as u64).sum::<u64>()
    }
}
