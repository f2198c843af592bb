//! Settings beside the limit: buckets and what memory they cost, timeouts.

use serde_json::{Map, Value, json};

use super::{BUCKETS, Facts, TIMEOUTS, grouped, mebibytes, proxy};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::conntrack::entry_bytes;
use crate::kube_proxy::Conntrack;

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
        "proposedBuckets": wanted(proposed).max(buckets),
    });
    let memory = match (cost(max), cost(proposed)) {
        (Some(now), Some(then)) if proposed > max => format!(
            "; full it takes {} MiB, with a limit of {} it would take {} MiB, with {} for each bucket",
            mebibytes(now),
            grouped(proposed),
            mebibytes(then),
            proposed.div_ceil(buckets)
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
    let better = wanted(max);
    Finding::new(BUCKETS, Level::Warn, summary).evidence(evidence).remedy(format!(
        "sudo sysctl -w net.netfilter.nf_conntrack_buckets={better}    moves all entries to a new table of {} MiB",
        mebibytes(better * 8)
    ))
}

/// As many buckets as keep chains short: four entries for each.
fn wanted(limit: u64) -> u64 {
    (limit / 4).next_power_of_two()
}

/// A time after which entries leave the table.
struct Timeout {
    setting: &'static str,
    /// The kernel's own (`Documentation/networking/nf_conntrack-sysctl.rst`).
    default: u64,
    /// Longer than this keeps dead entries that would be needed: the longest that kube-proxy sets by itself, or a few
    /// times the kernel's.
    long: u64,
    /// What kube-proxy sets; `None`: it leaves it alone.
    proxy: fn(&Conntrack) -> Option<u64>,
    /// Its name in kube-proxy's configuration.
    proxy_name: &'static str,
}

const TIMES: [Timeout; 4] = [
    Timeout {
        setting: "nf_conntrack_tcp_timeout_established",
        default: 432_000,
        long: 86_400,
        proxy: |proxy| proxy.tcp_established,
        proxy_name: "tcpEstablishedTimeout",
    },
    Timeout {
        setting: "nf_conntrack_tcp_timeout_close_wait",
        default: 60,
        long: 3600,
        proxy: |proxy| proxy.tcp_close_wait,
        proxy_name: "tcpCloseWaitTimeout",
    },
    Timeout {
        setting: "nf_conntrack_udp_timeout",
        default: 30,
        long: 120,
        proxy: |proxy| proxy.udp,
        proxy_name: "udpTimeout",
    },
    Timeout {
        setting: "nf_conntrack_udp_timeout_stream",
        default: 120,
        long: 600,
        proxy: |proxy| proxy.udp_stream,
        proxy_name: "udpStreamTimeout",
    },
];

/// Times that keep entries of dead connections.
pub(super) fn timeouts(facts: &Facts) -> Finding {
    let mut evidence = Map::new();
    let (mut long, mut unread) = (Vec::new(), Vec::new());
    // Whether it is known what kube-proxy does is a matter of the limit's finding.
    let proxy = proxy::settings(facts).ok().flatten();
    for time in &TIMES {
        let seconds = facts.setting(time.setting);
        let by_proxy = proxy.as_ref().and_then(time.proxy);
        let row = json!({
            "seconds": seconds, "kernelDefault": time.default, "longerThan": time.long,
            "kubeProxy": by_proxy,
        });
        evidence.insert(time.setting.to_owned(), row);
        match seconds {
            Some(seconds) if seconds > time.long => long.push((time, seconds, by_proxy)),
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
        .map(|(time, seconds, _)| {
            let default = grouped(time.default);
            format!("{} is {} s (kernel's default: {default} s)", time.setting, grouped(*seconds))
        })
        .collect();
    let summary = format!("dead connections stay for long: {}", shown.join(", "));
    let mut finding = Finding::new(TIMEOUTS, level, summary).evidence(evidence);
    for (time, _, by_proxy) in long {
        let better = time.long;
        finding = finding.remedy(format!("sudo sysctl -w net.netfilter.{}={better}", time.setting));
        if let Some(by_proxy) = by_proxy.filter(|by_proxy| *by_proxy != better) {
            finding = finding.remedy(format!(
                "  and conntrack.{} in kube-proxy's configuration, which sets {} s when it starts",
                time.proxy_name,
                grouped(by_proxy)
            ));
        }
    }
    finding
}
