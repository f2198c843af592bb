//! What `calivet check` found as `JUnit`'s XML, which continuous integration reads.
//!
//! ```xml
//! <testsuites name="calivet" tests="2" failures="1" errors="0" skipped="0">
//!   <testsuite name="bgp" tests="2" failures="1" errors="0" skipped="0" timestamp="2026-11-23T02:33:26Z" hostname="node-1">
//!     <testcase classname="bgp" name="bgp.daemon: BIRD answers"/>
//!     <testcase classname="bgp" name="bgp.peer: 10.0.0.3 ...">
//!       <failure type="fail" message="10.0.0.3 ...">what mends it</failure>
//!     </testcase>
//!   </testsuite>
//! </testsuites>
//! ```
//!
//! `fail` is a failure, `unknown` an error, `skip` and what is accepted are skipped; a warning passes and is told in the
//! case's output.

use anyhow::Context;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use super::printable;
use crate::checks::{Finding, Level, Report};

/// The whole document.
///
/// # Errors
/// It cannot be written, which memory always can.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    write(&mut writer, report).context("failed to write XML")?;
    let mut text = String::from_utf8(writer.into_inner()).context("failed to write XML")?;
    text.push('\n');
    Ok(text)
}

fn write(writer: &mut Writer<Vec<u8>>, report: &Report) -> std::io::Result<()> {
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all: Vec<&Finding> = report.findings.iter().collect();
    let suites = counted(BytesStart::new("testsuites"), "calivet", &all);
    writer.write_event(Event::Start(suites))?;
    for findings in report.findings.chunk_by(|one, other| one.check == other.check) {
        let Some(first) = findings.first() else { continue };
        let mut suite = counted(
            BytesStart::new("testsuite"),
            first.check,
            &findings.iter().collect::<Vec<_>>(),
        );
        suite.push_attribute(("timestamp", format!("{:.0}", report.time).as_str()));
        if let Some(node) = &report.node {
            suite.push_attribute(("hostname", shown(node).as_str()));
        }
        writer.write_event(Event::Start(suite))?;
        for finding in findings {
            case(writer, finding)?;
        }
        writer.write_event(Event::End(BytesEnd::new("testsuite")))?;
    }
    writer.write_event(Event::End(BytesEnd::new("testsuites")))
}

fn counted<'a>(mut element: BytesStart<'a>, name: &str, findings: &[&Finding]) -> BytesStart<'a> {
    let of = |kind: Kind| findings.iter().filter(|finding| kind_of(finding) == kind).count();
    element.push_attribute(("name", name));
    for (name, count) in [
        ("tests", findings.len()),
        ("failures", of(Kind::Failure)),
        ("errors", of(Kind::Error)),
        ("skipped", of(Kind::Skipped)),
    ] {
        element.push_attribute((name, count.to_string().as_str()));
    }
    element
}

/// What `JUnit` has for a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Told,
    Failure,
    Error,
    Skipped,
}

const fn kind_of(finding: &Finding) -> Kind {
    match finding.level {
        _ if finding.suppressed.is_some() => Kind::Skipped,
        Level::Ok => Kind::Passed,
        Level::Info | Level::Warn => Kind::Told,
        Level::Fail => Kind::Failure,
        Level::Unknown => Kind::Error,
        Level::Skip => Kind::Skipped,
    }
}

fn case(writer: &mut Writer<Vec<u8>>, finding: &Finding) -> std::io::Result<()> {
    let summary = shown(&finding.summary);
    let mut case = BytesStart::new("testcase");
    case.push_attribute(("classname", finding.check));
    case.push_attribute(("name", format!("{}: {summary}", finding.id).as_str()));
    let element = match kind_of(finding) {
        Kind::Passed => return writer.write_event(Event::Empty(case)),
        Kind::Told => "system-out",
        Kind::Failure => "failure",
        Kind::Error => "error",
        Kind::Skipped => "skipped",
    };
    let remedy = finding.remedy.iter().map(|line| shown(line)).collect::<Vec<_>>().join("\n");
    let mut outcome = BytesStart::new(element);
    let text = if element == "system-out" {
        format!("{}: {summary}\n{remedy}", finding.level.name())
    } else {
        let accepted = finding.suppressed.as_ref();
        let accepted = accepted.map(|it| format!("accepted until {}: {}", it.until, it.reason));
        outcome.push_attribute(("message", accepted.map_or(summary, |it| shown(&it)).as_str()));
        if element != "skipped" {
            outcome.push_attribute(("type", finding.level.name()));
        }
        remedy
    };
    writer.write_event(Event::Start(case))?;
    writer.write_event(Event::Start(outcome))?;
    writer.write_event(Event::Text(BytesText::new(text.trim_end())))?;
    writer.write_event(Event::End(BytesEnd::new(element)))?;
    writer.write_event(Event::End(BytesEnd::new("testcase")))
}

/// XML has no way to write most control characters at all, nor U+FFFE and U+FFFF.
fn shown(text: &str) -> String {
    printable(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::suppressions::Suppressed;

    #[test]
    fn each_level_has_its_element_and_nothing_of_the_node_is_markup() {
        let finding = |level| {
            Finding::new("bgp.peer", level, "a <b> & \"c\" \u{1b}[1m\u{0}").remedy("mend ]]> it")
        };
        let mut findings: Vec<Finding> =
            [Level::Ok, Level::Info, Level::Warn, Level::Fail, Level::Unknown, Level::Skip]
                .map(finding)
                .to_vec();
        let mut accepted = finding(Level::Fail);
        accepted.suppressed =
            Some(Suppressed { reason: "<known>".to_owned(), until: "2027-01-31".parse().unwrap() });
        findings.push(accepted);
        let report = Report::new(Some("n\"1".to_owned()), jiff::Timestamp::UNIX_EPOCH, findings);
        let text = render(&report).unwrap();
        assert!(text.contains("tests=\"7\" failures=\"1\" errors=\"1\" skipped=\"2\""), "{text}");
        assert!(text.contains("hostname=\"n&quot;1\""), "{text}");
        assert!(!text.contains("<b>") && !text.contains("<known>"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{0}'), "{text}");
        assert!(text.contains("accepted until 2027-01-31: &lt;known&gt;"), "{text}");
        // It is well-formed: a reader comes to its end.
        let mut reader = quick_xml::Reader::from_str(&text);
        let mut depth = 0;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(_) => depth += 1,
                Event::End(_) => depth -= 1,
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
    }
}
