//! Room on file systems, by statvfs(3), and how much is in folders of logs.
//!
//! Each path is looked at on a thread of its own if need be, so that a file system that hangs costs no other its answer.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::stat::{fstat, major, minor};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::beneath;
use super::file::refused;
use super::{Outcome, Reading, Tree, apart, printable, tree};
use crate::filesystems::{FileSystem, FileSystems, Folder};

/// Where Calico, the CNI plugin and the kubelet write.
const PATHS: &[&str] = &[
    "/",
    "/etc/cni/net.d",
    "/run",
    "/var/lib/calico",
    "/var/lib/kubelet",
    "/var/log",
    "/var/log/calico",
    "/var/run",
];

/// Folders of Calico's logs, and which files in them are Calico's.
const FOLDERS: &[(&str, &[&str])] = &[
    ("/var/log/calico", &["**"]),
    ("/var/log/pods", &["*calico*/**", "tigera-operator*/**"]),
    ("/var/lib/calico", &["**"]),
];

/// Looks at the file systems of the host at `root`. What is not there is left out.
pub(super) async fn look(root: &Path, limit: Duration) -> Reading {
    let mut reading = Reading::begin();
    let begun = std::time::Instant::now();
    let file_systems = PATHS.iter().map(|&path| {
        let root = root.to_owned();
        async move {
            let look = apart::glance(limit, move || look_at(&root, path)).await;
            look.unwrap_or_else(|| {
                let (outcome, reason) = apart::late(limit);
                Some(FileSystem { outcome, reason, ..empty(path) })
            })
        }
    });
    let folders = FOLDERS.iter().map(|&(path, include)| folder(root, path, include, limit));
    let (file_systems, folders) = tokio::join!(join_all(file_systems), join_all(folders));
    let found = FileSystems {
        file_systems: file_systems.into_iter().flatten().collect(),
        folders: folders.into_iter().flatten().collect(),
    };
    // Numbers and texts are always JSON.
    reading.bytes = serde_json::to_vec_pretty(&found).unwrap_or_default();
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

fn empty(path: &str) -> FileSystem {
    FileSystem {
        path: path.to_owned(),
        device: String::new(),
        outcome: Outcome::Ok,
        reason: None,
        read_only: false,
        bytes: 0,
        available: 0,
        inodes: 0,
        inodes_free: 0,
    }
}

fn look_at(root: &Path, path: &str) -> Option<FileSystem> {
    let opened = beneath::open_on_host(root, Path::new(path));
    let seen = opened.and_then(|at| Ok((fstat(&at)?, fstatvfs(at.as_fd())?)));
    let (inode, statvfs) = match seen {
        Ok(seen) => seen,
        Err(errno) => {
            let (outcome, reason) = refused("look at", Path::new(path), errno);
            let trouble = FileSystem { outcome, reason, ..empty(path) };
            return (outcome != Outcome::Missing).then_some(trouble);
        }
    };
    let unit = statvfs.fragment_size();
    Some(FileSystem {
        device: format!("{}:{}", major(inode.st_dev), minor(inode.st_dev)),
        read_only: statvfs.flags().contains(FsFlags::ST_RDONLY),
        bytes: statvfs.blocks().saturating_mul(unit),
        available: statvfs.blocks_available().saturating_mul(unit),
        inodes: statvfs.files(),
        inodes_free: statvfs.files_available(),
        ..empty(path)
    })
}

/// How much is in a folder; `None`: there is no such folder.
async fn folder(
    root: &Path,
    path: &str,
    include: &'static [&'static str],
    limit: Duration,
) -> Option<Folder> {
    let of = Tree { folder: path.to_owned().into(), include: include.into(), ..Tree::new("", &[]) };
    let listing = tree::list(root, &of, limit).await;
    if listing.outcome == Outcome::Missing {
        return None;
    }
    // What lies in a folder that may not be entered is not counted.
    let mut refusals = listing.found.iter().filter_map(|found| found.refusal.as_ref());
    let (outcome, reason) = match refusals.find(|(outcome, _)| outcome.is_trouble()) {
        Some((outcome, reason)) if listing.outcome == Outcome::Ok => {
            (*outcome, Some(reason.clone()))
        }
        _ => (listing.outcome, listing.reason.clone()),
    };
    let files = || listing.found.iter().filter(|found| found.refusal.is_none());
    let largest = files().max_by_key(|found| found.bytes);
    Some(Folder {
        path: path.to_owned(),
        outcome,
        reason,
        files: files().count() as u64,
        bytes: files().map(|found| found.bytes).fold(0, u64::saturating_add),
        largest: largest.map(|found| printable(&found.path.to_string_lossy())),
        largest_bytes: largest.map_or(0, |found| found.bytes),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn room_and_folders_are_told_of_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("var/log/calico/cni")).unwrap();
        fs::write(root.path().join("var/log/calico/cni/cni.log"), "12345").unwrap();
        fs::write(root.path().join("var/log/calico/bird"), "1").unwrap();
        let reading = look(root.path(), Duration::from_secs(20)).await;
        let found = FileSystems::parse(&reading.bytes).unwrap();
        let paths: Vec<&str> = found.file_systems.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/", "/var/log", "/var/log/calico"]);
        assert!(found.file_systems.iter().all(|it| it.outcome == Outcome::Ok && it.bytes > 0));
        assert_eq!(found.folders.len(), 1);
        let folder = &found.folders[0];
        assert_eq!((folder.files, folder.bytes), (2, 6));
        assert_eq!(folder.largest.as_deref(), Some("cni/cni.log"));
    }
}
