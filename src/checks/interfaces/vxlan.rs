//! The VXLAN devices of Calico.

use serde_json::json;

use super::unknown;
use crate::checks::network::{Network, first};
use crate::checks::tables::{self, Features, Link};
use crate::checks::{Finding, Level};
use crate::host::Outcome;

pub(super) const ID: &str = "interfaces.vxlan";
pub(super) const CHECKSUM: &str = "interfaces.checksum-offload";
/// Offloads of links.
pub(super) const FEATURES: &str = "network/features.json";
/// The kernel's release.
pub(super) const KERNEL: &str = "host/proc/sys/kernel/osrelease";

const NAMES: [&str; 2] = ["vxlan.calico", "vxlan-v6.calico"];
/// What Felix sets where nothing else is asked for (`vxlanVNI`, `vxlanPort`).
const VNI: u32 = 4096;
const PORT: u16 = 4789;

/// The devices that are there.
fn devices<'a>(network: &'a Network<'_>) -> Vec<&'a Link> {
    NAMES.into_iter().filter_map(|name| network.link(name)).collect()
}

/// The other VXLAN devices of this host that use a port.
fn rivals<'a>(network: &'a Network<'_>, own: &str, port: u16) -> Vec<&'a str> {
    let is_rival = |link: &&Link| {
        let used = link.detail.as_ref().and_then(|detail| detail.port);
        link.kind.as_deref() == Some("vxlan")
            && link.name != own
            && !NAMES.contains(&link.name.as_str())
            && used == Some(port)
    };
    network.links().iter().filter(is_rival).map(|link| link.name.as_str()).collect()
}

/// One finding for each device, or one that there is none.
pub(super) fn judge(network: &Network<'_>) -> Vec<Finding> {
    if let Err(reason) = &network.links {
        return vec![unknown(ID, reason)];
    }
    let devices = devices(network);
    if !devices.is_empty() {
        return devices.into_iter().map(|link| device(network, link)).collect();
    }
    let finding = match network.variable("CALICO_NETWORKING_BACKEND") {
        Some("vxlan") => {
            let rivals = rivals(network, "", PORT);
            let why = match rivals.first() {
                Some(rival) => format!(": {rival} has UDP port {PORT}"),
                None => {
                    ": Felix makes it once there is a pool with VXLAN and another node".to_owned()
                }
            };
            let level = if rivals.is_empty() { Level::Warn } else { Level::Fail };
            let summary =
                format!("CALICO_NETWORKING_BACKEND is vxlan, and there is no vxlan.calico{why}");
            Finding::new(ID, level, summary)
                .evidence(json!({"interface": "vxlan.calico", "exists": false, "rivals": rivals}))
                .remedy("Felix's log says why: grep -i vxlan")
        }
        _ => Finding::new(ID, Level::Skip, "there is no VXLAN device of Calico's"),
    };
    vec![finding]
}

fn device(network: &Network<'_>, link: &Link) -> Finding {
    let name = &link.name;
    let detail = link.detail.clone().unwrap_or_default();
    // In eBPF mode the device takes its peer from each packet, and has neither a VNI nor an address of its own.
    let is_external = detail.external == Some(true);
    let port = detail.port.unwrap_or(PORT);
    let rivals = rivals(network, name, port);
    let addresses = network.addresses.as_ref().map(|all| {
        let own = all.iter().filter(|row| row.dev.as_ref() == Some(name));
        let own = own.filter_map(|row| row.address.clone());
        own.filter(|address| !address.starts_with("fe80")).collect::<Vec<_>>()
    });
    let mut wrong: Vec<(Level, String, &str)> = Vec::new();
    if !link.is_up() {
        wrong.push((
            Level::Fail,
            "is down".to_owned(),
            "see what takes it down (calivet check networkmanager); Felix's log says why it cannot set it up",
        ));
    }
    if !rivals.is_empty() {
        let level = if link.is_up() { Level::Warn } else { Level::Fail };
        wrong.push((
            level,
            format!("shares UDP port {port} with {}", first(&rivals)),
            "remove the other one if its network plugin is gone, or give Calico another port on all nodes: vxlanPort in FelixConfiguration",
        ));
    }
    if detail.learning == Some(true) && !is_external {
        wrong.push((
            Level::Warn,
            "learns where MAC addresses are, which Felix alone is to say".to_owned(),
            "somebody else made or changed the device: ip link delete it, Felix makes it anew",
        ));
    }
    match &addresses {
        Ok(own) if own.is_empty() => wrong.push((
            Level::Warn,
            "has no address, so that this node itself does not reach pods of others".to_owned(),
            "see what takes it away (calivet check networkmanager); restart calico-node",
        )),
        _ => {}
    }
    let mac = link.mac.clone().unwrap_or_default();
    if !mac.starts_with("66:") {
        wrong.push((
            Level::Warn,
            format!("has the MAC address {mac}, which is not one that Calico makes (66:...): other nodes send to another one"),
            "keep udev from it: a file /etc/systemd/network/10-calico.link with [Match] OriginalName=*.calico and \
             [Link] MACAddressPolicy=none; then ip link delete it, Felix makes it anew",
        ));
    }
    let evidence = json!({
        "interface": name, "exists": true, "up": link.is_up(), "vni": detail.id, "port": detail.port, "local": detail.local,
        "learning": detail.learning, "external": is_external, "mac": link.mac, "mtu": link.mtu,
        "addresses": addresses.as_ref().ok(), "rivals": rivals,
    });
    let level = wrong.iter().map(|(level, ..)| *level).max();
    if let Some(level) = level {
        let parts: Vec<&str> = wrong.iter().map(|(_, what, _)| what.as_str()).collect();
        let finding = Finding::new(ID, level, format!("{name} {}", parts.join("; ")));
        return wrong
            .iter()
            .fold(finding.evidence(evidence), |finding, (.., remedy)| finding.remedy(*remedy));
    }
    if let Err(reason) = &addresses {
        return Finding::new(
            ID,
            Level::Unknown,
            format!("{name} is up; its address is not known: {reason}"),
        )
        .evidence(evidence);
    }
    if !is_external && (detail.id != Some(VNI) || port != PORT) {
        let vni = detail.id.map_or_else(|| "none".to_owned(), |vni| vni.to_string());
        let summary = format!(
            "{name} is up with VNI {vni} and port {port}, which all nodes must have (Calico's own are {VNI} and {PORT})"
        );
        return Finding::new(ID, Level::Info, summary).evidence(evidence);
    }
    Finding::new(ID, Level::Ok, format!("{name} is up and set as Felix sets it")).evidence(evidence)
}

/// Whether the kernel is to compute checksums that it computes wrongly: up to 5.7 it did so behind some network cards.
pub(super) fn checksum(network: &Network<'_>) -> Finding {
    if let Err(reason) = &network.links {
        return unknown(CHECKSUM, reason);
    }
    let devices = devices(network);
    if devices.is_empty() {
        return Finding::new(CHECKSUM, Level::Skip, "there is no VXLAN device of Calico's");
    }
    let reading = network.evidence.get(KERNEL).filter(|reading| reading.outcome == Outcome::Ok);
    let release = reading.map(|reading| reading.text().trim().to_owned()).unwrap_or_default();
    let Some(version) = version(&release) else {
        return Finding::new(CHECKSUM, Level::Unknown, "the kernel's version is not known");
    };
    if version >= (5, 8) {
        return Finding::new(
            CHECKSUM,
            Level::Ok,
            format!("kernel {release} computes checksums of VXLAN packets rightly"),
        )
        .evidence(json!({"kernel": release}));
    }
    let rows: Vec<Features> = match tables::all(network.evidence, FEATURES, "features") {
        Ok(rows) => rows,
        Err(reason) => {
            let summary = format!("whether checksums are offloaded is not known: {reason}");
            return Finding::new(CHECKSUM, Level::Unknown, summary);
        }
    };
    let mut on = Vec::new();
    for link in devices {
        let row = rows.iter().find(|row| row.dev == link.name);
        match row.and_then(|row| row.features.get("tx-checksum-ip-generic")) {
            Some(true) => on.push(link.name.as_str()),
            Some(false) => {}
            None => {
                let summary =
                    format!("whether checksums of {} are offloaded is not known", link.name);
                return Finding::new(CHECKSUM, Level::Unknown, summary);
            }
        }
    }
    let evidence = json!({"kernel": release, "offloaded": on});
    if on.is_empty() {
        let summary = format!("checksums are not offloaded, as kernel {release} needs it");
        return Finding::new(CHECKSUM, Level::Ok, summary).evidence(evidence);
    }
    let summary = format!(
        "checksums of {} are offloaded, which kernels up to 5.7 get wrong behind some network cards: pings pass and TCP hangs",
        on.join(" and ")
    );
    Finding::new(CHECKSUM, Level::Warn, summary)
        .evidence(evidence)
        .remedy(format!("ethtool -K {} tx off", on[0]))
        .remedy("for good: featureDetectOverride: ChecksumOffloadBroken=true in FelixConfiguration, or a newer kernel")
}

/// The first two numbers of a release: `5.10.0-28-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(super::version("5.10.0-28-amd64"), Some((5, 10)));
        assert_eq!(super::version("4.18.0-553.el8_10.x86_64"), Some((4, 18)));
        assert_eq!(super::version(""), None);
        assert_eq!(super::version("linux"), None);
    }
}
