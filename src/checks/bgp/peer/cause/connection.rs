//! How a connection to the peer ends, and, where none was tried, how BIRD's own ended.

use super::super::Verdict;
use super::Case;
use crate::bgp::looks::{Connection, Outcome};
use crate::bgp::message::{Notification, Open, Said};
use crate::checks::bgp::kernel::is_same;

/// What is known of the next hop on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hop {
    Answers,
    /// It was asked for and has not answered.
    Silent,
    Unknown,
}

impl Case<'_> {
    pub(super) fn by_connection(&self) -> Option<Verdict> {
        let connection = self.connection()?;
        match connection.outcome {
            Outcome::HostUnreachable => Some(self.unreachable()),
            Outcome::TimedOut => Some(self.unanswered()),
            Outcome::Refused => Some(self.refused()),
            Outcome::Denied => Some(self.denied(connection)),
            Outcome::Closed => Some(self.closed(connection)),
            Outcome::Connected => self.connected(connection),
            Outcome::NoRoute | Outcome::AddressNotAvailable | Outcome::Failed => None,
        }
    }

    fn hop(&self) -> Hop {
        let Some(look) = self.look else { return Hop::Unknown };
        match look.neighbour.as_ref().map(|neighbour| neighbour.state.as_str()) {
            Some("failed" | "incomplete") => Hop::Silent,
            Some("reachable" | "stale" | "delay" | "probe" | "permanent" | "noarp") => Hop::Answers,
            _ => Hop::Unknown,
        }
    }

    /// The next hop in words.
    fn hop_words(&self) -> String {
        let route = self.look.and_then(|look| look.route.as_ref());
        let dev = route.and_then(|route| route.dev.as_deref()).unwrap_or("its link");
        match route.and_then(|route| route.gateway.as_deref()) {
            Some(gateway) => format!("the gateway {gateway} on {dev}"),
            None => format!("it, on {dev},"),
        }
    }

    fn neighbour_unreachable(&self, is_certain: bool) -> Verdict {
        let protocol = if self.address.contains(':') { "neighbour discovery" } else { "ARP" };
        Verdict::certain(
            "neighbour-unreachable",
            format!("{} does not answer {protocol}", self.hop_words()),
        )
        .certain_if(is_certain)
        .remedy(format!("is the host up, and on this network? ip neighbour show; ping {}", self.address))
        .remedy("if the node is gone for good, delete it: kubectl delete node NAME (calicoctl delete node NAME with etcd)")
    }

    /// Somebody said that the host cannot be reached: this kernel, or a router or firewall by ICMP.
    fn unreachable(&self) -> Verdict {
        match self.hop() {
            Hop::Silent => self.neighbour_unreachable(true),
            Hop::Unknown => self.neighbour_unreachable(false),
            Hop::Answers => Verdict::likely(
                "filtered",
                "its link answers, and a connection is rejected as \"host unreachable\": a firewall in front of it or on it \
                 (firewalld rejects so), or a router that does not find it",
            )
            .remedy(self.open_port()),
        }
    }

    fn denied(&self, connection: &Connection) -> Verdict {
        // The kernel makes EACCES of ICMPv6 "administratively prohibited" (`tab_unreach` in net/ipv6/icmp.c).
        if connection.errno.as_deref() == Some("EACCES") && self.address.contains(':') {
            return Verdict::likely(
                "filtered",
                "a connection is rejected as \"administratively prohibited\": a firewall in front of it or on it",
            )
            .remedy(self.open_port());
        }
        Verdict::likely("filtered-here", "this host's kernel does not allow a connection to it")
            .remedy(format!("ip route get {}; nft list ruleset", self.address))
    }

    fn open_port(&self) -> String {
        format!(
            "let TCP port {} pass in both directions between {} and {}: firewall of both nodes, security groups",
            self.port,
            self.source().unwrap_or("this node"),
            self.address
        )
    }

    /// The call is not answered at all.
    fn unanswered(&self) -> Verdict {
        if self.hop() == Hop::Silent {
            // The kernel gives an address up after three seconds, a look takes one: BIRD's own attempts went on longer.
            let gave_up = self.error().contains("No route to host");
            let failed = self
                .look
                .and_then(|look| look.neighbour.as_ref())
                .is_some_and(|it| it.state == "failed");
            return self.neighbour_unreachable(gave_up || failed);
        }
        if let Some(verdict) = self.wrong_source() {
            return verdict;
        }
        if let Some(verdict) = self.wrong_signature() {
            return verdict;
        }
        Verdict::likely("filtered", "its link or gateway answers, and nothing answers on its BGP port: dropped on the way or there")
            .remedy(self.open_port())
            .remedy(format!("on the peer, see whether it arrives: tcpdump -ni any tcp port {}", self.port))
    }

    /// Silence is also how a kernel meets a segment that is not signed as it should be.
    fn wrong_signature(&self) -> Option<Verdict> {
        let dropped = self.facts.dropped.unwrap_or_default();
        let here = self.has_password();
        let summary = if here && dropped.any_by_signature() {
            "the session has a password, its segments are dropped without an answer, and this host has dropped segments with \
             a wrong signature as well: the passwords differ, or only one end has one"
        } else if here {
            "the session has a password, and its segments are dropped without an answer, as a kernel does where the other \
             end has another one; a firewall would look the same"
        } else if dropped.signed > 0 && self.is_signer() {
            "this end has no password, and this host drops signed segments (TCPMD5Unexpected): the peer has one"
        } else {
            return None;
        };
        Some(self.authentication(Verdict::likely("authentication", summary)))
    }

    /// Whether the peer may be who sends the signed segments that this host drops. The counter does not tell whose they
    /// are: it is the only one that is silent, or all are, as where this node alone was not given the password.
    fn is_signer(&self) -> bool {
        if self.session.is_none() {
            return false;
        }
        let is_plain = |name: &str| {
            self.facts.session(self.family, name).is_some_and(|session| !session.has_password)
        };
        let is_silent = |name: &str| {
            let look = self.facts.looks.get(name);
            look.and_then(|look| look.connection.as_ref())
                .is_some_and(|it| it.outcome == Outcome::TimedOut)
        };
        let plain: Vec<bool> = self
            .status
            .peers
            .iter()
            .filter(|peer| peer.state != "down" && is_plain(&peer.name))
            .map(|peer| is_silent(&peer.name))
            .collect();
        let silent = plain.iter().filter(|is_silent| **is_silent).count();
        silent == 1 || silent == plain.len()
    }

    fn authentication(&self, verdict: Verdict) -> Verdict {
        let dropped = self.facts.dropped.unwrap_or_default();
        verdict
            .fact("tcpMd5NotFound", dropped.unsigned)
            .fact("tcpMd5Unexpected", dropped.signed)
            .fact("tcpMd5Failure", dropped.wrongly_signed)
            .remedy("compare the password on both ends: the Secret of BGPConfiguration.nodeMeshPassword (mesh) or of BGPPeer.password, and whether the role of calico-node may read it")
            .remedy("on the peer, see which counter grows: nstat -az TcpExtTCPMD5*")
    }

    fn refused(&self) -> Verdict {
        let error = self.error();
        // A BIRD that is shut down says so, and one without any session closes its listening socket.
        if error.starts_with("Received: Administrative shutdown")
            || error.starts_with("Received: Peer de-configured")
        {
            return Verdict::likely(
                "shut-down-by-peer",
                format!(
                    "the peer ended the session (\"{error}\"), and since then nobody listens there"
                ),
            )
            .remedy("enable it there (birdcl enable NAME), or start the BIRD that was stopped");
        }
        let is_known = self.facts.knows_firewall();
        let passive = if self.is_passive() {
            " (it is the one to call, and a BIRD that runs would listen as well)"
        } else {
            ""
        };
        Verdict::certain(
            "refused",
            format!(
                "connections to its port {} are refused: nobody listens there{passive}, or a firewall there rejects them",
                self.port
            ),
        )
        // Who is to call may have another reason not to.
        .certain_if(is_known && !self.is_passive())
        .remedy("start BIRD on the peer: kubectl get pods -n calico-system -o wide | grep calico-node")
        .remedy("or correct the port: listenPort of BGPConfiguration, and the port of the BGPPeer's address")
    }

    /// The peer's host took the call, and something closed it.
    fn closed(&self, connection: &Connection) -> Verdict {
        let said = connection.said.as_ref();
        let notification = said.and_then(|said| said.notification.as_ref());
        if let Some(verdict) = notification.and_then(|it| self.by_notification(it)) {
            return verdict;
        }
        if let Some(verdict) = self.wrong_source() {
            return verdict;
        }
        let open = said.and_then(|said| said.open.as_ref());
        if let Some(verdict) = open.and_then(|open| self.by_open(open)) {
            return verdict;
        }
        let source = self.source().unwrap_or("this node's address");
        Verdict::likely(
            "peer-does-not-know-us",
            format!(
                "it takes the connection and closes it at once: it has no session with {source}, or has it disabled or in \
                 back-off"
            ),
        )
        .remedy(self.on_peer())
    }

    fn by_notification(&self, notification: &Notification) -> Option<Verdict> {
        let words = &notification.words;
        let (cause, what) = match (notification.code, notification.subcode) {
            (2, 2) => ("bad-peer-as", "it expects another AS number of this node"),
            (2, 3) => ("router-id-collision", "it refuses this node's router id"),
            (2, 5) => ("authentication", "it refuses this node's password"),
            (4, _) => ("hold-timer", "it heard nothing for the hold time"),
            (6, 1 | 8) => ("route-limit", "its limit of routes is exceeded"),
            (6, 2 | 4) => ("shut-down-by-peer", "its administrator has shut the session down"),
            (6, 3 | 5) => ("peer-does-not-know-us", "it rejects this node"),
            _ => return None,
        };
        Some(
            Verdict::likely(cause, format!("{what}: the peer says \"{words}\""))
                .fact("said", words.clone())
                .remedy(self.on_peer()),
        )
    }

    /// The connection stands: who is there, and what keeps BIRD from the same?
    fn connected(&self, connection: &Connection) -> Option<Verdict> {
        let Some(said) = &connection.said else {
            return Some(
                Verdict::likely(
                    "bird-blocked",
                    "it takes a connection and says nothing, which a BGP speaker does at once: its BGP daemon hangs",
                )
                .fact("where", "peer")
                .remedy("look at BIRD on the peer: calivet check bgp there; birdcl show status"),
            );
        };
        match said {
            Said { open: Some(open), .. } => self.by_open(open).or_else(|| self.called()),
            Said { notification: Some(notification), .. } => self.by_notification(notification),
            Said { other, .. } => Some(
                Verdict::unknown(format!(
                    "something else than BGP answers on its port {}: {}",
                    self.port,
                    other.as_deref().unwrap_or_default()
                ))
                .remedy("correct the address or port of the peer, or stop what listens there"),
            ),
        }
    }

    /// What the peer's OPEN gives away.
    fn by_open(&self, open: &Open) -> Option<Verdict> {
        let expected = self.peer.remote_as;
        if let Some(expected) = expected.filter(|expected| *expected != open.autonomous_system) {
            let is = open.autonomous_system;
            return Some(
                Verdict::likely(
                    "bad-peer-as",
                    format!("this node expects AS {expected} of the peer, it is AS {is}"),
                )
                .fact("peerAs", is)
                .remedy(format!("correct asNumber of the peer: {}", self.resource())),
            );
        }
        let own = self.status.router_id.as_deref()?;
        is_same(own, &open.router_id).then(|| {
            Verdict::likely("router-id-collision", format!("both ends have the router id {own}"))
                .fact("peerRouterId", open.router_id.clone())
                .remedy(
                    "give each node a router id of its own: CALICO_ROUTER_ID (hash, or an address)",
                )
        })
    }

    /// The peer knows this node and listens; nevertheless there is no session.
    fn called(&self) -> Option<Verdict> {
        // The connection was not signed.
        if self.has_password() {
            return Some(self.authentication(Verdict::certain(
                "authentication",
                "this node's end has a password and the peer's has none: it takes a connection without a signature",
            )));
        }
        if self.has_ttl_security() {
            return Some(self.ttl_security_here());
        }
        if self.is_passive() {
            return Some(
                Verdict::likely(
                    "both-passive",
                    "both ends wait for the other to call: the peer knows this node, takes a connection and does not make one",
                )
                .remedy("see whether the peer's end is `passive on` as well; in the mesh exactly one end is, by the order of the addresses")
                .remedy(format!("if it is not, see whether its calls arrive: tcpdump -ni any tcp port {}", self.facts.listen_port(self.family))),
            );
        }
        None
    }

    fn ttl_security_here(&self) -> Verdict {
        Verdict::likely(
            "ttl-security",
            "a connection can be made, but BIRD only takes packets with a full TTL (ttlSecurity): the peer does not send such, \
             or is further away than it is said to be",
        )
        .fact("tcpMinTtlDrop", self.facts.dropped.unwrap_or_default().too_far)
        .remedy("set ttlSecurity of the BGPPeer on both ends, or on none; its number is that of hops")
    }

    /// Without a connection of our own: BIRD's last one, and what the kernel knows.
    pub(super) fn by_last_error(&self) -> Option<Verdict> {
        if let Some(verdict) = self.stuck() {
            return Some(verdict);
        }
        if self.connection().is_some() {
            return None;
        }
        let error = self.error();
        if let Some(verdict) = self.wrong_source() {
            return Some(verdict);
        }
        Some(if error.contains("Connection refused") {
            self.refused().certain_if(false)
        } else if error.contains("No route to host") {
            self.unreachable().certain_if(false)
        } else if error.contains("Network is unreachable") {
            Verdict::likely("no-route", "the kernel had no route to it when BIRD tried last")
                .remedy(format!("ip route get {}", self.address))
        } else if error.contains("Connection closed") || error.contains("Connection reset") {
            Verdict::likely(
                "peer-does-not-know-us",
                "it took BIRD's connection and closed it: it has no session with this node's address, or has it disabled",
            )
            .remedy(self.on_peer())
        } else if self.hop() == Hop::Silent {
            self.neighbour_unreachable(false)
        } else if self.bgp_state() == "Connect" && error.is_empty() {
            self.unanswered()
        } else {
            return None;
        })
    }

    /// A connection that stands, on which what this node says is not acknowledged: the peer's kernel drops it.
    fn stuck(&self) -> Option<Verdict> {
        if !matches!(self.bgp_state(), "OpenSent" | "OpenConfirm") {
            return None;
        }
        let waiting = self.facts.sockets.as_ref()?.iter().find(|socket| {
            socket.state == "established"
                && (socket.remote_port == self.port || socket.local_port == self.port)
                && is_same(&socket.remote, self.address)
        })?;
        let bytes = waiting.send_queue;
        Some(if self.has_ttl_security() {
            self.ttl_security_here()
        } else if bytes > 0 {
            Verdict::likely(
                "ttl-security",
                format!(
                    "the connection stands, and {bytes} bytes that BIRD sent are not acknowledged: the peer's kernel drops them, \
                     as it does with TTL security where packets come from further away than they may"
                ),
            )
            .fact("sendQueue", bytes)
            .remedy("set ttlSecurity of the BGPPeer on both ends, or on none; its number is that of hops")
            .remedy("or a firewall lets connections begin and drops what follows")
        } else {
            Verdict::likely(
                "bird-blocked",
                "the connection stands, the peer has all that BIRD sent, and says nothing: its BGP daemon hangs",
            )
            .fact("where", "peer")
            .remedy("look at BIRD on the peer: calivet check bgp there; birdcl show status")
        })
    }
}
