//! `GLib`'s patterns (`g_pattern_match_simple`): `*` is any text, `?` any character, all else is itself.

/// Whether all of `text` matches. Takes at most the product of both lengths.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to go on if what follows the last `*` does not match: the pattern after it, and the text that it takes.
    let mut retry = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, position));
                continue;
            }
            Some(b'?') => {
                at += 1;
                position = next_character(text, position);
                continue;
            }
            Some(byte) if *byte == text[position] => {
                at += 1;
                position += 1;
                continue;
            }
            _ => {}
        }
        let Some((after, taken)) = retry else { return false };
        let taken = next_character(text, taken);
        retry = Some((after, taken));
        (at, position) = (after, taken);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// The start of the character after the one at `position`.
fn next_character(text: &[u8], position: usize) -> usize {
    let is_continuation = |byte: &u8| byte & 0xc0 == 0x80;
    position + 1 + text[position + 1..].iter().take_while(|byte| is_continuation(byte)).count()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_matches_the_whole_text() {
        for (pattern, text, expected) in [
            ("cali*", "cali0123", true),
            ("cali*", "xcali0123", false),
            ("cali?", "cali", false),
            ("cali?", "cali1", true),
            ("*", "", true),
            ("**?", "a", true),
            ("*?", "", false),
            ("c*l*1", "cali0l1", true),
            ("c*l*1", "cali0l12", false),
            ("[c]ali", "cali", false),
            ("?", "\u{e9}", true),
            ("??", "\u{e9}", false),
            ("a*b*c", "aXbXbYc", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(20_000);
        assert!(!matches(format!("{pattern}b").as_bytes(), &[b'a'; 15]));
    }

    proptest::proptest! {
        /// Where neither has more than these, both kinds of patterns mean the same.
        #[test]
        fn a_pattern_of_stars_and_marks_means_what_it_means_to_fnmatch(
            pattern in "[a\u{e9}*?]{0,8}",
            text in "[a\u{e9}]{0,8}",
        ) {
            proptest::prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                crate::fnmatch::matches(&pattern, &text)
            );
        }
    }
}
