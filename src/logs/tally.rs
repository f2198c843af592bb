//! Counts the lines of one log as they come, in memory that does not grow with it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::message::{self, Line};
use super::{Counted, Message, RECENT, Severity, frame, pattern};

/// The most bytes of a line that are kept; pieces of one that the container runtime cut are put together up to it.
const MAX_LINE: usize = 8 << 10;

/// The most different messages of a file: of errors, and of warnings.
const ERRORS: usize = 256;
const WARNINGS: usize = 128;

/// The most components that are told apart: a line names its own.
const COMPONENTS: usize = 32;

/// Who those are that are not.
const OTHERS: &str = "others";

/// What Felix says first (`felix/daemon/daemon.go`), with its version.
const START: &str = "Felix starting up";

/// What is counted of one file.
#[derive(Debug)]
pub struct Tally {
    /// Who writes the lines that do not say who.
    component: String,
    now: Timestamp,
    counted: Counted,
    messages: HashMap<(String, Severity, String), Message>,
    errors: usize,
    warnings: usize,
    /// The line that is not whole yet, and whether it is longer than is kept.
    line: Vec<u8>,
    is_cut: bool,
    /// Pieces of a line that the container runtime cut.
    pieces: Vec<u8>,
    /// Lines before the first line's end are left out: they began before what is looked at.
    is_within: bool,
}

impl Tally {
    /// Nothing yet, of a log whose lines are `component`'s if they do not say whose they are. What is recent is so
    /// before `now`. `is_whole`: what comes is the file from its beginning, not from the middle of a line.
    #[must_use]
    pub fn new(component: impl Into<String>, now: Timestamp, is_whole: bool) -> Self {
        Self {
            component: component.into(),
            now,
            counted: Counted::default(),
            messages: HashMap::new(),
            errors: 0,
            warnings: 0,
            line: Vec::new(),
            is_cut: false,
            pieces: Vec::new(),
            is_within: is_whole,
        }
    }

    /// Counts the lines in the next part of the file.
    pub fn add(&mut self, mut bytes: &[u8]) {
        if !self.is_within {
            let Some(end) = memchr::memchr(b'\n', bytes) else { return };
            self.is_within = true;
            bytes = bytes.get(end + 1..).unwrap_or_default();
        }
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.is_cut && line.len() <= MAX_LINE {
                self.count(line);
            } else {
                self.keep(line);
                self.count_kept();
            }
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.line.len().min(MAX_LINE);
        self.is_cut |= bytes.len() > room;
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn count_kept(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.counted.cut += u64::from(std::mem::take(&mut self.is_cut));
        self.count(&line);
        self.line = line;
        self.line.clear();
    }

    /// Counts a line.
    fn count(&mut self, line: &[u8]) {
        self.counted.lines += 1;
        let frame = frame::parse(line);
        let is_partial = frame.is_partial;
        if is_partial || !self.pieces.is_empty() {
            let room = MAX_LINE - self.pieces.len().min(MAX_LINE);
            self.pieces.extend_from_slice(frame.text.get(..room).unwrap_or(&frame.text));
            if is_partial {
                return;
            }
            let whole = std::mem::take(&mut self.pieces);
            self.read(frame.time, &String::from_utf8_lossy(&whole));
        } else {
            self.read(frame.time, &String::from_utf8_lossy(&frame.text));
        }
    }

    fn read(&mut self, stamp: Option<Timestamp>, text: &str) {
        let line = message::parse(text);
        let time = stamp.or(line.time);
        let counted = &mut self.counted;
        if let Some(time) = time {
            counted.first = Some(counted.first.map_or(time, |first| first.min(time)));
            counted.last = Some(counted.last.map_or(time, |last| last.max(time)));
        }
        let Some(severity) = line.severity else { return };
        let component = line.component.unwrap_or(&self.component);
        let has_room = counted.severities.len() < COMPONENTS;
        let is_known = counted.severities.contains_key(component);
        let component = if is_known || has_room { component } else { OTHERS };
        if let Some(counts) = counted.severities.get_mut(component) {
            *counts.entry(severity).or_default() += 1;
        } else {
            let counts = [(severity, 1)].into();
            counted.severities.insert(component.to_owned(), counts);
        }
        if severity >= Severity::Warning {
            let component = component.to_owned();
            self.group(component, severity, time, &line);
        } else if line.text.starts_with(START) {
            let is_recent = is_recent(self.now, time);
            let starts = counted.starts.entry(component.to_owned()).or_default();
            starts.count += 1;
            starts.recent += u64::from(is_recent);
            if time >= starts.last {
                starts.last = time;
                starts.version = version(line.text);
            }
        }
    }

    fn group(
        &mut self,
        component: String,
        severity: Severity,
        time: Option<Timestamp>,
        line: &Line<'_>,
    ) {
        let is_recent = is_recent(self.now, time);
        let key = (component, severity, pattern::of(line.text));
        if let Some(message) = self.messages.get_mut(&key) {
            message.count += 1;
            message.recent += u64::from(is_recent);
            message.first = message.first.or(time);
            // Without times the last in the file is the last.
            if time >= message.last {
                message.last = time;
                message.sample = pattern::sample(line.text);
                message.source = line.source.map(ToOwned::to_owned);
            }
            return;
        }
        let (kept, most) = if severity == Severity::Warning {
            (&mut self.warnings, WARNINGS)
        } else {
            (&mut self.errors, ERRORS)
        };
        if *kept == most {
            self.counted.ungrouped += 1;
            return;
        }
        *kept += 1;
        let message = Message {
            component: key.0.clone(),
            severity,
            source: line.source.map(ToOwned::to_owned),
            message: key.2.clone(),
            sample: pattern::sample(line.text),
            count: 1,
            recent: u64::from(is_recent),
            first: time,
            last: time,
        };
        self.messages.insert(key, message);
    }

    /// What was counted, the last line included, which may have no end yet.
    pub(super) fn finish(mut self) -> (Counted, Vec<Message>) {
        if !self.line.is_empty() && self.is_within {
            self.count_kept();
        }
        // The file ends where the container runtime has not written the rest yet.
        let pieces = std::mem::take(&mut self.pieces);
        if !pieces.is_empty() {
            self.read(None, &String::from_utf8_lossy(&pieces));
        }
        let mut messages: Vec<Message> = self.messages.into_values().collect();
        // The order of a hash map is nobody's.
        messages.sort_by(|one, other| {
            (one.severity, &one.component, &one.message).cmp(&(
                other.severity,
                &other.component,
                &other.message,
            ))
        });
        (self.counted, messages)
    }
}

fn is_recent(now: Timestamp, time: Option<Timestamp>) -> bool {
    // What a clock that is ahead has written is recent, too.
    time.is_some_and(|time| now.duration_since(time).as_secs() <= RECENT)
}

/// The value of `version="v3.27.0"`.
fn version(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("version=\"")?;
    let (version, _) = rest.split_once('"')?;
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || ".-+_".contains(character);
    (version.len() <= 60 && !version.is_empty() && version.chars().all(is_plain))
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{LogFile, Summary};
    use super::*;

    const NOW: &str = "2024-05-01T10:00:00Z";

    fn tally(parts: &[&[u8]]) -> (Counted, Vec<Message>) {
        let mut tally = Tally::new("calico-node", NOW.parse().unwrap(), true);
        for part in parts {
            tally.add(part);
        }
        tally.finish()
    }

    #[test]
    fn lines_that_say_the_same_are_one_message_with_count_and_times() {
        let (counted, messages) = tally(&[b"\
2024-05-01 08:00:00.000 [WARNING][85] felix/a.go 1: Failed to reach 10.0.0.1:5473\n\
2024-05-01 09:30:00.000 [WARNING][85] felix/a.go 2: Failed to reach 10.0.0.2:5473\n\
2024-05-01 09:40:00.000 [ERROR][85] felix/a.go 3: Failed to reach 10.0.0.2:5473\n\
2024-05-01 09:50:00.000 [INFO][85] confd/a.go 3: all is well\n\
goroutine 1 [running]:\n"]);
        assert_eq!(counted.lines, 5);
        assert_eq!(counted.first, Some("2024-05-01T08:00:00Z".parse().unwrap()));
        assert_eq!(counted.last, Some("2024-05-01T09:50:00Z".parse().unwrap()));
        assert_eq!(
            counted.severities["felix"],
            [(Severity::Warning, 2), (Severity::Error, 1)].into()
        );
        assert_eq!(counted.severities["confd"], [(Severity::Info, 1)].into());
        let [warning, error] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!((warning.count, warning.recent, error.count, error.recent), (2, 1, 1, 1));
        assert_eq!(warning.message, "Failed to reach <address>");
        assert_eq!(warning.sample, "Failed to reach 10.0.0.2:5473");
        assert_eq!(warning.source.as_deref(), Some("a.go 2"));
        assert_eq!(warning.first, Some("2024-05-01T08:00:00Z".parse().unwrap()));
    }

    #[test]
    fn it_matters_not_where_the_file_is_cut_into_parts() {
        let log = b"2024-05-01T09:17:48Z stdout P 2024-05-01 09:17:48.238 [ERROR][8] felix/a.go 1: one \n\
2024-05-01T09:17:48Z stdout F and another\n\
2024-05-01T09:17:49Z stdout F bird: Unable to open configuration file\n\
2024-05-01T09:17:50Z stderr F panic: oh";
        let whole = tally(&[log]);
        assert_eq!(whole.1.len(), 3);
        assert!(
            whole.1.iter().any(|it| it.message == "one and another" && it.component == "felix")
        );
        assert!(
            whole
                .1
                .iter()
                .any(|it| it.severity == Severity::Panic && it.component == "calico-node")
        );
        for cut in 0..log.len() {
            assert_eq!(tally(&[&log[..cut], &log[cut..]]), whole, "{cut}");
        }
    }

    #[test]
    fn what_begins_in_the_middle_of_a_line_is_counted_from_the_next() {
        let mut tally = Tally::new("felix", NOW.parse().unwrap(), false);
        tally.add(b"[ERROR][1] felix/a.go 1: half");
        tally.add(b"\n2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: whole\n");
        let (counted, messages) = tally.finish();
        assert_eq!((counted.lines, messages.len()), (1, 1));
        assert_eq!(messages[0].message, "whole");
        let mut tally = Tally::new("felix", NOW.parse().unwrap(), false);
        tally.add(&vec![b'x'; 1 << 20]);
        assert_eq!(tally.finish().0.lines, 0);
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_costs_the_memory_of_a_short_one() {
        let mut tally = Tally::new("felix", NOW.parse().unwrap(), true);
        tally.add(b"2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: ");
        for _ in 0..400 {
            tally.add(&vec![b'x'; 256 << 10]);
            assert!(tally.line.capacity() <= 2 * MAX_LINE, "{}", tally.line.capacity());
        }
        tally.add(b"\n2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: next\n");
        let (counted, messages) = tally.finish();
        assert_eq!((counted.lines, counted.cut, messages.len()), (2, 1, 2));
    }

    #[test]
    fn so_many_different_messages_are_kept_and_the_rest_is_counted() {
        let mut tally = Tally::new("felix", NOW.parse().unwrap(), true);
        for first in b'a'..=b'z' {
            for second in b'a'..=b'z' {
                for (severity, component) in [("ERROR", "felix"), ("WARNING", "felix")] {
                    let (first, second) = (char::from(first), char::from(second));
                    let name = format!("{first}{second}");
                    tally.add(
                        format!(
                            "2024-05-01 09:17:48.238 [{severity}][1] {component}/a.go 1: {name}\n"
                        )
                        .as_bytes(),
                    );
                    tally.add(
                        format!("2024-05-01 09:17:48.238 [INFO][1] {name}/a.go 1: x\n").as_bytes(),
                    );
                }
            }
        }
        assert!(tally.counted.severities.len() <= COMPONENTS + 1);
        let mut summary = Summary::default();
        summary.add(LogFile::default(), tally);
        assert_eq!(summary.messages.len(), ERRORS + WARNINGS);
        assert_eq!(summary.files[0].counted.ungrouped, 2 * 26 * 26 - (ERRORS + WARNINGS) as u64);
    }

    #[test]
    fn felixs_starts_are_counted_with_the_version() {
        let (counted, _) = tally(&[b"\
2024-05-01 08:00:00.000 [INFO][85] felix/daemon.go 1: Felix starting up GOMAXPROCS=2 version=\"v3.26.1\"\n\
2024-05-01 09:30:00.000 [INFO][85] felix/daemon.go 1: Felix starting up GOMAXPROCS=2 version=\"v3.27.0\"\n"]);
        let starts = &counted.starts["felix"];
        assert_eq!((starts.count, starts.recent), (2, 1));
        assert_eq!(starts.version.as_deref(), Some("v3.27.0"));
    }

    #[test]
    fn a_summary_is_read_as_it_is_written() {
        let mut summary = Summary::default();
        for path in ["a", "b"] {
            let mut tally = Tally::new("felix", NOW.parse().unwrap(), true);
            tally.add(b"2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: whole\n");
            tally.add(b"2024-05-01 09:17:48.238 [FATAL][1] felix/a.go 1: the end\n");
            summary.add(LogFile { path: path.to_owned(), ..LogFile::default() }, tally);
        }
        summary.sort();
        assert_eq!(summary.messages.len(), 2);
        assert_eq!((summary.messages[0].severity, summary.messages[0].count), (Severity::Fatal, 2));
        let json = serde_json::to_vec(&summary).unwrap();
        assert_eq!(Summary::parse(&json), Some(summary));
        assert_eq!(Summary::parse(&json[1..]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(parts: Vec<Vec<u8>>, is_whole: bool) {
            let mut tally = Tally::new("x", Timestamp::UNIX_EPOCH, is_whole);
            for part in &parts {
                tally.add(part);
            }
            let _ = tally.finish();
        }
    }
}
