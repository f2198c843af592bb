//! Room on the file systems that Calico writes to, and how they are mounted.
//!
//! ```json
//! {"fileSystems": [{"path": "/var/log", "device": "8:1", "outcome": "ok", "readOnly": false, "bytes": 105089261568,
//!                   "available": 52428800000, "inodes": 6553600, "inodesFree": 6000000}],
//!  "folders": [{"path": "/var/log/calico", "outcome": "ok", "files": 12, "bytes": 94371840,
//!               "largest": "cni/cni.log", "largestBytes": 41943040}]}
//! ```
//!
//! `/proc/self/mountinfo` (proc(5)), whose options stand twice: those of this mount, and behind ` - ` those of the file
//! system itself:
//!
//! ```text
//! 36 35 8:1 / /var/log rw,noatime shared:1 - ext4 /dev/sda1 ro,errors=remount-ro
//! ```

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// Where a bundle keeps it.
pub const PATH: &str = "system/filesystems.json";

/// What was seen of file systems and folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystems {
    /// What statvfs(3) says, by path.
    pub file_systems: Vec<FileSystem>,
    /// How much is in folders of logs.
    pub folders: Vec<Folder>,
}

/// The file system on which a path lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileSystem {
    /// The path on the host.
    pub path: String,
    /// The device's major and minor number, as in mountinfo.
    pub device: String,
    /// Whether it could be looked at.
    pub outcome: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `ST_RDONLY`: nothing can be written by this path.
    pub read_only: bool,
    /// Its size.
    pub bytes: u64,
    /// What an ordinary user may still write.
    pub available: u64,
    /// How many files it can hold; 0: it has no such limit.
    pub inodes: u64,
    /// How many more it can hold.
    pub inodes_free: u64,
}

/// What a folder holds, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Folder {
    /// Its path on the host.
    pub path: String,
    /// Whether all of it was looked at.
    pub outcome: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Regular files.
    pub files: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// The largest file, by its path in the folder.
    pub largest: Option<String>,
    /// Its size.
    pub largest_bytes: u64,
}

/// A line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Major and minor number.
    pub device: &'a str,
    /// Where it is mounted; blanks are written `\040`.
    pub point: &'a str,
    /// Whether this mount is read-only.
    pub is_read_only: bool,
    /// The file system's type.
    pub kind: &'a str,
    /// Whether the file system itself is read-only, at every place where it is mounted.
    pub is_file_system_read_only: bool,
}

impl FileSystems {
    /// What a bundle kept.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The mounts in `/proc/self/mountinfo`.
#[must_use]
pub fn mounts(mountinfo: &str) -> Vec<Mount<'_>> {
    mountinfo.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount<'_>> {
    // How many optional fields stand before the dash differs.
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (device, _root, point) = (mount.next()?, mount.next()?, mount.next()?);
    let options = mount.next()?;
    let mut file_system = file_system.split(' ');
    let (kind, _source, of_file_system) =
        (file_system.next()?, file_system.next()?, file_system.next()?);
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        device,
        point,
        is_read_only: is_read_only(options),
        kind,
        is_file_system_read_only: is_read_only(of_file_system),
    })
}

/// Whether what is written to a path of this file system is refused, and by what kind of file system. What is mounted
/// read-only for calivet alone, as a pod mounts the host, is not read-only.
#[must_use]
pub fn is_read_only(file_system: &FileSystem, mounts: &[Mount<'_>]) -> bool {
    let of_device = || mounts.iter().filter(|mount| mount.device == file_system.device);
    if of_device().next().is_none() {
        // Btrfs and overlays have numbers of their own.
        return file_system.read_only;
    }
    let holds = |point: &str| {
        let below = file_system.path.strip_prefix(point.trim_end_matches('/'));
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    let nearest = of_device().filter(|mount| holds(mount.point)).max_by_key(|it| it.point.len());
    of_device().all(|mount| mount.is_file_system_read_only)
        || (file_system.read_only && nearest.is_some_and(|mount| mount.is_read_only))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(path: &str, device: &str, read_only: bool) -> FileSystem {
        FileSystem {
            path: path.to_owned(),
            device: device.to_owned(),
            outcome: Outcome::Ok,
            reason: None,
            read_only,
            bytes: 100,
            available: 50,
            inodes: 0,
            inodes_free: 0,
        }
    }

    #[test]
    fn what_a_kernel_mounted_again_read_only_is_and_what_a_pod_mounts_so_is_not() {
        let table = "36 35 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 ro,errors=remount-ro\n\
                     37 36 8:2 / /var/log ro master:2 shared:7 - xfs /dev/sdb rw\n\
                     38 36 8:3 / /host/var ro - ext4 /dev/sdc rw\n\
                     broken\n39 36 8:4 - \n";
        let mounts = mounts(table);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[1].kind, mounts[1].point), ("xfs", "/var/log"));
        for (path, device, told) in [
            ("/etc/cni/net.d", "8:1", true),
            ("/var/log/calico", "8:2", true),
            ("/var/logs", "8:2", false),
            ("/var/log", "8:3", false),
            ("/var/log", "0:44", true),
        ] {
            assert_eq!(is_read_only(&at(path, device, true), &mounts), told, "{path} {device}");
        }
        assert!(!is_read_only(&at("/var/log", "0:44", false), &mounts));
    }

    proptest! {
        #[test]
        fn any_table_is_survived(table in ".{0,200}") {
            let _ = mounts(&table);
        }
    }
}
