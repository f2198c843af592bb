//! A bundle as a host: it answers what the machine answered when the bundle was made.
//!
//! What the manifest says of an item is given again: its outcome, reason, place and times. What it does not
//! say is not made up: a bundle that was cut, or that another tool wrote, says so in [`Bundle::warnings`].

mod logs;
mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::manifest::{Item, Manifest};
use super::pattern::{Match, Patterns};
use super::{Artifact, Found, Listing, Outcome, Reading, Tree};
use crate::archive::reader::{self, Contents, Ending, Limits, Member, ReadError};
use crate::archive::{FOLDER, entry_path};

/// The most bytes kept of one entry.
const MAX_ENTRY: u64 = 16 << 20;

/// The most bytes kept of all entries.
const MAX_ALL: u64 = 128 << 20;

/// The most bytes of paths that are kept, each with what a map needs for it.
const MAX_PATHS: usize = 32 << 20;

/// Logs are listed, not kept: what is judged of them is in their summary, and they are most of a bundle.
const LOGS: &str = "logs/";

/// What of them checks rest on: the kernel's log, and the names of pods.
const READ_LOGS: [&str; 2] = ["logs/kernel.log", "logs/pods_listing"];

/// A bundle in memory, without its logs.
#[derive(Debug)]
pub struct Bundle {
    manifest: Option<Manifest>,
    entries: BTreeMap<String, Entry>,
    /// The bundle's end is missing or not to be trusted, so that what it lacks may have been there: a sentence.
    cut: Option<String>,
    warnings: Vec<String>,
}

/// A file in a bundle.
#[derive(Debug)]
struct Entry {
    size: u64,
    modified: Timestamp,
    bytes: Vec<u8>,
    /// Why `bytes` is not all of it.
    lacking: Option<(Outcome, String)>,
}

/// Why a bundle cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing is there.
    #[error("there is no bundle {}", path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// It cannot be opened or is no gzip file.
    #[error(transparent)]
    Unreadable(ReadError),
    /// An archive or folder of something else.
    #[error("{} is not a bundle: {reason}", path.display())]
    NotABundle {
        /// The file or folder.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
}

impl Bundle {
    /// Opens a bundle: its tar.gz, or the folder it was unpacked to (or the `diagnostics` folder in that).
    /// Reads all of it once.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        if let Err(source) = path.metadata() {
            return Err(match source.kind() {
                std::io::ErrorKind::NotFound => BundleError::NotFound { path: path.to_owned() },
                _ => BundleError::Unreadable(ReadError::Open { path: path.to_owned(), source }),
            });
        }
        let (root, prefix) =
            if path.is_dir() { (unpacked(path)?, "") } else { (path.to_owned(), FOLDER) };
        let mut filling = Filling::default();
        let contents = reader::read(&root, Limits::default(), &mut |member, data| {
            filling.take(member, data, prefix)
        })
        .map_err(BundleError::Unreadable)?;
        if filling.entries.is_empty() {
            let reason = match contents.ending {
                Ending::Damaged(reason) => reason,
                Ending::Truncated => "it is cut before its first entry ends".to_owned(),
                _ => format!("it has nothing in a folder {FOLDER}"),
            };
            return Err(BundleError::NotABundle { path: path.to_owned(), reason });
        }
        Ok(filling.finish(contents))
    }

    /// Reads an artifact as the bundle's host gave it.
    #[must_use]
    pub fn read(&self, artifact: &Artifact) -> Reading {
        // An archive's names went through this.
        let path = entry_path(artifact.path().as_bytes());
        let item = self.manifest.as_ref().and_then(|manifest| manifest.items.get(&path));
        let mut reading = match (item, self.entries.get(&path)) {
            (Some(item), Some(entry)) => item.reading(entry),
            (Some(item), None) => item.reading_without_entry(self.cut.as_deref()),
            (None, Some(entry)) => {
                let lacking = entry.lacking.clone().unzip();
                Reading {
                    outcome: lacking.0.unwrap_or(Outcome::Ok),
                    reason: lacking.1,
                    bytes: entry.bytes.clone(),
                    original_bytes: entry.size,
                    modified: Some(entry.modified),
                    ..Reading::begin()
                }
            }
            (None, None) => match &self.cut {
                Some(cut) => Reading::failed(
                    Outcome::Interrupted,
                    format!("the bundle does not hold it, and {cut}"),
                ),
                // That the host had no such thing is a claim which only a manifest makes.
                None => Reading::failed(Outcome::Skipped, "the bundle does not hold it"),
            },
        };
        if item.and_then(|item| item.started).is_none() {
            reading.started = self.time();
        }
        reading
    }

    /// The files that the bundle holds of a tree of the host's, beneath `host/`.
    #[must_use]
    pub fn list(&self, tree: &Tree) -> Listing {
        let folder = format!("{}/", entry_path(tree.path().as_bytes()));
        let patterns = Patterns::of(tree);
        let items = self.manifest.iter().flat_map(|manifest| manifest.items.iter());
        let mut found = BTreeMap::new();
        // What was refused on the node stands in the manifest only.
        for (path, item) in items {
            let refusal = || item.reason.clone().unwrap_or_else(|| "not in the bundle".to_owned());
            let modified = item.modified.or(item.started).unwrap_or_else(|| self.time());
            let link = item.link.clone();
            found.insert(path.as_str(), (Some(refusal()), link, item.original_bytes, modified));
        }
        for (path, entry) in &self.entries {
            found.insert(path, (None, None, entry.size, entry.modified));
        }
        let found = found.into_iter().filter_map(|(path, (refusal, link, bytes, modified))| {
            let path = path.strip_prefix(&folder)?;
            let components: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            let is_wanted = patterns.matches(&components) == Match::Whole;
            is_wanted.then(|| Found { path: path.into(), refusal, link, bytes, modified })
        });
        Listing {
            found: found.collect(),
            outcome: if self.cut.is_some() { Outcome::Interrupted } else { Outcome::Ok },
            reason: self.cut.clone(),
        }
    }

    /// When the bundle was begun; of one without a manifest, when its youngest file changed.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        let youngest = || self.entries.values().map(|entry| entry.modified).max();
        let started = self.manifest.as_ref().and_then(|manifest| manifest.started);
        started.or_else(youngest).unwrap_or_default()
    }

    /// The node's name, if the bundle says it.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.manifest.as_ref()?.node.as_deref()
    }

    /// What is wrong with the bundle itself: sentences for a person.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The folder that holds the files, given that or the one above it.
fn unpacked(path: &Path) -> Result<PathBuf, BundleError> {
    let below = path.join(FOLDER);
    let named = || path.canonicalize().is_ok_and(|path| path.ends_with(FOLDER));
    if below.is_dir() {
        Ok(below)
    } else if path.join(manifest::PATH).is_file() || named() {
        Ok(path.to_owned())
    } else {
        let reason = format!("it has neither {FOLDER} nor {}", manifest::PATH);
        Err(BundleError::NotABundle { path: path.to_owned(), reason })
    }
}

/// A bundle that is being read.
#[derive(Default)]
struct Filling {
    entries: BTreeMap<String, Entry>,
    /// What the logs say, where no summary does.
    logs: logs::Logs,
    /// The entry seen last.
    last: String,
    /// Bytes kept of entries and of their paths.
    kept: u64,
    paths: usize,
    /// Second entries of a name.
    repeated: u64,
    full: bool,
}

impl Filling {
    fn take(&mut self, member: &Member, data: &mut dyn Read, prefix: &str) -> ControlFlow<()> {
        let Some(path) = member.path.strip_prefix(prefix) else { return ControlFlow::Continue(()) };
        let is_manifest = path == manifest::PATH;
        if let Some(first) = self.entries.get(path) {
            // These two are written short at the beginning and whole at the end. Of any other, which one would
            // be true?
            if !is_manifest && path != "summary.txt" {
                self.repeated += 1;
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
        };
        if path.starts_with(LOGS) && !READ_LOGS.contains(&path) {
            // A summary stands before the logs.
            if !self.entries.contains_key(crate::logs::PATH) {
                self.logs.add(path, member.size, member.modified, data);
            }
            let reason = "logs are not read from a bundle".to_owned();
            entry.lacking = Some((Outcome::Skipped, reason));
        } else {
            // The manifest is worth its room even where others took all.
            let room = if is_manifest {
                MAX_ENTRY
            } else {
                MAX_ENTRY.min(MAX_ALL - self.kept.min(MAX_ALL))
            };
            let read = data.take(room).read_to_end(&mut entry.bytes);
            let count = entry.bytes.len() as u64;
            self.kept += count;
            entry.lacking = match read {
                Err(error) => {
                    Some((Outcome::Interrupted, format!("the bundle ends within it: {error}")))
                }
                Ok(_) if count == member.size => None,
                // A file of an unpacked bundle that shrank.
                Ok(_) if count < room => {
                    Some((Outcome::Failed, "it is shorter than it was".to_owned()))
                }
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

    fn finish(mut self, contents: Contents) -> Bundle {
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
            let summary = Entry { size, modified, bytes, lacking: None };
            self.entries.entry(crate::logs::PATH.to_owned()).or_insert(summary);
        }
        Bundle { manifest, entries: self.entries, cut, warnings }
    }
}

impl Item {
    /// What the manifest says of the item, without its bytes.
    fn account(&self) -> Reading {
        Reading {
            outcome: self.outcome,
            reason: self.reason.clone(),
            bytes: Vec::new(),
            original_bytes: self.original_bytes,
            modified: self.modified,
            link: self.link.clone(),
            place: self.place.clone(),
            started: self.started.unwrap_or_default(),
            duration: Duration::from_millis(self.duration_ms),
            exit_status: self.exit_status,
        }
    }

    fn reading(&self, entry: &Entry) -> Reading {
        let mut reading = self.account();
        if let Some((outcome, reason)) = &entry.lacking {
            // What was wrong on the node stays the reason.
            if reading.outcome == Outcome::Ok {
                (reading.outcome, reading.reason) = (*outcome, Some(reason.clone()));
            }
            reading.bytes.clone_from(&entry.bytes);
            return reading;
        }
        let sha256 = || format!("{:x}", Sha256::digest(&entry.bytes));
        if self.sha256.as_ref().is_some_and(|listed| !listed.eq_ignore_ascii_case(&sha256())) {
            reading.outcome = Outcome::Failed;
            reading.reason = Some("its SHA-256 is not the one that the manifest lists".to_owned());
        } else {
            reading.bytes.clone_from(&entry.bytes);
        }
        reading
    }

    fn reading_without_entry(&self, cut: Option<&str>) -> Reading {
        let mut reading = self.account();
        if self.outcome == Outcome::Ok || self.sha256.is_some() {
            let lacks = "the manifest lists it, the archive lacks it";
            reading.outcome = Outcome::Failed;
            reading.reason = Some(cut.map_or(lacks.to_owned(), |cut| format!("{lacks}: {cut}")));
        }
        reading
    }
}
