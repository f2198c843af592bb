//! A BIRD that does not answer, answers half, or is not there.

use super::*;

#[test]
fn each_trouble_is_told_apart_and_hides_nothing_of_the_other_family() {
    let cases = [
        ("absent", Outcome::Missing, Trouble::Absent, State::NotRunning),
        ("refused", Outcome::Failed, Trouble::Refused, State::Unreachable),
        ("denied", Outcome::Denied, Trouble::Denied, State::Unreachable),
        ("blocked", Outcome::Failed, Trouble::Blocked, State::Unreachable),
        ("timed out", Outcome::Timeout, Trouble::TimedOut, State::Unreachable),
        ("cut off", Outcome::Failed, Trouble::CutOff, State::Unreachable),
        ("garbled", Outcome::Failed, Trouble::Garbled, State::Unreachable),
        ("failed", Outcome::Failed, Trouble::Failed, State::Unreachable),
    ];
    for (word, outcome, trouble, state) in cases {
        let reason = format!("{word}: /var/run/calico/bird6.ctl: x, /run/bird/bird6.ctl: y");
        let node = Node::with_peer()
            .fails(V6.status, outcome, &reason)
            .fails(V6.protocols, outcome, &reason)
            .status();
        let ipv6 = &node.bgp.ipv6;
        assert_eq!((ipv6.state, ipv6.trouble), (Some(state), Some(trouble)), "{word}");
        assert_eq!(ipv6.error.as_ref(), Some(&reason), "once, though two questions were put");
        assert_eq!(node.bgp.ipv4.state, Some(State::Ready));
        assert_eq!(node.bgp.ipv4.peers.len(), 1);
        let expected = match trouble {
            Trouble::Absent => Verdict::Well,
            Trouble::Denied | Trouble::Failed => Verdict::Unknown,
            _ => Verdict::Wrong,
        };
        assert_eq!(verdict(&node), expected, "{word}");
    }
}

#[test]
fn half_an_answer_keeps_its_peers_and_never_passes_for_a_whole_one() {
    let until = ONE.windows(6).rposition(|part| part == b"1006- ").unwrap();
    let node = Node::well().reads(V4.status, ONE_STATUS).reads(V4.protocols, &ONE[..until]);
    let family = node.status().bgp.ipv4;
    assert_eq!((family.state, family.trouble), (Some(State::Unreachable), Some(Trouble::CutOff)));
    assert_eq!(family.error.as_deref(), Some("the answer to `show protocols all` is cut off"));
    assert_eq!(family.peers.len(), 14);
    assert_eq!((family.established, family.not_established), (None, None));
    assert_eq!(family.version.as_deref(), Some("1.6.8"));
    let last = family.peers.last().unwrap();
    assert_eq!(
        last.address.as_deref(),
        Some("10.0.0.15"),
        "from the name, the details are missing"
    );
    assert_eq!(last.routes, None);

    let dripping = node.reading(
        V4.protocols,
        Outcome::Timeout,
        Some("timed out: /var/run/calico/bird.ctl: no end of the answer in 10 s"),
        &ONE[..until],
    );
    let family = dripping.status().bgp.ipv4;
    assert_eq!(family.trouble, Some(Trouble::TimedOut));
    assert_eq!(family.peers.len(), 14);
    assert!(family.error.unwrap().ends_with("; the answer to `show protocols all` is cut off"));
}

#[test]
fn garbage_and_refusals_are_told() {
    let garbage = Node::with_peer().reads(V4.protocols, b"HTTP/1.1 400\r\n\r\n").status();
    assert_eq!(garbage.bgp.ipv4.trouble, Some(Trouble::Garbled));
    let refusal = Node::with_peer().reads(V4.protocols, b"9001 syntax error\n").status();
    let error = refusal.bgp.ipv4.error.as_deref();
    assert_eq!(error, Some("BIRD answered `show protocols all` by `9001 syntax error`"));
    assert_eq!(refusal.bgp.ipv4.established, None);
    let empty = Node::with_peer().reads(V4.protocols, b"8003 No protocols match\n");
    assert_eq!(empty.status().bgp.ipv4.established, Some(0));
    empty.is(Verdict::Well);
    let odd = Node::with_peer().protocols(&format!("{ESTABLISHED}1002-odd row\n"));
    assert_eq!(odd.status().bgp.ipv4.established, None);
    odd.is(Verdict::Unknown);
}

#[test]
fn a_question_that_was_not_put_is_no_answer() {
    let node = Node::well().reads(V4.status, ONE_STATUS).status();
    assert_eq!(node.bgp.ipv4.state, Some(State::Ready));
    assert_eq!(node.bgp.ipv4.error.as_deref(), Some("`show protocols all` was not asked"));
    assert_eq!(node.bgp.ipv4.established, None);
    assert_eq!(verdict(&node), Verdict::Unknown);
    let node = Node::unknown().status();
    assert_eq!((node.bgp.ipv4.state, node.bgp.ipv6.state), (None, None));
    assert!(node.bgp.ipv4.error.is_some());
    assert_eq!(node.agents.felix.presence.running, None);
    assert!(node.agents.felix.reason.is_some() && node.agents.confd.reason.is_some());
    assert_eq!((node.node, node.node_reason.is_some()), (None, true));
}

#[test]
fn a_stopped_bird_is_named_with_its_state() {
    let stopped = json!([{"pid": 433, "hostRoot": true, "state": "T", "argv": ["bird", "-d"]}]);
    let reason = "blocked: /var/run/calico/bird.ctl: EAGAIN";
    let node = Node::well()
        .processes(&stopped)
        .fails(V4.status, Outcome::Failed, reason)
        .fails(V4.protocols, Outcome::Failed, reason)
        .status();
    let expected = format!("{reason}; process 433 is stopped (state T)");
    assert_eq!(node.bgp.ipv4.error.as_ref(), Some(&expected));
}

#[test]
fn a_running_bird_without_a_socket_is_unreachable() {
    let reason = "absent: /var/run/calico/bird.ctl: no such file";
    let node = Node::well().fails(V4.status, Outcome::Missing, reason).fails(
        V4.protocols,
        Outcome::Missing,
        reason,
    );
    assert_eq!(node.status().bgp.ipv4.state, Some(State::Unreachable));
    node.is(Verdict::Wrong);
}

#[test]
fn a_missing_bird_is_judged_by_what_the_node_is_configured_to_run() {
    let without = |environment: Value| {
        let reason = "absent: /var/run/calico/bird.ctl: no such file";
        Node::well().environment(&environment).fails(V4.status, Outcome::Missing, reason).fails(
            V4.protocols,
            Outcome::Missing,
            reason,
        )
    };
    for backend in ["vxlan", "none"] {
        let node = without(json!({"CALICO_NETWORKING_BACKEND": backend}));
        assert_eq!(node.status().bgp.ipv4.state, Some(State::Disabled));
        assert_eq!(node.status().bgp.ipv6.state, Some(State::Disabled));
        assert_eq!(node.status().networking_backend.as_deref(), Some(backend));
        node.is(Verdict::Well);
        let stale = "refused: /var/run/calico/bird.ctl: connection refused";
        let node = node.fails(V4.status, Outcome::Failed, stale).fails(
            V4.protocols,
            Outcome::Failed,
            stale,
        );
        assert_eq!(node.status().bgp.ipv4.state, Some(State::Disabled), "a stale socket");
    }
    without(json!({"CALICO_NETWORKING_BACKEND": "bird"})).is(Verdict::Wrong);
    without(json!({"NODENAME": "node-1"})).is(Verdict::Wrong);
    without(json!({"IP": "none"})).is(Verdict::Well);
    without(json!({})).is(Verdict::Unknown);
    assert_eq!(without(json!({})).status().bgp.ipv4.state, Some(State::NotRunning));
}

#[test]
fn a_missing_bird6_is_wrong_only_where_ipv6_is_configured() {
    Node::with_peer().environment(&json!({})).is(Verdict::Well);
    Node::with_peer().environment(&json!({"IP6": "none"})).is(Verdict::Well);
    Node::with_peer().environment(&json!({"IP6": "autodetect"})).is(Verdict::Wrong);
}
