//! Takes in a bundle as it is read: what is kept of it, within bounds, and what is wrong with it as a whole.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

use super::manifest::{self, Manifest};
use super::{Bundle, Entry, Look, Outcome, logs};
use crate::archive::reader::{Contents, Ending, Member};

/// The most bytes kept of one entry.
const MAX_ENTRY: u64 = 16 << 20;

/// The same of the kernel's own tables that are longest, of which a bundle holds as much: some 250,000 routes. Checks
/// rest on them whole or not at all.
const MAX_TABLE: u64 = 64 << 20;
const TABLES: [&str; 2] = ["network/routes.json", "netfilter/nftables.json"];

/// The most bytes kept of all entries.
const MAX_ALL: u64 = 192 << 20;

/// The most bytes of paths that are kept, each with what a map needs for it.
const MAX_PATHS: usize = 32 << 20;

/// The most paths of repeated entries that are kept.
const MAX_REPEATED: usize = 100;

/// Logs are listed, not kept: what is judged of them is in their summary, and they are most of a bundle.
const LOGS: &str = "logs/";

/// What of them checks rest on: the kernel's log, and the names of pods.
const READ_LOGS: [&str; 2] = ["logs/kernel.log", "logs/pods_listing"];

/// The most bytes kept of the entry at a path.
pub(super) fn most_kept(path: &str) -> u64 {
    if TABLES.contains(&path) { MAX_TABLE } else { MAX_ENTRY }
}

/// A bundle that is being read.
pub(super) struct Filling {
    look: Look,
    entries: BTreeMap<String, Entry>,
    /// What the logs say, where no summary does.
    logs: logs::Logs,
    /// The entry seen last.
    last: String,
    /// Bytes kept of entries and of their paths.
    kept: u64,
    paths: usize,
    /// Second entries of a name: how many, and the first of them.
    repeated: u64,
    repeated_paths: Vec<String>,
    full: bool,
}

impl Filling {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            entries: BTreeMap::new(),
            logs: logs::Logs::default(),
            last: String::new(),
            kept: 0,
            paths: 0,
            repeated: 0,
            repeated_paths: Vec::new(),
            full: false,
        }
    }

    pub(super) fn take(&mut self, member: &Member, data: &mut dyn Read) -> ControlFlow<()> {
        let path = member.path.as_str();
        let is_manifest = path == manifest::PATH;
        if let Some(first) = self.entries.get(path) {
            // These two are written short at the beginning and whole at the end. Of any other, which one would
            // be true?
            if !is_manifest && path != "summary.txt" {
                self.repeated += 1;
                if self.repeated_paths.len() < MAX_REPEATED {
                    self.repeated_paths.push(path.to_owned());
                }
                return ControlFlow::Continue(());
            }
            self.kept -= first.bytes.len() as u64;
        } else {
            self.paths += path.len() + size_of::<(String, Entry)>();
            if self.paths > MAX_PATHS {
                self.full = true;
                return ControlFlow::Break(());
            }
        }
        let mut entry = Entry {
            size: member.size,
            modified: member.modified,
            bytes: Vec::new(),
            lacking: None,
            sha256: None,
        };
        if self.look != Look::Content && !is_manifest {
            let digest = (self.look == Look::Digests).then(|| sha256(data));
            match digest {
                Some(Err(error)) => entry.lacking = Some(ends_within(&error)),
                Some(Ok((bytes, _))) if bytes != member.size => entry.lacking = Some(shrank()),
                Some(Ok((_, digest))) => entry.sha256 = Some(digest),
                None => {
                    let reason = "only the names were read".to_owned();
                    entry.lacking = Some((Outcome::Skipped, reason));
                }
            }
        } else if path.starts_with(LOGS) && !READ_LOGS.contains(&path) {
            // A summary stands before the logs.
            if !self.entries.contains_key(crate::logs::PATH) {
                self.logs.add(path, member.size, member.modified, data);
            }
            let reason = "logs are not read from a bundle".to_owned();
            entry.lacking = Some((Outcome::Skipped, reason));
        } else {
            // The manifest is worth its room even where others took all.
            let most = most_kept(path);
            let room = if is_manifest { most } else { most.min(MAX_ALL.saturating_sub(self.kept)) };
            // At once, for to grow is to copy. What the archive says may be a lie: the room is not touched before it is
            // filled.
            let size = usize::try_from(member.size.min(room)).unwrap_or_default();
            entry.bytes.reserve_exact(size.saturating_add(1));
            let read = data.take(room).read_to_end(&mut entry.bytes);
            let count = entry.bytes.len() as u64;
            self.kept += count;
            entry.lacking = match read {
                Err(error) => Some(ends_within(&error)),
                Ok(_) if count == member.size => None,
                Ok(_) if count < room => Some(shrank()),
                Ok(_) => {
                    let reason = format!("{count} of its {} bytes are kept in memory", member.size);
                    Some((Outcome::Truncated, reason))
                }
            };
        }
        // A last manifest that is cut does not replace a first that is whole.
        if entry.lacking.is_none() || !self.entries.contains_key(path) {
            path.clone_into(&mut self.last);
            self.entries.insert(path.to_owned(), entry);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn finish(mut self, contents: Contents) -> Bundle {
        let mut warnings = Vec::new();
        let mut cut = match contents.ending {
            Ending::Whole => None,
            Ending::Left if self.full => Some("it has more entries than are looked at".to_owned()),
            Ending::Left | Ending::Truncated => Some("the bundle's end is missing".to_owned()),
            Ending::Damaged(reason) => {
                // gzip's checksum stands behind the data that it is of.
                if let Some(entry) = self.entries.get_mut(&self.last) {
                    let reason = format!("the bundle is damaged in it or after it: {reason}");
                    entry.lacking.get_or_insert((Outcome::Failed, reason));
                }
                Some(format!("the bundle is damaged: {reason}"))
            }
            Ending::TooLarge(reason) => {
                Some(format!("the bundle is larger than is read: {reason}"))
            }
        };
        warnings.extend(cut.clone());
        if let Some(first) = contents.refused.first() {
            let (count, path, reason) = (contents.refused_total, &first.path, &first.reason);
            warnings
                .push(format!("{count} entries are not read, the first of them {path}: {reason}"));
        }
        if self.repeated > 0 {
            warnings.push(format!(
                "{} entries have the name of another and are not read",
                self.repeated
            ));
        }
        let manifest = match self.entries.get(manifest::PATH) {
            None => {
                warnings.push(
                    "the bundle has no manifest: how its items were read is not known".to_owned(),
                );
                None
            }
            Some(Entry { lacking: Some((_, reason)), .. }) => {
                warnings.push(format!("the bundle's manifest is not whole: {reason}"));
                None
            }
            Some(entry) => match Manifest::parse(&entry.bytes) {
                Ok(manifest) => Some(manifest),
                Err(error) => {
                    warnings.push(format!("the bundle's manifest cannot be read: {error}"));
                    None
                }
            },
        };
        if let Some(manifest) = &manifest {
            warnings.extend(manifest.warnings());
            if manifest.finished.is_none() && cut.is_none() {
                cut = Some("the bundle was never finished".to_owned());
                warnings.extend(cut.clone());
            }
        }
        if let Some(bytes) = self.logs.finish() {
            let modified = self.entries.values().map(|entry| entry.modified).max();
            let modified = modified.unwrap_or_default();
            let size = bytes.len() as u64;
            let summary = Entry { size, modified, bytes, lacking: None, sha256: None };
            self.entries.entry(crate::logs::PATH.to_owned()).or_insert(summary);
        }
        Bundle {
            manifest,
            entries: self.entries,
            refused: contents.refused,
            repeated: self.repeated_paths,
            cut,
            warnings,
        }
    }
}

fn ends_within(error: &io::Error) -> (Outcome, String) {
    (Outcome::Interrupted, format!("the bundle ends within it: {error}"))
}

/// A file of an unpacked bundle.
fn shrank() -> (Outcome, String) {
    (Outcome::Failed, "it is shorter than it was".to_owned())
}

/// How many bytes there are, and their SHA-256 in hexadecimal.
fn sha256(data: &mut dyn Read) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = io::copy(data, &mut digest)?;
    Ok((bytes, format!("{:x}", digest.finalize())))
}
