//! Paths resolved beneath a folder, so that no link leads out of it.
//!
//! A path is first opened with `O_PATH`, which touches nothing: a FIFO's writer does not wake, a device is not
//! started. What stands there is judged from `fstat`, and only then is it opened again to be read.
//!
//! The kernel resolves (`openat2`, Linux 5.6). Where it cannot, or a seccomp filter forbids it, [`walk`] resolves
//! component by component.

use std::collections::VecDeque;
use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{self, OFlag, OpenHow, ResolveFlag};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// What becomes of symbolic links on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// They are followed, and the folder is `/` to them, as in a chroot.
    Followed,
    /// None is followed: one on the way is an error, one at the end is itself what is opened.
    Refused,
}

/// As many as the kernel follows in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Opens a host's root. The path to it is the user's own choice: its links are followed freely.
pub(super) fn open_root(root: &Path) -> nix::Result<OwnedFd> {
    fcntl::open(root, folder_flags(), Mode::empty())
}

/// Opens what stands at the absolute `path` of the host whose file system is at `root`, for looking only.
///
/// `/proc/PID/root/...` is resolved in that process's own file system, and its links stay in there.
pub(super) fn open_on_host(root: &Path, path: &Path) -> nix::Result<OwnedFd> {
    let root = open_root(root)?;
    let Some((process, rest)) = within_process(path) else {
        return open(root.as_fd(), path, Links::Followed);
    };
    let process = open(root.as_fd(), &process, Links::Followed)?;
    open(open_process_root(process.as_fd())?.as_fd(), &rest, Links::Followed)
}

/// Opens the root folder of the process whose folder in `/proc` is given: the one magic link that is followed,
/// because nothing but the kernel decides where it leads.
pub(super) fn open_process_root(process: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    fcntl::openat(process, "root", folder_flags(), Mode::empty())
}

/// Opens what stands at `path` beneath `folder`, for looking only.
pub(super) fn open(folder: BorrowedFd<'_>, path: &Path, links: Links) -> nix::Result<OwnedFd> {
    match open_by_kernel(folder, path, links) {
        // With O_PATH the file system itself never says EPERM, so it was a filter that did.
        Err(Errno::ENOSYS | Errno::EPERM) => walk(folder, path, links, |_, _| Ok(())),
        opened => opened,
    }
}

fn open_by_kernel(folder: BorrowedFd<'_>, path: &Path, links: Links) -> nix::Result<OwnedFd> {
    let (flags, resolve) = match links {
        Links::Followed => (OFlag::empty(), ResolveFlag::RESOLVE_IN_ROOT),
        Links::Refused => {
            (OFlag::O_NOFOLLOW, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
        }
    };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut opened = Err(Errno::EAGAIN);
    // EAGAIN: something was renamed elsewhere while `..` was resolved, and the kernel could not be sure.
    for _ in 0..16 {
        opened = fcntl::openat2(folder, path, how);
        if opened.as_ref().err() != Some(&Errno::EAGAIN) {
            break;
        }
    }
    opened
}

/// Resolves `path` beneath `folder` one component at a time and shows each folder on the way, and what stands
/// at the end, to `judge` (its path from `folder`, without links, and what `fstat` says), which may end the walk.
pub(super) fn walk(
    folder: BorrowedFd<'_>,
    path: &Path,
    links: Links,
    mut judge: impl FnMut(&Path, &FileStat) -> nix::Result<()>,
) -> nix::Result<OwnedFd> {
    let base = fcntl::openat(folder, ".", folder_flags(), Mode::empty())?;
    judge(Path::new("/"), &fstat(&base)?)?;
    let mut steps: Vec<(PathBuf, OwnedFd)> = vec![(PathBuf::from("/"), base)];
    let mut ahead: VecDeque<Step> = steps_of(path).collect();
    let mut followed = 0;
    while let Some(step) = ahead.pop_front() {
        let name = match step {
            Step::Top if links == Links::Refused => return Err(Errno::EXDEV),
            Step::Top => {
                steps.truncate(1);
                continue;
            }
            Step::Up if steps.len() > 1 => {
                steps.pop();
                continue;
            }
            Step::Up if links == Links::Refused => return Err(Errno::EXDEV),
            Step::Up => continue,
            Step::Down(name) => name,
        };
        let (above, parent) = steps.last().ok_or(Errno::ENOENT)?;
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let here = fcntl::openat(parent, name.as_os_str(), flags, Mode::empty())?;
        let stat = fstat(&here)?;
        if kind(&stat) == SFlag::S_IFLNK {
            match links {
                Links::Refused if ahead.is_empty() => return Ok(here),
                Links::Refused => return Err(Errno::ELOOP),
                Links::Followed => {}
            }
            followed += 1;
            if followed > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            let target = PathBuf::from(fcntl::readlinkat(&here, "")?);
            for step in steps_of(&target).collect::<Vec<_>>().into_iter().rev() {
                ahead.push_front(step);
            }
            continue;
        }
        if !ahead.is_empty() && kind(&stat) != SFlag::S_IFDIR {
            return Err(Errno::ENOTDIR);
        }
        let reached = above.join(&name);
        judge(&reached, &stat)?;
        steps.push((reached, here));
    }
    steps.pop().map(|(_, fd)| fd).ok_or(Errno::ENOENT)
}

/// One component of a path.
enum Step {
    Top,
    Up,
    Down(OsString),
}

fn steps_of(path: &Path) -> impl Iterator<Item = Step> + '_ {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(Step::Top),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Splits `/proc/433/root/etc/x` into `/proc/433` and `/etc/x`.
fn within_process(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let (pid, rest) = path.to_str()?.strip_prefix("/proc/")?.split_once("/root/")?;
    let is_pid = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    is_pid.then(|| (PathBuf::from(format!("/proc/{pid}")), PathBuf::from(format!("/{rest}"))))
}

/// Opens what stands at the absolute `path` beneath an open root, with any flags.
pub(super) fn open_beneath(root: impl AsFd, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let found = open(root.as_fd(), Path::new(path), Links::Followed)?;
    if flags.contains(OFlag::O_PATH) {
        return Ok(found);
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    fcntl::open(again.as_str(), flags | OFlag::O_CLOEXEC, Mode::empty())
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
    fcntl::readlinkat(folder, name).ok().map(|target| target.to_string_lossy().into_owned())
}

/// When a file's content last changed.
pub(super) fn modified(stat: &FileStat) -> Option<Timestamp> {
    Timestamp::new(stat.st_mtime, i32::try_from(stat.st_mtime_nsec).ok()?).ok()
}

/// What kind of file it is: one of the `S_IF...` values.
pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Why a file of this kind is not read; `None` for a regular file.
pub(super) fn refusal(stat: &FileStat) -> Option<&'static str> {
    match kind(stat) {
        SFlag::S_IFREG => None,
        SFlag::S_IFLNK => Some("a symbolic link, not followed"),
        SFlag::S_IFDIR => Some("a folder, not read"),
        SFlag::S_IFIFO => Some("a FIFO, not read"),
        SFlag::S_IFSOCK => Some("a socket, not read"),
        _ => Some("a device, not read"),
    }
}

fn folder_flags() -> OFlag {
    OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_errno_begins_in_lower_case_unless_it_is_an_abbreviation() {
        assert_eq!(describe(Errno::ENOENT), "no such file or directory");
        assert_eq!(describe(Errno::EIO), "I/O error");
    }

    /// A root with links that try to leave it, and a file outside that none may reach.
    fn root() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("etc/sub")).unwrap();
        fs::write(folder.path().join("secret"), "outside").unwrap();
        fs::write(root.join("etc/file"), "inside").unwrap();
        fs::write(root.join("secret"), "the root's own").unwrap();
        symlink("/etc/file", root.join("absolute")).unwrap();
        symlink("../../../../secret", root.join("etc/up")).unwrap();
        symlink("etc", root.join("folder")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink(folder.path().join("secret"), root.join("out")).unwrap();
        (folder, root)
    }

    fn text(at: &OwnedFd) -> String {
        use std::os::fd::AsRawFd;
        fs::read_to_string(format!("/proc/self/fd/{}", at.as_raw_fd())).unwrap()
    }

    fn walk_on(folder: &OwnedFd, path: &str, links: Links) -> nix::Result<OwnedFd> {
        walk(folder.as_fd(), Path::new(path), links, |_, _| Ok(()))
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (_folder, root) = root();
        let root = open_root(&root).unwrap();
        for resolve in [
            |root: &OwnedFd, path: &str| open(root.as_fd(), Path::new(path), Links::Followed),
            |root: &OwnedFd, path: &str| walk_on(root, path, Links::Followed),
        ] {
            assert_eq!(text(&resolve(&root, "/absolute").unwrap()), "inside");
            assert_eq!(text(&resolve(&root, "/folder/file").unwrap()), "inside");
            assert_eq!(text(&resolve(&root, "/etc/up").unwrap()), "the root's own");
            assert_eq!(text(&resolve(&root, "/../../secret").unwrap()), "the root's own");
            assert_eq!(resolve(&root, "/out").unwrap_err(), Errno::ENOENT);
            assert_eq!(resolve(&root, "/loop").unwrap_err(), Errno::ELOOP);
            assert_eq!(resolve(&root, "/etc/file/x").unwrap_err(), Errno::ENOTDIR);
            assert_eq!(resolve(&root, "/nothing/x").unwrap_err(), Errno::ENOENT);
        }
    }

    #[test]
    fn without_links_one_on_the_way_is_an_error_and_one_at_the_end_is_seen_as_a_link() {
        let (_folder, root) = root();
        let root = open_root(&root).unwrap();
        for resolve in [
            |root: &OwnedFd, path: &str| open(root.as_fd(), Path::new(path), Links::Refused),
            |root: &OwnedFd, path: &str| walk_on(root, path, Links::Refused),
        ] {
            assert_eq!(text(&resolve(&root, "etc/file").unwrap()), "inside");
            assert_eq!(text(&resolve(&root, "etc/sub/../file").unwrap()), "inside");
            assert_eq!(resolve(&root, "folder/file").unwrap_err(), Errno::ELOOP);
            assert_eq!(resolve(&root, "../secret").unwrap_err(), Errno::EXDEV);
            assert_eq!(resolve(&root, "/etc/file").unwrap_err(), Errno::EXDEV);
            let link = resolve(&root, "out").unwrap();
            assert_eq!(kind(&fstat(&link).unwrap()), SFlag::S_IFLNK);
        }
    }

    #[test]
    fn a_path_through_a_processs_root_is_resolved_in_there() {
        let path = format!("/proc/{}/root/proc/self/comm", std::process::id());
        let at = open_on_host(Path::new("/"), Path::new(&path)).unwrap();
        assert_eq!(refusal(&fstat(at).unwrap()), None);
        assert_eq!(within_process(Path::new("/proc/self/root/x")), None);
        assert_eq!(within_process(Path::new("/proc/1/net/root/x")), None);
    }

    #[test]
    fn a_magic_link_is_not_followed() {
        let path = "/proc/self/cwd/Cargo.toml";
        assert!(open_on_host(Path::new("/"), Path::new(path)).is_err());
    }

    #[test]
    fn a_judge_sees_every_folder_and_may_end_the_walk() {
        let (_folder, root) = root();
        let root = open_root(&root).unwrap();
        let mut seen = Vec::new();
        walk(root.as_fd(), Path::new("/folder/up"), Links::Followed, |path, _| {
            seen.push(path.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["/", "/etc", "/secret"].map(PathBuf::from));
        let ended = walk(root.as_fd(), Path::new("/etc/file"), Links::Followed, |path, _| {
            if path == Path::new("/etc") { Err(Errno::EPERM) } else { Ok(()) }
        });
        assert_eq!(ended.unwrap_err(), Errno::EPERM);
    }

    proptest! {
        /// The kernel is the reference: whatever path is asked for, the walk arrives at the same inode or at
        /// the same error.
        #[test]
        fn the_walk_agrees_with_the_kernel(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "etc", "sub", "file", "up", "folder", "absolute", "out", "loop", "secret", "..", ".",
                ]),
                0..7,
            ),
            absolute: bool,
            follow: bool,
        ) {
            let (_folder, root) = root();
            let root = open_root(&root).unwrap();
            let path = format!("{}{}", if absolute { "/" } else { "./" }, parts.join("/"));
            let links = if follow { Links::Followed } else { Links::Refused };
            let inode = |fd: OwnedFd| fstat(fd).unwrap().st_ino;
            let kernel = open_by_kernel(root.as_fd(), Path::new(&path), links).map(inode);
            let walked = walk_on(&root, &path, links).map(inode);
            // `file/..` and `file/.`: the kernel says ENOTDIR, as the walk does for `..`; `Path` drops a `.`.
            if !parts.contains(&".") {
                prop_assert_eq!(kernel, walked, "{}", path);
            }
        }
    }
}
