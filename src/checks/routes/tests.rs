//! Verdicts on tables that are made up: what no test machine has, what could not be read, and how large it may be.

use std::fmt::Write as _;
use std::time::Instant;

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
