//! What has the plugin logged? `check logs` tells each message; here it is only whether pods fail to be made.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ERRORS, Facts, reason};
use crate::checks::{Finding, Level};
use crate::logs::{self, Message, RECENT, Severity, Summary, known};

/// Has it logged errors lately?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let Some(reading) = facts.evidence.get(logs::PATH) else {
        return Finding::new(ERRORS, Level::Unknown, "the logs were not read");
    };
    let Some(summary) = Summary::parse(&reading.bytes) else {
        return Finding::new(
            ERRORS,
            Level::Unknown,
            format!("the logs are not known: {}", reason(reading)),
        );
    };
    let files: Vec<_> = summary.files.iter().filter(|file| file.path.contains("/cni/")).collect();
    // The plugin's parts have names of their own (`cni-plugin`, `ipam`), and none in older versions.
    let parts: BTreeSet<&String> =
        files.iter().flat_map(|file| file.counted.severities.keys()).collect();
    let mut messages: Vec<&Message> = summary
        .messages
        .iter()
        .filter(|message| {
            parts.contains(&message.component) && message.severity > Severity::Warning
        })
        .collect();
    messages.sort_by_key(|message| std::cmp::Reverse((message.recent, message.last)));
    let told = messages.iter().take(10).map(|message| {
        json!({
            "message": message.message, "count": message.count, "recent": message.recent,
            "last": message.last, "meaning": known::find(message).map(|known| known.meaning),
        })
    });
    let evidence = json!({
        "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
        "messages": told.collect::<Vec<Value>>(),
    });
    let finding =
        |level, summary: String| Finding::new(ERRORS, level, summary).evidence(evidence.clone());
    if files.is_empty() {
        return finding(Level::Skip, "the plugin has no log in /var/log/calico/cni".to_owned());
    }
    if let Some(why) = files.iter().find_map(|file| file.unread.as_ref()) {
        return finding(Level::Unknown, format!("the plugin's log was not read: {why}"));
    }
    let all: u64 = messages.iter().map(|message| message.count).sum();
    let recent: u64 = messages.iter().map(|message| message.recent).sum();
    let Some(first) = messages.first() else {
        return finding(Level::Ok, "the plugin has logged no error".to_owned());
    };
    let sample: String = first.sample.chars().take(200).collect();
    if recent == 0 {
        return finding(
            Level::Info,
            format!("{all} errors, none of them in the last hour; the last kind: {sample}"),
        );
    }
    let meaning = known::find(first);
    let explained = meaning.map_or(String::new(), |known| format!(": {}", known.meaning));
    let found = finding(
        Level::Warn,
        format!(
            "{recent} errors in the last {} minutes, {all} in all: {sample}{explained}",
            RECENT / 60
        ),
    );
    let found = match meaning {
        Some(known) => found.remedy(known.mend),
        None => found,
    };
    found.remedy("calivet check logs    # all of them; tail -f /var/log/calico/cni/cni.log")
}
