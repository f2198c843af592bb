//! Journals that are damaged, read by the real `journalctl`.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::read::GzDecoder;

use super::{Scratch, is_root, with_programs};

/// Of systemd 252: 40 lines of calico-node's service, as `systemd-journal-remote` wrote them.
const JOURNAL: &[u8] = include_bytes!("../samples/calico-node.journal.gz");

/// What a bundle tells of a folder of journals: outcome, reason, lines.
fn told(journals: &[(&str, &[u8])]) -> Option<(String, String, usize)> {
    const MACHINE: &str = "aabbccddeeff00112233445566778899";
    if !is_root() {
        return None;
    }
    if !Path::new("/usr/bin/journalctl").exists() {
        eprintln!("skipped: there is no journalctl: tests/run installs it");
        return None;
    }
    let root = with_programs(&["/usr/bin/journalctl"]).file("/etc/machine-id", MACHINE);
    let folder = root.at("/var/log/journal").join(MACHINE);
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in journals {
        fs::write(folder.join(name), bytes).unwrap();
    }
    for folder in ["", "/usr", "/usr/bin", "/usr/bin/journalctl"] {
        fs::set_permissions(root.at(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let scratch = Scratch::new();
    let run = scratch.diags(root.path()).args(["--only", "logs"]).output().unwrap();
    assert!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
    let bundle = scratch.open();
    let (outcome, reason) = bundle.told("journalctl_calico_node");
    assert_eq!(bundle.manifest["complete"], outcome == "ok");
    let lines = String::from_utf8(bundle.bytes("journalctl_calico_node")).unwrap();
    let lines = lines.lines().filter(|line| line.contains(" calico-node[7]: line ")).count();
    Some((outcome.to_owned(), reason.to_owned(), lines))
}

#[test]
fn a_journal_that_is_damaged_is_named_and_what_others_hold_is_there() {
    let mut whole = Vec::new();
    GzDecoder::new(JOURNAL).read_to_end(&mut whole).unwrap();
    let Some(undamaged) = told(&[("system.journal", &whole)]) else { return };
    assert_eq!(undamaged, ("ok".to_owned(), String::new(), 40));
    let mut foreign = whole.clone();
    foreign[..64].fill(0x5a);
    let cut = &whole[..200_000];
    for (damaged, said) in
        [(&foreign[..], "corrupted, ignoring file"), (cut, "is truncated, ignoring file")]
    {
        for others in [0, 40] {
            let whole = (others > 0).then_some(("system.journal", &whole[..]));
            let journals: Vec<(&str, &[u8])> =
                whole.into_iter().chain([("user-1000.journal", damaged)]).collect();
            let (outcome, reason, lines) = told(&journals).unwrap();
            assert_eq!((outcome.as_str(), lines), ("failed", others), "{reason}");
            assert!(reason.contains("user-1000.journal") && reason.contains(said), "{reason}");
        }
    }
    // Damage within is not noticed by journalctl: it ends there, and says nothing of it.
    let mut within = whole.clone();
    let at = whole.windows(8).position(|bytes| bytes == b"line 20 ").unwrap();
    within[at..at + 4000].fill(0x5a);
    let (_, _, lines) = told(&[("system.journal", &within)]).unwrap();
    assert!((1..40).contains(&lines), "{lines}");
}
