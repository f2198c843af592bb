//! What the kernel's tables say, as far as BGP needs it: rows of the documents in `docs/netlink.md`, and the counters in
//! `/proc/net/netstat`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(super) use crate::checks::tables::{Address, address, is_same};
use crate::host::{Evidence, Outcome};

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
    let reading = evidence.get(path).filter(|reading| reading.outcome == Outcome::Ok)?;
    let mut document = serde_json::Deserializer::from_slice(&reading.bytes);
    List { name: list, row: PhantomData }.deserialize(&mut document).ok()?
}

/// The list of this name in a document: of tables with thousands of rows no more is held than what is asked for.
struct List<'a, T> {
    name: &'a str,
    row: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for List<'_, T> {
    type Value = Option<Vec<T>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for List<'_, T> {
    type Value = Option<Vec<T>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table of the kernel's")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if name == self.name {
                let rows: Vec<&'de RawValue> = members.next_value()?;
                // A row of a form that is not known costs itself alone.
                let rows = rows.into_iter().filter_map(|row| serde_json::from_str(row.get()).ok());
                found = Some(rows.collect());
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
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
