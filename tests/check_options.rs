//! What holds for every check: which are run, what is accepted, the formats, the exit status, and `explain`.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::root::Root;
use crate::run::{Run, run};

fn calivet(arguments: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet")).args(arguments))
}

/// `check` of a host that has nothing but a conntrack table which is nearly full.
fn check(root: &Root, arguments: &[&str]) -> Run {
    let root = root.path().to_str().unwrap();
    calivet(&[&["--root", root, "check"], arguments].concat())
}

fn nearly_full() -> Root {
    let net = "/proc/sys/net/netfilter";
    Root::new()
        .file(&format!("{net}/nf_conntrack_count"), "95\n")
        .file(&format!("{net}/nf_conntrack_max"), "100\n")
        .file("/proc/net/stat/nf_conntrack", "entries  drop\n0000005f  00000000\n")
}

/// The level of a finding in a document.
fn level(run: &Run, id: &str) -> Option<String> {
    let document = run.json();
    let findings = document["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == id)?;
    finding["level"].as_str().map(ToOwned::to_owned)
}

#[test]
fn only_and_skip_choose_among_all_checks() {
    let root = nearly_full();
    let checks = |arguments: &[&str]| {
        let document = check(&root, &[&["-o", "json"], arguments].concat()).json();
        let findings = document["findings"].as_array().unwrap().clone();
        let mut names: Vec<String> =
            findings.iter().map(|it| it["check"].as_str().unwrap().to_owned()).collect();
        names.dedup();
        names
    };
    assert_eq!(checks(&["--only", "conntrack"]), ["conntrack"]);
    let all = checks(&[]);
    assert!(all.len() > 2 && all.iter().any(|name| name == "conntrack"), "{all:?}");
    let others: Vec<String> = all.iter().filter(|name| *name != "conntrack").cloned().collect();
    assert_eq!(checks(&["--skip", "conntrack"]), others);
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let root = nearly_full();
    for (arguments, wrong) in [
        (&["--only", "nothing"][..], "invalid value 'nothing'"),
        (&["--only", "bgp", "--skip", "conntrack"], "cannot be used with"),
        (&["--only", "bgp", "conntrack"], "a subject is one check"),
        (&["--fail-on", "info"], "invalid value 'info'"),
        (&["--yes"], "there is no --fix"),
    ] {
        let run = check(&root, arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(run.stderr.contains(wrong), "{arguments:?}: {}", run.stderr);
    }
    let run = calivet(&["node", "status", "-o", "junit"]);
    assert_eq!(run.status, 2);
    assert_eq!(run.stderr, "error: short and junit are formats of `check` only\n");
}

#[test]
fn a_finding_that_is_accepted_is_shown_and_does_not_count() {
    let root = nearly_full();
    let before = check(&root, &["conntrack", "-o", "json"]);
    assert_eq!((before.status, level(&before, "conntrack.usage").as_deref()), (1, Some("fail")));

    let file = |day: &str| {
        let text = format!(
            "- id: conntrack.usage\n  where: {{max: 100}}\n  reason: the new image\n  until: {day}\n"
        );
        let path = root.at("/tmp/suppressions.yaml");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let valid = file("9999-12-31");
    let run = check(&root, &["conntrack", "-o", "json", "--suppressions", &valid]);
    let document = run.json();
    assert_ne!(run.status, 1, "{document}");
    assert_eq!(document["summary"]["suppressed"], 1);
    assert_eq!(document["summary"]["fail"], 0);
    let suppressed = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|finding| finding.get("suppressed"));
    assert_eq!(suppressed.unwrap()["reason"], "the new image");
    let table = check(&root, &["conntrack", "--suppressions", &valid]).stdout;
    assert!(table.contains("(accepted until 9999-12-31: the new image)"), "{table}");
    let short = check(&root, &["conntrack", "-o", "short", "--suppressions", &valid]).stdout;
    assert!(!short.contains("conntrack.usage"), "{short}");

    let run = check(&root, &["conntrack", "--suppressions", &file("2020-01-01")]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("was accepted until 2020-01-01 (the new image)"), "{}", run.stderr);
}

#[test]
fn suppressions_that_cannot_be_read_end_the_run() {
    let root =
        nearly_full().file("/tmp/wrong.yaml", "- {id: bgp.pear, reason: x, until: 2030-01-01}");
    let wrong = root.at("/tmp/wrong.yaml").display().to_string();
    for (file, says) in [
        (wrong.as_str(), "no check finds bgp.pear"),
        ("/nonexistent/suppressions", "No such file or directory"),
    ] {
        let run = check(&root, &["--suppressions", file]);
        assert_eq!((run.status, run.stdout.as_str()), (3, ""), "{file}");
        assert!(run.stderr.contains(file) && run.stderr.contains(says), "{}", run.stderr);
    }
}

#[test]
fn short_has_what_is_not_well_and_nothing_else() {
    let root = nearly_full();
    let short = check(&root, &["-o", "short", "--only", "conntrack"]).stdout;
    assert!(short.starts_with("FAIL     conntrack.usage"), "{short}");
    assert!(short.lines().all(|line| !line.starts_with("ok ")), "{short}");
}

#[test]
fn junit_holds_each_finding_once() {
    let root = nearly_full();
    let run = check(&root, &["-o", "junit"]);
    let findings = check(&root, &["-o", "json"]).json()["findings"].as_array().unwrap().len();
    assert_eq!(run.stdout.matches("<testcase ").count(), findings);
    assert!(
        run.stdout.contains("<failure message=\"95 of 100 conntrack entries"),
        "{}",
        run.stdout
    );
}

#[test]
fn several_checks_stand_beneath_headings_and_one_does_not() {
    let root = nearly_full();
    let headings = |arguments: &[&str]| {
        let text = check(&root, arguments).stdout;
        text.lines().filter(|line| line.starts_with("conntrack: ")).count()
    };
    assert_eq!((headings(&[]), headings(&["conntrack"])), (1, 0));
}

#[test]
fn wait_ends_when_all_is_well_and_when_its_time_is_over() {
    let root = nearly_full();
    let begun = Instant::now();
    let run = check(&root, &["conntrack", "--wait", "3s", "-o", "json"]);
    assert_eq!((run.status, level(&run, "conntrack.usage").as_deref()), (1, Some("fail")));
    assert!(begun.elapsed() >= Duration::from_secs(2), "it did not look again");
    assert!(run.stderr.contains("waiting for ") && run.stderr.contains("conntrack.usage"));

    let begun = Instant::now();
    let run = check(&root, &["networkmanager", "--wait", "60s"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(begun.elapsed() < Duration::from_secs(30), "it waited though all was well");
}

#[test]
fn wait_looks_at_the_host_anew() {
    let root = nearly_full();
    let count = root.at("/proc/sys/net/netfilter/nf_conntrack_count");
    let mend = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        std::fs::write(count, "5\n").unwrap();
    });
    let run = check(&root, &["conntrack", "--wait", "5s", "-o", "json"]);
    mend.join().unwrap();
    assert_eq!(level(&run, "conntrack.usage").as_deref(), Some("ok"));
}

#[test]
fn explain_says_what_the_documentation_says() {
    let run = calivet(&["explain", "conntrack.usage"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.starts_with("conntrack.usage\n\n"), "{}", run.stdout);
    let all = calivet(&["explain"]).stdout;
    assert!(all.lines().any(|line| line.starts_with("bgp.peer ")), "{all}");
    let whole = calivet(&["explain", "conntrack", "-o", "json"]).json();
    assert_eq!(whole["schemaVersion"], 1);
    assert!(whole["explanations"].as_array().unwrap().iter().all(|it| it["check"] == "conntrack"));
    let run = calivet(&["explain", "bgp.pear"]);
    assert_eq!(run.status, 2);
    assert_eq!(run.stderr, "error: no check finds bgp.pear: did you mean bgp.peer?\n");
}
