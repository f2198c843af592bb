//! What Felix's log says is wrong, one finding a message.

use serde_json::json;

use super::{ERRORS, Facts};
use crate::checks::{Finding, logged};
use crate::logs::{LogFile, Severity};

/// What went wrong lately?
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let files: Vec<&LogFile> = facts.log_files().collect();
    let subject = logged::Subject {
        id: ERRORS,
        who: "Felix",
        files: &files,
        messages: &facts.messages(),
        counts: &|file| {
            let counts = file.counted.severities.get("felix");
            counts
                .into_iter()
                .flatten()
                .map(|(severity, count)| (*severity, *count))
                .collect::<Vec<(Severity, u64)>>()
        },
    };
    if facts.is_absent() && files.is_empty() {
        return facts.skipped(ERRORS).into_iter().collect();
    }
    match &facts.logs {
        Ok(summary) => logged::judge(&subject, &summary.gaps),
        Err(why) => vec![logged::unknown(ERRORS, why).evidence(json!({}))],
    }
}
