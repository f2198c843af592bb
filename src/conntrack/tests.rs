use std::fmt::Write as _;

use super::log::{TableFull, table_full};
use super::*;

/// The columns of Linux 3.10 (RHEL 7) and of 4.18 (RHEL 8): `net/netfilter/nf_conntrack_standalone.c`.
const LINUX_3_10: &str = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
    00000010  00000abc 0000000c 00000007 00000003 00000001 00000006 00000005 00000004 00000002 0000000a 0000000b 00000001  00000000 00000000 00000000 000000ff\n\
    00000010  00000000 00000001 00000000 00000000 00000000 00000000 00000000 00000000 00000001 00000000 00000000 00000000  00000000 00000000 00000000 00000001\n";

/// The columns of Linux 5.10, in which `searched` has become `clashres`.
const LINUX_5_10: &str = "entries  clashres found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
    00000010  00000009 0000000c 00000000 00000003 00000000 00000000 00000005 00000004 00000002 0000000a 0000000b 00000001  00000000 00000000 00000000 000000ff\n";

/// The columns of Linux 5.15 and 6.x, in which `delete_list` has become `chainlength`.
const LINUX_6: &str = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n\
    00000010  00000009 0000000c 00000000 00000003 00000000 00000000 00000005 00000004 00000002 0000000a 0000000b 00000001  00000000 00000000 00000000 000000ff\n";

fn counts(table: &str, wanted: &[Counter]) -> Vec<Option<u64>> {
    let statistics = Statistics::from_proc(table).unwrap();
    assert_eq!(statistics.entries, Some(16));
    wanted.iter().map(|counter| statistics.sum(*counter)).collect()
}

#[test]
fn the_names_of_the_counters_stand_in_their_order() {
    for (counter, names) in Counter::ALL.iter().zip(&NAMES) {
        assert_eq!(*counter, names.counter);
        assert_eq!(
            *counter as usize,
            NAMES.iter().position(|other| other.counter == *counter).unwrap()
        );
    }
}

#[test]
fn a_column_is_known_by_its_name_and_never_by_its_place() {
    use Counter::{
        ChainTooLong, ClashResolve, Drop, EarlyDrop, Error, InsertFailed, SearchRestart,
    };
    let wanted = [Drop, EarlyDrop, InsertFailed, SearchRestart, Error, ClashResolve, ChainTooLong];
    let some = |numbers: [i64; 7]| numbers.map(|number| u64::try_from(number).ok()).to_vec();
    assert_eq!(counts(LINUX_3_10, &wanted), some([10, 11, 3, 256, 1, -1, -1]));
    assert_eq!(counts(LINUX_5_10, &wanted), some([10, 11, 2, 255, 1, 9, -1]));
    assert_eq!(counts(LINUX_6, &wanted), some([10, 11, 2, 255, 1, 9, 5]));
    let swapped = "drop entries\n0000000a 00000010\n";
    assert_eq!(counts(swapped, &[Drop, EarlyDrop]), [Some(10), None]);
}

#[test]
fn a_table_that_is_cut_short_ends_at_its_last_whole_row() {
    let cut = &LINUX_3_10[..LINUX_3_10.len() - 20];
    assert_eq!(Statistics::from_proc(cut).unwrap().cpus.len(), 1);
    for table in ["", "entries\n", "no such thing\n1 2 3\n", "entries drop\nmany 1\n"] {
        assert_eq!(Statistics::from_proc(table), None, "{table}");
    }
}

fn document(rows: &str) -> Vec<u8> {
    format!("{{\"source\":\"x\",\n\"entries\":5,\n\"max\":7,\n\"cpus\":[{rows}],\"consistent\":true,\"complete\":true}}")
        .into_bytes()
}

#[test]
fn netlink_tells_entries_and_limit_too() {
    let statistics = Statistics::from_netlink(&document(
        r#"{"cpu":0,"drop":4294967295,"chaintoolong":null},{"cpu":2,"drop":1,"insert_failed":3}"#,
    ))
    .unwrap();
    assert_eq!((statistics.entries, statistics.max), (Some(5), Some(7)));
    assert_eq!(statistics.sum(Counter::Drop), Some(1 << 32));
    // One of two that does not tell makes the sum unknown, and not smaller.
    assert_eq!(statistics.sum(Counter::InsertFailed), None);
    assert_eq!(statistics.sum(Counter::ChainTooLong), None);
    let json = serde_json::to_value(&statistics.cpus[1]).unwrap();
    assert_eq!((json["cpu"].as_u64(), json["insertFailed"].as_u64()), (Some(2), Some(3)));
    assert!(json["earlyDrop"].is_null());
    let cut =
        String::from_utf8(document("")).unwrap().replace("\"complete\":true", "\"complete\":false");
    assert_eq!(Statistics::from_netlink(cut.as_bytes()), None);
}

#[test]
fn a_counter_that_went_backwards_is_unknown_and_not_huge() {
    let of = |rows: &str| Statistics::from_netlink(&document(rows)).unwrap();
    let earlier = of(r#"{"cpu":0,"drop":4294967290,"found":1},{"cpu":1,"drop":10,"found":2}"#);
    let later = of(r#"{"cpu":0,"drop":3,"found":4},{"cpu":1,"drop":12,"found":2}"#);
    assert_eq!(later.growth(&earlier, Counter::Drop), None);
    assert_eq!(later.growth(&earlier, Counter::Found), Some(3));
    assert_eq!(later.growth(&earlier, Counter::Error), None);
    let hotplugged = of(r#"{"cpu":0,"found":5}"#);
    assert_eq!(hotplugged.growth(&earlier, Counter::Found), None);
    let renumbered = of(r#"{"cpu":0,"found":5},{"cpu":3,"found":5}"#);
    assert_eq!(renumbered.growth(&earlier, Counter::Found), None);
}

#[test]
fn the_size_of_an_entry_is_that_of_its_slab() {
    let slabinfo = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>\n\
        nf_conntrack_expect      0      0    216   18    1 : tunables    0\n\
        nf_conntrack          16     16    256   16    1 : tunables    0\n";
    assert_eq!(entry_bytes(slabinfo), Some(256));
    let old = "nf_conntrack_ffffffff81a8e4c0   51     51    312   51    4 : tunables\n";
    assert_eq!(entry_bytes(old), Some(312));
    assert_eq!(entry_bytes("nf_conntrack_expect 0 0 216 18 1"), None);
    assert_eq!(entry_bytes(""), None);
}

#[test]
fn the_log_is_counted_with_and_without_a_namespace_and_only_where_the_kernel_wrote_it() {
    let log = "<6>[1.000000] nf_conntrack: expectation table full\n\
        <4>[10.500000] nf_conntrack: nf_conntrack: table full, dropping packet\n\
        <4>[11.000000] nf_conntrack: table full, dropping packet\n\
        <4>[12.000000] ip_conntrack: table full, dropping packet.\n\
        <4>[13.250000] nf_conntrack: table full in netns 4026532245, dropping packet\n\
        <4>[14.000000] net_ratelimit: 73 callbacks suppressed\n\
        <12>[15.000000] nf_conntrack: table full, dropping packet\n\
        <4>[16.000000] app: nf_conntrack: table full, dropping packet\n\
        <4>[17.000000] table full, dropping packet\n\
        nf_conntrack: table full\n";
    let expected = TableFull {
        lines: 4,
        elsewhere: 1,
        namespaces: [4_026_532_245].into(),
        first: 10.5,
        last: 13.25,
        last_here: Some(12.0),
        suppressed: 73,
    };
    assert_eq!(table_full(log), expected);
    assert_eq!(table_full(""), TableFull::default());
}

proptest::proptest! {
    #[test]
    fn any_text_is_survived(text: String, bytes: Vec<u8>) {
        let _ = (Statistics::from_proc(&text), table_full(&text), entry_bytes(&text));
        let _ = Statistics::from_netlink(&bytes);
    }

    /// Of three looks, what grew between the first and the last is what grew between those beside each other.
    #[test]
    fn growth_adds_up(counts in proptest::collection::vec([0..9_u32, 0..9, 0..9], 1..4)) {
        let look = |steps: usize| {
            let mut table = "entries drop\n".to_owned();
            for grows in &counts {
                let grown: u32 = grows[..=steps].iter().sum();
                writeln!(table, "00000000 {grown:08x}").unwrap();
            }
            Statistics::from_proc(&table).unwrap()
        };
        let [first, second, third] = [0, 1, 2].map(look);
        let growth = |later: &Statistics, earlier: &Statistics| later.growth(earlier, Counter::Drop);
        let parts = growth(&second, &first).zip(growth(&third, &second));
        proptest::prop_assert_eq!(parts.map(|(one, other)| one + other), growth(&third, &first));
        proptest::prop_assert_eq!(growth(&first, &first), Some(0));
        let all: u32 = counts.iter().map(|grows| grows[1] + grows[2]).sum();
        proptest::prop_assert_eq!(growth(&third, &first), Some(u64::from(all)));
        let went_back = counts.iter().any(|grows| grows[1] + grows[2] > 0);
        proptest::prop_assert_eq!(growth(&first, &third).is_none(), went_back);
    }
}
