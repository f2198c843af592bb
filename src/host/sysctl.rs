//! The kernel's settings, all of `/proc/sys`, as `sysctl -a` writes them:
//!
//! ```text
//! net.ipv4.conf.eth0/100.rp_filter = 1
//! net.ipv4.ip_forward = 1
//! ```
//!
//! A node has some 130 for each pod. The program takes 40 microseconds for each, most of them to find its path anew;
//! from folder to folder it takes 10. It also looks into `fs/binfmt_misc`, which on many machines is mounted, and a
//! module loaded, because somebody looks.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::apart::{Sink, nobody_listens};
use super::{CHUNK, Outcome, Reading, file};

/// The longest value that is kept. The longest known, of `kernel.core_pattern` and the like, have hundreds of bytes.
const LONGEST: usize = 64 << 10;

/// A page with the byte that the kernel puts behind it.
const USUAL: usize = 4095;

/// How deep folders may lie: the kernel's lie six deep.
const DEEPEST: usize = 16;

/// What is no setting or must not be looked at: see the module; secrets from which addresses are made (RFC 7217); and
/// names that are out of use, at which the kernel's log would tell who reads them.
const LEFT_OUT: &[&str] = &["binfmt_misc", "stable_secret", "base_reachable_time", "retrans_time"];

/// What was read and has not left yet, and what is still to come.
struct Settings<'a> {
    sink: &'a Sink,
    text: Vec<u8>,
    value: Vec<u8>,
    left: u64,
    unread: u64,
}

/// Why reading ended early.
enum End {
    Full,
    Gone,
}

/// Reads all settings of the machine at `root`, at most `max_bytes`.
pub(super) fn read(root: &Path, max_bytes: u64, sink: &Sink) -> Reading {
    let mut reading = Reading::begin();
    let path = file::below(root, Path::new("/proc/sys"));
    reading.place = Some(path.display().to_string());
    let folder = match Dir::open(&path, FOLDER, Mode::empty()) {
        Ok(folder) => folder,
        Err(error) => {
            (reading.outcome, reading.reason) = file::refused("open", &path, error);
            return reading;
        }
    };
    let (text, value) = (Vec::new(), vec![0; LONGEST]);
    let mut settings = Settings { sink, text, value, left: max_bytes, unread: 0 };
    match settings.folder(folder, &[], DEEPEST).and_then(|()| settings.send()) {
        Ok(()) if settings.unread > 0 => {
            reading.reason = Some(format!("{} settings could not be read", settings.unread));
        }
        Ok(()) => {}
        Err(End::Full) => {
            // Nobody listens: then it does not matter what is said.
            let _ = settings.send();
            reading.outcome = Outcome::Truncated;
            reading.reason = Some(format!("longer than the {max_bytes} bytes that are kept"));
        }
        Err(End::Gone) => (reading.outcome, reading.reason) = nobody_listens(),
    }
    reading
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

const SETTING: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Settings<'_> {
    /// Reads what is in a folder; `key` is what its settings' names begin with.
    fn folder(&mut self, mut folder: Dir, key: &[u8], deeper: usize) -> Result<(), End> {
        let mut entries: Vec<(OsString, Option<Type>)> = folder
            .iter()
            .flatten()
            .map(|entry| {
                (OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(), entry.file_type())
            })
            .collect();
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (name, kind) in entries {
            if name
                .to_str()
                .is_some_and(|name| matches!(name, "." | "..") || LEFT_OUT.contains(&name))
            {
                continue;
            }
            let key = joined(key, name.as_bytes());
            match kind {
                Some(Type::Directory) if deeper > 0 => {
                    match Dir::openat(&folder, name.as_os_str(), FOLDER, Mode::empty()) {
                        Ok(folder) => self.folder(folder, &key, deeper - 1)?,
                        // An interface has gone.
                        Err(Errno::ENOENT) => {}
                        Err(_) => self.unread += 1,
                    }
                }
                Some(Type::File) => {
                    match fcntl::openat(&folder, name.as_os_str(), SETTING, Mode::empty()) {
                        Ok(file) => self.setting(file, &key)?,
                        Err(Errno::ENOENT) => {}
                        Err(_) if is_write_only(&folder, &name) => {}
                        Err(_) => self.unread += 1,
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn setting(&mut self, file: OwnedFd, key: &[u8]) -> Result<(), End> {
        let file = File::from(file);
        // The kernel clears as much memory as a read asks for, and gives a value to one read from its beginning.
        let mut filled = file.read_at(&mut self.value[..USUAL], 0);
        if matches!(filled, Ok(USUAL)) {
            filled = file.read_at(&mut self.value, 0);
        }
        // What has no value yet, such as a key that was not set, says EIO; an interface may have gone.
        let Ok(filled) = filled else { return Ok(()) };
        let value = &self.value[..filled];
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        for line in value.split(|&byte| byte == b'\n') {
            let length = (key.len() + line.len() + 4) as u64;
            self.left = self.left.checked_sub(length).ok_or(End::Full)?;
            for part in [key, b" = ", line, b"\n"] {
                self.text.extend_from_slice(part);
            }
        }
        if self.text.len() >= CHUNK { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), End> {
        if self.sink.send(std::mem::take(&mut self.text)) { Ok(()) } else { Err(End::Gone) }
    }
}

/// A setting that only does something when it is written to.
fn is_write_only(folder: &impl AsFd, name: &OsString) -> bool {
    let stat = fstatat(folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| stat.st_mode & (SFlag::S_IFMT.bits() | 0o444) == SFlag::S_IFREG.bits())
}

/// The name in the folder `key`: parted by dots, with a slash where the name itself has a dot.
fn joined(key: &[u8], name: &[u8]) -> Vec<u8> {
    let mut joined = key.to_vec();
    if !key.is_empty() {
        joined.push(b'.');
    }
    joined.extend(name.iter().map(|&byte| if byte == b'.' { b'/' } else { byte }));
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sysctl(root: &Path, max_bytes: u64) -> Reading {
        Sink::gather(|sink| read(root, max_bytes, sink))
    }

    #[test]
    fn settings_are_written_as_sysctl_writes_them() {
        let root = tempfile::tempdir().unwrap();
        for (path, value) in [
            ("net/ipv4/conf/eth0.100/rp_filter", "1\n"),
            ("net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("net/ipv6/conf/eth0/stable_secret", "2001:db8::1\n"),
            ("dev/cdrom/info", "a\n\nb\n"),
            ("fs/binfmt_misc/status", "enabled\n"),
            ("kernel/modprobe", "\n"),
        ] {
            let path = root.path().join("proc/sys").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        let fifo = root.path().join("proc/sys/fifo");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let text = "dev.cdrom.info = a\ndev.cdrom.info = \ndev.cdrom.info = b\nkernel.modprobe = \n\
                    net.ipv4.conf.eth0/100.rp_filter = 1\nnet.ipv4.ip_local_port_range = 32768\t60999\n";
        let reading = sysctl(root.path(), 1 << 20);
        assert_eq!(String::from_utf8_lossy(&reading.bytes), text);
        assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None));

        let reading = sysctl(root.path(), 50);
        assert_eq!(reading.bytes, b"dev.cdrom.info = a\ndev.cdrom.info = \n");
        assert_eq!(reading.outcome, Outcome::Truncated);
    }

    #[test]
    fn a_host_without_settings_has_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(sysctl(root.path(), 1 << 20).outcome, Outcome::Missing);
    }
}
