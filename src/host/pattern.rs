//! Which files of a tree are wanted: patterns of paths, in which `*` and `?` match within a component and `**` any
//! number of components.

use super::Tree;

/// The patterns of a tree.
pub(super) struct Patterns {
    wanted: Vec<Pattern>,
    unwanted: Vec<Pattern>,
}

impl Patterns {
    pub(super) fn of(tree: &Tree) -> Self {
        let (unwanted, wanted): (Vec<&str>, Vec<&str>) =
            tree.include.iter().partition(|pattern| pattern.starts_with('!'));
        Self {
            wanted: wanted.into_iter().map(Pattern::new).collect(),
            unwanted: unwanted.iter().map(|pattern| Pattern::new(&pattern[1..])).collect(),
        }
    }

    /// How a path fares, by its components.
    pub(super) fn matches(&self, path: &[&[u8]]) -> Match {
        if self.unwanted.iter().any(|pattern| pattern.matches(path) == Match::Whole) {
            return Match::No;
        }
        self.wanted.iter().map(|pattern| pattern.matches(path)).max().unwrap_or(Match::No)
    }
}

/// A pattern of paths: `*` and `?` match within a component, `**` any number of components.
struct Pattern(Vec<Vec<u8>>);

/// How a path fares with a pattern, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    /// Neither it nor anything beneath it matches.
    No,
    /// Something beneath it may match.
    Beneath,
    /// It matches.
    Whole,
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        Self(pattern.split('/').map(|component| component.as_bytes().to_vec()).collect())
    }

    fn matches(&self, path: &[&[u8]]) -> Match {
        components_match(&self.0, path)
    }
}

fn components_match(pattern: &[Vec<u8>], path: &[&[u8]]) -> Match {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => Match::Whole,
        (Some((any, rest)), _) if any == b"**" => {
            let none = components_match(rest, path);
            let one = match path.split_first() {
                Some((_, below)) => components_match(pattern, below),
                None => Match::Beneath,
            };
            none.max(one)
        }
        (Some(_), None) => Match::Beneath,
        (Some((first, rest)), Some((name, below))) if component_matches(first, name) => {
            components_match(rest, below)
        }
        _ => Match::No,
    }
}

/// The usual two pointers: after a mismatch the last `*` takes one byte more. Never more than the product of the
/// lengths.
fn component_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut in_pattern, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(in_pattern) {
            Some(b'*') => {
                star = Some((in_pattern, in_name));
                in_pattern += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[in_name] => {
                in_pattern += 1;
                in_name += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (in_pattern, in_name) = (at + 1, taken + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_within_a_component_and_across_any_number_of_them() {
        let matches = |pattern: &str, path: &str| {
            let path: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            Pattern::new(pattern).matches(&path)
        };
        for (pattern, path, expected) in [
            ("*.log", "a.log", Match::Whole),
            ("*.log", "a.log.1", Match::No),
            ("*.log", "b/a.log", Match::No),
            ("**", "a", Match::Whole),
            ("**", "a/b/c", Match::Whole),
            ("**/*.log", "a.log", Match::Whole),
            ("**/*.log", "x/y/a.log", Match::Whole),
            ("**/*.log", "x/y", Match::Beneath),
            ("*calico*/**", "kube-system_calico-node-x_1/calico-node/0.log", Match::Whole),
            ("*calico*/**", "default_web_1", Match::No),
            ("*/0.?", "a/0.1", Match::Whole),
            ("*/0.?", "a/0.10", Match::No),
            ("*/0.?", "a", Match::Beneath),
            ("a/**/z", "a/z", Match::Whole),
            ("a/**/z", "a/b/c/z", Match::Whole),
            ("a/**/z", "b/z", Match::No),
            ("a*b*c", "aXbYbZc", Match::Whole),
            ("a*b*c", "aXbYbZ", Match::No),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    proptest! {
        /// A regular expression made of the pattern is the reference.
        #[test]
        fn a_component_matches_as_its_regular_expression_does(
            pattern in "[ab*?]{0,8}",
            name in "[ab]{0,12}",
        ) {
            let expression = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            let expected = regex::bytes::Regex::new(&expression).unwrap().is_match(name.as_bytes());
            prop_assert_eq!(component_matches(pattern.as_bytes(), name.as_bytes()), expected);
        }
    }

    #[test]
    fn what_begins_with_an_exclamation_mark_is_taken_out() {
        let patterns = Patterns::of(&Tree::new("/x", &["conf/**", "!conf/*/secret"]));
        let matches =
            |path: &str| patterns.matches(&path.split('/').map(str::as_bytes).collect::<Vec<_>>());
        assert_eq!(matches("conf/all/mtu"), Match::Whole);
        assert_eq!(matches("conf/all/secret"), Match::No);
        assert_eq!(matches("conf"), Match::Whole);
    }
}
