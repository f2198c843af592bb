//! Logs: any pod's process writes what it likes into its own.
#![no_main]

use calivet::logs::{LogFile, Summary, Tally, frame, known, message, pattern};
use calivet::{conntrack, log_time};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (sizes, log) = bytes.split_at(bytes.len().min(4));
    assert_eq!(
        counted(&[log]),
        counted(&chunks(log, sizes)),
        "how a log is cut into chunks does not matter"
    );
    for line in log.split(|byte| *byte == b'\n') {
        let _ = log_time::parse(line);
        let frame = frame::parse(line);
        let text = String::from_utf8_lossy(&frame.text);
        let _ = message::parse(&text);
        let pattern = pattern::of(&text);
        assert_eq!(pattern, pattern::of(&text));
        assert!(pattern::sample(&text).len() <= 4096);
    }
    let text = String::from_utf8_lossy(log);
    let _ = conntrack::log::table_full(&text);
    if let Some(summary) = Summary::parse(log) {
        for message in &summary.messages {
            let _ = known::find(message);
        }
    }
});

fn counted(chunks: &[&[u8]]) -> Summary {
    let mut tally = Tally::new("felix", Timestamp::UNIX_EPOCH, true);
    for chunk in chunks {
        tally.add(chunk);
    }
    let mut summary = Summary::default();
    summary.add(LogFile::default(), tally);
    summary.sort();
    assert!(summary.messages.len() <= 256 + 128, "as many messages are told apart, and no more");
    summary
}

fn chunks<'a>(mut log: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if log.is_empty() {
            break;
        }
        let (chunk, rest) = log.split_at(log.len().min(usize::from(*size) + 1));
        chunks.push(chunk);
        log = rest;
    }
    if sizes.is_empty() { vec![log] } else { chunks }
}
