//! What Calico's logs say: lines of Felix, confd, BIRD and the CNI plugin, whatever wraps them, counted by message.
//!
//! One line of Felix, as its file, svlogd, the container runtime and Docker keep it:
//!
//! ```text
//! 2024-05-01 09:17:48.238 [WARNING][85] felix/int_dataplane.go 1234: Failed to apply; retrying error=timeout
//! 2024-05-01T09:17:48.23801 2024-05-01 09:17:48.238 [WARNING][85] felix/int_dataplane.go 1234: Failed to apply...
//! 2024-05-01T09:17:48.238123456Z stdout F 2024-05-01 09:17:48.238 [WARNING][85] felix/int_dataplane.go 1234: ...
//! {"log":"2024-05-01 09:17:48.238 [WARNING][85] ...\n","stream":"stdout","time":"2024-05-01T09:17:48.238123456Z"}
//! ```
//!
//! [`frame`] takes off what wraps a line, [`message`] reads it, [`pattern`] takes out what differs from one line to the
//! next (numbers, addresses, names of pods), and a [`Tally`] counts what is left, in memory that does not grow with the
//! log. A [`Summary`] holds what was counted in all files; [`known`] explains.

pub mod frame;
pub mod known;
pub mod message;
pub mod pattern;
mod tally;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use tally::Tally;

/// Where a bundle keeps the [`Summary`] of the logs.
pub const PATH: &str = "log-summary.json";

/// The most bytes of the end of one file that are looked at.
pub const TAIL: u64 = 4 << 20;

/// What counts as recent, in seconds.
pub const RECENT: i64 = 3600;

/// How bad a line is (`logrus.Level`; BIRD's and klog's classes are mapped to it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For developers.
    Debug,
    /// What is done.
    Info,
    /// What is odd.
    Warning,
    /// What failed.
    Error,
    /// What ended the process.
    Fatal,
    /// A fault of the program's own that ended it.
    Panic,
}

/// What was counted in the logs of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The files, in the order in which they were read.
    pub files: Vec<LogFile>,
    /// The messages that are warnings or worse: of all files together, the worst first, of those the most frequent.
    pub messages: Vec<Message>,
    /// Why files may be missing from the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
}

/// A log file, and what was looked at of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFile {
    /// Its path on the host.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The bytes of its end that were looked at.
    pub looked_at: u64,
    /// When it was last written to.
    pub modified: Option<Timestamp>,
    /// Why it was not read, or not to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What was counted in it.
    #[serde(flatten)]
    pub counted: Counted,
}

/// What was counted in one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// How many lines were looked at.
    pub lines: u64,
    /// The times of the first and the last line that has one.
    pub first: Option<Timestamp>,
    /// See [`Counted::first`].
    pub last: Option<Timestamp>,
    /// How many lines there are by component and severity; lines without a severity are not among them.
    pub severities: BTreeMap<String, BTreeMap<Severity, u64>>,
    /// How often each component said that it starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, Starts>,
    /// How many warnings or worse are in none of the messages, because there were too many different ones.
    #[serde(default)]
    pub ungrouped: u64,
    /// How many lines were longer than is looked at.
    #[serde(default)]
    pub cut: u64,
}

/// How often a component started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Starts {
    /// In the part of the file that was looked at.
    pub count: u64,
    /// Of those, in the last [`RECENT`] seconds.
    pub recent: u64,
    /// The last time.
    pub last: Option<Timestamp>,
    /// The version that it named then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Lines that say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Who says it: `felix`, `confd`, `bird`, `cni-plugin`, ...
    pub component: String,
    /// How bad it is.
    pub severity: Severity,
    /// The line of code that says it (`int_dataplane.go 1234`), where that is told; of several the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What they have in common ([`pattern::of`]).
    pub message: String,
    /// The last of them, without what may be secret in it.
    pub sample: String,
    /// How many there are.
    pub count: u64,
    /// Of those, in the last [`RECENT`] seconds before the logs were read.
    pub recent: u64,
    /// When the first was written.
    pub first: Option<Timestamp>,
    /// When the last was written.
    pub last: Option<Timestamp>,
}

impl Severity {
    /// As Felix writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
        }
    }

    /// The severity that a word means, as loggers of Go write it or as Felix's configuration names it.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "trace" | "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" | "warning" => Self::Warning,
            "error" => Self::Error,
            "fatal" | "critical" => Self::Fatal,
            "panic" => Self::Panic,
            _ => return None,
        })
    }
}

/// The most messages that are kept of all files together.
const MESSAGES: usize = 500;

impl Summary {
    /// The summary in the bytes of its artifact.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Adds a file and what was counted in it.
    pub fn add(&mut self, mut file: LogFile, tally: Tally) {
        let (counted, messages) = tally.finish();
        file.counted = counted;
        for message in messages {
            let has_room = self.messages.len() < MESSAGES;
            let same = self.messages.iter_mut().find(|other| {
                other.severity == message.severity
                    && other.component == message.component
                    && other.message == message.message
            });
            match same {
                Some(other) => other.merge(message),
                None if has_room => self.messages.push(message),
                None => file.counted.ungrouped += message.count,
            }
        }
        self.files.push(file);
    }

    /// Brings the messages into the order that is promised.
    pub fn sort(&mut self) {
        self.messages.sort_by(|one, other| {
            let key = |message: &Message| (message.severity, message.count);
            key(other).cmp(&key(one)).then_with(|| {
                (&one.component, &one.message).cmp(&(&other.component, &other.message))
            })
        });
    }
}

impl Message {
    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.recent += other.recent;
        if other.last > self.last {
            (self.last, self.sample, self.source) = (other.last, other.sample, other.source);
        }
        self.first = match (self.first, other.first) {
            (Some(one), Some(another)) => Some(one.min(another)),
            (one, another) => one.or(another),
        };
    }
}
