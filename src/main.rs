//! Parse, run, map the result to an exit status; nothing else.

use std::process::ExitCode;

use calivet::commands::Exit;
use calivet::{cli, commands, host, output};
use clap::FromArgMatches;

fn main() -> ExitCode {
    // A child that is to enter another root or mount namespace does so before any thread exists.
    if let Some(code) = host::enter::run_in_if_asked(std::env::args_os()) {
        return code;
    }
    let mut tree =
        cli::tree(std::env::args_os().next().as_deref()).color(cli::color(std::env::args_os()));
    let matches = tree.try_get_matches_from_mut(std::env::args_os());
    let cli = match matches.and_then(|matches| cli::Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let error = error.format(&mut tree);
            output::usage(&error);
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Well };
            return ExitCode::from(exit.code());
        }
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
