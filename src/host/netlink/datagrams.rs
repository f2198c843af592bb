//! The datagrams of an answer over a netlink socket, one after the other.
//!
//! The kernel makes a datagram of a dump while it is received, and that takes most of the time. So the datagrams of a
//! long answer are received on a thread of their own, while those before them are looked at.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::kernel::{GENL_ID_CTRL, Messages};
use crate::host::apart;

/// The kernel puts at most 32 KiB into a datagram, or one message if that is longer.
pub(super) const BUFFER: usize = 256 << 10;

/// Each wait for the kernel, after which the clock is looked at.
const WAIT: i64 = 100;

/// Datagrams of an answer that are received where it was asked for: most answers have no more, and to start a thread
/// would take longer than to read them.
const HERE: u32 = 4;

/// Datagrams that are received ahead of being looked at.
const AHEAD: usize = 4;

/// A datagram, or why there is none; `EAGAIN` after each wait.
type Received = Result<Vec<u8>, Errno>;

/// Gives the datagram that answers a question.
#[cfg(any(test, fuzzing))]
pub(super) type Script = std::rc::Rc<dyn Fn(&[u8]) -> Result<Vec<u8>, Errno>>;

/// The answer to one question.
pub(super) struct Datagrams<'a> {
    peer: Peer,
    buffer: &'a mut [u8],
    /// How many have come.
    count: u32,
    /// Those that another thread receives.
    ahead: Option<Ahead>,
}

/// Where datagrams come from that another thread receives.
struct Ahead {
    datagrams: Receiver<Received>,
    /// The last of them.
    last: Vec<u8>,
    /// Where those go that have been looked at: their memory is used again.
    done: Sender<Vec<u8>>,
}

/// Whoever answers.
enum Peer {
    Kernel(Arc<OwnedFd>),
    #[cfg(any(test, fuzzing))]
    Script(Script, Vec<u8>),
}

impl<'a> Datagrams<'a> {
    /// Puts a question to the kernel. `buffer` has room for [`BUFFER`] bytes.
    pub(super) fn ask(protocol: u16, message: &[u8], buffer: &'a mut [u8]) -> Result<Self, Errno> {
        let socket = open(protocol)?;
        send(socket.as_raw_fd(), message, MsgFlags::empty())?;
        Ok(Self { peer: Peer::Kernel(Arc::new(socket)), buffer, count: 0, ahead: None })
    }

    /// Puts a question to someone else.
    #[cfg(any(test, fuzzing))]
    pub(super) fn play(script: Script, message: &[u8], buffer: &'a mut [u8]) -> Self {
        Self { peer: Peer::Script(script, message.to_vec()), buffer, count: 0, ahead: None }
    }

    /// The next datagram. `EAGAIN`: it has not come yet. `EMSGSIZE`: it was too long.
    pub(super) fn next(&mut self) -> Result<&[u8], Errno> {
        self.count = self.count.saturating_add(1);
        if self.count == HERE {
            self.ahead = self.receive_ahead();
        }
        if let Some(Ahead { datagrams, last, done }) = &mut self.ahead {
            match datagrams.recv_timeout(Duration::from_millis(WAIT.unsigned_abs())) {
                Ok(received) => {
                    // Whoever receives has ended once the last has come.
                    let _nobody_needs_it = done.send(std::mem::replace(last, received?));
                }
                Err(RecvTimeoutError::Timeout) => return Err(Errno::EAGAIN),
                // No thread could be started; none has ended without the last datagram or an error.
                Err(RecvTimeoutError::Disconnected) => {
                    self.ahead = None;
                    return Err(Errno::EAGAIN);
                }
            }
        }
        match (&self.ahead, &self.peer) {
            (Some(ahead), _) => Ok(&ahead.last),
            (None, Peer::Kernel(socket)) => receive(socket, self.buffer),
            #[cfg(any(test, fuzzing))]
            (None, Peer::Script(answer, question)) => {
                let bytes = answer(question)?;
                let room = self.buffer.get_mut(..bytes.len()).ok_or(Errno::EMSGSIZE)?;
                room.copy_from_slice(&bytes);
                Ok(room)
            }
        }
    }

    /// Lets another thread receive what is still to come.
    fn receive_ahead(&self) -> Option<Ahead> {
        #[allow(irrefutable_let_patterns, reason = "in tests somebody else may answer")]
        let Peer::Kernel(socket) = &self.peer else { return None };
        let socket = Arc::clone(socket);
        let (sender, datagrams) = sync_channel(AHEAD);
        let (done, used) = channel();
        let _ends_by_itself = apart::begin(move || forward(&socket, &sender, &used));
        Some(Ahead { datagrams, last: Vec::new(), done })
    }
}

/// Hands on what comes, until that was the last or nobody wants it any more: it is heard of after a wait at the latest.
fn forward(socket: &OwnedFd, datagrams: &SyncSender<Received>, used: &Receiver<Vec<u8>>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let received = receive(socket, &mut buffer).map(|datagram| {
            let mut copy = used.try_recv().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(datagram);
            copy
        });
        let is_last = match &received {
            Ok(datagram) => is_last(datagram),
            Err(errno) => !matches!(errno, Errno::EAGAIN | Errno::EINTR),
        };
        if datagrams.send(received).is_err() || is_last {
            return;
        }
    }
}

/// Whether an answer ends in this datagram, or cannot be read further.
fn is_last(datagram: &[u8]) -> bool {
    datagram.is_empty()
        || Messages(datagram).any(|message| message.map_or(true, |message| message.is_end()))
}

fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    // With MSG_TRUNC the kernel says how long it was.
    let length = recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_TRUNC)?;
    buffer.get(..length).ok_or(Errno::EMSGSIZE)
}

fn open(protocol: u16) -> Result<OwnedFd, Errno> {
    let protocol = match protocol {
        0 => SockProtocol::NetlinkRoute,
        4 => SockProtocol::NetlinkSockDiag,
        12 => SockProtocol::NetlinkNetFilter,
        GENL_ID_CTRL => SockProtocol::NetlinkGeneric,
        _ => return Err(Errno::EPROTONOSUPPORT),
    };
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let wait = TimeVal::milliseconds(WAIT);
    setsockopt(&socket, ReceiveTimeout, &wait)?;
    setsockopt(&socket, SendTimeout, &wait)?;
    Ok(socket)
}
