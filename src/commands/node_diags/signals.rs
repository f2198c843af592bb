//! What ends a run before all was read: a signal, the user's deadline, an output that takes no more.
//!
//! The first signal lets the run finish its bundle with what is there; a second one, whatever the run is doing,
//! ends it at once. How a run is to end is told on a channel, on which all its parts listen.
#![allow(clippy::disallowed_methods, reason = "the signals that this very process is to ignore")]

use std::io;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::collect::Stop;
use crate::output::Output;

/// How long the bundle may still take to be finished when the deadline is over: its disk may hang too.
const CLOSING: Duration = Duration::from_secs(10);

/// The signals that end a run.
const SIGNALS: [SignalKind; 3] =
    [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];

/// Watches for what ends a run early.
pub(super) struct Ends {
    signals: Vec<(Signal, u8)>,
    /// Listened to so that a file that may not grow (`RLIMIT_FSIZE`) is an error of the write and not our end.
    _too_large: Signal,
    deadline: Option<(Instant, Duration)>,
    stop: watch::Sender<Option<Stop>>,
}

/// How a run was left.
#[derive(Debug)]
pub(super) enum Left<T> {
    /// It came to its end, be it an early one.
    Ended(T),
    /// A second signal, by its number: nothing more is waited for.
    AtOnce(u8),
    /// The deadline was over and then the bundle could not be finished in time.
    TooLate,
}

impl Ends {
    /// Watches from now on.
    pub(super) fn watch(deadline: Option<Duration>) -> anyhow::Result<Self> {
        let ignored = ignored_signals();
        let heard = SIGNALS.iter().map(SignalKind::as_raw_value);
        // Who runs it under `nohup` does not want it to end with the terminal.
        let heard = heard.filter(|number| ignored >> (number - 1) & 1 == 0);
        let listen = |number| {
            let name = u8::try_from(number).unwrap_or(0);
            signal(SignalKind::from_raw(number)).map(|signal| (signal, name))
        };
        let signals: io::Result<Vec<_>> = heard.map(listen).collect();
        let too_large = signal(SignalKind::from_raw(libc::SIGXFSZ));
        let deadline = deadline.and_then(|span| Some((Instant::now().checked_add(span)?, span)));
        Ok(Self {
            signals: signals.context("failed to listen for signals")?,
            _too_large: too_large.context("failed to listen for signals")?,
            deadline,
            stop: watch::channel(None).0,
        })
    }

    /// Where is told that the run is to end, and why.
    pub(super) fn stop(&self) -> watch::Sender<Option<Stop>> {
        self.stop.clone()
    }

    /// Lets `work` run to its end, and tells it when that is to come early.
    pub(super) async fn drive<T>(
        &mut self,
        output: Output,
        work: impl Future<Output = T>,
    ) -> Left<T> {
        tokio::pin!(work);
        let mut late = self.deadline.map(|(deadline, _)| deadline);
        let mut is_over = false;
        loop {
            tokio::select! {
                result = &mut work => return Left::Ended(result),
                signal = next(&mut self.signals) => {
                    let before = self.stop.send_replace(Some(Stop::Signal(signal)));
                    if matches!(before, Some(Stop::Signal(_))) {
                        return Left::AtOnce(signal);
                    }
                    output.note("interrupted: finishing the bundle with what is there (again: stop at once)");
                }
                () = sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                    let Some((deadline, span)) = self.deadline else { continue };
                    if is_over {
                        return Left::TooLate;
                    }
                    is_over = true;
                    late = Some(deadline + CLOSING);
                    let _first = self.stop.send_if_modified(|stop| {
                        let first = stop.is_none();
                        stop.get_or_insert(Stop::Deadline(span));
                        first
                    });
                }
            }
        }
    }
}

/// The number of the next signal.
async fn next(signals: &mut [(Signal, u8)]) -> u8 {
    std::future::poll_fn(|context| {
        for (signal, number) in &mut *signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(*number);
            }
        }
        Poll::Pending
    })
    .await
}

/// Runs `work`, unless the run is to end before that is done.
pub(super) async fn unless<T>(
    stop: &watch::Sender<Option<Stop>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut stop = stop.subscribe();
    tokio::select! {
        biased;
        Ok(_) = stop.wait_for(Option::is_some) => None,
        done = work => Some(done),
    }
}

/// The signals that this process was told to ignore, a bit each: of `/proc/self/status`
///
/// ```text
/// SigIgn: 0000000000001001
/// ```
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
