//! Settings beside the limit: buckets and what memory they cost, timeouts; and whether this table matters at all.

use serde_json::{Map, Value, json};

use super::{BPF, BUCKETS, Facts, TIMEOUTS, grouped, mebibytes};
use crate::checks::dataplane::is_true;
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::conntrack::entry_bytes;
use crate::processes;

/// As many entries for each bucket, and chains get long: the kernel itself gives at most 8 where the number of
/// buckets was set by hand (`Documentation/networking/nf_conntrack-sysctl.rst`).
const ENTRIES_PER_BUCKET: u64 = 8;

/// The number of buckets against the limit, and what both cost.
pub(super) fn buckets(facts: &Facts) -> Finding {
    let (Some(buckets), Some(max)) = (facts.buckets.filter(|buckets| *buckets > 0), facts.max)
    else {
        return Finding::new(BUCKETS, Level::Unknown, "the number of hash buckets was not read");
    };
    let each = facts.text(rows::SLABINFO).and_then(|text| entry_bytes(&text));
    // A bucket is one pointer.
    let cost = |entries: u64| each.map(|each| entries.saturating_mul(each) + buckets * 8);
    let proposed = facts.asked.max.max(max);
    let evidence = json!({
        "buckets": buckets, "max": max, "entryBytes": each, "bytesAtMax": cost(max),
        "proposedMax": proposed, "bytesAtProposedMax": cost(proposed),
    });
    let memory = match (cost(max), cost(proposed)) {
        (Some(now), Some(then)) if proposed > max => format!(
            "; full it takes {} MiB, with a limit of {} it would take {} MiB",
            mebibytes(now),
            grouped(proposed),
            mebibytes(then)
        ),
        (Some(now), _) => format!("; full it takes {} MiB", mebibytes(now)),
        _ => "; what an entry costs is not known (/proc/slabinfo, for root only)".to_owned(),
    };
    let ratio = max.div_ceil(buckets);
    let many = if ratio == 1 { "one entry".to_owned() } else { format!("{ratio} entries") };
    let summary = format!("{} hash buckets, at most {many} for each{memory}", grouped(buckets));
    if ratio <= ENTRIES_PER_BUCKET {
        return Finding::new(BUCKETS, Level::Ok, summary).evidence(evidence);
    }
    let better = (max / 4).next_power_of_two();
    Finding::new(BUCKETS, Level::Warn, summary).evidence(evidence).remedy(format!(
        "sudo sysctl -w net.netfilter.nf_conntrack_buckets={better}    moves all entries to a new table of {} MiB",
        mebibytes(better * 8)
    ))
}

/// A time after which entries leave the table.
struct Timeout {
    setting: &'static str,
    /// The kernel's own (`Documentation/networking/nf_conntrack-sysctl.rst`).
    default: u64,
    /// Longer than this keeps dead entries that would be needed: the longest that kube-proxy sets by itself, or a few
    /// times the kernel's.
    long: u64,
}

const TIMES: [Timeout; 4] = [
    Timeout { setting: "nf_conntrack_tcp_timeout_established", default: 432_000, long: 86_400 },
    Timeout { setting: "nf_conntrack_tcp_timeout_close_wait", default: 60, long: 3600 },
    Timeout { setting: "nf_conntrack_udp_timeout", default: 30, long: 120 },
    Timeout { setting: "nf_conntrack_udp_timeout_stream", default: 120, long: 600 },
];

/// Times that keep entries of dead connections.
pub(super) fn timeouts(facts: &Facts) -> Finding {
    let mut evidence = Map::new();
    let (mut long, mut unread) = (Vec::new(), Vec::new());
    for time in &TIMES {
        let seconds = facts.setting(time.setting);
        let row =
            json!({"seconds": seconds, "kernelDefault": time.default, "longerThan": time.long});
        evidence.insert(time.setting.to_owned(), row);
        match seconds {
            Some(seconds) if seconds > time.long => long.push((time, seconds)),
            Some(_) => {}
            None => unread.push(time.setting),
        }
    }
    let evidence = Value::Object(evidence);
    if !unread.is_empty() {
        let summary = format!("not read: {}", unread.join(", "));
        return Finding::new(TIMEOUTS, Level::Unknown, summary).evidence(evidence);
    }
    if long.is_empty() {
        return Finding::new(TIMEOUTS, Level::Ok, "no timeout keeps dead entries for long")
            .evidence(evidence);
    }
    // While there is room, dead entries harm nobody.
    let level = if facts.is_crowded() { Level::Warn } else { Level::Info };
    let shown: Vec<String> = long
        .iter()
        .map(|(time, seconds)| format!("{} is {} s", time.setting, grouped(*seconds)))
        .collect();
    let summary = format!("dead connections stay for long: {}", shown.join(", "));
    let mut finding = Finding::new(TIMEOUTS, level, summary).evidence(evidence);
    for (time, _) in long {
        let better = time.long;
        finding = finding.remedy(format!("sudo sysctl -w net.netfilter.{}={better}", time.setting));
    }
    finding
}

/// Whether Felix runs in eBPF mode, in which pods' connections are in a map of its own.
pub(super) fn bpf(facts: &Facts) -> Finding {
    let felix = processes::find(&facts.node.processes).felix.process.cloned();
    let variable =
        |name: &str| felix.as_ref().and_then(|felix| felix.environment.get(name).cloned());
    let is_enabled = variable("FELIX_BPFENABLED").map(|value| is_true(&value));
    let listing = facts.text(rows::BPF_MAPS).unwrap_or_default();
    let maps: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5))
        .filter(|name| name.starts_with("cali_v4_ct") || name.starts_with("cali_v6_ct"))
        .filter(|name| !name.contains("ct_nats") && !name.contains("ctlb"))
        .collect();
    let size = variable("FELIX_BPFMAPSIZECONNTRACK");
    let evidence = json!({"enabled": is_enabled, "maps": maps, "configuredSize": size});
    let (level, summary) = match (is_enabled, maps.is_empty(), felix.is_some()) {
        (Some(true), ..) | (None, false, _) => {
            let names = if maps.is_empty() { "cali_v4_ct*".to_owned() } else { maps.join(", ") };
            let summary = format!(
                "eBPF dataplane: the connections of pods are in Calico's own map ({names}), which is not read here; the \
                 kernel's table holds those of the host"
            );
            (Level::Info, summary)
        }
        (Some(false), false, _) => (
            Level::Info,
            format!(
                "FELIX_BPFENABLED is false, and maps of the eBPF dataplane are left: {}",
                maps.join(", ")
            ),
        ),
        (_, true, true) => (Level::Ok, "Felix uses the kernel's table".to_owned()),
        (_, true, false) => (Level::Skip, "no Felix runs here".to_owned()),
    };
    Finding::new(BPF, level, summary).evidence(evidence)
}
