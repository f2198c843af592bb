//! Is the node well? The exit status of `node status` rests on it.

use super::agents::Felix;
use super::{FamilyStatus, NodeStatus, State};
use crate::bird::reply::Trouble;

/// A verdict; a worse one is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing is wrong and nothing stayed unknown.
    Well,
    /// Nothing is known to be wrong, but something could not be known.
    Unknown,
    /// Something is wrong.
    Wrong,
}

/// Judges a node's agents and peers.
#[must_use]
pub fn verdict(status: &NodeStatus) -> Verdict {
    let ipv4 = family(&status.bgp.ipv4, Verdict::Unknown);
    // Most nodes have no IPv6: that none was configured is the likely reason of a missing daemon.
    let ipv6 = family(&status.bgp.ipv6, Verdict::Well);
    let name = if status.node.is_some() { Verdict::Well } else { Verdict::Unknown };
    felix(&status.agents.felix).max(ipv4).max(ipv6).max(name)
}

fn felix(felix: &Felix) -> Verdict {
    let running = truth(felix.presence.running);
    if felix.health_enabled == Some(false) && felix.live.is_none() && felix.ready.is_none() {
        return running;
    }
    running.max(truth(felix.live)).max(truth(felix.ready))
}

const fn truth(fact: Option<bool>) -> Verdict {
    match fact {
        Some(true) => Verdict::Well,
        Some(false) => Verdict::Wrong,
        None => Verdict::Unknown,
    }
}

/// `unexplained`: what a missing daemon means where it is not known whether there should be one.
fn family(family: &FamilyStatus, unexplained: Verdict) -> Verdict {
    let daemon = match (family.state, family.trouble) {
        (Some(State::Ready), _) if family.error.is_none() => Verdict::Well,
        (Some(State::Disabled), _) => Verdict::Well,
        (Some(State::NotRunning), _) => match family.expected {
            Some(true) => Verdict::Wrong,
            Some(false) => Verdict::Well,
            None => unexplained,
        },
        (Some(State::Unreachable), Some(Trouble::Denied | Trouble::Failed))
        | (Some(State::Ready) | None, _) => Verdict::Unknown,
        (Some(State::Unreachable), _) => Verdict::Wrong,
    };
    let has_peer_down = family.peers.iter().any(|peer| !peer.established);
    // Until graceful restart ends, BIRD gives the kernel no route, and calico/node's own probe fails.
    let withholds_routes =
        family.graceful_restart.is_some() || family.peers.iter().any(|peer| peer.state == "wait");
    if has_peer_down || withholds_routes { Verdict::Wrong } else { daemon }
}
