//! Verdicts on tables that are made up: what no test machine has, what could not be read, and how large it may be.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::checks::tables::tests::table;
use crate::host::{Outcome, Reading};

fn route(destination: &str, protocol: u8, index: u32) -> Value {
    json!({
        "family": "ipv4", "type": "unicast", "destination": destination, "table": 254, "protocol": protocol, "metric": null,
        "gateway": null, "index": index, "flags": [], "nexthops": [],
    })
}

fn rule(priority: u32, table: u32) -> Value {
    json!({"family": "ipv4", "priority": priority, "action": "table", "table": table, "tos": 0, "flags": []})
}

/// A node with a pod and an uplink, with these routes and rules.
fn node(routes: &[Value], rules: &[Value]) -> Evidence {
    let links = [
        json!({"index": 2, "name": "eth0", "flags": ["up", "lower_up"], "mtu": 1500}),
        json!({"index": 5, "name": "cali1", "kind": "veth", "flags": ["up", "lower_up"], "mtu": 1500, "netnsid": 0}),
    ];
    let mut evidence = Evidence::default();
    evidence.insert(network::LINKS, table(&[("links", &links)]));
    evidence.insert(network::ADDRESSES, table(&[("addresses", &[])]));
    evidence.insert(network::ROUTES, table(&[("routes", routes)]));
    evidence.insert(network::PODS, Reading::failed(Outcome::Missing, "no such folder"));
    evidence.insert(facts::RULES, table(&[("rules", rules)]));
    evidence.insert(facts::NEIGHBOURS, table(&[("neighbours", &[])]));
    evidence.insert(facts::FDB, table(&[("fdb", &[])]));
    evidence
}

#[track_caller]
fn is(evidence: &Evidence, id: &str, level: Level) {
    let found = judge(evidence, &Asked::default());
    let finding = found.iter().find(|finding| finding.id == id).unwrap();
    assert_eq!(finding.level, level, "{finding:#?}");
}

fn main_alone() -> [Value; 3] {
    [rule(0, 255), rule(32766, 254), rule(32767, 253)]
}

#[test]
fn a_table_that_could_not_be_read_costs_only_what_rests_on_it() {
    let routes = [route("10.65.0.1/32", 3, 5), {
        let mut remote = route("10.65.1.0/26", 12, 2);
        remote["gateway"] = "10.0.0.2".into();
        remote
    }];
    let whole = node(&routes, &main_alone());
    for finding in judge(&whole, &Asked::default()) {
        assert!(matches!(finding.level, Level::Ok | Level::Skip), "{finding:#?}");
    }
    for (path, unknown) in [
        (facts::RULES, &[rules::ID][..]),
        (facts::NEIGHBOURS, &[hops::HOPS]),
        (facts::FDB, &[]),
        (network::ADDRESSES, &[]),
    ] {
        let mut evidence = whole.clone();
        evidence.insert(path, Reading::failed(Outcome::Denied, "no"));
        for finding in judge(&evidence, &Asked::default()) {
            let is_unknown = finding.level == Level::Unknown;
            assert_eq!(is_unknown, unknown.contains(&finding.id), "{path}: {finding:#?}");
        }
    }
    for path in [network::ROUTES, network::LINKS] {
        let mut evidence = whole.clone();
        evidence.insert(path, Reading::failed(Outcome::Truncated, "too large"));
        for finding in judge(&evidence, &Asked::default()) {
            assert_eq!(finding.level, Level::Unknown, "{finding:#?}");
        }
    }
}

#[test]
fn a_host_without_calico_is_left_in_peace() {
    let mut default = route("0.0.0.0/0", 3, 2);
    default["gateway"] = "10.0.0.254".into();
    let mut evidence = node(&[default], &[rule(100, 200), rule(32766, 254)]);
    let links = [json!({"index": 2, "name": "eth0", "flags": ["up"], "mtu": 1500})];
    evidence.insert(network::LINKS, table(&[("links", &links)]));
    for finding in judge(&evidence, &Asked::default()) {
        let expected = if finding.id == owners::TABLES { Level::Ok } else { Level::Skip };
        assert_eq!(finding.level, expected, "{finding:#?}");
    }
}

#[test]
fn ways_of_a_multipath_route_are_looked_at_one_by_one() {
    let mut remote = route("10.65.1.0/26", 12, 2);
    remote["index"] = Value::Null;
    let hop =
        |flags: &[&str]| json!({"gateway": "10.0.0.2", "index": 2, "weight": 1, "flags": flags});
    remote["nexthops"] = json!([hop(&[]), hop(&[])]);
    is(&node(&[remote.clone()], &main_alone()), hops::LINKS, Level::Ok);
    remote["nexthops"] = json!([hop(&[]), hop(&["dead", "linkdown"])]);
    is(&node(&[remote], &main_alone()), hops::LINKS, Level::Fail);
}

#[test]
fn a_links_own_network_that_bird_2_gives_back_to_the_kernel_is_no_block_of_pods() {
    let remote = |index| {
        let mut remote = route("10.65.1.0/26", 12, index);
        remote["gateway"] = "10.0.0.2".into();
        remote
    };
    let mut direct = route("10.0.0.0/24", 12, 2);
    direct["metric"] = 32.into();
    let mut prohibit = route("10.0.0.8/32", 3, 2);
    prohibit["type"] = "prohibit".into();
    let routes = [remote(2), direct, route("10.0.0.0/24", 2, 2), prohibit.clone()];
    is(&node(&routes, &main_alone()), winners::FOREIGN, Level::Ok);
    is(&node(&routes, &main_alone()), winners::BLACKHOLES, Level::Ok);
    prohibit["destination"] = "10.65.1.8/32".into();
    is(&node(&[remote(2), prohibit], &main_alone()), winners::BLACKHOLES, Level::Fail);
}

#[test]
fn a_rule_of_a_vrf_and_one_to_networks_of_others_take_nothing() {
    let routes = [route("10.65.0.1/32", 3, 5), {
        let mut elsewhere = route("0.0.0.0/0", 3, 2);
        elsewhere["table"] = 200.into();
        elsewhere
    }];
    let with = |more: Value| {
        let mut taking = rule(100, 200);
        taking.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let [local, main, rest] = main_alone();
        node(&routes, &[local, taking, main, rest])
    };
    for (more, level) in [
        (json!({}), Level::Fail),
        (json!({"to": "10.65.0.0/16"}), Level::Fail),
        (json!({"to": "10.99.0.0/16"}), Level::Ok),
        (json!({"to": "10.99.0.0/16", "flags": ["not"]}), Level::Fail),
        (json!({"from": "10.99.0.0/16"}), Level::Ok),
        (json!({"l3mdev": true}), Level::Ok),
        (json!({"suppress_prefix_length": 0}), Level::Ok),
        (json!({"ip_protocol": "tcp", "destination_ports": [80, 80]}), Level::Info),
        (json!({"table": 201}), Level::Ok),
        (json!({"priority": 32766}), Level::Fail),
    ] {
        is(&with(more), rules::ID, level);
    }
}

fn text(text: &str) -> Reading {
    Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() }
}

/// A node whose routes lead through tunl0, or another tunnel of this index.
fn tunnelled(name: &str) -> Evidence {
    let mut evidence = node(&[route("10.65.1.0/26", 12, 9)], &main_alone());
    let links = [
        json!({"index": 2, "name": "eth0", "flags": ["up", "lower_up"], "mtu": 1500}),
        json!({"index": 9, "name": name, "kind": "ipip", "flags": ["up", "lower_up"], "mtu": 1480}),
    ];
    evidence.insert(network::LINKS, table(&[("links", &links)]));
    evidence
}

fn counters(received: u64, sent: u64) -> Reading {
    text(&format!("tunl0: 0 {received} 0 0 0 0 0 0 0 {sent} 0 0 0 0 0 0\n"))
}

#[test]
fn a_tunnel_that_only_sends_is_likely_dropped_and_one_that_was_hardly_used_is_not_judged() {
    let mut evidence = tunnelled("tunl0");
    is(&evidence, tunnels::ID, Level::Unknown);
    for (received, sent, level) in [
        (0, 0, Level::Skip),
        (0, 99, Level::Skip),
        (0, 100, Level::Warn),
        (1, 100_000, Level::Ok),
        (500, 0, Level::Ok),
    ] {
        evidence.insert(network::COUNTERS, counters(received, sent));
        is(&evidence, tunnels::ID, level);
    }
    evidence.insert(network::COUNTERS, Reading::failed(Outcome::Denied, "no"));
    is(&evidence, tunnels::ID, Level::Unknown);
    evidence.insert(network::COUNTERS, text("eth0: 1 2 3\n"));
    is(&evidence, tunnels::ID, Level::Unknown);
    // Without a route through it, nobody waits for anything.
    let mut evidence = node(&[], &main_alone());
    evidence.insert(network::COUNTERS, counters(0, 5_000));
    is(&evidence, tunnels::ID, Level::Skip);
}

#[test]
fn a_tunnel_that_was_answered_once_and_is_no_more_is_found_by_two_looks() {
    let mut evidence = tunnelled("tunl0");
    evidence.insert(network::COUNTERS, counters(900, 1_000));
    for (received, sent, level) in [
        (900, 1_019, Level::Ok),
        (900, 1_020, Level::Warn),
        (901, 1_500, Level::Ok),
        // Another link of this name.
        (0, 50, Level::Skip),
    ] {
        evidence.insert(network::COUNTERS_LATER, counters(received, sent));
        let asked = Asked { interval: Some(Duration::from_secs(5)), ..Asked::default() };
        let found = judge(&evidence, &asked);
        let finding = found.iter().find(|finding| finding.id == tunnels::ID).unwrap();
        assert_eq!(finding.level, level, "{finding:#?}");
        // Nobody asked for it.
        is(&evidence, tunnels::ID, Level::Ok);
    }
}

#[test]
fn in_a_cloud_that_passes_no_ipip_vxlan_is_what_mends_it() {
    let mut evidence = tunnelled("tunl0");
    evidence.insert(network::COUNTERS, counters(0, 5_000));
    let remedy = |evidence: &Evidence| {
        let found = judge(evidence, &Asked::default());
        found.iter().find(|finding| finding.id == tunnels::ID).unwrap().remedy.join("\n")
    };
    assert!(!remedy(&evidence).contains("Azure"), "{}", remedy(&evidence));
    evidence.insert(network::DMI[3], text("7783-7084-3265-9085-8269-3286-77\n"));
    assert!(remedy(&evidence).contains("Azure passes no IP in IP"), "{}", remedy(&evidence));
}

#[test]
fn pods_reached_without_a_tunnel_are_told_of_in_a_cloud_only() {
    let mut remote = route("10.65.1.0/26", 12, 2);
    remote["gateway"] = "10.0.0.2".into();
    let plain = node(&[remote], &main_alone());
    is(&plain, cloud::ID, Level::Skip);
    for (index, mark) in [
        (0, "Amazon EC2\n"),
        (2, "4.11.amazon\n"),
        (1, "Google Compute Engine\n"),
        (3, "7783-7084-3265-9085-8269-3286-77\n"),
        (1, "OpenStack Nova\n"),
    ] {
        let mut evidence = plain.clone();
        evidence.insert(network::DMI[index], text(mark));
        is(&evidence, cloud::ID, Level::Info);
    }
    let mut evidence = plain.clone();
    evidence.insert(network::DMI[0], text("Dell Inc.\n"));
    is(&evidence, cloud::ID, Level::Skip);
    evidence.insert(network::DMI[0], Reading::failed(Outcome::Denied, "no"));
    is(&evidence, cloud::ID, Level::Unknown);
    // Through tunnels, a cloud sees the nodes' own addresses.
    let mut evidence = tunnelled("tunl0");
    evidence.insert(network::DMI[0], text("Amazon EC2\n"));
    is(&evidence, cloud::ID, Level::Skip);
    let mut evidence = plain;
    evidence.insert(network::DMI[0], text("Amazon EC2\n"));
    let felix = json!([{
        "pid": 412, "hostRoot": true, "state": "S", "argv": ["calico-node", "-felix"],
        "environment": {"FELIX_AWSSRCDSTCHECK": "Disable"},
    }]);
    evidence.insert("processes.json", text(&felix.to_string()));
    is(&evidence, cloud::ID, Level::Ok);
}

#[test]
fn a_full_block_is_told_of_and_an_address_of_anothers_block_beside_it_warns() {
    let block = |block: &str| {
        let mut row = route(block, 80, 0);
        row["type"] = "blackhole".into();
        row
    };
    let mut routes = vec![block("10.65.0.0/30")];
    routes.extend((0..3).map(|last| route(&format!("10.65.0.{last}/32"), 80, 5)));
    is(&node(&routes, &main_alone()), addresses::ID, Level::Ok);
    routes.push(route("10.65.0.3/32", 80, 5));
    is(&node(&routes, &main_alone()), addresses::ID, Level::Info);
    // Of no block of anybody's: it was given by hand.
    routes.push(route("10.99.0.7/32", 80, 5));
    is(&node(&routes, &main_alone()), addresses::ID, Level::Info);
    routes.push(route("10.65.1.9/32", 80, 5));
    let mut remote = route("10.65.1.0/26", 12, 2);
    remote["gateway"] = "10.0.0.2".into();
    routes.push(remote);
    is(&node(&routes, &main_alone()), addresses::ID, Level::Warn);
    // Where there is room, such an address moved here with its pod.
    routes.push(block("10.65.7.0/26"));
    is(&node(&routes, &main_alone()), addresses::ID, Level::Ok);
    is(&node(&[], &main_alone()), addresses::ID, Level::Skip);
}

/// Two hundred thousand routes of BIRD's, as the kernel's document has them, and a thousand pods.
fn large() -> Evidence {
    let mut links = String::from("{\"source\":\"RTM_GETLINK\",\n\"links\":[");
    let mut routes = String::from("{\"source\":\"RTM_GETROUTE\",\n\"routes\":[");
    for pod in 0..1_000u32 {
        let comma = if pod == 0 { "" } else { "," };
        let _ = write!(
            links,
            "{comma}\n{{\"index\":{},\"name\":\"cali{pod:011x}\",\"kind\":\"veth\",\"flags\":[\"up\",\"lower_up\"],\"mtu\":1500,\"netnsid\":1}}",
            pod + 10
        );
        let _ = write!(
            routes,
            "{comma}\n{{\"family\":\"ipv4\",\"type\":\"unicast\",\"destination\":\"10.65.{}.{}/32\",\"table\":254,\"table_name\":\"main\",\
             \"protocol\":80,\"protocol_name\":\"calico\",\"scope\":\"link\",\"metric\":null,\"gateway\":null,\"dev\":\"cali{pod:011x}\",\
             \"index\":{},\"source\":null,\"flags\":[],\"nexthops\":[]}}",
            pod / 256,
            pod % 256,
            pod + 10
        );
    }
    for block in 0..200_000u32 {
        let address = std::net::Ipv4Addr::from(0x6400_0000 + (block << 6));
        let _ = write!(
            routes,
            ",\n{{\"family\":\"ipv4\",\"type\":\"unicast\",\"destination\":\"{address}/26\",\"table\":254,\"table_name\":\"main\",\
             \"protocol\":12,\"protocol_name\":\"bird\",\"scope\":\"global\",\"metric\":32,\"gateway\":\"10.0.0.{}\",\"dev\":\"cali00000000001\",\
             \"index\":9,\"source\":null,\"flags\":[],\"nexthops\":[]}}",
            block % 250
        );
    }
    let _ = write!(
        links,
        ",\n{{\"index\":9,\"name\":\"eth0\",\"flags\":[\"up\",\"lower_up\"],\"mtu\":1500}}"
    );
    for text in [&mut links, &mut routes] {
        text.push_str("\n],\n\"consistent\":true,\"complete\":true}\n");
    }
    let mut evidence = node(&[], &[rule(0, 255), rule(100, 200), rule(32766, 254)]);
    let reading = |text: String| Reading { bytes: text.into_bytes(), ..Reading::begin() };
    evidence.insert(network::LINKS, reading(links));
    evidence.insert(network::ROUTES, reading(routes));
    evidence
}

/// `cargo test --release --lib two_hundred_thousand -- --nocapture` prints how long it took.
#[test]
fn two_hundred_thousand_routes_and_a_thousand_pods_are_judged() {
    let evidence = large();
    let started = Instant::now();
    let found = judge(&evidence, &Asked::default());
    let taken = started.elapsed();
    for finding in &found {
        assert!(matches!(finding.level, Level::Ok | Level::Skip), "{finding:#?}");
    }
    let mib = evidence.get(network::ROUTES).unwrap().bytes.len() >> 20;
    println!("201,000 routes ({mib} MiB) were judged in {taken:?}");
}
