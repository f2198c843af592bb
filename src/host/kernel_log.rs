//! The kernel's log, from `/dev/kmsg`: one record a read, without waiting for more.
//!
//! ```text
//! 4,1203,86400123456,-;nf_conntrack: nf_conntrack: table full, dropping packet
//!  SUBSYSTEM=...                              <- what the kernel adds about a device: left out
//! ```
//!
//! is kept as a line in the form of `dmesg --raw`:
//!
//! ```text
//! <4>[86400.123456] nf_conntrack: nf_conntrack: table full, dropping packet
//! ```

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat, major, minor};
use nix::unistd::read;

use super::beneath::{describe, open_beneath, open_root};
use super::{Outcome, Reading};

/// The longest record that the kernel makes (`PRINTK_MESSAGE_MAX`), with room.
const RECORD: usize = 16 << 10;

/// Reads the log as far as the kernel still holds it. If it is longer than `max_bytes`, its end is kept.
pub(super) async fn read_log(root: &Path, timeout: Duration, max_bytes: u64) -> Reading {
    let root = root.to_owned();
    let begun = Instant::now();
    let mut reading = Reading::begin();
    let work = tokio::task::spawn_blocking(move || read_within(&root, begun + timeout, max_bytes));
    // Inside, time is looked at between two records; this is for a look-up or a read that hangs.
    match tokio::time::timeout(timeout + Duration::from_secs(1), work).await {
        Ok(Ok(log)) => {
            (reading.outcome, reading.reason) = match log.trouble {
                Some((outcome, reason)) => (outcome, Some(reason)),
                None => (Outcome::Ok, None),
            };
            reading.bytes = log.lines;
            reading.original_bytes = log.original_bytes;
        }
        Ok(Err(error)) => {
            reading.outcome = Outcome::Failed;
            reading.reason = Some(format!("/dev/kmsg: {error}"));
        }
        Err(_) => {
            reading.outcome = Outcome::Timeout;
            reading.reason = Some(format!("/dev/kmsg: no answer within {timeout:?}"));
        }
    }
    reading.duration = begun.elapsed();
    reading
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<u8>,
    original_bytes: u64,
    trouble: Option<(Outcome, String)>,
}

fn read_within(root: &Path, deadline: Instant, max_bytes: u64) -> Log {
    let device = match open_device(root) {
        Ok(device) => device,
        Err(trouble) => return Log { trouble: Some(trouble), ..Log::default() },
    };
    collect(
        |record| read(&device, record),
        || Instant::now() >= deadline,
        usize::try_from(max_bytes).unwrap_or(usize::MAX),
    )
}

/// Reads record after record until there is none.
fn collect(
    mut next: impl FnMut(&mut [u8]) -> nix::Result<usize>,
    is_late: impl Fn() -> bool,
    max_bytes: usize,
) -> Log {
    let mut log = Log::default();
    let mut record = vec![0; RECORD];
    loop {
        if is_late() {
            let reason = "/dev/kmsg: not read to its end within its time".to_owned();
            log.trouble = Some((Outcome::Timeout, reason));
            break;
        }
        match next(&mut record) {
            Ok(0) | Err(Errno::EAGAIN) => break,
            Ok(bytes) => {
                let before = log.lines.len();
                add_line(&mut log.lines, &record[..bytes]);
                log.original_bytes += (log.lines.len() - before) as u64;
                // Cut seldom, so that moving the rest to the front costs little.
                if log.lines.len() / 2 > max_bytes {
                    keep_end(&mut log.lines, max_bytes);
                }
            }
            // EPIPE: the kernel overwrote the record that was next, and the next read is at the oldest one left.
            Err(Errno::EPIPE | Errno::EINTR) => {}
            Err(errno) => {
                log.trouble = Some(trouble(errno));
                break;
            }
        }
    }
    if log.original_bytes > max_bytes as u64 {
        keep_end(&mut log.lines, max_bytes);
        log.trouble.get_or_insert_with(|| {
            (Outcome::Truncated, format!("longer than {max_bytes} bytes: the end is kept"))
        });
    }
    log
}

/// Opens the log's device, and nothing else that may stand at its path.
fn open_device(root: &Path) -> Result<OwnedFd, (Outcome, String)> {
    let found = open_root(root)
        .and_then(|folder| open_beneath(&folder, "/dev/kmsg", OFlag::O_PATH))
        .map_err(trouble)?;
    let status = fstat(&found).map_err(trouble)?;
    let is_device = status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFCHR.bits();
    if !is_device || (major(status.st_rdev), minor(status.st_rdev)) != (1, 11) {
        return Err((
            Outcome::Failed,
            "/dev/kmsg is not the device of the kernel's log".to_owned(),
        ));
    }
    // To open a device can set something off (a watchdog), so it is opened only now that it is known.
    let path = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    open(path.as_str(), flags, Mode::empty()).map_err(trouble)
}

fn trouble(errno: Errno) -> (Outcome, String) {
    let outcome = match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ENXIO | Errno::ENODEV => Outcome::Missing,
        Errno::EPERM | Errno::EACCES => Outcome::Denied,
        _ => Outcome::Failed,
    };
    (outcome, format!("/dev/kmsg: {}", describe(errno)))
}

/// Adds a record as one line. A record that has not the kernel's form is added as it is.
fn add_line(lines: &mut Vec<u8>, record: &[u8]) {
    let first = record.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match parse(first) {
        Some((priority, microseconds, text)) => {
            let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
            lines.extend_from_slice(format!("<{priority}>[{seconds}.{rest:06}] ").as_bytes());
            lines.extend_from_slice(text);
        }
        None => lines.extend_from_slice(first),
    }
    lines.push(b'\n');
}

/// Priority (facility and level), microseconds since boot, text.
fn parse(line: &[u8]) -> Option<(u32, u64, &[u8])> {
    let at = line.iter().position(|byte| *byte == b';')?;
    let mut fields = std::str::from_utf8(&line[..at]).ok()?.split(',');
    let priority = fields.next()?.parse().ok()?;
    let _sequence = fields.next()?;
    Some((priority, fields.next()?.parse().ok()?, &line[at + 1..]))
}

/// Cuts whole lines off the front until at most `max_bytes` are left.
fn keep_end(lines: &mut Vec<u8>, max_bytes: usize) {
    let Some(surplus) = lines.len().checked_sub(max_bytes).filter(|surplus| *surplus > 0) else {
        return;
    };
    let begin = lines[surplus - 1..].iter().position(|byte| *byte == b'\n');
    lines.drain(..begin.map_or(lines.len(), |at| surplus + at));
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn log(reads: &[Result<&[u8], Errno>], max_bytes: usize) -> Log {
        let mut reads: VecDeque<_> = reads.iter().copied().collect();
        collect(
            |record| {
                let bytes = reads.pop_front().unwrap_or(Err(Errno::EAGAIN))?;
                record[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            },
            || false,
            max_bytes,
        )
    }

    #[test]
    fn a_record_becomes_a_line_and_what_was_overwritten_is_no_end() {
        let log = log(
            &[
                Ok(b"6,339,5140900,-;NET: Registered PF_INET6 \\x1b protocol family\n SUBSYSTEM=x\n"),
                Err(Errno::EPIPE),
                Ok(b"4,1203,86400123456,-,caller=T1;nf_conntrack: table full; dropping\n"),
                Ok(b"no record\n"),
            ],
            1000,
        );
        assert_eq!(log.trouble, None);
        assert_eq!(
            String::from_utf8(log.lines).unwrap(),
            "<6>[5.140900] NET: Registered PF_INET6 \\x1b protocol family\n\
             <4>[86400.123456] nf_conntrack: table full; dropping\n\
             no record\n"
        );
    }

    #[test]
    fn of_a_long_log_the_end_is_kept_in_whole_lines() {
        let record: &[u8] = b"6,1,1000000,-;0123456789\n";
        let reads = vec![Ok(record); 100];
        let line = "<6>[1.000000] 0123456789\n";
        for (max_bytes, lines) in [(0, 0), (24, 0), (25, 1), (60, 2), (75, 3), (2500, 100)] {
            let log = log(&reads, max_bytes);
            assert_eq!(String::from_utf8(log.lines).unwrap(), line.repeat(lines), "{max_bytes}");
            assert_eq!(log.original_bytes, 2500);
            assert_eq!(log.trouble.is_some(), lines < 100);
        }
    }

    #[test]
    fn an_error_keeps_what_came_before_it() {
        let log = log(&[Ok(b"6,1,1,-;x\n"), Err(Errno::EINVAL)], 1000);
        assert_eq!(log.lines, b"<6>[0.000001] x\n");
        assert_eq!(log.trouble, Some((Outcome::Failed, "/dev/kmsg: invalid argument".to_owned())));
    }

    #[test]
    fn a_log_that_never_ends_stops_at_its_time() {
        let calls = std::cell::Cell::new(0);
        let is_late = || {
            calls.set(calls.get() + 1);
            calls.get() > 3
        };
        let endless = |record: &mut [u8]| {
            record[..10].copy_from_slice(b"6,1,1,-;x\n");
            Ok(10)
        };
        let log = collect(endless, is_late, 1000);
        assert_eq!(log.lines, b"<6>[0.000001] x\n".repeat(3));
        assert_eq!(log.trouble.unwrap().0, Outcome::Timeout);
    }

    #[tokio::test]
    async fn what_is_not_the_device_is_not_opened() {
        let root = tempfile::tempdir().unwrap();
        let late = Duration::from_secs(20);
        let reading = read_log(root.path(), late, 1000).await;
        assert_eq!(reading.outcome, Outcome::Missing);
        std::fs::create_dir(root.path().join("dev")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.path().join("dev/kmsg")).unwrap();
        std::fs::write(root.path().join("dev/zero"), "6,1,1,-;x\n").unwrap();
        let reading = read_log(root.path(), late, 1000).await;
        assert_eq!(reading.outcome, Outcome::Failed);
        assert_eq!(
            reading.reason.as_deref(),
            Some("/dev/kmsg is not the device of the kernel's log")
        );
        assert!(reading.bytes.is_empty());
    }

    #[tokio::test]
    async fn the_log_of_this_machine_is_read_or_the_reason_is_said() {
        let reading = read_log(Path::new("/"), Duration::from_secs(20), 1 << 24).await;
        match reading.outcome {
            Outcome::Ok => assert!(reading.text().lines().all(|line| line.starts_with('<'))),
            Outcome::Missing | Outcome::Denied => assert!(reading.reason.is_some()),
            _ => panic!("{:?}: {:?}", reading.outcome, reading.reason),
        }
    }
}
