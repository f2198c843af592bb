//! What is shown on a terminal fits into it.

use std::process::{Command, Stdio};

use crate::run::run;

/// What a command shows on a terminal of so many columns.
fn screen(columns: u16, arguments: &str) -> String {
    let line =
        format!("stty rows 24 cols {columns}; '{}' {arguments}", env!("CARGO_BIN_EXE_calivet"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    script.envs([("TERM", "xterm"), ("NO_COLOR", "1"), ("LC_ALL", "C.UTF-8")]);
    run(script.current_dir(env!("CARGO_MANIFEST_DIR"))).stdout
}

const BUNDLE: &str = "tests/examples/sick-node.tar.gz";

fn width(line: &str) -> usize {
    line.trim_end().chars().count()
}

/// Lines that the terminal breaks in the middle of a word. A single word is whole whatever its width: it is a path or a
/// setting, and copied.
fn torn(screen: &str, columns: usize) -> Vec<&str> {
    let is_torn = |line: &&str| width(line) > columns && line.split_whitespace().count() > 1;
    screen.lines().filter(is_torn).collect()
}

#[test]
fn no_line_is_torn_by_a_narrow_terminal() {
    for arguments in [
        "explain",
        "explain bgp.peer",
        &format!("check --from {BUNDLE}"),
        &format!("check -o short --from {BUNDLE}"),
        &format!("check -o wide --from {BUNDLE}"),
        &format!("check conntrack --top --from {BUNDLE}"),
        &format!("node status --from {BUNDLE}"),
        &format!("node status -o wide --from {BUNDLE}"),
        &format!("bundle list {BUNDLE}"),
        &format!("bundle list -o wide {BUNDLE}"),
        &format!("bundle show {BUNDLE}"),
        &format!("bundle show -o wide {BUNDLE}"),
        &format!("bundle diff {BUNDLE} {BUNDLE}"),
    ] {
        for columns in [60, 80] {
            let narrow = screen(columns, arguments);
            let torn = torn(&narrow, columns.into());
            assert!(torn.is_empty(), "{arguments}, {columns} columns: {torn:#?}\n{narrow}");
        }
        let wide = screen(300, arguments);
        let widest = wide.lines().map(width).max().unwrap_or(0);
        assert!(widest > 80, "{arguments} has nothing to break:\n{wide}");
    }
}

#[test]
fn no_complaint_is_torn_by_a_narrow_terminal() {
    let path = "/folder".repeat(20);
    for (arguments, status) in [
        ("check --only conntrak", 2),
        ("check --timeout 10", 2),
        ("check networkmanager --interface a-name-that-is-too-long", 2),
        ("node diags --only birds", 2),
        (&format!("check --root {path}"), 2),
        (&format!("node diags --output-file /dev/null --root {path}"), 2),
        (&format!("check --from {path}"), 3),
        (&format!("check --suppressions {path}"), 3),
        (&format!("node diags --output-file {path}/bundle.tar.gz"), 3),
    ] {
        let told = format!("{arguments}; echo status $?");
        for columns in [60, 80] {
            let narrow = screen(columns, &told);
            let torn = torn(&narrow, columns.into());
            assert!(torn.is_empty(), "{arguments}, {columns} columns: {torn:#?}\n{narrow}");
            assert!(narrow.contains("error:"), "{arguments}: {narrow}");
            assert!(narrow.contains(&format!("status {status}\r\n")), "{arguments}: {narrow}");
        }
        let wide = screen(300, arguments);
        let widest = wide.lines().map(width).max().unwrap_or(0);
        assert!(widest > 80, "{arguments} has nothing to break:\n{wide}");
    }
}

#[test]
fn what_goes_to_no_terminal_stays_a_line() {
    let program = env!("CARGO_BIN_EXE_calivet");
    let piped = run(Command::new(program).args(["check", "--only", "conntrak"]));
    assert_eq!(piped.status, 2, "{piped:?}");
    let listed = piped.stderr.lines().find(|line| line.contains("possible values")).unwrap();
    assert!(listed.contains("time") && listed.ends_with("logs]"), "{piped:?}");
}

#[test]
fn a_command_that_is_broken_is_the_same_command_to_a_shell() {
    let of = |columns| screen(columns, &format!("check conntrack -o short --from {BUNDLE}"));
    let setting = "net.netfilter.nf_conntrack_tcp_timeout_established=86400";
    let joined = of(60).replace(" \\\r\n             ", " ");
    assert!(of(60).contains("sudo sysctl -w \\\r\n"), "{}", of(60));
    assert!(joined.contains(&format!("sudo sysctl -w {setting}\r\n")), "{joined}");
    assert!(of(100).contains(&format!("sudo sysctl -w {setting}\r\n")), "{}", of(100));
}

#[test]
fn a_list_takes_the_place_of_a_table_that_is_too_wide() {
    let list = screen(80, "node diags --dry-run");
    assert!(
        list.contains("bird\r\n  bird/ipv4/show-status\r\n      bird: show status\r\n"),
        "{list}"
    );
    assert!(!list.contains("+--"), "{list}");
    assert!(screen(2000, "node diags --dry-run").starts_with("+--"));
}

#[test]
fn the_examples_in_every_help_fit_into_eighty_columns() {
    let mut wrong = Vec::new();
    let mut left = vec![calivet::cli::tree(None)];
    while let Some(command) = left.pop() {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let long = text.lines().filter(|line| line.chars().count() > 80);
        wrong.extend(long.map(|line| format!("{}: {line}", command.get_name())));
        left.extend(command.get_subcommands().cloned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
