//! The interfaces that are judged: Calico's that are there, and those that Felix will make.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Deserialize;

use crate::checks::Asked;
use crate::checks::network::{ADDRESSES, LINKS, pod_prefixes};
use crate::checks::tables::{self, Address};
use crate::collectors::Node;
use crate::host::{Evidence, Outcome};
use crate::networkmanager::config::Config;
use crate::networkmanager::device::{Device, Sort, Told, Udev};
use crate::networkmanager::keyfile;

/// Felix's tunnels, by their names and kinds.
pub(super) const TUNNELS: [(&str, &str); 5] = [
    ("tunl0", "ipip"),
    ("vxlan.calico", "vxlan"),
    ("vxlan-v6.calico", "vxlan"),
    ("wireguard.cali", "wireguard"),
    ("wg-v6.cali", "wireguard"),
];

/// The pair of the BPF dataplane.
const PAIR: [&str; 2] = ["bpfin.cali", "bpfout.cali"];

/// What Felix adds to the prefix of a pod's interface: 11 hexadecimal digits of a hash.
const HASH: &str = "0123456789a";

/// The longest name of an interface.
const MAX_NAME: usize = 15;

/// All interfaces that are judged.
pub(super) struct Subjects {
    /// Those that are there first, by name.
    pub(super) all: Vec<Subject>,
    /// With what the names of pods' interfaces begin.
    pub(super) prefixes: Vec<String>,
}

/// An interface that is judged.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) name: String,
    /// Whether it is there; otherwise Felix will make it.
    pub(super) exists: bool,
    /// The kernel's kind of it.
    pub(super) kind: Option<String>,
    device: Device,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Link {
    index: i32,
    name: Option<String>,
    kind: Option<String>,
    flags: Vec<String>,
    master: Option<String>,
    permanent_mac: Option<String>,
}

/// udev's database, as far as it was read.
enum Database {
    /// It has no database: nothing waits for it.
    Absent,
    /// What it says, by the index of the interface.
    Known(BTreeMap<i32, Udev>),
    /// It was not read.
    Unread,
}

impl Subject {
    /// What is known of it, with what the configuration adds.
    pub(super) fn device(&self, config: &Config) -> Device {
        Device { dhcp_plugin: config.dhcp_plugin(), ..self.device.clone() }
    }
}

impl Subjects {
    /// The interfaces that the user named, or Calico's.
    pub(super) fn find(evidence: &Evidence, asked: &Asked) -> Self {
        let prefixes = pod_prefixes(evidence);
        let links: Option<Vec<Link>> = tables::all(evidence, LINKS, "links").ok();
        let in_use = in_use(evidence, links.as_deref().unwrap_or_default());
        let udev = udev(evidence);
        let names: Vec<String> = names(evidence, links.as_deref());
        let is_calicos = |name: &str| {
            prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
                || TUNNELS.iter().any(|(tunnel, _)| *tunnel == name)
                || PAIR.contains(&name)
        };
        let by_name: HashMap<&str, &Link> =
            links.iter().flatten().filter_map(|link| Some((link.name.as_deref()?, link))).collect();
        let mut subjects = Vec::new();
        let mut there = BTreeSet::new();
        for name in &names {
            let is_wanted = if asked.interfaces.is_empty() {
                is_calicos(name)
            } else {
                asked.interfaces.contains(name)
            };
            if is_wanted && there.insert(name.clone()) {
                let link = by_name.get(name.as_str()).copied();
                subjects.push(existing(evidence, name, link, in_use.as_ref(), &udev, &prefixes));
            }
        }
        let to_come: Vec<String> = if asked.interfaces.is_empty() {
            let pods = prefixes
                .iter()
                .map(|prefix| format!("{prefix}{HASH}").chars().take(MAX_NAME).collect::<String>());
            pods.chain(TUNNELS.iter().map(|(name, _)| (*name).to_owned())).collect()
        } else {
            asked.interfaces.clone()
        };
        let veth_rule = veth_rule(evidence, &udev);
        for name in to_come {
            if there.insert(name.clone()) {
                subjects.push(future(&name, &prefixes, veth_rule));
            }
        }
        Self { all: subjects, prefixes }
    }
}

/// The names of all interfaces: the kernel's links, or else its table of interfaces.
fn names(evidence: &Evidence, links: Option<&[Link]>) -> Vec<String> {
    match links {
        Some(links) => links.iter().filter_map(|link| link.name.clone()).collect(),
        None => Node::from_evidence(evidence).interfaces,
    }
}

/// The interfaces that are up and have an address that counts, or are part of another; `None`: not known.
fn in_use(evidence: &Evidence, links: &[Link]) -> Option<BTreeSet<String>> {
    let addresses: Vec<Address> = tables::all(evidence, ADDRESSES, "addresses").ok()?;
    let is_link_local = |address: &str| {
        address
            .parse::<std::net::Ipv6Addr>()
            .is_ok_and(|address| (address.segments()[0] & 0xffc0) == 0xfe80)
    };
    let with_address: BTreeSet<&str> = addresses
        .iter()
        .filter(|it| it.address.as_deref().is_some_and(|address| !is_link_local(address)))
        .filter_map(|it| it.dev.as_deref())
        .collect();
    let masters: HashSet<&str> = links.iter().filter_map(|link| link.master.as_deref()).collect();
    let used = links.iter().filter(|link| {
        let name = link.name.as_deref().unwrap_or_default();
        link.flags.iter().any(|flag| flag == "up")
            && (link.master.is_some() || with_address.contains(name) || masters.contains(name))
    });
    Some(used.filter_map(|link| link.name.clone()).collect())
}

/// What udev keeps of each interface in `/run/udev/data/nINDEX`: `E:NM_UNMANAGED=1`.
fn udev(evidence: &Evidence) -> Database {
    const FOLDER: &str = "host/run/udev/data";
    if evidence.get(FOLDER).is_some_and(|listing| listing.outcome != Outcome::Missing)
        || evidence.get("networkmanager/version").is_none()
    {
        return Database::Unread;
    }
    let mut known = BTreeMap::new();
    for (name, reading) in evidence.below(FOLDER) {
        let Some(index) = name.strip_prefix('n').and_then(|index| index.parse().ok()) else {
            continue;
        };
        if reading.outcome != Outcome::Ok {
            return Database::Unread;
        }
        let text = reading.text();
        let value = text.lines().rev().find_map(|line| line.strip_prefix("E:NM_UNMANAGED="));
        // What is neither true nor false counts as false.
        let word = match value.map(|value| keyfile::boolean(value.as_bytes())) {
            None => Udev::Silent,
            Some(Some(true)) => Udev::Unmanaged,
            Some(_) => Udev::Managed,
        };
        known.insert(index, word);
    }
    if known.is_empty() { Database::Absent } else { Database::Known(known) }
}

fn existing(
    evidence: &Evidence,
    name: &str,
    link: Option<&Link>,
    in_use: Option<&BTreeSet<String>>,
    udev: &Database,
    prefixes: &[String],
) -> Subject {
    let Some(link) = link else {
        // Only the name is known: what Felix makes under it is what it is taken for.
        let mut subject = future(name, prefixes, None);
        subject.exists = true;
        subject.device.in_use = None;
        subject.device.udev = match udev {
            Database::Absent => Some(Udev::Silent),
            _ => None,
        };
        return subject;
    };
    let device = match &link.kind {
        Some(kind) => Device::of_kind(name, kind),
        // Without a kind it is hardware, of which only some is known.
        None => Device { name: name.to_owned(), ..Device::default() },
    };
    let permanent = match (&link.kind, &link.permanent_mac) {
        (Some(_), _) => Some(None),
        (None, Some(mac)) => Some(bytes_of(mac)),
        (None, None) => None,
    };
    let word = match udev {
        Database::Absent => Some(Udev::Silent),
        Database::Known(known) => known.get(&link.index).copied(),
        Database::Unread => None,
    };
    Subject {
        name: name.to_owned(),
        exists: true,
        kind: link.kind.clone(),
        device: Device {
            permanent_address: permanent,
            udev: word,
            in_use: in_use.map(|used| used.contains(name)),
            is_port: Some(link.master.is_some()),
            told: told(evidence, link.index),
            ..device
        },
    }
}

fn bytes_of(mac: &str) -> Option<Vec<u8>> {
    mac.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

/// What `NetworkManager` keeps of an interface until the next boot.
fn told(evidence: &Evidence, index: i32) -> Option<Told> {
    let path = format!("/run/NetworkManager/devices/{index}");
    let reading = evidence.get(&format!("host{path}"))?;
    let keyfile = keyfile::parse(&reading.bytes).ok()?;
    let entry = keyfile.entry(b"device", b"managed")?;
    let managed = keyfile::boolean(&entry.value)?;
    Some(Told { managed, path, line: entry.line })
}

/// Whether udev's stock rule marks every veth that comes (`85-nm-unmanaged.rules`); `None`: not known.
fn veth_rule(evidence: &Evidence, udev: &Database) -> Option<Udev> {
    const NAME: &str = "udev/rules.d/85-nm-unmanaged.rules";
    match udev {
        Database::Absent => return Some(Udev::Silent),
        Database::Unread => return None,
        Database::Known(_) => {}
    }
    for folder in ["host/etc", "host/usr/lib"] {
        let reading = evidence.get(&format!("{folder}/{NAME}"))?;
        match reading.outcome {
            Outcome::Missing => {}
            Outcome::Ok => {
                let text = reading.text();
                let marks = |line: &str| {
                    !line.trim_start().starts_with('#')
                        && line.contains("\"veth\"")
                        && line.contains("NM_UNMANAGED")
                };
                let word = if text.lines().any(marks) { Udev::Unmanaged } else { Udev::Silent };
                return Some(word);
            }
            _ => return None,
        }
    }
    Some(Udev::Silent)
}

/// An interface that Felix will make: up, and with an address where it is a tunnel.
fn future(name: &str, prefixes: &[String], veth_rule: Option<Udev>) -> Subject {
    let tunnel = TUNNELS.iter().find(|(tunnel, _)| *tunnel == name).map(|(_, kind)| *kind);
    let is_pods =
        PAIR.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let kind = tunnel.or_else(|| is_pods.then_some("veth"));
    let device = kind.map_or_else(
        || Device { name: name.to_owned(), ..Device::default() },
        |kind| Device::of_kind(name, kind),
    );
    Subject {
        name: name.to_owned(),
        exists: false,
        kind: kind.map(str::to_owned),
        device: Device {
            udev: match kind {
                Some("veth") => veth_rule,
                // No stock rule speaks of tunnels.
                Some(_) => Some(Udev::Silent),
                None => None,
            },
            in_use: kind.is_some().then_some(true),
            is_port: Some(false),
            sort: kind.and_then(Sort::of_kind),
            ..device
        },
    }
}
