//! Runs artifacts: a bounded number side by side, each within its own limits, each redacted on its way out.
//!
//! What comes out is a stream of [`Event`]s in no fixed order: nothing waits for something slower. An artifact
//! that fails, hangs or panics is an event like any other, and costs the others nothing.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};

use crate::collectors::{Collector, Node};
use crate::host::{Artifact, Collected, Found, Host, Outcome, Reading, Sensitivity, Source, Tree};
use crate::redact::Redactor;

/// How many tasks are under way at once. Most wait for a program or a socket; each holds a few MiB at most.
const SIDE_BY_SIDE: usize = 8;

/// What is run as one: it takes one place among those that run side by side.
#[derive(Debug, Clone)]
pub struct Task {
    /// The collector's name.
    pub collector: &'static str,
    /// What is to be read.
    pub work: Work,
}

/// What a task reads.
#[derive(Debug, Clone)]
pub enum Work {
    /// Artifacts that are read one after the other: questions to one daemon share one connection.
    Artifacts(Vec<Artifact>),
    /// A folder: its files become tasks when it has been listed.
    Tree(Tree),
    /// A file of a folder, with the time at which it was last written.
    Leaf(Artifact, Timestamp),
}

/// What a run gives, as it comes.
#[derive(Debug)]
pub enum Event {
    /// An artifact is being read.
    Begin {
        /// Its number in this run.
        item: u64,
        /// Where the bundle is to keep it.
        path: String,
    },
    /// Redacted bytes of an artifact, in order.
    Bytes {
        /// Which artifact.
        item: u64,
        /// At most a few MiB.
        bytes: Vec<u8>,
    },
    /// An artifact has ended: no more bytes of it will come.
    Done {
        /// Which artifact.
        item: u64,
        /// What happened.
        collected: Box<Collected>,
        /// When its content last changed, where that is known.
        modified: Option<Timestamp>,
    },
}

/// The tasks of a collector on this node, in the order of its rows.
#[must_use]
pub fn tasks(collector: &'static Collector, node: &Node) -> Vec<Task> {
    let more = (collector.more)(node);
    let mut tasks: Vec<Task> = Vec::new();
    for artifact in collector.artifacts.iter().cloned().chain(more.artifacts) {
        // Each daemon has one connection: its questions wait for each other anyway, and must not keep places.
        if let Some(Task { work: Work::Artifacts(batch), .. }) =
            tasks.iter_mut().find(|task| is_same_daemon(task, &artifact))
        {
            batch.push(artifact);
        } else {
            tasks.push(Task { collector: collector.name, work: Work::Artifacts(vec![artifact]) });
        }
    }
    let trees = collector.trees.iter().cloned().chain(more.trees);
    tasks.extend(trees.map(|tree| Task { collector: collector.name, work: Work::Tree(tree) }));
    tasks
}

fn is_same_daemon(task: &Task, artifact: &Artifact) -> bool {
    let Source::Bird { family: wanted, .. } = &artifact.source else { return false };
    let Work::Artifacts(batch) = &task.work else { return false };
    matches!(batch.first().map(|first| &first.source), Some(Source::Bird { family, .. }) if family == wanted)
}

/// A run of tasks.
#[derive(Debug)]
pub struct Run {
    host: Arc<Host>,
    redactor: Arc<Redactor>,
    /// Log files last written before this are left out.
    oldest_log: Option<Timestamp>,
    events: mpsc::Sender<Event>,
    next_item: Arc<std::sync::atomic::AtomicU64>,
}

impl Run {
    /// A run on `host` whose events go to `events`.
    #[must_use]
    pub fn new(
        host: Arc<Host>,
        redactor: Arc<Redactor>,
        oldest_log: Option<Timestamp>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { host, redactor, oldest_log, events, next_item: Arc::default() }
    }

    /// Runs the tasks, begun in their order, until all have ended, or until `stop` becomes true: then what is
    /// under way ends as [`Outcome::Interrupted`], and so does what was not begun.
    pub async fn run(self, tasks: Vec<Task>, mut stop: watch::Receiver<bool>) {
        let run = Arc::new(self);
        let mut queue = VecDeque::from(tasks);
        let mut running: JoinSet<Vec<Task>> = JoinSet::new();
        let mut begun: HashMap<Id, Task> = HashMap::new();
        let mut stopped = *stop.borrow();
        loop {
            while !stopped && running.len() < SIDE_BY_SIDE {
                let Some(task) = queue.pop_front() else { break };
                let handle = running.spawn(Arc::clone(&run).run_task(task.clone()));
                begun.insert(handle.id(), task);
            }
            tokio::select! {
                joined = running.join_next_with_id() => match joined {
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
                },
                // An error means that nobody can ask to stop any more.
                Ok(()) = stop.changed(), if !stopped => {
                    stopped = *stop.borrow();
                    if stopped {
                        running.abort_all();
                    }
                }
            }
        }
        for task in queue {
            run.leave_out(&task, Outcome::Interrupted, "the run was ended before its turn").await;
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
            Work::Leaf(artifact, _) => {
                self.done(task, artifact, Reading::failed(outcome, reason)).await;
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
                    self.artifact(&task, artifact, None).await;
                }
            }
            Work::Leaf(artifact, modified) => self.artifact(&task, artifact, Some(*modified)).await,
            Work::Tree(tree) => return self.tree(&task, tree).await,
        }
        Vec::new()
    }

    /// Lists a folder and gives a task for each of its files; logs newest first.
    async fn tree(&self, task: &Task, tree: &Tree) -> Vec<Task> {
        let mut listing = self.host.list(tree).await;
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
        let mut tasks = Vec::new();
        for found in listing.found {
            let artifact = tree.leaf(&found.path);
            let refusal = self.refusal(task, &found);
            if let Some((outcome, reason)) = refusal {
                let reading =
                    Reading { original_bytes: found.bytes, ..Reading::failed(outcome, reason) };
                self.done(task, &artifact, reading).await;
            } else {
                let work = Work::Leaf(artifact, found.modified);
                tasks.push(Task { collector: task.collector, work });
            }
        }
        tasks
    }

    /// Why a file of a folder is not read.
    fn refusal(&self, task: &Task, found: &Found) -> Option<(Outcome, String)> {
        if let Some(reason) = &found.refusal {
            return Some((Outcome::NotApplicable, reason.clone()));
        }
        let oldest = self.oldest_log.filter(|_| task.collector == "logs")?;
        (found.modified < oldest).then(|| {
            (Outcome::Skipped, format!("last written {:.0}, before --since", found.modified))
        })
    }

    /// Reads one artifact, redacts it as it comes, and sends what is left.
    async fn artifact(&self, task: &Task, artifact: &Artifact, modified: Option<Timestamp>) {
        if artifact.sensitivity == Sensitivity::Credential {
            let reason = "a credential: read to cut it out everywhere else, never written";
            self.done(task, artifact, Reading::failed(Outcome::Skipped, reason)).await;
            return;
        }
        let item = self.next_item();
        let path = self.redactor.redact_name(&artifact.path());
        let _ = self.events.send(Event::Begin { item, path }).await;
        let mut stream = match artifact.sensitivity {
            Sensitivity::Public => self.redactor.stream_values_only(),
            _ => self.redactor.stream(),
        }
        .of(&artifact.path());
        let (chunks, mut received) = mpsc::channel::<Vec<u8>>(1);
        let mut digest = Sha256::new();
        let mut bytes = 0;
        let redact = async {
            while let Some(chunk) = received.recv().await {
                self.send(item, stream.push(chunk), &mut digest, &mut bytes).await;
            }
        };
        let (reading, ()) = tokio::join!(self.host.stream(artifact, chunks), redact);
        let (rest, redactions) = stream.finish();
        self.send(item, rest, &mut digest, &mut bytes).await;

        let mut collected = self.collected(task, artifact, reading);
        if bytes > 0 || matches!(collected.outcome, Outcome::Ok | Outcome::Truncated) {
            collected.bytes = bytes;
            collected.sha256 = Some(hex(&digest.finalize()));
        }
        collected.redactions = redactions;
        let event = Event::Done { item, collected: Box::new(collected), modified };
        // The receiver is gone only when the run is: then nobody wants to know.
        let _ = self.events.send(event).await;
    }

    async fn send(&self, item: u64, chunk: Vec<u8>, digest: &mut Sha256, bytes: &mut u64) {
        if !chunk.is_empty() {
            digest.update(&chunk);
            *bytes += chunk.len() as u64;
            let _ = self.events.send(Event::Bytes { item, bytes: chunk }).await;
        }
    }

    /// A task that panicked or was aborted. Artifacts of it that had ended have been told of already; a reader
    /// of the manifest sees the last word.
    async fn abandon(&self, task: &Task, error: &tokio::task::JoinError) {
        if error.is_cancelled() {
            self.leave_out(task, Outcome::Interrupted, "the run was ended before it was whole")
                .await;
        } else {
            let reason = format!("a fault of calivet's own: {error}");
            self.leave_out(task, Outcome::Failed, &reason).await;
        }
    }

    async fn done(&self, task: &Task, artifact: &Artifact, reading: Reading) {
        let collected = Box::new(self.collected(task, artifact, reading));
        let item = self.next_item();
        let _ = self.events.send(Event::Done { item, collected, modified: None }).await;
    }

    fn next_item(&self) -> u64 {
        self.next_item.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
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
            sha256: None,
            started: reading.started,
            duration_ms: u64::try_from(reading.duration.as_millis()).unwrap_or(u64::MAX),
            exit_status: reading.exit_status,
            redactions: std::collections::BTreeMap::new(),
        }
    }
}

/// Stands for a folder that could not be listed.
fn folder(tree: &Tree) -> Artifact {
    Artifact::new(tree.path().into_owned().into(), Source::File(tree.folder.clone()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
