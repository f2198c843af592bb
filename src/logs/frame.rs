//! What wraps a line of a log: the container runtime, Docker, svlogd, the journal.
//!
//! ```text
//! 2024-05-01T09:17:48.238123456Z stdout F text           the container runtime (CRI); P: the line goes on
//! {"log":"text\n","stream":"stdout","time":"2024-05-01T09:17:48.238123456Z"}      Docker
//! 2024-05-01T09:17:48.23801 text                         svlogd -ttt (2024-05-01_09:17:48.23801: -tt)
//! @400000006632093a0e2f8a1c text                         svlogd -t (TAI64N)
//! May 01 09:17:48 node-1 calico-node[2211]: text         the journal
//! ```
//!
//! All but the journal's stamps are UTC; the journal's are local time without a year, and are left aside.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Deserialize;

/// A line without what wraps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was written, as whoever wrapped it says.
    pub time: Option<Timestamp>,
    /// Whether the next line of the file goes on with it.
    pub is_partial: bool,
    /// What the program wrote.
    pub text: Cow<'a, [u8]>,
}

/// Takes off what wraps a line.
#[must_use]
pub fn parse(line: &[u8]) -> Frame<'_> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    cri(line)
        .or_else(|| docker(line))
        .or_else(|| svlogd(line))
        .or_else(|| journal(line))
        .unwrap_or(Frame { time: None, is_partial: false, text: Cow::Borrowed(line) })
}

/// The first word, and what follows the blank after it.
fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    // No stamp is longer, and a line may be a megabyte.
    let end = line.iter().take(40).position(|&byte| byte == b' ')?;
    Some((line.get(..end)?, line.get(end + 1..)?))
}

/// `kubernetes/design-proposals-archive/node/kubelet-cri-logging.md`.
fn cri(line: &[u8]) -> Option<Frame<'_>> {
    let (stamp, rest) = word(line)?;
    let (stream, rest) = word(rest)?;
    if !matches!(stream, b"stdout" | b"stderr") {
        return None;
    }
    let time = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    // A last line that is empty ends behind its tag.
    let (tags, text) = word(rest).unwrap_or((rest, b""));
    let is_partial = match tags.first()? {
        b'P' => true,
        b'F' => false,
        _ => return None,
    };
    Some(Frame { time: Some(time), is_partial, text: Cow::Borrowed(text) })
}

fn docker(line: &[u8]) -> Option<Frame<'_>> {
    #[derive(Deserialize)]
    struct Line {
        log: String,
        time: Option<Timestamp>,
    }
    if !line.starts_with(b"{\"log\":") {
        return None;
    }
    let Line { mut log, time } = serde_json::from_slice(line).ok()?;
    // Docker cuts lines at 16 KiB, and only the last piece ends one.
    let is_partial = !log.ends_with('\n');
    if !is_partial {
        log.pop();
    }
    Some(Frame { time, is_partial, text: Cow::Owned(log.into_bytes()) })
}

/// `svlogd(8)`.
fn svlogd(line: &[u8]) -> Option<Frame<'_>> {
    let (stamp, text) = word(line)?;
    let time = match stamp.first()? {
        b'@' => tai64n(stamp.get(1..)?)?,
        b'0'..=b'9' if is_clock(stamp) => clock(stamp)?,
        _ => return None,
    };
    Some(Frame { time: Some(time), is_partial: false, text: Cow::Borrowed(text) })
}

/// Whether it may be a stamp without a zone.
fn is_clock(stamp: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    matches!(stamp.get(10), Some(b'T' | b'_')) && stamp.iter().skip(11).all(is_digit)
}

/// Seconds since 1970 in TAI, counted from 2^62, then nanoseconds: 24 hexadecimal digits. svlogd puts TAI 10 seconds
/// ahead of UTC and knows no leap seconds (`tai.h` of runit).
fn tai64n(digits: &[u8]) -> Option<Timestamp> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 24)?;
    let seconds = u64::from_str_radix(digits.get(..16)?, 16).ok()?;
    let nanoseconds = i32::from_str_radix(digits.get(16..)?, 16).ok()?;
    let seconds = i64::try_from(seconds.checked_sub((1 << 62) + 10)?).ok()?;
    Timestamp::new(seconds, nanoseconds.min(999_999_999)).ok()
}

/// `2024-05-01 09:17:48.238`, with any one byte between date and time and any number of digits at the end, in UTC.
pub(super) fn clock(stamp: &[u8]) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = stamp.get(from..to)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        }
        Some(value)
    };
    let is_formed = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')]
        .iter()
        .all(|(at, byte)| stamp.get(*at) == Some(byte));
    if !is_formed {
        return None;
    }
    let mut nanoseconds = 0;
    if let Some(fraction) = stamp.get(19..).and_then(|rest| rest.strip_prefix(b".")) {
        let mut unit = 100_000_000;
        for digit in fraction.iter().take_while(|byte| byte.is_ascii_digit()).take(9) {
            nanoseconds += i32::from(digit - b'0') * unit;
            unit /= 10;
        }
    }
    let part = |from, to| i8::try_from(number(from, to)?).ok();
    let (month, day) = (part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let time = DateTime::new(number(0, 4)?, month, day, hour, minute, second, nanoseconds).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// `journalctl(1)`, output format `short`.
fn journal(line: &[u8]) -> Option<Frame<'_>> {
    let is_stamp = MONTHS.contains(&line.get(..3)?)
        && line.get(3) == Some(&b' ')
        && line.get(6) == Some(&b' ')
        && line.get(9) == Some(&b':')
        && line.get(12) == Some(&b':')
        && line.get(15) == Some(&b' ');
    if !is_stamp {
        return None;
    }
    let (_, rest) = word(line.get(16..)?)?;
    let end = rest.windows(2).take(80).position(|pair| pair == b": ")?;
    Some(Frame { time: None, is_partial: false, text: Cow::Borrowed(rest.get(end + 2..)?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn every_wrapping_is_taken_off() {
        let rows: [(&[u8], Option<Timestamp>, bool); 9] = [
            (
                b"2024-05-01T09:17:48.238123456Z stdout F text",
                Some(at("2024-05-01T09:17:48.238123456Z")),
                false,
            ),
            (b"2024-05-01T11:17:48+02:00 stderr P text", Some(at("2024-05-01T09:17:48Z")), true),
            (
                br#"{"log":"text\n","stream":"stdout","time":"2024-05-01T09:17:48.2Z"}"#,
                Some(at("2024-05-01T09:17:48.2Z")),
                false,
            ),
            (
                br#"{"log":"text","stream":"stdout","time":"2024-05-01T09:17:48Z"}"#,
                Some(at("2024-05-01T09:17:48Z")),
                true,
            ),
            (b"2024-05-01T09:17:48.23801 text", Some(at("2024-05-01T09:17:48.23801Z")), false),
            (b"2024-05-01_09:17:48.23801 text", Some(at("2024-05-01T09:17:48.23801Z")), false),
            (b"@400000006632093a0e2f8a1c text", Some(at("2024-05-01T09:19:44.237996572Z")), false),
            (b"May 01 09:17:48 node-1 calico-node[2211]: text\r", None, false),
            (b"text", None, false),
        ];
        for (line, time, is_partial) in rows {
            let frame = parse(line);
            let shown = String::from_utf8_lossy(line);
            assert_eq!((frame.time, frame.is_partial), (time, is_partial), "{shown}");
            assert_eq!(frame.text.as_ref(), b"text", "{shown}");
        }
    }

    #[test]
    fn what_only_looks_like_a_wrapping_is_text() {
        for line in [
            "2024-05-01T09:17:48Z nowhere F text",
            "2024-05-01T09:17:48Z stdout X text",
            "2024-13-41T09:17:48Z stdout F text",
            "2024-99-01T09:17:48.1 text",
            "@40000000 text",
            "@zz00000066320a8c0e2f8a1c text",
            "{\"log\":",
            "May 01 text",
            "2024-05-01 09:17:48.238 [INFO][1] felix/a.go 1: text",
            "",
        ] {
            assert_eq!(parse(line.as_bytes()).text.as_ref(), line.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line: Vec<u8>, head in "(@|\\{\"log\":|2024-05-01T09:17:48(Z std(out|err) [FP])?|May 01 09:17:48 )?") {
            let _ = parse(&[head.as_bytes(), &line].concat());
        }
    }
}
