//! Counts what the logs in a bundle say that has no summary of them: an older one, or one of calicoctl's. They stream by
//! while the bundle is read, and none of it is kept.

use std::io::Read;

use jiff::Timestamp;

use crate::host::CHUNK;
use crate::host::logs::{ALL, FILES, calico, component, pods};
use crate::host::pattern::{Match, Patterns};
use crate::logs::{LogFile, Summary, TAIL, Tally};

/// What was counted so far.
pub(super) struct Logs {
    summary: Summary,
    /// Bytes that may still be counted.
    left: u64,
    /// Where the host keeps each kind of log, and where the bundle does.
    folders: [(&'static str, &'static str, Patterns); 2],
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            summary: Summary::default(),
            left: ALL,
            folders: [
                ("logs/pods/", "/var/log/pods/", Patterns::of(&pods())),
                ("logs/", "/var/log/calico/", Patterns::of(&calico("/var/log/calico"))),
            ],
        }
    }
}

impl Logs {
    /// Counts the end of an entry of so many bytes, if it is one of the logs that are counted on a host.
    pub(super) fn add(&mut self, path: &str, size: u64, modified: Timestamp, data: &mut dyn Read) {
        let of = |(bundle, host, patterns): &(&str, &str, Patterns)| {
            let relative = path.strip_prefix(bundle)?;
            let components: Vec<&[u8]> = relative.split('/').map(str::as_bytes).collect();
            (patterns.matches(&components) == Match::Whole)
                .then(|| (relative.to_owned(), format!("{host}{relative}")))
        };
        let Some((relative, shown)) = self.folders.iter().find_map(of) else { return };
        if self.summary.files.len() == FILES {
            return;
        }
        let budget = TAIL.min(self.left);
        let skipped = size.saturating_sub(budget);
        // When it was read is not known: when it was last written to is the next best.
        let mut tally = Tally::new(component(relative.as_ref()), modified, skipped == 0);
        let mut file =
            LogFile { path: shown, bytes: size, modified: Some(modified), ..LogFile::default() };
        match pump(data, skipped, &mut tally) {
            Ok(looked_at) => file.looked_at = looked_at,
            Err(error) => file.unread = Some(format!("the bundle ends within it: {error}")),
        }
        self.left -= file.looked_at.min(self.left);
        self.summary.add(file, tally);
    }

    /// The summary, if there was anything to count.
    pub(super) fn finish(mut self) -> Option<Vec<u8>> {
        if self.summary.files.is_empty() {
            return None;
        }
        self.summary.sort();
        serde_json::to_vec(&self.summary).ok()
    }
}

/// Counts what comes after the first `skipped` bytes.
fn pump(data: &mut dyn Read, skipped: u64, tally: &mut Tally) -> std::io::Result<u64> {
    let mut buffer = vec![0; CHUNK.min(64 << 10)];
    let (mut passed, mut looked_at) = (0, 0);
    loop {
        let count = match data.read(&mut buffer) {
            Ok(0) => return Ok(looked_at),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let from = usize::try_from(skipped - passed.min(skipped)).unwrap_or(usize::MAX).min(count);
        let part = buffer.get(from..count).unwrap_or_default();
        tally.add(part);
        looked_at += part.len() as u64;
        passed += count as u64;
    }
}
