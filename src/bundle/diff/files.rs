//! Files of configuration: those of the host beneath `host/` but the kernel's own, and BIRD's.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::{Changed, Difference, Side, Thing};
use crate::checks::figures::counted;
use crate::host::Outcome;
use crate::host::bundle::Bundle;

/// What the kernel makes, what udev numbers, and what holds a process id.
const NOT: &[&str] =
    &["host/proc/", "host/sys/", "host/run/udev/", "host/run/xtables.lock", "host/lib/modules/"];

/// The most bytes of a file whose lines are compared, and the most of what is shown of it.
const MAX_TEXT: usize = 1 << 20;
const MAX_DIFF: usize = 16 << 10;

/// The longest that comparing the lines of one file may take; what is left then is a coarser difference.
const LONGEST: Duration = Duration::from_millis(200);

pub(super) fn compare(before: &Side, after: &Side) -> Difference {
    let mut found = Difference::default();
    let (old, new) = (paths(before.bundle), paths(after.bundle));
    let mut unknown = 0_usize;
    for path in old.union(&new) {
        let [was, is] = [before, after].map(|side| content(side.bundle, path));
        match (was, is) {
            (Content::Unknown, _) | (_, Content::Unknown) => unknown += 1,
            (Content::None, Content::Text(text)) => found.appeared.push(thing(path, &text)),
            (Content::Text(text), Content::None) => found.vanished.push(thing(path, &text)),
            (Content::Text(was), Content::Text(is)) if was != is => {
                found.changed.push(changed(path, &was, &is));
            }
            _ => {}
        }
    }
    if unknown > 0 {
        let files = counted(unknown, "file", "files");
        found.not_compared =
            Some(format!("{files} that only one of the bundles holds, or not whole"));
    }
    found
}

fn paths(bundle: &Bundle) -> BTreeSet<&str> {
    let is_wanted = |path: &str| {
        let is_host = path.starts_with("host/") && !NOT.iter().any(|not| path.starts_with(not));
        let ends = |extension| Path::new(path).extension().is_some_and(|end| end == extension);
        let is_process = path.ends_with("/pid") || ends("pid");
        (is_host && !is_process) || (path.starts_with("bird/") && ends("cfg"))
    };
    bundle.files().map(|file| file.path).filter(|path| is_wanted(path)).collect()
}

enum Content {
    Text(Vec<u8>),
    /// The node had no such file.
    None,
    Unknown,
}

fn content(bundle: &Bundle, path: &str) -> Content {
    let reading = bundle.at(path);
    match reading.outcome {
        Outcome::Ok => Content::Text(reading.bytes),
        Outcome::Missing | Outcome::NotApplicable => Content::None,
        // A file in a folder is an item only if it is there, and then the folder was looked at.
        Outcome::Skipped if bundle.has_manifest() && !bundle.lists(path) => {
            let is_left_out = |(at, _): (usize, &str)| bundle.lists(&path[..at]);
            if path.match_indices('/').any(is_left_out) { Content::Unknown } else { Content::None }
        }
        _ => Content::Unknown,
    }
}

/// A file's own name: that on the host.
fn name(path: &str) -> String {
    path.strip_prefix("host").unwrap_or(path).to_owned()
}

fn thing(path: &str, text: &[u8]) -> Thing {
    let facts = [("bytes".to_owned(), text.len().to_string())].into();
    Thing { name: name(path), facts }
}

fn changed(path: &str, was: &[u8], is: &[u8]) -> Changed {
    let said = |text: &[u8]| Some(format!("{} bytes", text.len()));
    Changed {
        name: name(path),
        field: "content".to_owned(),
        before: said(was),
        after: said(is),
        diff: unified(&name(path), was, is),
    }
}

/// The lines that differ; `None`: it is no text, or too large.
fn unified(name: &str, was: &[u8], is: &[u8]) -> Option<String> {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_TEXT);
    let (was, is) = (text(was)?, text(is)?);
    let mut differ = TextDiff::configure();
    let diff = differ.timeout(LONGEST).diff_lines(was, is);
    let mut shown = diff.unified_diff().context_radius(3).header(name, name).to_string();
    if shown.len() > MAX_DIFF {
        let end = (0..=MAX_DIFF).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or(0);
        shown.truncate(end);
        shown.push_str("\n... cut here\n");
    }
    Some(shown)
}
