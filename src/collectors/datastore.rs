//! The datastore: how it is, and what Calico keeps there that concerns a node.

use std::borrow::Cow;
use std::time::Duration;

use super::{Artifact, Collector, Node, Rows, Source};
use crate::datastore::{Question, Resource, health};

pub(super) const COLLECTOR: Collector = Collector {
    name: "datastore",
    about: "etcd or the Kubernetes API: how it is, and Calico's resources that concern a node",
    artifacts: &[],
    trees: &[],
    more,
};

/// The bound on each question. A node whose datastore hangs is to be told so while one waits.
const LIMIT: Duration = Duration::from_secs(10);

fn more(node: &Node) -> Rows {
    let row = |path: &'static str, question| {
        let config = Cow::Owned(node.config.clone());
        let source = Source::Datastore { question, config };
        Artifact::new(Cow::Borrowed(path), source).within(LIMIT)
    };
    let resources = Resource::ALL.map(|resource| row(resource.path(), Question::All(resource)));
    let health = row(health::PATH, Question::Health);
    Rows { artifacts: std::iter::once(health).chain(resources).collect(), trees: Vec::new() }
}
