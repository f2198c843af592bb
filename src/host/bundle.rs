//! A bundle as a host: it answers what the machine answered when the bundle was made.
//!
//! What the manifest says of an item is given again: its outcome, reason, place and times. What it does not
//! say is not made up: a bundle that was cut, or that another tool wrote, says so in [`Bundle::warnings`].

mod filling;
mod logs;
mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::filling::Filling;
use self::manifest::{Item, Manifest};
use super::pattern::{Match, Patterns};
use super::{Artifact, Found, Listing, Outcome, Reading, Tree};
use crate::archive::reader::{self, Contents, Ending, Limits, Member, ReadError, Refusal, Visit};
use crate::archive::{FOLDER, entry_path};

/// A bundle in memory, without its logs.
#[derive(Debug)]
pub struct Bundle {
    manifest: Option<Manifest>,
    entries: BTreeMap<String, Entry>,
    /// Entries that are not looked at: what they are called and why, the first hundred.
    refused: Vec<Refusal>,
    repeated: Vec<String>,
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
    /// What [`Look::Digests`] is for.
    sha256: Option<String>,
}

/// How closely the files of a bundle are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Their content is kept, but for logs: the bundle is a host.
    Content,
    /// Only the manifest's is.
    Index,
    /// The same, and of each the SHA-256 is computed.
    Digests,
}

/// A file of a bundle, as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Relative to `diagnostics/`.
    pub path: &'a str,
    /// How many the archive says it has.
    pub bytes: u64,
    /// SHA-256 in hexadecimal, if [`Look::Digests`] was asked for and it could be read to its end.
    pub sha256: Option<&'a str>,
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
        Self::look(path, Look::Content)
    }

    /// The same, as closely as is wanted.
    pub fn look(path: &Path, look: Look) -> Result<Self, BundleError> {
        let mut filling = Filling::new(look);
        let contents = walk(path, &mut |member, data| filling.take(member, data))?;
        Ok(filling.finish(contents))
    }

    /// Reads an artifact as the bundle's host gave it.
    #[must_use]
    pub fn read(&self, artifact: &Artifact) -> Reading {
        // An archive's names went through this.
        self.at(&entry_path(artifact.path().as_bytes()))
    }

    /// The same of the artifact that the bundle keeps at `path`.
    #[must_use]
    pub fn at(&self, path: &str) -> Reading {
        let item = self.manifest.as_ref().and_then(|manifest| manifest.items.get(path));
        let mut reading = match (item, self.entries.get(path)) {
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
        let path = entry_path(tree.path().as_bytes());
        let folder = format!("{path}/");
        let patterns = Patterns::of(tree);
        let items = self.manifest.iter().flat_map(|manifest| manifest.items.iter());
        let mut found = BTreeMap::new();
        // What was refused on the node stands in the manifest only.
        for (path, item) in items {
            let account = item.reading_without_entry(self.cut.as_deref());
            let reason = account.reason.unwrap_or_else(|| "not in the bundle".to_owned());
            let refusal = Some((account.outcome, reason));
            let modified = item.modified.or(item.started).unwrap_or_else(|| self.time());
            found.insert(path.as_str(), (refusal, account.link, account.original_bytes, modified));
        }
        for (path, entry) in &self.entries {
            found.insert(path, (None, None, entry.size, entry.modified));
        }
        let found = found.into_iter().filter_map(|(path, (refusal, link, bytes, modified))| {
            let path = path.strip_prefix(&folder)?;
            let components: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
            let is_wanted = match patterns.matches(&components) {
                Match::Whole => true,
                // A folder that could not be entered, or a link in its place.
                Match::Beneath => refusal.is_some(),
                Match::No => false,
            };
            is_wanted.then(|| Found { path: path.into(), refusal, link, bytes, modified })
        });
        let found: Vec<Found> = found.collect();
        // What was said on the node of the folder as a whole.
        let account = self.manifest.as_ref().and_then(|manifest| manifest.items.get(&path));
        let (outcome, reason) = match (account, &self.cut) {
            (Some(item), _) if item.outcome != Outcome::Ok => (item.outcome, item.reason.clone()),
            (_, Some(cut)) => (Outcome::Interrupted, Some(cut.clone())),
            // That the host had no such thing is a claim which only a manifest makes.
            _ if found.is_empty() && self.manifest.is_none() => {
                (Outcome::Skipped, Some("the bundle does not hold it".to_owned()))
            }
            _ => (Outcome::Ok, None),
        };
        Listing { found, outcome, reason }
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
        // An empty one stands for none.
        self.manifest.as_ref()?.node.as_deref().filter(|name| !name.is_empty())
    }

    /// Whether it says itself what was asked, and what was answered.
    #[must_use]
    pub const fn has_manifest(&self) -> bool {
        self.manifest.is_some()
    }

    /// Whether the manifest says what happened to the item at `path`.
    #[must_use]
    pub fn lists(&self, path: &str) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.items.contains_key(path))
    }

    /// The most bytes that are kept in memory of the file at `path`, for checks to rest on.
    #[must_use]
    pub fn most_kept(path: &str) -> u64 {
        filling::most_kept(path)
    }

    /// The files that the bundle holds, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = File<'_>> {
        self.entries.iter().map(|(path, entry)| File {
            path,
            bytes: entry.size,
            sha256: entry.sha256.as_deref(),
        })
    }

    /// The manifest's own text, if it is there and whole.
    #[must_use]
    pub fn manifest_json(&self) -> Option<&[u8]> {
        let entry = self.entries.get(manifest::PATH).filter(|entry| entry.lacking.is_none());
        entry.map(|entry| entry.bytes.as_slice())
    }

    /// Why the bundle's end is missing or not to be trusted, if it is so.
    #[must_use]
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// Entries that are not looked at, the first hundred: links, devices, paths that lead out.
    #[must_use]
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// The paths of entries that have the name of another and are not looked at, the first hundred.
    #[must_use]
    pub fn repeated(&self) -> &[String] {
        &self.repeated
    }

    /// What is wrong with the bundle itself: sentences for a person.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// Shows each file of a bundle in the order of the archive, under its path relative to `diagnostics/`. The manifest and
/// the summary come twice: short at the beginning, whole at the end. See [`reader::Visit`].
///
/// # Errors
/// There is no bundle at `path`, or nothing in it can be read.
pub fn walk(path: &Path, visit: Visit<'_>) -> Result<Contents, BundleError> {
    if let Err(source) = path.metadata() {
        return Err(match source.kind() {
            std::io::ErrorKind::NotFound => BundleError::NotFound { path: path.to_owned() },
            _ => BundleError::Unreadable(ReadError::Open { path: path.to_owned(), source }),
        });
    }
    let (root, prefix) =
        if path.is_dir() { (unpacked(path)?, "") } else { (path.to_owned(), FOLDER) };
    let mut is_empty = true;
    let contents = reader::read(&root, Limits::default(), &mut |member, data| {
        let Some(path) = member.path.strip_prefix(prefix) else { return ControlFlow::Continue(()) };
        is_empty = false;
        visit(&Member { path: path.to_owned(), ..*member }, data)
    })
    .map_err(BundleError::Unreadable)?;
    if is_empty {
        let reason = match contents.ending {
            Ending::Damaged(reason) => reason,
            Ending::Truncated => "it is cut before its first entry ends".to_owned(),
            _ => format!("it has nothing in a folder {FOLDER}"),
        };
        return Err(BundleError::NotABundle { path: path.to_owned(), reason });
    }
    Ok(contents)
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
