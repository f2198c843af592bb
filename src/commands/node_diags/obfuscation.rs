//! `node diags --obfuscate`: which names are replaced, and what stands in the manifest.

use std::path::Path;

use crate::bundle::manifest::Manifest;
use crate::cli;
use crate::collectors::{self, Node};
use crate::commands::pseudonyms::{self, Pseudonyms, Secret};
use crate::datastore::Resource;
use crate::host::{Artifact, Host, Reading, Tree};
use crate::obfuscate::Names;

/// Folders in which the kubelet names pods.
const POD_FOLDERS: Tree = Tree::new("/var/log/pods", &["*/*/*"]);
const CONTAINER_LINKS: Tree = Tree::new("/var/log/containers", &["*"]);

/// Learns the names and reads the key, or makes one; `None` if nobody asked for it. `bundle` is where the bundle goes.
pub(super) async fn begin(
    host: &Host,
    node: &Node,
    private: &[(Artifact, Reading)],
    args: &cli::NodeDiags,
    bundle: &Path,
) -> anyhow::Result<Option<Pseudonyms>> {
    if !args.obfuscate {
        return Ok(None);
    }
    // A bundle on stdout has no place of its own.
    let bundle = if bundle == Path::new("-") { Path::new("diags.tar.gz") } else { bundle };
    let secret = Secret::begin(bundle, args.obfuscation_key.as_deref(), args.force)?;
    let mut names = names(host, node, private).await;
    if wants_datastore(args) {
        learn_datastore(host, node, &mut names).await;
    }
    Ok(Some(secret.pseudonyms(&names)))
}

/// Replaces what stands in a manifest before anything was collected.
pub(super) fn conceal(pseudonyms: &Pseudonyms, manifest: &mut Manifest) {
    manifest.node = pseudonyms.text(&manifest.node);
    for unread in manifest.secrets.iter_mut().flat_map(|learning| &mut learning.unread) {
        unread.source = pseudonyms.text(&unread.source);
        unread.reason = pseudonyms.text(&unread.reason);
    }
    pseudonyms.conceal_value(&mut manifest.options);
    pseudonyms.note(&mut manifest.options);
}

/// The names of this node and of those that it knows, of its pods and their namespaces.
async fn names(host: &Host, node: &Node, private: &[(Artifact, Reading)]) -> Names {
    let mut names = pseudonyms::no_names();
    names.learn_node(&node.name);
    for file in ["/proc/sys/kernel/hostname", "/etc/hostname", "/var/lib/calico/nodename"] {
        let reading = host.read(&Artifact::file(file).within(super::FIRST)).await;
        names.learn_node(&reading.text());
    }
    for (artifact, reading) in private {
        pseudonyms::learn_file(&artifact.path(), &reading.text(), &mut names);
    }
    let first = |path: &Path| {
        let first = path.components().next();
        first.map(|first| first.as_os_str().to_string_lossy().into_owned()).unwrap_or_default()
    };
    for found in host.list(&POD_FOLDERS).await.found {
        names.learn_pod_folder(&first(&found.path));
    }
    for found in host.list(&CONTAINER_LINKS).await.found {
        names.learn_container_link(&first(&found.path));
    }
    names
}

/// Whether the datastore is asked in this run at all.
fn wants_datastore(args: &cli::NodeDiags) -> bool {
    let names = |list: &[String]| list.iter().any(|name| name == "datastore");
    !names(&args.skip) && (args.only.is_empty() || names(&args.only))
}

/// The names of the cluster's nodes, which only the datastore knows all.
async fn learn_datastore(host: &Host, node: &Node, names: &mut Names) {
    let path = Resource::Nodes.path();
    for row in collectors::datastore(node).into_iter().filter(|row| row.path() == path) {
        let reading = host.read(&row.within(super::FIRST)).await;
        pseudonyms::learn_nodes(&reading.bytes, names);
    }
}
