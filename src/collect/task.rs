//! What is run as one: the artifacts and folders of a collector, put together by whom they ask.

use crate::collectors::{self, Collector, Node, Rows};
use crate::host::{Artifact, Source, Tree};

/// What is run as one: it takes one place among those that run side by side.
#[derive(Debug, Clone)]
pub struct Task {
    /// The collector's name.
    pub collector: &'static str,
    /// What is to be read.
    pub work: Work,
}

impl Task {
    fn source(&self) -> Option<&Source> {
        match &self.work {
            Work::Artifacts(batch) => batch.first().map(|first| &first.source),
            Work::Tree(_) => None,
        }
    }

    pub(super) fn asks_bird(&self) -> bool {
        matches!(self.source(), Some(Source::Bird { .. }))
    }

    pub(super) fn is_probe(&self) -> bool {
        matches!(self.source(), Some(Source::Probe { .. }))
    }
}

/// What a task reads.
#[derive(Debug, Clone)]
pub enum Work {
    /// Artifacts that are read one after the other: questions to one daemon share one connection.
    Artifacts(Vec<Artifact>),
    /// A folder: its files become tasks when it has been listed.
    Tree(Tree),
}

/// The tasks of a collector on this node, in the order of its rows.
#[must_use]
pub fn tasks(collector: &'static Collector, node: &Node) -> Vec<Task> {
    let Rows { artifacts, trees } = collectors::rows(collector, node);
    let mut tasks: Vec<Task> = Vec::new();
    for artifact in artifacts {
        // Each daemon, and the datastore, has one connection: its questions wait for each other anyway, and must not
        // keep places.
        if let Some(Task { work: Work::Artifacts(batch), .. }) =
            tasks.iter_mut().find(|task| is_same_daemon(task, &artifact))
        {
            batch.push(artifact);
        } else {
            tasks.push(Task { collector: collector.name, work: Work::Artifacts(vec![artifact]) });
        }
    }
    tasks.extend(
        trees.into_iter().map(|tree| Task { collector: collector.name, work: Work::Tree(tree) }),
    );
    tasks
}

fn is_same_daemon(task: &Task, artifact: &Artifact) -> bool {
    match (&artifact.source, task.source()) {
        (Source::Bird { family: wanted, .. }, Some(Source::Bird { family, .. })) => {
            family == wanted
        }
        (Source::Datastore { .. }, Some(Source::Datastore { .. })) => true,
        _ => false,
    }
}
