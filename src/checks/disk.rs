//! `check disk`: have the file systems that Calico writes to room, can they be written to, and does the node run out of
//! memory?

mod kernel;
mod load;
mod logs;
mod room;

use super::figures::percent;
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::conntrack::KERNEL_LOG;
use crate::collectors::{self, Rows};
use crate::filesystems::{self, FileSystems};
use crate::host::{Evidence, Outcome, Reading};

pub(super) const CHECK: Check = Check {
    name: "disk",
    about: "room on file systems, read-only mounts, log folders, pressure, memory, programs killed for want of it",
    finds: &[
        Kind { id: SPACE, passes: "The file systems that Calico writes to have room." },
        Kind { id: INODES, passes: "The file systems that Calico writes to can hold more files." },
        Kind { id: READ_ONLY, passes: "What Calico writes to is not mounted read-only." },
        Kind { id: ERRORS, passes: "The kernel's log tells of no trouble with disks." },
        Kind { id: LOGS, passes: "Calico's logs take no more than their share." },
        Kind { id: PRESSURE, passes: "Programs do not wait long for CPU, memory or disks." },
        Kind { id: MEMORY, passes: "There is memory left." },
        Kind { id: KILLS, passes: "No program of Calico's was killed for want of memory." },
    ],
    reads: |node, _| collectors::at(node, READ),
    later: |_, _| Rows::default(),
    judge,
};

const SPACE: &str = "disk.space";
const INODES: &str = "disk.inodes";
const READ_ONLY: &str = "disk.read-only";
const ERRORS: &str = "disk.errors";
const LOGS: &str = "disk.logs";
const PRESSURE: &str = "disk.pressure";
const MEMORY: &str = "disk.memory";
const KILLS: &str = "disk.oom-kills";

const MOUNTS: &str = "host/proc/self/mountinfo";
const UPTIME: &str = "host/proc/uptime";
const MEMINFO: &str = "host/proc/meminfo";
const VMSTAT: &str = "host/proc/vmstat";
const PRESSURES: [(&str, &str); 3] = [
    ("cpu", "host/proc/pressure/cpu"),
    ("io", "host/proc/pressure/io"),
    ("memory", "host/proc/pressure/memory"),
];

const READ: &[&str] = &[
    filesystems::PATH,
    MOUNTS,
    KERNEL_LOG,
    UPTIME,
    MEMINFO,
    VMSTAT,
    PRESSURES[0].1,
    PRESSURES[1].1,
    PRESSURES[2].1,
];

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let reading = evidence.get(filesystems::PATH);
    let seen = reading.and_then(|reading| FileSystems::parse(&reading.bytes));
    let mut findings = if let Some(seen) = &seen {
        vec![
            room::space(seen),
            room::inodes(seen),
            room::read_only(seen, evidence),
            logs::judge(seen),
        ]
    } else {
        let why = format!("the file systems were not looked at: {}", why(reading));
        let unknown = |id| Finding::new(id, Level::Unknown, &why);
        vec![unknown(SPACE), unknown(INODES), unknown(READ_ONLY), unknown(LOGS)]
    };
    findings.extend([
        kernel::errors(evidence),
        load::pressure(evidence),
        load::memory(evidence),
        kernel::kills(evidence),
    ]);
    findings
}

/// Why something is not known.
fn why(reading: Option<&Reading>) -> String {
    let Some(reading) = reading else { return "it was not asked for".to_owned() };
    reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string())
}

/// The text of what was read whole, or as far as it is kept.
fn text<'a>(evidence: &'a Evidence, path: &str) -> Option<std::borrow::Cow<'a, str>> {
    let reading = evidence.get(path)?;
    matches!(reading.outcome, Outcome::Ok | Outcome::Truncated).then(|| reading.text())
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests;
