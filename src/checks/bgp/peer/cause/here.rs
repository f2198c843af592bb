//! What is wrong on this host: its address, its listening socket, its packet filter, its routes.

use std::net::IpAddr;

use serde_json::json;

use super::super::Verdict;
use super::Case;
use crate::bgp::looks::{Look, Outcome};
use crate::checks::bgp::kernel::{self, Address, Owner, is_same};
use crate::checks::network::{Unfit, unfit};
use crate::checks::ruleset::{Direction, Packet, TCP};
use crate::status::PeerType;

impl Case<'_> {
    pub(super) fn wrong_here(&self) -> Option<Verdict> {
        self.source_missing()
            .or_else(|| self.peer_is_this_host())
            .or_else(|| self.not_listening())
            .or_else(|| self.no_route())
            .or_else(|| self.filtered_here())
    }

    /// The node's address is not on the node.
    fn source_missing(&self) -> Option<Verdict> {
        let source = self.source()?;
        let refused = self.connection().map(|it| it.outcome) == Some(Outcome::AddressNotAvailable);
        let held = self.facts.addresses.as_ref().map(|all| on_host(all, source));
        let summary = match held {
            None if !refused => return None,
            Some(Some(address)) => {
                let flag = address
                    .flags
                    .iter()
                    .find(|flag| matches!(flag.as_str(), "tentative" | "dadfailed"));
                if !refused && flag.is_none() {
                    return None;
                }
                let dev = address.dev.as_deref().unwrap_or("a link");
                match flag.map(String::as_str) {
                    Some("dadfailed") => format!(
                        "the session's source address {source} is on {dev}, but another host has it too (duplicate address \
                         detection failed)"
                    ),
                    Some(_) => format!(
                        "the session's source address {source} is on {dev}, but the kernel is not done with duplicate \
                         address detection (tentative)"
                    ),
                    None => format!(
                        "the kernel refuses the session's source address {source}, which is on {dev}"
                    ),
                }
            }
            Some(None) | None => {
                format!("the session's source address {source} is on no link of this host")
            }
        };
        Some(
            Verdict::certain("source-address-missing", summary)
                .fact("source", source)
                .remedy("compare Calico's address of this node with the host's: calicoctl get node NAME -o yaml (spec.bgp), ip address")
                .remedy("let calico/node detect it anew: set IP_AUTODETECTION_METHOD (kubernetes-internal-ip, interface=, cidr=) and restart calico-node"),
        )
    }

    /// The peer's address is on this very host: another node is registered with it.
    fn peer_is_this_host(&self) -> Option<Verdict> {
        let by_route = self.look?.route.as_ref()?.kind == "local";
        let by_address = || {
            let all = self.facts.addresses.as_ref()?;
            on_host(all, self.address)
        };
        if self.peer.kind == PeerType::LocalWorkload || !by_route && by_address().is_none() {
            return None;
        }
        Some(
            Verdict::likely(
                "stale-node",
                "the peer's address is this host's own: another node of the cluster is registered with it, most likely one \
                 that is gone",
            )
            .remedy("find the node that has the address: calicoctl get nodes -o wide")
            .remedy("if it is gone, delete it: kubectl delete node NAME (calicoctl delete node NAME with etcd)"),
        )
    }

    /// Nobody listens where the peer calls; it matters where the peer is the one to call.
    fn not_listening(&self) -> Option<Verdict> {
        if self.is_passive() { self.no_listener() } else { None }
    }

    /// Who has BIRD's port, if not BIRD.
    pub(super) fn no_listener(&self) -> Option<Verdict> {
        let port = self.facts.listen_port(self.family);
        let sockets = self.facts.sockets.as_ref()?;
        let is_ipv6 = self.address.contains(':');
        let of_port = sockets.iter().filter(|socket| {
            socket.protocol == "tcp" && socket.state == "listen" && socket.local_port == port
        });
        let (own, dual): (Vec<_>, Vec<_>) =
            of_port.partition(|socket| socket.local.contains(':') == is_ipv6);
        let pids = [&self.facts.status.agents.bird, &self.facts.status.agents.bird6]
            .map(|it| it.presence.pid);
        let is_bird =
            |owner: &Owner| pids.contains(&Some(owner.pid)) || owner.name.starts_with("bird");
        // A listener on `::` may take calls over IPv4 as well; those of BIRD never do.
        let is_dual = |socket: &&kernel::Socket| {
            socket.local == "::"
                && socket.processes.as_ref().is_none_or(|owners| !owners.iter().any(is_bird))
        };
        let listeners: Vec<&kernel::Socket> =
            if own.is_empty() { dual.into_iter().filter(is_dual).collect() } else { own };
        let foreign = listeners.iter().find_map(|socket| {
            let owners = socket.processes.as_ref()?;
            owners.iter().find(|owner| !is_bird(owner)).filter(|_| !owners.iter().any(is_bird))
        });
        let is_birds = |owners: &Vec<Owner>| owners.iter().any(is_bird);
        if listeners.iter().any(|socket| socket.processes.as_ref().is_some_and(is_birds)) {
            return None;
        }
        if let Some(Owner { pid, name }) = foreign {
            return Some(
                Verdict::certain(
                    "port-taken",
                    format!(
                        "process {pid} ({name}) listens on TCP port {port}, so that BIRD cannot"
                    ),
                )
                .fact("owner", json!({"pid": pid, "name": name}))
                .remedy(format!(
                    "stop it (systemctl status {pid} says what it is), then: birdcl restart {}",
                    self.peer.name
                ))
                .remedy("or have one of the two listen elsewhere: listenPort of BGPConfiguration"),
            );
        }
        if !listeners.is_empty() {
            return Some(Verdict::likely(
                "port-taken",
                format!("somebody listens on TCP port {port}, and whether it is BIRD is not known"),
            ));
        }
        Some(
            Verdict::certain("not-listening", format!("nobody listens on TCP port {port} of this host"))
                .remedy("BIRD's log says why (grep -i socket); restart it: in the container of calico-node, sv restart bird"),
        )
    }

    /// The kernel has no way to the peer.
    fn no_route(&self) -> Option<Verdict> {
        let route = self.look.and_then(|look| look.route.as_ref());
        let errno = route.and_then(|route| route.errno.as_deref());
        let by_connection = self.connection().map(|it| it.outcome) == Some(Outcome::NoRoute);
        let words = match errno {
            Some("ENETUNREACH") => "the kernel has no route to it",
            Some("EHOSTUNREACH") => "a route of type unreachable leads to it",
            Some("EACCES") => "a route of type prohibit leads to it",
            Some("EINVAL") => "a route of type blackhole leads to it",
            _ if by_connection => "the kernel has no route to it",
            _ => return None,
        };
        let from = self.source().map_or(String::new(), |source| format!(" from {source}"));
        Some(
            Verdict::certain("no-route", words)
                .remedy(format!("ip route get {}{from}; ip rule", self.address))
                .remedy("add the route, or correct the address of the peer or of this node"),
        )
    }

    /// This host's own rules drop what goes to the peer, or what comes from it.
    fn filtered_here(&self) -> Option<Verdict> {
        // Who was reached is not dropped; who calls us may be.
        let reached = self.reached_peer() == Some(true);
        let firewall = self.facts.firewall()?;
        let address: IpAddr = kernel::address(self.address)?;
        let own = self.source().and_then(kernel::address);
        let link = self.look.and_then(|look: &Look| look.route.as_ref()?.dev.clone());
        let call_out = Packet {
            protocol: TCP,
            direction: Direction::Out,
            source: own,
            destination: Some(address),
            source_port: None,
            destination_port: Some(self.port),
            link,
            onward: None,
            is_first: true,
        };
        let answer_in = Packet {
            direction: Direction::In,
            source: Some(address),
            destination: own,
            source_port: Some(self.port),
            destination_port: None,
            is_first: false,
            ..call_out.clone()
        };
        let port = self.facts.listen_port(self.family);
        let call_in = Packet {
            source_port: None,
            destination_port: Some(port),
            is_first: true,
            ..answer_in.clone()
        };
        let answer_out = Packet {
            source_port: Some(port),
            destination_port: None,
            is_first: false,
            ..call_out.clone()
        };
        let packets: &[(&Packet, &str)] = match (self.is_passive(), reached) {
            (true, _) => &[(&call_in, "its calls"), (&answer_out, "the answers to its calls")],
            (false, true) => &[],
            (false, false) => &[(&call_out, "what is sent to it"), (&answer_in, "what it answers")],
        };
        let dropped =
            packets.iter().find_map(|(packet, what)| Some((firewall.dropped(packet)?, what)));
        let (drop, what) = dropped?;
        let is_certain = drop.is_certain && (self.connection().is_some() || self.is_passive());
        Some(
            Verdict::certain(
                "filtered-here",
                format!("this host itself drops {what}: {}", drop.words),
            )
            .certain_if(is_certain)
            .fact("rule", drop.rule)
            .remedy(drop.command)
            .remedy(format!(
                "let TCP port {} pass to and from {}, before that rule",
                self.port, self.address
            )),
        )
    }

    /// The node speaks from an address that others may not know or reach.
    pub(super) fn wrong_source(&self) -> Option<Verdict> {
        let source = self.source()?;
        let all = self.facts.addresses.as_ref()?;
        let address = on_host(all, source)?;
        let dev = address.dev.as_deref()?;
        let what = match unfit(all, address)? {
            Unfit::Link => format!(
                "the session's source address {source} is on {dev}, which leads to no other node"
            ),
            Unfit::Virtual => format!(
                "the session's source address {source} is a second address of {dev} without a network (/{}), as \
                 keepalived and the like add for a virtual address",
                address.prefix_length
            ),
        };
        Some(
            Verdict::likely("wrong-source-address", what)
                .fact("source", source)
                .fact("dev", dev)
                .remedy("give calico/node the right address: IP_AUTODETECTION_METHOD=kubernetes-internal-ip, or interface=REGEX, cidr=CIDR (operator: spec.calicoNetwork.nodeAddressAutodetectionV4)")
                .remedy("see what it has now: calicoctl get node NAME -o yaml (spec.bgp.ipv4Address)"),
        )
    }
}

/// The row of an address, if a link of this host has it.
fn on_host<'a>(all: &'a [Address], wanted: &str) -> Option<&'a Address> {
    all.iter().find(|row| row.address.as_deref().is_some_and(|address| is_same(address, wanted)))
}
