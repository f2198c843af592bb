use super::*;
use crate::host::Reading;

fn certificate(begin: &str, end: &str) -> Value {
    json!({"subject": "CN=felix", "issuer": "CN=ca", "notBefore": begin, "notAfter": end, "names": []})
}

/// The verdict on what is held, in the middle of 2026.
#[track_caller]
fn finding(id: &str, held: &[Value]) -> Finding {
    let bytes = serde_json::to_vec(held).unwrap();
    let started = "2026-06-30T00:00:00Z".parse().unwrap();
    let reading = Reading { bytes, started, ..Reading::begin() };
    let evidence = [(certificates::PATH.to_owned(), reading)].into_iter().collect();
    let mut findings = judge(&evidence, &Asked::default());
    assert_eq!(findings.len(), 4);
    findings.retain(|finding| finding.id == id);
    findings.remove(0)
}

fn held(role: &str, certificates: &[Value]) -> Value {
    json!({"user": "calico-node", "role": role, "path": "/node-certs/tls.crt", "container": true, "outcome": "ok",
           "held": certificates.len(), "certificates": certificates})
}

#[test]
fn a_certificate_is_judged_by_what_is_left_of_it() {
    for (begin, end, level, words) in [
        (
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            Level::Ok,
            "hold, the first until 2027-01-01 00:00 UTC",
        ),
        (
            "2025-07-10T00:00:00Z",
            "2026-07-10T00:00:00Z",
            Level::Warn,
            "expires on 2026-07-10 00:00 UTC, in 10 days",
        ),
        (
            "2025-01-01T00:00:00Z",
            "2026-06-29T00:00:00Z",
            Level::Fail,
            "expired on 2026-06-29 00:00 UTC, 24 h ago",
        ),
        (
            "2026-06-30T00:30:00Z",
            "2027-01-01T00:00:00Z",
            Level::Fail,
            "in 30 min: or the clock is behind",
        ),
        // One that lives for a day is renewed in its last hours.
        ("2026-06-29T12:00:00Z", "2026-06-30T12:00:00Z", Level::Ok, "hold"),
        ("2026-06-29T01:00:00Z", "2026-06-30T01:00:00Z", Level::Warn, "in 1 h"),
    ] {
        let found = finding(CALICO_NODE, &[held("client", &[certificate(begin, end)])]);
        assert_eq!(found.level, level, "{}", found.summary);
        assert!(found.summary.contains(words), "{}", found.summary);
        assert_eq!(found.remedy.is_empty(), level == Level::Ok);
    }
}

#[test]
fn of_authorities_one_that_holds_is_enough_and_of_a_chain_the_first_is_this_nodes() {
    let good = certificate("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z");
    let over = certificate("2016-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    let both = [over.clone(), good.clone()];
    assert_eq!(finding(CALICO_NODE, &[held("authority", &both)]).level, Level::Ok);
    assert_eq!(finding(CALICO_NODE, &[held("authority", &both[..1])]).level, Level::Fail);
    assert_eq!(finding(CALICO_NODE, &[held("client", &both)]).level, Level::Fail);
    assert_eq!(finding(CALICO_NODE, &[held("client", &[good, over])]).level, Level::Ok);
}

#[test]
fn what_may_not_be_read_is_unknown_and_what_is_broken_fails() {
    let mut place = held("client", &[]);
    for (outcome, level) in [
        ("denied", Level::Unknown),
        ("timeout", Level::Unknown),
        ("failed", Level::Fail),
        ("missing", Level::Fail),
    ] {
        place["outcome"] = json!(outcome);
        place["reason"] = json!("because");
        let found = finding(CALICO_NODE, &[place.clone()]);
        assert_eq!(found.level, level, "{outcome}");
        assert!(
            found.summary.ends_with("/node-certs/tls.crt in calico-node's container: because"),
            "{}",
            found.summary
        );
    }
    assert_eq!(finding(KUBELET, &[place]).level, Level::Skip);
}

#[test]
fn it_is_told_whether_the_issuer_is_here_too() {
    let own = certificate("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let mut authority = own.clone();
    authority["subject"] = json!("CN=ca");
    let found = finding(
        CALICO_NODE,
        &[held("client", std::slice::from_ref(&own)), held("authority", &[authority])],
    );
    assert_eq!(found.evidence["certificates"][0]["issuerIsHere"], true);
    let found = finding(CALICO_NODE, &[held("client", &[own])]);
    assert_eq!(found.evidence["certificates"][0]["issuerIsHere"], false);
}
