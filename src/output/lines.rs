//! Sentences broken between words, to the width of the terminal. Into a file or a pipe a line stays a line.

use std::borrow::Cow;
use std::fmt::Write as _;

use textwrap::WordSeparator;
use textwrap::core::{Word, display_width};

/// In less room than this a column of words is hard to read.
const NARROW: usize = 30;

/// Where a sentence goes on for which there is no room in its column.
const MARGIN: usize = 4;

/// Addresses, paths and names are copied: none is broken.
pub(super) fn between_words<'a>(room: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(room)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

/// Words as blanks part them; a number stays with its unit.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let is_unit = |word: &str| {
        let unit = word.trim_end_matches([',', '.', ';', ':', ')']);
        matches!(unit, "%" | "s" | "min" | "h" | "KiB" | "MiB" | "GiB" | "TiB")
    };
    let mut words: Vec<Word<'_>> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for word in WordSeparator::AsciiSpace.find_words(line) {
        let is_number = |last: &Word<'_>| last.word.ends_with(|it: char| it.is_ascii_digit());
        if words.last().is_some_and(is_number) && is_unit(word.word) {
            words.pop();
        } else {
            start = end;
        }
        end += word.word.len() + word.whitespace.len();
        words.extend(line.get(start..end).map(Word::from));
    }
    Box::new(words.into_iter())
}

/// A sentence that begins in the column `from`, and goes on in the column `below`: on a terminal of so many columns. Where
/// `below` is too far to the right for a column of words, it goes on near the left margin.
pub(super) fn hanging(
    sentence: &str,
    from: usize,
    below: usize,
    columns: Option<usize>,
) -> Cow<'_, str> {
    let Some(columns) = columns.filter(|columns| *columns >= NARROW) else {
        return sentence.into();
    };
    let below = if columns >= below + NARROW { below } else { MARGIN };
    let [before, indent] = [from, below].map(|column| " ".repeat(column));
    let first = words(sentence).next().map_or(0, |word| display_width(word.word));
    if from + first > columns && from > below {
        let options = between_words(columns).initial_indent(&indent).subsequent_indent(&indent);
        return format!("\n{}", textwrap::fill(sentence, options)).into();
    }
    let options = between_words(columns).initial_indent(&before).subsequent_indent(&indent);
    let lines = textwrap::fill(sentence, options);
    lines.strip_prefix(&before).map_or(sentence.into(), |lines| lines.to_owned().into())
}

/// A command that begins in the column `from`. One that is wider than the terminal is broken as a shell allows, so that it
/// can be copied and run as it stands; what is said of it behind a gap or a `#` then has lines of its own.
pub(super) fn command(line: &str, from: usize, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns
        .filter(|columns| *columns >= from + NARROW && from + display_width(line) > *columns)
    else {
        return line.into();
    };
    let about = line.find("   ").or_else(|| line.find(" # ")).unwrap_or(line.len());
    let (command, about) = line.split_at(about);
    let indent = " ".repeat(from);
    // Within quotes a line that goes on would be another word.
    let mut text = if command.contains(['"', '\'']) {
        command.to_owned()
    } else {
        let options = between_words(columns - from - " \\".len()).subsequent_indent("  ");
        let broken = textwrap::wrap(command, options);
        broken.join(&format!(" \\\n{indent}"))
    };
    if !about.trim().is_empty() {
        let about = hanging(about.trim(), from + 2, from + 2, Some(columns));
        let _ = write!(text, "\n{indent}  {about}");
    }
    text.into()
}

/// Lines for a terminal of so many columns: one that is wider goes on deeper than it begins. Colours take no room.
pub(super) fn fill(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns else { return text.into() };
    let is_narrow = |line: &str| display_width(line) <= columns;
    if text.lines().all(is_narrow) {
        return text.into();
    }
    let mut filled = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let begin = line.len() - line.trim_start().len();
        filled += &hanging(line, 0, begin + 2, Some(columns));
        filled += end;
    }
    filled.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_goes_on_in_its_column_and_a_name_in_it_is_whole() {
        let sentence = "what the log of calico-node and of calico-kube-controllers says";
        assert_eq!(
            hanging(sentence, 4, 4, Some(40)),
            "what the log of calico-node and of\n    calico-kube-controllers says"
        );
        assert_eq!(
            hanging("of the table of connections, 95.4 % are in use", 0, 0, Some(34)),
            "of the table of connections,\n95.4 % are in use"
        );
        for columns in [None, Some(20)] {
            assert_eq!(hanging(sentence, 4, 4, columns), sentence);
        }
    }

    #[test]
    fn a_sentence_too_far_to_the_right_goes_on_near_the_margin() {
        let sentence = "NetworkManager takes vxlan.calico: no file says otherwise";
        assert_eq!(
            hanging(sentence, 31, 31, Some(60)),
            "NetworkManager takes\n    vxlan.calico: no file says otherwise"
        );
        assert_eq!(
            hanging(sentence, 31, 31, Some(40)),
            "\n    NetworkManager takes vxlan.calico:\n    no file says otherwise"
        );
    }

    #[test]
    fn a_command_that_is_too_wide_is_broken_as_a_shell_allows() {
        let line = "kubectl -n calico-system set env ds/calico-node -c calico-node A=Info";
        assert_eq!(command(line, 4, Some(80)), line);
        assert_eq!(
            command(line, 4, Some(50)),
            "kubectl -n calico-system set env \\\n      ds/calico-node -c calico-node A=Info"
        );
        assert_eq!(
            command("sudo calivet check conntrack --top    shows who fills the table", 4, Some(60)),
            "sudo calivet check conntrack --top\n      shows who fills the table"
        );
        let quoted = "kubectl patch felixconfiguration default -p '{\"a\": 1, \"b\": 2}'";
        assert_eq!(command(quoted, 4, Some(40)), quoted);
    }

    #[test]
    fn a_line_that_is_too_wide_goes_on_deeper_and_a_path_in_it_is_whole() {
        let text = "error: invalid value\n  [possible values: bird, felix, system, network]\n";
        assert_eq!(
            fill(text, Some(40)),
            "error: invalid value\n  [possible values: bird, felix, system,\n    network]\n"
        );
        assert_eq!(fill(text, Some(80)), text);
        let path = format!("error: there is no {}", "/folder".repeat(10));
        assert_eq!(fill(&path, Some(40)), path.replace("no /", "no\n  /"));
        let coloured = "\x1b[1m\x1b[31merror:\x1b[0m this line has room for all of its words";
        assert_eq!(fill(coloured, Some(50)), coloured);
    }
}
