//! Private keys: PEM blocks in every frame in which a log or a file puts them, and base64 of them.

use std::ops::Range;

use super::super::rules::{COMPILED, ENCODED_PRIVATE_KEY, PRIVATE_KEY};
use super::super::{base64_text, names};
use super::{Cut, Leaves, Open, Scanner, Window, indent, trim_end};

/// How much text may lie between the beginning and the end of a PEM block.
const LONGEST_BLOCK: usize = 64 << 10;

impl Scanner {
    /// Cuts PEM private keys that begin on this line.
    pub(super) fn private_keys(&mut self, line: Window<'_>, from: usize, cuts: &mut Vec<Cut>) {
        let content = trim_end(line.text);
        let mut at = from;
        let mut may_end = true;
        while let Some(begin) = COMPILED.begin.find_at(content, at) {
            if begin.start() >= line.own {
                return;
            }
            let end = if may_end { COMPILED.end.find_at(content, begin.end()) } else { None };
            may_end = end.is_some();
            let end = if let Some(end) = end {
                end.end()
            } else {
                let column = if line.begins { begin.start() } else { 0 };
                self.open = Open::Block { column, left: LONGEST_BLOCK };
                end_of_block_text(content, begin.end())
            };
            cuts.push(Cut { range: begin.start()..end, rule: PRIVATE_KEY, leaves: Leaves::Marker });
            at = end;
        }
    }

    /// Goes on with a PEM block. Lines of another writer may stand between its own.
    pub(super) fn block(
        &mut self,
        line: Window<'_>,
        column: usize,
        left: usize,
        cuts: &mut Vec<Cut>,
    ) -> usize {
        let content = trim_end(line.text);
        let mut cut = |range: Range<usize>| {
            if !range.is_empty() {
                cuts.push(Cut { range, rule: PRIVATE_KEY, leaves: Leaves::Nothing });
            }
        };
        let from = if line.begins { indent(content) } else { 0 };
        let begin = COMPILED.begin.find(content).map(|begin| begin.start());
        let end = COMPILED
            .end
            .find(content)
            .filter(|end| end.start() < line.own && begin.is_none_or(|begin| end.start() < begin));
        if let Some(end) = end {
            let alone = end.end() == content.len();
            let range = if end.start() <= from || is_body(&content[from..end.start()]) {
                if alone && line.begins { 0..line.text.len() } else { from..end.end() }
            } else {
                column.clamp(from, end.start())..end.end()
            };
            let resume = range.end;
            cut(range);
            return resume;
        }
        if let Some(left) = left.checked_sub(line.own) {
            self.open = Open::Block { column, left };
        }
        let text = content[from..].trim_ascii_end();
        if is_body(text) && begin.is_none() {
            cut(if line.ends && line.begins {
                0..line.text.len()
            } else {
                0..line.own.min(content.len())
            });
            return line.text.len();
        }
        if begin.is_some() {
            return 0;
        }
        // Each line may stand in a frame: a stamp before it, as in a log, or a JSON string around it. The body
        // stands in the column of BEGIN, or is long and mixed enough to be known.
        let word = content
            .get(column..)
            .map_or(0, |rest| rest.iter().take_while(|&&byte| is_base64(byte)).count());
        let framed = matches!(content.get(column + word), None | Some(b'\\' | b'"'));
        if line.begins && word >= 4 && framed {
            cut(column..column + word);
        }
        for run in COMPILED.body.find_iter(content).filter(|run| run.start() < line.own) {
            if names::classes(run.as_bytes()) >= 3
                && run.as_bytes().iter().any(u8::is_ascii_uppercase)
            {
                cut(run.range());
            }
        }
        0
    }

    /// Cuts base64 of PEM files that hold a private key.
    pub(super) fn encoded_keys(&mut self, line: Window<'_>, from: usize, cuts: &mut Vec<Cut>) {
        let content = trim_end(line.text);
        for run in COMPILED.encoded.find_iter(&content[from..]) {
            let range = from + run.start()..from + run.end();
            if range.start >= line.own {
                return;
            }
            let key = base64_text(run.as_bytes())
                .is_some_and(|text| names::contains(&text, b"PRIVATE KEY"));
            if key {
                if range.end == content.len() && line.ends {
                    self.open = Open::Encoded { left: LONGEST_BLOCK };
                }
                cuts.push(Cut { range, rule: ENCODED_PRIVATE_KEY, leaves: Leaves::Marker });
            }
        }
    }

    /// Goes on with base64 that is wrapped into lines.
    pub(super) fn encoded_rest(
        &mut self,
        line: Window<'_>,
        left: usize,
        cuts: &mut Vec<Cut>,
    ) -> usize {
        let text = trim_end(line.text).trim_ascii();
        if text.is_empty() || !text.iter().all(|&byte| is_base64(byte)) {
            return 0;
        }
        if let Some(left) = left.checked_sub(line.text.len()) {
            self.open = Open::Encoded { left };
        }
        let range = 0..if line.ends { line.text.len() } else { line.own };
        cuts.push(Cut { range, rule: ENCODED_PRIVATE_KEY, leaves: Leaves::Nothing });
        line.text.len()
    }
}

/// How far the text of an unfinished PEM block reaches: to the end of what is at hand, but not beyond the string
/// or the length in which it can be one.
fn end_of_block_text(content: &[u8], from: usize) -> usize {
    let reach = content.len().min(from + LONGEST_BLOCK);
    content[from..reach].iter().position(|&byte| byte == b'"').map_or(reach, |end| from + end)
}

/// Whether a text can be a line of a PEM body or one of its headers.
fn is_body(text: &[u8]) -> bool {
    const HEADERS: &[&[u8]] = &[b"Proc-Type:", b"DEK-Info:", b"Comment:", b"Version:", b"Hash:"];
    let text = text.trim_ascii();
    !text.is_empty()
        && (text.iter().all(|&byte| is_base64(byte))
            || HEADERS.iter().any(|header| text.starts_with(header)))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)
}
