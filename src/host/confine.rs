//! Programs in another root: that of a host mounted somewhere, or that of calico-node's container.
//!
//! A child must enter the other root before it becomes the program, and only a process of a single thread may do
//! that. So calivet starts itself anew with the arguments below, does it at once, and turns into the program:
//!
//! ```text
//! calivet __confined chroot DIR PROGRAM ARGUMENT...
//! calivet __confined mount-ns PID START_TIME PROGRAM ARGUMENT...
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "this is a part of the door to the machine, and speaks before there is any output"
)]

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag, fstat};

use super::beneath;

/// The first argument of a child that is to enter another root.
const CONFINED: &str = "__confined";

/// The exit status of a child that found no such program in the other root, as a shell's.
pub(super) const NO_SUCH_PROGRAM: i32 = 127;

/// Folders that are searched for programs: those that only root can change on any sane system, and that are
/// checked to be so.
const FOLDERS: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The same for the environment of programs that start others.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The arguments that make a child run `argv` with `root` as its root.
pub(super) fn in_root(root: &Path, argv: &[&str]) -> Vec<OsString> {
    let mut arguments = vec![CONFINED.into(), "chroot".into(), root.into()];
    arguments.extend(argv.iter().map(OsString::from));
    arguments
}

/// The arguments that make a child run `argv` in the mount namespace of the process that started at
/// `start_time`.
pub(super) fn in_container(pid: u32, start_time: u64, argv: &[&str]) -> Vec<OsString> {
    let mut arguments = vec![
        CONFINED.into(),
        "mount-ns".into(),
        pid.to_string().into(),
        start_time.to_string().into(),
    ];
    arguments.extend(argv.iter().map(OsString::from));
    arguments
}

/// Whether the arguments (without the program's own name) ask for a child in another root; if so, becomes it, and
/// comes back only if that failed. To be called before there is any thread.
#[must_use]
pub fn run_if_asked(arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.collect();
    (arguments.first()? == CONFINED).then(|| match enter(&arguments[1..]) {
        Ok(argv) => {
            let Some(program) = argv[0].to_str().and_then(|name| find(Path::new("/"), name)) else {
                eprintln!("no such program: {}", argv[0].display());
                return ExitCode::from(127);
            };
            let error = Command::new(&program).args(&argv[1..]).exec();
            eprintln!("failed to run {program}: {error}");
            ExitCode::from(126)
        }
        Err(error) => {
            eprintln!("failed to enter another root: {error}");
            ExitCode::from(126)
        }
    })
}

/// Enters the other root and gives the program and its arguments.
fn enter(arguments: &[OsString]) -> Result<&[OsString], String> {
    let text = |index: usize| arguments.get(index).and_then(|word| word.to_str()).unwrap_or("");
    match (text(0), arguments) {
        ("chroot", [_, root, argv @ ..]) if !argv.is_empty() => {
            nix::unistd::chroot(Path::new(root)).map_err(|errno| errno.to_string())?;
            nix::unistd::chdir("/").map_err(|errno| errno.to_string())?;
            Ok(argv)
        }
        ("mount-ns", [_, _, _, argv @ ..]) if !argv.is_empty() => {
            let (Ok(pid), Ok(start_time)) = (text(1).parse::<u32>(), text(2).parse::<u64>()) else {
                return Err("a pid and its start time are numbers".to_owned());
            };
            let namespace = nix::fcntl::open(
                format!("/proc/{pid}/ns/mnt").as_str(),
                OFlag::O_RDONLY | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
            .map_err(|errno| errno.to_string())?;
            // The namespace is held open now: if the process is still the one that was examined, so is this.
            if start_time_of(Path::new("/proc"), pid) != Some(start_time) {
                return Err(format!("process {pid} has ended"));
            }
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWNS)
                .map_err(|errno| errno.to_string())?;
            nix::unistd::chdir("/").map_err(|errno| errno.to_string())?;
            Ok(argv)
        }
        _ => Err("the arguments are not those of such a child".to_owned()),
    }
}

/// Field 22 of `/proc/PID/stat`. The name, in parentheses, may hold anything.
fn start_time_of(proc: &Path, pid: u32) -> Option<u64> {
    let stat = std::fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The absolute path of a program by its bare name, beneath a root: in a folder that only root can change, a file
/// that only root can change.
pub(super) fn find(root: &Path, name: &str) -> Option<String> {
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return None;
    }
    let root = beneath::open_root(root).ok()?;
    let is_safe = |path: &str, kind: SFlag| {
        let stat =
            beneath::open_beneath(&root, path, OFlag::O_PATH).and_then(|found| fstat(&found));
        stat.is_ok_and(|stat| {
            let mode = Mode::from_bits_truncate(stat.st_mode);
            SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
                && stat.st_uid == 0
                && !mode.intersects(Mode::S_IWGRP | Mode::S_IWOTH)
                && mode.contains(Mode::S_IXUSR)
        })
    };
    FOLDERS.into_iter().filter(|folder| is_safe(folder, SFlag::S_IFDIR)).find_map(|folder| {
        let path = format!("{folder}/{name}");
        is_safe(&path, SFlag::S_IFREG).then_some(path)
    })
}

/// Whether a process already holds all that root on the host holds, so that a program run from its file system
/// gains nothing by it: every capability, the host's users and the host's network. The reason, if not.
///
/// Everything is compared with calivet's own: it runs as root on the host, or in a pod that is given the same.
pub(super) fn is_as_powerful_as_host(root: &Path, pid: u32) -> Result<(), String> {
    let proc = root.join("proc");
    let own = Path::new("/proc/self");
    let other = proc.join(pid.to_string());
    for (namespace, name) in [("user", "user namespace"), ("net", "network namespace")] {
        let link = |folder: &Path| std::fs::read_link(folder.join("ns").join(namespace)).ok();
        if link(&other).is_none() || link(&other) != link(own) {
            return Err(format!("process {pid} is not in the host's {name}"));
        }
    }
    let status =
        std::fs::read_to_string(other.join("status")).map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.map(|value| value.trim().to_owned())
    };
    let last: u32 = std::fs::read_to_string(proc.join("sys/kernel/cap_last_cap"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|last| *last < 64)
        .ok_or("the kernel does not tell which capabilities it has")?;
    let all = u64::MAX >> (63 - last);
    let held = field("CapEff:").and_then(|hex| u64::from_str_radix(&hex, 16).ok());
    if held.is_none_or(|held| held & all != all) {
        return Err(format!("process {pid} does not hold every capability"));
    }
    if field("Uid:").is_none_or(|users| users.split_ascii_whitespace().any(|user| user != "0")) {
        return Err(format!("process {pid} does not run as root"));
    }
    Ok(())
}
