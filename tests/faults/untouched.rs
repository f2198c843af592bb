//! Nothing on the node is changed, and nobody is given what they should not have.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use calivet::host::Host;
use calivet::untouched::Fingerprint;

use super::{CALIVET, Scratch, is_root, wait_until};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::strace;

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
    for name in ["routes", "rules", "interfaces", "interfaceSysctls", "sysctls", "mounts"] {
        assert!(untouched[name]["before"].as_u64().is_some_and(|count| count > 0), "{untouched}");
    }
    // Tests beside this one mount things, but never in what it looks at here.
    for (name, comparison) in untouched.as_object().unwrap() {
        let changed = comparison["changed"].as_array().map(Vec::len);
        assert!(changed == Some(0) || name == "mounts", "{name}: {untouched}");
    }
}

/// A network with some of everything that a run could change by accident.
const NETWORK: &str = "
ip link add v0 type veth peer name v1
ip address add 10.0.0.1/24 dev v0
ip address add fd00::1/64 dev v0 nodad
sysctl -q -w net.ipv6.conf.v0.router_solicitations=0 net.ipv6.conf.v1.router_solicitations=0
ip link set v0 up
ip link set v1 up
ip route add 192.168.1.0/26 via 10.0.0.2 dev v0 proto bird
ip route add blackhole 192.168.2.0/26 table 77
ip -6 route add blackhole fd02::/64
ip rule add pref 99 fwmark 0x100000/0x100000 table 77
nft add table ip filter
";

/// A change, the subject that shows it, and what it is called there.
const CHANGES: &[(&str, &str, &str)] = &[
    ("ip route add 10.99.0.0/16 via 10.0.0.2 table 100", "routes", "+table 100"),
    ("ip route change 10.99.0.0/16 via 10.0.0.3 table 100", "routes", "table 100"),
    ("ip route flush table 100", "routes", "-table 100"),
    ("ip route replace 192.168.1.0/26 via 10.0.0.2 dev v0 mtu 1300", "routes", "table 254"),
    ("ip -6 route add blackhole fd03::/64 table 101", "routes6", "+table 101"),
    ("ip rule add pref 1234 from 10.1.0.0/16 lookup 77", "rules", "+ipv4 1234"),
    ("ip rule del pref 1234 && ip rule add pref 1234 lookup 77", "rules", "ipv4 1234"),
    ("ip -6 rule del pref 32766", "rules", "-ipv6 32766"),
    ("nft add table ip more", "nftGeneration", "generation"),
    ("ip link set v1 promisc on", "interfaces", "v1"),
    ("ip link set v1 mtu 1400", "interfaces", "v1"),
    ("ip link add v2 type veth peer name v3", "interfaces", "+v2"),
    ("ip link del v2", "interfaces", "-v3"),
    ("sysctl -q -w net.ipv4.conf.v0.rp_filter=2", "interfaceSysctls", "net.ipv4.conf.v0"),
    ("sysctl -q -w net.ipv6.conf.v0.accept_ra=0", "interfaceSysctls", "net.ipv6.conf.v0"),
    ("sysctl -q -w net.ipv4.neigh.v0.gc_stale_time=7", "interfaceSysctls", "net.ipv4.neigh.v0"),
    ("sysctl -q -w net.ipv4.ip_forward=1", "sysctls", "net.ipv4.ip_forward"),
    ("sysctl -q -w net.ipv4.conf.all.rp_filter=1", "sysctls", "net.ipv4.conf.all.rp_filter"),
];

/// The fingerprint of a network namespace.
fn fingerprint_in(namespaces: &Namespaces) -> Fingerprint {
    std::thread::scope(|scope| {
        let taking = scope.spawn(|| {
            // What reads is started from this thread and so is in the same namespace.
            namespaces.enter_network();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let host = Host::live("/".as_ref(), Duration::from_secs(20));
            runtime.unwrap().block_on(Fingerprint::take(&host, true, 4))
        });
        taking.join().unwrap()
    })
}

#[test]
fn each_kind_of_change_in_a_network_is_seen_and_named_and_nothing_else_is() {
    let Ok(namespaces) = Namespaces::new() else {
        assert!(!is_root(), "no namespaces can be made here");
        return;
    };
    namespaces.run(NETWORK);
    wait_until("its own addresses have settled", || {
        namespaces.run("ip -6 address show tentative").is_empty()
    });
    let mut before = fingerprint_in(&namespaces);
    for (name, comparison) in before.compare(&fingerprint_in(&namespaces), str::to_owned) {
        assert_eq!(comparison.changed, [""; 0], "{name}");
        let is_known = comparison.before.is_some() && comparison.reason.is_none();
        assert!(is_known || name == "modules", "{name}: {comparison:?}");
    }
    for &(change, subject, called) in CHANGES {
        namespaces.run(change);
        let after = fingerprint_in(&namespaces);
        let changed = &before.compare(&after, str::to_owned)[subject].changed;
        assert!(changed.iter().any(|name| name == called), "{change}: {subject} {changed:?}");
        before = after;
    }
}

#[test]
fn what_others_change_during_a_run_is_in_its_manifest() {
    let Ok(namespaces) = Namespaces::new() else {
        assert!(!is_root(), "no namespaces can be made here");
        return;
    };
    namespaces.run(NETWORK);
    let root = Root::new();
    let bird = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
    let scratch = Scratch::new();
    let mut command = namespaces.command(CALIVET);
    command.arg("--root").arg(root.path()).args(["--timeout", "2s", "node", "diags"]);
    command.args(["--only", "bird", "--output-file"]).arg(scratch.archive());
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // BIRD is asked when the first fingerprint has been taken.
    let _client = bird.accept().unwrap();
    namespaces.run("ip route add 10.99.0.0/16 via 10.0.0.2 table 100");
    assert!(run.wait().unwrap().code().is_some_and(|code| code <= 1));
    let untouched = &scratch.open().manifest["untouched"];
    assert_eq!(untouched["routes"]["changed"], serde_json::json!(["+table 100"]), "{untouched}");
    assert_eq!(untouched["rules"]["changed"], serde_json::json!([]), "{untouched}");
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
    Some(strace::read(&log))
}

#[test]
fn no_signal_is_sent_to_a_process_that_was_not_started_here() {
    let scratch = Scratch::new();
    if !is_root() {
        return;
    }
    let calls = "trace=kill,tkill,tgkill,pidfd_send_signal,clone,clone3,fork,vfork";
    let Some(trace) = trace(calls, &scratch) else { return };
    // `1234  clone(child_stack=NULL, ...) = 5678`
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

#[test]
fn no_lock_is_asked_for() {
    let scratch = Scratch::new();
    if !is_root() {
        return;
    }
    let Some(trace) = trace("trace=flock,fcntl", &scratch) else { return };
    let locks = ["flock(", "F_SETLK", "F_OFD_SETLK"];
    let taken: Vec<&str> =
        trace.lines().filter(|line| locks.iter().any(|lock| line.contains(lock))).collect();
    assert!(taken.is_empty(), "{taken:?}");
}

/// What a bundle tells of a program that the host lacks, and a process that calls itself Felix has in its own mount namespace,
/// and in further `namespaces`. Both are in a PID namespace with nobody else: other tests have a Felix, too.
#[track_caller]
fn told_beside_a_pretender(namespaces: &str) -> (String, String) {
    let pretend = r#"mount -t tmpfs none /usr/local/bin
        printf '#!/bin/sh\necho "from the container"\n' >/usr/local/bin/nmcli
        chmod 755 /usr/local/bin /usr/local/bin/nmcli
        echo 'while :; do sleep 1; done' >/usr/local/bin/component
        cd /usr/local/bin
        exec -a calico bash component felix"#;
    // Should the host have it, it is hidden.
    let script = r#"for at in /usr/sbin /usr/bin /sbin /bin; do
            [ ! -e $at/nmcli ] || mount --bind /dev/null $at/nmcli
        done
        unshare --mount $NAMESPACES bash -c "$PRETEND" >/dev/null 2>&1 &
        until grep -qz felix /proc/$!/cmdline; do
            kill -0 $! || exit 99
            sleep 0.02
        done
        "$@""#;
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
    let wrapper = [&wrapper[..], &["bash", "-c", script, "bash"]].concat();
    let scratch = Scratch::new();
    let mut command = scratch.wrapped(&wrapper, "/".as_ref());
    command.env("PRETEND", pretend).env("NAMESPACES", namespaces);
    let run = command.args(["--only", "networkmanager"]).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    let (outcome, reason) = bundle.told("networkmanager/devices");
    (outcome.to_owned(), reason.to_owned())
}

#[test]
fn a_pod_that_calls_itself_calico_node_has_none_of_its_programs_run_and_calico_node_has() {
    if !is_root() {
        return;
    }
    let (outcome, reason) = told_beside_a_pretender("--net");
    assert_eq!(outcome, "missing");
    assert!(reason.contains("is not in the host's network namespace"), "{reason}");
    let (outcome, reason) = told_beside_a_pretender("");
    assert_eq!((outcome.as_str(), reason.as_str()), ("ok", ""));
}
