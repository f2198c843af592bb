//! No secret of the node is in its bundle, wherever it stood and in whatever form.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::fake_bird::{FakeBird, Recorded};
use crate::root::Root;
use crate::run::run;

const KUBECONFIG: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYWxpY28tY25pIn0.c2lnbmF0dXJl-Kube7";
const ETCD: &str = "Etcd-Pass-91xq";
const BGP: &str = "Bgp-Pass-42zt";
const PSK: &str = "Wifi-Psk-77ab!";
const ENVIRONMENT: &str = "Env-Pass-55cd";
const LOG: &str = "Log-Token-33ef";
const KEY: &str = "MHcCAQEEIKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKey";

fn node() -> Root {
    let encoded = base64::engine::general_purpose::STANDARD.encode(ETCD);
    Root::new()
        .process(1, &["/sbin/init"])
        .calico_node()
        .process(900, &["etcdctl", &format!("--password={ETCD}"), "get", "/"])
        .file(
            "/proc/412/environ",
            format!("CALICO_NETWORKING_BACKEND=bird\0ETCD_PASSWORD={ENVIRONMENT}\0FELIX_LOGSEVERITYSCREEN=Info\0"),
        )
        .file(
            "/etc/cni/net.d/calico-kubeconfig",
            format!("apiVersion: v1\nkind: Config\nusers:\n- name: calico\n  user:\n    token: {KUBECONFIG}\n"),
        )
        .file(
            "/etc/cni/net.d/10-calico.conflist",
            format!("{{\"plugins\": [{{\"type\": \"calico\", \"etcd_endpoints\": \"https://root:{ETCD}@10.0.0.1:2379\"}}]}}"),
        )
        .file("/etc/cni/net.d/calico-tls/etcd-key", format!("-----BEGIN EC PRIVATE KEY-----\n{KEY}\n-----END EC PRIVATE KEY-----\n"))
        .file("/etc/calico/calicoctl.cfg", format!("spec:\n  etcdUsername: root\n  etcdPassword: {ETCD}\n"))
        .file(
            "/proc/433/root/etc/calico/confd/config/bird.cfg",
            format!("protocol bgp Mesh_10_0_0_2 from bgp_template {{\n  neighbor 10.0.0.2 as 64512;\n  password \"{BGP}\";\n}}\n"),
        )
        .file(
            "/etc/NetworkManager/system-connections/office.nmconnection",
            format!("[wifi-security]\nkey-mgmt=wpa-psk\npsk={PSK}\n"),
        )
        .file(
            "/var/log/calico/felix/current",
            format!(
                "Authorization: Bearer {LOG}\nconnecting with {ETCD} to etcd\nencoded {encoded}\nkey {KEY}\n\
                 the environment says {ENVIRONMENT}, confd says {BGP}, the runtime says {PSK}, the API {KUBECONFIG}\n\
                 nothing is secret here\n"
            ),
        )
        .file(&format!("/var/log/calico/{BGP}.log"), "a name that gives it away\n")
        .file("/var/log/pods/kube-system_calico-node-x_u/calico-node/0.log", format!("2026-11-23T02:33:26Z stdout F password={ETCD}\n"))
}

/// Every file below a folder: its path and its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files
}

#[test]
fn no_secret_of_the_node_is_in_its_bundle() {
    let root = node();
    FakeBird::recorded(&root.at("/var/run/calico/bird.ctl"), Recorded("1.6.8"));
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    let diags = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "-o", "json", "--output-file"])
        .arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    let tar = run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()));
    assert_eq!((tar.status, tar.stderr.as_str()), (0, ""));

    let mut files = files(&folder.path().join("diagnostics"));
    files.push(("stdout".to_owned(), diags.stdout.clone().into_bytes()));
    let hold = |wanted: &str| -> Vec<String> {
        let holds =
            |bytes: &[u8]| bytes.windows(wanted.len()).any(|part| part == wanted.as_bytes());
        let found = files.iter().filter(|(path, bytes)| holds(path.as_bytes()) || holds(bytes));
        found.map(|(path, _)| path.clone()).collect()
    };
    let mut leaks = Vec::new();
    for secret in [KUBECONFIG, ETCD, BGP, PSK, ENVIRONMENT, LOG, KEY] {
        let hex = secret.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        for form in
            [secret.to_owned(), base64::engine::general_purpose::STANDARD.encode(secret), hex]
        {
            leaks.extend(
                hold(&form).into_iter().map(|path| format!("{secret} as {form} in {path}")),
            );
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");

    // What is no secret is still there, around what was cut out.
    assert!(!hold("nothing is secret here").is_empty());
    assert!(!hold("neighbor 10.0.0.2 as 64512;").is_empty());
    assert!(!hold("etcdUsername: root").is_empty());
    assert!(!hold("key-mgmt=wpa-psk").is_empty());
    let manifest: Value = diags.json();
    let items = manifest["items"].as_array().unwrap();
    let item = |path: &str| items.iter().find(|item| item["path"] == path).unwrap();
    for path in [
        "bird/ipv4/bird.cfg",
        "host/etc/calico/calicoctl.cfg",
        "logs/felix/current",
        "processes.json",
    ] {
        let counts = item(path)["redactions"].as_object().unwrap();
        assert!(!counts.is_empty(), "{path}: {}", item(path));
    }
    let key = item("host/etc/cni/net.d/calico-tls/etcd-key");
    assert_eq!((&key["outcome"], &key["bytes"]), (&"skipped".into(), &0.into()));
}

#[test]
fn the_settings_that_reached_calivet_are_told_and_what_is_secret_in_them_is_not() {
    let root = Root::new()
        .process(1, &["/sbin/init"])
        .file("/root/kubeconfig", "users:\n- user:\n    token: kubeconfig-token-7Qx41\n")
        .file(
            "/var/log/calico/felix/current",
            "using kubeconfig-token-7Qx41 and etcd-Passw0rd-9\n",
        );
    let folder = TempDir::new().unwrap();
    let diags = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "-o", "json", "--output-file"])
        .arg(folder.path().join("b.tar.gz"))
        .env("ETCD_ENDPOINTS", "https://admin:url-Passw0rd-3@10.0.0.1:2379")
        .env("ETCD_PASSWORD", "etcd-Passw0rd-9")
        .env("KUBECONFIG", "/root/kubeconfig"));
    let environment = &diags.json()["options"]["environment"];
    assert_eq!(environment["KUBECONFIG"], "/root/kubeconfig");
    assert_eq!(environment["ETCD_PASSWORD"], "[set]");
    let endpoints = environment["ETCD_ENDPOINTS"].as_str().unwrap();
    assert!(endpoints.contains("@10.0.0.1:2379"), "{endpoints}");
    let unpacked = run(Command::new("tar")
        .arg("-xzf")
        .arg(folder.path().join("b.tar.gz"))
        .arg("-C")
        .arg(folder.path()));
    assert_eq!(unpacked.status, 0, "{unpacked:?}");
    for secret in ["url-Passw0rd-3", "etcd-Passw0rd-9", "kubeconfig-token-7Qx41"] {
        assert!(!diags.stdout.contains(secret), "{secret} is in the manifest");
        let found =
            run(Command::new("grep").args(["-rlF", secret]).arg(folder.path().join("diagnostics")));
        assert_eq!((found.status, found.stdout.as_str()), (1, ""), "{secret}");
    }
}
