//! What a person reads of a bundle: `summary.txt`, the closing line, the plan of `--dry-run`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::Style;
use bytesize::ByteSize;

use super::lines::hanging;
use super::table::{self, Cells};
use super::{Output, printable};
use crate::bundle::manifest::Manifest;
use crate::bundle::plan::Planned;
use crate::checks::Report;
use crate::cli::Format;
use crate::host::{Collected, Outcome};
use crate::status::NodeStatus;

/// `summary.txt`: the node's status, then what is missing and why, then what was cut out.
#[must_use]
pub fn render(manifest: &Manifest, status: &NodeStatus, report: &Report) -> String {
    let plain = Output { format: Format::Table, color: false, quiet: false, columns: None };
    let mut text = format!(
        "calivet {} on node {}, {:.0}\n{}\n\n",
        manifest.tool.version,
        printable(&manifest.node),
        manifest.started,
        line(manifest, None)
    );
    text += "NODE STATUS\n\n";
    text += &super::status::wide(status, plain);
    for note in super::status::notes(status) {
        let _ = writeln!(text, "{note}");
    }

    text += "\nFINDINGS (calivet explain ID tells more)\n\n";
    text += &super::findings::render(report, true, plain);

    text += "\nWHAT IS NOT WHOLE\n\n";
    let troubled = |item: &&Collected| item.outcome.is_trouble();
    section(
        &mut text,
        manifest.items.iter().filter(troubled),
        "everything that was found was read whole",
        None,
    );

    text += "\nWHAT THIS HOST DOES NOT HAVE\n\n";
    let absent =
        |item: &&Collected| matches!(item.outcome, Outcome::Missing | Outcome::NotApplicable);
    section(&mut text, manifest.items.iter().filter(absent), "nothing is missing", None);

    text += "\nWHAT WAS LEFT OUT ON PURPOSE\n\n";
    let skipped = |item: &&Collected| item.outcome == Outcome::Skipped;
    section(&mut text, manifest.items.iter().filter(skipped), "nothing", None);

    text += "\nWHAT WAS CUT OUT (by rule; values are never shown)\n\n";
    let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
    for (rule, count) in manifest.items.iter().flat_map(|item| &item.redactions) {
        *rules.entry(rule).or_default() += count;
    }
    if rules.is_empty() {
        text += "no secret was found\n";
    }
    for (rule, count) in rules {
        let _ = writeln!(text, "{count:>8}  {rule}");
    }
    text
}

/// The items, those with the same reason together.
pub(super) fn section<'a>(
    text: &mut String,
    items: impl Iterator<Item = &'a Collected>,
    none: &str,
    columns: Option<usize>,
) {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for item in items {
        let reason = match item.reason.as_deref() {
            // The path says which: the sentence need not.
            Some(reason) if is_plain_absence(item, reason) => "no such file or folder",
            Some(reason) => reason,
            None => "no reason is known",
        };
        let reason = format!("{}: {}", item.outcome, printable(reason));
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, paths)) => paths.push(&item.path),
            None => groups.push((reason, vec![&item.path])),
        }
    }
    if groups.is_empty() {
        let _ = writeln!(text, "{none}");
    }
    for (reason, paths) in groups {
        let _ = writeln!(text, "{}", hanging(&reason, 0, 2, columns));
        for path in paths {
            let _ = writeln!(text, "    {}", printable(path));
        }
    }
}

fn is_plain_absence(item: &Collected, reason: &str) -> bool {
    item.outcome == Outcome::Missing
        && reason.starts_with("failed to ")
        && reason.ends_with(&format!("{}: No such file or directory (os error 2)", item.source))
}

/// One line: how many items, and how many of them are not whole.
#[must_use]
pub fn line(manifest: &Manifest, bytes: Option<u64>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for item in &manifest.items {
        *counts.entry(item.outcome.to_string()).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let size = bytes.map(|bytes| format!("{}, ", ByteSize(bytes))).unwrap_or_default();
    let whole = match (manifest.interrupted, manifest.complete) {
        (true, _) => "interrupted: ",
        (false, true) => "",
        (false, false) => "not whole: ",
    };
    format!("{whole}{size}{} items ({})", manifest.items.len(), counts.join(", "))
}

/// The list of `--dry-run`: a table, or where a terminal is too narrow for it, an item a paragraph beneath its collector.
#[must_use]
pub fn plan(items: &[Planned], output: Output) -> String {
    let rows: Vec<table::Row> = items
        .iter()
        .map(|item| {
            let reason = item.reason.as_deref().unwrap_or_default();
            let cells = [&item.collector, &item.path, &item.source, reason];
            (cells.map(|cell| printable(cell).into_owned()).to_vec(), Style::new())
        })
        .collect();
    let table = table::render(
        &["Collector", "Path in the bundle", "What is read, asked or run", "Left out"],
        &rows,
        Cells::Whole,
        None,
    );
    let needed = table.lines().next().map_or(0, str::len);
    if output.columns.is_none_or(|columns| needed <= columns) {
        return table;
    }
    let bold = if output.color { Style::new().bold() } else { Style::new() };
    let mut text = String::new();
    let mut above = None;
    for item in items {
        if above.replace(&item.collector) != Some(&item.collector) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{bold}{}{bold:#}", item.collector);
        }
        let _ = writeln!(text, "  {}", printable(&item.path));
        let _ = writeln!(text, "      {}", hanging(&printable(&item.source), 6, 8, output.columns));
        if let Some(reason) = &item.reason {
            let _ = writeln!(text, "      {}", hanging(&printable(reason), 6, 8, output.columns));
        }
    }
    text
}
