//! MTU along a packet's way: pod, tunnel, uplink.
//!
//! A tunnel adds a header, so that what it may carry is what its uplink may carry less that. Calico computes it once and
//! writes what pods get to `/var/lib/calico/mtu`; only pods that come later get a changed one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::unknown;
use crate::checks::network::{MAIN, Network, ROUTES, TUNNELS, Tunnel, first, some};
use crate::checks::tables::{self, Link, Route, Type};
use crate::checks::{Finding, Level};
use crate::host::Outcome;

pub(super) const ID: &str = "interfaces.mtu";
/// What pods get.
pub(super) const FILE: &str = "host/var/lib/calico/mtu";

/// A tunnel on its way.
struct Way<'a> {
    tunnel: Tunnel,
    mtu: u32,
    /// The link that carries it, and its MTU.
    uplink: Option<(&'a str, u32)>,
}

impl Way<'_> {
    /// The most that it may carry.
    fn most(&self) -> Option<u32> {
        self.uplink.map(|(_, mtu)| mtu.saturating_sub(self.tunnel.overhead))
    }

    fn evidence(&self) -> Value {
        json!({
            "name": self.tunnel.name, "mtu": self.mtu, "overhead": self.tunnel.overhead,
            "uplink": self.uplink.map(|(name, _)| name), "uplinkMtu": self.uplink.map(|(_, mtu)| mtu), "most": self.most(),
        })
    }
}

pub(super) fn judge(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(ID, reason);
    }
    let uplinks = [false, true].map(|is_ipv6| uplink(network, is_ipv6));
    let ways: Vec<Way<'_>> = TUNNELS
        .into_iter()
        .filter_map(|tunnel| {
            // The kernel's module makes a tunl0 that nobody uses, too; it is down.
            let is_used = |link: &&Link| link.is_up() || tunnel.name != "tunl0";
            let link = network.link(tunnel.name).filter(is_used)?;
            let below = below(network, link).or(uplinks[usize::from(tunnel.is_ipv6)]);
            let uplink = below.and_then(|link| Some((link.name.as_str(), link.mtu?)));
            Some(Way { tunnel, mtu: link.mtu?, uplink })
        })
        .collect();
    let mut pods: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for link in network.pods() {
        pods.entry(link.mtu.unwrap_or_default()).or_default().push(&link.name);
    }
    if ways.is_empty() && pods.is_empty() {
        return Finding::new(ID, Level::Skip, "there is neither a pod's interface nor a tunnel");
    }
    // What a pod may send: what passes the narrowest tunnel, or without tunnels the uplink.
    let plain = uplinks.iter().flatten().filter_map(|link| link.mtu).min();
    let most = ways.iter().map(|way| way.mtu).min().or(plain);
    let (file, file_error) = file(network);
    let counts: BTreeMap<String, usize> =
        pods.iter().map(|(mtu, names)| (mtu.to_string(), names.len())).collect();
    let tunnels: Vec<Value> = ways.iter().map(Way::evidence).collect();
    let evidence =
        json!({"tunnels": tunnels, "most": most, "pods": counts, "file": file, "uplinkMtu": plain});
    told(&ways, most, &pods, file, file_error).evidence(evidence)
}

fn told(
    ways: &[Way<'_>],
    most: Option<u32>,
    pods: &BTreeMap<u32, Vec<&str>>,
    file: Option<u32>,
    file_error: Option<String>,
) -> Finding {
    let wide: Vec<String> = ways
        .iter()
        .filter_map(|way| {
            let (name, mtu) = way.uplink?;
            (way.mtu > way.most()?).then(|| {
                format!(
                    "{} has MTU {}, and {name} ({mtu}) leaves {} of it",
                    way.tunnel.name,
                    way.mtu,
                    way.most().unwrap_or_default()
                )
            })
        })
        .collect();
    if !wide.is_empty() {
        return Finding::new(ID, Level::Fail, format!("large packets get lost: {}", wide.join("; ")))
            .remedy("if the uplink's MTU is right, give Calico's: kubectl patch felixconfiguration default --type merge -p '{\"spec\":{\"vxlanMTU\":0,\"ipipMTU\":0,\"wireguardMTU\":0}}' (0: computed), or mtu in the operator's Installation")
            .remedy("see which links Calico takes for uplinks: mtuIfacePattern in FelixConfiguration; then restart calico-node, and the pods");
    }
    let Some(most) = most else {
        let summary = "whether pods' packets fit is not known: the uplink could not be told";
        return Finding::new(ID, Level::Unknown, summary);
    };
    let large: Vec<&str> =
        pods.range(most + 1..).flat_map(|(_, names)| names.iter().copied()).collect();
    if !large.is_empty() {
        let summary = format!(
            "{} interfaces of pods ({}) have an MTU above the {most} that pass on to other nodes",
            large.len(),
            first(&large)
        );
        return Finding::new(ID, Level::Warn, summary)
            .evidence(json!({"larger": some(&large)}))
            .remedy("only new pods get a changed MTU: restart these pods");
    }
    if let Some(error) = file_error {
        return Finding::new(
            ID,
            Level::Warn,
            format!("what MTU new pods get is not clear: {error}"),
        )
        .remedy("restart calico-node, which writes /var/lib/calico/mtu anew");
    }
    match file {
        Some(file) if file > most => Finding::new(
            ID,
            Level::Warn,
            format!("new pods get MTU {file} (/var/lib/calico/mtu), and {most} pass on to other nodes"),
        )
        .remedy("restart calico-node, which computes it anew; see mtuIfacePattern in FelixConfiguration"),
        Some(file) if file < most => Finding::new(
            ID,
            Level::Info,
            format!(
                "new pods get MTU {file} (/var/lib/calico/mtu) though {most} pass: it is set so, or a link with a \
                 small MTU matches mtuIfacePattern"
            ),
        ),
        _ if ways.iter().any(|way| way.uplink.is_none()) => Finding::new(
            ID,
            Level::Unknown,
            "whether tunnels fit through the uplink is not known: it could not be told",
        ),
        _ => {
            let tunnels: Vec<String> =
                ways.iter().map(|way| format!("{} {}", way.tunnel.name, way.mtu)).collect();
            let through = if tunnels.is_empty() { "the uplink".to_owned() } else { tunnels.join(", ") };
            let summary = format!("packets of all pods' MTU fit through {through}");
            Finding::new(ID, Level::Ok, summary)
        }
    }
}

/// The link that carries a tunnel, as the tunnel itself is set.
fn below<'a>(network: &'a Network<'_>, link: &Link) -> Option<&'a Link> {
    let named = link.detail.as_ref()?.link.as_ref().and_then(Value::as_str);
    network.link(named.or(link.link_name.as_deref())?)
}

/// The link that leads to other nodes: that of the node's address, else that of the default route.
pub(super) fn uplink<'a>(network: &'a Network<'_>, is_ipv6: bool) -> Option<&'a Link> {
    let addresses = network.node_addresses();
    let mut own = addresses.keys().filter(|address| address.is_ipv6() == is_ipv6);
    own.find_map(|address| network.link(network.holder(*address)?.dev.as_deref()?))
        .or_else(|| default(network, is_ipv6))
}

/// The link of the default route.
pub(super) fn default<'a>(network: &'a Network<'_>, is_ipv6: bool) -> Option<&'a Link> {
    let needle: &[u8] = if is_ipv6 { b"\"::/0\"" } else { b"\"0.0.0.0/0\"" };
    let mut best: Option<(u32, u32)> = None;
    let needle = memchr::memmem::Finder::new(needle);
    let wanted = |row: &[u8]| needle.find(row).is_some();
    let read = tables::each(network.evidence, ROUTES, "routes", wanted, |route: Route| {
        if route.table == MAIN && route.r#type == Type::Unicast && route.destination.length() == 0 {
            for hop in route.hops() {
                let found = hop.index.map(|index| (route.metric(), index));
                if best.is_none() || found.is_some_and(|found| Some(found) < best) {
                    best = found.or(best);
                }
            }
        }
    });
    read.ok()?;
    let (_, index) = best?;
    network.links().iter().find(|link| link.index == index)
}

/// What pods get, as the file says, or what is wrong with it. Older versions of Calico write none.
fn file(network: &Network<'_>) -> (Option<u32>, Option<String>) {
    let Some(reading) = network.evidence.get(FILE) else { return (None, None) };
    match reading.outcome {
        Outcome::Ok => match reading.text().trim().parse() {
            Ok(mtu) => (Some(mtu), None),
            Err(_) => (None, Some("/var/lib/calico/mtu holds no number".to_owned())),
        },
        _ => (None, None),
    }
}
