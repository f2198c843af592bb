//! Names and addresses replaced by pseudonyms, for a bundle that goes to somebody who must not know them.
//!
//! The pseudonyms follow from a key and nothing else: the same key gives the same ones on every node and in every
//! run. Addresses keep their prefixes, special ones stay what they are, and what only looks like an address stays
//! too, so that whatever judges a bundle judges this one the same.
//!
//! ```text
//! node-1 bird: Mesh_10_0_0_2: Connected        node-5d41e8a3 bird: Mesh_10_77_131_9: Connected
//! 10.65.3.0/26 via 10.0.0.2 dev eth0           10.190.6.0/26 via 10.77.131.9 dev eth0
//! 0200000A:00B3 (in /proc/net/tcp)             09834D0A:00B3
//! ```
//!
//! `docs/obfuscation.md` says what is replaced and what is kept.

mod address;
mod everywhere;
mod fields;
mod hardware;
mod key;
mod names;
mod parse;
mod recent;
mod record;
mod scan;
mod tables;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use names::Index;
use record::Ledger;
use scan::{AHEAD, BEHIND, Scanner};
use tables::Table;

pub use key::Key;
pub use names::{Kind, Names};

/// A line of a table that is longer is not the kernel's.
const LONGEST_LINE: usize = 4096;

/// Replaces names and addresses in texts. Cheap to clone; one serves a whole run.
#[derive(Clone)]
pub struct Obfuscator {
    key: Key,
    index: Arc<Index>,
    kept: Arc<Vec<String>>,
    ledger: Arc<Mutex<Ledger>>,
}

/// The names are what must not be shown.
impl fmt::Debug for Obfuscator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Obfuscator").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Which pseudonym stands for what. It stays on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// The version of this document's schema.
    pub schema_version: u32,
    /// The key by which the pseudonyms were made: [`Key::id`].
    pub key_id: String,
    /// Whether every address that was replaced is in it; one that is not can be undone with the key.
    pub complete: bool,
    /// Names that were found on the node and not replaced: too short, or words that stand everywhere.
    pub kept: Vec<String>,
    /// Names of nodes, pods, namespaces and domains, by their pseudonyms: those that were learnt, whether they were met
    /// or not, and those that were met in a field.
    pub names: BTreeMap<String, String>,
    /// Names of workloads' interfaces, likewise; and below, as far as they were met.
    pub interfaces: BTreeMap<String, String>,
    /// MAC addresses.
    pub macs: BTreeMap<String, String>,
    /// IPv4 addresses.
    pub ipv4: BTreeMap<String, String>,
    /// IPv6 addresses.
    pub ipv6: BTreeMap<String, String>,
}

impl Obfuscator {
    /// Replaces these names, and every address.
    #[must_use]
    pub fn new(key: Key, names: &Names) -> Self {
        Self {
            index: Arc::new(Index::new(&key, names)),
            kept: Arc::new(names.kept().map(str::to_owned).collect()),
            ledger: Arc::default(),
            key,
        }
    }

    /// For the text of the artifact at `path` in the bundle: in some tables of `/proc/net`, numbers are addresses.
    #[must_use]
    pub fn stream(&self, path: &str) -> Stream {
        Stream {
            scanner: Scanner::new(self.key.clone(), Arc::clone(&self.ledger)),
            index: Arc::clone(&self.index),
            table: Table::of(path),
            held: Vec::new(),
            done: 0,
        }
    }

    /// A short text at once: a path, a reason.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut stream = self.stream("");
        let mut out = stream.push(text.as_bytes().to_vec());
        out.extend(stream.finish().0);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What tells keys apart, and nothing of the key: [`Key::id`].
    #[must_use]
    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// What was replaced so far.
    #[must_use]
    pub fn map(&self) -> Map {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = ledger.pairs(&self.key);
        let mut of = |kind| pairs.remove(kind).unwrap_or_default();
        Map {
            schema_version: 1,
            key_id: self.key_id(),
            complete: !ledger.is_cut(),
            kept: self.kept.to_vec(),
            names: self.index.pairs().map(|(name, by)| (by, name)).chain(of("names")).collect(),
            interfaces: of("interfaces"),
            macs: of("macs"),
            ipv4: of("ipv4"),
            ipv6: of("ipv6"),
        }
    }
}

/// One text on its way out, in chunks. How it is split into chunks does not matter; of what came, less than a
/// page is held back.
pub struct Stream {
    scanner: Scanner,
    index: Arc<Index>,
    table: Option<Table>,
    /// What came and is not written yet, and before it, up to `done`, what was written but may still matter.
    held: Vec<u8>,
    done: usize,
}

/// The text that is held back may hold a name.
impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Stream {
    /// Takes the next chunk and gives what can be written by now, which may be nothing.
    #[must_use]
    pub fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        if self.held.is_empty() {
            self.held = chunk;
        } else {
            self.held.extend_from_slice(&chunk);
        }
        self.replace(false)
    }

    /// Gives the rest, and how many places were replaced.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, u64) {
        let rest = self.replace(true);
        (rest, self.scanner.record.count())
    }

    fn replace(&mut self, last: bool) -> Vec<u8> {
        let text = take(&mut self.held);
        let mut out = Vec::with_capacity(text.len() - self.done + 64);
        if let Some(table) = self.table {
            let mut at = 0;
            while let Some(length) = line_length(&text[at..], last) {
                self.line(table, &text[at..at + length], &mut out);
                at += length;
            }
            self.held = text[at..].to_vec();
            return out;
        }
        let mut limit = if last { text.len() } else { text.len().saturating_sub(AHEAD) };
        // An address may begin with the two colons before its first word, and what has left cannot be replaced.
        let colons = text[..limit].iter().rev().take(2).take_while(|&&byte| byte == b':').count();
        if !last {
            limit -= colons;
        }
        let mut done = self.done;
        if limit > done {
            done = self.scanner.scan(&self.index, &text, done, limit, &mut out);
        }
        let behind = done.saturating_sub(BEHIND);
        self.held = text[behind..].to_vec();
        self.done = done - behind;
        out
    }

    /// A line of a table: its addresses, and between them what is a name.
    fn line(&mut self, table: Table, line: &[u8], out: &mut Vec<u8>) {
        let mut at = 0;
        for (place, by) in table.replacements(&mut self.scanner, line) {
            self.scanner.scan(&self.index, &line[at..place.start], 0, place.start - at, out);
            out.extend_from_slice(by.as_bytes());
            at = place.end;
        }
        self.scanner.scan(&self.index, &line[at..], 0, line.len() - at, out);
    }
}

/// The length of the first line of a table, with its end; `None` if more of it must come first.
fn line_length(text: &[u8], last: bool) -> Option<usize> {
    let longest = &text[..text.len().min(LONGEST_LINE)];
    match longest.iter().position(|&byte| byte == b'\n') {
        Some(end) => Some(end + 1),
        None if last && text.is_empty() => None,
        None if last || longest.len() == LONGEST_LINE => Some(longest.len()),
        None => None,
    }
}
