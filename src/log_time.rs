//! When a line of a log was written, in the forms that a node's logs have.
//!
//! ```text
//! 2026-11-23T02:33:26.123456789Z stdout F ...   a container's log below /var/log/pods (CRI)
//! 2026-11-23 02:33:26.123 [INFO][412] felix/... Felix, confd, the CNI plugin (lib/logrusr/formatter.go)
//! 2026-11-23T02:33:26.12345 bird: ...           /var/log/calico/*/current (svlogd -ttt)
//! 2026-11-23_02:33:26.12345 bird: ...           svlogd -tt
//! ```

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// More than the longest stamp takes, in bytes.
pub const LONGEST: usize = 48;

/// What a line says of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was written; without a zone, as if its clock were set to UTC.
    pub time: Timestamp,
    /// Whether the line names its zone.
    pub has_zone: bool,
}

/// The time with which a line begins; `None`: it begins with none, as the lines of a stack trace do.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Stamp> {
    let (date_time, rest) = line.split_at_checked("2026-11-23T02:33:26".len())?;
    let (date, time) = date_time.split_at_checked("2026-11-23".len())?;
    let (between, time) = time.split_first()?;
    if !b" T_".contains(between) {
        return None;
    }
    let [year, month, day] = numbers(date, b'-')?;
    let [hour, minute, second] = numbers(time, b':')?;
    let (nanosecond, rest) = fraction(rest)?;
    let (offset, rest) = zone(rest)?;
    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    let small = |number: u32| i8::try_from(number).ok();
    let year = i16::try_from(year).ok()?;
    let nanosecond = i32::try_from(nanosecond).ok()?;
    let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
    let clock =
        DateTime::new(year, small(month)?, small(day)?, hour, minute, second, nanosecond).ok()?;
    let time = offset.unwrap_or(Offset::UTC).to_timestamp(clock).ok()?;
    Some(Stamp { time, has_zone: offset.is_some() })
}

/// Three numbers with a byte between them.
fn numbers(text: &[u8], between: u8) -> Option<[u32; 3]> {
    let mut parts = text.split(|byte| *byte == between);
    let numbers = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    parts.next().is_none().then_some(numbers)
}

fn number(digits: &[u8]) -> Option<u32> {
    let is_number =
        !digits.is_empty() && digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

/// The nanoseconds of `.123`, if that follows, and what comes then.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return Some((0, text));
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    let places = u32::try_from(digits.len()).ok()?;
    Some((number(digits)? * 10_u32.pow(9_u32.checked_sub(places)?), rest))
}

/// `Z` or `+02:00`, if that follows, and what comes then.
fn zone(text: &[u8]) -> Option<(Option<Offset>, &[u8])> {
    let sign = match text.first() {
        Some(b'Z') => return Some((Some(Offset::UTC), text.get(1..)?)),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Some((None, text)),
    };
    let (hours, rest) = text.get(1..)?.split_at_checked(2)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, rest) = rest.split_at_checked(2)?;
    let seconds = i32::try_from(number(hours)? * 3600 + number(minutes)? * 60).ok()?;
    Some((Some(Offset::from_seconds(sign * seconds).ok()?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<(String, bool)> {
        parse(line.as_bytes()).map(|stamp| (stamp.time.to_string(), stamp.has_zone))
    }

    #[test]
    fn each_form_is_understood() {
        for (line, time, has_zone) in [
            ("2026-11-23T02:33:26.123456789Z stdout F x", "2026-11-23T02:33:26.123456789Z", true),
            ("2026-11-23T02:33:26.5+02:00 stderr P x", "2026-11-23T00:33:26.5Z", true),
            ("2026-11-23T02:33:26-0130 x", "2026-11-23T04:03:26Z", true),
            (
                "2026-11-23 02:33:26.123 [INFO][412] felix/x.go 1: y",
                "2026-11-23T02:33:26.123Z",
                false,
            ),
            ("2026-11-23T02:33:26.12345 bird: y", "2026-11-23T02:33:26.12345Z", false),
            ("2026-11-23_02:33:26.12345 bird: y", "2026-11-23T02:33:26.12345Z", false),
            ("2026-11-23 02:33:26", "2026-11-23T02:33:26Z", false),
        ] {
            assert_eq!(told(line), Some((time.to_owned(), has_zone)), "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_a_time_is_none() {
        for line in [
            "",
            "goroutine 1 [running]:",
            "I1123 02:33:27.004 1 kubelet.go:2] x",
            "2026-11-23",
            "2026-13-23 02:33:26 x",
            "2026-11-31 02:33:26 x",
            "2026-11-23 25:33:26 x",
            "2026-11-23x02:33:26 x",
            "2026-11-23 02:33:26x",
            "2026-11-23 02:33:26.1234567891 x",
            "2026-11-23 02:33:26. x",
            "2026-11-23 02:33:26+99:00 x",
            "2026-11-23 02:33:26+2",
            "-026-11-23 02:33:26 x",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC{0,60}", cut in 0_usize..60) {
            let stamp = b"2026-11-23T02:33:26.123456789+02:00 x";
            let mixed = [stamp.get(..cut).unwrap_or(stamp), line.as_bytes()].concat();
            let _ = parse(&mixed);
            let _ = parse(line.as_bytes());
        }
    }
}
