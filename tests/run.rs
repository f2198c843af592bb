//! One run of a program and what it gave, and what a report of `check` says.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What one run gave: exit status and both streams as text.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// What went to standard output, which must be one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}: {self:?}"))
    }
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Run {
        status: status.code().unwrap_or_else(|| panic!("ended by a signal: {status}")),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// Puts a program at `to`, with its folders, for all to run. Another process writes it: a file that this one has open for writing
/// is held by each child that another test is about to start, and execve(2) gives ETXTBSY meanwhile.
#[track_caller]
pub(crate) fn install(from: &Path, to: &Path) {
    let installed = run(Command::new("install").args(["-D", "-m", "0755"]).arg(from).arg(to));
    assert_eq!(installed.status, 0, "{installed:?}");
}

/// The findings of an id in a report of `check`.
#[track_caller]
pub(crate) fn findings<'a>(report: &'a Value, id: &str) -> Vec<&'a Value> {
    report["findings"].as_array().unwrap().iter().filter(|it| it["id"] == id).collect()
}

/// The first of them.
#[track_caller]
pub(crate) fn finding<'a>(report: &'a Value, id: &str) -> &'a Value {
    findings(report, id).first().copied().unwrap_or_else(|| panic!("no {id}: {report:#}"))
}
