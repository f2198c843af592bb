//! What `calivet check` found, for people: a line for each finding, and below what is not well what mends it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use super::lines::{command, fill, hanging};
use super::{Output, conntrack, printable};
use crate::checks::{CHECKS, Finding, Level, Report};
use crate::cli::Format;
use crate::fix::{Applied, Effect, Step};

/// What stands below a finding begins here.
const INDENT: &str = "           ";

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
        text.push_str(&fill(&conntrack::below(finding), output.columns));
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
    let mut counted: Vec<String> = summary
        .counts()
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, level)| format!("{count} {}", word(level)))
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
    let _ = writeln!(text, "{gap}{style}{}{style:#}", hanging(&sentence, 0, 0, output.columns));
}

/// Level, id and a sentence, which on a terminal is broken between words and stays in its column.
fn line(text: &mut String, finding: &Finding, sentence: &str, width: usize, output: Output) {
    let style = style(finding.level, output);
    let word = word(finding.level);
    let _ = write!(text, "{style}{word}{style:#}{:1$}", "", 9 - word.len());
    let _ = write!(text, "{:<width$}  ", finding.id);
    let accepted = finding.suppressed.as_ref().map(|suppressed| {
        let reason = printable(&suppressed.reason);
        format!("{sentence} (accepted until {}: {reason})", suppressed.until)
    });
    let sentence = accepted.as_deref().unwrap_or(sentence);
    let indent = 7 + 2 + width + 2;
    let _ = writeln!(text, "{}", hanging(sentence, indent, indent, output.columns));
}

/// What mends a finding. A sentence is broken between words, a command as a shell allows: it is copied.
fn remedy(text: &mut String, line: &str, output: Output) {
    let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    let begin = INDENT.len();
    let line = if has(&["   ", " # "]) {
        command(line, begin, output.columns)
    } else if has(&[", ", ". ", " (", ": "]) {
        hanging(line, begin, begin + 2, output.columns)
    } else if has(&[" -"]) {
        command(line, begin, output.columns)
    } else {
        line.into()
    };
    let style = if output.color { Style::new().bold() } else { Style::new() };
    let _ = writeln!(text, "{INDENT}{style}{line}{style:#}");
}

/// What a finding rests on, a line for each fact.
fn evidence(text: &mut String, finding: &Finding, output: Output) {
    // Shown as lists already.
    for (name, value) in finding.evidence.iter().filter(|(name, _)| *name != "top") {
        fact(text, "", name, value, output);
    }
}

/// A fact behind its margin. Facts of which it is made stand below it, as in YAML.
fn fact(text: &mut String, margin: &str, name: &str, value: &Value, output: Output) {
    let below = " ".repeat(margin.len() + 2);
    let mut line = |told: &str| {
        let line = format!("{margin}{name}:{}{told}", if told.is_empty() { "" } else { " " });
        let begin = INDENT.len();
        let _ = writeln!(
            text,
            "{INDENT}{}",
            hanging(&printable(&line), begin, begin + below.len(), output.columns)
        );
    };
    match value {
        Value::Object(facts) if !facts.is_empty() => {
            line("");
            for (name, value) in facts {
                fact(text, &below, name, value, output);
            }
        }
        Value::Array(rows) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
            line("");
            for row in rows {
                let mut margin = format!("{below}- ");
                for (name, value) in row.as_object().into_iter().flatten() {
                    fact(text, &margin, name, value, output);
                    margin = format!("{below}  ");
                }
            }
        }
        Value::Array(values) if !values.is_empty() => {
            line(&values.iter().map(told).collect::<Vec<_>>().join(", "));
        }
        value => line(&told(value)),
    }
}

fn told(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
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
        let mut told = applied.target.clone();
        if let Some(reason) = &applied.reason {
            let _ = write!(told, ": {reason}");
        }
        if let Some(backup) = &applied.backup {
            let _ = write!(told, " (the old one is kept as {backup})");
        }
        let told = printable(&told);
        let told = hanging(&told, word.len() + 1, 2, output.columns);
        let _ = writeln!(text, "{style}{word}{style:#} {told}");
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

/// What is to be seen at once has a ground of its own: yellow letters cannot be read on white, nor red ones on black.
fn style(level: Level, output: Output) -> Style {
    let on = |ground: AnsiColor, letters: AnsiColor| {
        Style::new().fg_color(Some(letters.into())).bg_color(Some(ground.into()))
    };
    match level {
        _ if !output.color => Style::new(),
        Level::Ok => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Level::Info => Style::new(),
        Level::Warn => on(AnsiColor::Yellow, AnsiColor::Black),
        Level::Fail => on(AnsiColor::Red, AnsiColor::BrightWhite),
        Level::Unknown => on(AnsiColor::Magenta, AnsiColor::BrightWhite),
        Level::Skip => Style::new().dimmed(),
    }
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
        let piped = shown(&report, Format::Table, None);
        assert!(piped.lines().next().unwrap().ends_with("for long"), "{piped}");
    }

    #[test]
    fn evidence_is_a_fact_a_line_and_what_it_is_made_of_stands_below_it() {
        let evidence = serde_json::json!({
            "peer": {"name": "a", "port": null}, "links": ["x", "y"], "none": [],
            "rules": [{"chain": "OUTPUT", "packets": 15}, {"chain": "INPUT", "packets": 1}],
        });
        let finding = Finding::new("bgp.peer", Level::Fail, "it is down").evidence(evidence);
        let report = Report::new(None, jiff::Timestamp::UNIX_EPOCH, vec![finding]);
        let text = shown(&report, Format::Wide, None);
        let lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(INDENT)).collect();
        assert_eq!(
            lines,
            [
                "links: x, y",
                "none: []",
                "peer:",
                "  name: a",
                "  port: null",
                "rules:",
                "  - chain: OUTPUT",
                "    packets: 15",
                "  - chain: INPUT",
                "    packets: 1"
            ]
        );
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
