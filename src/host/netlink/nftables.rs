//! nftables: tables, chains, sets, objects, flowtables, rules and the elements of sets, which come last because they
//! may be many. Rules are the kernel's expressions on registers, not `nft`'s sentences.
//!
//! ```text
//! {"family":"ip","name":"filter","handle":1,"flags":[],"uses":3}
//! {"family":"ip","table":"filter","name":"INPUT","handle":1,"type":"filter","hook":"input","priority":0,
//!  "policy":"accept",...}
//! {"family":"ip","table":"filter","chain":"INPUT","handle":4,"comment":"cali:abc","expressions":[
//!  {"expression":"meta","key":"l4proto","destination":1},{"expression":"cmp","source":1,"op":"eq","data":"0x06"},
//!  {"expression":"counter","bytes":0,"packets":0},{"expression":"immediate","destination":0,"verdict":"accept"}]}
//! ```

mod expressions;
mod readable;
mod sets;

use std::ffi::CString;

use netlink_bindings::nftables::{
    self, ChainAttrs, FlowtableAttrs, FlowtableHookAttrs, GenAttrs, HookDevAttrs, Nfgenmsg,
    NftCounterAttrs, NftHookAttrs, ObjAttrs, RuleAttrs, TableAttrs,
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::attributes::{Word, attributes as raw, flags, network_number, text};
use super::document::Document;
use super::kernel::{Kernel, Trouble};
use sets::Wanted;

/// `NFPROTO_*`.
const fn family_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    })
}

fn family(header: &Nfgenmsg) -> Word {
    Word(family_name(header.nfgen_family), header.nfgen_family.into())
}

/// `NF_INET_*`, and `NF_NETDEV_*` for netdev.
const fn hook_name(family: u8, number: u32) -> Option<&'static str> {
    Some(match (family, number) {
        (5, 0) => "ingress",
        (5, 1) => "egress",
        (3, 0) => "input",
        (3, 1) => "output",
        (3, _) => return None,
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        (_, 5) => "ingress",
        _ => return None,
    })
}

#[derive(Debug, Serialize)]
struct Table {
    family: Word,
    name: Option<String>,
    handle: Option<u64>,
    flags: Value,
    uses: Option<u32>,
    owner: Option<u32>,
    comment: Option<String>,
}

#[derive(Debug, Serialize)]
struct Chain {
    family: Word,
    table: Option<String>,
    name: Option<String>,
    handle: Option<u64>,
    r#type: Option<String>,
    hook: Option<Word>,
    priority: Option<i32>,
    policy: Option<Word>,
    devices: Vec<String>,
    uses: Option<u32>,
    packets: Option<u64>,
    bytes: Option<u64>,
    flags: Value,
    comment: Option<String>,
}

#[derive(Debug, Serialize)]
struct Rule {
    family: Word,
    table: Option<String>,
    chain: Option<String>,
    handle: Option<u64>,
    comment: Option<String>,
    expressions: Vec<Value>,
}

const TABLE_FLAGS: [&str; 3] = ["dormant", "owner", "persist"];
const CHAIN_FLAGS: [&str; 3] = ["base", "hw-offload", "binding"];
fn flag_names(bits: u32, names: &[&str]) -> Value {
    serde_json::to_value(flags(bits, names)).unwrap_or_default()
}

/// Writes `generation`, and the lists.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let before = generation(kernel)?;
    document.fact("generation", &before);
    let nothing = || nftables::Request::new();
    let all = Nfgenmsg::new();

    document.list("tables");
    kernel.ask("NFT_MSG_GETTABLE", &nothing().op_gettable_dump(&all), |(header, table)| {
        document.row(&self::table(&header, table))
    })?;
    document.list("chains");
    kernel.ask("NFT_MSG_GETCHAIN", &nothing().op_getchain_dump(&all), |(header, chain)| {
        document.row(&self::chain(&header, chain))
    })?;
    document.list("sets");
    let mut wanted = Vec::new();
    kernel.ask("NFT_MSG_GETSET", &nothing().op_getset_dump(&all), |(header, set)| {
        if let (Ok(table), Ok(name)) = (set.get_table(), set.get_name()) {
            let [table, name] = [table, name].map(CString::from);
            let key_type = set.get_key_type().unwrap_or_default();
            wanted.push(Wanted { family: header.nfgen_family, table, name, key_type });
        }
        document.row(&sets::set(&header, set))
    })?;
    document.list("objects");
    kernel.ask("NFT_MSG_GETOBJ", &nothing().op_getobj_dump(&all), |(header, object)| {
        document.row(&self::object(&header, object))
    })?;
    document.list("flowtables");
    let request = nothing().op_getflowtable_dump(&all);
    kernel.ask("NFT_MSG_GETFLOWTABLE", &request, |(header, flowtable)| {
        document.row(&self::flowtable(&header, flowtable))
    })?;
    document.list("rules");
    kernel.ask("NFT_MSG_GETRULE", &nothing().op_getrule_dump(&all), |(header, rule)| {
        document.row(&self::rule(&header, rule))
    })?;
    document.list("elements");
    for set in &wanted {
        sets::elements(kernel, document, set)?;
    }
    // What belongs together was read in several dumps.
    if generation(kernel)? != before {
        kernel.interrupt();
    }
    Ok(())
}

/// The number that grows with each change of the rule set.
pub(super) fn generation(kernel: &mut Kernel) -> Result<Option<u32>, Trouble> {
    let mut generation = None;
    let request = nftables::Request::new().op_getgen_do(&Nfgenmsg::new());
    kernel.ask("NFT_MSG_GETGEN", &request, |(_, attributes)| {
        generation = attributes.flatten().find_map(|attribute| match attribute {
            GenAttrs::Id(id) => Some(id),
            _ => None,
        });
        Ok(())
    })?;
    Ok(generation)
}

fn table(header: &Nfgenmsg, attributes: nftables::IterableTableAttrs<'_>) -> Table {
    let mut table = Table {
        family: family(header),
        name: None,
        handle: None,
        flags: Value::Null,
        uses: None,
        owner: None,
        comment: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            TableAttrs::Name(name) => table.name = Some(text(name)),
            TableAttrs::Handle(handle) => table.handle = Some(handle),
            TableAttrs::Flags(bits) => table.flags = flag_names(bits, &TABLE_FLAGS),
            TableAttrs::Use(count) => table.uses = Some(count),
            TableAttrs::Owner(port) => table.owner = Some(port),
            TableAttrs::Userdata(data) => table.comment = comment(data),
            TableAttrs::Pad(_) => {}
        }
    }
    table
}

fn chain(header: &Nfgenmsg, attributes: nftables::IterableChainAttrs<'_>) -> Chain {
    let buffer = attributes.get_buf();
    let mut chain = Chain {
        family: family(header),
        table: None,
        name: None,
        handle: None,
        r#type: None,
        hook: None,
        priority: None,
        policy: None,
        devices: Vec::new(),
        uses: None,
        packets: None,
        bytes: None,
        flags: flag_names(0, &CHAIN_FLAGS),
        comment: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            ChainAttrs::Table(name) => chain.table = Some(text(name)),
            ChainAttrs::Name(name) => chain.name = Some(text(name)),
            ChainAttrs::Handle(handle) => chain.handle = Some(handle),
            ChainAttrs::Type(kind) => chain.r#type = Some(text(kind)),
            ChainAttrs::Policy(policy) => chain.policy = Some(verdict_word(policy)),
            ChainAttrs::Use(count) => chain.uses = Some(count),
            ChainAttrs::Counters(counters) => {
                for counter in counters.flatten() {
                    match counter {
                        NftCounterAttrs::Bytes(count) => chain.bytes = Some(count),
                        NftCounterAttrs::Packets(count) => chain.packets = Some(count),
                    }
                }
            }
            ChainAttrs::Hook(hook) => {
                for part in hook.flatten() {
                    match part {
                        NftHookAttrs::Num(number) => {
                            let name = hook_name(header.nfgen_family, number);
                            chain.hook = Some(Word(name, number));
                        }
                        NftHookAttrs::Priority(priority) => chain.priority = Some(priority),
                        NftHookAttrs::Dev(name) => chain.devices.push(text(name)),
                        NftHookAttrs::Devs(list) => chain.devices.extend(devices(list)),
                    }
                }
            }
            _ => {}
        }
    }
    // The bindings (0.3.5) miss that the kernel has padding before them.
    for (kind, value) in raw(buffer) {
        match kind {
            CHAIN_FLAGS_ATTRIBUTE => chain.flags = flag_names(bits(value), &CHAIN_FLAGS),
            CHAIN_USERDATA => chain.comment = comment(value),
            _ => {}
        }
    }
    chain
}

fn devices(list: nftables::IterableHookDevAttrs<'_>) -> impl Iterator<Item = String> {
    list.flatten().map(|HookDevAttrs::Name(name)| text(name))
}

/// The policy of a chain.
const fn verdict_word(number: u32) -> Word {
    Word(
        match number {
            0 => Some("drop"),
            1 => Some("accept"),
            _ => None,
        },
        number,
    )
}

fn object(header: &Nfgenmsg, attributes: nftables::IterableObjAttrs<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("family".to_owned(), serde_json::to_value(family(header)).unwrap_or_default());
    for attribute in attributes.flatten() {
        let (name, value): (&str, Value) = match attribute {
            ObjAttrs::Table(name) => ("table", text(name).into()),
            ObjAttrs::Name(name) => ("name", text(name).into()),
            ObjAttrs::Type(kind) => ("type", expressions::object_type(kind)),
            ObjAttrs::Use(count) => ("uses", count.into()),
            ObjAttrs::Handle(handle) => ("handle", handle.into()),
            ObjAttrs::Userdata(data) => ("comment", comment(data).into()),
            ObjAttrs::Data(data) => ("data", expressions::object_data(&data)),
            ObjAttrs::Pad(_) => continue,
        };
        object.insert(name.to_owned(), value);
    }
    object
}

fn flowtable(
    header: &Nfgenmsg,
    attributes: nftables::IterableFlowtableAttrs<'_>,
) -> Map<String, Value> {
    let mut flowtable = Map::new();
    let mut put = |name: &str, value: Value| {
        flowtable.insert(name.to_owned(), value);
    };
    put("family", serde_json::to_value(family(header)).unwrap_or_default());
    for attribute in attributes.flatten() {
        match attribute {
            FlowtableAttrs::Table(name) => put("table", text(name).into()),
            FlowtableAttrs::Name(name) => put("name", text(name).into()),
            FlowtableAttrs::Use(count) => put("uses", count.into()),
            FlowtableAttrs::Handle(handle) => put("handle", handle.into()),
            FlowtableAttrs::Flags(bits) => put("flags", bits.into()),
            FlowtableAttrs::Hook(hook) => {
                for part in hook.flatten() {
                    match part {
                        FlowtableHookAttrs::Num(number) => put("hook", number.into()),
                        FlowtableHookAttrs::Priority(priority) => {
                            put("priority", priority.cast_signed().into());
                        }
                        FlowtableHookAttrs::Devs(list) => {
                            put("devices", devices(list).collect::<Vec<_>>().into());
                        }
                    }
                }
            }
            FlowtableAttrs::Pad(_) => {}
        }
    }
    flowtable
}

fn rule(header: &Nfgenmsg, attributes: nftables::IterableRuleAttrs<'_>) -> Rule {
    let mut rule = Rule {
        family: family(header),
        table: None,
        chain: None,
        handle: None,
        comment: None,
        expressions: Vec::new(),
    };
    for attribute in attributes.flatten() {
        match attribute {
            RuleAttrs::Table(name) => rule.table = Some(text(name)),
            RuleAttrs::Chain(name) => rule.chain = Some(text(name)),
            RuleAttrs::Handle(handle) => rule.handle = Some(handle),
            RuleAttrs::Userdata(data) => rule.comment = comment(data),
            RuleAttrs::Expressions(list) => {
                rule.expressions = expressions::list(list);
                readable::in_rule(&mut rule.expressions);
            }
            _ => {}
        }
    }
    // iptables keeps its comments in a match of their own.
    if rule.comment.is_none() {
        rule.comment = rule.expressions.iter().find_map(expressions::comment_of_match);
    }
    rule
}

/// A number in network order, as all of nftables.
fn bits(value: &[u8]) -> u32 {
    network_number(value).and_then(|bits| u32::try_from(bits).ok()).unwrap_or_default()
}

// `NFTA_CHAIN_*`.
const CHAIN_FLAGS_ATTRIBUTE: u16 = 10;
const CHAIN_USERDATA: u16 = 12;

/// The comment that `nft` keeps as its user's data: entries of type, length and value.
fn comment(data: &[u8]) -> Option<String> {
    userdata(data, 0)
}

fn userdata(mut data: &[u8], wanted: u8) -> Option<String> {
    while let [kind, length, rest @ ..] = data {
        let value = rest.get(..usize::from(*length))?;
        if *kind == wanted {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        data = &rest[value.len()..];
    }
    None
}

#[cfg(test)]
mod tests;
