//! The kernel's own tables, asked over netlink and written as JSON: see `docs/netlink.md` for each document.
//!
//! Requests and attributes are the `netlink-bindings` crate's. Sending, receiving and cutting what comes into messages
//! is done here, because that must be bounded in time, must show the flags of a message, and must not panic or loop at
//! a message that lies about its length. Nothing is asked that makes the kernel load a module: which dumps may be asked
//! for is for the caller to know, and generic netlink families are looked up in the list of those that are there.

mod addresses;
mod attributes;
mod conntrack;
mod datagrams;
mod document;
mod features;
mod fingerprint;
mod ipsets;
mod kernel;
mod links;
mod neighbours;
mod nftables;
mod owners;
mod qdiscs;
mod routes;
mod rules;
mod sockets;
pub(in crate::host) mod ways;
mod wireguard;

use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use super::apart::Sink;
use super::{Outcome, Reading, apart};
use document::Document;
pub use fingerprint::{Row, State, parse as parse_fingerprint};
pub use ipsets::SetTypes;
use kernel::{Clock, Kernel, Trouble};

/// What is asked of the kernel: one JSON document each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// Links with the details of their kind and their counters.
    Links,
    /// Addresses of all links.
    Addresses,
    /// Routes of all tables and both families.
    Routes,
    /// Policy rules of both families.
    Rules,
    /// ARP and neighbour discovery.
    Neighbours,
    /// Forwarding entries of bridges and VXLAN devices.
    Fdb,
    /// Queueing disciplines with their counters.
    Qdiscs,
    /// TCP, UDP and raw sockets with their owners.
    Sockets(Protocols),
    /// Offload features of uplinks and tunnels.
    Features,
    /// `WireGuard` devices and peers, without private and preshared keys.
    Wireguard,
    /// Counters of connection tracking for each CPU, entries and limit.
    ConntrackStats,
    /// The table of connections.
    Conntrack,
    /// Who fills the table of connections: counters by address, flow, state and zone.
    ConntrackTop {
        /// Addresses and flows that are told of, at most: those with the most entries.
        rows: usize,
    },
    /// ipsets: the headers of all, then members.
    Ipsets,
    /// Types of ipsets and their revisions, and which of them the sets have.
    IpsetTypes(SetTypes),
    /// nftables: tables, chains, sets, objects, flowtables, rules, elements.
    Nftables,
    /// Counts and sums by which it is seen whether something was changed; in no bundle.
    Fingerprint(State),
}

/// Whose sockets may be asked for: the kernel loads a module for each protocol that it does not yet know how to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// `tcp_diag` is there.
    pub tcp: bool,
    /// `udp_diag` is there.
    pub udp: bool,
    /// `raw_diag` is there.
    pub raw: bool,
}

impl Dump {
    /// The kernel's name of what is asked.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::Links => "RTM_GETLINK",
            Self::Addresses => "RTM_GETADDR",
            Self::Routes => "RTM_GETROUTE",
            Self::Rules => "RTM_GETRULE",
            Self::Neighbours => "RTM_GETNEIGH",
            Self::Fdb => "RTM_GETNEIGH of AF_BRIDGE",
            Self::Qdiscs => "RTM_GETQDISC",
            Self::Sockets(_) => "SOCK_DIAG_BY_FAMILY",
            Self::Features => "ETHTOOL_MSG_FEATURES_GET",
            Self::Wireguard => "WG_CMD_GET_DEVICE",
            Self::ConntrackStats => "IPCTNL_MSG_CT_GET_STATS_CPU",
            Self::Conntrack | Self::ConntrackTop { .. } => "IPCTNL_MSG_CT_GET",
            Self::Ipsets => "IPSET_CMD_LIST",
            Self::IpsetTypes(_) => "IPSET_CMD_TYPE",
            Self::Nftables => "NFT_MSG_GETRULE",
            Self::Fingerprint(state) => state.question(),
        }
    }

    /// Asks, and writes the rows.
    fn write(
        self,
        root: &Path,
        kernel: &mut Kernel,
        document: &mut Document,
    ) -> Result<(), Trouble> {
        match self {
            Self::Links => links::write(kernel, document),
            Self::Addresses => addresses::write(kernel, document),
            Self::Routes => routes::write(kernel, document),
            Self::Rules => rules::write(kernel, document),
            Self::Neighbours => neighbours::write(kernel, document),
            Self::Fdb => neighbours::write_fdb(kernel, document),
            Self::Qdiscs => qdiscs::write(kernel, document),
            Self::Sockets(protocols) => sockets::write(protocols, root, kernel, document),
            Self::Features => features::write(kernel, document),
            Self::Wireguard => wireguard::write(kernel, document),
            Self::ConntrackStats => conntrack::write_stats(kernel, document),
            Self::Conntrack => conntrack::write(kernel, document),
            Self::ConntrackTop { rows } => conntrack::top::write(rows, kernel, document),
            Self::Ipsets => ipsets::write(kernel, document),
            Self::IpsetTypes(types) => ipsets::write_types(types, kernel, document),
            Self::Nftables => nftables::write(kernel, document),
            Self::Fingerprint(state) => fingerprint::write(state, kernel, document),
        }
    }
}

/// How often a dump that was disturbed is asked for again.
const RETRIES: u32 = 3;

/// Reads one document. Blocks: call it on a thread that can be left behind.
pub(super) fn read(
    dump: Dump,
    root: &Path,
    limit: Duration,
    max_bytes: u64,
    sink: &Sink,
) -> Reading {
    // What is cut off from outside is no JSON any more, so that this ends a little earlier by itself.
    let clock = Clock::new(limit.mul_f32(0.9));
    let document = Document::new(sink, &clock, dump.question(), max_bytes);
    let mut reading = settle(document, limit, |document| {
        let mut kernel = Kernel::new(&clock);
        let result = dump.write(root, &mut kernel, document);
        (result, kernel.was_interrupted())
    });
    if root != Path::new("/") {
        reading.place = Some("the network namespace in which calivet runs".to_owned());
    }
    reading
}

/// Lets `attempt` fill the document, again as long as the kernel was disturbed and nothing of it has left, and judges
/// what came of it.
fn settle(
    mut document: Document,
    limit: Duration,
    mut attempt: impl FnMut(&mut Document) -> (Result<(), Trouble>, bool),
) -> Reading {
    let mut retries = 0;
    let (result, interrupted) = loop {
        let (result, interrupted) = attempt(&mut document);
        let again = match &result {
            Ok(()) => interrupted,
            Err(trouble) => matches!(trouble, Trouble::Overrun),
        };
        if !again || retries == RETRIES || !document.restart() {
            break (result, interrupted);
        }
        retries += 1;
    };
    let (outcome, reason) = match &result {
        Ok(()) if interrupted => {
            let why = if document.has_left() {
                "it is too long to be read again".to_owned()
            } else {
                format!("also when it was read {retries} more times")
            };
            let reason = format!(
                "the kernel changed the table while it was read, {why}: rows may be missing or stand twice"
            );
            (Outcome::Failed, Some(reason))
        }
        Ok(()) => (Outcome::Ok, None),
        Err(trouble) => judge(trouble, limit, &document),
    };
    let mut reading = Reading { outcome, reason, ..Reading::begin() };
    if matches!(result, Err(Trouble::Gone)) {
        return reading;
    }
    let is_whole = result.is_ok();
    if is_whole || document.has_rows() {
        (reading.bytes, reading.original_bytes) = document.end(is_whole && !interrupted, is_whole);
    }
    reading
}

/// What a dump that was not read whole means.
fn judge(trouble: &Trouble, limit: Duration, document: &Document) -> (Outcome, Option<String>) {
    let outcome = match trouble {
        Trouble::Late => return apart::late(limit),
        Trouble::Gone => return apart::nobody_listens(),
        Trouble::Full => Outcome::Truncated,
        Trouble::Absent(_) => Outcome::NotApplicable,
        Trouble::Refused(_, errno) => match errno {
            Errno::EPERM | Errno::EACCES => Outcome::Denied,
            Errno::EPROTONOSUPPORT
            | Errno::ENOENT
            | Errno::EOPNOTSUPP
            | Errno::EAFNOSUPPORT
            | Errno::EINVAL
                if !document.has_rows() =>
            {
                Outcome::NotApplicable
            }
            _ => Outcome::Failed,
        },
        Trouble::Overrun | Trouble::Malformed(_) => Outcome::Failed,
    };
    let mut reason = trouble.to_string();
    if outcome == Outcome::Truncated {
        reason = format!("{reason}: {} rows of it are kept", document.rows());
        if let Some(all) = document.expected() {
            reason = format!("{reason}, the kernel counts {all}");
        }
    }
    (outcome, Some(reason))
}

/// One document from a kernel that answers as a fuzz target says.
#[cfg(fuzzing)]
#[doc(hidden)]
#[must_use]
pub fn from_answers(dump: Dump, answers: &[u8]) -> Reading {
    fuzzed::read(dump, answers)
}

#[cfg(fuzzing)]
mod fuzzed;

#[cfg(test)]
mod tests;
