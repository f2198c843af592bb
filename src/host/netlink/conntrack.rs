//! Connection tracking: counters, and the table itself, which is large and written as it comes.
//!
//! ```text
//! {"cpu":0,"found":12,"invalid":3,"insert":0,"insert_failed":0,"drop":0,"early_drop":0,"error":0,...}
//! {"family":"ipv4","protocol":"tcp","state":"established","timeout_seconds":86395,"status":["seen-reply","assured",...],
//!  "original":{"source":"10.0.0.1","destination":"10.0.0.2","source_port":41234,"destination_port":179},"reply":{...},
//!  "mark":0,"use":1,"id":4711}
//! ```

pub(super) mod top;

use std::net::IpAddr;

use netlink_bindings::conntrack::{
    self, ConntrackAttrs, ConntrackStatsAttrs, CounterAttrs, Nfgenmsg, ProtoinfoAttrs,
    ProtoinfoSctpAttrs, ProtoinfoTcpAttrs, TupleAttrs, TupleIpAttrs, TupleProtoAttrs,
};
use serde::Serialize;

use super::attributes::{
    Flags, Word, attributes, family, flags, ip_protocol, network_number, text,
};
use super::document::Document;
use super::kernel::{Kernel, Netfilter, Trouble};

#[derive(Debug, Default, Serialize)]
struct Counters {
    cpu: u16,
    found: Option<u32>,
    invalid: Option<u32>,
    insert: Option<u32>,
    insert_failed: Option<u32>,
    drop: Option<u32>,
    early_drop: Option<u32>,
    error: Option<u32>,
    search_restart: Option<u32>,
    clash_resolve: Option<u32>,
    chaintoolong: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Connection<'a> {
    family: &'static str,
    protocol: Word,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Word>,
    timeout_seconds: Option<u32>,
    status: Flags<'a>,
    original: Direction,
    reply: Direction,
    mark: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    helper: Option<String>,
    r#use: Option<u32>,
    id: Option<u32>,
}

#[derive(Debug, Default, Serialize)]
struct Direction {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_id: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip)]
    protocol: u8,
}

/// `IPS_*`.
const STATUS: [&str; 16] = [
    "expected",
    "seen-reply",
    "assured",
    "confirmed",
    "snat",
    "dnat",
    "seq-adjust",
    "snat-done",
    "dnat-done",
    "dying",
    "fixed-timeout",
    "template",
    "nat-clash",
    "helper",
    "offload",
    "hw-offload",
];

/// `TCP_CONNTRACK_*`.
const fn tcp_state(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "none",
        1 => "syn-sent",
        2 => "syn-received",
        3 => "established",
        4 => "fin-wait",
        5 => "close-wait",
        6 => "last-ack",
        7 => "time-wait",
        8 => "close",
        9 => "syn-sent2",
        _ => return None,
    })
}

/// `SCTP_CONNTRACK_*`.
const fn sctp_state(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "none",
        1 => "closed",
        2 => "cookie-wait",
        3 => "cookie-echoed",
        4 => "established",
        5 => "shutdown-sent",
        6 => "shutdown-received",
        7 => "shutdown-ack-sent",
        _ => return None,
    })
}

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u8 = 1;
/// `IPCTNL_MSG_CT_GET_STATS`.
const GET_STATS: u8 = 5;

/// Entries and limit of the whole table; the limit is not told by kernels before 4.18.
fn totals(kernel: &mut Kernel) -> Result<(Option<u64>, Option<u64>), Trouble> {
    let (mut entries, mut limit) = (None, None);
    let request = Netfilter::new(SUBSYSTEM, GET_STATS, false, 0);
    kernel.ask("IPCTNL_MSG_CT_GET_STATS", &request, |reply| {
        for (kind, value) in attributes(reply) {
            match kind {
                1 => entries = network_number(value),
                2 => limit = network_number(value),
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok((entries, limit))
}

/// Writes `entries`, `max` and `cpus`.
pub(super) fn write_stats(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let (entries, limit) = totals(kernel)?;
    document.fact("entries", &entries);
    document.fact("max", &limit);
    document.list("cpus");
    let request = conntrack::Request::new().op_get_stats_dump(&Nfgenmsg::new());
    kernel.ask("IPCTNL_MSG_CT_GET_STATS_CPU", &request, |(header, attributes)| {
        let mut cpu = Counters { cpu: header.res_id(), ..Counters::default() };
        for attribute in attributes.flatten() {
            match attribute {
                ConntrackStatsAttrs::Found(count) => cpu.found = Some(count),
                ConntrackStatsAttrs::Invalid(count) => cpu.invalid = Some(count),
                ConntrackStatsAttrs::Insert(count) => cpu.insert = Some(count),
                ConntrackStatsAttrs::InsertFailed(count) => cpu.insert_failed = Some(count),
                ConntrackStatsAttrs::Drop(count) => cpu.drop = Some(count),
                ConntrackStatsAttrs::EarlyDrop(count) => cpu.early_drop = Some(count),
                ConntrackStatsAttrs::Error(count) => cpu.error = Some(count),
                ConntrackStatsAttrs::SearchRestart(count) => cpu.search_restart = Some(count),
                ConntrackStatsAttrs::ClashResolve(count) => cpu.clash_resolve = Some(count),
                ConntrackStatsAttrs::ChainToolong(count) => cpu.chaintoolong = Some(count),
                _ => {}
            }
        }
        document.row(&cpu)
    })
}

/// Writes `connections`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    if let (Some(entries), _) = totals(kernel)? {
        document.expect(entries);
    }
    document.list("connections");
    let request = conntrack::Request::new().op_get_dump(&Nfgenmsg::new());
    kernel.ask("IPCTNL_MSG_CT_GET", &request, |(header, attributes)| {
        match row(&header, attributes) {
            Some(connection) => document.row(&connection),
            None => Ok(()),
        }
    })
}

fn row(
    header: &Nfgenmsg,
    attributes: conntrack::IterableConntrackAttrs<'_>,
) -> Option<Connection<'static>> {
    let mut connection = Connection {
        family: family(header.nfgen_family)?,
        protocol: Word(None, 0),
        state: None,
        timeout_seconds: None,
        status: flags(0, &STATUS),
        original: Direction::default(),
        reply: Direction::default(),
        mark: None,
        zone: None,
        helper: None,
        r#use: None,
        id: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            ConntrackAttrs::TupleOrig(tuple) => connection.original.fill(tuple),
            ConntrackAttrs::TupleReply(tuple) => connection.reply.fill(tuple),
            ConntrackAttrs::Status(status) => connection.status = flags(status, &STATUS),
            ConntrackAttrs::Protoinfo(info) => connection.state = state(info),
            ConntrackAttrs::Timeout(seconds) => connection.timeout_seconds = Some(seconds),
            ConntrackAttrs::Mark(mark) => connection.mark = Some(mark),
            ConntrackAttrs::Zone(zone) => connection.zone = Some(zone),
            ConntrackAttrs::Use(count) => connection.r#use = Some(count),
            ConntrackAttrs::Id(id) => connection.id = Some(id),
            ConntrackAttrs::CountersOrig(counters) => connection.original.count(counters),
            ConntrackAttrs::CountersReply(counters) => connection.reply.count(counters),
            ConntrackAttrs::Help(help) => connection.helper = help.get_help_name().ok().map(text),
            _ => {}
        }
    }
    let number = connection.original.protocol;
    connection.protocol = Word(ip_protocol(number), number.into());
    Some(connection)
}

impl Direction {
    fn fill(&mut self, tuple: conntrack::IterableTupleAttrs<'_>) {
        for attribute in tuple.flatten() {
            match attribute {
                TupleAttrs::TupleIp(addresses) => {
                    for address in addresses.flatten() {
                        match address {
                            TupleIpAttrs::IpV4Src(ip) => self.source = Some(ip.into()),
                            TupleIpAttrs::IpV4Dst(ip) => self.destination = Some(ip.into()),
                            TupleIpAttrs::IpV6Src(ip) => self.source = Some(ip.into()),
                            TupleIpAttrs::IpV6Dst(ip) => self.destination = Some(ip.into()),
                        }
                    }
                }
                TupleAttrs::TupleProto(parts) => {
                    for part in parts.flatten() {
                        match part {
                            TupleProtoAttrs::ProtoNum(number) => self.protocol = number,
                            TupleProtoAttrs::ProtoSrcPort(port) => self.source_port = Some(port),
                            TupleProtoAttrs::ProtoDstPort(port) => {
                                self.destination_port = Some(port);
                            }
                            TupleProtoAttrs::ProtoIcmpId(id)
                            | TupleProtoAttrs::ProtoIcmpv6Id(id) => self.icmp_id = Some(id),
                            TupleProtoAttrs::ProtoIcmpType(kind)
                            | TupleProtoAttrs::ProtoIcmpv6Type(kind) => {
                                self.icmp_type = Some(kind);
                            }
                            TupleProtoAttrs::ProtoIcmpCode(code)
                            | TupleProtoAttrs::ProtoIcmpv6Code(code) => {
                                self.icmp_code = Some(code);
                            }
                        }
                    }
                }
                TupleAttrs::TupleZone(zone) => self.zone = Some(zone),
            }
        }
    }

    /// Only where `net.netfilter.nf_conntrack_acct` is on.
    fn count(&mut self, counters: conntrack::IterableCounterAttrs<'_>) {
        for counter in counters.flatten() {
            match counter {
                CounterAttrs::Packets(count) => self.packets = Some(count),
                CounterAttrs::Bytes(count) => self.bytes = Some(count),
                _ => {}
            }
        }
    }
}

fn state(info: conntrack::IterableProtoinfoAttrs<'_>) -> Option<Word> {
    info.flatten().find_map(|attribute| match attribute {
        ProtoinfoAttrs::ProtoinfoTcp(mut tcp) => tcp.find_map(|part| match part {
            Ok(ProtoinfoTcpAttrs::TcpState(state)) => Some(Word(tcp_state(state), state.into())),
            _ => None,
        }),
        ProtoinfoAttrs::ProtoinfoSctp(mut sctp) => sctp.find_map(|part| match part {
            Ok(ProtoinfoSctpAttrs::SctpState(state)) => Some(Word(sctp_state(state), state.into())),
            _ => None,
        }),
        ProtoinfoAttrs::ProtoinfoDccp(_) => None,
    })
}
