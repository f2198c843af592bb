//! `calivet completions`: a shell's own script, written from the tree of commands. It asks no host.

use anyhow::Context;
use clap_complete::{Generator, generate, shells};

use super::Exit;
use crate::cli;
use crate::output::Output;

/// Writes the script of a shell.
pub(super) fn run(args: &cli::Completions, output: Output) -> anyhow::Result<Exit> {
    let script = match args.shell {
        cli::Shell::Bash => script(shells::Bash),
        cli::Shell::Fish => script(shells::Fish),
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
