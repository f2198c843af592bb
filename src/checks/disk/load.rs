//! Pressure and memory.
//!
//! `/proc/pressure/memory` (kernel's `Documentation/accounting/psi.rst`): the share of time, in per cent, in which some,
//! or all, programs waited:
//!
//! ```text
//! some avg10=0.00 avg60=0.00 avg300=0.00 total=0
//! full avg10=0.00 avg60=0.00 avg300=0.00 total=0
//! ```

use serde_json::{Map, Value, json};

use super::{
    Evidence, Finding, Level, MEMINFO, MEMORY, PRESSURE, PRESSURES, percent, size, text, why,
};

/// What of each is too much, by the average of a minute: for a CPU some wait always; to wait for memory is to stand
/// still.
const LIMITS: [(&str, &str, f64); 3] =
    [("cpu", "some", 80.0), ("io", "full", 40.0), ("memory", "full", 10.0)];

/// Below so much the kubelet evicts pods (`evictionHard`: `memory.available<100Mi`).
const FAIL: u64 = 100 << 20;
/// Of the whole, in per cent.
const WARN: f64 = 5.0;

fn average(text: &str, kind: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
    let value = line.split(' ').find_map(|field| field.strip_prefix("avg60="))?;
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

pub(super) fn pressure(evidence: &Evidence) -> Finding {
    let mut facts = Map::new();
    let mut high = Vec::new();
    let mut unread = None;
    for ((name, path), (_, kind, limit)) in PRESSURES.into_iter().zip(LIMITS) {
        match text(evidence, path).as_deref().and_then(|text| average(text, kind)) {
            Some(value) => {
                facts.insert(name.to_owned(), json!({"kind": kind, "avg60": value}));
                if value >= limit {
                    high.push(format!("{name} {value} %"));
                }
            }
            None => unread = Some(path),
        }
    }
    let is_empty = facts.is_empty();
    let finding = match unread {
        _ if !high.is_empty() => {
            let summary = format!("in the last minute programs waited long: {}", high.join(", "));
            Finding::new(PRESSURE, Level::Warn, summary)
                .remedy("top    shows what takes the CPUs; iotop -o what takes the disks; probes of calico-node time out meanwhile")
        }
        None => {
            Finding::new(PRESSURE, Level::Ok, "programs do not wait long for CPU, disks or memory")
        }
        Some(path) => {
            // Without /proc, its absence says nothing of the kernel.
            let is_absent = is_empty
                && text(evidence, MEMINFO).is_some()
                && evidence.get(path).is_some_and(|it| it.outcome == crate::host::Outcome::Missing);
            let level = if is_absent { Level::Skip } else { Level::Unknown };
            let summary = if is_absent {
                "the kernel does not tell of pressure (CONFIG_PSI, psi=1)".to_owned()
            } else {
                format!(
                    "{} was not read: {}",
                    path.trim_start_matches("host"),
                    why(evidence.get(path))
                )
            };
            Finding::new(PRESSURE, level, summary)
        }
    };
    finding.evidence(Value::Object(facts))
}

/// A value of `/proc/meminfo`, in bytes (`MemAvailable:   123456 kB`).
fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

pub(super) fn memory(evidence: &Evidence) -> Finding {
    let told = text(evidence, MEMINFO).and_then(|text| {
        Some((value(&text, "MemAvailable")?, value(&text, "MemTotal").filter(|total| *total > 0)?))
    });
    let Some((available, total)) = told else {
        let summary =
            format!("how much memory is left is not known: {}", why(evidence.get(MEMINFO)));
        return Finding::new(MEMORY, Level::Unknown, summary);
    };
    let percent = percent(available, total);
    let facts = json!({"available": available, "total": total, "percent": percent});
    let level = if available < FAIL {
        Level::Fail
    } else if percent < WARN {
        Level::Warn
    } else {
        Level::Ok
    };
    let summary =
        format!("{} of {} of memory are available ({percent} %)", size(available), size(total));
    let finding = Finding::new(MEMORY, level, summary).evidence(facts);
    match level {
        Level::Ok => finding,
        _ => finding.remedy("ps -eo rss,comm --sort=-rss | head    shows what takes the memory"),
    }
}
