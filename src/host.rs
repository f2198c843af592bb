//! The only door to a machine or a bundle.
//!
//! A [`Host`] answers for [`Artifact`]s: pieces of host state, each with its [`Source`] (how a live machine is
//! asked), its place in a bundle and its limits. Bounds of time and bytes are kept here, so that no caller can
//! forget them, and no answer is an error: a [`Reading`] says what happened and holds what there is.
#![allow(clippy::disallowed_methods, reason = "this is the door that all others must use")]

mod apart;
mod beneath;
mod bird_socket;
pub mod bundle;
mod command;
pub mod enter;
mod file;
mod http;
mod kernel_log;
mod live;
pub mod netlink;
mod pattern;
mod process;
mod program;
mod tree;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::archive;

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
    /// `/proc/PID/root/...` is a path in that process's own file system, which its links do not leave.
    File(Cow<'static, str>),
    /// A file found in a [`Tree`]: its path relative to the tree's folder. No link is followed on the way. If its
    /// name ends in `.gz`, what it holds is unpacked.
    Leaf {
        /// The tree's folder, absolute.
        folder: Cow<'static, str>,
        /// The file, relative to the folder.
        path: PathBuf,
    },
    /// What a folder holds, a line for each name: mode in octal, user, group, bytes, time of last change (UTC),
    /// name, and a link's target.
    Listing(Cow<'static, str>),
    /// A program and its arguments, split at blanks; never a shell, never another environment. The program is a
    /// bare name that is looked for in folders that only root can change. Alternatives stand between ` | `: the
    /// first whose program the host has is run.
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
    Processes(Extent),
    /// The kernel's log (`/dev/kmsg`), as far as it still holds it, read without waiting for more.
    KernelLog,
    /// A table of the kernel's, asked over netlink in the network namespace in which calivet runs, as JSON.
    Netlink(netlink::Dump),
}

/// Which processes are wanted. Reading them costs the kernel some 10 microseconds for each file of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those that may be Calico's agents, by the name of their program.
    Agents,
    /// All that have a command line.
    All,
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

    /// The same, which may take no longer than `time`.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
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
            Source::Listing(folder) => format!("{folder}/"),
            Source::Leaf { folder, path } => {
                Path::new(folder.as_ref()).join(path).display().to_string()
            }
            Source::Command(argv) => argv.to_string(),
            Source::Bird { family, question } => format!("{}: {question}", family.daemon()),
            Source::Http { port, path } => format!("http://127.0.0.1:{port}{path}"),
            Source::Processes(_) => "/proc/[0-9]*".to_owned(),
            Source::KernelLog => "/dev/kmsg".to_owned(),
            Source::Netlink(dump) => format!("netlink: {}", dump.question()),
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
    /// Where a bundle keeps it, relative to `diagnostics/`; empty: the folder's own path beneath `host/`.
    pub name: Cow<'static, str>,
    /// The folder, absolute, without a trailing slash.
    pub folder: Cow<'static, str>,
    /// Patterns of file paths relative to the folder; `*` and `?` match within one component, `**` any number
    /// of components. One must match, and none of those that begin with `!`.
    pub include: Cow<'static, [&'static str]>,
    /// The sensitivity of each file.
    pub sensitivity: Sensitivity,
    /// The most bytes kept of each file.
    pub max_bytes: u64,
}

impl Tree {
    /// The files of a host's folder that match, kept under their own paths beneath `host/`.
    #[must_use]
    pub const fn new(folder: &'static str, include: &'static [&'static str]) -> Self {
        Self {
            name: Cow::Borrowed(""),
            folder: Cow::Borrowed(folder),
            include: Cow::Borrowed(include),
            sensitivity: Sensitivity::Private,
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }

    /// The same, holding nothing that a user could put a secret in.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.sensitivity = Sensitivity::Public;
        self
    }

    /// The same, known to hold credentials.
    #[must_use]
    pub const fn credential(mut self) -> Self {
        self.sensitivity = Sensitivity::Credential;
        self
    }

    /// Where a bundle keeps the files, relative to `diagnostics/`.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        if self.name.is_empty() {
            Cow::Owned(format!("host{}", self.folder))
        } else {
            Cow::Borrowed(&self.name)
        }
    }

    /// The artifact that reads one of its files; the path is relative to the folder. A file that is unpacked loses
    /// its `.gz`.
    #[must_use]
    pub fn leaf(&self, path: &Path) -> Artifact {
        let unpacked = if path.extension() == Some(OsStr::new("gz")) {
            path.with_extension("")
        } else {
            path.to_owned()
        };
        let mut name = self.path().into_owned().into_bytes();
        name.push(b'/');
        name.extend_from_slice(unpacked.as_os_str().as_bytes());
        let name = archive::entry_path(name);
        let source = Source::Leaf { folder: self.folder.clone(), path: path.to_owned() };
        Artifact {
            max_bytes: self.max_bytes,
            sensitivity: self.sensitivity,
            ..Artifact::new(Cow::Owned(name), source)
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
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
    /// Why it is not [`Outcome::Ok`]: a sentence with the errno or exit status. Of a program that succeeded, what
    /// it said on stderr.
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

impl Outcome {
    /// Whether something that is there was not read whole.
    #[must_use]
    pub const fn is_trouble(self) -> bool {
        matches!(
            self,
            Self::Denied | Self::Timeout | Self::Failed | Self::Truncated | Self::Interrupted
        )
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
            Self::Truncated => "truncated",
            Self::Interrupted => "interrupted",
            Self::NotApplicable => "not-applicable",
            Self::Skipped => "skipped",
        })
    }
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

    /// Adds what `other` holds.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What was read at `path`; `None` if it was never asked for.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Reading> {
        self.0.get(path)
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
    Live(Box<live::Live>),
    Bundle(bundle::Bundle),
}

impl Host {
    /// This machine, or the one whose file system is at `root`. No question takes longer than `timeout` unless
    /// its artifact says so.
    #[must_use]
    pub fn live(root: &Path, timeout: Duration) -> Self {
        Self { view: View::Live(Box::new(live::Live::new(root, timeout))) }
    }

    /// The machine of which `path` is a bundle.
    ///
    /// # Errors
    /// There is no bundle at `path`, or it cannot be read.
    pub fn bundle(path: &Path) -> Result<Self, bundle::BundleError> {
        bundle::Bundle::open(path).map(|bundle| Self { view: View::Bundle(bundle) })
    }

    /// The same host, whose programs in other file systems are run by the `calivet` at `executable`: for a process
    /// that is not `calivet` itself, such as a test.
    #[must_use]
    pub fn entered_by(mut self, executable: &Path) -> Self {
        if let View::Live(live) = &mut self.view {
            live.calivet = Some(executable.to_owned());
        }
        self
    }

    /// When the machine was asked: the time at which a live host was opened, or at which the bundle was begun.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match &self.view {
            View::Live(live) => live.opened(),
            View::Bundle(bundle) => bundle.time(),
        }
    }

    /// What a reader of this host should know: what a bundle lacks as a whole.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match &self.view {
            View::Live(_) => &[],
            View::Bundle(bundle) => bundle.warnings(),
        }
    }

    /// Reads an artifact into memory.
    pub async fn read(&self, artifact: &Artifact) -> Reading {
        let (sender, mut chunks) = mpsc::channel(2);
        let gather = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                if bytes.is_empty() {
                    bytes = chunk;
                } else {
                    bytes.extend_from_slice(&chunk);
                }
            }
            bytes
        };
        let (reading, bytes) = tokio::join!(self.stream(artifact, sender), gather);
        Reading { bytes, ..reading }
    }

    /// Reads an artifact in chunks of at most 1 MiB, which are sent as they come; the reading that is returned
    /// holds no bytes. Ends early when the receiver is dropped.
    pub async fn stream(&self, artifact: &Artifact, chunks: mpsc::Sender<Vec<u8>>) -> Reading {
        match &self.view {
            View::Live(live) => live.stream(artifact, chunks).await,
            View::Bundle(bundle) => {
                let mut reading = bundle.read(artifact);
                if !in_chunks(std::mem::take(&mut reading.bytes), &chunks).await {
                    (reading.outcome, reading.reason) = apart::nobody_listens();
                }
                reading
            }
        }
    }

    /// The files of a tree, in the order of their paths; bounded in depth, number and time. A folder that is not
    /// there gives none.
    pub async fn list(&self, tree: &Tree) -> Listing {
        match &self.view {
            View::Live(live) => live.list(tree).await,
            View::Bundle(bundle) => bundle.list(tree),
        }
    }
}

/// The most bytes in one chunk of a stream.
const CHUNK: usize = 1 << 20;

/// Sends what is already in memory. `false`: nobody listens any more.
async fn in_chunks(bytes: Vec<u8>, chunks: &mpsc::Sender<Vec<u8>>) -> bool {
    if bytes.is_empty() {
        return true;
    }
    if bytes.len() <= CHUNK {
        return chunks.send(bytes).await.is_ok();
    }
    for chunk in bytes.chunks(CHUNK) {
        if chunks.send(chunk.to_vec()).await.is_err() {
            return false;
        }
    }
    true
}

/// Text that stands in one line and does nothing to a terminal.
fn printable(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
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
