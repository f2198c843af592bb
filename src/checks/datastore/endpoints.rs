//! Each endpoint: does it answer, are the certificates good, how long does it take?

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Facts, LATENCY, REACHABLE, TLS};
use crate::checks::{Finding, Level};
use crate::datastore::certificate::Certificate;
use crate::datastore::health::{Cause, Endpoint, Failure, Kind};

/// From when on it is warned that a certificate will be over.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// An answer to a trivial question that takes longer makes everything slow that Calico does.
const SLOW: u64 = 500;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let endpoints = &facts.health.endpoints;
    let others_answer = endpoints.iter().any(|endpoint| endpoint.failure.is_none());
    let mut findings: Vec<Finding> =
        endpoints.iter().map(|endpoint| reachable(facts, endpoint, others_answer)).collect();
    findings.push(tls(facts));
    findings.extend(latency(facts));
    findings
}

fn reachable(facts: &Facts<'_>, endpoint: &Endpoint, others_answer: bool) -> Finding {
    let Endpoint { url, address, .. } = endpoint;
    let kind = facts.health.kind;
    let evidence = json!({
        "endpoint": url, "address": address, "connectMilliseconds": endpoint.connect_milliseconds,
        "tlsMilliseconds": endpoint.tls_milliseconds, "answerMilliseconds": endpoint.answer_milliseconds,
        "cause": endpoint.failure.as_ref().map(|failure| failure.cause),
    });
    let Some(Failure { cause, reason }) = &endpoint.failure else {
        let taken = [
            endpoint.connect_milliseconds,
            endpoint.tls_milliseconds,
            endpoint.answer_milliseconds,
        ];
        let taken: u64 = taken.iter().flatten().sum();
        return Finding::new(
            REACHABLE,
            Level::Ok,
            format!("{kind} answers at {url} within {taken} ms"),
        )
        .evidence(evidence);
    };
    // Calico's clients go on to the next endpoint.
    let (level, rest) = if others_answer {
        (Level::Warn, " (another endpoint answers)")
    } else {
        (Level::Fail, "")
    };
    let mut finding =
        Finding::new(REACHABLE, level, format!("{kind} cannot be used at {url}: {reason}{rest}"))
            .evidence(evidence);
    finding.remedy = remedy(*cause, endpoint, facts);
    finding
}

fn remedy(cause: Cause, endpoint: &Endpoint, facts: &Facts<'_>) -> Vec<String> {
    let is_etcd = facts.health.kind == Kind::Etcd;
    let ca = if is_etcd {
        "etcdCACertFile (ETCD_CA_CERT_FILE)"
    } else {
        "certificate-authority in the kubeconfig"
    };
    let client = if is_etcd {
        "etcdCertFile and etcdKeyFile (ETCD_CERT_FILE, ETCD_KEY_FILE)"
    } else {
        "client-certificate and client-key in the kubeconfig"
    };
    let line = match cause {
        Cause::Configuration => {
            "correct the URL in calicoctl's settings: calivet check environment".to_owned()
        }
        Cause::Resolve => {
            "look at /etc/resolv.conf and /etc/hosts, or name the endpoint by its address"
                .to_owned()
        }
        Cause::Refused => {
            "start the server, or correct the port in calicoctl's settings".to_owned()
        }
        Cause::Unreachable => "look at the route to it: ip route get ADDRESS".to_owned(),
        Cause::TimedOut => {
            "look for a firewall on the way, and whether the server itself is overloaded".to_owned()
        }
        Cause::UnknownAuthority => {
            format!("give the authority that signed the server's certificate: {ca}")
        }
        Cause::Expired => "renew the server's certificate".to_owned(),
        Cause::NotYetValid => {
            "set the clock of this host, or of the one that made the certificate".to_owned()
        }
        Cause::WrongName => {
            let names = endpoint.tls.as_ref().and_then(|tls| tls.certificates.first());
            let names = names.map(|certificate| certificate.names.join(", "));
            match names.filter(|names| !names.is_empty()) {
                Some(names) => format!("name the endpoint as its certificate does: {names}"),
                None => {
                    "the certificate names no host (subjectAltName): make one that does".to_owned()
                }
            }
        }
        Cause::ClientCertificate => {
            format!("give a client's certificate and key that the server takes: {client}")
        }
        Cause::Tls => "does the endpoint speak TLS? http:// is one that does not".to_owned(),
        Cause::Answer | Cause::Failed => "look at the server's log".to_owned(),
    };
    vec![line]
}

/// All certificates: the servers', this node's own, the authorities'.
fn tls(facts: &Facts<'_>) -> Finding {
    let health = &facts.health;
    let seen: Vec<&Endpoint> = health.endpoints.iter().filter(|it| it.tls.is_some()).collect();
    if seen.is_empty() {
        let plain = health.endpoints.iter().all(|endpoint| endpoint.url.starts_with("http://"));
        if plain {
            let summary = "the datastore is asked without TLS: who listens on the way reads all";
            return Finding::new(TLS, Level::Warn, summary)
                .remedy("give etcd certificates, and name it by https://");
        }
    }
    let mut worst = (Level::Ok, String::new());
    let mut note = |level: Level, text: String| {
        if level > worst.0 || worst.1.is_empty() {
            worst = (level, text);
        }
    };
    for endpoint in &seen {
        let Some(tls) = &endpoint.tls else { continue };
        if tls.is_trusted == Some(false) {
            let why = tls.distrust.as_deref().unwrap_or_default();
            let level = if health.takes_any_certificate { Level::Warn } else { Level::Fail };
            let own = tls
                .certificates
                .first()
                .map_or(String::new(), |it| format!(" ({}, by {})", it.subject, it.issuer));
            note(level, format!("{}: {why}{own}", endpoint.url));
        }
        if let Some(own) = tls.certificates.first() {
            judge_time(facts.time, "the server's certificate", own, &mut note);
        }
    }
    if let Some(client) = &health.client_certificate {
        judge_time(facts.time, "this node's own certificate", client, &mut note);
    } else if seen.iter().any(|it| {
        it.failure.as_ref().is_some_and(|failure| failure.cause == Cause::ClientCertificate)
    }) {
        note(
            Level::Fail,
            "the server asks for a client's certificate, and none is configured".to_owned(),
        );
    }
    for authority in &health.authorities {
        judge_time(facts.time, "the authority's certificate", authority, &mut note);
    }
    let (level, text) = worst;
    let finding = match level {
        // Those of this node are good, and no server has shown any.
        Level::Ok if seen.is_empty() => {
            let is_reached =
                |it: &Endpoint| it.connect_milliseconds.is_some() || it.failure.is_none();
            if health.endpoints.iter().any(is_reached) {
                return Finding::new(TLS, Level::Unknown, "no server showed a certificate");
            }
            let summary = "no endpoint could be connected to, so that none showed a certificate";
            return Finding::new(TLS, Level::Skip, summary);
        }
        Level::Ok => {
            let shown = seen.iter().filter_map(|it| it.tls.as_ref()?.certificates.first());
            let ours = health.client_certificate.iter().chain(&health.authorities);
            let first = shown.chain(ours).filter_map(|it| it.not_after).min();
            let until =
                first.map_or("for an unknown time".to_owned(), |end| format!("until {}", day(end)));
            Finding::new(TLS, Level::Ok, format!("all certificates are good {until}"))
        }
        level => Finding::new(TLS, level, text),
    };
    let finding = finding.evidence(json!({
        "endpoints": seen.iter().map(|it| json!({"endpoint": it.url, "tls": it.tls})).collect::<Vec<_>>(),
        "clientCertificate": health.client_certificate, "authorities": health.authorities,
    }));
    match level {
        Level::Ok => finding,
        _ if health.takes_any_certificate => {
            finding.remedy("check the server's certificate: do not set insecure-skip-tls-verify")
        }
        _ => finding.remedy("openssl s_client -connect HOST:PORT -showcerts shows the certificates; renew what is over"),
    }
}

fn judge_time(
    time: Timestamp,
    whose: &str,
    certificate: &Certificate,
    note: &mut impl FnMut(Level, String),
) {
    let Certificate { subject, not_before, not_after, .. } = certificate;
    if certificate.is_expired(time) {
        let end = not_after.map_or(String::new(), |end| format!(" since {}", day(end)));
        note(Level::Fail, format!("{whose} ({subject}) is over{end}"));
    } else if certificate.is_early(time) {
        let begin = not_before.map_or(String::new(), |begin| format!(" before {}", day(begin)));
        note(Level::Fail, format!("{whose} ({subject}) does not hold{begin}"));
    } else if let Some(end) = not_after
        && end.duration_since(time) < SOON
    {
        let days = end.duration_since(time).as_hours() / 24;
        note(
            Level::Warn,
            format!("{whose} ({subject}) will be over in {days} days, on {}", day(*end)),
        );
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

/// The first answer of the slowest endpoint that gave one.
fn latency(facts: &Facts<'_>) -> Option<Finding> {
    let answered = facts.health.endpoints.iter();
    let (endpoint, taken) = answered
        .filter_map(|endpoint| Some((endpoint, endpoint.answer_milliseconds?)))
        .max_by_key(|(_, taken)| *taken)?;
    let (level, word) = if taken >= SLOW { (Level::Warn, "only after") } else { (Level::Ok, "in") };
    let summary = format!("{} answers a trivial question {word} {taken} ms", endpoint.url);
    let finding = Finding::new(LATENCY, level, summary)
        .evidence(json!({"endpoint": endpoint.url, "milliseconds": taken}));
    Some(match level {
        Level::Ok => finding,
        _ => {
            finding.remedy("look at the load and the disks of the server, and at the network to it")
        }
    })
}
