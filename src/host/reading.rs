//! What a host answers: an outcome, a reason, bytes. Never an error.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What stands at a path of a [`Tree`](super::Tree).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path relative to the tree's folder.
    pub path: PathBuf,
    /// Why it is not to be read: it is no regular file ([`Outcome::NotApplicable`], "a FIFO, not read"), or the kernel
    /// does not let it be looked into ([`Outcome::Denied`], "failed to open /var/log/calico/felix: ..."), or it lies too
    /// deep ([`Outcome::Truncated`]).
    pub refusal: Option<(Outcome, String)>,
    /// Where it leads, if it is a symbolic link: the text in it, which may be relative.
    pub link: Option<String>,
    /// Size in bytes, as `fstat` says.
    pub bytes: u64,
    /// When its content last changed.
    pub modified: Timestamp,
}

/// What a tree holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The files, in the order of their paths.
    pub found: Vec<Found>,
    /// `Ok`, or why there is none, or why it is not complete.
    pub outcome: Outcome,
    /// Why it is not [`Outcome::Ok`].
    pub reason: Option<String>,
}

/// What a host gave for an artifact. Never an error: the outcome says what happened, and bytes that came before
/// a failure are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What happened.
    pub outcome: Outcome,
    /// Why it is not [`Outcome::Ok`]: a sentence with the errno or exit status. Of a program that succeeded, what
    /// it said on stderr.
    pub reason: Option<String>,
    /// What was read. Empty after [`Host::stream`](super::Host::stream).
    pub bytes: Vec<u8>,
    /// How many bytes there were to read, where that is known (a file's size); otherwise how many were read.
    pub original_bytes: u64,
    /// When its content last changed, as the file system says; `None` where that means nothing.
    pub modified: Option<Timestamp>,
    /// Where a symbolic link leads that was found in a folder and not followed: the text in it.
    pub link: Option<String>,
    /// Where the answer really came from: the path, socket, program or URL that was used, and in which
    /// container.
    pub place: Option<String>,
    /// When the question was put.
    pub started: Timestamp,
    /// How long it took, by the monotonic clock.
    pub duration: Duration,
    /// The exit status of a program, if it ended by itself.
    pub exit_status: Option<i32>,
}

impl Reading {
    /// A reading that starts now and holds nothing yet.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            outcome: Outcome::Ok,
            reason: None,
            bytes: Vec::new(),
            original_bytes: 0,
            modified: None,
            link: None,
            place: None,
            started: Timestamp::now(),
            duration: Duration::ZERO,
            exit_status: None,
        }
    }

    /// A reading that did not succeed, with the reason.
    #[must_use]
    pub fn failed(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: Some(reason.into()), ..Self::begin() }
    }

    /// The text, if it was read whole or at least in part.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Readings by the path at which a bundle keeps them ([`Artifact::path`](super::Artifact::path)): all that a judgement may rest on, so
/// that it is the same on the node and from a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence(BTreeMap<String, Reading>);

impl Evidence {
    /// Adds what was read at `path`.
    pub fn insert(&mut self, path: impl Into<String>, reading: Reading) {
        self.0.insert(path.into(), reading);
    }

    /// Adds what `other` holds.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What was read at `path`; `None` if it was never asked for.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Reading> {
        self.0.get(path)
    }

    /// What was found below the folder kept at `folder` (`host/etc/sysctl.d`), by path relative to it, in the
    /// order of paths.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = (&str, &Reading)> {
        let prefix = format!("{folder}/");
        let readings = self.0.range(prefix.clone()..);
        readings.map_while(move |(path, reading)| Some((path.strip_prefix(&prefix)?, reading)))
    }
}

impl FromIterator<(String, Reading)> for Evidence {
    fn from_iter<I: IntoIterator<Item = (String, Reading)>>(readings: I) -> Self {
        Self(readings.into_iter().collect())
    }
}

/// What happened to one artifact on its way into a bundle: an entry of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Where the bundle keeps it, relative to `diagnostics/`.
    pub path: String,
    /// What was read, asked or run ([`Artifact::describe`](super::Artifact::describe)).
    pub source: String,
    /// Where the answer really came from, if that says more than `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The collector to which it belongs.
    pub collector: String,
    /// What happened.
    #[serde(deserialize_with = "Outcome::known")]
    pub outcome: Outcome,
    /// Why it is not `ok`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Bytes in the bundle.
    pub bytes: u64,
    /// Bytes on the host.
    pub original_bytes: u64,
    /// When its content last changed on the host, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// Where a symbolic link leads that was not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// SHA-256 of the bytes in the bundle, hexadecimal; `null` where nothing was written.
    pub sha256: Option<String>,
    /// When it was asked for.
    pub started: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Exit status of a program that ended by itself.
    #[serde(default)]
    pub exit_status: Option<i32>,
    /// How often each rule of redaction was applied.
    #[serde(default)]
    pub redactions: BTreeMap<String, u64>,
}
