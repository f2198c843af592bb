//! `calivet check bgp`: each cause is injected between real BIRDs and must be found.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::lab::Daemons;
use crate::lab::bgp::{FAULTS, Faulty};
use crate::run::{Run, run};

fn on_node(node: &Faulty, options: &[&str]) -> Run {
    run(node.calivet().args(["check", "bgp", "-o", "json"]).args(options))
}

fn from(bundle: &Path) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["check", "bgp", "-o", "json", "--from"])
        .arg(bundle))
}

/// The findings of an id.
fn findings<'a>(report: &'a Value, id: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|it| it["id"] == id).collect()
}

/// What a verdict says, of all findings in their order.
fn verdicts(report: &Value) -> Vec<(String, String, Value, Value)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            let evidence = &finding["evidence"];
            (
                text(&finding["id"]),
                text(&finding["level"]),
                evidence["cause"].clone(),
                evidence["certainty"].clone(),
            )
        })
        .collect()
}

/// Compares what was injected with what was found: right ones, and wrong ones that were called certain.
fn score(node: &Faulty, report: &Value, table: &mut String) -> (usize, usize) {
    let peers = findings(report, "bgp.peer");
    let (mut right, mut wrongly_certain) = (0, 0);
    for (fault, is_ipv6) in node.faults() {
        let name = fault.name(*is_ipv6);
        let found = peers.iter().find(|finding| finding["evidence"]["name"] == name.as_str());
        let found = found.unwrap_or_else(|| panic!("nothing is said of {name}: {report:#}"));
        let cause = found["evidence"]["cause"].as_str();
        let certainty = found["evidence"]["certainty"].as_str().unwrap_or_default();
        let is_right = match cause {
            None => fault.causes.is_empty() && found["level"] == "ok",
            Some(cause) => fault.causes.contains(&cause),
        };
        right += usize::from(is_right);
        wrongly_certain += usize::from(!is_right && certainty == "certain");
        let mark = if is_right { "  " } else { "!!" };
        let _ = writeln!(
            table,
            "{mark} {:<66} {:<22} {certainty:<8} {}",
            fault.injected,
            cause.unwrap_or("established"),
            if is_right { "" } else { found["summary"].as_str().unwrap_or_default() },
        );
    }
    (right, wrongly_certain)
}

fn every_cause_is_found(daemons: Daemons) {
    let Some(node) = Faulty::start(daemons, FAULTS) else { return };
    let live = on_node(&node, &[]);
    assert_eq!((live.status, live.stderr.as_str()), (1, ""), "{live:?}");
    let report = live.json();
    let mut table = format!("{daemons:?}: injected, found\n");
    let (right, wrongly_certain) = score(&node, &report, &mut table);
    let all = node.faults().len();
    let _ = writeln!(table, "{right} of {all} are right, {wrongly_certain} wrong ones are called certain");
    // Also where the test passes.
    let _ = std::io::stderr().write_all(table.as_bytes());
    assert_eq!(wrongly_certain, 0, "\n{table}");
    assert!(right * 100 >= all * 95, "\n{table}");

    // A bundle gives the same verdicts, and so does one with pseudonyms.
    for options in [&[][..], &["--obfuscate"]] {
        let bundle = node.folder().join(format!("bundle-{}.tar.gz", options.len()));
        let written = run(node
            .calivet()
            .args(["node", "diags", "-q", "--only", "bird,system,network,netfilter,calico,kernel,felix", "--output-file"])
            .arg(&bundle)
            .args(options));
        assert!(written.status <= 1, "{written:?}");
        let offline = from(&bundle);
        assert_eq!(offline.status, 1, "{offline:?}");
        let (offline, live) = (verdicts(&offline.json()), verdicts(&report));
        for (index, pair) in live.iter().zip(&offline).enumerate() {
            assert_eq!(pair.0, pair.1, "{options:?}: finding {index}: {:#}", report["findings"][index]);
        }
        assert_eq!(live.len(), offline.len(), "{options:?}");
    }
}

#[test]
fn every_cause_is_found_with_bird_1() {
    every_cause_is_found(Daemons::Bird1);
}

#[test]
fn every_cause_is_found_with_bird_2() {
    every_cause_is_found(Daemons::Bird2);
}
