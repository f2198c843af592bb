//! Nodes told by their evidence, and what is judged of them.

mod agents;
mod troubles;

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::bird::reply::Trouble;
use crate::host::Reading;

const ONE_STATUS: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8/show_status.txt");
const ONE: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8/show_protocols_all.txt");
const ONE_ROUTES: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8/show_route.txt");
const SIX_STATUS: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8-bird6/show_status.txt");
const SIX: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8-bird6/show_protocols_all.txt");
const SIX_ROUTES: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8-bird6/show_route.txt");
const TWO_STATUS: &[u8] = include_bytes!("../../tests/samples/bird/2.0.12/show_status.txt");
const TWO: &[u8] = include_bytes!("../../tests/samples/bird/2.0.12/show_protocols_all.txt");
const TWO_ROUTES: &[u8] = include_bytes!("../../tests/samples/bird/2.0.12/show_route.txt");
const THREE_STATUS: &[u8] = include_bytes!("../../tests/samples/bird/3.3.2/show_status.txt");
const THREE: &[u8] = include_bytes!("../../tests/samples/bird/3.3.2/show_protocols_all.txt");

const V4: Answers = Answers::of(Family::Ipv4);
const V6: Answers = Answers::of(Family::Ipv6);

/// A row of BIRD 1.6's with BGP's details, and the whole answer around it.
const ESTABLISHED: &str = "\
1002-Mesh_10_0_0_2 BGP      master   up     01:43:31    Established   \n\
1006-  Preference:     100\n   Routes:         8 imported, 4 exported, 8 preferred\n   \
BGP state:          Established\n     Neighbor address: 10.0.0.2\n     Neighbor AS:      64512\n";

/// What is known of a node, built up fact by fact.
#[derive(Clone)]
pub(super) struct Node(Evidence);

impl Node {
    /// A node of which nothing was asked.
    pub(super) fn unknown() -> Self {
        Self(Evidence::default())
    }

    /// A node on which all of Calico's agents run and Felix is well; its BIRDs have still to answer.
    pub(super) fn well() -> Self {
        Self::unknown()
            .processes(&json!([
                {"pid": 412, "hostRoot": true, "state": "S", "startTime": 5,
                 "argv": ["calico", "component", "felix"],
                 "environment": {"CALICO_NETWORKING_BACKEND": "bird", "FELIX_HEALTHENABLED": "true"}},
                {"pid": 420, "hostRoot": true, "state": "S", "argv": ["calico", "component", "confd"]},
                {"pid": 433, "hostRoot": true, "state": "S", "argv": ["bird", "-R", "-d"]},
            ]))
            .reads(FELIX_LIVENESS, b"HTTP 204\n")
            .reads(FELIX_READINESS, b"HTTP 200\n")
            .reads(NODENAME, b"node-1")
            .fails(V6.status, Outcome::Missing, "absent: /var/run/calico/bird6.ctl: no such file")
            .fails(V6.protocols, Outcome::Missing, "absent: /var/run/calico/bird6.ctl: no such file")
    }

    /// The same with one established peer.
    pub(super) fn with_peer() -> Self {
        Self::well().reads(V4.status, ONE_STATUS).protocols(ESTABLISHED)
    }

    /// The agents are those of [`Node::well`], with this environment for Felix.
    pub(super) fn environment(self, environment: &Value) -> Self {
        self.processes(&json!([
            {"pid": 412, "hostRoot": true, "argv": ["calico-node", "-felix"], "environment": environment},
        ]))
    }

    pub(super) fn processes(self, table: &Value) -> Self {
        self.reads(PROCESSES, table.to_string().as_bytes())
    }

    pub(super) fn protocols(self, rows: &str) -> Self {
        let heading = "2002-name     proto    table    state  since       info";
        self.reads(V4.protocols, format!("{heading}\n{rows}0000 \n").as_bytes())
    }

    pub(super) fn reads(self, path: &str, bytes: &[u8]) -> Self {
        self.reading(path, Outcome::Ok, None, bytes)
    }

    pub(super) fn fails(self, path: &str, outcome: Outcome, reason: &str) -> Self {
        self.reading(path, outcome, Some(reason), b"")
    }

    fn reading(mut self, path: &str, outcome: Outcome, reason: Option<&str>, bytes: &[u8]) -> Self {
        let reading = Reading {
            outcome,
            reason: reason.map(ToOwned::to_owned),
            bytes: bytes.to_vec(),
            original_bytes: bytes.len() as u64,
            modified: None,
            link: None,
            place: (outcome == Outcome::Ok && path.starts_with("bird/"))
                .then(|| "/var/run/calico/bird.ctl".to_owned()),
            started: "2026-11-23T01:43:40.1Z".parse().unwrap(),
            duration: std::time::Duration::ZERO,
            exit_status: None,
        };
        self.0.insert(path, reading);
        self
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.0
    }

    pub(super) fn status(&self) -> NodeStatus {
        node_status("2026-11-23T02:33:26Z".parse().unwrap(), &self.0)
    }

    #[track_caller]
    fn is(&self, expected: Verdict) {
        let status = self.status();
        assert_eq!(verdict(&status), expected, "{status:#?}");
    }
}

fn names(family: &FamilyStatus) -> Vec<&str> {
    family.peers.iter().map(|peer| peer.name.as_str()).collect()
}

#[test]
fn the_document_is_as_it_is_described() {
    let status = Node::with_peer().status();
    let expected = r#"{
        "schemaVersion": 1, "node": "node-1", "time": "2026-11-23T02:33:26Z",
        "networkingBackend": "bird",
        "agents": {
            "felix": {"running": true, "pid": 412, "command": "calico component felix",
                      "processState": "S", "healthEnabled": true, "live": true, "ready": true,
                      "reason": null},
            "bird": {"running": true, "pid": 433, "command": "bird -R -d", "processState": "S",
                     "socket": "/var/run/calico/bird.ctl"},
            "bird6": {"running": false},
            "confd": {"running": true, "pid": 420, "command": "calico component confd",
                      "processState": "S"}
        },
        "bgp": {
            "ipv4": {
                "daemon": "bird", "state": "ready", "trouble": null, "error": null, "expected": true,
                "version": "1.6.8", "routerId": "10.0.0.1",
                "daemonState": "Daemon is up and running",
                "bootTime": "2026-11-23T01:43:30Z", "lastReboot": "2026-11-23 01:43:30",
                "reconfigurationTime": "2026-11-23T01:43:30Z",
                "lastReconfiguration": "2026-11-23 01:43:30",
                "gracefulRestart": null, "established": 1, "notEstablished": 0,
                "peers": [{
                    "name": "Mesh_10_0_0_2", "address": "10.0.0.2", "port": null,
                    "type": "node-to-node mesh", "state": "up", "since": "01:43:31",
                    "sinceTime": "2026-11-23T01:43:31Z", "info": "Established",
                    "bgpState": "Established", "established": true, "lastError": null,
                    "remoteAs": 64512, "localAs": null, "neighborId": null,
                    "sourceAddress": null, "session": null,
                    "routes": {"imported": 8, "filtered": null, "exported": 4, "preferred": 8},
                    "importLimit": null, "holdTimer": null, "keepaliveTimer": null,
                    "connectDelay": null, "errorWait": null
                }]
            },
            "ipv6": {
                "daemon": "bird6", "state": "notRunning", "trouble": "absent",
                "error": "absent: /var/run/calico/bird6.ctl: no such file", "expected": false,
                "version": null, "routerId": null, "daemonState": null, "bootTime": null,
                "lastReboot": null, "reconfigurationTime": null, "lastReconfiguration": null,
                "gracefulRestart": null, "established": 0, "notEstablished": 0, "peers": []
            }
        }
    }"#;
    let expected: Value = serde_json::from_str(expected).unwrap();
    assert_eq!(serde_json::to_value(&status).unwrap(), expected);
    assert_eq!(verdict(&status), Verdict::Well);
}

#[test]
fn three_versions_of_bird_give_the_same_peers() {
    let facts = |status: &[u8], protocols: &[u8]| {
        let node = Node::well().reads(V4.status, status).reads(V4.protocols, protocols).status();
        let family = node.bgp.ipv4;
        assert_eq!((family.state, family.trouble, family.error), (Some(State::Ready), None, None));
        assert_eq!((family.established, family.not_established), (Some(4), Some(10)));
        let facts = |peer: Peer| {
            let identity = (peer.name, peer.address, peer.port, peer.kind, peer.remote_as);
            let states = (peer.state, peer.info, peer.bgp_state, peer.established);
            let rest = (peer.last_error, peer.source_address, peer.neighbor_id);
            (identity, states, rest, peer.routes, peer.import_limit, peer.session)
        };
        family.peers.into_iter().map(facts).collect::<Vec<_>>()
    };
    let one = facts(ONE_STATUS, ONE);
    assert_eq!(one.len(), 14);
    assert_eq!(facts(TWO_STATUS, TWO), one);
    assert_eq!(facts(THREE_STATUS, THREE), one);
}

#[test]
fn every_kind_of_peer_is_listed_as_calicoctl_would_have_it() {
    let node = Node::well().reads(V4.status, ONE_STATUS).reads(V4.protocols, ONE).status();
    let rows: Vec<String> = node
        .bgp
        .ipv4
        .peers
        .iter()
        .map(|peer| {
            let kind = serde_json::to_value(peer.kind).unwrap();
            let address = peer.address.as_deref().unwrap();
            let port = peer.port.map(|port| format!(":{port}")).unwrap_or_default();
            format!("{address}{port} | {} | {} | {}", kind.as_str().unwrap(), peer.state, peer.info)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "10.0.0.2 | node-to-node mesh | up | Established",
            "10.0.0.3 | node specific | start | Active Socket: Connection refused",
            "10.0.0.4 | global | start | Idle Received: Bad peer AS",
            "10.0.0.5 | node specific | start | Idle BGP Error: Bad peer AS",
            "10.0.0.6 | node specific | start | Connect",
            "10.0.0.7 | node-to-node mesh | start | Passive",
            "10.0.0.8 | node-to-node mesh | up | Established",
            "10.0.0.9:1790 | node specific | up | Established",
            "10.0.0.10 | local workload | up | Established",
            "10.0.0.11 | node-to-node mesh | start | Connect Socket: No route to host",
            "10.0.0.12 | global | down | ",
            "10.0.0.13 | global | start | Connect",
            "10.0.0.14 | node specific | down | Automatic shutdown: Route limit exceeded",
            "10.0.0.15 | node specific | start | Active Received: Administrative shutdown",
        ]
    );
    assert_eq!(verdict(&node), Verdict::Wrong);
}

#[test]
fn bird_2_and_3_answer_for_both_families() {
    for (status, protocols) in [(TWO_STATUS, TWO), (THREE_STATUS, THREE)] {
        let node = Node::well().reads(V4.status, status).reads(V4.protocols, protocols).status();
        let ipv6 = &node.bgp.ipv6;
        assert_eq!(ipv6.state, Some(State::Ready));
        assert_eq!(ipv6.version, node.bgp.ipv4.version);
        assert_eq!((&ipv6.error, ipv6.trouble), (&None, None));
        assert_eq!(names(ipv6), ["Mesh_fd00__2", "Node_fd00__3", "Global_fd00__4"]);
        assert_eq!((ipv6.established, ipv6.not_established), (Some(1), Some(2)));
        assert_eq!(ipv6.peers[0].address.as_deref(), Some("fd00::2"));
        assert_eq!(node.bgp.ipv4.peers.len(), 14);
        assert_eq!(node.agents.bird6.presence.running, Some(false));
    }
}

#[test]
fn a_second_socket_of_the_same_bird_2_doubles_no_peer() {
    let node = Node::well()
        .reads(V4.status, TWO_STATUS)
        .reads(V4.protocols, TWO)
        .reads(V6.status, TWO_STATUS)
        .reads(V6.protocols, TWO)
        .status();
    assert_eq!((node.bgp.ipv4.peers.len(), node.bgp.ipv6.peers.len()), (14, 3));
    assert_eq!(node.agents.bird6.presence.running, Some(false), "a link is no second daemon");
}

#[test]
fn two_daemons_of_bird_1_6_answer_for_a_family_each() {
    let node = Node::well()
        .reads(V4.status, ONE_STATUS)
        .reads(V4.protocols, ONE)
        .reads(V6.status, SIX_STATUS)
        .reads(V6.protocols, SIX)
        .status();
    let six = ["Mesh_fd00__2", "Node_fd00__3", "Global_fd00__4", "Mesh_fd00__7"];
    assert_eq!(names(&node.bgp.ipv6), six);
    assert_eq!(node.bgp.ipv6.boot_time, Some("2026-11-23T01:43:31Z".parse().unwrap()));
    assert_eq!(node.agents.bird6.presence.running, Some(true), "it answers");
    assert_eq!(node.agents.bird6.presence.pid, None);
}

#[test]
fn a_name_gives_the_address_where_birds_details_are_missing() {
    for (name, address, port) in [
        ("Mesh_10_0_0_2", Some("10.0.0.2"), None),
        ("Node_10_0_0_9_port_1790", Some("10.0.0.9"), Some(1790)),
        ("Mesh_fd80_24e2_f998_72d7__2", Some("fd80:24e2:f998:72d7::2"), None),
        ("Local_Workload_fd00__3_port_1790", Some("fd00::3"), Some(1790)),
        ("Global_rack", None, None),
        ("tor1", None, None),
    ] {
        let node = Node::well()
            .reads(V4.status, ONE_STATUS)
            .protocols(&format!("1002-{name} BGP master start 01:43:31 Active Socket: x\n"))
            .status();
        let peer = &node.bgp.ipv4.peers[0];
        assert_eq!((peer.address.as_deref(), peer.port), (address, port), "{name}");
        assert_eq!(peer.bgp_state.as_deref(), Some("Active"));
    }
}

#[test]
fn a_session_held_by_graceful_restart_is_established_and_the_node_is_not_well() {
    let rows = ESTABLISHED.replace(" up ", " wait ");
    let node = Node::with_peer().protocols(&rows);
    assert_eq!(node.status().bgp.ipv4.established, Some(1));
    node.is(Verdict::Wrong);
}

#[test]
fn times_are_absolute_in_birds_own_time_zone() {
    let at = |since: &str| {
        let status = String::from_utf8_lossy(ONE_STATUS).replace("01:43:40", "03:43:40");
        let rows = ESTABLISHED.replace("01:43:31", since);
        let node = Node::well().reads(V4.status, status.as_bytes()).protocols(&rows).status();
        let peer = node.bgp.ipv4.peers[0].clone();
        assert_eq!((peer.since.as_str(), peer.info.as_str()), (since, "Established"));
        peer.since_time.map(|time| time.to_string())
    };
    assert_eq!(at("03:43:31").as_deref(), Some("2026-11-23T01:43:31Z"));
    assert_eq!(at("23:00:00").as_deref(), Some("2026-11-22T21:00:00Z"));
    assert_eq!(at("2026-11-20 02:00:00").as_deref(), Some("2026-11-20T00:00:00Z"));
    assert_eq!(at("2026-11-20"), None);
    assert_eq!(at("1514768400").as_deref(), Some("2018-01-01T01:00:00Z"));
}

#[test]
fn a_moment_more_or_less_changes_nothing() {
    let node = Node::with_peer();
    let mut later = node.clone();
    let mut reading = later.0.get(V4.status).unwrap().clone();
    reading.started = reading.started.checked_sub(SignedDuration::from_millis(999)).unwrap();
    later.0.insert(V4.status, reading);
    assert_eq!(later.status(), node.status());
}

#[test]
fn graceful_restart_is_told() {
    let status = String::from_utf8_lossy(ONE_STATUS).replace(
        "0013 ",
        "0024-Graceful restart recovery in progress\n   Waiting for 3 protocols to recover\n   \
         Wait timer is 86/240\n0013 ",
    );
    let node = Node::with_peer().reads(V4.status, status.as_bytes()).status();
    let json = serde_json::to_value(&node.bgp.ipv4.graceful_restart).unwrap();
    assert_eq!(json, json!({"waitingFor": 3, "waitTimer": "86/240"}));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// But for the last line feed: `0000 ` has ended the answer before it.
    #[test]
    fn no_cut_answer_is_ready(at in 0..ONE.len() - 1) {
        let node = Node::well().reads(V4.status, ONE_STATUS).reads(V4.protocols, &ONE[..at]).status();
        prop_assert_ne!(node.bgp.ipv4.state, Some(State::Ready));
        prop_assert_eq!(node.bgp.ipv4.established, None);
        prop_assert!(node.bgp.ipv4.error.is_some());
        prop_assert_eq!(verdict(&node), Verdict::Wrong);
    }

    #[test]
    fn any_answers_are_survived(bytes: Vec<u8>, at: prop::sample::Index) {
        let spliced = |sample: &[u8]| {
            let mut answer = sample.to_vec();
            let at = at.index(answer.len() + 1);
            answer.splice(at..at, bytes.clone());
            answer
        };
        let node = Node::well()
            .reads(V4.status, &spliced(ONE_STATUS))
            .reads(V4.protocols, &spliced(TWO))
            .reads(V6.protocols, &spliced(SIX))
            .reads(V4.route, &spliced(TWO_ROUTES))
            .reads(FELIX_READINESS, &bytes)
            .reads(NODENAME, &bytes)
            .reads(PROCESSES, &bytes);
        let status = node.status();
        let _ = verdict(&status);
        let _ = resource(&status, node.evidence());
        prop_assert!(serde_json::to_string(&status).is_ok());
    }
}

/// Samples for the resource's tests.
pub(super) fn two_daemons() -> Node {
    Node::well()
        .reads(V4.status, ONE_STATUS)
        .reads(V4.protocols, ONE)
        .reads(V4.route, ONE_ROUTES)
        .reads(V6.status, SIX_STATUS)
        .reads(V6.protocols, SIX)
        .reads(V6.route, SIX_ROUTES)
}

/// One BIRD 2 for both families.
pub(super) fn one_daemon() -> Node {
    Node::well().reads(V4.status, TWO_STATUS).reads(V4.protocols, TWO).reads(V4.route, TWO_ROUTES)
}
