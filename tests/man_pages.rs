//! The man pages, by the programs that show them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use calivet::manual;

fn all() -> BTreeMap<String, String> {
    manual::all().unwrap()
}

/// What groff makes of a page at 80 columns: its text, and what it complains of.
fn shown(page: &str) -> (String, String) {
    let mut groff = Command::new("groff")
        .args(["-man", "-Tascii", "-ww", "-rLL=80n", "-P-c", "-P-b", "-P-u"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    groff.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = groff.wait_with_output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn every_command_has_a_page_with_all_that_one_looks_for() {
    let pages = all();
    for name in ["calivet", "calivet-node-diags", "calivet-check-bgp", "calivet-bundle-diff"] {
        assert!(pages.contains_key(&format!("{name}.1")), "{name} has no page");
    }
    for (name, text) in pages.iter().filter(|(name, _)| name.starts_with("calivet")) {
        for title in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "ENVIRONMENT"]
        {
            assert!(text.contains(&format!("\n.SH {title}\n")), "{name} has no {title}");
        }
        assert!(!text.contains('`'), "{name} has marks that no page shows");
    }
    for name in ["calivet.1", "calivet-check-conntrack.1", "calivet-node-diags.1"] {
        let text = &pages[name];
        assert!(text.contains("\n.SH FILES\n") && text.contains("\n.SH EXAMPLES\n"), "{name}");
    }
}

#[test]
fn groff_takes_every_page_without_a_warning() {
    if Command::new("groff").arg("--version").output().is_err() {
        assert!(std::env::var_os("CALIVET_TEST_LAB").is_none(), "groff is not installed");
        eprintln!("skipped: groff is not installed (tests/run installs it)");
        return;
    }
    for (name, page) in all().iter().filter(|(name, _)| name.starts_with("calivet")) {
        let (text, complaints) = shown(page);
        assert_eq!(complaints, "", "{name}");
        assert!(text.contains("EXIT STATUS"), "{name}:\n{text}");
    }
}

#[test]
fn a_command_writes_its_own_page_and_says_which_there_is_not() {
    let calivet = |words: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_calivet"))
            .env("SOURCE_DATE_EPOCH", "0")
            .arg("man")
            .args(words)
            .output()
            .unwrap()
    };
    for (words, title) in [
        (&[][..], ".TH CALIVET 1 1970-01-01"),
        (&["man"], ".TH CALIVET-MAN 1 1970-01-01"),
        (&["check", "bgp"], ".TH CALIVET-CHECK-BGP 1 1970-01-01"),
    ] {
        let output = calivet(words);
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}");
        assert!(page.contains(title), "{words:?}:\n{page}");
    }
    let output = calivet(&["check", "bpg"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: there is no command `calivet check bpg`: `calivet --help` lists all\n"
    );
}
