//! `WireGuard` devices and peers. The kernel also gives private and preshared keys: they are never copied out of the
//! buffer in which they come.
//!
//! ```text
//! {"dev":"wireguard.cali","index":9,"public_key":"...","listen_port":51820,"fwmark":1048576}
//! {"dev":"wireguard.cali","public_key":"...","has_preshared_key":false,"endpoint":"10.0.0.2:51820",
//!  "allowed_ips":["192.168.1.64/26"],"keepalive_seconds":null,"last_handshake":1700000000,...}
//! ```

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use netlink_bindings::rt_link::{self, Ifinfomsg};
use netlink_bindings::wireguard::{self, Wgallowedip, Wgdevice, Wgpeer};
use serde::Serialize;

use super::attributes::{Prefix, text};
use super::document::Document;
use super::kernel::{Kernel, Trouble};

#[derive(Debug, Default, Serialize)]
struct Device {
    dev: Option<String>,
    index: Option<u32>,
    public_key: Option<String>,
    listen_port: Option<u16>,
    fwmark: Option<u32>,
}

#[derive(Debug, Default, Serialize)]
struct Peer {
    dev: Option<String>,
    public_key: Option<String>,
    has_preshared_key: Option<bool>,
    endpoint: Option<SocketAddr>,
    allowed_ips: Vec<Prefix>,
    keepalive_seconds: Option<u16>,
    last_handshake: Option<u64>,
    received_bytes: Option<u64>,
    sent_bytes: Option<u64>,
    protocol_version: Option<u32>,
}

/// Writes `devices` and `peers`.
pub(super) fn write(kernel: &mut Kernel, document: &mut Document) -> Result<(), Trouble> {
    let mut indexes = Vec::new();
    let mut request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
    request.encode().push_ext_mask(1 << 3);
    kernel.ask("RTM_GETLINK", &request, |(header, link)| {
        let kind = link.get_linkinfo().and_then(|info| info.get_kind());
        if kind.is_ok_and(|kind| kind == c"wireguard") {
            indexes.extend(u32::try_from(header.ifi_index).ok());
        }
        Ok(())
    })?;
    document.list("devices");
    for index in &indexes {
        let mut first = true;
        ask(kernel, *index, |device| {
            // A device with many peers takes several messages.
            if std::mem::take(&mut first) { document.row(&self::device(device)) } else { Ok(()) }
        })?;
    }
    document.list("peers");
    for index in indexes {
        let mut name = None;
        ask(kernel, index, |device| {
            name = device.get_ifname().ok().map(text).or_else(|| name.take());
            for peer in peers(device) {
                document.row(&Peer { dev: name.clone(), ..peer })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn ask(
    kernel: &mut Kernel,
    index: u32,
    each: impl FnMut(wireguard::IterableWgdevice<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut request = wireguard::Request::new().op_get_device_dump();
    request.encode().push_ifindex(index);
    kernel.ask("WG_CMD_GET_DEVICE", &request, each)
}

fn device(attributes: wireguard::IterableWgdevice<'_>) -> Device {
    let mut device = Device::default();
    for attribute in attributes.flatten() {
        match attribute {
            Wgdevice::Ifindex(index) => device.index = Some(index),
            Wgdevice::Ifname(name) => device.dev = Some(text(name)),
            Wgdevice::PublicKey(key) => device.public_key = Some(BASE64.encode(key)),
            Wgdevice::ListenPort(port) => device.listen_port = Some(port),
            Wgdevice::Fwmark(mark) => device.fwmark = Some(mark),
            _ => {}
        }
    }
    device
}

fn peers(device: wireguard::IterableWgdevice<'_>) -> impl Iterator<Item = Peer> {
    let peers = device.flatten().find_map(|attribute| match attribute {
        Wgdevice::Peers(peers) => Some(peers),
        _ => None,
    });
    peers.into_iter().flatten().flatten().map(peer)
}

fn peer(attributes: wireguard::IterableWgpeer<'_>) -> Peer {
    let mut peer = Peer::default();
    for attribute in attributes.flatten() {
        match attribute {
            Wgpeer::PublicKey(key) => peer.public_key = Some(BASE64.encode(key)),
            // All zeros stand for none.
            Wgpeer::PresharedKey(key) => {
                peer.has_preshared_key = Some(key.iter().any(|byte| *byte != 0));
            }
            Wgpeer::Endpoint(endpoint) => peer.endpoint = Some(endpoint),
            Wgpeer::PersistentKeepaliveInterval(seconds) => {
                peer.keepalive_seconds = Some(seconds).filter(|seconds| *seconds != 0);
            }
            Wgpeer::LastHandshakeTime(time) => {
                peer.last_handshake = Some(time.sec).filter(|seconds| *seconds != 0);
            }
            Wgpeer::RxBytes(bytes) => peer.received_bytes = Some(bytes),
            Wgpeer::TxBytes(bytes) => peer.sent_bytes = Some(bytes),
            Wgpeer::ProtocolVersion(version) => peer.protocol_version = Some(version),
            Wgpeer::Allowedips(list) => {
                peer.allowed_ips = list.flatten().filter_map(allowed_ip).collect();
            }
            Wgpeer::Flags(_) => {}
        }
    }
    peer
}

fn allowed_ip(attributes: wireguard::IterableWgallowedip<'_>) -> Option<Prefix> {
    let (mut address, mut length) = (None, None);
    for attribute in attributes.flatten() {
        match attribute {
            Wgallowedip::Ipaddr(ip) => address = Some(ip),
            Wgallowedip::CidrMask(bits) => length = Some(bits),
            _ => {}
        }
    }
    Some(Prefix(address?, length?))
}

#[cfg(test)]
mod tests;
