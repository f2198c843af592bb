//! What changed between two bundles, for people: findings first, then subject by subject.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::lines::hanging;
use super::{Output, printable};
use crate::bundle::diff::{Change, Changed, Diff, Difference, FindingChange, Thing};
use crate::cli::Format;

/// The most lines of a subject, unless all is asked for.
const LINES: usize = 20;

/// The whole.
#[must_use]
pub fn render(diff: &Diff, output: Output) -> String {
    let mut text = String::new();
    let name = |node: &Option<String>| {
        node.clone().unwrap_or_else(|| "a node that is not known".to_owned())
    };
    let (before, after) = (&diff.before, &diff.after);
    let _ = writeln!(text, "A  {:.0}  {}", before.time, printable(&name(&before.node)));
    let span = span(diff.elapsed_seconds);
    let _ = writeln!(text, "B  {:.0}  {}  ({span})", after.time, printable(&name(&after.node)));
    for note in &diff.notes {
        let _ = writeln!(
            text,
            "{}",
            hanging(&format!("note: {}", printable(note)), 0, 2, output.columns)
        );
    }
    heading(&mut text, "findings", output);
    for change in &diff.findings {
        finding(&mut text, change, output);
    }
    if diff.findings.is_empty() {
        text.push_str("  no verdict changed\n");
    }
    let mut same = Vec::new();
    for difference in &diff.subjects {
        if difference.is_empty() && difference.churn == 0 && difference.not_compared.is_none() {
            same.push(difference.subject);
        } else {
            heading(&mut text, difference.subject, output);
            subject(&mut text, difference, output);
        }
    }
    counters(&mut text, diff, output);
    if !same.is_empty() {
        let same = format!("the same in both: {}", same.join(", "));
        let _ = writeln!(text, "\n{}", hanging(&same, 0, 2, output.columns));
    }
    text
}

/// How long before or after.
fn span(seconds: i64) -> String {
    let length = seconds.unsigned_abs();
    let shown = match length {
        0..=119 => format!("{length} s"),
        120..=7199 => format!("{} min", length / 60),
        7200..=172_799 => format!("{} h", length / 3600),
        _ => format!("{} days", length / 86_400),
    };
    format!("{shown} {}", if seconds < 0 { "earlier" } else { "later" })
}

fn heading(text: &mut String, name: &str, output: Output) {
    let style = if output.color { Style::new().bold() } else { Style::new() };
    let _ = writeln!(text, "\n{style}{name}{style:#}");
}

fn paint(text: &str, colour: AnsiColor, output: Output) -> String {
    let style =
        if output.color { Style::new().fg_color(Some(colour.into())) } else { Style::new() };
    format!("{style}{text}{style:#}")
}

fn finding(text: &mut String, change: &FindingChange, output: Output) {
    let (word, colour) = match change.change {
        Change::Appeared => ("APPEARED", AnsiColor::Red),
        Change::Worse => ("WORSE", AnsiColor::Red),
        Change::LossOfSight => ("not seen any more", AnsiColor::Magenta),
        Change::AnotherCause => ("another cause", AnsiColor::Magenta),
        Change::Better => ("better", AnsiColor::Green),
        Change::Vanished => ("vanished", AnsiColor::Green),
        Change::SightRegained => ("seen again", AnsiColor::Green),
        Change::Changed => ("changed", AnsiColor::Magenta),
    };
    let of = change.subject.as_deref().map(|subject| format!(" {}", printable(subject)));
    let _ = writeln!(
        text,
        "  {}  {}{}",
        paint(&format!("{word:<17}"), colour, output),
        change.id,
        of.unwrap_or_default()
    );
    for (side, verdict) in [("A", &change.before), ("B", &change.after)] {
        let _ = match verdict {
            Some(verdict) => {
                let level = super::findings::word(verdict.level);
                let said = format!("{level}: {}", printable(&verdict.summary));
                writeln!(text, "      {side}: {}", hanging(&said, 9, 9, output.columns))
            }
            None => writeln!(text, "      {side}: there is none"),
        };
    }
}

fn subject(text: &mut String, difference: &Difference, output: Output) {
    let mut lines = Vec::new();
    for thing in &difference.vanished {
        let told = told(thing);
        let line = format!("  - {}", hanging(&told, 4, 6, output.columns));
        lines.push(paint(&line, AnsiColor::Red, output));
    }
    for thing in &difference.appeared {
        let told = told(thing);
        let line = format!("  + {}", hanging(&told, 4, 6, output.columns));
        lines.push(paint(&line, AnsiColor::Green, output));
    }
    for changed in &difference.changed {
        lines.push(format!("  ~ {}", hanging(&change(changed), 4, 6, output.columns)));
        if let (Some(diff), Format::Wide) = (&changed.diff, output.format) {
            lines.extend(diff.lines().map(|line| {
                let shown = format!("      {}", printable(line));
                match line.as_bytes().first() {
                    Some(b'+') => paint(&shown, AnsiColor::Green, output),
                    Some(b'-') => paint(&shown, AnsiColor::Red, output),
                    _ => shown,
                }
            }));
        }
    }
    let shown = if output.format == Format::Wide { lines.len() } else { LINES };
    for line in lines.iter().take(shown) {
        let _ = writeln!(text, "{line}");
    }
    if lines.len() > shown {
        let _ = writeln!(text, "  ... and {} more (-o wide shows all)", lines.len() - shown);
    }
    if difference.churn > 0 {
        let _ = writeln!(text, "  {} came or went with pods", difference.churn);
    }
    if let Some(reason) = &difference.not_compared {
        let reason = format!("not compared: {}", printable(reason));
        let reason = hanging(&reason, 2, 4, output.columns);
        let _ = writeln!(text, "  {}", paint(&reason, AnsiColor::Magenta, output));
    }
}

/// A thing with what tells most of it.
fn told(thing: &Thing) -> String {
    const TELLING: [&str; 14] = [
        "type",
        "kind",
        "gateway",
        "nexthops",
        "dev",
        "source",
        "protocol_name",
        "session",
        "value",
        "version",
        "mtu",
        "hook",
        "policy",
        "bytes",
    ];
    let facts: Vec<String> = TELLING
        .iter()
        .filter_map(|field| Some(format!("{field} {}", thing.facts.get(*field)?)))
        .collect();
    let facts = if facts.is_empty() { String::new() } else { format!("  ({})", facts.join(", ")) };
    printable(&format!("{}{facts}", thing.name)).into_owned()
}

fn change(changed: &Changed) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let (before, after) = (value(&changed.before), value(&changed.after));
    printable(&format!("{}: {}: {before} -> {after}", changed.name, changed.field)).into_owned()
}

fn counters(text: &mut String, diff: &Diff, output: Output) {
    let is_shown = |is_trouble: bool| is_trouble || output.format == Format::Wide;
    let shown: Vec<_> = diff.counters.iter().filter(|rate| is_shown(rate.is_trouble)).collect();
    if shown.is_empty() && diff.counters_reason.is_none() {
        return;
    }
    let wide = output.format == Format::Wide;
    heading(
        text,
        if wide { "counters that moved" } else { "counters of trouble that moved" },
        output,
    );
    for rate in shown {
        let name = printable(&rate.name);
        let _ = writeln!(text, "  {name:<40} +{}  ({:.3}/s)", rate.increase, rate.per_second);
    }
    if let Some(reason) = &diff.counters_reason {
        let reason = format!("no rates: {}", printable(reason));
        let _ = writeln!(text, "  {}", hanging(&reason, 2, 4, output.columns));
    }
}
