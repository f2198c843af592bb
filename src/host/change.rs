//! How a host's files are changed: whole, at once, and with the old one kept.
//!
//! The new text is written to a file of its own in the same folder, synced, and renamed over the old one, to which
//! a second name is given first. At every moment the path holds the old text or the new.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, unlinkat};

use super::beneath::{self, Links};
use super::file;

/// How many names are tried for a backup or a temporary file.
const TRIES: u32 = 16;

/// Gives the file at the absolute `path` of the host at `root` a new text; it must still hold `before` (`None`: not
/// be there). Folders that lack are made. Returns the path of the backup.
pub(super) fn replace(
    root: &Path,
    path: &Path,
    before: Option<&str>,
    text: &str,
    now: Timestamp,
) -> anyhow::Result<Option<String>> {
    let shown = file::below(root, path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} is no file", path.display());
    };
    let folder = folder_at(root, folder)?;
    let old = look(folder.as_fd(), Path::new(name))
        .with_context(|| format!("failed to look at {}", shown.display()))?;
    match (&old, before) {
        (Some(stat), Some(before)) => {
            ensure!(
                beneath::kind(stat) == SFlag::S_IFREG,
                "{} is no regular file, so it is not replaced",
                shown.display()
            );
            ensure!(
                current(root, path)? == before.as_bytes(),
                "{} has changed since it was looked at",
                shown.display()
            );
        }
        (None, None) => {}
        _ => bail!("{} has changed since it was looked at", shown.display()),
    }
    let temporary = write_beside(folder.as_fd(), name, old.as_ref(), text)
        .with_context(|| format!("failed to write beside {}", shown.display()))?;
    let replaced = exchange(folder.as_fd(), &temporary, name, old.is_some(), now);
    if replaced.is_err() {
        // What could not take the place of the file is nobody's.
        let _ = unlinkat(&folder, temporary.as_path(), UnlinkatFlags::NoRemoveDir);
    }
    let backup = replaced.with_context(|| format!("failed to replace {}", shown.display()))?;
    Ok(backup.map(|name| path.with_file_name(name).display().to_string()))
}

/// Writes to a file that exists, as the kernel's settings want it: in one write, without cutting it first.
pub(super) fn write_setting(root: &Path, path: &Path, value: &str) -> anyhow::Result<()> {
    let shown = file::below(root, path);
    let write = || -> io::Result<()> {
        let root = beneath::open_root(root)?;
        let path = path.to_string_lossy();
        let found = beneath::open_beneath(root, &path, OFlag::O_WRONLY | OFlag::O_NOCTTY)?;
        let line = format!("{value}\n");
        let mut file = File::from(found);
        let written = file.write(line.as_bytes())?;
        if written < line.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    };
    write().with_context(|| format!("failed to write {value} to {}", shown.display()))
}

/// Opens a folder beneath the root and makes what of it is not there.
fn folder_at(root: &Path, folder: &Path) -> anyhow::Result<OwnedFd> {
    let shown = file::below(root, folder);
    match beneath::open_on_host(root, folder) {
        Ok(found) => Ok(found),
        Err(Errno::ENOENT) => {
            let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
                bail!("there is no {}", shown.display());
            };
            let above = folder_at(root, above)?;
            match mkdirat(&above, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("failed to make the folder {}", shown.display()));
                }
            }
            beneath::open(above.as_fd(), Path::new(name), Links::Refused)
                .with_context(|| format!("failed to open {}", shown.display()))
        }
        Err(error) => Err(error).with_context(|| format!("failed to open {}", shown.display())),
    }
}

/// What stands at a name; `None`: nothing.
fn look(folder: BorrowedFd<'_>, name: &Path) -> nix::Result<Option<FileStat>> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the file holds now.
fn current(root: &Path, path: &Path) -> anyhow::Result<Vec<u8>> {
    let found = beneath::open_on_host(root, path)?;
    let mut bytes = Vec::new();
    file::open_to_read(&found)?.take(super::DEFAULT_MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new file with the mode and owner of the old one and gives its name.
fn write_beside(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    old: Option<&FileStat>,
    text: &str,
) -> io::Result<PathBuf> {
    let mut number = 0;
    let (temporary, fd) = loop {
        // Begins with a dot and ends in no `.conf`: nobody who reads the folder takes it for one of its files.
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".calivet-{}-{number}", std::process::id()));
        let temporary = PathBuf::from(hidden);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // A folder opened for looking only can still be the place of an openat.
        match fcntl::openat(folder, &temporary, flags, Mode::from_bits_truncate(0o600)) {
            Ok(fd) => break (temporary, fd),
            Err(Errno::EEXIST) if number < TRIES => number += 1,
            Err(error) => return Err(error.into()),
        }
    };
    let mut file = File::from(fd);
    let mut write = || -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        if let Some(old) = old {
            fchown(&file, Some(Uid::from_raw(old.st_uid)), Some(Gid::from_raw(old.st_gid)))?;
        }
        let mode = old.map_or(0o644, |old| old.st_mode & 0o7777);
        fchmod(&file, Mode::from_bits_truncate(mode))?;
        file.sync_all()
    };
    if let Err(error) = write() {
        let _ = unlinkat(folder, temporary.as_path(), UnlinkatFlags::NoRemoveDir);
        return Err(error);
    }
    Ok(temporary)
}

/// Keeps the old file under a second name and puts the new one in its place.
fn exchange(
    folder: BorrowedFd<'_>,
    temporary: &Path,
    name: &OsStr,
    keep: bool,
    now: Timestamp,
) -> io::Result<Option<OsString>> {
    let mut backup = None;
    if keep {
        let mut number = 0;
        loop {
            let mut second = name.to_owned();
            second.push(now.strftime(".%Y%m%d_%H%M%S").to_string());
            if number > 0 {
                second.push(format!("-{number}"));
            }
            // No reader of a `.d` folder takes a name that ends so.
            second.push(".bak");
            match linkat(folder, name, folder, second.as_os_str(), AtFlags::empty()) {
                Ok(()) => {
                    backup = Some(second);
                    break;
                }
                Err(Errno::EEXIST) if number < TRIES => number += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
    renameat(folder, temporary, folder, name)?;
    // The rename itself outlives a power cut only then.
    let synced = fcntl::openat(folder, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    File::from(synced).sync_all()?;
    Ok(backup)
}
