//! The lock that iptables-legacy, Felix and kube-proxy take before they change rules: `flock(2)` of `/run/xtables.lock`.
//!
//! ```text
//! {"path": "/run/xtables.lock", "exists": true, "locks": [{"pid": 812, "name": "iptables-restor", "waits": false}],
//!  "stillAfterMilliseconds": 250, "still": [812]}
//! ```
//!
//! From `/proc/locks`, where a line is `NUMBER: [->] FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END`, the numbers of
//! the device hexadecimal, and `->` marks who waits (`fs/locks.c` of the kernel).

use serde::{Deserialize, Serialize};

/// Where a bundle keeps it.
pub const PATH: &str = "netfilter/xtables_lock.json";

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    /// The file.
    pub path: String,
    /// Whether it is there: whoever first takes the lock makes it.
    pub exists: bool,
    /// Who holds it or waits for it.
    pub locks: Vec<Holder>,
    /// Where somebody held it: after how long it was looked at again.
    #[serde(default)]
    pub still_after_milliseconds: Option<u64>,
    /// Those that held it both times.
    #[serde(default)]
    pub still: Vec<i64>,
}

/// A process that holds the lock or waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Its id as calivet sees it; 0 or less: it is in a process namespace that calivet does not see.
    pub pid: i64,
    /// Its name, where that could be read.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it waits.
    #[serde(default)]
    pub waits: bool,
}

impl Lock {
    /// The document in these bytes.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Those who hold a lock of a file, or wait for one, by `/proc/locks`.
#[must_use]
pub fn holders(table: &str, (major, minor): (u64, u64), inode: u64) -> Vec<Holder> {
    let lines = table.lines().filter_map(|line| {
        let (_, rest) = line.split_once(": ")?;
        let rest = rest.trim_start();
        let (waits, rest) = match rest.strip_prefix("->") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let mut words = rest.split_ascii_whitespace().skip(3);
        let (pid, file) = (words.next()?.parse().ok()?, words.next()?);
        let mut parts = file.split(':');
        let mut device = || u64::from_str_radix(parts.next()?, 16).ok();
        let is_it = (device()?, device()?) == (major, minor) && parts.next()?.parse() == Ok(inode);
        is_it.then_some(Holder { pid, name: None, waits })
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_of_the_file_are_told() {
        let table = "1: FLOCK  ADVISORY  WRITE 812 00:1a:1044 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 900 00:1a:1044 0 EOF\n\
                     2: POSIX  ADVISORY  READ 77 00:1a:1045 128 128\n3: broken\n4: FLOCK ADVISORY WRITE x y z\n";
        let found = holders(table, (0, 0x1a), 1044);
        let told: Vec<(i64, bool)> =
            found.iter().map(|holder| (holder.pid, holder.waits)).collect();
        assert_eq!(told, [(812, false), (900, true)]);
        assert!(holders(table, (0, 0x1a), 1046).is_empty());
    }
}
