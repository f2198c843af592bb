//! gzip members: the pieces of an archive's stream, each of which can be read by itself.

use std::io;
use std::sync::{Mutex, PoisonError};

use flate2::{Compress, Compression, FlushCompress, Status};

/// The largest window that deflate knows.
const WINDOW_BITS: u8 = 15;

/// What compresses, kept to be used again: to make one anew takes longer than to compress a small entry.
#[derive(Debug)]
pub(super) struct Encoders {
    level: Compression,
    idle: Mutex<Vec<Encoder>>,
}

#[derive(Debug)]
struct Encoder {
    compress: Compress,
    /// Where a member grows: a buffer that grows anew for each leaves holes in memory.
    member: Vec<u8>,
}

impl Encoders {
    pub(super) fn new(level: Compression) -> Self {
        Self { level, idle: Mutex::default() }
    }

    /// One gzip member that holds `pieces` end to end. Without a time and a name, so that it depends on nothing else.
    /// Pieces that are given away go as they have been taken in.
    pub(super) fn gzip(&self, pieces: impl IntoIterator<Item: AsRef<[u8]>>) -> io::Result<Vec<u8>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut encoder = idle.unwrap_or_else(|| Encoder {
            compress: Compress::new_gzip(self.level, WINDOW_BITS),
            member: Vec::new(),
        });
        let Encoder { compress, member } = &mut encoder;
        member.clear();
        for piece in pieces {
            let mut rest = piece.as_ref();
            while !rest.is_empty() {
                rest = &rest[feed(compress, rest, member, FlushCompress::None)?.0..];
            }
        }
        while feed(compress, &[], member, FlushCompress::Finish)?.1 != Status::StreamEnd {}
        compress.reset();
        // It may wait a while for its turn: no larger than it is.
        let whole = member.as_slice().to_vec();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(encoder);
        Ok(whole)
    }
}

/// Gives an encoder what it can take; how much that was.
fn feed(
    encoder: &mut Compress,
    bytes: &[u8],
    member: &mut Vec<u8>,
    flush: FlushCompress,
) -> io::Result<(usize, Status)> {
    // It takes room that is there already, and does nothing without.
    member.reserve(bytes.len() / 6 + 64);
    let before = encoder.total_in();
    let status = encoder.compress_vec(bytes, member, flush).map_err(io::Error::other)?;
    Ok((usize::try_from(encoder.total_in() - before).unwrap_or(usize::MAX), status))
}

/// One gzip member that holds `header` as it is: so long whatever the header tells, and so it can be corrected where it
/// stands. Writing to memory does not fail.
pub(super) fn stored(header: &[u8]) -> Vec<u8> {
    Encoders::new(Compression::none()).gzip([header]).unwrap_or_default()
}
