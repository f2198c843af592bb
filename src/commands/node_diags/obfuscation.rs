//! `--obfuscate`: which names are replaced, the key, and the map that stays on the host.
#![allow(clippy::disallowed_methods, reason = "the key and the map are calivet's own files")]

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use serde_json::{Value, json};

use crate::bundle::manifest::Manifest;
use crate::cli;
use crate::collectors::{self, COLLECTORS, Node};
use crate::datastore::Resource;
use crate::datastore::resources::List;
use crate::host::{Artifact, Host, Reading, Tree};
use crate::obfuscate::{Key, Names, Obfuscator};
use crate::redact::{Redactor, Secrets};

/// The key's file where the user names none, beside the bundle.
const KEY_FILE: &str = "calivet-obfuscation.key";

/// Folders in which the kubelet names pods.
const POD_FOLDERS: Tree = Tree::new("/var/log/pods", &["*/*/*"]);
const CONTAINER_LINKS: Tree = Tree::new("/var/log/containers", &["*"]);

/// Whether a file tells names of other nodes.
pub(super) fn names_nodes(artifact: &Artifact) -> bool {
    let path = artifact.path();
    path.rsplit('/')
        .next()
        .is_some_and(|name| matches!(name, "hosts" | "resolv.conf") || name.starts_with("bird"))
}

/// What makes a bundle's pseudonyms, and where the map of them goes.
pub(super) struct Obfuscation {
    obfuscator: Obfuscator,
    /// The content of the key's file.
    key_text: String,
    key_file: PathBuf,
    map: PathBuf,
    force: bool,
}

impl Obfuscation {
    /// Learns the names and reads the key, or makes one; `None` if nobody asked for it. `bundle` is where the
    /// bundle goes.
    pub(super) async fn begin(
        host: &Host,
        node: &Node,
        private: &[(Artifact, Reading)],
        args: &cli::NodeDiags,
        bundle: &Path,
    ) -> anyhow::Result<Option<Self>> {
        if !args.obfuscate {
            return Ok(None);
        }
        // A bundle on stdout has no place of its own.
        let bundle = if bundle == Path::new("-") { Path::new("diags.tar.gz") } else { bundle };
        let mut map = bundle.as_os_str().to_owned();
        map.push(".map.json");
        let map = PathBuf::from(map);
        if !args.force && fs::symlink_metadata(&map).is_ok() {
            bail!("{} exists already (--force replaces it)", map.display());
        }
        let key_file =
            args.obfuscation_key.clone().unwrap_or_else(|| bundle.with_file_name(KEY_FILE));
        let key_text = read_or_make_key(&key_file)?;
        let key = Key::from_text(&key_text).with_context(|| {
            format!("{} holds no key: 64 hexadecimal digits are expected", key_file.display())
        })?;
        let mut names = names(host, node, private).await;
        if wants_datastore(args) {
            learn_datastore(host, node, &mut names).await;
        }
        let obfuscator = Obfuscator::new(key, &names);
        Ok(Some(Self { obfuscator, key_text, key_file, map, force: args.force }))
    }

    /// What cuts these secrets out and replaces names and addresses. The key is a secret like any other.
    pub(super) fn redactor(&self, mut secrets: Secrets) -> Redactor {
        secrets.learn_credential_file(self.key_text.as_bytes());
        Redactor::new(&secrets).obfuscating(self.obfuscator.clone())
    }

    /// Replaces what stands in a manifest before anything was collected.
    pub(super) fn conceal(&self, manifest: &mut Manifest) {
        manifest.node = self.obfuscator.text(&manifest.node);
        for unread in manifest.secrets.iter_mut().flat_map(|learning| &mut learning.unread) {
            unread.source = self.obfuscator.text(&unread.source);
            unread.reason = self.obfuscator.text(&unread.reason);
        }
        self.conceal_value(&mut manifest.options);
        if let Value::Object(options) = &mut manifest.options {
            options.insert("obfuscationKeyId".to_owned(), json!(self.obfuscator.key_id()));
        }
    }

    fn conceal_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.obfuscator.text(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.conceal_value(value)),
            Value::Object(values) => {
                values.values_mut().for_each(|value| self.conceal_value(value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Writes which pseudonym stands for what, whole or not at all. What to tell the user of it.
    pub(super) fn write_map(self) -> anyhow::Result<String> {
        let mut text = serde_json::to_string_pretty(&self.obfuscator.map())?;
        text.push('\n');
        let mut beside = self.map.as_os_str().to_owned();
        beside.push(".partial");
        let beside = PathBuf::from(beside);
        if self.force && fs::symlink_metadata(&beside).is_ok_and(|metadata| metadata.is_file()) {
            // What an earlier run left; a failure shows in the next line.
            let _ = fs::remove_file(&beside);
        }
        let written =
            create(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, &self.map));
        written.with_context(|| format!("failed to write {}", self.map.display()))?;
        Ok(format!(
            "keep {} and {} to yourself: they tell what the pseudonyms stand for",
            self.map.display(),
            self.key_file.display()
        ))
    }
}

/// The names of this node and of those that it knows, of its pods and their namespaces.
async fn names(host: &Host, node: &Node, private: &[(Artifact, Reading)]) -> Names {
    let mut names = Names::default();
    // Where a check looks for it in a bundle, an artifact must be, whatever a node is called. A path that the
    // user gave is none of those.
    for collector in COLLECTORS {
        let rows = collectors::rows(collector, &Node::default());
        for artifact in &rows.artifacts {
            names.reserve(&artifact.path());
        }
        for tree in &rows.trees {
            names.reserve(&tree.path());
        }
    }
    names.learn_node(&node.name);
    for file in ["/proc/sys/kernel/hostname", "/etc/hostname", "/var/lib/calico/nodename"] {
        let reading = host.read(&Artifact::file(file).within(super::FIRST)).await;
        names.learn_node(&reading.text());
    }
    for (artifact, reading) in private {
        match artifact.path().rsplit('/').next() {
            Some("hosts") => names.learn_hosts(&reading.text()),
            Some("resolv.conf") => names.learn_resolver(&reading.text()),
            Some(name) if name.starts_with("bird") => {
                names.learn_bird_configuration(&reading.text());
            }
            _ => {}
        }
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
        for node in List::parse(&reading.bytes).unwrap_or_default().nodes() {
            names.learn_node(&node.name);
        }
    }
}

/// The content of the key's file, which is made if there is none.
fn read_or_make_key(path: &Path) -> anyhow::Result<String> {
    let failed = |what: &str| format!("failed to {what} {}", path.display());
    match read_key(path) {
        Err(error) if is_missing(&error) => {}
        read => return read.with_context(|| failed("read")),
    }
    let mut random = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("failed to read /dev/urandom")?;
    let mut text = random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.push('\n');
    match create(path, text.as_bytes()) {
        Ok(()) => Ok(text),
        // Another run was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path).with_context(|| failed("read"))
        }
        Err(error) => Err(error).with_context(|| failed("create")),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// A key that others can read, or that another user put there, hides nothing.
fn read_key(path: &Path) -> anyhow::Result<String> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is no regular file");
    ensure!(
        metadata.mode().trailing_zeros() >= 6,
        "others may read or write it (its mode is to be 0600)"
    );
    let ours = nix::unistd::geteuid().as_raw();
    ensure!([0, ours].contains(&metadata.uid()), "it belongs to another user");
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text)?;
    Ok(text)
}

/// A new file that is its owner's alone and outlasts a crash. What could not be written whole is removed.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(O_NOFOLLOW);
    let mut file = options.open(path)?;
    let written = file
        .set_permissions(fs::Permissions::from_mode(0o600))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = read_or_make_key(&path).unwrap();
        assert!(Key::from_text(&made).is_some(), "{made}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read_or_make_key(&path).unwrap(), made);
        assert_ne!(read_or_make_key(&folder.path().join("other")).unwrap(), made);
    }

    #[test]
    fn a_key_that_others_may_know_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        read_or_make_key(&at("key")).unwrap();
        symlink(at("key"), at("link")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o640)).unwrap();
        for name in ["key", "link", "folder", "fifo"] {
            assert!(read_or_make_key(&at(name)).is_err(), "{name}");
        }
    }
}
