//! The proof that a run changed nothing on the node: a fingerprint before, one after, and what differs.
//!
//! Taken from what the kernel shows in `/proc`, for whoever asks may not change what it asks for:
//!
//! ```text
//! /proc/modules          nf_conntrack 172032 4 xt_conntrack,nf_nat, Live 0x0000000000000000
//! /proc/net/route        eth0 00000000 0102A8C0 0003 0 0 100 00000000 0 0 0
//! /proc/net/ipv6_route   fe80...0000 40 00...00 00 00...00 00000100 00000001 00000000 00000001 eth0
//! /proc/self/mountinfo   36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw
//! ```
//!
//! It shows what changed, not who did it: on a busy node routes come and go while a run lasts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::bundle::manifest::Comparison;
use crate::collectors;
use crate::host::{Artifact, Host, Outcome, Reading, Tree};

/// The bound on a fingerprint as a whole.
const LIMIT: Duration = Duration::from_secs(5);

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
const SUBJECTS: &[(&str, &str, Parse)] = &[
    ("modules", "/proc/modules", module),
    ("routes", "/proc/net/route", ipv4_route),
    ("routes6", "/proc/net/ipv6_route", ipv6_route),
    ("mounts", "/proc/self/mountinfo", mount),
];

/// What cannot be had from `/proc` without asking the kernel in other ways.
const UNREAD: &[(&str, &str)] = &[
    ("nftGeneration", "not read: the kernel tells it over netlink only"),
    ("rules", "not read: the kernel tells them over netlink only"),
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
    /// The state of `host` now, read from at most `side_by_side` files at once.
    pub async fn take(host: &Host, side_by_side: usize) -> Self {
        let taken = timeout(LIMIT, Self::read(host, side_by_side)).await;
        taken.unwrap_or_else(|_| {
            let names = SUBJECTS.iter().map(|(name, ..)| *name).chain(["sysctls"]);
            let late = format!("not read within {LIMIT:?}");
            Self(names.map(|name| (name, Err(late.clone()))).collect())
        })
    }

    async fn read(host: &Host, side_by_side: usize) -> Self {
        let mut parts = BTreeMap::new();
        for &(name, path, parse) in SUBJECTS {
            parts.insert(name, lines(host, path, parse).await);
        }
        parts.insert("sysctls", sysctls(host, side_by_side).await);
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
        for (name, reason) in UNREAD {
            let unread = Comparison { reason: Some((*reason).to_owned()), ..Comparison::default() };
            compared.insert((*name).to_owned(), unread);
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

/// Reads a file of lines as it comes, so that the routes of a large node need no memory of their own.
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
        _ => Err(reading.reason.unwrap_or_else(|| reading.outcome.to_string())),
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

/// All but the columns `RefCnt` and `Use`.
fn ipv4_route(line: &str) -> Option<(String, u64)> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let (route, counters) = columns.split_at_checked(4)?;
    let rest = counters.get(2..)?;
    (route[0] != "Iface").then(|| ("IPv4 routes".to_owned(), hash(&(route, rest))))
}

/// All but the columns for references and use.
fn ipv6_route(line: &str) -> Option<(String, u64)> {
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let (route, counters) = columns.split_at_checked(6)?;
    Some(("IPv6 routes".to_owned(), hash(&(route, counters.get(2..)?))))
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
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests build the machine that is looked at")]

    use std::fs;
    use std::path::Path;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), "proc/modules", "nf_nat 1 2 - Live 0x0\nip_set 1 0 - Live 0x0\n");
        put(root.path(), "proc/net/route", "Iface Destination\neth0 0 1 3 0 0 100 0 0 0 0\n");
        put(root.path(), "proc/net/ipv6_route", "fe80 40 00 00 00 0100 01 00 01 eth0\n");
        put(root.path(), "proc/self/mountinfo", "36 35 98:0 / /mnt rw - ext3 /dev/root rw\n");
        put(root.path(), "proc/sys/net/ipv4/ip_forward", "1\n");
        put(root.path(), "proc/sys/net/netfilter/nf_conntrack_count", "7\n");
        root
    }

    async fn take(root: &Path) -> Fingerprint {
        Fingerprint::take(&Host::live(root, Duration::from_secs(20)), 2).await
    }

    #[tokio::test]
    async fn counters_are_no_change() {
        let root = root();
        let before = take(root.path()).await;
        put(root.path(), "proc/modules", "nf_nat 1 9 - Live 0x0\nip_set 1 3 - Live 0x0\n");
        put(root.path(), "proc/net/route", "Iface Destination\neth0 0 1 3 5 6 100 0 0 0 0\n");
        put(root.path(), "proc/net/ipv6_route", "fe80 40 00 00 00 0100 05 06 01 eth0\n");
        put(root.path(), "proc/sys/net/netfilter/nf_conntrack_count", "9000\n");
        let compared = before.compare(&take(root.path()).await, str::to_owned);
        for (name, count) in
            [("modules", 2), ("routes", 1), ("routes6", 1), ("mounts", 1), ("sysctls", 1)]
        {
            let expected =
                Comparison { before: Some(count), after: Some(count), ..Comparison::default() };
            assert_eq!(compared[name], expected, "{name}");
        }
    }

    #[tokio::test]
    async fn each_change_is_named() {
        let root = root();
        let before = take(root.path()).await;
        put(root.path(), "proc/modules", "nf_nat 1 2 - Live 0x0\nnf_log 1 0 - Live 0x0\n");
        put(root.path(), "proc/net/route", "Iface Destination\neth1 0 1 3 0 0 100 0 0 0 0\n");
        put(root.path(), "proc/net/ipv6_route", "");
        put(root.path(), "proc/self/mountinfo", "36 35 98:0 / /mnt ro - ext3 /dev/root rw\n");
        put(root.path(), "proc/sys/net/ipv4/ip_forward", "0\n");
        let compared = before.compare(&take(root.path()).await, str::to_owned);
        assert_eq!(compared["modules"].changed, ["-ip_set", "+nf_log"]);
        assert_eq!(compared["routes"].changed, ["IPv4 routes"]);
        assert_eq!((compared["routes6"].before, compared["routes6"].after), (Some(1), Some(0)));
        assert_eq!(compared["routes6"].changed, ["-IPv6 routes"]);
        assert_eq!(compared["mounts"].changed, ["/mnt"]);
        assert_eq!(compared["sysctls"].changed, ["net.ipv4.ip_forward"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_unknown_and_not_unchanged() {
        let root = tempfile::tempdir().unwrap();
        let taken = take(root.path()).await;
        for (name, comparison) in taken.compare(&taken, str::to_owned) {
            assert_eq!((comparison.before, comparison.after), (None, None), "{name}");
            assert!(comparison.reason.is_some(), "{name}");
        }
    }
}
