//! Every check, on whatever evidence: what `check --from` does with a stranger's bundle.
//!
//! ```text
//! input: | length of path u8 | path | length of content u16, big endian | content | ... the next
//! ```
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use calivet::checks::{Asked, CHECKS};
use calivet::collectors::{self, Node};
use calivet::host::{Evidence, Reading};
use calivet::status;
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Where evidence can lie: files, and folders with some file in each.
static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut paths = BTreeSet::new();
    paths.extend(collectors::FIRST.iter().map(|artifact| artifact.path().into_owned()));
    for check in CHECKS {
        let rows = (check.reads)(&Node::unknown(), &Asked { top: Some(3), ..Asked::default() });
        paths.extend(rows.artifacts.iter().map(|artifact| artifact.path().into_owned()));
        paths.extend(rows.trees.iter().map(|tree| format!("{}/a.conf", tree.path())));
    }
    paths.into_iter().collect()
});

fuzz_target!(|bytes: &[u8]| {
    let evidence = evidence(bytes);
    let asked = Asked { top: Some(3), ..Asked::default() };
    for check in CHECKS {
        let findings = (check.judge)(&evidence, &asked);
        assert!(!findings.is_empty(), "{} finds something", check.name);
        for finding in &findings {
            assert!(
                check.finds.iter().any(|kind| kind.id == finding.id),
                "{} is announced",
                finding.id
            );
            assert!(!finding.summary.is_empty());
        }
        assert_eq!(findings, (check.judge)(&evidence, &asked), "{} is a function", check.name);
    }
    let status = status::node_status(Timestamp::UNIX_EPOCH, &evidence);
    let _ = status::resource::resource(&status, &evidence);
    let _ = Node::from_evidence(&evidence);
});

fn evidence(mut bytes: &[u8]) -> Evidence {
    let mut evidence = Evidence::default();
    while let Some((path, rest)) = take(bytes, 1) {
        let Some((content, rest)) = take(rest, 2) else { break };
        bytes = rest;
        let named = String::from_utf8_lossy(path).into_owned();
        let sum = path.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte));
        let is_folder = |known: &&String| {
            let folder = known.strip_suffix("a.conf").unwrap_or(known);
            folder.len() < known.len() && named.starts_with(folder)
        };
        let is_known = PATHS.contains(&named) || PATHS.iter().any(|known| is_folder(&known));
        let path = if is_known { named } else { PATHS[sum % PATHS.len()].clone() };
        let reading = Reading {
            bytes: content.to_vec(),
            original_bytes: content.len() as u64,
            started: Timestamp::UNIX_EPOCH,
            ..Reading::begin()
        };
        evidence.insert(path, reading);
    }
    evidence
}

/// What a length of so many bytes announces, and the rest.
fn take(bytes: &[u8], width: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |sum, byte| (sum << 8) + usize::from(*byte));
    Some(rest.split_at(length.min(rest.len())))
}
