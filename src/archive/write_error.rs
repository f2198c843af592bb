//! What can go wrong when an archive is written.

use std::io;
use std::path::PathBuf;

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
