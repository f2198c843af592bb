//! `check time`: is the clock right, and who keeps it? Tokens, certificates and leases are judged by it.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Asked, Check, Finding, Kind, Level};
use crate::clock::{self, Clock, TIMESYNC, Tracking};
use crate::collectors::{self, CHRONY, Rows, TIMEDATECTL};
use crate::host::{Evidence, Outcome, Reading};
use crate::logs::{self, Summary};
use crate::processes;
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "time",
    about: "the clock: is it synchronised, is anything dated in the future",
    finds: &[
        Kind { id: SYNCHRONISED, passes: "The clock is synchronised." },
        Kind { id: HARDWARE, passes: "The hardware's clock agrees with the system's." },
        Kind { id: FUTURE, passes: "Nothing is dated in the future." },
        Kind { id: ZONE, passes: "The time zone is UTC." },
    ],
    reads: |node, _| collectors::at(node, READ),
    later: |_, _| Rows::default(),
    judge,
};

const SYNCHRONISED: &str = "time.synchronised";
const HARDWARE: &str = "time.hardware-clock";
const FUTURE: &str = "time.future";
const ZONE: &str = "time.zone";

const READ: &[&str] = &[clock::PATH, logs::PATH, TIMEDATECTL, CHRONY, status::PROCESSES];

/// How long ago timesyncd may have set the clock: it asks at least every 2048 s (`PollIntervalMaxSec`).
const FRESH: SignedDuration = SignedDuration::from_hours(2);
/// An offset beyond which chronyd itself steps the clock, as distributions configure it (`makestep 1 3`), in seconds.
const OFFSET: f64 = 1.0;
/// By how much clocks may differ before anybody notices: etcd warns of a second, tokens leave ten.
const PLAY: SignedDuration = SignedDuration::from_secs(60);
/// No time zone is further from UTC than this.
const ZONES: SignedDuration = SignedDuration::from_hours(15);
/// The most dates that are told.
const TOLD: usize = 16;

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let reading = evidence.get(clock::PATH);
    let clock = reading.and_then(|reading| Clock::parse(&reading.bytes));
    let why = why(reading);
    let known = |id, verdict: fn(&Clock, &Evidence) -> Finding| match &clock {
        Some(clock) => verdict(clock, evidence),
        None => Finding::new(id, Level::Unknown, format!("the clock was not looked at: {why}")),
    };
    vec![
        synchronised(clock.as_ref(), evidence),
        known(HARDWARE, hardware),
        known(FUTURE, future),
        known(ZONE, zone),
    ]
}

fn why(reading: Option<&Reading>) -> String {
    let Some(reading) = reading else { return "it was not asked for".to_owned() };
    reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string())
}

fn synchronised(clock: Option<&Clock>, evidence: &Evidence) -> Finding {
    let text = |path| {
        let reading = evidence.get(path).filter(|reading| reading.outcome == Outcome::Ok);
        reading.map(Reading::text)
    };
    let kernel = text(TIMEDATECTL).and_then(|text| clock::kernel_synchronised(&text));
    let tracking = text(CHRONY).and_then(|text| Tracking::parse(&text));
    let table = evidence.get(status::PROCESSES);
    let all = table.and_then(|reading| processes::parse(&reading.bytes).ok());
    let mut keepers: Vec<&str> = all.iter().flat_map(|all| processes::time_keepers(all)).collect();
    keepers.dedup();
    let is_seen = table.is_some_and(|table| table.outcome == Outcome::Ok) && all.is_some();
    let set = clock.and_then(|clock| clock.stamp(TIMESYNC));
    let age = set.zip(clock).map(|(set, clock)| clock.now.duration_since(set));
    let offset = tracking.as_ref().and_then(|tracking| tracking.offset);
    let facts = json!({
        "kernel": kernel, "chronyd": tracking.as_ref().map(|tracking| tracking.is_synchronised),
        "offsetSeconds": offset, "lastSet": set, "keepers": keepers,
    });
    let (level, summary) = if let Some(offset) = offset.filter(|offset| offset.abs() > OFFSET) {
        let ahead = if offset > 0.0 { "ahead of" } else { "behind" };
        (Level::Warn, format!("the clock is {:.1} s {ahead} what chronyd measures", offset.abs()))
    } else if kernel == Some(true) {
        (Level::Ok, "the clock is synchronised: the kernel says so".to_owned())
    } else if tracking.as_ref().is_some_and(|tracking| tracking.is_synchronised) {
        let offset = offset.unwrap_or_default();
        (Level::Ok, format!("the clock is synchronised: chronyd says so, {offset:+.6} s off"))
    } else if kernel.is_none() && age.is_some_and(|age| age < FRESH) {
        (Level::Ok, "the clock is synchronised: systemd-timesyncd has set it lately".to_owned())
    } else if kernel == Some(false) || tracking.is_some() {
        let by = if keepers.is_empty() {
            "and no program keeps it".to_owned()
        } else {
            format!("though {} runs", keepers.join(" and "))
        };
        (Level::Warn, format!("the clock is not synchronised, {by}"))
    } else if is_seen && keepers.is_empty() {
        (Level::Warn, "no program runs here that keeps the clock".to_owned())
    } else if !keepers.is_empty() {
        let summary =
            format!("{} runs, and does not tell whether it is synchronised", keepers.join(" and "));
        (Level::Unknown, summary)
    } else {
        let why = why(table);
        (Level::Unknown, format!("who keeps the clock is not known: processes: {why}"))
    };
    let finding = Finding::new(SYNCHRONISED, level, summary).evidence(facts);
    match level {
        Level::Warn if keepers.is_empty() => finding.remedy(
            "sudo timedatectl set-ntp true    or install chrony: sudo apt-get install chrony",
        ),
        Level::Warn => finding
            .remedy("timedatectl timesync-status; chronyc sources -v    show which servers answer")
            .remedy("let UDP 123 out to the time servers"),
        _ => finding,
    }
}

fn hardware(clock: &Clock, _: &Evidence) -> Finding {
    let Some(ahead) = clock.hardware_ahead() else {
        return Finding::new(
            HARDWARE,
            Level::Skip,
            "there is no clock in the hardware that can be read",
        );
    };
    let facts = json!({"aheadSeconds": ahead});
    let differ = ahead.abs();
    if SignedDuration::from_secs(differ) <= PLAY {
        let summary = format!("the hardware's clock differs from the system's by {differ} s");
        return Finding::new(HARDWARE, Level::Ok, summary).evidence(facts);
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let summary =
        format!("the hardware's clock is {differ} s {way} the system's: one of them is wrong");
    Finding::new(HARDWARE, Level::Warn, summary)
        .evidence(facts)
        .remedy("date -u    beside a clock that is right shows which one")
        .remedy("sudo hwclock --systohc    once the system's clock is synchronised")
}

/// A date that has not come yet.
struct Ahead {
    what: String,
    by: SignedDuration,
}

fn future(clock: &Clock, evidence: &Evidence) -> Finding {
    let by = |time: Timestamp| time.duration_since(clock.now);
    let files = clock.files.iter().map(|stamp| (stamp.path.clone(), by(stamp.modified)));
    let summary = evidence.get(logs::PATH).and_then(|reading| Summary::parse(&reading.bytes));
    let logs = summary.iter().flat_map(|summary| &summary.files);
    let logs = logs.filter_map(|file| Some((file.path.clone(), by(file.modified?))));
    let mut ahead: Vec<Ahead> = files
        .chain(logs)
        .filter(|(_, by)| *by > PLAY)
        .map(|(what, by)| Ahead { what, by })
        .collect();
    // Lines may be of local time, which is no wrong clock.
    let is_utc = clock.zone_name().is_none_or(is_utc);
    let limit = if is_utc { PLAY } else { ZONES };
    for file in summary.iter().flat_map(|summary| &summary.files) {
        if let Some(by) = file.counted.last.map(by).filter(|by| *by > limit) {
            ahead.push(Ahead { what: format!("the last line of {}", file.path), by });
        }
    }
    ahead.sort_by_key(|ahead| std::cmp::Reverse(ahead.by));
    let told: Vec<_> = ahead
        .iter()
        .take(TOLD)
        .map(|ahead| json!({"what": ahead.what, "aheadSeconds": ahead.by.as_secs()}))
        .collect();
    let facts = json!({"ahead": told, "looked": clock.files.len()});
    let Some(first) = ahead.first() else {
        return Finding::new(FUTURE, Level::Ok, "no file and no log is dated in the future")
            .evidence(facts);
    };
    let summary = format!(
        "{} dated in the future, {} the most: by {} s. The clock was set back, or is behind",
        if ahead.len() == 1 {
            "1 file or log is".to_owned()
        } else {
            format!("{} files or logs are", ahead.len())
        },
        first.what,
        first.by.as_secs()
    );
    Finding::new(FUTURE, Level::Warn, summary)
        .evidence(facts)
        .remedy("date -u    beside a clock that is right shows whether this one is behind")
        .remedy("restart calico-node once the clock is right: what it obtained meanwhile may count as expired")
}

fn is_utc(zone: &str) -> bool {
    matches!(
        zone.strip_prefix("Etc/").unwrap_or(zone),
        "UTC" | "UCT" | "Zulu" | "Universal" | "GMT"
    )
}

fn zone(clock: &Clock, evidence: &Evidence) -> Finding {
    let told = evidence.get(TIMEDATECTL).map(Reading::text).and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("Timezone=")).map(ToOwned::to_owned)
    });
    let zone = told.or_else(|| clock.zone_name().map(ToOwned::to_owned));
    let facts = json!({"zone": zone});
    match zone.as_deref() {
        None if clock.zone.is_none() => {
            let summary = "the time zone is UTC: /etc/localtime names no other";
            Finding::new(ZONE, Level::Ok, summary)
        }
        None => Finding::new(ZONE, Level::Info, "the time zone is one that has no name"),
        Some(zone) if is_utc(zone) => {
            Finding::new(ZONE, Level::Ok, format!("the time zone is {zone}"))
        }
        Some(zone) => {
            let summary = format!(
                "the time zone is {zone}: programs on the host log its local time, containers most often UTC"
            );
            Finding::new(ZONE, Level::Info, summary)
        }
    }
    .evidence(facts)
}

#[cfg(test)]
mod tests;
