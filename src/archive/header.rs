//! The blocks that stand before an entry's data, in GNU tar's format.

use jiff::Timestamp;
use tar::{EntryType, Header};

use super::FOLDER;

/// Tar's unit: headers fill one, data are padded to a multiple.
pub(super) const BLOCK: usize = 512;

/// The most bytes of a name in a tar header; a longer one goes into an entry before it.
const SHORT_NAME: usize = 100;

/// The blocks before an entry's data, in GNU's format.
pub(super) fn header(path: &str, bytes: u64, modified: Timestamp) -> Vec<u8> {
    let path = format!("{FOLDER}{path}");
    let mut blocks = Vec::with_capacity(2 * BLOCK);
    if path.len() > SHORT_NAME {
        // With the NUL that GNU tar ends it by.
        let length = path.len() as u64 + 1;
        blocks.extend_from_slice(&block(b"././@LongLink", length, EntryType::GNULongName, 0));
        blocks.extend_from_slice(path.as_bytes());
        blocks.push(0);
        blocks.extend_from_slice(zeros(length));
    }
    let modified = u64::try_from(modified.as_second()).unwrap_or(0);
    blocks.extend_from_slice(&block(path.as_bytes(), bytes, EntryType::Regular, modified));
    blocks
}

fn block(name: &[u8], size: u64, kind: EntryType, modified: u64) -> [u8; BLOCK] {
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified);
    header.set_size(size);
    header.set_entry_type(kind);
    let field = &mut header.as_old_mut().name;
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    header.set_cksum();
    *header.as_bytes()
}

/// How many zeros stand after `bytes` of data.
pub(super) const fn padding(bytes: u64) -> u64 {
    bytes.wrapping_neg() % BLOCK as u64
}

/// The zeros after `bytes` of data.
pub(super) fn zeros(bytes: u64) -> &'static [u8] {
    static BLANK: [u8; BLOCK] = [0; BLOCK];
    usize::try_from(padding(bytes)).map_or(&[], |count| &BLANK[..count])
}
