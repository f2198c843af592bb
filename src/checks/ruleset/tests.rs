//! Rules as the kernel gives them for what `nft` and `iptables-nft` write.

use serde_json::{Value, json};

use super::*;
use crate::checks::tables::tests::table;

const CHAIN: &str = r#"{"family":"inet","table":"t","name":"out","type":"filter","hook":"output","priority":0,"policy":"accept"}"#;

/// `tcp dport 179`
const PORT: &str = r#"{"expression":"meta","key":"l4proto","destination":1},{"expression":"cmp","source":1,"op":"eq","data":"0x06"},
    {"expression":"payload","base":"transport","offset":2,"bytes":2,"destination":1},{"expression":"cmp","source":1,"op":"eq","data":"0x00b3"}"#;
/// `ip daddr 10.0.0.13`
const ADDRESS: &str = r#"{"expression":"payload","base":"network","offset":16,"bytes":4,"destination":1},
    {"expression":"cmp","source":1,"op":"eq","data":"0x0a00000d"}"#;
/// `ip daddr 10.0.0.0/20`, with the address as it stands in a bundle.
const NETWORK: &str = r#"{"expression":"payload","base":"network","offset":16,"bytes":4,"destination":1},
    {"expression":"bitwise","source":1,"destination":1,"bytes":4,"mask":"0xfffff000","xor":"0x00000000"},
    {"expression":"cmp","source":1,"op":"eq","data":"10.0.3.77"}"#;
const MARK: &str = r#"{"expression":"meta","key":"mark","destination":1},{"expression":"cmp","source":1,"op":"eq","data":"0x01000000"}"#;
const DROP: &str = r#"{"expression":"counter","packets":7,"bytes":420},{"expression":"immediate","destination":0,"data":"drop"}"#;
const ACCEPT: &str = r#"{"expression":"immediate","destination":0,"data":"accept"}"#;

fn firewall(rules: &[&[&str]], elements: &str) -> Firewall {
    let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let rules: Vec<Value> = rules
        .iter()
        .map(|parts| {
            let parts = parts.join(",");
            json(format!(
                r#"{{"family":"inet","table":"t","chain":"out","handle":4,"comment":null,"expressions":[{parts}]}}"#
            ))
        })
        .collect();
    let Value::Array(elements) = json(format!("[{elements}]")) else { unreachable!() };
    let chains = [json(CHAIN.to_owned())];
    let mut evidence = Evidence::default();
    let lists = [("chains", &chains[..]), ("rules", &rules), ("elements", &elements)];
    evidence.insert(PATH, table(&lists));
    Firewall::read(&evidence).unwrap()
}

fn call() -> Packet {
    Packet {
        protocol: TCP,
        direction: Direction::Out,
        source: "10.0.0.1".parse().ok(),
        destination: "10.0.0.13".parse().ok(),
        source_port: None,
        destination_port: Some(179),
        link: Some("eth0".to_owned()),
        onward: None,
        is_first: true,
    }
}

#[test]
fn a_rule_for_the_port_or_the_address_drops_the_call() {
    for condition in [PORT, ADDRESS, NETWORK] {
        let drop = firewall(&[&[condition, DROP]], "").dropped(&call()).unwrap();
        assert!(drop.is_certain, "{condition}");
        assert_eq!(drop.rule["handle"], 4);
        assert_eq!(drop.rule["packets"], 7);
    }
    let other =
        Packet { destination: "10.1.0.1".parse().ok(), destination_port: Some(80), ..call() };
    for condition in [PORT, ADDRESS, NETWORK] {
        assert_eq!(firewall(&[&[condition, DROP]], "").dropped(&other), None, "{condition}");
    }
}

#[test]
fn what_is_accepted_before_is_not_dropped() {
    assert_eq!(firewall(&[&[PORT, ACCEPT], &[ADDRESS, DROP]], "").dropped(&call()), None);
}

#[test]
fn behind_a_condition_that_is_not_known_nothing_is_certain() {
    let behind = firewall(&[&[MARK, ACCEPT], &[PORT, DROP]], "").dropped(&call()).unwrap();
    assert!(!behind.is_certain);
    let within = firewall(&[&[MARK, PORT, DROP]], "").dropped(&call()).unwrap();
    assert!(!within.is_certain);
    assert_eq!(firewall(&[&[MARK, DROP]], "").dropped(&call()), None, "it is about no such packet");
}

#[test]
fn sets_hold_single_values_and_ranges() {
    let lookup = r#"{"expression":"payload","base":"network","offset":16,"bytes":4,"destination":1},
        {"expression":"lookup","set":"s","source":1,"not":false}"#;
    let element = |key: &str, flags: &str| {
        format!(r#"{{"family":"inet","table":"t","set":"s","key":"{key}","flags":[{flags}]}}"#)
    };
    let single = element("0x0a00000d", "");
    assert!(firewall(&[&[lookup, DROP]], &single).dropped(&call()).unwrap().is_certain);
    assert_eq!(firewall(&[&[lookup, DROP]], &element("0x0a00000e", "")).dropped(&call()), None);
    let end = r#""interval-end""#;
    // 10.0.0.8/29, its end before its beginning as the kernel gives them.
    let range = [element("0x0a000010", end), element("0x0a000008", "")].join(",");
    assert!(firewall(&[&[lookup, DROP]], &range).dropped(&call()).unwrap().is_certain);
    let lower = [element("0x0a000008", end), element("0x0a000000", "")].join(",");
    assert_eq!(firewall(&[&[lookup, DROP]], &lower).dropped(&call()), None);
}

#[test]
fn matches_of_iptables_are_read() {
    // -p tcp -m tcp --dport 179
    let tcp = r#"{"expression":"match","match":"tcp","revision":0,"info":"0x0000ffffb300b300","info_bytes":16}"#;
    assert!(firewall(&[&[tcp, DROP]], "").dropped(&call()).unwrap().is_certain);
    let other = Packet { destination_port: Some(22), ..call() };
    assert_eq!(firewall(&[&[tcp, DROP]], "").dropped(&other), None);
    // -m multiport --dports 22,179
    let ports = r#"{"expression":"match","match":"multiport","revision":1,"info":"0x01021600b300","info_bytes":48}"#;
    assert!(firewall(&[&[ports, DROP]], "").dropped(&call()).unwrap().is_certain);
    // -m conntrack --ctstate RELATED,ESTABLISHED
    let mut info = [0_u8; 152];
    (info[146], info[150]) = (1, 6);
    let info = info.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}"));
    let state = format!(
        r#"{{"expression":"match","match":"conntrack","revision":3,"info":"0x{info}","info_bytes":160}}"#
    );
    let answers = firewall(&[&[&state, ACCEPT], &[PORT, DROP]], "");
    assert!(answers.dropped(&call()).unwrap().is_certain, "a call is new");
    assert_eq!(answers.dropped(&Packet { is_first: false, ..call() }), None);
}

#[test]
fn chains_that_call_each_other_for_ever_are_left() {
    let jump = json!({"expression": "immediate", "destination": 0, "data": "jump out"}).to_string();
    assert_eq!(firewall(&[&[&jump]], "").dropped(&call()), None);
}

#[test]
fn the_address_of_a_call_was_not_translated_and_that_of_an_answer_may_have_been() {
    // ct status dnat accept
    let translated = r#"{"expression":"ct","key":"status","destination":1},
        {"expression":"bitwise","source":1,"destination":1,"bytes":4,"mask":"0x20000000","xor":"0x00000000"},
        {"expression":"cmp","source":1,"op":"neq","data":"0x00000000"}"#;
    let rules = firewall(&[&[translated, ACCEPT], &[PORT, DROP]], "");
    assert!(rules.dropped(&call()).unwrap().is_certain);
    let answer = Packet { is_first: false, ..call() };
    assert!(!rules.dropped(&answer).unwrap().is_certain);
}

#[test]
fn a_rule_for_a_port_of_tcp_is_for_tcp_only() {
    let tcp = r#"{"expression":"match","match":"tcp","revision":0,"info":"0x0000ffffb300b300","info_bytes":16}"#;
    for protocol in [UDP, IPIP] {
        let packet = Packet { protocol, ..call() };
        for condition in [PORT, tcp] {
            assert_eq!(firewall(&[&[condition, DROP]], "").dropped(&packet), None, "{condition}");
        }
        assert!(firewall(&[&[ADDRESS, DROP]], "").dropped(&packet).unwrap().is_certain);
    }
}
