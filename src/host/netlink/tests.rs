//! What is made of an answer that is disturbed, refused, late, too long or no netlink at all. The kernel's own answers
//! are compared with those of `ip`, `nft` and others in `tests/netlink.rs`.

use std::cell::Cell;
use std::fmt::Write as _;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::Value;

use super::answers::{DUMPS, attribute, done, message};
use super::kernel::{Messages, Script};
use super::*;

/// Reads one document from a kernel that answers as `script` says.
#[allow(clippy::needless_pass_by_value, reason = "a script is made where it is used")]
pub(super) fn read_from(dump: Dump, script: Script) -> Reading {
    Sink::gather(|sink| {
        let clock = Clock::new(Duration::from_secs(20));
        let document = Document::new(sink, &clock, dump.question(), 1 << 20);
        settle(document, Duration::from_secs(20), |document| {
            let mut kernel = Kernel::new(&clock);
            kernel.script = Some(script.clone());
            let result = dump.write(Path::new("/nonexistent"), &mut kernel, document);
            (result, kernel.was_interrupted())
        })
    })
}

fn json(reading: &Reading) -> Value {
    serde_json::from_slice(&reading.bytes)
        .unwrap_or_else(|error| panic!("{error}: {:.2000}", reading.text()))
}

/// A document that is filled by `attempt`, which is told its number.
fn filled(
    max_bytes: u64,
    mut attempt: impl FnMut(u32, &mut Document) -> (Result<(), Trouble>, bool),
) -> (Reading, u32) {
    let attempts = Cell::new(0);
    let reading = Sink::gather(|sink| {
        let clock = Clock::new(Duration::from_secs(60));
        let document = Document::new(sink, &clock, "TEST", max_bytes);
        settle(document, Duration::from_secs(60), |document| {
            attempts.set(attempts.get() + 1);
            document.list("rows");
            attempt(attempts.get(), document)
        })
    });
    (reading, attempts.get())
}

#[test]
fn a_disturbed_dump_is_read_again_and_nothing_of_the_first_is_kept() {
    let (reading, attempts) = filled(1 << 20, |attempt, document| {
        document.row(&attempt).unwrap();
        (Ok(()), attempt < 3)
    });
    assert_eq!((reading.outcome, &reading.reason, attempts), (Outcome::Ok, &None, 3));
    let document = json(&reading);
    assert_eq!(document["rows"], serde_json::json!([3]));
    assert_eq!(document["consistent"], true);
    assert_eq!(reading.original_bytes, reading.bytes.len() as u64);
}

#[test]
fn a_dump_that_is_disturbed_four_times_is_kept_and_marked() {
    let (reading, attempts) = filled(1 << 20, |attempt, document| {
        document.row(&attempt).unwrap();
        (Ok(()), true)
    });
    assert_eq!((reading.outcome, attempts), (Outcome::Failed, 4));
    assert!(reading.reason.as_ref().unwrap().contains("also when it was read 3 more times"));
    let document = json(&reading);
    assert_eq!(document["rows"], serde_json::json!([4]));
    assert_eq!((&document["consistent"], &document["complete"]), (&false.into(), &true.into()));
}

#[test]
fn a_dump_of_which_a_part_has_left_is_not_read_again() {
    let row = "x".repeat(1 << 20);
    let (reading, attempts) = filled(1 << 30, |_, document| {
        for _ in 0..6 {
            document.row(&row).unwrap();
        }
        (Ok(()), true)
    });
    assert_eq!((reading.outcome, attempts), (Outcome::Failed, 1));
    assert!(reading.reason.as_ref().unwrap().contains("too long to be read again"));
    let document = json(&reading);
    assert_eq!(document["rows"].as_array().unwrap().len(), 6);
    assert_eq!(document["consistent"], false);
    assert_eq!(reading.original_bytes, reading.bytes.len() as u64);
}

#[test]
fn messages_that_the_kernel_dropped_are_asked_for_again_and_else_are_missing_from_what_is_kept() {
    let (reading, attempts) = filled(1 << 20, |attempt, document| {
        document.row(&attempt).unwrap();
        (Err(Trouble::Overrun), false)
    });
    assert_eq!((reading.outcome, attempts), (Outcome::Failed, 4));
    let document = json(&reading);
    assert_eq!((&document["consistent"], &document["complete"]), (&false.into(), &false.into()));
}

#[test]
fn a_document_that_reaches_its_limit_is_cut_between_rows_and_is_still_json() {
    let (reading, _) = filled(1000, |_, document| {
        document.expect(5000);
        let result = (0..5000).try_for_each(|number| document.row(&number));
        (result, false)
    });
    assert_eq!(reading.outcome, Outcome::Truncated);
    assert!(reading.bytes.len() <= 1000 && reading.bytes.len() > 900);
    let document = json(&reading);
    let rows = document["rows"].as_array().unwrap();
    let reason = reading.reason.unwrap();
    assert_eq!(
        reason,
        format!(
            "larger than what is kept: {} rows of it are kept, the kernel counts 5000",
            rows.len()
        )
    );
    assert_eq!(document["complete"], false);
}

#[test]
fn time_that_is_over_ends_the_document_and_keeps_its_rows() {
    let (reading, _) = filled(1000, |_, document| {
        document.row(&1).unwrap();
        (Err(Trouble::Late), false)
    });
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert_eq!(json(&reading)["rows"], serde_json::json!([1]));
}

#[test]
fn a_kernel_that_does_not_answer_is_left_when_the_time_is_over() {
    let reading = Sink::gather(|sink| {
        let clock = Clock::new(Duration::from_millis(20));
        let document = Document::new(sink, &clock, "TEST", 1000);
        settle(document, Duration::from_millis(20), |document| {
            let mut kernel = Kernel::new(&clock);
            kernel.script = Some(Rc::new(|_: &[u8]| Err(Errno::EAGAIN)));
            (Dump::Rules.write(Path::new("/"), &mut kernel, document), false)
        })
    });
    assert_eq!(reading.outcome, Outcome::Timeout);
    assert!(reading.bytes.is_empty());
}

#[test]
fn a_refusal_says_what_it_takes_and_what_the_kernel_lacks_does_not_apply() {
    let refused = |errno: Errno| {
        let error = message(2, 0, &(-(errno as i32)).to_ne_bytes());
        read_from(Dump::Rules, Rc::new(move |_: &[u8]| Ok(error.clone())))
    };
    let reading = refused(Errno::EPERM);
    assert_eq!(reading.outcome, Outcome::Denied);
    let reason = reading.reason.as_deref().unwrap();
    assert!(reason.contains("RTM_GETRULE") && reason.contains("CAP_NET_ADMIN"), "{reason}");
    assert!(reading.bytes.is_empty());
    for errno in [Errno::EPROTONOSUPPORT, Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EINVAL] {
        assert_eq!(refused(errno).outcome, Outcome::NotApplicable, "{errno}");
    }
    assert_eq!(refused(Errno::ENOMEM).outcome, Outcome::Failed);
}

#[test]
fn a_generic_family_that_is_not_there_does_not_apply_and_is_never_asked_for_by_name() {
    let script: Script = Rc::new(|request: &[u8]| {
        // Of nlctrl, only a dump: to ask for a name would load a module.
        if request[4..6] == 16u16.to_ne_bytes() {
            assert_eq!(u16::from_ne_bytes([request[6], request[7]]) & 0x300, 0x300);
            return Ok(done());
        }
        let link = [&[0; 4][..], &7u32.to_ne_bytes(), &[0; 8]].concat();
        let kind = attribute(18, &attribute(1, b"wireguard\0"));
        let link = [link, attribute(3, b"wg0\0"), kind].concat();
        Ok([message(16, 2, &link), done()].concat())
    });
    let reading = read_from(Dump::Wireguard, script);
    assert_eq!(reading.outcome, Outcome::NotApplicable);
    assert_eq!(
        reading.reason.as_deref(),
        Some("the kernel has no generic netlink family wireguard")
    );
}

#[test]
fn a_message_that_the_kernel_marks_as_interrupted_disturbs_its_dump() {
    let script: Script = Rc::new(|_: &[u8]| {
        Ok([message(32, 2 | 0x10, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), done()].concat())
    });
    let reading = read_from(Dump::Rules, script);
    assert_eq!(reading.outcome, Outcome::Failed);
    assert_eq!(json(&reading)["consistent"], false);
}

/// How many addresses `lo` has in the race: enough for a dump of several datagrams.
const ADDRESSES: usize = 1000;

/// In a network namespace of its own: one adds and removes addresses while another reads the table of them.
#[test]
fn a_table_that_changes_while_the_kernel_dumps_it_never_passes_for_consistent() {
    let raced = std::thread::spawn(|| {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
            eprintln!("skipped: needs root");
            return;
        }
        let mut lines = String::new();
        for number in 0..ADDRESSES {
            let (high, low) = (number / 250, number % 250);
            writeln!(lines, "address add 10.9.{high}.{low}/32 dev lo").unwrap();
        }
        ip_batch(&lines);
        let count = |reading: &Reading| json(reading)["addresses"].as_array().unwrap().len();
        let still = read_here(Dump::Addresses);
        assert_eq!((still.outcome, count(&still)), (Outcome::Ok, ADDRESSES), "{:?}", still.reason);

        let ended = std::sync::atomic::AtomicBool::new(false);
        let ended = &ended;
        let (mut marked, mut kept) = (0, 0);
        std::thread::scope(|scope| {
            // The thread is in the namespace of the one that started it.
            scope.spawn(move || {
                let change = "address add 10.8.0.1/32 dev lo\naddress del 10.8.0.1/32 dev lo\n";
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    ip_batch(&change.repeat(200));
                }
            });
            for _ in 0..10 {
                marked += u32::from(is_marked());
                let reading = read_here(Dump::Addresses);
                let consistent = json(&reading)["consistent"] == true;
                assert_eq!(reading.outcome == Outcome::Ok, consistent, "{:?}", reading.reason);
                if !consistent {
                    kept += 1;
                    let reason = reading.reason.clone().unwrap();
                    assert!(reason.contains("changed the table while it was read"), "{reason}");
                    assert!(count(&reading) > ADDRESSES / 2, "{}", count(&reading));
                }
            }
            ended.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        eprintln!("the kernel marked {marked} of 10 dumps; {kept} documents stayed inconsistent");
        if marked == 0 {
            eprintln!("not shown: the kernel was never disturbed while it dumped");
        }
        let still = read_here(Dump::Addresses);
        assert_eq!((still.outcome, count(&still)), (Outcome::Ok, ADDRESSES), "{:?}", still.reason);
    });
    raced.join().unwrap();
}

/// So many that a dump of them takes a dozen datagrams, most of which another thread receives.
const MANY: usize = 5000;

/// In a network namespace of its own.
#[test]
fn a_long_answer_that_is_received_ahead_has_each_row_once_and_can_be_left() {
    let asked = std::thread::spawn(|| {
        if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
            eprintln!("skipped: needs root");
            return;
        }
        let mut lines = String::new();
        for number in 0..MANY {
            let (high, low) = (number / 250, number % 250);
            writeln!(lines, "address add 10.9.{high}.{low}/32 dev lo").unwrap();
        }
        ip_batch(&lines);
        for _ in 0..3 {
            let all = read_here(Dump::Addresses);
            assert_eq!(all.outcome, Outcome::Ok, "{:?}", all.reason);
            let rows = json(&all)["addresses"].as_array().unwrap().clone();
            let distinct: std::collections::BTreeSet<String> =
                rows.iter().map(|row| row["address"].to_string()).collect();
            assert_eq!((rows.len(), distinct.len()), (MANY, MANY));
            // Whoever has enough leaves what is still to come, and the next question has its own answer.
            let limit = Duration::from_secs(20);
            let part =
                Sink::gather(|sink| read(Dump::Addresses, Path::new("/"), limit, 200 << 10, sink));
            assert_eq!(part.outcome, Outcome::Truncated, "{:?}", part.reason);
        }
    });
    asked.join().unwrap();
}

/// Whether the kernel marks a dump of all addresses, read once, as disturbed.
fn is_marked() -> bool {
    use netlink_bindings::rt_addr;
    let clock = Clock::new(Duration::from_secs(20));
    let mut kernel = Kernel::new(&clock);
    let request = rt_addr::Request::new().op_getaddr_dump(&rt_addr::Ifaddrmsg::new());
    kernel.ask("RTM_GETADDR", &request, |_| Ok(())).unwrap();
    kernel.was_interrupted()
}

/// Asks the kernel in the network namespace of this thread.
fn read_here(dump: Dump) -> Reading {
    let limit = Duration::from_secs(20);
    Sink::gather(|sink| read(dump, Path::new("/"), limit, 16 << 20, sink))
}

/// Has `ip` do all this in the network namespace of this thread.
#[allow(clippy::disallowed_methods, reason = "it changes a network that the test made")]
fn ip_batch(lines: &str) {
    use std::io::Write;
    let mut ip = std::process::Command::new("ip")
        .args(["-batch", "-"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());
}

#[test]
fn a_message_that_lies_about_its_length_ends_the_answer() {
    let whole = message(24, 2, &[2; 12]);
    for length in [0u32, 1, 15, 29, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let found: Vec<_> = Messages(&bytes).collect();
        assert!(matches!(found[..], [Err(Trouble::Malformed(_))]), "{length}: {found:?}");
    }
    let found: Vec<_> = Messages(&whole[..10]).collect();
    assert!(matches!(found[..], [Err(Trouble::Malformed(_))]));
    assert_eq!(Messages(&[whole.clone(), whole].concat()).count(), 2);
}

/// Attributes three deep, of which some lie about their length.
fn attributes() -> impl Strategy<Value = Vec<u8>> {
    let leaf = (0u16..40, prop::collection::vec(any::<u8>(), 0..20), lie())
        .prop_map(|(kind, value, lie)| lied(attribute(kind, &value), lie));
    leaf.prop_recursive(3, 40, 6, |inner| {
        (0u16..40, prop::collection::vec(inner, 0..6), lie())
            .prop_map(|(kind, values, lie)| lied(attribute(kind, &values.concat()), lie))
    })
}

fn lie() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![8 => Just(None), 1 => (0u16..12).prop_map(Some), 1 => any::<u16>().prop_map(Some)]
}

fn lied(mut attribute: Vec<u8>, length: Option<u16>) -> Vec<u8> {
    if let Some(length) = length {
        attribute[..2].copy_from_slice(&length.to_ne_bytes());
    }
    attribute
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_cut_into_messages_without_a_panic_and_without_an_end(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let count = Messages(&bytes).count();
        prop_assert!(count <= bytes.len() / 16 + 1);
    }

    /// Whatever attributes come behind whatever header: no panic, and what is written is JSON.
    #[test]
    fn hostile_attributes_are_left_out_and_the_document_is_json(
        header in prop::collection::vec(any::<u8>(), 0..80),
        family in prop::sample::select(vec![2u8, 10, 7, 0, 1]),
        list in prop::collection::vec(attributes(), 0..8),
        cut in prop_oneof![4 => Just(0usize), 1 => 0usize..8],
    ) {
        // Behind a header of each length that there is, and of others.
        for length in [0, 4, 8, 12, 16, 20, 72, header.len()] {
            let mut payload = header.clone();
            payload.resize(length, 0);
            if let Some(first) = payload.first_mut() {
                *first = family;
            }
            payload.extend(list.concat());
            payload.truncate(payload.len().saturating_sub(cut));
            let answer = [message(99, 2, &payload), done()].concat();
            let families: Vec<Vec<u8>> = [&b"ethtool\0"[..], b"wireguard\0"]
                .into_iter()
                .map(|name| {
                    let family = [attribute(1, &99u16.to_ne_bytes()), attribute(2, name)].concat();
                    message(16, 2, &[&[1, 2, 0, 0][..], &family].concat())
                })
                .collect();
            let families = [families.concat(), done()].concat();
            let link = [&[0; 4][..], &7u32.to_ne_bytes(), &[0; 8], &attribute(3, b"wg0\0"),
                &attribute(18, &attribute(1, b"wireguard\0"))].concat();
            let link = [message(16, 2, &link), done()].concat();
            for dump in DUMPS {
                let (answer, families, link) = (answer.clone(), families.clone(), link.clone());
                let script: Script = Rc::new(move |request: &[u8]| {
                    let kind = u16::from_ne_bytes([request[4], request[5]]);
                    Ok(match kind {
                        16 => families.clone(),
                        18 if !matches!(dump, Dump::Links) => link.clone(),
                        _ => answer.clone(),
                    })
                });
                let reading = read_from(dump, script);
                if !reading.bytes.is_empty() {
                    json(&reading);
                }
            }
        }
    }
}
