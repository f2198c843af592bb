//! What strace(1) wrote of a run.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The system calls of a trace of `strace -f -o`, a line each, in the order in which they began.
pub(crate) fn read(log: &Path) -> String {
    whole(&fs::read_to_string(log).unwrap())
}

/// A trace whose calls that another thread's call interrupted are whole again: strace(1) writes `PID call(A <unfinished ...>`,
/// then what came between, then `PID <... call resumed>B`.
fn whole(trace: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut begun: HashMap<&str, usize> = HashMap::new();
    for line in trace.lines() {
        let pid = line.split(' ').next().unwrap_or_default();
        if let Some(start) = line.strip_suffix("<unfinished ...>") {
            begun.insert(pid, lines.len());
            lines.push(start.to_owned());
        } else if let Some((_, rest)) = line.split_once(" resumed>")
            && let Some(start) = begun.remove(pid)
        {
            lines[start].push_str(rest);
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

#[test]
fn a_call_that_another_one_interrupted_is_whole_again() {
    let trace = "7 openat(3, \"/proc/a\", O_RDONLY <unfinished ...>\n\
                 8 socket(1, 2, 0) = 4\n\
                 7 <... openat resumed>) = -1 EACCES\n\
                 8 clone() = 9";
    let expected =
        "7 openat(3, \"/proc/a\", O_RDONLY ) = -1 EACCES\n8 socket(1, 2, 0) = 4\n8 clone() = 9";
    assert_eq!(whole(trace), expected);
}
