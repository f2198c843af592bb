//! One line of a log as its program wrote it.
//!
//! ```text
//! 2024-05-01 09:17:48.238 [WARNING][85] felix/int_dataplane.go 1234: text       Calico's Go programs (`lib/logrusr`)
//! time="2024-05-01T09:17:48Z" level=error msg="text" source="resource.go 12"    the same before they have set it up
//! E0501 09:17:48.238123      85 reflector.go:138] text                          client-go (klog)
//! panic: text                                                                   Go itself
//! bird: Mesh_10_0_0_2: Error: Hold timer expired                                BIRD in calico-node
//! 2024-05-01 09:17:48 <ERR> text                                                BIRD with a file of its own
//! ```

use jiff::Timestamp;

use super::Severity;
use super::frame::clock;

/// What a line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written; a clock without a zone is taken for UTC, which is what containers keep.
    pub time: Option<Timestamp>,
    /// How bad it is; `None` where that is not told, as in the lines of a stack.
    pub severity: Option<Severity>,
    /// Who wrote it, where the line says so.
    pub component: Option<&'a str>,
    /// The file and line of its code.
    pub source: Option<&'a str>,
    /// The rest.
    pub text: &'a str,
}

/// Reads a line.
#[must_use]
pub fn parse(line: &str) -> Line<'_> {
    go(line)
        .or_else(|| bird(line))
        .or_else(|| klog(line))
        .or_else(|| logrus(line))
        .or_else(|| runtime(line))
        .unwrap_or(Line { text: line, ..Line::default() })
}

/// Date, time, `[LEVEL][PID]`, source, text.
fn go(line: &str) -> Option<Line<'_>> {
    let (stamp, rest) = stamped(line)?;
    let (severity, rest) = rest.strip_prefix('[')?.split_once("][")?;
    let severity = Severity::of(severity)?;
    let (_, rest) = rest.split_once("] ")?;
    let (component, source, text) = source(rest);
    Some(Line { time: clock(stamp), severity: Some(severity), component, source, text })
}

/// `felix/int_dataplane.go 1234: text`; older versions name no component.
fn source(rest: &str) -> (Option<&str>, Option<&str>, &str) {
    let Some((source, text)) = rest.split_once(": ") else { return (None, None, rest) };
    let is_source = source.len() < 200
        && source.split_once(".go ").is_some_and(|(file, number)| {
            !file.contains(' ') && number.bytes().all(|byte| byte.is_ascii_digit())
        });
    if !is_source {
        return (None, None, rest);
    }
    match source.split_once('/') {
        Some((component, source)) if is_component(component) => {
            (Some(component), Some(source), text)
        }
        _ => (None, Some(source), text),
    }
}

fn is_component(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 40
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A date and a time, and what follows.
fn stamped(line: &str) -> Option<(&[u8], &str)> {
    // A look at one byte spares the rest for most lines that are none.
    if !line.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let stamp = line.as_bytes().get(..date.len() + 1 + time.len())?;
    let is_stamp = date.len() == 10 && (8..=18).contains(&time.len()) && clock(stamp).is_some();
    is_stamp.then_some((stamp, rest))
}

/// BIRD's classes (`sysdep/unix/log.c`).
const CLASSES: [(&str, Severity); 10] = [
    ("<DBG> ", Severity::Debug),
    ("<TRACE> ", Severity::Debug),
    ("<INFO> ", Severity::Info),
    ("<RMT> ", Severity::Warning),
    ("<WARN> ", Severity::Warning),
    ("<ERR> ", Severity::Error),
    ("<AUTH> ", Severity::Error),
    ("<FATAL> ", Severity::Fatal),
    ("<BUG> ", Severity::Fatal),
    ("<?> ", Severity::Info),
];

/// What tells how bad a line of BIRD's is that names no class, as with `-d`: the first that stands in it.
const WORDS: [(&str, Severity); 11] = [
    ("Bug in ", Severity::Fatal),
    ("Error: ", Severity::Error),
    ("Unable to ", Severity::Error),
    ("Cannot ", Severity::Error),
    ("syntax error", Severity::Error),
    ("bind: ", Severity::Error),
    ("Invalid ", Severity::Error),
    ("failed", Severity::Error),
    ("Received: ", Severity::Warning),
    ("strange", Severity::Warning),
    ("KRT: ", Severity::Warning),
];

fn bird(line: &str) -> Option<Line<'_>> {
    if let Some((component @ ("bird" | "bird6"), text)) = line.split_once(": ") {
        let (severity, text) = classed(text).unwrap_or_else(|| {
            let word = WORDS.iter().find(|(word, _)| text.contains(word));
            (word.map_or(Severity::Info, |(_, severity)| *severity), text)
        });
        let component = Some(component);
        return Some(Line { severity: Some(severity), component, text, ..Line::default() });
    }
    let (stamp, rest) = stamped(line)?;
    let (severity, text) = classed(rest)?;
    let (severity, component) = (Some(severity), Some("bird"));
    Some(Line { time: clock(stamp), severity, component, source: None, text })
}

fn classed(text: &str) -> Option<(Severity, &str)> {
    CLASSES.iter().find_map(|(class, severity)| Some((*severity, text.strip_prefix(class)?)))
}

/// `E0501 09:17:48.238123      85 reflector.go:138] text`. The year is not told: the wrapping may know.
fn klog(line: &str) -> Option<Line<'_>> {
    let severity = match line.as_bytes().first()? {
        b'I' => Severity::Info,
        b'W' => Severity::Warning,
        b'E' => Severity::Error,
        b'F' => Severity::Fatal,
        _ => return None,
    };
    let digits = line.as_bytes().get(1..5)?;
    if !digits.iter().all(u8::is_ascii_digit) || line.as_bytes().get(5) != Some(&b' ') {
        return None;
    }
    let (head, text) = line.split_once("] ")?;
    let source = head.rsplit(' ').next().filter(|source| source.contains(".go:"))?;
    Some(Line { severity: Some(severity), source: Some(source), text, ..Line::default() })
}

/// `time="..." level=... msg="..."`.
fn logrus(line: &str) -> Option<Line<'_>> {
    let (time, rest) = line.strip_prefix("time=\"")?.split_once("\" level=")?;
    let (severity, text) = rest.split_once(' ')?;
    let severity = Severity::of(severity)?;
    let text = text.strip_prefix("msg=").unwrap_or(text);
    Some(Line { time: time.parse().ok(), severity: Some(severity), text, ..Line::default() })
}

/// What the Go runtime writes when a program dies.
fn runtime(line: &str) -> Option<Line<'_>> {
    let is_end = ["panic: ", "fatal error: "].iter().any(|head| line.starts_with(head));
    is_end.then(|| Line { severity: Some(Severity::Panic), text: line, ..Line::default() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn is(
        line: &str,
        severity: Severity,
        component: Option<&str>,
        source: Option<&str>,
        text: &str,
    ) {
        let parsed = parse(line);
        assert_eq!(
            (parsed.severity, parsed.component, parsed.source, parsed.text),
            (Some(severity), component, source, text),
            "{line}"
        );
    }

    #[test]
    fn every_program_of_calicos_is_read() {
        is(
            "2024-05-01 09:17:48.238 [WARNING][85] felix/int_dataplane.go 1234: Failed: a: b error=x",
            Severity::Warning,
            Some("felix"),
            Some("int_dataplane.go 1234"),
            "Failed: a: b error=x",
        );
        is(
            "2017-01-05 09:17:48.238 [INFO][85386] endpoint_mgr.go 434: Skipping",
            Severity::Info,
            None,
            Some("endpoint_mgr.go 434"),
            "Skipping",
        );
        is(
            "2024-05-01 09:17:48.238 [PANIC][85] tunnel-ip-allocator/x.go 1: text",
            Severity::Panic,
            Some("tunnel-ip-allocator"),
            Some("x.go 1"),
            "text",
        );
        is(
            "2024-05-01 09:17:48.238 [ERROR][8] no source",
            Severity::Error,
            None,
            None,
            "no source",
        );
        is(
            "time=\"2024-05-01T09:17:48Z\" level=error msg=\"text\" source=\"a.go 12\"",
            Severity::Error,
            None,
            None,
            "\"text\" source=\"a.go 12\"",
        );
        is(
            "E0501 09:17:48.238123      85 reflector.go:138] pkg/mod: Failed to watch",
            Severity::Error,
            None,
            Some("reflector.go:138"),
            "pkg/mod: Failed to watch",
        );
        is("panic: runtime error: x", Severity::Panic, None, None, "panic: runtime error: x");
        let parsed = parse("2024-05-01 09:17:48.238 [WARNING][85] felix/a.go 1: text");
        assert_eq!(parsed.time, Some("2024-05-01T09:17:48.238Z".parse().unwrap()));
    }

    #[test]
    fn bird_is_read_with_and_without_a_class() {
        let error = "Mesh_10_0_0_2: Error: Hold timer expired";
        is(&format!("bird: {error}"), Severity::Error, Some("bird"), None, error);
        let error = "bind: Address already in use";
        is(&format!("bird6: {error}"), Severity::Error, Some("bird6"), None, error);
        let note = "Mesh_10_0_0_2: Received: Administrative shutdown";
        is(&format!("bird: {note}"), Severity::Warning, Some("bird"), None, note);
        is(
            "bird: Graceful restart done",
            Severity::Info,
            Some("bird"),
            None,
            "Graceful restart done",
        );
        is("bird: <WARN> text", Severity::Warning, Some("bird"), None, "text");
        is("2024-05-01 09:17:48 <ERR> text", Severity::Error, Some("bird"), None, "text");
    }

    #[test]
    fn what_says_no_severity_has_none() {
        for line in [
            "",
            "goroutine 1 [running]:",
            "2024-05-01 09:17:48.238 text",
            "2024-05-01 09:17:48.238 [LOUD][8] felix/a.go 1: text",
            "E05 text",
            "bird text: x",
            "2024-99-01 09:17:48 <ERR> text",
        ] {
            assert_eq!(parse(line), Line { text: line, ..Line::default() });
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: String, head in "(2024-05-01 09:17:48.238 (\\[INFO\\]\\[1\\] )?|E0501 |time=\"|bird: )?") {
            let _ = parse(&format!("{head}{line}"));
        }
    }
}
