//! The kernel's part, played by a fuzz target.
//!
//! ```text
//! input: | how u8 | length u16 | bytes | how u8 | ... the answers to one question after the other
//! how:   0: the bytes are a datagram; else: they are the payload of a message of a dump, of which how says the type
//! ```

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::answers::{attribute, done, message};
use super::document::Document;
use super::kernel::{Clock, Kernel, Script};
use super::{Dump, Reading, Sink, settle};

/// libFuzzer's own limit is not to be met first.
const LIMIT: Duration = Duration::from_secs(3);

/// The number by which the kernel's list of generic families is asked for.
const GENL_ID_CTRL: u16 = 16;

pub(super) fn read(dump: Dump, answers: &[u8]) -> Reading {
    let left = Rc::new(RefCell::new(answers.to_vec()));
    let script: Script = Rc::new(move |question: &[u8]| {
        let is_generic = question.get(4..6) == Some(&GENL_ID_CTRL.to_ne_bytes());
        Ok(if is_generic { families() } else { next(&mut left.borrow_mut()) })
    });
    Sink::gather(|sink| {
        let clock = Clock::new(LIMIT);
        let document = Document::new(sink, &clock, dump.question(), 4 << 20);
        settle(document, LIMIT, |document| {
            let mut kernel = Kernel::new(&clock);
            kernel.script = Some(Rc::clone(&script));
            let result = dump.write(Path::new("/nonexistent"), &mut kernel, document);
            (result, kernel.was_interrupted())
        })
    })
}

/// The next answer; when there is none any more, the end of a dump.
fn next(left: &mut Vec<u8>) -> Vec<u8> {
    let taken = std::mem::take(left);
    let Some(([how, length @ ..], rest)) = taken.split_first_chunk::<3>() else { return done() };
    let length = usize::from(u16::from_be_bytes(*length)).clamp(1, 32 << 10);
    let (bytes, rest) = rest.split_at(length.min(rest.len()));
    *left = rest.to_vec();
    match how {
        _ if bytes.is_empty() => done(),
        0 => bytes.to_vec(),
        kind => [message(16 + u16::from(*kind), 2, bytes), done()].concat(),
    }
}

/// The list of generic families: those that are asked for are there.
fn families() -> Vec<u8> {
    let family = |name: &[u8], number: u16| {
        let header = [1u8, 2, 0, 0].to_vec();
        let attributes = [attribute(1, &number.to_ne_bytes()), attribute(2, name)].concat();
        message(GENL_ID_CTRL, 2, &[header, attributes].concat())
    };
    [family(b"ethtool\0", 20), family(b"wireguard\0", 21), done()].concat()
}
