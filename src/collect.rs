//! Runs artifacts: a bounded number side by side, each within its own limits, each redacted on its way out.
//!
//! What comes out is a stream of [`Item`]s in the order in which they were begun, each with a channel of its own:
//! nothing waits for something slower. An artifact that fails, hangs or panics is an item like any other, and
//! costs the others nothing.

mod outgoing;
mod stop;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet, spawn_blocking};

use crate::host::{Artifact, Collected, Found, Host, Outcome, Reading, Sensitivity, Source, Tree};
use crate::redact::Redactor;
use outgoing::{Ended, Outgoing};

pub use stop::Stop;
pub use task::{Task, Work, tasks};

/// How many tasks are under way at once where nothing speaks against it. Most wait for a program or a socket;
/// each holds a few MiB at most.
pub const SIDE_BY_SIDE: usize = 8;

/// What comes in chunks smaller than this is redacted on the runtime's own thread: to hand it to another would cost
/// more.
const WORTH_A_THREAD: usize = 32 << 10;

/// What an item may send before it counts as large. Less than a part of an archive's entry: of what is smaller nothing
/// takes the room in memory for which large items wait, so none that waits to be large keeps others from ending.
const LARGE: u64 = 512 << 10;

/// An artifact that is being read, or that was left out.
#[derive(Debug)]
pub struct Item {
    /// Where the bundle is to keep it.
    pub path: String,
    /// Redacted bytes of it, in order, each time at most a few MiB; closed when there are no more.
    pub bytes: mpsc::Receiver<Vec<u8>>,
    /// What happened, when all bytes have come. Without an end it is nothing: what it was a part of broke off,
    /// and is told of by an item of its own.
    pub end: oneshot::Receiver<Collected>,
}

/// A run of tasks.
#[derive(Debug)]
pub struct Run {
    host: Arc<Host>,
    redactor: Arc<Redactor>,
    /// Log files and lines of them that were written before this are left out.
    oldest_log: Option<Timestamp>,
    items: mpsc::Sender<Item>,
    stop: watch::Receiver<Option<Stop>>,
    /// Folders of which a file did not answer, and what was said of it.
    hung: Mutex<HashMap<PathBuf, String>>,
    /// Threads that redact.
    threads: Semaphore,
    /// The right to be large.
    large: Semaphore,
    #[cfg(test)]
    panics_at: Option<&'static str>,
    #[cfg(test)]
    panics_within: Option<&'static str>,
}

impl Run {
    /// A run on `host` whose items go to `items`, redacted on at most `jobs` threads beside the runtime's; at most `large`
    /// items at once are larger than half a MiB, for each of those holds a few MiB on its way. Once `stop` holds a
    /// reason, what is under way ends with what was read of it, and what was not begun is left out.
    #[must_use]
    pub fn new(
        host: Arc<Host>,
        redactor: Arc<Redactor>,
        jobs: usize,
        large: usize,
        oldest_log: Option<Timestamp>,
        items: mpsc::Sender<Item>,
        stop: watch::Receiver<Option<Stop>>,
    ) -> Self {
        Self {
            host,
            redactor,
            oldest_log,
            items,
            stop,
            hung: Mutex::default(),
            threads: Semaphore::new(jobs.clamp(1, Semaphore::MAX_PERMITS)),
            large: Semaphore::new(large.clamp(1, Semaphore::MAX_PERMITS)),
            #[cfg(test)]
            panics_at: None,
            #[cfg(test)]
            panics_within: None,
        }
    }

    /// Runs the tasks, begun in their order, at most `side_by_side` at once, until all have ended.
    pub async fn run(self, tasks: Vec<Task>, side_by_side: usize) {
        let run = Arc::new(self);
        let mut queue = VecDeque::from(tasks);
        let mut running: JoinSet<Vec<Task>> = JoinSet::new();
        let mut begun: HashMap<Id, Task> = HashMap::new();
        loop {
            while running.len() < side_by_side {
                // It asks BIRD itself, and must not take a broken-off answer from the item whose it is.
                let may_begin =
                    |task: &Task| !(task.is_probe() && begun.values().any(Task::asks_bird));
                let Some(task) = queue.iter().position(may_begin).and_then(|at| queue.remove(at))
                else {
                    break;
                };
                let handle = running.spawn(Arc::clone(&run).run_task(task.clone()));
                begun.insert(handle.id(), task);
            }
            match running.join_next_with_id().await {
                None => break,
                Some(Ok((id, found))) => {
                    begun.remove(&id);
                    // Before what waits: a folder's files belong to their place in the order of worth.
                    found.into_iter().rev().for_each(|task| queue.push_front(task));
                }
                Some(Err(error)) => {
                    if let Some(task) = begun.remove(&error.id()) {
                        run.abandon(&task, &error).await;
                    }
                }
            }
        }
    }

    /// Tells of a task that is not run at all.
    pub async fn leave_out(&self, task: &Task, outcome: Outcome, reason: &str) {
        match &task.work {
            Work::Artifacts(artifacts) => {
                for artifact in artifacts {
                    self.done(task, artifact, Reading::failed(outcome, reason)).await;
                }
            }
            Work::Tree(tree) => {
                self.done(task, &folder(tree), Reading::failed(outcome, reason)).await;
            }
        }
    }

    async fn run_task(self: Arc<Self>, task: Task) -> Vec<Task> {
        match &task.work {
            Work::Artifacts(artifacts) => {
                for artifact in artifacts {
                    self.artifact(&task, artifact).await;
                }
            }
            Work::Tree(tree) => return self.tree(&task, tree).await,
        }
        Vec::new()
    }

    /// Lists a folder and gives a task for each of its files; logs newest first.
    async fn tree(&self, task: &Task, tree: &Tree) -> Vec<Task> {
        let listing = tokio::select! {
            // Once the run is to end, nothing more is asked of the host.
            biased;
            stop = self.stopped() => Err(stop),
            listing = self.host.list(tree) => Ok(listing),
        };
        let mut listing = match listing {
            Ok(listing) => listing,
            Err(stop) => {
                let (outcome, reason) = stop.under_way();
                self.leave_out(task, outcome, &reason).await;
                return Vec::new();
            }
        };
        if listing.outcome != Outcome::Ok {
            let reading = Reading {
                outcome: listing.outcome,
                reason: listing.reason.take(),
                ..Reading::begin()
            };
            self.done(task, &folder(tree), reading).await;
        }
        if task.collector == "logs" {
            listing.found.sort_by_key(|found| std::cmp::Reverse(found.modified));
        }
        let since = self.oldest_log.filter(|_| task.collector == "logs");
        let mut tasks = Vec::new();
        for found in listing.found {
            let mut artifact = tree.leaf(&found.path);
            artifact.since = since;
            if let Some((outcome, reason)) = refusal(&found, since) {
                let reading = Reading {
                    original_bytes: found.bytes,
                    modified: Some(found.modified),
                    link: found.link,
                    ..Reading::failed(outcome, reason)
                };
                self.done(task, &artifact, reading).await;
            } else {
                let work = Work::Artifacts(vec![artifact]);
                tasks.push(Task { collector: task.collector, work });
            }
        }
        tasks
    }

    /// Reads one artifact, redacts it as it comes, and sends what is left.
    async fn artifact(&self, task: &Task, artifact: &Artifact) {
        if let Some((outcome, reason)) = self.not_begun(artifact) {
            self.done(task, artifact, Reading::failed(outcome, reason)).await;
            return;
        }
        let (sender, bytes) = mpsc::channel(1);
        let Some(end) = self.begin(artifact, bytes).await else { return };
        #[cfg(test)]
        assert_ne!(self.panics_at, Some(artifact.path().as_ref()), "on purpose");
        let stream = match artifact.sensitivity {
            Sensitivity::Public => self.redactor.stream_values_only(),
            _ => self.redactor.stream(),
        }
        .of(&artifact.path());
        let (chunks, mut received) = mpsc::channel::<Vec<u8>>(1);
        let mut outgoing = Outgoing::new(stream);
        #[cfg(test)]
        {
            outgoing.panics = self.panics_within == Some(artifact.path().as_ref());
        }
        let mut came = 0;
        // When the run is to end, the host is asked for no more; what has come is redacted and kept.
        let read = async {
            let begun = Reading::begin();
            let clock = std::time::Instant::now();
            tokio::select! {
                reading = self.host.stream(artifact, chunks) => reading,
                stop = self.stopped() => {
                    let (outcome, reason) = stop.under_way();
                    Reading { outcome, reason: Some(reason), duration: clock.elapsed(), ..begun }
                }
            }
        };
        let redact = async {
            let mut large = None;
            while let Some(chunk) = received.recv().await {
                came += chunk.len() as u64;
                let redacted;
                (outgoing, redacted) = self.redact(outgoing, chunk).await;
                if large.is_none() && outgoing.bytes > LARGE {
                    // The semaphore is never closed.
                    large = self.large.acquire().await.ok();
                }
                send(&sender, redacted).await;
            }
            outgoing
        };
        let (mut reading, outgoing) = tokio::join!(read, redact);
        let Ended { rest, redactions, bytes, sha256 } = outgoing.end();
        send(&sender, rest).await;
        reading.original_bytes = reading.original_bytes.max(came);
        self.remember_if_hung(artifact, &reading);

        let mut collected = self.collected(task, artifact, reading);
        if bytes > 0 || matches!(collected.outcome, Outcome::Ok | Outcome::Truncated) {
            collected.bytes = bytes;
            collected.sha256 = Some(sha256);
        }
        collected.redactions = redactions;
        // The receiver is gone only when the run is: then nobody wants to know.
        let _ = end.send(collected);
    }

    /// Redacts the next chunk, a large one on a thread that may take its time: the runtime's has others to serve. A
    /// panic there is one here.
    async fn redact(&self, mut outgoing: Outgoing, chunk: Vec<u8>) -> (Outgoing, Vec<u8>) {
        if chunk.len() < WORTH_A_THREAD {
            let redacted = outgoing.push(chunk);
            return (outgoing, redacted);
        }
        // The semaphore is never closed; without a permit there would only be one thread more.
        let _permit = self.threads.acquire().await.ok();
        let redacting = spawn_blocking(move || {
            let redacted = outgoing.push(chunk);
            (outgoing, redacted)
        });
        redacting.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
    }

    /// Why an artifact is not even begun.
    fn not_begun(&self, artifact: &Artifact) -> Option<(Outcome, String)> {
        if artifact.sensitivity == Sensitivity::Credential {
            let reason = "a credential: read to cut it out everywhere else, never written";
            return Some((Outcome::Skipped, reason.to_owned()));
        }
        if let Some(stop) = &*self.stop.borrow() {
            return Some(stop.not_begun());
        }
        let hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        let said = hung.get(&folder_of(artifact)?)?;
        Some((Outcome::Timeout, format!("not tried: beside it, {said}")))
    }

    /// A file system that hangs costs each place one file's limit, and not every file in it one.
    fn remember_if_hung(&self, artifact: &Artifact, reading: &Reading) {
        if let (Outcome::Timeout, 0, Some(folder)) =
            (reading.outcome, reading.original_bytes, folder_of(artifact))
            && self.stop.borrow().is_none()
        {
            let reason = reading.reason.as_deref().unwrap_or("did not answer");
            let said = format!("{} {reason}", artifact.describe());
            self.hung.lock().unwrap_or_else(PoisonError::into_inner).entry(folder).or_insert(said);
        }
    }

    /// Announces an artifact. `None`: nobody listens any more.
    async fn begin(
        &self,
        artifact: &Artifact,
        bytes: mpsc::Receiver<Vec<u8>>,
    ) -> Option<oneshot::Sender<Collected>> {
        let (sender, end) = oneshot::channel();
        let path = self.redactor.redact_name(&artifact.path());
        self.items.send(Item { path, bytes, end }).await.ok()?;
        Some(sender)
    }

    /// Waits until the run is to end, and why.
    async fn stopped(&self) -> Stop {
        let mut stop = self.stop.clone();
        let stopped = stop.wait_for(Option::is_some).await.map(|stop| stop.clone());
        match stopped {
            Ok(Some(stop)) => stop,
            // Nobody can ask to stop any more.
            _ => std::future::pending().await,
        }
    }

    /// A task that panicked. Artifacts of it that had ended have been told of already; a reader of the manifest
    /// sees the last word.
    async fn abandon(&self, task: &Task, error: &tokio::task::JoinError) {
        let reason = format!("a fault of calivet's own: {error}");
        self.leave_out(task, Outcome::Failed, &reason).await;
    }

    async fn done(&self, task: &Task, artifact: &Artifact, reading: Reading) {
        let collected = self.collected(task, artifact, reading);
        let (_, no_bytes) = mpsc::channel(1);
        if let Some(end) = self.begin(artifact, no_bytes).await {
            let _ = end.send(collected);
        }
    }

    fn collected(&self, task: &Task, artifact: &Artifact, reading: Reading) -> Collected {
        Collected {
            path: self.redactor.redact_name(&artifact.path()),
            source: self.redactor.redact_name(&artifact.describe()),
            place: reading.place.map(|place| self.redactor.redact_name(&place)),
            collector: task.collector.to_owned(),
            outcome: reading.outcome,
            reason: reading.reason.map(|reason| self.redactor.redact_name(&reason)),
            bytes: 0,
            original_bytes: reading.original_bytes,
            modified: reading.modified,
            link: reading.link.map(|link| self.redactor.redact_name(&link)),
            sha256: None,
            started: reading.started,
            duration_ms: u64::try_from(reading.duration.as_millis()).unwrap_or(u64::MAX),
            exit_status: reading.exit_status,
            redactions: BTreeMap::new(),
        }
    }
}

/// Why a file of a folder is not read.
fn refusal(found: &Found, since: Option<Timestamp>) -> Option<(Outcome, String)> {
    if found.refusal.is_some() {
        return found.refusal.clone();
    }
    (found.modified < since?)
        .then(|| (Outcome::Skipped, format!("last written {:.0}, before --since", found.modified)))
}

async fn send(sender: &mpsc::Sender<Vec<u8>>, chunk: Vec<u8>) {
    if !chunk.is_empty() {
        let _nobody_listens = sender.send(chunk).await;
    }
}

/// Stands for a folder that could not be listed.
fn folder(tree: &Tree) -> Artifact {
    Artifact::new(tree.path().into_owned().into(), Source::File(tree.folder.clone()))
}

/// The folder of the host in which an artifact lies.
#[must_use]
pub fn folder_of(artifact: &Artifact) -> Option<PathBuf> {
    match &artifact.source {
        Source::File(path) => Path::new(path.as_ref()).parent().map(Path::to_owned),
        Source::Leaf { folder, path } => {
            Path::new(folder.as_ref()).join(path).parent().map(Path::to_owned)
        }
        _ => None,
    }
}
