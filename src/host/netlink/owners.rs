//! Which processes hold which sockets, by the links in `/proc/PID/fd` (`socket:[4711]`).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;

use super::kernel::{Clock, Trouble};

/// The processes that hold a socket, by the socket's inode.
#[derive(Debug, Default)]
pub(super) struct Owners {
    of: HashMap<u32, Vec<Owner>>,
    /// Why it is not known of each socket who holds it.
    pub(super) gap: Option<&'static str>,
}

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Owner {
    /// As the process table that was read counts.
    pub(super) pid: u32,
    /// The name of its program, as the kernel has it (15 bytes).
    pub(super) name: String,
}

/// The most open files that are looked at: to read one link takes the kernel about two microseconds.
const FILES: usize = 300_000;

impl Owners {
    /// Looks at all processes. Only root sees those of others.
    pub(super) fn read(root: &Path, clock: &Clock) -> Result<Self, Trouble> {
        let mut owners = Self::default();
        if !nix::unistd::geteuid().is_root() {
            owners.gap = Some("it takes root to see the files of other users' processes");
            return Ok(owners);
        }
        let Ok(processes) = fs::read_dir(root.join("proc")) else {
            owners.gap = Some("/proc cannot be read");
            return Ok(owners);
        };
        let mut files = 0;
        for process in processes.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            clock.check()?;
            // It may have ended meanwhile, and then holds nothing.
            let Ok(links) = fs::read_dir(process.path().join("fd")) else { continue };
            let mut name = None;
            for link in links.flatten() {
                files += 1;
                if files > FILES {
                    owners.gap = Some("there are too many open files to look at all");
                    return Ok(owners);
                }
                let Some(inode) =
                    fs::read_link(link.path()).ok().and_then(|to| inode(to.as_os_str()))
                else {
                    continue;
                };
                let name = name.get_or_insert_with(|| comm(&process.path()));
                let holders = owners.of.entry(inode).or_default();
                if holders.last().is_none_or(|last: &Owner| last.pid != pid) {
                    holders.push(Owner { pid, name: name.clone() });
                }
            }
        }
        Ok(owners)
    }

    /// Who holds a socket; `None` where that is not known.
    pub(super) fn of(&self, inode: u32) -> Option<&[Owner]> {
        match self.of.get(&inode) {
            Some(owners) => Some(owners),
            None => self.gap.is_none().then_some(&[]),
        }
    }
}

/// Of `socket:[4711]`.
fn inode(link: &OsStr) -> Option<u32> {
    let number = link.as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// The kernel gives at most 16 bytes.
fn comm(process: &Path) -> String {
    let name = fs::read(process.join("comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(inode(OsStr::new("socket:[4711]")), Some(4711));
        assert_eq!(inode(OsStr::new("pipe:[4711]")), None);
        assert_eq!(inode(OsStr::new("socket:[x]")), None);
        assert_eq!(inode(OsStr::new("socket:[4711")), None);
    }
}
