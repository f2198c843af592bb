//! Policy rules of both families.
//!
//! ```text
//! {"family":"ipv4","priority":99,"action":"table","table":254,"table_name":"main","from":null,"to":null,
//!  "fwmark":1048576,"fwmask":1048576,"iif":null,"oif":null,...}
//! ```

use netlink_bindings::rt_rule::{self, FibRuleAttrs, FibRuleHdr};
use serde::Serialize;

use super::attributes::{
    Flags, INET, INET6, Prefix, Word, family, flags, ip_protocol, protocol_name, table_name, text,
};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
struct Rule<'a> {
    family: &'static str,
    priority: u32,
    action: Word,
    table: u32,
    table_name: Option<&'static str>,
    from: Option<Prefix>,
    to: Option<Prefix>,
    fwmark: Option<u32>,
    fwmask: Option<u32>,
    iif: Option<String>,
    oif: Option<String>,
    protocol: Option<u8>,
    protocol_name: Option<&'static str>,
    flags: Flags<'a>,
    suppress_prefix_length: Option<u32>,
    suppress_interface_group: Option<u32>,
    goto: Option<u32>,
    tos: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    l3mdev: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_protocol: Option<Word>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ports: Option<[u16; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ports: Option<[u16; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uids: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dscp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel_id: Option<u64>,
}

/// `FIB_RULE_*`.
const FLAGS: [&str; 5] = ["permanent", "not", "unresolved", "iif-detached", "oif-detached"];

/// `FR_ACT_*`.
const fn action_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "table",
        2 => "goto",
        3 => "nop",
        6 => "blackhole",
        7 => "unreachable",
        8 => "prohibit",
        _ => return None,
    })
}

/// Writes `rules`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    document.list("rules");
    for family in [INET, INET6] {
        let mut header = FibRuleHdr::new();
        header.family = family;
        let request = rt_rule::Request::new().op_getrule_dump(&header);
        kernel.ask("RTM_GETRULE", &request, |(header, attributes)| {
            match row(&header, attributes) {
                Some(rule) => document.row(&rule),
                None => Ok(()),
            }
        })?;
    }
    Ok(())
}

fn row(
    header: &FibRuleHdr,
    attributes: rt_rule::IterableFibRuleAttrs<'_>,
) -> Option<Rule<'static>> {
    let mut rule = Rule {
        family: family(header.family)?,
        // The kernel leaves it out where it is 0.
        priority: 0,
        action: Word(action_name(header.action), header.action.into()),
        table: header.table.into(),
        table_name: None,
        from: None,
        to: None,
        fwmark: None,
        fwmask: None,
        iif: None,
        oif: None,
        protocol: None,
        protocol_name: None,
        flags: flags(header.flags, &FLAGS),
        suppress_prefix_length: None,
        suppress_interface_group: None,
        goto: None,
        tos: header.tos,
        l3mdev: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        uids: None,
        dscp: None,
        tunnel_id: None,
    };
    // -1 stands for none.
    let set = |number: u32| Some(number).filter(|number| *number != u32::MAX);
    for attribute in attributes.flatten() {
        match attribute {
            FibRuleAttrs::Dst(address) => rule.to = Some(Prefix(address, header.dst_len)),
            FibRuleAttrs::Src(address) => rule.from = Some(Prefix(address, header.src_len)),
            FibRuleAttrs::Iifname(name) => rule.iif = Some(text(name)),
            FibRuleAttrs::Oifname(name) => rule.oif = Some(text(name)),
            FibRuleAttrs::Goto(priority) => rule.goto = Some(priority),
            FibRuleAttrs::Priority(priority) => rule.priority = priority,
            FibRuleAttrs::Fwmark(mark) => rule.fwmark = Some(mark),
            FibRuleAttrs::Fwmask(mask) => rule.fwmask = Some(mask),
            FibRuleAttrs::Table(table) => rule.table = table,
            FibRuleAttrs::SuppressPrefixlen(length) => rule.suppress_prefix_length = set(length),
            FibRuleAttrs::SuppressIfgroup(group) => rule.suppress_interface_group = set(group),
            FibRuleAttrs::L3mdev(on) => rule.l3mdev = Some(on != 0),
            FibRuleAttrs::Protocol(protocol) => {
                rule.protocol = Some(protocol);
                rule.protocol_name = protocol_name(protocol);
            }
            FibRuleAttrs::IpProto(number) => {
                rule.ip_protocol = Some(Word(ip_protocol(number), number.into()));
            }
            FibRuleAttrs::SportRange(range) => rule.source_ports = Some([range.start, range.end]),
            FibRuleAttrs::DportRange(range) => {
                rule.destination_ports = Some([range.start, range.end]);
            }
            FibRuleAttrs::UidRange(range) => rule.uids = Some([range.start, range.end]),
            FibRuleAttrs::Dscp(dscp) => rule.dscp = Some(dscp),
            FibRuleAttrs::TunId(id) => rule.tunnel_id = Some(id),
            _ => {}
        }
    }
    rule.table_name = table_name(rule.table);
    Some(rule)
}
