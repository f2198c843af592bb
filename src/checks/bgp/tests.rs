use serde_json::json;

use super::*;
use crate::checks::Level;
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
