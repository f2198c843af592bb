//! When which errors were written to the logs: a bar for each message, from its first line to its last.

use jiff::Timestamp;
use maud::{Markup, html};

use super::shown;
use crate::logs::{Message, Severity, Summary};

/// The most messages that are drawn: the worst, and of those the most frequent.
const MOST: usize = 20;
const STEP: u64 = 40;
const TOP: u64 = 30;
/// Columns of the picture.
const WIDTH: f64 = 960.0;
/// The shortest bar: a moment is seen, too.
const SHORTEST: f64 = 4.0;
/// The most characters of a message.
const CHARACTERS: usize = 120;

/// The picture, or why there is none.
pub(super) fn timeline(logs: Option<&Summary>) -> Markup {
    let Some(logs) = logs else {
        return html! { p { "What was counted in the logs is not in the bundle." } };
    };
    let bytes: u64 = logs.files.iter().map(|file| file.looked_at).sum();
    let looked = format!(
        "Of {} files the end was looked at, {}.",
        logs.files.len(),
        bytesize::ByteSize(bytes)
    );
    let messages: Vec<&Message> =
        logs.messages.iter().filter(|message| message.first.is_some()).take(MOST).collect();
    let (Some(from), Some(to)) = (
        messages.iter().filter_map(|message| message.first).min(),
        messages.iter().filter_map(|message| message.last).max(),
    ) else {
        return html! { p { "There are no warnings or errors. " (looked) } };
    };
    let span = to.duration_since(from).as_secs_f64().max(1.0);
    let x = |time: Timestamp| time.duration_since(from).as_secs_f64() / span * WIDTH;
    let height = TOP + STEP * messages.len() as u64 + 8;
    html! {
        p { (looked) }
        svg class="timeline" viewBox={ "0 0 960 " (height) } role="img" aria-label="messages in the logs over time" {
            text class="start" x="0" y="14" { (format!("{from:.0}")) }
            text class="end" x="960" y="14" { (format!("{to:.0}")) }
            line class="axis" x1="0" y1="20" x2="960" y2="20" {}
            @for (row, message) in (0..).zip(&messages) {
                @let y = TOP + STEP * row;
                @let first = message.first.map_or(0.0, x);
                @let width = (message.last.map_or(first, x) - first).max(SHORTEST);
                text class="start" x="0" y=(y + 12) {
                    (message.severity.word()) " x " (message.count) " " (shown(&message.component)) ": "
                    (shown(&short(&message.message)))
                }
                rect class={ "bar " (class(message.severity)) } x=(format!("{:.1}", first.min(WIDTH - SHORTEST))) y=(y + 17) width=(format!("{width:.1}")) height="8" rx="2" {}
            }
        }
        @if logs.messages.len() > messages.len() {
            p { "and " (logs.messages.len() - messages.len()) " more kinds of message" }
        }
    }
}

const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug | Severity::Info => "info",
        Severity::Warning => "warn",
        Severity::Error | Severity::Fatal | Severity::Panic => "fail",
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
