//! What the kernel's log says of disks, and of programs that it has killed for want of memory.
//!
//! ```text
//! <3>[86400.123456] EXT4-fs error (device sda1): ext4_journal_check_start:83: Detected aborted journal
//! <2>[86400.223456] EXT4-fs (sda1): Remounting filesystem read-only
//! <3>[86400.323456] I/O error, dev sda, sector 2048 op 0x0:(READ)
//! <3>[86500.123456] Memory cgroup out of memory: Killed process 4711 (calico-node) total-vm:1830020kB, anon-rss:...
//! <3>[86500.123456] Out of memory: Kill process 4711 (bird) score 897 or sacrifice child        <- before 5.3
//! ```

use serde_json::{Value, json};

use super::{ERRORS, Evidence, Finding, KERNEL_LOG, KILLS, Level, UPTIME, VMSTAT, text, why};
use crate::checks::READ_KERNEL_LOG;
use crate::host::Outcome;

/// Programs without which Calico does not work here, by the 15 bytes of a name that the kernel keeps.
const CALICO: &[&str] = &[
    "bird",
    "bird6",
    "calico",
    "calico-felix",
    "calico-ipam",
    "calico-node",
    "calico-typha",
    "confd",
    "containerd",
    "kubelet",
    "runsvdir",
];

/// What is recent, in seconds: a program that was killed and started again is well after that.
const RECENT: f64 = 3600.0;
/// The most lines that are told.
const TOLD: usize = 8;

/// Words that tell of a disk or its file system.
const TROUBLE: &[&str] = &[
    "EXT4-fs error",
    "I/O error, dev ",
    "Remounting filesystem read-only",
    "critical medium error",
    "forced readonly",
    "metadata I/O error",
    "Shutting down filesystem",
    "shut down due to log error",
];

/// A line that the kernel itself wrote: seconds since boot and text.
fn lines(log: &str) -> impl Iterator<Item = (f64, &str)> {
    log.lines().filter_map(|line| {
        let (priority, rest) = line.strip_prefix('<')?.split_once(">[")?;
        let (seconds, text) = rest.split_once("] ")?;
        let priority: u32 = priority.parse().ok()?;
        let seconds: f64 = seconds.trim_start().parse().ok()?;
        // Whoever may write to /dev/kmsg has a facility of their own.
        (priority < 8 && seconds.is_finite()).then_some((seconds, text))
    })
}

fn unreadable(id: &'static str, evidence: &Evidence) -> Finding {
    let reading = evidence.get(KERNEL_LOG);
    let why = why(reading);
    let finding = Finding::new(id, Level::Unknown, format!("the kernel's log was not read: {why}"));
    match reading {
        Some(reading) if reading.outcome == Outcome::Denied => finding.remedy(READ_KERNEL_LOG),
        _ => finding,
    }
}

pub(super) fn errors(evidence: &Evidence) -> Finding {
    let Some(log) = text(evidence, KERNEL_LOG) else { return unreadable(ERRORS, evidence) };
    let mut found = 0_u64;
    let mut told: Vec<&str> = Vec::new();
    for (_, text) in lines(&log) {
        if TROUBLE.iter().any(|words| text.contains(words)) {
            found += 1;
            if told.len() < TOLD && !told.contains(&text) {
                told.push(text);
            }
        }
    }
    let facts = json!({"lines": found, "messages": told});
    let Some(first) = told.first() else {
        let summary = "the kernel's log tells of no trouble with disks, as far as it goes back";
        return Finding::new(ERRORS, Level::Ok, summary).evidence(facts);
    };
    let summary = format!(
        "{found} lines of the kernel's log tell of trouble with a disk, the first: {first}"
    );
    Finding::new(ERRORS, Level::Warn, summary).evidence(facts).remedy(
        "sudo dmesg --level err    shows them all; sudo smartctl -a /dev/DISK tells of the disk",
    )
}

/// A program that the kernel killed.
struct Kill<'a> {
    at: f64,
    program: &'a str,
    /// For want of memory in its control group, that is by its container's limit.
    in_group: bool,
}

fn kill((at, text): (f64, &str)) -> Option<Kill<'_>> {
    let (before, rest) =
        text.split_once("Killed process ").or_else(|| text.split_once("Kill process "))?;
    let in_group = before.contains("cgroup out of memory");
    if !before.to_ascii_lowercase().contains("out of memory") {
        return None;
    }
    // A name may hold brackets itself; behind it stand numbers.
    let (_, name) = rest.split_once('(')?;
    let (program, _) = name.split_once(')')?;
    Some(Kill { at, program, in_group })
}

pub(super) fn kills(evidence: &Evidence) -> Finding {
    let Some(log) = text(evidence, KERNEL_LOG) else { return without_log(evidence) };
    let all: Vec<Kill> = lines(&log).filter_map(kill).collect();
    let calico: Vec<&Kill> = all.iter().filter(|kill| CALICO.contains(&kill.program)).collect();
    let uptime: Option<f64> =
        text(evidence, UPTIME).and_then(|text| text.split_ascii_whitespace().next()?.parse().ok());
    let ago = |kill: &Kill| uptime.map(|now| now - kill.at).filter(|ago| *ago >= 0.0);
    let told: Vec<Value> = calico
        .iter()
        .rev()
        .take(TOLD)
        .map(|kill| {
            json!({"program": kill.program, "secondsAgo": ago(kill).map(f64::round), "byItsOwnLimit": kill.in_group})
        })
        .collect();
    let facts = json!({"kills": all.len(), "ofCalico": calico.len(), "last": told});
    let Some(last) = calico.last() else {
        let summary = match all.len() {
            0 => "nothing was killed for want of memory, as far as the kernel's log goes back"
                .to_owned(),
            count => format!("{count} programs were killed for want of memory, none of Calico's"),
        };
        let level = if all.is_empty() { Level::Ok } else { Level::Info };
        return Finding::new(KILLS, level, summary).evidence(facts);
    };
    let is_recent = ago(last).is_none_or(|ago| ago < RECENT);
    let level = if is_recent { Level::Fail } else { Level::Warn };
    let when =
        ago(last).map_or_else(String::new, |ago| format!(" {} min ago", (ago / 60.0).floor()));
    let summary = format!(
        "{} was killed for want of memory{when}, {} time{} in all",
        last.program,
        calico.len(),
        if calico.len() == 1 { "" } else { "s" }
    );
    let finding = Finding::new(KILLS, level, summary).evidence(facts);
    if last.in_group {
        finding
            .remedy("raise resources.limits.memory of the container calico-node, or leave it out")
    } else {
        finding.remedy("find what takes the node's memory: ps -eo rss,comm --sort=-rss | head")
    }
}

/// By the count of kills since boot, which does not tell whom they hit.
fn without_log(evidence: &Evidence) -> Finding {
    let count = text(evidence, VMSTAT).and_then(|text| {
        let value = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        value.trim().parse::<u64>().ok()
    });
    match count {
        Some(0) => {
            Finding::new(KILLS, Level::Ok, "nothing was killed for want of memory since boot")
                .evidence(json!({"kills": 0}))
        }
        Some(count) => {
            let summary = format!(
                "{count} programs were killed for want of memory since boot; the kernel's log, which tells them, was not read"
            );
            Finding::new(KILLS, Level::Unknown, summary).evidence(json!({"kills": count}))
        }
        None => unreadable(KILLS, evidence),
    }
}
