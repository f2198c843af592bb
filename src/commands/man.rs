//! `calivet man`: the man page of a command, for whoever has the program and not the package. It asks no host.

use super::{Exit, Misuse};
use crate::cli;
use crate::manual;
use crate::output::Output;

/// Writes a page, as `man -l -` and `groff -man` read it.
pub(super) fn run(args: &cli::Man, output: Output) -> anyhow::Result<Exit> {
    let words = args.words.join(" ");
    let Some(page) = manual::of(&args.words)? else {
        let none = format!("there is no command `calivet {words}`: `calivet --help` lists all");
        return Err(Misuse::new(none).into());
    };
    output.print(&page)?;
    if output.columns.is_some() {
        // Nobody reads it as it is.
        let command = ["calivet man", &words].join(" ");
        output.note(&format!("`{} | man -l -` shows it as a page", command.trim_end()));
    }
    Ok(Exit::Well)
}
