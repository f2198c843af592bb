//! `calivet completions`: a shell's own script, written from the tree of commands. It asks no host.

use std::fmt::Write as _;

use anyhow::Context;
use clap_complete::{Generator, generate, shells};

use super::Exit;
use crate::cli;
use crate::output::Output;

/// Writes the script of a shell.
pub(super) fn run(args: &cli::Completions, output: Output) -> anyhow::Result<Exit> {
    let script = match args.shell {
        cli::Shell::Bash => script(shells::Bash),
        cli::Shell::Fish => {
            let mut script = script(shells::Fish);
            script.extend_from_slice(fish_positionals().as_bytes());
            script
        }
        cli::Shell::Zsh => script(shells::Zsh),
    };
    output.print(&String::from_utf8(script).context("failed to write the completions")?)?;
    Ok(Exit::Well)
}

fn script(shell: impl Generator) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut cli::tree(None), "calivet", &mut script);
    script
}

/// Values of positional arguments (the ids of `explain`), which the generator leaves out for fish.
fn fish_positionals() -> String {
    let mut script = String::new();
    let tree = cli::tree(None);
    for command in tree.get_subcommands() {
        let values: Vec<String> = command
            .get_positionals()
            .flat_map(clap::Arg::get_possible_values)
            .map(|value| value.get_name().to_owned())
            .collect();
        if !values.is_empty() {
            let name = command.get_name();
            let _ = writeln!(
                script,
                "complete -c calivet -n \"__fish_calivet_using_subcommand {name}\" -f -a \"{}\"",
                values.join(" ")
            );
        }
    }
    script
}
