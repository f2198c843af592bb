//! `[.config] enable=`: on which version or environment a file counts (`nm_match_spec_config`).
//!
//! ```text
//! enable=nm-version-min:1.3,nm-version:1.2.6,except:env:TAG
//! ```

use super::super::device_spec;
use super::Daemon;

/// Whether a condition holds; `None` if it depends on what is not known.
pub(super) fn holds(value: &[u8], daemon: &Daemon) -> Option<bool> {
    let mut has = [false, false];
    let mut found = [Some(false), Some(false)];
    for spec in device_spec::split(value) {
        let (is_except, spec) = match strip(&spec, b"except:") {
            Some(rest) => (1, rest.to_vec()),
            None => (0, spec),
        };
        has[is_except] = true;
        found[is_except] = match (found[is_except], is_met(&spec, daemon)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        };
    }
    let [positive, except] = found;
    let is_only_except = has[1] && !has[0];
    match except {
        Some(true) => Some(false),
        Some(false) if is_only_except => Some(true),
        Some(false) => positive,
        None if !is_only_except && positive == Some(false) => Some(false),
        None => None,
    }
}

fn strip<'a>(text: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(tag.len())?;
    head.eq_ignore_ascii_case(tag).then_some(rest)
}

/// What a version is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Exactly,
    AtLeast,
    AtMost,
}

fn is_met(spec: &[u8], daemon: &Daemon) -> Option<bool> {
    if let Some(tag) = strip(spec, b"env:") {
        return daemon.tag.as_ref().map(|known| !known.is_empty() && known.as_bytes() == tag);
    }
    for (tag, bound) in [
        (b"nm-version:".as_slice(), Bound::Exactly),
        (b"nm-version-min:", Bound::AtLeast),
        (b"nm-version-max:", Bound::AtMost),
    ] {
        if let Some(wanted) = strip(spec, tag) {
            let Some(wanted) = version(wanted) else { return Some(false) };
            return daemon.version.map(|known| compare(known, &wanted, bound));
        }
    }
    Some(false)
}

/// One to three numbers. The first may be large, the others are bytes.
fn version(text: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let limit = |index| if index == 0 { 0xffff } else { 0xff };
    let numbers: Option<Vec<u32>> = text
        .split('.')
        .enumerate()
        .map(|(index, number)| {
            let is_number =
                !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
            let number = if is_number { number.parse().ok() } else { None };
            number.filter(|number| *number <= limit(index))
        })
        .collect();
    numbers.filter(|numbers| numbers.len() <= 3)
}

/// The last number that is given is compared as asked; those before it must be the same, also for a bound.
fn compare(known: [u32; 3], wanted: &[u32], bound: Bound) -> bool {
    let is_last = |index| index + 1 == wanted.len();
    wanted.iter().zip(known).enumerate().all(|(index, (wanted, known))| match bound {
        Bound::AtLeast if is_last(index) => known >= *wanted,
        Bound::AtMost if is_last(index) => known <= *wanted,
        _ => known == *wanted,
    })
}
