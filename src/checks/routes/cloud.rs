//! The clouds that let only packets pass whose addresses they know: by the firmware, which cloud a machine is in.
//!
//! Where Calico's routes lead to another node without a tunnel, the packet on the way has the address of a pod, which the
//! cloud did not give to the machine. Whether it passes is a switch in the cloud's API, which a node cannot see.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::json;

use super::facts::Facts;
use crate::checks::network::{DMI, first, some};
use crate::checks::{Finding, Level};
use crate::host::{Evidence, Outcome};

pub(super) const ID: &str = "routes.cloud";

/// A cloud, how its machines are known, and its switch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cloud {
    pub(super) name: &'static str,
    /// Whether its network passes IP in IP at all.
    pub(super) passes_ipip: bool,
    /// A file of the firmware and what its text begins or ends with.
    marks: &'static [(usize, &'static str)],
    /// What pods' addresses take there.
    needs: &'static str,
    remedy: &'static str,
}

// Of `DMI`.
const VENDOR: usize = 0;
const PRODUCT: usize = 1;
const BIOS: usize = 2;
const CHASSIS: usize = 3;

/// By what cloud-init's `ds-identify` knows them too.
const CLOUDS: &[Cloud] = &[
    Cloud {
        name: "AWS",
        passes_ipip: true,
        // Xen's firmware has `4.11.amazon` for its version.
        marks: &[(VENDOR, "Amazon EC2"), (BIOS, ".amazon")],
        needs: "the source/destination check of the instances to be off",
        remedy: "have Felix switch it off: calicoctl patch felixconfiguration default -p '{\"spec\":{\"awsSrcDstCheck\":\"Disable\"}}'; \
                 the instance's role needs ec2:ModifyNetworkInterfaceAttribute",
    },
    Cloud {
        name: "Google Cloud",
        passes_ipip: true,
        marks: &[(PRODUCT, "Google Compute Engine")],
        needs: "IP forwarding of the instances (canIpForward) and routes of the VPC network",
        remedy: "make the instances with --can-ip-forward, and a route of the VPC network for each block",
    },
    Cloud {
        name: "Azure",
        passes_ipip: false,
        marks: &[(CHASSIS, "7783-7084-3265-9085-8269-3286-77")],
        needs: "IP forwarding of the network interfaces and user-defined routes",
        remedy: "switch IP forwarding of the interfaces on, and have a user-defined route for each block",
    },
    Cloud {
        name: "OpenStack",
        passes_ipip: true,
        marks: &[(PRODUCT, "OpenStack"), (VENDOR, "OpenStack")],
        needs: "port security to allow them",
        remedy: "openstack port set PORT --allowed-address ip-address=POOL for each node, or --disable-port-security",
    },
];

impl Cloud {
    /// The cloud of this machine.
    pub(super) fn of(evidence: &Evidence) -> Option<&'static Self> {
        let text = |index: usize| {
            let reading = evidence.get(DMI.get(index)?)?;
            (reading.outcome == Outcome::Ok).then(|| reading.text().trim().to_owned())
        };
        CLOUDS.iter().find(|cloud| {
            cloud.marks.iter().any(|(index, mark)| {
                text(*index).is_some_and(|text| {
                    if mark.starts_with('.') {
                        text.ends_with(mark)
                    } else {
                        text.starts_with(mark)
                    }
                })
            })
        })
    }
}

/// Whether pods' addresses pass between nodes that are reached without a tunnel.
pub(super) fn judge(facts: &Facts<'_>, cloud: Option<&Cloud>) -> Finding {
    let mut nodes: BTreeSet<IpAddr> = BTreeSet::new();
    for route in facts.to_nodes() {
        let plain = route
            .hops()
            .filter(|hop| !hop.index.is_some_and(|index| facts.tunnels.contains(&index)));
        nodes.extend(plain.filter_map(|hop| hop.gateway));
    }
    if nodes.is_empty() {
        let summary = "no route of Calico's leads to another node without a tunnel";
        return Finding::new(ID, Level::Skip, summary);
    }
    let Some(cloud) = cloud else {
        let unread = DMI.iter().find_map(|path| {
            let reading = facts.network.evidence.get(path)?;
            reading.outcome.is_trouble().then(|| (path, reading.reason.clone()))
        });
        if let Some((path, reason)) = unread {
            let reason = reason.unwrap_or_default();
            let summary = format!("which cloud this is, if any, is not known: {path}: {reason}");
            return Finding::new(ID, Level::Unknown, summary);
        }
        let summary = "the firmware names no cloud that looks at pods' addresses";
        return Finding::new(ID, Level::Skip, summary);
    };
    let nodes: Vec<IpAddr> = nodes.into_iter().collect();
    let set = facts.network.variable("FELIX_AWSSRCDSTCHECK").filter(|_| cloud.name == "AWS");
    let is_off = set.is_some_and(|value| value.eq_ignore_ascii_case("Disable"));
    let evidence = json!({
        "cloud": cloud.name, "nodes": some(&nodes), "counts": {"nodes": nodes.len()}, "awsSrcDstCheck": set,
        "certainty": (!is_off).then_some("unknown"),
    });
    if is_off {
        let summary = format!(
            "pods of {} nodes are reached without a tunnel, and FELIX_AWSSRCDSTCHECK has Felix switch AWS's check off",
            nodes.len()
        );
        return Finding::new(ID, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "this is {}, and pods of {} nodes are reached without a tunnel ({}): that needs {}, which cannot be seen from here",
        cloud.name,
        nodes.len(),
        first(&nodes),
        cloud.needs
    );
    Finding::new(ID, Level::Info, summary)
        .evidence(evidence)
        .remedy(format!("if these pods are not reached: {}", cloud.remedy))
        .remedy("or have a tunnel everywhere: vxlanMode: Always in the IP pool")
}
