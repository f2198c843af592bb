//! The tables of neighbours, and whether bridges hand packets to iptables.

use serde_json::{Value, json};

use super::{BRIDGE, Facts, Lack, NEIGHBOURS, tomorrow};
use crate::checks::dataplane::Link;
use crate::checks::figures::{counted, grouped};
use crate::checks::settings::Tomorrow;
use crate::checks::{Finding, Level};
use crate::host::Outcome;

/// From how many per cent of the limit on a table is crowded.
const CROWDED: u64 = 75;
/// From how many per cent of the limit on it is full: the kernel begins to throw out what is in use.
const FULL: u64 = 95;

/// A table of neighbours, of all network namespaces together.
struct Table {
    family: &'static str,
    entries: u64,
    limit: u64,
    /// How often it was full since boot.
    overflows: u64,
}

/// The counters in `/proc/net/stat/arp_cache`: a row in hexadecimal for each CPU. The number of entries is the same in
/// each row.
///
/// ```text
/// entries  allocs   destroys hash_grows lookups  hits     ... table_fulls
/// 00000003 00000005 00000002 00000000   00000000 00000000 ... 00000000
/// ```
fn counters(table: &str) -> Option<(u64, u64)> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let place = |name: &str| header.iter().position(|column| *column == name);
    let (entries_at, fulls_at) = (place("entries")?, place("table_fulls"));
    let (mut entries, mut overflows) = (None, 0_u64);
    for line in lines {
        let cells: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| u64::from_str_radix(cells.get(at)?, 16).ok();
        entries = entries.or_else(|| number(entries_at));
        overflows = overflows.saturating_add(fulls_at.and_then(number).unwrap_or(0));
    }
    Some((entries?, overflows))
}

pub(super) fn neighbours(facts: &Facts) -> Finding {
    let (mut tables, mut unknown, mut hidden) = (Vec::new(), Vec::new(), 0);
    for (family, file, key) in [
        ("ipv4", "arp_cache", "net/ipv4/neigh/default/gc_thresh3"),
        ("ipv6", "ndisc_cache", "net/ipv6/neigh/default/gc_thresh3"),
    ] {
        let reading = facts.evidence.get(&format!("host/proc/net/stat/{file}"));
        let counted =
            reading.filter(|it| it.outcome == Outcome::Ok).and_then(|it| counters(&it.text()));
        match (facts.setting(key), counted) {
            (Ok(limit), Some((entries, overflows))) => {
                tables.push(Table { family, entries, limit, overflows });
            }
            (Err(Lack::Missing), _) => hidden += 1,
            (Err(Lack::Unread(why)), _) => unknown.push(why),
            (Ok(_), None) => unknown.push(match reading {
                Some(reading) if reading.outcome != Outcome::Ok => super::why(reading, file),
                Some(_) => format!("/proc/net/stat/{file} was not understood"),
                None => format!("/proc/net/stat/{file} was not read"),
            }),
        }
    }
    let after = facts.boot.of(&["net/ipv4/neigh/default/gc_thresh3"]);
    let shown: Vec<Value> = tables
        .iter()
        .map(|table| {
            json!({
                "family": table.family,
                "entries": table.entries,
                "limit": table.limit,
                "overflows": table.overflows,
            })
        })
        .collect();
    let evidence = json!({"tables": shown, "afterReboot": tomorrow(&after)});
    let finding = |level, summary: String| {
        Finding::new(NEIGHBOURS, level, summary).evidence(evidence.clone())
    };
    let percent = |table: &Table| table.entries.saturating_mul(100) / table.limit.max(1);
    let worst = tables.iter().max_by_key(|table| percent(table));
    let told: Vec<String> = tables
        .iter()
        .map(|table| {
            let overflows = match table.overflows {
                0 => String::new(),
                count => format!(", {} overflowed since boot", counted(count, "time", "times")),
            };
            let name = if table.family == "ipv4" { "IPv4" } else { "IPv6" };
            format!("{name} {} of {}{overflows}", grouped(table.entries), grouped(table.limit))
        })
        .collect();
    let told = told.join(", ");
    let remedy = |finding: Finding, limit: u64| {
        let more = limit.saturating_mul(4).max(4096);
        let sysctl = ["ipv4", "ipv6"].map(|family| {
            format!(
                "net.{family}.neigh.default.gc_thresh1={} net.{family}.neigh.default.gc_thresh2={} net.{family}.neigh.default.gc_thresh3={more}",
                more / 4,
                more / 2
            )
        });
        finding
            .remedy(format!("sudo sysctl -w {}", sysctl.join(" ")))
            .remedy("and the same in /etc/sysctl.d")
    };
    match worst {
        Some(table) if percent(table) >= FULL => remedy(
            finding(Level::Fail, format!("a table of neighbours is full: {told}")),
            table.limit,
        ),
        Some(table) if percent(table) >= CROWDED => remedy(
            finding(Level::Warn, format!("a table of neighbours is nearly full: {told}")),
            table.limit,
        ),
        Some(table) if tables.iter().any(|table| table.overflows > 0) => remedy(
            finding(Level::Warn, format!("a table of neighbours was full: {told}")),
            table.limit,
        ),
        _ if !unknown.is_empty() => finding(Level::Unknown, unknown.join("; ")),
        Some(table) => match after {
            Tomorrow::Written { value, place } if value < table.limit && value <= table.entries => {
                finding(
                    Level::Warn,
                    format!("{told}; {place} lowers the limit to {value} at the next boot"),
                )
            }
            _ => finding(Level::Ok, format!("the tables of neighbours have room: {told}")),
        },
        None if hidden > 0 => finding(
            Level::Skip,
            "the limit is the machine's and cannot be seen from this network namespace".to_owned(),
        ),
        None => finding(Level::Unknown, "the tables of neighbours were not read".to_owned()),
    }
}

/// Only what lies behind a bridge is concerned: pods of Calico's are not.
pub(super) fn bridge(facts: &Facts) -> Finding {
    let key = "net/bridge/bridge-nf-call-iptables";
    let after = facts.boot.of(&[key]);
    let now = facts.setting(key);
    let links = &facts.dataplane.links;
    let has_ports = |name: &str| links.iter().any(|link| link.master.as_deref() == Some(name));
    let bridges: Vec<&str> = links
        .iter()
        .filter(|link| link.kind.as_deref() == Some("bridge") && has_ports(link.name()))
        .map(Link::name)
        .take(20)
        .collect();
    let evidence = json!({
        "now": now.as_ref().ok(),
        "afterReboot": tomorrow(&after),
        "bridges": bridges,
    });
    let (level, summary) = match now {
        Err(Lack::Missing) => (
            Level::Skip,
            "br_netfilter is not loaded: bridges hand nothing to iptables, and Calico's links are no ports of a bridge"
                .to_owned(),
        ),
        Err(Lack::Unread(why)) => (Level::Unknown, why),
        Ok(0) if !bridges.is_empty() => (
            Level::Info,
            format!(
                "bridge-nf-call-iptables is 0: between the ports of {} neither policy nor services of kube-proxy hold",
                bridges.join(", ")
            ),
        ),
        Ok(0) => (Level::Ok, "bridge-nf-call-iptables is 0, and no bridge has ports".to_owned()),
        Ok(_) => (Level::Ok, "what bridges forward passes iptables".to_owned()),
    };
    Finding::new(BRIDGE, level, summary).evidence(evidence)
}
