//! The kernel's way to single addresses, and what it knows of the next hop: `ip route get`, `ip neighbour`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use netlink_bindings::rt_neigh::{self, Ndmsg, NeighbourAttrs};
use netlink_bindings::rt_route::{self, RouteAttrs, Rtmsg};
use nix::errno::Errno;

use super::attributes::{INET, INET6, Names, attributes, hardware, number};
use super::kernel::{Clock, Kernel, Trouble};
use super::routes::type_name;
use crate::bgp::looks::{Neighbour, Way};

/// `RTAX_MTU`.
const MTU: u16 = 2;

/// Asks for the way to each address, for packets from the other address if there is one. `None`: not answered within
/// `limit`, or not at all. Blocks.
pub(in crate::host) fn ways(
    wanted: &[(IpAddr, Option<IpAddr>)],
    limit: Duration,
) -> Vec<Option<Way>> {
    let clock = Clock::new(limit);
    let mut kernel = Kernel::new(&clock);
    let names = Names::read(&mut kernel).unwrap_or_default();
    let mut way =
        |(to, from): &(IpAddr, Option<IpAddr>)| match look_up(&mut kernel, &names, *to, *from) {
            // An address that is not on this host has no way of its own: that of any packet is told.
            Err(Trouble::Refused(_, _)) if from.is_some() => {
                told(look_up(&mut kernel, &names, *to, None))
            }
            other => told(other),
        };
    wanted.iter().map(&mut way).collect()
}

/// A refusal is an answer.
fn told(answer: Result<Way, Trouble>) -> Option<Way> {
    match answer {
        Ok(way) => Some(way),
        Err(Trouble::Refused(_, Errno::EPERM | Errno::EOPNOTSUPP)) => None,
        Err(Trouble::Refused(_, errno)) => {
            Some(Way { errno: Some(format!("{errno:?}")), ..Way::default() })
        }
        Err(_) => None,
    }
}

fn look_up(
    kernel: &mut Kernel,
    names: &Names,
    to: IpAddr,
    from: Option<IpAddr>,
) -> Result<Way, Trouble> {
    let mut header = Rtmsg::new();
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    header.rtm_family = if to.is_ipv4() { INET } else { INET6 };
    header.rtm_dst_len = bits(to);
    header.rtm_src_len = from.map_or(0, bits);
    let mut request = rt_route::Request::new().op_getroute_do(&header);
    let mut attributes_ = request.encode().push_dst(to);
    if let Some(from) = from {
        attributes_ = attributes_.push_src(from);
    }
    drop(attributes_);
    let mut way = Way::default();
    kernel.ask("RTM_GETROUTE", &request, |(header, answer)| {
        type_name(header.rtm_type).unwrap_or("unknown").clone_into(&mut way.kind);
        for attribute in answer.flatten() {
            match attribute {
                RouteAttrs::Oif(index) => way.dev = names.of(index).map(ToOwned::to_owned),
                RouteAttrs::Gateway(address) => way.gateway = Some(address.to_string()),
                RouteAttrs::Prefsrc(address) => way.source = Some(address.to_string()),
                RouteAttrs::Metrics(values) => {
                    way.mtu = attributes(values.get_buf())
                        .find(|(kind, _)| *kind == MTU)
                        .and_then(|(_, value)| number(value)?.try_into().ok());
                }
                _ => {}
            }
        }
        Ok(())
    })?;
    Ok(way)
}

/// What the kernel knows of neighbours, by address; of an address on several links, what is known best. Blocks.
pub(in crate::host) fn neighbours(limit: Duration) -> HashMap<IpAddr, Neighbour> {
    let clock = Clock::new(limit);
    let mut kernel = Kernel::new(&clock);
    let mut known: HashMap<IpAddr, Neighbour> = HashMap::new();
    let request = rt_neigh::Request::new().op_getneigh_dump(&Ndmsg::new());
    let asked = kernel.ask("RTM_GETNEIGH", &request, |(header, answer)| {
        let address = answer.flatten().find_map(|attribute| match attribute {
            NeighbourAttrs::Dst(address) => Some(address),
            _ => None,
        });
        let (Some(address), Some(state)) = (address, state(header.ndm_state)) else {
            return Ok(());
        };
        let mac = answer.get_lladdr().ok().and_then(|bytes| hardware(bytes, false));
        let found = Neighbour { address: address.to_string(), state: state.to_owned(), mac };
        let is_silent =
            |neighbour: &Neighbour| matches!(neighbour.state.as_str(), "failed" | "incomplete");
        if known.get(&address).is_none_or(is_silent) {
            known.insert(address, found);
        }
        Ok(())
    });
    // What came before a failure is true as well.
    drop(asked);
    known
}

/// `NUD_*`: one bit each.
const fn state(bits: u16) -> Option<&'static str> {
    Some(match bits {
        0x01 => "incomplete",
        0x02 => "reachable",
        0x04 => "stale",
        0x08 => "delay",
        0x10 => "probe",
        0x20 => "failed",
        0x40 => "noarp",
        0x80 => "permanent",
        _ => return None,
    })
}
