//! What the terminal takes: colour, by the conventions of no-color.org and bixense.com/clicolors, and characters beyond
//! ASCII, by the locale.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::fd::AsFd;

/// Whether a stream may be coloured where the user does not say.
pub(super) fn takes_colour(is_terminal: bool) -> bool {
    colour(is_terminal, |name| std::env::var_os(name))
}

fn colour(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is_zero = |name| variable(name).is_some_and(|value| value == "0");
    if is_set("NO_COLOR") {
        return false;
    }
    if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") {
        return true;
    }
    is_terminal
        && !is_zero("CLICOLOR")
        && variable("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// How many columns the terminal has to which a stream goes; `None`: it goes to a file or a pipe.
pub(super) fn columns(stream: impl AsFd) -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(stream)?;
    Some(columns.into())
}

/// Whether the locale writes UTF-8: the first of these variables that is set decides (POSIX, XBD 8.2).
pub(super) fn takes_unicode() -> bool {
    unicode(|name| std::env::var_os(name))
}

fn unicode(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| variable(name))
        .find(|value| !value.is_empty());
    locale.is_some_and(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// The text in ASCII: an ellipsis is three dots, and what ASCII has nothing for is a question mark.
pub(super) fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '…' => shown.push_str("..."),
            '–' | '—' => shown.push('-'),
            _ if character.is_ascii() => shown.push(character),
            _ => shown.push('?'),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        }
    }

    #[test]
    fn colour_is_for_terminals_that_take_it_and_for_who_forces_it() {
        for (is_terminal, variables, expected) in [
            (true, &[("TERM", "xterm")][..], true),
            (false, &[("TERM", "xterm")], false),
            (true, &[], false),
            (true, &[("TERM", "dumb")], false),
            (true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (true, &[("TERM", "xterm"), ("NO_COLOR", "")], true),
            (true, &[("TERM", "xterm"), ("CLICOLOR", "0")], false),
            (false, &[("CLICOLOR_FORCE", "1")], true),
            (false, &[("CLICOLOR_FORCE", "0"), ("TERM", "xterm")], false),
            (false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        ] {
            assert_eq!(colour(is_terminal, of(variables)), expected, "{is_terminal} {variables:?}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_tells_the_locale() {
        assert!(unicode(of(&[("LANG", "de_DE.UTF-8")])));
        assert!(unicode(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")])));
        assert!(!unicode(of(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")])));
        assert!(!unicode(of(&[])));
    }

    #[test]
    fn what_ascii_has_nothing_for_is_a_question_mark() {
        assert_eq!(ascii("cut off… – ä"), "cut off... - ?");
    }
}
