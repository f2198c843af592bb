//! Every row is held to the rules of the table.

use std::collections::BTreeSet;

use super::*;
use crate::collectors;
use crate::host::bundle::Bundle;
use crate::host::{Outcome, Reading};

/// Nothing was read at all.
fn nothing() -> Evidence {
    Evidence::default()
}

#[test]
fn checks_have_unique_kebab_case_names_and_say_what_they_look_at() {
    let mut names = BTreeSet::new();
    for check in CHECKS {
        assert!(names.insert(check.name), "{} stands twice", check.name);
        assert!(check.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        assert!(!check.about.is_empty() && !check.about.ends_with('.'), "{}", check.about);
        assert!(!check.finds.is_empty(), "{} finds nothing", check.name);
    }
}

#[test]
fn ids_are_unique_belong_to_their_check_and_are_explained_in_the_docs() {
    let docs = include_str!("../../docs/checks.md");
    let headings: BTreeSet<&str> = docs.lines().filter(|line| line.starts_with('#')).collect();
    let mut ids = BTreeSet::new();
    for check in CHECKS {
        for Kind { id, passes } in check.finds {
            assert!(ids.insert(id), "{id} stands twice");
            let name = id.strip_prefix(check.name).and_then(|rest| rest.strip_prefix('.'));
            assert!(name.is_some_and(|name| !name.is_empty()), "{id} is not {}'s", check.name);
            assert!(passes.ends_with('.'), "{id}: {passes:?} is no sentence");
            let heading = format!("### `{id}`");
            assert!(headings.contains(heading.as_str()), "docs/checks.md has no {heading:?}");
        }
    }
}

#[test]
fn the_commonest_faults_are_thirty_and_each_finding_that_tells_them_exists() {
    let docs = include_str!("../../docs/faults.md");
    let ids: BTreeSet<&str> =
        CHECKS.iter().flat_map(|check| check.finds).map(|kind| kind.id).collect();
    let mut rows = 0;
    for row in docs.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| -")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _fault, told, rest @ ..] = cells.as_slice() else { panic!("{row}") };
        let Ok(number) = number.parse::<usize>() else { continue };
        rows += 1;
        assert_eq!(number, rows, "{row}");
        let named: Vec<&str> = told.split(", ").map(|id| id.trim_matches('`')).collect();
        if named == ["-"] {
            assert!(rest.iter().any(|why| why.starts_with("not told")), "{row}");
            continue;
        }
        for id in named {
            assert!(ids.contains(id), "no check finds {id}: {row}");
        }
    }
    assert_eq!(rows, 30);
}

#[test]
fn what_a_check_reads_is_what_a_bundle_holds() {
    let node = collectors::full_node();
    let rows: Vec<Rows> =
        collectors::COLLECTORS.iter().map(|collector| collectors::rows(collector, &node)).collect();
    let artifacts: BTreeSet<String> = rows
        .iter()
        .flat_map(|rows| &rows.artifacts)
        .map(|artifact| artifact.path().into_owned())
        .collect();
    let trees: BTreeSet<String> =
        rows.iter().flat_map(|rows| &rows.trees).map(|tree| tree.path().into_owned()).collect();
    let asked = Asked { interval: Some(Duration::from_secs(1)), top: Some(10), ..Asked::default() };
    for check in CHECKS {
        for rows in [(check.reads)(&node, &asked), (check.later)(&node, &asked)] {
            for artifact in rows.artifacts {
                let path = artifact.path();
                assert!(
                    artifacts.contains(path.as_ref()),
                    "{}: {path} is in no bundle",
                    check.name
                );
            }
            for tree in rows.trees {
                let path = tree.path();
                assert!(trees.contains(path.as_ref()), "{}: {path} is in no bundle", check.name);
            }
        }
    }
}

#[test]
fn what_a_check_reads_is_kept_of_a_bundle_as_long_as_it_may_be() {
    let node = collectors::full_node();
    for check in CHECKS {
        for artifact in (check.reads)(&node, &Asked::default()).artifacts {
            let (path, kept) = (artifact.path(), Bundle::most_kept(&artifact.path()));
            assert!(artifact.max_bytes <= kept, "{}: {kept} are kept of {path}", check.name);
        }
    }
}

#[test]
fn every_check_says_something_of_a_host_of_which_nothing_was_read_and_never_that_it_is_well() {
    for check in CHECKS {
        let findings = (check.judge)(&nothing(), &Asked::default());
        assert!(!findings.is_empty(), "{} is silent", check.name);
        for finding in findings {
            assert!(check.finds.iter().any(|kind| kind.id == finding.id), "{} is new", finding.id);
            assert_ne!(finding.level, Level::Ok, "{}: {}", finding.id, finding.summary);
        }
    }
}

#[test]
fn every_check_says_something_of_a_host_that_lets_nothing_be_read_and_neither_good_nor_bad() {
    let node = collectors::full_node();
    for check in CHECKS {
        let Rows { artifacts, trees } = (check.reads)(&node, &Asked::default());
        let paths = artifacts.iter().map(|artifact| artifact.path().into_owned());
        let paths = paths.chain(trees.iter().map(|tree| tree.path().into_owned()));
        let first = collectors::FIRST.iter().map(|artifact| artifact.path().into_owned());
        let refused = |path| (path, Reading::failed(Outcome::Denied, "not for you"));
        let evidence: Evidence = first.chain(paths).map(refused).collect();
        for finding in (check.judge)(&evidence, &Asked::default()) {
            let is_neither = matches!(finding.level, Level::Unknown | Level::Skip);
            assert!(is_neither, "{finding:#?}");
        }
    }
}

#[test]
fn a_check_that_panics_is_unknown_and_spoils_no_other() {
    const BROKEN: Check = Check {
        name: "broken",
        about: "what panics",
        finds: &[Kind { id: "broken.all", passes: "It holds." }],
        reads: |_, _| Rows::default(),
        later: |_, _| Rows::default(),
        judge: |_, _| panic!("on purpose"),
    };
    let findings = run(&BROKEN, &nothing(), &Asked::default());
    assert_eq!(findings.len(), 1);
    assert_eq!((findings[0].id, findings[0].level), ("broken.all", Level::Unknown));
}

#[test]
fn a_report_counts_every_finding_once() {
    let levels = [
        Level::Ok,
        Level::Info,
        Level::Warn,
        Level::Fail,
        Level::Fail,
        Level::Unknown,
        Level::Skip,
    ];
    let findings = levels.map(|level| Finding::new("conntrack.usage", level, "x"));
    let report = Report::new(None, Timestamp::UNIX_EPOCH, findings.to_vec());
    let Summary { ok, info, warn, fail, unknown, skip, suppressed } = report.summary;
    assert_eq!([ok, info, warn, fail, unknown, skip, suppressed], [1, 1, 1, 2, 1, 1, 0]);
    assert_eq!(report.findings[0].check, "conntrack");
    assert_eq!(report.findings[0].docs, "docs/checks.md#conntrackusage");
}
