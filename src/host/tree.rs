//! The files beneath a folder, found without following a link and bounded in depth, number and time.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use super::apart;
use super::beneath::{self, Links};
use super::file::{below, refused};
use super::pattern::{Match, Patterns};
use super::{Found, Listing, Outcome, Reading, Tree, printable};

/// Folders within folders that are entered. Bounds loops of bind mounts as well.
const MAX_DEPTH: usize = 16;

/// Files that are listed.
const MAX_FILES: usize = 20_000;

/// Names that are looked at.
const MAX_NAMES: usize = 200_000;

/// Lists the files of `tree` on the host at `root`. What was found before the time was over is kept.
pub(super) async fn list(root: &Path, tree: &Tree, limit: Duration) -> Listing {
    let listing =
        Arc::new(Mutex::new(Listing { found: Vec::new(), outcome: Outcome::Ok, reason: None }));
    let walk = Walk {
        root: root.to_owned(),
        folder: PathBuf::from(tree.folder.as_ref()),
        patterns: Patterns::of(tree),
        listing: Arc::clone(&listing),
        names: 0,
    };
    // Most are short: see [`apart`].
    let ended = apart::glance(limit, move || walk.run()).await;
    let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if ended.is_none() {
        (listing.outcome, listing.reason) = apart::late(limit);
    }
    listing.found.sort_by(|one, other| {
        one.path.as_os_str().as_bytes().cmp(other.path.as_os_str().as_bytes())
    });
    listing
}

/// What a folder holds, a line for each name.
pub(super) fn describe(root: &Path, folder: &Path, max_bytes: u64) -> Reading {
    let mut reading = Reading::begin();
    let opened = beneath::open_on_host(root, folder).and_then(|at| open_folder(&at, Path::new("")));
    let mut dir = match opened {
        Ok(dir) => dir,
        Err(error) => {
            (reading.outcome, reading.reason) = refused("list", &below(root, folder), error);
            return reading;
        }
    };
    let names = dir.iter().filter_map(|entry| Some(entry.ok()?.file_name().to_owned()));
    let names = names.filter(|name| !matches!(name.to_bytes(), b"." | b".."));
    let mut names: Vec<_> = names.take(MAX_NAMES + 1).collect();
    if names.len() > MAX_NAMES {
        names.truncate(MAX_NAMES);
        reading.outcome = Outcome::Truncated;
        reading.reason = Some(format!("more than {MAX_NAMES} names: the rest is not listed"));
    }
    names.sort_unstable();
    let mut lines = Vec::new();
    for name in names {
        let Ok(stat) = fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
            continue; // Removed since it was seen.
        };
        let modified = Timestamp::new(stat.st_mtime, 0).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut shown = printable(&name.to_string_lossy());
        if beneath::kind(&stat) == SFlag::S_IFLNK {
            let target = fcntl::readlinkat(&dir, name.as_c_str()).unwrap_or_default();
            shown = format!("{shown} -> {}", printable(&target.to_string_lossy()));
        }
        let (mode, user, group, bytes) = (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size);
        let line = format!("{mode:06o} {user} {group} {bytes} {modified} {shown}\n");
        if (lines.len() + line.len()) as u64 > max_bytes {
            reading.outcome = Outcome::Truncated;
            reading.reason = Some(format!("only the first {max_bytes} bytes are kept"));
            break;
        }
        lines.extend_from_slice(line.as_bytes());
    }
    reading.original_bytes = lines.len() as u64;
    reading.bytes = lines;
    reading
}

struct Walk {
    root: PathBuf,
    folder: PathBuf,
    patterns: Patterns,
    /// Shared with who waits, so that the time's end loses nothing.
    listing: Arc<Mutex<Listing>>,
    names: usize,
}

impl Walk {
    fn run(mut self) {
        let shown = below(&self.root, &self.folder);
        let top = beneath::open_on_host(&self.root, &self.folder)
            .and_then(|at| open_folder(&at, Path::new("")).map(|dir| (at, dir)));
        let (top, dir) = match top {
            Ok(opened) => opened,
            Err(error) => {
                let (outcome, reason) = refused("open", &shown, error);
                return self.end(outcome, reason);
            }
        };
        // Breadth first, and by path: one open folder at a time, however deep it goes.
        let mut ahead = VecDeque::from([(PathBuf::new(), 0, Some(dir))]);
        while let Some((folder, depth, dir)) = ahead.pop_front() {
            let dir = dir.map_or_else(|| open_folder(&top, &folder), Ok);
            let mut dir = match dir {
                Ok(dir) => dir,
                // It was removed since it was seen.
                Err(Errno::ENOENT) => continue,
                Err(error) => {
                    let refusal = refused("open", &shown.join(&folder), error);
                    self.note(folder, refusal);
                    continue;
                }
            };
            let mut names = Vec::new();
            for entry in dir.iter() {
                match entry {
                    Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                    Ok(entry) => {
                        self.names += 1;
                        if self.names > MAX_NAMES {
                            return self.cut(&format!("more than {MAX_NAMES} names"));
                        }
                        names.push(entry.file_name().to_owned());
                    }
                    Err(error) => {
                        let refusal = refused("list", &shown.join(&folder), error);
                        self.note(folder.clone(), refusal);
                        break;
                    }
                }
            }
            names.sort_unstable();
            for name in names {
                let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                let Ok(stat) = fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
                    continue; // Removed since it was seen.
                };
                let wanted = self.wanted(&path);
                match beneath::kind(&stat) {
                    SFlag::S_IFDIR if wanted == Match::No => {}
                    SFlag::S_IFDIR if depth + 1 < MAX_DEPTH => {
                        ahead.push_back((path, depth + 1, None));
                    }
                    SFlag::S_IFDIR => {
                        let reason = format!("a folder below {MAX_DEPTH} others, not entered");
                        self.note(path, (Outcome::Truncated, Some(reason)));
                    }
                    // A link in place of a folder hides what would have been found there.
                    SFlag::S_IFLNK if wanted != Match::No => {
                        let target = fcntl::readlinkat(&dir, name.as_c_str()).unwrap_or_default();
                        let target = printable(&target.to_string_lossy());
                        let reason = format!("a symbolic link to {target}, not followed");
                        self.found(path, &stat, Some(reason), Some(target));
                    }
                    // The kernel's files that can only be written: to write one does something.
                    SFlag::S_IFREG if stat.st_mode & 0o444 == 0 => {}
                    _ if wanted == Match::Whole => {
                        let refusal = beneath::refusal(&stat).map(str::to_owned);
                        self.found(path, &stat, refusal, None);
                    }
                    _ => {}
                }
                if self.full() {
                    return self.cut(&format!("more than {MAX_FILES} files"));
                }
            }
        }
    }

    fn wanted(&self, path: &Path) -> Match {
        let path: Vec<&[u8]> = path.iter().map(OsStrExt::as_bytes).collect();
        self.patterns.matches(&path)
    }

    fn found(&self, path: PathBuf, stat: &FileStat, refusal: Option<String>, link: Option<String>) {
        let refusal = refusal.map(|reason| (Outcome::NotApplicable, reason));
        let bytes = u64::try_from(stat.st_size).unwrap_or(0);
        let modified = beneath::modified(stat).unwrap_or(Timestamp::UNIX_EPOCH);
        let found = Found { path, refusal, link, bytes, modified };
        self.with_listing(|listing| listing.found.push(found));
    }

    /// Lists a folder that could not be entered.
    fn note(&self, path: PathBuf, (outcome, reason): (Outcome, Option<String>)) {
        let modified = Timestamp::UNIX_EPOCH;
        let refusal = reason.map(|reason| (outcome, reason));
        self.with_listing(|listing| {
            listing.found.push(Found { path, refusal, link: None, bytes: 0, modified });
        });
    }

    fn full(&self) -> bool {
        let mut count = 0;
        self.with_listing(|listing| count = listing.found.len());
        count >= MAX_FILES
    }

    fn cut(&self, why: &str) {
        let shown = printable(&self.folder.to_string_lossy());
        self.end(Outcome::Truncated, Some(format!("{shown} holds {why}: the rest is not listed")));
    }

    fn end(&self, outcome: Outcome, reason: Option<String>) {
        self.with_listing(|listing| (listing.outcome, listing.reason) = (outcome, reason));
    }

    fn with_listing(&self, change: impl FnOnce(&mut Listing)) {
        change(&mut self.listing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Opens a folder to list it, without a trace in its access time if the kernel allows that.
fn open_folder(top: &OwnedFd, path: &Path) -> nix::Result<Dir> {
    let below;
    let at = if path.as_os_str().is_empty() {
        top
    } else {
        below = beneath::open(top.as_fd(), path, Links::Refused)?;
        &below
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match Dir::openat(at, ".", flags | OFlag::O_NOATIME, Mode::empty()) {
        Err(Errno::EPERM) => Dir::openat(at, ".", flags, Mode::empty()),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::host::{Host, Sensitivity};

    async fn list(root: &Path, include: &'static [&'static str]) -> Listing {
        let tree = Tree {
            name: "".into(),
            folder: "/log".into(),
            include: include.into(),
            sensitivity: Sensitivity::Private,
            max_bytes: 100,
        };
        Host::live(root, Duration::from_secs(20)).list(&tree).await
    }

    fn root_with(files: &[&[u8]]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("log")).unwrap();
        for file in files {
            let path = root.path().join("log").join(OsStr::from_bytes(file));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        root
    }

    fn paths(listing: &Listing) -> Vec<&[u8]> {
        listing.found.iter().map(|found| found.path.as_os_str().as_bytes()).collect()
    }

    #[tokio::test]
    async fn files_come_in_the_order_of_their_paths_whatever_bytes_they_hold() {
        let root = root_with(&[
            b"b/x.log",
            b"a\nb.log",
            b"\xff.log",
            b"b/deep/er/y.log",
            b"\x1b[31m.log",
            b"b/no.txt",
        ]);
        let listing = list(root.path(), &["**/*.log"]).await;
        assert_eq!((listing.outcome, &listing.reason), (Outcome::Ok, &None));
        let expected: [&[u8]; 5] =
            [b"\x1b[31m.log", b"a\nb.log", b"b/deep/er/y.log", b"b/x.log", b"\xff.log"];
        assert_eq!(paths(&listing), expected);
        assert!(listing.found.iter().all(|found| found.bytes == 5 && found.refusal.is_none()));
        assert!(listing.found.iter().all(|found| found.modified > Timestamp::UNIX_EPOCH));
    }

    #[tokio::test]
    async fn links_fifos_and_sockets_are_listed_with_the_reason_why_they_are_not_read() {
        let root = root_with(&[b"real/file"]);
        let log = root.path().join("log");
        symlink("/etc/shadow", log.join("a-link")).unwrap();
        symlink("real", log.join("b-folder")).unwrap();
        nix::unistd::mkfifo(&log.join("c-fifo"), Mode::S_IRWXU).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(log.join("d-socket")).unwrap();
        let listing = list(root.path(), &["**"]).await;
        let refusals: Vec<_> = listing.found.into_iter().map(|found| found.refusal).collect();
        let refused = |reason: &str| Some((Outcome::NotApplicable, reason.to_owned()));
        assert_eq!(
            refusals,
            [
                refused("a symbolic link to /etc/shadow, not followed"),
                refused("a symbolic link to real, not followed"),
                refused("a FIFO, not read"),
                refused("a socket, not read"),
                None,
            ]
        );
    }

    #[tokio::test]
    async fn a_link_in_place_of_a_folder_that_was_asked_for_is_noted() {
        let root = root_with(&[b"elsewhere/x.log"]);
        symlink("elsewhere", root.path().join("log/cni")).unwrap();
        let listing = list(root.path(), &["cni/*.log"]).await;
        assert_eq!(paths(&listing), [b"cni"]);
        assert!(listing.found[0].refusal.is_some());
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_missing_and_one_that_is_empty_is_not() {
        let root = root_with(&[]);
        let empty = list(root.path(), &["**"]).await;
        assert_eq!((empty.outcome, empty.found.len()), (Outcome::Ok, 0));
        fs::remove_dir(root.path().join("log")).unwrap();
        let missing = list(root.path(), &["**"]).await;
        assert_eq!(missing.outcome, Outcome::Missing);
        assert!(missing.reason.unwrap().contains("No such file or directory"));
        fs::write(root.path().join("log"), "").unwrap();
        assert_eq!(list(root.path(), &["**"]).await.outcome, Outcome::Missing);
    }

    #[tokio::test]
    async fn depth_is_bounded_and_what_lies_below_is_noted() {
        let deep = ["d"; 20].join("/") + "/file";
        let root = root_with(&[deep.as_bytes(), b"file"]);
        let listing = list(root.path(), &["**"]).await;
        assert_eq!(listing.found.len(), 2);
        let below = listing.found.iter().find(|found| found.refusal.is_some()).unwrap();
        assert_eq!(below.path.components().count(), MAX_DEPTH);
        let reason = "a folder below 16 others, not entered".to_owned();
        assert_eq!(below.refusal, Some((Outcome::Truncated, reason)));
    }

    #[tokio::test]
    async fn more_files_than_are_listed_are_cut_and_said_to_be() {
        let root = root_with(&[]);
        for number in 0..=MAX_FILES {
            fs::write(root.path().join(format!("log/{number:05}")), "").unwrap();
        }
        let listing = list(root.path(), &["**"]).await;
        assert_eq!((listing.outcome, listing.found.len()), (Outcome::Truncated, MAX_FILES));
        assert_eq!(
            listing.reason.unwrap(),
            "/log holds more than 20000 files: the rest is not listed"
        );
        assert_eq!(listing.found[0].path, Path::new("00000"));
    }

    #[test]
    fn a_folder_is_described_name_by_name_and_its_absence_is_told() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        fs::write(root.path().join("bin/calico"), "12345").unwrap();
        symlink("calico", root.path().join("bin/calico-ipam\x1b")).unwrap();
        let reading = describe(root.path(), Path::new("/bin"), 1 << 20);
        let text = reading.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("100") && lines[0].contains(" 5 "), "{text}");
        assert!(lines[0].ends_with(" calico"), "{text}");
        assert!(lines[1].ends_with(" calico-ipam\\u{1b} -> calico"), "{text}");
        let absent = describe(root.path(), Path::new("/opt"), 1 << 20);
        assert_eq!(absent.outcome, Outcome::Missing);
        let cut = describe(root.path(), Path::new("/bin"), 60);
        assert_eq!((cut.outcome, cut.text().lines().count()), (Outcome::Truncated, 1));
    }
}
