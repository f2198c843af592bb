//! `calivet explain` for people: the documentation's Markdown, broken to the width of the terminal.

use std::fmt::Write as _;

use anstyle::Style;

use super::Output;
use super::lines::{between_words, hanging};

/// Columns where the result goes to no terminal, and the most that are easy to read.
const COLUMNS: usize = 100;

/// The ids of all findings, each with the sentence that is true when it passes.
#[must_use]
pub fn list(rows: &[(&str, &str)], output: Output) -> String {
    let width = rows.iter().map(|(id, _)| id.len()).max().unwrap_or(0);
    let bold = bold(output);
    let mut text = String::new();
    for (id, passes) in rows {
        let passes = hanging(passes, width + 2, width + 2, output.columns);
        let _ = writeln!(text, "{bold}{id:<width$}{bold:#}  {passes}");
    }
    text
}

/// Markdown as a person reads it: headings stand out, paragraphs and items are broken between words, tables and code stay
/// as they are.
#[must_use]
pub fn markdown(source: &str, output: Output) -> String {
    let columns = output.columns.unwrap_or(COLUMNS).min(COLUMNS);
    let bold = bold(output);
    let mut text = String::new();
    let mut paragraph = String::new();
    let mut is_code = false;
    for line in source.lines() {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        let begins_item = line.starts_with("- ");
        let stands_alone = is_code || is_fence || line.starts_with(['|', '#']) || line.is_empty();
        if stands_alone || begins_item {
            flush(&mut text, &mut paragraph, columns);
        }
        if is_fence {
            continue;
        }
        if is_code {
            let _ = writeln!(text, "    {line}");
        } else if line.starts_with('#') {
            let _ = writeln!(
                text,
                "{bold}{}{bold:#}",
                line.trim_start_matches('#').trim().replace('`', "")
            );
        } else if line.starts_with('|') {
            row(&mut text, line, columns);
        } else if line.is_empty() {
            text.push('\n');
        } else {
            if !paragraph.is_empty() {
                paragraph.push(' ');
            }
            paragraph.push_str(line.trim());
        }
    }
    flush(&mut text, &mut paragraph, columns);
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Ends a paragraph: an item of a list stands in its column.
fn flush(text: &mut String, paragraph: &mut String, columns: usize) {
    if paragraph.is_empty() {
        return;
    }
    let indent = if paragraph.starts_with("- ") { "  " } else { "" };
    let _ = writeln!(text, "{}", broken(paragraph, "", indent, columns));
    paragraph.clear();
}

/// A row of a table: the first cell, and below it what the others say.
fn row(text: &mut String, line: &str, columns: usize) {
    let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
    let first = cells.next().unwrap_or_default();
    // The line below the heading.
    if first.starts_with("---") {
        return;
    }
    let _ = writeln!(text, "{}", broken(first, "  ", "  ", columns));
    for cell in cells.filter(|cell| !cell.is_empty()) {
        let _ = writeln!(text, "{}", broken(cell, "      ", "      ", columns));
    }
}

fn broken(sentence: &str, first: &str, rest: &str, columns: usize) -> String {
    textwrap::fill(sentence, between_words(columns).initial_indent(first).subsequent_indent(rest))
}

fn bold(output: Output) -> Style {
    if output.color { Style::new().bold() } else { Style::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn markdown_is_broken_between_words_and_tables_become_lists() {
        let source = "### `a.b`\n\nOne sentence that is\nlonger than the line.\n\n- an item that\n  goes on\n\n| what | why |\n| --- | --- |\n| `x` | for `y` |\n\n```sh\ncode stays   as it is\n```\n";
        let output =
            Output { format: Format::Table, color: false, quiet: false, columns: Some(24) };
        let expected = "a.b\n\nOne sentence that is\nlonger than the line.\n\n- an item that goes on\n\n  what\n      why\n  `x`\n      for `y`\n\n    code stays   as it is\n";
        assert_eq!(markdown(source, output), expected);
    }
}
