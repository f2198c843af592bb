//! Secrets that are known by value, and every form in which they may come back.
//!
//! A token that stands in a kubeconfig may stand in a log too, without its name, or base64 within a file that
//! embeds the kubeconfig. What is learned here is searched for, byte by byte, in all that leaves.

use std::collections::BTreeSet;
use std::fmt;

use super::forms::{forms, percent_decoded};
use super::grams::Grams;
use super::names;
use super::scan::{Scanner, is_end};

/// The shortest value that is searched for.
const SHORTEST: usize = 6;
/// From this length on a value may consist of one class of characters.
const LONG_ENOUGH: usize = 8;
/// The longest value that is searched for in one piece; its longest form is shorter than a piece's overlap.
const LONGEST: usize = 4 << 10;
/// The most values that are kept, and their bytes: what is read may hold any number.
const MOST_VALUES: usize = 20_000;
const MOST_BYTES: usize = 4 << 20;

/// Words that are too common to be searched for although somebody chose them as a password.
const COMMON: &[&str] = &[
    "administrator",
    "authentication",
    "bootstrap",
    "calico",
    "calico-node",
    "changeme",
    "cluster",
    "complete",
    "default",
    "disabled",
    "enabled",
    "established",
    "internal",
    "kube-system",
    "kubernetes",
    "localhost",
    "password",
    "private",
    "protocol",
    "required",
    "secret",
    "service",
    "unknown",
];

/// Values that must not leave, gathered before anything is written.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeSet<Vec<u8>>,
    bytes: usize,
    skipped: BTreeSet<Vec<u8>>,
    overflow: u64,
}

/// Counts only: the values are what must not be shown.
impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secrets")
            .field("values", &self.len())
            .field("skipped", &self.skipped())
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many values are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many values were found that are not searched for by value: too short, common words, addresses, or
    /// more than can be kept. The rules by format cut them all the same where they stand with their names.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped.len() as u64 + self.overflow
    }

    /// Learns what the rules by format find in a text: a configuration file, an environment, a command line.
    pub fn learn(&mut self, text: &[u8]) {
        let mut cuts = Vec::new();
        Scanner::new().scan(text, true, true, &Grams::new(Vec::new(), false), &mut cuts);
        for cut in cuts {
            self.learn_captured(&text[cut.range]);
        }
    }

    /// Learns one value, such as the content of a variable that is known to be secret.
    pub fn learn_value(&mut self, value: &[u8]) {
        for part in value.split(|&byte| is_end(byte)) {
            let part = part.trim_ascii();
            for piece in part.chunks(LONGEST) {
                self.add(piece);
            }
        }
    }

    /// Learns a file that is a credential as a whole: a token, a password, a private key (each line of its
    /// body). Of a file with structure, such as a kubeconfig, what the rules find is learned.
    pub fn learn_credential_file(&mut self, content: &[u8]) {
        if names::contains(content, b"-----BEGIN") {
            self.learn_pem(content);
            self.learn(content);
        } else if std::str::from_utf8(content).is_err() {
            // A key in binary form: its encoded forms do not depend on what stands around.
            content
                .split(|&byte| is_end(byte))
                .filter(|part| part.len() >= 2 * LONG_ENOUGH)
                .for_each(|part| self.learn_value(part));
        } else if content.trim_ascii().iter().any(|&byte| is_end(byte)) {
            self.learn(content);
            let words = content.split(|&byte| is_end(byte)).map(<[u8]>::trim_ascii);
            words
                .filter(|word| word.len() >= 2 * LONG_ENOUGH && names::classes(word) >= 3)
                .filter(|word| !word.iter().any(|byte| b" \t:=\"{}[]#".contains(byte)))
                .filter(|word| !names::is_path(word))
                .for_each(|word| self.learn_value(word));
        } else {
            self.learn(content);
            self.learn_value(content);
        }
    }

    /// Learns what a rule captured, and what is inside it.
    fn learn_captured(&mut self, raw: &[u8]) {
        let raw = raw.trim_ascii();
        self.learn_decoded(raw);
        if raw.contains(&b'\\')
            && let Ok(text) = serde_json::from_slice::<String>(&[b"\"", raw, b"\""].concat())
        {
            self.learn_decoded(text.as_bytes());
        }
        if raw.contains(&b'%') {
            self.learn_decoded(&percent_decoded(raw));
        }
        if names::contains(raw, b"''") {
            self.learn_decoded(&String::from_utf8_lossy(raw).replace("''", "'").into_bytes());
        }
        if let Some(text) = super::base64_text(raw) {
            if names::contains(&text, b"PRIVATE KEY") {
                self.learn_pem(&text);
            } else if text.iter().all(u8::is_ascii_graphic) {
                let password =
                    text.iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
                self.learn_value(&text[password..]);
            }
        }
    }

    fn learn_decoded(&mut self, value: &[u8]) {
        if names::contains(value, b"-----BEGIN") || names::contains(value, b"-----END") {
            self.learn_pem(value);
        } else if names::contains(value, b"apiVersion:") {
            self.learn(value);
        } else {
            self.learn_value(value);
        }
    }

    /// Learns the bodies of private keys, line by line and as one, and leaves certificates alone.
    fn learn_pem(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).replace("\\n", "\n");
        let mut body: Option<String> = None;
        for line in text.lines().map(str::trim) {
            if line.contains("-----BEGIN") {
                body = line.contains("PRIVATE KEY").then(String::new);
            } else if line.contains("-----END") {
                self.learn_value(body.take().unwrap_or_default().as_bytes());
            } else if let Some(body) = &mut body
                && !line.contains(": ")
            {
                self.learn_value(line.as_bytes());
                body.push_str(line);
            }
        }
        self.learn_value(body.unwrap_or_default().as_bytes());
    }

    fn add(&mut self, value: &[u8]) {
        if names::is_placeholder(value) || self.values.contains(value) {
            return;
        }
        if !is_searchable(value) {
            if self.skipped.len() < MOST_VALUES {
                self.skipped.insert(value.to_vec());
            }
        } else if self.values.len() >= MOST_VALUES || self.bytes + value.len() > MOST_BYTES {
            self.overflow += 1;
        } else {
            self.bytes += value.len();
            self.values.insert(value.to_vec());
        }
    }

    /// Every form of every value, ready to be searched for.
    pub(super) fn search(&self) -> Grams {
        let forms: BTreeSet<Vec<u8>> = self
            .values
            .iter()
            .flat_map(|value| forms(value))
            .filter(|form| form.len() >= SHORTEST && !form.iter().any(|&byte| is_end(byte)))
            .collect();
        Grams::new(forms.into_iter().collect(), false)
    }
}

/// Whether a value is distinct enough to be searched for without harm to the rest of a text.
fn is_searchable(value: &[u8]) -> bool {
    let text = String::from_utf8_lossy(value);
    let address = text.parse::<std::net::IpAddr>().is_ok()
        || text.parse::<std::net::SocketAddr>().is_ok()
        || text
            .split_once('/')
            .is_some_and(|(address, _)| address.parse::<std::net::IpAddr>().is_ok());
    let distinct = match value.len() {
        0..SHORTEST => false,
        SHORTEST..LONG_ENOUGH => names::classes(value) >= 2,
        _ => true,
    };
    let number = value.iter().all(u8::is_ascii_digit) && value.len() <= LONG_ENOUGH;
    let monotone = value.iter().all(|byte| Some(byte) == value.first());
    distinct
        && !number
        && !address
        && !monotone
        && !names::is_path(value)
        && !COMMON.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_and_short_values_are_counted_but_not_searched_for() {
        let mut secrets = Secrets::new();
        for value in ["calico", "kubernetes", "abc", "simple", "12345678", "10.0.0.1", "/etc/x/key"]
        {
            secrets.learn_value(value.as_bytes());
        }
        assert_eq!((secrets.len(), secrets.skipped()), (0, 7));
        for value in ["simpl3", "correcthorse", "hunter2hunter2"] {
            secrets.learn_value(value.as_bytes());
        }
        assert_eq!((secrets.len(), secrets.skipped()), (3, 7));
    }

    #[test]
    fn debug_shows_counts_only() {
        let mut secrets = Secrets::new();
        secrets.learn_value(b"hunter2hunter2");
        assert_eq!(format!("{secrets:?}"), "Secrets { values: 1, skipped: 0, .. }");
    }

    #[test]
    fn a_hostile_number_of_values_is_bounded() {
        let mut secrets = Secrets::new();
        for number in 0..MOST_VALUES + 5 {
            secrets.learn_value(format!("value-{number:08}").as_bytes());
        }
        assert_eq!((secrets.len(), secrets.skipped()), (MOST_VALUES, 5));
    }

    #[test]
    fn of_a_pem_file_the_key_is_learned_and_the_certificate_is_not() {
        let mut secrets = Secrets::new();
        secrets.learn_credential_file(
            b"-----BEGIN CERTIFICATE-----\nMIIBcertificate0\n-----END CERTIFICATE-----\n\
              -----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIrYSSNQ\nFaA2Hwf1duRSxKtL\n-----END EC PRIVATE KEY-----\n",
        );
        let known: Vec<_> =
            secrets.values.iter().map(|value| String::from_utf8_lossy(value)).collect();
        assert_eq!(
            known,
            ["FaA2Hwf1duRSxKtL", "MHcCAQEEIIrYSSNQ", "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtL"]
        );
    }
}
