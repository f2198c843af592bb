//! A machine that answers now: each question goes to the part that can ask it, within its bounds.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{OnceCell, mpsc};

use super::bird_socket::{Daemons, Question};
use super::file::Wanted;
use super::{
    Artifact, DEFAULT_MAX_BYTES, Extent, Family, Listing, Outcome, Reading, Source, Tree, apart,
    certificates, clock, command, credentials, datastore, dbus, enter, environment, file,
    filesystems, http, in_chunks, kernel_log, logs, netlink, probe, process, sysctl, tree,
    xtables_lock,
};
use crate::bgp::looks;
use crate::bird::configuration::{self, Configuration};
use crate::bird::protocols::{self, Protocol};
use crate::bird::reply;
use crate::processes::{self, Agent, Process};

/// A machine, or a folder that holds its file system.
#[derive(Debug)]
pub(super) struct Live {
    /// `/`, or where the host's file system is mounted.
    root: PathBuf,
    /// The bound on one question.
    timeout: Duration,
    opened: Timestamp,
    /// The executable that enters other file systems; `None`: this process's own, if it can.
    pub(super) calivet: Option<PathBuf>,
    daemons: Daemons,
    /// Calico's daemons, looked for when first needed: whatever is done with them, it is seen again at that moment
    /// what they are.
    agents: OnceCell<Vec<Process>>,
    datastore: datastore::Door,
}

impl Live {
    pub(super) fn new(root: &Path, timeout: Duration) -> Self {
        Self {
            root: root.to_owned(),
            timeout,
            opened: Timestamp::now(),
            calivet: None,
            daemons: Daemons::default(),
            agents: OnceCell::new(),
            datastore: datastore::Door::default(),
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) const fn opened(&self) -> Timestamp {
        self.opened
    }

    /// See [`super::Host::stream`]. The time that the receiver takes does not count.
    pub(super) async fn stream(
        &self,
        artifact: &Artifact,
        chunks: mpsc::Sender<Vec<u8>>,
    ) -> Reading {
        let limit = artifact.max_time.unwrap_or(self.timeout);
        let max_bytes = artifact.max_bytes;
        let root = self.root.clone();
        match &artifact.source {
            Source::File(path) => {
                let path = PathBuf::from(path.as_ref());
                let read = move |sink: &_| file::read(&root, &path, max_bytes, sink);
                stream_file(limit, max_bytes, chunks, read).await
            }
            Source::Leaf { folder, path } => {
                let (folder, path) = (PathBuf::from(folder.as_ref()), path.clone());
                let wanted = Wanted { max_bytes, since: artifact.since };
                let read = move |sink: &_| file::read_leaf(&root, &folder, &path, wanted, sink);
                stream_file(limit, max_bytes, chunks, read).await
            }
            Source::Listing(folder) => {
                let folder = PathBuf::from(folder.as_ref());
                let read = move |_: &_| tree::describe(&root, &folder, max_bytes);
                apart::stream_short(limit, chunks, read).await
            }
            Source::Command(lines) => self.run(lines, limit, max_bytes, chunks).await,
            Source::Bird { family, question } => {
                let question =
                    Question { family: *family, text: question, timeout: limit, max_bytes };
                self.daemons.ask(&root, self.birds(*family), question, chunks).await
            }
            Source::Http { port, path } => http::get(*port, path, limit, max_bytes, chunks).await,
            Source::Processes(extent) => {
                send(process::scan(&root, *extent, limit).await, &chunks).await
            }
            Source::Settings => {
                let read = move |sink: &_| sysctl::read(&root, max_bytes, sink);
                apart::stream(limit, chunks, read).await
            }
            Source::KernelLog => {
                send(kernel_log::read_log(&root, limit, max_bytes).await, &chunks).await
            }
            Source::Netlink(dump) => {
                let dump = *dump;
                let read = move |sink: &_| netlink::read(dump, &root, limit, max_bytes, sink);
                apart::stream(limit, chunks, read).await
            }
            Source::Environment { config } => {
                send(Box::pin(self.environment(config, limit)).await, &chunks).await
            }
            Source::CniCredentials => {
                send(Box::pin(credentials::look(self, limit)).await, &chunks).await
            }
            Source::XtablesLock => send(xtables_lock::look(&root, limit).await, &chunks).await,
            Source::Clock => {
                let look = move |_: &_| {
                    // Numbers and texts are always JSON.
                    let bytes = serde_json::to_vec_pretty(&clock::look(&root)).unwrap_or_default();
                    Reading { original_bytes: bytes.len() as u64, bytes, ..Reading::begin() }
                };
                apart::stream_short(limit, chunks, look).await
            }
            Source::FileSystems => send(filesystems::look(&root, limit).await, &chunks).await,
            Source::Certificates { config } => {
                send(Box::pin(self.certificates(config, limit)).await, &chunks).await
            }
            Source::Logs(folder) => send(logs::count(&root, folder, limit).await, &chunks).await,
            Source::NetworkManager => send(dbus::view(&root, limit).await, &chunks).await,
            Source::Probe { connect, configurations } => {
                send(Box::pin(self.probe(*connect, configurations, limit)).await, &chunks).await
            }
            Source::Datastore { question, config } => {
                let asking = self.datastore.ask(&root, config, *question, limit, max_bytes);
                send(Box::pin(asking).await, &chunks).await
            }
        }
    }

    /// What calicoctl would use to reach the datastore.
    async fn environment(&self, config: &Path, limit: Duration) -> Reading {
        let begun = Instant::now();
        let mut reading = Reading::begin();
        // Where it is not known, a relative path leads nowhere and is told as it is.
        let path = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let file = Source::File(Cow::Owned(path.display().to_string()));
        let file = Artifact::new(Cow::Borrowed(""), file).at_most(environment::MAX_FILE);
        let file = self.gather(&file.within(limit)).await;
        let root = self.root.clone();
        let work = move || environment::look(&root, &path, &file);
        let left = limit.saturating_sub(begun.elapsed());
        let found = apart::answer(left, work).await;
        reading.duration = begun.elapsed();
        let Some(found) = found else {
            (reading.outcome, reading.reason) = apart::late(limit);
            return reading;
        };
        // Numbers and texts are always JSON.
        reading.bytes = serde_json::to_vec_pretty(&found).unwrap_or_default();
        reading.original_bytes = reading.bytes.len() as u64;
        if self.root != Path::new("/") {
            reading.place = Some("the environment in which calivet runs".to_owned());
        }
        reading
    }

    /// What the certificates say that are used here.
    async fn certificates(&self, config: &Path, limit: Duration) -> Reading {
        let path = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let file = Source::File(Cow::Owned(path.display().to_string()));
        let file = Artifact::new(Cow::Borrowed(""), file).at_most(environment::MAX_FILE);
        let file = file.within(limit);
        let (file, agents) = tokio::join!(self.gather(&file), self.agents());
        let settings = environment::settings(&path, &file, &environment::own());
        let felix = processes::find(agents).felix.process;
        certificates::look(&self.root, felix, &settings, &path, limit).await
    }

    /// Looks at the BGP peers that are down: as BIRD tells them now, for a session that has come to stand meanwhile
    /// must not be disturbed.
    async fn probe(
        &self,
        connect: bool,
        configurations: &[Cow<'static, str>],
        limit: Duration,
    ) -> Reading {
        let begun = Instant::now();
        let answers = Family::ALL.map(|family| {
            let question = Cow::Borrowed("show protocols all");
            let source = Source::Bird { family, question };
            Artifact::new(Cow::Borrowed(""), source).within(limit)
        });
        let [ipv4, ipv6] = [0, 1].map(|index| self.gather(&answers[index]));
        let files = configurations.iter().map(|path| {
            let file = Artifact::new(Cow::Borrowed(""), Source::File(path.clone())).within(limit);
            async move { self.gather(&file).await }
        });
        let (ipv4, ipv6, files) = tokio::join!(ipv4, ipv6, join_all(files));
        let mut reading = Reading::begin();
        let protocols: Vec<Protocol> = [&ipv4, &ipv6]
            .iter()
            .flat_map(|answer| protocols::parse(&reply::parse(&answer.bytes)).list)
            .collect();
        let is_known = [&ipv4, &ipv6].iter().any(|answer| answer.outcome == Outcome::Ok);
        let configurations: Vec<Configuration> =
            files.iter().map(|file| configuration::parse(&file.text())).collect();
        let targets = looks::targets(&protocols, &configurations);
        let looks = probe::look(targets, connect, self.root == Path::new("/")).await;
        reading.duration = begun.elapsed();
        if !is_known && looks.looks.is_empty() {
            reading.outcome = Outcome::NotApplicable;
            reading.reason = Some("no BIRD tells which peers are down".to_owned());
            return reading;
        }
        // Numbers and texts are always JSON.
        reading.bytes = serde_json::to_vec_pretty(&looks).unwrap_or_default();
        reading.original_bytes = reading.bytes.len() as u64;
        if self.root != Path::new("/") {
            reading.place = Some("the network namespace in which calivet runs".to_owned());
        }
        reading
    }

    /// Reads an artifact into memory.
    pub(super) async fn gather(&self, artifact: &Artifact) -> Reading {
        let (sender, mut chunks) = mpsc::channel(2);
        let gather = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                bytes.extend(chunk);
            }
            bytes
        };
        let (reading, bytes) = tokio::join!(self.stream(artifact, sender), gather);
        Reading { bytes, ..reading }
    }

    /// See [`super::Host::list`].
    pub(super) async fn list(&self, tree: &Tree) -> Listing {
        tree::list(&self.root, tree, self.timeout).await
    }

    /// Runs the first of some command lines (between ` | `) whose program the host has, or else calico-node's
    /// container.
    async fn run(
        &self,
        lines: &str,
        limit: Duration,
        max_bytes: u64,
        chunks: mpsc::Sender<Vec<u8>>,
    ) -> Reading {
        let mut missing = Vec::new();
        for containers in [None, Some(self.calico_node())] {
            let containers = match containers {
                None => Vec::new(),
                Some(pids) => pids.await,
            };
            if containers.is_empty() && !missing.is_empty() {
                break;
            }
            missing.clear();
            for line in lines.split(" | ") {
                match command::find(&self.root, line, containers.clone(), limit).await {
                    Ok(program) => {
                        let itself =
                            || enter::can_run_itself().then(|| PathBuf::from("/proc/self/exe"));
                        let calivet = self.calivet.clone().or_else(itself);
                        return program.run(calivet, limit, max_bytes, chunks).await;
                    }
                    Err((Outcome::Missing, reason)) => missing.extend(reason),
                    Err((outcome, reason)) => {
                        return Reading { outcome, reason, ..Reading::begin() };
                    }
                }
            }
        }
        Reading::failed(Outcome::Missing, missing.join("; "))
    }

    /// The daemons for a family: their sockets may be in their own mount namespace.
    async fn birds(&self, family: Family) -> Vec<u32> {
        let agents = processes::find(self.agents().await);
        let bird = match family {
            Family::Ipv4 => agents.bird,
            Family::Ipv6 => agents.bird6,
        };
        bird.process.iter().map(|process| process.pid).collect()
    }

    /// Felix, which runs in calico-node's container: programs that the host lacks may be in there.
    async fn calico_node(&self) -> Vec<u32> {
        let agents = processes::find(self.agents().await);
        agents.felix.process.iter().map(|process| process.pid).collect()
    }

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
}

/// Reads a file. Nearly all of those that may not be large are the kernel's, or settings: a thread for each would take
/// longer than to read it.
async fn stream_file(
    limit: Duration,
    max_bytes: u64,
    chunks: mpsc::Sender<Vec<u8>>,
    read: impl FnOnce(&apart::Sink) -> Reading + Send + 'static,
) -> Reading {
    if max_bytes <= DEFAULT_MAX_BYTES {
        apart::stream_short(limit, chunks, read).await
    } else {
        apart::stream(limit, chunks, read).await
    }
}

/// Sends what is in memory already.
async fn send(mut reading: Reading, chunks: &mpsc::Sender<Vec<u8>>) -> Reading {
    if !in_chunks(std::mem::take(&mut reading.bytes), chunks).await {
        (reading.outcome, reading.reason) = apart::nobody_listens();
    }
    reading
}
