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

fn widest(screen: &str) -> usize {
    screen.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or(0)
}

#[test]
fn no_line_is_torn_by_a_terminal_of_eighty_columns() {
    const BUNDLE: &str = "tests/examples/sick-node.tar.gz";
    for arguments in [
        "explain",
        "explain bgp.peer",
        &format!("node status --from {BUNDLE}"),
        &format!("node status -o wide --from {BUNDLE}"),
        &format!("bundle show {BUNDLE}"),
        &format!("bundle diff {BUNDLE} {BUNDLE}"),
    ] {
        let narrow = screen(80, arguments);
        assert!(widest(&narrow) <= 80, "{arguments}:\n{narrow}");
        let wide = screen(300, arguments);
        assert!(widest(&wide) > 80, "{arguments} has nothing to break:\n{wide}");
    }
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
