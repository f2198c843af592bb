//! Sentences broken between words, to the width of the terminal. Into a file or a pipe a line stays a line.

use std::borrow::Cow;

use textwrap::WordSeparator;
use textwrap::core::Word;

use super::Output;

/// In less room than this a column of words is harder to read than lines that the terminal breaks.
const NARROW: usize = 30;

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

/// A sentence that begins in the column `from`, and goes on in the column `below`.
pub(super) fn hanging(sentence: &str, from: usize, below: usize, output: Output) -> Cow<'_, str> {
    let has_room = |columns: &usize| *columns >= from.max(below) + NARROW;
    let Some(columns) = output.columns.filter(has_room) else { return sentence.into() };
    let [before, indent] = [from, below].map(|column| " ".repeat(column));
    let options = between_words(columns).initial_indent(&before).subsequent_indent(&indent);
    let lines = textwrap::fill(sentence, options);
    lines.strip_prefix(&before).map_or(sentence.into(), |lines| lines.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn a_sentence_goes_on_in_its_column_and_a_name_in_it_is_whole() {
        let output =
            |columns| Output { format: Format::Table, color: false, quiet: false, columns };
        let sentence = "what the log of calico-node and of calico-kube-controllers says";
        assert_eq!(
            hanging(sentence, 4, 4, output(Some(40))),
            "what the log of calico-node and of\n    calico-kube-controllers says"
        );
        assert_eq!(
            hanging("of the table of connections, 95.4 % are in use", 0, 0, output(Some(34))),
            "of the table of connections,\n95.4 % are in use"
        );
        for columns in [None, Some(20)] {
            assert_eq!(hanging(sentence, 4, 4, output(columns)), sentence);
        }
    }
}
