//! Writes an archive of which every prefix can be read (see [`super`] for its shape).
//!
//! Whoever reads the host fills an [`Entry`] and finishes it; its data are compressed as they come, on as many
//! threads as were allowed. One task owns the [`Writer`] and appends finished entries in the order of their worth.
//!
//! An entry's header tells its size, which is known only at its end. So an entry waits in memory, compressed, until it
//! is whole; one that is too large for that goes to its place in a file as it comes, behind a header that is
//! corrected at its end ([`Writer::begin`]).

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Compression, FlushCompress, Status};
use futures_util::FutureExt;
use jiff::Timestamp;
use tar::{EntryType, Header};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{FOLDER, Output, entry_path};

/// The most data in one gzip member. What a reader loses of compression by starting anew is under 1 % here.
pub(super) const PART: usize = 1 << 20;

/// Pieces of a part that are together smaller than this are put into one.
const TOGETHER: usize = 64 << 10;

/// Tar's unit: headers fill one, data are padded to a multiple.
const BLOCK: usize = 512;

/// The largest window that deflate knows.
const WINDOW_BITS: u8 = 15;

/// The most bytes of a name in a tar header; a longer one goes into an entry before it.
const SHORT_NAME: usize = 100;

/// The size that the header of an entry tells until it is known: larger than any that is meant to be in a bundle, so
/// that whoever unpacks an archive that ends within the entry gets what there is of it and is told that it is not whole.
const UNKNOWN_SIZE: u64 = 4 << 30;

/// What an archive deliberately holds twice: short at its beginning, whole at its end.
const WRITTEN_TWICE: [&str; 2] = ["manifest.json", "summary.txt"];

/// gzip's level for a bundle. On 55 MB of Felix's log, one thread: level 1 0.14 s and 12.2 MB, level 2 0.25 s and
/// 9.3 MB, level 3 0.39 s and 8.7 MB, level 4 0.48 s and 8.3 MB, level 6 0.71 s and 8.0 MB (pigz -6: 1.0 s and 7.8 MB).
/// A sick node's time is worth more than a few per cent of a file that is sent once.
pub const DEFAULT_LEVEL: u32 = 2;

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
    encoders: Arc<Encoders>,
    threads: Arc<Semaphore>,
    names: Arc<Mutex<HashSet<String>>>,
}

/// What compresses, kept to be used again: to make one anew takes longer than to compress a small entry.
#[derive(Debug)]
struct Encoders {
    level: Compression,
    idle: Mutex<Vec<Encoder>>,
}

#[derive(Debug)]
struct Encoder {
    compress: Compress,
    /// Where a member grows: a buffer that grows anew for each leaves holes in memory.
    member: Vec<u8>,
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
    path: String,
    /// The header's own member; empty if it stands in the first of the others.
    header: Vec<u8>,
    members: io::Result<Vec<Vec<u8>>>,
}

impl Compressor {
    fn new(jobs: usize, level: u32) -> Self {
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
    /// An empty entry at `path` beneath [`FOLDER`], made safe by [`entry_path`] and distinct from every other.
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

    /// What of it is compressed, for [`Writer::extend`].
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
        last.push(vec![0; padding(self.bytes)]);
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
    /// Where the archive keeps it, relative to [`FOLDER`].
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
    /// Where the archive keeps it, relative to [`FOLDER`].
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

/// An archive that is being written. Only whole entries are put into it.
#[derive(Debug)]
pub struct Writer {
    compressor: Compressor,
    place: String,
    /// Bytes of whole entries; beside the sink, so that a progress line need not wait for a slow disk.
    written: Arc<AtomicU64>,
    can_correct: bool,
    /// Bytes of the entry that was begun.
    begun: u64,
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
struct Sink {
    output: Output,
    written: Arc<AtomicU64>,
    /// Of the entry that is written as it comes, its bytes so far.
    begun: Option<u64>,
    /// A part of an entry was written and could not be taken back: whatever followed it would be lost in it.
    torn: bool,
}

impl Writer {
    /// An archive written to `output`, compressed on at most `jobs` threads at gzip's `level` (0-9).
    #[must_use]
    pub fn new(output: Output, jobs: usize, level: u32) -> Self {
        let written = Arc::<AtomicU64>::default();
        Self {
            can_correct: output.can_correct(),
            begun: 0,
            compressor: Compressor::new(jobs, level),
            place: output.place().to_owned(),
            sink: Arc::new(Mutex::new(Sink {
                output,
                written: Arc::clone(&written),
                begun: None,
                torn: false,
            })),
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

    /// The same and what has been written of the entry that was begun.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.written() + self.begun
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
        let Packed { path, header, members } = entry;
        let put = self.on_sink(move |sink| {
            let (header, members) = (Some(header), members?);
            sink.put(header.iter().chain(&members))
        });
        put.await.map_err(|source| self.failed(path, source))
    }

    /// Whether an entry can be begun before it is whole: in a file, but not in a stream, which keeps what it was given.
    #[must_use]
    pub fn can_begin(&self) -> bool {
        self.can_correct
    }

    /// Begins an entry whose size is not known yet, at the archive's end. Until it is ended, nothing else can be written.
    /// If the run dies meanwhile, the archive ends within this entry, and every entry before it can be read.
    pub async fn begin(&mut self, path: &str) -> Result<(), WriteError> {
        let header = stored(&header(path, UNKNOWN_SIZE, Timestamp::now()));
        self.begun = header.len() as u64;
        let begun = self.on_sink(move |sink| sink.begin(&header)).await;
        begun.map_err(|source| self.failed(path.to_owned(), source))
    }

    /// Writes more of the entry that was begun. After an error it is taken back, and whatever else is written of it gives
    /// an error.
    pub async fn extend(&mut self, path: &str, members: Vec<Vec<u8>>) -> Result<(), WriteError> {
        self.begun += members.iter().map(|member| member.len() as u64).sum::<u64>();
        let extended = self.on_sink(move |sink| sink.extend(&members)).await;
        extended.map_err(|source| self.failed(path.to_owned(), source))
    }

    /// Writes the rest of the entry that was begun, and corrects its header.
    pub async fn end(&mut self, entry: Packed) -> Result<(), WriteError> {
        let Packed { path, header, members } = entry;
        self.begun = 0;
        let ended = self.on_sink(move |sink| {
            let members = members.inspect_err(|_| sink.take_back())?;
            sink.extend(&members)?;
            sink.end(&header)
        });
        ended.await.map_err(|source| self.failed(path, source))
    }

    /// Takes back the entry that was begun, as if it had never been; does nothing if there is none.
    pub async fn take_back(&mut self) {
        self.begun = 0;
        let taken = self.on_sink(|sink| {
            sink.take_back();
            Ok(())
        });
        // What cannot be taken back is remembered.
        let _ = taken.await;
    }

    fn failed(&self, entry: String, source: io::Error) -> WriteError {
        WriteError::Write { entry, place: self.place.clone(), source }
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
        let end = self.compressor.encoders.gzip([[0; 2 * BLOCK]]).map_err(failed)?;
        let finished = self.on_sink(move |sink| {
            sink.take_back();
            sink.put([&end])?;
            sink.output.finish()
        });
        finished.await.map_err(failed)?;
        Ok(self.written())
    }

    /// Writes off the runtime's thread, which a full pipe or a slow disk would otherwise stop.
    async fn on_sink(
        &self,
        work: impl FnOnce(&mut Sink) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let sink = Arc::clone(&self.sink);
        spawn_blocking(move || work(&mut sink.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Sink {
    /// Writes an entry, or the archive's end.
    fn put<'a>(&mut self, members: impl IntoIterator<Item = &'a Vec<u8>>) -> io::Result<()> {
        if self.begun.is_some() {
            return Err(io::Error::other("an entry before it is not whole yet"));
        }
        let bytes = self.write(members)?;
        self.written.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn begin(&mut self, header: &Vec<u8>) -> io::Result<()> {
        self.put([])?;
        self.begun = Some(self.write([header])?);
        Ok(())
    }

    fn extend(&mut self, members: &[Vec<u8>]) -> io::Result<()> {
        let Some(begun) = self.begun.take() else {
            return Err(io::Error::other("it was taken back"));
        };
        self.begun = Some(begun + self.write(members)?);
        Ok(())
    }

    /// Writes `header` over the one with which the entry was begun.
    fn end(&mut self, header: &[u8]) -> io::Result<()> {
        let Some(begun) = self.begun.take() else {
            return Err(io::Error::other("it was taken back"));
        };
        match self.output.correct(self.written.load(Ordering::Relaxed), header) {
            Ok(()) => {
                self.written.fetch_add(begun, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                self.cut();
                Err(error)
            }
        }
    }

    fn take_back(&mut self) {
        if self.begun.take().is_some() {
            self.cut();
        }
    }

    /// Writes at the end; after an error, nothing is there of what is not a whole entry.
    fn write<'a>(&mut self, members: impl IntoIterator<Item = &'a Vec<u8>>) -> io::Result<u64> {
        if self.torn {
            return Err(io::Error::other("an entry before it was written in part"));
        }
        let mut bytes = 0;
        for member in members {
            if let Err(error) = self.output.write_all(member) {
                self.cut();
                return Err(error);
            }
            bytes += member.len() as u64;
        }
        Ok(bytes)
    }

    fn cut(&mut self) {
        self.torn = self.output.cut(self.written.load(Ordering::Relaxed)).is_err();
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

impl Encoders {
    fn new(level: Compression) -> Self {
        Self { level, idle: Mutex::default() }
    }

    /// One gzip member that holds `pieces` end to end. Without a time and a name, so that it depends on nothing else.
    /// Pieces that are given away go as they have been taken in.
    fn gzip(&self, pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> io::Result<Vec<u8>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut encoder = idle.unwrap_or_else(|| Encoder {
            compress: Compress::new_gzip(self.level, WINDOW_BITS),
            member: Vec::new(),
        });
        let Encoder { compress, member } = &mut encoder;
        member.clear();
        for piece in pieces {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                rest = &rest[feed(compress, rest, member, FlushCompress::None)?.0..];
            }
        }
        while feed(compress, &[], member, FlushCompress::Finish)?.1 != Status::StreamEnd {}
        compress.reset();
        // It may wait a while for its turn: no larger than it is.
        let whole = member.as_slice().to_vec();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(encoder);
        Ok(whole)
    }
}

/// Gives an encoder what it can take; how much that was.
fn feed(
    encoder: &mut Compress,
    bytes: &[u8],
    member: &mut Vec<u8>,
    flush: FlushCompress,
) -> io::Result<(usize, Status)> {
    // It takes room that is there already, and does nothing without.
    member.reserve(bytes.len() / 6 + 64);
    let before = encoder.total_in();
    let status = encoder.compress_vec(bytes, member, flush).map_err(io::Error::other)?;
    Ok((usize::try_from(encoder.total_in() - before).unwrap_or(usize::MAX), status))
}

/// One gzip member that holds `header` as it is: so long whatever the header tells, and so it can be corrected where it
/// stands. Writing to memory does not fail.
fn stored(header: &[u8]) -> Vec<u8> {
    Encoders::new(Compression::none()).gzip([header]).unwrap_or_default()
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
