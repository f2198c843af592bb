//! Patterns of paths, as glob(3) understands them.

use regex::bytes::Regex;

/// A pattern that has been understood; one that cannot be matches nothing.
pub(super) struct Pattern(Option<Regex>);

impl Pattern {
    pub(super) fn matches(&self, key: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(key.as_bytes()))
    }
}

/// A pattern of paths: `*`, `?` and `[...]` match within one component. Like glob(3), which opens one folder after
/// the other, it does not mind empty components.
pub(super) fn path(pattern: &str) -> Pattern {
    translate(&super::canonical(pattern), false)
}

/// The same with `{this,that}` (`GLOB_BRACE`).
pub(super) fn path_with_braces(pattern: &str) -> Pattern {
    translate(pattern, true)
}

/// A longer pattern is nobody's wish.
const LONGEST: usize = 1000;

fn translate(pattern: &str, has_braces: bool) -> Pattern {
    if pattern.len() > LONGEST {
        return Pattern(None);
    }
    let mut regex = String::from("(?s-u)\\A(?:");
    let mut open = 0;
    let bytes = pattern.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'*' => regex.push_str("[^/]*"),
            b'?' => regex.push_str("[^/]"),
            b'[' => match class(&bytes[at..]) {
                Some((length, class)) => {
                    regex.push_str(&class);
                    at += length;
                }
                None => literal(&mut regex, b'['),
            },
            b'\\' if at < bytes.len() => {
                literal(&mut regex, bytes[at]);
                at += 1;
            }
            b'{' if has_braces && closes(&bytes[at..]) => {
                regex.push_str("(?:");
                open += 1;
            }
            b'}' if open > 0 => {
                regex.push(')');
                open -= 1;
            }
            b',' if open > 0 => regex.push('|'),
            _ => literal(&mut regex, *byte),
        }
    }
    regex.push_str(")\\z");
    Pattern(Regex::new(&regex).ok())
}

/// Whether a brace that was opened is closed, and not at once.
fn closes(rest: &[u8]) -> bool {
    let mut depth = 1;
    for (index, byte) in rest.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index > 0;
        }
    }
    false
}

/// What stands between brackets, and how long it is with the closing one. It matches no slash.
fn class(rest: &[u8]) -> Option<(usize, String)> {
    let is_negated = matches!(rest.first(), Some(b'!' | b'^'));
    let begin = usize::from(is_negated);
    // A closing bracket that stands first is a member.
    let end = begin + 1 + rest.get(begin + 1..)?.iter().position(|byte| *byte == b']')?;
    let members = &rest[begin..end];
    if members.contains(&b'/') {
        return None;
    }
    let mut class = String::from(if is_negated { "[^/" } else { "[" });
    let mut at = 0;
    while let Some(first) = members.get(at) {
        literal(&mut class, *first);
        at += 1;
        if members.get(at) == Some(&b'-')
            && let Some(last) = members.get(at + 1)
        {
            class.push('-');
            literal(&mut class, *last);
            at += 2;
        }
    }
    class.push(']');
    Some((end + 1, class))
}

fn literal(regex: &mut String, byte: u8) {
    use std::fmt::Write as _;
    let _memory_does_not_fail = write!(regex, "\\x{byte:02x}");
}
