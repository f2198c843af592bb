//! What logs say is wrong, as findings: one that tells what was looked at, and one for each message.

use bytesize::ByteSize;
use serde_json::{Value, json};

use super::figures::counted;
use super::{Finding, Level};
use crate::logs::{LogFile, Message, RECENT, Severity, known};

/// Whose logs are judged.
pub(super) struct Subject<'a> {
    pub(super) id: &'static str,
    /// Its name for people.
    pub(super) who: &'a str,
    /// The files in which its lines are.
    pub(super) files: &'a [&'a LogFile],
    /// What it says that is a warning or worse, the worst first.
    pub(super) messages: &'a [&'a Message],
    /// How many of its lines there are in a file, by severity.
    pub(super) counts: &'a dyn Fn(&LogFile) -> Vec<(Severity, u64)>,
}

/// The most messages that get a finding of their own.
const SHOWN: usize = 10;

/// It is not known what the log says.
pub(super) fn unknown(id: &'static str, why: &str) -> Finding {
    Finding::new(id, Level::Unknown, format!("the log was not read: {why}"))
}

/// What is in the logs.
pub(super) fn judge(subject: &Subject<'_>, gaps: &[String]) -> Vec<Finding> {
    let Subject { id, who, files, messages, .. } = subject;
    let evidence = looked_at(subject);
    let read: Vec<&&LogFile> = files.iter().filter(|file| file.unread.is_none()).collect();
    if read.is_empty() {
        let why = files.iter().find_map(|file| file.unread.clone());
        let why = why.or_else(|| gaps.first().cloned());
        let why =
            why.unwrap_or_else(|| "there is none in /var/log/calico or /var/log/pods".to_owned());
        return vec![
            Finding::new(id, Level::Unknown, format!("no log of {who} was found: {why}"))
                .evidence(evidence),
        ];
    }
    let mut errors: Vec<&&Message> =
        messages.iter().filter(|message| message.severity > Severity::Warning).collect();
    errors.sort_by_key(|message| {
        std::cmp::Reverse((message.recent > 0, message.severity, message.last))
    });
    // How bad each is, its own finding says.
    let level = if errors.is_empty() { Level::Ok } else { Level::Info };
    let mut findings = vec![Finding::new(id, level, overview(subject, &errors)).evidence(evidence)];
    findings.extend(errors.iter().take(SHOWN).map(|message| finding(subject, message)));
    findings
}

/// How bad a message is: what was long ago may well be mended.
fn level(message: &Message) -> Level {
    match (message.recent, message.severity) {
        (0, _) => Level::Info,
        (_, Severity::Fatal | Severity::Panic) => Level::Fail,
        _ => Level::Warn,
    }
}

/// What was looked at.
fn looked_at(subject: &Subject<'_>) -> Value {
    let files = subject.files.iter().take(30).map(|file| {
        json!({
            "path": file.path,
            "bytes": file.bytes,
            "lookedAt": file.looked_at,
            "lines": file.counted.lines,
            "first": file.counted.first,
            "last": file.counted.last,
            "ungrouped": file.counted.ungrouped,
            "unread": file.unread,
        })
    });
    let warnings = subject.messages.iter().filter(|message| message.severity == Severity::Warning);
    let warnings = warnings.take(SHOWN).map(|message| {
        json!({"component": message.component, "message": message.message, "count": message.count, "recent": message.recent, "last": message.last})
    });
    json!({
        "files": files.collect::<Vec<Value>>(),
        "fatal": count(subject, |severity| severity >= Severity::Fatal),
        "errors": count(subject, |severity| severity == Severity::Error),
        "warnings": count(subject, |severity| severity == Severity::Warning),
        "topWarnings": warnings.collect::<Vec<Value>>(),
    })
}

fn count(subject: &Subject<'_>, is_wanted: impl Fn(Severity) -> bool) -> u64 {
    let counts = subject.files.iter().flat_map(|file| (subject.counts)(file));
    counts.filter(|(severity, _)| is_wanted(*severity)).map(|(_, count)| count).sum()
}

fn overview(subject: &Subject<'_>, errors: &[&&Message]) -> String {
    let read = subject.files.iter().filter(|file| file.unread.is_none());
    let (mut bytes, mut looked_at, mut lines, mut number) = (0, 0, 0, 0);
    for file in read {
        number += 1;
        bytes += file.bytes;
        looked_at += file.looked_at;
        lines += file.counted.lines;
    }
    let first = subject.files.iter().filter_map(|file| file.counted.first).min();
    let since = first.map(|first| format!(" since {first:.0}")).unwrap_or_default();
    let files = counted(number, "file", "files");
    let part = if looked_at < bytes {
        format!("the last {} of {}", ByteSize(looked_at), ByteSize(bytes))
    } else {
        ByteSize(bytes).to_string()
    };
    let kinds = errors.len();
    let all: u64 = errors.iter().map(|message| message.count).sum();
    let recent: u64 = errors.iter().map(|message| message.recent).sum();
    let warnings = count(subject, |severity| severity == Severity::Warning);
    let found = match (kinds, recent) {
        (0, _) => "no error".to_owned(),
        (_, 0) => format!("{}, none in the last hour", errors_of(all, kinds)),
        _ => format!("{}, {recent} in the last hour", errors_of(all, kinds)),
    };
    let shown = if kinds > SHOWN { format!(" ({SHOWN} kinds are shown)") } else { String::new() };
    let unread = subject.files.iter().filter(|file| file.unread.is_some()).count();
    let unread = match unread {
        0 => String::new(),
        count => format!("; {} not read", counted(count, "file was", "files were")),
    };
    format!(
        "{found}{shown}, {} in {}{since} ({files}, {part}){unread}",
        counted(warnings, "warning", "warnings"),
        counted(lines, "line", "lines")
    )
}

fn errors_of(all: u64, kinds: usize) -> String {
    match (all, kinds) {
        (1, _) => "1 error".to_owned(),
        (_, 1) => format!("{all} errors of one kind"),
        _ => format!("{all} errors of {kinds} kinds"),
    }
}

fn finding(subject: &Subject<'_>, message: &Message) -> Finding {
    let known = known::find(message);
    let evidence = json!({
        "component": message.component,
        "severity": message.severity.word(),
        "message": message.message,
        "sample": message.sample,
        "source": message.source,
        "count": message.count,
        "recent": message.recent,
        "first": message.first,
        "last": message.last,
        "meaning": known.map(|known| known.meaning),
    });
    let times =
        if message.count == 1 { "once".to_owned() } else { format!("{} times", message.count) };
    let last = message.last.map(|last| format!(", last {last:.0}")).unwrap_or_default();
    let recent = match message.recent {
        0 => String::new(),
        recent => format!(" ({recent} within {} min)", RECENT / 60),
    };
    let sample: String = message.sample.chars().take(200).collect();
    let mut summary = format!("{} {times}{recent}{last}: {sample}", message.severity.word());
    if let Some(known) = known {
        summary = format!("{summary}: {}", known.meaning);
    }
    let finding = Finding::new(subject.id, level(message), summary).evidence(evidence);
    match known {
        Some(known) => finding.remedy(known.mend),
        None => finding,
    }
}
