//! The kernel of the machine that runs the tests may lack `WireGuard`: an answer made by its header
//! `linux/wireguard.h`.

use std::rc::Rc;

use base64::Engine as _;

use super::BASE64;
use crate::host::netlink::Dump;
use crate::host::netlink::answers::{attribute, done, message};
use crate::host::netlink::tests::read_from;
use crate::host::{Outcome, Reading};

const PRIVATE: [u8; 32] = [0x11; 32];
const PUBLIC: [u8; 32] = [0x22; 32];
const PEER: [u8; 32] = [0x33; 32];
const PRESHARED: [u8; 32] = [0x44; 32];

fn answer() -> Reading {
    let allowed = |address: [u8; 4], bits| {
        let ip = [attribute(1, &2u16.to_ne_bytes()), attribute(2, &address), attribute(3, &[bits])];
        attribute(0x8000, &ip.concat())
    };
    let endpoint = [2, 0, 0xca, 0x6c, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
    let time = [1_700_000_000u64.to_ne_bytes(), 5u64.to_ne_bytes()].concat();
    let peer = [
        attribute(1, &PEER),
        attribute(2, &PRESHARED),
        attribute(6, &time),
        attribute(4, &endpoint),
        attribute(7, &100u64.to_ne_bytes()),
        attribute(8, &200u64.to_ne_bytes()),
        attribute(5, &25u16.to_ne_bytes()),
        attribute(
            9 | 0x8000,
            &[allowed([192, 168, 1, 64], 26), allowed([10, 0, 0, 2], 32)].concat(),
        ),
        attribute(10, &1u32.to_ne_bytes()),
    ];
    let device = [
        vec![0, 1, 0, 0],
        attribute(6, &51820u16.to_ne_bytes()),
        attribute(7, &0x10_0000u32.to_ne_bytes()),
        attribute(1, &7u32.to_ne_bytes()),
        attribute(2, b"wireguard.cali\0"),
        attribute(3, &PRIVATE),
        attribute(4, &PUBLIC),
        attribute(8 | 0x8000, &attribute(0x8000, &peer.concat())),
    ];
    let device = [message(40, 2, &device.concat()), done()].concat();
    let family =
        [vec![1, 2, 0, 0], attribute(1, &40u16.to_ne_bytes()), attribute(2, b"wireguard\0")];
    let family = [message(16, 2, &family.concat()), done()].concat();
    let kind = attribute(18, &attribute(1, b"wireguard\0"));
    let link = [vec![0; 4], 7u32.to_ne_bytes().to_vec(), vec![0; 8], kind].concat();
    let link = [message(16, 2, &link), done()].concat();
    read_from(
        Dump::Wireguard,
        Rc::new(move |request: &[u8]| {
            Ok(match u16::from_ne_bytes([request[4], request[5]]) {
                16 => family.clone(),
                40 => device.clone(),
                _ => link.clone(),
            })
        }),
    )
}

#[test]
fn devices_and_peers_are_shown() {
    let reading = answer();
    assert_eq!(reading.outcome, Outcome::Ok, "{:?}", reading.reason);
    let document: serde_json::Value = serde_json::from_slice(&reading.bytes).unwrap();
    let expected = serde_json::json!({
        "dev": "wireguard.cali", "index": 7, "public_key": BASE64.encode(PUBLIC),
        "listen_port": 51820, "fwmark": 0x10_0000,
    });
    assert_eq!(document["devices"], serde_json::json!([expected]));
    let expected = serde_json::json!({
        "dev": "wireguard.cali", "public_key": BASE64.encode(PEER), "has_preshared_key": true,
        "endpoint": "10.0.0.2:51820", "allowed_ips": ["192.168.1.64/26", "10.0.0.2/32"],
        "keepalive_seconds": 25, "last_handshake": 1_700_000_000u64, "received_bytes": 100,
        "sent_bytes": 200, "protocol_version": 1,
    });
    assert_eq!(document["peers"], serde_json::json!([expected]));
}

#[test]
fn private_and_preshared_keys_stay_in_the_kernel() {
    let reading = answer();
    let text = reading.text();
    for key in [PRIVATE, PRESHARED] {
        assert!(!text.contains(&BASE64.encode(key)));
        assert!(!text.contains(&format!("{:02x}", key[0]).repeat(32)));
        assert!(!reading.bytes.windows(8).any(|window| window == &key[..8]));
    }
    assert!(text.contains(&BASE64.encode(PUBLIC)));
}
