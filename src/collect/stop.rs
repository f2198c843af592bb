//! Why a run is ended before all was read, and how that is told of each item.

use std::time::Duration;

use crate::host::Outcome;

/// What ended a run early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A signal, by its number.
    Signal(u8),
    /// The time that the user gave the whole run.
    Deadline(Duration),
    /// The bundle could not be written further.
    Output,
}

impl Stop {
    /// What is said of an item that was being read.
    #[must_use]
    pub fn under_way(&self) -> (Outcome, String) {
        let outcome = match self {
            Self::Deadline(_) => Outcome::Timeout,
            Self::Signal(_) | Self::Output => Outcome::Interrupted,
        };
        (outcome, format!("{self} before it was whole"))
    }

    /// What is said of an item whose turn never came.
    #[must_use]
    pub fn not_begun(&self) -> (Outcome, String) {
        (Outcome::Interrupted, format!("{self} before its turn"))
    }
}

/// The beginning of a sentence.
impl std::fmt::Display for Stop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(1) => formatter.write_str("SIGHUP ended the run"),
            Self::Signal(2) => formatter.write_str("SIGINT ended the run"),
            Self::Signal(15) => formatter.write_str("SIGTERM ended the run"),
            Self::Signal(number) => write!(formatter, "signal {number} ended the run"),
            Self::Deadline(deadline) => {
                write!(formatter, "the deadline of the run ({deadline:?}) was over")
            }
            Self::Output => formatter.write_str("the bundle could not be written further"),
        }
    }
}
