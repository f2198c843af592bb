//! What calivet's own environment says of the datastore: calicoctl's settings, through `sudo -E` or without it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables from which calicoctl takes its connection to the datastore
/// (`libcalico-go/lib/apiconfig`), each also with `CALICO_` before it. What is secret among them is not told.
const SETTINGS: [(&str, bool); 22] = [
    ("DATASTORE_TYPE", false),
    ("ETCD_ENDPOINTS", false),
    ("ETCD_DISCOVERY_SRV", false),
    ("ETCD_USERNAME", false),
    ("ETCD_PASSWORD", true),
    ("ETCD_KEY_FILE", false),
    ("ETCD_CERT_FILE", false),
    ("ETCD_CA_CERT_FILE", false),
    ("KUBECONFIG", false),
    ("K8S_API_ENDPOINT", false),
    ("K8S_KEY_FILE", false),
    ("K8S_CERT_FILE", false),
    ("K8S_CA_FILE", false),
    ("K8S_API_TOKEN", true),
    ("K8S_INSECURE_SKIP_TLS_VERIFY", false),
    ("K8S_DISABLE_NODE_POLL", false),
    ("K8S_CURRENT_CONTEXT", false),
    ("K8S_CLIENT_QPS", false),
    ("K8S_CLIENT_BURST", false),
    ("USE_POD_CIDR", false),
    ("CALICO_API_GROUP", false),
    ("SUDO_USER", false),
];

/// The settings that reached calivet, so that whoever reads the bundle sees whether `sudo` lost them.
pub(super) fn settings() -> BTreeMap<String, String> {
    let names = SETTINGS.iter().flat_map(|&(name, secret)| {
        [(name.to_owned(), secret), (format!("CALICO_{name}"), secret)]
    });
    let set = names.filter_map(|(name, secret)| {
        let value = std::env::var_os(&name).filter(|value| !value.is_empty())?;
        let value = if secret { "[set]".into() } else { value.to_string_lossy().into_owned() };
        Some((name, value))
    });
    set.collect()
}

/// Files of the user's own that the settings name and that hold credentials.
pub(super) fn credentials() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in ["KUBECONFIG", "ETCD_KEY_FILE", "K8S_KEY_FILE"] {
        for name in [name.to_owned(), format!("CALICO_{name}")] {
            let value = std::env::var_os(name).unwrap_or_default();
            // Several kubeconfigs stand between colons.
            files.extend(std::env::split_paths(&value).filter(|path| path.is_absolute()));
        }
    }
    files
}

/// Secrets that the user gave in calivet's own environment.
pub(super) fn secrets() -> Vec<Vec<u8>> {
    let secrets = SETTINGS
        .iter()
        .filter(|(_, secret)| *secret)
        .flat_map(|(name, _)| [(*name).to_owned(), format!("CALICO_{name}")]);
    secrets.filter_map(std::env::var_os).map(|value| value.as_encoded_bytes().to_vec()).collect()
}
