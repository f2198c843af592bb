//! `check routes`: has each pod and each block its route, and does nothing else win over it?
//!
//! Calico's routes are a few shapes: an address of a pod leads to its link, a block of this node is a blackhole beneath,
//! a block of another node leads to that node or into a tunnel. Whatever else is more specific, has a lower metric or is
//! looked up earlier takes the traffic away, and nothing in Calico says so.

mod addresses;
mod blocks;
mod cloud;
mod facts;
mod hops;
mod owners;
mod pods;
mod rules;
mod tunnels;
mod winners;

use super::network;
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Node, Rows};
use crate::host::Evidence;
use facts::Facts;

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "routes",
    about: "routes of pods and blocks, and what wins over them",
    finds: &[
        Kind { id: pods::PODS, passes: "Each pod's interface has a route." },
        Kind { id: pods::DUPLICATES, passes: "No address leads to two pods." },
        Kind { id: blocks::BLOCKS, passes: "Each other node's block has a route." },
        Kind { id: blocks::VTEPS, passes: "Each route over VXLAN knows where its frames go." },
        Kind { id: addresses::ID, passes: "This node's blocks have free addresses." },
        Kind { id: tunnels::ID, passes: "What goes out through tunnels is answered." },
        Kind { id: cloud::ID, passes: "The cloud passes pods' addresses." },
        Kind { id: winners::BLACKHOLES, passes: "No blackhole hides pods." },
        Kind { id: winners::FOREIGN, passes: "No foreign route wins over Calico's." },
        Kind { id: rules::ID, passes: "No rule leads pods' traffic past Calico's routes." },
        Kind { id: owners::OWNERS, passes: "Each route has one owner, BIRD or Felix." },
        Kind { id: hops::HOPS, passes: "The next hops of Calico's routes answer." },
        Kind { id: hops::LINKS, passes: "The links of Calico's routes are up." },
        Kind { id: owners::TABLES, passes: "Felix shares its tables of routes with nobody." },
    ],
    reads,
    later: |_, _| collectors::network::counters_later(),
    judge,
};

fn reads(node: &Node, _: &Asked) -> Rows {
    let mut read = vec![
        network::LINKS,
        network::ADDRESSES,
        network::ROUTES,
        network::PODS,
        network::COUNTERS,
        facts::RULES,
        facts::NEIGHBOURS,
        facts::FDB,
    ];
    read.extend(network::DMI);
    collectors::at(node, &read)
}

fn judge(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    let facts = match Facts::read(evidence) {
        Ok(facts) => facts,
        Err(reason) => {
            let summary = format!("the kernel's tables are not known: {reason}");
            let unknown = |kind: &Kind| Finding::new(kind.id, Level::Unknown, summary.clone());
            return CHECK.finds.iter().map(unknown).collect();
        }
    };
    let cloud = cloud::Cloud::of(evidence);
    let mut findings = vec![
        pods::missing(&facts),
        pods::duplicates(&facts),
        blocks::without_route(&facts),
        blocks::vteps(&facts),
    ];
    findings.extend(addresses::judge(&facts));
    findings.extend(tunnels::judge(&facts, cloud, asked.interval.is_some()));
    findings.extend([
        cloud::judge(&facts, cloud),
        winners::blackholes(&facts),
        winners::foreign(&facts),
        rules::judge(&facts),
        owners::owners(&facts),
        hops::neighbours(&facts),
        hops::links(&facts),
        owners::tables(&facts),
    ]);
    findings
}

#[cfg(test)]
mod tests;
