//! How much a run does and holds at once: by what the user says, by the files that it may have open, and by the memory
//! that there is for it.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::cli;
use crate::collect;
use crate::host::memory;

/// Threads that compress at most: each holds some MiB, and what is read hardly comes quicker than these take it.
const MOST_JOBS: usize = 4;

/// Compressed bytes for which there is room in memory while items wait.
const ROOM: u32 = 8 << 20;

/// What a thread that compresses takes of that room, from the third on: so that memory does not grow with their number.
const ROOM_OF_A_JOB: u32 = 4 << 20;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Tasks that run at once.
    pub(super) side_by_side: usize,
    /// Threads that compress, and as many that redact.
    pub(super) jobs: usize,
    /// Items beyond half a MiB that are under way at once.
    pub(super) large: usize,
    /// Compressed bytes that may wait in memory.
    pub(super) room: u32,
}

impl Bounds {
    /// Those of this process.
    pub(super) fn of(args: &cli::NodeDiags) -> Self {
        Self::by(args.jobs.map(usize::from), args.max_size.is_some(), places(), memory::is_little())
    }

    /// `in_order`: of a bundle that may not grow beyond a size, no item must wait for one behind it, so that all may be
    /// large.
    fn by(jobs: Option<usize>, in_order: bool, places: usize, little: bool) -> Self {
        // With little memory, as little as possible is done at once.
        if little {
            let large = if in_order { usize::MAX } else { 1 };
            return Self { side_by_side: places.min(2), jobs: 1, large, room: 0 };
        }
        // Half of the cores, for a sick node is not to be loaded.
        let half = || std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2);
        let jobs = jobs.unwrap_or_else(half).clamp(1, MOST_JOBS);
        // Some more than a few threads compress, so that one that hangs holds up none.
        let large = if in_order { usize::MAX } else { jobs.saturating_add(2).min(MOST_JOBS) };
        let more = u32::try_from(jobs.saturating_sub(2)).unwrap_or(u32::MAX);
        let room = ROOM.saturating_sub(more.saturating_mul(ROOM_OF_A_JOB));
        Self { side_by_side: places, jobs, large, room }
    }
}

/// How many tasks may run at once, by the files that this process may have open: a program takes most, with its
/// pipes.
fn places() -> usize {
    /// What the process has open for itself, and what a task has.
    const OWN: u64 = 12;
    const EACH: u64 = 8;
    let Ok((mut soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return collect::SIDE_BY_SIDE;
    };
    let wanted = OWN + EACH * collect::SIDE_BY_SIDE as u64;
    if soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).is_ok() {
        soft = wanted.min(hard);
    }
    let places = usize::try_from(soft.saturating_sub(OWN) / EACH).unwrap_or(usize::MAX);
    places.clamp(1, collect::SIDE_BY_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_leave_less_room_and_little_memory_leaves_one_thread() {
        let room = |jobs| Bounds::by(Some(jobs), false, 8, false).room;
        assert_eq!([1, 2, 3, 4, 64].map(room), [8 << 20, 8 << 20, 4 << 20, 0, 0]);
        let little = Bounds { side_by_side: 2, jobs: 1, large: 1, room: 0 };
        assert_eq!(Bounds::by(Some(4), false, 8, true), little);
        assert_eq!(Bounds::by(Some(4), true, 1, true).side_by_side, 1);
        assert_eq!([1, 4, 64].map(|jobs| Bounds::by(Some(jobs), false, 8, false).jobs), [1, 4, 4]);
    }
}
