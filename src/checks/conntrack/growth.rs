//! Who makes new entries: what has grown between two dumps of the table. The kernel counts no entry that is made, so that
//! what ended meanwhile is missing: it is the net growth.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::owners::Owners;
use super::rate;
use super::top::{Document, FlowRow};

/// What has grown, the fastest first.
pub(super) struct Growth<'a> {
    seconds: f64,
    sources: Vec<Grown<&'a str>>,
    flows: Vec<Grown<Flow<'a>>>,
}

/// A row that has grown.
struct Grown<K> {
    key: K,
    /// Entries at the second look.
    entries: u64,
    /// At least so many more than at the first.
    growth: u64,
}

/// Source, destination, protocol and port.
type Flow<'a> = (&'a str, &'a str, &'a str, Option<u16>);

fn flow(row: &FlowRow) -> (Flow<'_>, u64) {
    ((&row.source, &row.destination, &row.protocol, row.port), row.entries)
}

impl<'a> Growth<'a> {
    /// Between two looks that lie so many seconds apart; `rows` of each kind.
    pub(super) fn between(
        before: &'a Document,
        after: &'a Document,
        seconds: f64,
        rows: usize,
    ) -> Self {
        let sources = |document: &'a Document| {
            document.sources.iter().map(|row| (row.address.as_str(), row.entries))
        };
        let earlier: HashMap<&str, u64> =
            before.sources.iter().map(|row| (row.address.as_str(), row.entries)).collect();
        let least = before.sources.last().map_or(0, |row| row.entries);
        let unlisted = before.unlisted("sources", before.sources.len(), least);
        let sources = grown(sources(after), &earlier, unlisted, rows);
        let earlier: HashMap<Flow<'_>, u64> = before.flows.iter().map(flow).collect();
        let least = before.flows.last().map_or(0, |row| row.entries);
        let unlisted = before.unlisted("flows", before.flows.len(), least);
        let flows = grown(after.flows.iter().map(flow), &earlier, unlisted, rows);
        Self { seconds, sources, flows }
    }

    /// The sources, whose owners will be wanted.
    pub(super) fn addresses(&self) -> BTreeSet<&'a str> {
        let sources = self.sources.iter().map(|row| row.key);
        sources.chain(self.flows.iter().map(|row| row.key.0)).collect()
    }

    /// The fastest source: its address, and its growth in a second.
    pub(super) fn first(&self) -> Option<(&'a str, f64)> {
        self.sources.first().map(|row| (row.key, rate(row.growth, self.seconds)))
    }

    pub(super) fn evidence(&self, owners: &Owners) -> Value {
        let sources = self.sources.iter().map(|row| {
            json!({
                "address": row.key, "entries": row.entries, "growth": row.growth,
                "perSecond": rate(row.growth, self.seconds),
                "interface": owners.link(row.key), "pod": owners.pod(row.key),
            })
        });
        let flows = self.flows.iter().map(|row| {
            let (source, destination, protocol, port) = row.key;
            json!({
                "source": source, "destination": destination, "protocol": protocol, "port": port,
                "entries": row.entries, "growth": row.growth,
                "perSecond": rate(row.growth, self.seconds),
                "interface": owners.link(source), "pod": owners.pod(source),
            })
        });
        json!({
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "sources": sources.collect::<Vec<Value>>(),
            "flows": flows.collect::<Vec<Value>>(),
        })
    }
}

/// The rows that have grown. What was not listed before had no more than `unlisted`.
fn grown<'a, K: Copy + Eq + std::hash::Hash + Ord>(
    after: impl Iterator<Item = (K, u64)> + 'a,
    before: &HashMap<K, u64>,
    unlisted: u64,
    rows: usize,
) -> Vec<Grown<K>> {
    let mut all: Vec<Grown<K>> = after
        .filter_map(|(key, entries)| {
            let earlier = before.get(&key).copied().unwrap_or(unlisted);
            let growth = entries.checked_sub(earlier).filter(|growth| *growth > 0)?;
            Some(Grown { key, entries, growth })
        })
        .collect();
    all.sort_unstable_by_key(|row| (Reverse(row.growth), row.key));
    all.truncate(rows);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_listed_before_has_grown_by_what_is_certain() {
        let before = HashMap::from([("a", 10), ("b", 5)]);
        let growths = |unlisted, rows| -> Vec<(&str, u64)> {
            let after = [("b", 9), ("a", 9), ("c", 5), ("d", 4)];
            let all = grown(after.into_iter(), &before, unlisted, rows);
            all.into_iter().map(|row| (row.key, row.growth)).collect()
        };
        assert_eq!(growths(0, 9), [("c", 5), ("b", 4), ("d", 4)]);
        assert_eq!(growths(4, 9), [("b", 4), ("c", 1)]);
        assert_eq!(growths(0, 1), [("c", 5)]);
    }
}
