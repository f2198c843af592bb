//! Gives up what a command that only reads files does not need: the rest of the file system, sockets, other programs.
//!
//! A bundle is a stranger's, and whoever finds a hole in what reads it should gain nothing by it. Landlock (Linux 5.13,
//! `Documentation/userspace-api/landlock.rst`) bounds which files can be opened; a seccomp filter (seccomp(2)) refuses to
//! open a socket, to start a program and to look into another process. Both last until the process ends and need no
//! privilege, for they set `no_new_privs` (prctl(2)).
//!
//! A command that asks this machine is not confined so: under Landlock the kernel shows nothing of processes outside
//! (`/proc/PID/root`, `environ`, `fd`), and these are what calivet is there to look at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, path_beneath_rules,
};
use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// What is used of Landlock, as far as the kernel has it: TCP since 6.7, devices since 6.10.
const ABI_USED: ABI = ABI::V5;

/// What every command reads beside what it is told to: time zones, randomness for a new key, and what the C library asks
/// before it gives memory back.
const ALWAYS_READ: [&str; 4] =
    ["/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom", "/proc/sys/vm/overcommit_memory"];

/// System calls that a command which only reads files has no use for. They fail with EPERM.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_add_key,
    libc::SYS_keyctl,
];

/// How far a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confined {
    /// Which files it can open: all that was asked for, less on an older kernel, or as before.
    pub files: Degree,
    /// That it can open no socket and start no program.
    pub calls: bool,
}

/// How much of a restriction the kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degree {
    /// All of it.
    Full,
    /// As much as this kernel has.
    Partial,
    /// None.
    None,
}

/// Lets this thread, and those that it will start, read nothing but what lies at or beneath `read`, and write nothing but
/// what lies beneath `write`. To be called before there is another thread. What the kernel does not have is left out.
#[must_use]
pub fn to_files(read: &[PathBuf], write: &[PathBuf]) -> Confined {
    let files = match files(read, write) {
        Ok(RulesetStatus::FullyEnforced) => Degree::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Degree::Partial,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Degree::None,
    };
    Confined { files, calls: calls().is_some() }
}

fn files(read: &[PathBuf], write: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading
        | AccessFs::WriteFile
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Truncate
        | AccessFs::Refer;
    let always = ALWAYS_READ.map(PathBuf::from);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI_USED))?
        .handle_access(AccessNet::from_all(ABI_USED))?
        .create()?
        .add_rules(path_beneath_rules(read.iter().chain(&always), reading))?
        .add_rules(path_beneath_rules(write, writing))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// `None`: the kernel takes no filter, or this is a machine for which none is known.
fn calls() -> Option<()> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let rules: BTreeMap<i64, Vec<_>> = REFUSED.iter().map(|&call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture).ok()?;
    let program = BpfProgram::try_from(filter).ok()?;
    seccompiler::apply_filter(&program).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    /// A confined thread stays so until it ends; the others of the test do not notice.
    #[test]
    fn what_was_not_named_can_be_neither_read_nor_written_and_no_program_and_no_socket_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["in", "out", "else"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), name).unwrap();
        }
        symlink(at("else/file"), at("in/link")).unwrap();
        symlink(at("else"), at("out/link")).unwrap();
        let confined = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let confined = to_files(&[at("in")], &[at("out")]);
                let refused = |error: std::io::Error| assert_eq!(error.kind(), PermissionDenied);
                if confined.calls {
                    refused(TcpListener::bind("127.0.0.1:0").unwrap_err());
                    refused(UnixListener::bind(at("out/socket")).unwrap_err());
                    refused(Command::new("/bin/true").spawn().unwrap_err());
                }
                if confined.files == Degree::None {
                    eprintln!("skipped in part: this kernel has no Landlock");
                    return confined;
                }
                assert_eq!(fs::read_to_string(at("in/file")).unwrap(), "in");
                refused(fs::read(at("else/file")).unwrap_err());
                refused(fs::read(at("in/link")).unwrap_err());
                refused(fs::read("/etc/passwd").unwrap_err());
                refused(fs::write(at("in/file"), "x").unwrap_err());
                refused(fs::write(at("else/new"), "x").unwrap_err());
                refused(fs::write(at("out/link/new"), "x").unwrap_err());
                refused(fs::remove_file(at("else/file")).unwrap_err());
                fs::write(at("out/new"), "x").unwrap();
                fs::rename(at("out/new"), at("out/file")).unwrap();
                fs::remove_file(at("out/file")).unwrap();
                confined
            });
            thread.join().unwrap()
        });
        assert!(confined.calls, "every kernel that calivet runs on has seccomp filters");
        assert_eq!(fs::read_to_string(at("else/file")).unwrap(), "else");
    }
}
