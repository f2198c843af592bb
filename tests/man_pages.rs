//! The man pages, by the programs that show them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

#[path = "../packaging/man/pages.rs"]
mod pages;

fn all() -> BTreeMap<String, Vec<u8>> {
    pages::all().unwrap()
}

/// What groff makes of a page at 80 columns: its text, and what it complains of.
fn shown(page: &[u8]) -> (String, String) {
    let mut groff = Command::new("groff")
        .args(["-man", "-Tascii", "-ww", "-rLL=80n", "-P-c", "-P-b", "-P-u"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    groff.stdin.take().unwrap().write_all(page).unwrap();
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
    for (name, page) in pages.iter().filter(|(name, _)| name.starts_with("calivet")) {
        let text = String::from_utf8(page.clone()).unwrap();
        for title in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"EXIT STATUS\"", "ENVIRONMENT"]
        {
            assert!(text.contains(&format!("\n.SH {title}\n")), "{name} has no {title}");
        }
        assert!(!text.contains('`'), "{name} has marks that no page shows");
    }
    for name in ["calivet.1", "calivet-check-conntrack.1", "calivet-node-diags.1"] {
        let text = String::from_utf8(pages[name].clone()).unwrap();
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
