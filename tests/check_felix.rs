//! `calivet check felix` and `check logs`: on fake roots, from bundles, with a health port in a namespace, with hostile logs.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::agreement::{Views, changes};
use crate::lab::http::Http;
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::{Run, findings, run};

const POD: &str = "/var/log/pods/kube-system_calico-node-x2x9k_01234567/calico-node";

/// A log of a container in which Felix and BIRD have had trouble.
const LOG: &str = "\
2026-11-01T09:00:00.1Z stdout F 2026-11-01 09:00:00.100 [INFO][85] felix/daemon.go 373: Felix starting up GOMAXPROCS=2 version=\"v3.29.1\"
2026-11-01T09:10:00.1Z stdout F 2026-11-01 09:10:00.100 [ERROR][85] felix/sync_client.go 1: Failed to connect to typha endpoint 10.0.0.7:5473
2026-11-01T09:11:00.1Z stdout F 2026-11-01 09:11:00.100 [ERROR][85] felix/sync_client.go 1: Failed to connect to typha endpoint 10.0.0.8:5473
2026-11-01T09:12:00.1Z stdout F 2026-11-01 09:12:00.100 [WARNING][85] felix/int_dataplane.go 2: Odd, etcd password=hunter2hunter2
2026-11-01T09:13:00.1Z stdout F bird: Mesh_10_0_0_2: Error: Hold timer expired
";

fn node() -> Root {
    Root::new()
        .calico_node()
        .file("/proc/412/environ", "FELIX_HEALTHENABLED=true\0NODENAME=node-1\0")
        .file("/var/lib/calico/nodename", "node-1")
        .file("/etc/calico/felix.cfg", "[global]\nLogSeverityScreen = Warning\n")
        .file(&format!("{POD}/3.log"), LOG)
}

fn calivet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_calivet"))
}

fn on(root: &Root, arguments: &[&str]) -> Run {
    run(calivet().arg("--root").arg(root.path()).arg("check").args(arguments))
}

fn bundle(root: &Root, folder: &Path, options: &[&str]) -> std::path::PathBuf {
    let path = folder.join("bundle.tar.gz");
    let mut diags = calivet();
    diags.arg("--root").arg(root.path()).args([
        "node",
        "diags",
        "-q",
        "--force",
        "--timeout",
        "5s",
    ]);
    let written = run(diags.args(options).arg("--output-file").arg(&path));
    assert!(written.status <= 1, "{written:?}");
    path
}

/// The findings without what differs from one second to the next.
fn timeless(report: &Value) -> Vec<Value> {
    let mut findings = report["findings"].as_array().unwrap().clone();
    for finding in &mut findings {
        if let Some(seconds) = finding["evidence"].get_mut("uptimeSeconds") {
            *seconds = Value::Null;
        }
    }
    findings
}

#[test]
fn a_bundle_gives_the_findings_of_the_node() {
    let root = node();
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(&root, folder.path(), &[]);
    for check in ["felix", "logs"] {
        let live = on(&root, &[check, "-o", "json"]).json();
        let offline =
            run(calivet().args(["check", check, "-o", "json", "--from"]).arg(&path)).json();
        assert_eq!(timeless(&live), timeless(&offline));
    }
    let report = on(&root, &["felix", "-o", "json"]).json();
    assert_eq!(findings(&report, "felix.running")[0]["evidence"]["version"], "v3.29.1");
    assert_eq!(findings(&report, "felix.restarts")[0]["evidence"]["container"], 3);
    let level = findings(&report, "felix.log-level")[0];
    assert_eq!(
        (&level["level"], &level["evidence"]["from"]),
        (&"ok".into(), &"/etc/calico/felix.cfg".into())
    );
    let errors = findings(&report, "felix.errors");
    assert_eq!((errors.len(), &errors[1]["evidence"]["count"]), (2, &2.into()), "{errors:#?}");
    assert!(!report.to_string().contains("hunter2"), "{report:#}");
    let logs = on(&root, &["logs", "-o", "json"]).json();
    assert_eq!(findings(&logs, "logs.errors")[1]["evidence"]["component"], "bird");
}

#[test]
fn a_bundle_with_pseudonyms_gives_the_same_levels() {
    let root = node();
    let folder = tempfile::tempdir().unwrap();
    let path = bundle(&root, folder.path(), &["--obfuscate"]);
    let levels = |report: &Value| {
        let findings = report["findings"].as_array().unwrap().iter();
        findings.map(|it| (it["id"].clone(), it["level"].clone())).collect::<Vec<_>>()
    };
    let offline = run(calivet().args(["check", "felix", "-o", "json", "--from"]).arg(&path)).json();
    assert_eq!(levels(&offline), levels(&on(&root, &["felix", "-o", "json"]).json()));
    let errors = findings(&offline, "felix.errors");
    assert!(errors[1]["evidence"]["meaning"].as_str().unwrap().contains("Typha"), "{errors:#?}");
}

#[test]
fn health_that_hangs_is_unready_or_is_well_is_told() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = node();
    let options = ["--timeout", "1s"];
    let views = Views::inside(&namespaces, root.path()).with(&options);
    let health = || {
        let report = views.report().unwrap();
        (findings(&report, "felix.health")[0].clone(), views.levels(&report))
    };
    let (absent, without) = health();
    assert_eq!(
        (&absent["level"], &absent["evidence"]["endpoint"]),
        (&"fail".into(), &"absent".into())
    );
    let well = {
        let felix = Http::start(&namespaces, 9099);
        let (finding, well) = health();
        assert_eq!(finding["level"], "ok");
        assert!(changes(&well, &without).iter().eq(["felix.health fail"]), "{without:?}");
        felix.answer(
            503,
            "+------------------+---------+----------------+---------------------+---------+\n\
             | COMPONENT        | TIMEOUT | LIVENESS       | READINESS           | DETAIL  |\n\
             +------------------+---------+----------------+---------------------+---------+\n\
             | CalculationGraph | 30s     | reporting live | reporting non-ready | waiting |\n\
             +------------------+---------+----------------+---------------------+---------+\n",
        );
        let (unready, levels) = health();
        assert_eq!(
            (&unready["level"], &unready["evidence"]["ready"]),
            (&"fail".into(), &false.into())
        );
        let summary = unready["summary"].as_str().unwrap();
        assert!(
            summary.contains("CalculationGraph reporting non-ready (waiting): it waits for"),
            "{summary}"
        );
        assert!(changes(&well, &levels).iter().eq(["felix.health fail"]), "{levels:?}");
        well
    };
    let silent = std::thread::scope(|scope| {
        let bind = || {
            namespaces.enter_network();
            TcpListener::bind("127.0.0.1:9099").unwrap()
        };
        scope.spawn(bind).join().unwrap()
    });
    let (hung, levels) = health();
    assert_eq!((&hung["level"], &hung["evidence"]["endpoint"]), (&"fail".into(), &"hangs".into()));
    assert!(changes(&well, &levels).iter().eq(["felix.health fail"]), "{levels:?}");
    drop(silent);
}

#[test]
fn metrics_that_show_trouble_are_told() {
    let Some(namespaces) = Namespaces::with(&[]) else { return };
    let root = node();
    let views = Views::inside(&namespaces, root.path());
    let served = Http::start(&namespaces, 9091);
    served.answer(
        200,
        "# TYPE felix_resync_state gauge\nfelix_resync_state 3\nfelix_ipset_errors 0\n",
    );
    let well = views.levels(&views.report().unwrap());
    served.answer(
        200,
        "# TYPE felix_resync_state gauge\nfelix_resync_state 2\nfelix_ipset_errors 4\n",
    );
    let report = views.report().unwrap();
    let metrics: Vec<_> = findings(&report, "felix.metrics")
        .iter()
        .map(|it| it["evidence"]["metric"].clone())
        .collect();
    assert_eq!(metrics, ["felix_resync_state", "felix_ipset_errors"]);
    let changed = changes(&well, &views.levels(&report));
    assert!(changed.iter().eq(["felix.metrics fail warn"]), "{changed:?}");
}

#[test]
fn the_dataplane_and_the_overlay_are_those_that_the_kernel_has() {
    let Some(namespaces) = Namespaces::with(&["nft", "ip"]) else { return };
    namespaces.without_ipv6();
    namespaces.run(
        "nft add table ip calico && nft add chain ip calico filter-cali-FORWARD\n\
         ip link add vxlan.calico type veth peer name far && ip link set vxlan.calico up",
    );
    let root = node().file("/proc/modules", "nf_tables 327680 0 - Live 0x0000000000000000\n");
    let views = Views::inside(&namespaces, root.path());
    let report = views.report().unwrap();
    let well = views.levels(&report);
    let seen = findings(&report, "felix.mode")[0];
    assert_eq!(
        (&seen["level"], &seen["summary"]),
        (&"ok".into(), &"dataplane nftables, VXLAN".into())
    );
    // What iptables-nft leaves looks like this, and so does a Calico that uses both.
    namespaces.run("nft add table ip filter && nft add chain ip filter cali-FORWARD");
    let changed = changes(&well, &views.levels(&views.report().unwrap()));
    assert!(changed.iter().eq(["felix.mode warn", "firewall.backend fail"]), "{changed:?}");
}

/// What a pod that may write to a log of Calico's could put there.
#[test]
fn a_hostile_log_reaches_no_terminal_raw_and_costs_bounded_memory() {
    const MIB: usize = 1 << 20;
    let root = node();
    let head: &[u8] = b"2026-11-01 09:10:00.100 [ERROR][85] felix/a.go 1: ";
    let mut log = Vec::new();
    for text in [
        &b"title \x1b]0;owned\x07 \x1b[2J\x1b[31mred"[..],
        b"clipboard \x1b]52;c;b3duZWQ=\x07",
        b"nul \0 and invalid \xff\xfe utf-8",
        b"c1 \xc2\x9b31m and \xe2\x80\xae turned",
        b"over\rwritten\x08\x08",
    ] {
        log.extend([head, text, b"\n"].concat());
    }
    let folder = root.at("/var/log/calico/felix");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("current"), &log).unwrap();
    let mut endless = fs::File::create(folder.join("long.log")).unwrap();
    endless.write_all(head).unwrap();
    for _ in 0..100 {
        endless.write_all(&vec![b'x'; MIB]).unwrap();
    }
    endless.write_all(b"\n").unwrap();
    fs::File::create(folder.join("hole.log")).unwrap().set_len(1 << 40).unwrap();

    for format in ["table", "wide", "short"] {
        let shown = on(&root, &["felix", "-o", format]);
        let raw = shown.stdout.chars().find(|it| it.is_control() && *it != '\n');
        assert_eq!(raw, None, "{format}: {}", shown.stdout.escape_debug());
        // Short leaves out what is long ago.
        assert!(format == "short" || shown.stdout.contains("clipboard"), "{}", shown.stdout);
    }
    let mut child = calivet()
        .arg("--root")
        .arg(root.path())
        .args(["check", "felix", "-o", "json"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let peak = crate::memory::peak(&mut child);
    assert!(peak > 0 && peak <= 64 * MIB as u64, "{} MiB", peak >> 20);
}
