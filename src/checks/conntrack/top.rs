//! Who fills the table: the addresses and flows with the most entries, and the pods behind them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Facts, TOP, grouped, percent, why};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::host::{Outcome, Reading};
use crate::workloads;

/// The document of the dump: see `host/netlink/conntrack/top.rs`.
#[derive(Debug, Deserialize)]
struct Document {
    total: u64,
    unreplied: u64,
    unassured: u64,
    missed: BTreeMap<String, u64>,
    distinct: BTreeMap<String, u64>,
    protocols: Vec<ProtocolRow>,
    states: Vec<StateRow>,
    zones: Vec<ZoneRow>,
    sources: Vec<AddressRow>,
    destinations: Vec<AddressRow>,
    flows: Vec<FlowRow>,
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
struct AddressRow {
    address: String,
    entries: u64,
}

#[derive(Debug, Deserialize)]
struct FlowRow {
    source: String,
    destination: String,
    protocol: String,
    port: Option<u16>,
    entries: u64,
}

/// What the host knows of addresses.
struct Owners {
    /// The link behind an address, by the route to it alone.
    links: HashMap<String, String>,
    /// The pod behind a link, by the digits of its name.
    pods: HashMap<String, String>,
}

pub(super) fn judge(facts: &Facts, rows: usize) -> Finding {
    let document = match facts.reading(rows::TOP) {
        None => Err("the table was not asked for".to_owned()),
        Some(reading) => parse(reading),
    };
    let document = match document {
        Ok(document) => document,
        Err(reason) => {
            let summary = format!("who fills the table is not known: {reason}");
            return Finding::new(TOP, Level::Unknown, summary).evidence(json!({"top": null}));
        }
    };
    let later = facts
        .asked
        .interval
        .and_then(|_| facts.reading(rows::TOP_LATER))
        .and_then(|reading| parse(reading).ok());
    let owners = Owners::of(facts, &document, rows);
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
    let evidence = evidence(&document, later.as_ref(), &owners, rows);
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

/// What of a route is read.
#[derive(Debug, Deserialize)]
struct Route<'a> {
    #[serde(borrow)]
    r#type: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    destination: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    dev: Option<std::borrow::Cow<'a, str>>,
}

impl Owners {
    /// Of the addresses that are shown.
    fn of(facts: &Facts, document: &Document, rows: usize) -> Self {
        let addresses = [&document.sources, &document.destinations];
        let shown = addresses.into_iter().flat_map(|list| list.iter().take(rows));
        let flows = document.flows.iter().take(rows).map(|flow| flow.source.clone());
        let mut links: HashMap<String, String> = shown
            .map(|row| row.address.clone())
            .chain(flows)
            .map(|one| (one, String::new()))
            .collect();
        let routes = facts.reading(rows::ROUTES).map(Reading::text).unwrap_or_default();
        for line in routes.lines() {
            // A row is a line, and only routes to one address are of interest.
            if !line.contains("/32\"") && !line.contains("/128\"") {
                continue;
            }
            let Ok(route) = serde_json::from_str::<Route>(line.trim_end_matches(',')) else {
                continue;
            };
            let Some((address, "32" | "128")) = route.destination.rsplit_once('/') else {
                continue;
            };
            if let (Some(link), Some(dev), "unicast") =
                (links.get_mut(address), &route.dev, route.r#type.as_ref())
            {
                *link = dev.to_string();
            }
        }
        links.retain(|_, link| !link.is_empty());
        let listing = facts.reading(rows::PODS).map(Reading::text).unwrap_or_default();
        Self { links, pods: workloads::pods(&listing) }
    }

    fn link(&self, address: &str) -> Option<&str> {
        self.links.get(address).map(String::as_str)
    }

    fn pod(&self, address: &str) -> Option<&str> {
        let link = self.link(address)?;
        self.pods.get(workloads::digits(link)?).map(String::as_str)
    }

    /// Link and pod in brackets, as far as they are known.
    fn shown(&self, address: &str) -> String {
        match (self.link(address), self.pod(address)) {
            (Some(link), Some(pod)) => format!(" ({link}, pod {pod})"),
            (Some(link), None) => format!(" ({link})"),
            _ => String::new(),
        }
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
