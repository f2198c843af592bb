//! By which address other nodes know this one, and what other network plugins have left.

use std::net::IpAddr;

use serde_json::json;

use super::mtu::default;
use super::unknown;
use crate::checks::network::{Network, Unfit, first, some, unfit};
use crate::checks::{Finding, Level};
use crate::status;

pub(super) const NODE: &str = "interfaces.node-address";
pub(super) const OTHER: &str = "interfaces.other-plugins";

/// One finding for each address by which other nodes know this one.
pub(super) fn node(network: &Network<'_>) -> Vec<Finding> {
    let all = match (&network.links, &network.addresses) {
        (Err(reason), _) | (_, Err(reason)) => return vec![unknown(NODE, reason)],
        (Ok(_), Ok(all)) => all,
    };
    let known = network.node_addresses();
    if known.is_empty() {
        let finding = match network.felix {
            Some(_) => Finding::new(
                NODE,
                Level::Unknown,
                "the node's address is not known: neither VXLAN nor BIRD's configuration tells it",
            ),
            None => match status::unseen(network.evidence) {
                Some(why) => {
                    let summary = format!(
                        "the node's address is not known, nor whether Calico runs here: {why}"
                    );
                    Finding::new(NODE, Level::Unknown, summary)
                }
                None => Finding::new(NODE, Level::Skip, "Calico does not run here"),
            },
        };
        return vec![finding];
    }
    let judged = known.into_iter().map(|(address, from)| {
        let from: Vec<String> = from.into_iter().collect();
        let holder = network.holder(address);
        let dev = holder.and_then(|row| row.dev.as_deref());
        let uplink = default(network, address.is_ipv6()).map(|link| link.name.as_str());
        let evidence = json!({"address": address, "from": from, "dev": dev, "defaultDev": uplink});
        let why = holder.and_then(|row| unfit(all, row));
        let (level, summary) = verdict(address, &from.join(" and "), dev, uplink, why);
        let finding = Finding::new(NODE, level, summary).evidence(evidence);
        if matches!(level, Level::Fail | Level::Warn) {
            finding
                .remedy("give calico/node the right address: IP_AUTODETECTION_METHOD=kubernetes-internal-ip, or interface=REGEX, cidr=CIDR (operator: spec.calicoNetwork.nodeAddressAutodetectionV4)")
                .remedy("see what it has now: calicoctl get node NAME -o yaml (spec.bgp.ipv4Address)")
        } else {
            finding
        }
    });
    judged.collect()
}

fn verdict(
    address: IpAddr,
    from: &str,
    dev: Option<&str>,
    uplink: Option<&str>,
    why: Option<Unfit>,
) -> (Level, String) {
    let Some(dev) = dev else {
        let what = format!("the node's address {address} ({from}) is on no link of this host");
        return (Level::Fail, what);
    };
    match (why, uplink) {
        (Some(Unfit::Link), _) => (
            Level::Fail,
            format!(
                "the node's address {address} ({from}) is on {dev}, which leads to no other node"
            ),
        ),
        (Some(Unfit::Virtual), _) => (
            Level::Warn,
            format!(
                "the node's address {address} ({from}) is a second address of {dev} without a network, as keepalived \
                 and the like add for a virtual one: it may move to another host"
            ),
        ),
        (None, Some(uplink)) if uplink != dev => (
            Level::Info,
            format!(
                "the node's address {address} ({from}) is on {dev}, and the default route leads through {uplink}: the \
                 other nodes must be on {dev}'s network"
            ),
        ),
        (None, _) => (Level::Ok, format!("the node's address {address} ({from}) is on {dev}")),
    }
}

/// What other network plugins make, and whose it is.
const PLUGINS: &[(&str, &str)] = &[
    ("flannel.1", "Flannel"),
    ("flannel-v6.1", "Flannel"),
    ("flannel-wg", "Flannel"),
    ("cni0", "the bridge plugin or Flannel"),
    ("cilium_host", "Cilium"),
    ("cilium_net", "Cilium"),
    ("cilium_vxlan", "Cilium"),
    ("cilium_geneve", "Cilium"),
    ("weave", "Weave Net"),
    ("kube-bridge", "kube-router"),
    ("antrea-gw0", "Antrea"),
    ("ovn-k8s-mp0", "OVN-Kubernetes"),
];

/// Whether another network plugin has left links here.
pub(super) fn others(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(OTHER, reason);
    }
    let found: Vec<&str> = PLUGINS
        .iter()
        .filter(|(name, _)| network.link(name).is_some())
        .map(|(name, _)| *name)
        .collect();
    if found.is_empty() {
        return Finding::new(OTHER, Level::Ok, "there is no interface of another network plugin");
    }
    let owners = PLUGINS.iter().filter(|(name, _)| found.contains(name));
    let mut owners: Vec<&str> = owners.map(|(_, owner)| *owner).collect();
    owners.dedup();
    let backend = network.variable("CALICO_NETWORKING_BACKEND");
    let evidence =
        json!({"interfaces": some(&found), "plugins": owners, "networkingBackend": backend});
    let does_networking = matches!(backend, Some("bird" | "vxlan"))
        || network.link("vxlan.calico").is_some()
        || network.node_addresses().values().any(|from| from.contains("BIRD"));
    if does_networking {
        let summary = format!(
            "{} are here beside Calico's own network: of {}",
            first(&found),
            owners.join(", ")
        );
        return Finding::new(OTHER, Level::Warn, summary)
            .evidence(evidence)
            .remedy("if that plugin is gone: remove its file from /etc/cni/net.d and its interfaces (ip link delete NAME), and reboot")
            .remedy("pods that it made before keep their old addresses: delete them, so that they are made anew");
    }
    let summary = match backend {
        Some("none") => format!("{} makes the network here, Calico the policy", owners.join(", ")),
        _ => format!(
            "{} are here, of {}; whether Calico makes the network is not known",
            first(&found),
            owners.join(", ")
        ),
    };
    Finding::new(OTHER, Level::Info, summary).evidence(evidence)
}
