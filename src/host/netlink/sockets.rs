//! TCP, UDP and raw sockets with their owners.
//!
//! ```text
//! {"protocol":"tcp","family":"ipv4","state":"established","local":"10.0.0.1","local_port":179,"remote":"10.0.0.2",
//!  "remote_port":41234,"dev":null,"uid":0,"inode":4711,"receive_queue":0,"send_queue":0,"retransmits":null,
//!  "processes":[{"pid":811,"name":"bird"}]}
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use netlink_bindings::inet_diag::{self, Msg, ReqV2};
use nix::errno::Errno;
use serde::Serialize;

use super::Protocols;
use super::attributes::{INET, INET6, Names, Word, family};
use super::document::Document;
use super::kernel::{Kernel, Trouble};
use super::owners::{Owner, Owners};

#[derive(Debug, Serialize)]
struct Socket<'a> {
    protocol: &'static str,
    family: &'static str,
    state: Word,
    local: IpAddr,
    local_port: u16,
    remote: IpAddr,
    remote_port: u16,
    dev: Option<&'a str>,
    uid: Option<u32>,
    inode: Option<u32>,
    receive_queue: u32,
    send_queue: u32,
    retransmits: Option<u8>,
    processes: Option<&'a [Owner]>,
}

/// `idiag_timer` of a socket that waits for an acknowledgement (`sock_diag(7)`). Of other timers the count is one of
/// keep-alives or of probes of a closed window.
const RETRANSMIT_TIMER: u8 = 1;

/// `TCP_*` of the kernel's `enum`.
const fn state_name(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "established",
        2 => "syn-sent",
        3 | 12 => "syn-received",
        4 => "fin-wait-1",
        5 => "fin-wait-2",
        6 => "time-wait",
        7 => "closed",
        8 => "close-wait",
        9 => "last-ack",
        10 => "listen",
        11 => "closing",
        13 => "bound",
        _ => return None,
    })
}

/// Writes `protocols`, `owners` and `sockets`.
pub(super) fn write(
    wanted: Protocols,
    root: &Path,
    kernel: &mut Kernel,
    document: &mut Document,
) -> Result<(), Trouble> {
    let protocols: Vec<(&str, u8)> =
        [(wanted.tcp, "tcp", 6), (wanted.udp, "udp", 17), (wanted.raw, "raw", 255)]
            .into_iter()
            .filter_map(|(is_wanted, name, number)| is_wanted.then_some((name, number)))
            .collect();
    let names = Names::read(kernel)?;
    let owners = Owners::read(root, kernel.clock())?;
    document.fact("owners", &owners.gap.unwrap_or("complete"));
    let mut known = Vec::new();
    document.list("sockets");
    for (name, protocol) in protocols {
        for family in [INET, INET6] {
            let mut header = ReqV2::new();
            header.family = family;
            header.protocol = protocol;
            header.states = u32::MAX;
            let request = inet_diag::Request::new().op_tcp_diag_dump(&header);
            let asked = kernel.ask("SOCK_DIAG_BY_FAMILY", &request, |(header, _)| {
                match row(name, &header, &names, &owners) {
                    Some(socket) => document.row(&socket),
                    None => Ok(()),
                }
            });
            match asked {
                // This kernel cannot list them.
                Err(Trouble::Refused(_, Errno::ENOENT | Errno::EINVAL)) => {}
                other => {
                    other?;
                    if !known.contains(&name) {
                        known.push(name);
                    }
                }
            }
        }
    }
    if known.is_empty() {
        return Err(Trouble::Absent("the kernel cannot list sockets (inet_diag)".to_owned()));
    }
    document.fact("protocols", &known);
    Ok(())
}

fn row<'a>(
    protocol: &'static str,
    header: &Msg,
    names: &'a Names,
    owners: &'a Owners,
) -> Option<Socket<'a>> {
    let address = |bytes: [u8; 16]| match (header.family, bytes) {
        (INET, [a, b, c, d, ..]) => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        (_, bytes) => IpAddr::V6(Ipv6Addr::from(bytes)),
    };
    // What no process holds (TIME-WAIT, half-open, not yet accepted) has no inode, and its user is not 0.
    let inode = (header.inode != 0).then_some(header.inode);
    let sockid = &header.sockid;
    Some(Socket {
        protocol,
        family: family(header.family)?,
        state: Word(state_name(header.state), header.state.into()),
        local: address(sockid.src),
        local_port: sockid.sport(),
        remote: address(sockid.dst),
        remote_port: sockid.dport(),
        dev: names.of(sockid.r#if),
        uid: inode.map(|_| header.uid),
        inode,
        receive_queue: header.rqueue,
        send_queue: header.wqueue,
        retransmits: (protocol == "tcp" && header.timer == RETRANSMIT_TIMER)
            .then_some(header.retrans),
        processes: match inode {
            Some(inode) => owners.of(inode),
            None => Some(&[]),
        },
    })
}
