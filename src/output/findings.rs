//! What `calivet check` found, for people: a line for each finding, and below what is not well what mends it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Output, printable};
use crate::checks::{Finding, Level, Report};
use crate::cli::Format;
use crate::fix::{Applied, Effect, Step};

/// The findings, a line each, then how many there are of each level.
#[must_use]
pub fn render(report: &Report, output: Output) -> String {
    let mut text = String::new();
    let width = report.findings.iter().map(|finding| finding.id.len()).max().unwrap_or(0);
    for finding in &report.findings {
        let style = style(finding.level, output);
        let _ = writeln!(
            text,
            "{style}{:<7}{style:#}  {:<width$}  {}",
            word(finding.level),
            finding.id,
            printable(&finding.summary)
        );
        if output.format == Format::Wide {
            evidence(&mut text, finding);
        }
        for line in finding.remedy.iter().filter(|_| needs_mending(finding.level)) {
            let _ = writeln!(text, "           {}", printable(line));
        }
    }
    let summary = report.summary;
    let counts = [
        (summary.fail, Level::Fail),
        (summary.warn, Level::Warn),
        (summary.unknown, Level::Unknown),
        (summary.info, Level::Info),
        (summary.ok, Level::Ok),
        (summary.skip, Level::Skip),
    ];
    let shown: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, level)| format!("{count} {}", word(*level)))
        .collect();
    let _ = writeln!(text, "\n{}", shown.join(", "));
    text
}

/// What a finding rests on, a line for each fact.
fn evidence(text: &mut String, finding: &Finding) {
    for (name, value) in &finding.evidence {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let _ = writeln!(text, "           {name}: {}", printable(&value));
    }
}

/// What `--fix` is about to change.
#[must_use]
pub fn plan(steps: &[Step], output: Output) -> String {
    if steps.is_empty() {
        return "Nothing to change.\n\n".to_owned();
    }
    let mut text = String::new();
    for step in steps {
        for line in step.diff().lines() {
            let colour = match line.as_bytes().first() {
                Some(b'+') => Some(AnsiColor::Green),
                Some(b'-') => Some(AnsiColor::Red),
                _ => None,
            };
            let style = match colour {
                Some(colour) if output.color => Style::new().fg_color(Some(colour.into())),
                _ => Style::new(),
            };
            let _ = writeln!(text, "{style}{}{style:#}", printable(line));
        }
    }
    text + "\n"
}

/// What became of each change.
#[must_use]
pub fn applied(all: &[Applied], output: Output) -> String {
    let mut text = String::new();
    for applied in all {
        let (level, word) = match applied.outcome {
            Effect::Done => (Level::Ok, "changed"),
            Effect::Failed => (Level::Fail, "FAILED"),
            Effect::NotTried => (Level::Skip, "not tried"),
        };
        let style = style(level, output);
        let _ = write!(text, "{style}{word}{style:#} {}", printable(&applied.target));
        if let Some(reason) = &applied.reason {
            let _ = write!(text, ": {}", printable(reason));
        }
        if let Some(backup) = &applied.backup {
            let _ = write!(text, " (the old one is kept as {})", printable(backup));
        }
        text.push('\n');
    }
    text + "\n"
}

const fn needs_mending(level: Level) -> bool {
    matches!(level, Level::Warn | Level::Fail | Level::Unknown)
}

/// The level in one word; what fails stands out without colour, too.
const fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
        Level::Unknown => "unknown",
        Level::Skip => "skip",
    }
}

fn style(level: Level, output: Output) -> Style {
    let colour = match level {
        Level::Ok => AnsiColor::Green,
        Level::Info => AnsiColor::Blue,
        Level::Warn => AnsiColor::Yellow,
        Level::Fail => AnsiColor::Red,
        Level::Unknown => AnsiColor::Magenta,
        Level::Skip => return if output.color { Style::new().dimmed() } else { Style::new() },
    };
    if output.color { Style::new().fg_color(Some(colour.into())) } else { Style::new() }
}
