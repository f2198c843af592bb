//! The options of `calivet node diags`: what is collected, where it goes, and what is said about it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::root::Root;
use crate::run::{Run, run};

/// `node diags` of a root with these options, in a folder of its own.
fn diags(root: &Root, folder: &Path, options: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .current_dir(folder)
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags"])
        .args(options))
}

/// The manifest that a run with `-o json` prints, and what GNU tar lists of the bundle.
#[track_caller]
fn collect(root: &Root, options: &[&str]) -> (Value, Vec<String>) {
    let folder = TempDir::new().unwrap();
    let all = [&["-o", "json", "--output-file", "b.tar.gz"], options].concat();
    let written = diags(root, folder.path(), &all);
    assert!(written.status <= 1, "{written:?}");
    let manifest = written.json();
    let archive = folder.path().join("b.tar.gz");
    assert_eq!(
        manifest_in(&archive),
        manifest,
        "the manifest on stdout is not that of the archive"
    );
    (manifest, listed(&archive))
}

fn manifest_in(archive: &Path) -> Value {
    let unpacked = TempDir::new().unwrap();
    let tar = run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()));
    assert_eq!((tar.status, tar.stderr.as_str()), (0, ""));
    let text = fs::read_to_string(unpacked.path().join("diagnostics/manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn listed(archive: &Path) -> Vec<String> {
    let tar = run(Command::new("tar").arg("-tzf").arg(archive));
    assert_eq!((tar.status, tar.stderr.as_str()), (0, ""));
    tar.stdout.lines().map(|line| line.trim_start_matches("diagnostics/").to_owned()).collect()
}

#[track_caller]
fn item<'a>(manifest: &'a Value, path: &str) -> &'a Value {
    let items = manifest["items"].as_array().unwrap();
    items
        .iter()
        .find(|item| item["path"] == path)
        .unwrap_or_else(|| panic!("the manifest has no {path}"))
}

fn node() -> Root {
    Root::new()
        .process(1, &["/sbin/init"])
        .calico_node()
        .file("/var/lib/calico/nodename", "node-1")
        .file("/etc/cni/net.d/10-calico.conflist", "{}")
        .file("/var/log/calico/felix/current", "felix said something\n")
        .file("/etc/os-release", "ID=debian\n")
}

#[test]
fn only_and_skip_choose_collectors_and_the_manifest_says_what_was_left_out() {
    let (manifest, files) = collect(&node(), &["--only", "cni,calico"]);
    assert!(files.contains(&"host/etc/cni/net.d/10-calico.conflist".to_owned()), "{files:?}");
    assert!(files.contains(&"host/var/lib/calico/nodename".to_owned()), "{files:?}");
    assert!(
        !files.iter().any(|file| file.starts_with("logs/") || file.starts_with("bird/")),
        "{files:?}"
    );
    for left_out in ["bird/ipv4/show-status", "host/etc/os-release", "logs"] {
        let item = item(&manifest, left_out);
        assert_eq!(
            (&item["outcome"], &item["reason"]),
            (&"skipped".into(), &"left out by --only".into())
        );
    }
    assert_eq!(manifest["options"]["only"], serde_json::json!(["cni", "calico"]));

    let (manifest, files) = collect(&node(), &["--skip", "logs"]);
    assert!(files.contains(&"host/etc/os-release".to_owned()), "{files:?}");
    assert!(!files.iter().any(|file| file.starts_with("logs/")), "{files:?}");
    assert_eq!(item(&manifest, "logs")["reason"], "left out by --skip");
}

#[test]
fn a_collector_that_there_is_not_is_a_mistake_on_the_command_line() {
    let folder = TempDir::new().unwrap();
    for option in ["--only", "--skip"] {
        let run = diags(&node(), folder.path(), &[option, "bird,felicks"]);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{run:?}");
        assert!(run.stderr.contains("felicks") && run.stderr.contains("felix"), "{run:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn logs_from_before_since_are_left_out_and_listed() {
    let root = node().file("/var/log/calico/felix/@old.s", "long ago\n");
    let old =
        fs::File::options().write(true).open(root.at("/var/log/calico/felix/@old.s")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3 * 3600)).unwrap();
    let (manifest, files) = collect(&root, &["--since", "2h"]);
    assert!(files.contains(&"logs/felix/current".to_owned()), "{files:?}");
    assert!(!files.contains(&"logs/felix/@old.s".to_owned()), "{files:?}");
    let old = item(&manifest, "logs/felix/@old.s");
    assert_eq!(old["outcome"], "skipped");
    assert!(old["reason"].as_str().unwrap().ends_with(", before --since"), "{old}");
    let (_, files) = collect(&root, &["--since", "4h"]);
    assert!(files.contains(&"logs/felix/@old.s".to_owned()), "{files:?}");
}

#[test]
fn lines_from_before_since_are_left_out_and_told() {
    let line = |hours: i64| {
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        format!("{} [INFO][1] felix/x.go 1: {hours}\n", time.strftime("%Y-%m-%d %H:%M:%S.000"))
    };
    let old = [line(5), line(4), line(3)].concat();
    let log = format!("{old}{}{}", line(1), line(0));
    let root = node().file("/var/log/calico/cni/cni.log", &log);
    let folder = TempDir::new().unwrap();
    let options = ["--since", "2h", "--output-file", "x.tar.gz"];
    let diags = diags(&root, folder.path(), &options);
    assert!(diags.status <= 1, "{diags:?}");
    let archive = folder.path().join("x.tar.gz");
    let manifest = manifest_in(&archive);
    let item = item(&manifest, "logs/cni/cni.log");
    let reason = item["reason"].as_str().unwrap();
    assert_eq!((&item["outcome"], &item["originalBytes"]), (&"ok".into(), &log.len().into()));
    assert!(reason.starts_with(&format!("{} bytes from before 20", old.len())), "{reason}");
    let shown =
        run(Command::new("tar").arg("-xOzf").arg(&archive).arg("diagnostics/logs/cni/cni.log"));
    let kept = format!("[calivet: {reason} here]\n{}{}", line(1), line(0));
    // The lines were made a second ago.
    assert_eq!(shown.stdout.lines().count(), kept.lines().count(), "{}", shown.stdout);
    assert_eq!(shown.stdout.lines().next(), kept.lines().next());
    assert!(log.ends_with(shown.stdout.split_once('\n').unwrap().1), "{}", shown.stdout);
}

#[test]
fn logs_are_read_where_the_user_says() {
    let root = node().file("/srv/logs/felix.log", "felix said something\n");
    let (_, files) = collect(&root, &["--log-dir", "/srv/logs"]);
    assert!(files.contains(&"logs/felix.log".to_owned()), "{files:?}");
    assert!(!files.contains(&"logs/felix/current".to_owned()), "{files:?}");
}

#[test]
fn a_bundle_on_stdout_is_nothing_but_the_bundle() {
    let root = node();
    let output = Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--output-file", "-"])
        .output()
        .unwrap();
    let folder = TempDir::new().unwrap();
    let archive = folder.path().join("b.tar.gz");
    fs::write(&archive, &output.stdout).unwrap();
    let gzip = run(Command::new("gzip").arg("--test").arg(&archive));
    assert_eq!((gzip.status, gzip.stderr.as_str()), (0, ""));
    assert!(listed(&archive).contains(&"summary.txt".to_owned()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(" items ("), "{said}");
    // In an archive that goes out as it comes, the manifest is the last entry all the same.
    assert_eq!(listed(&archive).last().unwrap(), "manifest.json");
}

#[test]
fn a_bundle_has_its_name_and_belongs_to_its_owner_alone_whatever_the_umask() {
    let root = node();
    let folder = TempDir::new().unwrap();
    let run = run(Command::new("sh")
        .current_dir(folder.path())
        .args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_calivet"), "--root"])
        .arg(root.path())
        .args(["node", "diags"]));
    assert!(run.status <= 1, "{run:?}");
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let name = files[0].file_name().into_string().unwrap();
    let form = regex::Regex::new(r"^diags-\d{8}_\d{6}\.tar\.gz$").unwrap();
    assert!(form.is_match(&name), "{name}");
    // The path is the last that is printed.
    assert_eq!(run.stdout, format!("Diags saved to {name}\n"));
    let mode = files[0].metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{mode:o}");
}

#[test]
fn what_is_there_already_is_not_replaced_without_force_and_never_through_a_link() {
    let root = node();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("b.tar.gz");
    fs::write(&path, "precious").unwrap();
    let options = ["-q", "--only", "calico", "--output-file", "b.tar.gz"];
    let refused = diags(&root, folder.path(), &options);
    assert_eq!((refused.status, refused.stdout.as_str()), (3, ""), "{refused:?}");
    assert!(
        refused.stderr.contains("b.tar.gz") && refused.stderr.contains("--force"),
        "{refused:?}"
    );
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let forced = diags(&root, folder.path(), &[&options[..], &["--force"]].concat());
    assert!(forced.status <= 1, "{forced:?}");
    assert_eq!((forced.stdout.as_str(), forced.stderr.as_str()), ("b.tar.gz\n", ""));
    listed(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);

    fs::remove_file(&path).unwrap();
    fs::write(folder.path().join("target"), "precious").unwrap();
    symlink("target", &path).unwrap();
    assert_eq!(diags(&root, folder.path(), &options).status, 3);
    let forced = diags(&root, folder.path(), &[&options[..], &["--force"]].concat());
    assert_eq!(forced.status, 3, "{forced:?}");
    assert_eq!(fs::read(folder.path().join("target")).unwrap(), b"precious");

    let nowhere = diags(&root, folder.path(), &["--output-file", "no/such/folder/b.tar.gz"]);
    assert_eq!((nowhere.status, nowhere.stdout.as_str()), (3, ""), "{nowhere:?}");
    assert_eq!(nowhere.stderr.lines().count(), 1, "{nowhere:?}");
}

#[test]
fn a_dry_run_lists_what_would_be_done_and_does_nothing() {
    let root = node();
    let folder = TempDir::new().unwrap();
    let plan = diags(&root, folder.path(), &["--dry-run", "--skip", "kernel"]);
    assert_eq!((plan.status, plan.stderr.as_str()), (0, ""), "{plan:?}");
    assert!(plan.stdout.starts_with("+--"), "{}", plan.stdout);
    for shown in [
        "COLLECTOR",
        "bird: show protocols all",
        "ip -4",
        "left out by --skip",
        "/var/log/calico/{**}",
    ] {
        assert!(plan.stdout.contains(shown), "{shown} is not in\n{}", plan.stdout);
    }
    let json = diags(&root, folder.path(), &["--dry-run", "-o", "json"]);
    assert_eq!((json.status, json.stderr.as_str()), (0, ""), "{json:?}");
    assert_eq!(json.json()["schemaVersion"], 1);
    let items = json.json()["items"].as_array().unwrap().clone();
    assert!(items.len() > 60, "{}", items.len());
    for item in &items {
        for key in ["collector", "path", "source"] {
            assert!(item[key].is_string(), "{item}");
        }
    }
    // What is planned is what is done.
    let (manifest, _) = collect(&root, &[]);
    let done: Vec<&Value> =
        manifest["items"].as_array().unwrap().iter().map(|item| &item["path"]).collect();
    for item in items.iter().filter(|item| !item["path"].as_str().unwrap().ends_with('/')) {
        assert!(done.contains(&&item["path"]), "{item} was planned and not done");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a dry run wrote something");
}

#[test]
fn quiet_says_nothing_but_the_path_and_a_reader_that_goes_away_is_survived() {
    let root = node();
    let folder = TempDir::new().unwrap();
    let run = diags(&root, folder.path(), &["-q", "--output-file", "q.tar.gz"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("q.tar.gz\n", ""));
    let mut child = Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--output-file", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // The pipe may have taken a beginning before it was closed (1: a bundle that is not whole), or nothing (3).
    assert!(matches!(output.status.code(), Some(1 | 3)), "{:?}: {said}", output.status);
    assert!(!said.contains("panicked") && said.lines().count() <= 1, "{said}");
}

#[test]
fn calicos_pods_logs_are_unpacked_and_other_pods_are_left_alone() {
    let pods = "/var/log/pods";
    let calico = "kube-system_calico-node-x7k2p_0f1e2d3c-0000-1111-2222-333344445555/calico-node";
    let typha = "calico-system_calico-typha-5d9_aaaa/calico-typha";
    let root = node()
        .file(
            &format!("{pods}/{calico}/0.log"),
            "2026-11-23T02:33:26.5Z stdout P half a line \n2026-11-23T02:33:26.6Z stdout F and its end\n",
        )
        .file(&format!("{pods}/{calico}/0.log.20261122-010203.gz"), gzipped("an older line\n"))
        .file(&format!("{pods}/{calico}/broken.log.gz"), &gzipped("a line\n")[..12])
        .file(&format!("{pods}/{typha}/1.log"), "typha\n")
        .file(&format!("{pods}/tigera-operator_tigera-operator-1_b/tigera-operator/0.log"), "operator\n")
        .file(&format!("{pods}/default_shop-1_c/shop/0.log"), "a customer's name\n")
        .file(&format!("{pods}/default_shop-1_c/calico/0.log"), "another customer's name\n");
    symlink("/etc/os-release", root.at(&format!("{pods}/{calico}/link.log"))).unwrap();
    let folder = TempDir::new().unwrap();
    let run_ = diags(&root, folder.path(), &["-o", "json", "--output-file", "b.tar.gz"]);
    let manifest = run_.json();
    let tar = run(Command::new("tar").current_dir(folder.path()).args(["-xzf", "b.tar.gz"]));
    assert_eq!(tar.status, 0);
    let logs = folder.path().join("diagnostics/logs/pods");
    let read = |path: String| fs::read_to_string(logs.join(path)).unwrap();
    assert!(read(format!("{calico}/0.log")).ends_with("and its end\n"));
    assert_eq!(read(format!("{calico}/0.log.20261122-010203")), "an older line\n");
    assert_eq!(read(format!("{typha}/1.log")), "typha\n");
    assert_eq!(
        read("tigera-operator_tigera-operator-1_b/tigera-operator/0.log".to_owned()),
        "operator\n"
    );
    assert!(!logs.join("default_shop-1_c").exists());
    assert!(!manifest.to_string().contains("shop"), "other pods are none of our business");
    let broken = item(&manifest, &format!("logs/pods/{calico}/broken.log"));
    assert_eq!(broken["outcome"], "failed", "{broken}");
    let link = item(&manifest, &format!("logs/pods/{calico}/link.log"));
    assert_eq!(link["outcome"], "not-applicable", "{link}");
    assert!(link["reason"].as_str().unwrap().contains("link"), "{link}");
    assert!(!logs.join(calico).join("link.log").exists());
}

fn gzipped(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = Command::new("gzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    gzip.wait_with_output().unwrap().stdout
}
