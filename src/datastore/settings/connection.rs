//! What the settings in force lead to: the URLs and the files that they name, and what calicoctl would connect to.

use std::path::{Path, PathBuf};

use super::{Endpoint, Named, Store, Values};
use crate::datastore::url;
use crate::datastore::{Connection, Etcd, Kubernetes, Pem, Secret};

/// The URLs that matter for this datastore.
pub(super) fn endpoints(store: Store, values: &Values) -> Vec<Endpoint> {
    let (setting, urls) = match store {
        Store::Etcd => ("etcdEndpoints", values.get("etcdEndpoints")),
        Store::Kubernetes => ("k8sAPIEndpoint", values.get("k8sAPIEndpoint")),
    };
    let urls = urls.map_or(Vec::new(), |value| match store {
        Store::Etcd => value.text.split(',').collect(),
        Store::Kubernetes => vec![value.text.as_str()],
    });
    // A comma in a password makes two halves of it: then none is shown.
    let is_broken = urls.iter().any(|url| url.contains('@') && !url.contains("://"));
    let endpoint = |text| {
        let (shown, scheme, wrong) = match url::parse(text) {
            Ok(url) if !is_broken => (url.shown, Some(url.scheme), None),
            Ok(_) => (url::NO_URL.to_owned(), None, Some("it is part of another".to_owned())),
            Err(wrong) if is_broken => (url::NO_URL.to_owned(), None, Some(wrong)),
            Err(wrong) => (url::shown(text), None, Some(wrong)),
        };
        Endpoint { setting: setting.to_owned(), shown, scheme, wrong }
    };
    urls.into_iter().map(endpoint).collect()
}

/// Files that matter for this datastore.
pub(super) fn files(store: Store, values: &Values) -> Vec<Named> {
    let rows: &[(&'static str, bool)] = match store {
        Store::Etcd => &[("etcdKeyFile", true), ("etcdCertFile", false), ("etcdCACertFile", false)],
        Store::Kubernetes => &[
            ("kubeconfig", true),
            ("k8sKeyFile", true),
            ("k8sCertFile", false),
            ("k8sCAFile", false),
        ],
    };
    let mut files = Vec::new();
    for &(setting, credential) in rows {
        let Some(value) = values.get(setting) else { continue };
        // A kubeconfig in the file itself wins over the one that is named.
        if setting == "kubeconfig" && values.contains_key("kubeconfigInline") {
            continue;
        }
        let paths = if setting == "kubeconfig" {
            split(&value.text)
        } else {
            vec![PathBuf::from(&value.text)]
        };
        files.extend(paths.into_iter().map(|path| Named { setting, path, credential }));
    }
    files
}

/// The paths between colons, each once.
fn split(list: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in list.split(':').filter(|path| !path.is_empty()).map(Path::new) {
        if !paths.iter().any(|known| known == path) {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// What calicoctl would connect to.
pub(super) fn of(store: Store, values: &Values) -> Connection {
    let text = |key: &str| values.get(key).map(|value| value.text.clone());
    let secret = |key: &str| text(key).map(Secret);
    let pem = |file: &str, inline: Option<&str>| {
        let inline = inline.and_then(secret).map(Pem::Inline);
        inline.or_else(|| text(file).map(|path| Pem::File(PathBuf::from(path))))
    };
    let is_on = |key: &str| text(key).is_some_and(|value| value == "true");
    match store {
        Store::Etcd => {
            let has_both =
                values.contains_key("etcdUsername") && values.contains_key("etcdPassword");
            let endpoints = text("etcdEndpoints").unwrap_or_default();
            let endpoints = endpoints.split(',').filter(|url| !url.is_empty());
            Connection::Etcd(Etcd {
                endpoints: endpoints.map(ToOwned::to_owned).collect(),
                discovery_srv: text("etcdDiscoverySrv"),
                username: text("etcdUsername").filter(|_| has_both),
                password: secret("etcdPassword").filter(|_| has_both),
                ca: pem("etcdCACertFile", Some("etcdCACert")),
                certificate: pem("etcdCertFile", Some("etcdCert")),
                key: pem("etcdKeyFile", Some("etcdKey")),
            })
        }
        Store::Kubernetes => {
            let kubeconfig = text("kubeconfig").map(|list| split(&list)).unwrap_or_default();
            Connection::Kubernetes(Kubernetes {
                kubeconfig,
                kubeconfig_inline: secret("kubeconfigInline"),
                context: text("k8sCurrentContext"),
                api_endpoint: text("k8sAPIEndpoint"),
                ca: pem("k8sCAFile", None),
                certificate: pem("k8sCertFile", None),
                key: pem("k8sKeyFile", None),
                token: secret("k8sAPIToken"),
                insecure_skip_tls_verify: is_on("k8sInsecureSkipTLSVerify"),
                api_group: text("calicoAPIGroup"),
            })
        }
    }
}
