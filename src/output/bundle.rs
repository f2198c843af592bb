//! Bundles for people: one at a glance, its paths, whether it is what its manifest says.

use std::fmt::Write as _;

use bytesize::ByteSize;
use serde_json::Value;

use super::lines::hanging;
use super::{Output, printable, summary};
use crate::bundle::inventory::{Overview, Row, Verification};
use crate::bundle::manifest::Comparison;
use crate::bundle::redacted::Redacted;
use crate::cli::Format;
use crate::host::{Collected, Outcome};
use crate::redact::OBFUSCATED;

/// The most names of what changed that are told of a subject.
const NAMED: usize = 8;

/// A bundle at a glance; wide, also what the node lacks, what was left out, and what was cut out where.
#[must_use]
pub fn overview(overview: &Overview, items: &[Collected], output: Output) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let value = printable(value);
        let _ = writeln!(text, "{name:<10} {}", hanging(&value, 11, 11, output.columns));
    };
    line("Bundle", &overview.bundle);
    line("Node", overview.node.as_deref().unwrap_or("is not known"));
    match (&overview.tool, overview.started) {
        (Some(tool), Some(started)) => {
            let span = overview.finished.map(|finished| {
                let span = finished.duration_since(started);
                format!(", in {:.1} s", span.as_secs_f64())
            });
            let span = span.unwrap_or_default();
            line("Written", &format!("{started:.0} by {} {}{span}", tool.name, tool.version));
        }
        _ => line(
            "Written",
            "by whom and when is not known: it has no manifest, as calicoctl's have none",
        ),
    }
    for again in &overview.redacted_again {
        let (tool, time) = (&again.tool, again.time);
        line("Redacted", &format!("once more {time:.0} by {} {}", tool.name, tool.version));
    }
    line("State", &state(overview));
    let counts: Vec<String> =
        overview.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    if !items.is_empty() {
        line("Items", &format!("{} ({})", items.len(), counts.join(", ")));
    }
    line("Files", &format!("{}, {} uncompressed", overview.files, ByteSize(overview.bytes)));
    if let Some(options) = options(&overview.options) {
        line("Options", &options);
    }
    let cut: Vec<String> =
        overview.redactions.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
    match (cut.as_slice(), &overview.tool) {
        ([], None) => line("Cut out", "nothing: calicoctl redacts nothing"),
        ([], Some(_)) => line("Cut out", "no secret was found"),
        (cut, _) => line("Cut out", &cut.join(", ")),
    }
    if let Some(secrets) = &overview.secrets {
        let unread = match secrets.unread.len() {
            0 => String::new(),
            count => format!("; {count} places that may hold some could not be read"),
        };
        line("Secrets", &format!("{} values were searched for by value{unread}", secrets.values));
        for unread in &secrets.unread {
            line("", &format!("{}: {}: {}", unread.source, unread.outcome, unread.reason));
        }
    }
    match &overview.untouched {
        Some(subjects) => untouched(&mut line, subjects, output),
        None if overview.tool.is_some() => line("Untouched", "no proof was taken"),
        None => {}
    }
    below(&mut text, items, output);
    text
}

fn state(overview: &Overview) -> String {
    match (overview.interrupted, overview.complete) {
        (Some(true), _) => "not whole: the run was interrupted".to_owned(),
        (_, Some(true)) => "whole: all that was there was read".to_owned(),
        (_, Some(false)) if overview.troubles.is_empty() && overview.warnings.is_empty() => {
            "not whole: not all secrets could be learned".to_owned()
        }
        (_, Some(false)) => match overview.troubles.len() {
            0 => "not whole".to_owned(),
            1 => "not whole: 1 item".to_owned(),
            count => format!("not whole: {count} items"),
        },
        (_, None) => "is not known".to_owned(),
    }
}

/// What was asked for beyond the defaults.
fn options(options: &Value) -> Option<String> {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    let said = options.as_object()?.iter().filter(|(_, value)| is_said(value));
    let said: Vec<String> = said
        .map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            format!("{name}={value}")
        })
        .collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// The proof that nothing on the node was changed.
fn untouched<'a>(
    line: &mut impl FnMut(&str, &str),
    subjects: impl IntoIterator<Item = (&'a String, &'a Comparison)>,
    output: Output,
) {
    let (mut same, mut others) = (Vec::new(), Vec::new());
    for (subject, comparison) in subjects {
        match (&comparison.reason, comparison.changed.as_slice()) {
            (Some(reason), _) => others.push(format!("{subject}: not compared: {reason}")),
            (None, []) => same.push(match comparison.before {
                Some(count) if output.format == Format::Wide => format!("{subject} ({count})"),
                _ => subject.clone(),
            }),
            (None, changed) => {
                let named = changed.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
                let more = changed.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                others.push(format!(
                    "{subject}: changed meanwhile, by whom is not known: {named}{more}"
                ));
            }
        }
    }
    if !same.is_empty() {
        others.insert(0, format!("the same before and after: {}", same.join(", ")));
    }
    for (index, sentence) in others.iter().enumerate() {
        line(if index == 0 { "Untouched" } else { "" }, sentence);
    }
}

/// What is not whole, and in wide all that is not simply there.
fn below(text: &mut String, items: &[Collected], output: Output) {
    let mut part = |heading: &str, wanted: &dyn Fn(&Collected) -> bool| {
        let mut found = items.iter().filter(|item| wanted(item)).peekable();
        if found.peek().is_some() {
            let _ = write!(text, "\n{heading}\n\n");
            summary::section(text, found, "", output.columns);
        }
    };
    part("WHAT IS NOT WHOLE", &|item| item.outcome.is_trouble());
    if output.format != Format::Wide {
        return;
    }
    part("WHAT THE HOST DOES NOT HAVE", &|item| {
        matches!(item.outcome, Outcome::Missing | Outcome::NotApplicable)
    });
    part("WHAT WAS LEFT OUT ON PURPOSE", &|item| item.outcome == Outcome::Skipped);
    let cut: Vec<&Collected> = items.iter().filter(|item| !item.redactions.is_empty()).collect();
    if !cut.is_empty() {
        text.push_str("\nWHAT WAS CUT OUT\n\n");
    }
    for item in cut {
        let rules: Vec<String> =
            item.redactions.iter().map(|(rule, count)| format!("{count} {rule}")).collect();
        let line = format!("{}: {}", item.path, rules.join(", "));
        let _ = writeln!(text, "{}", hanging(&printable(&line), 0, 4, output.columns));
    }
}

/// A line a path: its outcome, its bytes in the bundle (`-`: not in it), and the path; wide, also where it came from and
/// why it is not whole.
#[must_use]
pub fn list(rows: &[Row], output: Output) -> String {
    let mut text = String::new();
    for row in rows {
        // Of the documents, and of another tool's files, no manifest says how they were read.
        let outcome = row.outcome.map_or_else(|| "-".to_owned(), |outcome| outcome.to_string());
        let bytes = row.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        let path = printable(&row.path);
        let shown = hanging(&path, 27, 4, output.columns);
        // A path that has a line of its own leaves no blanks behind the number.
        let gap = if shown.starts_with('\n') { "" } else { "  " };
        let _ = write!(text, "{outcome:<14} {bytes:>10}{gap}{shown}");
        if output.format == Format::Wide {
            let reason = row.reason.as_deref().map(|reason| format!(": {reason}"));
            let source = row.source.as_deref().unwrap_or("-");
            let from = format!("<- {source}{}", reason.unwrap_or_default());
            let from = printable(&from);
            let needed = 27 + path.chars().count() + 2 + from.chars().count();
            if output.columns.is_some_and(|columns| needed > columns) {
                let _ = write!(text, "\n    {}", hanging(&from, 4, 7, output.columns));
            } else {
                let _ = write!(text, "  {from}");
            }
        }
        text.push('\n');
    }
    text
}

/// What is not as the manifest says, a line each; otherwise one line.
#[must_use]
pub fn verification(found: &Verification, output: Output) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        let path = problem.path.as_deref().map(|path| format!("{path}: "));
        let line = format!("{}{}", path.unwrap_or_default(), problem.reason);
        let _ = writeln!(text, "{}", hanging(&printable(&line), 0, 4, output.columns));
    }
    let verified = format!("{} files, {}", found.verified, ByteSize(found.bytes));
    let _ = match found.problems.len() {
        0 => writeln!(text, "{verified}: all are what the manifest lists"),
        count => writeln!(text, "{count} problems; {verified} are what the manifest lists"),
    };
    text
}

/// What was cut out of a bundle that is written anew.
#[must_use]
pub fn redacted(report: &Redacted, output: Output) -> String {
    let path = printable(&report.bundle);
    if output.quiet {
        return format!("{path}\n");
    }
    let is_cut = |(rule, _): &(&String, &u64)| rule.as_str() != OBFUSCATED;
    let cut = report.redactions.iter().filter(is_cut);
    let cut: Vec<String> = cut.map(|(rule, count)| format!("{count} {rule}")).collect();
    let cut = if cut.is_empty() { "nothing more".to_owned() } else { cut.join(", ") };
    let mut text = format!("Cut out of {} files: {cut}\n", report.files);
    if let Some(count) = report.redactions.get(OBFUSCATED) {
        let _ = writeln!(text, "Replaced by pseudonyms: {count} names and addresses");
    }
    let _ = writeln!(text, "Bundle saved to {path}");
    text
}
