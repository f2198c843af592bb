//! An artifact on its way out: redacted as it comes, counted, and its digest taken.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::redact::Stream;

/// An artifact on its way out.
pub(super) struct Outgoing {
    stream: Stream,
    digest: Sha256,
    pub(super) bytes: u64,
    #[cfg(test)]
    pub(super) panics: bool,
}

/// What is known of it when all has come.
pub(super) struct Ended {
    /// What was held back of it.
    pub(super) rest: Vec<u8>,
    pub(super) redactions: BTreeMap<String, u64>,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Outgoing {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            digest: Sha256::new(),
            bytes: 0,
            #[cfg(test)]
            panics: false,
        }
    }

    pub(super) fn push(&mut self, chunk: Vec<u8>) -> Vec<u8> {
        #[cfg(test)]
        assert!(!self.panics, "on purpose");
        let redacted = self.stream.push(chunk);
        self.digest.update(&redacted);
        self.bytes += redacted.len() as u64;
        redacted
    }

    pub(super) fn end(mut self) -> Ended {
        let (rest, redactions) = self.stream.finish();
        self.digest.update(&rest);
        let bytes = self.bytes + rest.len() as u64;
        Ended { rest, redactions, bytes, sha256: format!("{:x}", self.digest.finalize()) }
    }
}
