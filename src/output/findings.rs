//! What `calivet check` found, for people: a line for each finding, and below what is not well what mends it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Output, conntrack, printable};
use crate::checks::{CHECKS, Finding, Level, Report};
use crate::cli::Format;
use crate::fix::{Applied, Effect, Step};

/// In less room than this a column of words is harder to read than lines that the terminal breaks.
const NARROW: usize = 30;

/// So many findings of one kind are told one by one even where all is well.
const FEW: usize = 3;

/// The findings, a line each, then how many there are of each level; where there are `several` checks, each beneath a
/// heading of its own. What is well with many (fifty peers) is one line, unless it is asked for wide; in short, only
/// what is not well stands there.
#[must_use]
pub fn render(report: &Report, several: bool, output: Output) -> String {
    let mut text = String::new();
    let is_short = output.format == Format::Short;
    let is_shown = |finding: &&Finding| !is_short || needs_mending(finding);
    let shown: Vec<&Finding> = report.findings.iter().filter(is_shown).collect();
    let width = shown.iter().map(|finding| finding.id.len()).max().unwrap_or(0);
    let mut told = BTreeSet::new();
    let mut check = "";
    for (index, finding) in shown.iter().copied().enumerate() {
        if several && !is_short && finding.check != check {
            heading(&mut text, finding.check, output);
            check = finding.check;
        }
        let alike = |other: &&Finding| other.id == finding.id && other.level == Level::Ok;
        let many = report.findings.iter().filter(alike).count();
        if finding.level == Level::Ok && many > FEW && output.format != Format::Wide {
            if told.insert(finding.id) {
                let all = report.findings.iter().filter(|other| other.id == finding.id).count();
                let what = if many == all { "all" } else { "the other" };
                let sentence = format!("{what} {many} are well (-o wide shows each)");
                line(&mut text, finding, &sentence, width, output);
            }
            continue;
        }
        line(&mut text, finding, &printable(&finding.summary), width, output);
        text.push_str(&conntrack::below(finding));
        if output.format == Format::Wide {
            evidence(&mut text, finding, output);
        }
        // What mends several in a row is told once, below the last of them.
        let next = shown.get(index + 1).filter(|next| needs_mending(next));
        if next.is_some_and(|next| next.id == finding.id && next.remedy == finding.remedy) {
            continue;
        }
        for line in finding.remedy.iter().filter(|_| needs_mending(finding)) {
            remedy(&mut text, &printable(line), output);
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
    let mut counted: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, level)| format!("{count} {}", word(*level)))
        .collect();
    if summary.suppressed > 0 {
        counted.push(format!("{} suppressed", summary.suppressed));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "{}", counted.join(", "));
    text
}

/// What is said while `--wait` looks again: what is not well yet.
#[must_use]
pub fn waiting(report: &Report) -> String {
    let ids: BTreeSet<&str> =
        report.findings.iter().filter(|it| needs_mending(it)).map(|finding| finding.id).collect();
    format!("waiting for {}", ids.into_iter().collect::<Vec<_>>().join(", "))
}

/// What a check looks at, above its findings.
fn heading(text: &mut String, name: &str, output: Output) {
    let about = CHECKS.iter().find(|check| check.name == name).map_or(name, |check| check.about);
    let style = if output.color { Style::new().bold() } else { Style::new() };
    let gap = if text.is_empty() { "" } else { "\n" };
    let sentence = format!("{name}: {about}");
    let lines = output.columns.map_or_else(
        || vec![sentence.as_str().into()],
        |columns| textwrap::wrap(&sentence, columns.max(NARROW)),
    );
    let _ = writeln!(text, "{gap}{style}{}{style:#}", lines.join("\n"));
}

/// Level, id and a sentence, which on a terminal is broken between words and stays in its column.
fn line(text: &mut String, finding: &Finding, sentence: &str, width: usize, output: Output) {
    let style = style(finding.level, output);
    let _ = write!(text, "{style}{:<7}{style:#}  {:<width$}  ", word(finding.level), finding.id);
    let accepted = finding.suppressed.as_ref().map(|suppressed| {
        let reason = printable(&suppressed.reason);
        format!("{sentence} (accepted until {}: {reason})", suppressed.until)
    });
    let sentence = accepted.as_deref().unwrap_or(sentence);
    let indent = 7 + 2 + width + 2;
    let room = output.columns.map_or(0, |columns| columns.saturating_sub(indent));
    if room < NARROW {
        let _ = writeln!(text, "{sentence}");
        return;
    }
    let lines = textwrap::wrap(sentence, between_words(room));
    let _ = writeln!(text, "{}", lines.join(&format!("\n{:indent$}", "")));
}

/// Addresses, paths and names are copied: none is broken.
fn between_words<'a>(room: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(room)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// What mends a finding. A sentence is broken between words; a command stays a line, so that it can be copied.
fn remedy(text: &mut String, line: &str, output: Output) {
    let is_sentence = [", ", ". ", " ("].iter().any(|mark| line.contains(mark));
    let cyan = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    let style = if output.color { cyan } else { Style::new() };
    indented(text, line, is_sentence, style, output);
}

/// A line below a finding, on a terminal broken between words if it may be.
fn indented(text: &mut String, line: &str, may_be_broken: bool, style: Style, output: Output) {
    const INDENT: &str = "           ";
    let room = output.columns.filter(|columns| may_be_broken && *columns > INDENT.len() + NARROW);
    let lines = room.map_or_else(
        || vec![line.into()],
        |columns| {
            let room = columns - INDENT.len();
            textwrap::wrap(line, between_words(room).subsequent_indent("  "))
        },
    );
    for line in lines {
        let _ = writeln!(text, "{INDENT}{style}{line}{style:#}");
    }
}

/// What a finding rests on, a line for each fact.
fn evidence(text: &mut String, finding: &Finding, output: Output) {
    // Shown as lists already.
    let facts = finding.evidence.iter().filter(|(name, _)| *name != "top");
    for (name, value) in facts {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        indented(text, &format!("{name}: {}", printable(&value)), true, Style::new(), output);
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

const fn needs_mending(finding: &Finding) -> bool {
    matches!(finding.level, Level::Warn | Level::Fail | Level::Unknown)
        && finding.suppressed.is_none()
}

/// The level in one word; what fails stands out without colour, too.
pub(super) const fn word(level: Level) -> &'static str {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(levels: &[Level]) -> Report {
        let finding = |(number, level): (usize, &Level)| {
            let summary = format!(
                "10.0.0.{number} (Mesh_10_0_0_{number}) is as it is and will be so for long"
            );
            Finding::new("bgp.peer", *level, summary).remedy("ip route get 10.0.0.1 from 10.0.0.2")
        };
        let findings = levels.iter().enumerate().map(finding).collect();
        Report::new(None, jiff::Timestamp::UNIX_EPOCH, findings)
    }

    fn shown(report: &Report, format: Format, columns: Option<usize>) -> String {
        render(report, false, Output { format, color: false, quiet: false, columns })
    }

    #[test]
    fn what_is_well_with_many_is_one_line_and_what_is_not_stands_alone() {
        let report = report(&[Level::Ok, Level::Fail, Level::Ok, Level::Ok, Level::Ok]);
        let text = shown(&report, Format::Table, None);
        let [well, failed, mend, empty, counts] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert_eq!(well, "ok       bgp.peer  the other 4 are well (-o wide shows each)");
        assert!(failed.starts_with("FAIL     bgp.peer  10.0.0.1 (Mesh"), "{failed}");
        assert_eq!(mend.trim(), "ip route get 10.0.0.1 from 10.0.0.2");
        assert_eq!((empty, counts), ("", "1 FAIL, 4 ok"));
        assert_eq!(shown(&report, Format::Wide, None).matches("is as it is").count(), 5);
    }

    #[test]
    fn few_that_are_well_are_told_one_by_one() {
        let text = shown(&report(&[Level::Ok; FEW]), Format::Table, None);
        assert_eq!(text.matches("is as it is").count(), FEW);
        let text = shown(&report(&[Level::Ok; FEW + 1]), Format::Table, None);
        assert!(text.contains("all 4 are well"), "{text}");
    }

    #[test]
    fn a_sentence_stays_in_its_column_and_what_is_copied_is_not_broken() {
        let report = report(&[Level::Fail]);
        let text = shown(&report, Format::Table, Some(60));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "FAIL     bgp.peer  10.0.0.0 (Mesh_10_0_0_0) is as it is and");
        assert_eq!(lines[1], "                   will be so for long");
        assert_eq!(lines[2], "           ip route get 10.0.0.1 from 10.0.0.2");
        // A pipe and a terminal too narrow for a column get one line.
        for columns in [None, Some(40)] {
            assert!(
                shown(&report, Format::Table, columns)
                    .lines()
                    .next()
                    .unwrap()
                    .ends_with("for long")
            );
        }
    }

    #[test]
    fn what_mends_several_is_told_once_and_a_sentence_is_broken_between_words() {
        let report = report(&[Level::Fail, Level::Fail]);
        let text = shown(&report, Format::Short, None);
        assert_eq!(text.matches("ip route get").count(), 1, "{text}");
        assert!(text.lines().nth(2).unwrap().contains("ip route get"), "{text}");
        let mut text = String::new();
        let output =
            Output { format: Format::Table, color: false, quiet: false, columns: Some(50) };
        remedy(&mut text, "write the file, then have it be read by who reads it", output);
        let expected =
            "           write the file, then have it be read by\n             who reads it\n";
        assert_eq!(text, expected);
    }
}
