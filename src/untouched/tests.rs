#![allow(clippy::disallowed_methods, reason = "tests build the machine that is looked at")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "proc/modules", "nf_nat 1 2 - Live 0x0\nip_set 1 0 - Live 0x0\n");
    put(root.path(), "proc/self/mountinfo", "36 35 98:0 / /mnt rw - ext3 /dev/root rw\n");
    put(root.path(), "proc/sys/net/ipv4/ip_forward", "1\n");
    put(root.path(), "proc/sys/net/netfilter/nf_conntrack_count", "7\n");
    root
}

async fn take(root: &Path) -> Fingerprint {
    Fingerprint::take(&Host::live(root, Duration::from_secs(20)), false, 2).await
}

#[tokio::test]
async fn counters_are_no_change() {
    let root = root();
    let before = take(root.path()).await;
    put(root.path(), "proc/modules", "nf_nat 1 9 - Live 0x0\nip_set 1 3 - Live 0x0\n");
    put(root.path(), "proc/sys/net/netfilter/nf_conntrack_count", "9000\n");
    let compared = before.compare(&take(root.path()).await, str::to_owned);
    for (name, count) in [("modules", 2), ("mounts", 1), ("sysctls", 1)] {
        let expected =
            Comparison { before: Some(count), after: Some(count), ..Comparison::default() };
        assert_eq!(compared[name], expected, "{name}");
    }
}

#[tokio::test]
async fn each_change_is_named() {
    let root = root();
    let before = take(root.path()).await;
    put(root.path(), "proc/modules", "nf_nat 1 2 - Live 0x0\nnf_log 1 0 - Live 0x0\n");
    put(root.path(), "proc/self/mountinfo", "36 35 98:0 / /mnt ro - ext3 /dev/root rw\n");
    put(root.path(), "proc/sys/net/ipv4/ip_forward", "0\n");
    let compared = before.compare(&take(root.path()).await, str::to_owned);
    assert_eq!(compared["modules"].changed, ["-ip_set", "+nf_log"]);
    assert_eq!(compared["mounts"].changed, ["/mnt"]);
    assert_eq!(compared["sysctls"].changed, ["net.ipv4.ip_forward"]);
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_not_unchanged() {
    let root = tempfile::tempdir().unwrap();
    let taken = take(root.path()).await;
    let compared = taken.compare(&taken, str::to_owned);
    for name in ["modules", "mounts", "sysctls", "nftGeneration"] {
        let Comparison { before, after, changed, reason } = &compared[name];
        assert_eq!((before, after, changed.len()), (&None, &None, 0), "{name}");
        assert!(reason.is_some(), "{name}");
    }
    let reason = compared["nftGeneration"].reason.as_deref().unwrap();
    assert!(reason.starts_with("nf_tables is not loaded"), "{reason}");
}

#[tokio::test]
async fn of_many_changes_the_first_are_named_and_the_others_counted() {
    let root = root();
    let before = take(root.path()).await;
    let mut modules = String::new();
    for number in 0..250 {
        writeln!(modules, "m{number} 1 0 - Live 0x0").unwrap();
    }
    put(root.path(), "proc/modules", &modules);
    let changed = &before.compare(&take(root.path()).await, str::to_owned)["modules"].changed;
    assert_eq!(changed.len(), MAX_CHANGED + 1);
    assert_eq!(changed.last().unwrap(), "... and 152 more");
}
