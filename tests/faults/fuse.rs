//! A file system whose server is a thread of the test: it holds one file, which takes so many bytes and then does what
//! it is told.
//!
//! The messages are those of `include/uapi/linux/fuse.h`, as far as one who writes a file sends them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::is_root;

/// What becomes of a request that is not granted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    /// From then on nothing is answered, as by a server of NFS that has died. (Who waits for a request that a driver
    /// has taken and never ends cannot even be killed: nothing can be shown of that but a process that does not go.)
    Silence,
    /// It fails.
    Error(Errno),
}

/// What the file takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// So many bytes of the file can be written, at least; what becomes of those that follow.
    pub(super) writes: (usize, Refusal),
    /// What becomes of `fsync`, if it does not succeed.
    pub(super) sync: Option<Errno>,
}

/// The file system, mounted as long as this lives.
pub(super) struct FileSystem {
    folder: PathBuf,
    content: Arc<Mutex<Vec<u8>>>,
    /// When it is dropped, a server that has fallen silent goes.
    _alive: Sender<()>,
}

impl FileSystem {
    /// Mounts it on a new folder. `None`: there is no FUSE here, and that was said.
    pub(super) fn mount(folder: PathBuf, manner: Manner) -> Option<Self> {
        if !is_root() {
            return None;
        }
        fs::create_dir_all(&folder).unwrap();
        let device = match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
            Ok(device) => device,
            Err(error) => {
                eprintln!("skipped: no FUSE: {error}");
                return None;
            }
        };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let options = Some(options.as_str());
        if let Err(error) = mount(Some("test"), &folder, Some("fuse"), MsFlags::empty(), options) {
            eprintln!("skipped: no FUSE: {error}");
            return None;
        }
        let content = Arc::new(Mutex::new(Vec::new()));
        let (alive, end) = channel();
        let taken = Arc::clone(&content);
        let server = Server { device, manner, content: taken, exists: false, end };
        // It ends when the file system is no longer mounted.
        std::thread::spawn(move || server.serve());
        let mounted = Self { folder, content, _alive: alive };
        // The kernel asks whether a file may be closed until it hears that this is not known here. It would do so
        // for a file of a process that has been killed, too, and wait.
        fs::write(mounted.file(), "").unwrap();
        fs::remove_file(mounted.file()).unwrap();
        Some(mounted)
    }

    /// Where the file is to be.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.join("x.tar.gz")
    }

    /// What the file holds.
    pub(super) fn content(&self) -> Vec<u8> {
        self.content.lock().unwrap().clone()
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
    }
}

struct Server {
    device: File,
    manner: Manner,
    content: Arc<Mutex<Vec<u8>>>,
    exists: bool,
    end: Receiver<()>,
}

/// `FUSE_*`: the requests that are understood.
mod request {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const UNLINK: u32 = 10;
    pub(super) const WRITE: u32 = 16;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FSYNC: u32 = 20;
    pub(super) const INIT: u32 = 26;
    pub(super) const CREATE: u32 = 35;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// Length of `struct fuse_in_header`.
const HEADER: usize = 40;
/// Length of `struct fuse_write_in`.
const WRITE_HEADER: usize = 40;
/// The most bytes of one write.
const MAX_WRITE: u32 = 64 << 10;
/// `FATTR_SIZE`.
const SETS_SIZE: u32 = 8;
const ROOT: u64 = 1;
const FILE: u64 = 2;

/// What a request gets.
type Answer = Result<Vec<u8>, Errno>;

impl Server {
    fn serve(mut self) {
        let mut buffer = vec![0; (256 << 10) + HEADER];
        while let Ok(length) = self.device.read(&mut buffer) {
            let request = &buffer[..length];
            let [code, unique_low, unique_high, node] =
                [4, 8, 12, 16].map(|at| u32_at(request, at));
            if [request::FORGET, request::BATCH_FORGET, request::INTERRUPT].contains(&code) {
                continue;
            }
            let unique = u64::from(unique_high) << 32 | u64::from(unique_low);
            let (error, body) = match self.answer(code, u64::from(node), &request[HEADER..]) {
                Ok(body) => (0, body),
                Err(errno) => (-(errno as i32), Vec::new()),
            };
            let length = u32::try_from(16 + body.len()).unwrap();
            let mut reply = length.to_ne_bytes().to_vec();
            reply.extend(error.to_ne_bytes());
            reply.extend(unique.to_ne_bytes());
            reply.extend(body);
            // Who asked may have ended meanwhile.
            let _ = self.device.write(&reply);
            let is_full = self.content.lock().unwrap().len() >= self.manner.writes.0;
            if is_full && matches!(self.manner.writes.1, Refusal::Silence) {
                let _dropped = self.end.recv();
                return;
            }
        }
    }

    fn answer(&mut self, code: u32, node: u64, body: &[u8]) -> Answer {
        match code {
            request::INIT => {
                // Version 7.31, no read-ahead, no flags; then queues, the longest write, a granularity of 1 ns.
                let mut init = words(&[7, 31, 0, 0, 16 | 12 << 16, MAX_WRITE, 1]);
                init.resize(64, 0);
                Ok(init)
            }
            request::LOOKUP if self.exists => Ok(self.entry()),
            request::LOOKUP => Err(Errno::ENOENT),
            request::CREATE => {
                self.exists = true;
                let mut entry = self.entry();
                entry.resize(entry.len() + 16, 0);
                Ok(entry)
            }
            request::GETATTR => Ok(self.attributes_of(node)),
            request::SETATTR => {
                if u32_at(body, 0) & SETS_SIZE != 0 {
                    let length = usize::try_from(u32_at(body, 16)).unwrap();
                    self.content.lock().unwrap().resize(length, 0);
                }
                Ok(self.attributes_of(node))
            }
            request::UNLINK => {
                self.exists = false;
                Ok(Vec::new())
            }
            request::WRITE => self.write(body),
            request::FSYNC => self.manner.sync.map_or(Ok(Vec::new()), Err),
            request::RELEASE => Ok(Vec::new()),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn write(&self, body: &[u8]) -> Answer {
        let at = usize::try_from(u32_at(body, 8)).unwrap();
        let data = &body[WRITE_HEADER..][..usize::try_from(u32_at(body, 16)).unwrap()];
        let (most, refusal) = self.manner.writes;
        if let Refusal::Error(errno) = refusal
            && at + data.len() > most
        {
            return Err(errno);
        }
        let mut content = self.content.lock().unwrap();
        let end = content.len().max(at + data.len());
        content.resize(end, 0);
        content[at..at + data.len()].copy_from_slice(data);
        Ok(words(&[u32::try_from(data.len()).unwrap(), 0]))
    }

    /// `struct fuse_entry_out` of the file: nothing of it is remembered by the kernel.
    fn entry(&self) -> Vec<u8> {
        let mut entry = vec![0; 40];
        entry[..8].copy_from_slice(&FILE.to_ne_bytes());
        entry.extend(self.attributes(FILE));
        entry
    }

    /// `struct fuse_attr_out`.
    fn attributes_of(&self, node: u64) -> Vec<u8> {
        [vec![0; 16], self.attributes(node)].concat()
    }

    /// `struct fuse_attr`.
    fn attributes(&self, node: u64) -> Vec<u8> {
        let size = if node == ROOT { 0 } else { self.content.lock().unwrap().len() };
        let mut attributes = Vec::new();
        for number in [node, size as u64, 0, 0, 0, 0] {
            attributes.extend(number.to_ne_bytes());
        }
        let mode = if node == ROOT { 0o040_755 } else { 0o100_600 };
        // Nanoseconds of three times; then mode, links, owner, group, device, size of a block, flags.
        attributes.extend(words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]));
        attributes
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}
