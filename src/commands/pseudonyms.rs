//! `--obfuscate` of whatever command writes a bundle: the key of the pseudonyms, and the map that stays on the host.
#![allow(clippy::disallowed_methods, reason = "the key and the map are calivet's own files")]

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use serde_json::{Value, json};

use crate::collectors::{self, COLLECTORS, Node};
use crate::datastore::resources::List;
use crate::obfuscate::{Key, Names, Obfuscator};
use crate::redact::{Redactor, Secrets};

/// The key's file where the user names none, beside the bundle.
const KEY_FILE: &str = "calivet-obfuscation.key";

/// The option of a manifest that says by which key it was obfuscated.
pub(super) const KEY_ID: &str = "obfuscationKeyId";

/// Which files tell names of nodes, by the last part of their paths.
pub(super) fn names_nodes(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(name, "hosts" | "resolv.conf") || name.starts_with("bird")
}

/// The key, and where the map goes.
pub(super) struct Secret {
    key: Key,
    /// The content of the key's file.
    key_text: String,
    key_file: PathBuf,
    map: PathBuf,
    force: bool,
}

impl Secret {
    /// Reads the key, or makes one. `bundle` is where the bundle goes; the map goes beside it.
    pub(super) fn begin(bundle: &Path, key: Option<&Path>, force: bool) -> anyhow::Result<Self> {
        let mut map = bundle.as_os_str().to_owned();
        map.push(".map.json");
        let map = PathBuf::from(map);
        if !force && fs::symlink_metadata(&map).is_ok() {
            bail!("{} exists already (--force replaces it)", map.display());
        }
        let key_file = key.map_or_else(|| bundle.with_file_name(KEY_FILE), Path::to_owned);
        let key_text = read_or_make_key(&key_file)?;
        let key = Key::from_text(&key_text).with_context(|| {
            format!("{} holds no key: 64 hexadecimal digits are expected", key_file.display())
        })?;
        Ok(Self { key, key_text, key_file, map, force })
    }

    /// Pseudonyms for these names and for every address.
    pub(super) fn pseudonyms(self, names: &Names) -> Pseudonyms {
        Pseudonyms { obfuscator: Obfuscator::new(self.key.clone(), names), secret: self }
    }
}

/// What makes a bundle's pseudonyms, and where the map of them goes.
pub(super) struct Pseudonyms {
    obfuscator: Obfuscator,
    secret: Secret,
}

impl Pseudonyms {
    /// What cuts these secrets out and replaces names and addresses. The key is a secret like any other.
    pub(super) fn redactor(&self, mut secrets: Secrets) -> Redactor {
        secrets.learn_credential_file(self.secret.key_text.as_bytes());
        Redactor::new(&secrets).obfuscating(self.obfuscator.clone())
    }

    /// A short text at once.
    pub(super) fn text(&self, text: &str) -> String {
        self.obfuscator.text(text)
    }

    /// Says in a manifest's options by which key it was done.
    pub(super) fn note(&self, options: &mut Value) {
        if let Value::Object(options) = options {
            options.insert("obfuscate".to_owned(), Value::Bool(true));
            options.insert(KEY_ID.to_owned(), json!(self.obfuscator.key_id()));
        }
    }

    /// Replaces what stands in every text of a document.
    pub(super) fn conceal_value(&self, value: &mut Value) {
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
        let mut beside = self.secret.map.as_os_str().to_owned();
        beside.push(".partial");
        let beside = PathBuf::from(beside);
        if self.secret.force
            && fs::symlink_metadata(&beside).is_ok_and(|metadata| metadata.is_file())
        {
            // What an earlier run left; a failure shows in the next line.
            let _ = fs::remove_file(&beside);
        }
        let written =
            create(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, &self.secret.map));
        written.with_context(|| format!("failed to write {}", self.secret.map.display()))?;
        Ok(format!(
            "keep {} and {} to yourself: they tell what the pseudonyms stand for",
            self.secret.map.display(),
            self.secret.key_file.display()
        ))
    }
}

/// No names yet: the words of the paths at which checks look for artifacts in a bundle are kept, whatever a node is called.
/// A path that the user gave is none of those.
pub(super) fn no_names() -> Names {
    let mut names = Names::default();
    for collector in COLLECTORS {
        let rows = collectors::rows(collector, &Node::default());
        for artifact in &rows.artifacts {
            names.reserve(&artifact.path());
        }
        for tree in &rows.trees {
            names.reserve(&tree.path());
        }
    }
    names
}

/// Learns what a file for which [`names_nodes`] holds tells.
pub(super) fn learn_file(path: &str, text: &str, names: &mut Names) {
    match path.rsplit('/').next() {
        Some("hosts") => names.learn_hosts(text),
        Some("resolv.conf") => names.learn_resolver(text),
        Some(name) if name.starts_with("bird") => names.learn_bird_configuration(text),
        _ => {}
    }
}

/// Learns the names of the cluster's nodes from what the datastore gave.
pub(super) fn learn_nodes(resources: &[u8], names: &mut Names) {
    for node in List::parse(resources).unwrap_or_default().nodes() {
        names.learn_node(&node.name);
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
