//! A folder that an archive was unpacked to, read as the archive is. No link is followed.
#![allow(clippy::disallowed_methods, reason = "a bundle is opened by the path that the user gave")]

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::libc;

use super::{Contents, Ending, Limits, Member, Visit, path_refusal};
use crate::archive::entry_path;

/// Folders beyond this depth are refused.
const MAX_DEPTH: usize = 64;

/// Shows the regular files below `root` in the order of their paths. The error is the root's.
pub(super) fn read(root: &Path, limits: Limits, visit: Visit<'_>) -> io::Result<Contents> {
    let mut contents = Contents::new();
    let (mut entries, mut bytes) = (limits.entries, limits.bytes);
    // What is still to be seen, the next one last.
    let mut waiting = children(root, entries)?;
    while let Some(entry) = waiting.pop() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        let Some(left) = entries.checked_sub(1) else {
            contents.ending =
                Ending::TooLarge(format!("it has more than {} entries", limits.entries));
            return Ok(contents);
        };
        entries = left;
        let raw = name.as_os_str().as_bytes();
        if let Some(reason) = path_refusal(raw, limits) {
            contents.refuse(raw, reason);
            continue;
        }
        let opened = match entry.file_type() {
            Ok(kind) if kind.is_dir() && name.components().count() > MAX_DEPTH => {
                contents.refuse(raw, "it lies too deep");
                continue;
            }
            Ok(kind) if kind.is_dir() => match children(&path, entries) {
                Ok(below) => {
                    waiting.extend(below);
                    continue;
                }
                Err(error) => Err(error.to_string()),
            },
            Ok(kind) if kind.is_symlink() => Err("a symbolic link".to_owned()),
            Ok(kind) if kind.is_fifo() || kind.is_socket() => Err("a FIFO or socket".to_owned()),
            Ok(kind) if !kind.is_file() => Err("a device".to_owned()),
            Ok(_) => open(&path).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let (file, size, modified) = match opened {
            Ok(opened) => opened,
            Err(reason) => {
                contents.refuse(raw, reason);
                continue;
            }
        };
        let Some(left) = bytes.checked_sub(size) else {
            contents.ending = Ending::TooLarge(format!("it has more than {} bytes", limits.bytes));
            return Ok(contents);
        };
        bytes = left;
        let member = Member { path: entry_path(raw), size, modified };
        if visit(&member, &mut file.take(size)).is_break() {
            contents.ending = Ending::Left;
            return Ok(contents);
        }
    }
    Ok(contents)
}

/// What lies in `folder`, last name first; one more than `most` at most.
fn children(folder: &Path, most: u64) -> io::Result<Vec<DirEntry>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
    let mut found = fs::read_dir(folder)?.take(most).collect::<io::Result<Vec<_>>>()?;
    found.sort_by_cached_key(|entry| std::cmp::Reverse(entry.file_name()));
    Ok(found)
}

/// What was a regular file when it was listed may be something else by now.
fn open(path: &PathBuf) -> io::Result<(File, u64, Timestamp)> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok((file, metadata.len(), modified.unwrap_or_default()))
}
