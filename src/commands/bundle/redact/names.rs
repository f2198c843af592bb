//! The names in an old bundle that `bundle redact --obfuscate` replaces.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::bundle::manifest;
use crate::collectors::{self, Node};
use crate::commands::Misuse;
use crate::commands::pseudonyms::{self, KEY_ID};
use crate::datastore::Resource;
use crate::host::bundle::Bundle;
use crate::host::{Evidence, Tree};
use crate::obfuscate::Names;

/// Where a bundle has the node's name, calicoctl's too.
const HOSTNAMES: [&str; 4] = [
    "hostname",
    "host/proc/sys/kernel/hostname",
    "host/etc/hostname",
    "host/var/lib/calico/nodename",
];
/// Where it has the logs of pods, in folders that bear their names, and a list of all such folders.
const PODS: &str = "logs/pods";
const PODS_LISTING: &str = "logs/pods_listing";

/// Learns them; a bundle that holds pseudonyms already is refused.
pub(super) async fn learn(old: PathBuf) -> anyhow::Result<Names> {
    let bundle = spawn_blocking(move || Bundle::open(&old)).await.context("failed to look")??;
    if bundle.manifest_json().is_some_and(is_obfuscated) {
        let refusal =
            "the bundle is obfuscated already: pseudonyms of pseudonyms tell nobody anything";
        return Err(Misuse::new(refusal).into());
    }
    let mut names = pseudonyms::no_names();
    let first = collectors::FIRST.iter();
    let first: Evidence = first.map(|row| (row.path().into_owned(), bundle.read(row))).collect();
    for name in [bundle.node().unwrap_or_default(), &Node::from_evidence(&first).name] {
        names.learn_node(name);
    }
    for path in HOSTNAMES {
        names.learn_node(&bundle.at(path).text());
    }
    for file in bundle.files().filter(|file| pseudonyms::names_nodes(file.path)) {
        pseudonyms::learn_file(file.path, &bundle.at(file.path).text(), &mut names);
    }
    let pods = Tree { name: PODS.into(), ..Tree::new("/var/log/pods", &["**"]) };
    for found in bundle.list(&pods).found {
        if let Some(folder) = found.path.iter().next() {
            names.learn_pod_folder(&folder.to_string_lossy());
        }
    }
    for line in bundle.at(PODS_LISTING).text().lines() {
        names.learn_pod_folder(line.splitn(6, ' ').nth(5).unwrap_or_default());
    }
    pseudonyms::learn_nodes(&bundle.at(Resource::Nodes.path()).bytes, &mut names);
    Ok(names)
}

/// Whether a manifest says that its bundle holds pseudonyms.
fn is_obfuscated(manifest: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Opening {
        #[serde(default)]
        options: Value,
    }
    manifest::is_bearable(manifest)
        && serde_json::from_slice::<Opening>(manifest)
            .is_ok_and(|manifest| manifest.options.get(KEY_ID).is_some())
}
