//! How a daemon's socket is connected to: looked up first and then through its descriptor (`/proc/self/fd/N`), so
//! that a path may be longer than the 107 bytes of a socket address, and what was looked at is what is connected to.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use nix::Result;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

/// Connects to a socket that was found, without ever waiting: a full queue gives `EAGAIN`. `path` is where it lies
/// on the machine itself, if that is where it lies.
pub(super) fn connect_to(found: &impl AsFd, is_machine: bool, path: &str) -> Result<UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let by_descriptor = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
    match connect(stream.as_raw_fd(), &UnixAddr::new(by_descriptor.as_str())?) {
        // Without a mounted /proc only the path itself is left.
        Err(Errno::ENOENT) if is_machine => {
            connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
        }
        result => result?,
    }
    Ok(UnixStream::from(stream))
}
