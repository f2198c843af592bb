//! `check system`: does this kernel have what Calico's dataplanes need?
//!
//! What counts is whether a part is there, built in, loaded or loadable, and not what its module is called. Nothing is
//! tried out: whoever tries a part makes the kernel load it.

mod facilities;
mod ipset;
mod platform;
mod read;
mod tally;

use serde_json::json;

use super::dataplane::{self, Dataplane, Use};
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{Node, Rows, kernel as rows};
use crate::host::Evidence;
use crate::kernel::{self, Presence};
use facilities::Need;
use tally::{Subject, Tally};

pub(super) const CHECK: Check = Check {
    name: "system",
    about: "the kernel: what each of Calico's dataplanes and tunnels needs",
    finds: &[
        Kind { id: KERNEL, passes: "The kernel is one that Calico supports." },
        Kind { id: MODULES, passes: "The kernel's modules can be loaded." },
        Kind { id: CAPABILITIES, passes: "Felix may do what it has to." },
        Kind { id: CONNTRACK, passes: "The kernel tracks connections." },
        Kind { id: IPTABLES, passes: "The kernel has what the iptables dataplane needs." },
        Kind { id: IPSET, passes: "The kernel has the sets of the iptables dataplane." },
        Kind { id: NFTABLES, passes: "The kernel has what the nftables dataplane needs." },
        Kind { id: EBPF, passes: "The kernel has what the eBPF dataplane needs." },
        Kind { id: VXLAN, passes: "The kernel has VXLAN." },
        Kind { id: IPIP, passes: "The kernel has IP in IP." },
        Kind { id: WIREGUARD, passes: "The kernel has WireGuard." },
        Kind {
            id: CALICOCTL,
            passes: "`calicoctl node checksystem` would find what it looks for.",
        },
    ],
    reads: |node, _| rows::requirements(node),
    later: |_, _| Rows::default(),
    judge,
};

const KERNEL: &str = "system.kernel";
const MODULES: &str = "system.modules";
const CAPABILITIES: &str = "system.capabilities";
const CONNTRACK: &str = "system.conntrack";
const IPTABLES: &str = "system.iptables";
const IPSET: &str = "system.ipset";
const NFTABLES: &str = "system.nftables";
const EBPF: &str = "system.ebpf";
const VXLAN: &str = "system.vxlan";
const IPIP: &str = "system.ipip";
const WIREGUARD: &str = "system.wireguard";
const CALICOCTL: &str = "system.calicoctl-list";

/// Since when nftables has what Felix programs, by Calico's documentation.
const NFTABLES_SINCE: (u32, u32, u32) = (5, 13, 0);
/// The oldest kernel on which Felix tries eBPF, and Red Hat's (`felix/bpf/bpf.go`).
const EBPF_SINCE: (u32, u32, u32) = (5, 3, 0);
const EBPF_RED_HAT: ((u32, u32, u32), u32) = ((4, 18, 0), 193);

/// What the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    node: Node,
    kernel: kernel::Facts,
    dataplane: dataplane::Facts,
}

fn judge(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    let node = Node::from_evidence(evidence);
    let dataplane = dataplane::Facts::read(evidence, &node);
    let kernel = read::kernel(evidence, asked, &node, &dataplane);
    let facts = Facts { evidence, node, kernel, dataplane };
    let uses_filter = match facts.dataplane.dataplane {
        None => Use::Open,
        Some((_, ref why)) => Use::Used(why.clone()),
    };
    let nftables = nftables(&facts);
    let has_nftables = nftables.is_whole();
    vec![
        platform::release(&facts),
        platform::modules(&facts),
        platform::capabilities(&facts),
        Subject { id: CONNTRACK, what: "connection tracking", open: Level::Fail }.finding(
            &facts,
            &uses_filter,
            &Tally::of(&facts.kernel, facilities::CONNTRACK),
        ),
        iptables(&facts, has_nftables),
        ipset::judge(&facts),
        Subject { id: NFTABLES, what: "the nftables dataplane", open: Level::Info }.finding(
            &facts,
            &facts.dataplane.uses(Dataplane::Nftables),
            &nftables,
        ),
        Subject { id: EBPF, what: "the eBPF dataplane", open: Level::Info }.finding(
            &facts,
            &facts.dataplane.uses(Dataplane::Ebpf),
            &ebpf(&facts),
        ),
        tunnel(&facts, VXLAN, "VXLAN", facilities::VXLAN),
        tunnel(&facts, IPIP, "IP in IP", facilities::IPIP),
        tunnel(&facts, WIREGUARD, "WireGuard", facilities::WIREGUARD),
        calicoctl(&facts),
    ]
}

/// iptables, of the kind that Felix is told to use, or else of either.
fn iptables(facts: &Facts, has_nftables: bool) -> Finding {
    let legacy = Tally::of(&facts.kernel, facilities::LEGACY);
    let on_nftables = Tally::of(&facts.kernel, facilities::ON_NFTABLES);
    let backend = facts.dataplane.variable("FELIX_IPTABLESBACKEND").unwrap_or("Auto");
    let kinds = json!({"legacy": legacy.is_whole(), "onNftables": on_nftables.is_whole()});
    let mut tally = match backend.to_ascii_lowercase().as_str() {
        "legacy" => legacy,
        "nft" => on_nftables,
        _ if legacy.lack() < on_nftables.lack() => legacy,
        _ => on_nftables,
    };
    tally.extend(Tally::of(&facts.kernel, facilities::IPTABLES));
    // Where another dataplane works, a node on which none runs yet is not lost.
    let open = if has_nftables { Level::Warn } else { Level::Fail };
    let is_whole = tally.is_whole();
    let finding = Subject { id: IPTABLES, what: "the iptables dataplane", open }
        .finding(facts, &facts.dataplane.uses(Dataplane::Iptables), &tally)
        .evidence(json!({"backend": backend, "kinds": kinds}));
    if is_whole || !has_nftables {
        return finding;
    }
    finding.remedy("or use the nftables dataplane, for which this kernel has all: spec.calicoNetwork.linuxDataplane: Nftables")
}

fn nftables(facts: &Facts) -> Tally {
    let mut tally = Tally::of(&facts.kernel, facilities::NFTABLES);
    tally.since(&facts.kernel, NFTABLES_SINCE, None);
    tally
}

fn ebpf(facts: &Facts) -> Tally {
    let mut tally = Tally::of(&facts.kernel, facilities::EBPF);
    tally.since(&facts.kernel, EBPF_SINCE, Some(EBPF_RED_HAT));
    platform::lockdown(facts, &mut tally);
    platform::mounts(facts, &mut tally);
    tally
}

fn tunnel(facts: &Facts, id: &'static str, what: &'static str, needs: &'static [Need]) -> Finding {
    let (devices, variables): (&[&str], &[&str]) = match id {
        VXLAN => (
            &["vxlan.calico", "vxlan-v6.calico"],
            &["FELIX_VXLANENABLED", "CALICO_IPV4POOL_VXLAN", "CALICO_IPV6POOL_VXLAN"],
        ),
        IPIP => (&["tunl0"], &["FELIX_IPINIPENABLED", "CALICO_IPV4POOL_IPIP"]),
        _ => (
            &["wireguard.cali", "wg-v6.cali"],
            &["FELIX_WIREGUARDENABLED", "FELIX_WIREGUARDENABLEDV6"],
        ),
    };
    let usage = facts.dataplane.uses_tunnel(devices, variables);
    Subject { id, what, open: Level::Info }.finding(facts, &usage, &Tally::of(&facts.kernel, needs))
}

/// What calicoctl looks for, and that some of it is of no use to Calico.
fn calicoctl(facts: &Facts) -> Finding {
    let mut list = serde_json::Map::new();
    let (mut failed, mut unknown) = (Vec::new(), Vec::new());
    for need in facilities::CALICOCTL {
        let presence = facts.kernel.presence(&need.facility);
        let word = match (&presence, need.is_optional) {
            (Presence::Absent(_), true) => "SKIP",
            (Presence::Absent(_), false) => {
                failed.push(need.facility.name);
                "FAIL"
            }
            (Presence::Unknown(_), _) => {
                unknown.push(need.facility.name);
                "unknown"
            }
            _ => "OK",
        };
        list.insert(
            need.facility.name.to_owned(),
            json!({"calicoctl": word, "found": presence.to_string()}),
        );
    }
    let (level, summary) = if !failed.is_empty() {
        let summary = format!(
            "calicoctl node checksystem would say FAIL for {}: the other findings say whether this node needs it",
            failed.join(", ")
        );
        (Level::Info, summary)
    } else if unknown.is_empty() {
        (Level::Ok, "all that calicoctl node checksystem looks for is there".to_owned())
    } else {
        (Level::Unknown, format!("it could not be determined of {}", unknown.join(", ")))
    };
    Finding::new(CALICOCTL, level, summary).evidence(json!({"list": list}))
}

#[cfg(test)]
mod tests;
