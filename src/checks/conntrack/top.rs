//! Who fills the table: the addresses and flows with the most entries, and the pods behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::growth::Growth;
use super::owners::Owners;
use super::{Facts, TOP, grouped, percent, why};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::host::{Outcome, Reading};

/// The document of the dump: see `host/netlink/conntrack/top.rs`.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    total: u64,
    unreplied: u64,
    unassured: u64,
    missed: BTreeMap<String, u64>,
    distinct: BTreeMap<String, u64>,
    protocols: Vec<ProtocolRow>,
    states: Vec<StateRow>,
    zones: Vec<ZoneRow>,
    pub(super) sources: Vec<AddressRow>,
    destinations: Vec<AddressRow>,
    pub(super) flows: Vec<FlowRow>,
    complete: bool,
}

#[derive(Debug, Deserialize)]
struct ProtocolRow {
    protocol: String,
    entries: u64,
}

#[derive(Debug, Deserialize)]
struct StateRow {
    protocol: String,
    state: String,
    entries: u64,
}

#[derive(Debug, Deserialize)]
struct ZoneRow {
    zone: u16,
    entries: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct AddressRow {
    pub(super) address: String,
    pub(super) entries: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct FlowRow {
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) protocol: String,
    pub(super) port: Option<u16>,
    pub(super) entries: u64,
}

impl Document {
    /// The most entries that a key may have without a row in the list of a kind, whose `rows` end with `least`.
    pub(super) fn unlisted(&self, kind: &str, rows: usize, least: u64) -> u64 {
        let number = |of: &BTreeMap<String, u64>| of.get(kind).copied().unwrap_or(u64::MAX);
        if number(&self.distinct) == rows as u64 && number(&self.missed) == 0 {
            0
        } else {
            least.saturating_add(number(&self.missed))
        }
    }

    /// The addresses that are shown.
    fn addresses(&self, rows: usize) -> BTreeSet<&str> {
        let lists = [&self.sources, &self.destinations];
        let listed = lists.into_iter().flat_map(|list| list.iter().take(rows));
        let flows = self.flows.iter().take(rows).map(|flow| flow.source.as_str());
        listed.map(|row| row.address.as_str()).chain(flows).collect()
    }
}

pub(super) fn judge(facts: &Facts, rows: usize) -> Finding {
    let document = match facts.reading(rows::TOP) {
        None => Err("the table was not asked for".to_owned()),
        Some(reading) => parse(reading).map(|document| (document, reading.started)),
    };
    let (document, started) = match document {
        Ok(document) => document,
        Err(reason) => {
            let summary = format!("who fills the table is not known: {reason}");
            return Finding::new(TOP, Level::Unknown, summary).evidence(json!({"top": null}));
        }
    };
    let later = facts.asked.interval.and_then(|_| facts.reading(rows::TOP_LATER));
    let later = later.and_then(|reading| {
        let seconds = reading.started.duration_since(started).as_secs_f64();
        // Half a dump would look as if entries had gone.
        let is_whole = |later: &Document| later.complete && document.complete && seconds > 0.0;
        parse(reading).ok().filter(is_whole).map(|later| (later, seconds))
    });
    let growth =
        later.as_ref().map(|(later, seconds)| Growth::between(&document, later, *seconds, rows));
    let mut addresses = document.addresses(rows);
    addresses.extend(growth.iter().flat_map(Growth::addresses));
    let owners = Owners::of(facts, &addresses);
    let missed = document.missed.values().max().copied().unwrap_or_default();
    let mut summary = format!("{} entries", grouped(document.total));
    if let Some(first) = document.sources.first() {
        let owner = owners.shown(&first.address);
        let _ = write!(
            summary,
            ", {} of them ({} %) from {}{owner}",
            grouped(first.entries),
            percent(first.entries, document.total),
            first.address
        );
    }
    if document.total > 0 {
        let _ = write!(
            summary,
            "; {} % unreplied, {} % may be thrown out early (not assured)",
            percent(document.unreplied, document.total),
            percent(document.unassured, document.total)
        );
    }
    if let Some((address, per_second)) = growth.as_ref().and_then(Growth::first) {
        let owner = owners.shown(address);
        let _ = write!(summary, "; {address}{owner} grows fastest, net {per_second:+} a second");
    }
    if missed > 0 {
        let _ = write!(
            summary,
            "; so many different ones that each may have up to {} more",
            grouped(missed)
        );
    }
    let level = if document.complete { Level::Info } else { Level::Unknown };
    if !document.complete {
        summary.push_str("; the table was not read to its end");
    }
    let later = later.as_ref().map(|(later, _)| later);
    let mut evidence = evidence(&document, later, &owners, rows);
    if let Some(growth) = growth {
        evidence["growing"] = growth.evidence(&owners);
    }
    Finding::new(TOP, level, summary).evidence(json!({"top": evidence}))
}

fn parse(reading: &Reading) -> Result<Document, String> {
    if reading.bytes.is_empty() && reading.outcome != Outcome::Ok {
        return Err(why(reading, "netlink"));
    }
    serde_json::from_slice(&reading.bytes).map_err(|_| why(reading, "netlink"))
}

fn evidence(document: &Document, later: Option<&Document>, owners: &Owners, rows: usize) -> Value {
    let mut states: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for row in &document.states {
        let state = upper(&row.state);
        states.entry(&row.protocol).or_default().insert(state, row.entries.into());
    }
    let protocols: Map<String, Value> =
        document.protocols.iter().map(|row| (row.protocol.clone(), row.entries.into())).collect();
    let zones: Map<String, Value> =
        document.zones.iter().map(|row| (row.zone.to_string(), row.entries.into())).collect();
    let addresses = |list: &[AddressRow], list_later: Option<&[AddressRow]>| -> Vec<Value> {
        let row = |row: &AddressRow| {
            let mut shown = json!({
                "address": row.address,
                "entries": row.entries,
                "interface": owners.link(&row.address),
                "pod": owners.pod(&row.address),
            });
            if let Some(list) = list_later {
                // What has left the list meanwhile is not known.
                let after = list.iter().find(|other| other.address == row.address);
                shown["growth"] = json!(after.map(|after| growth(row.entries, after.entries)));
            }
            shown
        };
        list.iter().take(rows).map(row).collect()
    };
    let flows: Vec<Value> = document
        .flows
        .iter()
        .take(rows)
        .map(|flow| {
            json!({
                "source": flow.source, "destination": flow.destination, "protocol": flow.protocol,
                "port": flow.port, "entries": flow.entries,
                "interface": owners.link(&flow.source), "pod": owners.pod(&flow.source),
            })
        })
        .collect();
    json!({
        "total": document.total,
        "unreplied": document.unreplied,
        "unassured": document.unassured,
        "distinct": document.distinct,
        "missed": document.missed,
        "protocols": protocols,
        "states": states,
        "zones": zones,
        "sources": addresses(&document.sources, later.map(|later| later.sources.as_slice())),
        "destinations":
            addresses(&document.destinations, later.map(|later| later.destinations.as_slice())),
        "flows": flows,
    })
}

fn growth(before: u64, after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)
}

/// A state as `conntrack -L` writes it.
fn upper(state: &str) -> String {
    match state {
        "syn-received" => "SYN_RECV".to_owned(),
        _ => state.to_ascii_uppercase().replace('-', "_"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_written_as_conntrack_does() {
        assert_eq!(upper("syn-received"), "SYN_RECV");
        assert_eq!(upper("time-wait"), "TIME_WAIT");
        assert_eq!(upper("syn-sent2"), "SYN_SENT2");
    }
}
