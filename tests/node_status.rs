//! `calivet node status`: against real BIRDs, from outside and inside, and against hosts that lack something.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::http::Http;
use crate::lab::namespaces::Namespaces;
use crate::lab::peers::{self, Family, Peer};
use crate::lab::{Daemons, Lab};
use crate::root::Root;
use crate::run::{Run, run};

/// `calivet node status` from outside: the host's file system is `root`.
fn of_root(root: &Path, options: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root)
        .args(["node", "status"])
        .args(options))
}

/// `calivet node status` on the lab's node.
fn on_node(lab: &Lab, options: &[&str]) -> Run {
    run(lab.calivet().args(["node", "status"]).args(options))
}

/// Each peer of the lab is shown as it is, with nothing else, in JSON.
#[track_caller]
fn shows_every_peer(lab: &Lab, status: &Value) {
    for (family, key) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
        let shown = &status["bgp"][key];
        assert_eq!(shown["state"], "ready", "{key}: {shown:#}");
        assert_eq!(shown["routerId"], "10.0.0.1", "{key}");
        let expected = peers::of(family);
        let peers = shown["peers"].as_array().unwrap();
        let names: Vec<_> = peers.iter().map(|peer| peer["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), expected.len(), "{key}: {names:?}");
        for peer in expected {
            let found = peers.iter().find(|shown| shown["name"] == peer.name);
            let found = found.unwrap_or_else(|| panic!("{} is not among {names:?}", peer.name));
            shows_peer(lab, peer, found);
        }
        let established = expected.iter().filter(|peer| peer.established()).count();
        assert_eq!(shown["established"], established, "{key}");
        assert_eq!(shown["notEstablished"], expected.len() - established, "{key}");
    }
}

#[track_caller]
fn shows_peer(lab: &Lab, peer: &Peer, shown: &Value) {
    let text = |key: &str| shown[key].as_str().unwrap_or_default();
    assert_eq!(text("address"), peer.address, "{shown:#}");
    assert_eq!(shown["port"], peer.port.map_or(Value::Null, Value::from), "{shown:#}");
    assert_eq!(text("type"), peer.kind, "{shown:#}");
    assert_eq!(text("state"), lab.state(peer), "{shown:#}");
    assert_eq!(shown["remoteAs"], peer.remote_as, "{shown:#}");
    if peer.established() {
        assert_eq!(text("info"), "Established", "{shown:#}");
        assert_eq!(shown["routes"]["imported"], 3, "{shown:#}");
    }
    // `bgpState` is also known where `show protocols` shows none ("Down").
    assert!(
        peer.bgp_states.is_empty() || peer.bgp_states.contains(&text("bgpState")),
        "{} shows {:?}",
        peer.name,
        shown["bgpState"],
    );
    let told = format!("{} {}", text("info"), text("lastError"));
    assert!(told.contains(peer.error), "{} tells {told:?}", peer.name);
}

/// A table holds a row for each peer, with the address in the first cell.
#[track_caller]
fn tabulates_every_peer(lab: &Lab, table: &str) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in table.lines().filter(|line| line.starts_with('|')) {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let cells: Vec<String> = cells.collect();
        // A long cell goes on in the next line, whose first cell is empty.
        match rows.last_mut() {
            Some(row) if cells[0].is_empty() => row[4] = format!("{} {}", row[4], cells[4]),
            _ => rows.push(cells),
        }
    }
    for peer in peers::all() {
        let row = rows.iter().find(|row| row[0] == peer.address);
        let row = row.unwrap_or_else(|| panic!("no row for {}:\n{table}", peer.address));
        assert_eq!(row[1], peer.kind, "{row:?}");
        assert_eq!(row[2], lab.state(peer), "{row:?}");
        assert!(row[4].contains(peer.error), "{row:?}");
    }
}

#[test]
fn bird_1_is_shown_with_peers_in_every_state() {
    let Some(lab) = Lab::start(Daemons::Bird1) else { return };

    // From outside, the control sockets are real and the processes are files.
    let outside = of_root(lab.root(), &["-o", "json"]);
    assert_eq!((outside.status, outside.stderr.as_str()), (1, ""), "{outside:?}");
    let status = outside.json();
    shows_every_peer(&lab, &status);
    assert_eq!(status["schemaVersion"], 1);
    assert_eq!(status["node"], "node-1");
    assert_eq!(status["bgp"]["ipv4"]["version"], "1.6.8");
    assert_eq!(status["bgp"]["ipv4"]["gracefulRestart"], Value::Null);
    assert_eq!(status["agents"]["felix"]["pid"], 412);
    assert_eq!(status["agents"]["bird"]["pid"], 433);

    // Inside, Felix serves its health, and the processes are those that run.
    lab.felix.answer(503, "");
    let inside = on_node(&lab, &["-o", "json"]);
    assert_eq!(inside.status, 1, "{inside:?}");
    let status = inside.json();
    shows_every_peer(&lab, &status);
    let felix = &status["agents"]["felix"];
    assert_eq!(felix["running"], true, "{felix:#}");
    assert_eq!(felix["command"], "calico component felix", "{felix:#}");
    assert_eq!(
        (&felix["live"], &felix["ready"]),
        (&Value::Bool(true), &Value::Bool(false)),
        "{felix:#}"
    );
    assert!(felix["reason"].as_str().unwrap().contains("503"), "{felix:#}");
    for agent in ["bird", "bird6", "confd"] {
        assert_eq!(status["agents"][agent]["running"], true, "{agent}: {status:#}");
    }
    lab.felix.answer(200, "");
    assert_eq!(on_node(&lab, &["-o", "json"]).json()["agents"]["felix"]["ready"], true);

    let table = on_node(&lab, &[]);
    assert_eq!(table.status, 1, "{table:?}");
    assert!(
        table.stdout.starts_with("Calico process is running.\n\nIPv4 BGP status\n+--"),
        "{table:?}"
    );
    tabulates_every_peer(&lab, &table.stdout);

    // A user who may not open the sockets is told so, for each family, and what can be known is shown.
    let denied = run(lab
        .command("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_calivet")])
        .args(["node", "status", "-o", "json"]));
    assert_eq!(denied.status, 3, "{denied:?}");
    let status = denied.json();
    assert_eq!(status["bgp"]["ipv4"]["state"], "unreachable", "{status:#}");
    assert!(status["bgp"]["ipv6"]["error"].as_str().unwrap().contains("/var/run/calico/bird6.ctl"));

    // Times with a blank in them.
    lab.configure("timeformat protocol iso long;");
    shows_every_peer(&lab, &on_node(&lab, &["-o", "json"]).json());
    tabulates_every_peer(&lab, &on_node(&lab, &[]).stdout);

    // A daemon that is alive and answers nothing hides nothing of the other family.
    lab.freeze("bird");
    let frozen = on_node(&lab, &["-o", "json", "--timeout", "1s"]);
    assert_eq!(frozen.status, 1, "{frozen:?}");
    let status = frozen.json();
    assert_eq!(status["bgp"]["ipv4"]["state"], "unreachable", "{status:#}");
    assert_eq!(status["bgp"]["ipv6"]["state"], "ready", "{status:#}");
}

#[test]
fn bird_1_in_graceful_restart_is_shown_as_waiting_with_its_sessions_established() {
    let Some(lab) = Lab::start(Daemons::Bird1Recovering) else { return };
    let status = of_root(lab.root(), &["-o", "json"]).json();
    shows_every_peer(&lab, &status);
    assert_ne!(status["bgp"]["ipv4"]["gracefulRestart"], Value::Null);
}

#[test]
fn bird_2_answers_for_both_families_from_one_socket() {
    let Some(lab) = Lab::start(Daemons::Bird2) else { return };
    let status = on_node(&lab, &["-o", "json"]).json();
    shows_every_peer(&lab, &status);
    assert_eq!(status["bgp"]["ipv6"]["version"], "2.0.12");
    tabulates_every_peer(&lab, &on_node(&lab, &[]).stdout);
    lab.configure("timeformat protocol iso long;");
    shows_every_peer(&lab, &on_node(&lab, &["-o", "json"]).json());
}

#[test]
fn a_host_without_calico_is_told_to_have_none_of_its_agents() {
    let root = Root::new().process(1, &["/sbin/init"]);
    let table = of_root(root.path(), &[]);
    assert!(table.stdout.starts_with("Calico process is not running.\n"), "{table:?}");
    let shown = of_root(root.path(), &["-o", "json"]);
    assert_eq!(shown.status, 1, "{shown:?}");
    let status = shown.json();
    for agent in ["felix", "bird", "bird6", "confd"] {
        assert_eq!(status["agents"][agent]["running"], false, "{agent}: {status:#}");
    }
    for family in ["ipv4", "ipv6"] {
        assert_eq!(status["bgp"][family]["state"], "notRunning", "{status:#}");
        assert!(status["bgp"][family]["error"].as_str().unwrap().contains(".ctl"), "{status:#}");
    }
}

#[test]
fn felix_is_found_in_every_form_that_calico_shipped() {
    for argv in [
        &["calico", "component", "felix"][..],
        &["/usr/bin/calico", "component", "felix"],
        &["calico-node", "-felix"],
        &["/bin/calico-node", "-felix"],
        &["calico-felix"],
        &["/usr/local/bin/calico-felix"],
    ] {
        let root = Root::new().process(1, &["/sbin/init"]).process(412, argv);
        let felix = &of_root(root.path(), &["-o", "json"]).json()["agents"]["felix"];
        assert_eq!(felix["running"], true, "{argv:?}");
        assert_eq!(felix["pid"], 412, "{argv:?}");
    }
}

#[test]
fn what_only_looks_like_felix_is_not_taken_for_it() {
    let host = "         0          0 4294967295\n";
    let container = "         0     100000      65536\n";
    for (argv, uid, uid_map) in [
        (&["calico", "component", "felix"][..], 1000, host),
        (&["calico", "component", "felix"], 0, container),
        (&["perl", "calico", "component", "felix"], 0, host),
        (&["calico component felix"], 0, host),
        (&["grep", "calico-felix"], 0, host),
        (&["calico-node", "-bird-ready", "-felix-ready"], 0, host),
        (&["calico", "component", "typha"], 0, host),
    ] {
        let root = Root::new().process(1, &["/sbin/init"]).process_of(412, argv, uid, uid_map);
        let felix = &of_root(root.path(), &["-o", "json"]).json()["agents"]["felix"];
        assert_eq!(felix["running"], false, "{argv:?} of {uid}");
    }
}

/// What calivet says of a Felix whose environment names port 9098 for its health.
fn felix_at_9098(namespaces: &Namespaces) -> Value {
    let root = Root::new()
        .calico_node()
        .file("/proc/412/environ", "FELIX_HEALTHENABLED=true\0FELIX_HEALTHPORT=9098\0");
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    command.arg("--root").arg(root.path()).args(["--output", "json", "node", "status"]);
    let status: Value = serde_json::from_str(&run(&mut command).stdout).unwrap();
    status["agents"]["felix"].clone()
}

#[test]
fn what_answers_at_the_usual_port_is_not_felix_where_felix_serves_at_another() {
    let Ok(namespaces) = Namespaces::new() else {
        assert!(!nix::unistd::geteuid().is_root(), "no namespaces can be made here");
        return;
    };
    let stranger = Http::start(&namespaces, 9099);
    let felix = felix_at_9098(&namespaces);
    assert_eq!((&felix["live"], &felix["ready"]), (&false.into(), &false.into()), "{felix:#}");
    let reason = felix["reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1:9098") && !reason.contains("9099"), "{reason}");

    stranger.answer(503, "not the answer of Felix");
    let _felix = Http::start(&namespaces, 9098);
    let felix = felix_at_9098(&namespaces);
    assert_eq!((&felix["live"], &felix["ready"]), (&true.into(), &true.into()), "{felix:#}");
}

#[test]
fn who_accepts_at_the_usual_port_and_stays_silent_does_not_delay_felix_at_another() {
    let Ok(namespaces) = Namespaces::new() else {
        assert!(!nix::unistd::geteuid().is_root(), "no namespaces can be made here");
        return;
    };
    let silent = std::thread::scope(|scope| {
        let bind = || {
            namespaces.enter_network();
            TcpListener::bind("127.0.0.1:9099").unwrap()
        };
        scope.spawn(bind).join().unwrap()
    });
    let _felix = Http::start(&namespaces, 9098);
    let begun = Instant::now();
    let felix = felix_at_9098(&namespaces);
    assert_eq!((&felix["live"], &felix["ready"]), (&true.into(), &true.into()), "{felix:#}");
    // Half of the time that one question has.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
}
