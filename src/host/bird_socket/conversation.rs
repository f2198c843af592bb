//! A connection to BIRD: lines in, whole answers out, with bounds on both.

use std::os::unix::net::UnixStream as BlockingStream;

use nix::errno::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::Failure;
use crate::bird::reply::Trouble;
use crate::host::beneath::describe;

/// The longest line: BIRD itself cuts its lines at a few KiB.
const MAX_LINE: usize = 64 << 10;
/// How much is sent on at a time.
const CHUNK: usize = 256 << 10;
/// How much is read at a time.
const READ: usize = 64 << 10;
/// How much of a line that makes no sense is shown.
const SHOWN: usize = 80;

/// Why an exchange failed, in words that follow the socket's name.
type Failed = (Trouble, String);

/// A connection on which one question after the other is asked.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: UnixStream,
    /// The socket, as the host names it.
    place: String,
    /// The welcome, once BIRD has restricted this connection.
    welcome: Option<Vec<u8>>,
    /// What is being waited for.
    awaited: String,
    /// What was read and not yet handed out; the next line begins at `start`.
    buffer: Vec<u8>,
    start: usize,
}

/// How an answer ended that BIRD gave without fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With its last line.
    Whole,
    /// It is longer than is kept.
    TooLong,
    /// Nobody receives it any more.
    Unwanted,
}

/// What a line is, by its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// `1002-...`: more lines follow.
    More,
    /// ` ...`: as the line before.
    Continued,
    /// `0000 ...`: the last one, with its code.
    Last([u8; 4]),
    /// `+...`: said unasked, to whom it may concern.
    Asynchronous,
}

impl Line {
    fn read(line: &[u8]) -> Option<Self> {
        match line {
            [b'+', ..] => Some(Self::Asynchronous),
            [b' ', ..] => Some(Self::Continued),
            [a, b, c, d, mark, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => {
                match mark {
                    b'-' => Some(Self::More),
                    b' ' => Some(Self::Last([*a, *b, *c, *d])),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Conversation {
    pub(super) fn new(stream: BlockingStream, place: String) -> Result<Self, Failure> {
        match UnixStream::from_std(stream) {
            Ok(stream) => Ok(Self {
                stream,
                place,
                welcome: None,
                awaited: String::new(),
                buffer: Vec::new(),
                start: 0,
            }),
            Err(error) => Err(Failure {
                kind: Trouble::Failed,
                text: format!("{place}: {error}"),
                place: Some(place),
            }),
        }
    }

    /// The socket.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What was being waited for when time ran out.
    pub(super) fn awaited(&self) -> &str {
        &self.awaited
    }

    /// What came of a line that did not end, or makes no sense.
    pub(super) fn unfinished(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Asks one question and adds welcome and answer to `answer`.
    pub(super) async fn ask(
        &mut self,
        question: &str,
        answer: &mut Answer<'_>,
    ) -> Result<End, Failed> {
        if self.welcome.is_some() {
            self.expect_silence()?;
        } else {
            self.open(answer).await?;
        }
        if let Some(welcome) = &self.welcome
            && let Err(end) = answer.add(welcome).await
        {
            return Ok(end);
        }
        self.send(question).await?;
        self.awaited = format!("whole answer to `{question}`");
        let mut begun = false;
        loop {
            let (line, kind) = self.line().await?;
            if let Err(end) = answer.add(line).await {
                return Ok(end);
            }
            if kind == Line::Continued && !begun {
                return Err(garbled(line));
            }
            begun |= kind == Line::More;
            if let Line::Last(_) = kind {
                return Ok(End::Whole);
            }
        }
    }

    /// Reads the welcome and has the connection restricted. What comes instead is added to `answer`.
    async fn open(&mut self, answer: &mut Answer<'_>) -> Result<(), Failed> {
        "welcome".clone_into(&mut self.awaited);
        let (line, kind) = self.line().await?;
        if kind != Line::Last(*b"0001") {
            answer.add_rest(line);
            return Err(garbled(line));
        }
        self.welcome = Some(line.to_vec());
        self.send("restrict").await?;
        "answer to `restrict`".clone_into(&mut self.awaited);
        loop {
            let (line, kind) = self.line().await?;
            match kind {
                Line::Asynchronous => {}
                Line::Last(code) if code == *b"0016" => return Ok(()),
                _ => {
                    let text = format!("it did not restrict itself: {}", shown(line));
                    answer.add_rest(line);
                    return Err((Trouble::Failed, text));
                }
            }
        }
    }

    /// Makes sure that nothing came since the last answer: it would be taken for the next one.
    fn expect_silence(&mut self) -> Result<(), Failed> {
        "word between two answers".clone_into(&mut self.awaited);
        if self.unfinished().is_empty() {
            let mut more = [0; 512];
            // Asked of the kernel itself: tokio may not have heard of it yet.
            match nix::unistd::read(&self.stream, &mut more) {
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err((Trouble::CutOff, describe(errno))),
                Ok(0) => return Err((Trouble::CutOff, "closed between two questions".to_owned())),
                Ok(bytes) => self.buffer.extend_from_slice(&more[..bytes]),
            }
        }
        Err((Trouble::Garbled, format!("unasked, it said {}", shown(self.unfinished()))))
    }

    async fn send(&mut self, command: &str) -> Result<(), Failed> {
        self.awaited = format!("room for `{command}`");
        let line = format!("{command}\n");
        self.stream
            .write_all(line.as_bytes())
            .await
            .map_err(|error| (Trouble::CutOff, format!("it did not take `{command}`: {error}")))
    }

    /// The next line, its line break included.
    async fn line(&mut self) -> Result<(&[u8], Line), Failed> {
        let mut searched = self.start;
        let end = loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                break searched + at + 1;
            }
            if self.buffer.len() - self.start > MAX_LINE {
                let text = format!("a line of more than {MAX_LINE} bytes: ");
                return Err((Trouble::Garbled, text + &shown(self.unfinished())));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            searched = self.buffer.len();
            self.buffer.reserve(READ);
            let mut room = (&mut self.stream).take(READ as u64);
            match room.read_buf(&mut self.buffer).await {
                Ok(0) => {
                    return Err((Trouble::CutOff, format!("closed before the {}", self.awaited)));
                }
                Ok(_) => {}
                Err(error) => {
                    return Err((Trouble::CutOff, format!("{error}, before the {}", self.awaited)));
                }
            }
        };
        let line = &self.buffer[self.start..end];
        if line.len() > MAX_LINE {
            return Err((
                Trouble::Garbled,
                format!("a line of {} bytes: {}", line.len(), shown(line)),
            ));
        }
        let Some(kind) = Line::read(line) else { return Err(garbled(line)) };
        self.start = end;
        Ok((line, kind))
    }
}

fn garbled(line: &[u8]) -> Failed {
    (Trouble::Garbled, format!("not BIRD's protocol: {}", shown(line)))
}

/// A line as it may be shown to a person: no control characters, not long.
fn shown(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let dots = if line.len() > SHOWN { "..." } else { "" };
    format!("\"{}\"{dots}", line[..line.len().min(SHOWN)].escape_ascii())
}

/// An answer on its way to whoever asked: whole lines, in chunks, not more than are kept.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    chunks: &'a mpsc::Sender<Vec<u8>>,
    chunk: Vec<u8>,
    bytes_read: u64,
    max_bytes: u64,
}

impl<'a> Answer<'a> {
    pub(super) fn new(chunks: &'a mpsc::Sender<Vec<u8>>, max_bytes: u64) -> Self {
        Self { chunks, chunk: Vec::new(), bytes_read: 0, max_bytes }
    }

    /// How many bytes there were, as far as they were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Adds a line, or says why the answer ends before it.
    async fn add(&mut self, line: &[u8]) -> Result<(), End> {
        self.bytes_read += line.len() as u64;
        if self.bytes_read > self.max_bytes {
            return Err(End::TooLong);
        }
        if self.chunk.len() + line.len() > CHUNK {
            // The place is reserved first: if time runs out while the receiver is busy, the chunk is still here.
            let Ok(place) = self.chunks.reserve().await else { return Err(End::Unwanted) };
            place.send(std::mem::take(&mut self.chunk));
        }
        if self.chunk.capacity() == 0 {
            // Growing from nothing touches twice the memory, and that costs more than the answer.
            self.chunk.reserve(READ);
        }
        self.chunk.extend_from_slice(line);
        Ok(())
    }

    /// Adds what came before a failure, as far as it is kept.
    pub(super) fn add_rest(&mut self, rest: &[u8]) {
        let room = usize::try_from(self.max_bytes.saturating_sub(self.bytes_read));
        let kept = &rest[..rest.len().min(room.unwrap_or(usize::MAX))];
        self.bytes_read += rest.len() as u64;
        self.chunk.extend_from_slice(kept);
    }

    /// Sends what is left.
    pub(super) async fn flush(&mut self) {
        if !self.chunk.is_empty() {
            // Nobody receives it: nobody misses it.
            let _ = self.chunks.send(std::mem::take(&mut self.chunk)).await;
        }
    }
}
