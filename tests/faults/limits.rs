//! A machine that gives little: memory, processor time, system calls, a clock that can be relied on.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{CALIVET, Scratch, Unpacked, is_root, text};
use crate::memory::noise;
use crate::root::Root;

/// A line of Felix's that does not shrink to nothing.
fn log(lines: usize) -> String {
    let line = |number| {
        format!(
            "2026-11-23 02:33:26.123 [INFO][412] felix/table.go {number}: Invalidating dataplane cache ipVersion=0x4 \
             reason=\"refresh timer\" table=\"filter-{}\"\n",
            number * 7919 % 65537
        )
    };
    (0..lines).map(line).collect()
}

/// A host whose logs are many times what calivet may take of memory for each.
fn host(megabytes: usize) -> Root {
    let root = Root::new().calico_node().file("/etc/hosts", "127.0.0.1 localhost\n");
    let log = log(7500);
    (0..megabytes).fold(root, |root, number| root.file(&format!("/var/log/calico/{number}"), &log))
}

/// The bundle of a run that came to its end and left nothing out for want of something.
#[track_caller]
fn whole(run: &Output, scratch: &Scratch) -> Unpacked {
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("host/etc/hosts"), ("ok", ""));
    assert_eq!(bundle.told("logs/0").0, "ok");
    assert_eq!(bundle.manifest["interrupted"], false);
    bundle.assert_holds_what_it_says();
    bundle
}

#[test]
fn an_address_space_of_256_mib_is_enough() {
    let (root, scratch) = (host(4), Scratch::new());
    for kibibytes in [512 << 10, 256 << 10] {
        let limit = format!("ulimit -v {kibibytes}; exec \"$@\"");
        let run = scratch.wrapped(&["sh", "-c", &limit, "sh"], root.path()).output().unwrap();
        let said = text(&run.stderr);
        assert!(!said.contains("panicked"), "{said}");
        whole(&run, &scratch);
        fs::remove_file(scratch.archive()).unwrap();
        fs::remove_dir_all(scratch.path().join("diagnostics")).unwrap();
    }
}

/// A control group of the test's own, which goes when this does.
struct Group(PathBuf);

impl Group {
    /// `None`: no group with these settings can be made here, and that was said. A setting stands by its name in the
    /// second version and in the first.
    fn new(controller: &str, name: &str, settings: &[(&str, &str, &str, &str)]) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let name = format!("calivet-test-{name}-{}", std::process::id());
        let is_second = |at: &str| Path::new(at).join("cgroup.controllers").exists();
        let is_first = |at: &str| Path::new(at).join("tasks").exists();
        for (version, at) in
            [(2, "/sys/fs/cgroup".to_owned()), (1, format!("/sys/fs/cgroup/{controller}"))]
        {
            let group = Self(Path::new(&at).join(&name));
            let is_there = if version == 2 { is_second(&at) } else { is_first(&at) };
            if !is_there || fs::create_dir(&group.0).is_err() {
                continue;
            }
            let set = |&(file2, value2, file1, value1): &(&str, &str, &str, &str)| {
                let (file, value) = if version == 2 { (file2, value2) } else { (file1, value1) };
                fs::write(group.0.join(file), value).is_ok()
            };
            if settings.iter().all(set) {
                return Some(group);
            }
        }
        eprintln!("skipped: no control group with {controller} can be made here");
        None
    }

    /// Runs a command in it.
    fn run(&self, command: &Command) -> Output {
        let script = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        let mut inside = Command::new("sh");
        inside.args(["-c", script]).arg(&self.0);
        inside.arg(command.get_program()).args(command.get_args()).output().unwrap()
    }

    /// The number behind a word in one of its files.
    fn number(&self, file: &str, word: &str) -> Option<u64> {
        let text = fs::read_to_string(self.0.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What was run in it has ended; its memory may take a moment to be counted elsewhere.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs `node diags` of this root where no more memory is to be had.
fn with_memory(mebibytes: u64, root: &Root) {
    let limit = (mebibytes << 20).to_string();
    let settings = [("memory.max", limit.as_str(), "memory.limit_in_bytes", limit.as_str())];
    let name = format!("memory-{mebibytes}");
    let Some(group) = Group::new("memory", &name, &settings) else { return };
    let scratch = Scratch::new();
    let run = group.run(scratch.diags(root.path()).args(["--jobs", "4"]));
    whole(&run, &scratch);
    let killed = group
        .number("memory.events", "oom_kill ")
        .or_else(|| group.number("memory.oom_control", "oom_kill "));
    assert_eq!(killed, Some(0));
}

#[test]
fn a_control_group_of_64_mib_is_enough() {
    with_memory(64, &host(40));
}

#[test]
fn a_control_group_of_32_mib_is_enough_also_for_logs_that_do_not_shrink() {
    let root = host(20);
    for name in ["a", "b", "c"] {
        noise(&root.at("/var/log/calico").join(name), 20 << 20, 3);
    }
    with_memory(32, &root);
}

#[test]
fn a_tenth_of_a_processor_makes_it_slow_and_nothing_else() {
    let settings = [
        ("cpu.max", "10000 100000", "cpu.cfs_period_us", "100000"),
        ("cpu.max", "10000 100000", "cpu.cfs_quota_us", "10000"),
    ];
    let Some(group) = Group::new("cpu", "cpu", &settings) else { return };
    let (root, scratch) = (host(1), Scratch::new());
    whole(&group.run(&scratch.diags(root.path())), &scratch);
    // `nr_throttled` says that it had to wait.
    assert!(group.number("cpu.stat", "nr_throttled ").is_some_and(|waits| waits > 0));
}

/// Has the kernel refuse a system call to a program and what it starts, as seccomp filters of containers do, and runs
/// it: `ERRNO NUMBER [FIRST ARGUMENT] -- PROGRAM...`. The filter is classic BPF on `struct seccomp_data`.
const REFUSE: &str = r#"
import ctypes, os, struct, sys
own = sys.argv[1:sys.argv.index("--")]
program = sys.argv[sys.argv.index("--") + 1:]
errno, number = int(own[0]), int(own[1])
LOAD, EQUAL, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x06, 0x7fff0000, 0x50000 | errno
rows = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
if len(own) > 2:
    rows = [(LOAD, 0, 0, 0), (EQUAL, 0, 3, number), (LOAD, 0, 0, 16), (EQUAL, 0, 1, int(own[2])),
            (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
code = b"".join(struct.pack("=HBBI", *row) for row in rows)
code = ctypes.create_string_buffer(code, len(code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
filter = Program(len(rows), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
assert libc.prctl(SECCOMP, FILTER, ctypes.byref(filter), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(program[0], program)
"#;

/// Runs calivet while a system call is refused. `None`: that cannot be done here.
fn refused(what: &[&str], scratch: &Scratch, root: &Path, options: &[&str]) -> Option<Output> {
    let mut wrapper = vec!["python3", "-c", REFUSE];
    wrapper.extend(what);
    wrapper.push("--");
    let tried = Command::new(wrapper[0]).args(&wrapper[1..]).arg("/bin/true").output();
    if !tried.as_ref().is_ok_and(|run| run.status.success()) {
        eprintln!("skipped: no seccomp filter can be set here: {tried:?}");
        return None;
    }
    Some(scratch.wrapped(&wrapper, root).args(options).output().unwrap())
}

/// The same number on every architecture.
const OPENAT2: &str = "437";
const SOCKET: &str = if cfg!(target_arch = "x86_64") { "41" } else { "198" };
const AF_NETLINK: &str = "16";

#[test]
fn where_openat2_is_refused_folders_are_walked_and_links_are_still_not_followed() {
    for errno in [nix::errno::Errno::ENOSYS, nix::errno::Errno::EPERM] {
        let (root, scratch) = (host(1), Scratch::new());
        std::os::unix::fs::symlink("/etc/shadow", root.at("/var/log/calico/link")).unwrap();
        let errno = (errno as i32).to_string();
        let Some(run) = refused(&[&errno, OPENAT2], &scratch, root.path(), &[]) else { return };
        let bundle = whole(&run, &scratch);
        assert_eq!(bundle.told("logs/link").0, "not-applicable");
    }
}

#[test]
fn where_netlink_is_refused_that_is_said_and_all_else_is_there() {
    let (root, scratch) = (host(1), Scratch::new());
    let what = [&(nix::errno::Errno::EPERM as i32).to_string(), SOCKET, AF_NETLINK];
    let Some(run) = refused(&what, &scratch, root.path(), &[]) else { return };
    let bundle = whole(&run, &scratch);
    for path in ["network/links.json", "network/routes.json"] {
        let (outcome, reason) = bundle.told(path);
        assert_eq!(outcome, "denied", "{path}: {reason}");
    }
    let untouched = &bundle.manifest["untouched"];
    for name in ["routes", "rules", "interfaces"] {
        assert!(untouched[name]["before"].is_null(), "{untouched}");
        assert!(untouched[name]["reason"].is_string(), "{untouched}");
    }
}

#[test]
fn a_proc_that_shows_processes_only_and_no_sys_are_survived_and_no_module_is_asked_for() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let script =
        "mount -t proc -o subset=pid proc /proc && mount -t tmpfs none /sys && \"$@\"; exit $?";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", CALIVET]);
    let run = command.args(["node", "diags", "--output-file"]).arg(scratch.archive()).output();
    let run = run.unwrap();
    // Programs that insist on such files fail: that is told of them.
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    assert_eq!(bundle.told("processes.json").0, "ok");
    assert_eq!(bundle.told("host/proc/modules").0, "missing");
    // The kernel is asked over netlink all the same, but for what might load a module.
    assert_eq!(bundle.told("network/routes.json").0, "ok");
    let items = bundle.manifest["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["path"] != "netfilter/nftables.json"));
    let untouched = &bundle.manifest["untouched"];
    for name in ["modules", "sysctls", "nftGeneration"] {
        assert!(untouched[name]["before"].is_null(), "{untouched}");
        assert!(untouched[name]["reason"].is_string(), "{untouched}");
    }
}

/// Where Debian keeps the library that tells a program another time.
fn clock_of_another_time() -> Option<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let path = format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketimeMT.so.1");
    let path = PathBuf::from(path);
    if !path.exists() {
        eprintln!("skipped: there is no libfaketime: tests/run installs it");
        return None;
    }
    Some(path)
}

#[test]
fn a_clock_that_jumps_by_a_year_either_way_changes_no_duration_and_no_limit() {
    let Some(library) = clock_of_another_time() else { return };
    for then in ["-365d", "-1095d"] {
        let (root, scratch) = (host(1), Scratch::new());
        // It accepts, and then it says nothing: meanwhile the clock is set.
        let bird = UnixListener::bind(root.at("/var/run/calico/bird.ctl")).unwrap();
        let clock = scratch.path().join("clock");
        // Two years ago, so that tar finds no file of the future.
        fs::write(&clock, "-730d\n").unwrap();
        let begun = Instant::now();
        let mut command = scratch.diags(root.path());
        command.args(["--timeout", "2s", "--only", "bird"]);
        command.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", &clock);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _client = bird.accept().unwrap();
        fs::write(&clock, format!("{then}\n")).unwrap();
        let run = child.wait_with_output().unwrap();
        let took = begun.elapsed();
        assert_eq!(run.status.code(), Some(1), "{run:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        let bundle = scratch.open();
        assert_eq!(bundle.told("bird/ipv4/show-status").0, "timeout");
        let at =
            |name: &str| -> Timestamp { bundle.manifest[name].as_str().unwrap().parse().unwrap() };
        // The jump was seen, or this would prove nothing.
        let apart = at("finished").duration_since(at("started")).as_secs().abs();
        assert!(apart > 300 * 86400, "{apart}");
        for item in bundle.manifest["items"].as_array().unwrap() {
            let duration = item["durationMs"].as_u64().unwrap();
            assert!(u128::from(duration) <= took.as_millis(), "{item}");
        }
    }
}
