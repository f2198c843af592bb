//! The settings from which calicoctl takes its connection to the datastore: how each is named in its configuration
//! file and in the environment (`libcalico-go/lib/apiconfig/apiconfig.go`).
//!
//! ```text
//! etcdEndpoints: http://10.0.0.1:2379        ETCD_ENDPOINTS, CALICO_ETCD_ENDPOINTS
//! ```

use std::collections::BTreeMap;

/// A setting of calicoctl's.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key below `spec` in the file.
    pub key: &'static str,
    /// Its variable; `None`: it stands in a file only.
    pub variable: Option<&'static str>,
    /// What it may be.
    pub kind: Kind,
    /// Whether its value is never shown.
    pub secret: bool,
}

/// What a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// URLs, which may hold a password, with commas between them.
    Urls,
    /// On or off.
    Switch,
    /// A number.
    Number,
}

const fn text(key: &'static str, variable: &'static str) -> Setting {
    Setting { key, variable: Some(variable), kind: Kind::Text, secret: false }
}

const fn of(kind: Kind, key: &'static str, variable: &'static str) -> Setting {
    Setting { kind, ..text(key, variable) }
}

const fn inline(key: &'static str) -> Setting {
    Setting { key, variable: None, kind: Kind::Text, secret: true }
}

/// All of them, in the order in which they are shown.
pub const SETTINGS: &[Setting] = &[
    text("datastoreType", "DATASTORE_TYPE"),
    of(Kind::Urls, "etcdEndpoints", "ETCD_ENDPOINTS"),
    text("etcdDiscoverySrv", "ETCD_DISCOVERY_SRV"),
    text("etcdUsername", "ETCD_USERNAME"),
    Setting { secret: true, ..text("etcdPassword", "ETCD_PASSWORD") },
    text("etcdKeyFile", "ETCD_KEY_FILE"),
    text("etcdCertFile", "ETCD_CERT_FILE"),
    text("etcdCACertFile", "ETCD_CA_CERT_FILE"),
    inline("etcdKey"),
    inline("etcdCert"),
    inline("etcdCACert"),
    text("kubeconfig", "KUBECONFIG"),
    inline("kubeconfigInline"),
    of(Kind::Urls, "k8sAPIEndpoint", "K8S_API_ENDPOINT"),
    text("k8sKeyFile", "K8S_KEY_FILE"),
    text("k8sCertFile", "K8S_CERT_FILE"),
    text("k8sCAFile", "K8S_CA_FILE"),
    // Its tag in Go is misspelt: by that, only the name `CALICO_K8SAPITOKEN` is looked for.
    Setting { secret: true, ..text("k8sAPIToken", "K8SAPITOKEN") },
    of(Kind::Switch, "k8sInsecureSkipTLSVerify", "K8S_INSECURE_SKIP_TLS_VERIFY"),
    of(Kind::Switch, "k8sDisableNodePoll", "K8S_DISABLE_NODE_POLL"),
    text("k8sCurrentContext", "K8S_CURRENT_CONTEXT"),
    of(Kind::Number, "k8sClientQPS", "K8SCLIENTQPS"),
    of(Kind::Switch, "usePodCIDR", "USE_POD_CIDR"),
    text("calicoAPIGroup", "CALICO_API_GROUP"),
];

/// Variables that people set and that calicoctl does not read, with the setting that they mean.
pub const UNREAD: [(&str, &str); 3] = [
    ("K8S_API_TOKEN", "k8sAPIToken"),
    ("K8S_CLIENT_QPS", "k8sClientQPS"),
    ("K8S_CLIENT_BURST", "k8sClientBurst"),
];

/// Variables that have no name without `CALICO_` before it.
const PREFIXED_ONLY: [&str; 2] = ["K8SAPITOKEN", "K8SCLIENTQPS"];

impl Setting {
    /// The setting with this key.
    #[must_use]
    pub fn named(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The names of its variable; the first that is there wins, even if it is empty.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let Some(name) = self.variable else { return Vec::new() };
        let plain = (!PREFIXED_ONLY.contains(&name)).then(|| name.to_owned());
        std::iter::once(format!("CALICO_{name}")).chain(plain).collect()
    }
}

/// Every variable that says something of the datastore, and whether it is secret: what is read, what is not, each
/// also with `CALICO_` before it.
pub fn all() -> impl Iterator<Item = (String, bool)> {
    let read = SETTINGS
        .iter()
        .flat_map(|setting| setting.variables().into_iter().map(|name| (name, setting.secret)));
    let unread = UNREAD.iter().flat_map(|&(name, key)| {
        let secret = Setting::named(key).is_some_and(|setting| setting.secret);
        [(name.to_owned(), secret), (format!("CALICO_{name}"), secret)]
    });
    read.chain(unread)
}

/// Those of an environment that are set to something.
#[must_use]
pub fn set(environment: &BTreeMap<String, String>) -> Vec<(String, bool)> {
    all().filter(|(name, _)| environment.get(name).is_some_and(|value| !value.is_empty())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_and_variables_are_unique_and_secrets_are_known() {
        let keys: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(keys.len(), SETTINGS.len());
        let names: Vec<(String, bool)> = all().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for (name, secret) in names {
            let means = ["PASSWORD", "TOKEN"].iter().any(|word| name.contains(word));
            assert_eq!(secret, means, "{name}");
        }
    }
}
