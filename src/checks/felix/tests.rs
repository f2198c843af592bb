//! Each finding, on evidence that is made up.

use serde_json::{Value, json};

use super::*;
use crate::logs::{LogFile, Tally};

const NOW: &str = "2026-11-01T10:00:00Z";
const READY: &str = "\
HTTP 200
| CalculationGraph          | 30s     | reporting live | reporting ready     |                 |
| InternalDataplaneMainLoop | 1m30s   | reporting live | reporting ready     |                 |
";

/// What was read of a node.
struct Node(Vec<(String, Reading)>);

impl Node {
    /// One on which Felix is well: it has run for nine hours.
    fn well() -> Self {
        let processes = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "startTime": 360_000, "argv": ["calico", "component", "felix"],
            "environment": {"FELIX_HEALTHENABLED": "true", "NODENAME": "node-1"},
        }]);
        let empty = json!({"items": []}).to_string();
        Self(Vec::new())
            .text("processes.json", &processes.to_string())
            .text("host/proc/stat", "btime 1793491200\n")
            .text("host/var/lib/calico/nodename", "node-1")
            .text("felix/liveness", READY)
            .text("felix/readiness", READY)
            .text(DATASTORE, &empty)
            .reading(FELIX_METRICS, Reading::failed(Outcome::Missing, "connection refused"))
            .text(NFTABLES, "{\"chains\":[\n{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"cali-FORWARD\"},\n]}")
            .text(LINKS, "{\"links\":[\n{\"name\":\"vxlan.calico\",\"flags\":[\"up\"]}\n]}")
            .log("2026-11-01T09:00:00Z stdout F 2026-11-01 09:00:00.000 [INFO][1] felix/a.go 1: text\n")
    }

    fn reading(mut self, path: &str, reading: Reading) -> Self {
        let started = NOW.parse().unwrap();
        self.0.push((path.to_owned(), Reading { started, ..reading }));
        self
    }

    fn text(self, path: &str, text: &str) -> Self {
        self.reading(path, Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() })
    }

    /// With the log of its container, which was restarted twice.
    fn log(self, log: &str) -> Self {
        let mut summary = Summary::default();
        let mut tally = Tally::new("calico-node", NOW.parse().unwrap(), true);
        tally.add(log.as_bytes());
        let path = "/var/log/pods/kube-system_calico-node-x_1/calico-node/2.log".to_owned();
        summary.add(LogFile { path, ..LogFile::default() }, tally);
        summary.sort();
        self.text(logs::PATH, &serde_json::to_string(&summary).unwrap())
    }

    fn environment(self, name: &str, value: &str) -> Self {
        let processes = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "startTime": 360_000, "argv": ["calico", "component", "felix"],
            "environment": {"FELIX_HEALTHENABLED": "true", name: value},
        }]);
        self.text("processes.json", &processes.to_string())
    }

    fn judge(self) -> Vec<Finding> {
        // What was said last of a path counts.
        let evidence: Evidence = self.0.into_iter().collect();
        super::judge(&evidence, &Asked::default())
    }
}

#[track_caller]
fn one(findings: &[Finding], id: &str) -> Finding {
    findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id}")).clone()
}

#[test]
fn a_felix_that_is_well_gives_no_alarm() {
    let findings = Node::well().judge();
    let levels: Vec<(&str, Level)> = findings.iter().map(|it| (it.id, it.level)).collect();
    assert_eq!(
        levels,
        [
            (RUNNING, Level::Ok),
            (HEALTH, Level::Ok),
            (RESTARTS, Level::Info),
            (MODE, Level::Ok),
            (LOG_LEVEL, Level::Ok),
            (ERRORS, Level::Ok),
            (METRICS, Level::Skip),
        ],
        "{findings:#?}"
    );
    assert_eq!(
        one(&findings, RUNNING).summary,
        "Felix runs as process 412 since 2026-11-01T01:00:00Z (9 h)"
    );
    assert_eq!(one(&findings, MODE).summary, "dataplane iptables (nft), VXLAN");
    assert_eq!(one(&findings, RESTARTS).evidence["container"], 2);
}

#[test]
fn a_felix_that_does_not_run_fails_once_and_is_not_asked_for_more() {
    let findings = Node::well()
        .text("processes.json", "[]")
        .reading("felix/liveness", Reading::failed(Outcome::Missing, "refused"))
        .reading("felix/readiness", Reading::failed(Outcome::Missing, "refused"))
        .judge();
    assert_eq!(one(&findings, RUNNING).level, Level::Fail);
    for id in [HEALTH, RESTARTS, LOG_LEVEL, METRICS] {
        assert_eq!(one(&findings, id).level, Level::Skip, "{id}");
    }
    assert_eq!(one(&findings, MODE).level, Level::Info, "its rules are left");
}

#[test]
fn a_health_port_that_hangs_is_absent_is_disabled_or_is_unready_is_told_apart() {
    let unready = READY.replace("200", "503").replacen(
        "reporting ready     |                ",
        "reporting non-ready | not yet in sync",
        1,
    );
    let failed = |outcome| Reading::failed(outcome, "why");
    let rows = [
        (failed(Outcome::Timeout), "true", Level::Fail, "hangs", "does not answer"),
        (failed(Outcome::Missing), "true", Level::Fail, "absent", "the kubelet's probes fail"),
        (failed(Outcome::Missing), "false", Level::Info, "absent", "healthEnabled is false"),
        (failed(Outcome::Missing), "", Level::Unknown, "absent", "its own default is no"),
        (failed(Outcome::Denied), "true", Level::Unknown, "unknown", "why"),
        (
            Reading { bytes: b"hello".to_vec(), ..Reading::begin() },
            "true",
            Level::Unknown,
            "foreign",
            "not Felix",
        ),
        (
            Reading { bytes: unready.into_bytes(), ..Reading::begin() },
            "true",
            Level::Fail,
            "answers",
            "not ready (HTTP 503): CalculationGraph reporting non-ready (not yet in sync): it waits for the datastore",
        ),
    ];
    for (reading, enabled, level, endpoint, words) in rows {
        let live = if endpoint == "answers" {
            Reading { bytes: READY.into(), ..Reading::begin() }
        } else {
            reading.clone()
        };
        let findings = Node::well()
            .environment("FELIX_HEALTHENABLED", enabled)
            .reading("felix/liveness", live)
            .reading("felix/readiness", reading)
            .judge();
        let health = one(&findings, HEALTH);
        assert_eq!(
            (health.level, &health.evidence["endpoint"]),
            (level, &json!(endpoint)),
            "{health:?}"
        );
        assert!(health.summary.contains(words), "{}", health.summary);
    }
}

#[test]
fn the_severity_is_that_of_the_first_who_sets_it_with_the_commands_that_change_it() {
    let store = json!({"items": [{"metadata": {"name": "default"}, "spec": {"logSeverityScreen": "Warning"}}]}).to_string();
    let own = json!({"items": [{"metadata": {"name": "node.node-1"}, "spec": {"logSeverityScreen": "Debug"}}]}).to_string();
    let rows: [(Node, Level, &str, &str, &str); 6] = [
        (Node::well(), Level::Ok, "Info", "Felix's own default", "calicoctl create"),
        (
            Node::well().text(DATASTORE, &store),
            Level::Ok,
            "Warning",
            "FelixConfiguration default",
            "node.node-1",
        ),
        (
            Node::well().text(DATASTORE, &own),
            Level::Warn,
            "Debug",
            "FelixConfiguration node.node-1",
            "patch felixconfiguration node.node-1",
        ),
        (
            Node::well().text("host/etc/calico/felix.cfg", "[global]\nLogSeverityScreen = Error\n"),
            Level::Info,
            "Error",
            "/etc/calico/felix.cfg",
            "LogSeverityScreen = Debug",
        ),
        (
            Node::well().text(DATASTORE, &own).environment("FELIX_LOGSEVERITYSCREEN", "info"),
            Level::Ok,
            "info",
            "Felix's environment",
            "set env ds/calico-node",
        ),
        (
            Node::well().reading(DATASTORE, Reading::failed(Outcome::Denied, "no")),
            Level::Info,
            "Info",
            "Felix's own default",
            "calicoctl",
        ),
    ];
    for (node, level, severity, origin, raise) in rows {
        let finding = one(&node.judge(), LOG_LEVEL);
        assert_eq!(finding.level, level, "{}", finding.summary);
        assert_eq!(
            (&finding.evidence["severity"], &finding.evidence["from"]),
            (&json!(severity), &json!(origin))
        );
        assert!(
            finding.evidence["raise"].as_str().unwrap().contains(raise),
            "{}",
            finding.evidence["raise"]
        );
    }
}

#[test]
fn the_log_level_is_known_where_felixs_environment_was_read_whatever_is_in_it() {
    for (environment, level) in [(json!({}), Level::Ok), (serde_json::Value::Null, Level::Unknown)]
    {
        let processes = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "startTime": 360_000, "argv": ["calico", "component", "felix"],
            "environment": environment,
        }]);
        let node = Node::well().text("processes.json", &processes.to_string());
        assert_eq!(one(&node.judge(), LOG_LEVEL).level, level, "{environment}");
    }
}

#[test]
fn a_name_that_is_no_plain_word_is_in_no_command() {
    let node = Node::well().text("host/var/lib/calico/nodename", "x'; reboot; '");
    let finding = one(&node.judge(), LOG_LEVEL);
    for command in ["raise", "restore"] {
        assert!(!finding.evidence[command].as_str().unwrap().contains("reboot"));
    }
}

#[test]
fn errors_are_grouped_counted_dated_and_explained() {
    let line = |minute: u32, level: &str, text: &str| {
        format!(
            "2026-11-01T09:{minute:02}:00Z stdout F 2026-11-01 09:{minute:02}:00.000 [{level}][1] felix/a.go 1: {text}\n"
        )
    };
    let log = [
        line(
            10,
            "ERROR",
            "Failed to connect to typha endpoint 10.0.0.7:5473 error=dial tcp: i/o timeout",
        ),
        line(
            11,
            "ERROR",
            "Failed to connect to typha endpoint 10.0.0.8:5473 error=dial tcp: i/o timeout",
        ),
        line(12, "WARNING", "odd"),
        line(13, "FATAL", "Bug \x1b]0;owned\x07"),
        "2026-11-01T03:00:00Z stderr F panic: long ago\n".to_owned(),
    ];
    let findings = Node::well().log(&log.concat()).judge();
    let errors: Vec<&Finding> = findings.iter().filter(|it| it.id == ERRORS).collect();
    let levels: Vec<Level> = errors.iter().map(|it| it.level).collect();
    assert_eq!(levels, [Level::Info, Level::Fail, Level::Warn, Level::Info], "{errors:#?}");
    assert!(
        errors[0]
            .summary
            .starts_with("4 errors of 3 kinds, 3 in the last hour, 1 warning in 5 lines"),
        "{}",
        errors[0].summary
    );
    assert_eq!(errors[2].evidence["count"], 2);
    assert_eq!(errors[2].evidence["last"], "2026-11-01T09:11:00Z");
    assert!(errors[2].summary.contains("cannot reach Typha (TCP 5473)"), "{}", errors[2].summary);
    assert!(!errors[2].remedy.is_empty());
    assert_eq!(errors[3].evidence["severity"], "PANIC");
}

#[test]
fn metrics_that_show_trouble_are_told_one_by_one() {
    let answer = "HTTP 200\nfelix_resync_state 1\nfelix_int_dataplane_failures 7\nfelix_ipset_errors 0\n\
        felix_bpf_dirty_dataplane_endpoints 2\nfelix_calc_graph_update_time_seconds{quantile=\"0.99\"} 4.5\n";
    let findings = Node::well().text(FELIX_METRICS, answer).judge();
    let told: Vec<(&Value, Level)> = findings
        .iter()
        .filter(|it| it.id == METRICS)
        .map(|it| (&it.evidence["metric"], it.level))
        .collect();
    let expected = [
        ("felix_resync_state", Level::Fail),
        ("felix_bpf_dirty_dataplane_endpoints", Level::Fail),
        ("felix_int_dataplane_failures", Level::Warn),
        ("felix_calc_graph_update_time_seconds", Level::Warn),
    ];
    assert_eq!(
        told,
        expected
            .map(|(name, level)| (json!(name), level))
            .iter()
            .map(|(name, level)| (name, *level))
            .collect::<Vec<_>>()
    );
    let well = "HTTP 200\nfelix_resync_state 3\nfelix_int_dataplane_failures 0\n";
    assert_eq!(one(&Node::well().text(FELIX_METRICS, well).judge(), METRICS).level, Level::Ok);
    let other = one(&Node::well().text(FELIX_METRICS, "HTTP 200\nup 1\n").judge(), METRICS);
    assert_eq!(other.level, Level::Unknown);
    let told = Node::well()
        .environment("FELIX_PROMETHEUSMETRICSENABLED", "true")
        .reading(FELIX_METRICS, Reading::failed(Outcome::Missing, "refused"));
    assert_eq!(one(&told.judge(), METRICS).level, Level::Warn);
}

#[test]
fn two_sets_of_rules_and_an_ebpf_that_is_not_there_are_seen() {
    let both = Node::well().text(IPV4_LEGACY, "*filter\n:cali-FORWARD - [0:0]\n");
    assert_eq!(one(&both.judge(), MODE).level, Level::Warn);
    let nft = "{\"family\":\"ip\",\"table\":\"calico\",\"name\":\"filter-cali-FORWARD\"}\n";
    assert_eq!(
        one(&Node::well().text(NFTABLES, nft).judge(), MODE).summary,
        "dataplane nftables, VXLAN"
    );
    let iptables = "{\"family\":\"ip\",\"table\":\"filter\",\"name\":\"cali-FORWARD\"},\n";
    let both = Node::well().text(NFTABLES, &[iptables, nft].concat());
    let both = one(&both.judge(), MODE);
    assert!(
        both.level == Level::Warn && both.summary.contains("iptables (nft) and nftables"),
        "{both:?}"
    );
    let left = Node::well()
        .environment("FELIX_BPFENABLED", "false")
        .text(collectors::conntrack::BPF_MAPS, "100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct4\n");
    assert_eq!(one(&left.judge(), MODE).summary, "dataplane iptables (nft), VXLAN");
    let fallen = Node::well()
        .environment("FELIX_BPFENABLED", "true")
        .reading(collectors::conntrack::BPF_MAPS, Reading::failed(Outcome::Missing, "no"));
    let fallen = one(&fallen.judge(), MODE);
    assert!(
        fallen.level == Level::Fail && fallen.summary.contains("fallen back to iptables (nft)"),
        "{fallen:?}"
    );
    let bpf = Node::well()
        .environment("FELIX_BPFENABLED", "true")
        .text(collectors::conntrack::BPF_MAPS, "100600 0 0 0 2026-11-01T00:00:00Z cali_v4_ct4\n");
    assert_eq!(one(&bpf.judge(), MODE).summary, "dataplane eBPF, VXLAN");
    let denied = Node::well().reading(NFTABLES, Reading::failed(Outcome::Denied, "not root"));
    assert_eq!(one(&denied.judge(), MODE).level, Level::Unknown);
}

#[test]
fn a_felix_that_does_not_stay_up_and_a_young_container_are_told() {
    let start = |minute: u32| {
        format!(
            "2026-11-01T09:{minute:02}:00Z stdout F 2026-11-01 09:{minute:02}:00.000 [INFO][1] felix/daemon.go 1: Felix starting up version=\"v3.27.0\"\n"
        )
    };
    let findings = Node::well().log(&(10..14).map(start).collect::<String>()).judge();
    let restarts = one(&findings, RESTARTS);
    assert_eq!((restarts.level, &restarts.evidence["startsInLastHour"]), (Level::Fail, &json!(4)));
    assert!(one(&findings, RUNNING).summary.starts_with("Felix v3.27.0 runs"));
    let young = json!([{
        "pid": 412, "hostRoot": true, "state": "S", "startTime": 3_590_000, "argv": ["calico", "component", "felix"],
        "environment": {"FELIX_HEALTHENABLED": "true"},
    }]);
    let restarts = one(&Node::well().text("processes.json", &young.to_string()).judge(), RESTARTS);
    assert_eq!(restarts.level, Level::Warn, "{}", restarts.summary);
}

#[test]
fn a_stopped_felix_and_two_of_them_are_wrong() {
    let process = |pid: u32, state: &str| json!({"pid": pid, "hostRoot": true, "state": state, "startTime": 9, "argv": ["calico-node", "-felix"]});
    let stopped = Node::well().text("processes.json", &json!([process(4, "T")]).to_string());
    let stopped = one(&stopped.judge(), RUNNING);
    assert_eq!(
        (stopped.level, stopped.remedy),
        (Level::Fail, vec!["sudo kill -CONT 4".to_owned()])
    );
    let two =
        Node::well().text("processes.json", &json!([process(4, "S"), process(5, "S")]).to_string());
    assert_eq!(one(&two.judge(), RUNNING).level, Level::Warn);
}

#[test]
fn a_span_is_told_in_two_units() {
    for (seconds, words) in
        [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (93_784, "1 d 2 h"), (-5, "0 s")]
    {
        assert_eq!(span(seconds), words);
    }
}

#[test]
fn what_the_kernel_has_ended_for_want_of_memory_is_told_and_no_programs_tale_of_it() {
    let log = "<3>[100.5] Out of memory: Killed process 9 (java) total-vm:1kB\n\
        <3>[900.5] Memory cgroup out of memory: Killed process 412 (calico-node) total-vm:1kB\n\
        <12>[950.0] Out of memory: Killed process 412 (calico-node) total-vm:1kB\n";
    let node = |log: &str| {
        Node::well()
            .text(collectors::conntrack::KERNEL_LOG, log)
            .text("host/proc/uptime", "1000.00 1.00\n")
    };
    let restarts = one(&node(log).judge(), RESTARTS);
    assert_eq!(restarts.level, Level::Warn);
    assert_eq!(restarts.evidence["killedForMemory"], json!(["calico-node"]));
    assert_eq!(restarts.evidence["lastKilledSecondsAgo"], 99);
    assert!(restarts.summary.contains("memory once, last 1 min 39 s ago"), "{}", restarts.summary);
    assert_eq!(one(&node("<3>[1.0] Killed process\n").judge(), RESTARTS).level, Level::Info);
}
