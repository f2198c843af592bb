//! Reads one table of the kernel's as `calivet node diags` does, or bare: for `benches/netlink.sh`.
#![allow(clippy::disallowed_methods, reason = "what is measured against is a bare read")]
#![allow(clippy::print_stderr, reason = "it says what it read")]

use std::borrow::Cow;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use calivet::host::netlink::Dump;
use calivet::host::{Artifact, Host, Source};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("routes") => read(Dump::Routes).await,
        Some("connections") => read(Dump::Conntrack).await,
        // struct rtmsg of AF_INET; struct nfgenmsg.
        Some("bare-routes") => {
            bare(SockProtocol::NetlinkRoute, 26, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        }
        Some("bare-connections") => bare(SockProtocol::NetlinkNetFilter, 257, &[0; 4])?,
        _ => anyhow::bail!("routes, connections, bare-routes or bare-connections"),
    }
    Ok(())
}

async fn read(dump: Dump) {
    let artifact = Artifact::new(Cow::Borrowed("x"), Source::Netlink(dump)).at_most(1 << 32);
    let host = Host::live(Path::new("/"), Duration::from_secs(60));
    let (sender, mut chunks) = tokio::sync::mpsc::channel::<Vec<u8>>(2);
    let count = async {
        let mut bytes = 0;
        while let Some(chunk) = chunks.recv().await {
            bytes += chunk.len();
        }
        bytes
    };
    let (reading, bytes) = tokio::join!(host.stream(&artifact, sender), count);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    eprintln!("{}: {bytes} bytes, {:?} {peak}", reading.outcome, reading.duration);
}

/// Asks for a dump and looks at nothing of it but where it ends.
fn bare(protocol: SockProtocol, kind: u16, header: &[u8]) -> anyhow::Result<()> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let mut message = u32::try_from(16 + header.len())?.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    // NLM_F_REQUEST and NLM_F_DUMP.
    message.extend(0x301u16.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(header);
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        bytes += length;
        // NLMSG_DONE comes in a datagram of its own, or last; NLMSG_ERROR alone.
        let kind = u16::from_ne_bytes([buffer[4], buffer[5]]);
        let last = length >= 20 && buffer[length - 16..length - 14] == 3u16.to_ne_bytes();
        if kind == 3 || kind == 2 || last {
            break;
        }
    }
    eprintln!("{bytes} bytes");
    Ok(())
}
