//! A bounded active look at the BGP peers whose session is down: can a TCP connection be made, from the session's own
//! address to the peer's port, and what does the peer say?
//!
//! It is made in the network namespace in which calivet runs. Nothing is sent: a connection is opened, what comes is
//! read for a moment, and it is closed again. Peers whose session stands are left alone, see
//! [`crate::bgp::looks::targets`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use nix::errno::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::netlink::ways;
use crate::bgp::looks::{Connection, Look, Looks, MOST, Outcome, Source, Target};
use crate::bgp::message;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(1);
/// How long a peer may take to speak or to close. BIRD speaks as soon as it has accepted.
const LISTENING: Duration = Duration::from_millis(500);
/// The bound on all peers together.
const ALL: Duration = Duration::from_millis(2400);
/// How many connections are tried at once: each is an open file.
const AT_ONCE: usize = 128;
/// The bound on the kernel's answers about routes and neighbours, each.
const KERNEL: Duration = Duration::from_millis(300);

/// Looks at the peers. `connect`: also with a connection; `is_host`: whether the kernel's choice of a source is the
/// host's own, as it is where calivet runs on the host itself.
pub(super) async fn look(mut targets: Vec<Target>, connect: bool, is_host: bool) -> Looks {
    let left_out = targets.len().saturating_sub(MOST);
    targets.truncate(MOST);
    if targets.is_empty() {
        return Looks { looks: Vec::new(), left_out };
    }
    let wanted: Vec<(IpAddr, Option<IpAddr>)> = targets
        .iter()
        .map(|target| match target.source {
            Source::Address(source) => (target.address, Some(source)),
            Source::Any | Source::Unknown => (target.address, None),
        })
        .collect();
    let ways = tokio::task::spawn_blocking(move || ways::ways(&wanted, KERNEL)).await;
    let mut ways = ways.unwrap_or_default().into_iter();
    let deadline = Instant::now() + ALL;
    let tried = targets.into_iter().map(|target| {
        let route = ways.next().flatten();
        async move {
            let mut look = Look {
                name: target.name.clone(),
                address: target.address.to_string(),
                port: target.port,
                source: match target.source {
                    Source::Address(source) => Some(source.to_string()),
                    Source::Any | Source::Unknown => None,
                },
                route,
                ..Look::default()
            };
            match refusal(&target, connect, is_host) {
                Some(reason) => look.untried = Some(reason.to_owned()),
                None if Instant::now() >= deadline => {
                    look.untried = Some(format!("not within the {ALL:?} for all peers"));
                }
                None => look.connection = Some(try_to_connect(&target, deadline).await),
            }
            look
        }
    });
    let mut looks: Vec<Look> = futures_util::stream::iter(tried).buffered(AT_ONCE).collect().await;
    // Afterwards: the attempts have made the kernel ask for the neighbours.
    let neighbours = tokio::task::spawn_blocking(|| ways::neighbours(KERNEL)).await;
    let mut neighbours = neighbours.unwrap_or_default();
    for look in &mut looks {
        let gateway = look.route.as_ref().and_then(|route| route.gateway.as_ref());
        let hop: Option<IpAddr> = gateway.unwrap_or(&look.address).parse().ok();
        look.neighbour = hop.and_then(|hop| neighbours.get_mut(&hop).map(|known| known.clone()));
    }
    Looks { looks, left_out }
}

/// Why no connection is to be made.
fn refusal(target: &Target, connect: bool, is_host: bool) -> Option<&'static str> {
    if !connect {
        return Some("connections are left out by --no-probe");
    }
    if let Some(reason) = target.refusal {
        return Some(reason);
    }
    match target.source {
        Source::Address(_) => None,
        Source::Any if is_host => None,
        Source::Any => Some("which address the host would choose for it is not known in here"),
        Source::Unknown => Some("this node's address in the session is not known"),
    }
}

async fn try_to_connect(target: &Target, deadline: Instant) -> Connection {
    let begun = Instant::now();
    let limit = deadline.min(begun + CONNECTING);
    let connected = timeout_at(limit, connect(target)).await;
    let milliseconds = since(begun);
    let ended = |outcome, errno: Option<Errno>| Connection {
        outcome,
        milliseconds,
        errno: errno.map(|errno| format!("{errno:?}")),
        said: None,
        closed_after_milliseconds: None,
    };
    match connected {
        Err(_) => ended(Outcome::TimedOut, None),
        Ok(Err(error)) => {
            let errno = error.raw_os_error().map(Errno::from_raw);
            ended(outcome(errno), errno)
        }
        Ok(Ok(stream)) => listen(stream, ended(Outcome::Connected, None)).await,
    }
}

async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let (socket, any) = match target.address {
        IpAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        IpAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let source = match target.source {
        Source::Address(source) => source,
        Source::Any | Source::Unknown => any,
    };
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(SocketAddr::new(target.address, target.port)).await
}

/// Waits for what the peer says, until it is enough or the peer closes.
async fn listen(mut stream: TcpStream, mut connection: Connection) -> Connection {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let mut room = (&mut stream).take(message::MAX_BYTES as u64);
    let heard = timeout(LISTENING, async {
        while !message::is_enough(&bytes) {
            match room.read_buf(&mut bytes).await {
                Ok(0) => return Some(None),
                Ok(_) => {}
                Err(error) => return Some(error.raw_os_error().map(Errno::from_raw)),
            }
        }
        None
    });
    if let Ok(Some(errno)) = heard.await {
        connection.outcome = Outcome::Closed;
        connection.errno = errno.map(|errno| format!("{errno:?}"));
        connection.closed_after_milliseconds = Some(since(begun));
    }
    connection.said = (!bytes.is_empty()).then(|| message::parse(&bytes));
    connection
}

fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What an errno of connect(2) or bind(2) means; those of ICMP are in `icmp_err_convert` of the kernel's
/// `net/ipv4/icmp.c`.
const fn outcome(errno: Option<Errno>) -> Outcome {
    match errno {
        Some(Errno::ECONNREFUSED | Errno::ECONNRESET) => Outcome::Refused,
        Some(Errno::ETIMEDOUT) => Outcome::TimedOut,
        Some(Errno::ENETUNREACH) => Outcome::NoRoute,
        Some(Errno::EHOSTUNREACH | Errno::EHOSTDOWN) => Outcome::HostUnreachable,
        Some(Errno::EADDRNOTAVAIL) => Outcome::AddressNotAvailable,
        Some(Errno::EACCES | Errno::EPERM) => Outcome::Denied,
        _ => Outcome::Failed,
    }
}
