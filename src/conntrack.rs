//! Connection tracking: the kernel's counters for each CPU, and what it says in its log when the table is full.
//!
//! Counters come over netlink, as `netfilter/conntrack_stats.json`:
//!
//! ```text
//! {"source":"IPCTNL_MSG_CT_GET_STATS_CPU",
//! "entries":16,"max":262144,
//! "cpus":[
//! {"cpu":0,"found":12,"invalid":3,"insert":0,"insert_failed":0,"drop":0,"early_drop":0,"error":0,"search_restart":7,...}
//! ],
//! ```
//!
//! or, where that cannot be asked, from `/proc/net/stat/nf_conntrack`: hexadecimal, a row for each CPU, and the columns
//! have changed their meaning over time, so that only their names tell what they are:
//!
//! ```text
//! entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error ...
//! 00000010  00000000 0000000c 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 ...
//! ```

pub mod log;

use serde::Serialize;
use serde_json::{Map, Value};

/// A counter of the kernel's (`struct ip_conntrack_stat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// A packet belonged to a connection that another packet had just begun.
    Found,
    /// Packets that belong to no connection and cannot begin one.
    Invalid,
    /// Entries put in by a program.
    Insert,
    /// Entries that could not be put in: another one has the same addresses and ports.
    InsertFailed,
    /// Packets dropped for want of room, or because their entry could not be put in.
    Drop,
    /// Entries that had to make room because the table was full.
    EarlyDrop,
    /// Packets that were errors themselves.
    Error,
    /// Look-ups begun again because the table was being resized or changed.
    SearchRestart,
    /// Entries that met one for the same connection and gave way to it.
    ClashResolve,
    /// Entries that were not put in because the chain of their bucket was too long.
    ChainTooLong,
}

/// The names of one counter.
struct Names {
    counter: Counter,
    /// In netlink's document.
    netlink: &'static str,
    /// In `/proc/net/stat/nf_conntrack`.
    column: &'static str,
    /// In the evidence of findings.
    evidence: &'static str,
}

const NAMES: [Names; 10] = [
    names(Counter::Found, "found", "found", "found"),
    names(Counter::Invalid, "invalid", "invalid", "invalid"),
    names(Counter::Insert, "insert", "insert", "insert"),
    names(Counter::InsertFailed, "insert_failed", "insert_failed", "insertFailed"),
    names(Counter::Drop, "drop", "drop", "drop"),
    names(Counter::EarlyDrop, "early_drop", "early_drop", "earlyDrop"),
    names(Counter::Error, "error", "icmp_error", "error"),
    names(Counter::SearchRestart, "search_restart", "search_restart", "searchRestart"),
    // Since Linux 5.10 in the place of `searched`.
    names(Counter::ClashResolve, "clash_resolve", "clashres", "clashResolve"),
    // Since Linux 5.15 in the place of `delete_list`.
    names(Counter::ChainTooLong, "chaintoolong", "chainlength", "chainTooLong"),
];

const fn names(
    counter: Counter,
    netlink: &'static str,
    column: &'static str,
    evidence: &'static str,
) -> Names {
    Names { counter, netlink, column, evidence }
}

impl Counter {
    /// All of them, in the kernel's order.
    pub const ALL: [Self; 10] = [
        Self::Found,
        Self::Invalid,
        Self::Insert,
        Self::InsertFailed,
        Self::Drop,
        Self::EarlyDrop,
        Self::Error,
        Self::SearchRestart,
        Self::ClashResolve,
        Self::ChainTooLong,
    ];

    /// Its name in the evidence of findings.
    #[must_use]
    pub fn evidence(self) -> &'static str {
        NAMES[self as usize].evidence
    }

    /// Its name as `conntrack -S` prints it.
    #[must_use]
    pub fn kernel(self) -> &'static str {
        NAMES[self as usize].netlink
    }
}

/// The counters of one CPU since boot; `None` where the kernel does not tell one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// Its number; from `/proc`, its place among the CPUs that may be there.
    pub cpu: u64,
    counts: [Option<u32>; 10],
}

impl Cpu {
    /// One counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> Option<u32> {
        self.counts[counter as usize]
    }
}

impl Serialize for Cpu {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = std::iter::once(("cpu", Some(self.cpu)));
        let counts =
            NAMES.iter().map(|names| (names.evidence, self.get(names.counter).map(u64::from)));
        serializer.collect_map(own.chain(counts))
    }
}

/// What the kernel counts of one network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Entries in the table.
    pub entries: Option<u64>,
    /// The most that may be in it; not told by `/proc/net/stat`, nor by kernels before 4.18.
    pub max: Option<u64>,
    /// A row for each CPU.
    pub cpus: Vec<Cpu>,
}

impl Statistics {
    /// From the document of a netlink dump. `None`: it is not one, or was not read to its end.
    #[must_use]
    pub fn from_netlink(document: &[u8]) -> Option<Self> {
        let document: Map<String, Value> = serde_json::from_slice(document).ok()?;
        if document.get("complete") != Some(&Value::Bool(true)) {
            return None;
        }
        let cpus = document.get("cpus")?.as_array()?.iter().map(|row| {
            let count = |names: &Names| {
                row.get(names.netlink)
                    .and_then(Value::as_u64)
                    .and_then(|count| count.try_into().ok())
            };
            Some(Cpu { cpu: row.get("cpu")?.as_u64()?, counts: NAMES.each_ref().map(count) })
        });
        let number = |name| document.get(name).and_then(Value::as_u64);
        Some(Self {
            entries: number("entries"),
            max: number("max"),
            cpus: cpus.collect::<Option<_>>()?,
        })
    }

    /// From `/proc/net/stat/nf_conntrack`. `None`: it is not that. A row that is not whole ends it.
    #[must_use]
    pub fn from_proc(table: &str) -> Option<Self> {
        let mut lines = table.lines();
        let header: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
        let column = |name: &str| header.iter().position(|column| *column == name);
        let entries = column("entries")?;
        let columns = NAMES.each_ref().map(|names| column(names.column));
        let mut statistics = Self { entries: None, max: None, cpus: Vec::new() };
        for (row, cpu) in lines.zip(0..) {
            let cells: Option<Vec<u32>> = row
                .split_ascii_whitespace()
                .map(|cell| u32::from_str_radix(cell, 16).ok())
                .collect();
            let Some(cells) = cells.filter(|cells| cells.len() == header.len()) else { break };
            statistics.entries = cells.get(entries).copied().map(u64::from);
            let counts = columns.map(|at| cells.get(at?).copied());
            statistics.cpus.push(Cpu { cpu, counts });
        }
        (!statistics.cpus.is_empty()).then_some(statistics)
    }

    /// The sum over all CPUs; `None` where one of them does not tell.
    #[must_use]
    pub fn sum(&self, counter: Counter) -> Option<u64> {
        let counts = self.cpus.iter().map(|cpu| cpu.get(counter).map(u64::from));
        counts.sum::<Option<u64>>().filter(|_| !self.cpus.is_empty())
    }

    /// How much a counter has grown since `earlier`; `None` where it is not known: a counter of 32 bits that went
    /// backwards was reset or ran over, and no one can tell which, and CPUs that came or went took their counts along.
    #[must_use]
    pub fn growth(&self, earlier: &Self, counter: Counter) -> Option<u64> {
        if self.cpus.len() != earlier.cpus.len() || self.cpus.is_empty() {
            return None;
        }
        let pairs = self.cpus.iter().zip(&earlier.cpus);
        let growths = pairs.map(|(now, then)| {
            let growth = now.get(counter)?.checked_sub(then.get(counter)?)?;
            (now.cpu == then.cpu).then_some(u64::from(growth))
        });
        growths.sum()
    }
}

/// Bytes of one entry in the kernel's memory, as `/proc/slabinfo` has it:
///
/// ```text
/// # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
/// nf_conntrack          16     16    256   16    1 : tunables    0    0    0 : slabdata      1      1      0
/// ```
///
/// Older kernels have a cache for each namespace, `nf_conntrack_ffffffff81a8e4c0` or `nf_conntrack_1`: any of them will
/// do. What an entry carries beside itself (NAT, counters, labels: some 64 to 128 bytes) is in other caches.
#[must_use]
pub fn entry_bytes(slabinfo: &str) -> Option<u64> {
    let is_cache = |name: &str| {
        let rest = name.strip_prefix("nf_conntrack");
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('_').is_some_and(|id| {
                    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit())
                })
        })
    };
    slabinfo.lines().find_map(|line| {
        let mut cells = line.split_ascii_whitespace();
        cells.next().filter(|name| is_cache(name))?;
        cells.nth(2)?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
