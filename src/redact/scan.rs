//! Walks a text line by line and marks what has to be cut.
//!
//! What a secret needs of its surroundings is on its own line, but for a few that span lines: a PEM block, a
//! YAML scalar, a name whose value is on the next line. Those are a state that goes from line to line. So the
//! result depends on the text alone and not on how it was split into chunks, and memory stays flat.
//!
//! ```text
//! client-key: |                               a value that is on the lines below
//!   -----BEGIN EC PRIVATE KEY-----            a PEM block
//!   MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04f
//!   -----END EC PRIVATE KEY-----
//! - name: ETCD_PASSWORD                       a name
//!   value: x                                  and its value
//! ```

mod keys;
mod named;
mod options;

use std::mem::take;
use std::ops::Range;

use super::grams::{Grams, Hit};
use super::names::Kind;
use super::rules::{
    COMPILED, ENCODED_PRIVATE_KEY, KNOWN_VALUE, NAMED_VALUE, OPTION, PRIVATE_KEY, RULES,
    USER_PASSWORD,
};
use super::value::{self, Close};

/// The part of a very long line that is looked at in one go.
pub(super) const PIECE: usize = 1 << 20;
/// How far behind a piece its secrets may reach: longer than any pattern or known value.
pub(super) const OVERLAP: usize = 64 << 10;
/// Bytes to cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Which.
    pub(super) range: Range<usize>,
    /// By which rule.
    pub(super) rule: usize,
    /// What is written instead.
    pub(super) leaves: Leaves,
}

/// What is written where something was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaves {
    /// The marker.
    Marker,
    /// The marker as a string, between quotation marks with so many backslashes.
    Quoted(usize),
    /// Nothing: the marker stands on an earlier line.
    Nothing,
}

/// What an earlier line left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Open {
    #[default]
    Nothing,
    /// A PEM block that began at this column, and how much of it is still believed.
    Block { column: usize, left: usize },
    /// Base64 of a PEM file, wrapped into lines.
    Encoded { left: usize },
    /// A value that goes on: on lines that are indented deeper than its name, or in the same long line.
    Value { indent: usize, close: Close, shown: bool },
    /// A name without a value: it may be on the next line, if that is indented deeper and no structure.
    Empty { indent: usize, kind: Kind },
    /// A variable's name was given: `value:` on the next line is its value.
    Variable(Kind),
    /// An option was alone on its line: the next line is its argument.
    Argument { user: bool },
}

/// A line, or the piece of a long one, that is looked at.
#[derive(Clone, Copy)]
struct Window<'a> {
    /// Its bytes, and behind `own` those of the next piece.
    text: &'a [u8],
    /// Only what begins before this is cut, its name or whatever announces it included.
    own: usize,
    /// Whether the line begins here.
    begins: bool,
    /// Whether the line ends here.
    ends: bool,
}

/// Marks what has to be cut in a text that comes in parts.
pub(super) struct Scanner {
    open: Open,
    /// Whether the text to come begins within a line.
    within: bool,
    hits: Vec<Hit>,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self { open: Open::Nothing, within: false, hits: Vec::new() }
    }

    /// Marks what has to be cut in `text`, by format if `by_format`, and by value. Returns how much of the text
    /// is done with; the rest has to come again with what follows it. `last`: nothing follows.
    pub(super) fn scan(
        &mut self,
        text: &[u8],
        last: bool,
        by_format: bool,
        known: &Grams,
        cuts: &mut Vec<Cut>,
    ) -> usize {
        let mut at = 0;
        while at < text.len() {
            let reach = text.len().min(at + PIECE + OVERLAP);
            let found = cuts.len();
            if let Some(end) = text[at..reach].iter().rposition(|&byte| is_end(byte)) {
                let lines = &text[at..=at + end];
                self.known(lines, lines.len(), at, known, cuts);
                if by_format {
                    self.lines(lines, at, cuts);
                }
                self.within = false;
                at += lines.len();
            } else if reach - at == PIECE + OVERLAP || last {
                let ends = reach - at < PIECE + OVERLAP;
                let own = if ends { reach - at } else { PIECE };
                let window = Window { text: &text[at..reach], own, begins: !self.within, ends };
                self.known(window.text, own, at, known, cuts);
                if by_format {
                    self.line(window, at, cuts);
                }
                self.within = true;
                let cut_to = cuts[found..].iter().map(|cut| cut.range.end).max().unwrap_or(0);
                at = cut_to.max(at + own);
            } else {
                break;
            }
        }
        at
    }

    /// Marks known values.
    fn known(&mut self, text: &[u8], own: usize, base: usize, known: &Grams, cuts: &mut Vec<Cut>) {
        self.hits.clear();
        let mut at = 0;
        while let Some(next) = known.next(text, at, &mut self.hits) {
            at = next;
            for hit in self.hits.drain(..).filter(|hit| hit.start < own) {
                let range = base + hit.start..base + hit.end;
                cuts.push(Cut { range, rule: KNOWN_VALUE, leaves: Leaves::Marker });
            }
        }
    }

    /// Looks at whole lines: at each one while something is open, else only at those that hold a literal.
    fn lines(&mut self, text: &[u8], base: usize, cuts: &mut Vec<Cut>) {
        let mut at = 0;
        let mut begins = !self.within;
        while at < text.len() {
            if self.open == Open::Nothing {
                let Some(place) = COMPILED.candidate(text, at, &mut self.hits) else { return };
                if let Some(end) = text[at..place].iter().rposition(|&byte| is_end(byte)) {
                    at += end + 1;
                    begins = true;
                }
            }
            let length = text[at..]
                .iter()
                .position(|&byte| is_end(byte))
                .map_or(text.len() - at, |end| end + 1);
            let line = Window { text: &text[at..at + length], own: length, begins, ends: true };
            self.line(line, base + at, cuts);
            at += length;
            begins = true;
        }
    }

    /// Looks at one line or piece.
    fn line(&mut self, line: Window<'_>, base: usize, cuts: &mut Vec<Cut>) {
        let first = cuts.len();
        let mut expected = None;
        let open = take(&mut self.open);
        let goes_on = matches!(open, Open::Value { .. });
        let from = match open {
            Open::Nothing => 0,
            Open::Block { column, left } => self.block(line, column, left, cuts),
            Open::Encoded { left } => self.encoded_rest(line, left, cuts),
            Open::Value { indent, close, shown } => self.rest(line, indent, close, shown, cuts),
            Open::Empty { indent, kind } => self.below(line, indent, kind, cuts),
            Open::Variable(kind) => {
                expected = Some(kind);
                0
            }
            Open::Argument { user } => Self::argument(line, user, cuts),
        };
        if from < line.text.len() {
            // Where a quotation mark was never closed, the value ends at one that opens another: what announces that one
            // was taken for a part of the first.
            let announced = if goes_on && line.begins { 0 } else { from };
            let wanted = COMPILED.worth_trying(&line.text[announced..], &mut self.hits);
            if wanted >> NAMED_VALUE & 1 == 1 || expected.is_some() {
                self.named_values(line, from, expected, cuts);
            }
            if wanted & (1 << OPTION | 1 << USER_PASSWORD) != 0 {
                self.options(line, announced, cuts);
            }
            for (rule, pattern) in &COMPILED.patterns {
                if wanted >> rule & 1 == 1 {
                    Self::pattern(line, announced, *rule, pattern, cuts);
                }
            }
            if wanted >> ENCODED_PRIVATE_KEY & 1 == 1 {
                self.encoded_keys(line, from, cuts);
            }
            if wanted >> PRIVATE_KEY & 1 == 1 {
                self.private_keys(line, from, cuts);
            }
        }
        // What reaches the end of a piece goes on in the next one.
        let cut_short = cuts[first..].iter().any(|cut| cut.range.end == line.text.len());
        if !line.ends && cut_short && self.open == Open::Nothing {
            self.open = Open::Value { indent: 0, close: Close::Delimiter, shown: true };
        }
        for cut in &mut cuts[first..] {
            cut.range = base + cut.range.start..base + cut.range.end;
        }
    }

    /// Cuts what a pattern finds.
    fn pattern(
        line: Window<'_>,
        from: usize,
        rule: usize,
        pattern: &regex::bytes::Regex,
        cuts: &mut Vec<Cut>,
    ) {
        let mut at = from;
        // Where a match lies is known much sooner than where its groups lie.
        while let Some(whole) =
            pattern.find_at(line.text, at).filter(|whole| whole.start() < line.own)
        {
            let groups = pattern.captures_at(line.text, whole.start());
            let Some(secret) = groups.as_ref().and_then(|groups| groups.name("secret")) else {
                return;
            };
            if RULES[rule].accepts(secret.as_bytes()) {
                cuts.push(Cut { range: secret.range(), rule, leaves: Leaves::Marker });
            }
            at = secret.end().max(at + 1);
        }
    }
}

/// Lines end with a line feed; what the kernel parts by zero bytes (environments, arguments) counts as lines.
pub(super) fn is_end(byte: u8) -> bool {
    byte == b'\n' || byte == 0
}

fn position(text: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    Some(from + text.get(from..)?.iter().position(|&byte| wanted(byte))?)
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = match line.split_last() {
        Some((&last, rest)) if is_end(last) => rest,
        _ => line,
    };
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn indent(line: &[u8]) -> usize {
    value::skip_blanks(line, 0)
}
