//! Goes over a text word by word and replaces what is a name or an address.
//!
//! What stands at a word depends on no more than [`BEHIND`] bytes before it and [`AHEAD`] bytes from it on. So a
//! text gives the same however it is cut into chunks, memory is bounded, and time is linear in the text.

mod addresses;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use super::address::Addresses;
use super::everywhere;
use super::fields::{self, Field, Part};
use super::hardware;
use super::key::Key;
use super::names::{Index, Kind, Names};
use super::recent::Recent;
use super::record::{Ledger, Record};

/// The most names in fields that are remembered.
const MOST_FIELDS: usize = 1 << 10;

/// How many bytes before a word may matter.
pub(super) const BEHIND: usize = 64;
/// How many bytes from a word's beginning on may matter: a name of 253 bytes with doubled dashes.
pub(super) const AHEAD: usize = 512;

/// What a text is replaced by, word by word.
#[derive(Debug)]
pub(super) struct Scanner {
    key: Key,
    addresses: Addresses,
    ipv4: Recent<Ipv4Addr, Ipv4Addr>,
    ipv6: Recent<Ipv6Addr, Ipv6Addr>,
    macs: Recent<[u8; 6], [u8; 6]>,
    interfaces: Recent<[u8; 11], [u8; 11]>,
    /// What became of names in fields; `None` where addresses alone are looked for.
    fields: Option<Answers>,
    pub(super) record: Record,
    /// What the place that was found last is replaced by.
    spelled: String,
}

/// The pseudonyms of names in fields; `None` for one that is kept.
type Answers = HashMap<(Kind, String), Option<String>>;

/// What stands at a word.
enum Found {
    /// To be replaced, from where, to where; by what is in [`Scanner::spelled`].
    Other(usize, usize),
    /// An address that stays; it ends here.
    Same(usize),
}

/// Letters and digits; all else parts words.
#[inline]
pub(super) fn is_word(byte: u8) -> bool {
    WORD[usize::from(byte)]
}

/// One look instead of three comparisons: every byte of every log goes through it.
static WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

impl Scanner {
    pub(super) fn new(key: Key, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self {
            addresses: Addresses::new(key.clone()),
            key,
            ipv4: Recent::new(),
            ipv6: Recent::new(),
            macs: Recent::new(),
            interfaces: Recent::new(),
            fields: Some(Answers::new()),
            record: Record::new(ledger),
            spelled: String::new(),
        }
    }

    /// Goes over the words that begin at or after `from` and before `limit`, and appends what they become to
    /// `out`. Returns how far the text was dealt with.
    pub(super) fn scan(
        &mut self,
        index: &Index,
        text: &[u8],
        from: usize,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> usize {
        let (mut copied, mut at) = (from, from);
        // The rest of a word whose beginning was dealt with.
        if from > 0 && is_word(text[from - 1]) {
            at += word_length(&text[from..]);
        }
        while at < limit {
            if !is_word(text[at]) {
                at += 1;
                continue;
            }
            let end = at + word_length(&text[at..]);
            if is_dull(index, text, at, end) {
                at = end;
                continue;
            }
            match self.word(index, text, at, end, copied) {
                Some(Found::Other(start, stop)) => {
                    out.extend_from_slice(&text[copied..start]);
                    out.extend_from_slice(self.spelled.as_bytes());
                    copied = stop;
                    at = stop;
                }
                Some(Found::Same(stop)) => at = stop,
                None => at = end,
            }
        }
        let done = at.max(limit).min(text.len());
        out.extend_from_slice(&text[copied..done]);
        done
    }

    /// What stands at the word from `start` to `end`; nothing before `copied` can be replaced any more.
    #[inline]
    fn word(
        &mut self,
        index: &Index,
        text: &[u8],
        start: usize,
        end: usize,
        copied: usize,
    ) -> Option<Found> {
        let next = text.get(end).copied().unwrap_or(b' ');
        let before = if start > 0 { text[start - 1] } else { b' ' };
        let first = text[start];
        if let Some(found) = self.at(index, text, start, end, next, copied) {
            return Some(found);
        }
        // An escape may stand right before a word and look like its beginning: `\n10.0.0.2`, `%2F10.0.0.2`.
        let escape = match (before, first) {
            (b'\\', b'n' | b't' | b'r') => 1,
            (b'\\', b'x') => 3,
            (b'\\', b'u') => 5,
            (b'%', _) => 2,
            // A terminal's colour: `ESC [ 1 ; 3 2 m`.
            (b'[' | b';', b'0'..=b'9') => {
                let digits = text[start..end].iter().take_while(|byte| byte.is_ascii_digit());
                let digits = digits.count();
                if text.get(start + digits) == Some(&b'm') { digits + 1 } else { 0 }
            }
            _ => 0,
        };
        if escape > 0 && start + escape < end {
            return self.at(index, text, start + escape, end, next, copied);
        }
        None
    }

    #[inline]
    fn at(
        &mut self,
        index: &Index,
        text: &[u8],
        start: usize,
        end: usize,
        next: u8,
        copied: usize,
    ) -> Option<Found> {
        let first = text[start];
        let found = match next {
            b'.' if first.is_ascii_digit() || end - start == 1 => self.dotted(text, start, end),
            b'-' if first.is_ascii_digit() && end - start <= 3 => self.dashed(text, start),
            b'_' => self.protocol(text, start, end),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
        if end - start <= 4
            && (next == b':' || start > 0 && text[start - 1] == b':')
            && let Some(found) = self.colons(text, start, copied)
        {
            return Some(found);
        }
        let known = index.find(text, start, end);
        if fields::may_begin(text, start)
            && let Some(field) = fields::before(text, start)
            && let Some(found) = self.field(index, text, start, field, known.map(|(stop, _)| stop))
        {
            return Some(found);
        }
        if let Some((stop, pseudonym)) = known {
            self.record.name();
            pseudonym.clone_into(&mut self.spelled);
            return Some(Found::Other(start, stop));
        }
        if next == b'-' && everywhere::begins_workload(&text[start..end]) {
            let stop = everywhere::workloads_at(&text[start..])
                .find_map(|workload| fields::system_pod(text, start, workload));
            let part = |stop| Part { place: start..stop, kind: Kind::Pod, is_doubled: false };
            return stop.and_then(|stop| self.parts(index, text, &[part(stop)]));
        }
        if first == b'c' && end - start == 15 {
            self.interface(&text[start..end], start)
        } else {
            None
        }
    }

    /// The names in the value of a field. `known`: where a name ends that was learnt and stands here; a longer one
    /// that was not is another.
    fn field(
        &mut self,
        index: &Index,
        text: &[u8],
        start: usize,
        field: Field,
        known: Option<usize>,
    ) -> Option<Found> {
        let parts = fields::names(text, start, field);
        let end = parts.last()?.place.end;
        if known.is_some_and(|known| known >= end) {
            return None;
        }
        self.parts(index, text, &parts)
    }

    /// Replaces names that stand one behind the other.
    fn parts(&mut self, index: &Index, text: &[u8], parts: &[Part]) -> Option<Found> {
        let (first, last) = (parts.first()?, parts.last()?);
        let mut spelled = String::new();
        let mut at = first.place.start;
        for part in parts {
            spelled.push_str(&String::from_utf8_lossy(&text[at..part.place.start]));
            at = part.place.end;
            let name = &text[part.place.clone()];
            match self.name(index, name, part) {
                Some(pseudonym) => {
                    self.record.name();
                    spelled.push_str(&pseudonym);
                }
                None => spelled.push_str(&String::from_utf8_lossy(name)),
            }
        }
        let place = first.place.start..last.place.end;
        if spelled.as_bytes() == &text[place.clone()] {
            return None;
        }
        self.spelled = spelled;
        Some(Found::Other(place.start, place.end))
    }

    /// The pseudonym of a name in a field, as it is to be spelled there. `None`: it is kept.
    fn name(&mut self, index: &Index, name: &[u8], part: &Part) -> Option<String> {
        let name = String::from_utf8_lossy(name);
        let name = if part.is_doubled { name.replace("--", "-") } else { name.into_owned() };
        let question = (part.kind, name.clone());
        let fields = self.fields.as_mut()?;
        let pseudonym = if let Some(answer) = fields.get(&question) {
            answer.clone()
        } else {
            let found = index.pseudonym(&self.key, &name, part.kind);
            if let Some((pseudonym, false)) = &found {
                self.record.met(pseudonym.clone(), name);
            }
            if fields.len() == MOST_FIELDS {
                fields.clear();
            }
            let answer = found.map(|(pseudonym, _)| pseudonym);
            fields.insert(question, answer.clone());
            answer
        }?;
        Some(if part.is_doubled { pseudonym.replace('-', "--") } else { pseudonym })
    }

    /// `cali` and eleven hexadecimal digits.
    fn interface(&mut self, word: &[u8], start: usize) -> Option<Found> {
        let hash = word.strip_prefix(b"cali")?;
        if !hash.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let hash = *hash.first_chunk()?;
        let (pseudonym, is_new) =
            self.interfaces.get(hash, || hardware::interface(&self.key, hash));
        self.record.interface(hash, is_new);
        self.spelled.clear();
        self.spelled.push_str("cali");
        self.spelled.extend(pseudonym.map(char::from));
        Some(Found::Other(start, start + word.len()))
    }
}

/// Whether nothing can stand at a word: true of most words, and told by a few looks.
#[inline]
fn is_dull(index: &Index, text: &[u8], start: usize, end: usize) -> bool {
    let first = text[start];
    let by_next = match text.get(end) {
        Some(b'.') => first.is_ascii_digit() || end - start == 1,
        Some(b'-') => {
            first.is_ascii_digit() && end - start <= 3
                || matches!(first, b'c' | b'k' | b't')
                    && everywhere::begins_workload(&text[start..end])
        }
        Some(b'_') => matches!(first, b'M' | b'N' | b'G' | b'W' | b'L'),
        Some(b':') => end - start <= 4 && first.is_ascii_hexdigit(),
        _ => false,
    };
    let by_before = match start.checked_sub(1).map(|before| text[before]) {
        Some(b':') => end - start <= 4 && first.is_ascii_hexdigit(),
        Some(b'\\' | b'%') => true,
        Some(b'[' | b';') => first.is_ascii_digit(),
        _ => false,
    };
    let is_interface = first == b'c' && end - start == 15;
    let may_be = by_next | by_before | is_interface | index.may_begin(text, start, end);
    let is_value = || fields::may_begin(text, start) && fields::before(text, start).is_some();
    !(may_be || is_value())
}

#[inline]
fn word_length(text: &[u8]) -> usize {
    text.iter().position(|&byte| !is_word(byte)).unwrap_or(text.len())
}

/// Whether a name has an address in it that is replaced wherever it stands.
pub(super) fn holds_address(name: &str) -> bool {
    let key = Key::new(&[0; 32]);
    let index = Index::new(&key, &Names::default());
    let mut out = Vec::new();
    let mut scanner = Scanner::new(key, Arc::default());
    scanner.fields = None;
    scanner.scan(&index, name.as_bytes(), 0, name.len(), &mut out);
    out != name.as_bytes()
}
