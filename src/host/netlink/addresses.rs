//! Addresses of all links.
//!
//! ```text
//! {"dev":"eth0","index":2,"family":"ipv4","address":"10.0.0.1","prefix_length":24,"peer":null,"broadcast":"10.0.0.255",
//!  "label":"eth0","scope":"global","flags":["permanent"],"protocol":null,"priority":null,
//!  "valid_seconds":4294967295,"preferred_seconds":4294967295}
//! ```

use std::net::{IpAddr, Ipv4Addr};

use netlink_bindings::rt_addr::{self, AddrAttrs, Ifaddrmsg};
use serde::Serialize;

use super::attributes::{Flags, Names, Word, family, flags, scope_name, text};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
#[allow(clippy::struct_field_names, reason = "they are the document's")]
struct Address<'a> {
    dev: Option<&'a str>,
    index: u32,
    family: &'static str,
    address: Option<IpAddr>,
    prefix_length: u8,
    peer: Option<IpAddr>,
    broadcast: Option<Ipv4Addr>,
    label: Option<String>,
    scope: Word,
    flags: Flags<'a>,
    protocol: Option<u8>,
    priority: Option<u32>,
    valid_seconds: Option<u32>,
    preferred_seconds: Option<u32>,
}

/// `IFA_F_*`.
const FLAGS: [&str; 12] = [
    "secondary",
    "nodad",
    "optimistic",
    "dadfailed",
    "home",
    "deprecated",
    "tentative",
    "permanent",
    "mngtmpaddr",
    "noprefixroute",
    "autojoin",
    "stable-privacy",
];

/// Writes `addresses`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("addresses");
    let request = rt_addr::Request::new().op_getaddr_dump(&Ifaddrmsg::new());
    kernel.ask("RTM_GETADDR", &request, |(header, attributes)| {
        match row(&header, attributes, &names) {
            Some(address) => document.row(&address),
            None => Ok(()),
        }
    })
}

fn row<'a>(
    header: &Ifaddrmsg,
    attributes: rt_addr::IterableAddrAttrs<'_>,
    names: &'a Names,
) -> Option<Address<'a>> {
    let mut bits = u32::from(header.ifa_flags);
    let (mut local, mut other) = (None, None);
    let mut address = Address {
        dev: names.of(header.ifa_index),
        index: header.ifa_index,
        family: family(header.ifa_family)?,
        address: None,
        prefix_length: header.ifa_prefixlen,
        peer: None,
        broadcast: None,
        label: None,
        scope: Word(scope_name(header.ifa_scope), header.ifa_scope.into()),
        flags: flags(0, &FLAGS),
        protocol: None,
        priority: None,
        valid_seconds: None,
        preferred_seconds: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            AddrAttrs::Local(ip) => local = Some(ip),
            AddrAttrs::Address(ip) => other = Some(ip),
            AddrAttrs::Broadcast(ip) => address.broadcast = Some(ip),
            AddrAttrs::Label(label) => address.label = Some(text(label)),
            AddrAttrs::Flags(all) => bits = all,
            AddrAttrs::Proto(protocol) => address.protocol = Some(protocol),
            AddrAttrs::RtPriority(priority) => address.priority = Some(priority),
            AddrAttrs::Cacheinfo(cache) => {
                address.valid_seconds = Some(cache.ifa_valid);
                address.preferred_seconds = Some(cache.ifa_prefered);
            }
            _ => {}
        }
    }
    // On a point-to-point link, IFA_ADDRESS is the other end's.
    address.address = local.or(other);
    address.peer = other.filter(|other| local.is_some_and(|local| local != *other));
    address.flags = flags(bits, &FLAGS);
    Some(address)
}
