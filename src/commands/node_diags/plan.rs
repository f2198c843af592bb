//! What a run is to read: the node is surveyed, the user's choice applied, and with `--dry-run` shown.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::bundle::plan::{Plan, Planned};
use crate::cli::{self, Options};
use crate::collect::{self, Task, Work};
use crate::collectors::{self, COLLECTORS, Node};
use crate::commands::Exit;
use crate::host::{Artifact, Evidence, Host, Outcome, Reading, Sensitivity};
use crate::output::{self, Output};

/// The facts of the node on which the rows depend, as far as they can be read within `limit`.
pub(super) async fn survey(host: &Host, side_by_side: usize, limit: Duration) -> Node {
    let until = Instant::now() + limit;
    let mut evidence = read(host, collectors::FIRST, side_by_side, until).await;
    let then = collectors::then(&evidence);
    evidence.extend(read(host, &then, side_by_side, until).await);
    Node::from_evidence(&evidence)
}

async fn read(host: &Host, rows: &[Artifact], side_by_side: usize, until: Instant) -> Evidence {
    // Owned: a future that borrows a row is not general enough to be spawned.
    let read = rows.iter().cloned().map(|row| async move {
        let path = row.path().into_owned();
        let left = until.saturating_duration_since(Instant::now());
        let row = row.within(left);
        let late = || Reading::failed(Outcome::Timeout, "the survey of the node took too long");
        (path, timeout_at(until, host.read(&row)).await.unwrap_or_else(|_| late()))
    });
    futures_util::stream::iter(read)
        .buffer_unordered(side_by_side)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect()
}

/// The same node as the user wants it read.
pub(super) fn wanted(node: Node, options: &Options, args: &cli::NodeDiags) -> Node {
    let max_file_bytes = args.max_file_size.as_u64();
    Node {
        log_dir: args.log_dir.clone(),
        since: args.since,
        // A log shrinks to an eighth or so: that none takes much more than a quarter of a small bundle.
        max_file_bytes: match args.max_size {
            Some(size) => max_file_bytes.min(size.as_u64().saturating_mul(2)),
            None => max_file_bytes,
        },
        // Where the folder in which calivet runs is not known, it is told as it was given.
        config: std::path::absolute(&options.config).unwrap_or_else(|_| options.config.clone()),
        passive: args.no_probe,
        ..node
    }
}

/// What is run, and what the user left out, with the reason.
pub(super) type Selection = (Vec<Task>, Vec<(Task, String)>);

/// The tasks of the collectors that the user wants.
pub(super) fn select(node: &Node, args: &cli::NodeDiags) -> Selection {
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

/// Prints what would be read and run.
pub(super) fn dry_run(
    chosen: &[Task],
    left_out: &[(Task, String)],
    output: Output,
) -> anyhow::Result<Exit> {
    let rows = chosen.iter().map(|task| (task, None));
    let rows = rows.chain(left_out.iter().map(|(task, reason)| (task, Some(reason.as_str()))));
    let mut items = Vec::new();
    for (task, reason) in rows {
        let mut row = |place: String, source: String, credential: bool| {
            let reason = match reason {
                None if credential => Some("a credential: read to cut it out, never written"),
                reason => reason,
            };
            items.push(Planned {
                collector: task.collector.to_owned(),
                path: place,
                source,
                outcome: reason.map(|_| Outcome::Skipped),
                reason: reason.map(str::to_owned),
            });
        };
        match &task.work {
            Work::Artifacts(artifacts) => artifacts.iter().for_each(|artifact| {
                let credential = artifact.sensitivity == Sensitivity::Credential;
                row(artifact.path().into_owned(), artifact.describe(), credential);
            }),
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
    output.print(&if output.format.is_document() {
        output::document(&Plan { schema_version: 1, items }, output.format)?
    } else {
        output::summary::plan(&items, output)
    })?;
    Ok(Exit::Well)
}

/// What the user asked for, as the manifest tells it.
pub(super) fn recorded_options(options: &Options, args: &cli::NodeDiags) -> serde_json::Value {
    json!({
        "root": options.root,
        "timeoutMs": options.timeout.map(milliseconds),
        "logDir": args.log_dir,
        "sinceSeconds": args.since.map(|since| since.as_secs()),
        "maxFileBytes": args.max_file_size.as_u64(),
        "maxBytes": args.max_size.map(|size| size.as_u64()),
        "deadlineMs": args.deadline.map(milliseconds),
        "obfuscate": args.obfuscate,
        "probe": !args.no_probe,
        "only": args.only,
        "skip": args.skip,
    })
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
