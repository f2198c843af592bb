//! Values behind names that announce a secret, on the same line or below it.

use super::super::names::{self, Kind};
use super::super::rules::NAMED_VALUE;
use super::super::value::{self, Close, Quote, Value};
use super::{Cut, Leaves, Open, Scanner, Window, indent, position, trim_end};

/// How far into a line its first name may begin.
const DEEPEST: usize = 256;

impl Scanner {
    /// Cuts values behind names that announce a secret. `expected` is the kind of a value whose name was given
    /// on the line before.
    pub(super) fn named_values(
        &mut self,
        line: Window<'_>,
        from: usize,
        mut expected: Option<Kind>,
        cuts: &mut Vec<Cut>,
    ) {
        let content = trim_end(line.text).trim_ascii_end();
        let indent = indent(content);
        let (mut at, mut floor) = (from, from);
        // Whether an odd number of quotation marks stands before a name, counted on from name to name.
        let (mut counted, mut in_string) = (0, false);
        while let Some(separator) = position(content, at, |byte| byte == b':' || byte == b'=') {
            at = separator + 1;
            let Some(name) = Name::before(content, separator, floor) else { continue };
            if name.start >= line.own {
                if let Some(kind) = expected {
                    self.open = Open::Variable(kind);
                }
                return;
            }
            // `:=` and `=>`, as some languages print pairs.
            let arrow = content.get(at).is_some_and(|&byte| byte == b'=' || byte == b'>');
            let value = at + usize::from(arrow);
            let named = if name.text == b"value" { expected } else { None };
            let Some(kind) = named.or_else(|| names::kind(name.text)) else {
                if name.text == b"name" || name.text == b"key" {
                    expected = self.variable(line, content, value);
                }
                continue;
            };
            expected = None;
            for byte in &content[counted..name.start] {
                in_string ^= *byte == b'"';
            }
            counted = name.start;
            // Behind an option's name more options follow, unless zero bytes part them.
            let option = name.text.starts_with(b"-") && line.text.last() != Some(&0);
            let first = line.begins && !option && is_line_start(&content[..name.start]);
            let place = Place { name, kind, value, indent, first, in_string };
            if let Some(end) = self.named_value(line, content, &place, cuts) {
                at = end.max(at);
                floor = at;
            }
        }
    }

    /// What the name of a variable at `from` announces; if the line ends behind it, its value is expected on the
    /// next one.
    fn variable(&mut self, line: Window<'_>, content: &[u8], from: usize) -> Option<Kind> {
        let Value::Text { range, .. } = value::read(content, from, None, false) else {
            return None;
        };
        let name = &content[range.clone()];
        let kind = names::kind(name).filter(|_| names::is_variable(name))?;
        if line.ends && content[range.end..].iter().all(|byte| b"\"'\\, ".contains(byte)) {
            self.open = Open::Variable(kind);
        }
        Some(kind)
    }

    /// Cuts the value of one name. Returns where it ends.
    fn named_value(
        &mut self,
        line: Window<'_>,
        content: &[u8],
        place: &Place<'_>,
        cuts: &mut Vec<Cut>,
    ) -> Option<usize> {
        let Place { name, kind, indent, first, .. } = place;
        let (kind, indent, first) = (*kind, *indent, *first);
        let colon = content[place.value - 1] == b':';
        let wrapped = if name.close.is_none() { name.open } else { None };
        match value::read(content, place.value, wrapped, first && name.close.is_none()) {
            Value::Text { range, close, closed } => {
                if !names::is_secret(kind, &content[range.clone()]) {
                    return None;
                }
                let unquoted = !matches!(close, Close::Quote(_));
                let leaves = match name.close {
                    // A bare number or word in JSON.
                    Some(quote) if unquoted && quote.mark == b'"' => {
                        Leaves::Quoted(quote.backslashes)
                    }
                    // YAML would take a marker in brackets for a list.
                    _ if unquoted && colon && place.is_mapping(content) => Leaves::Quoted(0),
                    _ => Leaves::Marker,
                };
                let below = first && colon && close != Close::Delimiter;
                if !closed && (below || !line.ends) {
                    self.open = Open::Value { indent, close, shown: true };
                }
                let end = range.end;
                cuts.push(Cut { range, rule: NAMED_VALUE, leaves });
                return Some(end);
            }
            Value::Block if colon && line.ends => {
                self.open = Open::Value { indent, close: Close::Indent, shown: false };
            }
            Value::Empty if first && colon && line.ends => self.open = Open::Empty { indent, kind },
            Value::Block | Value::Empty | Value::Structure => {}
        }
        None
    }

    /// Goes on with a value that earlier text began. Returns where ordinary text begins again.
    pub(super) fn rest(
        &mut self,
        line: Window<'_>,
        indented: usize,
        close: Close,
        shown: bool,
        cuts: &mut Vec<Cut>,
    ) -> usize {
        let content = trim_end(line.text);
        let text = content.trim_ascii();
        if line.begins {
            if text.is_empty() && close != Close::Delimiter {
                self.open = Open::Value { indent: indented, close, shown };
                return line.text.len();
            }
            // An unquoted value that goes on is one long word; prose and structure below are not of it.
            let foreign = close == Close::Line && text.iter().any(u8::is_ascii_whitespace);
            if close == Close::Delimiter || foreign || indent(content) <= indented {
                return 0;
            }
        }
        let leaves = if shown { Leaves::Nothing } else { Leaves::Marker };
        let ended = value::end_of_rest(content, close);
        let keeps_indent = line.begins && (!shown || ended.is_some());
        let from = if keeps_indent { indent(content) } else { 0 };
        let end = match ended {
            Some(end) => end,
            None if !line.ends => line.own,
            None if shown => line.text.len(),
            None => content.len(),
        };
        if ended.is_none() && (!line.ends || close != Close::Delimiter) {
            self.open = Open::Value { indent: indented, close, shown: true };
        }
        if end > from {
            cuts.push(Cut { range: from..end, rule: NAMED_VALUE, leaves });
        }
        ended.unwrap_or(line.text.len())
    }

    /// Looks below a name without a value: an indented line that is no structure is the value.
    pub(super) fn below(
        &mut self,
        line: Window<'_>,
        indented: usize,
        kind: Kind,
        cuts: &mut Vec<Cut>,
    ) -> usize {
        let content = trim_end(line.text);
        let from = indent(content);
        let text = content[from..].trim_ascii_end();
        let structure = text.starts_with(b"- ")
            || text.starts_with(b"#")
            || text.ends_with(b":")
            || names::contains(text, b": ")
            || text.is_empty();
        if from <= indented || structure {
            return 0;
        }
        if let Value::Text { range, close, closed } = value::read(content, from, None, true)
            && names::is_secret(kind, &content[range.clone()])
        {
            let leaves =
                if matches!(close, Close::Quote(_)) { Leaves::Marker } else { Leaves::Quoted(0) };
            if !closed {
                self.open = Open::Value { indent: indented, close, shown: true };
            }
            let end = range.end;
            cuts.push(Cut { range, rule: NAMED_VALUE, leaves });
            return end;
        }
        0
    }
}

/// A name that announces a secret, and where it stands.
struct Place<'a> {
    name: Name<'a>,
    kind: Kind,
    /// Where the value begins, blanks first.
    value: usize,
    /// How deep the line is indented.
    indent: usize,
    /// Whether the name is the first thing on its line.
    first: bool,
    /// Whether it is inside a string.
    in_string: bool,
}

impl Place<'_> {
    /// Whether an unquoted value here is a YAML scalar, not prose within a string.
    fn is_mapping(&self, content: &[u8]) -> bool {
        let before =
            content[..self.name.start].iter().rev().find(|byte| !byte.is_ascii_whitespace());
        self.first || (!self.in_string && matches!(before, Some(b'{' | b',')))
    }
}

/// A name before a `:` or `=`.
struct Name<'a> {
    text: &'a [u8],
    /// Where it begins, with its quotation mark.
    start: usize,
    /// The quotation mark before it.
    open: Option<Quote>,
    /// The quotation mark behind it.
    close: Option<Quote>,
}

impl<'a> Name<'a> {
    fn before(text: &'a [u8], separator: usize, floor: usize) -> Option<Self> {
        let blanks = |end: usize| {
            let before = text[floor..end].iter().rev();
            end - before.take(16).take_while(|&&byte| byte == b' ' || byte == b'\t').count()
        };
        let (close, end) = match value::quote_before(text, blanks(separator), floor) {
            Some((quote, start)) => (Some(quote), start),
            None => (None, blanks(separator)),
        };
        let run = |end: usize| {
            let name = text[floor..end].iter().rev().take(names::LONGEST + 1);
            end - name
                .take_while(|&&byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
                .count()
        };
        let mut start = run(end);
        // `private key: x`, as `wg` writes it: two words.
        if text[start..end].eq_ignore_ascii_case(b"key") && close.is_none() && blanks(start) < start
        {
            start = run(blanks(start));
        }
        let name = &text[start..end];
        if name.is_empty() {
            return None;
        }
        let (open, start) = match value::quote_before(text, start, floor) {
            Some((quote, before)) => (Some(quote), before),
            None => (None, start),
        };
        Some(Self { text: name, start, open, close })
    }
}

/// Whether only what may stand before a pair at the beginning of a line stands there.
fn is_line_start(before: &[u8]) -> bool {
    if before.len() > DEEPEST {
        return false;
    }
    let before = before.trim_ascii();
    let before = before.strip_prefix(b"-").unwrap_or(before).trim_ascii();
    matches!(before, b"" | b"-" | b"export" | b"set" | b"?" | b"ENV" | b"declare -x")
}
