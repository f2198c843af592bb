//! IPIP and `WireGuard`.

use serde::Deserialize;
use serde_json::json;

use super::unknown;
use crate::checks::figures::counted;
use crate::checks::network::{Network, ROUTES, first, some};
use crate::checks::tables::{self, Link, Route, Type};
use crate::checks::{Finding, Level};

pub(super) const IPIP: &str = "interfaces.ipip";
pub(super) const WIREGUARD: &str = "interfaces.wireguard";
/// What the kernel says of `WireGuard`'s devices and peers.
pub(super) const PEERS: &str = "network/wireguard.json";

/// `WireGuard` makes a new key after two minutes of traffic; an older handshake means that there was none, or that none
/// succeeded.
const HANDSHAKE_SECONDS: u64 = 180;

#[derive(Debug, Deserialize)]
struct Device {
    dev: Option<String>,
    listen_port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    dev: Option<String>,
    endpoint: Option<String>,
    keepalive_seconds: Option<u16>,
    last_handshake: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
}

/// Whether `tunl0`, if it is used, is up and has its address.
pub(super) fn ipip(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(IPIP, reason);
    }
    let Some(link) = network.link("tunl0") else {
        return Finding::new(IPIP, Level::Skip, "there is no tunl0: no IPIP here");
    };
    let addresses = match &network.addresses {
        Ok(all) => all,
        Err(reason) => return unknown(IPIP, reason),
    };
    let own: Vec<&str> = addresses
        .iter()
        .filter(|row| row.dev.as_deref() == Some("tunl0"))
        .filter_map(|row| row.address.as_deref())
        .filter(|address| !address.starts_with("fe80"))
        .collect();
    let routes = match routes_by(network, link) {
        Ok(routes) => routes,
        Err(reason) => return unknown(IPIP, &reason),
    };
    let evidence = json!({"interface": "tunl0", "up": link.is_up(), "addresses": own, "routes": routes, "mtu": link.mtu});
    let finding =
        |level, summary: String| Finding::new(IPIP, level, summary).evidence(evidence.clone());
    match (own.first(), link.is_up(), routes) {
        // The kernel's module makes it; only Felix gives it an address.
        (None, _, 0) => finding(Level::Skip, "tunl0 has neither address nor routes: no IPIP here".to_owned()),
        (_, false, _) => finding(
            Level::Fail,
            format!("tunl0 is down, though it has the address {}", own.first().unwrap_or(&"-")),
        )
        .remedy("ip link set tunl0 up; see what takes it down: calivet check networkmanager"),
        (None, true, routes) => finding(
            Level::Warn,
            format!("tunl0 has no address, and {routes} routes lead through it: this node itself does not reach pods of others"),
        )
        .remedy("see what takes the address away (calivet check networkmanager); restart calico-node"),
        (Some(address), true, routes) => {
            let routes = counted(routes, "route leads", "routes lead");
            finding(Level::Ok, format!("tunl0 is up with {address}, and {routes} through it"))
        }
    }
}

/// How many routes lead through a link, the kernel's own left out.
fn routes_by(network: &Network<'_>, link: &Link) -> Result<usize, String> {
    let needle = format!("\"dev\":{}", serde_json::Value::from(link.name.as_str()));
    let needle = memchr::memmem::Finder::new(&needle);
    let wanted = |row: &[u8]| needle.find(row).is_some();
    let mut count = 0;
    tables::each(network.evidence, ROUTES, "routes", wanted, |route: Route| {
        let is_unicast = route.r#type == Type::Unicast && route.destination.length() > 0;
        let is_kernels = route.protocol == 2;
        count += usize::from(
            is_unicast && !is_kernels && route.hops().any(|hop| hop.index == Some(link.index)),
        );
    })?;
    Ok(count)
}

/// One finding for each `WireGuard` device of Calico's, or one that there is none.
pub(super) fn wireguard(network: &Network<'_>) -> Vec<Finding> {
    if let Err(reason) = &network.links {
        return vec![unknown(WIREGUARD, reason)];
    }
    let names = ["wireguard.cali", "wg-v6.cali"];
    let devices: Vec<&Link> = names.into_iter().filter_map(|name| network.link(name)).collect();
    if devices.is_empty() {
        return vec![Finding::new(
            WIREGUARD,
            Level::Skip,
            "there is no WireGuard device of Calico's",
        )];
    }
    devices.into_iter().map(|link| device(network, link)).collect()
}

fn device(network: &Network<'_>, link: &Link) -> Finding {
    let name = link.name.as_str();
    if !link.is_up() {
        return Finding::new(WIREGUARD, Level::Fail, format!("{name} is down"))
            .evidence(json!({"interface": name, "up": false}))
            .remedy("see what takes it down: calivet check networkmanager; Felix's log says why it cannot set it up");
    }
    let known = tables::all::<Device>(network.evidence, PEERS, "devices")
        .and_then(|devices| Ok((devices, tables::all::<Peer>(network.evidence, PEERS, "peers")?)));
    let (devices, peers) = match known {
        Ok(known) => known,
        Err(reason) => {
            let summary = format!("{name} is up; whether its peers answer is not known: {reason}");
            return Finding::new(WIREGUARD, Level::Unknown, summary)
                .evidence(json!({"interface": name, "up": true}));
        }
    };
    let time = network.evidence.get(PEERS).map_or(0, |reading| reading.started.as_second());
    let port = devices
        .iter()
        .find(|device| device.dev.as_deref() == Some(name))
        .and_then(|device| device.listen_port);
    let mut silent = Vec::new();
    let mut late = Vec::new();
    let mut oldest = None;
    let mut count = 0;
    // A peer of many networks takes several rows, of which the first has all the rest.
    for peer in peers.iter().filter(|peer| peer.dev.as_deref() == Some(name)) {
        let (Some(endpoint), Some(sent)) = (&peer.endpoint, peer.sent_bytes) else { continue };
        count += 1;
        let received = peer.received_bytes.unwrap_or_default();
        let age = peer
            .last_handshake
            .map(|at| u64::try_from(time).unwrap_or_default().saturating_sub(at));
        oldest = oldest.max(age);
        let is_kept = peer.keepalive_seconds.is_some_and(|seconds| seconds > 0);
        match age {
            None if sent > 0 && received == 0 => silent.push(endpoint.as_str()),
            // Without keepalives, a tunnel without traffic has no handshakes either.
            Some(age) if is_kept && age > HANDSHAKE_SECONDS => late.push(endpoint.as_str()),
            _ => {}
        }
    }
    let evidence = json!({
        "interface": name, "up": true, "listenPort": port, "peers": count, "silent": some(&silent), "late": some(&late),
        "oldestHandshakeSeconds": oldest, "counts": {"silent": silent.len(), "late": late.len()},
    });
    let finding =
        |level, summary: String| Finding::new(WIREGUARD, level, summary).evidence(evidence.clone());
    if port.unwrap_or_default() == 0 {
        return finding(Level::Fail, format!("{name} listens on no port"))
            .remedy("restart calico-node; Felix's log says why (grep -i wireguard)");
    }
    if !silent.is_empty() {
        let summary = format!(
            "of {count} peers of {name}, {} never answered what was sent to them ({})",
            silent.len(),
            first(&silent)
        );
        let level = if silent.len() == count { Level::Fail } else { Level::Warn };
        return finding(level, summary)
            .remedy(format!("let UDP port {} pass between the nodes", port.unwrap_or_default()))
            .remedy("see that both nodes know the other's key: calicoctl get node NAME -o yaml (status.wireguardPublicKey)");
    }
    if !late.is_empty() {
        let summary = format!(
            "of {count} peers of {name}, {} have had no handshake for {HANDSHAKE_SECONDS} s in spite of keepalives ({})",
            late.len(),
            first(&late)
        );
        return finding(Level::Warn, summary)
            .remedy(format!("let UDP port {} pass between the nodes", port.unwrap_or_default()));
    }
    finding(
        Level::Ok,
        format!("{name} is up, and no peer out of {count} leaves anything unanswered"),
    )
}
