//! What BGP itself said: BIRD's last error, where it is one of the protocol's and still stands.

use super::super::{Verdict, unacknowledged};
use super::Case;
use crate::bgp::looks::Outcome;

impl Case<'_> {
    /// The cause by an error that BGP told of. A later failure to connect is more recent than it.
    pub(super) fn told(&self) -> Option<Verdict> {
        if self.reached_peer() == Some(false) {
            return None;
        }
        let error = self.error();
        let (who, said) = if let Some(said) = error.strip_prefix("Received: ") {
            (Who::Peer, said)
        } else if let Some(said) = error.strip_prefix("BGP Error: ") {
            (Who::Bird, said)
        } else if let Some(said) = error.strip_prefix("Error: ") {
            (Who::Host, said)
        } else {
            return None;
        };
        // Without a look it may be long over, unless the session waits because of it.
        let is_fresh = self.reached_peer() == Some(true) || self.bgp_state() == "Idle";
        self.error_of(who, said).map(|verdict| verdict.certain_if(is_fresh).fact("said", error))
    }

    fn error_of(&self, who: Who, said: &str) -> Option<Verdict> {
        let has = |words: &str| said.contains(words);
        let opened = self.connection().and_then(|it| it.said.as_ref()?.open.as_ref());
        let verdict = if has("Bad peer AS") {
            self.bad_peer_as(who)
        } else if has("Bad BGP identifier") {
            let own = self.status.router_id.as_deref().unwrap_or("unknown");
            Verdict::certain(
                "router-id-collision",
                format!("the two router ids clash; this node's is {own}: {}", who.tells(said)),
            )
            .fact("routerId", own)
            .remedy("give each node a router id of its own: CALICO_ROUTER_ID (hash, or an address); without IPv4 it must be set")
            .remedy("cloned hosts: look for two nodes with one address, calicoctl get nodes -o wide")
        } else if has("Authentication") || has("MD5 auth") {
            Verdict::certain("authentication", format!("the passwords do not fit: {}", who.tells(said)))
                .remedy("compare the Secrets that BGPConfiguration.nodeMeshPassword and BGPPeer.password refer to, and whether calico-node may read them")
        } else if has("Hold timer expired") {
            self.hold_timer(who)
        } else if has("Unacceptable hold time") {
            Verdict::certain(
                "hold-timer",
                format!("the two ends cannot agree on a hold time: {}", who.tells(said)),
            )
            .remedy("set the same keepalive and hold time on both ends")
        } else if has("Peer de-configured") {
            Verdict::certain(
                "peer-does-not-know-us",
                "the peer has taken this node out of its configuration",
            )
            .remedy(self.on_peer())
        } else if has("Connection rejected") {
            Verdict::likely(
                "peer-does-not-know-us",
                "the peer rejects the session: it does not know this node, or has it disabled",
            )
            .remedy(self.on_peer())
        } else if has("Administrative shutdown") || has("Administrative reset") {
            match who {
                Who::Peer => Verdict::certain("shut-down-by-peer", format!("the peer's administrator ended the session ({said})"))
                    .remedy("enable it there: birdcl enable NAME on a Calico node, or no shutdown on a router"),
                _ => Verdict::likely("disabled-here", "it was shut down on this node, and is up again"),
            }
        } else if has("Maximum number of prefixes")
            || has("Out of Resources")
            || has("Route limit exceeded")
        {
            let whose = if who == Who::Peer { "the peer's" } else { "this node's" };
            Verdict::certain("route-limit", format!("{whose} limit of routes is exceeded ({said})"))
                .remedy(
                    "announce fewer routes (larger IPAM blocks, aggregation) or raise the limit",
                )
        } else if has("No listening socket") {
            return self.no_listener();
        } else if has("Neighbor lost") || has("Link down") {
            Verdict::likely(
                "neighbour-unreachable",
                format!("BIRD lost the neighbour on the link ({said})"),
            )
            .remedy(format!("ip neighbour show {}; ip link", self.address))
        } else if who == Who::Host {
            return None;
        } else {
            Verdict::unknown(format!("the two ends do not agree: {}", who.tells(said)))
                .remedy(self.resource())
        };
        Some(match opened {
            Some(open) => verdict
                .fact("peerAs", open.autonomous_system)
                .fact("peerRouterId", open.router_id.clone()),
            None => verdict,
        })
    }

    fn bad_peer_as(&self, who: Who) -> Verdict {
        let expected = self.peer.remote_as.map_or("another AS".to_owned(), |it| format!("AS {it}"));
        let opened = self.connection().and_then(|it| it.said.as_ref()?.open.as_ref());
        let shown =
            opened.map_or(String::new(), |open| format!(", it is AS {}", open.autonomous_system));
        let own = self.session.and_then(|session| session.local_as).or(self.peer.local_as);
        let ours = own.map_or(String::new(), |own| format!(" (AS {own})"));
        let summary = match who {
            Who::Peer => {
                format!("the peer expects another AS number of this node than it has{ours}")
            }
            _ => format!("this node expects {expected} of the peer{shown}"),
        };
        Verdict::certain("bad-peer-as", summary)
            .remedy(match who {
                Who::Peer => "correct this node's AS on the peer, or set it here: calicoctl get node NAME -o yaml (spec.bgp.asNumber), BGPConfiguration asNumber".to_owned(),
                _ => format!("correct asNumber of the peer: {}", self.resource()),
            })
    }

    fn hold_timer(&self, who: Who) -> Verdict {
        let left = unacknowledged::of_ended(self.facts, self.peer, self.port);
        if let Some(socket) = left.filter(|_| who == Who::Peer) {
            let bytes = socket.send_queue;
            let [ping, mend] = unacknowledged::remedies(self.address);
            return Verdict::likely(
                "path-mtu",
                format!(
                    "the peer heard nothing of this node for the hold time and could say so, and of what was sent to it {bytes} \
                     bytes are still sent again: large packets do not arrive"
                ),
            )
            .fact("sendQueue", bytes)
            .fact("retransmits", socket.retransmits)
            .remedy(ping)
            .remedy(mend);
        }
        let silent = self
            .connection()
            .is_some_and(|it| it.outcome == Outcome::Connected && it.said.is_none());
        let summary = match who {
            Who::Peer => "the peer heard nothing of this node for the hold time",
            _ if silent => {
                "nothing came from the peer for the hold time, and now it takes a connection and says nothing: its \
                BGP daemon hangs"
            }
            _ => "nothing came from the peer for the hold time",
        };
        Verdict::likely("hold-timer", summary)
            .remedy("look for loss on the path, a starved node (cat /proc/pressure/cpu) or a hanging BGP daemon, on both ends")
            .remedy(format!("and for an MTU that is too small: ping -M do -s 1472 {}", self.address))
    }

    /// What is to be looked at on the other end.
    pub(super) fn on_peer(&self) -> String {
        let source = self.source().unwrap_or("this node's address");
        format!(
            "on the peer, look for a session with {source}: birdcl show protocols all; {}",
            self.resource()
        )
    }
}

/// Who told of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The peer, by a NOTIFICATION.
    Peer,
    /// This node's BIRD, which sent one.
    Bird,
    /// This node's BIRD, of something on this host.
    Host,
}

impl Who {
    fn tells(self, said: &str) -> String {
        match self {
            Self::Peer => format!("the peer says \"{said}\""),
            Self::Bird | Self::Host => format!("BIRD says \"{said}\""),
        }
    }
}
