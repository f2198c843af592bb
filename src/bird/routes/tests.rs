//! Real answers of three versions, and routes that are seldom seen.

use proptest::prelude::*;

use super::super::reply;
use super::*;

const ONE: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8/show_route.txt");
const ONE_ALL: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8/show_route_all.txt");
const ONE_IPV6: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8-bird6/show_route.txt");
const TWO: &[u8] = include_bytes!("../../../tests/samples/bird/2.0.12/show_route.txt");
const TWO_ALL: &[u8] = include_bytes!("../../../tests/samples/bird/2.0.12/show_route_all.txt");
const THREE: &[u8] = include_bytes!("../../../tests/samples/bird/3.3.2/show_route.txt");
const THREE_ALL: &[u8] = include_bytes!("../../../tests/samples/bird/3.3.2/show_route_all.txt");

fn parsed(bytes: &[u8]) -> Routes {
    parse(&reply::parse(bytes))
}

#[track_caller]
fn lines(text: &str) -> Vec<Route> {
    let answer = format!("1007-{text}\n0000 \n");
    let routes = parsed(answer.as_bytes());
    assert_eq!(routes.not_understood, 0, "{text}");
    routes.list
}

fn hop(gateway: &str, interface: &str, weight: Option<u32>) -> NextHop {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    NextHop { gateway: text(gateway), interface: text(interface), weight }
}

#[test]
fn three_versions_give_the_same_ipv4_routes() {
    let facts = |bytes: &[u8]| {
        let routes = parsed(bytes);
        assert_eq!(routes.not_understood, 0);
        let mut facts: Vec<_> = routes
            .list
            .into_iter()
            .filter(|route| !route.destination.contains(':'))
            .map(|route| {
                let kind = format!("{:?}", route.kind);
                let hops = format!("{:?}", route.next_hops);
                let preference = route.preference.unwrap();
                assert_eq!(route.rank, Rank::Best);
                (route.destination, kind, hops, route.protocol, preference, route.origin)
            })
            .collect();
        facts.sort();
        facts
    };
    assert_eq!(facts(ONE).len(), 16);
    for other in [ONE_ALL, TWO, TWO_ALL, THREE, THREE_ALL] {
        assert_eq!(facts(other), facts(ONE));
    }
}

#[test]
fn tables_are_named_by_bird_2_and_3() {
    for sample in [TWO, TWO_ALL, THREE, THREE_ALL] {
        let last = parsed(sample).list.pop().unwrap();
        assert_eq!(last.table.as_deref(), Some("master6"));
        assert_eq!(last.destination, "fd00::/64");
        assert_eq!(last.next_hops, [hop("", "veth-n1", None)]);
    }
    assert_eq!(parsed(ONE).list[0].table, None);
}

#[test]
fn ipv6_routes_of_bird_1_6_are_read() {
    let routes = parsed(ONE_IPV6).list;
    assert_eq!(routes.len(), 4);
    assert_eq!(routes[1].destination, "fd10:0:3::/122");
    assert_eq!(routes[1].next_hops, [hop("fd00::2", "veth-n1", None)]);
    assert_eq!(routes[0].kind, Kind::Blackhole);
}

#[test]
fn a_blank_destination_is_that_of_the_route_above() {
    let routes = lines(
        "192.168.36.64/26   via 10.128.0.1 on ens4 [Mesh_10_128_0_241 09:23:23 from 10.128.0.241] * \
         (100/?) [i]\n                     unreachable [Mesh_10_128_0_244 09:23:24 from \
         10.128.0.244] (100/-) [AS65001?]",
    );
    assert_eq!(routes[0].from.as_deref(), Some("10.128.0.241"));
    assert_eq!(routes[0].metric.as_deref(), Some("?"));
    assert_eq!(routes[1].destination, "192.168.36.64/26");
    assert_eq!(routes[1].kind, Kind::Unreachable);
    assert_eq!(routes[1].rank, Rank::Alternative);
    assert_eq!(routes[1].metric.as_deref(), Some("-"));
    assert_eq!(routes[1].origin.as_deref(), Some("AS65001?"));
    assert_eq!(routes[1].since, "09:23:24");
}

#[test]
fn multipath_has_a_next_hop_a_line() {
    for kind in ["multipath", "unicast"] {
        let routes = lines(&format!(
            "172.30.0.0/16      {kind} [kernel1 01:50:27] * (10)\n \tvia 10.0.0.2 on eth0 weight 1\n \
             \tvia 10.0.0.4 on eth1 weight 2"
        ));
        let [route] = &routes[..] else { panic!("one route") };
        assert_eq!(route.kind, Kind::Unicast);
        let expected = [hop("10.0.0.2", "eth0", Some(1)), hop("10.0.0.4", "eth1", Some(2))];
        assert_eq!(route.next_hops, expected);
    }
}

#[test]
fn a_route_that_the_kernel_did_not_take_and_a_stale_one_are_told() {
    let routes = lines(
        "172.31.0.0/16      via 10.0.0.2 on eth0 [Mesh_10_0_0_2 01:50:27] ! (100s/0) [i]\n \
         172.29.0.0/16      prohibited [kernel1 2018-01-01 01:00:00] * (10)",
    );
    assert_eq!(routes[0].rank, Rank::NotInKernel);
    assert!(routes[0].is_stale);
    assert_eq!((routes[0].preference, routes[0].metric.as_deref()), (Some(100), Some("0")));
    assert_eq!(routes[1].kind, Kind::Prohibited);
    assert_eq!(routes[1].since, "2018-01-01 01:00:00");
    assert!(!routes[1].is_stale);
}

#[test]
fn what_is_no_route_is_counted() {
    let routes =
        parsed(b"1007-nonsense\n \tvia\n 10.0.0.0/8 dev eth0 [direct1 1:00] * (240)\n0000 \n");
    assert_eq!((routes.list.len(), routes.not_understood), (1, 2));
}

#[test]
fn a_line_without_a_destination_is_no_route() {
    let routes = parse(&reply::parse(b"1007-[]\n1007-[static1 10:00:00] * (200)\n0000 \n"));
    assert_eq!((routes.list.len(), routes.not_understood), (0, 2));
}

proptest! {
    #[test]
    fn any_lines_are_survived(text in "((1007-|1008-| |\t| \t)([ \t\\[\\]()*!/]|\\PC){0,60}\n){0,20}") {
        let answer = reply::parse(text.as_bytes());
        let _ = parse(&answer);
    }

    #[test]
    fn a_mutated_answer_is_survived(
        sample in prop::sample::select(vec![ONE, TWO, THREE_ALL]),
        at: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut answer = sample.to_vec();
        let at = at.index(answer.len() + 1);
        answer.splice(at..at, bytes);
        parsed(&answer);
    }
}
