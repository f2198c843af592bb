//! What must not leave the node: secrets are cut out of every text before it is written.
//!
//! Twice. By format: rows of rules that know how passwords, keys and tokens stand in configuration, logs and
//! command lines. By value: every secret that was found on the node beforehand is searched for in all that
//! leaves, plain, in base64, hexadecimal, and escaped. A secret becomes `[redacted:RULE]`, what stands around it
//! stays, and only counts are kept.
//!
//! ```text
//! password "s3cr3t";                   password "[redacted:router-password]";
//! {"token": "s3cr3t"}                  {"token": "[redacted:named-value]"}
//! https://user:s3cr3t@etcd:2379        https://user:[redacted:url-password]@etcd:2379
//! ```
//!
//! `docs/redaction.md` says what is found and what can not be.

mod forms;
mod grams;
mod names;
mod rules;
mod scan;
mod secrets;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::mem::take;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::obfuscate::{self, Obfuscator};
use grams::Grams;
use rules::KNOWN_VALUE;
use scan::{Cut, Leaves, Scanner};

pub use rules::Rule;
pub use secrets::Secrets;

/// Under which name the counts of a text have the names and addresses that became pseudonyms.
pub const OBFUSCATED: &str = "obfuscated";

/// Cuts secrets out of texts. Cheap to clone; one serves a whole run.
#[derive(Clone)]
pub struct Redactor {
    known: Arc<Grams>,
    obfuscator: Option<Obfuscator>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// Knows the rules by format and these secrets by value.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self { known: Arc::new(secrets.search()), obfuscator: None }
    }

    /// Names and addresses are replaced too, after the secrets were cut out.
    #[must_use]
    pub fn obfuscating(self, obfuscator: Obfuscator) -> Self {
        Self { obfuscator: Some(obfuscator), ..self }
    }

    /// For one text in which a secret may stand: every rule applies.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream::new(self, true)
    }

    /// For one text in which no user could put a secret: only known values are searched for.
    #[must_use]
    pub fn stream_values_only(&self) -> Stream {
        Stream::new(self, false)
    }

    /// A whole text at once, and how often each rule was applied.
    #[must_use]
    pub fn redact(&self, text: Vec<u8>) -> (Vec<u8>, BTreeMap<String, u64>) {
        let mut stream = self.stream();
        let mut redacted = stream.push(text);
        let (rest, counts) = stream.finish();
        redacted.extend(rest);
        (redacted, counts)
    }

    /// The name of a file without the secrets in it.
    #[must_use]
    pub fn redact_name(&self, name: &str) -> String {
        let (redacted, _) = self.redact(name.as_bytes().to_vec());
        String::from_utf8_lossy(&redacted).into_owned()
    }
}

/// The rules by format, in the order in which one of them gives its name to what several of them found.
#[must_use]
pub fn rules() -> &'static [Rule] {
    rules::RULES
}

/// One text on its way out, in chunks. How it is split into chunks does not matter; memory is bounded by the
/// chunk and one piece of a very long line.
pub struct Stream {
    known: Arc<Grams>,
    by_format: bool,
    scanner: Scanner,
    /// The beginning of a line whose end has not come yet.
    held: Vec<u8>,
    counts: [u64; KNOWN_VALUE + 1],
    obfuscator: Option<Obfuscator>,
    obfuscation: Option<obfuscate::Stream>,
}

/// The text that is held back may hold a secret.
impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Stream {
    fn new(redactor: &Redactor, by_format: bool) -> Self {
        Self {
            known: Arc::clone(&redactor.known),
            by_format,
            scanner: Scanner::new(),
            held: Vec::new(),
            counts: [0; KNOWN_VALUE + 1],
            obfuscation: redactor.obfuscator.as_ref().map(|obfuscator| obfuscator.stream("")),
            obfuscator: redactor.obfuscator.clone(),
        }
    }

    /// The text is that of the artifact at this path in the bundle; to be said before any of it comes.
    #[must_use]
    pub fn of(self, path: &str) -> Self {
        let obfuscation = self.obfuscator.as_ref().map(|obfuscator| obfuscator.stream(path));
        Self { obfuscation, ..self }
    }

    /// Takes the next chunk and gives what can be written by now, which may be nothing.
    #[must_use]
    pub fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        let redacted = self.cut(chunk);
        match &mut self.obfuscation {
            Some(obfuscation) if !redacted.is_empty() => obfuscation.push(redacted),
            _ => redacted,
        }
    }

    fn cut(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        let together = self.held.len() + chunk.len();
        if together < scan::PIECE + scan::OVERLAP && !chunk.iter().any(|&byte| scan::is_end(byte)) {
            if self.held.is_empty() {
                self.held = chunk;
            } else {
                self.held.extend_from_slice(&chunk);
            }
            return Vec::new();
        }
        let mut text = take(&mut self.held);
        if text.is_empty() {
            text = chunk;
        } else {
            text.extend_from_slice(&chunk);
        }
        self.redact(text, false)
    }

    /// Gives the rest, and how often each rule was applied.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, BTreeMap<String, u64>) {
        let held = take(&mut self.held);
        let mut rest = self.redact(held, true);
        let mut counts = BTreeMap::new();
        for (rule, &count) in self.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            *counts.entry(rules::name(rule).to_owned()).or_insert(0) += count;
        }
        if let Some(mut obfuscation) = self.obfuscation {
            rest = obfuscation.push(rest);
            let (end, count) = obfuscation.finish();
            rest.extend(end);
            if count > 0 {
                counts.insert(OBFUSCATED.to_owned(), count);
            }
        }
        (rest, counts)
    }

    fn redact(&mut self, mut text: Vec<u8>, last: bool) -> Vec<u8> {
        let mut cuts = Vec::new();
        let done = self.scanner.scan(&text, last, self.by_format, &self.known, &mut cuts);
        self.held = text.split_off(done);
        if cuts.is_empty() { text } else { self.splice(&text, cuts) }
    }

    /// Writes the marker in the place of each cut; of cuts that overlap the first rule's.
    fn splice(&mut self, text: &[u8], mut cuts: Vec<Cut>) -> Vec<u8> {
        cuts.sort_by_key(|cut| (cut.range.start, cut.rule));
        let mut redacted = Vec::with_capacity(text.len() + 32 * cuts.len().min(1024));
        let mut at = 0;
        let mut cuts = cuts.into_iter().peekable();
        while let Some(mut cut) = cuts.next() {
            while let Some(other) = cuts.next_if(|other| other.range.start < cut.range.end) {
                cut.range.end = cut.range.end.max(other.range.end);
                if other.rule < cut.rule {
                    (cut.rule, cut.leaves) = (other.rule, other.leaves);
                }
            }
            redacted.extend_from_slice(&text[at..cut.range.start]);
            at = cut.range.end;
            let backslashes = match cut.leaves {
                Leaves::Nothing => continue,
                Leaves::Marker => None,
                Leaves::Quoted(backslashes) => Some(backslashes),
            };
            self.counts[cut.rule] += 1;
            let mark = backslashes.map(|backslashes| "\\".repeat(backslashes) + "\"");
            let mark = mark.unwrap_or_default();
            let marker = format!("{mark}[redacted:{}]{mark}", rules::name(cut.rule));
            redacted.extend_from_slice(marker.as_bytes());
        }
        redacted.extend_from_slice(&text[at..]);
        redacted
    }
}

/// Base64, standard or for URLs, with or without padding, and an odd end cut off.
const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// What base64 text stands for; `None` if it is not base64 of at least a few bytes.
fn base64_text(encoded: &[u8]) -> Option<Vec<u8>> {
    let encoded = encoded.trim_ascii_end();
    let padding = encoded.iter().rev().take_while(|&&byte| byte == b'=').count();
    let encoded = &encoded[..encoded.len() - padding];
    let whole = if encoded.len() % 4 == 1 { encoded.len() - 1 } else { encoded.len() };
    let alphabet = if encoded.iter().any(|byte| b"-_".contains(byte)) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    let engine = GeneralPurpose::new(alphabet, FORGIVING);
    engine.decode(&encoded[..whole]).ok().filter(|text| text.len() >= 4)
}
