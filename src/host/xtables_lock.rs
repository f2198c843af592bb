//! Who holds the lock of iptables: looked at without opening it, so that nobody who wants it has to wait.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::stat::{fstat, major, minor};

use super::file::{open_to_read, refused};
use super::{Outcome, Reading, apart, beneath, printable};
use crate::packet_filter::lock::{Holder, Lock, holders};

/// Where it is: Felix's `iptablesLockFilePath`, and the file of iptables itself.
const FILE: &str = "/run/xtables.lock";
/// Who still holds it after this long holds it for long: iptables needs milliseconds.
const AGAIN: Duration = Duration::from_millis(250);
/// The most that is read of `/proc/locks`: some 60 bytes a lock.
const MAX_TABLE: u64 = 4 << 20;

/// Looks once, and where the lock is held once more.
pub(super) async fn look(root: &Path, limit: Duration) -> Reading {
    let begun = Instant::now();
    let mut reading = Reading::begin();
    let glance = |left| {
        let root = root.to_owned();
        apart::answer(left, move || once(&root))
    };
    let mut lock = match glance(limit).await {
        Some(Ok(lock)) => lock,
        Some(Err((outcome, reason))) => {
            return Reading { outcome, reason, duration: begun.elapsed(), ..reading };
        }
        None => {
            (reading.outcome, reading.reason) = apart::late(limit);
            return reading;
        }
    };
    let left = limit.saturating_sub(begun.elapsed());
    if lock.locks.iter().any(|holder| !holder.waits) && left > AGAIN * 2 {
        tokio::time::sleep(AGAIN).await;
        if let Some(Ok(again)) = glance(left.saturating_sub(AGAIN)).await {
            let holds = |locks: &[Holder], pid| locks.iter().any(|it| it.pid == pid && !it.waits);
            lock.still_after_milliseconds = u64::try_from(begun.elapsed().as_millis()).ok();
            let pids = again.locks.iter().map(|holder| holder.pid);
            lock.still =
                pids.filter(|pid| holds(&again.locks, *pid) && holds(&lock.locks, *pid)).collect();
            lock.still.dedup();
            // Who waits now has waited for the same holder.
            lock.locks = again.locks;
        }
    }
    // Numbers and texts are always JSON.
    reading.bytes = serde_json::to_vec_pretty(&lock).unwrap_or_default();
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

fn once(root: &Path) -> Result<Lock, (Outcome, Option<String>)> {
    let mut lock = Lock { path: FILE.to_owned(), ..Lock::default() };
    let path = Path::new(FILE);
    let stat = match beneath::open_on_host(root, path).and_then(|at| fstat(&at)) {
        Ok(stat) => stat,
        Err(errno) => {
            let (outcome, reason) = refused("open", path, errno);
            return if outcome == Outcome::Missing { Ok(lock) } else { Err((outcome, reason)) };
        }
    };
    lock.exists = true;
    let table = Path::new("/proc/locks");
    let file = beneath::open_on_host(root, table).and_then(|at| open_to_read(&at));
    let file = file.map_err(|errno| refused("open", table, errno))?;
    let text = text(file)
        .map_err(|error| (Outcome::Failed, Some(format!("failed to read /proc/locks: {error}"))))?;
    lock.locks = holders(&text, (major(stat.st_dev), minor(stat.st_dev)), stat.st_ino);
    for holder in &mut lock.locks {
        holder.name = name(root, holder.pid);
    }
    Ok(lock)
}

fn text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_TABLE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn name(root: &Path, pid: i64) -> Option<String> {
    let path =
        PathBuf::from(format!("/proc/{}/comm", u32::try_from(pid).ok().filter(|pid| *pid > 0)?));
    let file = beneath::open_on_host(root, &path).and_then(|at| open_to_read(&at)).ok()?;
    Some(printable(text(file).ok()?.trim_end()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    async fn looked(root: &Path) -> Lock {
        let reading = look(root, Duration::from_secs(5)).await;
        assert_eq!(reading.outcome, Outcome::Ok, "{:?}", reading.reason);
        Lock::parse(&reading.bytes).unwrap()
    }

    #[tokio::test]
    async fn who_holds_the_lock_is_named_and_looked_at_twice() {
        let root = tempfile::tempdir().unwrap();
        assert!(!looked(root.path()).await.exists);
        for folder in ["run", "proc/812"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let file = root.path().join("run/xtables.lock");
        fs::write(&file, "").unwrap();
        fs::write(root.path().join("proc/locks"), "").unwrap();
        let free = looked(root.path()).await;
        assert_eq!((free.exists, free.locks.len(), free.still_after_milliseconds), (true, 0, None));
        let stat = fs::metadata(&file).unwrap();
        let (major, minor) = (major(stat.dev()), minor(stat.dev()));
        let line =
            format!("1: FLOCK  ADVISORY  WRITE 812 {major:02x}:{minor:02x}:{} 0 EOF\n", stat.ino());
        fs::write(root.path().join("proc/locks"), line).unwrap();
        fs::write(root.path().join("proc/812/comm"), "iptables\x1b\n").unwrap();
        let held = looked(root.path()).await;
        assert_eq!(held.locks[0].name.as_deref(), Some("iptables\\u{1b}"));
        assert_eq!(held.still, [812]);
    }
}
