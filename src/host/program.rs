//! Where a program is looked for: folders that nobody but root can change, so that nobody but root decides what
//! runs.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};

use super::beneath::{self, Links};

/// Where a program is looked for, in this order. The last two belong to a group other than root's on some
/// distributions, and are passed over there.
const FOLDERS: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// `PATH` of the programs that are run.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is no program to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// There is none of that name that could be run.
    Missing(String),
    /// There is one, and somebody else than root may have put it there.
    Untrusted(String),
}

/// Finds the program called `name` in the file system at `root`: its absolute path there.
pub(super) fn find(root: BorrowedFd<'_>, name: &str) -> Result<PathBuf, Absent> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(Absent::Missing(format!("not the bare name of a program: {name}")));
    }
    let mut why = None;
    for folder in FOLDERS {
        let path = Path::new(folder).join(name);
        match check(root, &path) {
            Ok(()) => return Ok(path),
            Err(Unfit::Absent) => {}
            Err(Unfit::NoProgram(reason)) => why = why.or(Some(Absent::Missing(reason))),
            // What is not trusted weighs more than what is not executable.
            Err(Unfit::Untrusted(reason)) => {
                if !matches!(why, Some(Absent::Untrusted(_))) {
                    why = Some(Absent::Untrusted(reason));
                }
            }
        }
    }
    Err(why.unwrap_or_else(|| Absent::Missing(format!("no such program on this host: {name}"))))
}

/// Why what stands at a path is not run.
#[derive(Debug)]
pub(super) enum Unfit {
    /// There is nothing.
    Absent,
    /// It is not an executable file, or cannot be looked at.
    NoProgram(String),
    /// Somebody else than root can change it, or a folder on the way to it.
    Untrusted(String),
}

/// Whether the program at the absolute `path` in the file system at `root`, and each folder on the way to it and
/// behind its links, can be changed by root alone.
pub(super) fn check(root: BorrowedFd<'_>, path: &Path) -> Result<(), Unfit> {
    let mut unfit = None;
    let walked = beneath::walk(root, path, Links::Followed, |reached, stat| {
        unfit = judge(path, reached, stat);
        if unfit.is_some() { Err(Errno::EPERM) } else { Ok(()) }
    });
    match (unfit, walked) {
        // Whoever can change a folder where nothing stands may do so: it does not concern this program.
        (Some(unfit), _) => match beneath::walk(root, path, Links::Followed, |_, _| Ok(())) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Err(Unfit::Absent),
            _ => Err(unfit),
        },
        (None, Err(Errno::ENOENT | Errno::ENOTDIR)) => Err(Unfit::Absent),
        (None, Err(error)) => {
            let error = std::io::Error::from(error);
            Err(Unfit::NoProgram(format!("failed to look at {}: {error}", path.display())))
        }
        (None, Ok(program)) => match nix::sys::stat::fstat(&program) {
            Ok(stat) if beneath::kind(&stat) != SFlag::S_IFREG || stat.st_mode & 0o111 == 0 => {
                Err(Unfit::NoProgram(format!("{} is not executable", path.display())))
            }
            _ => Ok(()),
        },
    }
}

fn judge(path: &Path, reached: &Path, stat: &FileStat) -> Option<Unfit> {
    let path = path.display();
    let reached = reached.display();
    if stat.st_uid != 0 {
        let reason =
            format!("{path} is not run: {reached} belongs to uid {}, not to root", stat.st_uid);
        return Some(Unfit::Untrusted(reason));
    }
    let mode = stat.st_mode & 0o7777;
    (mode & 0o022 != 0).then(|| {
        let reason = format!(
            "{path} is not run: {reached} can be changed by others than root (mode {mode:04o})"
        );
        Unfit::Untrusted(reason)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn with(programs: &[&str]) -> Self {
            let root = Self(tempfile::tempdir().unwrap());
            for program in programs {
                root.put(program, 0o755);
            }
            root
        }

        fn put(&self, program: &str, mode: u32) {
            let path = self.path(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "#!/bin/sh\n").unwrap();
            self.mode(program, mode);
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn mode(&self, path: &str, mode: u32) {
            fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn find(&self, name: &str) -> Result<PathBuf, Absent> {
            find(beneath::open_root(self.0.path()).unwrap().as_fd(), name)
        }

        fn untrusted(&self, name: &str) -> String {
            match self.find(name) {
                Err(Absent::Untrusted(reason)) => reason,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Ownership is what is tested: it takes root to make it.
    fn is_root() -> bool {
        let is_root = nix::unistd::geteuid().is_root();
        if !is_root {
            eprintln!("skipped: needs root");
        }
        is_root
    }

    #[test]
    fn the_first_folder_wins_and_links_are_followed_inside_the_root() {
        if !is_root() {
            return;
        }
        let root = Root::with(&["usr/bin/ip", "usr/local/bin/ip", "usr/local/bin/only-here"]);
        assert_eq!(root.find("ip").unwrap(), Path::new("/usr/bin/ip"));
        assert_eq!(root.find("only-here").unwrap(), Path::new("/usr/local/bin/only-here"));
        fs::create_dir_all(root.path("usr/sbin")).unwrap();
        fs::create_dir_all(root.path("etc/alternatives")).unwrap();
        symlink("/etc/alternatives/iptables", root.path("usr/sbin/iptables")).unwrap();
        symlink("../../usr/bin/ip", root.path("etc/alternatives/iptables")).unwrap();
        assert_eq!(root.find("iptables").unwrap(), Path::new("/usr/sbin/iptables"));
        symlink("usr/bin", root.path("bin")).unwrap();
        assert_eq!(root.find("ip").unwrap(), Path::new("/usr/bin/ip"));
    }

    #[test]
    fn a_program_or_a_folder_that_others_can_change_is_refused_with_its_name() {
        if !is_root() {
            return;
        }
        let root = Root::with(&["usr/bin/ip", "usr/bin/ss"]);
        root.mode("usr/bin/ip", 0o775);
        assert_eq!(
            root.untrusted("ip"),
            "/usr/bin/ip is not run: /usr/bin/ip can be changed by others than root (mode 0775)"
        );
        root.mode("usr", 0o1777);
        assert_eq!(
            root.untrusted("ss"),
            "/usr/bin/ss is not run: /usr can be changed by others than root (mode 1777)"
        );
        root.mode("usr", 0o755);
        chown(root.path("usr/bin/ss"), Some(1000), None).unwrap();
        assert_eq!(
            root.untrusted("ss"),
            "/usr/bin/ss is not run: /usr/bin/ss belongs to uid 1000, not to root"
        );
    }

    #[test]
    fn what_stands_behind_a_link_is_what_counts() {
        if !is_root() {
            return;
        }
        let root = Root::with(&["opt/tools/ip"]);
        fs::create_dir_all(root.path("usr/bin")).unwrap();
        symlink("/opt/tools/ip", root.path("usr/bin/ip")).unwrap();
        assert!(root.find("ip").is_ok());
        root.mode("opt/tools", 0o777);
        assert!(root.untrusted("ip").contains("/opt/tools can be changed"));
    }

    #[test]
    fn a_trusted_program_further_on_is_taken_and_an_empty_folder_of_others_is_no_obstacle() {
        if !is_root() {
            return;
        }
        let root = Root::with(&["usr/bin/ip", "bin/ip"]);
        chown(root.path("usr/bin/ip"), Some(1000), None).unwrap();
        assert_eq!(root.find("ip").unwrap(), Path::new("/bin/ip"));
        fs::create_dir_all(root.path("usr/local/bin")).unwrap();
        root.mode("usr/local/bin", 0o2775);
        let missing = Absent::Missing("no such program on this host: ss".to_owned());
        assert_eq!(root.find("ss").unwrap_err(), missing);
    }

    #[test]
    fn what_is_no_program_is_missing_and_the_reason_says_what_stands_there() {
        if !is_root() {
            return;
        }
        let root = Root::with(&["usr/bin/x"]);
        root.mode("usr/bin/x", 0o644);
        let missing = |reason: &str| Absent::Missing(reason.to_owned());
        assert_eq!(root.find("x").unwrap_err(), missing("/usr/bin/x is not executable"));
        fs::create_dir(root.path("usr/bin/folder")).unwrap();
        assert_eq!(root.find("folder").unwrap_err(), missing("/usr/bin/folder is not executable"));
        for name in ["", ".", "..", "../etc/x", "/bin/sh"] {
            assert!(matches!(root.find(name), Err(Absent::Missing(_))), "{name}");
        }
    }
}
