//! Programs in another file system: a host's root that is mounted somewhere, or a container's.
//!
//! A thread cannot change its mount namespace while others share its root, so `calivet` runs itself again, and
//! that second one, which has but one thread and nothing open, enters the place and becomes the program:
//!
//! ```text
//! calivet __run-in root /host -- /usr/sbin/ip -4 route
//! calivet __run-in mounts-of / 433 4026532758 -- /usr/sbin/ipset list
//! ```
//!
//! A container's program is run with the privilege of `calivet`. So it is entered only if that gives nothing to
//! anybody: its process must already hold every capability that the program would get, in the same user
//! namespace and the same network namespace (`fitness`).

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{chdir, chroot, fchdir};

use super::beneath::{self, Links};
use super::program;

/// The first argument of a `calivet` that is to become another program. Not for people.
const RUN_IN: &str = "__run-in";

/// The exit status if the place could not be entered or the program not be run. Other programs use it too, so
/// what was said on stderr decides ([`SAID`]).
pub(super) const NOT_RUN: i32 = 125;

/// How a complaint of ours begins on stderr.
pub(super) const SAID: &str = "calivet: ";

static ASKED: AtomicBool = AtomicBool::new(false);

/// Where a program is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file system that is ours.
    Here,
    /// In the one that is mounted at this folder.
    Root(PathBuf),
    /// In the one of a container's process.
    MountsOf {
        /// The host's root, in whose `/proc` the process is.
        root: PathBuf,
        /// The process.
        pid: u32,
        /// The inode of its mount namespace, by which it is recognised again.
        mounts: u64,
    },
}

/// To be called by `main` before anything else: if this process was started to become a program in another file
/// system, it does, and does not come back unless that fails; then the exit status is returned.
#[must_use]
pub fn run_in_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.nth(1).is_none_or(|first| first != RUN_IN) {
        ASKED.store(true, Ordering::Relaxed);
        return None;
    }
    let complaint = match run_in(&arguments.collect::<Vec<_>>()) {
        Ok(never) => match never {},
        Err(complaint) => complaint,
    };
    // Where stderr is closed too, the exit status has to do.
    let _nobody_listens = writeln!(io::stderr(), "{SAID}{complaint}");
    Some(ExitCode::from(NOT_RUN.unsigned_abs().to_le_bytes()[0]))
}

/// Whether this process runs itself again as `calivet`: its `main` has called [`run_in_if_asked`].
pub(super) fn can_run_itself() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// The arguments with which `calivet` becomes `program` in `place`.
pub(super) fn arguments(place: &Place, program: &Path) -> Vec<OsString> {
    let mut arguments = vec![OsString::from(RUN_IN)];
    match place {
        Place::Here => {}
        Place::Root(root) => arguments.extend(["root".into(), root.into()]),
        Place::MountsOf { root, pid, mounts } => arguments.extend([
            "mounts-of".into(),
            root.into(),
            pid.to_string().into(),
            mounts.to_string().into(),
        ]),
    }
    arguments.extend(["--".into(), program.into()]);
    arguments
}

enum Never {}

fn run_in(arguments: &[OsString]) -> Result<Never, String> {
    let (place, argv) = parse(arguments).ok_or("odd arguments")?;
    let program = Path::new(&argv[0]);
    match &place {
        Place::Here => return Err("odd arguments".to_owned()),
        Place::Root(root) => {
            let opened = beneath::open_root(root).map_err(|error| told("open", root, error))?;
            become_root(&opened)?;
        }
        Place::MountsOf { root, pid, mounts } => enter_mounts(root, *pid, *mounts)?,
    }
    let top = Path::new("/");
    let root = beneath::open_root(top).map_err(|error| told("open", top, error))?;
    program::check(root.as_fd(), program).map_err(|unfit| match unfit {
        program::Unfit::Absent => format!("no such program: {}", program.display()),
        program::Unfit::NoProgram(why) | program::Unfit::Untrusted(why) => why,
    })?;
    let error = Command::new(program).args(&argv[1..]).exec();
    Err(format!("failed to run {}: {error}", program.display()))
}

fn parse(arguments: &[OsString]) -> Option<(Place, &[OsString])> {
    let end = arguments.iter().position(|argument| argument == "--")?;
    let (place, argv) = (&arguments[..end], &arguments[end + 1..]);
    let absolute = |path: &OsString| path.as_bytes().starts_with(b"/");
    if !argv.first().is_some_and(absolute) || !place.get(1).is_some_and(absolute) {
        return None;
    }
    let root = PathBuf::from(&place[1]);
    let place = match (place[0].to_str()?, &place[2..]) {
        ("root", []) => Place::Root(root),
        ("mounts-of", [pid, mounts]) => Place::MountsOf {
            root,
            pid: pid.to_str()?.parse().ok().filter(|pid| *pid > 0)?,
            mounts: mounts.to_str()?.parse().ok()?,
        },
        _ => return None,
    };
    Some((place, argv))
}

fn become_root(root: &OwnedFd) -> Result<(), String> {
    let entered = fchdir(root).and_then(|()| chroot(".")).and_then(|()| chdir("/"));
    entered.map_err(|error| told("enter", Path::new("the root"), error))
}

fn enter_mounts(root: &Path, pid: u32, mounts: u64) -> Result<(), String> {
    // The folder in /proc stays that process's: once it has ended, nothing can be opened there, whoever has its
    // number by then.
    let process = open_process(root, pid)?;
    if fitness(root, pid, process.as_fd())? != mounts {
        return Err(format!("pid {pid} is another process than before"));
    }
    let failed =
        |error| told("open the mount namespace of", Path::new(&format!("pid {pid}")), error);
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let namespace = fcntl::openat(&process, "ns/mnt", flags, Mode::empty()).map_err(failed)?;
    let inside = beneath::open_process_root(process.as_fd()).map_err(failed)?;
    setns(namespace, CloneFlags::CLONE_NEWNS).map_err(|error| {
        told("enter the mount namespace of", Path::new(&format!("pid {pid}")), error)
    })?;
    become_root(&inside)
}

fn told(operation: &str, object: &Path, error: Errno) -> String {
    format!("failed to {operation} {}: {}", object.display(), io::Error::from(error))
}

/// The folder in `/proc` of a process of the host at `root`.
pub(super) fn open_process(root: &Path, pid: u32) -> Result<OwnedFd, String> {
    beneath::open_on_host(root, Path::new(&format!("/proc/{pid}")))
        .map_err(|error| format!("pid {pid} cannot be looked at ({})", io::Error::from(error)))
}

/// Whether programs may be run from the file system of this process, which is asked for by its folder in `/proc`:
/// the inode of its mount namespace, or why not.
///
/// It must run as root, hold every capability that `calivet` itself could give to a program (on a node: all there
/// are), be held back by no seccomp filter, and be in the user namespace and the network namespace of `calivet`
/// and of the host's pid 1.
pub(super) fn fitness(root: &Path, pid: u32, process: BorrowedFd<'_>) -> Result<u64, String> {
    let looked =
        |error: Errno| format!("pid {pid} cannot be looked at ({})", io::Error::from(error));
    let own = beneath::open(open_top()?.as_fd(), Path::new("/proc/self"), Links::Followed)
        .map_err(|error| told("open", Path::new("/proc/self"), error))?;
    let status = read_status(process).map_err(looked)?;
    let own_status = read_status(own.as_fd()).map_err(looked)?;
    if !is_root(&status) {
        return Err(format!("pid {pid} looks like calico-node but does not run as root"));
    }
    let lent = capabilities(&own_status, "CapBnd") | capabilities(&own_status, "CapEff");
    let held = capabilities(&status, "CapEff");
    if lent & !held != 0 {
        return Err(format!(
            "pid {pid} looks like calico-node but holds not all capabilities ({held:016x} of {lent:016x})"
        ));
    }
    // Kernels without seccomp have no such line.
    if field(&status, "Seccomp").is_some_and(|mode| mode != "0") {
        return Err(format!("pid {pid} looks like calico-node but a seccomp filter holds it back"));
    }
    let first = open_process(root, 1);
    for (file, name) in [("ns/user", "user"), ("ns/net", "network")] {
        let its = namespace(process, file).map_err(looked)?;
        let not_host =
            format!("pid {pid} looks like calico-node but is not in the host's {name} namespace");
        if its != namespace(own.as_fd(), file).map_err(looked)? {
            return Err(not_host);
        }
        // Where pid 1 cannot be seen (no ptrace, another /proc), our own namespaces have to do: nothing is lent
        // beyond them.
        let first = first.as_ref().ok().and_then(|first| namespace(first.as_fd(), file).ok());
        if first.is_some_and(|first| first != its) {
            return Err(not_host);
        }
    }
    namespace(process, "ns/mnt").map(|(_, inode)| inode).map_err(looked)
}

fn open_top() -> Result<OwnedFd, String> {
    let top = Path::new("/");
    beneath::open_root(top).map_err(|error| told("open", top, error))
}

/// Device and inode of a namespace: what tells it from others.
fn namespace(process: BorrowedFd<'_>, file: &str) -> nix::Result<(u64, u64)> {
    let stat = fstatat(process, file, AtFlags::empty())?;
    Ok((stat.st_dev, stat.st_ino))
}

fn read_status(process: BorrowedFd<'_>) -> nix::Result<String> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let file = std::fs::File::from(fcntl::openat(process, "status", flags, Mode::empty())?);
    let mut status = Vec::new();
    file.take(64 << 10)
        .read_to_end(&mut status)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

/// The value of a line of `/proc/PID/status`. A process names itself in the first line, but cannot put a newline
/// there: the kernel escapes it.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

fn is_root(status: &str) -> bool {
    let mut uids = field(status, "Uid").unwrap_or("none").split_ascii_whitespace();
    uids.all(|uid| uid == "0")
}

fn capabilities(status: &str, name: &str) -> u64 {
    field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
