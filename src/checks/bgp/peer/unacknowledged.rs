//! Large packets that do not arrive: what a session sends is sent again and again, while the peer is heard.
//!
//! BGP's keepalives are 19 bytes, an UPDATE of many routes fills a packet. Where a link on the way takes less than the
//! ends think, and nobody is told (RFC 2923), the session stands until the peer has heard nothing for the hold time:
//! what waits behind the packet that was lost does not arrive either.

use std::time::Duration;

use crate::checks::bgp::facts::Facts;
use crate::checks::bgp::kernel::{Socket, is_same};
use crate::host::{Family, Reading};
use crate::status::{Answers, Peer};

/// Bytes that are more than messages of BGP's own, so that routes wait.
const WAITING: u32 = 1000;

/// The shortest time after which TCP sends again (`TCP_RTO_MIN`); each time it is doubled.
const FIRST: Duration = Duration::from_millis(200);

/// The longest (`TCP_RTO_MAX`).
const LONGEST: Duration = Duration::from_secs(120);

/// BIRD 1.6 tells its timers in whole seconds.
const ROUNDED: Duration = Duration::from_secs(1);

/// What mends it.
pub(super) fn remedies(address: &str) -> [String; 2] {
    [
        format!("find the largest packet that passes: ping -M do -s 1472 {address}, and smaller"),
        "give the links of the path the same MTU, or let ICMP \"fragmentation needed\" pass"
            .to_owned(),
    ]
}

/// The connection of a session that stands, where what was sent is not acknowledged although the peer was heard after it
/// was sent first. A peer that is gone is not heard, and one that is slow acknowledges or closes its window.
pub(super) fn of_standing<'a>(
    facts: &'a Facts<'_>,
    family: Family,
    peer: &Peer,
    port: u16,
) -> Option<&'a Socket> {
    let tried = |socket: &Socket| trying(socket.retransmits.unwrap_or_default());
    let waiting = of_peer(facts, peer, port, &["established"]);
    let waiting = waiting.max_by_key(|socket| tried(socket))?;
    let daemon = if facts.is_one_daemon() { Family::Ipv4 } else { family };
    let asked = facts.evidence.get(Answers::of(daemon).protocols)?;
    let looked = facts.evidence.get("network/sockets.json")?;
    let silence = silence(peer.hold_timer.as_deref()?)? + ROUNDED;
    (tried(waiting) > silence + between(asked, looked)).then_some(waiting)
}

/// What is left of the connection of a session that has ended, where it was not acknowledged.
pub(super) fn of_ended<'a>(facts: &'a Facts<'_>, peer: &Peer, port: u16) -> Option<&'a Socket> {
    of_peer(facts, peer, port, &["fin-wait-1", "closing", "last-ack"])
        .find(|socket| socket.retransmits.is_some_and(|times| times > 0))
}

fn of_peer<'a>(
    facts: &'a Facts<'_>,
    peer: &Peer,
    port: u16,
    states: &'a [&str],
) -> impl Iterator<Item = &'a Socket> {
    let address = peer.address.clone().unwrap_or_default();
    facts.sockets.iter().flatten().filter(move |socket| {
        states.contains(&socket.state.as_str())
            && (socket.remote_port == port || socket.local_port == port)
            && socket.send_queue >= WAITING
            && is_same(&socket.remote, &address)
    })
}

/// How long at least data has been tried that was sent again so often in turn.
fn trying(times: u8) -> Duration {
    (0..times.min(64)).fold(Duration::ZERO, |sum, turn| {
        sum + FIRST.saturating_mul(1_u32.checked_shl(turn.into()).unwrap_or(u32::MAX)).min(LONGEST)
    })
}

/// How long nothing was heard, by the hold timer: what is left and the whole, `167/240`.
fn silence(timer: &str) -> Option<Duration> {
    let (left, whole) = timer.split_once('/')?;
    let seconds = whole.trim().parse::<f64>().ok()? - left.trim().parse::<f64>().ok()?;
    let seconds = if seconds < 0.0 { 0.0 } else { seconds };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The longest time that may have passed between the answers of BIRD and of the kernel, in whole milliseconds as
/// manifests have them.
fn between(asked: &Reading, looked: &Reading) -> Duration {
    let apart = looked.started.as_millisecond() - asked.started.as_millisecond();
    let took = i64::try_from(looked.duration.as_millis()).unwrap_or(i64::MAX);
    Duration::from_millis(u64::try_from(apart.saturating_add(took)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_twice_as_long_as_the_one_before_up_to_two_minutes() {
        let milliseconds = [0, 1, 4, 10, 11].map(|times| trying(times).as_millis());
        assert_eq!(milliseconds, [0, 200, 3000, 204_600, 324_600]);
        assert!(trying(u8::MAX) > trying(60));
    }

    #[test]
    fn the_hold_timer_tells_how_long_nothing_was_heard() {
        assert_eq!(silence("167/240"), Some(Duration::from_secs(73)));
        assert_eq!(silence("194.5/240"), Some(Duration::from_millis(45_500)));
        assert_eq!(silence("241/240"), Some(Duration::ZERO));
        for not_told in ["240", "/", "a/b", "1/NaN", "-1e300/1e300", "0/inf"] {
            assert_eq!(silence(not_told), None, "{not_told}");
        }
    }
}
