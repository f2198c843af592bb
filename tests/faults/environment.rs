//! Where and how calivet is started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{CALIVET, Scratch, is_root, text};
use crate::root::Root;
use crate::run::install;

fn host() -> Root {
    Root::new()
        .calico_node()
        .file("/etc/hosts", "127.0.0.1 localhost\n")
        .file("/var/log/calico/felix/current", "good\n")
}

/// Runs with this shell script, which is to `exec "$@"`, and the bundle is as good as any.
#[track_caller]
fn started_by(script: &str) {
    let (root, scratch) = (host(), Scratch::new());
    let run = scratch.wrapped(&["sh", "-c", script, "sh"], root.path()).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let mode = fs::metadata(scratch.archive()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{mode:o}");
    let bundle = scratch.open();
    assert_eq!(bundle.bytes("logs/felix/current"), b"good\n");
    assert_eq!(bundle.told("host/etc/hosts").0, "ok");
    let items = bundle.manifest["items"].as_array().unwrap();
    let starved = |item: &&serde_json::Value| {
        item["reason"].as_str().is_some_and(|reason| reason.contains("Too many open files"))
    };
    assert_eq!(items.iter().find(starved), None);
}

#[test]
fn sixteen_open_files_are_enough() {
    started_by("ulimit -n 16; exec \"$@\"");
}

#[test]
fn closed_standard_streams_are_no_trouble() {
    started_by("exec \"$@\" <&- >&- 2>&-");
}

#[test]
fn the_bundle_is_its_owners_alone_whatever_the_umask() {
    started_by("umask 000; exec \"$@\"");
}

#[test]
fn an_odd_environment_changes_nothing() {
    started_by(
        "unset HOME USER LOGNAME; \
         LC_ALL=tr_TR.UTF-8 LANG=x TZ=Asia/Kathmandu TERM= IFS=x PATH=/nonexistent exec \"$@\"",
    );
}

#[test]
fn a_preloaded_library_does_not_reach_the_programs_that_are_run() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let mut command = scratch.diags("/".as_ref());
    command
        .args(["--only", "system"])
        .env("LD_PRELOAD", "/nonexistent/evil.so")
        .env("TZ", "Asia/Kathmandu");
    let run = command.output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    // ld.so of the program would have complained on stderr, which becomes the reason.
    assert_eq!(bundle.told("date"), ("ok", ""));
}

#[test]
fn a_root_without_proc_is_a_bundle_that_says_so() {
    let (root, scratch) = (host(), Scratch::new());
    fs::remove_dir_all(root.at("/proc")).unwrap();
    fs::remove_dir_all(root.at("/sys")).unwrap();
    let run = scratch.diags(root.path()).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("processes.json").0, "missing");
    for name in ["modules", "mounts", "sysctls"] {
        let comparison = &bundle.manifest["untouched"][name];
        assert!(comparison["before"].is_null() && comparison["reason"].is_string(), "{name}");
    }
}

#[test]
fn hidden_processes_are_not_taken_for_absent_ones() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // Where the program is built, others than root may not be able to go.
    let calivet = scratch.path().join("calivet");
    install(Path::new(CALIVET), &calivet);
    // The shell stays: it is the process that must not be missed.
    let script = "mount -t proc -o hidepid=2 proc /proc && \
                  setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; exit $?";
    let run = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"])
        .arg(&calivet)
        .args(["node", "diags", "--only", "system,bird", "--output-file"])
        .arg(scratch.archive())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let bundle = scratch.open();
    assert_ne!(bundle.told("processes.json").0, "ok");
}

#[test]
fn two_runs_at_once_share_nothing() {
    let root = host();
    let scratch = Scratch::new();
    let start = |name: &str| {
        let mut command = Command::new(CALIVET);
        command.arg("--root").arg(root.path()).args(["node", "diags", "-q", "--output-file"]);
        command.arg(scratch.path().join(name)).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let names = ["a.tar.gz", "b.tar.gz", "c.tar.gz"];
    let runs: Vec<_> = names.iter().map(|name| start(name)).collect();
    for (name, run) in names.iter().zip(runs) {
        let run = run.wait_with_output().unwrap();
        let archive = scratch.path().join(name);
        assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
        assert_eq!(text(&run.stdout), format!("{}\n", archive.display()));
    }
    // Nothing is left but the bundles.
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), names.len());
}
