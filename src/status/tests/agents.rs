//! Felix and the others: by their processes, probes and environment.

use super::*;

#[test]
fn felix_is_judged_by_its_process_and_its_probes() {
    Node::with_peer().is(Verdict::Well);
    let unready = Node::with_peer().reads(FELIX_READINESS, b"HTTP 503\n");
    let felix = unready.status().agents.felix;
    assert_eq!((felix.live, felix.ready), (Some(true), Some(false)));
    assert_eq!(felix.reason.as_deref(), Some("readiness probe reporting 503"));
    unready.is(Verdict::Wrong);

    let refused = |node: Node| {
        node.fails(FELIX_LIVENESS, Outcome::Failed, "connection refused").fails(
            FELIX_READINESS,
            Outcome::Failed,
            "connection refused",
        )
    };
    let served = refused(Node::with_peer());
    assert_eq!(served.status().agents.felix.live, Some(false));
    served.is(Verdict::Wrong);
    let off = refused(Node::with_peer().environment(&json!({"FELIX_HEALTHENABLED": "false"})));
    assert_eq!(off.status().agents.felix.live, None);
    off.is(Verdict::Well);
    let unknown = refused(Node::with_peer().environment(&json!({"IP": "autodetect"})));
    assert_eq!(unknown.status().agents.felix.live, None);
    unknown.is(Verdict::Unknown);

    let gone = refused(Node::with_peer().processes(&json!([])));
    assert_eq!(gone.status().agents.felix.presence.running, Some(false));
    gone.is(Verdict::Wrong);
}

#[test]
fn what_answers_for_felix_without_a_process_is_believed_only_as_far_as_it_goes() {
    let table = b"HTTP 200\n| FelixStartup | - | reporting live | reporting ready | |\n";
    let hidden = Node::with_peer()
        .fails(PROCESSES, Outcome::Denied, "hidepid")
        .reads(FELIX_READINESS, table);
    let felix = hidden.status().agents.felix;
    assert_eq!(
        (felix.presence.running, felix.presence.pid, felix.ready),
        (Some(true), None, Some(true))
    );
    let strange = Node::with_peer().processes(&json!([])).reads(FELIX_READINESS, table);
    let felix = strange.status().agents.felix;
    assert_eq!(felix.presence.running, None, "nobody is there, and somebody answers");
    assert!(
        felix.reason.unwrap().contains("its process was not seen, but its health port answers")
    );
    strange.is(Verdict::Unknown);
}

#[test]
fn an_incomplete_process_table_proves_no_absence() {
    let table = json!([{"pid": 412, "hostRoot": true, "argv": ["calico-node", "-felix"]}]);
    let node = Node::with_peer()
        .reading(
            PROCESSES,
            Outcome::Denied,
            Some("12 processes are hidden"),
            table.to_string().as_bytes(),
        )
        .status();
    assert_eq!(node.agents.felix.presence.pid, Some(412));
    assert_eq!(node.agents.confd.presence.running, None);
    let reason = node.agents.confd.reason.as_deref();
    assert_eq!(reason, Some("the table of processes is not complete: 12 processes are hidden"));
    assert_eq!(node.agents.bird.presence.running, Some(true), "it answers on its socket");
}

#[test]
fn a_borrowed_name_is_not_believed_and_told() {
    let table =
        json!([{"pid": 7, "hostRoot": false, "uid": 1000, "argv": ["calico-node", "-felix"]}]);
    let node = Node::unknown().processes(&table).status();
    assert_eq!(node.agents.felix.presence.running, Some(false));
    let reason = node.agents.felix.reason.unwrap();
    assert!(reason.starts_with("process 7 has its arguments but does not run as the host's root"));
}

#[test]
fn a_long_command_line_is_shortened() {
    let long = "é".repeat(500);
    let table = json!([{"pid": 1, "hostRoot": true, "argv": ["bird", long]}]);
    let command = Node::unknown().processes(&table).status().agents.bird.presence.command.unwrap();
    assert_eq!(command.chars().count(), 201);
    assert!(command.ends_with('…'));
}

#[test]
fn the_name_is_calicos_else_the_kernels_in_lower_case() {
    let node = Node::unknown().reads(HOSTNAME, b"Node-A\n");
    assert_eq!(node.status().node.as_deref(), Some("node-a"));
    let node = node.reads(NODENAME, b"Node-B\n");
    assert_eq!(node.status().node.as_deref(), Some("Node-B"));
    let node = node.reads(NODENAME, b"");
    assert_eq!(node.status().node.as_deref(), Some("node-a"));
}
