//! `check interfaces`: are the links of pods, Calico's tunnels and the node's address as Calico needs them?
//!
//! Pods without traffic, large packets that never arrive and nodes that do not hear each other come from a link that
//! is down, has the wrong MTU, lost its address or belongs to somebody else. All of that stands in the kernel's tables.

mod addresses;
mod mtu;
mod pods;
mod tunnels;
mod vxlan;

use super::network::{self, Network};
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Node, Rows};
use crate::host::Evidence;

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "interfaces",
    about: "pods' interfaces, tunnels, MTU, the node's address",
    finds: &[
        Kind { id: pods::LINKS, passes: "The interfaces of pods are up at both ends." },
        Kind { id: pods::LEFTOVERS, passes: "Each pod's interface has its pod." },
        Kind { id: mtu::ID, passes: "A packet of a pod's MTU fits through tunnels and uplink." },
        Kind { id: vxlan::ID, passes: "The VXLAN device is up and set as Felix sets it." },
        Kind { id: vxlan::CHECKSUM, passes: "The kernel computes VXLAN checksums rightly." },
        Kind { id: tunnels::IPIP, passes: "The IPIP device is up and has its address." },
        Kind { id: tunnels::WIREGUARD, passes: "WireGuard is up and its peers answer." },
        Kind {
            id: addresses::NODE,
            passes: "The node's address is on a link that leads to other nodes.",
        },
        Kind { id: addresses::OTHER, passes: "No other network plugin has left interfaces." },
    ],
    reads,
    later: |_, _| Rows::default(),
    judge,
};

fn reads(node: &Node, _: &Asked) -> Rows {
    let read = [
        network::LINKS,
        network::ADDRESSES,
        network::ROUTES,
        network::PODS,
        network::ETC,
        network::BIRD[0],
        network::BIRD[2],
        vxlan::FEATURES,
        vxlan::KERNEL,
        tunnels::PEERS,
        mtu::FILE,
    ];
    collectors::at(node, &read)
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let network = Network::read(evidence);
    let mut findings = vec![pods::links(&network), pods::leftovers(&network), mtu::judge(&network)];
    findings.extend(vxlan::judge(&network));
    findings.push(vxlan::checksum(&network));
    findings.push(tunnels::ipip(&network));
    findings.extend(tunnels::wireguard(&network));
    findings.extend(addresses::node(&network));
    findings.push(addresses::others(&network));
    findings
}

/// What is said where the links could not be read.
fn unknown(id: &'static str, reason: &str) -> Finding {
    Finding::new(id, Level::Unknown, format!("the kernel's tables are not known: {reason}"))
}

#[cfg(test)]
mod tests;
