use super::*;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// With `NLA_F_NESTED`, as the kernel sends it.
fn nest(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

fn tcp(state: u8, status: u32) -> Vec<u8> {
    let addresses = nest(1, &[attribute(1, &[10, 0, 0, 1]), attribute(2, &[10, 0, 0, 2])]);
    let protocol =
        nest(2, &[attribute(1, &[6]), attribute(2, &[0x30, 0x39]), attribute(3, &[0, 53])]);
    [
        nest(1, &[addresses, protocol]),
        attribute(3, &status.to_be_bytes()),
        nest(4, &[nest(1, &[attribute(1, &[state])])]),
        attribute(18, &7u16.to_be_bytes()),
    ]
    .concat()
}

#[test]
fn an_entry_is_known_by_its_original_direction() {
    let expected = Entry {
        flow: Flow {
            source: ipv4(&[10, 0, 0, 1]).unwrap(),
            destination: ipv4(&[10, 0, 0, 2]).unwrap(),
            protocol: 6,
            port: Some(53),
        },
        state: Some(3),
        status: 0b1110,
        zone: 7,
    };
    assert_eq!(entry(&tcp(3, 0b1110)), Some(expected));
    assert_eq!(entry(&[]), None);
}

#[test]
fn entries_that_are_alike_are_counted_together() {
    let mut counts = Counts::new(KEYS, 0);
    let established = entry(&tcp(3, 0b1110)).unwrap();
    let begun = Entry { state: Some(1), status: 0, zone: 0, ..established };
    for one in [established, established, begun, established] {
        counts.add(&one);
    }
    counts.end_run();
    assert_eq!((counts.total, counts.unreplied, counts.unassured), (4, 1, 1));
    assert_eq!(counts.zones.top(ROWS), [(7, 3), (0, 1)]);
    assert_eq!(counts.states.top(ROWS), [((6, Some(3)), 3), ((6, Some(1)), 1)]);
    assert_eq!(counts.flows.top(ROWS), [(established.flow, 4)]);
    assert_eq!(established.flow.source.ip().to_string(), "10.0.0.1");
}

#[test]
fn what_is_cut_short_is_no_entry_or_less_of_one() {
    let whole = tcp(3, 0b1110);
    for length in 0..whole.len() {
        let _ = entry(&whole[..length]);
    }
}

#[test]
fn the_largest_come_first_and_equals_in_order() {
    let mut tally = Tally::new(KEYS, 0);
    for key in [5, 3, 3, 9, 9, 9, 4] {
        tally.add(key);
    }
    assert_eq!(tally.top(ROWS), [(9, 3), (3, 2), (4, 1), (5, 1)]);
    for key in 100..1300 {
        tally.add(key);
    }
    assert_eq!(tally.top(ROWS).len(), ROWS);
    assert_eq!(tally.top(ROWS)[..3], [(9, 3), (3, 2), (4, 1)]);
}

#[test]
fn of_too_many_keys_the_large_ones_stay_and_what_they_may_lack_is_known() {
    let mut tally = Tally::new(64, 0);
    for round in 0u32..1000 {
        // One in two is the same, the others are all different.
        tally.add(0);
        tally.add(round + 1);
        assert!(tally.counts.len() <= 64);
    }
    let (key, count) = tally.top(ROWS)[0];
    assert_eq!(key, 0);
    assert!(tally.missed > 0);
    assert!(count <= 1000 && count + tally.missed >= 1000, "{count} {}", tally.missed);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = entry(&bytes);
    }

    #[test]
    fn no_count_is_too_large_or_lacks_more_than_is_said(keys in proptest::collection::vec(0u8..40, 0..500)) {
        let mut tally = Tally::new(8, 0);
        let mut exact = std::collections::HashMap::<u8, u32>::new();
        for key in keys {
            tally.add(key);
            *exact.entry(key).or_default() += 1;
        }
        for (key, count) in &exact {
            let kept = tally.counts.get(key).copied().unwrap_or_default();
            proptest::prop_assert!(kept <= *count && kept + tally.missed >= *count);
        }
    }
}
