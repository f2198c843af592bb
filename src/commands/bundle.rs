//! `calivet bundle`: what a bundle holds, whether it is whole, what changed between two. None of it asks a host.

mod cat;
mod diff;
mod redact;
mod report;

use std::path::Path;

use super::{Exit, Misuse};
use crate::bundle::inventory::{Inventory, List, Row};
use crate::cli::{self, Options};
use crate::fnmatch;
use crate::host::bundle::{Bundle, BundleError, Look};
use crate::output::{self, Output};

/// Runs one of the commands about bundles.
pub(super) async fn run(
    options: &Options,
    command: &cli::Bundle,
    output: Output,
) -> anyhow::Result<Exit> {
    if options.from.is_some() {
        return Err(
            Misuse::new("the commands of `bundle` name their bundles without --from").into()
        );
    }
    match command {
        cli::Bundle::Show(args) => show(&args.file, output),
        cli::Bundle::List(args) => list(args, output),
        cli::Bundle::Cat(args) => cat::run(args, output),
        cli::Bundle::Verify(args) => verify(&args.file, output),
        cli::Bundle::Redact(args) => redact::run(args, output).await,
        cli::Bundle::Diff(args) => Box::pin(diff::run(args, output)).await,
        cli::Bundle::Report(args) => Box::pin(report::run(args, output)).await,
    }
}

fn inventory(file: &Path, look: Look) -> Result<Inventory, BundleError> {
    Bundle::look(file, look).map(Inventory::of)
}

/// What is wrong with a bundle as a whole is no part of a table.
fn note(inventory: &Inventory, output: Output) {
    for warning in inventory.warnings().iter().filter(|_| output.format.is_for_people()) {
        output.note(&format!("note: {}", output::printable(warning)));
    }
}

fn show(file: &Path, output: Output) -> anyhow::Result<Exit> {
    let inventory = inventory(file, Look::Index)?;
    let overview = inventory.overview(&file.display().to_string());
    output.print(&if output.format.is_document() {
        output::document(&overview, output.format)?
    } else {
        output::bundle::overview(&overview, inventory.items(), output)
    })?;
    note(&inventory, output);
    Ok(Exit::Well)
}

fn list(args: &cli::BundleList, output: Output) -> anyhow::Result<Exit> {
    let inventory = inventory(&args.file, Look::Index)?;
    let wanted = |row: &Row| {
        args.patterns.is_empty() || args.patterns.iter().any(|pattern| lies_at(&row.path, pattern))
    };
    let rows: Vec<Row> = inventory.rows().into_iter().filter(wanted).collect();
    output.print(&if output.format.is_document() {
        output::document(&List { schema_version: 1, items: rows.clone() }, output.format)?
    } else {
        output::bundle::list(&rows, output)
    })?;
    note(&inventory, output);
    if rows.is_empty() {
        output.note("no item has such a path");
    }
    Ok(if rows.is_empty() { Exit::Unknown } else { Exit::Well })
}

/// Whether a path matches a pattern or lies in a folder that does.
fn lies_at(path: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_end_matches('/');
    let above = path.match_indices('/').map(|(at, _)| &path[..at]);
    std::iter::once(path).chain(above).any(|path| fnmatch::matches(pattern, path))
}

fn verify(file: &Path, output: Output) -> anyhow::Result<Exit> {
    let inventory = inventory(file, Look::Digests)?;
    let verification = inventory.verify(&file.display().to_string());
    output.print(&if output.format.is_document() {
        output::document(&verification, output.format)?
    } else {
        output::bundle::verification(&verification, output)
    })?;
    Ok(if verification.problems.is_empty() { Exit::Well } else { Exit::Unknown })
}

#[cfg(test)]
mod tests {
    use super::lies_at;

    #[test]
    fn a_pattern_takes_what_matches_and_what_lies_beneath() {
        for pattern in ["logs", "logs/", "logs/*", "*.log", "logs/pods/x/0.log", "lo?s"] {
            assert!(lies_at("logs/pods/x/0.log", pattern), "{pattern}");
        }
        for pattern in ["log", "pods", "logs/x", "*.txt"] {
            assert!(!lies_at("logs/pods/x/0.log", pattern), "{pattern}");
        }
    }
}
