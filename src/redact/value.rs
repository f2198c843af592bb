//! Where a value ends that begins after `password: `, `TOKEN=` or `"psk":`.
//!
//! Samples: `"a \"quoted\" one"`, `\"inside a JSON string\"`, `'it''s YAML'`, `plain # comment`, `|-` (a block
//! on the lines below), `{"a": 1}` (no value but a structure).

use std::ops::Range;

/// A quotation mark and how deep it is inside other strings: `"`, `\"` and `\\\"` have 0, 1 and 3 backslashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    /// `"`, `'` or a backtick.
    pub(super) mark: u8,
    /// Backslashes before it.
    pub(super) backslashes: usize,
}

/// What ends a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// The quotation mark with which it began.
    Quote(Quote),
    /// A blank, a comma, a bracket or the like.
    Delimiter,
    /// The end of the line.
    Line,
    /// The first line that is not indented deeper than the name.
    Indent,
}

/// What stands where a value is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A value, its bytes without quotation marks, and what ends it.
    Text {
        /// The bytes.
        range: Range<usize>,
        /// What ends it.
        close: Close,
        /// Whether its end was found.
        closed: bool,
    },
    /// A YAML block scalar: the value is on the lines below.
    Block,
    /// Nothing: the value, or a structure, may be on the lines below.
    Empty,
    /// A mapping or a list.
    Structure,
}

/// Reads the value that begins at `at`. `text` ends where the line ends, without its terminator. `wrapped` is a
/// quotation mark that was opened before the name (`"PASSWORD=x"`); `to_line_end` tells that an unquoted value
/// may hold blanks.
pub(super) fn read(text: &[u8], at: usize, wrapped: Option<Quote>, to_line_end: bool) -> Value {
    let mut at = skip_blanks(text, at);
    if let Some(quote) = wrapped {
        return quoted(text, at, quote);
    }
    if text.get(at) == Some(&b'!') && to_line_end {
        // A YAML tag, e.g. `!!binary`.
        at = text[at..].iter().position(u8::is_ascii_whitespace).map_or(text.len(), |end| at + end);
        at = skip_blanks(text, at);
    }
    // Go prints a header's values as a list: `Authorization:[x]`; JSON may hold a list of one.
    if text.get(at) == Some(&b'[') {
        let inner = skip_blanks(text, at + 1);
        return match quote_at(text, inner) {
            Some(quote) => quoted(text, inner + quote.backslashes + 1, quote),
            None => Value::Structure,
        };
    }
    if let Some(quote) = quote_at(text, at) {
        return quoted(text, at + quote.backslashes + 1, quote);
    }
    let rest = text[at..].trim_ascii_end();
    match rest.first() {
        None => Value::Empty,
        Some(b'{') => Value::Structure,
        Some(b'#') if to_line_end => Value::Empty,
        Some(b'|' | b'>') if to_line_end && is_block_header(rest) => Value::Block,
        Some(_) if to_line_end => {
            Value::Text { range: at..at + rest.len(), close: Close::Line, closed: false }
        }
        Some(_) => {
            let end = rest.iter().position(|&byte| is_delimiter(byte));
            let range = at..at + end.unwrap_or(rest.len());
            Value::Text { range, close: Close::Delimiter, closed: end.is_some() }
        }
    }
}

fn quoted(text: &[u8], from: usize, quote: Quote) -> Value {
    let end = closing(text, from, quote);
    let range = from..end.unwrap_or(text.len());
    Value::Text { range, close: Close::Quote(quote), closed: end.is_some() }
}

/// Where a value that goes on from earlier text ends within `text`, if it does.
pub(super) fn end_of_rest(text: &[u8], close: Close) -> Option<usize> {
    match close {
        Close::Quote(quote) => closing(text, 0, quote),
        Close::Delimiter => text.iter().position(|&byte| is_delimiter(byte)),
        Close::Line | Close::Indent => None,
    }
}

/// The quotation mark that begins at `at`, backslashes first.
pub(super) fn quote_at(text: &[u8], at: usize) -> Option<Quote> {
    let rest = text.get(at..)?;
    let backslashes = rest.iter().take_while(|&&byte| byte == b'\\').count();
    let mark = *rest.get(backslashes)?;
    // A string inside n strings stands behind 2^n - 1 backslashes.
    let nested = (backslashes + 1).is_power_of_two();
    (nested && is_mark(mark)).then_some(Quote { mark, backslashes })
}

/// The quotation mark that ends just before `end`, and where its backslashes begin.
pub(super) fn quote_before(text: &[u8], end: usize, floor: usize) -> Option<(Quote, usize)> {
    let mark = *text.get(floor..end)?.last()?;
    let backslashes = text[floor..end - 1].iter().rev().take_while(|&&byte| byte == b'\\').count();
    is_mark(mark).then_some((Quote { mark, backslashes }, end - 1 - backslashes))
}

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Where the string ends that `quote` opened: before the backslashes of its closing mark. A mark inside the
/// string has more backslashes before it than the opening one.
fn closing(text: &[u8], from: usize, quote: Quote) -> Option<usize> {
    let depth = quote.backslashes;
    let mut at = from;
    loop {
        let mark = at + text.get(at..)?.iter().position(|&byte| byte == quote.mark)?;
        let before = text[at..mark].iter().rev().take_while(|&&byte| byte == b'\\').count();
        let doubled = quote.mark == b'\'' && text.get(mark + 1) == Some(&b'\'');
        if quote.mark == b'\'' && depth == 0 {
            if !doubled {
                return Some(mark);
            }
            at = mark + 2;
        } else if before % (2 * (depth + 1)) == depth {
            return Some(mark - depth);
        } else {
            at = mark + 1;
        }
    }
}

fn is_block_header(rest: &[u8]) -> bool {
    let header = rest.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
    header.len() <= 3 && header[1..].iter().all(|byte| b"+-123456789".contains(byte))
}

fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"'`,;&)]}<>|\\\0".contains(&byte)
}

pub(super) fn skip_blanks(text: &[u8], at: usize) -> usize {
    let blanks = text
        .get(at..)
        .map_or(0, |rest| rest.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count());
    at + blanks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn text(line: &str, to_line_end: bool) -> &str {
        match read(line.as_bytes(), 0, None, to_line_end) {
            Value::Text { range, .. } => &line[range],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_string_ends_at_its_own_mark() {
        assert_eq!(text(r#""a \" b\\" c"#, false), r#"a \" b\\"#);
        assert_eq!(text(r#"\"a \\\" b\" c"#, false), r#"a \\\" b"#);
        assert_eq!(text("'it''s' c", false), "it''s");
        assert_eq!(text("\"open", false), "open");
    }

    #[test]
    fn a_plain_value_ends_at_a_delimiter_or_with_its_line() {
        assert_eq!(text("abc, d", false), "abc");
        assert_eq!(text("my pass phrase  ", true), "my pass phrase");
        assert_eq!(text("!!str abc", true), "abc");
        assert_eq!(text("[\"abc\"]", false), "abc");
    }

    #[test]
    fn what_is_no_text_is_told_apart() {
        assert_eq!(read(b"|-", 0, None, true), Value::Block);
        assert_eq!(read(b"> # folded", 0, None, true), Value::Block);
        assert_eq!(read(b"  ", 0, None, true), Value::Empty);
        assert_eq!(read(b"{\"a\": 1}", 0, None, true), Value::Structure);
        assert_eq!(read(b"[1]", 0, None, true), Value::Structure);
    }
}
