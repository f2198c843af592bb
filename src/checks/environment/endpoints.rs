//! The datastore's URLs: are they URLs, and do they fit the certificates?

use serde_json::json;

use crate::checks::{Finding, Level};
use crate::datastore::environment::Environment;
use crate::datastore::settings::Endpoint;
use crate::datastore::url::NO_URL;

pub(super) const ID: &str = "environment.endpoints";

/// One finding for all of them.
pub(super) fn judge(environment: &Environment) -> Finding {
    let endpoints = &environment.endpoints;
    if endpoints.is_empty() {
        return Finding::new(ID, Level::Skip, "the settings name no URL");
    }
    let wrong: Vec<String> = endpoints.iter().filter_map(wrong).collect();
    let finding = if wrong.is_empty() {
        of_urls(environment)
    } else {
        let is_failure =
            endpoints.iter().any(|endpoint| endpoint.wrong.is_some() && !is_bare(endpoint));
        let level = if is_failure { Level::Fail } else { Level::Warn };
        Finding::new(ID, level, wrong.join("; "))
            .remedy("write each as https://HOST:PORT, with commas and no blanks between them")
    };
    finding.evidence(json!({"endpoints": endpoints}))
}

/// Whether it is a host and no more: a client takes that, and guesses whether TLS is wanted.
fn is_bare(endpoint: &Endpoint) -> bool {
    let shown = &endpoint.shown;
    shown != NO_URL && !shown.contains("://") && !shown.contains(char::is_whitespace)
}

fn wrong(endpoint: &Endpoint) -> Option<String> {
    let Endpoint { setting, shown, wrong, .. } = endpoint;
    wrong.as_ref().map(|wrong| format!("{setting}: {shown} is no URL: {wrong}"))
}

fn of_urls(environment: &Environment) -> Finding {
    let endpoints = &environment.endpoints;
    let has =
        |settings: &[&str]| settings.iter().any(|setting| environment.effective(setting).is_some());
    let is =
        |scheme: &str| endpoints.iter().filter(|url| url.scheme.as_deref() == Some(scheme)).count();
    let (plain, secure) = (is("http"), is("https"));
    let is_etcd = endpoints.iter().any(|endpoint| endpoint.setting == "etcdEndpoints");
    let certificates =
        ["etcdCertFile", "etcdCert", "etcdCACertFile", "etcdCACert", "k8sCertFile", "k8sCAFile"];
    if plain > 0 && secure > 0 {
        let summary = format!("{plain} of {} URLs are http, and the others https", endpoints.len());
        return Finding::new(ID, Level::Warn, summary).remedy("write all of them with https");
    }
    if plain > 0 && has(&certificates) {
        let summary =
            "there are certificates, and the URLs are http: the certificates are not used";
        return Finding::new(ID, Level::Warn, summary).remedy("write the URLs with https");
    }
    if plain > 0 && has(&["etcdPassword", "k8sAPIToken"]) {
        let summary = "the password goes over the network in clear: the URLs are http";
        return Finding::new(ID, Level::Warn, summary).remedy("write the URLs with https");
    }
    let authority: &[&str] = if is_etcd {
        &["etcdCACertFile", "etcdCACert"]
    } else {
        &["k8sCAFile", "k8sInsecureSkipTLSVerify", "kubeconfig", "kubeconfigInline"]
    };
    if secure > 0 && !has(authority) {
        let setting = if is_etcd { "etcdCACertFile" } else { "k8sCAFile" };
        let summary = format!(
            "the URLs are https and {setting} is not set: only certificates by an authority that this host trusts are \
             taken, and a cluster's own rarely is"
        );
        return Finding::new(ID, Level::Warn, summary)
            .remedy(format!("set {setting} to the authority's certificate"));
    }
    if environment.effective("k8sInsecureSkipTLSVerify").is_some_and(|row| row.shown == "true") {
        let summary =
            "k8sInsecureSkipTLSVerify is on: any certificate is taken for the API server's";
        return Finding::new(ID, Level::Warn, summary).remedy("set k8sCAFile in its place");
    }
    let shown: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.shown.as_str()).collect();
    Finding::new(ID, Level::Ok, shown.join(", "))
}
