//! Writes an archive of which every prefix can be read (see [`super`] for its shape).
//!
//! Whoever reads the host fills an [`Entry`] and finishes it; its data are compressed as they come, on as many
//! threads as were allowed. One task owns the [`Writer`] and appends finished entries in the order of their worth.
//!
//! An entry's header tells its size, which is known only at its end. So an entry waits in memory, compressed, until it
//! is whole; one that is too large for that goes to its place in a file as it comes, behind a header that is
//! corrected at its end ([`Writer::begin`]).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::Output;
use super::entry::{Compressor, Entry, Finished, Packed};
use super::gzip::stored;
use super::header::{BLOCK, header};

pub use super::write_error::WriteError;

/// The size that the header of an entry tells until it is known: larger than any that is meant to be in a bundle, so
/// that whoever unpacks an archive that ends within the entry gets what there is of it and is told that it is not whole.
const UNKNOWN_SIZE: u64 = 4 << 30;

/// gzip's level for a bundle. On 55 MB of Felix's log, one thread: level 1 0.14 s and 12.2 MB, level 2 0.25 s and
/// 9.3 MB, level 3 0.39 s and 8.7 MB, level 4 0.48 s and 8.3 MB, level 6 0.71 s and 8.0 MB (pigz -6: 1.0 s and 7.8 MB).
/// A sick node's time is worth more than a few per cent of a file that is sent once.
pub const DEFAULT_LEVEL: u32 = 2;

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
