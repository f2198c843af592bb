//! Questions to BIRD, over the control socket that `birdc` uses.
//!
//! BIRD speaks first, and every answer ends with a line of four digits and a blank:
//!
//! ```text
//! 0001 BIRD v0.3.3+birdv1.6.8 ready.
//!                                             <- restrict
//! 0016 Access restricted
//!                                             <- show status
//! 1000-BIRD v0.3.3+birdv1.6.8
//! 1011-Router ID is 10.0.0.1
//!  Last reconfiguration on 2026-11-23 01:50:27
//! 0013 Daemon is up and running
//! ```
//!
//! BIRD 1.6 is one thread with a short queue of connections, so it is treated with care: one connection a
//! daemon for all questions, none again after a failure, and `restrict` before anything else, after which BIRD
//! itself refuses whatever would change it.

mod conversation;
mod search;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout_at;

use self::conversation::{Answer, Conversation, End};
use self::search::{Search, Verdict};
use super::{Family, Outcome, Reading, apart};
use crate::bird::reply::Trouble;

/// The BIRD daemons of a host: at most one connection to each.
#[derive(Debug, Default)]
pub(super) struct Daemons {
    ipv4: Mutex<Link>,
    ipv6: Mutex<Link>,
}

/// What one daemon is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// Which daemon.
    pub(super) family: Family,
    /// One command of BIRD's.
    pub(super) text: &'a str,
    /// The bound on the whole exchange: finding the socket, welcome, `restrict` and the whole answer.
    pub(super) timeout: Duration,
    /// The most bytes that are kept of the answer.
    pub(super) max_bytes: u64,
}

/// What is known of a daemon's socket between two questions.
#[derive(Debug, Default)]
enum Link {
    /// Nothing, or the last answer was not read to its end and the connection was closed on purpose.
    #[default]
    Untried,
    /// It answered the question before.
    Open(Conversation),
    /// It failed, and is not bothered again.
    Lost(Failure),
}

/// Why a daemon gave no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    kind: Trouble,
    /// Socket and cause: what follows the kind in a reason.
    text: String,
    /// The socket, if one was connected to or proved that BIRD is alive.
    place: Option<String>,
}

/// How a manifest tells of a failure.
const fn outcome_of(kind: Trouble) -> Outcome {
    match kind {
        Trouble::Absent => Outcome::Missing,
        Trouble::Denied => Outcome::Denied,
        Trouble::TimedOut => Outcome::Timeout,
        Trouble::Refused
        | Trouble::Blocked
        | Trouble::CutOff
        | Trouble::Garbled
        | Trouble::Failed => Outcome::Failed,
    }
}

impl Daemons {
    /// Puts a question to a daemon and sends its answer on, exactly as BIRD sent it (the welcome before it, the
    /// answer to `restrict` left out), in chunks of whole lines. The reading that is returned holds no bytes.
    ///
    /// The socket is looked for at BIRD's usual places beneath `root`, then, only if none of those proves a
    /// living daemon, in the mount namespaces of the daemons of this family, for which `bird_pids` is awaited.
    ///
    /// What the reason of a failure begins with is its kind: `absent: `, `refused: `, `denied: `, `blocked: `,
    /// `timed out: `, `cut off: `, `garbled: ` or `failed: `. After a failure the same is said of every later
    /// question to that daemon, without a new connection.
    pub(super) async fn ask(
        &self,
        root: &Path,
        bird_pids: impl Future<Output = Vec<u32>>,
        question: Question<'_>,
        chunks: mpsc::Sender<Vec<u8>>,
    ) -> Reading {
        if question.text.trim().is_empty() || question.text.contains(char::is_control) {
            // A line break would be a second command, and no command would have no answer.
            return Reading::failed(
                Outcome::Failed,
                format!("failed: not one command of BIRD's: {:?}", question.text),
            );
        }
        let link = match question.family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        };
        let mut link = link.lock().await;
        let begun = Instant::now();
        let mut reading = Reading::begin();
        let mut answer = Answer::new(&chunks, question.max_bytes);
        // Where this future is dropped half-way, what stays behind is no connection in mid-answer.
        let end = match std::mem::take(&mut *link) {
            Link::Lost(failure) => Err(failure),
            known => exchange(known, root, bird_pids, question, &mut answer, &chunks).await,
        };
        answer.flush().await;
        reading.original_bytes = answer.bytes_read();
        match end {
            Ok((conversation, end)) => {
                reading.place = Some(conversation.place().to_owned());
                match end {
                    End::Whole => *link = Link::Open(conversation),
                    End::TooLong => {
                        reading.outcome = Outcome::Truncated;
                        reading.reason = Some(format!(
                            "the answer is longer than {} bytes: the rest was not read",
                            question.max_bytes
                        ));
                    }
                    End::Unwanted => {
                        reading.outcome = Outcome::Interrupted;
                        reading.reason = Some("nobody waits for the answer any more".to_owned());
                    }
                }
            }
            Err(failure) => {
                reading.outcome = outcome_of(failure.kind);
                reading.reason = Some(failure.kind.because(&failure.text));
                reading.place.clone_from(&failure.place);
                *link = Link::Lost(failure);
            }
        }
        reading.duration = begun.elapsed();
        reading
    }
}

/// One question and its answer within the question's time, over the connection there is or a new one.
async fn exchange(
    known: Link,
    root: &Path,
    bird_pids: impl Future<Output = Vec<u32>>,
    question: Question<'_>,
    answer: &mut Answer<'_>,
    chunks: &mpsc::Sender<Vec<u8>>,
) -> Result<(Conversation, End), Failure> {
    let deadline = tokio::time::Instant::now() + question.timeout;
    let mut conversation = match known {
        Link::Open(conversation) => conversation,
        _ => match timeout_at(deadline, connect(root, bird_pids, question)).await {
            Ok(connected) => connected?,
            Err(_) => return Err(not_found(question.timeout)),
        },
    };
    let answered = tokio::select! {
        biased;
        answered = timeout_at(deadline, conversation.ask(question.text, answer)) => answered,
        () = chunks.closed() => return Ok((conversation, End::Unwanted)),
    };
    let (kind, text) = match answered {
        Ok(Ok(end)) => return Ok((conversation, end)),
        Ok(Err(trouble)) => trouble,
        Err(_) => (
            Trouble::TimedOut,
            format!("no {} within {:?}", conversation.awaited(), question.timeout),
        ),
    };
    answer.add_rest(conversation.unfinished());
    let place = conversation.place().to_owned();
    Err(Failure { kind, text: format!("{place}: {text}"), place: Some(place) })
}

/// Finds a daemon's socket and connects to it.
async fn connect(
    root: &Path,
    bird_pids: impl Future<Output = Vec<u32>>,
    Question { family, timeout, .. }: Question<'_>,
) -> Result<Conversation, Failure> {
    let root = root.to_owned();
    // A look-up can hang where a file system does.
    let found = apart::glance(timeout, move || {
        let mut search = Search::new(root, family);
        let verdict = search.in_host();
        (search, verdict)
    });
    let (mut search, mut verdict) = found.await.ok_or_else(|| not_found(timeout))?;
    if verdict.is_none() {
        let pids = bird_pids.await;
        if !pids.is_empty() {
            let found = apart::glance(timeout, move || {
                let verdict = search.in_processes(&pids);
                (search, verdict)
            });
            (search, verdict) = found.await.ok_or_else(|| not_found(timeout))?;
        }
    }
    match verdict {
        Some(Verdict::Connected { stream, place }) => Conversation::new(stream, place),
        Some(Verdict::Blocked { place, text }) => Err(Failure {
            kind: Trouble::Blocked,
            text: format!("{place}: {text}"),
            place: Some(place),
        }),
        None => Err(search.failure()),
    }
}

fn not_found(timeout: Duration) -> Failure {
    Failure {
        kind: Trouble::TimedOut,
        text: format!("the socket was not found within {timeout:?}"),
        place: None,
    }
}
