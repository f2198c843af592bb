//! One answer of BIRD's control socket, as lines with their codes.
//!
//! ```text
//! 0001 BIRD v0.3.3+birdv1.6.8 ready.
//! 1000-BIRD v0.3.3+birdv1.6.8
//! 1011-Router ID is 10.0.0.1
//!  Current server time is 2026-11-23 01:53:00
//! 0013 Daemon is up and running
//! ```
//!
//! A line is four digits, then `-` (more lines follow) or a blank (the last line of this answer), then text. A
//! line that starts with a blank continues with the code of the line before; one that starts with `+` is
//! asynchronous. The daemon speaks first: `0001`. See `doc/reply_codes` and `nest/cli.c` in BIRD's sources.
//!
//! An answer is foreign input: whatever it holds, it is bounded, kept as far as it is understood, and what is not
//! understood is counted.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest text of a line that is kept, in bytes. BIRD's own lines stay below 4 KiB.
pub const MAX_LINE: usize = 64 << 10;

/// Hardly a line has fewer bytes on average.
const LINE: usize = 32;

/// The most characters that are kept of what BIRD says in place of an answer.
const MAX_REFUSAL: usize = 200;

/// One answer, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What the daemon said on connecting (`BIRD 2.0.12 ready.`), if that is part of the bytes.
    pub welcome: Option<Cow<'a, str>>,
    /// The lines before the last, and the last too if it carries data (code 1000 to 2999).
    pub lines: Vec<Line<'a>>,
    /// The line that ends the answer; `None` if the answer is cut off.
    pub end: Option<Line<'a>>,
    /// What was passed over.
    pub oddities: Oddities,
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The reply code; a continuation has that of the line before it.
    pub code: u16,
    /// What follows the code and its separator, with its indentation; bytes that are not UTF-8 are replaced.
    pub text: Cow<'a, str>,
}

/// How much of an answer was not plain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Asynchronous lines (`+`), which belong to no answer.
    pub asynchronous: usize,
    /// Lines, kept, whose code no known BIRD sends.
    pub unknown_codes: usize,
    /// Lines, not kept, that are none of BIRD's.
    pub malformed: usize,
    /// Lines, kept, of which only the first [`MAX_LINE`] bytes are.
    pub shortened: usize,
    /// Lines, not kept, that came after the end.
    pub after_end: usize,
}

/// Whether `line` (with or without its line feed) is the last of an answer: four digits and a blank, or four
/// digits alone. The welcome `0001 ` is an answer of its own.
#[must_use]
pub fn ends_reply(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match line.split_at_checked(4) {
        Some((code, rest)) => {
            code.iter().all(u8::is_ascii_digit) && (rest.is_empty() || rest[0] == b' ')
        }
        None => false,
    }
}

/// Takes an answer apart.
///
/// A last line without its line feed is half a line and not believed, but for `0000 `, which has no text that
/// could be cut.
#[must_use]
pub fn parse(bytes: &[u8]) -> Reply<'_> {
    let mut reply = Reply { lines: Vec::with_capacity(bytes.len() / LINE), ..Reply::default() };
    let mut last_code = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let line = match memchr::memchr(b'\n', rest) {
            Some(end) => {
                let line = &rest[..end];
                rest = &rest[end + 1..];
                line
            }
            None if rest == b"0000 " => std::mem::take(&mut rest),
            None => break,
        };
        if reply.end.is_some() {
            reply.oddities.after_end += 1;
            continue;
        }
        match line.first() {
            Some(b'+') => reply.oddities.asynchronous += 1,
            Some(b' ') => match last_code {
                Some(code) => reply.keep(code, &line[1..]),
                None => reply.oddities.malformed += 1,
            },
            _ => match code(line) {
                Some(code) if ends_reply(line) => reply.finish(code, line.get(5..).unwrap_or(b"")),
                Some(code) => {
                    last_code = Some(code);
                    reply.keep(code, &line[5..]);
                }
                None => reply.oddities.malformed += 1,
            },
        }
    }
    reply
}

/// The code of a line that has one of its own.
fn code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    matches!(line.get(4), None | Some(b'-' | b' ')).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether some BIRD sends this code (`doc/reply_codes`; 3 adds at the ends of these ranges).
const fn is_known(code: u16) -> bool {
    matches!(code, 0..=26 | 1000..=1030 | 2002 | 2005 | 8000..=8008 | 9000..=9003)
}

impl<'a> Reply<'a> {
    /// Keeps a line that does not end the answer.
    fn keep(&mut self, code: u16, text: &'a [u8]) {
        let line = self.line(code, text);
        self.lines.push(line);
    }

    /// Takes a line that ends an answer: the daemon's greeting and its consent to `restrict` come before the
    /// answer to any question.
    fn finish(&mut self, code: u16, text: &'a [u8]) {
        let line = self.line(code, text);
        match code {
            1 if self.lines.is_empty() => self.welcome = Some(line.text),
            16 if self.lines.is_empty() => {}
            1000..=2999 => {
                self.lines.push(line.clone());
                self.end = Some(line);
            }
            _ => self.end = Some(line),
        }
    }

    fn line(&mut self, code: u16, text: &'a [u8]) -> Line<'a> {
        if !is_known(code) {
            self.oddities.unknown_codes += 1;
        }
        if text.len() > MAX_LINE {
            self.oddities.shortened += 1;
        }
        Line { code, text: String::from_utf8_lossy(&text[..text.len().min(MAX_LINE)]) }
    }

    /// Whether the answer came to its end.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.end.is_some()
    }

    /// What BIRD said instead of an answer, with its code (`9001 syntax error`). That there is nothing that
    /// matches (8001, 8003) is an answer.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.end.as_ref().filter(|end| end.code >= 8000 && !matches!(end.code, 8001 | 8003)).map(
            |end| {
                let words: String = end.text.chars().take(MAX_REFUSAL).collect();
                format!("{:04} {words}", end.code)
            },
        )
    }

    /// Whether bytes came that are no answer of BIRD's at all.
    #[must_use]
    pub fn is_garbage(&self) -> bool {
        self.end.is_none() && self.lines.is_empty() && self.oddities.malformed > 0
    }
}

/// Why a daemon gave no whole answer. A reading's reason starts with this word and a colon
/// (`refused: /run/bird/bird.ctl: ...`), so that the kind of trouble survives in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    /// There is no socket at any of the places: the daemon was never started here.
    Absent,
    /// A socket is there, nobody listens on it: the daemon is gone.
    Refused,
    /// More privilege is needed.
    Denied,
    /// The backlog is full: the daemon is alive and does not accept.
    Blocked,
    /// It accepted and did not answer, or not to the end, within the time.
    TimedOut,
    /// The answer ended before its last line.
    CutOff,
    /// What came is not BIRD's protocol.
    Garbled,
    /// Anything else.
    Failed,
}

impl Trouble {
    const ALL: [Self; 8] = [
        Self::Absent,
        Self::Refused,
        Self::Denied,
        Self::Blocked,
        Self::TimedOut,
        Self::CutOff,
        Self::Garbled,
        Self::Failed,
    ];

    /// The word that a reason starts with.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Blocked => "blocked",
            Self::TimedOut => "timed out",
            Self::CutOff => "cut off",
            Self::Garbled => "garbled",
            Self::Failed => "failed",
        }
    }

    /// The kind of trouble that a reason tells of, if it starts with one of the words and a colon.
    #[must_use]
    pub fn of(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| {
            reason.strip_prefix(trouble.word()).is_some_and(|rest| rest.starts_with(": "))
        })
    }

    /// A reason of this kind.
    #[must_use]
    pub fn because(self, detail: &str) -> String {
        format!("{self}: {detail}")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &[u8] = include_bytes!("../../tests/samples/bird/1.6.8/show_status.txt");
    const NONSENSE: &[u8] = include_bytes!("../../tests/samples/bird/2.0.12/nonsense_command.txt");

    fn texts<'a>(reply: &'a Reply<'_>) -> Vec<(u16, &'a str)> {
        reply.lines.iter().map(|line| (line.code, line.text.as_ref())).collect()
    }

    #[test]
    fn a_line_ends_a_reply_by_four_digits_and_a_blank() {
        for line in [&b"0000 "[..], b"0000 \n", b"0013 Daemon is up", b"9001 syntax error", b"0000"]
        {
            assert!(ends_reply(line), "{line:?}");
        }
        assert!(ends_reply(b"0001 BIRD 1.6.8 ready.\n"));
        for line in [&b""[..], b"\n", b" 0000 ", b" ", b"000 ", b"00000 ", b"1000-BIRD", b"+000 "] {
            assert!(!ends_reply(line), "{line:?}");
        }
        assert!(!ends_reply(b" 10.0.0.0/24 dev eth0"));
        assert!(!ends_reply("٠٠٠٠ ".as_bytes()));
    }

    #[test]
    fn continuation_lines_have_the_code_of_the_line_before_and_keep_their_indentation() {
        let reply = parse(b"0001 BIRD 1.6.8 ready.\n1006-  A:  1\n   B:  2\n \n1002-x\n0000 \n");
        assert_eq!(reply.welcome.as_deref(), Some("BIRD 1.6.8 ready."));
        assert_eq!(texts(&reply), [(1006, "  A:  1"), (1006, "  B:  2"), (1006, ""), (1002, "x")]);
        assert!(reply.is_whole());
        assert_eq!(reply.oddities, Oddities::default());
    }

    #[test]
    fn every_cut_of_a_reply_is_seen_as_cut_off() {
        for end in 0..STATUS.len() {
            assert!(!parse(&STATUS[..end]).is_whole(), "cut at {end}");
        }
        assert!(parse(STATUS).is_whole());
    }

    #[test]
    fn half_a_line_is_not_kept() {
        let reply =
            parse(b"1002-Mesh_10_0_0_2 BGP master up 01:43:31 Established\n Mesh_10_0_0_3 BGP ma");
        assert_eq!(reply.lines.len(), 1);
        assert!(!reply.is_whole());
    }

    #[test]
    fn a_final_line_without_text_needs_no_line_feed() {
        assert!(parse(b"1002-x\n0000 ").is_whole());
        assert!(!parse(b"1002-x\n0014 1").is_whole(), "the number may be cut");
    }

    #[test]
    fn a_final_line_with_data_is_data_too() {
        let reply = parse(b"1002-x\n1002 y\n");
        assert_eq!(texts(&reply), [(1002, "x"), (1002, "y")]);
        assert!(reply.is_whole());
    }

    #[test]
    fn the_consent_to_restrict_is_no_answer() {
        let reply =
            parse(b"0001 BIRD 2.0.12 ready.\n0016 Access restricted\n1000-BIRD 2.0.12\n0013 Up\n");
        assert_eq!(reply.end.map(|end| end.code), Some(13));
        assert!(!parse(b"0001 BIRD 2.0.12 ready.\n0016 Access restricted\n").is_whole());
    }

    #[test]
    fn a_refusal_carries_its_code_and_no_match_is_an_answer() {
        let refusal = parse(NONSENSE).refusal();
        assert_eq!(refusal.as_deref(), Some("9001 syntax error, unexpected CF_SYM_UNDEFINED"));
        assert_eq!(parse(b"8007 Access denied\n").refusal().as_deref(), Some("8007 Access denied"));
        assert_eq!(parse(b"8003 No protocols match\n").refusal(), None);
        assert_eq!(parse(STATUS).refusal(), None);
    }

    #[test]
    fn oddities_are_counted_and_the_rest_is_kept() {
        let reply = parse(b"+async line\n\x00\x1b[2J\n1002-a\x00\x1b\xff\n7777-new\n0000 \nlate\n");
        assert_eq!(texts(&reply), [(1002, "a\0\u{1b}\u{fffd}"), (7777, "new")]);
        let expected = Oddities {
            asynchronous: 1,
            unknown_codes: 1,
            malformed: 1,
            shortened: 0,
            after_end: 1,
        };
        assert_eq!(reply.oddities, expected);
    }

    #[test]
    fn a_continuation_of_nothing_is_malformed() {
        assert_eq!(parse(b" orphan\n0000 \n").oddities.malformed, 1);
    }

    #[test]
    fn an_endless_line_is_shortened() {
        let mut bytes = b"1002-".to_vec();
        bytes.resize(5 + MAX_LINE + 1, b'x');
        bytes.extend_from_slice(b"\n0000 \n");
        let reply = parse(&bytes);
        assert_eq!(reply.lines[0].text.len(), MAX_LINE);
        assert_eq!(reply.oddities.shortened, 1);
        assert!(reply.is_whole());
    }

    #[test]
    fn what_is_not_birds_is_garbage() {
        assert!(parse(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_garbage());
        assert!(!parse(b"").is_garbage());
        assert!(!parse(STATUS).is_garbage());
    }

    #[test]
    fn a_reason_tells_its_trouble() {
        for trouble in Trouble::ALL {
            assert_eq!(Trouble::of(&trouble.because("x")), Some(trouble));
        }
        assert_eq!(Trouble::of("timed out: no answer in 10 s"), Some(Trouble::TimedOut));
        assert_eq!(Trouble::of("timed out after 10 s"), None);
        assert_eq!(Trouble::of("no such file"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_no_line_is_lost(bytes: Vec<u8>) {
            let reply = parse(&bytes);
            let odd = reply.oddities;
            let kept = reply.lines.len() + odd.asynchronous + odd.malformed + odd.after_end;
            let terminated = bytes.split(|byte| *byte == b'\n').count();
            // The end of an answer, a welcome and a consent are counted in none of them.
            prop_assert!(kept <= terminated);
        }

        #[test]
        fn a_mutated_reply_is_survived(at in 0..STATUS.len(), byte: u8) {
            let mut bytes = STATUS.to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
