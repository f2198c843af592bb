//! Files of a host, read within bounds.
//!
//! A path is resolved inside the host's root, whatever links it holds. Only a regular file is read: a FIFO, a
//! socket or a device could hang or act. Of a file that is larger than is kept, head and tail are read, never what
//! lies between, so that a sparse terabyte costs nothing; a file that grows is read up to the size that it had.
#![allow(clippy::disallowed_methods, reason = "this is a part of the door to the machine")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, SFlag, fstat};
use tokio::sync::mpsc;

use super::{Outcome, Reading, beneath};

/// The largest piece that is sent on.
const CHUNK: usize = 1 << 20;

/// Where a file is.
#[derive(Debug, Clone)]
pub(super) enum Location {
    /// At an absolute path beneath a root; links are followed inside it.
    InRoot(PathBuf, String),
    /// In a folder (absolute, beneath a root), at a relative path on which no link is followed.
    InFolder(PathBuf, String, PathBuf),
}

/// Reads a file and sends it in pieces. Blocks: it belongs on a thread that can be abandoned.
pub(super) fn read(location: &Location, max_bytes: u64, chunks: &mpsc::Sender<Vec<u8>>) -> Reading {
    let mut reading = Reading::begin();
    let clock = std::time::Instant::now();
    let (name, opened, gunzip) = match location {
        Location::InRoot(root, path) => (path.clone(), open(root, path), false),
        Location::InFolder(root, folder, path) => {
            let name = Path::new(folder).join(path);
            let gunzip = path.extension().is_some_and(|extension| extension == "gz");
            (name.display().to_string(), open_in_folder(root, folder, path), gunzip)
        }
    };
    let result = opened.map_err(Stop::Open).and_then(|file| {
        let stat = fstat(&file).map_err(Stop::Open)?;
        if let Some(kind) = refusal(&stat) {
            return Err(Stop::Kind(kind));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut sender = Sender { chunks, sent: 0 };
        let sent = if gunzip {
            sender.expand(MultiGzDecoder::new(&file), max_bytes, size)
        } else if size > max_bytes {
            sender.head_and_tail(&file, size, max_bytes)
        } else {
            // The kernel's own files have no size.
            sender.all(&file, if size == 0 { max_bytes } else { size }, size)
        };
        reading.original_bytes = size.max(if gunzip { 0 } else { sender.sent });
        sent
    });
    if let Err(stop) = result {
        (reading.outcome, reading.reason) = stop.tell(&name);
    }
    reading.duration = clock.elapsed();
    reading
}

/// Why a file was not read to its end.
enum Stop {
    Open(Errno),
    Kind(&'static str),
    Read(io::Error),
    Larger(String),
    /// Nobody wants the rest.
    Unwanted,
}

impl Stop {
    fn tell(self, name: &str) -> (Outcome, Option<String>) {
        match self {
            Self::Open(errno) => {
                let reason = format!("failed to open {name}: {}", beneath::describe(errno));
                (outcome_of(errno), Some(reason))
            }
            Self::Kind(kind) => {
                (Outcome::NotApplicable, Some(format!("{name} is {kind}, not read")))
            }
            Self::Read(error) => {
                let errno = error.raw_os_error().map(Errno::from_raw);
                let outcome = errno.map_or(Outcome::Failed, outcome_of);
                (outcome, Some(format!("failed to read {name}: {error}")))
            }
            Self::Larger(reason) => (Outcome::Truncated, Some(reason)),
            Self::Unwanted => {
                (Outcome::Interrupted, Some("the run was ended before it was whole".to_owned()))
            }
        }
    }
}

/// What an errno says of the thing that was asked for.
pub(super) fn outcome_of(errno: Errno) -> Outcome {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENXIO | Errno::ENODEV => Outcome::Missing,
        Errno::EACCES | Errno::EPERM => Outcome::Denied,
        _ => Outcome::Failed,
    }
}

/// What stands at a path that is no regular file, with its article.
pub(super) fn refusal(stat: &FileStat) -> Option<&'static str> {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => None,
        SFlag::S_IFDIR => Some("a folder"),
        SFlag::S_IFLNK => Some("a symbolic link"),
        SFlag::S_IFIFO => Some("a FIFO"),
        SFlag::S_IFSOCK => Some("a socket"),
        SFlag::S_IFCHR => Some("a character device"),
        SFlag::S_IFBLK => Some("a block device"),
        _ => Some("of no known kind"),
    }
}

/// Without waiting for a FIFO's writer, becoming a terminal's owner, or following a link to one.
const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY);

fn open(root: &Path, path: &str) -> Result<File, Errno> {
    let root = beneath::open_root(root)?;
    untouched(|flags| beneath::open_beneath(&root, path, flags))
}

fn open_in_folder(root: &Path, folder: &str, path: &Path) -> Result<File, Errno> {
    let root = beneath::open_root(root)?;
    let folder = beneath::open_beneath(&root, folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    untouched(|flags| beneath::open_without_links(&folder, path, flags))
}

/// Opens for reading in a way that leaves the time of last access as it is, where that is allowed.
fn untouched(open: impl Fn(OFlag) -> Result<OwnedFd, Errno>) -> Result<File, Errno> {
    match open(READ | OFlag::O_NOATIME) {
        // Only its owner may ask for that.
        Err(Errno::EPERM) => open(READ),
        result => result,
    }
    .map(File::from)
}

struct Sender<'a> {
    chunks: &'a mpsc::Sender<Vec<u8>>,
    sent: u64,
}

impl Sender<'_> {
    fn send(&mut self, chunk: Vec<u8>) -> Result<(), Stop> {
        self.sent += chunk.len() as u64;
        self.chunks.blocking_send(chunk).map_err(|_| Stop::Unwanted)
    }

    /// From the start up to `limit` bytes. If `size` is not known (0) and there is more, that is told.
    fn all(&mut self, mut file: &File, limit: u64, size: u64) -> Result<(), Stop> {
        while self.sent < limit {
            let chunk = fill(&mut file, limit - self.sent).map_err(Stop::Read)?;
            if chunk.is_empty() {
                return Ok(());
            }
            self.send(chunk)?;
        }
        if size == 0 && matches!(file.read(&mut [0]), Ok(1..)) {
            return Err(Stop::Larger(format!("only the first {limit} bytes are kept")));
        }
        Ok(())
    }

    fn head_and_tail(&mut self, file: &File, size: u64, max_bytes: u64) -> Result<(), Stop> {
        let head = max_bytes / 2;
        let tail = size - (max_bytes - head);
        self.range(file, 0, head)?;
        let gap = tail - head;
        self.send(format!("\n[calivet: {gap} bytes left out here]\n").into_bytes())?;
        self.range(file, tail, size)?;
        Err(Stop::Larger(format!(
            "of {size} bytes the first {head} and the last {} are kept",
            size - tail
        )))
    }

    fn range(&mut self, file: &File, mut from: u64, to: u64) -> Result<(), Stop> {
        while from < to {
            let wanted = usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = vec![0; wanted];
            let length = file.read_at(&mut chunk, from).map_err(Stop::Read)?;
            if length == 0 {
                // It has become shorter meanwhile.
                return Ok(());
            }
            chunk.truncate(length);
            from += length as u64;
            self.send(chunk)?;
        }
        Ok(())
    }

    /// A compressed file's text, of which `max_bytes` are kept.
    fn expand(&mut self, mut text: impl Read, max_bytes: u64, size: u64) -> Result<(), Stop> {
        while self.sent < max_bytes {
            // What came before the damage is kept: it is sent before the error is told.
            let mut chunk = Vec::new();
            let wanted = (max_bytes - self.sent).min(CHUNK as u64);
            let result = text.by_ref().take(wanted).read_to_end(&mut chunk);
            let ended = result.as_ref().is_ok_and(|length| *length == 0);
            if !chunk.is_empty() {
                self.send(chunk)?;
            }
            result.map_err(Stop::Read)?;
            if ended {
                return Ok(());
            }
        }
        if matches!(text.read(&mut [0]), Ok(0)) {
            return Ok(());
        }
        Err(Stop::Larger(format!(
            "{size} bytes of gzip hold more than the {max_bytes} bytes that are kept"
        )))
    }
}

/// Up to a piece, in as many reads as the file wants.
fn fill(file: &mut &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::new();
    file.take(limit.min(CHUNK as u64)).read_to_end(&mut chunk)?;
    Ok(chunk)
}
