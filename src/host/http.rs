//! `GET` from a server on this machine's loopback: Felix's health and metrics.
//!
//! ```text
//! HTTP 503                                    <- the status line, as an answer begins here
//! +------------------+---------+----------+   <- the body
//! ```

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::beneath::describe;
use super::{Outcome, Reading};

/// Felix listens on `localhost`, which is the one or the other.
const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Gets `path` from the server at `port` of the loopback and sends the answer on: `HTTP` and the status, a line
/// break, the body. An answer with any status is an answer; the outcome is [`Outcome::Missing`] where nobody
/// listens. The reading that is returned holds no bytes.
pub(super) async fn get(
    port: u16,
    path: &str,
    timeout: Duration,
    max_bytes: u64,
    chunks: mpsc::Sender<Vec<u8>>,
) -> Reading {
    let begun = Instant::now();
    let deadline = tokio::time::Instant::now() + timeout;
    let mut reading = Reading::begin();
    let exchange = timeout_at(deadline, exchange(port, path, max_bytes, &chunks, &mut reading));
    let ended = tokio::select! {
        biased;
        ended = exchange => ended,
        () = chunks.closed() => Ok(Err(unwanted())),
    };
    let trouble = match ended {
        Ok(Ok(())) => None,
        Ok(Err(trouble)) => Some(trouble),
        Err(_) => Some((Outcome::Timeout, format!("no whole answer within {timeout:?}"))),
    };
    if let Some((outcome, reason)) = trouble {
        reading.outcome = outcome;
        reading.reason = Some(reason);
    }
    reading.duration = begun.elapsed();
    reading
}

type Trouble = (Outcome, String);

fn unwanted() -> Trouble {
    (Outcome::Interrupted, "nobody waits for the answer any more".to_owned())
}

/// The question and its answer, on a connection of their own: no proxy (the environment's is not meant for the
/// loopback) and no redirection (to where an answer points, nobody asked to go).
async fn exchange(
    port: u16,
    path: &str,
    max_bytes: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
    reading: &mut Reading,
) -> Result<(), Trouble> {
    let (stream, address) = connect(port).await?;
    reading.place = Some(format!("http://{address}{path}"));
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let mut answer = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        hand_on(response, max_bytes, chunks, reading).await
    });
    // The connection does the work of both; how it ended, the answer knows.
    tokio::select! {
        ended = &mut answer => ended,
        _ = connection => answer.await,
    }
}

/// Sends an answer on as it comes.
async fn hand_on(
    mut response: Response<Incoming>,
    max_bytes: u64,
    chunks: &mpsc::Sender<Vec<u8>>,
    reading: &mut Reading,
) -> Result<(), Trouble> {
    let mut kept = 0;
    let mut chunk = format!("HTTP {}\n", response.status().as_u16()).into_bytes();
    loop {
        let bytes = chunk.len() as u64;
        reading.original_bytes += bytes;
        let room = max_bytes - kept;
        if bytes > room {
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        }
        kept += chunk.len() as u64;
        if !chunk.is_empty() {
            chunks.send(chunk).await.map_err(|_| unwanted())?;
        }
        if bytes > room {
            let reason = format!("longer than {max_bytes} bytes: the rest was not read");
            return Err((Outcome::Truncated, reason));
        }
        chunk = match response.frame().await {
            // A frame that is not data holds trailers, which nobody asked for.
            Some(Ok(frame)) => frame.into_data().map(Vec::from).unwrap_or_default(),
            Some(Err(error)) => return Err(failed(&error)),
            None => return Ok(()),
        };
    }
}

/// Connects to the first address of the loopback that takes the connection.
async fn connect(port: u16) -> Result<(TcpStream, SocketAddr), Trouble> {
    let mut refusals = Vec::new();
    for address in LOOPBACK.map(|address| SocketAddr::from((address, port))) {
        let error = match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => error,
        };
        let errno = error.raw_os_error().map(Errno::from_raw);
        // In the words of calico/node's own probe, for which users search.
        let cause = errno.map_or_else(|| error.to_string(), describe);
        refusals.push(format!("dial tcp {address}: connect: {cause}"));
        if refusals.len() == 1 && errno != Some(Errno::ECONNREFUSED) {
            return Err((Outcome::Failed, refusals.join("; ")));
        }
    }
    Err((Outcome::Missing, refusals.join("; ")))
}

/// An exchange that failed, with the chain of causes.
fn failed(error: &dyn Error) -> Trouble {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        said.push(error.to_string());
        cause = error.source();
    }
    (Outcome::Failed, said.join(": "))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LATE: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(200);

    /// A server that gives each connection `answer`, then `last` again and again if there is any.
    async fn serve(answer: &'static [u8], last: &'static [u8]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 1024];
                let bytes = stream.read(&mut request).await.unwrap();
                assert!(request[..bytes].starts_with(b"GET /readiness HTTP/1.1\r\n"));
                let _ = stream.write_all(answer).await;
                while !last.is_empty() && stream.write_all(last).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        port
    }

    async fn ask(port: u16, timeout: Duration, max_bytes: u64) -> (Reading, String) {
        let (chunks, mut received) = mpsc::channel(1);
        let collected = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = received.recv().await {
                bytes.extend(chunk);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        tokio::join!(get(port, "/readiness", timeout, max_bytes, chunks), collected)
    }

    #[tokio::test]
    async fn an_answer_with_a_body_is_its_status_and_the_body() {
        let port = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nready\n", b"").await;
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, reading.reason), (Outcome::Ok, None));
        assert_eq!(answer, "HTTP 200\nready\n");
        assert_eq!(reading.original_bytes, 15);
        assert_eq!(reading.place, Some(format!("http://127.0.0.1:{port}/readiness")));
    }

    #[tokio::test]
    async fn an_answer_without_a_body_is_its_status() {
        let port = serve(b"HTTP/1.1 204 No Content\r\n\r\n", b"").await;
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, answer.as_str()), (Outcome::Ok, "HTTP 204\n"));
    }

    #[tokio::test]
    async fn a_bad_status_is_an_answer_too() {
        let port = serve(b"HTTP/1.1 503 Bad\r\n\r\n+---+\n| no |\n", b"").await;
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, answer.as_str()), (Outcome::Ok, "HTTP 503\n+---+\n| no |\n"));
    }

    #[tokio::test]
    async fn a_redirection_is_not_followed() {
        let port = serve(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"").await;
        assert_eq!(ask(port, LATE, 1 << 20).await.1, "HTTP 302\n");
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut() {
        let port = serve(b"HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 4096]).await;
        let (reading, answer) = ask(port, LATE, 20_000).await;
        assert_eq!((reading.outcome, answer.len()), (Outcome::Truncated, 20_000));
        assert!(reading.reason.unwrap().starts_with("longer than 20000 bytes"));
    }

    #[tokio::test]
    async fn a_dripping_body_is_cut_off_by_one_deadline_and_what_came_is_kept() {
        let port = serve(b"HTTP/1.1 200 OK\r\n\r\nready", b".").await;
        let (reading, answer) = ask(port, SOON, 1 << 20).await;
        assert_eq!(reading.outcome, Outcome::Timeout);
        assert_eq!(reading.reason.as_deref(), Some("no whole answer within 200ms"));
        assert!(answer.starts_with("HTTP 200\nready"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_shorter_than_announced_failed() {
        let port = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nready\n", b"").await;
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, answer.as_str()), (Outcome::Failed, "HTTP 200\nready\n"));
    }

    #[tokio::test]
    async fn a_header_without_end_ends_with_an_error_or_the_deadline() {
        let port = serve(b"HTTP/1.1 200 OK\r\nX: ", &[b'x'; 4096]).await;
        let (reading, answer) = ask(port, SOON, 1 << 20).await;
        assert!(matches!(reading.outcome, Outcome::Failed | Outcome::Timeout), "{reading:?}");
        assert_eq!(answer, "");
    }

    #[tokio::test]
    async fn a_server_that_speaks_no_http_failed() {
        let port = serve(b"\x15\x03\x01\x00\x02\x02\x0a", b"").await;
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, answer.as_str()), (Outcome::Failed, ""));
        assert!(reading.reason.unwrap().contains("invalid HTTP"));
    }

    #[tokio::test]
    async fn a_port_on_which_nobody_listens_is_told_in_the_words_of_the_probe() {
        // Bound, so that nobody else takes the port, and not listening.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = silent.local_addr().unwrap().port();
        let (reading, answer) = ask(port, LATE, 1 << 20).await;
        assert_eq!((reading.outcome, answer.as_str()), (Outcome::Missing, ""));
        let reason = reading.reason.unwrap();
        let words =
            format!("dial tcp 127.0.0.1:{port}: connect: connection refused; dial tcp [::1]");
        assert!(reason.starts_with(&words), "{reason}");
    }
}
