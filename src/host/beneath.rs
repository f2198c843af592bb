//! Paths beneath a host's root: the kernel resolves them as a process would whose root that folder is, so that
//! no link (`/var/run -> /run`) leads out of it.

#![allow(clippy::disallowed_methods, reason = "this is a part of the door to the machine")]

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::dup;

/// Opens the folder that is the host's root, to look up paths beneath it.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd> {
    open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path` (absolute in the host) beneath `root`. Links are followed inside the root; the magic links of
/// `/proc` are not.
pub(super) fn open_beneath(root: impl AsFd, path: &str, flags: OFlag) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(&root, path, how) {
        Err(errno) if lacks_openat2(errno) => walk_beneath(root, Path::new(path), flags),
        result => result,
    }
}

/// Whether the kernel (before 5.6) or a seccomp profile knows no `openat2`.
fn lacks_openat2(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSYS | Errno::EPERM)
}

/// An errno in the words of the C library, beginning in lower case as in the middle of a sentence.
pub(super) fn describe(errno: Errno) -> String {
    let text = errno.desc();
    match text.as_bytes() {
        // Not an abbreviation ("I/O error").
        [_, second, ..] if second.is_ascii_lowercase() => {
            text[..1].to_ascii_lowercase() + &text[1..]
        }
        _ => text.to_owned(),
    }
}

/// Reads a link without following it.
pub(super) fn read_link(folder: impl AsFd, name: &CStr) -> Option<String> {
    nix::fcntl::readlinkat(folder, name).ok().map(|target| target.to_string_lossy().into_owned())
}

/// Opens a relative `path` in a folder without following a link on the way or at its end.
pub(super) fn open_without_links(folder: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    match openat2(&folder, path, how) {
        Err(errno) if lacks_openat2(errno) => {}
        result => return result,
    }
    let mut at = dup(&folder)?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let Component::Normal(name) = component else { return Err(Errno::EXDEV) };
        let flags =
            if components.peek().is_some() { OFlag::O_PATH | OFlag::O_DIRECTORY } else { flags };
        at = openat(&at, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    }
    Ok(at)
}

/// As many links as the kernel follows (`MAXSYMLINKS`).
const MAX_LINKS: u32 = 40;

/// [`open_beneath`] for a kernel that has no `openat2`: each component is opened by itself and never through a
/// link; where one is met, its target is looked up from the folder, or from the root, by the same rule.
fn walk_beneath(root: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd> {
    let normal = |path: &Path| -> Vec<OsString> {
        let wanted = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        });
        wanted.collect()
    };
    let mut folders = vec![dup(&root)?];
    let mut rest: Vec<OsString> = normal(path);
    rest.reverse();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            if folders.len() > 1 {
                folders.pop();
            }
            continue;
        }
        let folder = folders.last().ok_or(Errno::ENOENT)?;
        let step = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let found = openat(folder, name.as_os_str(), step, Mode::empty())?;
        match SFlag::from_bits_truncate(fstat(&found)?.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFLNK => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                let target = PathBuf::from(readlinkat(&found, "")?);
                if target.is_absolute() {
                    folders.truncate(1);
                }
                rest.extend(normal(&target).into_iter().rev());
            }
            SFlag::S_IFDIR => folders.push(found),
            _ if rest.is_empty() => {
                let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                return openat(folder, name.as_os_str(), flags, Mode::empty());
            }
            _ => return Err(Errno::ENOTDIR),
        }
    }
    let folder = folders.last().ok_or(Errno::ENOENT)?;
    openat(folder, ".", flags | OFlag::O_CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(file: OwnedFd) -> String {
        let mut text = String::new();
        std::fs::File::from(file).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn an_errno_begins_in_lower_case_unless_it_is_an_abbreviation() {
        assert_eq!(describe(Errno::ENOENT), "no such file or directory");
        assert_eq!(describe(Errno::EIO), "I/O error");
    }

    #[test]
    fn both_ways_of_looking_up_stay_inside_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("run/calico")).unwrap();
        std::fs::create_dir_all(at("var")).unwrap();
        std::fs::write(at("run/calico/x"), "inside").unwrap();
        symlink("/run", at("var/run")).unwrap();
        symlink("../../../../run/calico/x", at("var/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/etc/passwd", at("escape")).unwrap();
        let root = open_root(folder.path()).unwrap();
        let ways: [&dyn Fn(&str) -> Result<OwnedFd>; 2] =
            [&|path| open_beneath(&root, path, OFlag::O_RDONLY), &|path| {
                walk_beneath(&root, Path::new(path), OFlag::O_RDONLY)
            }];
        for open in ways {
            assert_eq!(text(open("/var/run/calico/x").unwrap()), "inside");
            assert_eq!(text(open("/var/up").unwrap()), "inside");
            assert_eq!(text(open("/../../run/calico/x").unwrap()), "inside");
            assert_eq!(open("/loop").unwrap_err(), Errno::ELOOP);
            assert_eq!(open("/escape").unwrap_err(), Errno::ENOENT);
            assert_eq!(open("/run/calico/x/y").unwrap_err(), Errno::ENOTDIR);
        }
    }

    #[test]
    fn a_path_without_links_is_taken_only_without_links() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/b"), "plain").unwrap();
        symlink("a", folder.path().join("link")).unwrap();
        symlink("b", folder.path().join("a/link")).unwrap();
        let root = open_root(folder.path()).unwrap();
        let open = |path: &str| open_without_links(&root, Path::new(path), OFlag::O_RDONLY);
        assert_eq!(text(open("a/b").unwrap()), "plain");
        for path in ["link/b", "a/link", "../x", "/etc/passwd"] {
            assert!(open(path).is_err(), "{path} was taken");
        }
    }
}
