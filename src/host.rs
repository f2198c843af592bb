//! The only door to a machine or a bundle.
//!
//! A [`Host`] answers for [`Artifact`]s: pieces of host state, each with its [`Source`] (how a live machine is
//! asked), its place in a bundle and its limits. Bounds of time and bytes are kept here, so that no caller can
//! forget them, and no answer is an error: a [`Reading`] says what happened and holds what there is.

pub mod bird_socket;
pub mod bundle;
pub mod command;
pub mod file;
pub mod http;
pub mod kernel_log;
pub mod process;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// One piece of host state: how it is asked for, where a bundle keeps it, what it may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// See [`Artifact::path`].
    name: Cow<'static, str>,
    /// How a live host is asked.
    pub source: Source,
    /// The most bytes that are kept of it. Of a larger file, head and tail are kept.
    pub max_bytes: u64,
    /// The longest that it may take. `None`: the host's own bound on one question.
    pub max_time: Option<Duration>,
    /// What it may give away.
    pub sensitivity: Sensitivity,
}

/// The most bytes kept of an artifact that does not say otherwise.
pub const DEFAULT_MAX_BYTES: u64 = 16 << 20;

/// How a live host is asked for an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file at an absolute path. Links are followed inside the host's root; only a regular file is read.
    File(Cow<'static, str>),
    /// A file found in a [`Tree`]: its path relative to the tree's folder. No link is followed on the way.
    Leaf {
        /// The tree's folder, absolute.
        folder: Cow<'static, str>,
        /// The file, relative to the folder.
        path: PathBuf,
    },
    /// A program and its arguments, split at blanks; never a shell, never another environment. The program is a
    /// bare name that is looked for in folders that only root can change.
    Command(Cow<'static, str>),
    /// A question to BIRD's control socket, asked under `restrict`.
    Bird {
        /// Which daemon (BIRD 2 and 3 answer both families from the IPv4 socket).
        family: Family,
        /// One command of BIRD's, e.g. `show status`.
        question: Cow<'static, str>,
    },
    /// `GET http://127.0.0.1:PORT/PATH`: the status line is kept as the answer's first line (`HTTP 200`), then
    /// the body.
    Http {
        /// TCP port on loopback.
        port: u16,
        /// Path with its leading slash.
        path: Cow<'static, str>,
    },
    /// The table of processes, as JSON: an array of [`crate::processes::Process`].
    Processes,
    /// The kernel's log (`/dev/kmsg`), as far as it still holds it, read without waiting for more.
    KernelLog,
}

/// An address family, as BIRD 1.6 and Calico split their daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4: `bird`, `bird.ctl`.
    Ipv4,
    /// IPv6: `bird6`, `bird6.ctl`.
    Ipv6,
}

/// What an artifact may give away, and so how it is treated before it is written anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sensitivity {
    /// Numbers and names that the kernel makes; only known secrets are searched for in it.
    Public,
    /// Text in which a secret may stand: every rule of redaction applies.
    Private,
    /// A credential itself (a private key, a token): read only to learn what must be removed elsewhere, and
    /// never written.
    Credential,
}

impl Artifact {
    /// An artifact kept under `name` in a bundle.
    #[must_use]
    pub const fn new(name: Cow<'static, str>, source: Source) -> Self {
        Self {
            name,
            source,
            max_bytes: DEFAULT_MAX_BYTES,
            max_time: None,
            sensitivity: Sensitivity::Private,
        }
    }

    /// A host's file, kept under its own path beneath `host/`.
    #[must_use]
    pub const fn file(path: &'static str) -> Self {
        Self::new(Cow::Borrowed(""), Source::File(Cow::Borrowed(path)))
    }

    /// The output of a program, kept under `name`.
    #[must_use]
    pub const fn command(name: &'static str, argv: &'static str) -> Self {
        Self::new(Cow::Borrowed(name), Source::Command(Cow::Borrowed(argv)))
    }

    /// The same, holding nothing that a user could put a secret in.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.sensitivity = Sensitivity::Public;
        self
    }

    /// The same, known to be a credential.
    #[must_use]
    pub const fn credential(mut self) -> Self {
        self.sensitivity = Sensitivity::Credential;
        self
    }

    /// The same, of which at most `bytes` are kept.
    #[must_use]
    pub const fn at_most(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Where a bundle keeps it, relative to `diagnostics/`: its name, or for a file without one, the host's own
    /// path beneath `host/`.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        match &self.source {
            Source::File(path) if self.name.is_empty() => Cow::Owned(format!("host{path}")),
            _ => Cow::Borrowed(&self.name),
        }
    }

    /// What is read, asked or run, in words for a person.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.source {
            Source::File(path) => path.to_string(),
            Source::Leaf { folder, path } => {
                Path::new(folder.as_ref()).join(path).display().to_string()
            }
            Source::Command(argv) => argv.to_string(),
            Source::Bird { family, question } => format!("{}: {question}", family.daemon()),
            Source::Http { port, path } => format!("http://127.0.0.1:{port}{path}"),
            Source::Processes => "/proc/[0-9]*".to_owned(),
            Source::KernelLog => "/dev/kmsg".to_owned(),
        }
    }
}

impl Family {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The name of BIRD 1.6's daemon for this family.
    #[must_use]
    pub const fn daemon(self) -> &'static str {
        match self {
            Self::Ipv4 => "bird",
            Self::Ipv6 => "bird6",
        }
    }
}

/// A folder whose files are found at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The folder, absolute, without a trailing slash.
    pub folder: Cow<'static, str>,
    /// Patterns of file paths relative to the folder; `*` and `?` match within one component, `**` any number
    /// of components. One must match.
    pub include: Cow<'static, [&'static str]>,
    /// The sensitivity of each file.
    pub sensitivity: Sensitivity,
    /// The most bytes kept of each file.
    pub max_bytes: u64,
}

/// What stands at a path of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Path relative to the tree's folder.
    pub path: PathBuf,
    /// A regular file, or what else it is and why it is not read ("a symbolic link to /etc/shadow, not
    /// followed", "a FIFO, not read").
    pub refusal: Option<String>,
    /// Size in bytes, as `fstat` says.
    pub bytes: u64,
    /// When its content last changed.
    pub modified: Timestamp,
}

/// What happened when an artifact was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was read whole.
    Ok,
    /// The host has no such thing.
    Missing,
    /// The kernel or the peer refused: more privilege is needed.
    Denied,
    /// It did not answer within its time; what came until then is kept.
    Timeout,
    /// It failed: the reason says how; what came until then is kept.
    Failed,
    /// It is larger than is kept.
    Truncated,
    /// The run was ended before it was whole.
    Interrupted,
    /// It makes no sense on this host, and the reason says why.
    NotApplicable,
    /// It was left out on purpose, and the reason says why.
    Skipped,
}

/// What a host gave for an artifact. Never an error: the outcome says what happened, and bytes that came before
/// a failure are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What happened.
    pub outcome: Outcome,
    /// Why it is not [`Outcome::Ok`]: a sentence with the errno or exit status.
    pub reason: Option<String>,
    /// What was read. Empty after [`Host::stream`].
    pub bytes: Vec<u8>,
    /// How many bytes there were to read, where that is known (a file's size); otherwise how many were read.
    pub original_bytes: u64,
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

/// Readings by the path at which a bundle keeps them ([`Artifact::path`]): all that a judgement may rest on, so
/// that it is the same on the node and from a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence(std::collections::BTreeMap<String, Reading>);

impl Evidence {
    /// Adds what was read at `path`.
    pub fn insert(&mut self, path: impl Into<String>, reading: Reading) {
        self.0.insert(path.into(), reading);
    }

    /// What was read at `path`; `None` if it was never asked for.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Reading> {
        self.0.get(path)
    }
}

/// What happened to one artifact on its way into a bundle: an entry of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Where the bundle keeps it, relative to `diagnostics/`.
    pub path: String,
    /// What was read, asked or run ([`Artifact::describe`]).
    pub source: String,
    /// Where the answer really came from, if that says more than `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The collector to which it belongs.
    pub collector: String,
    /// What happened.
    pub outcome: Outcome,
    /// Why it is not `ok`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Bytes in the bundle.
    pub bytes: u64,
    /// Bytes on the host.
    pub original_bytes: u64,
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
    pub redactions: std::collections::BTreeMap<String, u64>,
}

/// A machine, a folder that holds one, or a bundle.
#[derive(Debug)]
pub struct Host {
    view: View,
}

#[derive(Debug)]
enum View {
    Live(Live),
    Bundle(bundle::Bundle),
}

/// A machine, or a folder that holds its file system.
#[derive(Debug)]
struct Live {
    /// `/`, or where the host's file system is mounted.
    root: PathBuf,
    /// The bound on one question.
    timeout: Duration,
    /// When the host was opened.
    opened: Timestamp,
}

impl Host {
    /// This machine, or the one whose file system is at `root`. No question takes longer than `timeout` unless
    /// its artifact says so.
    #[must_use]
    pub fn live(root: &Path, timeout: Duration) -> Self {
        Self { view: View::Live(Live { root: root.to_owned(), timeout, opened: Timestamp::now() }) }
    }

    /// Reads an artifact into memory.
    pub async fn read(&self, _artifact: &Artifact) -> Reading {
        todo!()
    }

    /// Reads an artifact in chunks of at most 1 MiB, which are sent as they come; the reading that is returned
    /// holds no bytes. Ends early when the receiver is dropped.
    pub async fn stream(&self, _artifact: &Artifact, _chunks: mpsc::Sender<Vec<u8>>) -> Reading {
        todo!()
    }

    /// The files of a tree, in the order of their paths; bounded in depth and number. A folder that is not
    /// there gives none.
    pub async fn list(&self, _tree: &Tree) -> Listing {
        todo!()
    }
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
