//! Files, read within bounds: only regular ones, never beyond the size they had when they were opened, and of a
//! large one head and tail.
//!
//! What is left out is told by a line of its own, in the middle or, of a log of which only the last hours are wanted,
//! at the beginning:
//!
//! ```text
//! [calivet: 123456 bytes left out here]
//! [calivet: 123456 bytes from before 2026-11-23T02:00:00Z left out here]
//! ```

mod since;

use std::cell::RefCell;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::sys::stat::{Mode, fstat};

use super::apart::{Sink, nobody_listens};
use super::beneath::{self, Links};
use super::{CHUNK, Outcome, Reading, printable};

/// A cut is moved to a line's end if that is not farther away than this.
const NEAR: usize = 64 << 10;

/// What comes slowly is handed on after this time even if the chunk is not full.
const PATIENCE: Duration = Duration::from_millis(100);

/// How much of a file is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The most bytes.
    pub(super) max_bytes: u64,
    /// Of a log, no lines from before this.
    pub(super) since: Option<Timestamp>,
}

/// Reads the file at the absolute `path` of the host at `root`; links are followed inside the root.
pub(super) fn read(root: &Path, path: &Path, max_bytes: u64, sink: &Sink) -> Reading {
    let wanted = Wanted { max_bytes, since: None };
    read_opened(beneath::open_on_host(root, path), &below(root, path), false, wanted, sink)
}

/// Reads the file at `path` beneath the host's `folder`; no link is followed below the folder. If its name ends in
/// `.gz`, what it holds is unpacked, so that redaction sees the text.
pub(super) fn read_leaf(
    root: &Path,
    folder: &Path,
    path: &Path,
    wanted: Wanted,
    sink: &Sink,
) -> Reading {
    let opened = beneath::open_on_host(root, folder)
        .and_then(|folder| beneath::open(folder.as_fd(), path, Links::Refused));
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    read_opened(opened, &below(root, &folder.join(path)), packed, wanted, sink)
}

/// A host's path as this machine knows it.
pub(super) fn below(root: &Path, path: &Path) -> std::path::PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Outcome and reason of an operation on a path that the kernel refused.
pub(super) fn refused(operation: &str, path: &Path, error: Errno) -> (Outcome, Option<String>) {
    let outcome = match error {
        // ESRCH: the process in whose folder of /proc it was has ended.
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH => Outcome::Missing,
        Errno::EACCES | Errno::EPERM => Outcome::Denied,
        _ => Outcome::Failed,
    };
    (outcome, Some(failed_to(operation, path, io::Error::from(error))))
}

fn failed_to(operation: &str, path: &Path, error: impl Display) -> String {
    format!("failed to {operation} {}: {error}", printable(&path.to_string_lossy()))
}

fn read_opened(
    opened: nix::Result<OwnedFd>,
    shown: &Path,
    packed: bool,
    Wanted { max_bytes, since }: Wanted,
    sink: &Sink,
) -> Reading {
    let mut reading = Reading { place: Some(shown.display().to_string()), ..Reading::begin() };
    let stat = opened.and_then(|at| fstat(&at).map(|stat| (at, stat)));
    let (at, stat) = match stat {
        Ok(found) => found,
        Err(error) => {
            (reading.outcome, reading.reason) = refused("open", shown, error);
            return reading;
        }
    };
    if let Some(refusal) = beneath::refusal(&stat) {
        reading.outcome = Outcome::NotApplicable;
        reading.reason = Some(refusal.to_owned());
        return reading;
    }
    let mut file = match open_to_read(&at) {
        Ok(file) => file,
        Err(error) => {
            (reading.outcome, reading.reason) = refused("open", shown, error);
            if reading.outcome == Outcome::Missing {
                // The file is there: it is our own /proc that is not.
                reading.outcome = Outcome::Failed;
            }
            return reading;
        }
    };
    drop(at);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    // The kernel's own files are made when they are looked at.
    reading.modified = beneath::modified(&stat).filter(|_| size > 0);
    let mut older = 0;
    let result = if packed && is_gzip(&file) {
        unpacked(&file, size, max_bytes, sink)
    } else if size > 0 {
        if let Some(since) = since {
            older = since::first(&file, size, reading.modified, since);
        }
        if let Some(since) = since.filter(|_| older > 0) {
            let left_out = format!("{older} bytes from before {since:.0} left out");
            if !sink.send(format!("[calivet: {left_out} here]\n").into_bytes()) {
                (reading.outcome, reading.reason) = nobody_listens();
                return reading;
            }
            reading.reason = Some(left_out);
        }
        bounded(&mut file, older, size, max_bytes, sink)
    } else {
        // The kernel's files say 0 and hold what they hold.
        head(&mut file, max_bytes, sink)
    };
    match result {
        Ok(kept) if kept.cut => {
            reading.outcome = Outcome::Truncated;
            reading.original_bytes = size.max(kept.bytes);
            reading.reason = Some(format!("larger than the {max_bytes} bytes that are kept"));
        }
        Ok(kept) if packed => reading.original_bytes = size.max(kept.bytes.min(size)),
        Ok(kept) => reading.original_bytes = older + kept.bytes,
        Err(Stop::NobodyListens) => (reading.outcome, reading.reason) = nobody_listens(),
        Err(Stop::Failed(error)) => {
            reading.outcome = match error.kind() {
                ErrorKind::PermissionDenied => Outcome::Denied,
                _ => Outcome::Failed,
            };
            reading.original_bytes = size;
            reading.reason = Some(failed_to("read", shown, error));
        }
    }
    reading
}

/// Opens for reading what was opened for looking: the very same inode, whatever its name leads to by now.
/// Without a trace in its access time if the kernel allows that (to root and the owner).
pub(super) fn open_to_read(at: &OwnedFd) -> nix::Result<File> {
    let path = format!("/proc/self/fd/{}", at.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match fcntl::open(path.as_str(), flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => fcntl::open(path.as_str(), flags, Mode::empty()),
        opened => opened,
    }
    .map(File::from)
}

/// The text of a small file of the host's, such as one of `/proc`: no more than `max_bytes` of it. `None` where it cannot
/// be read.
pub(super) fn small(root: &Path, path: &Path, max_bytes: u64) -> Option<String> {
    let at = beneath::open_on_host(root, path).ok()?;
    if beneath::refusal(&fstat(&at).ok()?).is_some() {
        return None;
    }
    let mut bytes = Vec::new();
    open_to_read(&at).ok()?.take(max_bytes).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What was handed on of a file.
struct Kept {
    /// How many bytes of it.
    bytes: u64,
    /// Whether some were left out.
    cut: bool,
}

impl Kept {
    fn whole(bytes: u64) -> Self {
        Self { bytes, cut: false }
    }
}

/// Why reading stopped before the end.
enum Stop {
    NobodyListens,
    Failed(io::Error),
}

/// Hands on what `from` gives, at most `limit` bytes; returns how many there were. A chunk is no larger than what it
/// holds: hundreds of small ones may wait at once.
fn pump(from: &mut impl Read, limit: u64, sink: &Sink) -> Result<u64, Stop> {
    // Most files are small: they share a buffer, for to clear one takes longer than to read them. Some of the kernel's
    // give all that they hold to the first read or never, so that it is no smaller than the largest of those.
    thread_local!(static FIRST: RefCell<Vec<u8>> = RefCell::new(vec![0; NEAR]));
    let mut read = |buffer: &mut [u8], sent: u64| {
        let room = buffer.len().min(as_size(limit - sent));
        let (filled, end) = fill(from, &mut buffer[..room]);
        (buffer[..filled].to_vec(), end)
    };
    let (mut chunk, mut end) = FIRST.with_borrow_mut(|buffer| read(buffer, 0));
    let mut sent = 0;
    let mut buffer = Vec::new();
    loop {
        sent += chunk.len() as u64;
        if !sink.send(chunk) {
            return Err(Stop::NobodyListens);
        }
        match end {
            Err(error) => return Err(Stop::Failed(error)),
            Ok(End::Source) => return Ok(sent),
            Ok(End::Chunk) if sent == limit => return Ok(sent),
            Ok(End::Chunk) => buffer.resize(CHUNK, 0),
        }
        (chunk, end) = read(&mut buffer, sent);
    }
}

enum End {
    Source,
    Chunk,
}

fn fill(from: &mut impl Read, chunk: &mut [u8]) -> (usize, io::Result<End>) {
    let begun = Instant::now();
    let mut filled = 0;
    while filled < chunk.len() && (filled == 0 || begun.elapsed() < PATIENCE) {
        match from.read(&mut chunk[filled..]) {
            Ok(0) => return (filled, Ok(End::Source)),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(End::Chunk))
}

/// The beginning of something whose size is not known.
fn head(from: &mut impl Read, max_bytes: u64, sink: &Sink) -> Result<Kept, Stop> {
    let sent = pump(from, max_bytes, sink)?;
    if sent < max_bytes {
        return Ok(Kept::whole(sent));
    }
    let (more, end) = fill(from, &mut [0]);
    if more > 0 {
        let note = b"\n[calivet: what follows is left out]\n";
        return if sink.send(note.to_vec()) {
            Ok(Kept { bytes: sent, cut: true })
        } else {
            Err(Stop::NobodyListens)
        };
    }
    end.map(|_| Kept::whole(sent)).map_err(Stop::Failed)
}

/// What stands from `start` on, or the first and the last half of what is allowed. Nothing between them is read, so a
/// hole of a terabyte costs nothing.
fn bounded(
    file: &mut File,
    start: u64,
    size: u64,
    max_bytes: u64,
    sink: &Sink,
) -> Result<Kept, Stop> {
    file.seek(SeekFrom::Start(start)).map_err(Stop::Failed)?;
    if size - start <= max_bytes {
        return pump(file, size - start, sink).map(Kept::whole);
    }
    let half = max_bytes / 2;
    let middle = start + half;
    let head_end = last_line_end(file, middle).filter(|end| *end >= start).unwrap_or(middle);
    let tail = size - (max_bytes - half);
    let tail_start = first_line_start(file, tail).unwrap_or(tail);
    let mut bytes = pump(file, head_end - start, sink)?;
    let between = if head_end == start || ends_line(file, head_end) { "" } else { "\n" };
    let note = format!("{between}[calivet: {} bytes left out here]\n", tail_start - head_end);
    if !sink.send(note.into_bytes()) {
        return Err(Stop::NobodyListens);
    }
    file.seek(SeekFrom::Start(tail_start)).map_err(Stop::Failed)?;
    bytes += pump(file, size - tail_start, sink)?;
    Ok(Kept { bytes, cut: true })
}

/// The end of the last whole line before `end`, if it is near.
fn last_line_end(file: &File, end: u64) -> Option<u64> {
    let start = end.saturating_sub(NEAR as u64);
    let window = window(file, start, end)?;
    let newline = window.iter().rposition(|&byte| byte == b'\n')?;
    Some(start + newline as u64 + 1)
}

/// The start of the first whole line after `start`, if it is near.
fn first_line_start(file: &File, start: u64) -> Option<u64> {
    if ends_line(file, start) {
        return Some(start);
    }
    let window = window(file, start, start + NEAR as u64)?;
    let newline = window.iter().position(|&byte| byte == b'\n')?;
    Some(start + newline as u64 + 1)
}

fn ends_line(file: &File, end: u64) -> bool {
    end.checked_sub(1).and_then(|last| window(file, last, end)).is_some_and(|last| last == b"\n")
}

fn window(file: &File, start: u64, end: u64) -> Option<Vec<u8>> {
    let mut window = vec![0; as_size(end - start)];
    let count = file.read_at(&mut window, start).ok()?;
    window.truncate(count);
    Some(window)
}

/// Some rotated logs are called `.gz` and are not: they are kept as they are.
fn is_gzip(file: &File) -> bool {
    window(file, 0, 2).is_some_and(|magic| magic == [0x1f, 0x8b])
}

/// What a gzip file holds. No more is read of it than may come out of it, so that a file of a million empty
/// members ends too.
fn unpacked(file: &File, size: u64, max_bytes: u64, sink: &Sink) -> Result<Kept, Stop> {
    let packed = BufReader::with_capacity(NEAR, file.take(size.min(max_bytes)));
    match head(&mut MultiGzDecoder::new(packed), max_bytes, sink) {
        Err(Stop::Failed(error))
            if size > max_bytes && error.kind() == ErrorKind::UnexpectedEof =>
        {
            Ok(Kept { bytes: 0, cut: true })
        }
        kept => kept,
    }
}

fn as_size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK)
}

#[cfg(test)]
mod tests;
