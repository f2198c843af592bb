//! One question to the kernel over a netlink socket, and its answer cut into messages.
//!
//! ```text
//! datagram: | length u32 | type u16 | flags u16 | sequence u32 | port u32 | payload ... | next message ...
//! ```

use std::cell::Cell;
use std::time::{Duration, Instant};

use netlink_bindings::nlctrl;
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;

#[cfg(any(test, fuzzing))]
pub(super) use super::datagrams::Script;
use super::datagrams::{BUFFER, Datagrams};

/// Why an answer is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The kernel said no.
    #[error("{}", refusal(.0, *.1))]
    Refused(&'static str, Errno),
    /// The kernel has nothing that could be asked.
    #[error("{0}")]
    Absent(String),
    /// The time is over.
    #[error("did not finish in time")]
    Late,
    /// The document has reached its limit.
    #[error("larger than what is kept")]
    Full,
    /// Nobody listens any more.
    #[error("the run was ended")]
    Gone,
    /// The kernel dropped messages.
    #[error("the kernel could not hand over all messages (ENOBUFS)")]
    Overrun,
    /// What came is not netlink.
    #[error("the kernel's answer cannot be read: {0}")]
    Malformed(&'static str),
}

fn refusal(question: &str, errno: Errno) -> String {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            format!("{question}: {}: it takes CAP_NET_ADMIN in the network namespace", errno.desc())
        }
        _ => format!("{question}: {}", errno.desc()),
    }
}

/// The time that is left, without that which others take.
#[derive(Debug)]
pub(super) struct Clock {
    end: Cell<Instant>,
}

impl Clock {
    pub(super) fn new(limit: Duration) -> Self {
        Self { end: Cell::new(Instant::now() + limit) }
    }

    /// Does what takes time that is not the kernel's.
    pub(super) fn excuse<T>(&self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.end.set(self.end.get() + begun.elapsed());
        done
    }

    pub(super) fn check(&self) -> Result<(), Trouble> {
        if Instant::now() < self.end.get() { Ok(()) } else { Err(Trouble::Late) }
    }
}

/// The kernel as it answers during one attempt at a document.
pub(super) struct Kernel<'a> {
    clock: &'a Clock,
    buffer: Vec<u8>,
    interrupted: bool,
    /// The generic netlink family that was looked up last.
    family: Option<(&'static [u8], u16)>,
    /// What is answered to a question in place of the kernel's answer.
    #[cfg(any(test, fuzzing))]
    pub(super) script: Option<Script>,
}

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// One question has a socket of its own, so that one number will do.
const SEQUENCE: u32 = 1;

/// The id of the family that knows the other families.
pub(super) const GENL_ID_CTRL: u16 = 16;

impl<'a> Kernel<'a> {
    pub(super) fn new(clock: &'a Clock) -> Self {
        Self {
            clock,
            buffer: vec![0; BUFFER],
            interrupted: false,
            family: None,
            #[cfg(any(test, fuzzing))]
            script: None,
        }
    }

    /// Whether the kernel said of a dump that it changed meanwhile (`NLM_F_DUMP_INTR`).
    pub(super) const fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Notes that what belongs together was not read at one time.
    pub(super) const fn interrupt(&mut self) {
        self.interrupted = true;
    }

    pub(super) const fn clock(&self) -> &'a Clock {
        self.clock
    }

    /// Puts a question and hands each message of the answer to `each`. What the kernel still has to say when that
    /// fails is left behind with the socket.
    pub(super) fn ask<R: NetlinkRequest>(
        &mut self,
        question: &'static str,
        request: &R,
        mut each: impl FnMut(R::ReplyType<'_>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let (protocol, kind) = match request.protocol() {
            Protocol::Raw { protonum, request_type } => (protonum, request_type),
            Protocol::Generic(name) => (16, self.family(name)?),
        };
        // A dump ends with a message that says so; what else is asked must be told to.
        let wanted = request.flags();
        let ack = if wanted & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        let message = encode(kind, wanted | NLM_F_REQUEST | ack, request.payload())
            .ok_or(Trouble::Malformed("the question is too long"))?;
        #[cfg(not(any(test, fuzzing)))]
        let answer = Datagrams::ask(protocol, &message, &mut self.buffer);
        #[cfg(any(test, fuzzing))]
        let answer = match &self.script {
            Some(script) => Ok(Datagrams::play(script.clone(), &message, &mut self.buffer)),
            None => Datagrams::ask(protocol, &message, &mut self.buffer),
        };
        let mut answer = answer.map_err(|errno| Trouble::Refused(question, errno))?;
        loop {
            self.clock.check()?;
            let datagram = match answer.next() {
                Ok([]) => return Err(Trouble::Malformed("an empty datagram")),
                Ok(datagram) => datagram,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(Errno::ENOBUFS | Errno::EMSGSIZE) => return Err(Trouble::Overrun),
                Err(errno) => return Err(Trouble::Refused(question, errno)),
            };
            for message in Messages(datagram) {
                let message = message?;
                if message.sequence != SEQUENCE {
                    continue;
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    self.interrupted = true;
                }
                if message.is_end() {
                    return match code(message.payload)? {
                        0 => Ok(()),
                        errno => Err(Trouble::Refused(question, errno_of(errno))),
                    };
                }
                match message.kind {
                    NLMSG_NOOP => {}
                    NLMSG_OVERRUN => return Err(Trouble::Overrun),
                    _ => each(R::decode_reply(message.payload))?,
                }
            }
        }
    }

    /// The number of a generic netlink family. Asking for one by its name would make the kernel load the module that
    /// has it: the list of those that are there does not.
    fn family(&mut self, wanted: &'static [u8]) -> Result<u16, Trouble> {
        if let Some((_, number)) = self.family.filter(|(name, _)| *name == wanted) {
            return Ok(number);
        }
        let mut found = None;
        self.ask("CTRL_CMD_GETFAMILY", &nlctrl::Request::new().op_getfamily_dump(), |family| {
            if family.get_family_name().is_ok_and(|name| name.to_bytes() == wanted) {
                found = family.get_family_id().ok();
            }
            Ok(())
        })?;
        self.family = found.map(|number| (wanted, number));
        found.ok_or_else(|| {
            let name = String::from_utf8_lossy(wanted);
            Trouble::Absent(format!("the kernel has no generic netlink family {name}"))
        })
    }
}

fn encode(kind: u16, flags: u16, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(HEADER + payload.len()).ok()?;
    let mut message = Vec::with_capacity(HEADER + payload.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(SEQUENCE.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend(payload);
    Some(message)
}

/// Length of a message's header.
const HEADER: usize = 16;

/// One message of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

impl Message<'_> {
    /// Whether an answer ends with it.
    pub(super) fn is_end(&self) -> bool {
        self.sequence == SEQUENCE && matches!(self.kind, NLMSG_ERROR | NLMSG_DONE)
    }
}

/// The messages of a datagram; the first that is not one is the last.
#[derive(Debug)]
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let Some(header) = rest.first_chunk::<HEADER>() else {
            return Some(Err(Trouble::Malformed("half a header")));
        };
        let [length, kinds, sequence, _port] =
            [0, 4, 8, 12].map(|at| [header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = u32::from_ne_bytes(length) as usize;
        if length < HEADER || length > rest.len() {
            return Some(Err(Trouble::Malformed("a message with a wrong length")));
        }
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message {
            kind: u16::from_ne_bytes([kinds[0], kinds[1]]),
            flags: u16::from_ne_bytes([kinds[2], kinds[3]]),
            sequence: u32::from_ne_bytes(sequence),
            payload: &rest[HEADER..length],
        }))
    }
}

/// The error number of a message that ends an answer.
fn code(payload: &[u8]) -> Result<i32, Trouble> {
    payload
        .first_chunk()
        .map(|code| i32::from_ne_bytes(*code))
        .ok_or(Trouble::Malformed("an end without its error number"))
}

fn errno_of(code: i32) -> Errno {
    Errno::from_raw(code.saturating_neg())
}

/// A request that the bindings do not know.
#[derive(Debug)]
pub(super) struct Netfilter {
    /// Subsystem in the upper byte, command in the lower.
    kind: u16,
    is_dump: bool,
    /// The header, and the attributes as far as there are any.
    payload: Vec<u8>,
}

impl Netfilter {
    pub(super) fn new(subsystem: u8, command: u8, is_dump: bool, family: u8) -> Self {
        // struct nfgenmsg: family, version, resource id.
        let kind = u16::from_be_bytes([subsystem, command]);
        Self { kind, is_dump, payload: vec![family, 0, 0, 0] }
    }

    /// The same with one more attribute.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(4);
        self.payload.extend(length.to_ne_bytes());
        self.payload.extend(kind.to_ne_bytes());
        self.payload.extend(value);
        self.payload.resize(self.payload.len().next_multiple_of(4), 0);
        self
    }
}

impl NetlinkRequest for Netfilter {
    fn protocol(&self) -> Protocol {
        Protocol::Raw { protonum: 12, request_type: self.kind }
    }

    fn flags(&self) -> u16 {
        if self.is_dump { NLM_F_DUMP } else { 0 }
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The attributes behind the header.
    type ReplyType<'buf> = &'buf [u8];

    fn decode_reply(buffer: &[u8]) -> &[u8] {
        buffer.get(4..).unwrap_or_default()
    }
}
