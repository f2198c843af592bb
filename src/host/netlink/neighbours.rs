//! ARP and neighbour discovery, and where bridges and VXLAN devices send frames.
//!
//! ```text
//! {"family":"ipv4","address":"10.0.0.2","mac":"ee:ee:ee:ee:ee:ee","dev":"eth0","index":2,"state":["reachable"],...}
//! {"mac":"66:2a:5b:00:00:01","dev":"vxlan.calico","index":7,"master":null,"destination":"10.0.0.2",...}
//! ```

use std::net::IpAddr;

use netlink_bindings::rt_neigh::{self, Ndmsg, NeighbourAttrs};
use serde::Serialize;

use super::attributes::{Flags, Names, family, flags, hardware, protocol_name};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Serialize)]
struct Neighbour<'a> {
    family: &'static str,
    address: Option<IpAddr>,
    mac: Option<String>,
    dev: Option<&'a str>,
    index: i32,
    #[serde(flatten)]
    life: Life<'a>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    mac: Option<String>,
    dev: Option<&'a str>,
    index: i32,
    master: Option<&'a str>,
    destination: Option<IpAddr>,
    port: Option<u16>,
    vni: Option<u32>,
    source_vni: Option<u32>,
    via: Option<&'a str>,
    vlan: Option<u16>,
    nexthop_id: Option<u32>,
    #[serde(flatten)]
    life: Life<'a>,
}

/// What both have.
#[derive(Debug, Serialize)]
struct Life<'a> {
    state: Flags<'a>,
    flags: Flags<'a>,
    protocol: Option<u8>,
    protocol_name: Option<&'static str>,
    probes: Option<u32>,
    references: Option<u32>,
    confirmed_seconds: Option<f64>,
    used_seconds: Option<f64>,
    updated_seconds: Option<f64>,
}

/// `NUD_*`.
const STATES: [&str; 8] =
    ["incomplete", "reachable", "stale", "delay", "probe", "failed", "noarp", "permanent"];

/// `NTF_*`, then `NTF_EXT_*`.
const FLAGS: [&str; 11] = [
    "use",
    "self",
    "master",
    "proxy",
    "extern_learn",
    "offload",
    "sticky",
    "router",
    "managed",
    "locked",
    "validated",
];

/// The kernel counts in `USER_HZ`, which is 100 on every architecture that Linux still has.
const TICKS_PER_SECOND: f64 = 100.0;

const AF_BRIDGE: u8 = 7;

/// Writes `neighbours`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("neighbours");
    let request = rt_neigh::Request::new().op_getneigh_dump(&Ndmsg::new());
    kernel.ask("RTM_GETNEIGH", &request, |(header, attributes)| {
        let Some(family) = family(header.ndm_family) else { return Ok(()) };
        let address = attributes.flatten().find_map(|attribute| match attribute {
            NeighbourAttrs::Dst(address) => Some(address),
            _ => None,
        });
        document.row(&Neighbour {
            family,
            address,
            mac: attributes.get_lladdr().ok().and_then(|bytes| hardware(bytes, false)),
            dev: name(&names, header.ndm_ifindex),
            index: header.ndm_ifindex,
            life: life(&header, attributes),
        })
    })
}

/// Writes `fdb`.
pub(super) fn write_fdb(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let names = Names::read(kernel)?;
    document.list("fdb");
    let mut header = Ndmsg::new();
    header.ndm_family = AF_BRIDGE;
    let request = rt_neigh::Request::new().op_getneigh_dump(&header);
    kernel.ask("RTM_GETNEIGH of AF_BRIDGE", &request, |(header, attributes)| {
        let mut entry = Entry {
            mac: None,
            dev: name(&names, header.ndm_ifindex),
            index: header.ndm_ifindex,
            master: None,
            destination: None,
            port: None,
            vni: None,
            source_vni: None,
            via: None,
            vlan: None,
            nexthop_id: None,
            life: life(&header, attributes),
        };
        for attribute in attributes.flatten() {
            match attribute {
                NeighbourAttrs::Lladdr(bytes) => entry.mac = hardware(bytes, false),
                NeighbourAttrs::Dst(address) => entry.destination = Some(address),
                NeighbourAttrs::Master(index) => entry.master = names.of(index),
                // In network order, whatever the bindings say.
                NeighbourAttrs::Port(port) => entry.port = Some(u16::from_be(port)),
                NeighbourAttrs::Vni(vni) => entry.vni = Some(vni),
                NeighbourAttrs::SrcVni(vni) => entry.source_vni = Some(vni),
                NeighbourAttrs::Ifindex(index) => entry.via = names.of(index),
                NeighbourAttrs::Vlan(vlan) => entry.vlan = Some(vlan),
                NeighbourAttrs::NhId(id) => entry.nexthop_id = Some(id),
                _ => {}
            }
        }
        document.row(&entry)
    })
}

fn name(names: &Names, index: i32) -> Option<&str> {
    names.of(u32::try_from(index).ok()?)
}

fn life(header: &Ndmsg, attributes: rt_neigh::IterableNeighbourAttrs<'_>) -> Life<'static> {
    let mut life = Life {
        state: flags(header.ndm_state.into(), &STATES),
        flags: flags(header.ndm_flags.into(), &FLAGS),
        protocol: None,
        protocol_name: None,
        probes: None,
        references: None,
        confirmed_seconds: None,
        used_seconds: None,
        updated_seconds: None,
    };
    for attribute in attributes.flatten() {
        match attribute {
            NeighbourAttrs::Protocol(protocol) => {
                life.protocol = Some(protocol);
                life.protocol_name = protocol_name(protocol);
            }
            NeighbourAttrs::Probes(probes) => life.probes = Some(probes),
            NeighbourAttrs::FlagsExt(bits) => {
                life.flags = flags(u32::from(header.ndm_flags) | bits << 8, &FLAGS);
            }
            NeighbourAttrs::Cacheinfo(cache) => {
                let [confirmed, used, updated] = [cache.confirmed, cache.used, cache.updated]
                    .map(|ticks| Some(f64::from(ticks) / TICKS_PER_SECOND));
                life.references = Some(cache.refcnt);
                life.confirmed_seconds = confirmed;
                life.used_seconds = used;
                life.updated_seconds = updated;
            }
            _ => {}
        }
    }
    life
}
