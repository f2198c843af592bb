//! `check bgp`: why is BGP not established, and where are the routes?
//!
//! "BGP not established with 10.0.0.1" tells an address and nothing else. The cause is nearly always one of a dozen, and
//! BIRD's own words, the kernel's tables and a look at the peer tell which: [`peer`]. What is said as certain is so;
//! where two causes fit, the likelier one is called likely.

mod cluster;
mod daemon;
mod facts;
mod kernel;
mod peer;
mod probes;
mod routes;

use super::{Asked, Check, Finding, Kind, ruleset};
use crate::bgp::looks;
use crate::collectors::{self, Node, Rows};
use crate::host::Evidence;
use facts::Facts;

/// See the module.
pub(super) const CHECK: Check = Check {
    name: "bgp",
    about: "BIRD, its peers, and what becomes of their routes",
    finds: &[
        Kind { id: "bgp.daemon", passes: "BIRD runs and answers." },
        Kind { id: "bgp.configuration", passes: "BIRD runs the configuration that is on disk." },
        Kind { id: "bgp.peer", passes: "The session with the peer is established." },
        Kind { id: "bgp.graceful-restart", passes: "BIRD gives its routes to the kernel." },
        Kind {
            id: "bgp.readiness",
            passes: "The readiness probe of calico/node finds BIRD ready.",
        },
        Kind { id: "bgp.liveness", passes: "The liveness probe of calico/node finds BIRD live." },
        Kind { id: "bgp.routes", passes: "The kernel has the routes that BIRD gives it." },
        Kind { id: "bgp.datastore", passes: "BIRD runs what the datastore says." },
    ],
    reads,
    later: |_, _| Rows::default(),
    judge,
};

/// What the verdict rests on, beside BIRD's configuration and the look at the peers.
const READ: &[&str] = &[
    "bird/ipv4/show-status",
    "bird/ipv4/show-protocols-all",
    "bird/ipv4/show-route",
    "bird/ipv4/bird.cfg",
    "bird/ipv6/show-status",
    "bird/ipv6/show-protocols-all",
    "bird/ipv6/show-route",
    "bird/ipv6/bird6.cfg",
    "host/etc/calico",
    "host/proc/net/ip6_tables_names",
    "host/proc/net/ip_tables_names",
    "host/proc/net/netstat",
    "host/var/lib/calico/nodename",
    "network/addresses.json",
    "network/routes.json",
    "network/sockets.json",
    ruleset::PATH,
    looks::PATH,
    "datastore/bgpconfigurations.json",
    "datastore/bgppeers.json",
    "datastore/ippools.json",
    "datastore/nodes.json",
];

fn reads(node: &Node, asked: &Asked) -> Rows {
    let mut rows = collectors::briefly(collectors::at(node, READ));
    rows.artifacts.retain(|row| row.path() != looks::PATH);
    rows.artifacts.push(collectors::probes(node, asked.probe));
    rows
}

fn judge(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    let facts = Facts::read(evidence, asked);
    let mut findings = daemon::judge(&facts);
    findings.extend(peer::judge(&facts));
    findings.extend(probes::judge(&facts));
    findings.extend(routes::judge(&facts));
    findings.extend(cluster::judge(&facts));
    findings
}

#[cfg(test)]
mod tests;
