//! `calivet node diags`: everything that a support engineer needs, in one file that is safe to share.
//!
//! ```text
//! survey the node -> learn its secrets -> open the bundle -> run the collectors -> close the bundle
//! ```
//!
//! The manifest and the summary are written twice: first with what is known at the start, so that a bundle that
//! was cut off explains itself, and last with everything; who unpacks the bundle sees the last ones.

mod bounds;
mod environment;
mod judged;
mod learn;
mod obfuscation;
mod plan;
mod record;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::bounds::Bounds;
use self::judged::Judged;
use self::learn::Learned;
use self::record::{Recorder, own_fault};
use self::signals::{Ends, Left, unless};
use super::{Exit, Misuse};
use crate::archive;
use crate::archive::writer::{WriteError, Writer};
use crate::bundle::manifest::Manifest;
use crate::checks::Report;
use crate::cli::{self, Format, Options};
use crate::collect::{Run, Stop, Task};
use crate::collectors::Node;
use crate::host::{Artifact, Collected, Evidence, Host, Outcome, Reading};
use crate::output::{self, Output};
use crate::redact::{Redactor, Secrets};
use crate::status::{self, NodeStatus};
use crate::untouched::Fingerprint;

/// The bound on one artifact.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The bound on each of the two steps before the collection, for which everything waits: the survey of the node,
/// and the reading of its secrets.
const FIRST: Duration = Duration::from_secs(10);
/// Each of these steps may take no more than this part of a deadline.
const FIRST_PART: u32 = 5;

/// Writes a bundle of this host.
pub(super) async fn run(
    options: &Options,
    args: &cli::NodeDiags,
    output: Output,
) -> anyhow::Result<Exit> {
    if options.from.is_some() {
        return Err(
            Misuse::new("node diags reads a live host: it cannot be used with --from").into()
        );
    }
    let to_stdout = args.output_file.as_deref() == Some(Path::new("-"));
    if to_stdout && output.format != Format::Table {
        return Err(Misuse::new("stdout cannot carry both the bundle and its manifest").into());
    }
    let mut ends = Ends::watch(args.deadline)?;
    let bundle = Diags { options, args, output, to_stdout, stop: ends.stop() };
    match ends.drive(output, Box::pin(bundle.write())).await {
        Left::Ended(result) => result,
        Left::AtOnce(signal) => Ok(Exit::Interrupted(signal)),
        Left::TooLate => {
            output::error(&anyhow::anyhow!(
                "the deadline was over, and then the bundle could not be finished in time"
            ));
            Ok(Exit::Wrong)
        }
    }
}

/// One run.
struct Diags<'a> {
    options: &'a Options,
    args: &'a cli::NodeDiags,
    output: Output,
    to_stdout: bool,
    stop: watch::Sender<Option<Stop>>,
}

impl Diags<'_> {
    async fn write(self) -> anyhow::Result<Exit> {
        let Self { options, args, output, .. } = self;
        let bounds = Bounds::of(args);
        let side_by_side = bounds.side_by_side;
        let host = Arc::new(Host::live(&options.root, options.timeout.unwrap_or(TIMEOUT)));
        let survey = {
            let (host, limit) = (Arc::clone(&host), self.first());
            async move { plan::survey(&host, side_by_side, limit).await }
        };
        let (node, fault) = surveyed(&self.stop, survey).await;
        let mut node = plan::wanted(node, options, args);
        // One file, of several that the time before the collection is for.
        let credentials = environment::credentials(&host, &node, self.first() / FIRST_PART);
        node.credentials = unless(&self.stop, credentials).await.unwrap_or_default();
        let (tasks, left_out) = plan::select(&node, args);
        if args.dry_run {
            return plan::dry_run(&tasks, &left_out, output);
        }
        // Until now files of /proc were read, and nothing else.
        let fingerprint = || Fingerprint::take(&host, node.is_loaded("nf_tables"), side_by_side);
        let before = unless(&self.stop, fingerprint()).await;

        let (file, path) = self.create(host.time())?;
        let mut opening =
            Manifest::opening(&node.name, host.time(), plan::recorded_options(options, args));
        let mut writer = Writer::new(file, bounds.jobs, archive::writer::DEFAULT_LEVEL);

        let learning = learn::learn(&host, &node, side_by_side, self.first());
        let learned = unless(&self.stop, learning).await;
        let (secrets, named) = self.learned(learned, &mut opening);
        let pseudonyms = obfuscation::begin(&host, &node, &named, args, &path).await?;
        let redactor = Arc::new(match &pseudonyms {
            Some(pseudonyms) => {
                obfuscation::conceal(pseudonyms, &mut opening);
                pseudonyms.redactor(secrets)
            }
            None => Redactor::new(&secrets),
        });
        opening.options["environment"] = environment::settings()
            .into_iter()
            .map(|(name, value)| (name, redactor.redact_name(&value)))
            .collect();
        // A bundle without even this is none: an error here is the command's.
        writer.add("manifest.json", opening.to_json()?, Timestamp::now()).await?;
        let most =
            record::Most { bytes: args.max_size.map(|size| size.as_u64()), waiting: bounds.room };
        let stop = self.stop.clone();
        let judged = Judged::new(&node, |path| redactor.redact_name(path));
        let mut recorder = Recorder::new(writer, &node, host.time(), most, stop, judged, output);
        recorder.items.extend(fault);

        let (items, received) = mpsc::channel(1);
        let oldest_log = args.since.and_then(|since| host.time().checked_sub(since).ok());
        let redacted = Arc::clone(&redactor);
        let run = Run::new(
            Arc::clone(&host),
            redacted,
            bounds.jobs,
            bounds.large,
            oldest_log,
            items,
            self.stop.subscribe(),
        );
        let collecting = tokio::spawn(collect(run, tasks, left_out, side_by_side));
        recorder.record(received).await;
        collecting.await.context("the collection ended before its time")?;

        // What is judged is in memory: the host is looked at once more beside that.
        let (judged, after) = tokio::join!(recorder.judge(), async {
            let before = before.as_ref()?;
            Some(before.compare(&fingerprint().await, |name: &str| redactor.redact_name(name)))
        });
        opening.untouched = after;
        let exit = self.close(recorder, judged, opening, &path).await?;
        if let Some(pseudonyms) = pseudonyms {
            output.note(&pseudonyms.write_map()?);
        }
        Ok(exit)
    }

    /// The bound on a step for which everything else waits.
    fn first(&self) -> Duration {
        self.args.deadline.map_or(FIRST, |deadline| FIRST.min(deadline / FIRST_PART))
    }

    fn create(&self, time: Timestamp) -> Result<(archive::Output, PathBuf), WriteError> {
        let path = self.args.output_file.clone().unwrap_or_else(|| {
            PathBuf::from(time.strftime("diags-%Y%m%d_%H%M%S.tar.gz").to_string())
        });
        let file = if self.to_stdout {
            archive::Output::stream(output::stdout(), "stdout")
        } else {
            archive::Output::create(&path, self.args.force)?
        };
        Ok((file, path))
    }

    /// Notes in the manifest how the learning of secrets went, and gives the secrets and what names other nodes.
    /// `None`: the run was ended before; nothing is collected then, so there is nothing to cut a secret out of.
    fn learned(
        &self,
        learned: Option<Learned>,
        manifest: &mut Manifest,
    ) -> (Secrets, Vec<(Artifact, Reading)>) {
        let Some(Learned { secrets, named, mut learning }) = learned else {
            return Default::default();
        };
        // A name or a reason may hold what was learned from another file.
        let redactor = Redactor::new(&secrets);
        for unread in &mut learning.unread {
            unread.source = redactor.redact_name(&unread.source);
            unread.reason = redactor.redact_name(&unread.reason);
        }
        if let Some(first) = learning.unread.first() {
            self.output.note(&format!(
                "{} that may hold secrets could not be read, such as {}: what they hold is cut out by its form only",
                match learning.unread.len() {
                    1 => "1 place".to_owned(),
                    count => format!("{count} places"),
                },
                output::printable(&first.source),
            ));
        }
        manifest.secrets = Some(learning);
        (secrets, named)
    }

    /// Writes what can be known only at the end, and tells how it went.
    async fn close(
        &self,
        mut recorder: Recorder,
        (status, report): (Option<NodeStatus>, Report),
        opening: Manifest,
        path: &Path,
    ) -> anyhow::Result<Exit> {
        let output = self.output;
        let status =
            status.unwrap_or_else(|| status::node_status(opening.started, &Evidence::default()));
        let stopped = self.stop.borrow().clone();
        let items = std::mem::take(&mut recorder.items);
        let ended = matches!(stopped, Some(Stop::Signal(_) | Stop::Deadline(_)));
        let mut manifest = opening.closing(items, Timestamp::now(), ended);
        manifest.complete &= recorder.broken.is_none();
        let summary = output::summary::render(&manifest, &status, &report);
        recorder.document("summary.txt", summary.into_bytes()).await;
        recorder.document("manifest.json", manifest.to_json()?).await;
        let useful = recorder.written > 0;
        let (bytes, broken) = recorder.finish().await;

        output.note(&output::summary::line(&manifest, Some(bytes)));
        let exit = match stopped {
            Some(Stop::Signal(signal)) => Exit::Interrupted(signal),
            _ if manifest.complete => Exit::Well,
            _ => Exit::Wrong,
        };
        if let Some(error) = broken {
            return Ok(self.tell(error, useful, bytes, exit));
        }
        let text = if output.format.is_document() {
            output::document(&manifest, output.format)?
        } else if self.to_stdout {
            return Ok(exit);
        } else if output.quiet {
            format!("{}\n", path.display())
        } else {
            format!("Diags saved to {}\n", path.display())
        };
        // On a thread: whoever reads stdout may have stopped to.
        let printed = tokio::task::spawn_blocking(move || output.print(&text)).await;
        match printed.context("failed to print")? {
            Ok(()) => Ok(exit),
            Err(error) => {
                let saved = format!("the bundle is at {}", path.display());
                output::error(&error.context(saved));
                Ok(if exit == Exit::Well { Exit::Wrong } else { exit })
            }
        }
    }

    /// Tells that the bundle could not be written whole.
    fn tell(&self, error: WriteError, useful: bool, bytes: u64, exit: Exit) -> Exit {
        let gone = matches!(&error, WriteError::Finish { source, .. } if source.kind() == std::io::ErrorKind::NotFound);
        let useful = useful && !gone;
        // Who reads a pipe and has had enough knows it.
        if !(self.to_stdout && error.kind() == std::io::ErrorKind::BrokenPipe) {
            let kept = if useful {
                format!("the bundle is not whole: {bytes} bytes were written and can be read")
            } else {
                format!("there is no bundle: {bytes} bytes were written")
            };
            output::error(&anyhow::Error::new(error).context(kept));
        }
        match exit {
            Exit::Interrupted(_) => exit,
            _ if useful => Exit::Wrong,
            _ => Exit::Unknown,
        }
    }
}

/// What a survey finds. A fault in judging what a hostile node says costs the rows that depend on it and no more, and
/// stands in the manifest.
async fn surveyed(
    stop: &watch::Sender<Option<Stop>>,
    survey: impl Future<Output = Node> + Send + 'static,
) -> (Node, Option<Collected>) {
    match unless(stop, tokio::spawn(survey)).await {
        Some(Ok(node)) => (node, None),
        Some(Err(_)) => (Node::unknown(), Some(own_fault("survey", "the first look at the node"))),
        None => (Node::unknown(), None),
    }
}

/// Tells of what the user left out, and runs the rest.
async fn collect(run: Run, tasks: Vec<Task>, left_out: Vec<(Task, String)>, side_by_side: usize) {
    for (task, reason) in &left_out {
        run.leave_out(task, Outcome::Skipped, reason).await;
    }
    run.run(tasks, side_by_side).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_the_survey_leaves_an_unknown_node_and_a_fault_to_be_told() {
        let (stop, _) = watch::channel(None);
        let (node, fault) = surveyed(&stop, async { panic!("on purpose") }).await;
        assert_eq!((node.name.as_str(), node.modules), ("", Node::unknown().modules));
        let fault = fault.unwrap();
        assert_eq!((fault.path.as_str(), fault.outcome), ("survey", Outcome::Failed));
        assert_eq!(fault.reason.as_deref(), Some("a fault of calivet's own"));
        let known = async { Node { name: "node-1".to_owned(), ..Node::default() } };
        let (node, fault) = surveyed(&stop, known).await;
        assert_eq!((node.name.as_str(), fault), ("node-1", None));
    }
}
