//! Parse, run, map the result to an exit status; nothing else.

use std::process::ExitCode;

use calivet::{cli, commands, host, output};
use clap::FromArgMatches;

fn main() -> ExitCode {
    // A child that is to enter another root or mount namespace does so before any thread exists.
    if let Some(code) = host::enter::run_in_if_asked(std::env::args_os()) {
        return code;
    }
    let mut tree =
        cli::tree(std::env::args_os().next().as_deref()).color(cli::color(std::env::args_os()));
    let cli = match cli::Cli::from_arg_matches(&tree.get_matches_mut()) {
        Ok(cli) => cli,
        Err(error) => error.format(&mut tree).exit(),
    };
    let collects = matches!(cli.command, cli::Command::Node(cli::Node::Diags(_)));
    host::address_space::spare(collects);
    output::log(&cli.options);
    match commands::run(&cli) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            output::error(&error);
            ExitCode::from(commands::exit_of(&error).code())
        }
    }
}
