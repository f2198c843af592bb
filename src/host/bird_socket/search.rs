//! Where a BIRD daemon's control socket may be, and what each place said.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::Failure;
use crate::bird::reply::Trouble;
use crate::host::Family;
use crate::host::beneath::{describe, open_beneath, open_root, read_link};
use crate::host::unix_socket::connect_to;

/// The folders in which a socket may be: Calico's, the one that Calico's own code falls back to, Debian's.
const FOLDERS: [&str; 3] = ["/var/run/calico", "/var/run/bird", "/run/bird"];

/// A search for one daemon's socket.
#[derive(Debug)]
pub(super) struct Search {
    root: PathBuf,
    /// The file's name: `bird.ctl` or `bird6.ctl`.
    name: &'static str,
    tried: Vec<Tried>,
}

/// What proves that a daemon lives, and so ends a search.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It took the connection.
    Connected { stream: UnixStream, place: String },
    /// Its queue is full.
    Blocked { place: String, text: String },
}

/// What one place said.
#[derive(Debug)]
struct Tried {
    place: String,
    kind: Trouble,
    text: String,
}

impl Search {
    pub(super) fn new(root: PathBuf, family: Family) -> Self {
        let name = match family {
            Family::Ipv4 => "bird.ctl",
            Family::Ipv6 => "bird6.ctl",
        };
        Self { root, name, tried: Vec::new() }
    }

    /// The usual places in the host itself.
    pub(super) fn in_host(&mut self) -> Option<Verdict> {
        match open_root(&self.root) {
            Ok(root) => {
                let is_machine = self.root == Path::new("/");
                FOLDERS.iter().find_map(|folder| {
                    let path = format!("{folder}/{}", self.name);
                    self.try_socket(&root, is_machine, &path, path.clone())
                })
            }
            Err(errno) => {
                self.note(self.root.display().to_string(), kind_of(errno), describe(errno));
                None
            }
        }
    }

    /// The same places as BIRD processes see them.
    pub(super) fn in_processes(&mut self, pids: &[u32]) -> Option<Verdict> {
        // A failure was noted by the search in the host.
        let root = open_root(&self.root).ok()?;
        let mut seen = BTreeSet::new();
        if self.root == Path::new("/") {
            // A daemon with calivet's own view of the file system has nothing new to show.
            seen.extend(view(&root, "/proc/self", &root));
        }
        pids.iter().find_map(|pid| {
            let process = format!("/proc/{pid}");
            match root_of(&root, &process) {
                Ok(own_root) => {
                    if view(&root, &process, &own_root).is_some_and(|view| !seen.insert(view)) {
                        return None;
                    }
                    FOLDERS.iter().find_map(|folder| {
                        let path = format!("{folder}/{}", self.name);
                        self.try_socket(&own_root, false, &path, format!("{process}/root{path}"))
                    })
                }
                Err(errno) => {
                    self.note(format!("{process}/root"), kind_of(errno), describe(errno));
                    None
                }
            }
        })
    }

    /// The failure that says what every place said; its kind is the most telling one among them.
    pub(super) fn failure(&self) -> Failure {
        let rank = |kind: Trouble| match kind {
            Trouble::Absent => 0,
            Trouble::Refused => 1,
            // What could not be found out may hide anything.
            Trouble::Denied => 3,
            _ => 2,
        };
        let kind = self.tried.iter().map(|tried| tried.kind).max_by_key(|kind| rank(*kind));
        let said: Vec<_> =
            self.tried.iter().map(|tried| format!("{}: {}", tried.place, tried.text)).collect();
        Failure { kind: kind.unwrap_or(Trouble::Failed), text: said.join("; "), place: None }
    }

    fn note(&mut self, place: String, kind: Trouble, text: String) {
        self.tried.push(Tried { place, kind, text });
    }

    /// Connects to the socket at `path` beneath `root`, if there is one and somebody listens.
    fn try_socket(
        &mut self,
        root: &OwnedFd,
        is_machine: bool,
        path: &str,
        place: String,
    ) -> Option<Verdict> {
        let (kind, text) = match look_up(root, path).and_then(|found| {
            let mode = fstat(&found)?.st_mode;
            match SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) {
                SFlag::S_IFSOCK => connect_to(&found, is_machine, path).map(Ok),
                other => Ok(Err(other)),
            }
        }) {
            Ok(Ok(stream)) => return Some(Verdict::Connected { stream, place }),
            Ok(Err(other)) => (Trouble::Refused, format!("not a socket but {}", name_of(other))),
            Err(Errno::EAGAIN) => {
                let text = format!("{}: its queue is full", describe(Errno::EAGAIN));
                return Some(Verdict::Blocked { place, text });
            }
            Err(errno) => (kind_of(errno), describe(errno)),
        };
        self.note(place, kind, text);
        None
    }
}

/// What tells one view of the file system from another: the mount namespace and the root within it.
fn view(root: &OwnedFd, process: &str, own_root: &OwnedFd) -> Option<(String, u64, u64)> {
    let namespaces =
        open_beneath(root, &format!("{process}/ns"), OFlag::O_PATH | OFlag::O_DIRECTORY).ok()?;
    let status = fstat(own_root).ok()?;
    Some((read_link(namespaces, c"mnt")?, status.st_dev, status.st_ino))
}

/// Opens a process's root folder.
fn root_of(root: &OwnedFd, process: &str) -> Result<OwnedFd> {
    let folder = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let process = open_beneath(root, process, folder)?;
    if fstatfs(&process)?.filesystem_type() == PROC_SUPER_MAGIC {
        // A magic link, which only the kernel can have made: it may lead out of the root, it is meant to.
        openat(&process, "root", folder, Mode::empty())
    } else {
        openat(&process, "root", folder | OFlag::O_NOFOLLOW, Mode::empty())
    }
}

fn look_up(root: &OwnedFd, path: &str) -> Result<OwnedFd> {
    open_beneath(root, path, OFlag::O_PATH)
}

fn kind_of(errno: Errno) -> Trouble {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ESRCH => Trouble::Absent,
        Errno::ECONNREFUSED | Errno::EPROTOTYPE => Trouble::Refused,
        Errno::EACCES | Errno::EPERM => Trouble::Denied,
        _ => Trouble::Failed,
    }
}

fn name_of(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFREG => "a regular file",
        SFlag::S_IFDIR => "a folder",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFBLK | SFlag::S_IFCHR => "a device",
        _ => "something else",
    }
}
