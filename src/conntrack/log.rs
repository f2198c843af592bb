//! What the kernel says in its log when it drops packets because the table of connections is full.
//!
//! ```text
//! <4>[86400.123456] nf_conntrack: nf_conntrack: table full, dropping packet
//! <4>[86400.523456] nf_conntrack: table full in netns 4026532245, dropping packet
//! <4>[86405.123456] net_ratelimit: 73 callbacks suppressed
//! ```
//!
//! The namespace is named by kernels since the end of 2025, and never the first one. The message is rate-limited and
//! the log is a ring: what is not in it may have been there.

use std::collections::BTreeSet;

/// The messages in a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TableFull {
    /// How many there are.
    pub lines: u64,
    /// How many of them name another network namespace than the first.
    pub elsewhere: u64,
    /// The namespaces that are named, by their inode number (`/proc/PID/ns/net`).
    pub namespaces: BTreeSet<u64>,
    /// When the first and the last were written, in seconds since boot.
    pub first: f64,
    /// See `first`.
    pub last: f64,
    /// When the last was written that names no other namespace; `None`: all name one.
    pub last_here: Option<f64>,
    /// Messages of the network code, these and others, that the kernel held back.
    pub suppressed: u64,
}

/// Facilities below this are the kernel's own; whoever may write to `/dev/kmsg` has others.
const USER_FACILITY: u32 = 1 << 3;

/// Finds the messages in a log in the form of `dmesg --raw`.
#[must_use]
pub fn table_full(log: &str) -> TableFull {
    let mut found = TableFull::default();
    for line in log.lines() {
        let Some((seconds, text)) = parse(line) else { continue };
        if let Some(suppressed) = suppressed(text) {
            found.suppressed += suppressed;
            continue;
        }
        // The prefix stands once or twice, by the kernel's age.
        let mut message = text;
        while let Some(rest) = ["nf_conntrack: ", "ip_conntrack: "]
            .iter()
            .find_map(|prefix| message.strip_prefix(prefix))
        {
            message = rest;
        }
        if message.len() == text.len() {
            continue;
        }
        let Some(rest) = message.strip_prefix("table full") else { continue };
        if found.lines == 0 {
            found.first = seconds;
        }
        found.lines += 1;
        found.last = seconds;
        if let Some(namespace) = rest.strip_prefix(" in netns ") {
            found.elsewhere += 1;
            let number: Option<u64> =
                namespace.split(',').next().and_then(|number| number.parse().ok());
            // No more than anyone would read.
            if found.namespaces.len() < 64 {
                found.namespaces.extend(number);
            }
        } else {
            found.last_here = Some(seconds);
        }
    }
    found
}

/// Seconds since boot and text of a line that the kernel itself wrote.
fn parse(line: &str) -> Option<(f64, &str)> {
    let (priority, rest) = line.strip_prefix('<')?.split_once(">[")?;
    let (seconds, text) = rest.split_once("] ")?;
    let priority: u32 = priority.parse().ok()?;
    let seconds: f64 = seconds.trim_start().parse().ok()?;
    (priority < USER_FACILITY && seconds.is_finite()).then_some((seconds, text))
}

fn suppressed(text: &str) -> Option<u64> {
    text.strip_prefix("net_ratelimit: ")?.strip_suffix(" callbacks suppressed")?.parse().ok()
}
