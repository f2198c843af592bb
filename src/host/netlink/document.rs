//! A JSON document of many rows, one a line, that is never whole in memory.
//!
//! ```text
//! {"source":"RTM_GETROUTE",
//! "routes":[
//! {"family":"ipv4","destination":"10.0.0.0/24",...},
//! {"family":"ipv4","destination":"10.0.1.0/24",...}
//! ],
//! "consistent":true,"complete":true}
//! ```

use std::io::Write as _;

use serde::Serialize;

use super::kernel::{Clock, Trouble};
use crate::host::CHUNK;
use crate::host::apart::Sink;

/// What is written so far, or the end of it.
pub(super) struct Document<'a> {
    sink: &'a Sink,
    clock: &'a Clock,
    question: &'static str,
    /// What has not left yet.
    held: Vec<u8>,
    /// Bytes that have left.
    left: u64,
    max_bytes: u64,
    list: List,
    rows: u64,
    expected: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    None,
    Empty,
    Filled,
}

/// As much is held back until it is known that the kernel was not disturbed meanwhile: what has left cannot be read
/// again.
const HELD: usize = 4 << 20;

/// As much leaves at once: little enough to stay in the processor's cache.
const SENT: usize = 256 << 10;

/// A row that is longer than this is rare.
const ROW: usize = 16 << 10;

/// What the end of a document needs.
const END: u64 = 64;

impl<'a> Document<'a> {
    pub(super) fn new(
        sink: &'a Sink,
        clock: &'a Clock,
        question: &'static str,
        max_bytes: u64,
    ) -> Self {
        let mut document = Self {
            sink,
            clock,
            question,
            held: Vec::new(),
            left: 0,
            max_bytes,
            list: List::None,
            rows: 0,
            expected: None,
        };
        document.begin();
        document
    }

    fn begin(&mut self) {
        self.held.clear();
        self.list = List::None;
        self.rows = 0;
        self.held.extend_from_slice(b"{\"source\":");
        self.write(self.question);
    }

    /// Begins again from nothing, if nothing has left.
    pub(super) fn restart(&mut self) -> bool {
        let may = !self.has_left();
        if may {
            self.begin();
        }
        may
    }

    /// Whether a part of it cannot be taken back.
    pub(super) const fn has_left(&self) -> bool {
        self.left > 0
    }

    pub(super) const fn has_rows(&self) -> bool {
        self.rows > 0
    }

    pub(super) const fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows there would be, if that is known otherwise.
    pub(super) const fn expect(&mut self, rows: u64) {
        self.expected = Some(rows);
    }

    pub(super) const fn expected(&self) -> Option<u64> {
        self.expected
    }

    /// A fact beside the lists.
    pub(super) fn fact(&mut self, name: &str, value: &impl Serialize) {
        self.close();
        self.held.extend_from_slice(b",\n");
        self.write(name);
        self.held.push(b':');
        self.write(value);
    }

    /// Begins a list; the rows that follow are its.
    pub(super) fn list(&mut self, name: &str) {
        self.close();
        self.held.extend_from_slice(b",\n");
        self.write(name);
        self.held.extend_from_slice(b":[");
        self.list = List::Empty;
    }

    fn close(&mut self) {
        match self.list {
            List::None => {}
            List::Empty => self.held.push(b']'),
            List::Filled => self.held.extend_from_slice(b"\n]"),
        }
        self.list = List::None;
    }

    /// A row of the list that was begun last.
    pub(super) fn row(&mut self, row: &impl Serialize) -> Result<(), Trouble> {
        let length = self.held.len();
        self.held.extend_from_slice(if self.list == List::Filled { b",\n" } else { b"\n" });
        self.write(row);
        if self.left + self.held.len() as u64 + END > self.max_bytes {
            self.held.truncate(length);
            return Err(Trouble::Full);
        }
        self.list = List::Filled;
        self.rows += 1;
        let bound = if self.has_left() { SENT } else { HELD };
        if self.held.len() >= bound { self.flush() } else { Ok(()) }
    }

    /// Lets all leave.
    fn flush(&mut self) -> Result<(), Trouble> {
        // Room for the row that passes the bound, so that it does not make all move.
        let mut all = std::mem::replace(&mut self.held, Vec::with_capacity(SENT + ROW));
        while !all.is_empty() {
            let rest = if all.len() > CHUNK { all.split_off(CHUNK) } else { Vec::new() };
            self.left += all.len() as u64;
            if !self.clock.excuse(|| self.sink.send(all)) {
                return Err(Trouble::Gone);
            }
            all = rest;
        }
        Ok(())
    }

    /// The end of it, and the length of the whole.
    pub(super) fn end(mut self, consistent: bool, complete: bool) -> (Vec<u8>, u64) {
        self.close();
        let _memory_does_not_fail =
            write!(self.held, ",\n\"consistent\":{consistent},\"complete\":{complete}}}\n");
        let length = self.left + self.held.len() as u64;
        (self.held, length)
    }

    /// Writing to memory fails only where a value refuses to be JSON, and none does.
    fn write<T: Serialize + ?Sized>(&mut self, value: &T) {
        let length = self.held.len();
        if serde_json::to_writer(&mut self.held, value).is_err() {
            self.held.truncate(length);
            self.held.extend_from_slice(b"null");
        }
    }
}
