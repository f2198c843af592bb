//! Where in a log the lines begin that were not written before a moment.
//!
//! A log is in the order of time, so that place is searched for by halves: of gigabytes a few pieces are read. Where the
//! lines do not tell their time, all of the log is wanted.

use std::fs::File;
use std::time::Duration;

use jiff::Timestamp;

use super::{NEAR, window};
use crate::log_time::{self, Stamp};

/// How far the last line's time may be from the file's if the line names no zone: else its clock is not set to UTC,
/// or the file is a copy.
const ALIKE: Duration = Duration::from_secs(5 * 60);

/// The place of the first line that was written at `oldest` or later; of the last that tells its time, if all were
/// written before. 0: the log begins with such a line, or does not tell.
pub(super) fn first(file: &File, size: u64, modified: Option<Timestamp>, oldest: Timestamp) -> u64 {
    search(file, size, modified, oldest).unwrap_or(0)
}

fn search(file: &File, size: u64, modified: Option<Timestamp>, oldest: Timestamp) -> Option<u64> {
    let tail = size.saturating_sub(NEAR as u64);
    let (mut young, last) = stamps(&piece(file, tail, size)?).last()?;
    let is_told = |stamp: Stamp| {
        let near = modified.is_some_and(|it| stamp.time.duration_since(it).unsigned_abs() < ALIKE);
        stamp.has_zone || near
    };
    if !is_told(last) {
        return None;
    }
    let (mut old, first) = stamps(&piece(file, 0, size)?).next()?;
    if first.time >= oldest {
        return None;
    }
    // At `old` stands a line from before, at `young` one from after or the last of all.
    while young - old > NEAR as u64 {
        let middle = old + (young - old) / 2;
        let Some((at, stamp)) = stamps(&piece(file, middle, young)?).next() else {
            // Many lines without a time: what is kept then begins before them.
            return Some(old);
        };
        if stamp.time < oldest {
            old = at;
        } else {
            young = at;
        }
    }
    let between = piece(file, old, young)?;
    let found = stamps(&between).find(|(_, stamp)| stamp.time >= oldest);
    Some(found.map_or(young, |(at, _)| at))
}

/// A piece of the file, from the byte before `start`.
struct Piece {
    bytes: Vec<u8>,
    start: u64,
    /// Lines that begin at this place or later do not belong to it.
    end: u64,
}

/// What stands from `start` on up to `end`, but no more than is read at once.
fn piece(file: &File, start: u64, end: u64) -> Option<Piece> {
    let end = end.min(start + NEAR as u64);
    let before = start.saturating_sub(1);
    // The last line that begins within may reach beyond.
    let bytes = window(file, before, end + log_time::LONGEST as u64)?;
    Some(Piece { bytes, start: before, end })
}

/// The lines that begin in a piece and tell their time.
fn stamps(piece: &Piece) -> impl Iterator<Item = (u64, Stamp)> {
    let newlines = piece.bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let first = (piece.start == 0).then_some(0);
    let begins = first.into_iter().chain(newlines.map(|(at, _)| at + 1));
    begins
        .map(|at| (at, piece.start + at as u64))
        .take_while(|(_, place)| *place < piece.end)
        .filter_map(|(at, place)| Some((place, log_time::parse(piece.bytes.get(at..)?)?)))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests write what is to be read")]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// 2026-11-23T00:00:00Z.
    const MIDNIGHT: i64 = 1_795_392_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(MIDNIGHT + seconds).unwrap()
    }

    /// A file of these lines that was last written to at `modified`.
    fn log(lines: &str, modified: i64) -> (fs::File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        let since = u64::try_from(MIDNIGHT + modified).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(since)).unwrap();
        (file, lines.len() as u64)
    }

    /// What is wanted of a log, if it is to be from `oldest` on.
    fn wanted(lines: &str, modified: i64, oldest: i64) -> &str {
        let (file, size) = log(lines, modified);
        let begin = first(&file, size, Some(at(modified)), at(oldest));
        &lines[usize::try_from(begin).unwrap()..]
    }

    /// A line each second, every 7th with a stack trace; some are much longer than others.
    fn felix(seconds: i64, zone: &str) -> String {
        let line = |second: i64| {
            let trace = if second % 7 == 0 { "\ngoroutine 1 [running]:\n\tmain.go:3" } else { "" };
            let long = "x".repeat(if second % 97 == 0 { 3000 } else { 20 });
            let time = at(second).strftime("%Y-%m-%d %H:%M:%S.250").to_string();
            format!("{time}{zone} [INFO][1] felix/x.go {second}: {long}{trace}\n")
        };
        (0..seconds).map(line).collect()
    }

    #[test]
    fn a_log_begins_with_the_first_line_that_is_not_older() {
        for zone in ["", "Z", "+00:00"] {
            let log = felix(20_000, zone);
            assert!(log.len() > 10 * NEAR);
            for oldest in [1, 2, 970, 9_999, 10_000, 19_998, 19_999] {
                let line = format!("felix/x.go {oldest}: ");
                let begin = log.find(&line).unwrap();
                let begin = log[..begin].rfind('\n').unwrap() + 1;
                assert_eq!(wanted(&log, 20_000, oldest), &log[begin..], "{zone} {oldest}");
            }
        }
    }

    #[test]
    fn nothing_is_left_out_of_a_log_that_begins_late_enough() {
        let log = felix(5_000, "Z");
        for oldest in [-1000, 0] {
            assert_eq!(wanted(&log, 5_000, oldest).len(), log.len());
        }
    }

    #[test]
    fn of_a_log_whose_lines_are_all_older_than_its_file_the_last_is_kept() {
        let log = felix(5_000, "Z");
        let kept = wanted(&log, 9_000, 8_000);
        assert!(kept.starts_with("2026-11-23 01:23:19.250Z"), "{kept}");
        assert!(log.ends_with(kept));
    }

    #[test]
    fn where_the_clock_of_the_lines_is_not_utc_all_is_kept() {
        let log = felix(5_000, "");
        assert_eq!(wanted(&log, 5_000 + 2 * 3600, 4_000).len(), log.len());
    }

    #[test]
    fn a_log_that_does_not_tell_the_time_is_kept_whole() {
        let log = "I1123 02:33:27.004 1 kubelet.go:2] x\n".repeat(10_000);
        assert_eq!(wanted(&log, 10, 5).len(), log.len());
        assert_eq!(wanted("", 10, 5), "");
        let (hole, _) = self::log("", 10);
        hole.set_len(1 << 40).unwrap();
        assert_eq!(first(&hole, 1 << 40, Some(at(10)), at(5)), 0);
    }

    #[test]
    fn no_line_that_is_young_enough_is_lost_among_many_without_a_time() {
        let trace = "\tat some.place(far.go:1)\n".repeat(20_000);
        let stamp = |second| at(second).strftime("%Y-%m-%dT%H:%M:%SZ stdout F x\n").to_string();
        let log = format!("{}{trace}{}{trace}{}", stamp(0), stamp(100), stamp(200));
        for oldest in [50, 100, 150] {
            let kept = wanted(&log, 200, oldest);
            let first = if oldest <= 100 { stamp(100) } else { stamp(200) };
            assert!(kept.contains(&first), "{oldest}");
        }
    }
}
