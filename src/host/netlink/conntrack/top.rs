//! Who fills the table of connections: one dump of it, of which counters are kept and no entry.
//!
//! ```text
//! {"source":"IPCTNL_MSG_CT_GET",
//! "entries":240113,"max":262144,"total":240098,"unreplied":12031,"unassured":14022,
//! "distinct":{"sources":812,"destinations":96,"flows":40122},"missed":{"sources":0,"destinations":0,"flows":0},
//! "protocols":[
//! {"protocol":"tcp","entries":201344},...],
//! "states":[
//! {"protocol":"tcp","state":"established","entries":170022},...],
//! "zones":[
//! {"zone":0,"entries":240098}],
//! "sources":[
//! {"address":"10.244.1.7","entries":90111},...],
//! "destinations":[...],
//! "flows":[
//! {"source":"10.244.1.7","destination":"10.96.0.10","protocol":"udp","port":53,"entries":60002},...],
//! "consistent":true,"complete":true}
//! ```
//!
//! The table is as long as whoever sends packets likes, so only so many keys are kept of each kind: then the rarer half
//! is dropped, and `missed` says how many entries any row may lack for that. Where it is 0, all rows are exact.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use super::super::attributes::{Word, attributes, ip_protocol, network_number};
use super::super::document::Document;
use super::super::kernel::{Kernel, Netfilter, Trouble};
use super::{SUBSYSTEM, sctp_state, tcp_state, totals};

/// `IPCTNL_MSG_CT_GET`.
const GET: u8 = 1;

/// Rows of the lists of states and zones, at most.
const ROWS: usize = 1000;

/// Keys of each kind that are kept. A hash table that holds one more has twice the room.
const KEYS: usize = (1 << 15) / 8 * 7;

/// `IPS_SEEN_REPLY` and `IPS_ASSURED`.
const SEEN_REPLY: u64 = 1 << 1;
const ASSURED: u64 = 1 << 2;

/// An address, one of IPv4 as IPv6 writes it: hashed in one piece, which is most of what an entry costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address([u8; 16]);

impl Address {
    fn ip(self) -> IpAddr {
        IpAddr::V6(self.0.into()).to_canonical()
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Whose entries they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    source: Address,
    destination: Address,
    protocol: u8,
    /// The port of the destination, where the protocol has ports.
    port: Option<u16>,
}

impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut all = [0; 35];
        let port = self.port.unwrap_or_default().to_ne_bytes();
        let parts = [&self.source.0[..], &self.destination.0, &port, &[self.protocol]];
        all.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        state.write(&all);
    }
}

/// What counts of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    flow: Flow,
    /// Of TCP and SCTP.
    state: Option<u8>,
    status: u64,
    zone: u16,
}

/// How many there are of each key.
#[derive(Debug)]
struct Tally<K> {
    counts: HashMap<K, u32>,
    keys: usize,
    /// How many any key may lack, because it was dropped and came again.
    missed: u32,
}

impl<K: Copy + Eq + Hash + Ord> Tally<K> {
    /// Keeps at most so many keys, and has room for so many from the start: a table that grows is filled again each time.
    fn new(keys: usize, room: u64) -> Self {
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(keys);
        Self { counts: HashMap::with_capacity(room), keys, missed: 0 }
    }

    fn add(&mut self, key: K) {
        self.add_many(key, 1);
    }

    fn add_many(&mut self, key: K, more: u32) {
        if let Some(count) = self.counts.get_mut(&key) {
            *count += more;
            return;
        }
        if self.counts.len() >= self.keys {
            self.thin();
        }
        self.counts.insert(key, more);
    }

    /// Drops those that are not more than the median.
    fn thin(&mut self) {
        let mut counts: Vec<u32> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.counts.retain(|_, count| *count > median);
        self.missed += median;
    }

    /// The largest, so many of them; those that are equal in the order of their keys.
    fn top(&self, rows: usize) -> Vec<(K, u32)> {
        let order = |(key, count): &(K, u32)| (std::cmp::Reverse(*count), *key);
        let mut top: Vec<(K, u32)> = Vec::new();
        for (key, count) in &self.counts {
            // All of them beside the table would take as much memory again.
            if top.len() > 2 * rows {
                top.select_nth_unstable_by_key(rows, order);
                top.truncate(rows);
            }
            top.push((*key, *count));
        }
        top.sort_unstable_by_key(order);
        top.truncate(rows);
        top
    }
}

/// What is kept of a dump.
#[derive(Debug)]
struct Counts {
    total: u64,
    unreplied: u64,
    unassured: u64,
    sources: Tally<Address>,
    destinations: Tally<Address>,
    flows: Tally<Flow>,
    zones: Tally<u16>,
    /// Protocols, and states of those that have any.
    states: Tally<(u8, Option<u8>)>,
    /// The zone, protocol and state of the last entries, and how many there were: most are like the one before.
    run: (u16, (u8, Option<u8>), u32),
}

impl Counts {
    /// Keeps at most so many keys of each kind, of a table with so many entries.
    fn new(keys: usize, entries: u64) -> Self {
        Self {
            total: 0,
            unreplied: 0,
            unassured: 0,
            sources: Tally::new(keys, 0),
            destinations: Tally::new(keys, 0),
            // Nearly each entry is a flow of its own, as a rule.
            flows: Tally::new(keys, entries),
            // There are no more than these.
            zones: Tally::new(1 << 16, 0),
            states: Tally::new(1 << 16, 0),
            run: (0, (0, None), 0),
        }
    }

    fn add(&mut self, entry: &Entry) {
        self.total += 1;
        self.unreplied += u64::from(entry.status & SEEN_REPLY == 0);
        self.unassured += u64::from(entry.status & ASSURED == 0);
        self.sources.add(entry.flow.source);
        self.destinations.add(entry.flow.destination);
        self.flows.add(entry.flow);
        let state = (entry.flow.protocol, entry.state);
        if (self.run.0, self.run.1) != (entry.zone, state) {
            self.end_run();
            self.run = (entry.zone, state, 0);
        }
        self.run.2 += 1;
    }

    fn end_run(&mut self) {
        let (zone, state, count) = std::mem::take(&mut self.run);
        if count > 0 {
            self.zones.add_many(zone, count);
            self.states.add_many(state, count);
        }
    }
}

/// A number for each kind of key.
#[derive(Debug, Serialize)]
struct Kinds {
    sources: u64,
    destinations: u64,
    flows: u64,
}

#[derive(Debug, Serialize)]
struct AddressRow {
    address: IpAddr,
    entries: u32,
}

#[derive(Debug, Serialize)]
struct FlowRow {
    source: IpAddr,
    destination: IpAddr,
    protocol: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    entries: u32,
}

#[derive(Debug, Serialize)]
struct ZoneRow {
    zone: u16,
    entries: u32,
}

#[derive(Debug, Serialize)]
struct ProtocolRow {
    protocol: Word,
    entries: u64,
}

#[derive(Debug, Serialize)]
struct StateRow {
    protocol: Word,
    state: Word,
    entries: u32,
}

/// Reads the table and writes who fills it, so many rows of addresses and flows. What was counted before a failure is written too.
pub(in super::super) fn write(
    rows: usize,
    kernel: &mut Kernel,
    document: &mut Document,
) -> Result<(), Trouble> {
    let (entries, limit) = totals(kernel)?;
    document.fact("entries", &entries);
    document.fact("max", &limit);
    let mut counts = Counts::new(KEYS, entries.unwrap_or_default());
    let request = Netfilter::new(SUBSYSTEM, GET, true, 0);
    let result = kernel.ask("IPCTNL_MSG_CT_GET", &request, |reply| {
        if let Some(entry) = entry(reply) {
            counts.add(&entry);
        }
        Ok(())
    });
    counts.end_run();
    show(&counts, rows, document)?;
    result
}

fn show(counts: &Counts, rows: usize, document: &mut Document) -> Result<(), Trouble> {
    let Counts { sources, destinations, flows, .. } = counts;
    document.fact("total", &counts.total);
    document.fact("unreplied", &counts.unreplied);
    document.fact("unassured", &counts.unassured);
    let distinct = [sources.counts.len(), destinations.counts.len(), flows.counts.len()];
    document.fact("distinct", &kinds(distinct.map(|length| length as u64)));
    let missed = [sources.missed, destinations.missed, flows.missed];
    document.fact("missed", &kinds(missed.map(u64::from)));

    let word = |protocol: u8| Word(ip_protocol(protocol), protocol.into());
    let mut protocols: HashMap<u8, u64> = HashMap::new();
    for ((protocol, _), entries) in &counts.states.counts {
        *protocols.entry(*protocol).or_default() += u64::from(*entries);
    }
    let mut protocols: Vec<(u8, u64)> = protocols.into_iter().collect();
    protocols.sort_unstable_by_key(|(protocol, entries)| (std::cmp::Reverse(*entries), *protocol));
    document.list("protocols");
    for (protocol, entries) in protocols {
        document.row(&ProtocolRow { protocol: word(protocol), entries })?;
    }
    document.list("states");
    for ((protocol, state), entries) in counts.states.top(ROWS) {
        let Some(state) = state else { continue };
        let name = if protocol == SCTP { sctp_state(state) } else { tcp_state(state) };
        let state = Word(name, state.into());
        document.row(&StateRow { protocol: word(protocol), state, entries })?;
    }
    document.list("zones");
    for (zone, entries) in counts.zones.top(ROWS) {
        document.row(&ZoneRow { zone, entries })?;
    }
    for (name, tally) in [("sources", sources), ("destinations", destinations)] {
        document.list(name);
        for (address, entries) in tally.top(rows) {
            document.row(&AddressRow { address: address.ip(), entries })?;
        }
    }
    document.list("flows");
    for (flow, entries) in flows.top(rows) {
        let Flow { source, destination, protocol, port } = flow;
        let (source, destination) = (source.ip(), destination.ip());
        document.row(&FlowRow { source, destination, protocol: word(protocol), port, entries })?;
    }
    Ok(())
}

fn kinds([sources, destinations, flows]: [u64; 3]) -> Kinds {
    Kinds { sources, destinations, flows }
}

/// `IPPROTO_SCTP`.
const SCTP: u8 = 132;

/// What counts of an entry (`enum ctattr_type` in `linux/netfilter/nfnetlink_conntrack.h`). `None`: it has no addresses.
fn entry(reply: &[u8]) -> Option<Entry> {
    let mut flow = None;
    let (mut state, mut status, mut zone) = (None, 0, 0);
    for (kind, value) in attributes(reply) {
        match kind {
            // CTA_TUPLE_ORIG
            1 => flow = tuple(value, &mut zone),
            // CTA_STATUS
            3 => status = network_number(value).unwrap_or_default(),
            // CTA_PROTOINFO: of TCP (1) or SCTP (3), in which the state stands first.
            4 => {
                let info = nested(value, &[1, 3]);
                state = info.and_then(|info| nested(info, &[1])?.first().copied());
            }
            // CTA_ZONE
            18 => zone = port(value).unwrap_or_default(),
            _ => {}
        }
    }
    Some(Entry { flow: flow?, state, status, zone })
}

fn tuple(value: &[u8], zone: &mut u16) -> Option<Flow> {
    let (mut source, mut destination) = (None, None);
    let (mut protocol, mut destination_port) = (0, None);
    for (kind, value) in attributes(value) {
        match kind {
            // CTA_TUPLE_IP
            1 => {
                for (kind, value) in attributes(value) {
                    match kind {
                        1 => source = ipv4(value),
                        2 => destination = ipv4(value),
                        3 => source = ipv6(value),
                        4 => destination = ipv6(value),
                        _ => {}
                    }
                }
            }
            // CTA_TUPLE_PROTO
            2 => {
                for (kind, value) in attributes(value) {
                    match kind {
                        1 => protocol = value.first().copied()?,
                        3 => destination_port = port(value),
                        _ => {}
                    }
                }
            }
            // CTA_TUPLE_ZONE
            3 => *zone = port(value).unwrap_or_default(),
            _ => {}
        }
    }
    Some(Flow { source: source?, destination: destination?, protocol, port: destination_port })
}

fn nested<'a>(value: &'a [u8], wanted: &[u16]) -> Option<&'a [u8]> {
    attributes(value).find(|(kind, _)| wanted.contains(kind)).map(|(_, value)| value)
}

fn port(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

fn ipv4(value: &[u8]) -> Option<Address> {
    let octets = <[u8; 4]>::try_from(value).ok()?;
    Some(Address(Ipv4Addr::from(octets).to_ipv6_mapped().octets()))
}

fn ipv6(value: &[u8]) -> Option<Address> {
    value.try_into().ok().map(Address)
}

#[cfg(test)]
mod tests;
