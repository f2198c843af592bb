//! `calivet bundle`: what is in a bundle, whether it is whole, and the same redacted anew.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::root::Root;
use crate::run::{Run, run};

fn calivet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_calivet"))
}

fn bundle(command: &str, file: &Path, more: &[&str]) -> Run {
    run(calivet().args(["bundle", command]).arg(file).args(more))
}

/// A folder with a bundle of a fake root, and what becomes of it.
struct Case {
    folder: TempDir,
}

impl Case {
    fn of(root: &Root) -> Self {
        let case = Self { folder: TempDir::new().unwrap() };
        let written = run(calivet()
            .arg("--root")
            .arg(root.path())
            .args(["node", "diags", "--timeout", "2s", "-q", "--output-file"])
            .arg(case.at("a.tar.gz")));
        assert!(written.status <= 1, "{written:?}");
        case
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn archive(&self) -> PathBuf {
        self.at("a.tar.gz")
    }

    /// Unpacks the bundle, lets it be changed, and packs it again.
    fn changed(&self, change: impl Fn(&Path)) -> PathBuf {
        shell(self.folder.path(), "tar xzf a.tar.gz");
        change(&self.at("diagnostics"));
        shell(self.folder.path(), "tar czf changed.tar.gz diagnostics");
        self.at("changed.tar.gz")
    }
}

fn shell(folder: &Path, script: &str) {
    let done = run(Command::new("sh").args(["-euc", script]).current_dir(folder));
    assert_eq!((done.status, done.stderr.as_str()), (0, ""), "{script}");
}

fn node() -> Root {
    Root::new()
        .calico_node()
        .file("/var/lib/calico/nodename", "node-1")
        .file("/etc/cni/net.d/10-calico.conflist", "{\"name\": \"k8s-pod-network\"}\n")
        .file("/var/log/calico/bird/current", "bird: Started\n")
}

#[test]
fn a_bundle_is_told_at_a_glance() {
    let case = Case::of(&node());
    let shown = bundle("show", &case.archive(), &["-o", "json"]).json();
    assert_eq!(shown["node"], "node-1");
    assert_eq!(shown["tool"]["name"], "calivet");
    assert_eq!(shown["warnings"], json!([]));
    assert!(shown["outcomes"]["ok"].as_u64().unwrap() > 10, "{shown:#}");
    assert!(shown["untouched"]["routes"].is_object(), "{shown:#}");
    let table = bundle("show", &case.archive(), &[]);
    assert_eq!((table.status, table.stderr.as_str()), (0, ""));
    assert!(table.stdout.contains("Node       node-1\n"), "{}", table.stdout);
    assert!(!table.stdout.contains("DOES NOT HAVE"), "{}", table.stdout);
    let wide = bundle("show", &case.archive(), &["-o", "wide"]);
    assert!(wide.stdout.contains("WHAT THE HOST DOES NOT HAVE"), "{}", wide.stdout);
}

#[test]
fn a_bundle_lists_what_it_holds_and_what_it_does_not() {
    let case = Case::of(&node());
    let listed = bundle("list", &case.archive(), &["-o", "json", "bird", "host/etc/*"]).json();
    let rows = listed["items"].as_array().unwrap();
    let row = |path: &str| rows.iter().find(|row| row["path"] == path).unwrap();
    let conflist = row("host/etc/cni/net.d/10-calico.conflist");
    assert_eq!((&conflist["outcome"], &conflist["bytes"]), (&json!("ok"), &json!(28)));
    let status = row("bird/ipv4/show-status");
    assert_eq!((&status["outcome"], &status["bytes"]), (&json!("missing"), &Value::Null));
    assert!(rows.iter().all(|row| {
        let path = row["path"].as_str().unwrap();
        path.starts_with("bird/") || path.starts_with("host/etc/")
    }));
    let none = bundle("list", &case.archive(), &["nothing/*"]);
    assert_eq!((none.status, none.stdout.as_str()), (3, ""));
}

#[test]
fn an_item_comes_as_it_is() {
    let raw = b"\xff\x1b[2J\0no newline".as_slice();
    let case = Case::of(&node().file("/etc/calico/odd.conf", raw));
    shell(case.folder.path(), "tar xzf a.tar.gz");
    let unpacked = case.at("diagnostics");
    for path in ["host/etc/calico/odd.conf", "manifest.json", "summary.txt", "status.json"] {
        for shape in [case.archive(), unpacked.clone()] {
            let output = calivet().args(["bundle", "cat"]).arg(shape).arg(path).output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{path}");
            assert!(output.stdout == fs::read(unpacked.join(path)).unwrap(), "{path}");
        }
    }
    for path in
        ["/etc/cni/net.d/10-calico.conflist", "diagnostics/host/etc/cni/net.d/10-calico.conflist"]
    {
        let read = bundle("cat", &case.archive(), &[path]);
        assert_eq!((read.status, read.stdout.as_str()), (0, "{\"name\": \"k8s-pod-network\"}\n"));
    }
}

#[test]
fn what_is_not_there_is_told_with_what_is_like_it() {
    let case = Case::of(&node());
    for (path, said) in [
        (
            "host/etc/cni/net.d/10-calico.conflst",
            "like it are host/etc/cni/net.d/10-calico.conflist",
        ),
        ("host/etc/cni", "is a folder; in it are host/etc/cni/net.d/10-calico.conflist"),
        ("host/etc/cni/*", "one path is wanted, and host/etc/cni/* is 1: host/etc/cni/net.d/10"),
        ("bird/ipv4/show-status", "holds nothing of bird/ipv4/show-status: missing: "),
        ("zzzz", "the bundle does not hold zzzz"),
    ] {
        let read = bundle("cat", &case.archive(), &[path]);
        assert_eq!((read.status, read.stdout.as_str()), (3, ""), "{path}");
        assert!(read.stderr.starts_with("error: ") && read.stderr.contains(said), "{read:?}");
    }
}

/// The kinds of problems and their paths.
fn problems(file: &Path) -> (i32, Vec<String>) {
    let read = bundle("verify", file, &["-o", "json"]);
    let report = read.json();
    let told = report["problems"].as_array().unwrap().iter().map(|problem| {
        let path = problem["path"].as_str().unwrap_or("*");
        format!("{path}: {}", problem["kind"].as_str().unwrap())
    });
    (read.status, told.collect())
}

#[test]
fn a_bundle_that_nobody_touched_is_verified() {
    let case = Case::of(&node());
    assert_eq!(problems(&case.archive()), (0, Vec::new()));
    let table = bundle("verify", &case.archive(), &[]);
    assert!(table.stdout.ends_with("all are what the manifest lists\n"), "{table:?}");
    let packed_again = case.changed(|_| ());
    assert_eq!(problems(&packed_again), (0, Vec::new()));
    assert_eq!(problems(&case.at("diagnostics")), (0, Vec::new()));
}

#[test]
fn whatever_was_changed_in_a_bundle_is_listed() {
    let case = Case::of(&node());
    let changed = case.changed(|folder| {
        fs::write(folder.join("host/var/lib/calico/nodename"), "node-2").unwrap();
        fs::write(
            folder.join("host/etc/cni/net.d/10-calico.conflist"),
            "longer than it was, by far\n\n",
        )
        .unwrap();
        fs::write(folder.join("new"), "x").unwrap();
        fs::remove_file(folder.join("processes.json")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join("link")).unwrap();
    });
    let (status, found) = problems(&changed);
    assert_eq!(status, 3);
    for expected in [
        "host/var/lib/calico/nodename: sha256",
        "new: unlisted",
        "processes.json: missing",
        "diagnostics/link: refused",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected}: {found:?}");
    }
    assert!(found.iter().any(|it| it.starts_with("host/etc/cni/net.d/10-calico.conflist: ")));

    let name = "diagnostics/host/var/lib/calico/nodename";
    let script =
        format!("tar cf t.tar diagnostics; tar rf t.tar {name}; gzip -c t.tar >twice.tar.gz");
    shell(case.folder.path(), &script);
    let repeated = "host/var/lib/calico/nodename: repeated".to_owned();
    assert!(problems(&case.at("twice.tar.gz")).1.contains(&repeated));

    let bytes = fs::read(case.archive()).unwrap();
    fs::write(case.at("cut.tar.gz"), &bytes[..bytes.len() / 2]).unwrap();
    let (status, found) = problems(&case.at("cut.tar.gz"));
    assert_eq!(status, 3);
    // That nothing lists its files is said once, and not of each.
    assert_eq!(found, ["*: cut", "*: no-manifest"]);
}

#[test]
fn a_manifest_of_a_newer_calivet_is_read_as_far_as_it_is_known() {
    let case = Case::of(&node());
    let newer = case.changed(|folder| {
        let path = folder.join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest["schemaVersion"] = json!(9);
        manifest["new"] = json!({"field": [1]});
        manifest["items"][0]["outcome"] = json!("half-read");
        manifest["items"][0]["why"] = json!("x");
        fs::write(path, manifest.to_string()).unwrap();
    });
    let shown = bundle("show", &newer, &[]);
    assert_eq!(shown.status, 0, "{shown:?}");
    assert!(shown.stdout.contains("node-1"), "{shown:?}");
    assert!(shown.stderr.contains("a newer calivet wrote the bundle"), "{shown:?}");
    let redacted = case.at("redacted.tar.gz");
    run(calivet().args(["bundle", "redact"]).args([&newer, &redacted]));
    let manifest = bundle("cat", &redacted, &["manifest.json"]).json();
    assert_eq!(manifest["new"], json!({"field": [1]}));
    assert_eq!(manifest["items"][0]["outcome"], "half-read");
}

/// A bundle as calicoctl writes it.
fn of_calicoctl(folder: &Path) -> PathBuf {
    let diagnostics = folder.join("diagnostics");
    fs::create_dir_all(diagnostics.join("logs/bird")).unwrap();
    for (name, text) in [
        ("date", "Mon Nov 23 02:33:26 UTC 2026\n"),
        ("hostname", "node-1\n"),
        ("ipv4_route", "default via 172.18.0.1 dev eth0\n"),
        ("ipv4_tables", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"),
        ("journalctl_calico_node", "-- No entries --\n"),
        ("logs/bird/current", "bird: Started\nbird: password \"s3cr3t-of-mine\";\n"),
    ] {
        fs::write(diagnostics.join(name), text).unwrap();
    }
    shell(folder, "tar czf calicoctl.tar.gz diagnostics");
    folder.join("calicoctl.tar.gz")
}

#[test]
fn a_bundle_of_calicoctls_is_shown_as_far_as_it_goes() {
    let folder = TempDir::new().unwrap();
    let file = of_calicoctl(folder.path());
    let shown = bundle("show", &file, &[]);
    assert_eq!(shown.status, 0);
    assert!(shown.stdout.contains("it has no manifest, as calicoctl's have none"), "{shown:?}");
    assert!(shown.stderr.contains("note: the bundle has no manifest"), "{shown:?}");
    let rows = bundle("list", &file, &["-o", "json"]).json();
    let paths: Vec<&str> =
        rows["items"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "date",
            "hostname",
            "ipv4_route",
            "ipv4_tables",
            "journalctl_calico_node",
            "logs/bird/current"
        ]
    );
    let read = bundle("cat", &file, &["ipv4_route"]);
    assert_eq!(read.stdout, "default via 172.18.0.1 dev eth0\n");
    assert_eq!(problems(&file), (3, vec!["*: no-manifest".to_owned()]));
    let new = folder.path().join("new.tar.gz");
    let redacted = run(calivet().args(["bundle", "redact"]).args([&file, &new]));
    assert_eq!(redacted.status, 0, "{redacted:?}");
    let log = bundle("cat", &new, &["logs/bird/current"]).stdout;
    assert!(!log.contains("s3cr3t-of-mine") && log.contains("[redacted:"), "{log}");
}

#[test]
fn no_check_is_ok_where_a_bundle_of_calicoctls_has_no_evidence() {
    let folder = TempDir::new().unwrap();
    let file = of_calicoctl(folder.path());
    let checked = run(calivet().args(["check", "-o", "json", "--from"]).arg(&file));
    let report = checked.json();
    // The logs are there, and say what they say.
    let of_logs = |finding: &&Value| finding["check"] == "logs";
    for finding in report["findings"].as_array().unwrap().iter().filter(|it| !of_logs(it)) {
        let level = finding["level"].as_str().unwrap();
        assert!(["unknown", "skip", "info"].contains(&level), "{finding:#}");
    }
    assert!(report["summary"]["unknown"].as_u64().unwrap() > 0);
    assert_eq!(checked.status, 3, "{checked:?}");
}

#[test]
fn an_old_bundle_is_redacted_by_the_rules_of_today() {
    let case = Case::of(&node());
    // As a calivet without these rules would have left it: a password in a configuration, and its value in a log.
    let old = case.changed(|folder| {
        let conflist = "{\"etcd_password\": \"Tr0ub4dor-and-3\"}\n";
        rewrite(folder, "host/etc/cni/net.d/10-calico.conflist", |_| conflist.to_owned());
        rewrite(folder, "logs/bird/current", |_| "using Tr0ub4dor-and-3 for etcd\n".to_owned());
    });
    assert_eq!(problems(&old), (0, Vec::new()));
    let new = case.at("new.tar.gz");
    let redacted = run(calivet().args(["bundle", "redact"]).args([&old, &new]));
    assert_eq!((redacted.status, redacted.stderr.as_str()), (0, ""), "{redacted:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&new).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    shell(case.folder.path(), "mkdir new && tar xzf new.tar.gz -C new && ! grep -rq Tr0ub4dor new");
    assert_eq!(problems(&new), (0, Vec::new()));
    let shown = bundle("show", &new, &["-o", "json"]).json();
    let cut: u64 =
        shown["redactions"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(cut, 2, "{:#}", shown["redactions"]);
    assert_eq!(shown["redactedAgain"].as_array().unwrap().len(), 1);
    // The verdict is the same, and a third run finds nothing more.
    for command in [&["check", "-o", "json"][..], &["node", "status", "-o", "json"]] {
        let [before, after] =
            [&old, &new].map(|file| run(calivet().args(command).arg("--from").arg(file)).stdout);
        assert_eq!(before, after);
    }
    let third = case.at("third.tar.gz");
    let again = run(calivet().args(["bundle", "redact"]).args([&new, &third]));
    assert!(again.stdout.contains("nothing more"), "{again:?}");
    let rows =
        |file: &Path| bundle("list", file, &["-o", "wide", "host", "logs", "network"]).stdout;
    assert_eq!(rows(&new), rows(&third));
    // What was not what the manifest lists does not become so.
    let touched = case.changed(|folder| {
        fs::write(folder.join("host/var/lib/calico/nodename"), "node-2").unwrap();
    });
    let fourth = case.at("fourth.tar.gz");
    run(calivet().args(["bundle", "redact"]).args([&touched, &fourth]));
    assert_eq!(problems(&fourth), (3, vec!["host/var/lib/calico/nodename: sha256".to_owned()]));
    // Over no existing file, through no link.
    let refused = run(calivet().args(["bundle", "redact"]).args([&old, &new]));
    assert_eq!(refused.status, 3);
    assert!(refused.stderr.contains("exists already"), "{refused:?}");
}

/// Gives a file of an unpacked bundle another content, as if the node had had that.
fn rewrite(folder: &Path, name: &str, text: impl Fn(&str) -> String) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let file = folder.join(name);
    let text = text(&fs::read_to_string(&file).unwrap());
    fs::write(&file, &text).unwrap();
    let items = manifest["items"].as_array_mut().unwrap();
    let item = items.iter_mut().find(|item| item["path"] == name).unwrap();
    (item["bytes"], item["sha256"]) = (json!(text.len()), json!(sha256(&file)));
    fs::write(path, manifest.to_string()).unwrap();
}

fn sha256(file: &Path) -> String {
    let sum = run(Command::new("sha256sum").arg(file));
    sum.stdout.split(' ').next().unwrap().to_owned()
}

/// One gzip member.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A tar header of a file that says it has so many bytes.
fn header(name: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn entry(name: &str, data: &[u8]) -> Vec<u8> {
    entry_of(name, tar::EntryType::Regular, data)
}

fn entry_of(name: &str, kind: tar::EntryType, data: &[u8]) -> Vec<u8> {
    let mut entry = header(name, kind, data.len() as u64);
    entry.extend_from_slice(data);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

#[test]
fn hostile_archives_are_survived_by_every_command() {
    use tar::EntryType;
    let folder = TempDir::new().unwrap();
    let manifest = entry("diagnostics/manifest.json", b"{\"schemaVersion\":1,\"items\":[{}]}");
    let zeros = gzip(&vec![0; 1 << 20]);
    let end = gzip(&[0; 1024]);
    let mut hostile: Vec<(&str, Vec<u8>)> = vec![
        (
            "leads out",
            gzip(&[manifest.clone(), entry("../../etc/x", b"x"), entry("/etc/x", b"x")].concat()),
        ),
        (
            "a lying size",
            gzip(
                &[manifest.clone(), header("diagnostics/x", EntryType::Regular, 1 << 62)].concat(),
            ),
        ),
        (
            "links",
            gzip(&[manifest.clone(), header("diagnostics/x", EntryType::Symlink, 0)].concat()),
        ),
        ("names", gzip(&entry("diagnostics/\x1b[2J*", b"\x1b]0;x\x07"))),
        (
            "a nested manifest",
            gzip(&entry("diagnostics/manifest.json", "[".repeat(100_000).as_bytes())),
        ),
        ("half", gzip(&manifest)[..40].to_vec()),
        ("no gzip", b"PK\x03\x04".to_vec()),
        ("nothing", Vec::new()),
    ];
    // Much of nothing in one file, and files without end.
    let mut bomb = gzip(&header("diagnostics/bomb", EntryType::Regular, 400 << 20));
    bomb.extend(zeros.repeat(400));
    bomb.extend(&end);
    hostile.push(("a bomb", bomb));
    let mut bomb = gzip(&header("diagnostics/manifest.json", EntryType::Regular, 400 << 20));
    bomb.extend(zeros.repeat(400));
    bomb.extend(&end);
    hostile.push(("a manifest that is a bomb", bomb));
    // JSON takes many times its length in memory.
    for (name, values) in [
        ("a manifest of numbers", "0,".repeat(8 << 20)),
        ("a manifest of objects", "{\"\":0},".repeat(2 << 20)),
    ] {
        let text = format!("{{\"schemaVersion\":1,\"options\":[{values}0],\"items\":[]}}");
        hostile.push((name, gzip(&[entry("diagnostics/manifest.json", text.as_bytes())].concat())));
    }
    let long: Vec<u8> = (0..5_700)
        .flat_map(|n| {
            let name = [format!("diagnostics/{n}"), "/long".repeat(600)].concat();
            let long = entry_of("././@LongLink", tar::EntryType::GNULongName, name.as_bytes());
            [long, entry("diagnostics/x", b"")].concat()
        })
        .collect();
    hostile.push(("many long names", gzip(&long)));
    let many: Vec<u8> = (0..5_000).flat_map(|n| entry(&format!("diagnostics/{n}"), b"")).collect();
    hostile.push(("many entries", gzip(&many)));
    for (name, bytes) in hostile {
        let file = folder.path().join("hostile.tar.gz");
        fs::write(&file, bytes).unwrap();
        let path = file.to_str().unwrap();
        let new = folder.path().join("new.tar.gz");
        for arguments in [
            &["show", path][..],
            &["show", path, "-o", "json"],
            &["list", path],
            &["cat", path, "manifest.json"],
            &["cat", path, "bomb"],
            &["verify", path],
            &["diff", path, path],
            &["redact", path, new.to_str().unwrap()],
            &["redact", "--obfuscate", path, new.to_str().unwrap()],
        ] {
            // Without optimisation, the rules take minutes for a bomb.
            if name == "a bomb" && arguments[0] == "redact" {
                continue;
            }
            // All others keep paths as `show` does.
            if name == "many long names" && !["show", "redact"].contains(&arguments[0]) {
                continue;
            }
            // Memory is what a process may have at most, and what it prints goes nowhere.
            let script = "ulimit -v 380000; exec \"$0\" bundle \"$@\" >/dev/null";
            let done = run(Command::new("sh")
                .args(["-c", script, env!("CARGO_BIN_EXE_calivet")])
                .args(arguments));
            assert!(done.status != 2 && done.status != 101, "{name}: {arguments:?}: {done:?}");
            assert!(!done.stderr.contains('\x1b'), "{name}: {arguments:?}: {done:?}");
            assert!(!done.stderr.contains("panicked"), "{name}: {arguments:?}: {done:?}");
            for written in ["new.tar.gz", "new.tar.gz.map.json", "calivet-obfuscation.key"] {
                fs::remove_file(folder.path().join(written)).ok();
            }
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{name}: {left:?}");
    }
}

fn diff(before: &Path, after: &Path, options: &[&str]) -> Run {
    run(calivet().args(["bundle", "diff"]).args([before, after]).args(options))
}

fn subject<'a>(diff: &'a Value, name: &str) -> &'a Value {
    let subjects = diff["subjects"].as_array().unwrap();
    subjects.iter().find(|subject| subject["subject"] == name).unwrap()
}

#[test]
fn a_bundle_does_not_differ_from_itself() {
    let case = Case::of(&node());
    let same = diff(&case.archive(), &case.archive(), &["-o", "json"]);
    assert_eq!((same.status, same.stderr.as_str()), (0, ""));
    let same = same.json();
    assert_eq!(same["findings"], json!([]));
    assert_eq!(same["sameNode"], true);
    for subject in same["subjects"].as_array().unwrap() {
        for list in ["appeared", "vanished", "changed"] {
            assert_eq!(subject[list], json!([]), "{subject:#}");
        }
    }
    let table = diff(&case.archive(), &case.archive(), &[]);
    assert!(table.stdout.contains("no verdict changed"), "{}", table.stdout);
}

/// The same node later: a route, a rule and a setting are others, two pods came, a file was edited, time has passed.
fn later(folder: &Path) {
    let route = |destination: &str, dev: &str| {
        format!(
            "{{\"family\":\"ipv4\",\"type\":\"unicast\",\"destination\":\"{destination}\",\"table\":254,\"table_name\":\"main\",\"protocol\":80,\"protocol_name\":\"calico\",\"dev\":\"{dev}\",\"index\":7}},\n"
        )
    };
    rewrite(folder, "network/routes.json", |text| {
        let new = [
            route("10.250.0.0/26", "eth9"),
            route("10.251.0.1/32", "cali1"),
            route("10.251.0.2/32", "cali2"),
        ];
        text.replacen("\"routes\":[\n", &format!("\"routes\":[\n{}", new.concat()), 1)
    });
    rewrite(folder, "kernel/sysctl", |text| {
        text.to_owned() + "net.ipv4.ip_forward = 7\nnet.netfilter.nf_conntrack_count = 9\n"
    });
    rewrite(folder, "host/etc/cni/net.d/10-calico.conflist", |_| {
        "{\"name\": \"other\"}\n".to_owned()
    });
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let started: jiff::Timestamp = manifest["started"].as_str().unwrap().parse().unwrap();
    manifest["started"] = json!(started + std::time::Duration::from_secs(3600));
    fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn what_changed_between_two_bundles_is_told_by_subject() {
    let case = Case::of(&node().file("/proc/net/snmp", "Tcp: RtoMin RetransSegs\nTcp: 200 5\n"));
    let after = case.changed(|folder| {
        later(folder);
        rewrite(folder, "host/proc/net/snmp", |text| text.replace("200 5", "200 7205"));
    });
    let found = diff(&case.archive(), &after, &["-o", "json"]).json();
    assert_eq!(found["elapsedSeconds"], 3600);
    let routes = subject(&found, "routes");
    assert_eq!(routes["appeared"].as_array().unwrap().len(), 1, "{routes:#}");
    assert_eq!(routes["appeared"][0]["name"], "10.250.0.0/26 table main");
    assert_eq!(routes["appeared"][0]["facts"]["dev"], "eth9");
    assert_eq!((&routes["churn"], &routes["vanished"]), (&json!(2), &json!([])));
    let sysctls = subject(&found, "sysctls");
    let told = sysctls["changed"]
        .as_array()
        .unwrap()
        .iter()
        .chain(sysctls["appeared"].as_array().unwrap());
    let names: Vec<&str> = told.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["net.ipv4.ip_forward"]);
    let files = subject(&found, "files");
    assert_eq!(files["changed"][0]["name"], "/etc/cni/net.d/10-calico.conflist", "{files:#}");
    assert!(files["changed"][0]["diff"].as_str().unwrap().contains("+{\"name\": \"other\"}"));
    assert_eq!(subject(&found, "links")["changed"], json!([]));
    let retransmitted =
        found["counters"].as_array().unwrap().iter().find(|rate| rate["name"] == "Tcp RetransSegs");
    let retransmitted = retransmitted.unwrap_or_else(|| panic!("{found:#}"));
    assert_eq!(
        (&retransmitted["increase"], &retransmitted["perSecond"]),
        (&json!(7200), &json!(2.0))
    );

    let table = diff(&case.archive(), &after, &[]).stdout;
    assert!(
        table.contains("  + 10.250.0.0/26 table main")
            && table.contains("2 came or went with pods"),
        "{table}"
    );
    assert!(!table.contains("+{"), "{table}");
    assert!(
        diff(&case.archive(), &after, &["-o", "wide"])
            .stdout
            .contains("      +{\"name\": \"other\"}")
    );
}

#[test]
fn a_verdict_that_is_lost_is_told_as_a_loss_of_sight_and_not_as_a_cure() {
    let case = Case::of(&node());
    let folder = TempDir::new().unwrap();
    let found = diff(&case.archive(), &of_calicoctl(folder.path()), &["-o", "json"]).json();
    let findings = found["findings"].as_array().unwrap();
    let lost = findings.iter().filter(|it| it["after"]["level"] == "unknown");
    assert!(lost.clone().count() > 0, "{findings:#?}");
    assert!(lost.clone().all(|it| it["change"] == "loss-of-sight"), "{findings:#?}");
    assert!(
        findings.iter().all(|it| it["change"] != "vanished" || it["after"]["level"] != "unknown")
    );
    // What calicoctl's has not is not gone.
    for name in ["links", "routes", "rules", "sysctls"] {
        let subject = subject(&found, name);
        assert!(subject["notCompared"].is_string(), "{subject:#}");
        assert_eq!(subject["vanished"], json!([]));
    }
    assert_eq!(subject(&found, "files")["vanished"], json!([]));
}

#[test]
fn bundles_of_different_nodes_are_told_to_be_so() {
    let case = Case::of(&node());
    let other = case.changed(|folder| {
        rewrite(folder, "host/var/lib/calico/nodename", |_| "node-2".to_owned());
    });
    let found = diff(&case.archive(), &other, &[]);
    assert!(
        found.stdout.contains("the bundles are of different nodes: A is of node-1, B of node-2"),
        "{found:?}"
    );

    let nameless = Case::of(&Root::new().file("/proc/sys/kernel/hostname", ""));
    let found = diff(&case.archive(), &nameless.archive(), &[]);
    assert!(found.stdout.contains("a node that is not known"), "{found:?}");
    assert!(
        found.stdout.contains("it is not known whether both are of the same node"),
        "{found:?}"
    );
}

#[test]
fn a_report_is_one_page_for_its_owner_and_replaces_nothing_unasked() {
    use std::os::unix::fs::PermissionsExt;

    let case = Case::of(&node().file("/etc/hostname", "<script>alert(1)</script>\n"));
    let made = bundle("report", &case.archive(), &["-q"]);
    let page = case.at("a.html");
    assert_eq!((made.status, made.stdout), (0, format!("{}\n", page.display())), "{}", made.stderr);
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.ends_with("</html>"), "{text}");
    assert!(!text.contains("<script") && text.contains("node-1"));
    assert_eq!(fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o600);

    let again = bundle("report", &case.archive(), &[]);
    assert_eq!((again.status, again.stdout.as_str()), (3, ""));
    assert!(again.stderr.contains("exists already (--force replaces it)"), "{}", again.stderr);
    assert_eq!(bundle("report", &case.archive(), &["--force"]).status, 0);
    let shown = bundle("report", &case.archive(), &["--output-file", "-"]);
    assert_eq!((shown.status, shown.stdout), (0, fs::read_to_string(&page).unwrap()));

    let absent = bundle("report", &case.at("nothing.tar.gz"), &[]);
    assert_eq!((absent.status, absent.stdout.as_str()), (3, ""));
}
