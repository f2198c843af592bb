//! Room, and whether it can be written to.

use serde_json::{Value, json};

use super::{Evidence, Finding, INODES, Level, MOUNTS, READ_ONLY, SPACE, percent, size, text, why};
use crate::checks::figures::grouped;
use crate::filesystems::{self, FileSystem, FileSystems};
use crate::host::Outcome;

/// Below so many per cent the kubelet evicts pods (`evictionHard`: `nodefs.available<10%`).
const SPACE_WARN: f64 = 10.0;
/// The same of inodes (`nodefs.inodesFree<5%`).
const INODES_WARN: f64 = 5.0;
/// Below so many per cent writing fails soon, or does already.
const FAIL: f64 = 1.0;

/// What is measured of a file system: what is left, and of how much.
struct Measure {
    left: fn(&FileSystem) -> u64,
    whole: fn(&FileSystem) -> u64,
    warn: f64,
    words: fn(u64, u64) -> String,
    member: &'static str,
}

pub(super) fn space(seen: &FileSystems) -> Finding {
    let measure = Measure {
        left: |it| it.available,
        whole: |it| it.bytes,
        warn: SPACE_WARN,
        words: |left, whole| format!("{} of {} are free", size(left), size(whole)),
        member: "available",
    };
    let finding = scarce(SPACE, seen, &measure);
    match finding.level {
        Level::Warn | Level::Fail => finding
            .remedy("sudo du -xh --max-depth=2 /var | sort -h | tail    shows what fills it")
            .remedy("sudo journalctl --vacuum-size=500M; sudo crictl rmi --prune    make room"),
        _ => finding,
    }
}

pub(super) fn inodes(seen: &FileSystems) -> Finding {
    let measure = Measure {
        left: |it| it.inodes_free,
        whole: |it| it.inodes,
        warn: INODES_WARN,
        words: |left, whole| format!("{} of {} inodes are free", grouped(left), grouped(whole)),
        member: "inodesFree",
    };
    let finding = scarce(INODES, seen, &measure);
    match finding.level {
        Level::Warn | Level::Fail => finding.remedy(
            "sudo du -x --inodes --max-depth=3 /var | sort -n | tail    shows where the files are",
        ),
        _ => finding,
    }
}

/// The one with the least left, of each file system once.
fn scarce(id: &'static str, seen: &FileSystems, measure: &Measure) -> Finding {
    let mut told: Vec<(&FileSystem, f64)> = Vec::new();
    for it in seen.file_systems.iter().filter(|it| it.outcome == Outcome::Ok) {
        // The kernel's own have no size, and some have as many files as there is room for.
        let whole = (measure.whole)(it);
        let is_told = told.iter().any(|(other, _)| other.device == it.device);
        if whole > 0 && !is_told {
            told.push((it, percent((measure.left)(it), whole)));
        }
    }
    let facts: Vec<Value> = told
        .iter()
        .map(|(it, percent)| {
            let (left, whole) = ((measure.left)(it), (measure.whole)(it));
            json!({"path": it.path, "device": it.device, measure.member: left, "of": whole, "percentFree": percent})
        })
        .collect();
    let unseen: Vec<&FileSystem> =
        seen.file_systems.iter().filter(|it| it.outcome != Outcome::Ok).collect();
    let least = told.iter().min_by(|one, other| one.1.total_cmp(&other.1));
    let words = |it: &FileSystem| (measure.words)((measure.left)(it), (measure.whole)(it));
    let finding = match least {
        Some((it, percent)) if *percent < measure.warn => {
            let level = if *percent < FAIL { Level::Fail } else { Level::Warn };
            Finding::new(id, level, format!("on {} {} ({percent} %)", it.path, words(it)))
        }
        _ if !unseen.is_empty() => {
            let first = unseen.first().map_or("", |it| it.path.as_str());
            let reason = unseen.first().and_then(|it| it.reason.as_deref()).unwrap_or_default();
            Finding::new(id, Level::Unknown, format!("{first} could not be looked at: {reason}"))
        }
        Some((it, percent)) => {
            let summary = format!("on {} {} ({percent} %), and elsewhere more", it.path, words(it));
            Finding::new(id, Level::Ok, summary)
        }
        None => Finding::new(id, Level::Skip, "no file system here has such a limit"),
    };
    finding.evidence(json!({"fileSystems": facts}))
}

pub(super) fn read_only(seen: &FileSystems, evidence: &Evidence) -> Finding {
    let Some(table) = text(evidence, MOUNTS) else {
        let summary = format!("what is mounted is not known: {}", why(evidence.get(MOUNTS)));
        return Finding::new(READ_ONLY, Level::Unknown, summary);
    };
    let mounts = filesystems::mounts(&table);
    // All that was looked at is written to by Calico or the kubelet, but for `/`, which may well be read-only.
    let written = || {
        let looked = seen.file_systems.iter().filter(|it| it.outcome == Outcome::Ok);
        looked.filter(|it| it.path != "/")
    };
    let read_only: Vec<&str> = written()
        .filter(|it| filesystems::is_read_only(it, &mounts))
        .map(|it| it.path.as_str())
        .collect();
    let facts = json!({"readOnly": read_only});
    if read_only.is_empty() {
        let (level, summary) = if written().next().is_some() {
            (Level::Ok, "what Calico writes to can be written to")
        } else {
            (Level::Unknown, "nothing that Calico writes to is here")
        };
        return Finding::new(READ_ONLY, level, summary).evidence(facts);
    }
    let is_are = if read_only.len() == 1 { "is" } else { "are" };
    let summary =
        format!("{} {is_are} mounted read-only: Calico cannot write there", read_only.join(", "));
    Finding::new(READ_ONLY, Level::Fail, summary)
        .evidence(facts)
        .remedy("sudo dmesg | grep -iE 'remount|I/O error'    tells whether the kernel did it because of errors")
        .remedy("sudo mount -o remount,rw MOUNTPOINT    once the disk is well (fsck)")
}
