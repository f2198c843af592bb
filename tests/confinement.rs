//! A command that only reads a bundle can open nothing else: what strace(1) sees of it. That the kernel refuses the rest is
//! shown beside `host::confine`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::root::Root;
use crate::run::run;
use crate::strace;

fn calivet() -> Command {
    Command::new(env!("CARGO_BIN_EXE_calivet"))
}

fn bundle(folder: &Path) {
    let root = Root::new().calico_node();
    let written = run(calivet()
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--timeout", "2s", "-q", "--output-file"])
        .arg(folder.join("a.tar.gz")));
    assert!(written.status <= 1, "{written:?}");
}

/// Whether this kernel has Landlock: what calivet itself says at its most talkative.
fn has_landlock(folder: &Path) -> bool {
    let shown = run(calivet().args(["-vv", "bundle", "list"]).arg(folder.join("a.tar.gz")));
    assert!(shown.stderr.contains("calls: true"), "no seccomp filter: {}", shown.stderr);
    let has = shown.stderr.contains("files: Full") || shown.stderr.contains("files: Partial");
    if !has {
        eprintln!("skipped: this kernel has no Landlock: {}", shown.stderr);
    }
    has
}

#[test]
fn what_is_written_goes_where_it_is_named_and_beside_it() {
    let folder = TempDir::new().unwrap();
    bundle(folder.path());
    if !has_landlock(folder.path()) {
        return;
    }
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("in")).unwrap();
    fs::create_dir(at("out")).unwrap();
    fs::create_dir(at("elsewhere")).unwrap();
    fs::copy(at("a.tar.gz"), at("in/a.tar.gz")).unwrap();
    let redacted = run(calivet()
        .args(["bundle", "redact", "--force", "--obfuscate", "--obfuscation-key"])
        .arg(at("elsewhere/key"))
        .args([at("in/a.tar.gz"), at("out/b.tar.gz")]));
    assert_eq!(redacted.status, 0, "{redacted:?}");
    assert!(at("elsewhere/key").exists() && at("out/b.tar.gz.map.json").exists());
    let page = run(calivet().args(["bundle", "report"]).arg(at("in/a.tar.gz")));
    assert_eq!(page.status, 0, "{page:?}");
}

/// The system calls of a run, by strace(1), a line each, in the order in which they began.
fn traced(folder: &Path, arguments: &[&str]) -> Option<String> {
    let trace = folder.join("trace");
    let status = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-e",
            "trace=openat,openat2,socket,execve,prctl,seccomp,landlock_restrict_self,clone,clone3",
            "-o",
        ])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_calivet"))
        .args(arguments)
        .current_dir(folder)
        .output();
    match status {
        Ok(done) if done.status.code().is_some_and(|code| code < 4) => {}
        other => {
            eprintln!("skipped: strace does not run here: {other:?}");
            return None;
        }
    }
    Some(strace::read(&trace))
}

#[test]
fn every_command_that_reads_a_bundle_confines_itself_before_it_opens_it_or_starts_a_thread() {
    let folder = TempDir::new().unwrap();
    bundle(folder.path());
    if !has_landlock(folder.path()) {
        return;
    }
    for arguments in [
        &["bundle", "show", "a.tar.gz"][..],
        &["bundle", "list", "a.tar.gz"],
        &["bundle", "cat", "a.tar.gz", "manifest.json"],
        &["bundle", "verify", "a.tar.gz"],
        &["bundle", "diff", "a.tar.gz", "a.tar.gz"],
        &["bundle", "report", "a.tar.gz", "--force"],
        &["bundle", "redact", "a.tar.gz", "b.tar.gz", "--force"],
        &["check", "--from", "a.tar.gz"],
        &["node", "status", "--from", "a.tar.gz"],
    ] {
        let Some(trace) = traced(folder.path(), arguments) else { return };
        let lines: Vec<&str> = trace.lines().collect();
        let first = |wanted: &str| lines.iter().position(|line| line.contains(wanted));
        let landlock =
            first("landlock_restrict_self(").unwrap_or_else(|| panic!("{arguments:?}: {trace}"));
        let filter = first("SECCOMP_MODE_FILTER").or_else(|| first("SECCOMP_SET_MODE_FILTER"));
        let filter = filter.unwrap_or_else(|| panic!("{arguments:?}: {trace}"));
        // The rule itself opens what it allows, with O_PATH: what is read is opened again.
        let reads = |line: &&str| {
            line.contains("open") && line.contains("\"a.tar.gz\"") && !line.contains("O_PATH")
        };
        let read = lines.iter().position(reads).unwrap();
        assert!(landlock < filter && filter < read, "{arguments:?}: {trace}");
        let thread = lines.iter().position(|line| line.contains("clone"));
        assert!(thread.is_none_or(|thread| filter < thread), "{arguments:?}: {trace}");
        let after = &lines[filter..];
        assert!(
            !after.iter().any(|line| line.contains("socket(") || line.contains("execve(")),
            "{trace}"
        );
        // All that is opened afterwards is what was named; how many processors there are may be looked for in vain.
        let is_odd = |line: &&&str| {
            line.contains("= -1 EACCES") && !line.contains("\"/proc/") && !line.contains("\"/sys/")
        };
        let odd: Vec<_> = after.iter().filter(is_odd).collect();
        assert!(odd.is_empty(), "{arguments:?}: {odd:#?}");
    }
}
