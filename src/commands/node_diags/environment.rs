//! What calivet's own environment says of the datastore: calicoctl's settings, through `sudo -E` or without it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::collectors::{self, COLLECTORS, Node};
use crate::datastore::environment::Environment;
use crate::datastore::{url, variables};
use crate::host::{Host, Tree};

/// The settings that reached calivet, so that whoever reads the bundle sees whether `sudo` lost them.
pub(super) fn settings() -> BTreeMap<String, String> {
    let names = variables::all().chain([("SUDO_USER".to_owned(), false)]);
    let set = names.filter_map(|(name, secret)| {
        let value = std::env::var_os(&name).filter(|value| !value.is_empty())?;
        let value = value.to_string_lossy();
        let value = match secret {
            true => "[set]".to_owned(),
            false if name.contains("ENDPOINT") => url::shown(&value),
            false => value.into_owned(),
        };
        Some((name, value))
    });
    set.collect()
}

/// Files of the user's own that hold credentials: what the settings that are in force name, and what variables name that
/// a configuration file makes be ignored.
pub(super) async fn credentials(host: &Host, node: &Node, limit: Duration) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    for name in ["KUBECONFIG", "ETCD_KEY_FILE", "K8S_KEY_FILE"] {
        for name in [name.to_owned(), format!("CALICO_{name}")] {
            let value = std::env::var_os(name).unwrap_or_default();
            // Several kubeconfigs stand between colons.
            files.extend(std::env::split_paths(&value));
        }
    }
    let reading = host.read(&collectors::environment(&node.config).within(limit)).await;
    let named = Environment::parse(&reading.bytes).map(|environment| environment.files);
    let named = named.unwrap_or_default().into_iter().filter(|file| file.credential);
    files.extend(named.map(|file| PathBuf::from(file.path)));
    // What another row reads, such as the kubeconfig of the CNI plugin, is redacted there, and not left out.
    let trees = COLLECTORS.iter().flat_map(|collector| collectors::rows(collector, node).trees);
    let trees: Vec<Tree> = trees.collect();
    let is_held = |path: &PathBuf| trees.iter().any(|tree| tree.has(path));
    files.into_iter().filter(|path| path.is_absolute() && !is_held(path)).collect()
}

/// Secrets that the user gave in calivet's own environment.
pub(super) fn secrets() -> Vec<Vec<u8>> {
    let secrets = variables::all().filter(|(_, secret)| *secret).map(|(name, _)| name);
    secrets.filter_map(std::env::var_os).map(|value| value.as_encoded_bytes().to_vec()).collect()
}
