//! Work on a thread of its own, which is left behind when its time is over.
//!
//! A read of a hung FUSE or NFS mount sleeps in the kernel and cannot be ended. Such a thread is never joined;
//! whatever it has to say later, nobody hears it. These are plain threads and not the runtime's, because a
//! runtime waits for its own when it is dropped. One that has done its work takes the next: to start one costs more
//! than to read a small file. So what is short takes turns on one thread ([`glance`]), for as long as none of it
//! is stuck.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::{Outcome, Reading, in_chunks};

type Work = Box<dyn FnOnce() + Send>;

/// The threads that have nothing to do.
static IDLE: Mutex<Vec<std::sync::mpsc::Sender<Work>>> = Mutex::new(Vec::new());

/// Runs `work` on a thread that has nothing to do, or on a new one.
fn start(mut work: Work) -> std::io::Result<()> {
    loop {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(idle) = idle else { break };
        match idle.send(work) {
            Ok(()) => return Ok(()),
            Err(unsent) => work = unsent.0,
        }
    }
    let (sender, more) = std::sync::mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        work();
        loop {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(sender.clone());
            match more.recv() {
                Ok(work) => work(),
                Err(_) => return,
            }
        }
    })?;
    Ok(())
}

/// Work that takes microseconds unless something hangs, and waits for the thread that does such work.
static SHORT: Mutex<Short> = Mutex::new(Short { waiting: VecDeque::new(), has_thread: false });

struct Short {
    waiting: VecDeque<Work>,
    has_thread: bool,
}

impl Short {
    fn locked() -> MutexGuard<'static, Self> {
        SHORT.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long short work is left waiting behind other short work. Much longer than that takes even on a busy machine,
/// where more threads would only be more to do, and too short for a person to notice.
const PATIENCE: Duration = Duration::from_millis(20);

/// Has short `work` done in its turn.
fn start_short(work: Work) -> std::io::Result<()> {
    let mut short = Short::locked();
    short.waiting.push_back(work);
    if short.has_thread {
        return Ok(());
    }
    short.has_thread = true;
    drop(short);
    start(Box::new(work_off)).inspect_err(|_| Short::locked().has_thread = false)
}

/// Does what short work there is, one after the other.
fn work_off() {
    loop {
        let mut short = Short::locked();
        let Some(work) = short.waiting.pop_front() else {
            short.has_thread = false;
            return;
        };
        drop(short);
        work();
    }
}

/// Waits for short work. If it does not end soon, what waits behind it, or it itself behind other work that is
/// stuck, is done by another thread.
async fn unstuck<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    if let Ok(answered) = timeout(PATIENCE, &mut answer).await {
        return answered;
    }
    if !Short::locked().waiting.is_empty() {
        // Without a thread it waits on, within its own limit.
        let _ = start(Box::new(work_off));
    }
    answer.await
}

/// What comes from the thread.
enum Part {
    Chunk(Vec<u8>),
    End(Reading),
}

/// Where the thread puts what it reads.
pub(super) struct Sink(mpsc::Sender<Part>);

impl Sink {
    /// Hands a chunk on, waiting until there is room. `false`: nobody listens any more.
    #[must_use]
    pub(super) fn send(&self, chunk: Vec<u8>) -> bool {
        chunk.is_empty() || self.0.blocking_send(Part::Chunk(chunk)).is_ok()
    }

    /// Does a small piece of work on this very thread, whose credentials the test has changed.
    #[cfg(any(test, fuzzing))]
    #[allow(clippy::unwrap_used, reason = "a fault of the thread is one of the test's")]
    pub(super) fn gather(work: impl FnOnce(&Self) -> Reading) -> Reading {
        let (parts, mut arriving) = mpsc::channel(1);
        std::thread::scope(|scope| {
            let arrived = scope.spawn(move || {
                let mut all = Vec::new();
                while let Some(Part::Chunk(chunk)) = arriving.blocking_recv() {
                    all.extend(chunk);
                }
                all
            });
            let sink = Self(parts);
            let mut reading = work(&sink);
            drop(sink);
            let mut all = arrived.join().unwrap();
            // What the reading holds itself is the end.
            all.append(&mut reading.bytes);
            Reading { bytes: all, ..reading }
        })
    }
}

/// Runs `work` on a thread of its own and hands on what it gives. At most `limit` is spent on waiting for it; the
/// time that the receiver of `chunks` takes is the receiver's and does not count.
pub(super) async fn stream(
    limit: Duration,
    chunks: mpsc::Sender<Vec<u8>>,
    work: impl FnOnce(&Sink) -> Reading + Send + 'static,
) -> Reading {
    stream_from(start, limit, mpsc::channel(1), chunks, work).await
}

/// As [`stream`], for work that takes microseconds and gives little.
pub(super) async fn stream_short(
    limit: Duration,
    chunks: mpsc::Sender<Vec<u8>>,
    work: impl FnOnce(&Sink) -> Reading + Send + 'static,
) -> Reading {
    // There is room for a chunk and the end: whose turn is next need not wait for the receiver.
    unstuck(stream_from(start_short, limit, mpsc::channel(2), chunks, work)).await
}

async fn stream_from(
    start: fn(Work) -> std::io::Result<()>,
    limit: Duration,
    (parts, mut arriving): (mpsc::Sender<Part>, mpsc::Receiver<Part>),
    chunks: mpsc::Sender<Vec<u8>>,
    work: impl FnOnce(&Sink) -> Reading + Send + 'static,
) -> Reading {
    let begun = Instant::now();
    let mut reading = Reading::begin();
    let started = start(Box::new(move || {
        let sink = Sink(parts);
        let reading = work(&sink);
        let _nobody_listens = sink.0.blocking_send(Part::End(reading));
    }));
    if let Err(error) = started {
        return Reading::failed(Outcome::Failed, format!("failed to start a thread: {error}"));
    }
    let mut left = limit;
    loop {
        let waiting = Instant::now();
        // A source that is always ready never lets the timer speak.
        let part = if left.is_zero() { None } else { timeout(left, arriving.recv()).await.ok() };
        left = left.saturating_sub(waiting.elapsed());
        match part {
            Some(Some(Part::Chunk(chunk))) => {
                reading.original_bytes += chunk.len() as u64;
                if chunks.send(chunk).await.is_err() {
                    (reading.outcome, reading.reason) = nobody_listens();
                    break;
                }
            }
            Some(Some(Part::End(mut end))) => {
                let whole = std::mem::take(&mut end.bytes);
                reading = Reading { started: reading.started, ..end };
                if !in_chunks(whole, &chunks).await {
                    (reading.outcome, reading.reason) = nobody_listens();
                }
                break;
            }
            Some(None) => {
                reading.outcome = Outcome::Failed;
                reading.reason = Some("the thread that read it ended without an answer".to_owned());
                break;
            }
            None => {
                (reading.outcome, reading.reason) = late(limit);
                break;
            }
        }
    }
    reading.duration = begun.elapsed();
    reading
}

/// Begins `work` on a thread of its own. What is received is its answer, or nothing if it had none.
pub(super) fn begin<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    begin_by(start, work)
}

fn begin_by<T: Send + 'static>(
    start: fn(Work) -> std::io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    // Without a thread the sender is dropped, and that is heard.
    let _ = start(Box::new(move || {
        // An answer that nobody hears is dropped, and with it what it holds.
        let _nobody_listens = sender.send(work());
    }));
    receiver
}

/// Runs `work` on a thread of its own. `None`: it did not end within `limit`.
pub(super) async fn answer<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    timeout(limit, begin(work)).await.ok()?.ok()
}

/// As [`answer`], for work that takes microseconds unless a file system hangs: such work takes turns on one thread,
/// and is left waiting for no more than a moment.
pub(super) async fn glance<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    unstuck(timeout(limit, begin_by(start_short, work))).await.ok()?.ok()
}

/// Outcome and reason of what did not come in time.
pub(super) fn late(limit: Duration) -> (Outcome, Option<String>) {
    (Outcome::Timeout, Some(format!("did not finish within {limit:?}")))
}

/// Outcome and reason of what was cut short because the receiver went away.
pub(super) fn nobody_listens() -> (Outcome, Option<String>) {
    (Outcome::Interrupted, Some("the run was ended before it was read whole".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gather(
        limit: Duration,
        work: impl FnOnce(&Sink) -> Reading + Send + 'static,
    ) -> (Reading, Vec<u8>) {
        let (sender, mut receiver) = mpsc::channel(1);
        let gathering = async {
            let mut all = Vec::new();
            while let Some(chunk) = receiver.recv().await {
                all.extend(chunk);
            }
            all
        };
        tokio::join!(stream(limit, sender, work), gathering)
    }

    #[tokio::test]
    async fn what_came_before_the_time_was_over_is_kept_and_what_comes_later_is_not() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (reading, bytes) = gather(Duration::from_millis(50), move |sink| {
            assert!(sink.send(b"early".to_vec()));
            let _ = held.recv();
            let _ = sink.send(b"late".to_vec());
            Reading::begin()
        })
        .await;
        drop(release);
        assert_eq!(reading.outcome, Outcome::Timeout);
        assert_eq!(reading.reason.as_deref(), Some("did not finish within 50ms"));
        assert_eq!(reading.original_bytes, 5);
        assert_eq!(bytes, b"early");
    }

    #[tokio::test]
    async fn a_source_that_always_has_more_is_ended_too() {
        let (reading, bytes) = gather(Duration::from_millis(50), |sink| {
            while sink.send(vec![b'x'; 1000]) {}
            Reading::begin()
        })
        .await;
        assert_eq!(reading.outcome, Outcome::Timeout);
        assert!(!bytes.is_empty());
    }

    #[tokio::test]
    async fn the_time_of_a_slow_receiver_does_not_count() {
        let (sender, mut receiver) = mpsc::channel(1);
        let slow = async {
            let mut count = 0;
            while receiver.recv().await.is_some() {
                tokio::time::sleep(Duration::from_millis(40)).await;
                count += 1;
            }
            count
        };
        let work = |sink: &Sink| {
            for _ in 0..12 {
                assert!(sink.send(vec![b'x']));
            }
            Reading::begin()
        };
        let (reading, count) = tokio::join!(stream(Duration::from_millis(300), sender, work), slow);
        assert_eq!((reading.outcome, count), (Outcome::Ok, 12));
    }

    #[tokio::test]
    async fn it_ends_early_when_the_receiver_is_gone() {
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let reading = stream(Duration::from_secs(60), sender, |sink| {
            while sink.send(vec![b'x'; 1000]) {}
            Reading::begin()
        })
        .await;
        assert_eq!(reading.outcome, Outcome::Interrupted);
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_a_failure_and_not_an_empty_success() {
        let (reading, _) = gather(Duration::from_secs(60), |_| panic!("on purpose")).await;
        assert_eq!(reading.outcome, Outcome::Failed);
    }

    #[tokio::test]
    async fn a_thread_that_hangs_is_never_given_other_work() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Arc::new(Mutex::new(held));
        for _ in 0..20 {
            let held = std::sync::Arc::clone(&held);
            let hung = answer(Duration::from_millis(1), move || {
                let _released = held.lock().unwrap_or_else(PoisonError::into_inner).recv();
            });
            assert_eq!(hung.await, None);
            assert_eq!(answer(Duration::from_secs(60), || 7).await, Some(7));
        }
        drop(release);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_none() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let answered = answer(Duration::from_millis(20), move || held.recv().is_ok()).await;
        assert_eq!(answered, None);
        drop(release);
        assert_eq!(answer(Duration::from_secs(60), || 7).await, Some(7));
    }

    #[tokio::test]
    async fn short_work_behind_work_that_is_stuck_is_done_all_the_same() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let late = Duration::from_secs(60);
        let stuck = glance(late, move || held.recv().is_err());
        let behind = async {
            let done = glance(late, || std::thread::current().id()).await;
            let (sender, mut chunks) = mpsc::channel(1);
            let reading = stream_short(late, sender, |sink| {
                assert!(sink.send(b"short".to_vec()));
                Reading::begin()
            });
            let (reading, chunk) = tokio::join!(reading, chunks.recv());
            drop(release);
            (done, reading.outcome, chunk)
        };
        let (stuck, behind) = tokio::join!(stuck, behind);
        assert_eq!(stuck, Some(true));
        assert!(behind.0.is_some());
        assert_eq!((behind.1, behind.2.as_deref()), (Outcome::Ok, Some(b"short".as_slice())));
    }

    #[tokio::test]
    async fn short_work_that_is_stuck_is_left_behind_when_its_time_is_over() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        assert_eq!(glance(Duration::from_millis(50), move || held.recv().is_err()).await, None);
        drop(release);
    }
}
