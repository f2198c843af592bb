//! Paths beneath a host's root: the kernel resolves them as a process would whose root that folder is, so that
//! no link (`/var/run -> /run`) leads out of it.

#![allow(clippy::disallowed_methods, reason = "this is a part of the door to the machine")]

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// Opens the folder that is the host's root, to look up paths beneath it.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd> {
    open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path` (absolute in the host) beneath `root`. Links are followed inside the root; the magic links of
/// `/proc` are not.
pub(super) fn open_beneath(root: impl AsFd, path: &str, flags: OFlag) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    openat2(root, path, how)
}

/// Whether the kernel (before 5.6) or a seccomp profile knows no `openat2`.
pub(super) fn lacks_openat2(errno: Errno) -> bool {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_errno_begins_in_lower_case_unless_it_is_an_abbreviation() {
        assert_eq!(describe(Errno::ENOENT), "no such file or directory");
        assert_eq!(describe(Errno::EIO), "I/O error");
    }

    #[test]
    fn absolute_links_stay_beneath_the_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("inside"), "").unwrap();
        symlink("/inside", folder.path().join("good")).unwrap();
        symlink("/etc/passwd", folder.path().join("bad")).unwrap();
        symlink("../../../../../../etc/passwd", folder.path().join("worse")).unwrap();
        let root = open_root(folder.path()).unwrap();
        assert!(open_beneath(&root, "/good", OFlag::O_RDONLY).is_ok());
        for name in ["/bad", "/worse"] {
            let opened = open_beneath(&root, name, OFlag::O_RDONLY);
            assert_eq!(opened.unwrap_err(), Errno::ENOENT, "{name}");
        }
    }
}
