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
    let mut letters = text.chars();
    match letters.next() {
        // An abbreviation ("RPC ...") keeps its case.
        Some(first) if letters.as_str().starts_with(|c: char| c.is_ascii_uppercase()) => {
            format!("{first}{}", letters.as_str())
        }
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), letters.as_str()),
        None => String::new(),
    }
}

/// Reads a link without following it.
pub(super) fn read_link(folder: impl AsFd, name: &CStr) -> Option<String> {
    nix::fcntl::readlinkat(folder, name).ok().map(|target| target.to_string_lossy().into_owned())
}
