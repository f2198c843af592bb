//! What a fake root cannot show: evidence that is missing, and credentials of other kinds.

use serde_json::json;

use super::*;
use crate::collectors::conntrack::PROCESSES;

const CONFLIST: &str = r#"{"name": "n", "plugins": [{"type": "calico", "mtu": 0, "ipam": {"type": "calico-ipam"},
    "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}}]}"#;

fn put(evidence: &mut Evidence, path: &str, text: &str) {
    evidence.insert(path, Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() });
}

fn node() -> Evidence {
    let mut evidence = Evidence::default();
    put(&mut evidence, "host/etc/cni/net.d/10-calico.conflist", CONFLIST);
    put(&mut evidence, LISTING, "");
    put(&mut evidence, PROCESSES, "[]");
    put(&mut evidence, LINKS, "{\"source\":\"RTM\",\n\"links\":[]}");
    put(&mut evidence, MTU_FILE, "1450");
    put(&mut evidence, status::NODENAME, "node-1");
    for (path, _) in plugins::LISTINGS {
        evidence.insert(path, Reading::failed(Outcome::Missing, "no such folder"));
    }
    put(
        &mut evidence,
        plugins::LISTINGS[0].0,
        "100755 0 0 9 2026-11-01T00:00:00Z calico\n120777 0 0 6 2026-11-01T00:00:00Z calico-ipam -> calico\n",
    );
    evidence
}

fn credentials(user: &serde_json::Value) -> String {
    json!({"files": [{"path": "/etc/cni/net.d/calico-kubeconfig", "outcome": "ok", "users": [user]}]}).to_string()
}

fn level(evidence: &Evidence, id: &str) -> Level {
    let findings = judge(evidence, &Asked::default());
    findings.into_iter().find(|finding| finding.id == id).unwrap().level
}

#[test]
fn a_program_that_a_folder_may_hold_which_was_not_listed_whole_is_not_missed() {
    let mut evidence = node();
    assert_eq!(level(&evidence, PLUGINS), Level::Ok);
    let calico = "100755 0 0 9 2026-11-01T00:00:00Z calico\n";
    put(&mut evidence, plugins::LISTINGS[0].0, calico);
    assert_eq!(level(&evidence, PLUGINS), Level::Fail);
    let cut = Reading::failed(Outcome::Truncated, "more than 200000 names");
    let cut = Reading { bytes: calico.as_bytes().to_vec(), ..cut };
    evidence.insert(plugins::LISTINGS[0].0, cut);
    assert_eq!(level(&evidence, PLUGINS), Level::Unknown);
    put(&mut evidence, plugins::LISTINGS[0].0, calico);
    evidence.insert(plugins::LISTINGS[1].0, Reading::failed(Outcome::Denied, "permission denied"));
    assert_eq!(level(&evidence, PLUGINS), Level::Unknown);
}

#[test]
fn credentials_other_than_tokens_are_not_judged_and_none_fails() {
    let mut evidence = node();
    assert_eq!(level(&evidence, TOKEN), Level::Unknown, "the times were not asked for");
    for (user, expected) in [
        (json!({"by": "certificate"}), Level::Ok),
        (json!({"by": "other"}), Level::Ok),
        (json!({"by": "none"}), Level::Fail),
        (json!({"by": "token", "file": "/gone"}), Level::Info),
        (json!({"by": "token", "times": {"isJwt": true, "expires": null}}), Level::Ok),
        (
            json!({"by": "token", "times": {"isJwt": true, "expires": "2020-01-01T00:00:00Z"}}),
            Level::Fail,
        ),
    ] {
        put(&mut evidence, CREDENTIALS, &credentials(&user));
        assert_eq!(level(&evidence, TOKEN), expected, "{user}");
    }
}

#[test]
fn a_program_that_is_a_link_can_be_run() {
    assert_eq!(level(&node(), PLUGINS), Level::Ok);
}

#[test]
fn what_was_not_read_is_never_well() {
    let denied = || Reading::failed(Outcome::Denied, "permission denied");
    for (path, id) in [
        ("host/etc/cni/net.d/10-calico.conflist", CONFIGURATION),
        ("host/etc/cni/net.d", CONFIGURATION),
        (LINKS, MTU),
        (LINKS, OTHERS),
        (MTU_FILE, MTU),
        (status::NODENAME, NODENAME),
        (plugins::LISTINGS[0].0, PLUGINS),
        (CREDENTIALS, TOKEN),
        (logs::PATH, ERRORS),
    ] {
        let mut evidence = node();
        evidence.insert(path, denied());
        assert_eq!(level(&evidence, id), Level::Unknown, "{path}");
    }
}
