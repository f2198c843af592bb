//! Patterns for names as fnmatch(3) has them: `*`, `?`, `[a-z]`, `[!x]`, and `\` before a character that is itself.

/// Whether all of `name` matches.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut position) = (0, 0);
    let mut retry = None;
    loop {
        if pattern.get(at) == Some(&'*') {
            at += 1;
            retry = Some((at, position));
            continue;
        }
        if at == pattern.len() && position == name.len() {
            return true;
        }
        let step = name.get(position).and_then(|character| one(&pattern[at..], *character));
        if let Some(length) = step {
            at += length;
            position += 1;
            continue;
        }
        let Some((after, taken)) = retry.filter(|(_, taken)| *taken < name.len()) else {
            return false;
        };
        retry = Some((after, taken + 1));
        (at, position) = (after, taken + 1);
    }
}

/// How much of the pattern the character takes; `None`: it does not match.
fn one(pattern: &[char], character: char) -> Option<usize> {
    match *pattern.first()? {
        '?' => Some(1),
        '\\' if pattern.len() > 1 => (pattern[1] == character).then_some(2),
        '[' => match set(pattern, character) {
            Some((length, true)) => Some(length),
            Some((_, false)) => None,
            // A bracket that is never closed is itself.
            None => (character == '[').then_some(1),
        },
        literal => (literal == character).then_some(1),
    }
}

/// A set in brackets: its length in the pattern, and whether the character is in it.
fn set(pattern: &[char], character: char) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = 1 + usize::from(negated);
    // A bracket right at the beginning is a member.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|member| *member == ']')?;
    let mut members = &pattern[start..end];
    let mut found = false;
    while let Some((first, rest)) = members.split_first() {
        if let ['-', last, ..] = rest {
            found |= (*first..=*last).contains(&character);
            members = &rest[2..];
        } else {
            found |= *first == character;
            members = rest;
        }
    }
    Some((end + 1, found != negated))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_match_as_fnmatch_has_them() {
        for (pattern, name, expected) in [
            ("cali*", "cali0", true),
            ("*", "", true),
            ("[a-c]ali?", "cali1", true),
            ("[!c]ali*", "cali1", false),
            ("[]c]ali", "cali", true),
            ("[cali", "[cali", true),
            ("en\\*", "en*", true),
            ("en\\*", "eno", false),
            ("*a*b", "xaxb", true),
            ("*a*b", "xaxbx", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// What a pattern of `*`, `?` and letters means, one character after the other, in exponential time.
    fn means(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                means(rest, name) || (!name.is_empty() && means(pattern, &name[1..]))
            }
            (Some((b'?', rest)), Some((_, name))) => means(rest, name),
            (Some((letter, rest)), Some((first, name))) => letter == first && means(rest, name),
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_means_what_it_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            proptest::prop_assert_eq!(
                matches(&pattern, &name),
                means(pattern.as_bytes(), name.as_bytes())
            );
        }

        #[test]
        fn a_name_with_all_its_characters_escaped_matches_itself_alone(
            name in "[a*?!^\\[\\]\\\\-]{0,8}",
            other in "[a*?!^\\[\\]\\\\-]{0,8}",
        ) {
            let pattern: String = name.chars().flat_map(|letter| ['\\', letter]).collect();
            proptest::prop_assert!(matches(&pattern, &name));
            proptest::prop_assert_eq!(matches(&pattern, &other), name == other);
        }
    }
}
