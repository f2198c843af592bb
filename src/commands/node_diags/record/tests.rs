//! Items that are fed to a recorder by hand, and what is then in the bundle.
#![allow(clippy::disallowed_methods, reason = "tests look at the bundle that was written")]

use std::ops::ControlFlow;
use std::path::Path;

use clap::Parser;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::archive;
use crate::archive::reader::{Limits, read_gzip};
use crate::cli::Cli;

/// More than all items together may hold in memory.
const LARGE: usize = 16 << 20;

/// What does not compress.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One whose item a test fills.
struct Source {
    path: &'static str,
    bytes: mpsc::Sender<Vec<u8>>,
    end: oneshot::Sender<Collected>,
}

impl Source {
    async fn new(path: &'static str, items: &mpsc::Sender<Item>) -> Self {
        let (bytes, received) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let item = Item { path: path.to_owned(), bytes: received, end: ended };
        items.send(item).await.unwrap_or_else(|_| panic!("nobody takes items"));
        Self { path, bytes, end }
    }

    async fn send(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(256 << 10) {
            self.bytes.send(chunk.to_vec()).await.unwrap();
        }
    }

    fn end(self, bytes: usize) {
        let collected = Collected {
            outcome: Outcome::Ok,
            reason: None,
            bytes: bytes as u64,
            sha256: Some("not looked at".to_owned()),
            ..own_fault(self.path, "test")
        };
        let _ = self.end.send(collected);
    }

    /// The whole of it.
    async fn give(self, bytes: Vec<u8>) {
        self.send(&bytes).await;
        self.end(bytes.len());
    }
}

fn recorder(output: archive::Output, max_bytes: Option<u64>) -> Recorder {
    let writer = Writer::new(output, 2, 1);
    let output = Output::new(&Cli::parse_from(["calivet", "--quiet", "node", "diags"]).options);
    let stop = watch::channel(None).0;
    let judged = Judged::new(&Node::default(), str::to_owned);
    let most = Most { bytes: max_bytes, waiting: 8 << 20 };
    Recorder::new(writer, &Node::default(), Timestamp::now(), most, stop, judged, output)
}

/// Path and length of what is in a bundle, in its order.
fn contents(bundle: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let bytes = std::fs::read(bundle).unwrap();
    let contents = read_gzip(bytes.as_slice(), Limits::default(), &mut |member, data| {
        let length = std::io::copy(data, &mut std::io::sink()).unwrap();
        assert_eq!(length, member.size, "{}", member.path);
        found.push((member.path.trim_start_matches(archive::FOLDER).to_owned(), length));
        ControlFlow::Continue(())
    });
    assert!(!contents.truncated() && contents.refused_total == 0, "{contents:?}");
    found
}

fn told(recorder: &Recorder, path: &str) -> (Outcome, u64) {
    let mut items = recorder.items.iter();
    let item = items.rfind(|item| item.path == path);
    item.map_or_else(|| panic!("nothing of {path}"), |item| (item.outcome, item.bytes))
}

/// Lets `feed` fill a recorder; what it told of the items, and what is in the bundle.
async fn record<F: Future<Output = ()> + Send + 'static>(
    max_bytes: Option<u64>,
    feed: impl FnOnce(mpsc::Sender<Item>) -> F,
) -> (Vec<Collected>, Vec<(String, u64)>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let mut recorder = recorder(archive::Output::create(&path, false).unwrap(), max_bytes);
    let (items, received) = mpsc::channel(1);
    let feeding = tokio::spawn(feed(items));
    let minute = Duration::from_secs(60);
    timeout(minute, recorder.record(received)).await.expect("items wait for each other");
    feeding.await.unwrap();
    let told = std::mem::take(&mut recorder.items);
    assert!(recorder.finish().await.1.is_none());
    (told, contents(&path))
}

#[tokio::test]
async fn items_that_do_not_fit_into_memory_come_whole_and_one_after_the_other() {
    let (told, found) = record(None, |items| async move {
        let mut feeding = JoinSet::new();
        for (path, seed) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            let source = Source::new(path, &items).await;
            feeding.spawn(source.give(noise(LARGE, seed)));
        }
        feeding.spawn(Source::new("small", &items).await.give(b"small".to_vec()));
        drop(items);
        feeding.join_all().await;
    })
    .await;
    assert!(told.iter().all(|item| item.outcome == Outcome::Ok), "{told:?}");
    let mut found: Vec<_> = found.iter().map(|(path, length)| (path.as_str(), *length)).collect();
    found.sort_unstable();
    found.retain(|(path, _)| *path != "status.json");
    let large = LARGE as u64;
    assert_eq!(found, [("a", large), ("b", large), ("c", large), ("d", large), ("small", 5)]);
}

#[tokio::test]
async fn an_item_that_hangs_and_holds_little_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let mut recorder = recorder(archive::Output::create(&path, false).unwrap(), None);
    let (items, received) = mpsc::channel(1);
    let (release, held) = oneshot::channel::<()>();
    let feeding = async {
        let hung = Source::new("hung", &items).await;
        hung.send(&noise(3 << 20, 1)).await;
        for (path, seed) in [("a", 2), ("b", 3)] {
            Source::new(path, &items).await.give(noise(LARGE, seed)).await;
        }
        drop(items);
        held.await.unwrap();
        hung.end(3 << 20);
    };
    let watching = async {
        // All but what hangs is in the file while it hangs.
        let whole = 2 * LARGE as u64;
        while std::fs::metadata(&path).unwrap().len() < whole {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release.send(()).unwrap();
    };
    let all = async { tokio::join!(recorder.record(received), feeding, watching) };
    timeout(Duration::from_secs(60), all).await.expect("what hangs holds up the others");
    assert_eq!(told(&recorder, "hung"), (Outcome::Ok, 3 << 20));
    assert!(recorder.finish().await.1.is_none());
    assert_eq!(contents(&path).last().map(|(path, _)| path.as_str()), Some("hung"));
}

#[tokio::test]
async fn an_item_that_breaks_off_on_its_way_into_the_bundle_leaves_no_trace() {
    let (told, found) = record(None, |items| async move {
        let broken = Source::new("broken", &items).await;
        broken.send(&noise(LARGE, 1)).await;
        drop(broken);
        Source::new("after", &items).await.give(b"x".to_vec()).await;
    })
    .await;
    assert!(told.iter().all(|item| item.path != "broken"), "{told:?}");
    assert_eq!(found.iter().filter(|(path, _)| path != "status.json").count(), 1, "{found:?}");
}

#[tokio::test]
async fn what_is_too_large_for_the_bundle_is_taken_back_and_what_is_worth_less_still_fits() {
    let max = 20 << 20;
    let (told, found) = record(Some(max), |items| async move {
        let mut feeding = JoinSet::new();
        // The last could end first, and must not take the room of what is worth more.
        let sources = [("first", 14 << 20, 1), ("second", LARGE, 2), ("third", 4 << 20, 3)];
        for (path, length, seed) in sources {
            feeding.spawn(Source::new(path, &items).await.give(noise(length, seed)));
        }
        drop(items);
        feeding.join_all().await;
    })
    .await;
    let told: Vec<_> = told.iter().map(|item| (item.path.as_str(), item.outcome)).collect();
    let (ok, skipped) = (Outcome::Ok, Outcome::Skipped);
    assert_eq!(told, [("first", ok), ("second", skipped), ("third", ok)]);
    let found: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(found, ["first", "third"]);
}

#[tokio::test]
async fn a_bundle_that_goes_to_a_pipe_holds_large_items_whole_too() {
    let (mut read, write) = std::io::pipe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let copied = path.clone();
    let copying = std::thread::spawn(move || {
        let mut file = std::fs::File::create(copied).unwrap();
        std::io::copy(&mut read, &mut file).unwrap()
    });
    let mut recorder = recorder(archive::Output::stream(write, "a pipe"), None);
    let (items, received) = mpsc::channel(1);
    let feeding = async {
        let mut feeding = JoinSet::new();
        for (path, seed) in [("a", 1), ("b", 2)] {
            feeding.spawn(Source::new(path, &items).await.give(noise(LARGE, seed)));
        }
        drop(items);
        feeding.join_all().await;
    };
    let all = async { tokio::join!(recorder.record(received), feeding) };
    timeout(Duration::from_secs(60), all).await.expect("items wait for each other");
    assert!(recorder.finish().await.1.is_none());
    copying.join().unwrap();
    assert_eq!(contents(&path).iter().filter(|(_, length)| *length == LARGE as u64).count(), 2);
}

#[tokio::test]
async fn a_panic_in_judging_the_status_costs_the_status_and_no_item() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let mut recorder = recorder(archive::Output::create(&path, false).unwrap(), None);
    recorder.judging_panics = true;
    let (items, received) = mpsc::channel(1);
    let feeding = tokio::spawn(async move {
        Source::new("a", &items).await.give(b"here".to_vec()).await;
    });
    recorder.record(received).await;
    feeding.await.unwrap();
    recorder.finish_status().await;
    assert!(recorder.status().is_none());
    assert_eq!(told(&recorder, "a"), (Outcome::Ok, 4));
    assert_eq!(told(&recorder, "status.json"), (Outcome::Failed, 0));
    assert!(recorder.finish().await.1.is_none());
    assert_eq!(contents(&path), [("a".to_owned(), 4)]);
}
