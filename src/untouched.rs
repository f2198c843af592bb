//! The proof that a run changed nothing on the node: a fingerprint before, one after, and what differs.
//!
//! Taken from what the kernel shows in `/proc` and tells over netlink, for whoever asks may not change what it asks for:
//!
//! ```text
//! /proc/modules          nf_conntrack 172032 4 xt_conntrack,nf_nat, Live 0x0000000000000000
//! /proc/self/mountinfo   36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw
//! RTM_GETROUTE           {"name":"table 254","count":12,"sum":1311768467463790320}
//! ```
//!
//! It shows what changed, not who did it: on a busy node routes come and go while a run lasts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::bundle::manifest::Comparison;
use crate::collectors;
use crate::host::netlink::{Dump, State, parse_fingerprint};
use crate::host::{Artifact, Host, Outcome, Reading, Source, Tree};

/// The bound on a fingerprint as a whole.
const LIMIT: Duration = Duration::from_secs(5);

/// The bound on a question to the kernel: some million routes on a machine that has little else to do.
const EACH: Duration = Duration::from_secs(1);

/// The most that is read of one file.
const MAX_BYTES: u64 = 64 << 20;

/// Names of what changed that are listed of each subject.
const MAX_CHANGED: usize = 100;

/// Settings that count rather than set, relative to `/proc/sys/net`.
const COUNTERS: &[&str] = &["netfilter/nf_conntrack_count"];

/// Sysctls of the network but those of single interfaces, which come and go with pods.
const SYSCTLS: &[Tree] = &[
    Tree::new("/proc/sys/net/core", &["*"]),
    Tree::new("/proc/sys/net/netfilter", &["*"]),
    Tree::new("/proc/sys/net/bridge", &["*"]),
    Tree::new("/proc/sys/net/ipv4", collectors::SYSCTLS),
    Tree::new("/proc/sys/net/ipv6", collectors::SYSCTLS),
];

/// Takes a line apart: a name, and a hash of what is said of it. `None`: it says nothing.
type Parse = fn(&str) -> Option<(String, u64)>;

/// A subject: its name in the manifest, its file, and how that is taken apart.
const FILES: &[(&str, &str, Parse)] =
    &[("modules", "/proc/modules", module), ("mounts", "/proc/self/mountinfo", mount)];

/// Likewise of what the kernel is asked for. It answers for the network namespace in which calivet runs, which is all
/// that calivet could change.
const QUESTIONS: &[(&str, State)] = &[
    ("routes", State::Routes),
    ("routes6", State::Routes6),
    ("rules", State::Rules),
    ("interfaces", State::Links),
    ("interfaceSysctls", State::LinkSettings),
    ("nftGeneration", State::NftGeneration),
];

/// A node's state at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<&'static str, Result<Part, String>>);

/// A subject at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    count: u64,
    /// By name, what was seen of it, hashed; of lines with the same name, all in any order.
    values: BTreeMap<String, u64>,
}

impl Part {
    fn add(&mut self, (name, value): (String, u64)) {
        self.count += 1;
        let sum = self.values.entry(name).or_default();
        *sum = sum.wrapping_add(value);
    }
}

impl Fingerprint {
    /// The state of `host` now, read from at most `side_by_side` files at once. Only with `nftables` is the kernel
    /// asked for that: where the module is not there, the question would load it.
    pub async fn take(host: &Host, nftables: bool, side_by_side: usize) -> Self {
        let until = Instant::now() + LIMIT;
        let late = || Err(format!("not read within {LIMIT:?}"));
        let mut parts = BTreeMap::new();
        for &(name, path, parse) in FILES {
            let part = timeout_at(until, lines(host, path, parse)).await;
            parts.insert(name, part.unwrap_or_else(|_| late()));
        }
        for &(name, state) in QUESTIONS {
            let part = if state == State::NftGeneration && !nftables {
                Err("nf_tables is not loaded, and to ask for it would load it".to_owned())
            } else {
                timeout_at(until, told(host, state)).await.unwrap_or_else(|_| late())
            };
            parts.insert(name, part);
        }
        let part = timeout_at(until, sysctls(host, side_by_side)).await;
        parts.insert("sysctls", part.unwrap_or_else(|_| late()));
        Self(parts)
    }

    /// What differs in `after`, by subject. `shown` makes a name fit to be written.
    #[must_use]
    pub fn compare(
        &self,
        after: &Self,
        shown: impl Fn(&str) -> String,
    ) -> BTreeMap<String, Comparison> {
        let mut compared = BTreeMap::new();
        for (&name, before) in &self.0 {
            let missing = Err("not read after the run".to_owned());
            let comparison = match (before, after.0.get(name).unwrap_or(&missing)) {
                (Ok(before), Ok(after)) => Comparison {
                    before: Some(before.count),
                    after: Some(after.count),
                    changed: changed(before, after, &shown),
                    reason: None,
                },
                (before, after) => Comparison {
                    before: before.as_ref().ok().map(|part| part.count),
                    after: after.as_ref().ok().map(|part| part.count),
                    changed: Vec::new(),
                    reason: before.as_ref().err().or(after.as_ref().err()).map(|it| shown(it)),
                },
            };
            compared.insert(name.to_owned(), comparison);
        }
        compared
    }
}

fn changed(before: &Part, after: &Part, shown: impl Fn(&str) -> String) -> Vec<String> {
    let gone = before.values.keys().filter(|name| !after.values.contains_key(*name));
    let gone = gone.map(|name| format!("-{}", shown(name)));
    let others = after.values.iter().filter_map(|(name, value)| match before.values.get(name) {
        None => Some(format!("+{}", shown(name))),
        Some(was) => (was != value).then(|| shown(name)),
    });
    let mut all: Vec<String> = gone.chain(others).collect();
    if all.len() > MAX_CHANGED {
        let more = all.len() - MAX_CHANGED;
        all.truncate(MAX_CHANGED);
        all.push(format!("... and {more} more"));
    }
    all
}

/// Asks the kernel.
async fn told(host: &Host, state: State) -> Result<Part, String> {
    let source = Source::Netlink(Dump::Fingerprint(state));
    let reading = host.read(&Artifact::new("".into(), source).within(EACH)).await;
    let rows = match reading.outcome {
        Outcome::Ok => parse_fingerprint(&reading.bytes).ok_or("the answer is no document")?,
        _ => return Err(why(reading)),
    };
    let count = rows.iter().map(|row| row.count).sum();
    let values = rows.into_iter().map(|row| (row.name, row.sum)).collect();
    Ok(Part { count, values })
}

fn why(reading: Reading) -> String {
    reading.reason.unwrap_or_else(|| reading.outcome.to_string())
}

/// Reads a file of lines as it comes, so that the mounts of a large node need no memory of their own.
async fn lines(host: &Host, path: &'static str, parse: Parse) -> Result<Part, String> {
    let (chunks, mut received) = mpsc::channel::<Vec<u8>>(2);
    let artifact = Artifact::file(path).at_most(MAX_BYTES).within(LIMIT);
    let gather = async {
        let mut part = Part::default();
        let mut rest = Vec::new();
        while let Some(chunk) = received.recv().await {
            rest.extend_from_slice(&chunk);
            let whole = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            let text = String::from_utf8_lossy(&rest[..whole]);
            text.lines().filter_map(parse).for_each(|line| part.add(line));
            rest.drain(..whole);
        }
        part
    };
    let (reading, part) = tokio::join!(host.stream(&artifact, chunks), gather);
    match reading.outcome {
        Outcome::Ok => Ok(part),
        _ => Err(why(reading)),
    }
}

async fn sysctls(host: &Host, side_by_side: usize) -> Result<Part, String> {
    let mut leaves = Vec::new();
    for tree in SYSCTLS {
        let listing = host.list(tree).await;
        // Not every kernel has bridges or connection tracking.
        if !matches!(listing.outcome, Outcome::Ok | Outcome::Missing) {
            return Err(listing.reason.unwrap_or_else(|| listing.outcome.to_string()));
        }
        for found in listing.found.iter().filter(|found| found.refusal.is_none()) {
            leaves.push(tree.leaf(&found.path).within(LIMIT));
        }
    }
    if leaves.is_empty() {
        return Err("no settings below /proc/sys/net".to_owned());
    }
    let read = leaves.iter().map(|leaf| async { (leaf.describe(), host.read(leaf).await) });
    let read = futures_util::stream::iter(read).buffer_unordered(side_by_side);
    let read: Vec<(String, Reading)> = read.collect().await;
    let mut part = Part::default();
    for (path, reading) in read {
        let name = path.trim_start_matches("/proc/sys/net/");
        if !COUNTERS.contains(&name) {
            // One that cannot be read is told apart from one that is empty.
            let value = hash(&(reading.outcome.to_string(), reading.bytes));
            part.add((format!("net/{name}").replace('/', "."), value));
        }
    }
    Ok(part)
}

/// A module's name; how often it is used changes all the time.
fn module(line: &str) -> Option<(String, u64)> {
    Some((line.split_ascii_whitespace().next()?.to_owned(), 0))
}

/// What is mounted at a mount point. Numbers of mounts are given anew in each namespace.
fn mount(line: &str) -> Option<(String, u64)> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    Some(((*columns.get(4)?).to_owned(), hash(&(columns.get(2..)?))))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
