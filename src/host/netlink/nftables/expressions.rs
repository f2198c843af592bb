//! The expressions of a rule, each an object with its kind and what it has. Registers are numbers (0 is the verdict),
//! data is hexadecimal in the order in which it stands in a packet. Of a kind that the bindings do not know, the
//! attributes stand by number.

use netlink_bindings::nftables::{
    self, CompatMatchAttrs, CounterAttrs, DataAttrs, ExprAttrs, ExprBitwiseAttrs, ExprCmpAttrs,
    ExprCounterAttrs, ExprCtAttrs, ExprFibAttrs, ExprImmediateAttrs, ExprListAttrs, ExprMetaAttrs,
    ExprNatAttrs, ExprObjrefAttrs, ExprOps, ExprPayloadAttrs, ExprRejectAttrs, ExprTargetAttrs,
    LogAttrs, ObjData, QuotaAttrs, RangeAttrs, VerdictAttrs,
};
use serde_json::{Map, Value};

use crate::host::netlink::attributes::{attributes, hex, name, network_number, text};

/// All expressions of a rule.
pub(super) fn list(list: nftables::IterableExprListAttrs<'_>) -> Vec<Value> {
    list.flatten().map(|ExprListAttrs::Elem(one)| expression(one)).collect()
}

/// `NFTA_EXPR_DATA`.
const DATA: u16 = 2;

/// One expression.
pub(super) fn expression(attributes_: nftables::IterableExprAttrs<'_>) -> Value {
    let buffer = attributes_.get_buf();
    let mut expression = Map::new();
    let mut is_known = false;
    for attribute in attributes_.flatten() {
        match attribute {
            ExprAttrs::Name(name) => {
                expression.insert("expression".to_owned(), text(name).into());
            }
            ExprAttrs::Data(data) => is_known = fill(&mut expression, &data),
        }
    }
    if !is_known && let Some((_, data)) = attributes(buffer).find(|(kind, _)| *kind == DATA) {
        let raw = attributes(data).map(|(kind, value)| (kind.to_string(), hex(value).into()));
        expression.insert("attributes".to_owned(), Value::Object(raw.collect()));
    }
    Value::Object(expression)
}

/// Bytes, or a verdict.
pub(super) fn data(data: nftables::IterableDataAttrs<'_>) -> Value {
    match data.flatten().next() {
        Some(DataAttrs::Value(bytes)) => hex(bytes).into(),
        Some(DataAttrs::Verdict(parts)) => {
            let (mut code, mut chain) = (Value::Null, None);
            for part in parts.flatten() {
                match part {
                    VerdictAttrs::Code(number) => code = verdict(number),
                    VerdictAttrs::Chain(name) => chain = Some(text(name)),
                    VerdictAttrs::ChainId(_) => {}
                }
            }
            match (code, chain) {
                (Value::String(code), Some(chain)) => format!("{code} {chain}").into(),
                (code, _) => code,
            }
        }
        None => Value::Null,
    }
}

fn verdict(number: u32) -> Value {
    match number.cast_signed() {
        0 => "drop".into(),
        1 => "accept".into(),
        2 => "stolen".into(),
        3 => "queue".into(),
        4 => "repeat".into(),
        -1 => "continue".into(),
        -2 => "break".into(),
        -3 => "jump".into(),
        -4 => "goto".into(),
        -5 => "return".into(),
        other => other.into(),
    }
}

fn word(number: u32, names: &[&str]) -> Value {
    names.get(number as usize).map_or_else(|| number.into(), |name| (*name).into())
}

const META: [&str; 36] = [
    "length",
    "protocol",
    "priority",
    "mark",
    "iif",
    "oif",
    "iifname",
    "oifname",
    "iiftype",
    "oiftype",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "secmark",
    "nfproto",
    "l4proto",
    "ibrname",
    "obrname",
    "pkttype",
    "cpu",
    "iifgroup",
    "oifgroup",
    "cgroup",
    "random",
    "ipsec",
    "iifkind",
    "oifkind",
    "ibrpvid",
    "ibrvproto",
    "time",
    "day",
    "hour",
    "sdif",
    "sdifname",
    "broute",
];

const CT: [&str; 24] = [
    "state",
    "direction",
    "status",
    "mark",
    "secmark",
    "expiration",
    "helper",
    "l3proto",
    "saddr",
    "daddr",
    "protocol",
    "proto-src",
    "proto-dst",
    "label",
    "packets",
    "bytes",
    "avgpkt",
    "zone",
    "event",
    "ip-saddr",
    "ip-daddr",
    "ip6-saddr",
    "ip6-daddr",
    "id",
];

const COMPARE: [&str; 6] = ["eq", "neq", "lt", "lte", "gt", "gte"];
const BITWISE: [&str; 6] = ["mask-xor", "lshift", "rshift", "and", "or", "xor"];
const BASES: [&str; 5] = ["link", "network", "transport", "inner", "tunnel"];
const NAT: [&str; 2] = ["snat", "dnat"];
const REJECT: [&str; 3] = ["icmp", "tcp-reset", "icmpx"];
const FIB: [&str; 4] = ["unspec", "oif", "oifname", "type"];

/// The type of a named object.
pub(super) fn object_type(number: u32) -> Value {
    const TYPES: [&str; 11] = [
        "unspec",
        "counter",
        "quota",
        "ct-helper",
        "limit",
        "connlimit",
        "tunnel",
        "ct-timeout",
        "secmark",
        "ct-expectation",
        "synproxy",
    ];
    word(number, &TYPES)
}

/// What a named object holds.
pub(super) fn object_data(data: &ObjData<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, number: u64| {
        object.insert(name.to_owned(), number.into());
    };
    match data {
        ObjData::Counter(parts) => {
            for part in parts.flatten() {
                match part {
                    CounterAttrs::Bytes(count) => put("bytes", count),
                    CounterAttrs::Packets(count) => put("packets", count),
                    CounterAttrs::Pad(_) => {}
                }
            }
        }
        ObjData::Quota(parts) => {
            for part in parts.flatten() {
                match part {
                    QuotaAttrs::Bytes(count) => put("bytes", count),
                    QuotaAttrs::Consumed(count) => put("consumed", count),
                    QuotaAttrs::Flags(bits) => put("flags", bits.into()),
                    QuotaAttrs::Pad(_) => {}
                }
            }
        }
    }
    Value::Object(object)
}

/// Whether its kind is known.
#[allow(clippy::too_many_lines, reason = "one arm for each kind of expression")]
fn fill(expression: &mut Map<String, Value>, operation: &ExprOps<'_>) -> bool {
    let mut put = |name: &str, value: Value| {
        expression.insert(name.to_owned(), value);
    };
    match operation {
        ExprOps::Bitwise(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprBitwiseAttrs::Sreg(register) => put("source", register.into()),
                    ExprBitwiseAttrs::Dreg(register) => put("destination", register.into()),
                    ExprBitwiseAttrs::Len(bytes) => put("bytes", bytes.into()),
                    ExprBitwiseAttrs::Mask(mask) => put("mask", data(mask)),
                    ExprBitwiseAttrs::Xor(xor) => put("xor", data(xor)),
                    ExprBitwiseAttrs::Op(op) => put("op", word(op, &BITWISE)),
                    ExprBitwiseAttrs::Data(value) => put("data", data(value)),
                }
            }
        }
        ExprOps::Cmp(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprCmpAttrs::Sreg(register) => put("source", register.into()),
                    ExprCmpAttrs::Op(op) => put("op", word(op, &COMPARE)),
                    ExprCmpAttrs::Data(value) => put("data", data(value)),
                }
            }
        }
        ExprOps::Counter(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprCounterAttrs::Bytes(count) => put("bytes", count.into()),
                    ExprCounterAttrs::Packets(count) => put("packets", count.into()),
                    ExprCounterAttrs::Pad(_) => {}
                }
            }
        }
        ExprOps::Ct(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprCtAttrs::Dreg(register) => put("destination", register.into()),
                    ExprCtAttrs::Sreg(register) => put("source", register.into()),
                    ExprCtAttrs::Key(key) => put("key", word(key, &CT)),
                    ExprCtAttrs::Direction(direction) => {
                        put("direction", word(direction.into(), &["original", "reply"]));
                    }
                }
            }
        }
        ExprOps::Fib(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprFibAttrs::Dreg(register) => put("destination", register.into()),
                    ExprFibAttrs::Result(result) => put("result", word(result, &FIB)),
                    ExprFibAttrs::Flags(bits) => put("flags", bits.into()),
                }
            }
        }
        ExprOps::Immediate(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprImmediateAttrs::Dreg(register) => put("destination", register.into()),
                    ExprImmediateAttrs::Data(value) => put("data", data(value)),
                }
            }
        }
        ExprOps::Log(parts) => {
            for part in parts.flatten() {
                match part {
                    LogAttrs::Group(group) => put("group", group.into()),
                    LogAttrs::Prefix(prefix) => put("prefix", text(prefix).into()),
                    LogAttrs::Snaplen(bytes) => put("snaplen", bytes.into()),
                    LogAttrs::Qthreshold(count) => put("queue_threshold", count.into()),
                    LogAttrs::Level(level) => put("level", level.into()),
                    LogAttrs::Flags(bits) => put("flags", bits.into()),
                }
            }
        }
        // The bindings (0.3.5) have them in another order than the kernel.
        ExprOps::Lookup(parts) => {
            for (kind, value) in attributes(parts.get_buf()) {
                let number = || network_number(value).into();
                match kind {
                    LOOKUP_SET => put("set", name(value).into()),
                    LOOKUP_SREG => put("source", number()),
                    LOOKUP_DREG => put("destination", number()),
                    LOOKUP_FLAGS => {
                        put("not", value.last().is_some_and(|bits| bits & 1 != 0).into());
                    }
                    _ => {}
                }
            }
        }
        ExprOps::Match(parts) => {
            for part in parts.flatten() {
                match part {
                    CompatMatchAttrs::Name(name) => put("match", text(name).into()),
                    CompatMatchAttrs::Rev(revision) => put("revision", revision.into()),
                    CompatMatchAttrs::Info(info) => put_info(&mut put, info),
                }
            }
        }
        ExprOps::Target(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprTargetAttrs::Name(name) => put("target", text(name).into()),
                    ExprTargetAttrs::Rev(revision) => put("revision", revision.into()),
                    ExprTargetAttrs::Info(info) => put_info(&mut put, info),
                }
            }
        }
        ExprOps::Meta(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprMetaAttrs::Dreg(register) => put("destination", register.into()),
                    ExprMetaAttrs::Key(key) => put("key", word(key, &META)),
                    ExprMetaAttrs::Sreg(register) => put("source", register.into()),
                }
            }
        }
        ExprOps::Nat(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprNatAttrs::Type(kind) => put("type", word(kind, &NAT)),
                    ExprNatAttrs::Family(family) => put("family", family.into()),
                    ExprNatAttrs::RegAddrMin(register) => put("address_min", register.into()),
                    ExprNatAttrs::RegAddrMax(register) => put("address_max", register.into()),
                    ExprNatAttrs::RegProtoMin(register) => put("port_min", register.into()),
                    ExprNatAttrs::RegProtoMax(register) => put("port_max", register.into()),
                    ExprNatAttrs::Flags(bits) => put("flags", bits.into()),
                }
            }
        }
        ExprOps::Objref(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprObjrefAttrs::ImmType(kind) => put("type", object_type(kind)),
                    ExprObjrefAttrs::ImmName(name) => put("name", text(name).into()),
                    ExprObjrefAttrs::SetSreg(register) => put("source", register.into()),
                    ExprObjrefAttrs::SetName(name) => put("set", text(name).into()),
                    ExprObjrefAttrs::SetId(_) => {}
                }
            }
        }
        ExprOps::Payload(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprPayloadAttrs::Dreg(register) => put("destination", register.into()),
                    ExprPayloadAttrs::Sreg(register) => put("source", register.into()),
                    ExprPayloadAttrs::Base(base) => put("base", word(base, &BASES)),
                    ExprPayloadAttrs::Offset(bytes) => put("offset", bytes.into()),
                    ExprPayloadAttrs::Len(bytes) => put("bytes", bytes.into()),
                    ExprPayloadAttrs::CsumType(kind) => put("checksum_type", kind.into()),
                    ExprPayloadAttrs::CsumOffset(bytes) => put("checksum_offset", bytes.into()),
                    ExprPayloadAttrs::CsumFlags(bits) => put("checksum_flags", bits.into()),
                }
            }
        }
        ExprOps::Quota(parts) => {
            for part in parts.flatten() {
                match part {
                    QuotaAttrs::Bytes(count) => put("bytes", count.into()),
                    QuotaAttrs::Consumed(count) => put("consumed", count.into()),
                    QuotaAttrs::Flags(bits) => put("flags", bits.into()),
                    QuotaAttrs::Pad(_) => {}
                }
            }
        }
        ExprOps::Range(parts) => {
            for part in parts.flatten() {
                match part {
                    RangeAttrs::Sreg(register) => put("source", register.into()),
                    RangeAttrs::Op(op) => put("op", word(op, &COMPARE)),
                    RangeAttrs::FromData(value) => put("from", data(value)),
                    RangeAttrs::ToData(value) => put("to", data(value)),
                }
            }
        }
        ExprOps::Reject(parts) => {
            for part in parts.flatten() {
                match part {
                    ExprRejectAttrs::Type(kind) => put("type", word(kind, &REJECT)),
                    ExprRejectAttrs::IcmpCode(code) => put("icmp_code", code.into()),
                }
            }
        }
        _ => return false,
    }
    true
}

/// `NFTA_LOOKUP_*`.
const LOOKUP_SET: u16 = 1;
const LOOKUP_SREG: u16 = 2;
const LOOKUP_DREG: u16 = 3;
const LOOKUP_FLAGS: u16 = 5;

/// What a match or target of iptables holds; its many zeros at the end are left out, and its length is said.
fn put_info(put: &mut impl FnMut(&str, Value), info: &[u8]) {
    let end = info.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    put("info", hex(&info[..end]).into());
    put("info_bytes", info.len().into());
}

/// The comment of a rule that iptables made: the text in the match `comment`.
pub(super) fn comment_of_match(expression: &Value) -> Option<String> {
    if expression.get("match")? != "comment" {
        return None;
    }
    let digits = expression.get("info")?.as_str()?.strip_prefix("0x")?;
    let bytes = digits.as_bytes().chunks_exact(2).map_while(|pair| {
        u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok().filter(|byte| *byte != 0)
    });
    Some(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned())
}
