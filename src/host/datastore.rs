//! The datastore, asked by the settings that calicoctl would use: etcd v3 or the Kubernetes API.
//!
//! All questions of a run share one connection, one after the other: a node that is sick must not make its datastore so.
//! Nothing of TLS is set up unless something is asked. Where a connection fails, it is not tried again for the next
//! question.

mod etcd;
mod kubernetes;
mod line;
mod plugin;
mod settings;
mod tls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell, mpsc};
use tokio::time::timeout;

use self::line::{Line, Place};
use self::tls::Identity;
use super::{Outcome, Reading, apart, file};
use crate::datastore::certificate::Certificate;
use crate::datastore::health::{Cause, Endpoint, Failure, Health, Kind};
use crate::datastore::{Question, Resource, Secret};

/// At most so many resources of a kind are kept.
const MOST_ITEMS: usize = 10_000;

/// The most bytes of one answer. Parsed, it takes some ten times that at worst.
const PAGE_BYTES: u64 = 4 << 20;

/// The first question: it proves that the endpoint answers, and needs no right.
const FIRST: &str = "/version";

/// The way to the datastore, found when it is first needed.
#[derive(Debug, Default)]
pub(super) struct Door {
    prepared: OnceCell<Result<Prepared, Refused>>,
    line: OnceCell<Mutex<Result<Line, Refused>>>,
    group: OnceCell<Result<String, Refused>>,
}

/// All that is needed to connect.
#[derive(Debug)]
struct Prepared {
    kind: Kind,
    places: Vec<Place>,
    identity: Identity,
    login: Login,
    /// By what this node says who it is, in words.
    user: Option<String>,
    client_certificate: Option<Certificate>,
    authorities: Vec<Certificate>,
    /// The group of Calico's resources in Kubernetes, if it is configured.
    group: Option<String>,
}

/// How this node says who it is, beside a certificate.
#[derive(Debug)]
enum Login {
    /// Not at all.
    None,
    /// A user of etcd's, who gets a token for a password.
    Etcd(String, Secret),
    /// What stands in the header `Authorization`.
    Header(Secret),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    outcome: Outcome,
    reason: String,
}

impl Refused {
    fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into() }
    }

    /// Whether who asks is not known, or may not.
    fn is_auth(&self) -> bool {
        self.outcome == Outcome::Denied
    }
}

impl From<Failure> for Refused {
    fn from(Failure { cause, reason }: Failure) -> Self {
        let outcome = match cause {
            Cause::TimedOut => Outcome::Timeout,
            Cause::ClientCertificate => Outcome::Denied,
            _ => Outcome::Failed,
        };
        Self { outcome, reason }
    }
}

fn not_understood(path: &str) -> Refused {
    Refused::new(Outcome::Failed, format!("the answer to {path} is not understood"))
}

/// A list as it is read: text, for the parsed resources of a large cluster would take many times its memory.
#[derive(Debug)]
struct Listed {
    source: String,
    /// One resource a line.
    items: Vec<u8>,
    count: usize,
    unreadable: u64,
    truncated: bool,
    max_bytes: u64,
}

impl Listed {
    /// Keeps a resource; `false`: there is no room for it.
    #[must_use]
    fn take(&mut self, item: &Value) -> bool {
        let text = item.to_string();
        let bytes = (self.items.len() + text.len() + 2) as u64;
        self.truncated = self.count >= MOST_ITEMS || bytes > self.max_bytes;
        if !self.truncated {
            self.items.extend_from_slice(if self.count > 0 { b",\n" } else { b"\n" });
            self.items.extend_from_slice(text.as_bytes());
            self.count += 1;
        }
        !self.truncated
    }

    /// The document of [`crate::datastore::resources`].
    fn document(&self) -> Vec<u8> {
        let about = json!({"source": self.source, "truncated": self.truncated, "unreadable": self.unreadable});
        let mut text = about.to_string().into_bytes();
        // In the place of the brace that ends it.
        text.pop();
        text.extend_from_slice(b",\n\"items\":[");
        text.extend_from_slice(&self.items);
        text.extend_from_slice(b"\n]}\n");
        text
    }
}

/// A resource without what tells nothing of it: who wrote which field, and the whole of it as it was last applied.
fn cut_down(mut item: Value) -> Value {
    if let Some(metadata) = item["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    item
}

impl Door {
    /// Puts one question, by the settings in calicoctl's configuration file at `config` or in the environment.
    pub(super) async fn ask(
        &self,
        root: &Path,
        config: &Path,
        question: Question,
        limit: Duration,
        max_bytes: u64,
    ) -> Reading {
        let begun = Instant::now();
        let mut reading = Reading::begin();
        let asking = async {
            let prepared = self.prepared.get_or_init(|| settings::prepare(root, config, limit));
            let prepared = prepared.await.as_ref().map_err(Clone::clone)?;
            match question {
                Question::Health => {
                    let health = examine(prepared).await;
                    // Texts and numbers are always JSON.
                    Ok((serde_json::to_vec_pretty(&health).unwrap_or_default(), false))
                }
                Question::All(resource) => {
                    let list = self.list(prepared, resource, max_bytes).await?;
                    Ok((list.document(), list.truncated))
                }
            }
        };
        match timeout(limit, asking).await {
            Ok(Ok((bytes, truncated))) => {
                reading.original_bytes = bytes.len() as u64;
                reading.bytes = bytes;
                if truncated {
                    reading.outcome = Outcome::Truncated;
                    reading.reason = Some("there are more than are kept".to_owned());
                }
            }
            Ok(Err(Refused { outcome, reason })) => {
                (reading.outcome, reading.reason) = (outcome, Some(reason));
            }
            Err(_) => {
                let reason = format!("the datastore gave no whole answer within {limit:?}");
                (reading.outcome, reading.reason) = (Outcome::Timeout, Some(reason));
            }
        }
        reading.duration = begun.elapsed();
        reading
    }

    async fn list(
        &self,
        prepared: &Prepared,
        resource: Resource,
        max_bytes: u64,
    ) -> Result<Listed, Refused> {
        let line = self.line.get_or_init(|| async { Mutex::new(connect(prepared).await) });
        let mut held = line.await.lock().await;
        // Whoever is cut off in the middle of an answer leaves no connection for the next.
        let cut_off = "the connection was given up: an earlier question was not answered in time";
        let taken = std::mem::replace(&mut *held, Err(Refused::new(Outcome::Timeout, cut_off)));
        let mut line = match taken {
            Ok(line) => line,
            Err(refused) => {
                *held = Err(refused.clone());
                return Err(refused);
            }
        };
        let mut listed = Listed {
            source: String::new(),
            items: Vec::new(),
            count: 0,
            unreadable: 0,
            truncated: false,
            max_bytes: max_bytes.saturating_sub(4 << 10),
        };
        let list = match prepared.kind {
            Kind::Etcd => etcd::list(&mut line, resource, &mut listed).await,
            Kind::Kubernetes => self.kubernetes(&mut line, prepared, resource, &mut listed).await,
        };
        *held = match (line.is_broken(), &list) {
            (true, Err(refused)) => Err(refused.clone()),
            _ => Ok(line),
        };
        list.map(|()| listed)
    }

    async fn kubernetes(
        &self,
        line: &mut Line,
        prepared: &Prepared,
        resource: Resource,
        listed: &mut Listed,
    ) -> Result<(), Refused> {
        // Nodes are the API's own.
        let group = if resource == Resource::Nodes {
            ""
        } else {
            let find = kubernetes::group(line, prepared.group.as_deref());
            self.group.get_or_init(|| find).await.as_deref().map_err(Clone::clone)?
        };
        kubernetes::list(line, resource, group, listed).await
    }
}

/// A connection to the endpoint that answers first.
async fn connect(prepared: &Prepared) -> Result<Line, Refused> {
    let mut opening: FuturesUnordered<_> =
        prepared.places.iter().map(|place| open(prepared, place)).collect();
    let mut refused: Option<Refused> = None;
    while let Some((endpoint, line)) = opening.next().await {
        let why = match line {
            Ok(mut line) => match log_in(prepared, &mut line).await {
                Ok(()) => return Ok(line),
                Err(why) => why,
            },
            Err(failure) => Refused::from(failure),
        };
        let said = format!("{}: {}", endpoint.url, why.reason);
        refused = Some(match refused {
            None => Refused { reason: said, ..why },
            Some(first) => Refused { reason: format!("{}; {said}", first.reason), ..first },
        });
    }
    Err(refused.unwrap_or_else(|| Refused::new(Outcome::Failed, "no endpoint is configured")))
}

/// A connection on which one question was answered.
async fn open(prepared: &Prepared, place: &Place) -> (Endpoint, Result<Line, Failure>) {
    let authorization = match &prepared.login {
        Login::Header(Secret(value)) => Some(value.clone()),
        Login::None | Login::Etcd(..) => None,
    };
    let (mut endpoint, line) = line::open(place, &prepared.identity, authorization).await;
    let mut line = match line {
        Ok(line) => line,
        Err(failure) => return (endpoint, Err(failure)),
    };
    let begun = Instant::now();
    let answered = line.ask(FIRST, None, PAGE_BYTES).await;
    endpoint.answer_milliseconds = answered.is_ok().then(|| line::milliseconds(begun));
    match answered {
        Ok(_) => (endpoint, Ok(line)),
        Err(failure) => {
            endpoint.failure = Some(failure.clone());
            (endpoint, Err(failure))
        }
    }
}

async fn log_in(prepared: &Prepared, line: &mut Line) -> Result<(), Refused> {
    match &prepared.login {
        Login::Etcd(name, password) => etcd::log_in(line, name, password).await,
        Login::None | Login::Header(_) => Ok(()),
    }
}

/// How the datastore is: each endpoint is looked at, and one of those that answer is asked for more.
async fn examine(prepared: &Prepared) -> Health {
    let mut health = Health {
        kind: prepared.kind,
        user: prepared.user.clone(),
        client_certificate: prepared.client_certificate.clone(),
        authorities: prepared.authorities.clone(),
        takes_any_certificate: prepared.identity.takes_any,
        ..Health::default()
    };
    let opened = join_all(prepared.places.iter().map(|place| open(prepared, place))).await;
    let mut first = None;
    for (endpoint, line) in opened {
        health.endpoints.push(endpoint);
        first = first.or(line.ok());
    }
    let Some(mut line) = first else { return health };
    if let Err(why) = log_in(prepared, &mut line).await {
        health.refusal = Some(why.reason);
        // What needs no right is still asked.
    }
    match prepared.kind {
        Kind::Etcd => etcd::examine(&mut line, &mut health).await,
        Kind::Kubernetes => kubernetes::examine(&mut line, &mut health).await,
    }
    health
}

/// Reads a file of the host's whole, within `limit`.
async fn read_file(root: &Path, path: &Path, limit: Duration) -> Result<Vec<u8>, Refused> {
    /// A bundle of authorities takes some 250 KiB.
    const MOST: u64 = 4 << 20;
    let reading = gather(root, path, MOST, limit).await;
    match reading.outcome {
        Outcome::Ok => Ok(reading.bytes),
        outcome => Err(Refused::new(outcome, reading.reason.unwrap_or_default())),
    }
}

/// Reads a file of the host's into memory.
async fn gather(root: &Path, path: &Path, max_bytes: u64, limit: Duration) -> Reading {
    let (chunks, mut received) = mpsc::channel(2);
    let (root, path): (PathBuf, PathBuf) = (root.to_owned(), path.to_owned());
    let read =
        apart::stream(limit, chunks, move |sink: &_| file::read(&root, &path, max_bytes, sink));
    let gather = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = received.recv().await {
            bytes.extend(chunk);
        }
        bytes
    };
    let (reading, bytes) = tokio::join!(read, gather);
    Reading { bytes, ..reading }
}
