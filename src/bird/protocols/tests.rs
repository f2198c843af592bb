//! Real answers of three versions, and rows that are seldom seen.

use proptest::prelude::*;

use super::super::reply;
use super::*;

const ONE: &[u8] = include_bytes!("../../../tests/samples/bird/1.6.8/show_protocols_all.txt");
const ONE_IPV6: &[u8] =
    include_bytes!("../../../tests/samples/bird/1.6.8-bird6/show_protocols_all.txt");
const TWO: &[u8] = include_bytes!("../../../tests/samples/bird/2.0.12/show_protocols_all.txt");
const THREE: &[u8] = include_bytes!("../../../tests/samples/bird/3.3.2/show_protocols_all.txt");

fn parsed(bytes: &[u8]) -> Protocols {
    parse(&reply::parse(bytes))
}

#[track_caller]
fn named(bytes: &[u8], name: &str) -> Protocol {
    let found = parsed(bytes).list.into_iter().find(|protocol| protocol.name == name);
    found.unwrap_or_else(|| panic!("no protocol {name}"))
}

fn only_row(text: &str) -> Protocol {
    let bytes = format!("1002-{text}\n0000 \n");
    let mut protocols = parsed(bytes.as_bytes());
    assert_eq!((protocols.list.len(), protocols.not_understood), (1, 0), "{text}");
    protocols.list.remove(0)
}

#[test]
fn an_established_session_of_bird_1_6_is_read_whole() {
    let protocol = named(ONE, "Mesh_10_0_0_2");
    assert_eq!(protocol.proto, "BGP");
    assert_eq!(protocol.table.as_deref(), Some("master"));
    assert_eq!((protocol.state.as_str(), protocol.since.as_str()), ("up", "01:43:31"));
    assert_eq!(protocol.info, "Established");
    assert_eq!(protocol.description.as_deref(), Some("Connection to BGP peer"));
    let capabilities = ["refresh", "enhanced-refresh", "restart-able", "llgr-aware", "AS4"];
    let bgp = Bgp {
        state: "Established".to_owned(),
        neighbor_address: Some("10.0.0.2".to_owned()),
        neighbor_as: Some(64512),
        neighbor_id: Some("10.0.0.2".to_owned()),
        neighbor_capabilities: capabilities.map(ToOwned::to_owned).to_vec(),
        session: Some("internal multihop AS4".to_owned()),
        source_address: Some("10.0.0.1".to_owned()),
        hold_timer: Some("226/240".to_owned()),
        keepalive_timer: Some("54/80".to_owned()),
        ..Bgp::default()
    };
    assert_eq!(protocol.bgp, Some(bgp));
    let channel = Channel {
        input_filter: Some("ACCEPT".to_owned()),
        output_filter: Some("ACCEPT".to_owned()),
        routes: Some(Routes {
            imported: Some(8),
            filtered: None,
            exported: Some(4),
            preferred: Some(8),
        }),
        ..Channel::default()
    };
    assert_eq!(protocol.channels, [channel]);
}

#[test]
fn bird_3_puts_routes_under_a_channel_and_capabilities_in_a_tree() {
    let protocol = named(THREE, "Mesh_10_0_0_2");
    assert_eq!(protocol.table, None);
    assert_eq!(protocol.since, "01:52:35.144");
    let bgp = protocol.bgp.unwrap();
    assert_eq!(bgp.local_as, Some(64512));
    assert_eq!(
        bgp.neighbor_capabilities,
        [
            "Multiprotocol",
            "Route refresh",
            "Graceful restart",
            "4-octet AS numbers",
            "Enhanced refresh",
            "Long-lived graceful restart"
        ]
    );
    assert_eq!(bgp.hold_timer.as_deref(), Some("194.716/240"));
    let [channel] = &protocol.channels[..] else { panic!("one channel") };
    assert_eq!(channel.name, "ipv4");
    assert_eq!(channel.state.as_deref(), Some("UP"));
    assert_eq!(channel.table.as_deref(), Some("master4"));
    assert_eq!(channel.routes.unwrap().imported, Some(8));
}

#[test]
fn a_disabled_protocol_has_no_info_and_still_a_neighbour() {
    for sample in [ONE, TWO, THREE] {
        let protocol = named(sample, "Global_10_0_0_12");
        assert_eq!((protocol.state.as_str(), protocol.info.as_str()), ("down", ""));
        let bgp = protocol.bgp.unwrap();
        assert_eq!(bgp.state, "Down");
        assert_eq!(bgp.neighbor_address.as_deref(), Some("10.0.0.12"));
        assert_eq!(bgp.neighbor_as, Some(64777));
        assert!(protocol.channels.iter().all(|channel| channel.routes.is_none()));
    }
}

#[test]
fn an_import_limit_is_hit() {
    for sample in [ONE, TWO, THREE] {
        let protocol = named(sample, "Node_10_0_0_14");
        assert_eq!(protocol.info, "Automatic shutdown: Route limit exceeded");
        let limit = protocol.channels[0].import_limit.clone();
        let expected = Limit { routes: 5, is_hit: true, action: Some("disable".to_owned()) };
        assert_eq!(limit, Some(expected));
    }
}

#[test]
fn every_protocol_of_every_sample_is_understood() {
    let numbers = [(ONE, 18), (ONE_IPV6, 8), (TWO, 22), (THREE, 22)];
    for (sample, number) in numbers {
        let protocols = parsed(sample);
        assert_eq!((protocols.list.len(), protocols.not_understood), (number, 0));
        assert!(protocols.list.iter().filter(|p| p.proto == "BGP").all(|p| {
            p.has_details && p.bgp.as_ref().is_some_and(|bgp| bgp.neighbor_address.is_some())
        }));
    }
    assert_eq!(parsed(ONE).is_two_or_later, Some(false));
    assert_eq!(parsed(TWO).is_two_or_later, Some(true));
    assert_eq!(parsed(THREE).is_two_or_later, Some(true));
}

#[test]
fn plain_show_protocols_gives_the_same_rows_without_details() {
    let pairs = [
        (ONE, &include_bytes!("../../../tests/samples/bird/1.6.8/show_protocols.txt")[..]),
        (TWO, include_bytes!("../../../tests/samples/bird/2.0.12/show_protocols.txt")),
        (THREE, include_bytes!("../../../tests/samples/bird/3.3.2/show_protocols.txt")),
    ];
    for (all, plain) in pairs {
        let rows = |bytes| {
            let list = parsed(bytes).list;
            list.into_iter()
                .map(|p| (p.name, p.proto, p.table, p.state, p.info))
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(plain), rows(all));
        assert!(parsed(plain).list.iter().all(|protocol| !protocol.has_details));
    }
}

#[test]
fn any_form_of_time_is_kept_out_of_the_info() {
    for since in [
        "01:43:31",
        "01:43:31.123",
        "2016-01-01",
        "1514768400",
        "2018-01-01 01:00:00",
        "2017-12-31 22:16:29.765",
        "31-12-2017 22:16",
    ] {
        let protocol = only_row(&format!("a BGP master start {since}    Active        Socket: x"));
        assert_eq!(protocol.since, since);
        assert_eq!(protocol.info, "Active Socket: x");
        let disabled = only_row(&format!("a BGP --- down   {since}  "));
        assert_eq!((disabled.since.as_str(), disabled.info.as_str()), (since, ""));
    }
}

#[test]
fn a_long_name_and_quotes_are_no_hindrance() {
    let name = "Global_fd80_24e2_f998_72d7_ffff_ffff_ffff_ffff_port_1790";
    assert_eq!(only_row(&format!("{name} BGP --- up 01:00:00 Established")).name, name);
    assert_eq!(only_row("'rack-1.tor' BGP --- up 01:00:00 Established").name, "rack-1.tor");
}

#[test]
fn a_row_of_three_words_is_counted_as_not_understood() {
    let protocols = parsed(b"1002-a BGP master\n b BGP master up 01:00:00 Established\n0000 \n");
    assert_eq!((protocols.list.len(), protocols.not_understood), (1, 1));
}

#[test]
fn details_of_a_row_that_was_not_understood_belong_to_nobody() {
    let protocols = parsed(
        b"1002-a BGP master up 1:00 Established\n1006-  BGP state:  Established\n\
          1002-broken\n1006-    Neighbor address: 6.6.6.6\n0000 \n",
    );
    assert_eq!(protocols.list[0].bgp.as_ref().unwrap().neighbor_address, None);
}

#[test]
fn filtered_routes_are_counted_where_they_are_kept() {
    let bytes = b"1002-a BGP master up 1:00 x\n\
        1006-  Routes:         12 imported, 1 filtered, 34 exported, 100 preferred\n0000 \n";
    let routes = parsed(bytes).list[0].channels[0].routes.unwrap();
    assert_eq!(routes.filtered, Some(1));
    assert_eq!(routes.preferred, Some(100));
}

#[test]
fn a_description_cannot_pretend_to_be_a_neighbour() {
    let bytes = b"1002-a BGP master up 1:00 x\n\
        1006-  Description:    Neighbor address: 6.6.6.6\n   BGP state:  Idle\n0000 \n";
    let protocol = parsed(bytes).list.remove(0);
    assert_eq!(protocol.description.as_deref(), Some("Neighbor address: 6.6.6.6"));
    assert_eq!(protocol.bgp.unwrap().neighbor_address, None);
}

proptest! {
    #[test]
    fn any_lines_are_survived(text in "((1002-|1006-|2002-| )(\\PC){0,60}\n){0,20}") {
        parsed(text.as_bytes());
    }

    #[test]
    fn a_mutated_answer_is_survived(
        sample in prop::sample::select(vec![ONE, TWO, THREE]),
        at: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..8),
        end: prop::sample::Index,
    ) {
        let mut answer = sample[..end.index(sample.len())].to_vec();
        let at = at.index(answer.len() + 1);
        answer.splice(at..at, bytes);
        parsed(&answer);
    }
}
