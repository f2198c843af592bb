//! What `calivet` writes: calicoctl's tables to the byte, documents with every field of their contract, and
//! nothing on stdout but the result.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fake_bird::{FakeBird, Recorded};
use crate::root::Root;
use crate::run::{Run, run};

/// `calivet` with a terminal's usual environment.
fn calivet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    command.env_remove("NO_COLOR").env("TERM", "xterm");
    command
}

fn status(root: &Root, options: &[&str]) -> Run {
    run(calivet().arg("--root").arg(root.path()).args(["node", "status"]).args(options))
}

/// A BIRD 1.6 that has but these peers.
fn bird_with(root: &Root, socket: &str, rows: &'static str) {
    FakeBird::listen(&root.at(socket), move |connection| {
        let heading = "2002-name     proto    table    state  since       info\n";
        let device = "1002-device1  Device   master   up     23:30:01    \n";
        let answer = |question: &str| {
            (question == "show protocols all")
                .then(|| format!("{heading}{device}{rows}0000 \n").into_bytes())
        };
        connection.answer(answer, Recorded("1.6.8"));
    });
}

const BIRD: &str = "/var/run/calico/bird.ctl";
const BIRD6: &str = "/var/run/calico/bird6.ctl";

/// calico-node with only those daemons of BIRD's that are named.
fn calico_node(birds: &[&str]) -> Root {
    let mut root = Root::new()
        .process(1, &["/sbin/init"])
        .process(412, &["calico", "component", "felix"])
        .process(420, &["calico", "component", "confd"]);
    for (pid, bird) in birds.iter().enumerate() {
        root = root.process(433 + u32::try_from(pid).unwrap(), &[bird, "-R", "-d"]);
    }
    root
}

#[test]
fn the_default_output_is_calicoctls_to_the_byte() {
    let root = calico_node(&["bird", "bird6"]);
    bird_with(
        &root,
        BIRD,
        " Mesh_172_17_8_102 BGP      master   up     23:30:04    Established   \n",
    );
    bird_with(&root, BIRD6, "");
    assert_eq!(
        status(&root, &[]).stdout,
        "\
Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+----------+-------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+--------------+-------------------+-------+----------+-------------+
| 172.17.8.102 | node-to-node mesh | up    | 23:30:04 | Established |
+--------------+-------------------+-------+----------+-------------+

IPv6 BGP status
No IPv6 peers found.

"
    );
}

#[test]
fn a_long_cell_is_broken_and_a_missing_daemon_told_as_calicoctl_does() {
    let root = calico_node(&["bird"]);
    bird_with(
        &root,
        BIRD,
        " Mesh_172_20_36_20 BGP      master   start  2018-10-16  Connect       Socket: Host is unreachable\n \
         Node_172_20_37_184 BGP      master   up     2018-10-16  Established   \n \
         Global_10_0_0_1 BGP      master   start  01:02:03    Active        Socket: Connection refused\n",
    );
    assert_eq!(
        status(&root, &[]).stdout,
        "\
Calico process is running.

IPv4 BGP status
+---------------+-------------------+-------+------------+--------------------------------+
| PEER ADDRESS  |     PEER TYPE     | STATE |   SINCE    |              INFO              |
+---------------+-------------------+-------+------------+--------------------------------+
| 172.20.36.20  | node-to-node mesh | start | 2018-10-16 | Connect Socket: Host is        |
|               |                   |       |            | unreachable                    |
| 172.20.37.184 | node specific     | up    | 2018-10-16 | Established                    |
| 10.0.0.1      | global            | start | 01:02:03   | Active Socket: Connection      |
|               |                   |       |            | refused                        |
+---------------+-------------------+-------+------------+--------------------------------+

INFO: BIRDv6 process: 'bird6' is not running.

"
    );
}

#[test]
fn the_other_sentences_are_calicoctls_too() {
    let root = calico_node(&["bird6"]);
    bird_with(&root, BIRD6, "");
    assert_eq!(
        status(&root, &[]).stdout,
        "Calico process is running.\n\nINFO: BIRDv4 process: 'bird' is not running.\n\n\
         IPv6 BGP status\nNo IPv6 peers found.\n\n"
    );
    assert_eq!(
        status(&calico_node(&[]), &[]).stdout,
        "Calico process is running.\n\nThe BGP backend process (BIRD) is not running.\n\n"
    );
    let none = status(&Root::new().process(1, &["/sbin/init"]), &[]);
    assert!(none.stdout.starts_with("Calico process is not running.\n"), "{none:?}");
}

/// A node with recorded BIRDs of 1.6.
fn recorded() -> Root {
    let root = Root::new().process(1, &["/sbin/init"]).calico_node();
    FakeBird::recorded(&root.at(BIRD), Recorded("1.6.8"));
    FakeBird::recorded(&root.at(BIRD6), Recorded("1.6.8-bird6"));
    root
}

#[test]
fn wide_has_every_column_on_one_line_a_peer() {
    let run = status(&recorded(), &["-o", "wide"]);
    assert_eq!(run.status, 1, "{run:?}");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with('|')).collect();
    // A heading for each family.
    assert_eq!(lines.len(), 14 + 4 + 2, "{}", run.stdout);
    let heading = "PEER ADDRESS|PEER TYPE|STATE|SINCE|INFO|NAME|AS|SOURCE ADDRESS|UPTIME|IMPORTED|EXPORTED|\
                   PREFERRED|HOLD/KEEPALIVE|LAST ERROR";
    assert_eq!(cells(lines[0]).join("|"), heading);
    let mut first = cells(lines[1]);
    // How long it is up depends on when this is asked.
    let uptime = first.remove(8);
    assert!(uptime == "-" || uptime.ends_with('s'), "{uptime}");
    assert_eq!(
        first.join("|"),
        "10.0.0.2|node-to-node mesh|up|01:43:31|Established|Mesh_10_0_0_2|64512|10.0.0.1|8|4|8|226/240 54/80|-"
    );
    assert_eq!(
        cells(lines[2]).join("|"),
        "10.0.0.3|node specific|start|01:43:30|Active Socket: Connection refused|Node_10_0_0_3|64512|-|-|0|0|0|-|\
         Socket: Connection refused"
    );
    assert!(
        run.stdout.contains("IPv6: BIRD 1.6.8, router ID 10.0.0.1, started "),
        "{}",
        run.stdout
    );
}

/// Whether a value is as a pattern says: `"text"`, `"number"`, `"truth"`, `"time"`, with `?` where it may be `null`;
/// an object has at least the fields of its pattern, each element of an array is as the only one of its pattern.
fn fits(value: &Value, pattern: &Value, at: &str) {
    match pattern {
        Value::Object(fields) => {
            let found = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
            for (name, pattern) in fields {
                let value =
                    found.get(name).unwrap_or_else(|| panic!("{at} has no {name}: {value}"));
                fits(value, pattern, &format!("{at}.{name}"));
            }
        }
        Value::Array(patterns) => {
            let found = value.as_array().unwrap_or_else(|| panic!("{at} is no array: {value}"));
            assert!(!found.is_empty(), "{at} is empty, so that nothing is known of its elements");
            for value in found {
                fits(value, &patterns[0], &format!("{at}[]"));
            }
        }
        Value::String(kind) => {
            let is_time =
                |text: &str| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok();
            let fits = match kind.trim_end_matches('?') {
                _ if value.is_null() => kind.ends_with('?'),
                "text" => value.is_string(),
                "number" => value.is_u64(),
                "truth" => value.is_boolean(),
                "time" => value.as_str().is_some_and(is_time),
                exact => value == exact,
            };
            assert!(fits, "{at} is {value}, not {kind}");
        }
        exact => assert_eq!(value, exact, "{at}"),
    }
}

#[test]
fn the_json_has_every_field_of_its_contract() {
    let daemon = json!({"running": "truth", "pid": "number", "command": "text", "socket": "text"});
    let family = json!({
        "state": "ready", "version": "text", "routerId": "text", "bootTime": "time?",
        "reconfigurationTime": "time?", "gracefulRestart": null, "error": null,
        "established": "number", "notEstablished": "number",
        "peers": [{
            "name": "text", "address": "text", "port": "number?", "type": "text", "state": "text",
            "since": "text", "sinceTime": "time?", "info": "text", "bgpState": "text",
            "lastError": "text?", "remoteAs": "number", "localAs": "number?", "sourceAddress": "text?",
            "routes": {"imported": "number", "exported": "number", "preferred": "number"},
            "holdTimer": "text?", "keepaliveTimer": "text?",
        }],
    });
    let contract = json!({
        "schemaVersion": 1, "node": "node-1", "time": "time",
        "agents": {
            "felix": {"running": "truth", "pid": "number", "command": "text", "live": "truth?",
                      "ready": "truth?", "reason": "text?"},
            "bird": daemon, "bird6": daemon,
            "confd": {"running": "truth", "pid": "number", "command": "text"},
        },
        "bgp": {"ipv4": family, "ipv6": family},
    });
    let json = status(&recorded(), &["-o", "json"]);
    assert!(json.stdout.ends_with("}\n"), "{json:?}");
    fits(&json.json(), &contract, "status");
    let types: Vec<Value> = json.json()["bgp"]["ipv4"]["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| peer["type"].clone())
        .collect();
    for kind in ["node-to-node mesh", "node specific", "global", "local workload"] {
        assert!(types.contains(&kind.into()), "{kind} is not in {types:?}");
    }

    let absent = status(&calico_node(&[]), &["-o", "json"]).json();
    let contract = json!({"state": "notRunning", "error": "text", "peers": []});
    for family in ["ipv4", "ipv6"] {
        let found = &absent["bgp"][family];
        assert_eq!((&found["state"], &found["peers"]), (&contract["state"], &contract["peers"]));
        fits(&found["error"], &contract["error"], "error");
    }
    fits(&absent["agents"]["bird6"], &json!({"running": false}), "bird6");
}

#[test]
fn three_versions_of_bird_are_shown_alike() {
    let rows = |recorded: &'static str| -> Vec<Vec<String>> {
        let root = calico_node(&["bird"]);
        FakeBird::recorded(&root.at(BIRD), Recorded(recorded));
        let bgp = status(&root, &["-o", "json"]).json()["bgp"].clone();
        assert_eq!(bgp["ipv4"]["version"], recorded, "{bgp:#}");
        if recorded != "1.6.8" {
            // One daemon answers for both.
            let ipv6 = &bgp["ipv6"];
            let names: Vec<_> =
                ipv6["peers"].as_array().unwrap().iter().map(|peer| &peer["name"]).collect();
            assert_eq!(names, ["Mesh_fd00__2", "Node_fd00__3", "Global_fd00__4"], "{ipv6:#}");
            assert_eq!(
                (&ipv6["state"], &ipv6["version"], &ipv6["daemon"]),
                (&json!("ready"), &json!(recorded), &json!("bird"))
            );
        }
        let table = status(&root, &[]).stdout;
        assert!(table.contains("| 10.0.0.15 "), "{table}");
        bgp["ipv4"]["peers"].as_array().unwrap().iter().map(facts).collect()
    };
    let one = rows("1.6.8");
    assert_eq!(one.len(), 14);
    assert_eq!(rows("2.0.12"), one);
    assert_eq!(rows("3.3.2"), one);
}

/// All that a BIRD says of a peer but when and how it says it: times, and what only newer ones tell.
fn facts(peer: &Value) -> Vec<String> {
    let telling = |(name, _): &(&String, &Value)| {
        let by_version = [
            "since",
            "sinceTime",
            "localAs",
            "holdTimer",
            "keepaliveTimer",
            "connectDelay",
            "errorWait",
        ];
        !by_version.contains(&name.as_str())
    };
    peer.as_object()
        .unwrap()
        .iter()
        .filter(telling)
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn colour_is_where_it_is_wanted_and_nowhere_else() {
    let root = recorded();
    let red = |run: &Run| run.stdout.contains("\x1b[97m\x1b[41m");
    assert!(!red(&status(&root, &[])), "a pipe was coloured");
    assert!(!red(&status(&root, &["--color", "never"])));
    let coloured = status(&root, &["--color", "always"]);
    assert!(red(&coloured));
    let bare = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    assert_eq!(bare.replace_all(&coloured.stdout, ""), status(&root, &[]).stdout);
    for document in [&["-o", "json"][..], &["-o", "yaml"], &["--resource"]] {
        let run = status(&root, &[document, &["--color", "always"]].concat());
        assert!(!run.stdout.contains('\x1b'), "{document:?} was coloured");
    }

    // On a terminal.
    let on_terminal = |settings: &[(&str, &str)]| {
        let line = format!(
            "'{}' --root '{}' node status",
            env!("CARGO_BIN_EXE_calivet"),
            root.path().display()
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        script.env_remove("NO_COLOR").env("TERM", "xterm").stdin(Stdio::null());
        script.envs(settings.iter().copied());
        red(&run(&mut script))
    };
    assert!(on_terminal(&[]));
    assert!(on_terminal(&[("NO_COLOR", "")]), "set and empty is not set");
    assert!(!on_terminal(&[("NO_COLOR", "1")]));
    assert!(!on_terminal(&[("TERM", "dumb")]));
}

#[test]
fn a_reader_that_goes_away_changes_nothing() {
    let root = recorded();
    for options in [&[][..], &["-o", "json"], &["--watch", "--times", "1"]] {
        let mut child = calivet()
            .arg("--root")
            .arg(root.path())
            .args(["node", "status", "-q"])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{options:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{options:?}");
    }
}

#[test]
fn what_is_done_is_told_on_stderr_alone() {
    let root = recorded();
    let plain = status(&root, &[]);
    assert!(plain.stderr.contains("note: Felix: "), "{plain:?}");
    let quiet = status(&root, &["-q"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), (plain.stdout.as_str(), ""));
    for loud in ["-v", "-vv", "-vvv", "--log-level=trace"] {
        let run = status(&root, &[loud]);
        assert_eq!(run.stdout, plain.stdout, "{loud}");
        status(&root, &[loud, "-o", "json"]).json();
    }
}

#[test]
fn help_needs_nothing_of_the_machine() {
    let help = |arguments: &[&str]| {
        // Neither an environment nor /proc.
        let script = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_calivet")]);
            command
        } else {
            Command::new(env!("CARGO_BIN_EXE_calivet"))
        };
        run(command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin"))
    };
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["help"],
        &["node", "--help"],
        &["node", "status", "--help"],
        &["node", "diags", "--help"],
        &["help", "node", "diags"],
    ] {
        let run = help(arguments);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(
            run.stdout.contains("calivet") || run.stdout.contains("bundle"),
            "{arguments:?}: {run:?}"
        );
    }
}

#[test]
fn help_and_errors_of_the_command_line_are_coloured_as_the_user_says() {
    for (arguments, is_coloured) in [
        (&["--help", "--color", "always"][..], true),
        (&["check", "--color=never", "--help"], false),
        (&["nod", "--color=always"], true),
        (&["nod", "--color", "never"], false),
    ] {
        let run = run(calivet().args(arguments).env("CLICOLOR_FORCE", "1"));
        let shown = run.stdout + &run.stderr;
        assert_eq!(shown.contains('\x1b'), is_coloured, "{arguments:?}: {shown}");
    }
}

#[test]
fn a_wrong_command_line_is_told_from_what_cannot_be_done() {
    let try_ = |arguments: &[&str]| run(calivet().args(arguments));
    for wrong in [
        &[][..],
        &["node"],
        &["nodes"],
        &["node", "status", "--nonsense"],
        &["node", "status", "-o", "xml"],
        &["node", "status", "--timeout", "soon"],
        &["node", "status", "--watch", "0"],
        &["node", "status", "--times", "2"],
        &["node", "status", "--from", "x.tar.gz", "--root", "/"],
        &["node", "status", "--from", "x.tar.gz", "--watch"],
        &["node", "status", "-q", "-v"],
        &["node", "diags", "--from", "x.tar.gz"],
        &["node", "diags", "--only", "bird", "--skip", "felix"],
        &["node", "diags", "--output-file", "-", "-o", "json"],
    ] {
        let run = try_(wrong);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{wrong:?}: {run:?}");
        assert!(!run.stderr.is_empty(), "{wrong:?}");
    }
    let missing = try_(&["node", "status", "--from", "/nowhere/x.tar.gz"]);
    assert_eq!((missing.status, missing.stdout.as_str()), (3, ""));
    assert_eq!(missing.stderr, "error: there is no bundle /nowhere/x.tar.gz\n");
    assert!(Path::new("/etc/hostname").exists());
    let other = try_(&["node", "status", "--from", "/etc/hostname"]);
    assert_eq!((other.status, other.stdout.as_str()), (3, ""));
    assert_eq!(other.stderr.lines().count(), 1, "{other:?}");
}

/// Whether a document has but the fields and words of a `CalicoNodeStatus`
/// (`api/pkg/apis/projectcalico/v3/nodestatus.go`).
#[track_caller]
pub(crate) fn is_calico_node_status(resource: &Value) {
    let fields = |value: &Value, known: &[&str]| {
        for name in value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys() {
            assert!(known.contains(&name.as_str()), "{name} is not among {known:?}");
        }
    };
    let word = |value: &Value, known: &[&str]| {
        assert!(known.iter().any(|known| value == known), "{value} is not among {known:?}");
    };
    let none = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&none).clone();
    fields(resource, &["apiVersion", "kind", "metadata", "spec", "status"]);
    assert_eq!(
        (&resource["apiVersion"], &resource["kind"]),
        (&json!("projectcalico.org/v3"), &json!("CalicoNodeStatus"))
    );
    fields(&resource["metadata"], &["name", "annotations"]);
    let spec = &resource["spec"];
    fields(spec, &["node", "classes", "updatePeriodSeconds"]);
    assert_eq!(spec["classes"], json!(["Agent", "BGP", "Routes"]));
    assert!(spec["updatePeriodSeconds"].is_u64() && spec["node"].is_string());
    let status = &resource["status"];
    fields(status, &["lastUpdated", "agent", "bgp", "routes"]);
    fits(&status["lastUpdated"], &json!("time"), "lastUpdated");
    fields(&status["agent"], &["birdV4", "birdV6"]);
    for daemon in status["agent"].as_object().unwrap().values() {
        fields(
            daemon,
            &["state", "version", "routerID", "lastBootTime", "lastReconfigurationTime"],
        );
        if let Some(state) = daemon.get("state") {
            word(state, &["Ready", "NotReady"]);
        }
        assert!(daemon.as_object().unwrap().values().all(Value::is_string), "{daemon}");
    }
    let bgp = &status["bgp"];
    let numbers = [
        "numberEstablishedV4",
        "numberNotEstablishedV4",
        "numberEstablishedV6",
        "numberNotEstablishedV6",
    ];
    fields(bgp, &[&numbers[..], &["peersV4", "peersV6"]].concat());
    assert!(numbers.iter().all(|name| bgp[name].is_u64()), "{bgp}");
    for peer in [list(&bgp["peersV4"]), list(&bgp["peersV6"])].concat() {
        fields(&peer, &["peerIP", "type", "state", "since"]);
        word(&peer["type"], &["NodeMesh", "NodePeer", "GlobalPeer"]);
        assert!(peer["peerIP"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok(), "{peer}");
        if let Some(state) = peer.get("state") {
            word(
                state,
                &["Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established", "Close"],
            );
        }
    }
    let routes = &status["routes"];
    fields(routes, &["routesV4", "routesV6"]);
    for route in [list(&routes["routesV4"]), list(&routes["routesV6"])].concat() {
        fields(&route, &["type", "destination", "gateway", "interface", "learnedFrom"]);
        word(&route["type"], &["FIB", "RIB"]);
        let source = &route["learnedFrom"];
        fields(source, &["sourceType", "peerIP"]);
        word(&source["sourceType"], &["Kernel", "Static", "Direct", "NodeMesh", "BGPPeer"]);
        assert!(route["destination"].as_str().unwrap().contains('/'), "{route}");
        assert!(
            route["gateway"] == "N/A"
                || route["gateway"].as_str().unwrap().parse::<std::net::IpAddr>().is_ok(),
            "{route}"
        );
    }
}

#[test]
fn the_resource_of_each_version_of_bird_has_calicos_fields_in_yaml_and_json() {
    for recorded in ["1.6.8", "2.0.12", "3.3.2"] {
        let root = if recorded == "1.6.8" { self::recorded() } else { calico_node(&["bird"]) };
        if recorded != "1.6.8" {
            FakeBird::recorded(&root.at(BIRD), Recorded(recorded));
        }
        let json = status(&root, &["--resource", "-o", "json"]).json();
        is_calico_node_status(&json);
        let mut yaml: Value = serde_yaml::from_str(&status(&root, &["--resource"]).stdout).unwrap();
        is_calico_node_status(&yaml);
        // The second run was a moment later.
        yaml["status"]["lastUpdated"] = json["status"]["lastUpdated"].clone();
        assert_eq!(yaml, json);
        assert_eq!(
            json["status"]["bgp"]["numberEstablishedV4"], 3,
            "Local_Workload_ has no word: {json:#}"
        );
        assert_eq!(json["status"]["agent"]["birdV6"]["state"], "Ready", "{json:#}");
        assert!(
            json["metadata"]["annotations"]["calivet/not-expressible"]
                .as_str()
                .unwrap()
                .contains("local workloads")
        );
    }
}
