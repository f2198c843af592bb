//! Nothing on the node is changed, and nobody is given what they should not have.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::{Scratch, is_root};

/// The machine's own state, as far as tests beside this one leave it alone.
fn fingerprint() -> BTreeMap<&'static str, String> {
    let run = |line: &str| {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    BTreeMap::from([
        ("modules", run("cut -d' ' -f1 /proc/modules | sort")),
        ("rules", run("ip rule; ip -6 rule")),
        (
            "routes",
            run(
                "ip route show table all; ip -6 route show table all | sed 's/expires [0-9]*sec//'",
            ),
        ),
        ("sysctls", run("sysctl -a 2>/dev/null | grep '^net\\.' | grep -v -e nf_conntrack_count")),
        ("files", run("ls -la --full-time /etc /run /var/lib /var/log | grep -v lab")),
        ("nft", run("nft list ruleset")),
    ])
}

#[test]
fn a_run_on_this_machine_changes_nothing_and_proves_it() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let before = fingerprint();
    let run = scratch.diags("/".as_ref()).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    assert_eq!(before, fingerprint());
    let untouched = &scratch.open().manifest["untouched"];
    for name in ["routes", "sysctls", "mounts"] {
        assert!(untouched[name]["before"].as_u64().is_some_and(|count| count > 0), "{untouched}");
    }
    for name in ["modules", "routes", "sysctls"] {
        assert_eq!(untouched[name]["changed"].as_array().map(Vec::len), Some(0), "{untouched}");
    }
}

/// What `strace` saw, a line a call; `None` where it is not installed or may not trace.
fn trace(calls: &str, scratch: &Scratch) -> Option<String> {
    let log = scratch.path().join("trace");
    let options = ["-f", "-qq", "-e", calls, "-o", log.to_str().unwrap()];
    match Command::new("strace").args(options).arg("true").output() {
        Ok(tried) if tried.status.success() => {}
        _ => {
            eprintln!("skipped: strace cannot be run here");
            return None;
        }
    }
    let wrapper: Vec<&str> = ["strace"].into_iter().chain(options).collect();
    let run = scratch.wrapped(&wrapper, "/".as_ref()).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    Some(fs::read_to_string(log).unwrap())
}

#[test]
fn no_signal_is_sent_to_a_process_that_was_not_started_here() {
    let scratch = Scratch::new();
    if !is_root() {
        return;
    }
    let calls = "trace=kill,tkill,tgkill,pidfd_send_signal,clone,clone3,fork,vfork";
    let Some(trace) = trace(calls, &scratch) else { return };
    // `1234  clone(child_stack=NULL, ...) = 5678`, and the end of one that was interrupted in the trace.
    let born: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("clone") || line.contains("fork"))
        .filter_map(|line| line.rsplit_once("= ").map(|(_, pid)| pid.trim()))
        .collect();
    assert!(born.len() > 5, "{trace}");
    let mut kills = 0;
    for line in trace.lines().filter(|line| line.contains("kill(") || line.contains("send_signal("))
    {
        let (_, arguments) = line.split_once('(').unwrap();
        let target = arguments.split([',', ')']).next().unwrap().trim().trim_start_matches('-');
        assert!(born.contains(&target), "a signal to a stranger: {line}");
        kills += 1;
    }
    // Each program's group is ended, whether something is left of it or not.
    assert!(kills > 0, "{trace}");
}

#[test]
fn nothing_is_opened_to_be_written_but_the_bundle() {
    let scratch = Scratch::new();
    if !is_root() {
        return;
    }
    let Some(trace) = trace("trace=open,openat,openat2,creat", &scratch) else { return };
    let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE", "O_TRUNC", "creat("];
    let mut bundle = 0;
    for line in trace.lines().filter(|line| writes.iter().any(|flag| line.contains(flag))) {
        let path = line.split('"').nth(1).unwrap_or("");
        match path {
            _ if path == scratch.archive().to_str().unwrap() => bundle += 1,
            "/dev/null" | "/dev/tty" => {}
            // Programs that look whether they may: iproute2 and procps do not write either.
            _ => assert!(line.contains("= -1 "), "opened to be written: {line}"),
        }
    }
    assert_eq!(bundle, 1);
}

/// A process that calls itself Felix, in a mount namespace with a program that the host lacks.
struct Pretender(Child);

impl Pretender {
    fn start(namespaces: &[&str]) -> Self {
        let script = "mount -t tmpfs none /usr/local/bin
            printf '#!/bin/sh\necho \"from the container\"\n' >/usr/local/bin/nmcli
            chmod 755 /usr/local/bin /usr/local/bin/nmcli
            echo 'read -r _' >/usr/local/bin/component
            cd /usr/local/bin
            echo ready
            exec -a calico bash component felix";
        let mut child = Command::new("unshare")
            .arg("--mount")
            .args(namespaces)
            .args(["bash", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    /// What a bundle of this machine tells of the program that the host lacks, while this process runs.
    #[track_caller]
    fn told(&mut self) -> (String, String) {
        assert_eq!(self.0.try_wait().unwrap(), None, "it has ended");
        let scratch = Scratch::new();
        // Should the host have it, it is hidden.
        let hide = "for at in /usr/sbin /usr/bin /sbin /bin; do
                [ ! -e $at/nmcli ] || mount --bind /dev/null $at/nmcli
            done
            exec \"$@\"";
        let wrapper = ["unshare", "--mount", "bash", "-c", hide, "bash"];
        let mut command = scratch.wrapped(&wrapper, "/".as_ref());
        let run = command.args(["--only", "networkmanager"]).output().unwrap();
        assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
        let bundle = scratch.open();
        let (outcome, reason) = bundle.told("networkmanager/devices");
        (outcome.to_owned(), reason.to_owned())
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One test, for two of these processes at once would be taken for each other.
#[test]
fn a_pod_that_calls_itself_calico_node_has_none_of_its_programs_run_and_calico_node_has() {
    if !is_root() {
        return;
    }
    let mut impostor = Pretender::start(&["--net"]);
    let (outcome, reason) = impostor.told();
    assert_eq!(outcome, "missing");
    assert!(reason.contains("is not in the host's network namespace"), "{reason}");
    drop(impostor);
    let (outcome, reason) = Pretender::start(&[]).told();
    assert_eq!((outcome.as_str(), reason.as_str()), ("ok", ""));
}
