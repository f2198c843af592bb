//! `calivet check environment`: on a fake root, under something that looks like sudo, as nobody, and from a bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::root::Root;
use crate::run::{Run, install, run};

const HEAD: &str = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n";
const PASSWORD: &str = "Etcd-Pass-91xq";
const TOKEN: &str = "Api-Token-73kd";
const KEY: &str = "MHcCAQEEIKeyKeyKeyKeyKeyKeyKeyKeyKeyKeyKey";

/// `calivet` on a root, with these variables and no others.
fn calivet(root: &Root, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.env_clear().envs(variables.iter().copied()).arg("--root").arg(root.path());
    command
}

fn check(root: &Root, variables: &[(&str, &str)]) -> Run {
    run(calivet(root, variables).args(["check", "environment", "-o", "json"]))
}

/// `id: level` of each finding.
fn levels(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|finding| format!("{}: {}", text(&finding["id"]), text(&finding["level"])))
        .collect()
}

#[track_caller]
fn summary(report: &Value, id: &str) -> String {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == id);
    let finding = finding.unwrap_or_else(|| panic!("no {id}: {report}"));
    format!("{}: {}", finding["level"].as_str().unwrap(), finding["summary"].as_str().unwrap())
}

/// The findings of a bundle of this root, made with the same variables, without the time.
#[track_caller]
fn holds_in_a_bundle(root: &Root, variables: &[(&str, &str)], live: &Value) {
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    let diags = run(calivet(root, variables)
        .args(["node", "diags", "-q", "--only", "calico,system", "--output-file"])
        .arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    // Whoever reads the bundle has an environment of their own.
    let from = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .env("ETCD_ENDPOINTS", "http://elsewhere:1")
        .env("SUDO_USER", "eve")
        .arg("--from")
        .arg(&archive)
        .args(["check", "environment", "-o", "json"]));
    assert_eq!(from.json()["findings"], live["findings"]);
}

fn etcd() -> Root {
    let spec = format!(
        "  etcdEndpoints: https://root:{PASSWORD}@10.0.0.1:2379\n  etcdUsername: root\n  etcdPassword: {PASSWORD}\n  \
         k8sAPIToken: {TOKEN}\n  etcdCACert: |\n    -----BEGIN CERTIFICATE-----\n    x\n  etcdCert: |\n    \
         -----BEGIN CERTIFICATE-----\n    y\n  etcdKey: |\n    -----BEGIN EC PRIVATE KEY-----\n    {KEY}\n    {KEY}\n    \
         -----END EC PRIVATE KEY-----\n"
    );
    Root::new().calico_node().file("/etc/calico/calicoctl.cfg", format!("{HEAD}{spec}"))
}

#[test]
fn the_settings_are_told_with_their_origin_live_and_from_a_bundle() {
    let root = etcd()
        .file("/proc/412/environ", "DATASTORE_TYPE=etcdv3\0ETCD_ENDPOINTS=https://10.0.0.1:2379\0");
    let report = check(&root, &[]);
    assert_eq!((report.status, report.stderr.as_str()), (0, ""), "{report:?}");
    let report = report.json();
    assert_eq!(
        levels(&report),
        [
            "environment.settings: ok",
            "environment.mistakes: ok",
            "environment.sudo: skip",
            "environment.ignored: ok",
            "environment.endpoints: ok",
            "environment.node: ok",
        ]
    );
    assert_eq!(
        summary(&report, "environment.settings"),
        "ok: etcd at https://[secret]@10.0.0.1:2379 (/etc/calico/calicoctl.cfg:5)"
    );
    holds_in_a_bundle(&root, &[], &report);
}

/// A private key is cut out of the file in a bundle with all of its lines; the mistake behind it stays where it is.
#[test]
fn a_mistake_stands_on_its_line_in_a_bundle_too() {
    let text = fs::read_to_string(etcd().at("/etc/calico/calicoctl.cfg")).unwrap();
    let root = Root::new().file("/etc/calico/calicoctl.cfg", format!("{text}  etcdEndpoint: x\n"));
    let report = check(&root, &[("KUBECONFIG", "/k")]);
    assert_eq!(report.status, 1, "{report:?}");
    let report = report.json();
    assert_eq!(
        summary(&report, "environment.mistakes"),
        "fail: /etc/calico/calicoctl.cfg:20: unknown key spec.etcdEndpoint"
    );
    assert_eq!(
        summary(&report, "environment.ignored"),
        "warn: /etc/calico/calicoctl.cfg is there, so that calicoctl ignores the environment whole: KUBECONFIG"
    );
    holds_in_a_bundle(&root, &[("KUBECONFIG", "/k")], &report);
}

#[test]
fn no_secret_of_the_settings_is_told_or_bundled() {
    let root = etcd();
    let endpoints = format!("https://root:{PASSWORD}@10.0.0.1:2379");
    let variables = [
        ("ETCD_PASSWORD", PASSWORD),
        ("CALICO_K8SAPITOKEN", TOKEN),
        ("K8S_API_TOKEN", TOKEN),
        ("ETCD_ENDPOINTS", endpoints.as_str()),
        ("CALICO_ETCD_ENDPOINTS", endpoints.as_str()),
    ];
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    for path in ["/etc/calico/calicoctl.cfg", "/absent"] {
        if path == "/absent" {
            fs::remove_file(root.at("/etc/calico/calicoctl.cfg")).unwrap();
        }
        for format in ["table", "wide", "json", "yaml"] {
            let report =
                run(calivet(&root, &variables).args(["check", "environment", "-o", format]));
            for secret in [PASSWORD, TOKEN, KEY] {
                assert!(!report.stdout.contains(secret), "{secret}: {}", report.stdout);
                assert!(!report.stderr.contains(secret), "{secret}: {}", report.stderr);
            }
        }
        let diags = run(calivet(&root, &variables)
            .args(["node", "diags", "-q", "--force", "--output-file"])
            .arg(&archive));
        assert!(diags.status <= 1, "{diags:?}");
        let text =
            run(Command::new("sh").args(["-c", "gzip -dc \"$0\" | tr -d '\\000'"]).arg(&archive));
        assert!(text.stdout.contains("datastore/environment.json"));
        for secret in [PASSWORD, TOKEN, KEY] {
            assert!(!text.stdout.contains(secret), "{secret}");
        }
    }
}

/// A key that only the configuration file names is read, to be cut out of a log; it is not in the bundle itself.
#[test]
fn credentials_that_the_file_names_are_cut_out_of_everything() {
    let spec =
        "  etcdEndpoints: https://10.0.0.1:2379\n  etcdCertFile: /k/c\n  etcdKeyFile: /k/key\n";
    let key = format!("-----BEGIN EC PRIVATE KEY-----\n{KEY}\n-----END EC PRIVATE KEY-----\n");
    let root = Root::new()
        .file("/etc/calico/calicoctl.cfg", format!("{HEAD}{spec}"))
        .file("/k/key", key)
        .file("/var/log/calico/felix/current", format!("the key is {KEY}, they say\n"));
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    let diags =
        run(calivet(&root, &[]).args(["node", "diags", "-q", "--output-file"]).arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    let text =
        run(Command::new("sh").args(["-c", "gzip -dc \"$0\" | tr -d '\\000'"]).arg(&archive));
    assert!(text.stdout.contains("the key is [redacted:"));
    assert!(!text.stdout.contains(KEY));
}

/// The kubeconfig of the CNI plugin is commonly named: it is one item, redacted, as without that.
#[test]
fn a_kubeconfig_that_is_collected_anyhow_stays_in_the_bundle() {
    let kubeconfig = "/etc/cni/net.d/calico-kubeconfig";
    let root = Root::new()
        .file("/etc/calico/calicoctl.cfg", format!("{HEAD}  kubeconfig: {kubeconfig}\n"))
        .file(kubeconfig, format!("users:\n- user:\n    token: {TOKEN}\n"));
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    let diags = run(calivet(&root, &[])
        .args(["node", "diags", "-o", "json", "--output-file"])
        .arg(&archive));
    let manifest = diags.json();
    let items = manifest["items"].as_array().unwrap().iter();
    let items: Vec<&Value> =
        items.filter(|item| item["path"] == format!("host{kubeconfig}")).collect();
    assert_eq!(items.len(), 1);
    assert_eq!(
        (&items[0]["outcome"], &items[0]["redactions"]["named-value"]),
        (&"ok".into(), &1.into())
    );
}

#[test]
fn files_that_the_settings_name_are_looked_at() {
    let root = Root::new().file("/k/key", "x").file("/k/cert", "x");
    fs::set_permissions(root.at("/k/key"), fs::Permissions::from_mode(0o644)).unwrap();
    let variables = [
        ("ETCD_ENDPOINTS", "https://10.0.0.1:2379"),
        ("ETCD_KEY_FILE", "/k/key"),
        ("ETCD_CERT_FILE", "/k/cert"),
        ("ETCD_CA_CERT_FILE", "/k/ca"),
    ];
    let report = check(&root, &variables);
    assert_eq!(report.status, 1, "{report:?}");
    let report = report.json();
    let findings = report["findings"].as_array().unwrap();
    let of_files = findings.iter().filter(|finding| finding["id"] == "environment.file");
    let summaries: Vec<&str> =
        of_files.map(|finding| finding["summary"].as_str().unwrap()).collect();
    assert_eq!(
        summaries,
        [
            "etcdKeyFile: /k/key holds a credential and can be read by others (mode 0644)",
            "etcdCertFile: /k/cert can be read",
            "etcdCACertFile names /k/ca, which is not there",
        ]
    );
    holds_in_a_bundle(&root, &variables, &report);
}

#[test]
fn the_kubeconfig_of_the_home_folder_is_calicoctls_default() {
    let root = Root::new().file("/home/ada/.kube/config", "x");
    let report = check(&root, &[("HOME", "/home/ada")]).json();
    assert_eq!(
        summary(&report, "environment.settings"),
        "ok: the Kubernetes API, by kubeconfig /home/ada/.kube/config (calicoctl's default)"
    );
    let report = check(&root, &[("HOME", "/root")]);
    assert_eq!(report.status, 0, "{report:?}");
    assert_eq!(
        summary(&report.json(), "environment.settings"),
        "skip: calicoctl has no settings here: there is neither /etc/calico/calicoctl.cfg nor a variable nor \
         /root/.kube/config"
    );
}

#[test]
fn a_file_that_was_named_and_is_not_there_fails() {
    let run = run(calivet(&Root::new(), &[]).args([
        "check",
        "environment",
        "-o",
        "json",
        "-c",
        "/nowhere.cfg",
    ]));
    assert_eq!(run.status, 1, "{run:?}");
    assert_eq!(
        summary(&run.json(), "environment.mistakes"),
        "fail: /nowhere.cfg: the configuration file that was named is not there"
    );
}

#[test]
fn without_a_way_to_see_sudo_itself_lost_variables_are_suspected() {
    let report = check(&Root::new(), &[("SUDO_USER", "ada"), ("HOME", "/root")]);
    assert_eq!(report.status, 0, "{report:?}");
    assert!(
        summary(&report.json(), "environment.sudo")
            .starts_with("warn: calivet runs under sudo for ada, and there are neither"),
        "{report:?}"
    );
}

/// A shell by the name of sudo, which passes on what `passed` says.
fn under_sudo(root: &Root, set: &[(&str, &str)], passed: &str) -> Value {
    let folder = TempDir::new().unwrap();
    let sudo = folder.path().join("sudo");
    install(Path::new("/bin/sh"), &sudo);
    let line = format!(
        "env -i SUDO_USER=ada {passed} \"$0\" --root \"$1\" check environment -o json; true"
    );
    let mut command = Command::new(&sudo);
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(set.iter().copied());
    command.args(["-c", &line, env!("CARGO_BIN_EXE_calivet")]).arg(root.path());
    run(&mut command).json()
}

#[test]
fn what_sudo_lost_is_named_and_what_it_passed_on_is_well() {
    let set = [
        ("ETCD_ENDPOINTS", "http://10.0.0.1:2379"),
        ("ETCD_PASSWORD", PASSWORD),
        ("HOME", "/home/ada"),
    ];
    let root = Root::new().file("/home/ada/.kube/config", "x");
    let report = under_sudo(&root, &set, "HOME=/root");
    assert_eq!(
        summary(&report, "environment.sudo"),
        "warn: sudo did not pass on what ada had set: ETCD_ENDPOINTS, ETCD_PASSWORD"
    );
    assert!(!report.to_string().contains(PASSWORD));
    let passed = "HOME=/home/ada ETCD_ENDPOINTS=http://10.0.0.1:2379 ETCD_PASSWORD=x";
    let report = under_sudo(&root, &set, passed);
    assert_eq!(summary(&report, "environment.sudo"), "ok: there are settings under sudo, too");
    let report = under_sudo(&root, &[("HOME", "/home/ada")], "HOME=/root");
    assert_eq!(
        summary(&report, "environment.sudo"),
        "warn: under sudo, HOME is /root, so that ada's /home/ada/.kube/config is not found"
    );
    let report = under_sudo(&Root::new(), &[("HOME", "/home/ada")], "HOME=/root");
    assert_eq!(
        summary(&report, "environment.sudo"),
        "skip: ada had set nothing that sudo could have lost"
    );
}

#[test]
fn calicoctl_that_would_look_into_another_datastore_is_warned_of() {
    let root = Root::new().calico_node().file(
        "/proc/412/environ",
        format!("DATASTORE_TYPE=kubernetes\0FELIX_TYPHAK8SSERVICENAME=calico-typha\0ETCD_ENDPOINTS=http://u:{PASSWORD}@h\0"),
    );
    let variables = [("ETCD_ENDPOINTS", "http://10.0.0.1:2379")];
    let report = check(&root, &variables);
    assert!(!report.stdout.contains(PASSWORD));
    let report = report.json();
    assert_eq!(
        summary(&report, "environment.node"),
        "warn: calicoctl would use etcdv3, but calico-node uses kubernetes (DATASTORE_TYPE), through Typha (calico-typha)"
    );
    holds_in_a_bundle(&root, &variables, &report);
}

#[test]
fn what_nobody_may_read_stays_unknown() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: it takes root to become somebody else");
        return;
    }
    let root = etcd();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.at("/etc/calico/calicoctl.cfg"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"])
        .arg(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["check", "environment", "-o", "json"]);
    let report = run(&mut command);
    assert_eq!(report.status, 3, "{report:?}");
    let report = report.json();
    assert!(summary(&report, "environment.settings").starts_with("unknown: "), "{report}");
    assert!(summary(&report, "environment.mistakes").starts_with("unknown: "), "{report}");
}
