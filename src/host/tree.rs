//! Folders of a host, walked within bounds and without following a link.
//!
//! Each step opens one name in a folder that is open already, as a folder and not through a link, so that nobody
//! who can write to a log folder can lead the walk out of it.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstatat};

use super::file::{outcome_of, refusal};
use super::{Found, Outcome, Tree, beneath};

/// How deep a walk goes.
const MAX_DEPTH: usize = 16;
/// How many files it finds.
const MAX_FOUND: usize = 20_000;
/// How many names it looks at.
const MAX_SEEN: usize = 200_000;

/// A pattern's components.
type Pattern<'a> = Vec<&'a [u8]>;

/// What a walk has found so far, so that it is not lost when the walk hangs.
pub(super) type Shared = Arc<Mutex<Vec<Found>>>;

/// Walks a tree and leaves what it finds in `found`. Blocks: it belongs on a thread that can be abandoned.
pub(super) fn walk(root: &Path, tree: &Tree, found: &Shared) -> (Outcome, Option<String>) {
    let components =
        |pattern: &'static str| pattern.as_bytes().split(|byte| *byte == b'/').collect();
    let wanted = tree
        .include
        .iter()
        .filter(|pattern| !pattern.starts_with('!'))
        .map(|pattern| components(pattern));
    let unwanted =
        tree.include.iter().filter_map(|pattern| pattern.strip_prefix('!')).map(components);
    let patterns = [wanted.collect(), unwanted.collect()];
    let mut walk = Walk { patterns, found, seen: 0, troubles: Vec::new(), folders: HashSet::new() };
    let opened = beneath::open_root(root).and_then(|root| {
        beneath::open_beneath(&root, &tree.folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
    });
    match opened.and_then(|folder| walk.folder(folder, Path::new(""), 0)) {
        Err(errno) => {
            let reason = format!("failed to list {}: {}", tree.folder, beneath::describe(errno));
            return (outcome_of(errno), Some(reason));
        }
        Ok(()) if walk.troubles.is_empty() => return (Outcome::Ok, None),
        Ok(()) => {}
    }
    let (outcome, _) = walk.troubles[0];
    let reasons: Vec<String> = walk.troubles.into_iter().map(|(_, reason)| reason).collect();
    (outcome, Some(reasons.join("; ")))
}

struct Walk<'a> {
    /// Of what is wanted, and of what is not.
    patterns: [Vec<Pattern<'a>>; 2],
    found: &'a Shared,
    seen: usize,
    troubles: Vec<(Outcome, String)>,
    /// Folders on the way, by device and inode: a bind mount can make a loop.
    folders: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: OwnedFd, path: &Path, depth: usize) -> Result<(), Errno> {
        let stat = nix::sys::stat::fstat(&folder)?;
        let identity = (stat.st_dev, stat.st_ino);
        if !self.folders.insert(identity) {
            return Ok(());
        }
        let result = self.entries(folder, path, depth);
        self.folders.remove(&identity);
        result
    }

    fn entries(&mut self, folder: OwnedFd, path: &Path, depth: usize) -> Result<(), Errno> {
        let mut folder = Dir::from_fd(folder)?;
        let mut names: Vec<std::ffi::CString> = Vec::new();
        for entry in folder.iter() {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
            self.seen += 1;
            if self.seen > MAX_SEEN {
                self.trouble(Outcome::Truncated, format!("only {MAX_SEEN} names were looked at"));
                break;
            }
        }
        names.sort();
        for name in names {
            if self.is_full() {
                break;
            }
            self.entry(&folder, &name, path, depth);
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Dir, name: &CStr, parent: &Path, depth: usize) {
        let path = parent.join(OsStr::from_bytes(name.to_bytes()));
        let components: Vec<&[u8]> = path.iter().map(OsStr::as_bytes).collect();
        let [wanted, unwanted] = &self.patterns;
        let is_wanted = wanted.iter().any(|pattern| matches_path(pattern, &components))
            && !unwanted.iter().any(|pattern| matches_path(pattern, &components));
        let may_lead = wanted.iter().any(|pattern| may_lead(pattern, &components));
        if !is_wanted && !may_lead {
            return;
        }
        // What vanishes while it is looked at was never there.
        let Ok(stat) = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return };
        match refusal(&stat) {
            // The kernel has files that can only be written: a write does something.
            None if stat.st_mode & 0o444 == 0 => {}
            None => {
                if is_wanted {
                    self.find(path, &stat, None);
                }
            }
            Some("a folder") if may_lead && depth + 1 < MAX_DEPTH => {
                let flags =
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let opened = openat(folder, name, flags, Mode::empty());
                if let Err(errno) = opened.and_then(|inner| self.folder(inner, &path, depth + 1))
                    && errno != Errno::ENOENT
                {
                    let reason =
                        format!("failed to list {}: {}", path.display(), beneath::describe(errno));
                    self.trouble(outcome_of(errno), reason);
                }
            }
            Some("a folder") => {
                if may_lead {
                    self.trouble(Outcome::Truncated, format!("{} is too deep", path.display()));
                }
            }
            Some("a symbolic link") if is_wanted => {
                let target = beneath::read_link(folder.as_fd(), name).unwrap_or_default();
                self.find(path, &stat, Some(format!("a symbolic link to {target}, not followed")));
            }
            Some(kind) if is_wanted => self.find(path, &stat, Some(format!("{kind}, not read"))),
            Some(_) => {}
        }
    }

    fn find(&mut self, path: PathBuf, stat: &FileStat, refusal: Option<String>) {
        let modified =
            Timestamp::new(stat.st_mtime, i32::try_from(stat.st_mtime_nsec).unwrap_or(0));
        let found = Found {
            path,
            refusal,
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: modified.unwrap_or(Timestamp::UNIX_EPOCH),
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(found);
        if self.is_full() {
            self.trouble(Outcome::Truncated, format!("only the first {MAX_FOUND} files are kept"));
        }
    }

    fn is_full(&self) -> bool {
        self.seen > MAX_SEEN
            || self.found.lock().unwrap_or_else(PoisonError::into_inner).len() >= MAX_FOUND
    }

    fn trouble(&mut self, outcome: Outcome, reason: String) {
        // A few tell it all.
        if self.troubles.len() < 5 {
            self.troubles.push((outcome, reason));
        }
    }
}

/// Whether a path matches a pattern: component by component, `**` any number of them.
pub(super) fn matches_path(pattern: &[&[u8]], path: &[&[u8]]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&b"**", rest)), _) => {
            matches_path(rest, path)
                || path.split_first().is_some_and(|(_, path)| matches_path(pattern, path))
        }
        (Some((glob, pattern)), Some((name, path))) => {
            matches_name(glob, name) && matches_path(pattern, path)
        }
        _ => false,
    }
}

/// Whether something beneath a folder may match a pattern.
fn may_lead(pattern: &[&[u8]], folder: &[&[u8]]) -> bool {
    match (pattern.split_first(), folder.split_first()) {
        (Some((&b"**", _)), _) => true,
        (Some(_), None) => true,
        (Some((glob, pattern)), Some((name, folder))) => {
            matches_name(glob, name) && may_lead(pattern, folder) && !pattern.is_empty()
        }
        (None, _) => false,
    }
}

/// Whether a name matches a glob of `*` and `?`; in linear memory, and in time no more than their product.
fn matches_name(glob: &[u8], name: &[u8]) -> bool {
    let (mut at_glob, mut at_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match glob.get(at_glob) {
            Some(b'*') => {
                star = Some((at_glob, at_name));
                at_glob += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[at_name] => {
                at_glob += 1;
                at_name += 1;
            }
            _ => {
                // The last star takes one byte more.
                let Some((glob_star, name_star)) = star else { return false };
                star = Some((glob_star, name_star + 1));
                at_glob = glob_star + 1;
                at_name = name_star + 1;
            }
        }
    }
    glob[at_glob..].iter().all(|byte| *byte == b'*')
}
