//! Sets of nftables, and their elements.

use std::ffi::CString;

use netlink_bindings::nftables::{
    self, DataAttrs, ExprAttrs, ExprListAttrs, Nfgenmsg, SetAttrs, SetDescAttrs, SetelemListAttrs,
    SetelemListElemAttrs,
};
use serde::Serialize;
use serde_json::Value;

use super::expressions::{self, data, expression};
use super::{bits, comment, family, flag_names, readable, userdata};
use crate::host::netlink::attributes::{Word, attributes as raw, name, network_number, text};
use crate::host::netlink::document::Document;
use crate::host::netlink::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
pub(super) struct Set {
    family: Word,
    table: Option<String>,
    name: Option<String>,
    handle: Option<u64>,
    flags: Value,
    key_type: Option<u32>,
    key_bytes: Option<u32>,
    data_type: Option<Word>,
    data_bytes: Option<u32>,
    timeout_milliseconds: Option<u64>,
    gc_interval_milliseconds: Option<u32>,
    size: Option<u32>,
    comment: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Element<'a> {
    family: Word,
    table: &'a str,
    set: &'a str,
    key: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    key_end: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: Value,
    #[serde(skip_serializing_if = "Value::is_null")]
    flags: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_milliseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_milliseconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expressions: Vec<Value>,
}

const SET_FLAGS: [&str; 9] = [
    "anonymous",
    "constant",
    "interval",
    "map",
    "timeout",
    "dynamic",
    "object",
    "concatenated",
    "expressions",
];
const ELEMENT_FLAGS: [&str; 2] = ["interval-end", "catchall"];

/// `NFT_DATA_VERDICT`: the map gives no data but what is to be done.
const VERDICT: u32 = 0xffff_ff00;

/// A set whose elements are asked for.
pub(super) struct Wanted {
    pub(super) family: u8,
    pub(super) table: CString,
    pub(super) name: CString,
    pub(super) key_type: u32,
}

// `NFTA_SET_ELEM_*`.
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS_ATTRIBUTE: u16 = 3;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;
const ELEMENT_USERDATA: u16 = 6;
const ELEMENT_EXPRESSION: u16 = 7;
const ELEMENT_OBJECT: u16 = 9;
const ELEMENT_KEY_END: u16 = 10;
const ELEMENT_EXPRESSIONS: u16 = 11;

pub(super) fn set(header: &Nfgenmsg, attributes: nftables::IterableSetAttrs<'_>) -> Set {
    let mut set = Set {
        family: family(header),
        table: None,
        name: None,
        handle: None,
        flags: flag_names(0, &SET_FLAGS),
        key_type: None,
        key_bytes: None,
        data_type: None,
        data_bytes: None,
        timeout_milliseconds: None,
        gc_interval_milliseconds: None,
        size: None,
        comment: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            SetAttrs::Table(name) => set.table = Some(text(name)),
            SetAttrs::Name(name) => set.name = Some(text(name)),
            SetAttrs::Handle(handle) => set.handle = Some(handle),
            SetAttrs::Flags(bits) => set.flags = flag_names(bits, &SET_FLAGS),
            SetAttrs::KeyType(kind) => set.key_type = Some(kind),
            SetAttrs::KeyLen(bytes) => set.key_bytes = Some(bytes),
            SetAttrs::DataType(kind) => {
                set.data_type = Some(Word((kind == VERDICT).then_some("verdict"), kind));
            }
            SetAttrs::DataLen(bytes) => set.data_bytes = Some(bytes),
            // In network order, whatever the bindings say.
            SetAttrs::Timeout(time) => set.timeout_milliseconds = Some(u64::from_be(time)),
            SetAttrs::GcInterval(time) => set.gc_interval_milliseconds = Some(u32::from_be(time)),
            SetAttrs::Desc(description) => {
                set.size = description.flatten().find_map(|part| match part {
                    SetDescAttrs::Size(size) => Some(size),
                    SetDescAttrs::Concat(_) => None,
                });
            }
            // After 8 entries of its own, NFTNL_UDATA_SET_COMMENT is 7.
            SetAttrs::Userdata(data) => set.comment = userdata(data, 7),
            _ => {}
        }
    }
    set
}

pub(super) fn elements(
    kernel: &mut Kernel,
    document: &mut Document,
    wanted: &Wanted,
) -> Result<(), Trouble> {
    let mut header = Nfgenmsg::new();
    header.nfgen_family = wanted.family;
    let mut request = nftables::Request::new().op_getsetelem_dump(&header);
    request.encode().push_table(&wanted.table).push_set(&wanted.name);
    let (table, set) = (text(&wanted.table), text(&wanted.name));
    let asked = kernel.ask("NFT_MSG_GETSETELEM", &request, |(header, attributes)| {
        for attribute in attributes.flatten() {
            let SetelemListAttrs::Elements(list) = attribute else { continue };
            for SetelemListElemAttrs::Elem(attributes) in list.flatten() {
                let mut row = element(&header, &table, &set, attributes);
                row.key = readable::key(row.key, wanted.key_type);
                row.key_end = readable::key(row.key_end, wanted.key_type);
                document.row(&row)?;
            }
        }
        Ok(())
    });
    match asked {
        // It is gone meanwhile.
        Err(Trouble::Refused(_, nix::errno::Errno::ENOENT)) => {
            kernel.interrupt();
            Ok(())
        }
        other => other,
    }
}

pub(super) fn element<'a>(
    header: &Nfgenmsg,
    table: &'a str,
    set: &'a str,
    attributes: nftables::IterableSetelemAttrs<'_>,
) -> Element<'a> {
    let mut element = Element {
        family: family(header),
        table,
        set,
        key: Value::Null,
        key_end: Value::Null,
        data: Value::Null,
        flags: Value::Null,
        timeout_milliseconds: None,
        expires_milliseconds: None,
        comment: None,
        object: None,
        expressions: Vec::new(),
    };
    // The bindings (0.3.5) miss the padding before the last three.
    for (kind, value) in raw(attributes.get_buf()) {
        match kind {
            ELEMENT_KEY => element.key = data(DataAttrs::new(value)),
            ELEMENT_DATA => element.data = data(DataAttrs::new(value)),
            ELEMENT_FLAGS_ATTRIBUTE => {
                let bits = bits(value);
                if bits != 0 {
                    element.flags = flag_names(bits, &ELEMENT_FLAGS);
                }
            }
            ELEMENT_TIMEOUT => element.timeout_milliseconds = network_number(value),
            ELEMENT_EXPIRATION => element.expires_milliseconds = network_number(value),
            ELEMENT_USERDATA => element.comment = comment(value),
            ELEMENT_EXPRESSION => element.expressions.push(expression(ExprAttrs::new(value))),
            ELEMENT_OBJECT => element.object = Some(name(value)),
            ELEMENT_KEY_END => element.key_end = data(DataAttrs::new(value)),
            ELEMENT_EXPRESSIONS => {
                element.expressions.extend(expressions::list(ExprListAttrs::new(value)));
            }
            _ => {}
        }
    }
    element
}
