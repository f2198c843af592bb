//! A machine that answers now: each question goes to the part that can ask it, within its bounds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::spawn_blocking;

use super::bird_socket::Question;
use super::file::Location;
use super::{
    Artifact, Extent, Family, Listing, Outcome, Reading, Source, Tree, bird_socket, command, file,
    http, kernel_log, process, tree,
};
use crate::processes::{self, Agent, Process};

/// A machine, or a folder that holds its file system.
#[derive(Debug)]
pub(super) struct Live {
    /// `/`, or where the host's file system is mounted.
    root: PathBuf,
    /// The bound on one question.
    timeout: Duration,
    opened: Timestamp,
    daemons: bird_socket::Daemons,
    /// Calico's daemons, read once: a question to BIRD may need its pid, a program that of Felix.
    agents: OnceCell<Vec<Process>>,
}

impl Live {
    pub(super) fn new(root: &Path, timeout: Duration) -> Self {
        Self {
            root: root.to_owned(),
            timeout,
            opened: Timestamp::now(),
            daemons: bird_socket::Daemons::default(),
            agents: OnceCell::new(),
        }
    }

    pub(super) const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// See [`super::Host::stream`].
    pub(super) async fn stream(
        &self,
        artifact: &Artifact,
        chunks: mpsc::Sender<Vec<u8>>,
    ) -> Reading {
        let limit = artifact.max_time.unwrap_or(self.timeout);
        let max_bytes = artifact.max_bytes;
        match &artifact.source {
            Source::File(path) => {
                let location = Location::InRoot(self.root.clone(), path.to_string());
                read_file(location, max_bytes, limit, chunks).await
            }
            Source::Leaf { folder, path } => {
                let location =
                    Location::InFolder(self.root.clone(), folder.to_string(), path.clone());
                read_file(location, max_bytes, limit, chunks).await
            }
            Source::Contained { pid, path } => {
                let root = self.root.join(format!("proc/{pid}/root"));
                read_file(Location::InRoot(root, path.to_string()), max_bytes, limit, chunks).await
            }
            Source::Command(argv) => {
                let agents = self.agents().await;
                let felix = processes::find(agents).felix.process;
                command::run(&self.root, felix, argv, limit, max_bytes, &chunks).await
            }
            Source::Bird { family, question } => {
                let pids = async {
                    let agents = processes::find(self.agents().await);
                    let daemon = match family {
                        Family::Ipv4 => agents.bird,
                        Family::Ipv6 => agents.bird6,
                    };
                    daemon.process.iter().map(|process| process.pid).collect()
                };
                let question = Question {
                    family: *family,
                    text: question.as_ref(),
                    timeout: limit,
                    max_bytes,
                };
                self.daemons.ask(&self.root, pids, question, chunks).await
            }
            Source::Http { port, path } => http::get(*port, path, limit, max_bytes, chunks).await,
            Source::Processes(extent) => {
                let reading = process::scan(&self.root, *extent, limit).await;
                send_whole(reading, chunks).await
            }
            Source::KernelLog => {
                let reading = kernel_log::read_log(&self.root, limit, max_bytes).await;
                send_whole(reading, chunks).await
            }
        }
    }

    /// Calico's daemons, as far as they can be seen.
    async fn agents(&self) -> &[Process] {
        self.agents
            .get_or_init(|| async {
                let reading = process::scan(&self.root, Extent::Agents, self.timeout).await;
                let mut found = processes::parse(&reading.bytes).unwrap_or_default();
                found.retain(|process| Agent::of(&process.argv).is_some());
                found
            })
            .await
    }

    /// See [`super::Host::list`].
    pub(super) async fn list(&self, tree: &Tree) -> Listing {
        let found = tree::Shared::default();
        let (root, walked, shared) = (self.root.clone(), tree.clone(), Arc::clone(&found));
        let walk = spawn_blocking(move || tree::walk(&root, &walked, &shared));
        let (outcome, reason) = match tokio::time::timeout(self.timeout, walk).await {
            Ok(Ok(walked)) => walked,
            Ok(Err(error)) => (Outcome::Failed, Some(format!("a fault of calivet's own: {error}"))),
            Err(_) => {
                let limit = self.timeout;
                (Outcome::Timeout, Some(format!("{} was not listed within {limit:?}", tree.folder)))
            }
        };
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Listing { found, outcome, reason }
    }
}

/// Reads a file on a thread that is left behind if it hangs in the kernel.
async fn read_file(
    location: Location,
    max_bytes: u64,
    limit: Duration,
    chunks: mpsc::Sender<Vec<u8>>,
) -> Reading {
    let begun = (Timestamp::now(), Instant::now());
    let read = spawn_blocking(move || file::read(&location, max_bytes, &chunks));
    match tokio::time::timeout(limit, read).await {
        Ok(Ok(reading)) => reading,
        Ok(Err(error)) => {
            Reading::failed(Outcome::Failed, format!("a fault of calivet's own: {error}"))
        }
        Err(_) => Reading {
            started: begun.0,
            duration: begun.1.elapsed(),
            ..Reading::failed(Outcome::Timeout, format!("was not read within {limit:?}"))
        },
    }
}

/// Sends what is in memory already.
async fn send_whole(mut reading: Reading, chunks: mpsc::Sender<Vec<u8>>) -> Reading {
    let bytes = std::mem::take(&mut reading.bytes);
    for chunk in bytes.chunks(1 << 20) {
        if chunks.send(chunk.to_vec()).await.is_err() {
            break;
        }
    }
    reading
}
