//! A fault in one task, and the end of a run, seen from what comes out.

#![allow(clippy::disallowed_methods, reason = "tests build the machine that is looked at")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::redact::Secrets;

/// What a run over `files` of a fake root gives, by path: what happened, and the bytes.
async fn items(
    root: &Path,
    files: &[&'static str],
    change: impl FnOnce(&mut Run),
    stop: watch::Receiver<Option<Stop>>,
) -> BTreeMap<String, (Collected, Vec<u8>)> {
    let host = Arc::new(Host::live(root, Duration::from_secs(20)));
    let (sender, mut received) = mpsc::channel(1);
    let redactor = Arc::new(Redactor::new(&Secrets::default()));
    let mut run = Run::new(host, redactor, 1, 2, None, sender, stop);
    change(&mut run);
    let task = |path| Task { collector: "test", work: Work::Artifacts(vec![Artifact::file(path)]) };
    let running = tokio::spawn(run.run(files.iter().copied().map(task).collect(), 2));
    let mut items = BTreeMap::new();
    while let Some(mut item) = received.recv().await {
        let mut bytes = Vec::new();
        while let Some(chunk) = item.bytes.recv().await {
            bytes.extend(chunk);
        }
        if let Ok(collected) = item.end.await {
            items.insert(collected.path.clone(), (collected, bytes));
        }
    }
    running.await.unwrap();
    items
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(root.path().join(name), name).unwrap();
    }
    root
}

#[tokio::test]
async fn a_panic_costs_its_own_item_and_no_other() {
    let root = root();
    let (_stop, stopped) = watch::channel(None);
    let panics = |run: &mut Run| run.panics_at = Some("host/b");
    let items = items(root.path(), &["/a", "/b", "/c"], panics, stopped).await;
    assert_eq!(items.len(), 3);
    for (path, content) in [("host/a", b"a"), ("host/c", b"c")] {
        let (collected, bytes) = &items[path];
        assert_eq!((collected.outcome, bytes.as_slice()), (Outcome::Ok, content.as_slice()));
    }
    let (collected, bytes) = &items["host/b"];
    assert_eq!((collected.outcome, bytes.len()), (Outcome::Failed, 0));
    let reason = collected.reason.as_deref().unwrap();
    assert!(reason.starts_with("a fault of calivet's own: "), "{reason}");
}

#[tokio::test]
async fn a_panic_on_a_thread_that_redacts_costs_its_own_item_and_no_other() {
    let root = root();
    std::fs::write(root.path().join("b"), vec![b'x'; 2 * WORTH_A_THREAD]).unwrap();
    std::fs::write(root.path().join("c"), vec![b'y'; 2 * WORTH_A_THREAD]).unwrap();
    let (_stop, stopped) = watch::channel(None);
    let panics = |run: &mut Run| run.panics_within = Some("host/b");
    let items = items(root.path(), &["/a", "/b", "/c"], panics, stopped).await;
    let (collected, bytes) = &items["host/b"];
    assert_eq!((collected.outcome, bytes.len()), (Outcome::Failed, 0));
    let reason = collected.reason.as_deref().unwrap();
    assert!(reason.starts_with("a fault of calivet's own: "), "{reason}");
    let (collected, bytes) = &items["host/c"];
    assert_eq!((collected.outcome, bytes.len()), (Outcome::Ok, 2 * WORTH_A_THREAD));
}

#[tokio::test]
async fn what_was_not_begun_when_the_run_ended_says_why() {
    let root = root();
    for (stop, reason) in [
        (Stop::Signal(15), "SIGTERM ended the run before its turn"),
        (
            Stop::Deadline(Duration::from_secs(5)),
            "the deadline of the run (5s) was over before its turn",
        ),
    ] {
        let (_stop, stopped) = watch::channel(Some(stop));
        let items = items(root.path(), &["/a"], |_| {}, stopped).await;
        let (collected, _) = &items["host/a"];
        assert_eq!(collected.outcome, Outcome::Interrupted);
        assert_eq!(collected.reason.as_deref(), Some(reason));
    }
}
