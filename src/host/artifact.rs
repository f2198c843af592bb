//! What can be asked of a host: a piece of its state, how it is asked for, and what it may cost.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::netlink;
use super::pattern::{Match, Patterns};
use crate::archive;
use crate::datastore::Question;

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
    /// Of a log found in a [`Tree`], lines that were written before this are not wanted.
    pub since: Option<Timestamp>,
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
    /// The kernel's settings, all of `/proc/sys`, as `sysctl -a` writes them.
    Settings,
    /// The kernel's log (`/dev/kmsg`), as far as it still holds it, read without waiting for more.
    KernelLog,
    /// A table of the kernel's, asked over netlink in the network namespace in which calivet runs, as JSON.
    Netlink(netlink::Dump),
    /// What Calico's logs say, counted by message, as JSON ([`crate::logs::Summary`]): those in this folder and those of
    /// calico-node's pods.
    Logs(Cow<'static, str>),
    /// What `NetworkManager` says of itself and its devices over the system's bus, as JSON
    /// ([`crate::networkmanager::live::View`]).
    NetworkManager,
    /// What calicoctl would use to reach the datastore, by its configuration file and calivet's own environment, and
    /// the state of the files that it names, as JSON ([`crate::datastore::environment::Environment`]). No secret is
    /// in it.
    Environment {
        /// The configuration file; relative to the folder in which calivet runs.
        config: PathBuf,
    },
    /// How long the credentials of Calico's CNI plugin last, as JSON ([`crate::cni::credentials`]). No secret is in it.
    CniCredentials,
    /// Who holds the lock of iptables, as JSON ([`crate::packet_filter::lock`]).
    XtablesLock,
    /// The clock, the hardware's clock and the times of files, as JSON ([`crate::clock::Clock`]).
    Clock,
    /// Room on the file systems that Calico writes to, as JSON ([`crate::filesystems::FileSystems`]).
    FileSystems,
    /// What the certificates that Calico and the kubelet use say of themselves, as JSON: an array of
    /// [`crate::certificates::Held`]. No key is in it.
    Certificates {
        /// calicoctl's configuration file; relative to the folder in which calivet runs.
        config: PathBuf,
    },
    /// The way to each BGP peer whose session is down, and whether it can be connected to, as JSON
    /// ([`crate::bgp::looks`]): a bounded active look.
    Probe {
        /// Whether connections are tried; without, nothing is sent.
        connect: bool,
        /// BIRD's configuration files, which tell this node's end of each session.
        configurations: Cow<'static, [Cow<'static, str>]>,
    },
    /// A question to the datastore, by the settings that calicoctl would use, as JSON.
    Datastore {
        /// What is asked.
        question: Question,
        /// calicoctl's configuration file; empty: the default one.
        config: Cow<'static, Path>,
    },
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
            since: None,
            sensitivity: Sensitivity::Private,
        }
    }

    /// A host's file, kept under its own path beneath `host/`.
    #[must_use]
    pub const fn file(path: &'static str) -> Self {
        Self::new(Cow::Borrowed(""), Source::File(Cow::Borrowed(path)))
    }

    /// The same of a path that is known only at run time.
    #[must_use]
    pub const fn file_at(path: String) -> Self {
        Self::new(Cow::Borrowed(""), Source::File(Cow::Owned(path)))
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
            Source::Settings => "/proc/sys".to_owned(),
            Source::KernelLog => "/dev/kmsg".to_owned(),
            Source::Netlink(dump) => format!("netlink: {}", dump.question()),
            Source::Logs(folder) => format!("what is said in {folder} and /var/log/pods"),
            Source::NetworkManager => "D-Bus: org.freedesktop.NetworkManager".to_owned(),
            Source::Environment { config } => {
                format!("calivet's own environment, {}", config.display())
            }
            Source::CniCredentials => {
                "times of the tokens in kubeconfigs beside the CNI configuration".to_owned()
            }
            Source::XtablesLock => "who holds /run/xtables.lock, by /proc/locks".to_owned(),
            Source::Clock => "the clock, /sys/class/rtc, times of files".to_owned(),
            Source::FileSystems => "statvfs of /, /var/log, /var/lib/calico, ...".to_owned(),
            Source::Certificates { .. } => {
                "certificates of calico-node, the CNI plugin, the kubelet, calicoctl".to_owned()
            }
            Source::Probe { connect: true, .. } => {
                "connections to BGP peers that are down".to_owned()
            }
            Source::Probe { connect: false, .. } => "routes to BGP peers that are down".to_owned(),
            Source::Datastore { question: Question::Health, .. } => "datastore".to_owned(),
            Source::Datastore { question: Question::All(resource), .. } => {
                format!("datastore: {}", resource.plural())
            }
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

    /// Whether a file of the host's, by its absolute path, is one of those that are wanted.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(self.folder.as_ref()) else { return false };
        let components: Vec<&[u8]> = below.iter().map(OsStr::as_bytes).collect();
        Patterns::of(self).matches(&components) == Match::Whole
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
