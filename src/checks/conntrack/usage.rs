//! How full the table is, what was dropped, and what the kernel says of it.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{DROPS, Facts, KERNEL_LOG, Look, USAGE, grouped, percent, rate, why};
use crate::checks::{Finding, Level, READ_KERNEL_LOG};
use crate::collectors::conntrack as rows;
use crate::conntrack::{Counter, Statistics, log};
use crate::host::Outcome;

/// Entries against the limit.
pub(super) fn usage(facts: &Facts) -> Finding {
    let (Some(count), Some(max)) = (facts.count, facts.max) else {
        let lacking = if facts.count.is_none() { "count" } else { "max" };
        let path = format!("{}/nf_conntrack_{lacking}", rows::SETTINGS);
        let reason = facts.reading(&path).map(|reading| why(reading, &path[4..]));
        let reason = reason.unwrap_or_else(|| "it was not read".to_owned());
        let summary = format!("how many entries are in use of how many is not known: {reason}");
        return Finding::new(USAGE, Level::Unknown, summary)
            .evidence(json!({"count": facts.count, "max": facts.max, "percent": null}));
    };
    if max == 0 {
        let summary = format!("{} conntrack entries in use, and there is no limit", grouped(count));
        return Finding::new(USAGE, Level::Ok, summary)
            .evidence(json!({"count": count, "max": max, "percent": null}));
    }
    let share = percent(count, max);
    let level = if share >= f64::from(facts.asked.fail_percent) {
        Level::Fail
    } else if share >= f64::from(facts.asked.warn_percent) {
        Level::Warn
    } else {
        Level::Ok
    };
    let room = max.saturating_sub(count);
    let mut summary = format!(
        "{} of {} conntrack entries in use ({share} %), room for {}",
        grouped(count),
        grouped(max),
        grouped(room)
    );
    let mut evidence = json!({"count": count, "max": max, "percent": share, "headroom": room});
    if let (Ok(now), Some(later)) = (&facts.now, &facts.later)
        && let Some((text, growth)) = growth(now, later, max)
    {
        summary.push_str(&text);
        evidence["growth"] = growth;
    }
    let finding = Finding::new(USAGE, level, summary).evidence(evidence);
    if level == Level::Ok {
        return finding;
    }
    finding
        .remedy(format!(
            "sudo calivet check conntrack --fix    raises the limit to {}, now and for the next boot",
            grouped(facts.asked.max)
        ))
        .remedy("sudo calivet check conntrack --top    shows who fills the table")
}

/// How the number of entries changes, in words and as evidence. Two looks make no trend: it is said from how long.
#[expect(clippy::cast_precision_loss, reason = "no table has 2^52 entries")]
fn growth(now: &Look, later: &Look, max: u64) -> Option<(String, Value)> {
    let (before, after) = (now.statistics.entries?, later.statistics.entries?);
    let seconds = later.seconds_since(now);
    if seconds <= 0.0 {
        return None;
    }
    let per_second = ((after as f64 - before as f64) * 10.0 / seconds).round() / 10.0;
    let left = max.saturating_sub(after) as f64;
    let full_in = (per_second > 0.0).then(|| (left / per_second).round());
    let mut text = format!(", net {per_second:+} a second within {seconds:.1} s");
    if let Some(full_in) = full_in {
        let _ = write!(text, ", full in about {full_in} s if it goes on like that");
    }
    let evidence = json!({
        "perSecond": per_second, "seconds": (seconds * 10.0).round() / 10.0, "secondsToFull": full_in,
    });
    Some((text, evidence))
}

/// What the counters of drops mean together.
struct Pattern {
    /// Packets that found no room.
    full: u64,
    /// Entries that had to make room.
    early: u64,
    /// Entries that met their like.
    clashes: u64,
    /// Entries whose chain was too long.
    chains: u64,
    /// Entries that met one for the same connection and gave way without loss; `None`: the kernel does not tell.
    settled: Option<u64>,
}

impl Pattern {
    /// Of counters, or of their growth; what is not told counts as none, and is said to be unknown elsewhere. An
    /// entry that cannot be put in counts as `insert_failed` and as `drop`, one whose chain is too long as all three
    /// (`__nf_conntrack_confirm` in the kernel's `nf_conntrack_core.c`).
    fn of(count: impl Fn(Counter) -> Option<u64>) -> Self {
        let of = |counter| count(counter).unwrap_or_default();
        let (failed, chains) = (of(Counter::InsertFailed), of(Counter::ChainTooLong));
        Self {
            full: of(Counter::Drop).saturating_sub(failed),
            early: of(Counter::EarlyDrop),
            clashes: failed.saturating_sub(chains),
            chains,
            settled: count(Counter::ClashResolve),
        }
    }

    const fn is_full(&self) -> bool {
        self.full > 0 || self.early > 0
    }

    const fn is_any(&self) -> bool {
        self.is_full() || self.clashes > 0 || self.chains > 0
    }

    fn words(&self) -> String {
        let parts = [
            (self.full, "packets dropped because there was no room"),
            (self.early, "entries thrown out early to make room"),
            (self.clashes, "entries not put in because their like was there"),
            (self.chains, "entries not put in because their hash chain was too long"),
        ];
        let words: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(*count)))
            .collect();
        words.join(", ")
    }

    /// What is counted and did no harm.
    fn races(&self) -> String {
        match self.settled {
            Some(settled) if settled > 0 => format!(
                "; {} races of two packets of one connection were settled without loss",
                grouped(settled)
            ),
            _ => String::new(),
        }
    }

    fn remedies(&self, mut finding: Finding) -> Finding {
        if self.is_full() {
            finding = finding.remedy(
                "the table was full: sudo calivet check conntrack --fix raises the limit, --top shows who fills it",
            );
        }
        if self.clashes > 0 {
            // The kernel settles a race of two packets of one connection, where no NAT came between: many of those make
            // it likely that what could not be put in was of that sort, too.
            let hint = match self.settled {
                Some(0) => "no race of two packets was settled (clash_resolve 0), which speaks for the first".to_owned(),
                Some(settled) => format!(
                    "{} races of two packets were settled (clash_resolve), which speaks for the second",
                    grouped(settled)
                ),
                None => "which of these is it?".to_owned(),
            };
            finding = finding
                .remedy(format!("entries clash, and the table need not be full for that; {hint}:"))
                .remedy("  source NAT ran out of ports: more node addresses, natOutgoing off where it is not needed, --random-fully")
                .remedy("  two DNS queries at once from one port: NodeLocal DNSCache, or single-request-reopen in resolv.conf");
        }
        if self.chains > 0 {
            finding = finding.remedy(
                "hash chains are too long: more buckets, sudo sysctl -w net.netfilter.nf_conntrack_buckets=N with N = limit / 4 or more",
            );
        }
        finding
    }
}

/// Packets and entries that were dropped: since boot, and with a second look now.
pub(super) fn drops(facts: &Facts) -> Finding {
    let now = match &facts.now {
        Ok(now) => now,
        Err(reason) => {
            let summary = format!("what was dropped is not known: {reason}");
            return Finding::new(DROPS, Level::Unknown, summary);
        }
    };
    let newest = facts.later.as_ref().unwrap_or(now);
    let mut evidence = sums(&newest.statistics);
    evidence.insert("source".to_owned(), newest.source.into());
    evidence.insert("perCpu".to_owned(), json!(newest.statistics.cpus));
    let all = Pattern::of(|counter| newest.statistics.sum(counter));
    if newest.statistics.sum(Counter::Drop).is_none() {
        return Finding::new(DROPS, Level::Unknown, "the kernel does not tell what it dropped")
            .evidence(Value::Object(evidence));
    }
    let Some(later) = &facts.later else {
        let (level, summary) = if all.is_any() {
            let level = if all.is_full() { Level::Warn } else { Level::Info };
            let hint = "--interval 5s tells whether that goes on";
            (level, format!("since boot {}; {hint}", all.words()))
        } else {
            (Level::Ok, format!("nothing was dropped since boot{}", all.races()))
        };
        let finding = Finding::new(DROPS, level, summary).evidence(Value::Object(evidence));
        return all.remedies(finding);
    };
    let seconds = later.seconds_since(now);
    let grown = |counter| later.statistics.growth(&now.statistics, counter);
    let mut rates = Map::new();
    for counter in Counter::ALL {
        let per_second =
            grown(counter).filter(|_| seconds > 0.0).map(|growth| rate(growth, seconds));
        rates.insert(counter.evidence().to_owned(), json!(per_second));
    }
    evidence.insert("rates".to_owned(), Value::Object(rates));
    evidence.insert("seconds".to_owned(), json!((seconds * 10.0).round() / 10.0));
    let told = later.statistics.cpus.iter().any(|cpu| cpu.get(Counter::Drop).is_some());
    if !told || [Counter::Drop, Counter::EarlyDrop].iter().any(|counter| grown(*counter).is_none())
    {
        let summary = "counters went backwards between the two looks (reset, run over, or CPUs came and went): \
                       what is dropped now is not known";
        return Finding::new(DROPS, Level::Unknown, summary).evidence(Value::Object(evidence));
    }
    let fresh = Pattern::of(grown);
    let (level, summary) = if fresh.is_any() {
        let level = if fresh.is_full() { Level::Fail } else { Level::Warn };
        (level, format!("within {seconds:.1} s {}", fresh.words()))
    } else if all.is_any() {
        (Level::Ok, format!("nothing dropped within {seconds:.1} s; since boot {}", all.words()))
    } else {
        (Level::Ok, format!("nothing was dropped since boot{}", all.races()))
    };
    fresh.remedies(Finding::new(DROPS, level, summary).evidence(Value::Object(evidence)))
}

/// The counters over all CPUs.
fn sums(statistics: &Statistics) -> Map<String, Value> {
    let sum = |counter: Counter| (counter.evidence().to_owned(), json!(statistics.sum(counter)));
    Counter::ALL.map(sum).into_iter().collect()
}

/// As long ago at most, a message is of now.
const RECENT: f64 = 600.0;

/// What the kernel's log tells of a full table.
pub(super) fn kernel_log(facts: &Facts) -> Finding {
    let Some(reading) = facts.reading(rows::KERNEL_LOG) else {
        return Finding::new(KERNEL_LOG, Level::Unknown, "the kernel's log was not read");
    };
    let found = log::table_full(&reading.text());
    let uptime = facts.text(rows::UPTIME).and_then(|text| {
        text.split_ascii_whitespace().next()?.parse::<f64>().ok().filter(|up| up.is_finite())
    });
    let ago = uptime.map(|uptime| (uptime - found.last).max(0.0).round());
    let evidence = json!({
        "lines": found.lines,
        "firstSeconds": (found.lines > 0).then_some(found.first),
        "lastSeconds": (found.lines > 0).then_some(found.last),
        "lastSecondsAgo": ago.filter(|_| found.lines > 0),
        "inOtherNamespaces": found.elsewhere,
        "namespaces": found.namespaces,
        "suppressed": found.suppressed,
    });
    if found.lines == 0 {
        let (level, summary) = match reading.outcome {
            Outcome::Ok | Outcome::Truncated => {
                (Level::Ok, "\"table full\" is not in what the kernel's log still holds".to_owned())
            }
            _ => (Level::Unknown, format!("not known: {}", why(reading, "the kernel's log"))),
        };
        let finding = Finding::new(KERNEL_LOG, level, summary).evidence(evidence);
        return match reading.outcome {
            Outcome::Denied => finding.remedy(READ_KERNEL_LOG),
            _ => finding,
        };
    }
    let is_recent = |last: f64| uptime.is_some_and(|uptime| uptime - last < RECENT);
    let level = match found.last_here {
        Some(last) if is_recent(last) => Level::Fail,
        Some(_) => Level::Warn,
        // Each namespace has a table of its own: what is full there is not the host's.
        None if is_recent(found.last) => Level::Warn,
        None => Level::Info,
    };
    let mut summary = format!(
        "\"nf_conntrack: table full, dropping packet\" {} times in the kernel's log, first {:.0} s after boot",
        grouped(found.lines),
        found.first
    );
    let _ = match ago {
        Some(ago) => write!(summary, ", last {ago} s ago"),
        None => write!(summary, ", last {:.0} s after boot", found.last),
    };
    let finding = |summary: String| {
        Finding::new(KERNEL_LOG, level, summary).evidence(evidence.clone()).remedy(
            "sudo calivet check conntrack --fix    raises the limit, now and for the next boot",
        )
    };
    let Some(number) = found.namespaces.first().filter(|_| found.last_here.is_none()) else {
        if found.elsewhere > 0 {
            let _ = write!(
                summary,
                ", {} of them of network namespaces other than the first",
                grouped(found.elsewhere)
            );
        }
        return finding(summary);
    };
    let _ = write!(
        summary,
        ", all of {} other network namespaces, as pods have them ({number}{}): not the host's table was full, but that of a \
         pod, which has the same limit",
        found.namespaces.len(),
        if found.namespaces.len() > 1 { ", ..." } else { "" }
    );
    finding(summary)
        .remedy(format!("lsns -t net | grep {number}    says whose it is, while it lasts"))
}
