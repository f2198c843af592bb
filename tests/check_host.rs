//! `calivet check time`, `disk` and `certificates`: on a fake root, on this machine, and from a bundle.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::agreement::{Levels, Views, changes};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::{Run, finding, run};

/// An authority, a certificate of 2025 to 2123 that it has signed, and one that ended with 2025; made by openssl.
const AUTHORITY: &str = include_str!("samples/certificates/ca.crt");
const CLIENT: &str = include_str!("samples/certificates/client.crt");
const EXPIRED: &str = include_str!("samples/certificates/expired.crt");
/// What looks like a key and must be told nowhere.
const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIHostHostHostHostHostHostHostHost\n-----END EC PRIVATE KEY-----\n";
const KEY_BODY: &str = "MHcCAQEEIHostHostHostHostHostHostHostHost";

fn calivet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.env_remove("KUBECONFIG").env_remove("ETCD_ENDPOINTS");
    command
}

fn check(root: &Root, subject: &str) -> Run {
    run(calivet().arg("--root").arg(root.path()).args(["check", subject, "-o", "json"]))
}

#[track_caller]
fn level(report: &Value, id: &str) -> String {
    finding(report, id)["level"].as_str().unwrap().to_owned()
}

/// What all checks find on a host, the same live, beneath `--root` and from a bundle; and their levels.
#[track_caller]
fn looked_at(namespaces: &Namespaces, root: &Root) -> (Value, Levels) {
    let views = Views::inside(namespaces, root.path());
    let report = views.report().unwrap();
    let mut unpacked = Command::new("sh");
    unpacked.args(["-c", "gzip -dc \"$0\" | tr -d '\\000'"]).arg(views.bundle());
    assert!(!run(&mut unpacked).stdout.contains(KEY_BODY), "a key is in the bundle");
    let levels = views.levels(&report);
    (report, levels)
}

/// Asserts that these levels and nothing else have changed.
#[track_caller]
fn only(before: &Levels, after: &Levels, expected: &[&str]) {
    assert_eq!(changes(before, after).iter().collect::<Vec<_>>(), expected);
}

/// A node on which all certificates hold, each at its usual place.
fn certified() -> Root {
    use base64::Engine;
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let kubeconfig = format!(
        "clusters: [{{name: local, cluster: {{server: https://10.0.0.1:6443, certificate-authority-data: {}}}}}]\n\
         users: [{{name: calico, user: {{token: x}}}}]\n",
        base64(AUTHORITY)
    );
    let kubelet = "users: [{name: node, user: {client-certificate: ../../var/lib/kubelet/pki/own.pem, client-key: k}}]\n";
    Root::new()
        .calico_node()
        .file("/proc/412/environ", "FELIX_TYPHACERTFILE=/certs/own.crt\0FELIX_TYPHACAFILE=/certs/ca.crt\0")
        .file("/proc/412/root/certs/own.crt", CLIENT)
        .file("/proc/412/root/certs/ca.crt", AUTHORITY)
        .file("/etc/cni/net.d/calico-kubeconfig", kubeconfig)
        .file("/etc/kubernetes/kubelet.conf", kubelet)
        .file("/var/lib/kubelet/pki/own.pem", format!("{CLIENT}{KEY}"))
        .file(
            "/etc/calico/calicoctl.cfg",
            "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  etcdEndpoints: https://10.0.0.1:2379\n  \
             etcdCertFile: /etc/calico/own.crt\n  etcdCACertFile: /etc/calico/ca.crt\n  etcdKeyFile: /etc/calico/own.key\n",
        )
        .file("/etc/calico/own.crt", CLIENT)
        .file("/etc/calico/ca.crt", AUTHORITY)
        .file("/etc/calico/own.key", KEY)
}

const IDS: [&str; 4] = [
    "certificates.calico-node",
    "certificates.cni",
    "certificates.kubelet",
    "certificates.calicoctl",
];

#[test]
fn certificates_that_hold_are_found_wherever_they_are_used() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let (report, _) = looked_at(&namespaces, &certified());
    for id in IDS {
        assert_eq!(level(&report, id), "ok", "{report}");
    }
    let node = &finding(&report, IDS[0])["evidence"]["certificates"];
    assert_eq!(node[0]["subject"], "CN=typha-client");
    assert_eq!(node[0]["issuer"], "CN=tigera-operator-signer");
    assert_eq!(
        (&node[0]["issuerIsHere"], &node[0]["setting"]),
        (&true.into(), &"FELIX_TYPHACERTFILE".into())
    );
    let kubelet = &finding(&report, IDS[2])["evidence"]["certificates"];
    assert_eq!(kubelet[0]["path"], "/etc/kubernetes/../../var/lib/kubelet/pki/own.pem");
}

#[test]
fn the_one_that_has_expired_is_named_and_no_other_finding_changes() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let (_, well) = looked_at(&namespaces, &certified());
    for (at, id) in [
        ("/proc/412/root/certs/own.crt", IDS[0]),
        ("/var/lib/kubelet/pki/own.pem", IDS[2]),
        ("/etc/calico/own.crt", IDS[3]),
    ] {
        let root = certified().file(at, format!("{EXPIRED}{KEY}"));
        let (report, levels) = looked_at(&namespaces, &root);
        only(&well, &levels, &[&format!("{id} fail")]);
        let summary = finding(&report, id)["summary"].as_str().unwrap();
        assert!(summary.contains("CN=typha-client expired on 2026-01-01 00:00 UTC"), "{summary}");
    }
}

#[test]
fn a_certificate_that_a_setting_names_and_that_is_not_there_fails() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = certified();
    fs::remove_file(root.at("/proc/412/root/certs/own.crt")).unwrap();
    let (report, _) = looked_at(&namespaces, &root);
    assert_eq!(level(&report, IDS[0]), "fail");
    let (_, levels) = looked_at(&namespaces, &Root::new());
    for id in IDS {
        assert!(levels[id].iter().eq(["skip"]), "{id}: {levels:?}");
    }
}

#[test]
fn no_key_and_no_token_is_told() {
    for format in ["wide", "json"] {
        let told = run(calivet().arg("--root").arg(certified().path()).args([
            "check",
            "certificates",
            "-o",
            format,
        ]));
        assert!(
            !told.stdout.contains(KEY_BODY) && told.stdout.contains("typha-client"),
            "{told:?}"
        );
    }
}

/// A node whose clock timesyncd has just set.
fn timely() -> Root {
    let root = Root::new()
        .process(1, &["/sbin/init"])
        .process(300, &["/lib/systemd/systemd-timesyncd"])
        .file("/run/systemd/timesync/synchronized", "")
        .file("/var/lib/calico/nodename", "node-1");
    symlink("/usr/share/zoneinfo/Etc/UTC", root.at("/etc/localtime")).unwrap();
    root
}

/// Sets when a file was last written to, from now.
fn dated(root: &Root, path: &str, when: &str) {
    let touched = Command::new("touch").args(["-d", when]).arg(root.at(path)).status().unwrap();
    assert!(touched.success());
}

#[test]
fn a_clock_that_was_set_lately_is_well_and_one_that_nobody_keeps_is_warned_of() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = timely();
    let (report, well) = looked_at(&namespaces, &root);
    let told = ["time.synchronised", "time.hardware-clock", "time.future", "time.zone"]
        .map(|id| level(&report, id));
    assert_eq!(told, ["ok", "skip", "ok", "ok"], "{report}");
    dated(&root, "/run/systemd/timesync/synchronized", "3 days ago");
    let (_, levels) = looked_at(&namespaces, &root);
    only(&well, &levels, &["time.synchronised unknown"]);
    fs::remove_dir_all(root.at("/proc/300")).unwrap();
    let (_, levels) = looked_at(&namespaces, &root);
    only(&well, &levels, &["time.synchronised warn"]);
}

#[test]
fn a_file_of_tomorrow_and_a_hardware_clock_of_another_time_are_told() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = timely();
    let (_, well) = looked_at(&namespaces, &root);
    dated(&root, "/var/lib/calico/nodename", "tomorrow");
    let (report, levels) = looked_at(&namespaces, &root);
    only(&well, &levels, &["time.future warn"]);
    let ahead = &finding(&report, "time.future")["evidence"]["ahead"];
    assert_eq!(ahead[0]["what"], "/var/lib/calico/nodename");
    // Which rest of a quarter of an hour is left depends on the moment; a clock of 2001 is seldom right by chance.
    let root = root.file("/sys/class/rtc/rtc0/since_epoch", "1000000000\n");
    let report = check(&root, "time").json();
    assert!(finding(&report, "time.hardware-clock")["evidence"]["aheadSeconds"].is_number());
}

#[test]
fn a_node_that_runs_out_of_memory_and_waits_fails_and_only_that_changes() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    let well = || {
        Root::new()
            .file("/proc/meminfo", "MemTotal:  8000000 kB\nMemAvailable:  4000000 kB\n")
            .file("/proc/vmstat", "oom_kill 0\n")
            .file("/proc/pressure/cpu", pressure)
            .file("/proc/pressure/io", pressure)
            .file("/proc/pressure/memory", pressure)
            .file("/var/log/calico/cni/cni.log", "x\n")
    };
    let ids = ["disk.pressure", "disk.memory", "disk.oom-kills", "disk.logs"];
    let (report, before) = looked_at(&namespaces, &well());
    assert_eq!(ids.map(|id| level(&report, id)), ["ok"; 4], "{report}");
    let ill =
        well().file("/proc/meminfo", "MemTotal:  8000000 kB\nMemAvailable:  50000 kB\n").file(
            "/proc/pressure/memory",
            pressure.replace("full avg10=0.00 avg60=0.00", "full avg10=0.00 avg60=55.00"),
        );
    let (_, after) = looked_at(&namespaces, &ill);
    only(&before, &after, &["disk.memory fail", "disk.pressure warn"]);
    let log = well();
    fs::File::create(log.at("/var/log/calico/felix.log")).unwrap().set_len(600 << 20).unwrap();
    let report = check(&log, "disk").json();
    assert_eq!(level(&report, "disk.logs"), "warn", "{report}");
}

/// A file system of a few blocks, full, and one that is mounted read-only, on a host in memory that goes with the namespaces.
#[test]
fn a_full_and_a_read_only_file_system_are_told_by_their_paths() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = Root::new();
    fs::create_dir_all(root.at("/var/lib/calico")).unwrap();
    fs::create_dir_all(root.at("/var/log/calico")).unwrap();
    namespaces.run(&format!("cp -a '{}' /run/node", root.path().display()));
    let views = Views::inside(&namespaces, Path::new("/run/node")).on_its_own();
    let mounted =
        "mkdir -p /run/node/proc/self\ncp /proc/self/mountinfo /run/node/proc/self/mountinfo\n";
    namespaces.run(mounted);
    let well = views.levels(&views.report().unwrap());
    namespaces.run(&format!(
        "cd /run/node\n\
         mount -t tmpfs -o size=64k,nr_inodes=64 calivet-test var/log/calico\n\
         mount -t tmpfs -o ro calivet-test var/lib/calico\n\
         head -c 65536 /dev/zero >var/log/calico/full || true\n{mounted}"
    ));
    let report = views.report().unwrap();
    only(&well, &views.levels(&report), &["disk.read-only fail", "disk.space fail"]);
    let summary = finding(&report, "disk.space")["summary"].as_str().unwrap();
    assert!(summary.starts_with("on /var/log/calico 0 B of 64.0 KiB are free"), "{summary}");
    assert_eq!(
        finding(&report, "disk.read-only")["evidence"]["readOnly"],
        serde_json::json!(["/var/lib/calico"])
    );
}

#[test]
fn this_machine_is_judged_within_its_time_and_without_a_word_on_stderr() {
    for subject in ["time", "disk", "certificates"] {
        let told = run(calivet().args(["check", subject, "-o", "json"]));
        assert!([0, 1, 3].contains(&told.status) && told.stderr.is_empty(), "{told:?}");
        assert!(!told.json()["findings"].as_array().unwrap().is_empty());
    }
}
