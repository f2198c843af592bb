//! What a node's network is made of, as `check interfaces` and `check routes` see it: the links of pods, Calico's tunnels,
//! the node's own addresses and the links that lead to other nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::tables::{self, Address, Link, Route};
use super::{Finding, Level};
use crate::bird::configuration;
use crate::collectors::Node;
use crate::host::{Evidence, Outcome};
use crate::prefix::Prefix;
use crate::processes::Process;
use crate::workloads;

/// The kernel's links.
pub(super) const LINKS: &str = "network/links.json";
/// The kernel's addresses.
pub(super) const ADDRESSES: &str = "network/addresses.json";
/// The kernel's routes.
pub(super) const ROUTES: &str = "network/routes.json";
/// The pods of this node.
pub(super) const PODS: &str = "logs/pods_listing";
/// What BIRD reads, in its container and on the host, by family.
pub(super) const BIRD: [&str; 4] = [
    "bird/ipv4/bird.cfg",
    "host/etc/calico/confd/config/bird.cfg",
    "bird/ipv6/bird6.cfg",
    "host/etc/calico/confd/config/bird6.cfg",
];
/// The folder of the files of BIRD that runs without a container.
pub(super) const ETC: &str = "host/etc/calico";

/// How much each link has carried.
pub(super) const COUNTERS: &str = "host/proc/net/dev";
/// The same once more.
pub(super) const COUNTERS_LATER: &str = "network/dev_later";
/// What the firmware says of the machine: who made it, what it is, its firmware's version, its chassis's tag.
pub(super) const DMI: [&str; 4] = [
    "host/sys/class/dmi/id/sys_vendor",
    "host/sys/class/dmi/id/product_name",
    "host/sys/class/dmi/id/bios_version",
    "host/sys/class/dmi/id/chassis_asset_tag",
];

/// The table `main`.
pub(super) const MAIN: u32 = 254;
/// The table `local`: this host's own addresses.
pub(super) const LOCAL: u32 = 255;
/// Routes of BIRD's in the kernel.
pub(super) const PROTO_BIRD: u8 = 12;
/// Routes of Felix's (`felix/dataplane/linux/dataplanedefs`).
pub(super) const PROTO_FELIX: u8 = 80;

/// A tunnel that Felix makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tunnel {
    pub(super) name: &'static str,
    /// How many bytes it adds to each packet (`docs: networking/configuring/mtu`).
    pub(super) overhead: u32,
    pub(super) is_ipv6: bool,
}

const fn tunnel(name: &'static str, overhead: u32, is_ipv6: bool) -> Tunnel {
    Tunnel { name, overhead, is_ipv6 }
}

/// Felix's tunnels.
pub(super) const TUNNELS: [Tunnel; 5] = [
    tunnel("vxlan.calico", 50, false),
    tunnel("vxlan-v6.calico", 70, true),
    tunnel("tunl0", 20, false),
    tunnel("wireguard.cali", 60, false),
    tunnel("wg-v6.cali", 80, true),
];

/// What is known of a node's network.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) evidence: &'a Evidence,
    /// Or why they are not known.
    pub(super) links: Result<Vec<Link>, String>,
    pub(super) addresses: Result<Vec<Address>, String>,
    /// With what the names of pods' links begin.
    prefixes: Vec<String>,
    /// Felix; `None` if none was seen to run.
    pub(super) felix: Option<Process>,
}

/// Which pods' links are left over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// Nobody can know it here, and why that is so.
    NotKept(String),
    /// It is not known, and why.
    Unknown(String),
    /// The names of links whose pods are gone, and how many links have their pod.
    Known(BTreeSet<String>, usize),
}

impl<'a> Network<'a> {
    pub(super) fn read(evidence: &'a Evidence) -> Self {
        let node = Node::from_evidence(evidence);
        let felix = node.agents().felix.process.cloned();
        Self {
            evidence,
            links: tables::all(evidence, LINKS, "links"),
            addresses: tables::all(evidence, ADDRESSES, "addresses"),
            prefixes: pod_prefixes(evidence),
            felix,
        }
    }

    /// A variable of Felix's environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.felix.as_ref()?.variable(name)
    }

    /// All links; none where they are not known.
    pub(super) fn links(&self) -> &[Link] {
        self.links.as_deref().unwrap_or_default()
    }

    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links().iter().find(|link| link.name == name)
    }

    /// Whether a link is a pod's.
    pub(super) fn is_pods(&self, link: &Link) -> bool {
        let kind = link.kind.as_deref();
        matches!(kind, Some("veth" | "netkit" | "tun"))
            && !is_temporary(&link.name)
            && TUNNELS.iter().all(|tunnel| tunnel.name != link.name)
            && self.prefixes.iter().any(|prefix| link.name.starts_with(prefix.as_str()))
    }

    /// The links of pods.
    pub(super) fn pods(&self) -> Vec<&Link> {
        self.links().iter().filter(|link| self.is_pods(link)).collect()
    }

    /// Which pods' links have no pod any more.
    pub(super) fn leftovers(&self) -> Leftovers {
        let Some(listing) = self.evidence.get(PODS) else {
            return Leftovers::Unknown(format!("{PODS} was not read"));
        };
        match listing.outcome {
            Outcome::Ok => {}
            Outcome::Missing => {
                return Leftovers::NotKept("no kubelet keeps pods here (/var/log/pods)".to_owned());
            }
            outcome => {
                let reason = listing.reason.clone().unwrap_or_else(|| outcome.to_string());
                return Leftovers::Unknown(format!("/var/log/pods: {reason}"));
            }
        }
        let pods = workloads::pods(&listing.text());
        let has_pod =
            |link: &Link| workloads::digits(&link.name).is_some_and(|it| pods.contains_key(it));
        let (with, without): (Vec<&Link>, Vec<&Link>) =
            self.pods().into_iter().partition(|link| has_pod(link));
        if with.is_empty() && !without.is_empty() {
            // Then the names are not made as Calico's CNI plugin makes them, or the kubelet has another folder.
            return Leftovers::Unknown(format!(
                "none of {} interfaces is named after a pod in /var/log/pods",
                without.len()
            ));
        }
        let temporary =
            self.links().iter().map(|link| &link.name).filter(|name| is_temporary(name));
        let gone = without.into_iter().map(|link| &link.name).chain(temporary);
        Leftovers::Known(gone.cloned().collect(), with.len())
    }

    /// The addresses by which other nodes know this one, and who says so.
    pub(super) fn node_addresses(&self) -> BTreeMap<IpAddr, BTreeSet<String>> {
        let mut found: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        for name in ["vxlan.calico", "vxlan-v6.calico"] {
            let detail = self.link(name).and_then(|link| link.detail.as_ref());
            let local = detail.and_then(|detail| detail.local.as_deref());
            if let Some(address) = local.and_then(tables::address) {
                found.entry(address).or_default().insert(name.to_owned());
            }
        }
        for [contained, on_host] in [[BIRD[0], BIRD[1]], [BIRD[2], BIRD[3]]] {
            let reading = [contained, on_host].into_iter().find_map(|path| {
                self.evidence.get(path).filter(|reading| reading.outcome == Outcome::Ok)
            });
            let Some(reading) = reading else { continue };
            for session in configuration::parse(&reading.text()).peers {
                if let Some(address) = session.source.as_deref().and_then(tables::address) {
                    found.entry(address).or_default().insert("BIRD".to_owned());
                }
            }
        }
        found
    }

    /// The link that has an address.
    pub(super) fn holder(&self, address: IpAddr) -> Option<&Address> {
        let is_it =
            |row: &&Address| row.address.as_deref().and_then(tables::address) == Some(address);
        self.addresses.as_ref().ok()?.iter().find(is_it)
    }
}

/// What the CNI plugin calls a link until its pod has it.
fn is_temporary(name: &str) -> bool {
    name.starts_with("calico_tmp")
}

/// With what the names of pods' interfaces begin: `FELIX_INTERFACEPREFIX`, or `cali`.
pub(super) fn pod_prefixes(evidence: &Evidence) -> Vec<String> {
    let node = Node::from_evidence(evidence);
    let felix = node.agents().felix.process;
    let list = felix.and_then(|felix| felix.variable("FELIX_INTERFACEPREFIX"));
    let list = list.unwrap_or("cali").split(',').map(str::trim);
    let list: Vec<String> = list.filter(|prefix| !prefix.is_empty()).map(str::to_owned).collect();
    if list.is_empty() { vec!["cali".to_owned()] } else { list }
}

/// Links that are not a node's uplink: `IP_AUTODETECTION_METHOD` passes them over when it looks for the node's address.
const NO_UPLINKS: &[&str] = &[
    "docker",
    "br-",
    "virbr",
    "lxcbr",
    "podman",
    "cbr",
    "cni",
    "cali",
    "tunl",
    "vxlan.calico",
    "vxlan-v6.calico",
    "wireguard.cali",
    "wg-v6.cali",
    "kube-ipvs",
    "flannel",
    "dummy",
    "nodelocaldns",
];

/// Why an address of this host is not one by which a node should be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its link leads to no other node.
    Link,
    /// It is a second address without a network, as keepalived and the like add for a virtual one.
    Virtual,
}

/// Whether an address of this host is unfit to be the node's.
pub(super) fn unfit(all: &[Address], address: &Address) -> Option<Unfit> {
    let dev = address.dev.as_deref()?;
    let text = address.address.as_deref()?;
    let is_ipv6 = text.contains(':');
    let full = if is_ipv6 { 128 } else { 32 };
    let has_other = || {
        all.iter().any(|other| {
            let same_family =
                other.address.as_deref().is_some_and(|it| it.contains(':') == is_ipv6);
            other.dev == address.dev && same_family && other.prefix_length < full
        })
    };
    if NO_UPLINKS.iter().any(|prefix| dev.starts_with(prefix)) {
        Some(Unfit::Link)
    } else if address.prefix_length == full && !text.starts_with("fe80") && has_other() {
        Some(Unfit::Virtual)
    } else {
        None
    }
}

/// The links by index.
pub(super) fn by_index(links: &[Link]) -> HashMap<u32, &Link> {
    links.iter().map(|link| (link.index, link)).collect()
}

/// Whether a route was made by Calico: BIRD or Felix.
pub(super) const fn is_calicos(route: &Route) -> bool {
    matches!(route.protocol, PROTO_BIRD | PROTO_FELIX)
}

/// Whether a network may be a block of pods' addresses: wider ones are a site's networks, which BIRD may know too.
pub(super) const fn is_block(network: Prefix) -> bool {
    network.length() >= if network.is_ipv6() { 112 } else { 20 }
}

/// What is wrong with some of many: which, in which way, and what mends it.
pub(super) type Trouble<'a, T> = (&'a [T], &'static str, &'static str);

/// The finding of many, such as interfaces of pods, of which some may be in trouble: how many, the first of them, and what
/// mends each trouble once.
pub(super) fn troubled<T: ToString>(
    id: &'static str,
    many: &str,
    well: &str,
    troubles: &[Trouble<'_, T>],
) -> Finding {
    let troubles: Vec<_> = troubles.iter().filter(|(some, ..)| !some.is_empty()).collect();
    if troubles.is_empty() {
        return Finding::new(id, Level::Ok, format!("{many} {well}"));
    }
    let parts: Vec<String> = troubles
        .iter()
        .map(|(some, what, _)| format!("{} {what} ({})", some.len(), first(some)))
        .collect();
    let finding = Finding::new(id, Level::Fail, format!("of {many}: {}", parts.join("; ")));
    troubles.iter().fold(finding, |finding, (.., remedy)| finding.remedy(*remedy))
}

/// How many are named of a list.
const NAMED: usize = 20;

/// The first of a list that may be long, for evidence.
pub(super) fn some<T>(list: &[T]) -> &[T] {
    list.get(..NAMED).unwrap_or(list)
}

/// The first three of a list, for a sentence.
pub(super) fn first<T: ToString>(list: &[T]) -> String {
    let shown: Vec<String> = list.iter().take(3).map(ToString::to_string).collect();
    format!("{}{}", shown.join(", "), if list.len() > 3 { ", ..." } else { "" })
}
