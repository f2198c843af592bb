//! `calivet node diags`: the archive, opened with GNU tar, and read again by calivet.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{Daemons, Lab};
use crate::root::Root;
use crate::run::run;

/// A bundle of the host at `root`, written into `folder`, and where GNU tar unpacked it.
#[track_caller]
fn bundle(root: &Path, folder: &Path) -> (PathBuf, PathBuf) {
    let archive = folder.join("bundle.tar.gz");
    let diags = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root)
        .args(["node", "diags", "-q", "--output-file"])
        .arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    assert_eq!(diags.stdout, format!("{}\n", archive.display()));
    let mode = fs::metadata(&archive).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{mode:o}");
    let unpacked = run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder));
    assert_eq!((unpacked.status, unpacked.stderr.as_str()), (0, ""));
    (archive, folder.join("diagnostics"))
}

#[test]
fn a_bundle_of_a_node_holds_what_bird_said_and_no_password_of_it() {
    let Some(lab) = Lab::start(Daemons::Bird1) else { return };
    let folder = TempDir::new().unwrap();
    let (archive, diagnostics) = bundle(lab.root(), folder.path());

    // What the node's status was is in it, and calivet says the same of the bundle, byte for byte.
    let stored = fs::read_to_string(diagnostics.join("status.json")).unwrap();
    let read = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--from")
        .arg(&archive)
        .args(["node", "status", "-o", "json"]));
    assert_eq!((read.stdout, read.status), (stored, 1));

    let manifest = fs::read_to_string(diagnostics.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let items = manifest["items"].as_array().unwrap();
    let outcome = |path: &str| {
        let item = items.iter().find(|item| item["path"] == path);
        item.unwrap_or_else(|| panic!("the manifest has no {path}"))["outcome"].clone()
    };
    assert_eq!(outcome("bird/ipv4/show-protocols-all"), "ok");
    assert_eq!(outcome("bird/ipv6/show-protocols-all"), "ok");

    // Each of the lab's passwords begins so.
    let found = run(Command::new("grep").args(["-rl", "lab-password-of"]).arg(&diagnostics));
    assert_eq!((found.status, found.stdout.as_str()), (1, ""));
    let configuration =
        run(Command::new("grep").args(["-rlF", "Node_10_0_0_6 from"]).arg(&diagnostics));
    assert!(configuration.stdout.contains("bird.cfg"), "{configuration:?}");
}

#[test]
fn a_bundle_of_a_host_without_calico_says_so() {
    let root = Root::new().process(1, &["/sbin/init"]);
    let folder = TempDir::new().unwrap();
    let (_, diagnostics) = bundle(root.path(), folder.path());
    let summary = fs::read_to_string(diagnostics.join("summary.txt")).unwrap();
    assert!(summary.contains("Calico process is not running."), "{summary}");
    assert!(diagnostics.join("manifest.json").exists());
}
