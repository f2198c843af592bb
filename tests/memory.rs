//! How much memory `node diags` takes, whatever lies on the node.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::root::Root;

const MIB: u64 = 1 << 20;

/// The most that a run may take.
const MOST: u64 = 64 * MIB;

/// What compresses to three quarters, in lines.
pub(crate) fn noise(path: &Path, length: u64, mut state: u64) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    let mut line = [b'\n'; 128];
    for _ in 0..length / line.len() as u64 {
        for byte in &mut line[..127] {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // No letters: in so many of them there is by chance what looks like a token.
            *byte = 0x80 | (state >> 58) as u8;
        }
        file.write_all(&line).unwrap();
    }
    file.flush().unwrap();
}

/// What the kernel says a process has had at most (`VmHWM`, proc(5)), until it ends.
pub(crate) fn peak(child: &mut Child) -> u64 {
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

/// Logs as large as is kept of one: one that hardly compresses, and one that is a hole.
#[test]
fn memory_does_not_grow_with_the_logs_be_they_compressible_or_not() {
    let root = Root::new();
    let logs = root.at("/var/log/calico");
    fs::create_dir(&logs).unwrap();
    noise(&logs.join("noise"), 64 * MIB, 1);
    fs::File::create(logs.join("hole")).unwrap().set_len(86 * MIB).unwrap();
    let bundle = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--only", "logs", "--jobs", "2", "--output-file"])
        .arg(bundle.path().join("x.tar.gz"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let peak = peak(&mut child);
    assert!(peak > 0 && peak <= MOST, "{} MiB", peak / MIB);
    let tar =
        Command::new("tar").arg("-tvzf").arg(bundle.path().join("x.tar.gz")).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    let listing = String::from_utf8(tar.stdout).unwrap();
    let whole = format!(" {} ", 64 * MIB);
    let line = listing.lines().find(|line| line.ends_with("logs/noise"));
    assert!(line.is_some_and(|line| line.contains(&whole)), "{listing}");
}
