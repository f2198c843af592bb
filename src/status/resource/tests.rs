//! The resource of sample nodes.

use serde_json::json;

use super::super::tests::{Node, one_daemon, two_daemons};
use super::*;

fn resource_of(node: &Node) -> CalicoNodeStatus {
    resource(&node.status(), node.evidence())
}

#[test]
fn the_resource_has_upstreams_fields() {
    let value = serde_json::to_value(resource_of(&two_daemons())).unwrap();
    assert_eq!(value["apiVersion"], "projectcalico.org/v3");
    assert_eq!(value["kind"], "CalicoNodeStatus");
    assert_eq!(value["metadata"]["name"], "node-1");
    let spec = json!({
        "classes": ["Agent", "BGP", "Routes"], "node": "node-1", "updatePeriodSeconds": 0,
    });
    assert_eq!(value["spec"], spec);
    let status = &value["status"];
    assert_eq!(status["lastUpdated"], "2026-11-23T02:33:26Z");
    assert_eq!(
        status["agent"]["birdV4"],
        json!({
            "state": "Ready", "version": "1.6.8", "routerID": "10.0.0.1",
            "lastBootTime": "2026-11-23 01:43:30",
            "lastReconfigurationTime": "2026-11-23 01:43:30",
        })
    );
    let bgp = &status["bgp"];
    assert_eq!(bgp["numberEstablishedV4"], 3, "the local workload is not listed");
    assert_eq!(bgp["numberNotEstablishedV4"], 10);
    assert_eq!(bgp["numberEstablishedV6"], 1);
    assert_eq!(bgp["numberNotEstablishedV6"], 3);
    assert_eq!(
        bgp["peersV4"][1],
        json!({"peerIP": "10.0.0.3", "type": "NodePeer", "state": "Active", "since": "01:43:30"})
    );
    assert_eq!(
        bgp["peersV4"][5],
        json!({"peerIP": "10.0.0.7", "type": "NodeMesh", "since": "01:43:30"}),
        "no word for a passive peer"
    );
    let routes = &status["routes"];
    assert_eq!(
        routes["routesV4"][0],
        json!({
            "type": "FIB", "destination": "10.0.0.0/24", "gateway": "N/A",
            "interface": "veth-n1", "learnedFrom": {"sourceType": "Direct"},
        })
    );
    assert_eq!(routes["routesV4"][1]["interface"], "blackhole");
    assert_eq!(
        routes["routesV6"][1],
        json!({
            "type": "FIB", "destination": "fd10:0:3::/122", "gateway": "fd00::2",
            "interface": "veth-n1",
            "learnedFrom": {"sourceType": "NodeMesh", "peerIP": "fd00::2"},
        })
    );
    assert_eq!(
        value["metadata"]["annotations"],
        json!({
            NOT_EXPRESSIBLE: "peers in a state without a word, listed without state: 4; \
                peers that are local workloads, left out: 1; \
                routes of local workloads, left out: 1",
        })
    );
}

#[test]
fn one_bird_2_fills_both_families() {
    let resource = resource_of(&one_daemon());
    let status = resource.status;
    assert_eq!(status.agent.v6.state, Some("Ready"));
    assert_eq!(status.bgp.v6.len(), 3);
    assert_eq!((status.routes.v4.len(), status.routes.v6.len()), (15, 1));
}

#[test]
fn a_missing_bird6_wipes_nothing_of_ipv4() {
    let absent = "absent: /var/run/calico/bird6.ctl: no such file";
    let paths = Answers::of(Family::Ipv6);
    let missing = crate::host::Outcome::Missing;
    let node = [paths.status, paths.protocols, paths.route]
        .into_iter()
        .fold(two_daemons(), |node, path| node.fails(path, missing, absent));
    let resource = resource_of(&node);
    assert_eq!(resource.status.agent.v6.state, Some("NotReady"));
    assert_eq!(resource.status.bgp.v4.len(), 13);
    assert_eq!(resource.status.routes.v4.len(), 15);
    assert_eq!(resource.metadata.annotations.get(UNKNOWN), None);
}

#[test]
fn rows_without_a_word_in_the_schema_stop_no_other() {
    let rows = "1007-172.30.0.0/16      multipath [kernel1 01:50:27] * (10)\n \
        \tvia 10.0.0.2 on eth0 weight 1\n \tvia 10.0.0.4 on eth0 weight 1\n \
        172.29.0.0/16      prohibited [kernel1 01:50:27] ! (10)\n \
        172.28.0.0/16      via 10.0.0.3 on eth0 [ospf1 01:50:27] * (150)\n0000 \n";
    let node = one_daemon().reads(Answers::of(Family::Ipv4).route, rows.as_bytes());
    let resource = resource_of(&node);
    let facts: Vec<_> = resource
        .status
        .routes
        .v4
        .iter()
        .map(|row| (row.kind, row.gateway.as_str(), row.interface.as_str()))
        .collect();
    assert_eq!(
        facts,
        [("FIB", "10.0.0.2", "eth0"), ("FIB", "10.0.0.4", "eth0"), ("RIB", "N/A", "prohibited")]
    );
    assert!(
        resource.metadata.annotations[NOT_EXPRESSIBLE]
            .contains("routes of other protocols, left out: 1")
    );
}

#[test]
fn what_could_not_be_asked_is_said() {
    let resource = resource_of(&Node::with_peer());
    let unknown = &resource.metadata.annotations[UNKNOWN];
    assert_eq!(unknown, "bird: `show route` was not asked");
    let cut = one_daemon().reads(Answers::of(Family::Ipv4).route, b"1007-Table master4:\n");
    let unknown = &resource_of(&cut).metadata.annotations[UNKNOWN];
    assert_eq!(unknown, "bird: `show route`: the answer is cut off");
}

#[test]
fn yaml_keeps_strings_that_look_like_numbers() {
    let yaml = serde_yaml::to_string(&resource_of(&two_daemons())).unwrap();
    assert!(
        yaml.starts_with("apiVersion: projectcalico.org/v3\nkind: CalicoNodeStatus\n"),
        "{yaml}"
    );
    let back: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(back, serde_json::to_value(resource_of(&two_daemons())).unwrap());
}
