//! `calivet check bgp`: each cause is injected between real BIRDs and must be found, and what the probes say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::agreement::{Levels, Views, changes};
use crate::fake_bird::{FakeBird, Recorded};
use crate::lab::Daemons;
use crate::lab::bgp::{FAULT, FAULTS, Far, Fault, Faulty};
use crate::root::Root;
use crate::run::{Run, finding, findings, run};

fn on_node(node: &Faulty, options: &[&str]) -> Run {
    run(node.calivet().args(["check", "bgp", "-o", "json"]).args(options))
}

fn from(bundle: &Path) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["check", "bgp", "-o", "json", "--from"])
        .arg(bundle))
}

/// Level and cause of each finding about BGP. How certain a cause is follows from how an attempt to connect ends, which each look
/// makes anew.
fn verdicts(report: &Value) -> Vec<[Value; 3]> {
    let findings = report["findings"].as_array().unwrap().iter();
    let of_bgp = findings.filter(|finding| finding["check"] == "bgp").map(|finding| {
        let [id, level] = ["id", "level"].map(|name| finding[name].clone());
        [id, level, finding["evidence"]["cause"].clone()]
    });
    of_bgp.collect()
}

/// What is wrong or unknown on a node of this lab that is well: it has BIRD, and else little of Calico's.
const OF_THE_LAB: [&str; 7] = [
    "cni.configuration fail",
    "felix.errors unknown",
    "felix.health unknown",
    "felix.mode unknown",
    "firewall.chains fail",
    "logs.errors unknown",
    "sysctl.ipv4-forwarding fail",
];

/// What all checks find on a node, the same live, beneath `--root` and from a bundle. Asserts that these findings beside the
/// lab's, and no others, are not well.
#[track_caller]
fn looked_at(node: &Faulty, options: &[&str], expected: &[&str]) -> Value {
    let views = Views::of(node.namespaces()).with(options);
    let report = views.report().unwrap();
    let mut levels = views.levels(&report);
    // What the kernel knows is the machine's.
    levels.retain(|id, levels| {
        let is_trouble = |level: &String| ["fail", "unknown", "warn"].contains(&level.as_str());
        !id.starts_with("system.") && levels.iter().any(is_trouble)
    });
    let expected: BTreeSet<String> =
        OF_THE_LAB.iter().chain(expected).map(|&line| line.to_owned()).collect();
    assert_eq!(changes(&Levels::new(), &levels), expected, "{report:#}");
    report
}

/// Compares what was injected with what was found: right ones, and wrong ones that were called certain.
fn score(node: &Faulty, report: &Value, table: &mut String) -> (usize, usize) {
    let peers = findings(report, "bgp.peer");
    let (mut right, mut wrongly_certain) = (0, 0);
    for (fault, is_ipv6) in node.faults() {
        let name = fault.name(*is_ipv6);
        let found = peers.iter().find(|finding| finding["evidence"]["name"] == name.as_str());
        let found = found.unwrap_or_else(|| panic!("nothing is said of {name}: {report:#}"));
        let cause = found["evidence"]["cause"].as_str();
        let certainty = found["evidence"]["certainty"].as_str().unwrap_or_default();
        let is_right = match cause {
            None => fault.causes.is_empty() && found["level"] == "ok",
            Some(cause) => fault.causes.contains(&cause),
        };
        right += usize::from(is_right);
        wrongly_certain += usize::from(!is_right && certainty == "certain");
        let mark = if is_right { "  " } else { "!!" };
        let _ = writeln!(
            table,
            "{mark} {:<66} {:<22} {certainty:<8} {}",
            fault.injected,
            cause.unwrap_or("established"),
            if is_right { "" } else { found["summary"].as_str().unwrap_or_default() },
        );
    }
    (right, wrongly_certain)
}

fn every_cause_is_found(daemons: Daemons) {
    let Some(node) = Faulty::start(daemons, FAULTS) else { return };
    let expected = [
        // In the file, and BIRD was not told.
        "bgp.configuration fail",
        "bgp.peer fail ok",
        // One of the addresses that BIRD is told to use is docker0's.
        "interfaces.node-address fail ok",
    ];
    let report = looked_at(&node, &[], &expected);
    let mut table = format!("{daemons:?}: injected, found\n");
    let (right, wrongly_certain) = score(&node, &report, &mut table);
    let all = node.faults().len();
    let _ = writeln!(
        table,
        "{right} of {all} are right, {wrongly_certain} wrong ones are called certain"
    );
    // Also where the test passes.
    let _ = std::io::stderr().write_all(table.as_bytes());
    assert_eq!(wrongly_certain, 0, "\n{table}");
    assert!(right * 100 >= all * 95, "\n{table}");

    // A bundle with pseudonyms gives the same verdicts.
    let bundle = node.folder().join("bundle.tar.gz");
    let only = "bird,system,network,netfilter,calico,kernel,felix";
    let mut diags = node.calivet();
    diags.args(["node", "diags", "-q", "--obfuscate", "--only", only, "--output-file"]);
    let written = run(diags.arg(&bundle));
    assert!(written.status <= 1, "{written:?}");
    let offline = from(&bundle);
    assert_eq!(offline.status, 1, "{offline:?}");
    let (offline, live) = (verdicts(&offline.json()), verdicts(&report));
    for (index, (live, offline)) in live.iter().zip(&offline).enumerate() {
        assert_eq!(live, offline, "finding {index}");
    }
    assert_eq!(live.len(), offline.len());
}

#[test]
fn every_cause_is_found_with_bird_1() {
    every_cause_is_found(Daemons::Bird1);
}

#[test]
fn every_cause_is_found_with_bird_2() {
    every_cause_is_found(Daemons::Bird2);
}

/// The only finding of an id about a daemon.
#[track_caller]
fn of_daemon<'a>(report: &'a Value, id: &str, daemon: &str) -> &'a Value {
    let all = findings(report, id);
    let found = all.iter().find(|finding| finding["evidence"]["daemon"] == daemon);
    found.unwrap_or_else(|| panic!("no {id} of {daemon}: {all:#?}"))
}

/// Cause and certainty of each peer.
fn causes(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let peers = findings(report, "bgp.peer");
    let evidence = peers.iter().map(|finding| &finding["evidence"]);
    evidence.map(|it| (text(&it["cause"]), text(&it["certainty"]))).collect()
}

#[test]
fn a_node_whose_sessions_stand_passes() {
    for daemons in [Daemons::Bird1, Daemons::Bird2] {
        let Some(node) = Faulty::start_blind(daemons, &FAULTS[..2]) else { return };
        let report = looked_at(&node, &[], &[]);
        let peers = findings(&report, "bgp.peer");
        assert_eq!(peers.len(), 4);
        for peer in peers {
            assert_eq!(peer["level"], "ok", "{peer:#}");
            assert_eq!(peer["evidence"]["routes"]["imported"], 2, "{peer:#}");
        }
        for routes in findings(&report, "bgp.routes") {
            assert_eq!(routes["level"], "ok", "{routes:#}");
        }

        // Routes that BIRD gave to the kernel and that somebody took out again.
        node.run("ip route del blackhole 192.168.2.0/26 2>/dev/null || ip route del 192.168.2.0/26 proto bird");
        node.run("ip route add 192.168.2.64/26 via 10.0.0.3 proto 80 metric 7");
        // BIRD 2 is one daemon for both families.
        let routes =
            if daemons == Daemons::Bird2 { "bgp.routes fail" } else { "bgp.routes fail ok" };
        let expected = [routes, "routes.owners fail"];
        let report = looked_at(&node, &[], &expected);
        let routes = of_daemon(&report, "bgp.routes", "bird");
        assert_eq!(
            routes["evidence"]["ownedByBoth"],
            serde_json::json!(["192.168.2.64/26"]),
            "{routes:#}"
        );
        assert_eq!(routes["level"], "fail", "{routes:#}");
    }
}

#[test]
fn another_process_on_birds_port_is_named() {
    let script = r"
cp -L BIRD1/bird /run/agents/other-bird
cat >/run/other.cfg <<EOF
router id 9.9.9.9;
protocol device {}
protocol bgp other { local as 1; neighbor 10.0.0.99 as 1; passive on; multihop; }
EOF
/run/agents/other-bird -d -c /run/other.cfg -s /run/other.ctl -P /run/other.pid >/run/other.log 2>&1 &
for i in {1..200}; do ss -ltnH | grep -q ':179 ' && break; sleep 0.05; done";
    let faults = [Fault { kind: "Mesh", number: 2, ..FAULT }];
    let Some(node) = Faulty::start_after(Daemons::Bird1, &faults, script) else { return };
    let report = looked_at(&node, &[], &["bgp.peer fail ok", "bgp.readiness fail ok"]);
    let peers = findings(&report, "bgp.peer");
    let ipv4 = peers.iter().find(|it| it["evidence"]["address"] == "10.0.0.2").unwrap();
    assert_eq!(ipv4["evidence"]["cause"], "port-taken", "{ipv4:#}");
    assert_eq!(ipv4["evidence"]["certainty"], "certain", "{ipv4:#}");
    assert_eq!(ipv4["evidence"]["owner"]["name"], "other-bird", "{ipv4:#}");

    // It has gone, and BIRD has not tried again.
    node.run(
        "kill \"$(cat /run/other.pid)\"\nwhile ss -ltnH | grep -q '0.0.0.0:179 '; do sleep 0.05; done",
    );
    let report = on_node(&node, &[]).json();
    let peers = findings(&report, "bgp.peer");
    let ipv4 = peers.iter().find(|it| it["evidence"]["address"] == "10.0.0.2").unwrap();
    assert_eq!(ipv4["evidence"]["cause"], "not-listening", "{ipv4:#}");
}

#[test]
fn a_bird_that_hangs_is_blocked_and_nothing_is_said_of_its_peers() {
    let Some(node) = Faulty::start(Daemons::Bird1, &FAULTS[..2]) else { return };
    node.run("kill -STOP \"$(cat /run/bird.pid)\"");
    // Of the other daemon all is well.
    let expected = [
        "bgp.daemon fail ok",
        "bgp.liveness fail ok",
        "bgp.peer ok unknown",
        "bgp.readiness ok unknown",
    ];
    let report = looked_at(&node, &["--timeout", "1s"], &expected);
    let daemon = of_daemon(&report, "bgp.daemon", "bird");
    assert_eq!(
        (&daemon["level"], &daemon["evidence"]["cause"]),
        (&"fail".into(), &"bird-blocked".into())
    );
    let all = causes(&report);
    let blocked = all.iter().filter(|(cause, _)| cause == "bird-blocked").count();
    assert_eq!((blocked, all.len()), (2, 4), "bird6 answers: {all:?}");
}

#[test]
fn a_bird_that_recovers_withholds_its_routes_and_the_readiness_probe_is_told() {
    let faults = [FAULTS[0], FAULTS[2]];
    let Some(node) = Faulty::start(Daemons::Bird1Recovering, &faults) else { return };
    let expected = ["bgp.graceful-restart fail", "bgp.peer fail ok", "bgp.routes fail"];
    let report = looked_at(&node, &[], &expected);
    let restart = of_daemon(&report, "bgp.graceful-restart", "bird");
    assert_eq!(restart["level"], "fail", "{restart:#}");
    assert_eq!(restart["evidence"]["down"], serde_json::json!(["10.0.0.4"]));
    let routes = of_daemon(&report, "bgp.routes", "bird");
    assert_eq!(routes["evidence"]["missing"].as_array().map(Vec::len), Some(2), "{routes:#}");

    // Half of the peers are enough once the node is old, and too few while it is young.
    let ready = |report: &Value| {
        let all = findings(report, "bgp.readiness");
        let ipv4 = all.iter().find(|it| it["evidence"]["probe"] == "bird-ready").unwrap();
        (ipv4["level"].clone(), ipv4["evidence"]["message"].clone())
    };
    assert_eq!(ready(&report), ("info".into(), Value::Null));
    // It stays younger than 30 s however long this takes.
    node.run("touch -d '+1 hour' /var/lib/calico/nodename");
    let expected = [&expected[..], &["bgp.readiness fail"]].concat();
    let young = looked_at(&node, &[], &expected);
    let message = "BIRD is not ready: BGP not established with 10.0.0.4";
    assert_eq!(ready(&young), ("fail".into(), message.into()));
}

#[test]
fn without_probes_nothing_is_certain_that_takes_one() {
    let faults: Vec<Fault> =
        FAULTS.iter().copied().filter(|it| [4, 6, 9, 17, 21].contains(&it.number)).collect();
    let Some(node) = Faulty::start(Daemons::Bird1, &faults) else { return };
    let report = on_node(&node, &["--no-probe"]).json();
    let mut table = String::new();
    let (right, wrongly_certain) = score(&node, &report, &mut table);
    assert_eq!((right, wrongly_certain), (node.faults().len(), 0), "{table}");
    for peer in findings(&report, "bgp.peer") {
        assert_eq!(peer["evidence"]["look"]["connection"], Value::Null, "{peer:#}");
    }
}

#[test]
fn fifty_peers_that_are_down_are_all_explained() {
    let number = |index: usize| u8::try_from(101 + index).unwrap();
    let faults: Vec<Fault> = (0..25)
        .map(|index| {
            if index % 2 == 0 {
                let causes = &["neighbour-unreachable"];
                Fault { kind: "Mesh", number: number(index), far: Far::Absent, causes, ..FAULT }
            } else {
                let there = "nft add rule inet lab in FAMILY daddr PEER tcp dport 179 drop";
                Fault {
                    kind: "Mesh",
                    number: number(index),
                    far: Far::Host,
                    there,
                    causes: &["filtered"],
                    ..FAULT
                }
            }
        })
        .collect();
    let Some(node) = Faulty::start(Daemons::Bird1, &faults) else { return };
    let report = on_node(&node, &[]).json();
    let mut table = String::new();
    let (right, wrongly_certain) = score(&node, &report, &mut table);
    assert_eq!((right, wrongly_certain), (50, 0), "{table}");
}

#[test]
fn a_node_that_is_gone_and_one_that_moved_are_named_by_the_datastore() {
    let Some(programs) = crate::datastore::etcd::programs() else { return };
    let gone = |number| Fault { kind: "Mesh", number, far: Far::Absent, ..FAULT };
    let faults = [FAULTS[0], gone(50), gone(51)];
    let Some(node) = Faulty::start(Daemons::Bird1, &faults) else { return };
    let known = FAULTS[0].address(false);
    // As confd notes whose a session is, and as calicoctl would be told where the datastore is.
    node.run(&format!(
        "sed -i 's#^protocol bgp Mesh_10_0_0_51 #\\# For peer /bgp/v1/host/node-51/ip_addr_v4\\n&#' \
         /etc/calico/confd/config/bird.cfg\n\
         ip link set lo up\n\
         cat >/etc/calico/calicoctl.cfg <<'EOF'\napiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\n\
         spec:\n  datastoreType: etcdv3\n  etcdEndpoints: http://127.0.0.1:2379\nEOF\n\
         {programs}/etcd --data-dir /run/etcd >/run/etcd.log 2>&1 &\n\
         export ETCDCTL_API=3\n\
         for i in {{1..200}}; do {programs}/etcdctl get /x >/dev/null 2>&1 && break; sleep 0.1; done\n\
         put() {{ {programs}/etcdctl put \"/calico/resources/v3/projectcalico.org/$1/$2\" \
         \"{{\\\"metadata\\\": {{\\\"name\\\": \\\"$2\\\"}}, \\\"spec\\\": $3}}\"; }}\n\
         put nodes node-1 '{{\"bgp\": {{\"ipv4Address\": \"10.0.0.1/24\", \"ipv6Address\": \"fd00::1/64\"}}}}'\n\
         put nodes node-2 '{{\"bgp\": {{\"ipv4Address\": \"{known}/24\"}}}}'\n\
         put nodes node-51 '{{\"bgp\": {{\"ipv4Address\": \"10.0.0.151/24\"}}}}'\n",
        programs = programs.display()
    ));
    let expected = [
        // BIRD was not told of the comments.
        "bgp.configuration ok warn",
        "bgp.datastore warn",
        "bgp.peer fail ok",
        "datastore.tls warn",
    ];
    let report = looked_at(&node, &[], &expected);
    let of = |report: &Value, name: &str| -> Value {
        let peers = findings(report, "bgp.peer");
        let peer = peers.iter().find(|it| it["evidence"]["name"] == name);
        (*peer.unwrap_or_else(|| panic!("nothing is said of {name}: {report:#}"))).clone()
    };
    for name in ["Mesh_10_0_0_50", "Mesh_10_0_0_51"] {
        let evidence = &of(&report, name)["evidence"];
        assert_eq!(evidence["cause"], "stale-node", "{report:#}");
        assert_eq!(evidence["certainty"], "certain", "{report:#}");
    }
    let moved = of(&report, "Mesh_10_0_0_51");
    assert_eq!(moved["evidence"]["node"]["addresses"], serde_json::json!(["10.0.0.151"]));
    let compared = findings(&report, "bgp.datastore")[0].clone();
    assert!(compared["summary"].as_str().unwrap().contains("node-51 (10.0.0.151)"), "{compared:#}");

    let bundle = node.folder().join("stale.tar.gz");
    let only = "bird,system,network,netfilter,calico,kernel,felix,datastore";
    let mut diags = node.calivet();
    diags.args(["node", "diags", "-q", "--obfuscate", "--only", only, "--output-file"]);
    run(diags.arg(&bundle));
    let offline = from(&bundle).json();
    assert_eq!(verdicts(&offline), verdicts(&report), "{offline:#}");

    // This node has another address there than here.
    node.run(&format!(
        "{}/etcdctl put /calico/resources/v3/projectcalico.org/nodes/node-1 \
         '{{\"metadata\": {{\"name\": \"node-1\"}}, \"spec\": {{\"bgp\": {{\"ipv4Address\": \"10.0.0.77/24\"}}}}}}'",
        programs.display()
    ));
    let report = on_node(&node, &[]).json();
    let compared = findings(&report, "bgp.datastore")[0].clone();
    assert_eq!(compared["level"], "fail", "{compared:#}");
    assert!(
        compared["summary"].as_str().unwrap().contains("10.0.0.77, which is on no link"),
        "{compared:#}"
    );
}

#[test]
fn a_path_that_drops_large_packets_is_found_while_the_session_stands() {
    let fault = Fault {
        kind: "Mesh",
        number: 60,
        far: Far::Bird("hold time 40; keepalive time 2;"),
        there: "nft add rule inet lab in FAMILY daddr PEER meta length 701-65535 drop",
        until: "Established",
        ..FAULT
    };
    let Some(node) = Faulty::start(Daemons::Bird1, &[fault]) else { return };
    node.run(
        "for i in {1..250}; do echo route add blackhole 10.50.$i.0/24; done | ip -batch -\n\
         for i in {1..250}; do echo route add blackhole fd50:0:$i::/48; done | ip -batch -",
    );
    // The peer gives the session up when it has heard nothing for forty seconds: it is to be seen in one of its lives. The
    // node's large packets are sent again after 0.2, 0.6, 1.4, 3, 6.2, ... s, or several times that on a busy machine, and
    // the peer is heard every two seconds: long before the end it is plain that they do not arrive.
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut found = [false; 2];
    while found != [true; 2] {
        let report = on_node(&node, &["--no-probe"]).json();
        for (found, address) in found.iter_mut().zip(["10.0.0.60", "fd00::60"]) {
            let peers = findings(&report, "bgp.peer");
            let peer = peers.iter().find(|it| it["evidence"]["address"] == address).unwrap();
            let evidence = &peer["evidence"];
            assert_ne!(evidence["certainty"], "certain", "{peer:#}");
            *found |= peer["level"] == "warn"
                && evidence["cause"] == "path-mtu"
                && evidence["certainty"] == "likely";
        }
        assert!(Instant::now() < deadline, "{found:?}: {report:#}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_young_node_is_not_ready_where_an_old_one_is_and_its_bundle_says_the_same() {
    let nodename = "/var/lib/calico/nodename";
    let root = Root::new().calico_node().file(nodename, "node-1");
    // Four of its peers are established.
    FakeBird::recorded(&root.at("/var/run/calico/bird.ctl"), Recorded("1.6.8"));
    let on_root = || {
        let mut calivet = Command::new(env!("CARGO_BIN_EXE_calivet"));
        calivet.arg("--root").arg(root.path());
        calivet
    };
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
    // The first stays younger than 30 s however long this takes.
    for (written, level) in [(now + hour, "fail"), (now - hour, "info")] {
        let file = File::options().write(true).open(root.at(nodename)).unwrap();
        file.set_modified(written).unwrap();
        let live = run(on_root().args(["check", "bgp", "-o", "json"])).json();
        let readiness = finding(&live, "bgp.readiness");
        assert_eq!(readiness["level"], level, "{readiness:#}");
        let summary = readiness["summary"].as_str().unwrap();
        assert!(summary.contains("30 s"), "the rule is told: {summary}");

        let bundle = root.at(&format!("/tmp/{level}.tar.gz"));
        let only = ["node", "diags", "-q", "--only", "bird,calico", "--output-file"];
        run(on_root().args(only).arg(&bundle));
        assert_eq!(finding(&from(&bundle).json(), "bgp.readiness"), readiness);
    }
}
