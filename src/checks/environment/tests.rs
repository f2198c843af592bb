//! Verdicts on evidence that is made up.

use std::collections::BTreeMap;

use super::*;
use crate::datastore::environment::{ConfigurationFile, FileState, shown};
use crate::datastore::settings::{self, DEFAULT_PATH};
use crate::host::Reading;

/// What is found of these variables, without a file.
fn of(variables: &[(&str, &str)]) -> Environment {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = settings::settings(&settings::File::Absent, &variables);
    Environment {
        uid: 0,
        home: Some("/root".to_owned()),
        sudo: None,
        in_cluster: false,
        variables: shown(&variables),
        file: ConfigurationFile {
            path: DEFAULT_PATH.to_owned(),
            named: false,
            outcome: Outcome::Missing,
            reason: None,
        },
        origin: settings.origin,
        effective: settings.effective,
        ignored: settings.ignored,
        problems: settings.problems,
        endpoints: settings.endpoints,
        files: Vec::new(),
    }
}

fn judged(environment: &Environment) -> Vec<Finding> {
    let bytes = serde_json::to_vec(environment).unwrap();
    let reading = Reading { bytes, ..Reading::begin() };
    let evidence: Evidence = [(PATH.to_owned(), reading)].into_iter().collect();
    judge(&evidence, &Asked::default())
}

#[track_caller]
fn is(environment: &Environment, id: &str, level: Level, summary: &str) {
    let findings = judged(environment);
    let finding = findings.iter().find(|finding| finding.id == id).unwrap();
    assert_eq!((finding.level, finding.summary.as_str()), (level, summary));
}

#[test]
fn urls_are_held_against_the_certificates() {
    const ID: &str = endpoints::ID;
    let certificates =
        [("ETCD_CERT_FILE", "/c"), ("ETCD_KEY_FILE", "/k"), ("ETCD_CA_CERT_FILE", "/ca")];
    let with = |endpoints, more: &[(&'static str, &'static str)]| {
        of(&[&[("ETCD_ENDPOINTS", endpoints)], more].concat())
    };
    is(&with("https://a:1,https://b:2", &certificates), ID, Level::Ok, "https://a:1, https://b:2");
    is(&with("http://a:1", &[]), ID, Level::Ok, "http://a:1");
    is(
        &with("http://a:1", &certificates),
        ID,
        Level::Warn,
        "there are certificates, and the URLs are http: the certificates are not used",
    );
    is(
        &with("http://a:1,https://b:2", &certificates),
        ID,
        Level::Warn,
        "1 of 2 URLs are http, and the others https",
    );
    is(
        &with("http://a:1", &[("ETCD_USERNAME", "u"), ("ETCD_PASSWORD", "p")]),
        ID,
        Level::Warn,
        "the password goes over the network in clear: the URLs are http",
    );
    is(
        &with("https://a:1", &[]),
        ID,
        Level::Warn,
        "the URLs are https and etcdCACertFile is not set: only certificates by an authority that this host trusts are \
         taken, and a cluster's own rarely is",
    );
    is(
        &with("a:1, http://b", &[]),
        ID,
        Level::Fail,
        "etcdEndpoints: a:1 is no URL: it does not begin with http:// or https://; etcdEndpoints:  http://b is no URL: \
         there is a blank before or after it",
    );
    is(
        &with("a:1", &[]),
        ID,
        Level::Warn,
        "etcdEndpoints: a:1 is no URL: it does not begin with http:// or https://",
    );
    is(&of(&[]), ID, Level::Skip, "the settings name no URL");
}

#[test]
fn a_missing_one_of_several_kubeconfigs_is_no_failure() {
    let file = |path: &str, outcome| FileState {
        setting: "kubeconfig".to_owned(),
        path: path.to_owned(),
        credential: true,
        outcome,
        reason: None,
        mode: Some("0600".to_owned()),
        uid: Some(0),
    };
    let mut environment = of(&[("KUBECONFIG", "/a:/b")]);
    environment.files = vec![file("/a", Outcome::Ok), file("/b", Outcome::Missing)];
    let levels = |environment: &Environment| -> Vec<Level> {
        let findings = judged(environment).into_iter().filter(|finding| finding.id == files::ID);
        findings.map(|finding| finding.level).collect()
    };
    assert_eq!(levels(&environment), [Level::Ok, Level::Info]);
    environment.files.remove(0);
    assert_eq!(levels(&environment), [Level::Fail]);
}

#[test]
fn variables_that_lead_nowhere_are_warned_of() {
    is(
        &of(&[("K8S_CURRENT_CONTEXT", "x")]),
        SETTINGS,
        Level::Warn,
        "the variables that are set name no datastore: neither endpoints of etcd nor a kubeconfig",
    );
    is(
        &of(&[("K8S_API_TOKEN", "x")]),
        MISTAKES,
        Level::Warn,
        "calicoctl does not read K8S_API_TOKEN, but CALICO_K8SAPITOKEN",
    );
    let in_cluster = Environment { in_cluster: true, ..of(&[]) };
    is(&in_cluster, SETTINGS, Level::Ok, "the Kubernetes API, by the pod's own service account");
}

#[test]
fn what_a_bundle_does_not_hold_or_hold_whole_is_unknown() {
    let reading = |bytes: &[u8]| Reading { bytes: bytes.to_vec(), ..Reading::begin() };
    for reading in [
        Reading::failed(Outcome::Skipped, "the bundle does not hold it"),
        reading(b"{"),
        reading(b"{}"),
    ] {
        let evidence: Evidence = [(PATH.to_owned(), reading)].into_iter().collect();
        let findings = judge(&evidence, &Asked::default());
        assert_eq!((findings.len(), findings[0].level), (1, Level::Unknown));
    }
}
