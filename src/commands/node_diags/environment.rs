//! What calivet's own environment says of the datastore: calicoctl's settings, through `sudo -E` or without it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::datastore::variables;

/// The settings that reached calivet, so that whoever reads the bundle sees whether `sudo` lost them.
pub(super) fn settings() -> BTreeMap<String, String> {
    let names = variables::all().chain([("SUDO_USER".to_owned(), false)]);
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
    let secrets = variables::all().filter(|(_, secret)| *secret).map(|(name, _)| name);
    secrets.filter_map(std::env::var_os).map(|value| value.as_encoded_bytes().to_vec()).collect()
}
