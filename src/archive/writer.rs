//! Writes an archive of which every prefix can be read (see [`super`] for its shape).
//!
//! Whoever reads the host fills an [`Entry`] and finishes it; its data are compressed as they come, on as many
//! threads as were allowed. One task owns the [`Writer`] and appends finished entries in the order of their worth.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tar::{EntryType, Header};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{FOLDER, Output, entry_path};

/// The most data in one gzip member. What a reader loses of compression by starting anew is under 1 % here.
pub(super) const PART: usize = 1 << 20;

/// Tar's unit: headers fill one, data are padded to a multiple.
const BLOCK: usize = 512;

/// The most bytes of a name in a tar header; a longer one goes into an entry before it.
const SHORT_NAME: usize = 100;

/// What an archive deliberately holds twice: short at its beginning, whole at its end.
const WRITTEN_TWICE: [&str; 2] = ["manifest.json", "summary.txt"];

/// gzip's level for a bundle. On 94 MB of Felix's log, one thread: level 2 0.35 s and 13.1 MB, level 3 0.48 s
/// and 12.4 MB, level 4 0.58 s and 11.7 MB, level 6 0.80 s and 10.8 MB (GNU gzip -6: 1.53 s and 10.9 MB).
pub const DEFAULT_LEVEL: u32 = 3;

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file stands there, and it was not said to replace it.
    #[error("{} exists already (--force replaces it)", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A folder, a link, a device: never replaced and never written through.
    #[error("{} exists already and is not a regular file", path.display())]
    NotAFile {
        /// What it is about.
        path: PathBuf,
    },
    /// The file could not be made.
    #[error("failed to create {}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An entry could not be compressed or written. The archive holds every entry before it.
    #[error("failed to write {entry} to {place}")]
    Write {
        /// The entry's path.
        entry: String,
        /// The output.
        place: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The archive's end could not be written or made to last.
    #[error("failed to finish {place}")]
    Finish {
        /// The output.
        place: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl WriteError {
    /// The kernel's word on it, where there is one: `BrokenPipe` is a reader that had enough.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Exists { .. } | Self::NotAFile { .. } => io::ErrorKind::AlreadyExists,
            Self::Create { source, .. }
            | Self::Write { source, .. }
            | Self::Finish { source, .. } => source.kind(),
        }
    }
}

/// Compresses entries on a bounded number of threads. Clones share the bound.
#[derive(Debug, Clone)]
pub struct Compressor {
    level: Compression,
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
    pending: Vec<u8>,
    parts: Vec<JoinHandle<io::Result<Vec<u8>>>>,
}

/// An entry whose data have all come, though they may not all be compressed yet.
#[derive(Debug)]
pub struct Finished {
    path: String,
    /// The header's own member; empty if it stands in the only part.
    header: Vec<u8>,
    parts: Vec<JoinHandle<io::Result<Vec<u8>>>>,
}

/// An entry that is compressed and waits to be written.
#[derive(Debug)]
pub struct Packed {
    path: String,
    members: io::Result<Vec<Vec<u8>>>,
}

impl Compressor {
    fn new(jobs: usize, level: u32) -> Self {
        let threads = jobs.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            level: Compression::new(level.min(9)),
            threads: Arc::new(Semaphore::new(threads)),
            names: Arc::default(),
        }
    }

    /// Starts to compress `pieces` as one gzip member; waits while all threads are at work.
    async fn member(&self, pieces: [Vec<u8>; 2]) -> JoinHandle<io::Result<Vec<u8>>> {
        // The semaphore is never closed; without a permit there would only be one thread more.
        let permit = Arc::clone(&self.threads).acquire_owned().await.ok();
        let level = self.level;
        spawn_blocking(move || {
            let member = gzip(&pieces, level);
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
    /// An empty entry at `path` beneath [`FOLDER`], made safe by [`entry_path`] and distinct from every other.
    #[must_use]
    pub fn begin(compressor: &Compressor, path: impl AsRef<[u8]>) -> Self {
        Self {
            path: compressor.claim(entry_path(path)),
            compressor: compressor.clone(),
            bytes: 0,
            pending: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Where the archive keeps it, relative to [`FOLDER`].
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
        if self.pending.is_empty() && chunk.len() < PART {
            self.pending = chunk;
            return;
        }
        // Parts are cut by size alone, so that the same data give the same archive however they came.
        let mut rest = chunk.as_slice();
        while self.pending.len() + rest.len() >= PART {
            let (head, tail) = rest.split_at(PART - self.pending.len());
            self.pending.extend_from_slice(head);
            rest = tail;
            let part = std::mem::take(&mut self.pending);
            self.parts.push(self.compressor.member([part, Vec::new()]).await);
        }
        if self.pending.capacity() < PART && !rest.is_empty() {
            self.pending.reserve_exact(PART - self.pending.len());
        }
        self.pending.extend_from_slice(rest);
    }

    /// All has come; `modified` is the time that unpacking gives the file.
    pub async fn finish(mut self, modified: Timestamp) -> Finished {
        let header = header(&self.path, self.bytes, modified);
        self.pending.resize(self.pending.len() + padding(self.bytes), 0);
        let (header, first) = if self.parts.is_empty() {
            (Vec::new(), header)
        } else {
            // A few hundred bytes: not worth a thread. Writing to memory does not fail.
            (gzip(&[header], self.compressor.level).unwrap_or_default(), Vec::new())
        };
        if !first.is_empty() || !self.pending.is_empty() {
            self.parts.push(self.compressor.member([first, self.pending]).await);
        }
        Finished { path: self.path, header, parts: self.parts }
    }
}

impl Finished {
    /// Where the archive keeps it, relative to [`FOLDER`].
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until all of it is compressed.
    pub async fn packed(self) -> Packed {
        let mut members = vec![self.header];
        for part in self.parts {
            match part.await.map_err(io::Error::other).flatten() {
                Ok(member) => members.push(member),
                Err(error) => return Packed { path: self.path, members: Err(error) },
            }
        }
        Packed { path: self.path, members: Ok(members) }
    }
}

impl Packed {
    /// Where the archive keeps it, relative to [`FOLDER`].
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many bytes of the archive it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let members = self.members.as_ref().map_or(&[][..], Vec::as_slice);
        members.iter().map(|member| member.len() as u64).sum()
    }
}

/// An archive that is being written. Only whole entries are put into it.
#[derive(Debug)]
pub struct Writer {
    compressor: Compressor,
    place: String,
    /// Bytes of whole entries; beside the sink, so that a progress line need not wait for a slow disk.
    written: Arc<AtomicU64>,
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
struct Sink {
    output: Output,
    written: Arc<AtomicU64>,
    /// A part of an entry was written and could not be taken back: whatever followed it would be lost in it.
    torn: bool,
}

impl Writer {
    /// An archive written to `output`, compressed on at most `jobs` threads at gzip's `level` (0-9).
    #[must_use]
    pub fn new(output: Output, jobs: usize, level: u32) -> Self {
        let written = Arc::<AtomicU64>::default();
        Self {
            compressor: Compressor::new(jobs, level),
            place: output.place().to_owned(),
            sink: Arc::new(Mutex::new(Sink { output, written: Arc::clone(&written), torn: false })),
            written,
        }
    }

    /// What fills entries for this archive.
    #[must_use]
    pub fn compressor(&self) -> Compressor {
        self.compressor.clone()
    }

    /// Compressed bytes of the entries written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Writes an entry, whole or not at all where the output is a file: after an error, such as a full disk,
    /// the archive ends with the entry before, and a smaller entry may still fit. A stream whose reader has gone
    /// gives an error each time.
    ///
    /// If the future is dropped, the entry is left out or written whole.
    pub async fn append(&mut self, entry: Finished) -> Result<(), WriteError> {
        self.put_packed(entry.packed().await).await
    }

    /// The same with an entry that is compressed already, so that nothing but the disk is waited for.
    pub async fn put_packed(&mut self, entry: Packed) -> Result<(), WriteError> {
        let put = match entry.members {
            Ok(members) => self.put(members).await,
            Err(error) => Err(error),
        };
        let place = || self.place.clone();
        put.map_err(|source| WriteError::Write { entry: entry.path, place: place(), source })
    }

    /// Writes an entry that is in memory.
    pub async fn add(
        &mut self,
        path: impl AsRef<[u8]>,
        bytes: Vec<u8>,
        modified: Timestamp,
    ) -> Result<(), WriteError> {
        let mut entry = Entry::begin(&self.compressor, path);
        entry.push(bytes).await;
        self.append(entry.finish(modified).await).await
    }

    /// Writes the archive's end, makes it outlast a crash and gives it its name. The number of bytes of the
    /// whole.
    pub async fn finish(self) -> Result<u64, WriteError> {
        let failed = |source| WriteError::Finish { place: self.place.clone(), source };
        let end = gzip(&[vec![0; 2 * BLOCK]], self.compressor.level).map_err(failed)?;
        self.put(vec![end]).await.map_err(failed)?;
        let sink = Arc::clone(&self.sink);
        spawn_blocking(move || sink.lock().unwrap_or_else(PoisonError::into_inner).output.finish())
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(failed)?;
        Ok(self.written())
    }

    /// Writes off the runtime's thread, which a full pipe or a slow disk would otherwise stop.
    async fn put(&self, members: Vec<Vec<u8>>) -> io::Result<()> {
        let sink = Arc::clone(&self.sink);
        spawn_blocking(move || sink.lock().unwrap_or_else(PoisonError::into_inner).put(&members))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Sink {
    fn put(&mut self, members: &[Vec<u8>]) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::other("an entry before it was written in part"));
        }
        match members.iter().try_for_each(|member| self.output.write_all(member)) {
            Ok(()) => {
                let bytes = members.iter().map(|member| member.len() as u64).sum();
                self.written.fetch_add(bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.torn = self.output.cut(self.written.load(Ordering::Relaxed)).is_err();
                Err(error)
            }
        }
    }
}

impl Drop for Sink {
    /// Leaves no file behind that holds nothing.
    fn drop(&mut self) {
        if self.written.load(Ordering::Relaxed) == 0 {
            self.output.discard();
        }
    }
}

/// One gzip member that holds `pieces` end to end. Without a time and a name, so that it depends on nothing else.
fn gzip<T: AsRef<[u8]>>(pieces: &[T], level: Compression) -> io::Result<Vec<u8>> {
    let length: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
    let mut encoder = GzEncoder::new(Vec::with_capacity(length / 6 + 64), level);
    for piece in pieces {
        encoder.write_all(piece.as_ref())?;
    }
    let mut member = encoder.finish()?;
    // It may wait a while for its turn.
    member.shrink_to_fit();
    Ok(member)
}

/// The blocks before an entry's data, in GNU's format.
fn header(path: &str, bytes: u64, modified: Timestamp) -> Vec<u8> {
    let path = format!("{FOLDER}{path}");
    let mut blocks = Vec::with_capacity(2 * BLOCK);
    if path.len() > SHORT_NAME {
        // With the NUL that GNU tar ends it by.
        let length = path.len() as u64 + 1;
        blocks.extend_from_slice(&block(b"././@LongLink", length, EntryType::GNULongName, 0));
        blocks.extend_from_slice(path.as_bytes());
        blocks.resize(blocks.len() + 1 + padding(length), 0);
    }
    let modified = u64::try_from(modified.as_second()).unwrap_or(0);
    blocks.extend_from_slice(&block(path.as_bytes(), bytes, EntryType::Regular, modified));
    blocks
}

fn block(name: &[u8], size: u64, kind: EntryType, modified: u64) -> [u8; BLOCK] {
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified);
    header.set_size(size);
    header.set_entry_type(kind);
    let field = &mut header.as_old_mut().name;
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    header.set_cksum();
    *header.as_bytes()
}

/// Zeros after `bytes` of data.
#[allow(clippy::cast_possible_truncation, reason = "a remainder of 512")]
fn padding(bytes: u64) -> usize {
    (bytes.wrapping_neg() % BLOCK as u64) as usize
}
