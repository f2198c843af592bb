use super::*;
use crate::checks::{Finding, Level};
use serde_json::json;

fn seen(things: &[(&str, &str)], fleeting: &[&str]) -> Seen {
    let fact = |value: &str| [("value".to_owned(), value.to_owned())].into();
    Seen {
        facts: things.iter().map(|(name, value)| ((*name).to_owned(), fact(value))).collect(),
        fleeting: fleeting.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_comes_and_goes_with_pods_is_counted_and_not_listed() {
    let before =
        seen(&[("cali1", "a"), ("eth0", "a"), ("gone", "a"), ("cali3", "a")], &["cali1", "cali3"]);
    let after =
        seen(&[("cali2", "a"), ("eth0", "b"), ("new", "a"), ("cali3", "b")], &["cali2", "cali3"]);
    let found = difference(before, after);
    let names = |things: &[Thing]| things.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(&found.appeared), names(&found.vanished)),
        (vec!["new".into()], vec!["gone".into()])
    );
    let changed: Vec<_> = found.changed.iter().map(|it| it.name.as_str()).collect();
    // A pod that stayed and has another value is no churn.
    assert_eq!((changed, found.churn), (vec!["cali3", "eth0"], 2));
}

fn report(findings: &[(&'static str, &str, Level)]) -> Report {
    let finding = |(id, of, level): &(&'static str, &str, Level)| {
        Finding::new(id, *level, "as it is").evidence(json!({ "interface": of }))
    };
    Report::new(None, Timestamp::UNIX_EPOCH, findings.iter().map(finding).collect())
}

#[test]
fn verdicts_are_told_by_what_their_change_means() {
    use Level::{Fail, Info, Ok, Skip, Unknown, Warn};
    let cases = [
        (Some(Ok), Some(Fail), Some(Change::Appeared)),
        (None, Some(Warn), Some(Change::Appeared)),
        (Some(Unknown), Some(Fail), Some(Change::Appeared)),
        (Some(Warn), Some(Fail), Some(Change::Worse)),
        (Some(Ok), Some(Unknown), Some(Change::LossOfSight)),
        (Some(Fail), Some(Unknown), Some(Change::LossOfSight)),
        (None, Some(Unknown), Some(Change::LossOfSight)),
        (Some(Fail), Some(Warn), Some(Change::Better)),
        (Some(Fail), Some(Ok), Some(Change::Vanished)),
        (Some(Fail), None, Some(Change::Vanished)),
        (Some(Unknown), Some(Ok), Some(Change::SightRegained)),
        (Some(Unknown), Some(Skip), Some(Change::Changed)),
        (Some(Ok), Some(Skip), Some(Change::Changed)),
        (Some(Info), Some(Ok), Some(Change::Changed)),
        (Some(Fail), Some(Fail), None),
        (None, Some(Ok), None),
        (Some(Ok), None, None),
    ];
    for (old, new, expected) in cases {
        let one = |level: Option<Level>| {
            report(&level.map(|level| ("a.b", "eth0", level)).into_iter().collect::<Vec<_>>())
        };
        let found = findings::compare(&one(old), &one(new));
        let change = found.first().map(|change| change.change);
        assert_eq!(change, expected, "{old:?} {new:?}");
    }
}

#[test]
fn findings_are_told_apart_by_what_they_are_of_and_the_gravest_stands_first() {
    let before = report(&[
        ("a.b", "eth0", Level::Fail),
        ("a.b", "eth1", Level::Ok),
        ("a.b", "cali1", Level::Skip),
    ]);
    let after = report(&[("a.b", "eth1", Level::Fail), ("a.b", "eth0", Level::Ok)]);
    let found = findings::compare(&before, &after);
    let told: Vec<_> = found.iter().map(|it| (it.subject.as_deref().unwrap(), it.change)).collect();
    assert_eq!(told, [("eth1", Change::Appeared), ("eth0", Change::Vanished)]);
}

#[test]
fn what_a_check_that_sees_less_does_not_tell_any_more_is_not_mended() {
    let before = report(&[
        ("a.b", "eth0", Level::Fail),
        ("a.c", "", Level::Ok),
        ("b.b", "eth0", Level::Fail),
    ]);
    let after = report(&[("a.c", "", Level::Unknown)]);
    let found = findings::compare(&before, &after);
    let told: Vec<_> = found.iter().map(|it| (it.id, it.change)).collect();
    let expected =
        [("a.b", Change::LossOfSight), ("a.c", Change::LossOfSight), ("b.b", Change::Vanished)];
    assert_eq!(told, expected);
}
