//! One connection to the datastore, and questions over it, each step of which is told apart: the name, the
//! connection, TLS, the answer.
//!
//! HTTP/1.1 without proxies and redirections: what is found must be true of the endpoint that is configured.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::tls::{Identity, Seen, lock, rejected};
use crate::datastore::health::{Cause, Endpoint, Failure};
use crate::host::beneath::describe;

/// The bound on a connection with its TLS handshake.
const OPENING: Duration = Duration::from_secs(3);
/// The bound on one question.
const ASKING: Duration = Duration::from_secs(4);
/// How long is waited for why a connection has ended.
const WHY: Duration = Duration::from_millis(100);

/// Where the datastore is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As it is configured.
    pub(super) url: String,
    pub(super) is_tls: bool,
    host: String,
    port: u16,
    /// What stands before each path, without a slash at its end.
    prefix: String,
}

impl Place {
    /// The place of a URL. Its user and password, which would be secret, are not taken.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|_| "it is not understood".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("it begins neither with https:// nor with http://".to_owned()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let scheme = if is_tls { "https" } else { "http" };
        let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Ok(Self { url: format!("{scheme}://{shown}:{port}{prefix}"), is_tls, host, port, prefix })
    }
}

/// A connection that stands.
pub(super) struct Line {
    sender: SendRequest<Full<Bytes>>,
    /// Carries the bytes, and ends with what went wrong.
    driver: JoinHandle<Option<hyper::Error>>,
    place: Place,
    authority: String,
    /// What says who asks.
    pub(super) authorization: Option<String>,
    asked_for_certificate: bool,
    is_broken: bool,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Line").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
}

/// Connects. What was seen on the way is told whether it succeeds or not.
pub(super) async fn open(
    place: &Place,
    identity: &Identity,
    authorization: Option<String>,
) -> (Endpoint, Result<Line, Failure>) {
    let mut endpoint = Endpoint { url: place.url.clone(), ..Endpoint::default() };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let opening = try_to_open(place, identity, authorization, &mut endpoint, &seen);
    let line = if let Ok(line) = timeout(OPENING, opening).await {
        line
    } else {
        let step = match (&endpoint.address, endpoint.connect_milliseconds) {
            (None, _) => "the name was not resolved",
            (Some(_), None) => "nobody answered the connection",
            (Some(_), Some(_)) => "the TLS handshake was not answered",
        };
        Err(failure(Cause::TimedOut, format!("{step} within {OPENING:?}")))
    };
    let seen = std::mem::take(&mut *lock(&seen));
    let was_begun = seen.tls.is_trusted.is_some() || seen.tls.version.is_some();
    endpoint.tls = was_begun.then_some(seen.tls);
    endpoint.failure = line.as_ref().err().cloned();
    (endpoint, line)
}

async fn try_to_open(
    place: &Place,
    identity: &Identity,
    authorization: Option<String>,
    endpoint: &mut Endpoint,
    seen: &Arc<Mutex<Seen>>,
) -> Result<Line, Failure> {
    let begun = Instant::now();
    let stream = connect(place, endpoint).await?;
    endpoint.connect_milliseconds = Some(milliseconds(begun));
    // An address is written as it is in a URL.
    let host = &place.host;
    let shown = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = format!("{shown}:{}", place.port);
    let (sender, driver) = if place.is_tls {
        let begun = Instant::now();
        let stream = identity.shake_hands(stream, host, seen).await?;
        endpoint.tls_milliseconds = Some(milliseconds(begun));
        speak(stream).await?
    } else {
        speak(stream).await?
    };
    let asked_for_certificate = lock(seen).tls.asks_for_certificate;
    let place = place.clone();
    let is_broken = false;
    Ok(Line { sender, driver, place, authority, authorization, asked_for_certificate, is_broken })
}

/// Connects to the first address of the name that takes the connection.
async fn connect(place: &Place, endpoint: &mut Endpoint) -> Result<TcpStream, Failure> {
    let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await;
    let addresses: Vec<_> = match found {
        Ok(addresses) => addresses.take(4).collect(),
        Err(error) => {
            let reason = format!("the name {} cannot be resolved: {error}", place.host);
            return Err(failure(Cause::Resolve, reason));
        }
    };
    let mut failed = failure(Cause::Resolve, format!("the name {} has no address", place.host));
    for address in addresses {
        endpoint.address = Some(address.to_string());
        let error = match TcpStream::connect(address).await {
            Ok(stream) => {
                // A question and its answer are small and must not wait for each other.
                let _unimportant = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => error,
        };
        let errno = error.raw_os_error().map(Errno::from_raw);
        let cause = match errno {
            Some(Errno::ECONNREFUSED) => Cause::Refused,
            Some(Errno::ETIMEDOUT) => Cause::TimedOut,
            Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EADDRNOTAVAIL) => {
                Cause::Unreachable
            }
            _ => Cause::Failed,
        };
        let why = errno.map_or_else(|| error.to_string(), describe);
        failed = failure(cause, format!("dial tcp {address}: connect: {why}"));
    }
    Err(failed)
}

type Spoken = (SendRequest<Full<Bytes>>, JoinHandle<Option<hyper::Error>>);

/// Begins HTTP on a connection.
async fn speak<S>(stream: S) -> Result<Spoken, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(Cause::Failed, error.to_string()))?;
    let driver = tokio::spawn(async move { connection.await.err() });
    Ok((sender, driver))
}

impl Line {
    /// Where it leads.
    pub(super) fn url(&self) -> &str {
        &self.place.url
    }

    /// Whether nothing more can be asked.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Puts one question and waits for its whole answer of at most `max_bytes`. After an error, nothing more can be
    /// asked.
    pub(super) async fn ask(
        &mut self,
        path: &str,
        body: Option<serde_json::Value>,
        max_bytes: u64,
    ) -> Result<Answer, Failure> {
        let deadline = tokio::time::Instant::now() + ASKING;
        let path = format!("{}{path}", self.place.prefix);
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| {
            failure(Cause::Configuration, "a header holds what none may hold".to_owned())
        })?;
        let asking = async {
            let mut response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            let mut bytes = Vec::new();
            while let Some(frame) = response.body_mut().frame().await {
                let data = frame?.into_data().unwrap_or_default();
                bytes.extend_from_slice(&data);
                if bytes.len() as u64 > max_bytes {
                    return Ok(Err(failure(
                        Cause::Answer,
                        format!("an answer is longer than {max_bytes} bytes"),
                    )));
                }
            }
            Ok(Ok(Answer { status, bytes }))
        };
        self.is_broken = true;
        match timeout_at(deadline, asking).await {
            Ok(Ok(answer)) => {
                self.is_broken = answer.is_err();
                answer
            }
            Ok(Err(error)) => Err(self.why(error).await),
            Err(_) => Err(failure(Cause::TimedOut, format!("no whole answer within {ASKING:?}"))),
        }
    }

    /// Why a question was not answered: the connection itself may know better.
    async fn why(&mut self, error: hyper::Error) -> Failure {
        let ended = timeout(WHY, &mut self.driver).await.ok().and_then(Result::ok).flatten();
        let errors = [ended, Some(error)];
        let told = errors.iter().flatten().find_map(|error| tls_error(error));
        if let Some(told) = told {
            return rejected(told, self.asked_for_certificate);
        }
        let said = errors.iter().flatten().next().map(|error| chain(error)).unwrap_or_default();
        if self.asked_for_certificate {
            // A server may close without a word, or its word be lost to the reset (RFC 8446, section 6).
            return failure(
                Cause::ClientCertificate,
                format!(
                    "the server asked for a client's certificate and then closed the connection: {said}"
                ),
            );
        }
        failure(Cause::Answer, format!("the connection ended without an answer: {said}"))
    }
}

/// What TLS said, among the causes of an error.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(told) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(told);
        }
        cause = error.source();
    }
    None
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push(error.to_string());
        cause = error.source();
    }
    said.join(": ")
}

pub(super) const fn failure(cause: Cause, reason: String) -> Failure {
    Failure { cause, reason }
}

pub(super) fn milliseconds(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_place() {
        let place = Place::parse("https://10.0.0.1:2379").unwrap();
        assert_eq!((place.is_tls, place.port, place.prefix.as_str()), (true, 2379, ""));
        let place = Place::parse("http://[fd00::1]/base/").unwrap();
        assert_eq!(
            (place.host.as_str(), place.port, place.prefix.as_str()),
            ("fd00::1", 80, "/base")
        );
        assert_eq!(place.url, "http://[fd00::1]:80/base");
        assert!(Place::parse("10.0.0.1:2379").is_err());
        assert!(Place::parse("unix:///run/etcd.sock").is_err());
        assert!(Place::parse("https://").is_err());
    }

    #[test]
    fn what_is_secret_in_a_url_is_not_shown() {
        let place = Place::parse("https://user:s3cret@etcd:2379").unwrap();
        assert_eq!(place.url, "https://etcd:2379");
    }
}
