//! The table of processes, from `/proc`.
//!
//! ```text
//! /proc/433/cmdline   bird\0-R\0-s\0/var/run/calico/bird.ctl\0-d\0
//! /proc/433/stat      433 (bird) S 412 433 433 0 -1 4194304 ... 8642 ...    <- comm, state, parent, start time
//! ```
//!
//! and of what may be one of Calico's agents also `status` (effective user), `uid_map`, `cgroup`, `exe` and
//! `environ`. What has no command line (kernel threads, and processes that have ended and wait for their parent)
//! is left out.
//!
//! The kernel is the cost: some 10 us for one file of one process, and a second thread makes it no quicker. So
//! whoever wants to know only about the agents asks for them only: three times as quick as a table of all.
//!
//! A process is read through a descriptor of its folder, which the kernel binds to that very process: when it
//! is gone and its number given to another one, reading fails, and no two processes are mixed.
//!
//! The command line lies in the process's own memory, and whoever reads it may wait for a lock of that process
//! for ever. So processes are read by a thread that is watched, and left behind where it is stuck.

mod record;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use tokio::time::timeout_at;

use self::record::Reader;
use super::beneath::describe;
use super::{Extent, Outcome, Reading, apart};
use crate::processes::Process;

/// The most processes that are looked at.
const MAX_PROCESSES: usize = 1 << 16;
/// The most bytes that are kept of all processes together; what may be an agent is kept up to twice that.
const MAX_BYTES: usize = 8 << 20;
const TICK: Duration = Duration::from_millis(50);
/// How many ticks one process may take. More than one, because a tick may also pass where the whole machine,
/// calivet included, stands still.
const PATIENCE: u32 = 4;
/// How many threads may be left behind.
const MAX_STUCK: usize = 8;

/// Reads processes: a JSON array of [`Process`], in the order of their numbers.
///
/// The outcome is `Ok` only if all were looked at. Where the kernel hides processes (`hidepid`) or does not let
/// them be read it is `Denied`, where some could not be read in time `Timeout`: with what was read of the rest.
pub(super) async fn scan(root: &Path, extent: Extent, timeout: Duration) -> Reading {
    let begun = Instant::now();
    let mut reading = Reading::begin();
    let state = watch(root, extent, begun + timeout).await;
    if let Err((outcome, reason)) = state.judge() {
        (reading.outcome, reading.reason) = (outcome, Some(reason));
    }
    match serde_json::to_vec(&state.table) {
        Ok(_) if state.pids.is_empty() => {}
        Ok(json) => reading.bytes = json,
        Err(error) => {
            (reading.outcome, reading.reason) = (Outcome::Failed, Some(error.to_string()));
        }
    }
    reading.original_bytes = reading.bytes.len() as u64;
    reading.duration = begun.elapsed();
    reading
}

/// What the reading thread and its watcher share.
#[derive(Debug, Default)]
struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The thread that may write here; those before it were left behind.
    turn: usize,
    /// Why the processes could not be listed.
    trouble: Option<Errno>,
    /// What the first thread opened and listed.
    reader: Option<Arc<Reader>>,
    pids: Vec<u32>,
    /// How many of them have been begun.
    begun: usize,
    /// Whether a thread came to the end of them.
    ended: bool,
    table: Vec<Process>,
    /// How much is kept in the table.
    bytes: usize,
    /// How many processes are not in it because it is full.
    left_out: usize,
    /// Those that could not be read, and why.
    unread: Vec<(u32, Errno)>,
    /// Those whose reading did not come to an end.
    stuck: Vec<u32>,
}

impl Board {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for the thread whose turn it is.
    fn of(&self, turn: usize) -> Option<MutexGuard<'_, State>> {
        Some(self.locked()).filter(|state| state.turn == turn)
    }
}

impl State {
    fn next(&mut self) -> Option<u32> {
        let pid = self.pids.get(self.begun).copied();
        self.begun += usize::from(pid.is_some());
        self.ended = pid.is_none();
        pid
    }

    fn add(&mut self, process: Process, may_be_agent: bool) {
        if self.bytes > MAX_BYTES * (1 + usize::from(may_be_agent)) {
            self.left_out += 1;
        } else {
            let arguments: usize = process.argv.iter().map(String::len).sum();
            self.bytes += size_of::<Process>() + arguments;
            self.table.push(process);
        }
    }

    /// Whether all processes were looked at.
    fn judge(&self) -> Result<(), (Outcome, String)> {
        let all = self.pids.len();
        if let Some(errno) = self.trouble {
            return Err((outcome_of(errno), format!("/proc: {}", describe(errno))));
        }
        if !self.ended && all == 0 {
            return Err((Outcome::Timeout, "/proc: not listed in time".to_owned()));
        }
        if !self.ended {
            let late = all - self.begun + self.stuck.len();
            return Err((Outcome::Timeout, format!("no time for {late} of {all} processes")));
        }
        if all == 0 {
            return Err((Outcome::Missing, "/proc: it shows no process".to_owned()));
        }
        if let Some(pid) = self.stuck.first() {
            let reason = format!(
                "{} of {all} processes (the first: {pid}) did not give their command line in time",
                self.stuck.len()
            );
            return Err((Outcome::Timeout, reason));
        }
        if let Some((pid, errno)) = self.unread.first() {
            let reason = format!(
                "{} of {all} processes could not be read (the first: {pid}: {})",
                self.unread.len(),
                describe(*errno)
            );
            return Err((outcome_of(*errno), reason));
        }
        if self.pids.first() != Some(&1) {
            let reason = "process 1 is not shown: /proc hides the processes of others (hidepid)";
            return Err((Outcome::Denied, reason.to_owned()));
        }
        if self.left_out > 0 {
            let reason = format!("{} of {all} processes are left out", self.left_out);
            return Err((Outcome::Truncated, reason));
        }
        Ok(())
    }
}

fn outcome_of(errno: Errno) -> Outcome {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => Outcome::Missing,
        Errno::EACCES | Errno::EPERM => Outcome::Denied,
        _ => Outcome::Failed,
    }
}

/// Has the processes read by one thread, and by another one from where the first is stuck.
async fn watch(root: &Path, extent: Extent, deadline: Instant) -> State {
    let board = Arc::new(Board::default());
    for turn in 0..MAX_STUCK {
        board.locked().turn = turn;
        let (root, shared) = (root.to_owned(), Arc::clone(&board));
        let mut worker = apart::begin(move || read_all(&root, extent, &shared, turn));
        let mut idle = (usize::MAX, 0);
        while idle.1 <= PATIENCE && Instant::now() < deadline {
            let tick = deadline.min(Instant::now() + TICK);
            if timeout_at(tick.into(), &mut worker).await.is_ok() {
                return std::mem::take(&mut *board.locked());
            }
            let begun = board.locked().begun;
            idle = if begun == idle.0 { (begun, idle.1 + 1) } else { (begun, 1) };
        }
        // The thread is left behind: what it still finds is not written.
        let mut state = board.locked();
        state.turn = usize::MAX;
        match state.begun.checked_sub(1).map(|at| state.pids[at]) {
            Some(pid) => state.stuck.push(pid),
            None => break,
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    std::mem::take(&mut *board.locked())
}

/// The work of one thread: every process that was not begun yet. Ends early where it was left behind.
fn read_all(root: &Path, extent: Extent, board: &Board, turn: usize) -> Option<()> {
    if turn == 0 {
        let opened = Reader::open(root).and_then(|reader| Ok((reader.list()?, reader)));
        let mut state = board.of(turn)?;
        match opened {
            Ok((pids, reader)) => {
                state.reader = Some(Arc::new(reader));
                state.left_out = pids.len().saturating_sub(MAX_PROCESSES);
                state.pids = pids;
                state.pids.truncate(MAX_PROCESSES);
            }
            Err(errno) => state.trouble = Some(errno),
        }
    }
    let reader = board.of(turn)?.reader.clone()?;
    let mut buffer = Reader::buffer();
    loop {
        let pid = board.of(turn)?.next()?;
        let read = reader.read(pid, extent, &mut buffer);
        let mut state = board.of(turn)?;
        match read {
            Ok(Some((process, may_be_agent))) => state.add(process, may_be_agent),
            // It is not wanted, or it ended meanwhile.
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => {}
            Err(errno) => state.unread.push((pid, errno)),
        }
    }
}
