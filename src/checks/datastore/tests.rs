use serde_json::{Value, json};

use super::*;

fn findings(health: &Value, resources: &[(Resource, Reading)]) -> Vec<Finding> {
    let reading = |bytes: String| Reading { bytes: bytes.into_bytes(), ..Reading::begin() };
    let mut evidence = Evidence::default();
    evidence.insert(health::PATH, reading(health.to_string()));
    evidence.insert(status::NODENAME, reading("node-1\n".to_owned()));
    for (resource, reading) in resources {
        evidence.insert(resource.path(), reading.clone());
    }
    judge(&evidence, &Asked::default())
}

fn well(days: i64) -> Value {
    let end = Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
    let certificate = json!({"subject": "CN=etcd-1", "issuer": "CN=ca", "notBefore": "2020-01-01T00:00:00Z", "notAfter": end});
    json!({
        "kind": "etcd", "version": "3.5.9", "healthy": true, "alarms": [], "keys": 5,
        "endpoints": [{"url": "https://etcd:2379", "answerMilliseconds": 3,
            "tls": {"certificates": [certificate], "isTrusted": true}}],
    })
}

#[track_caller]
fn level(findings: &[Finding], id: &str) -> Level {
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id}")).level
}

#[test]
fn a_certificate_is_good_then_soon_over_then_over() {
    for (days, expected) in [(400, Level::Ok), (29, Level::Warn), (-1, Level::Fail)] {
        assert_eq!(level(&findings(&well(days), &[]), TLS), expected, "{days} days");
    }
}

#[test]
fn what_was_not_asked_is_not_permitted_and_not_denied() {
    assert_eq!(level(&findings(&well(400), &[]), PERMISSIONS), Level::Unknown);
    let denied = (Resource::Nodes, Reading::failed(Outcome::Denied, "forbidden"));
    assert_eq!(level(&findings(&well(400), &[denied]), PERMISSIONS), Level::Fail);
}

#[test]
fn where_no_endpoint_answers_nothing_more_is_said() {
    let health = json!({"kind": "etcd", "endpoints": [
        {"url": "http://etcd:2379", "failure": {"cause": "refused", "reason": "connection refused"}}]});
    let findings = findings(&health, &[]);
    assert_eq!(level(&findings, REACHABLE), Level::Fail);
    assert!(findings.iter().all(|finding| [REACHABLE, TLS].contains(&finding.id)), "{findings:#?}");
}

#[test]
fn where_no_endpoint_is_reached_no_certificate_is_missed_but_this_nodes_own_is_judged() {
    let refused = json!({"cause": "refused", "reason": "connection refused"});
    let health = |more: &Value| {
        let mut health = json!({"kind": "etcd", "endpoints": [{"url": "https://etcd:2379", "failure": refused}]});
        health.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        health
    };
    assert_eq!(level(&findings(&health(&json!({})), &[]), TLS), Level::Skip);
    let own = json!({"clientCertificate": {"subject": "CN=node-1", "issuer": "CN=ca",
        "notBefore": "2020-01-01T00:00:00Z", "notAfter": "2021-01-01T00:00:00Z"}});
    assert_eq!(level(&findings(&health(&own), &[]), TLS), Level::Fail);
    // It was reached, and no certificate came.
    let silent = json!({"endpoints": [{"url": "https://etcd:2379", "connectMilliseconds": 1,
        "failure": {"cause": "timed-out", "reason": "no answer"}}]});
    assert_eq!(level(&findings(&health(&silent), &[]), TLS), Level::Unknown);
}

#[test]
fn a_node_that_is_not_in_the_datastore_fails_only_by_a_whole_list() {
    let list = |truncated: bool| {
        let list = json!({"source": "x", "truncated": truncated, "items": [{"metadata": {"name": "other"}}]});
        (Resource::Nodes, Reading { bytes: list.to_string().into_bytes(), ..Reading::begin() })
    };
    assert_eq!(level(&findings(&well(400), &[list(false)]), NODE), Level::Fail);
    assert_eq!(level(&findings(&well(400), &[list(true)]), NODE), Level::Unknown);
}

#[test]
fn credentials_that_may_not_be_read_are_no_failure_of_the_datastore_and_a_wrong_setting_is_one() {
    for (outcome, expected) in [
        (Outcome::Denied, Level::Unknown),
        (Outcome::Truncated, Level::Unknown),
        (Outcome::Failed, Level::Fail),
        (Outcome::Missing, Level::Fail),
        (Outcome::NotApplicable, Level::Skip),
    ] {
        let mut evidence = Evidence::default();
        evidence.insert(health::PATH, Reading::failed(outcome, "/etc/cni/net.d/calico-kubeconfig"));
        let [only] = &judge(&evidence, &Asked::default())[..] else { panic!() };
        assert_eq!((only.id, only.level), (REACHABLE, expected), "{outcome}");
        assert!(only.summary.ends_with("calico-kubeconfig"), "{}", only.summary);
        assert!(outcome != Outcome::Denied || only.remedy[0].contains("-c FILE"), "{only:#?}");
    }
}

#[test]
fn a_document_that_is_none_is_no_verdict() {
    let mut evidence = Evidence::default();
    evidence.insert(health::PATH, Reading { bytes: b"{".to_vec(), ..Reading::begin() });
    assert_ne!(judge(&evidence, &Asked::default())[0].level, Level::Ok);
}
