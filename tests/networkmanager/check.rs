//! `calivet check networkmanager` beside a real `NetworkManager`, and where nobody answers.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::agreement::{Views, changes};
use crate::lab::networkmanager::Machine;
use crate::root::Root;
use crate::run::findings;

const POD: &str = "cali0a1b2c3d4e5";
const CALICO: &str = "/etc/NetworkManager/conf.d/calico.conf";

/// A node with a pod and a tunnel, whose `NetworkManager` runs, and has found this in `calico.conf`.
fn node_with(text: Option<&str>) -> Option<Machine> {
    let machine = Machine::start()?;
    machine.clear();
    machine.namespaces().without_ipv6();
    machine.run(&format!(
        "ip link set lo up\nip link add {POD} type veth peer name pod0\nip link set {POD} up\n\
         ip link set pod0 up\n\
         ip link add vxlan.calico type vxlan id 4096 dstport 4789\nip link set vxlan.calico up\n\
         ip address add 10.65.0.1/32 dev vxlan.calico"
    ));
    // It makes no connections of its own, which would go on while it is looked at.
    machine.write(
        "/etc/NetworkManager/NetworkManager.conf",
        b"[main]\nplugins=ifupdown,keyfile\nno-auto-default=*\n",
    );
    if let Some(text) = text {
        machine.write(CALICO, text.as_bytes());
    }
    machine.restart();
    let managed = machine.managed(&[POD, "vxlan.calico"]);
    let is_taken = text.is_none();
    assert_eq!((managed[POD], managed["vxlan.calico"]), (is_taken, is_taken), "{managed:?}");
    Some(machine)
}

/// The same without that file.
fn node() -> Option<Machine> {
    node_with(None)
}

/// What `calico.conf` should hold.
const UNMANAGED: &str = "[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:tunl*;driver:vxlan;\
                         interface-name:wireguard.cali;interface-name:wg-v6.cali\n";

/// What changes because of a fault, beside a node on which all is well.
fn changed(faulty: &Machine) -> Option<(Value, Vec<String>)> {
    let well = node_with(Some(UNMANAGED))?;
    let views = Views::of(well.namespaces());
    let before = views.levels(&views.report().unwrap());
    let views = Views::of(faulty.namespaces());
    let report = views.report().unwrap();
    let changed = changes(&before, &views.levels(&report));
    Some((report, changed.into_iter().collect()))
}

fn check(command: &mut Command, args: &[&str]) -> (i32, Value) {
    let output =
        command.args(["check", "networkmanager", "-o", "json"]).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code().unwrap(), report.unwrap_or_else(|error| panic!("{error}: {said}")))
}

fn on(machine: &Machine, args: &[&str]) -> (i32, Value) {
    check(&mut machine.command(env!("CARGO_BIN_EXE_calivet")), args)
}

fn device<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = findings(report, "networkmanager.device");
    all.into_iter().find(|finding| finding["evidence"]["interface"] == name).unwrap()
}

#[test]
fn a_pods_veth_that_network_manager_takes_is_found_and_after_the_fix_it_lets_go() {
    let Some(machine) = node() else { return };
    let Some((report, changed)) = changed(&machine) else { return };
    assert_eq!(changed, ["networkmanager.device fail warn"], "{report:#}");
    let pod = device(&report, POD);
    assert_eq!(pod["level"], "fail", "{pod:#}");
    assert_eq!(pod["evidence"]["managed"], true);
    assert_eq!(pod["evidence"]["live"]["managed"], true);
    assert_eq!(device(&report, "tunl0")["level"], "warn");

    let (exit, report) = on(&machine, &["--fix", "--dry-run"]);
    assert_eq!((exit, machine.at(CALICO).exists()), (1, false), "{report:#}");

    let (exit, report) = on(&machine, &["--fix", "--yes"]);
    assert_eq!(exit, 0, "{report:#}");
    let done = report["changes"].as_array().unwrap();
    assert!(done.len() == 2 && done.iter().all(|change| change["outcome"] == "done"), "{done:#?}");
    let pod = device(&report, POD);
    assert_eq!((&pod["level"], &pod["evidence"]["live"]["managed"]), (&"ok".into(), &false.into()));
    assert_eq!(pod["evidence"]["decidedBy"], format!("{CALICO}:3"));
    let managed = machine.managed(&[POD, "vxlan.calico"]);
    assert!(!managed[POD] && !managed["vxlan.calico"], "NetworkManager says {managed:?}");

    let (exit, report) = on(&machine, &["--fix", "--yes"]);
    assert_eq!((exit, &report["changes"]), (0, &Value::Array(Vec::new())), "{report:#}");
}

#[test]
fn a_file_that_was_written_and_never_read_is_told_from_one_that_counts_and_the_fix_is_a_reload() {
    let Some(machine) = node() else { return };
    machine.write(CALICO, UNMANAGED.as_bytes());
    let Some((report, changed)) = changed(&machine) else { return };
    assert_eq!(
        changed,
        ["networkmanager.device fail ok", "networkmanager.reload fail"],
        "{report:#}"
    );
    let reload = findings(&report, "networkmanager.reload")[0];
    assert_eq!(
        (&reload["level"], &reload["evidence"]["due"]),
        (&"fail".into(), &"a reload".into())
    );
    assert_eq!(reload["evidence"]["newestFile"], CALICO);
    assert!(reload["evidence"]["started"].is_string(), "{reload:#}");
    let (exit, report) = on(&machine, &["--fix", "--yes"]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(report["changes"][0]["target"], "NetworkManager");
    assert_eq!(fs::read_to_string(machine.at(CALICO)).unwrap(), UNMANAGED);
    assert!(!machine.managed(&[POD])[POD]);
}

#[test]
fn where_a_later_file_replaces_the_list_it_is_named_and_the_fix_is_a_file_that_wins() {
    let Some(machine) = node() else { return };
    machine.write(CALICO, b"[keyfile]\nunmanaged-devices=interface-name:cali*\n");
    let later = "/etc/NetworkManager/conf.d/z-site.conf";
    machine.write(later, b"[keyfile]\nunmanaged-devices=interface-name:docker*\n");
    let (_, report) = on(&machine, &[]);
    let pod = device(&report, POD);
    assert_eq!(pod["evidence"]["decidedBy"], format!("{later}:2"), "{pod:#}");
    let (exit, report) = on(&machine, &["--fix", "--yes"]);
    assert_eq!(exit, 0, "{report:#}");
    assert_eq!(report["changes"][0]["target"], "/etc/NetworkManager/conf.d/zzz-calico.conf");
    assert!(!machine.managed(&[POD])[POD]);
}

#[test]
fn a_bundle_gives_the_verdict_of_the_node() {
    let Some(machine) = node() else { return };
    machine.run("mkdir /run/out");
    let bundle = "/run/out/bundle.tar.gz";
    let args =
        ["node", "diags", "--only", "networkmanager,network,system", "--output-file", bundle];
    let made = machine.command(env!("CARGO_BIN_EXE_calivet")).args(args).output().unwrap();
    assert!(machine.at(bundle).exists(), "{}", String::from_utf8_lossy(&made.stderr));
    let (exit, live) = on(&machine, &[]);
    let (exit_again, kept) = on(&machine, &["--from", bundle]);
    assert_eq!(exit, exit_again);
    assert_eq!(live["findings"], kept["findings"]);

    // Neither what the files say nor what the service says of its devices depends on true names.
    let hidden = "/run/out/hidden.tar.gz";
    let args = ["node", "diags", "--obfuscate", "--output-file", hidden];
    let made = machine.command(env!("CARGO_BIN_EXE_calivet")).args(args).output().unwrap();
    assert!(machine.at(hidden).exists(), "{}", String::from_utf8_lossy(&made.stderr));
    let (exit_hidden, report) = on(&machine, &["--from", hidden]);
    let verdicts = |report: &Value| {
        let verdict = |finding: &Value| {
            let fact = |name: &str| finding["evidence"][name].to_string();
            let facts = ["managed", "decidedBy", "exists"].map(fact);
            (finding["id"].to_string(), finding["level"].to_string(), facts)
        };
        let mut all: Vec<_> = report["findings"].as_array().unwrap().iter().map(verdict).collect();
        all.sort_unstable();
        all
    };
    assert_eq!((exit_hidden, verdicts(&report)), (exit, verdicts(&live)));
}

#[test]
fn a_bus_that_denies_the_question_leaves_the_verdict_of_the_files() {
    let Some(machine) = node() else { return };
    machine.write(CALICO, b"[keyfile]\nunmanaged-devices=interface-name:cali*\n");
    machine.deny();
    let (_, report) = on(&machine, &[]);
    let service = findings(&report, "networkmanager.service")[0];
    assert_eq!(service["evidence"]["confirmedLive"], false, "{service:#}");
    let reason = service["evidence"]["notConfirmed"].as_str().unwrap();
    assert!(reason.contains("denied") || reason.contains("Denied"), "{reason}");
    let pod = device(&report, POD);
    assert_eq!(
        (&pod["evidence"]["managed"], &pod["evidence"]["live"]),
        (&false.into(), &Value::Null)
    );
}

/// A node with files, and no `NetworkManager` that could be asked.
fn files() -> Root {
    Root::new()
        .file(CALICO, "[keyfile]\nunmanaged-devices=interface-name:cali*\n")
        .file("/proc/net/dev", "Inter-|\n face |\n  cali1: 0 0\n")
}

fn on_root(root: &Root, args: &[&str]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    check(command.arg("--root").arg(root.path()), args)
}

fn not_confirmed(report: &Value) -> String {
    let service = findings(report, "networkmanager.service")[0];
    assert_eq!(
        (&service["level"], &service["evidence"]["confirmedLive"]),
        (&"info".into(), &false.into())
    );
    let pod = device(report, "cali0123456789a");
    assert_eq!(
        (&pod["level"], &pod["evidence"]["managed"]),
        (&"ok".into(), &false.into()),
        "{pod:#}"
    );
    service["evidence"]["notConfirmed"].as_str().unwrap().to_owned()
}

#[test]
fn without_a_bus_the_verdict_of_the_files_stands() {
    let (_, report) = on_root(&files(), &[]);
    let reason = not_confirmed(&report);
    assert!(reason.contains("no such file"), "{reason}");
}

#[test]
fn a_bus_that_never_answers_costs_its_time_and_no_more() {
    let root = files();
    fs::create_dir_all(root.at("/run/dbus")).unwrap();
    let listener = UnixListener::bind(root.at("/run/dbus/system_bus_socket")).unwrap();
    let started = Instant::now();
    let (_, report) = on_root(&root, &["--timeout", "1s"]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let reason = not_confirmed(&report);
    assert!(reason.contains("did not answer"), "{reason}");
    drop(listener);
}

#[test]
fn a_bus_that_talks_nonsense_is_not_believed() {
    let root = files();
    fs::create_dir_all(root.at("/run/dbus")).unwrap();
    let listener = UnixListener::bind(root.at("/run/dbus/system_bus_socket")).unwrap();
    let talker = std::thread::spawn(move || {
        use std::io::Write;
        if let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        }
    });
    let (_, report) = on_root(&root, &["--timeout", "2s"]);
    not_confirmed(&report);
    talker.join().unwrap();
}

#[test]
fn a_host_without_network_manager_is_skipped() {
    let (exit, report) = on_root(&Root::new(), &[]);
    let service = findings(&report, "networkmanager.service")[0];
    assert_eq!(service["level"], "skip", "{service:#}");
    assert!(findings(&report, "networkmanager.device").is_empty());
    assert_eq!(exit, 0, "{report:#}");
}
