//! Verdicts on tables that are made up: what no test machine has, and what could not be read.

use serde_json::{Value, json};

use super::*;
use crate::checks::tables::tests::table;
use crate::host::{Outcome, Reading};

fn text(text: &str) -> Reading {
    Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() }
}

fn link(index: u32, name: &str, kind: &str, mtu: u32) -> Value {
    json!({"index": index, "name": name, "kind": kind, "flags": ["up", "lower_up"], "mtu": mtu, "netnsid": 1, "link": 2})
}

fn vxlan() -> Value {
    let mut link = link(7, "vxlan.calico", "vxlan", 1450);
    link["mac"] = "66:00:00:00:00:01".into();
    link["detail"] =
        json!({"id": 4096, "port": 4789, "local": "10.0.0.1", "learning": false, "link": "eth0"});
    link
}

/// A node with these links beside `eth0`.
fn node(links: &[Value]) -> Evidence {
    let mut all = vec![link(2, "eth0", "veth", 1500)];
    all.extend_from_slice(links);
    let addresses = [
        json!({"dev": "eth0", "address": "10.0.0.1", "prefix_length": 24}),
        json!({"dev": "vxlan.calico", "address": "10.65.0.0", "prefix_length": 32}),
    ];
    let default = json!({"type": "unicast", "destination": "0.0.0.0/0", "table": 254, "protocol": 3, "index": 2});
    let mut evidence = Evidence::default();
    evidence.insert(network::LINKS, table(&[("links", &all)]));
    evidence.insert(network::ADDRESSES, table(&[("addresses", &addresses)]));
    evidence.insert(network::ROUTES, table(&[("routes", &[default])]));
    evidence.insert(network::PODS, Reading::failed(Outcome::Missing, "no such folder"));
    evidence.insert(vxlan::KERNEL, text("6.1.0-28-amd64\n"));
    evidence
}

#[track_caller]
fn only(evidence: &Evidence, id: &str) -> Finding {
    let found = judge(evidence, &Asked::default());
    let mut found = found.into_iter().filter(|finding| finding.id == id);
    let first = found.next().unwrap();
    assert_eq!(found.next(), None);
    first
}

#[track_caller]
fn is(evidence: &Evidence, id: &str, level: Level) {
    let finding = only(evidence, id);
    assert_eq!(finding.level, level, "{finding:#?}");
}

#[test]
fn a_host_without_calico_is_left_in_peace() {
    let mut evidence = node(&[]);
    is(&evidence, addresses::NODE, Level::Unknown);
    evidence.insert(crate::status::PROCESSES, text("[]"));
    for finding in judge(&evidence, &Asked::default()) {
        let expected = if finding.id == addresses::OTHER { Level::Ok } else { Level::Skip };
        assert_eq!(finding.level, expected, "{finding:#?}");
    }
}

#[test]
fn what_was_cut_off_or_changed_while_it_was_read_is_not_known() {
    let whole = node(&[vxlan()]);
    let reading = whole.get(network::LINKS).unwrap().clone();
    let cut = Reading { outcome: Outcome::Truncated, ..reading.clone() };
    let moved = String::from_utf8(reading.bytes.clone()).unwrap();
    let moved = text(&moved.replace("\"consistent\":true", "\"consistent\":false"));
    let half = text(std::str::from_utf8(&reading.bytes[..reading.bytes.len() / 2]).unwrap());
    let strange = text("{\"links\":[\n{\"index\":\"seven\"}\n]}");
    for reading in [cut, moved, half, strange] {
        let mut evidence = whole.clone();
        evidence.insert(network::LINKS, reading);
        for finding in judge(&evidence, &Asked::default()) {
            assert_eq!(finding.level, Level::Unknown, "{finding:#?}");
        }
    }
    let mut evidence = whole;
    evidence.insert(network::ADDRESSES, Reading::failed(Outcome::Denied, "no"));
    is(&evidence, vxlan::ID, Level::Unknown);
    is(&evidence, addresses::NODE, Level::Unknown);
}

#[test]
fn a_link_is_left_over_only_where_others_have_their_pod() {
    let links =
        [link(8, "cali83dbd022cd5", "veth", 1450), link(9, "calie3c692d4193", "veth", 1450)];
    let mut evidence = node(&links);
    let listing = |pod: &str| text(&format!("040755 0 0 4096 2026-11-01T00:00:00Z {pod}_uid\n"));
    evidence.insert(network::PODS, listing("default_pod-1"));
    is(&evidence, pods::LEFTOVERS, Level::Warn);
    assert_eq!(only(&evidence, pods::LEFTOVERS).evidence["withoutPod"], json!(["calie3c692d4193"]));
    evidence.insert(network::PODS, listing("default_another"));
    is(&evidence, pods::LEFTOVERS, Level::Unknown);
    evidence.insert(network::PODS, Reading::failed(Outcome::Denied, "permission denied"));
    is(&evidence, pods::LEFTOVERS, Level::Unknown);
    evidence.insert(network::PODS, Reading::failed(Outcome::Missing, "no such folder"));
    is(&evidence, pods::LEFTOVERS, Level::Skip);
}

#[test]
fn each_tunnel_takes_its_own_header_off_the_uplink() {
    for (name, kind, most) in [
        ("vxlan.calico", "vxlan", 1450),
        ("tunl0", "ipip", 1480),
        ("wireguard.cali", "wireguard", 1440),
    ] {
        is(&node(&[link(7, name, kind, most)]), mtu::ID, Level::Ok);
        is(&node(&[link(7, name, kind, most + 1)]), mtu::ID, Level::Fail);
    }
    // Nobody knows the way of IPv6: there is no default route.
    is(&node(&[link(7, "vxlan-v6.calico", "vxlan", 1430)]), mtu::ID, Level::Unknown);
    let mut without = node(&[link(7, "vxlan.calico", "vxlan", 1450)]);
    without.insert(network::ROUTES, Reading::failed(Outcome::Timeout, "late"));
    is(&without, mtu::ID, Level::Unknown);
}

#[test]
fn checksums_are_offloaded_wrongly_by_old_kernels_only() {
    let mut evidence = node(&[vxlan()]);
    is(&evidence, vxlan::CHECKSUM, Level::Ok);
    evidence.insert(vxlan::KERNEL, text("5.4.0-200-generic\n"));
    is(&evidence, vxlan::CHECKSUM, Level::Unknown);
    for (on, level) in [(true, Level::Warn), (false, Level::Ok)] {
        let row = json!({"dev": "vxlan.calico", "features": {"tx-checksum-ip-generic": on}});
        evidence.insert(vxlan::FEATURES, table(&[("features", &[row])]));
        is(&evidence, vxlan::CHECKSUM, level);
    }
    evidence.insert(vxlan::KERNEL, Reading::failed(Outcome::Denied, "no"));
    is(&evidence, vxlan::CHECKSUM, Level::Unknown);
}

#[test]
fn a_peer_of_wireguards_that_never_answers_is_found_and_one_without_traffic_is_well() {
    let links = [link(9, "wireguard.cali", "wireguard", 1440)];
    let mut evidence = node(&links);
    is(&evidence, tunnels::WIREGUARD, Level::Unknown);
    let device = json!({"dev": "wireguard.cali", "listen_port": 51820});
    let at = Reading::begin().started.as_second();
    let peer = |handshake: Option<i64>, sent: u64, received: u64, keepalive: Option<u16>| {
        json!({
            "dev": "wireguard.cali", "endpoint": "10.0.0.2:51820", "last_handshake": handshake, "sent_bytes": sent,
            "received_bytes": received, "keepalive_seconds": keepalive,
        })
    };
    let idle = peer(None, 0, 0, None);
    let quiet = peer(Some(at - 9_000), 500, 500, None);
    let silent = peer(None, 5_000, 0, None);
    let late = peer(Some(at - 9_000), 500, 500, Some(25));
    for (peers, level) in [
        (vec![], Level::Ok),
        (vec![idle.clone(), quiet.clone()], Level::Ok),
        (vec![silent.clone(), quiet.clone()], Level::Warn),
        (vec![silent.clone()], Level::Fail),
        (vec![late, idle], Level::Warn),
    ] {
        let lists = [("devices", &[device.clone()][..]), ("peers", &peers)];
        evidence.insert(tunnels::PEERS, table(&lists));
        is(&evidence, tunnels::WIREGUARD, level);
    }
    let deaf = json!({"dev": "wireguard.cali", "listen_port": 0});
    evidence.insert(tunnels::PEERS, table(&[("devices", &[deaf]), ("peers", &[])]));
    is(&evidence, tunnels::WIREGUARD, Level::Fail);
    let mut down = links[0].clone();
    down["flags"] = json!([]);
    is(&node(&[down]), tunnels::WIREGUARD, Level::Fail);
}

#[test]
fn another_plugin_is_calicos_neighbour_or_its_leftover_by_who_makes_the_network() {
    let flannel = link(12, "flannel.1", "vxlan", 1450);
    is(&node(&[flannel.clone(), vxlan()]), addresses::OTHER, Level::Warn);
    is(&node(std::slice::from_ref(&flannel)), addresses::OTHER, Level::Info);
    let mut evidence = node(&[flannel]);
    for (backend, level) in [("none", Level::Info), ("bird", Level::Warn), ("vxlan", Level::Warn)] {
        let felix = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "argv": ["calico-node", "-felix"],
            "environment": {"CALICO_NETWORKING_BACKEND": backend},
        }]);
        evidence.insert("processes.json", text(&felix.to_string()));
        is(&evidence, addresses::OTHER, level);
    }
    // Felix runs, and nobody tells its address.
    is(&evidence, addresses::NODE, Level::Unknown);
    is(&evidence, vxlan::ID, Level::Warn);
}

#[test]
fn in_ebpf_mode_the_device_has_neither_vni_nor_address_of_its_own() {
    let mut link = vxlan();
    link["detail"] =
        json!({"id": 0, "port": 4789, "local": null, "learning": true, "external": true});
    is(&node(&[link.clone()]), vxlan::ID, Level::Ok);
    link["detail"]["external"] = false.into();
    is(&node(&[link]), vxlan::ID, Level::Warn);
    let mut other = vxlan();
    other["detail"]["id"] = 4097.into();
    is(&node(&[other]), vxlan::ID, Level::Info);
}
