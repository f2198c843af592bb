//! To come.

use jiff::Timestamp;

use super::{Artifact, Listing, Reading, Tree};

/// To come.
#[derive(Debug)]
pub struct Bundle;

impl Bundle {
    /// To come.
    #[must_use]
    pub fn read(&self, _artifact: &Artifact) -> Reading {
        Reading::begin()
    }

    /// To come.
    #[must_use]
    pub fn list(&self, _tree: &Tree) -> Listing {
        Listing { found: Vec::new(), outcome: super::Outcome::Ok, reason: None }
    }

    /// To come.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}
