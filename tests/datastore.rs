//! `calivet check datastore`: a real etcd, and a small API server over real TLS, well and in each of their troubles.

mod api_server;
mod certificates;
pub(crate) mod etcd;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agreement::{Levels, Views, changes};
use crate::root::Root;
use crate::run::{Run, finding, run};
use api_server::{ApiServer, Lets};
use certificates::{Authority, Holds, Pair};
use etcd::{Etcd, Silent, slowly};

/// calivet without any variable that could name a datastore.
fn calivet(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", home);
    command
}

/// What the check says of a host whose calicoctl is configured so.
fn check(root: &Root) -> Run {
    run(calivet(Path::new("/root")).arg("--root").arg(root.path()).args([
        "check",
        "datastore",
        "-o",
        "json",
    ]))
}

/// What tells of the datastore: the network is this machine's, of which other tests make use.
const CHECKS: [&str; 3] = ["certificates", "datastore", "environment"];

/// The same, which must be so live, beneath `--root` and from a bundle, and the levels.
fn looked_at(root: &Root) -> Option<(Value, Levels)> {
    let views = Views::here(root.path(), &CHECKS)?;
    let report = views.report().unwrap();
    let levels = views.levels(&report);
    Some((report, levels))
}

/// Asserts that these levels and nothing else have changed; an id alone: nothing is said of it any more.
#[track_caller]
fn only(before: &Levels, after: &Levels, expected: &[&str]) {
    let changed = changes(before, after);
    assert!(changed.iter().eq(expected), "{expected:?}: {changed:?}");
}

/// What changes where the datastore cannot be reached: what is in it is not known, and not said.
const UNREACHABLE: [&str; 8] = [
    "datastore.auth",
    "datastore.health",
    "datastore.keys",
    "datastore.node",
    "datastore.permissions",
    "datastore.reachable fail",
    "datastore.tls fail",
    "datastore.version",
];

/// A host whose calicoctl has this `spec`, and whose files at `/pki` are those of a folder.
fn host(spec: &Value, pki: Option<&Path>) -> Root {
    let document = json!({"apiVersion": "projectcalico.org/v3", "kind": "CalicoAPIConfig", "metadata": {}, "spec": spec});
    let mut root = Root::new()
        .file("/etc/calico/calicoctl.cfg", document.to_string())
        .file("/var/lib/calico/nodename", "node-1");
    for file in pki.into_iter().flat_map(|pki| fs::read_dir(pki).unwrap()) {
        let file = file.unwrap();
        let content = fs::read(file.path()).unwrap();
        root = root.file(&format!("/pki/{}", file.file_name().to_str().unwrap()), content);
    }
    root
}

fn of_etcd(url: &str) -> Value {
    json!({"datastoreType": "etcdv3", "etcdEndpoints": url})
}

/// The same with certificates in `/pki`.
fn of_tls(url: &str, ca: &str, client: Option<&str>) -> Value {
    let mut spec = of_etcd(url);
    spec["etcdCACertFile"] = json!(format!("/pki/{ca}.crt"));
    if let Some(client) = client {
        spec["etcdCertFile"] = json!(format!("/pki/{client}.crt"));
        spec["etcdKeyFile"] = json!(format!("/pki/{client}.key"));
    }
    spec
}

/// Level and summary of a finding: `ok`, `fail: the reason`.
#[track_caller]
fn says(report: &Value, id: &str, level: &str, words: &str) {
    let finding = finding(report, id);
    let summary = finding["summary"].as_str().unwrap();
    assert!(
        finding["level"] == level && summary.contains(words),
        "{id} is not {level}, {words:?}: {report:#}"
    );
}

#[test]
fn a_host_without_a_datastore_is_told_how_to_name_one() {
    let said = check(&Root::new());
    assert_eq!(said.status, 0, "{said:?}");
    let report = said.json();
    says(&report, "datastore.reachable", "skip", "no datastore is configured");
    assert!(finding(&report, "datastore.reachable")["remedy"].to_string().contains("sudo -E"));
}

#[test]
fn an_etcd_that_is_well_is_well_live_and_from_a_bundle() {
    let Some(authority) = Authority::new() else { return };
    let (server, client) =
        (authority.sign("etcd-1", Holds::Long), authority.sign("calico", Holds::Long));
    let Some(etcd) = Etcd::tls(&authority, &server, &client) else { return };
    etcd.fill();
    let root = host(&of_tls(&etcd.url(), "ca", Some("calico")), Some(authority.path()));
    let said = check(&root);
    let report = said.json();
    assert_eq!(said.status, 0, "{report:#}");
    says(&report, "datastore.reachable", "ok", &etcd.url());
    says(&report, "datastore.tls", "ok", "all certificates are good until ");
    says(&report, "datastore.auth", "ok", "client certificate");
    says(&report, "datastore.health", "ok", "no alarm is raised");
    says(&report, "datastore.keys", "ok", "etcd holds 6 keys");
    says(&report, "datastore.permissions", "ok", "may be read");
    says(&report, "datastore.node", "ok", "as node-1, with 10.0.0.1");
    says(&report, "datastore.version", "ok", "Calico is v3.30.1");

    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("diags.tar.gz");
    let made = run(calivet(Path::new("/root"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "-q", "--only", "datastore,calico,system,kernel", "--output-file"])
        .arg(&bundle));
    assert!(bundle.exists(), "{made:?}");
    drop(etcd);
    let read = run(calivet(Path::new("/root"))
        .args(["check", "datastore", "-o", "json", "--from"])
        .arg(&bundle));
    let taken = |report: &Value| -> Vec<Value> {
        let findings = report["findings"].as_array().unwrap().iter();
        // How long it took is another time each time.
        findings
            .map(|it| {
                json!([it["id"], it["level"], it["evidence"]["node"], it["evidence"]["keys"]])
            })
            .collect()
    };
    assert_eq!(taken(&read.json()), taken(&report));
    // No key is among what was kept.
    let key = fs::read_to_string(&client.key).unwrap();
    let key = key.lines().nth(1).unwrap();
    let unpacked = Command::new("tar").args(["-xzOf"]).arg(&bundle).output().unwrap();
    assert!(!String::from_utf8_lossy(&unpacked.stdout).contains(key), "the key is in the bundle");
}

#[test]
fn each_trouble_with_certificates_is_named() {
    let Some(authority) = Authority::new() else { return };
    let Some(stranger) = Authority::new() else { return };
    let client = authority.sign("calico", Holds::Long);
    authority.sign("old", Holds::NoMore);
    let over = authority.sign("etcd-over", Holds::NoMore);
    let soon = authority.sign("etcd-soon", Holds::Shortly);
    fs::copy(stranger.certificate(), authority.path().join("stranger.crt")).unwrap();
    let pki = Some(authority.path());
    let start = |server: &Pair| Etcd::tls(&authority, server, &client);

    let long = authority.sign("etcd-long", Holds::Long);
    let Some(etcd) = start(&long) else { return };
    etcd.fill();
    let root = host(&of_tls(&etcd.url(), "ca", Some("calico")), pki);
    let Some((_, well)) = looked_at(&root) else { return };
    drop(etcd);

    let Some(etcd) = start(&over) else { return };
    let root = host(&of_tls(&etcd.url(), "ca", Some("calico")), pki);
    let Some((report, levels)) = looked_at(&root) else { return };
    only(&well, &levels, &UNREACHABLE);
    says(&report, "datastore.reachable", "fail", "is over");
    assert_eq!(finding(&report, "datastore.reachable")["evidence"]["cause"], "expired");
    says(&report, "datastore.tls", "fail", "CN=etcd-over");
    drop(etcd);

    let Some(etcd) = start(&soon) else { return };
    let report = check(&host(&of_tls(&etcd.url(), "ca", Some("calico")), pki)).json();
    says(&report, "datastore.tls", "warn", "will be over in ");
    let root = host(&of_tls(&etcd.url(), "stranger", Some("calico")), pki);
    let Some((report, levels)) = looked_at(&root) else { return };
    only(&well, &levels, &UNREACHABLE);
    says(&report, "datastore.reachable", "fail", "none of the authorities");
    assert_eq!(finding(&report, "datastore.reachable")["evidence"]["cause"], "unknown-authority");
    let report = check(&host(&of_tls(&etcd.url(), "ca", None), pki)).json();
    assert_eq!(
        finding(&report, "datastore.reachable")["evidence"]["cause"],
        "client-certificate",
        "{report:#}"
    );
    says(&report, "datastore.tls", "fail", "none is configured");
    let report = check(&host(&of_tls(&etcd.url(), "ca", Some("old")), pki)).json();
    assert_eq!(
        finding(&report, "datastore.reachable")["evidence"]["cause"],
        "client-certificate",
        "{report:#}"
    );
    says(&report, "datastore.tls", "fail", "this node's own certificate (CN=old) is over");
    let plain = etcd.url().replace("https", "http");
    let report = check(&host(&of_etcd(&plain), None)).json();
    says(&report, "datastore.reachable", "fail", "cannot be used");
    // The certificate names loopback and localhost, and not this.
    let named = etcd.url().replace("127.0.0.1", "127.0.0.2");
    let report = check(&host(&of_tls(&named, "ca", Some("calico")), pki)).json();
    assert_eq!(finding(&report, "datastore.reachable")["level"], "fail");
    let missing = of_tls(&etcd.url(), "nowhere", Some("calico"));
    let Some((report, levels)) = looked_at(&host(&missing, pki)) else { return };
    let mut expected = UNREACHABLE.map(|change| change.replace("tls fail", "tls")).to_vec();
    // Others look at the files that the settings name, too.
    expected.insert(0, "certificates.calicoctl fail".to_owned());
    expected.push("environment.file fail ok warn".to_owned());
    only(&well, &levels, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    says(&report, "datastore.reachable", "fail", "/pki/nowhere.crt");
}

#[test]
fn an_etcd_with_users_alarms_or_nothing_of_calicos_says_so() {
    let Some(etcd) = Etcd::plain() else { return };
    let report = check(&host(&of_etcd(&etcd.url()), None)).json();
    says(&report, "datastore.keys", "fail", "nothing of Calico's");
    says(&report, "datastore.tls", "warn", "without TLS");
    etcd.fill();
    let Some((_, well)) = looked_at(&host(&of_etcd(&etcd.url()), None)) else { return };

    // As etcd itself does when its disk is full.
    let raised = json!({"action": "ACTIVATE", "alarm": "NOSPACE"}).to_string();
    let path = format!("{}/v3/maintenance/alarm", etcd.url());
    post(&path, &raised);
    let Some((report, levels)) = looked_at(&host(&of_etcd(&etcd.url()), None)) else { return };
    only(&well, &levels, &["datastore.health fail"]);
    says(&report, "datastore.health", "fail", "NOSPACE");
    etcd.run(&["alarm", "disarm"]);

    etcd.run(&["user", "add", "root:r00t-password"]);
    etcd.run(&["user", "grant-role", "root", "root"]);
    etcd.run(&["user", "add", "reader:reader-password"]);
    etcd.run(&["auth", "enable"]);
    let report = check(&host(&of_etcd(&etcd.url()), None)).json();
    says(&report, "datastore.auth", "fail", "user name is empty");
    let user = |name: &str, password: &str| {
        let mut spec = of_etcd(&etcd.url());
        (spec["etcdUsername"], spec["etcdPassword"]) = (json!(name), json!(password));
        host(&spec, None)
    };
    let with = |name: &str, password: &str| check(&user(name, password));
    let Some((_, well)) = looked_at(&user("root", "r00t-password")) else { return };
    let Some((report, levels)) = looked_at(&user("root", "wrong-password")) else { return };
    let nothing_is_told = ["datastore.keys", "datastore.node", "datastore.permissions"];
    only(&well, &levels, &[&["datastore.auth fail"][..], &nothing_is_told].concat());
    says(&report, "datastore.auth", "fail", "authentication failed");
    let said = with("root", "r00t-password");
    says(&said.json(), "datastore.auth", "ok", "user root");
    says(&said.json(), "datastore.keys", "ok", "6 keys");
    assert!(!said.stdout.contains("r00t-password"), "{said:?}");
    let report = with("reader", "reader-password").json();
    says(&report, "datastore.permissions", "fail", "permission denied");
}

/// Posts to an etcd without TLS.
fn post(url: &str, body: &str) {
    use std::io::{Read, Write};
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn one_endpoint_of_two_that_is_down_is_a_warning_and_the_other_is_used() {
    let Some(etcd) = Etcd::plain() else { return };
    etcd.fill();
    let report = check(&host(&of_etcd(&format!("http://127.0.0.1:1,{}", etcd.url())), None)).json();
    says(&report, "datastore.reachable", "warn", "connection refused");
    says(&report, "datastore.permissions", "ok", "may be read");
}

#[test]
fn a_datastore_that_hangs_is_told_in_time_and_one_that_is_slow_is_called_so() {
    let silent = Silent::start();
    for scheme in ["http", "https"] {
        let begun = Instant::now();
        let url = format!("{scheme}://127.0.0.1:{}", silent.port);
        let report = check(&host(&of_etcd(&url), None)).json();
        assert_eq!(
            finding(&report, "datastore.reachable")["evidence"]["cause"],
            "timed-out",
            "{report:#}"
        );
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    }
    // What `check bgp` can do without, it does not wait for.
    let root = host(&of_etcd(&format!("http://127.0.0.1:{}", silent.port)), None);
    let begun = Instant::now();
    run(calivet(Path::new("/root")).arg("--root").arg(root.path()).args(["check", "bgp"]));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    let Some(etcd) = Etcd::plain() else { return };
    etcd.fill();
    let Some((_, well)) = looked_at(&host(&of_etcd(&etcd.url()), None)) else { return };
    let slow = slowly(etcd.port, Duration::from_millis(600));
    let root = host(&of_etcd(&format!("http://127.0.0.1:{slow}")), None);
    let Some(views) = Views::here(root.path(), &CHECKS) else { return };
    let views = views.on_its_own();
    let report = views.report().unwrap();
    let mut levels = views.levels(&report);
    levels.remove("datastore.latency");
    only(&well, &levels, &[]);
    says(&report, "datastore.latency", "warn", "only after");
}

/// A kubeconfig whose user is `user`.
fn kubeconfig(server: &ApiServer, authority: &Authority, user: &Value) -> String {
    let ca = authority.certificate();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": server.url(), "certificate-authority": ca}}],
        "users": [{"name": "me", "user": user}],
    })
    .to_string()
}

/// What the check says of this machine with a kubeconfig.
fn with_kubeconfig(text: &str) -> Run {
    let home = TempDir::with_prefix("calivet-home-").unwrap();
    fs::create_dir(home.path().join(".kube")).unwrap();
    fs::write(home.path().join(".kube/config"), text).unwrap();
    run(calivet(home.path()).args(["check", "datastore", "-o", "json"]))
}

#[test]
fn resources_are_found_in_the_group_that_is_served() {
    let Some(authority) = Authority::new() else { return };
    let server = authority.sign("kube", Holds::Long);
    let api = ApiServer::start(&authority, &server, Lets::OwnGroup);
    let report = with_kubeconfig(&kubeconfig(&api, &authority, &json!({"token": "any"}))).json();
    says(&report, "datastore.keys", "ok", "projectcalico.org/v3");
    says(&report, "datastore.permissions", "ok", "may be read");
    says(&report, "datastore.version", "ok", "Calico is v3.30.1");
    let asked = api.asked.lock().unwrap().join("\n");
    assert!(asked.contains("/apis/projectcalico.org/v3/ippools"), "{asked}");
    assert!(!asked.contains("crd.projectcalico.org"), "{asked}");
}

#[test]
fn an_api_server_is_asked_with_a_token_a_certificate_or_what_a_program_gives() {
    let Some(authority) = Authority::new() else { return };
    let (server, client) = (authority.sign("kube", Holds::Long), authority.sign("me", Holds::Long));
    let api = ApiServer::start(&authority, &server, Lets::Token);
    let report =
        with_kubeconfig(&kubeconfig(&api, &authority, &json!({"token": "the-right-token"}))).json();
    says(&report, "datastore.reachable", "ok", &api.url());
    says(&report, "datastore.auth", "ok", "by its token");
    says(&report, "datastore.keys", "ok", "crd.projectcalico.org/v1");
    says(&report, "datastore.permissions", "ok", "may be read");
    says(&report, "datastore.version", "ok", "v1.31.2, Calico is v3.30.1");
    assert!(!report.to_string().contains("the-right-token"));
    let asked = api.asked.lock().unwrap().clone();
    assert!(
        asked.iter().all(|line| line.starts_with("GET ") && !line.contains("secrets")),
        "{asked:?}"
    );

    let report = with_kubeconfig(&kubeconfig(&api, &authority, &json!({"token": "wrong"}))).json();
    says(&report, "datastore.auth", "fail", "401");

    // Root runs only what root alone can change: a shell is that.
    let credential = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "the-right-token"}}"#;
    let script =
        format!("test -n \"$KUBERNETES_EXEC_INFO\" && test \"$A\" = b && echo '{credential}'");
    let exec = |script: &str| {
        json!({"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
            "env": [{"name": "A", "value": "b"}], "interactiveMode": "Never",
        }})
    };
    let report = with_kubeconfig(&kubeconfig(&api, &authority, &exec(&script))).json();
    says(&report, "datastore.auth", "ok", "program sh");
    let report =
        with_kubeconfig(&kubeconfig(&api, &authority, &exec("echo no >&2; exit 3"))).json();
    says(&report, "datastore.reachable", "fail", "exit status 3: no");
    let begun = Instant::now();
    let report = with_kubeconfig(&kubeconfig(&api, &authority, &exec("sleep 60"))).json();
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    says(&report, "datastore.reachable", "unknown", "program for the credentials");

    let api = ApiServer::start(&authority, &server, Lets::Certificate);
    let user = json!({"client-certificate": client.certificate, "client-key": client.key});
    let report = with_kubeconfig(&kubeconfig(&api, &authority, &user)).json();
    says(&report, "datastore.auth", "ok", "client certificate");
}

#[test]
fn a_program_that_others_can_change_is_not_run_by_root_and_none_is_run_beneath_another_root() {
    let Some(authority) = Authority::new() else { return };
    let server = authority.sign("kube", Holds::Long);
    let api = ApiServer::start(&authority, &server, Lets::Token);
    let folder = TempDir::with_prefix("calivet-plugin-").unwrap();
    let (program, trace) = (folder.path().join("login"), folder.path().join("was-run"));
    fs::write(&program, format!("#!/bin/sh\ntouch '{}'\n", trace.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    let user =
        json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": program}});
    let text = kubeconfig(&api, &authority, &user);
    if nix::unistd::geteuid().is_root() {
        says(&with_kubeconfig(&text).json(), "datastore.reachable", "unknown", "login");
        assert!(!trace.exists(), "a program was run that others can change");
    }
    let root = Root::new().file("/root/.kube/config", text);
    says(&check(&root).json(), "datastore.reachable", "unknown", "not run with --root");
    assert!(!trace.exists(), "a program was run beneath another root");
}

#[test]
fn an_api_server_that_refuses_fails_or_hangs_is_told_apart() {
    let Some(authority) = Authority::new() else { return };
    let server = authority.sign("kube", Holds::Long);
    let ask = |lets| {
        let api = ApiServer::start(&authority, &server, lets);
        with_kubeconfig(&kubeconfig(&api, &authority, &json!({}))).json()
    };
    let report = ask(Lets::NodesOnly);
    says(&report, "datastore.permissions", "fail", "cannot list resource \"bgpconfigurations\"");
    assert!(
        !finding(&report, "datastore.permissions")["evidence"]["denied"]
            .to_string()
            .contains("nodes")
    );
    let report = ask(Lets::Nobody);
    says(&report, "datastore.reachable", "ok", "answers");
    says(&report, "datastore.version", "unknown", "503");
    let report = ask(Lets::Hangs);
    says(&report, "datastore.reachable", "fail", "no whole answer");
}

#[test]
fn of_a_node_of_the_api_only_what_calico_reads_is_kept() {
    let Some(authority) = Authority::new() else { return };
    let server = authority.sign("kube", Holds::Long);
    let api = ApiServer::start(&authority, &server, Lets::Token);
    let text = kubeconfig(&api, &authority, &json!({"token": "the-right-token"}));
    let text = text.replace(&authority.certificate().display().to_string(), "/pki/ca.crt");
    let root = Root::new()
        .file("/root/.kube/config", text)
        .file("/pki/ca.crt", fs::read(authority.certificate()).unwrap());
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("diags.tar.gz");
    run(calivet(Path::new("/root"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "-q", "--only", "datastore", "--output-file"])
        .arg(&bundle));
    let unpacked = Command::new("tar")
        .arg("-xzOf")
        .arg(&bundle)
        .arg("diagnostics/datastore/nodes.json")
        .output()
        .unwrap();
    let nodes: Value = serde_json::from_slice(&unpacked.stdout).unwrap();
    let names: Vec<_> =
        nodes["items"].as_array().unwrap().iter().map(|it| &it["metadata"]["name"]).collect();
    assert_eq!(names, ["node-1", "node-2"]);
    for left_out in ["secretish", "managedFields", "images", "providerID"] {
        assert!(!nodes.to_string().contains(left_out), "{nodes:#}");
    }
}
