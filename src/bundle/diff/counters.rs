//! What counts up, as rates over the time between two bundles.
//!
//! Each source of counters is a row. One that went down began anew (a boot, a module loaded again, 32 bits that
//! wrapped): how far it went is not known, and it is not told.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::network::is_of_pod;
use super::rows::{member, rows, text};
use super::{Side, host};
use crate::host::bundle::Bundle;

/// A counter that moved.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rate {
    /// Where it is counted, and what.
    pub name: String,
    /// By how much it went up.
    pub increase: u64,
    /// In each second, on the average.
    pub per_second: f64,
    /// Whether it counts what should not happen.
    pub is_trouble: bool,
}

/// Parts of names of what should not happen.
const TROUBLE: [&str; 17] = [
    "drop",
    "err",
    "fail",
    "invalid",
    "overflow",
    "missed",
    "retrans",
    "prune",
    "discard",
    "abort",
    "timeout",
    "noroute",
    "unreach",
    "collision",
    "time_squeeze",
    "search_restart",
    "nohandler",
];

/// What is read of a bundle, and how it is counted.
const SOURCES: [Source; 4] = [conntrack, links, protocols, softnet];

type Counters = BTreeMap<String, u64>;

type Source = fn(&Bundle) -> Result<Counters, String>;

/// The counters that went up, those of trouble first.
///
/// # Errors
/// No rate can be told: why.
pub(super) fn rates(
    before: &Side,
    after: &Side,
    elapsed: SignedDuration,
) -> Result<Vec<Rate>, String> {
    if elapsed.as_secs_f64() <= 0.0 {
        return Err("no time lies between A and B".to_owned());
    }
    if host::boots(before, after).is_some() {
        return Err("the node was booted between A and B: counters began anew".to_owned());
    }
    if before.report.node.is_some()
        && after.report.node.is_some()
        && before.report.node != after.report.node
    {
        return Err("A and B are of different nodes".to_owned());
    }
    let mut rates = Vec::new();
    for source in SOURCES {
        // What one of them lacks has no rate; that it is lacking is told elsewhere.
        let (Ok(was), Ok(is)) = (source(before.bundle), source(after.bundle)) else { continue };
        for (name, count) in is {
            let increase = was.get(&name).and_then(|was| count.checked_sub(*was));
            if let Some(increase) = increase.filter(|increase| *increase > 0) {
                let lower = name.to_lowercase();
                let is_trouble = TROUBLE.iter().any(|part| lower.contains(part));
                #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
                let per_second = increase as f64 / elapsed.as_secs_f64();
                rates.push(Rate { name, increase, per_second, is_trouble });
            }
        }
    }
    rates.sort_by_key(|rate| !rate.is_trouble);
    Ok(rates)
}

/// The sums over all CPUs.
fn conntrack(bundle: &Bundle) -> Result<Counters, String> {
    let mut sums = Counters::new();
    for row in rows(bundle, "netfilter/conntrack_stats.json", "cpus")? {
        count(&row, "conntrack", &["cpu"], &mut sums);
    }
    Ok(sums)
}

fn links(bundle: &Bundle) -> Result<Counters, String> {
    let mut sums = Counters::new();
    for row in rows(bundle, "network/links.json", "links")? {
        let name = member(&row, "name");
        if let Some(statistics) = row.get("statistics").and_then(Value::as_object)
            && !is_of_pod(&name)
        {
            count(statistics, &name, &[], &mut sums);
        }
    }
    Ok(sums)
}

fn count(row: &Map<String, Value>, place: &str, ignored: &[&str], sums: &mut Counters) {
    for (name, value) in row.iter().filter(|(name, _)| !ignored.contains(&name.as_str())) {
        if let Some(value) = value.as_u64() {
            let sum = sums.entry(format!("{place} {name}")).or_default();
            *sum = sum.saturating_add(value);
        }
    }
}

/// `/proc/net/snmp` and `/proc/net/netstat`: a line of names, a line of values.
///
/// ```text
/// Tcp: RtoAlgorithm RtoMin RetransSegs
/// Tcp: 1 200 17
/// ```
fn protocols(bundle: &Bundle) -> Result<Counters, String> {
    /// Numbers that are no counters (RFC 1213, RFC 4022).
    const NOT: [&str; 7] =
        ["Forwarding", "DefaultTTL", "RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn", "CurrEstab"];
    let mut counters = Counters::new();
    for path in ["host/proc/net/snmp", "host/proc/net/netstat"] {
        let text = text(bundle, path)?.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let [names, values] = [pair[0], pair[1]].map(|line| line.split_ascii_whitespace());
            let mut protocol = "";
            for (name, value) in names.zip(values) {
                if name.ends_with(':') {
                    protocol = name.trim_end_matches(':');
                } else if let Ok(value) = value.parse()
                    && !NOT.contains(&name)
                {
                    counters.insert(format!("{protocol} {name}"), value);
                }
            }
        }
    }
    Ok(counters)
}

/// `/proc/net/softnet_stat`: a line a CPU, in hexadecimal; packets, dropped, and how often there was no time for more.
fn softnet(bundle: &Bundle) -> Result<Counters, String> {
    let mut sums = Counters::new();
    let text = text(bundle, "host/proc/net/softnet_stat")?.unwrap_or_default();
    for line in text.lines() {
        for (name, value) in
            ["processed", "dropped", "time_squeeze"].iter().zip(line.split_ascii_whitespace())
        {
            let sum = sums.entry(format!("softnet {name}")).or_default();
            *sum = sum.saturating_add(u64::from_str_radix(value, 16).unwrap_or(0));
        }
    }
    Ok(sums)
}
