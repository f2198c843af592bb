use serde_json::{Value, json};

use super::*;
use crate::fix::Change;

/// A node on which all is well: 20 of 100 entries, systemd, a file that sets the limit, the module listed.
const WELL: &[(&str, &str)] = &[
    ("host/proc/sys/net/netfilter/nf_conntrack_count", "20\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_max", "100\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_buckets", "50\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "86400\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_udp_timeout", "30\n"),
    ("host/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream", "120\n"),
    (rows::STATS, STATS),
    (rows::KERNEL_LOG, "<6>[1.0] hello\n"),
    (rows::UPTIME, "1000.00 10.00\n"),
    (rows::MODULES, "nf_conntrack 172032 2 nf_nat,xt_conntrack, Live 0x0\nnf_nat 1 0 - Live 0x0\n"),
    (rows::RELEASE, "6.1.0-13-amd64\n"),
    (rows::MEMINFO, "MemTotal:       24000000 kB\n"),
    (rows::SLABINFO, "nf_conntrack 16 16 256 16 1 : tunables\n"),
    (rows::INIT, "systemd\n"),
    (rows::CPUS, "cpu  1 2\ncpu0 1 2\ncpu1 1 2\nbtime 5\n"),
    (rows::PROCESSES, "[]"),
    (rows::MODES, "100644 0 0 0 2026-11-01T00:00:00Z nf_conntrack_max\n"),
    ("host/etc/sysctl.d/90-limit.conf", "net.netfilter.nf_conntrack_max = 100\n"),
    ("host/etc/modules-load.d/x.conf", "nf_conntrack\n"),
];

const STATS: &str = r#"{"source":"x","entries":20,"max":100,"cpus":[
{"cpu":0,"found":1,"invalid":0,"insert":0,"insert_failed":0,"drop":0,"early_drop":0,"error":0,"search_restart":0,"clash_resolve":0,"chaintoolong":0}],
"consistent":true,"complete":true}"#;

/// The node that is well, with other readings in the place of some; an empty text takes one away.
fn with(changes: &[(&str, &str)]) -> Evidence {
    let mut evidence = Evidence::default();
    for (path, text) in WELL.iter().chain(changes) {
        let reading = if text.is_empty() {
            Reading::failed(Outcome::Missing, "no such file")
        } else {
            Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() }
        };
        evidence.insert(*path, reading);
    }
    evidence
}

fn asked() -> Asked {
    Asked { max: 100, ..Asked::default() }
}

#[track_caller]
fn finding(evidence: &Evidence, asked: &Asked, id: &str) -> Finding {
    let findings = judge(evidence, asked);
    findings.into_iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id}"))
}

#[track_caller]
fn levels(changes: &[(&str, &str)], id: &str) -> (Level, String) {
    let finding = finding(&with(changes), &asked(), id);
    (finding.level, finding.summary)
}

/// The counters with one of them changed.
fn stats(name: &str, count: u64) -> String {
    STATS.replace(&format!("\"{name}\":0"), &format!("\"{name}\":{count}"))
}

#[test]
fn a_node_that_is_well_is_well_in_all_it_is_asked() {
    for finding in judge(&with(&[]), &asked()) {
        let expected = if finding.id == BPF { Level::Skip } else { Level::Ok };
        assert_eq!(finding.level, expected, "{}: {}", finding.id, finding.summary);
        assert!(finding.changes.is_empty(), "{}", finding.id);
    }
}

#[test]
fn a_table_is_crowded_from_the_asked_per_cent_on() {
    const COUNT: &str = "host/proc/sys/net/netfilter/nf_conntrack_count";
    for (count, level) in
        [("74", Level::Ok), ("75", Level::Warn), ("89", Level::Warn), ("90", Level::Fail)]
    {
        assert_eq!(levels(&[(COUNT, count)], USAGE).0, level, "{count}");
    }
    let strict = Asked { warn_percent: 10, fail_percent: 20, ..asked() };
    let finding = finding(&with(&[]), &strict, USAGE);
    assert_eq!(finding.level, Level::Fail);
    assert_eq!(finding.evidence["percent"], json!(20.0));
    assert_eq!(finding.summary, "20 of 100 conntrack entries in use (20 %), room for 80");
}

#[test]
fn without_a_limit_or_without_the_number_nothing_is_made_up() {
    const MAX: &str = "host/proc/sys/net/netfilter/nf_conntrack_max";
    assert_eq!(levels(&[(MAX, "0\n")], USAGE).0, Level::Ok);
    // Netlink tells it too.
    assert_eq!(levels(&[(MAX, "")], USAGE).0, Level::Ok);
    assert_eq!(levels(&[(MAX, ""), (rows::STATS, "")], USAGE).0, Level::Unknown);
    assert_eq!(levels(&[(MAX, "many\n"), (rows::STATS, "")], USAGE).0, Level::Unknown);
}

#[test]
fn where_the_module_is_not_loaded_there_is_no_table() {
    let changes = [
        (rows::MODULES, "ip_set 1 0 - Live 0x0\n"),
        ("host/proc/sys/net/netfilter/nf_conntrack_count", ""),
        ("host/proc/sys/net/netfilter/nf_conntrack_max", ""),
        (rows::STATS, ""),
    ];
    let findings = judge(&with(&changes), &asked());
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].level, Level::Skip);
}

#[test]
fn each_pattern_of_drops_has_its_own_remedy() {
    let drops = |stats: &str| finding(&with(&[(rows::STATS, stats)]), &asked(), DROPS);
    let full = drops(&stats("drop", 7));
    assert_eq!(full.level, Level::Warn);
    assert!(full.summary.starts_with("since boot 7 packets dropped because there was no room"));
    assert!(full.remedy[0].contains("--fix"));
    // An entry that could not be put in counts as a drop too, and that is no full table.
    let clash = drops(&stats("drop", 4).replace("\"insert_failed\":0", "\"insert_failed\":4"));
    assert_eq!(clash.level, Level::Info);
    assert!(clash.summary.contains("4 entries not put in because their like was there"));
    assert!(clash.remedy.iter().any(|line| line.contains("single-request-reopen")));
    assert!(clash.remedy[0].contains("speaks for the first"), "{:?}", clash.remedy);
    let race = stats("clash_resolve", 9).replace("\"insert_failed\":0", "\"insert_failed\":4");
    assert!(drops(&race).remedy[0].contains("speaks for the second"));
    let settled = drops(&stats("clash_resolve", 9));
    assert_eq!(settled.level, Level::Ok);
    assert!(settled.summary.contains("9 races"), "{}", settled.summary);
    let chains = stats("drop", 4)
        .replace("\"insert_failed\":0", "\"insert_failed\":4")
        .replace("\"chaintoolong\":0", "\"chaintoolong\":4");
    assert!(drops(&chains).remedy[0].contains("nf_conntrack_buckets"));
}

/// The same node seen twice, 5 s apart, with these counters at the second look.
fn twice(later: &str) -> (Evidence, Asked) {
    let mut evidence = with(&[]);
    let mut reading = Reading { bytes: later.as_bytes().to_vec(), ..Reading::begin() };
    reading.started =
        evidence.get(rows::STATS).unwrap().started + jiff::SignedDuration::from_secs(5);
    evidence.insert(rows::STATS_LATER, reading);
    (evidence, Asked { interval: Some(std::time::Duration::from_secs(5)), ..asked() })
}

#[test]
fn drops_that_go_on_fail_and_rates_are_told() {
    let (evidence, asked) = twice(&stats("drop", 10).replace("\"entries\":20", "\"entries\":60"));
    let drops = finding(&evidence, &asked, DROPS);
    assert_eq!(drops.level, Level::Fail);
    assert_eq!(drops.evidence["rates"]["drop"], json!(2.0));
    assert_eq!(drops.evidence["drop"], json!(10));
    let usage = finding(&evidence, &asked, USAGE);
    assert_eq!(
        usage.evidence["growth"],
        json!({"perSecond": 8.0, "seconds": 5.0, "secondsToFull": 5.0})
    );
    let (evidence, asked) = twice(STATS);
    assert_eq!(finding(&evidence, &asked, DROPS).level, Level::Ok);
}

#[test]
fn counters_that_went_backwards_are_unknown() {
    let (mut evidence, asked) = twice(STATS);
    let earlier = stats("drop", 4_294_967_290);
    let begun = evidence.get(rows::STATS).unwrap().started;
    let mut reading = Reading { bytes: earlier.into_bytes(), ..Reading::begin() };
    reading.started = begun;
    evidence.insert(rows::STATS, reading);
    let drops = finding(&evidence, &asked, DROPS);
    assert_eq!(drops.level, Level::Unknown);
    assert_eq!(drops.evidence["rates"]["drop"], Value::Null);
}

#[test]
fn without_netlink_the_counters_are_those_of_proc() {
    let table = "entries drop early_drop insert_failed\n00000014 00000005 00000000 00000000\n";
    let evidence = with(&[(rows::STATS, ""), (rows::PROC, table)]);
    let drops = finding(&evidence, &asked(), DROPS);
    assert_eq!((drops.level, &drops.evidence["drop"]), (Level::Warn, &json!(5)));
    assert_eq!(drops.evidence["source"], json!("/proc/net/stat/nf_conntrack"));
    assert_eq!(drops.evidence["chainTooLong"], Value::Null);
    assert_eq!(levels(&[(rows::STATS, "")], DROPS).0, Level::Unknown);
}

#[test]
fn a_message_of_the_last_minutes_fails_and_an_old_one_warns() {
    let line = |seconds: u32| {
        format!("<4>[{seconds}.0] nf_conntrack: nf_conntrack: table full, dropping packet\n")
    };
    assert_eq!(levels(&[(rows::KERNEL_LOG, &line(900))], KERNEL_LOG).0, Level::Fail);
    assert_eq!(levels(&[(rows::KERNEL_LOG, &line(300))], KERNEL_LOG).0, Level::Warn);
    assert_eq!(levels(&[(rows::KERNEL_LOG, "")], KERNEL_LOG).0, Level::Unknown);
}

#[test]
fn a_pods_full_table_is_no_failure_of_the_hosts() {
    let line = |seconds: u32, whose: &str| {
        format!("<4>[{seconds}.0] nf_conntrack: nf_conntrack: table full{whose}, dropping packet\n")
    };
    let pods = " in netns 4026532245";
    let finding = |log: &str| finding(&with(&[(rows::KERNEL_LOG, log)]), &asked(), KERNEL_LOG);
    let recent = finding(&line(900, pods));
    assert_eq!(recent.level, Level::Warn, "{recent:#?}");
    assert!(recent.summary.contains("not the host's table was full"), "{}", recent.summary);
    assert!(recent.remedy.iter().any(|line| line.contains("grep 4026532245")), "{recent:#?}");
    assert_eq!(finding(&line(300, pods)).level, Level::Info);
    // The host's own count by their own time, whatever pods say since.
    let both = finding(&format!("{}{}", line(300, ""), line(900, pods)));
    assert_eq!(both.level, Level::Warn, "{both:#?}");
    assert!(both.summary.contains("1 of them of network namespaces"), "{}", both.summary);
    assert_eq!(finding(&format!("{}{}", line(890, ""), line(900, pods))).level, Level::Fail);
}

const LIMIT_FILE: &str = "host/etc/sysctl.d/90-limit.conf";
const LIST: &str = "host/etc/modules-load.d/x.conf";

#[test]
fn the_file_and_line_that_decides_is_named() {
    let evidence = with(&[(LIMIT_FILE, "# x\nnet.netfilter.nf_conntrack_max = 200\n")]);
    let limit = finding(&evidence, &asked(), LIMIT);
    assert_eq!(limit.level, Level::Ok);
    assert_eq!(limit.evidence["afterReboot"], json!(200));
    assert_eq!(limit.evidence["decidedBy"], json!("/etc/sysctl.d/90-limit.conf:2"));
    // Both names are one setting.
    let other = ("host/etc/sysctl.d/95.conf", "net.nf_conntrack_max = 50\n");
    let (level, summary) = levels(&[other], LIMIT);
    assert_eq!(level, Level::Warn);
    assert_eq!(summary, "the limit is 100, after a reboot 50 (/etc/sysctl.d/95.conf:1); it falls");
}

#[test]
fn a_setting_that_comes_before_its_module_is_lost() {
    let (level, summary) = levels(&[(LIST, "other\n")], LIMIT);
    assert_eq!(level, Level::Warn);
    assert!(summary.contains("/etc/sysctl.d/90-limit.conf:1 is lost"), "{summary}");
    assert!(summary.contains("after a reboot 262,144 (the kernel's default)"), "{summary}");
    // A module that needs it brings it along; one that is built in is always there.
    assert_eq!(levels(&[(LIST, "nf_nat\n")], LIMIT).0, Level::Ok);
    let builtin = "kernel/net/netfilter/nf_conntrack.ko\n";
    let changes = [
        (LIST, "other\n"),
        (rows::MODULES, "ip_set 1 0 - Live 0x0\n"),
        ("host/lib/modules/6.1.0-13-amd64/modules.builtin", builtin),
    ];
    assert_eq!(levels(&changes, LIMIT).0, Level::Ok);
    assert_eq!(levels(&[(LIST, "other\n"), (rows::MODULES, "")], LIMIT).0, Level::Ok);
}

#[test]
fn two_writers_who_disagree_are_both_named() {
    let (level, summary) =
        levels(&[("host/etc/sysctl.conf", "net.netfilter.nf_conntrack_max = 300\n")], LIMIT);
    assert_eq!(level, Level::Warn);
    assert!(
        summary.contains(
            "systemd-sysctl writes 100 (/etc/sysctl.d/90-limit.conf:1), and `sysctl --system` 300 (/etc/sysctl.conf:1)"
        ),
        "{summary}"
    );
}

#[test]
fn a_value_that_the_kernel_refuses_decides_nothing() {
    let (level, summary) =
        levels(&[("host/etc/sysctl.d/99.conf", "net.nf_conntrack_max = many\n")], LIMIT);
    assert_eq!(level, Level::Warn);
    assert!(summary.contains("/etc/sysctl.d/99.conf:1 is no number"), "{summary}");
    assert!(summary.contains("also after a reboot (/etc/sysctl.d/90-limit.conf:1)"), "{summary}");
}

/// A table of processes with kube-proxy in it.
fn kube_proxy(arguments: &str) -> String {
    let argv: Vec<&str> = arguments.split(' ').collect();
    json!([{"pid": 77, "hostRoot": true, "state": "S", "argv": argv}]).to_string()
}

#[test]
fn kube_proxy_has_the_last_word() {
    let table = kube_proxy("kube-proxy --conntrack-min=80 --conntrack-max-per-core=10");
    let (level, summary) = levels(&[(rows::PROCESSES, &table)], LIMIT);
    assert_eq!(level, Level::Warn);
    assert!(summary.contains("after a reboot 80 (kube-proxy)"), "{summary}");
    assert!(summary.contains("kube-proxy overwrites the 100"), "{summary}");
    let table = kube_proxy("kube-proxy --conntrack-min=80 --conntrack-max-per-core=50");
    assert_eq!(levels(&[(rows::PROCESSES, &table)], LIMIT).0, Level::Ok);
    let table = kube_proxy("kube-proxy --conntrack-max-per-core=0");
    assert_eq!(levels(&[(rows::PROCESSES, &table)], LIMIT).0, Level::Ok);

    // On many CPUs, old and new releases differ; the limit of now tells which this is.
    let table = kube_proxy("kube-proxy --conntrack-max-per-core=1000000");
    let (level, summary) = levels(&[(rows::PROCESSES, &table)], LIMIT);
    assert_eq!(level, Level::Unknown);
    assert!(summary.contains("sets 2,000,000 or, if it is new, 1,048,576"), "{summary}");
    let new = ("host/proc/sys/net/netfilter/nf_conntrack_max", "1048576\n");
    let (_, summary) = levels(&[(rows::PROCESSES, &table), new], LIMIT);
    assert!(summary.contains("1,048,576, also after a reboot (kube-proxy)"), "{summary}");

    let table = kube_proxy("kube-proxy --config=/etc/config.conf --conntrack-min=1");
    let path = "host/proc/77/root/etc/config.conf";
    let config = (path, "conntrack:\n  maxPerCore: 50\n  min: 1\n");
    assert_eq!(levels(&[(rows::PROCESSES, &table), config], LIMIT).0, Level::Ok);
    assert_eq!(levels(&[(rows::PROCESSES, &table), (path, "")], LIMIT).0, Level::Unknown);
    assert_eq!(levels(&[(rows::PROCESSES, &table)], LIMIT).0, Level::Unknown);
}

#[test]
fn a_file_that_cannot_be_read_may_decide_otherwise() {
    let mut evidence = with(&[]);
    evidence.insert("host/etc/sysctl.d/99.conf", Reading::failed(Outcome::Denied, "no"));
    let limit = finding(&evidence, &asked(), LIMIT);
    assert_eq!((limit.level, &limit.evidence["afterReboot"]), (Level::Unknown, &Value::Null));
}

/// What `--fix` would do.
fn changes(evidence: &Evidence, max: u64) -> Vec<Change> {
    finding(evidence, &Asked { max, ..asked() }, LIMIT).changes
}

fn sysctl_change(value: &str) -> Change {
    Change::Sysctl { key: "net.netfilter.nf_conntrack_max".to_owned(), value: value.to_owned() }
}

fn limit_file(name: &str, text: &str) -> Change {
    Change::File { path: format!("/etc/sysctl.d/{name}"), text: text.to_owned() }
}

const HEAD: &str =
    "# The table of connections may hold so many entries (calivet check conntrack --fix).\n";

#[test]
fn the_fix_raises_the_limit_now_and_in_a_file_that_wins() {
    let text = format!("{HEAD}net.netfilter.nf_conntrack_max = 1000\n");
    // 90-limit.conf comes after 90-calivet: another name must be found.
    let expected = [sysctl_change("1000"), limit_file("99-zz-calivet-conntrack.conf", &text)];
    assert_eq!(changes(&with(&[]), 1000), expected);
    // Once done, there is nothing to do.
    let done = with(&[
        ("host/proc/sys/net/netfilter/nf_conntrack_max", "1000\n"),
        ("host/etc/sysctl.d/99-zz-calivet-conntrack.conf", &text),
    ]);
    assert!(changes(&done, 1000).is_empty());
    assert!(changes(&done, 500).is_empty(), "a limit is never lowered");
    // Unrelated lines stay.
    let raised = changes(
        &with(&[(
            "host/etc/sysctl.d/99-zz-calivet-conntrack.conf",
            "a.b = 1\n-net/netfilter/nf_conntrack_max=5\nc.d = 2",
        )]),
        1000,
    );
    let text = "a.b = 1\nc.d = 2\nnet.netfilter.nf_conntrack_max = 1000\n";
    assert_eq!(raised[1], limit_file("99-zz-calivet-conntrack.conf", text));
}

#[test]
fn the_fix_has_the_module_loaded_where_it_comes_late() {
    let all = changes(&with(&[(LIST, "other\n")]), 100);
    let path = "/etc/modules-load.d/nf_conntrack.conf".to_owned();
    assert_eq!(all, [Change::File { path, text: "nf_conntrack\n".to_owned() }]);
}

#[test]
fn the_fix_says_where_it_cannot_win() {
    let evidence = with(&[("host/etc/sysctl.conf", "net.netfilter.nf_conntrack_max = 300\n")]);
    let limit = finding(&evidence, &Asked { max: 1000, ..asked() }, LIMIT);
    assert_eq!(limit.changes.len(), 2);
    assert!(
        limit.remedy.iter().any(|line| line.starts_with("/etc/sysctl.conf:1 is read last")),
        "{:?}",
        limit.remedy
    );
    let evidence = with(&[
        ("host/etc/sysctl.d/zzzz.conf", "net.netfilter.nf_conntrack_max = 300\n"),
        (LIMIT_FILE, ""),
    ]);
    let limit = finding(&evidence, &Asked { max: 1000, ..asked() }, LIMIT);
    assert_eq!(limit.changes, [sysctl_change("1000")]);
    assert!(
        limit.remedy.iter().any(|line| line.contains("in /etc/sysctl.d/zzzz.conf:1")),
        "{:?}",
        limit.remedy
    );
}

#[test]
fn the_fix_writes_nothing_where_the_kernel_will_refuse() {
    let evidence = with(&[(rows::MODES, "100444 0 0 0 2026-11-01T00:00:00Z nf_conntrack_max\n")]);
    let limit = finding(&evidence, &Asked { max: 1000, ..asked() }, LIMIT);
    assert_eq!(limit.changes, [sysctl_change("1000")]);
    assert_eq!(limit.evidence["writable"], json!(false));
    assert!(limit.remedy.iter().any(|line| line.contains("read-only in a network namespace")));
}

#[test]
fn too_few_buckets_are_warned_of_and_memory_is_told() {
    const BUCKETS_PATH: &str = "host/proc/sys/net/netfilter/nf_conntrack_buckets";
    assert_eq!(levels(&[(BUCKETS_PATH, "12\n")], BUCKETS).0, Level::Warn);
    let evidence = with(&[]);
    let buckets = finding(&evidence, &Asked { max: 1_000_000, ..asked() }, BUCKETS);
    assert_eq!(buckets.evidence["bytesAtMax"], json!(100 * 256 + 50 * 8));
    assert_eq!(buckets.evidence["bytesAtProposedMax"], json!(1_000_000 * 256 + 50 * 8));
    assert!(buckets.summary.contains("a limit of 1,000,000 it would take 245 MiB"));
    let (_, summary) = levels(&[(rows::SLABINFO, "")], BUCKETS);
    assert!(summary.contains("what an entry costs is not known"));
}

#[test]
fn long_timeouts_matter_where_the_table_is_crowded() {
    let path = "host/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";
    let long = (path, "432000\n");
    assert_eq!(levels(&[long], TIMEOUTS).0, Level::Info);
    let crowded = ("host/proc/sys/net/netfilter/nf_conntrack_count", "80\n");
    assert_eq!(levels(&[long, crowded], TIMEOUTS).0, Level::Warn);
    // Whoever sets it again when he starts must be told, too.
    let table = kube_proxy("kube-proxy --conntrack-tcp-timeout-established=96h");
    let timeouts = finding(&with(&[long, (rows::PROCESSES, &table)]), &asked(), TIMEOUTS);
    let row = &timeouts.evidence["nf_conntrack_tcp_timeout_established"];
    assert_eq!(row["kubeProxy"], json!(345_600));
    assert!(timeouts.remedy[1].contains("conntrack.tcpEstablishedTimeout"), "{timeouts:?}");
    assert_eq!(levels(&[(path, "")], TIMEOUTS).0, Level::Unknown);
}

#[test]
fn the_ebpf_dataplane_is_known_by_felixs_environment_or_by_its_maps() {
    let felix = |variables: Value| {
        json!([{"pid": 5, "hostRoot": true, "state": "S", "argv": ["calico-node", "-felix"], "environment": variables}])
            .to_string()
    };
    let plain = felix(json!({}));
    let on = felix(json!({"FELIX_BPFENABLED": "true"}));
    let maps = (
        rows::BPF_MAPS,
        "100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct4\n100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct_nats2\n",
    );
    assert_eq!(levels(&[(rows::PROCESSES, &plain)], BPF).0, Level::Ok);
    assert_eq!(levels(&[(rows::PROCESSES, &on)], BPF).0, Level::Info);
    let mut blind = with(&[(rows::PROCESSES, &plain)]);
    blind.insert(rows::BPF_MAPS, Reading::failed(Outcome::Denied, "permission denied"));
    assert_eq!(finding(&blind, &asked(), BPF).level, Level::Unknown);
    let (level, summary) = levels(&[(rows::PROCESSES, &plain), maps], BPF);
    assert_eq!(level, Level::Info);
    assert!(summary.contains("(cali_v4_ct4)"), "{summary}");
}

#[test]
fn how_full_the_maps_of_the_ebpf_dataplane_are_is_told() {
    let felix =
        json!([{"pid": 5, "hostRoot": true, "state": "S", "argv": ["calico-node", "-felix"],
        "environment": {"FELIX_BPFENABLED": "true"}}])
        .to_string();
    let listing = "100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct3\n\
                   100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct4\n\
                   100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct_nats2\n";
    let sizes =
        r#"[{"name":"cali_v4_ct3","max_entries":1},{"name":"cali_v4_ct4","max_entries":1000}]"#;
    let metrics = "HTTP 200\nfelix_bpf_conntrack_used{ip_family=\"4\"} 950\n";
    let node = [
        (rows::PROCESSES, felix.as_str()),
        (rows::BPF_MAPS, listing),
        (rows::BPF_SIZES, sizes),
        (rows::METRICS, metrics),
    ];
    let bpf = finding(&with(&node), &asked(), BPF);
    assert_eq!(bpf.level, Level::Fail, "{}", bpf.summary);
    assert_eq!(
        bpf.evidence["tables"],
        json!({"ipv4": {"used": 950, "size": 1000, "percent": 95.0}})
    );
    assert_eq!(bpf.evidence["maps"], json!(["cali_v4_ct3", "cali_v4_ct4"]));
    // What is not known is not made up.
    let (level, summary) = levels(&[&node[..3], &[(rows::METRICS, "")]].concat(), BPF);
    assert_eq!(level, Level::Info);
    assert!(summary.ends_with("unknown of 1,000 entries of ipv4"), "{summary}");
    let (level, summary) = levels(&node[..2], BPF);
    assert_eq!(level, Level::Info);
    assert!(summary.contains("how full it is is not known"), "{summary}");
}

/// The document of a dump of the table.
fn top_document(sources: &[(&str, u64)]) -> String {
    let total: u64 = sources.iter().map(|(_, entries)| entries).sum();
    let addresses: Vec<Value> = sources
        .iter()
        .map(|(address, entries)| json!({"address": address, "entries": entries}))
        .collect();
    let flows: Vec<Value> = sources
        .iter()
        .map(|(address, entries)| {
            json!({"source": address, "destination": "10.96.0.10", "protocol": "udp", "port": 53, "entries": entries})
        })
        .collect();
    json!({"entries": total, "max": 9, "total": total, "unreplied": 0, "unassured": total,
        "distinct": {"sources": sources.len(), "destinations": 1, "flows": sources.len()},
        "missed": {"sources": 0, "destinations": 0, "flows": 0},
        "protocols": [{"protocol": "udp", "entries": total}], "states": [], "zones": [{"zone": 0, "entries": total}],
        "sources": addresses, "destinations": [{"address": "10.96.0.10", "entries": total}], "flows": flows,
        "consistent": true, "complete": true})
    .to_string()
}

#[test]
fn who_makes_new_entries_is_told_by_growth_though_others_have_more() {
    let (mut evidence, asked) = twice(STATS);
    let first = top_document(&[("10.1.0.1", 1000), ("10.1.0.2", 10)]);
    let second = top_document(&[("10.1.0.1", 990), ("10.1.0.2", 60), ("10.1.0.3", 5)]);
    let begun = evidence.get(rows::STATS).unwrap().started;
    for (path, text, seconds) in [(rows::TOP, first, 0), (rows::TOP_LATER, second, 5)] {
        let mut reading = Reading { bytes: text.into_bytes(), ..Reading::begin() };
        reading.started = begun + jiff::SignedDuration::from_secs(seconds);
        evidence.insert(path, reading);
    }
    let cache = r#"{"kind":"cniCacheV1","cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-5"]],
        "result":{"ips":[{"address":"10.1.0.2/32"}]}}"#;
    let reading = Reading { bytes: cache.as_bytes().to_vec(), ..Reading::begin() };
    evidence.insert(format!("{}/k8s-pod-network-3f69-eth0", rows::CNI_RESULTS), reading);
    let asked = Asked { top: Some(10), ..asked };
    let top = finding(&evidence, &asked, TOP);
    let growing = &top.evidence["top"]["growing"];
    assert_eq!(growing["seconds"], json!(5.0));
    assert_eq!(
        growing["sources"],
        json!([
            {"address": "10.1.0.2", "entries": 60, "growth": 50, "perSecond": 10.0, "interface": null, "pod": "shop/web-5"},
            {"address": "10.1.0.3", "entries": 5, "growth": 5, "perSecond": 1.0, "interface": null, "pod": null},
        ])
    );
    assert_eq!(growing["flows"][0]["port"], json!(53));
    assert!(
        top.summary.contains("10.1.0.2 (pod shop/web-5) grows fastest, net +10 a second"),
        "{}",
        top.summary
    );
    let once = Asked { interval: None, ..asked };
    assert!(finding(&evidence, &once, TOP).evidence["top"].get("growing").is_none());
}

#[test]
fn who_fills_the_table_is_told_with_link_and_pod() {
    let top = r#"{"source":"x","entries":5,"max":9,"total":5,"unreplied":1,"unassured":2,
        "distinct":{"sources":1,"destinations":1,"flows":1},"missed":{"sources":0,"destinations":0,"flows":0},
        "protocols":[{"protocol":"tcp","entries":5}],
        "states":[{"protocol":"tcp","state":"syn-received","entries":2},{"protocol":"tcp","state":"established","entries":3}],
        "zones":[{"zone":0,"entries":5}],
        "sources":[{"address":"10.244.1.7","entries":5}],"destinations":[{"address":"10.96.0.10","entries":5}],
        "flows":[{"source":"10.244.1.7","destination":"10.96.0.10","protocol":"tcp","port":53,"entries":5}],
        "consistent":true,"complete":true}"#;
    let routes = "{\"source\":\"RTM_GETROUTE\",\n\"routes\":[\n\
        {\"family\":\"ipv4\",\"type\":\"unicast\",\"destination\":\"10.244.1.7/32\",\"dev\":\"cali4f5e0000000\"},\n\
        {\"family\":\"ipv4\",\"type\":\"local\",\"destination\":\"10.96.0.10/32\",\"dev\":\"kube-ipvs0\"}\n],";
    let digits = "4d5f75c480c";
    let routes = routes.replace("4f5e0000000", digits);
    let pods =
        "040755 0 0 4096 2026-11-01T00:00:00Z kube-system_coredns-5d78c9869d-abcde_0f4c12ab\n";
    let evidence = with(&[(rows::TOP, top), (rows::ROUTES, &routes), (rows::PODS, pods)]);
    let asked = Asked { top: Some(10), ..asked() };
    let found = finding(&evidence, &asked, TOP);
    assert_eq!(found.level, Level::Info);
    let link = format!("cali{digits}");
    assert_eq!(
        found.evidence["top"]["sources"],
        json!([{"address": "10.244.1.7", "entries": 5, "interface": link,
                "pod": "kube-system/coredns-5d78c9869d-abcde"}])
    );
    assert_eq!(found.evidence["top"]["states"], json!({"tcp": {"SYN_RECV": 2, "ESTABLISHED": 3}}));
    assert_eq!(found.evidence["top"]["destinations"][0]["interface"], Value::Null);
    let denied = with(&[(rows::TOP, "")]);
    assert_eq!(finding(&denied, &asked, TOP).level, Level::Unknown);
}
