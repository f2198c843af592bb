//! Reads an archive, or a folder that one was unpacked to, without unpacking anything and without trusting it.
//!
//! Only regular files are given, under paths that stay below the archive's own folder; all else is refused and
//! counted. What the archive may cost is bounded before it is spent.
#![allow(clippy::disallowed_methods, reason = "a bundle is opened by the path that the user gave")]

mod folder;
mod stream;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::escape;

pub use stream::read_gzip;

/// The most refusals that are kept in words.
const MAX_REFUSED: usize = 100;

/// What reading an archive may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all of it may have uncompressed, headers included.
    pub bytes: u64,
    /// Headers, or in a folder files and folders.
    pub entries: u64,
    /// Bytes of one path.
    pub path: usize,
}

impl Default for Limits {
    /// More than any bundle that calivet writes; a bomb is left after seconds.
    fn default() -> Self {
        Self { bytes: 8 << 30, entries: 1_000_000, path: 4096 }
    }
}

/// A regular file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path as [`entry_path`](super::entry_path) writes it; relative, without `..`, printable.
    pub path: String,
    /// Bytes that the archive says it has.
    pub size: u64,
    /// When its content last changed, as the archive says.
    pub modified: Timestamp,
}

/// How far an archive could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// To its end.
    Whole,
    /// It was cut: the end is missing. Every entry that was whole before the cut was given.
    Truncated,
    /// It is not in order, and what follows the place cannot be trusted: in what way.
    Damaged(String),
    /// It goes beyond a limit: which.
    TooLarge(String),
    /// Whoever was shown the members had enough.
    Left,
}

/// An entry that is not given to anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it is called, in printable characters, cut at 200.
    pub path: String,
    /// Why it is refused.
    pub reason: String,
}

/// What became of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// How far it could be read.
    pub ending: Ending,
    /// The first hundred entries that were refused.
    pub refused: Vec<Refusal>,
    /// How many were refused.
    pub refused_total: u64,
}

impl Contents {
    fn new() -> Self {
        Self { ending: Ending::Whole, refused: Vec::new(), refused_total: 0 }
    }

    /// Whether the archive's end is missing.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.ending == Ending::Truncated
    }

    fn refuse(&mut self, path: &[u8], reason: impl Into<String>) {
        self.refused_total += 1;
        if self.refused.len() < MAX_REFUSED {
            let path = escape(&path[..path.len().min(800)]).chars().take(200).collect();
            self.refused.push(Refusal { path, reason: reason.into() });
        }
    }
}

/// Why nothing of an archive can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It does not begin as gzip does.
    #[error("{} is no bundle: not a gzip file", path.display())]
    NotAGzip {
        /// The file.
        path: PathBuf,
    },
}

/// Sees each member in turn, with its data, of which it reads as much as it likes.
///
/// Data end with an error of kind `UnexpectedEof` where the archive was cut. gzip's checksum of data stands after
/// them: it is known to be right only when the reading of the archive did not end as [`Ending::Damaged`].
pub type Visit<'a> = &'a mut dyn FnMut(&Member, &mut dyn Read) -> ControlFlow<()>;

/// Shows the members of the tar.gz or folder at `path` in the order in which they stand there (a folder's: of
/// their paths).
pub fn read(path: &Path, limits: Limits, visit: Visit<'_>) -> Result<Contents, ReadError> {
    let open = |source| ReadError::Open { path: path.to_owned(), source };
    if path.metadata().map_err(open)?.is_dir() {
        return folder::read(path, limits, visit).map_err(open);
    }
    let file = File::open(path).map_err(open)?;
    let mut input = BufReader::with_capacity(64 << 10, file);
    let begins_as_gzip = loop {
        match input.fill_buf() {
            Ok(start) => {
                break start.first() == Some(&0x1f) && start.get(1).is_none_or(|b| *b == 0x8b);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(open(error)),
        }
    };
    if !begins_as_gzip {
        return Err(ReadError::NotAGzip { path: path.to_owned() });
    }
    Ok(read_gzip(input, limits, visit))
}

/// Why nothing may be kept under `path`.
fn path_refusal(path: &[u8], limits: Limits) -> Option<&'static str> {
    if path.is_empty() {
        Some("it has no name")
    } else if path.len() > limits.path {
        Some("its name is too long")
    } else if path.starts_with(b"/") {
        Some("its path is absolute")
    } else if path.split(|byte| *byte == b'/').any(|component| component == b"..") {
        Some("its path leads out of the archive")
    } else {
        None
    }
}
