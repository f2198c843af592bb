use serde_json::json;

use super::*;
use crate::checks::{Level, tables};
use crate::host::{Outcome, Reading};
use crate::status::PROCESSES;

fn evidence(readings: &[(&str, &[u8])]) -> Evidence {
    let reading = |bytes: &[u8]| Reading { bytes: bytes.to_vec(), ..Reading::begin() };
    readings.iter().map(|(path, bytes)| ((*path).to_owned(), reading(bytes))).collect()
}

const STATUS: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8/show_status.txt");
const PROTOCOLS: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8/show_protocols_all.txt");

fn findings(evidence: &Evidence) -> Vec<Finding> {
    judge(evidence, &Asked::default())
}

#[test]
fn a_node_of_the_vxlan_backend_is_well_without_bird() {
    let processes = json!([{
        "pid": 412, "hostRoot": true, "state": "S", "argv": ["calico-node", "-felix"],
        "environment": {"CALICO_NETWORKING_BACKEND": "vxlan"},
    }]);
    let mut evidence = evidence(&[(PROCESSES, processes.to_string().as_bytes())]);
    for path in [
        "bird/ipv4/show-status",
        "bird/ipv4/show-protocols-all",
        "bird/ipv6/show-status",
        "bird/ipv6/show-protocols-all",
    ] {
        let absent = Reading::failed(Outcome::Missing, "absent: /var/run/calico/bird.ctl");
        evidence.insert(path, absent);
    }
    let [only] = &findings(&evidence)[..] else { panic!("{:#?}", findings(&evidence)) };
    assert_eq!((only.id, only.level), ("bgp.daemon", Level::Skip));
    assert!(only.summary.contains("CALICO_NETWORKING_BACKEND is vxlan"), "{}", only.summary);
}

#[test]
fn a_host_on_which_nothing_of_calicos_runs_misses_no_bird_and_one_that_hides_its_processes_may() {
    let absent = |evidence: &mut Evidence| {
        for path in ["bird/ipv4/show-status", "bird/ipv6/show-status"] {
            let socket = Reading::failed(Outcome::Missing, "absent: /var/run/calico/bird.ctl");
            evidence.insert(path, socket);
        }
    };
    let other = json!([{"pid": 1, "hostRoot": true, "state": "S", "argv": ["/sbin/init"]}]);
    let mut seen = evidence(&[(PROCESSES, other.to_string().as_bytes())]);
    absent(&mut seen);
    let [only] = &findings(&seen)[..] else { panic!("{:#?}", findings(&seen)) };
    assert_eq!((only.id, only.level), ("bgp.daemon", Level::Skip));
    assert_eq!(only.summary, "bird does not run, and nothing else of Calico's");

    let mut hidden = evidence(&[]);
    hidden.insert(PROCESSES, Reading::failed(Outcome::Denied, "hidepid"));
    absent(&mut hidden);
    assert_eq!(findings(&hidden)[0].level, Level::Unknown);
}

#[test]
fn an_answer_that_is_longer_than_is_kept_is_no_fault_of_birds() {
    let mut evidence =
        evidence(&[("bird/ipv4/show-status", STATUS), ("bird/ipv4/show-protocols-all", PROTOCOLS)]);
    let cut = Reading { bytes: PROTOCOLS[..2000].to_vec(), ..Reading::begin() };
    let reason = Some("longer than is kept".to_owned());
    evidence.insert(
        "bird/ipv4/show-protocols-all",
        Reading { outcome: Outcome::Truncated, reason, ..cut },
    );
    let all = findings(&evidence);
    let daemon = all.iter().find(|it| it.id == "bgp.daemon").unwrap();
    assert_eq!(daemon.level, Level::Unknown, "{daemon:#?}");
    assert!(daemon.summary.contains("longer than is kept"), "{daemon:#?}");
}

#[test]
fn of_recorded_answers_alone_nothing_is_certain_but_what_bird_did_itself() {
    let evidence =
        evidence(&[("bird/ipv4/show-status", STATUS), ("bird/ipv4/show-protocols-all", PROTOCOLS)]);
    let findings = findings(&evidence);
    let peers: Vec<&Finding> = findings.iter().filter(|it| it.id == "bgp.peer").collect();
    assert!(peers.len() > 10, "{}", peers.len());
    for peer in peers {
        let (cause, certainty) = (&peer.evidence["cause"], &peer.evidence["certainty"]);
        assert!(
            peer.level == Level::Ok || peer.level == Level::Info || !cause.is_null(),
            "{peer:#?}"
        );
        // BIRD waits because of the first; it took the others down itself.
        let own = ["bad-peer-as", "disabled-here", "route-limit"];
        let is_own = own.iter().any(|own| cause == own);
        assert!(certainty != "certain" || is_own, "{}", peer.summary);
    }
}

#[test]
fn a_bird_without_calicos_file_is_not_for_root_to_read() {
    let said = |outcome| {
        let mut evidence = evidence(&[
            ("bird/ipv4/show-status", STATUS),
            ("bird/ipv4/show-protocols-all", PROTOCOLS),
        ]);
        evidence.insert("bird/ipv4/bird.cfg", Reading::failed(outcome, "x"));
        let findings = findings(&evidence);
        let finding = findings.iter().find(|finding| finding.id == "bgp.configuration").unwrap();
        assert_eq!(finding.level, Level::Unknown);
        finding.remedy.join("\n")
    };
    assert!(said(Outcome::Denied).contains("as root"));
    assert!(!said(Outcome::Missing).contains("as root"));
}

#[test]
fn no_password_of_a_configuration_is_shown() {
    let text = b"protocol bgp Node_10_0_0_6 { neighbor 10.0.0.6 as 64512; password \"s3cret-of-the-lab\"; }";
    let evidence = evidence(&[
        ("bird/ipv4/show-status", STATUS),
        ("bird/ipv4/show-protocols-all", PROTOCOLS),
        ("bird/ipv4/bird.cfg", text),
    ]);
    let shown = serde_json::to_string(&findings(&evidence)).unwrap();
    assert!(shown.contains("\"password\":true") && !shown.contains("s3cret"), "{shown}");
}

/// BIRD's recorded answers, its configuration, and what the datastore says.
fn with_datastore(nodes: &serde_json::Value, truncated: bool) -> Evidence {
    let nodes = json!({"source": "x", "items": nodes, "truncated": truncated}).to_string();
    let configurations = json!({"source": "x", "items": [{"metadata": {"name": "default"}, "spec": {"asNumber": 64512}}]});
    let configuration = b"# For peer /bgp/v1/host/node-7/ip_addr_v4\nprotocol bgp Mesh_10_0_0_7 { neighbor 10.0.0.7 as 64512; }\n";
    evidence(&[
        ("bird/ipv4/show-status", STATUS),
        ("bird/ipv4/show-protocols-all", PROTOCOLS),
        ("bird/ipv4/bird.cfg", configuration),
        ("host/var/lib/calico/nodename", b"node-1"),
        ("datastore/nodes.json", nodes.as_bytes()),
        ("datastore/bgpconfigurations.json", configurations.to_string().as_bytes()),
    ])
}

fn node(name: &str, address: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"bgp": {"ipv4Address": format!("{address}/24")}}})
}

/// Cause, certainty and summary of a peer.
fn verdict(findings: &[Finding], name: &str) -> (String, String, String) {
    let peer = findings.iter().find(|it| it.id == "bgp.peer" && it.evidence["name"] == name);
    let peer = peer.unwrap_or_else(|| panic!("nothing is said of {name}"));
    let text = |field: &str| peer.evidence[field].as_str().unwrap_or_default().to_owned();
    (text("cause"), text("certainty"), peer.summary.clone())
}

#[test]
fn a_peer_that_the_datastore_no_longer_has_is_stale_and_one_that_moved_is_named() {
    let nodes = json!([node("node-1", "10.0.0.1"), node("node-7", "10.9.9.7")]);
    let findings = findings(&with_datastore(&nodes, false));
    let (cause, certainty, summary) = verdict(&findings, "Mesh_10_0_0_11");
    assert_eq!((cause.as_str(), certainty.as_str()), ("stale-node", "certain"), "{summary}");
    assert!(summary.contains("none of the 2 nodes"), "{summary}");
    let (cause, _, summary) = verdict(&findings, "Mesh_10_0_0_7");
    assert_eq!(cause, "stale-node");
    assert!(
        summary.contains("node-7 has changed its address: in the datastore it has 10.9.9.7"),
        "{summary}"
    );
}

#[test]
fn by_a_part_of_the_nodes_or_those_of_another_cluster_nobody_is_stale_for_certain() {
    let nodes = json!([node("node-1", "10.0.0.1")]);
    let findings = findings(&with_datastore(&nodes, true));
    assert_ne!(verdict(&findings, "Mesh_10_0_0_11").0, "stale-node");
    let others = json!([node("another", "10.7.7.1")]);
    let findings = self::findings(&with_datastore(&others, false));
    let (cause, certainty, _) = verdict(&findings, "Mesh_10_0_0_11");
    assert_eq!((cause.as_str(), certainty.as_str()), ("stale-node", "likely"));
}

#[test]
fn a_node_that_is_in_the_datastore_is_not_stale_and_one_without_a_session_is_named() {
    // Those of the recorded mesh.
    let mut nodes: Vec<_> = [1, 2, 7, 8, 11]
        .map(|number| node(&format!("node-{number}"), &format!("10.0.0.{number}")))
        .to_vec();
    nodes.push(node("node-new", "10.0.0.99"));
    let findings = findings(&with_datastore(&json!(nodes), false));
    assert_ne!(verdict(&findings, "Mesh_10_0_0_11").0, "stale-node");
    let compared = findings.iter().find(|it| it.id == "bgp.datastore").unwrap();
    assert_eq!(compared.level, Level::Warn);
    assert!(compared.summary.contains("node-new (10.0.0.99)"), "{}", compared.summary);
}

#[test]
fn without_a_datastore_the_check_says_so_and_works() {
    let mut evidence =
        evidence(&[("bird/ipv4/show-status", STATUS), ("bird/ipv4/show-protocols-all", PROTOCOLS)]);
    evidence.insert("datastore/nodes.json", Reading::failed(Outcome::Timeout, "no answer"));
    let findings = findings(&evidence);
    let compared = findings.iter().find(|it| it.id == "bgp.datastore").unwrap();
    assert_eq!(
        (compared.level, compared.summary.as_str()),
        (Level::Skip, "not compared with the datastore: no answer")
    );
}

/// The recorded answers with other words in them, and one connection to a peer in the kernel's table.
fn with_socket(protocols: &str, socket: &serde_json::Value) -> Evidence {
    let mut evidence = evidence(&[
        ("bird/ipv4/show-status", STATUS),
        ("bird/ipv4/show-protocols-all", protocols.as_bytes()),
    ]);
    let mut row = json!({
        "protocol": "tcp", "family": "ipv4", "local": "10.0.0.1", "local_port": 179, "remote_port": 41234,
        "processes": [],
    });
    row.as_object_mut().unwrap().extend(socket.as_object().unwrap().clone());
    let mut table = tables::tests::table(&[("sockets", &[row])]);
    // What is read of a test's tables takes no time.
    let asked = evidence.get("bird/ipv4/show-protocols-all").unwrap();
    table.started = asked.started;
    evidence.insert("network/sockets.json", table);
    evidence
}

/// A session that stands and of which BIRD heard 14 s ago.
fn standing(socket: &serde_json::Value) -> (String, String, String) {
    let protocols = String::from_utf8_lossy(PROTOCOLS).into_owned();
    verdict(&findings(&with_socket(&protocols, socket)), "Mesh_10_0_0_2")
}

#[test]
fn routes_that_are_sent_again_for_longer_than_the_peer_is_silent_are_lost_to_the_path() {
    let socket = |queue: u32, times: Option<u8>| {
        standing(&json!({
            "state": "established", "remote": "10.0.0.2", "send_queue": queue, "retransmits": times,
        }))
    };
    // 25.4 s against 14 s.
    let (cause, certainty, summary) = socket(9000, Some(7));
    assert_eq!((cause.as_str(), certainty.as_str()), ("path-mtu", "likely"), "{summary}");
    // A peer that is gone: it was silent before anything was sent again. 12.6 s against 14 s.
    assert_eq!(socket(9000, Some(6)).0, "");
    // A slow peer: all that arrives is acknowledged, or its window is closed, so that nothing is sent again.
    assert_eq!(socket(200_000, Some(0)).0, "");
    assert_eq!(socket(200_000, None).0, "");
    // Keepalives only.
    assert_eq!(socket(57, Some(9)).0, "");
}

#[test]
fn the_time_between_two_looks_is_no_silence_of_the_peer() {
    let protocols = String::from_utf8_lossy(PROTOCOLS);
    let socket = json!({
        "state": "established", "remote": "10.0.0.2", "send_queue": 9000, "retransmits": 7,
    });
    let mut evidence = with_socket(&protocols, &socket);
    let mut table = evidence.get("network/sockets.json").unwrap().clone();
    table.started += jiff::SignedDuration::from_secs(9);
    table.duration = std::time::Duration::from_secs(2);
    evidence.insert("network/sockets.json", table);
    assert_eq!(verdict(&findings(&evidence), "Mesh_10_0_0_2").0, "");
}

#[test]
fn what_is_left_of_a_session_tells_why_the_peer_heard_nothing() {
    let said = "Received: Hold timer expired";
    let protocols = String::from_utf8_lossy(PROTOCOLS).replace("Socket: Connection refused", said);
    let left = |state: &str, queue: u32, times: Option<u8>| {
        let socket = json!({
            "state": state, "remote": "10.0.0.3", "send_queue": queue, "retransmits": times,
        });
        verdict(&findings(&with_socket(&protocols, &socket)), "Node_10_0_0_3")
    };
    let (cause, certainty, summary) = left("last-ack", 4321, Some(6));
    assert_eq!((cause.as_str(), certainty.as_str()), ("path-mtu", "likely"), "{summary}");
    assert!(summary.contains("4321 bytes"), "{summary}");
    // The next connection, keepalives, and a peer that reads nothing.
    assert_eq!(left("established", 4321, Some(6)).0, "hold-timer");
    assert_eq!(left("last-ack", 19, Some(6)).0, "hold-timer");
    assert_eq!(left("fin-wait-1", 4321, None).0, "hold-timer");
}
