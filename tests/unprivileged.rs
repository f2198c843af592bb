//! `calivet` run by who is not root: what the kernel lets them see is shown, and what not is said.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_bird::{FakeBird, Recorded};
use crate::root::Root;
use crate::run::{Run, run};

/// A group that no user of this machine has.
const GROUP: u32 = 54321;

/// `calivet` as `nobody`, who is also in [`GROUP`]; `None` where this is not root, who alone can become another.
fn calivet(root: &Root) -> Option<Command> {
    if !nix::unistd::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: it takes root to become somebody else");
        return None;
    }
    // The folder is its maker's alone.
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", &format!("--groups={GROUP}"), "--inh-caps=-all"])
        .arg(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path());
    Some(command)
}

fn status(root: &Root, options: &[&str]) -> Option<Run> {
    Some(run(calivet(root)?.args(["node", "status"]).args(options)))
}

/// A node whose sockets root has, that for IPv4 together with [`GROUP`].
fn node() -> Root {
    let root = Root::new().process(1, &["/sbin/init"]).calico_node();
    for (name, recorded, group) in [("bird", "1.6.8", Some(GROUP)), ("bird6", "1.6.8-bird6", None)]
    {
        let socket = root.at(&format!("/var/run/calico/{name}.ctl"));
        FakeBird::recorded(&socket, Recorded(recorded));
        // As BIRD makes it.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
        if nix::unistd::geteuid().is_root() {
            chown(&socket, None, group).unwrap();
        }
    }
    root
}

#[test]
fn the_socket_that_a_group_may_use_is_used_and_the_other_is_denied() {
    let root = node();
    let Some(run) = status(&root, &["-o", "json"]) else { return };
    // What was seen is not well, and that is known.
    assert_eq!((run.status, run.stderr.as_str()), (1, ""), "{run:?}");
    let status_ = run.json();
    let [ipv4, ipv6] = ["ipv4", "ipv6"].map(|family| &status_["bgp"][family]);
    assert_eq!((&ipv4["state"], &ipv4["established"]), (&json!("ready"), &json!(4)));
    assert_eq!(ipv4["peers"].as_array().unwrap().len(), 14);
    assert_eq!((&ipv6["state"], &ipv6["trouble"]), (&json!("unreachable"), &json!("denied")));
    assert_eq!((&ipv6["established"], &ipv6["peers"]), (&Value::Null, &json!([])));
    let error = ipv6["error"].as_str().unwrap();
    for place in [
        "denied: /var/run/calico/bird6.ctl: permission denied",
        "/var/run/bird/bird6.ctl: ",
        "/run/bird/bird6.ctl: ",
    ] {
        assert!(error.contains(place), "{error}");
    }
    assert_eq!(status_["agents"]["felix"]["running"], true, "whose process all may see");

    let table = status(&root, &[]).unwrap();
    assert!(table.stdout.contains("| 10.0.0.2 "), "{table:?}");
    assert!(table.stdout.contains("IPv6 BGP status\nError querying BIRD: denied: "), "{table:?}");
    assert!(!table.stdout.contains("No IPv6 peers found."), "{table:?}");
}

#[test]
fn where_nothing_may_be_seen_nothing_is_known_and_the_exit_status_says_so() {
    let root = node();
    let folder = root.at("/var/run/calico");
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let Some(run) = status(&root, &["-o", "json"]) else { return };
    assert_eq!(run.status, 3, "{run:?}");
    for family in ["ipv4", "ipv6"] {
        assert_eq!(run.json()["bgp"][family]["trouble"], "denied", "{family}");
    }
    fs::set_permissions(root.at("/proc"), fs::Permissions::from_mode(0o700)).unwrap();
    let run = status(&root, &["-o", "json"]).unwrap();
    let felix = &run.json()["agents"]["felix"];
    assert_eq!((run.status, &felix["running"]), (3, &Value::Null), "{felix:#}");
    assert!(felix["reason"].as_str().unwrap().contains("permission denied"), "{felix:#}");
    let table = status(&root, &[]).unwrap();
    assert!(
        table.stdout.starts_with("Whether the Calico process is running is not known: "),
        "{table:?}"
    );
}

#[test]
fn a_bundle_holds_what_may_be_read_and_names_what_may_not() {
    let root = node()
        .file("/etc/calico/calicoctl.cfg", "secret")
        .file("/etc/hostname", "node-1\n")
        .file("/var/log/calico/felix/current", "hidden\n")
        .file("/var/log/calico/confd/current", "seen by name\n")
        .file("/var/log/calico/cni/cni.log", "read\n");
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // The last may be listed and not entered.
    for (hidden, mode) in
        [("/etc/calico", 0o700), ("/var/log/calico/felix", 0o700), ("/var/log/calico/confd", 0o744)]
    {
        fs::set_permissions(root.at(hidden), fs::Permissions::from_mode(mode)).unwrap();
    }
    let folder = TempDir::new().unwrap();
    chown(folder.path(), Some(65534), Some(65534)).unwrap();
    let archive = folder.path().join("bundle.tar.gz");
    let diags = run(calivet(&root)
        .unwrap()
        .args(["node", "diags", "-o", "json", "--output-file"])
        .arg(&archive));
    assert_eq!(diags.status, 1, "{diags:?}");
    let manifest = diags.json();
    assert_eq!(manifest["complete"], false);
    let item = |path: &str| {
        let items = manifest["items"].as_array().unwrap();
        let item = items.iter().find(|item| item["path"] == path);
        item.unwrap_or_else(|| panic!("no {path}")).clone()
    };
    let outcome = |path: &str| item(path)["outcome"].clone();
    assert_eq!(outcome("bird/ipv4/show-protocols-all"), "ok");
    assert_eq!(outcome("bird/ipv6/show-protocols-all"), "denied");
    assert_eq!(outcome("host/etc/calico"), "denied");
    assert_eq!(outcome("logs/cni/cni.log"), "ok");
    for hidden in ["felix", "confd"] {
        let item = item(&format!("logs/{hidden}"));
        let reason = item["reason"].as_str().unwrap();
        assert_eq!(item["outcome"], "denied", "{item:#}");
        assert!(
            reason.contains(&format!("/var/log/calico/{hidden}: Permission denied")),
            "{reason}"
        );
    }

    // The bundle says the same as the node did to this user.
    let stored =
        run(Command::new("tar").arg("-xzOf").arg(&archive).arg("diagnostics/status.json")).stdout;
    let read = |options: &[&str]| {
        let mut calivet = Command::new(env!("CARGO_BIN_EXE_calivet"));
        run(calivet.arg("--from").arg(&archive).args(["node", "status"]).args(options))
    };
    assert_eq!(read(&["-o", "json"]).stdout, stored);
    assert_eq!(read(&["-o", "json"]).json()["bgp"]["ipv6"]["trouble"], "denied");
    assert_eq!(read(&[]).stdout, status(&root, &[]).unwrap().stdout);
}
