//! `check sysctl`: the kernel's settings by which pods' packets are taken, answered and forwarded, now and after a boot.

mod forwarding;
mod links;
mod tables;

use serde_json::{Value, json};

use super::dataplane::{self, Dataplane, Link};
use super::settings::{AtBoot, Tomorrow};
use super::{Asked, Check, Finding, Kind};
use crate::collectors::{Node, Rows, kernel as rows};
use crate::host::{Evidence, Outcome, Reading};
use crate::sysctl;

pub(super) const CHECK: Check = Check {
    name: "sysctl",
    about: "the kernel's settings for forwarding, reverse paths, ARP and neighbours, now and after a boot",
    finds: &[
        Kind { id: IPV4, passes: "The node forwards IPv4." },
        Kind { id: IPV6, passes: "The node forwards IPv6." },
        Kind { id: POD_LINKS, passes: "The links of pods are set as Felix sets them." },
        Kind { id: RP_FILTER, passes: "The kernel drops no packet for the way that it took." },
        Kind { id: EBPF, passes: "The settings are those of the eBPF dataplane." },
        Kind { id: ARP, passes: "The node answers ARP for its own addresses." },
        Kind { id: NEIGHBOURS, passes: "The tables of neighbours have room." },
        Kind { id: BRIDGE, passes: "What bridges forward passes iptables." },
    ],
    reads: |node, _| rows::forwarding(node),
    later: |_, _| Rows::default(),
    judge,
};

const IPV4: &str = "sysctl.ipv4-forwarding";
const IPV6: &str = "sysctl.ipv6-forwarding";
const POD_LINKS: &str = "sysctl.pod-links";
const RP_FILTER: &str = "sysctl.rp-filter";
const EBPF: &str = "sysctl.ebpf";
const ARP: &str = "sysctl.arp";
const NEIGHBOURS: &str = "sysctl.neighbours";
const BRIDGE: &str = "sysctl.bridge-nf-call";

/// What the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    dataplane: dataplane::Facts,
    /// The links over which the node reaches others: those with an address that is not of a pod's, a bridge's or a
    /// tunnel's link.
    uplinks: Vec<String>,
    boot: AtBoot,
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let node = Node::from_evidence(evidence);
    let dataplane = dataplane::Facts::read(evidence, &node);
    let uplinks = links::uplinks(evidence, &dataplane);
    let facts = Facts { evidence, dataplane, uplinks, boot: AtBoot::read(evidence) };
    vec![
        forwarding::ipv4(&facts),
        forwarding::ipv6(&facts),
        links::pods(&facts),
        links::rp_filter(&facts),
        links::ebpf(&facts),
        links::arp(&facts),
        tables::neighbours(&facts),
        tables::bridge(&facts),
    ]
}

impl Facts<'_> {
    /// Whether the node reaches others over a link.
    fn is_uplink(&self, link: &Link) -> bool {
        self.uplinks.iter().any(|name| name == link.name())
    }

    /// A setting below `/proc/sys`; why it is not known.
    fn setting(&self, key: &str) -> Result<u64, Lack> {
        let Some(reading) = self.evidence.get(&format!("host/proc/sys/{key}")) else {
            // Of a folder that was read, what is not there the kernel does not have. That `/proc/sys` was read at all is
            // known by the one setting that every kernel has.
            let anchor = self.evidence.get("host/proc/sys/net/ipv4/ip_forward");
            let was_read = anchor.is_some_and(|reading| reading.outcome == Outcome::Ok);
            return Err(if was_read {
                Lack::Missing
            } else {
                Lack::Unread(format!("{key} was not read"))
            });
        };
        match reading.outcome {
            Outcome::Ok => sysctl::number(&reading.text())
                .ok_or_else(|| Lack::Unread(format!("{key} was not understood"))),
            Outcome::Missing => Err(Lack::Missing),
            _ => Err(Lack::Unread(why(reading, key))),
        }
    }

    /// A setting that is there and was read.
    fn known(&self, key: &str) -> Option<u64> {
        self.setting(key).ok()
    }

    /// The kernel's own rule for most settings of a link: what holds is the greater of that for all and the link's.
    fn effective(&self, link: &Link, name: &str) -> Option<i64> {
        let own = *link.ipv4.get(name)?;
        let all = self.known(&format!("net/ipv4/conf/all/{name}"))?;
        Some(own.max(i64::try_from(all).ok()?))
    }

    fn is_ebpf(&self) -> bool {
        matches!(self.dataplane.dataplane, Some((Dataplane::Ebpf, _)))
    }

    fn has_felix(&self) -> bool {
        self.dataplane.has_felix
    }
}

/// Why a setting is not known.
enum Lack {
    /// The kernel has no such setting.
    Missing,
    /// It was not read, and why.
    Unread(String),
}

fn why(reading: &Reading, key: &str) -> String {
    match &reading.reason {
        Some(reason) => reason.clone(),
        None => format!("{key}: {}", reading.outcome),
    }
}

/// What is written at boot, for the evidence.
fn tomorrow(tomorrow: &Tomorrow) -> Value {
    match tomorrow {
        Tomorrow::Written { value, place } => json!({"value": value, "decidedBy": place}),
        Tomorrow::Nothing => json!({"value": null, "decidedBy": null}),
        Tomorrow::Unknown(why) => json!({"value": null, "decidedBy": null, "reason": why}),
    }
}

#[cfg(test)]
mod tests;
