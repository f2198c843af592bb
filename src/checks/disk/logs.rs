//! How much Calico's logs take.

use serde_json::json;

use super::{Finding, LOGS, Level, percent, size};
use crate::checks::figures::counted;
use crate::filesystems::{FileSystems, Folder};
use crate::host::Outcome;

/// Where the logs are; beside them, what Calico keeps is small.
const FOLDERS: &[&str] = &["/var/log/calico", "/var/log/pods"];
/// A file that is larger is not rotated: the CNI plugin's is, at 100 MB, and the kubelet's are, at 10 MiB.
const FILE: u64 = 512 << 20;
/// Less than this is not worth a word, whatever its share.
const LITTLE: u64 = 1 << 30;
/// A larger share of the file system, in per cent, is more than logs should have.
const SHARE: f64 = 20.0;

pub(super) fn judge(seen: &FileSystems) -> Finding {
    let folders: Vec<&Folder> =
        seen.folders.iter().filter(|it| FOLDERS.contains(&it.path.as_str())).collect();
    let facts = json!({"folders": folders});
    if folders.is_empty() {
        return Finding::new(LOGS, Level::Skip, "there are no folders of Calico's logs");
    }
    let whole = |folder: &Folder| {
        let exact = seen.file_systems.iter().find(|it| it.path == folder.path);
        let it = exact.or_else(|| seen.file_systems.iter().find(|it| it.path == "/var/log"));
        it.map(|it| it.bytes).filter(|bytes| *bytes > 0)
    };
    let large = folders.iter().find(|it| it.largest_bytes > FILE);
    let wide = folders.iter().find(|it| {
        it.bytes > LITTLE && whole(it).is_some_and(|whole| percent(it.bytes, whole) > SHARE)
    });
    let (level, summary) = if let Some(folder) = large {
        let name = folder.largest.as_deref().unwrap_or_default();
        let bytes = size(folder.largest_bytes);
        (Level::Warn, format!("{}/{name} has grown to {bytes}: nothing rotates it", folder.path))
    } else if let Some(folder) = wide {
        let share = whole(folder).map_or(0.0, |whole| percent(folder.bytes, whole));
        let bytes = size(folder.bytes);
        (
            Level::Warn,
            format!("Calico's logs in {} take {bytes}, {share} % of the disk", folder.path),
        )
    } else if let Some(cut) = folders.iter().find(|it| it.outcome != Outcome::Ok) {
        let reason = cut.reason.clone().unwrap_or_else(|| cut.outcome.to_string());
        (Level::Unknown, format!("{} was not looked at whole: {reason}", cut.path))
    } else {
        let bytes = folders.iter().map(|it| it.bytes).fold(0, u64::saturating_add);
        let files = folders.iter().map(|it| it.files).fold(0, u64::saturating_add);
        let files = counted(files, "file", "files");
        (Level::Ok, format!("Calico's logs take {} in {files}", size(bytes)))
    };
    let finding = Finding::new(LOGS, level, summary).evidence(facts);
    match level {
        Level::Warn => finding
            .remedy("calivet check felix    tells whether Felix logs more than is needed, and how to change it")
            .remedy("sudo truncate -s 0 FILE    empties a log that is still written to"),
        _ => finding,
    }
}
