//! `calivet check conntrack` beside the kernel: tables that are full, that clash, that are counted; fake roots, bundles.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::agreement::{Views, changes};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::{finding, install, run};

/// What a lab of connection tracking takes.
const PROGRAMS: [&str; 3] = ["conntrack", "nft", "setpriv"];

/// Lets the kernel track connections in the namespace.
const TRACK: &str = "
nft add table ip track
nft 'add chain ip track out { type filter hook output priority 0; }'
nft add rule ip track out ct state new counter accept
";

fn calivet(namespaces: &Namespaces, arguments: &[&str]) -> Value {
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    run(command.args(arguments)).json()
}

/// What `conntrack -L` says of the table, counted.
#[derive(Debug, Default)]
struct Listed {
    total: u64,
    unreplied: u64,
    unassured: u64,
    sources: BTreeMap<String, u64>,
    destinations: BTreeMap<String, u64>,
    flows: BTreeMap<(String, String, String, Option<u64>), u64>,
    protocols: BTreeMap<String, u64>,
    states: BTreeMap<String, u64>,
}

impl Listed {
    fn of(namespaces: &Namespaces) -> Self {
        let mut listed = Self::default();
        for family in ["ipv4", "ipv6"] {
            let table = namespaces.run(&format!("conntrack -L -f {family} 2>/dev/null || true"));
            for line in table.lines() {
                listed.add(line);
            }
        }
        listed
    }

    fn add(&mut self, line: &str) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        // The original direction stands first.
        let value = |name: &str| {
            words
                .iter()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let (Some(source), Some(destination)) = (value("src"), value("dst")) else { return };
        let port = value("dport").map(|port| port.parse().unwrap());
        let protocol = words[0].to_owned();
        self.total += 1;
        self.unreplied += u64::from(words.contains(&"[UNREPLIED]"));
        self.unassured += u64::from(!words.contains(&"[ASSURED]"));
        if protocol == "tcp" {
            *self.states.entry(words[3].to_owned()).or_default() += 1;
        }
        *self.sources.entry(source.clone()).or_default() += 1;
        *self.destinations.entry(destination.clone()).or_default() += 1;
        *self.protocols.entry(protocol.clone()).or_default() += 1;
        *self.flows.entry((source, destination, protocol, port)).or_default() += 1;
    }
}

fn by_address(rows: &Value) -> BTreeMap<String, u64> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row["address"].as_str().unwrap().to_owned(), row["entries"].as_u64().unwrap()))
        .collect()
}

#[test]
fn who_fills_the_table_is_what_conntrack_lists() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    namespaces.run(
        r#"
        awk 'BEGIN {
            split("ESTABLISHED TIME_WAIT SYN_SENT CLOSE_WAIT SYN_RECV", states, " ")
            split("ASSURED,SEEN_REPLY SEEN_REPLY", status, " ")
            for (n = 0; n < 6000; n++)
                printf "-A -p tcp --src 10.1.%d.%d --dst 10.2.0.%d --sport %d --dport %d --state %s --timeout 5000 --status %s\n",
                    n % 3, (n * n) % 97, n % 7, 1024 + n, 80 + n % 3, states[1 + n % 5], status[1 + n % 2]
            for (n = 0; n < 2000; n++)
                printf "-A -p udp --src 10.3.0.%d --dst 10.2.0.1 --sport %d --dport 53 --timeout 5000\n", n % 31, 1024 + n
            for (n = 0; n < 500; n++)
                printf "-A -p udp --src fd00::%x --dst fd01::1 --sport %d --dport 53 --timeout 5000 --status SEEN_REPLY\n", n % 13, 1024 + n
        }' | conntrack -R - >/dev/null
        "#,
    );
    let listed = Listed::of(&namespaces);
    assert_eq!(listed.total, 8500, "{:?}", listed.protocols);
    let report = calivet(&namespaces, &["check", "conntrack", "--top", "1000", "-o", "json"]);
    let top = &finding(&report, "conntrack.top")["evidence"]["top"];
    assert_eq!(top["total"], json!(listed.total));
    assert_eq!(top["unreplied"], json!(listed.unreplied));
    assert_eq!(top["unassured"], json!(listed.unassured));
    assert_eq!(top["protocols"], json!(listed.protocols));
    assert_eq!(top["states"]["tcp"], json!(listed.states));
    assert_eq!(top["zones"], json!({"0": listed.total}));
    assert_eq!(by_address(&top["sources"]), listed.sources);
    assert_eq!(by_address(&top["destinations"]), listed.destinations);
    assert_eq!(top["missed"], json!({"sources": 0, "destinations": 0, "flows": 0}));
    assert_eq!(top["distinct"]["flows"], json!(listed.flows.len()));
    for row in top["flows"].as_array().unwrap() {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let key = (text("source"), text("destination"), text("protocol"), row["port"].as_u64());
        assert_eq!(json!(listed.flows[&key]), row["entries"], "{key:?}");
    }
    let usage = &finding(&report, "conntrack.usage")["evidence"];
    let count: u64 = namespaces.run("conntrack -C").trim().parse().unwrap();
    assert_eq!(usage["count"], json!(count));

    // A person sees the same.
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    let shown = run(command.args(["check", "conntrack", "--top", "3"])).stdout;
    assert!(shown.contains("by source:"), "{shown}");
    assert_eq!(shown.matches(" -> ").count(), 3, "{shown}");
}

/// The counters of `conntrack -S`, for each CPU.
fn statistics(namespaces: &Namespaces) -> Vec<BTreeMap<String, u64>> {
    let table = namespaces.run("conntrack -S");
    let row = |line: &str| {
        let pairs = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
    };
    table.lines().filter(|line| line.starts_with("cpu=")).map(row).collect()
}

/// calivet's counters are those of `conntrack -S`.
#[track_caller]
fn assert_same_counters(evidence: &Value, namespaces: &Namespaces) {
    let names = [
        ("found", "found"),
        ("invalid", "invalid"),
        ("insert", "insert"),
        ("insertFailed", "insert_failed"),
        ("drop", "drop"),
        ("earlyDrop", "early_drop"),
        ("error", "error"),
        ("searchRestart", "search_restart"),
        ("clashResolve", "clash_resolve"),
        ("chainTooLong", "chaintoolong"),
    ];
    let rows = statistics(namespaces);
    assert_eq!(evidence["perCpu"].as_array().unwrap().len(), rows.len());
    for (ours, theirs) in names {
        let sum: u64 = rows.iter().filter_map(|row| row.get(theirs)).sum();
        assert_eq!(evidence[ours], json!(sum), "{ours}: {rows:?}");
        for (row, cpu) in rows.iter().zip(evidence["perCpu"].as_array().unwrap()) {
            assert_eq!(cpu["cpu"].as_u64(), row.get("cpu").copied());
            assert_eq!(cpu[ours].as_u64(), row.get(theirs).copied(), "{ours}: {rows:?}");
        }
    }
}

#[test]
fn a_table_that_is_really_full_fails_by_its_use_its_drops_and_the_kernels_log() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let limit: u64 =
        namespaces.run("cat /proc/sys/net/netfilter/nf_conntrack_max").trim().parse().unwrap();
    if limit > 300_000 {
        // It is the host's, and cannot be set in here.
        eprintln!("skipped: the limit of this host is {limit}, which takes too long to reach");
        return;
    }
    namespaces.run(TRACK);
    let views = Views::of(&namespaces).with(&["--timeout", "1s"]);
    let well = views.levels(&views.report().unwrap());
    namespaces.run(&format!(
        r#"awk 'BEGIN {{ for (n = 0; n < {limit}; n++)
            printf "-A -p tcp --src 10.%d.%d.%d --dst 10.255.0.1 --sport 1000 --dport 443 --state ESTABLISHED --timeout 5000 --status ASSURED,SEEN_REPLY\n", int(n / 65536), int(n / 256) % 256, n % 256 }}' |
            conntrack -R - >/dev/null"#
    ));
    let report = calivet(&namespaces, &["check", "conntrack", "-o", "json"]);
    let usage = finding(&report, "conntrack.usage");
    assert_eq!(usage["level"], "fail", "{usage}");
    assert_eq!(usage["evidence"]["count"], json!(limit));
    assert_eq!(usage["evidence"]["percent"], json!(100.0));
    assert_eq!(finding(&report, "conntrack.drops")["level"], "ok");

    let refused: u64 = namespaces
        .run(
            "refused=0\n\
             for port in $(seq 20000 20300); do\n\
             { echo x >/dev/udp/127.0.0.1/$port; } 2>/dev/null || refused=$((refused + 1))\n\
             done; echo $refused",
        )
        .trim()
        .parse()
        .unwrap();
    assert!(refused > 200, "the kernel let {} of 301 datagrams pass", 301 - refused);
    let inode = namespaces.run("stat -Lc %i /proc/self/ns/net").trim().parse::<u64>().unwrap();
    let report = views.report().unwrap();
    let changed = changes(&well, &views.levels(&report));
    // Entries that stay for long are no good where there is no room.
    let expected = ["conntrack.drops warn", "conntrack.timeouts warn", "conntrack.usage fail"];
    assert!(changed.iter().eq(expected), "{changed:?}: {report:#}");
    let report = calivet(&namespaces, &["check", "conntrack", "-o", "json"]);
    let drops = finding(&report, "conntrack.drops");
    assert!(drops["evidence"]["drop"].as_u64().unwrap() >= refused, "{drops}");
    assert_same_counters(&drops["evidence"], &namespaces);
    let log = finding(&report, "conntrack.kernel-log");
    assert!(log["evidence"]["lines"].as_u64().unwrap() > 0);
    // Since the end of 2025 the kernel says in which namespace: not the first, so that it is not the host's table.
    let namespaces_named = log["evidence"]["namespaces"].as_array().unwrap();
    let is_elsewhere = log["evidence"]["inOtherNamespaces"] == log["evidence"]["lines"];
    assert_eq!(log["level"], if is_elsewhere { "warn" } else { "fail" }, "{log}");
    if !namespaces_named.is_empty() {
        assert!(namespaces_named.contains(&json!(inode)), "{inode}: {log}");
    }

    // A bundle holds the kernel's log, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.args(["check", "conntrack", "-o", "json", "--from"]);
    let kept = run(command.arg(views.bundle())).json();
    let kept = finding(&kept, "conntrack.kernel-log");
    assert_eq!(
        (&kept["level"], &kept["evidence"]["namespaces"]),
        (&log["level"], &log["evidence"]["namespaces"]),
        "{kept}"
    );

    // Drops that go on, seen as such.
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    command.args(["check", "conntrack", "--interval", "2s", "-o", "json"]);
    let looking = std::thread::spawn(move || run(&mut command));
    while !looking.is_finished() {
        namespaces.run(
            "for port in $(seq 20000 20100); do\n\
             { echo x >/dev/udp/127.0.0.1/$port; } 2>/dev/null || true; done",
        );
    }
    let looked = looking.join().unwrap();
    assert_eq!(looked.status, 1, "{}", looked.stderr);
    let report = looked.json();
    let drops = finding(&report, "conntrack.drops");
    assert_eq!(drops["level"], "fail", "{drops}");
    assert!(drops["evidence"]["rates"]["drop"].as_f64().unwrap() > 1.0, "{drops}");
}

#[test]
fn source_nat_that_has_run_out_of_ports_is_no_full_table() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let views = Views::of(&namespaces);
    namespaces.run(
        "nft add table ip nat\n\
         nft 'add chain ip nat post { type nat hook postrouting priority 100; }'\n\
         nft add rule ip nat post udp dport 9 snat to 127.0.0.1:5000",
    );
    let well = views.levels(&views.report().unwrap());
    namespaces
        .run("for n in $(seq 300); do { echo x >/dev/udp/127.0.0.2/9; } 2>/dev/null || true; done");
    let report = views.report().unwrap();
    let changed = changes(&well, &views.levels(&report));
    assert!(changed.iter().eq(["conntrack.drops info"]), "{changed:?}: {report:#}");
    let drops = finding(&report, "conntrack.drops");
    assert_same_counters(&drops["evidence"], &namespaces);
    assert!(drops["evidence"]["insertFailed"].as_u64().unwrap() > 100, "{drops}");
    let remedy = drops["remedy"].to_string();
    assert!(
        remedy.contains("source NAT ran out of ports") && !remedy.contains("was full"),
        "{drops}"
    );
}

/// Waits for the other of two threads without going to sleep, so that both go on at the same instant.
fn meet(arrived: &AtomicU32, round: u32) {
    arrived.fetch_add(1, Ordering::SeqCst);
    while arrived.load(Ordering::SeqCst) < 2 * round {
        std::hint::spin_loop();
    }
}

#[test]
fn two_datagrams_that_leave_one_socket_at_once_are_a_race_that_is_counted_and_does_no_harm() {
    /// Rounds after which it is looked whether two datagrams have met.
    const WAVE: u16 = 1000;
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let processors: Vec<_> =
        (0..CpuSet::count()).filter(|&number| allowed.is_set(number).unwrap()).collect();
    let &[one, other, ..] = &processors[..] else {
        eprintln!("not run: two datagrams leave at once only where there are two processors");
        return;
    };
    // Rules that take their time, between the look for an entry and its being put in.
    namespaces.run(
        "{ echo 'table ip slow {'\n\
         echo 'chain out { type filter hook output priority 10; ct state new counter'\n\
         for n in $(seq 4000); do echo \"udp sport 9 udp dport 9 ip saddr 10.0.0.1 counter\"; done\n\
         echo '}'; echo '}'; } | nft -f -",
    );
    // A thread that has entered the namespace, or is held to a processor, is thrown away with that.
    let socket = std::thread::scope(|scope| {
        let bind = || {
            namespaces.enter_network();
            UdpSocket::bind("127.0.0.1:0").unwrap()
        };
        scope.spawn(bind).join().unwrap()
    });
    let wave = || {
        let arrived = AtomicU32::new(0);
        let send = |processor| {
            let mut only = CpuSet::new();
            only.set(processor).unwrap();
            sched_setaffinity(Pid::from_raw(0), &only).unwrap();
            for (round, port) in (1..).zip((20_000..).take(WAVE.into())) {
                meet(&arrived, round);
                socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| send(one));
            scope.spawn(|| send(other));
        });
        statistics(&namespaces).iter().filter_map(|row| row.get("clash_resolve")).sum::<u64>()
    };
    // Whether two meet is chance, and rarer where other work shares the processors: on until it has happened.
    let until = Instant::now() + Duration::from_secs(120);
    let settled = loop {
        match wave() {
            0 if Instant::now() < until => drop(namespaces.run("conntrack -F 2>&1")),
            count => break count,
        }
    };
    assert!(settled > 0, "in two minutes no two datagrams have met");
    let report = calivet(&namespaces, &["check", "conntrack", "-o", "json"]);
    let drops = finding(&report, "conntrack.drops");
    assert_same_counters(&drops["evidence"], &namespaces);
    assert_eq!(drops["evidence"]["clashResolve"], json!(settled));
    assert_eq!(drops["level"], "ok", "{drops}");
    assert!(drops["summary"].as_str().unwrap().contains("settled without loss"), "{drops}");
}

#[test]
fn the_size_of_the_ebpf_dataplanes_own_table_is_that_of_the_real_map() {
    let Some(namespaces) = Namespaces::with(&["bpftool"]) else { return };
    // A map is nowhere but in this file system, which goes with the lab.
    namespaces.run(
        "mount -t bpf bpf /sys/fs/bpf\nmkdir -p /sys/fs/bpf/tc/globals\n\
         bpftool map create /sys/fs/bpf/tc/globals/cali_v4_ct4 type hash key 16 value 88 entries 1234 name cali_v4_ct4 flags 1",
    );
    let report = calivet(&namespaces, &["check", "conntrack", "-o", "json"]);
    let bpf = finding(&report, "conntrack.bpf");
    assert_eq!(bpf["level"], "info", "{bpf}");
    assert_eq!(bpf["evidence"]["maps"], json!(["cali_v4_ct4"]));
    assert_eq!(bpf["evidence"]["tables"]["ipv4"]["size"], 1234, "{bpf}");
}

#[test]
fn who_makes_entries_while_it_is_looked_is_found_by_their_growth() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    let insert = |source: &str, first: u32, count: u32| {
        namespaces.run(&format!(
            r#"awk 'BEGIN {{ for (n = {first}; n < {first} + {count}; n++)
                printf "-A -p udp --src {source} --dst 10.9.0.1 --sport %d --dport 53 --timeout 500\n", n }}' |
                conntrack -R - >/dev/null"#
        ));
    };
    insert("10.1.0.1", 1000, 500);
    insert("10.1.0.2", 1000, 5);
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    command.args(["check", "conntrack", "--top", "--interval", "3s", "-o", "json"]);
    let looking = std::thread::spawn(move || run(&mut command));
    let mut first = 2000;
    while !looking.is_finished() {
        insert("10.1.0.2", first, 20);
        first += 20;
        std::thread::sleep(Duration::from_millis(100));
    }
    let report = looking.join().unwrap().json();
    let top = &finding(&report, "conntrack.top")["evidence"]["top"];
    assert_eq!(top["sources"][0]["address"], "10.1.0.1", "{top}");
    let growing = top["growing"]["sources"].as_array().unwrap();
    assert_eq!(growing.len(), 1, "{top}");
    assert_eq!(growing[0]["address"], "10.1.0.2");
    assert!(growing[0]["growth"].as_u64().unwrap() >= 20, "{top}");
    assert_eq!(top["growing"]["flows"][0]["port"], 53);
}

#[test]
fn who_is_not_root_gets_what_can_be_known_and_the_reason_for_the_rest() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    // Where the program lies may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("calivet");
    install(Path::new(env!("CARGO_BIN_EXE_calivet")), &program);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let mut command = namespaces.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.arg(&program).args(["check", "conntrack", "--top", "-o", "json"]).current_dir("/");
    let looked = run(&mut command);
    assert_eq!(looked.status, 3, "{looked:?}");
    let report = looked.json();
    assert_eq!(finding(&report, "conntrack.usage")["level"], "ok", "{report}");
    let drops = finding(&report, "conntrack.drops");
    assert_eq!(drops["evidence"]["source"], "/proc/net/stat/nf_conntrack", "{drops}");
    assert_eq!(drops["level"], "ok", "{drops}");
    let top = finding(&report, "conntrack.top");
    assert_eq!(top["level"], "unknown");
    assert!(top["summary"].as_str().unwrap().contains("CAP_NET_ADMIN"), "{top}");
}

#[test]
fn in_a_network_namespace_the_fix_is_refused_and_nothing_is_written() {
    let Some(namespaces) = Namespaces::with(&PROGRAMS) else { return };
    // No folder of this machine's is in reach, whatever happens.
    namespaces.run(
        "for folder in /etc/sysctl.d /etc/modules-load.d; do\n\
         if [[ -d $folder ]]; then mount -t tmpfs tmpfs $folder; fi; done",
    );
    let before = namespaces.run("cat /proc/sys/net/netfilter/nf_conntrack_max");
    let max = (before.trim().parse::<u64>().unwrap() + 1).to_string();
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    command.args(["check", "conntrack", "--max", &max, "--fix", "--yes", "-o", "json"]);
    let fixed = run(&mut command);
    assert_eq!(fixed.status, 3, "{fixed:?}");
    let report = fixed.json();
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(changes[0]["outcome"], "failed", "{report}");
    assert!(!changes[0]["reason"].as_str().unwrap().is_empty());
    assert!(changes[1..].iter().all(|change| change["outcome"] == "not-tried"), "{report}");
    let limit = finding(&report, "conntrack.limit");
    assert_eq!(limit["evidence"]["writable"], false, "{limit}");
    assert!(limit["remedy"].to_string().contains("read-only in a network namespace"), "{limit}");
    assert_eq!(namespaces.run("cat /proc/sys/net/netfilter/nf_conntrack_max"), before);
    assert_eq!(namespaces.run("find /etc/sysctl.d -name '*calivet*'"), "");
}

/// A node whose limit is a file's, and whose counters are those of `/proc`.
fn node() -> Root {
    let setting = |name: &str| format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
    Root::new()
        .calico_node()
        .file("/proc/modules", "nf_conntrack 172032 1 nf_nat, Live 0x0\nnf_nat 1 0 - Live 0x0\n")
        .file("/proc/meminfo", "MemTotal:       24000000 kB\n")
        .file("/proc/sys/kernel/osrelease", "6.1.0-13-amd64\n")
        .file("/proc/1/comm", "systemd\n")
        .file(&setting("count"), "950\n")
        .file(&setting("max"), "1000\n")
        .file(&setting("buckets"), "1000\n")
        .file(&setting("tcp_timeout_established"), "432000\n")
        .file(&setting("tcp_timeout_close_wait"), "60\n")
        .file(&setting("udp_timeout"), "30\n")
        .file(&setting("udp_timeout_stream"), "120\n")
        .file(
            "/proc/net/stat/nf_conntrack",
            "entries  searched found new invalid insert_failed drop early_drop search_restart\n\
             000003b6 00000000 00000001 00000000 00000002 00000003 0000000d 00000000 00000005\n",
        )
        .file("/etc/sysctl.d/50-limit.conf", "# old\nnet.netfilter.nf_conntrack_max = 1000\n")
}

fn on(root: &Root, arguments: &[&str]) -> crate::run::Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    run(command.arg("--root").arg(root.path()).args(arguments))
}

fn read(root: &Root, path: &str) -> String {
    std::fs::read_to_string(root.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const WRITTEN: &str = "/etc/sysctl.d/90-calivet-conntrack.conf";
const LOADED: &str = "/etc/modules-load.d/nf_conntrack.conf";

#[test]
fn the_fix_raises_the_limit_now_and_at_boot_and_the_second_time_changes_nothing() {
    let root = node();
    let shown = on(&root, &["check", "conntrack", "--fix", "--dry-run"]);
    assert!(shown.stdout.contains("+net.netfilter.nf_conntrack_max = 1000000"), "{}", shown.stdout);
    assert!(!root.at(WRITTEN).exists());
    assert_eq!(read(&root, "/proc/sys/net/netfilter/nf_conntrack_max"), "1000\n");

    let fixed = on(&root, &["check", "conntrack", "--fix", "--yes", "-o", "json"]);
    let report = fixed.json();
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 3, "{report}");
    assert!(changes.iter().all(|change| change["outcome"] == "done"), "{report}");
    assert!(read(&root, WRITTEN).ends_with("\nnet.netfilter.nf_conntrack_max = 1000000\n"));
    assert_eq!(read(&root, LOADED), "nf_conntrack\n");
    assert_eq!(
        read(&root, "/proc/sys/net/netfilter/nf_conntrack_max").lines().next(),
        Some("1000000")
    );
    assert_eq!(
        read(&root, "/etc/sysctl.d/50-limit.conf"),
        "# old\nnet.netfilter.nf_conntrack_max = 1000\n"
    );
    // What was judged after the change is what holds now.
    let limit = finding(&report, "conntrack.limit");
    assert_eq!(limit["level"], "ok", "{limit}");
    assert_eq!(limit["evidence"]["afterReboot"], 1_000_000);
    assert_eq!(limit["evidence"]["decidedBy"], format!("{WRITTEN}:2"));
    assert_eq!(finding(&report, "conntrack.usage")["level"], "ok");

    let again = on(&root, &["check", "conntrack", "--fix", "--yes", "-o", "json"]);
    assert_eq!(again.json()["changes"], json!([]));
    // A higher one keeps what else the file says, and the old one.
    std::fs::write(root.at(WRITTEN), format!("{}kernel.x = 1\n", read(&root, WRITTEN))).unwrap();
    let raised =
        on(&root, &["check", "conntrack", "--max", "2000000", "--fix", "--yes", "-o", "json"]);
    let raised = raised.json();
    let backup = raised["changes"][1]["backup"].as_str().unwrap();
    assert!(read(&root, backup).contains("= 1000000\n"));
    assert!(
        read(&root, WRITTEN).ends_with("kernel.x = 1\nnet.netfilter.nf_conntrack_max = 2000000\n")
    );
}

#[test]
fn a_full_node_is_shown_with_a_bar_and_what_mends_it() {
    let root = node();
    let shown = on(&root, &["check", "conntrack"]);
    assert_eq!(shown.status, 1, "{}", shown.stderr);
    let text = shown.stdout;
    assert!(text.contains("950 of 1,000 conntrack entries in use (95 %), room for 50"), "{text}");
    assert!(text.contains(&format!("[{}..]", "#".repeat(38))), "{text}");
    assert!(text.contains("/etc/sysctl.d/50-limit.conf:2 is lost"), "{text}");
    let lenient = on(&root, &["check", "conntrack", "--warn", "96", "--fail", "97", "-o", "json"]);
    assert_eq!(finding(&lenient.json(), "conntrack.usage")["level"], "ok");
}

#[test]
fn a_bundle_gives_the_same_findings_as_the_node() {
    let root = node();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("b.tar.gz");
    let collected = on(&root, &["node", "diags", "-q", "--output-file", bundle.to_str().unwrap()]);
    assert!(bundle.exists(), "{collected:?}");
    let live = on(&root, &["check", "conntrack", "-o", "json"]).json();
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    let offline =
        run(command.arg("--from").arg(&bundle).args(["check", "conntrack", "-o", "json"]));
    assert_eq!(offline.json()["findings"], live["findings"]);
    // It holds two looks, so that rates are there, too.
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.arg("--from").arg(&bundle).args([
        "check",
        "conntrack",
        "--interval",
        "1s",
        "-o",
        "json",
    ]);
    let drops = run(&mut command).json();
    let drops = finding(&drops, "conntrack.drops").clone();
    assert_eq!(drops["evidence"]["rates"]["drop"], json!(0.0), "{drops}");
    assert_eq!(drops["level"], "ok");
}
