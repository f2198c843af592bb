//! What the kernel's tables say, as far as BGP needs it: rows of the documents in `docs/netlink.md`, and the counters in
//! `/proc/net/netstat`.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::checks::tables;
pub(super) use crate::checks::tables::{Address, address, is_same};
use crate::host::Evidence;

/// A socket.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Socket {
    pub(super) protocol: String,
    pub(super) state: String,
    pub(super) local: String,
    pub(super) local_port: u16,
    pub(super) remote: String,
    pub(super) remote_port: u16,
    #[serde(default)]
    pub(super) send_queue: u32,
    /// How often in turn the oldest data that is not acknowledged was sent again; `None` where none is waited for.
    pub(super) retransmits: Option<u8>,
    pub(super) processes: Option<Vec<Owner>>,
}

/// A process that holds a socket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// A route.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Route {
    pub(super) destination: String,
    pub(super) table: u32,
    pub(super) protocol: u8,
}

/// The rows of one list of a document that was read whole; `None` where it was not.
pub(super) fn rows<T: DeserializeOwned>(
    evidence: &Evidence,
    path: &str,
    list: &str,
) -> Option<Vec<T>> {
    tables::all(evidence, path, list).ok()
}

/// The counters of `/proc/net/netstat` that tell of dropped BGP segments, since the namespace was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Unsigned, where a signature was due (`TCPMD5NotFound`).
    pub(super) unsigned: u64,
    /// Signed, where none was due (`TCPMD5Unexpected`).
    pub(super) signed: u64,
    /// Signed with another password (`TCPMD5Failure`).
    pub(super) wrongly_signed: u64,
    /// From too far away (`TCPMinTTLDrop`).
    pub(super) too_far: u64,
}

impl Dropped {
    /// Whether a signature was ever wrong.
    pub(super) const fn any_by_signature(self) -> bool {
        self.unsigned > 0 || self.signed > 0 || self.wrongly_signed > 0
    }

    /// The counters of the table:
    ///
    /// ```text
    /// TcpExt: SyncookiesSent ... TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure ...
    /// TcpExt: 0 ... 0 3 0 ...
    /// ```
    pub(super) fn parse(table: &str) -> Option<Self> {
        let mut lines = table.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
        let (names, values) = (lines.next()?, lines.next()?);
        let counters: HashMap<&str, u64> = names
            .split(' ')
            .zip(values.split(' '))
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect();
        let of = |name| counters.get(name).copied().unwrap_or_default();
        Some(Self {
            unsigned: of("TCPMD5NotFound"),
            signed: of("TCPMD5Unexpected"),
            wrongly_signed: of("TCPMD5Failure"),
            too_far: of("TCPMinTTLDrop"),
        })
    }
}
