//! Counts what Calico's logs say ([`crate::logs`]): the end of each file is read and counted as it comes, and none of it
//! is kept.
//!
//! A folder's files are read one after the other, each on a thread of its own within the time that is left, so that
//! one that hangs ends no more than its folder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::stat::fstat;

use super::beneath::{self, Links};
use super::file::{below, open_to_read};
use super::{CHUNK, Outcome, Reading, Tree, apart, printable, tree};
use crate::logs::{LogFile, Summary, TAIL, Tally};

/// The most bytes that are read of all files.
pub(super) const ALL: u64 = 48 << 20;

/// The most files that are told of.
pub(super) const FILES: usize = 64;

/// The logs in Calico's own folder: those of svlogd, of the CNI plugin, and of Felix without a container. What was
/// rotated is older.
const CALICO: &[&str] = &["*/current", "*.log", "*/*.log", "!*-20??-*", "!*/*-20??-*"];

/// The logs of calico-node's container, this one's and the one's before. Other namespaces may call a pod what they like.
const PODS: &[&str] = &["kube-system_*/calico-node/*.log", "calico-system_*/calico-node/*.log"];

/// Counts what the logs of the host at `root` say: those in `folder`, and those of calico-node's pods.
pub(super) async fn count(root: &Path, folder: &str, limit: Duration) -> Reading {
    let mut reading = Reading::begin();
    let begun = Instant::now();
    let mut summary = Summary::default();
    let mut left = ALL;
    for of in [calico(folder), pods()] {
        let folder = of.folder.as_ref();
        let listing = tree::list(root, &of, limit.saturating_sub(begun.elapsed())).await;
        if listing.outcome != Outcome::Ok {
            let reason = listing.reason.unwrap_or_else(|| listing.outcome.to_string());
            if listing.outcome != Outcome::Missing {
                (reading.outcome, reading.reason) = (listing.outcome, Some(reason.clone()));
            }
            summary.gaps.push(reason);
        }
        let mut hung = None;
        for found in listing.found {
            if summary.files.len() == FILES {
                summary.gaps.push(format!("no more than {FILES} files are looked at"));
                break;
            }
            let path = Path::new(folder).join(&found.path);
            let mut file = LogFile {
                path: printable(&path.to_string_lossy()),
                bytes: found.bytes,
                modified: Some(found.modified),
                ..LogFile::default()
            };
            let component = component(&found.path);
            let mut tally = Tally::new(component.clone(), reading.started, true);
            file.unread = found.refusal.map(|(_, reason)| reason).or_else(|| hung.clone());
            if file.unread.is_none() {
                let (root, folder, now) = (root.to_owned(), PathBuf::from(folder), reading.started);
                let budget = left.min(TAIL);
                let read =
                    move || read(&root, &folder, &found.path, budget, &component, now, limit);
                let limit = limit.saturating_sub(begun.elapsed());
                if let Some(counted) = apart::answer(limit, read).await {
                    left -= counted.looked_at.min(left);
                    file.bytes = counted.bytes.max(file.bytes);
                    file.looked_at = counted.looked_at;
                    (file.unread, tally) = (counted.trouble, counted.tally);
                } else {
                    file.unread = apart::late(limit).1;
                    hung = Some(format!("not tried: {} did not answer", file.path));
                }
            }
            summary.add(file, tally);
        }
    }
    summary.sort();
    if let Some(unread) = summary.files.iter().find(|file| file.unread.is_some())
        && reading.outcome == Outcome::Ok
    {
        // The summary says so of each file, and is whole itself.
        reading.reason = unread.unread.as_ref().map(|why| format!("{}: {why}", unread.path));
    }
    // Numbers and texts are always JSON.
    reading.bytes = serde_json::to_vec_pretty(&summary).unwrap_or_default();
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

/// The files in Calico's own folder of logs.
pub(super) fn calico(folder: &str) -> Tree {
    Tree { folder: folder.to_owned().into(), ..Tree::new("", CALICO) }
}

/// The files of the pods.
pub(super) const fn pods() -> Tree {
    Tree::new("/var/log/pods", PODS)
}

/// Whose a file's lines are that do not say it; the path is relative to its folder.
pub(super) fn component(path: &Path) -> String {
    let mut names = path.iter().map(|name| name.to_string_lossy());
    let (first, second) = (names.next().unwrap_or_default(), names.next());
    match second.as_deref() {
        // `NAMESPACE_POD_UID/calico-node/0.log`
        Some("calico-node") => "calico-node".to_owned(),
        Some(_) => first.into_owned(),
        None => first.trim_end_matches(".log").to_owned(),
    }
}

struct Counted {
    tally: Tally,
    bytes: u64,
    looked_at: u64,
    trouble: Option<String>,
}

/// Reads and counts the last `budget` bytes of a file. No link is followed below the folder.
fn read(
    root: &Path,
    folder: &Path,
    path: &Path,
    budget: u64,
    component: &str,
    now: Timestamp,
    limit: Duration,
) -> Counted {
    let shown = below(root, &folder.join(path));
    let fail = |bytes, error: &dyn std::fmt::Display| {
        let trouble = format!("failed to read {}: {error}", printable(&shown.to_string_lossy()));
        let tally = Tally::new(component, now, true);
        Counted { tally, bytes, looked_at: 0, trouble: Some(trouble) }
    };
    let opened = beneath::open_on_host(root, folder)
        .and_then(|folder| beneath::open(folder.as_fd(), path, Links::Refused))
        .and_then(|at| fstat(&at).map(|stat| (at, stat)));
    let (at, stat) = match opened {
        Ok(opened) => opened,
        Err(errno) => return fail(0, &beneath::describe(errno)),
    };
    if let Some(refusal) = beneath::refusal(&stat) {
        return fail(0, &refusal);
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut file = match open_to_read(&at) {
        Ok(file) => file,
        Err(errno) => return fail(size, &beneath::describe(errno)),
    };
    let skipped = size.saturating_sub(budget);
    let mut tally = Tally::new(component, now, skipped == 0);
    let begun = Instant::now();
    match pump(&mut file, skipped, size - skipped, &mut tally, begun + limit) {
        Ok(looked_at) => Counted { tally, bytes: size, looked_at, trouble: None },
        Err(error) => fail(size, &error),
    }
}

/// Counts what stands from `start` on, `length` bytes at most: what is written meanwhile is not waited for.
fn pump(
    file: &mut File,
    start: u64,
    length: u64,
    tally: &mut Tally,
    deadline: Instant,
) -> std::io::Result<u64> {
    if start > 0 {
        file.seek(SeekFrom::Start(start))?;
    }
    let mut from = file.take(length);
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut looked_at = 0;
    // Who waits has gone by then: a thread that nobody hears stops.
    while Instant::now() < deadline {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                tally.add(buffer.get(..count).unwrap_or_default());
                looked_at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(looked_at)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const LINE: &str = "2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: one\n";

    async fn summary(root: &Path) -> (Reading, Summary) {
        let mut reading = count(root, "/var/log/calico", Duration::from_secs(60)).await;
        let summary = Summary::parse(&std::mem::take(&mut reading.bytes)).unwrap();
        (reading, summary)
    }

    fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[tokio::test]
    async fn every_log_of_calicos_is_counted_and_no_other_pods() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "var/log/calico/felix/current",
            "var/log/calico/bird/current",
            "var/log/calico/cni/cni.log",
            "var/log/calico/felix.log",
            "var/log/pods/kube-system_calico-node-x_1/calico-node/3.log",
            "var/log/pods/calico-system_calico-node-x_1/calico-node/0.log",
        ] {
            write(root.path(), path, LINE);
        }
        for path in [
            "var/log/calico/felix/@400000006632093a0e2f8a1c.s",
            "var/log/calico/cni/cni-2024-05-01T09-17-48.238.log",
            "var/log/pods/default_calico-node-x_1/calico-node/0.log",
            "var/log/pods/kube-system_coredns-x_1/coredns/0.log",
        ] {
            write(root.path(), path, "2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: not mine\n");
        }
        let (reading, summary) = summary(root.path()).await;
        assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None));
        assert_eq!(summary.files.len(), 6, "{summary:#?}");
        assert_eq!(summary.messages.len(), 1);
        assert_eq!(summary.messages[0].count, 6);
    }

    #[tokio::test]
    async fn of_a_large_file_its_end_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let early = "2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: early\n";
        let text = [early, &LINE.repeat(5 * (1 << 20) / LINE.len())].concat();
        write(root.path(), "var/log/calico/felix/current", &text);
        let (_, summary) = summary(root.path()).await;
        let file = &summary.files[0];
        assert_eq!((file.bytes, file.looked_at), (text.len() as u64, TAIL));
        assert_eq!(summary.messages.len(), 1, "{:?}", summary.messages);
        assert_eq!(file.counted.lines, TAIL / LINE.len() as u64);
    }

    #[tokio::test]
    async fn what_is_no_file_is_told_and_not_read() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/shadow", "[ERROR] secret");
        write(root.path(), "var/log/calico/felix/a.log", LINE);
        let folder = root.path().join("var/log/calico/felix");
        symlink("/etc/shadow", folder.join("current")).unwrap();
        nix::unistd::mkfifo(&folder.join("z.log"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let (_, summary) = summary(root.path()).await;
        let why = |name: &str| {
            let file = summary.files.iter().find(|file| file.path.ends_with(name)).unwrap();
            file.unread.clone()
        };
        assert!(why("/current").unwrap().contains("not followed"));
        assert!(why("/z.log").is_some());
        assert_eq!(why("/a.log"), None);
        assert_eq!(summary.messages[0].count, 1);
    }

    #[tokio::test]
    async fn a_host_without_logs_has_none_and_says_so() {
        let root = tempfile::tempdir().unwrap();
        let (reading, summary) = summary(root.path()).await;
        assert_eq!(reading.outcome, Outcome::Ok);
        assert_eq!((summary.files.len(), summary.gaps.len()), (0, 2));
    }
}
