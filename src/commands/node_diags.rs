//! `calivet node diags`: everything that a support engineer needs, in one file that is safe to share.
//!
//! ```text
//! survey the node -> learn its secrets -> open the bundle -> run the collectors -> close the bundle
//! ```
//!
//! The manifest and the summary are written twice: first with what is known at the start, so that a bundle that
//! was cut off explains itself, and last with everything; who unpacks the bundle sees the last ones.

mod obfuscation;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{Exit, Misuse};
use crate::archive;
use crate::archive::writer::{Entry, Writer};
use crate::bundle::manifest::Manifest;
use crate::cli::{self, Format, Options};
use crate::collect::{self, Event, Run, Task, Work};
use crate::collectors::{self, COLLECTORS, Node};
use crate::host::{Artifact, Collected, Evidence, Host, Outcome, Reading, Sensitivity, Source};
use crate::output::{self, Output};
use crate::redact::{Redactor, Secrets};
use crate::status;
use obfuscation::Obfuscation;

/// The bound on one artifact.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The bound on what must be read before anything is written: the run waits for it.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes a bundle of this host.
pub(super) async fn run(
    options: &Options,
    args: &cli::NodeDiags,
    output: Output,
) -> anyhow::Result<Exit> {
    if options.from.is_some() {
        return Err(Misuse("node diags reads a live host: it cannot be used with --from").into());
    }
    let to_stdout = args.output_file.as_deref() == Some(Path::new("-"));
    if to_stdout && output.format != Format::Table {
        return Err(Misuse("stdout cannot carry both the bundle and its manifest").into());
    }
    let host = Arc::new(Host::live(&options.root, options.timeout.unwrap_or(TIMEOUT)));
    let node = survey(&host, options, args).await;
    let (tasks, left_out) = select(&node, args);
    if args.dry_run {
        return dry_run(&tasks, &left_out, output);
    }

    let path = args.output_file.clone().unwrap_or_else(|| {
        PathBuf::from(host.time().strftime("diags-%Y%m%d_%H%M%S.tar.gz").to_string())
    });
    let file = if to_stdout {
        archive::Output::stream(output::stdout(), "stdout")
    } else {
        archive::Output::create(&path, args.force)?
    };
    let writer = Writer::new(file, jobs(args), archive::writer::DEFAULT_LEVEL);
    let private = read_credentials(&host, &node).await;
    let obfuscation = Obfuscation::begin(&host, &node, &private, args, &path).await?;
    let redactor = learn(&private, obfuscation.as_ref());
    drop(private);
    let mut opening = Manifest::opening(&node.name, host.time(), recorded_options(options, args));
    if let Some(obfuscation) = &obfuscation {
        obfuscation.conceal(&mut opening);
    }
    let mut recorder = Recorder::new(writer, &node, output);
    recorder.document("manifest.json", &opening.to_json()?).await?;

    let (events, mut received) = mpsc::channel(16);
    let (stop, stopped) = watch::channel(false);
    let oldest_log = args.since.and_then(|since| host.time().checked_sub(since).ok());
    let run = Run::new(Arc::clone(&host), Arc::new(redactor), oldest_log, events);
    let collecting = tokio::spawn(async move {
        for (task, reason) in &left_out {
            run.leave_out(task, Outcome::Skipped, reason).await;
        }
        run.run(tasks, stopped).await;
    });
    let mut signals = Signals::new()?;
    let mut interrupted = None;
    loop {
        tokio::select! {
            event = received.recv() => match event {
                Some(event) => recorder.take(event, host.time()).await?,
                None => break,
            },
            signal = signals.next() => {
                if interrupted.is_some() {
                    return Ok(Exit::Interrupted(signal));
                }
                interrupted = Some(signal);
                output.note("interrupted: finishing the bundle with what is there (again: stop at once)");
                // The run may have ended meanwhile.
                let _ = stop.send(true);
            }
        }
    }
    collecting.await.context("the collection ended before its time")?;

    let status = status::node_status(host.time(), &recorder.evidence);
    recorder.finish_status(host.time()).await?;
    let items = std::mem::take(&mut recorder.items);
    let manifest = opening.closing(items, Timestamp::now(), interrupted.is_some());
    let summary = output::summary::render(&manifest, &status);
    recorder.document("summary.txt", summary.as_bytes()).await?;
    recorder.document("manifest.json", &manifest.to_json()?).await?;
    let Recorder { writer, progress, .. } = recorder;
    let bytes = writer.finish().await?;
    progress.finish_and_clear();
    if let Some(obfuscation) = obfuscation {
        output.note(&obfuscation.write_map()?);
    }

    output.note(&output::summary::line(&manifest, Some(bytes)));
    match output.format {
        Format::Json | Format::Yaml => {
            output.print(&output::document(&manifest, output.format)?)?;
        }
        Format::Table | Format::Wide if to_stdout => {}
        Format::Table | Format::Wide if output.quiet => {
            output.print(&format!("{}\n", path.display()))?;
        }
        Format::Table | Format::Wide => {
            output.print(&format!("Diags saved to {}\n", path.display()))?;
        }
    }
    Ok(match interrupted {
        Some(signal) => Exit::Interrupted(signal),
        None if manifest.complete => Exit::Well,
        None => Exit::Wrong,
    })
}

/// Threads that compress: half of the cores, for a sick node is not to be loaded.
fn jobs(args: &cli::NodeDiags) -> usize {
    match args.jobs {
        Some(jobs) => usize::from(jobs),
        None => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
    }
}

/// The facts of the node on which the rows depend.
async fn survey(host: &Host, options: &Options, args: &cli::NodeDiags) -> Node {
    let mut evidence = read(host, collectors::FIRST).await;
    let then = collectors::then(&evidence);
    evidence.extend(read(host, &then).await);
    Node {
        log_dir: args.log_dir.clone(),
        since: args.since,
        max_file_bytes: args.max_file_size.as_u64(),
        config: options.config.clone(),
        ..Node::from_evidence(&evidence)
    }
}

/// What is run, and what the user left out, with the reason.
type Selection = (Vec<Task>, Vec<(Task, String)>);

fn select(node: &Node, args: &cli::NodeDiags) -> Selection {
    let names = |list: &[String], name| list.iter().any(|given| given == name);
    let mut chosen = Vec::new();
    let mut left_out = Vec::new();
    for collector in COLLECTORS {
        let tasks = collect::tasks(collector, node);
        if names(&args.skip, collector.name) {
            left_out.extend(tasks.into_iter().map(|task| (task, "left out by --skip".to_owned())));
        } else if !args.only.is_empty() && !names(&args.only, collector.name) {
            left_out.extend(tasks.into_iter().map(|task| (task, "left out by --only".to_owned())));
        } else {
            chosen.extend(tasks);
        }
    }
    (chosen, left_out)
}

fn dry_run(chosen: &[Task], left_out: &[(Task, String)], output: Output) -> anyhow::Result<Exit> {
    let rows = chosen.iter().map(|task| (task, None));
    let rows = rows.chain(left_out.iter().map(|(task, reason)| (task, Some(reason.as_str()))));
    let mut plan = Vec::new();
    for (task, reason) in rows {
        let mut row = |place: String, source: String, credential: bool| {
            let reason = match reason {
                None if credential => Some("a credential: read to cut it out, never written"),
                reason => reason,
            };
            plan.push(json!({
                "collector": task.collector, "path": place, "source": source,
                "outcome": reason.map(|_| "skipped"), "reason": reason,
            }));
        };
        match &task.work {
            Work::Artifacts(artifacts) => artifacts.iter().for_each(|artifact| {
                let credential = artifact.sensitivity == Sensitivity::Credential;
                row(artifact.path().into_owned(), artifact.describe(), credential);
            }),
            Work::Leaf(artifact, _) => {
                row(artifact.path().into_owned(), artifact.describe(), false);
            }
            Work::Tree(tree) => {
                let patterns = tree.include.join(",");
                let credential = tree.sensitivity == Sensitivity::Credential;
                row(
                    format!("{}/", tree.path()),
                    format!("{}/{{{patterns}}}", tree.folder),
                    credential,
                );
            }
        }
    }
    output.print(&match output.format {
        Format::Json | Format::Yaml => output::document(&json!({ "items": plan }), output.format)?,
        Format::Table | Format::Wide => output::summary::plan(&plan),
    })?;
    Ok(Exit::Well)
}

/// What the user asked for, as the manifest tells it.
fn recorded_options(options: &Options, args: &cli::NodeDiags) -> serde_json::Value {
    json!({
        "root": options.root,
        "timeoutMs": options.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        "logDir": args.log_dir,
        "sinceSeconds": args.since.map(|since| since.as_secs()),
        "maxFileBytes": args.max_file_size.as_u64(),
        "only": args.only,
        "skip": args.skip,
        "obfuscate": args.obfuscate,
    })
}

/// Learns the node's secrets before anything is written, so that they can be cut out wherever they turn up.
fn learn(private: &[(Artifact, Reading)], obfuscation: Option<&Obfuscation>) -> Redactor {
    let mut secrets = Secrets::default();
    for (artifact, reading) in private {
        match artifact.sensitivity {
            Sensitivity::Credential => secrets.learn_credential_file(&reading.bytes),
            _ => secrets.learn(&reading.bytes),
        }
    }
    match obfuscation {
        Some(obfuscation) => obfuscation.redactor(secrets),
        None => Redactor::new(&secrets),
    }
}

/// Reads what holds secrets and names: credential files, configuration files.
async fn read_credentials(host: &Arc<Host>, node: &Node) -> Vec<(Artifact, Reading)> {
    let mut rows = Vec::new();
    // Logs tell secrets only by accident, and are too large to be read twice.
    for collector in COLLECTORS.iter().filter(|collector| collector.name != "logs") {
        let more = (collector.more)(node);
        for tree in collector.trees.iter().chain(&more.trees) {
            if tree.sensitivity != Sensitivity::Public {
                let listing = host.list(tree).await;
                let read = listing.found.iter().filter(|found| found.refusal.is_none());
                rows.extend(read.map(|found| tree.leaf(&found.path)));
            }
        }
        rows.extend(collector.artifacts.iter().cloned().chain(more.artifacts).filter(|artifact| {
            artifact.sensitivity != Sensitivity::Public
                && matches!(artifact.source, Source::File(_))
        }));
    }
    let read = rows.into_iter().map(|row| async {
        let row = row.within(FIRST_TIMEOUT);
        let reading = host.read(&row).await;
        (row, reading)
    });
    futures_util::future::join_all(read).await
}

async fn read(host: &Host, rows: &[Artifact]) -> Evidence {
    let read = rows.iter().map(|row| async move {
        let row = row.clone().within(FIRST_TIMEOUT);
        (row.path().into_owned(), host.read(&row).await)
    });
    futures_util::future::join_all(read).await.into_iter().collect()
}

/// Puts what the collectors give into the bundle, and keeps what the status rests on.
struct Recorder {
    writer: Writer,
    /// Items under way: their entry, and for evidence its bytes.
    open: HashMap<u64, (Entry, Option<Vec<u8>>)>,
    items: Vec<Collected>,
    evidence: Evidence,
    /// Paths of evidence that is still to come; `None` when the status has been written.
    awaited: Option<BTreeSet<String>>,
    progress: indicatif::ProgressBar,
}

impl Recorder {
    fn new(writer: Writer, node: &Node, output: Output) -> Self {
        let awaited = collectors::status(node).iter().map(|row| row.path().into_owned()).collect();
        let progress = output.progress();
        progress.enable_steady_tick(Duration::from_millis(100));
        Self {
            writer,
            open: HashMap::new(),
            items: Vec::new(),
            evidence: Evidence::default(),
            awaited: Some(awaited),
            progress,
        }
    }

    async fn take(&mut self, event: Event, time: Timestamp) -> anyhow::Result<()> {
        match event {
            Event::Begin { item, path } => {
                let kept = self.awaited.as_ref().is_some_and(|awaited| awaited.contains(&path));
                let entry = Entry::begin(&self.writer.compressor(), &path);
                self.open.insert(item, (entry, kept.then(Vec::new)));
            }
            Event::Bytes { item, bytes } => {
                if let Some((entry, kept)) = self.open.get_mut(&item) {
                    if let Some(kept) = kept {
                        kept.extend_from_slice(&bytes);
                    }
                    entry.push(bytes).await;
                }
            }
            Event::Done { item, collected, modified } => {
                self.done(item, *collected, modified).await?;
                if self.awaited.as_ref().is_some_and(BTreeSet::is_empty) {
                    self.finish_status(time).await?;
                }
            }
        }
        Ok(())
    }

    async fn done(
        &mut self,
        item: u64,
        mut collected: Collected,
        modified: Option<Timestamp>,
    ) -> anyhow::Result<()> {
        let (entry, kept) = self.open.remove(&item).unzip();
        if let Some(awaited) = &mut self.awaited
            && awaited.remove(&collected.path)
        {
            self.evidence.insert(collected.path.clone(), reading(&collected, kept.flatten()));
        }
        if let Some(entry) = entry.filter(|_| collected.sha256.is_some()) {
            entry.path().clone_into(&mut collected.path);
            let finished = entry.finish(modified.unwrap_or(collected.started)).await;
            self.writer.append(finished).await?;
        }
        self.progress.set_message(format!(
            "{} items: {}",
            self.items.len(),
            output::printable(&collected.path)
        ));
        self.items.push(collected);
        Ok(())
    }

    /// Writes the status once, as soon as all that it rests on is there, or at the end.
    async fn finish_status(&mut self, time: Timestamp) -> anyhow::Result<()> {
        if self.awaited.take().is_some() {
            let status = status::node_status(time, &self.evidence);
            let text = output::document(&status, Format::Json)?;
            self.document("status.json", text.as_bytes()).await?;
        }
        Ok(())
    }

    /// Writes a document of calivet's own.
    async fn document(&mut self, name: &str, text: &[u8]) -> anyhow::Result<()> {
        Ok(self.writer.add(name, text.to_vec(), Timestamp::now()).await?)
    }
}

/// What a bundle will say of an item: the status in it must be what a reader of the bundle computes.
fn reading(collected: &Collected, bytes: Option<Vec<u8>>) -> Reading {
    Reading {
        outcome: collected.outcome,
        reason: collected.reason.clone(),
        bytes: bytes.unwrap_or_default(),
        original_bytes: collected.original_bytes,
        place: collected.place.clone(),
        started: collected.started,
        duration: Duration::from_millis(collected.duration_ms),
        exit_status: collected.exit_status,
    }
}

/// The signals by which a run is ended: each is told with its number.
struct Signals([(tokio::signal::unix::Signal, u8); 3]);

impl Signals {
    fn new() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind: SignalKind, number| Ok::<_, std::io::Error>((signal(kind)?, number));
        let all = || {
            Ok::<_, std::io::Error>([
                listen(SignalKind::interrupt(), 2)?,
                listen(SignalKind::terminate(), 15)?,
                listen(SignalKind::hangup(), 1)?,
            ])
        };
        all().map(Self).context("failed to listen for signals")
    }

    async fn next(&mut self) -> u8 {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.0.recv() => interrupt.1,
            _ = terminate.0.recv() => terminate.1,
            _ = hangup.0.recv() => hangup.1,
        }
    }
}
