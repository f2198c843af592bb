//! `show route` and `show route all`.
//!
//! BIRD 1.6:
//!
//! ```text
//! 1007-192.168.36.64/26   via 10.128.0.1 on ens4 [Mesh_10_128_0_241 09:23:23 from 10.128.0.241] * (100/?) [i]
//!                     unreachable [Mesh_10_128_0_244 09:23:24 from 10.128.0.244] (100/-) [i]
//!  172.30.0.0/16      multipath [kernel1 01:50:27] * (10)
//!      via 10.0.0.2 on eth0 weight 1
//!      via 10.0.0.4 on eth0 weight 1
//! ```
//!
//! BIRD 2 and 3 name the table, write the kind first and each next hop on a line of its own:
//!
//! ```text
//! 1007-Table master4:
//!  192.168.110.128/26   unicast [Mesh_10_0_0_2 01:54:58.778] * (100) [i]
//!      via 10.0.0.2 on eth0
//! ```
//!
//! The lines of next hops begin with a tab. A blank destination is that of the route above. `*`: the best route of
//! its destination; `!` in its place: the best, which the kernel did not take. `(preference/metric)`, an `s` after
//! the preference for a stale route.

use std::mem;

use super::reply::{Line, Reply};

/// What an answer to `show route` holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// The routes in BIRD's order.
    pub list: Vec<Route>,
    /// Lines that could not be understood.
    pub not_understood: usize,
}

/// One route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// The table, as BIRD 2 and 3 head their lists.
    pub table: Option<String>,
    /// The prefix.
    pub destination: String,
    /// What is done with a packet.
    pub kind: Kind,
    /// The next hops of a unicast route.
    pub next_hops: Vec<NextHop>,
    /// The protocol that it came from.
    pub protocol: String,
    /// Since when, as BIRD wrote it.
    pub since: String,
    /// Who announced it, if that is not its next hop.
    pub from: Option<String>,
    /// Its rank among the routes of its destination.
    pub rank: Rank,
    /// BIRD's preference of the protocol.
    pub preference: Option<u32>,
    /// The metric behind the preference: a number, `?` (unknown), `-` (the next hop cannot be resolved).
    pub metric: Option<String>,
    /// Whether it is kept only until a graceful restart ends.
    pub is_stale: bool,
    /// The last AS and BGP's origin: `i`, `AS65001?`.
    pub origin: Option<String>,
}

/// What a route does with a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kind {
    /// It goes to a next hop.
    #[default]
    Unicast,
    /// It is dropped in silence.
    Blackhole,
    /// It is refused as unreachable.
    Unreachable,
    /// It is refused as prohibited.
    Prohibited,
    /// A word that is none of these.
    Other(String),
}

/// A next hop: a gateway, a link, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NextHop {
    /// The gateway's address.
    pub gateway: Option<String>,
    /// The link.
    pub interface: Option<String>,
    /// The weight in a multipath route.
    pub weight: Option<u32>,
}

/// The rank of a route among those of its destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rank {
    /// Another one is better.
    #[default]
    Alternative,
    /// It is the best (`*`).
    Best,
    /// It is the best, and the kernel did not take it (`!`).
    NotInKernel,
}

/// The routes in an answer to `show route`; the attributes that `show route all` adds are passed over.
#[must_use]
pub fn parse(reply: &Reply<'_>) -> Routes {
    let mut routes = Routes::default();
    let mut table = None;
    for Line { text, .. } in reply.lines.iter().filter(|line| line.code == 1007) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix("Table ").and_then(|name| name.strip_suffix(':')) {
            table = Some(name.to_owned());
        } else if text.starts_with('\t') {
            match (routes.list.last_mut(), next_hop(trimmed)) {
                (Some(route), Some(hop)) => route.next_hops.push(hop),
                _ => routes.not_understood += 1,
            }
        } else {
            let above = routes.list.last().map(|route| route.destination.as_str());
            match route(text, above) {
                Some(route) => routes.list.push(Route { table: table.clone(), ..route }),
                None => routes.not_understood += 1,
            }
        }
    }
    routes
}

/// One route on its line; `above` is the destination that a blank one stands for.
fn route(text: &str, above: Option<&str>) -> Option<Route> {
    let (left, right) = text.split_once('[')?;
    let (source, rank) = right.split_once(']')?;
    let mut words: Vec<&str> = left.split_ascii_whitespace().collect();
    let mut destination = match words.first() {
        _ if text.starts_with(' ') => above?.to_owned(),
        None => return None,
        Some(_) => words.remove(0).to_owned(),
    };
    let mut route = Route::default();
    if words.iter().any(|word| matches!(*word, "via" | "dev")) {
        route.next_hops.push(next_hop(&words.join(" "))?);
    } else {
        route.kind = kind(words.pop()?);
        // A destination of more than one word, as flow specifications and ROAs have.
        for word in mem::take(&mut words) {
            destination.push(' ');
            destination.push_str(word);
        }
    }
    route.destination = destination;

    let (source, from) = match source.split_once(" from ") {
        Some((source, from)) => (source, Some(from.trim().to_owned())),
        None => (source, None),
    };
    let (protocol, since) = source.split_once(' ').unwrap_or((source, ""));
    protocol.clone_into(&mut route.protocol);
    since.trim().clone_into(&mut route.since);
    route.from = from;
    for word in rank.split_ascii_whitespace() {
        if word == "*" {
            route.rank = Rank::Best;
        } else if word == "!" {
            route.rank = Rank::NotInKernel;
        } else if let Some(rank) = within(word, '(', ')') {
            let end = rank.find(|c: char| !c.is_ascii_digit()).unwrap_or(rank.len());
            let (flags, metric) = match rank[end..].split_once('/') {
                Some((flags, metric)) => (flags, Some(metric.to_owned())),
                None => (&rank[end..], None),
            };
            route.preference = rank[..end].parse().ok();
            route.is_stale = flags.contains('s');
            route.metric = metric;
        } else if let Some(origin) = within(word, '[', ']') {
            route.origin = Some(origin.to_owned());
        }
    }
    Some(route)
}

fn kind(word: &str) -> Kind {
    match word {
        "unicast" | "multipath" => Kind::Unicast,
        "blackhole" => Kind::Blackhole,
        "unreachable" => Kind::Unreachable,
        "prohibited" | "prohibit" => Kind::Prohibited,
        other => Kind::Other(other.to_owned()),
    }
}

/// `via 10.0.0.2 on eth0 weight 1`, `dev eth0`; words that say other things (`onlink`, `mpls 100`) are passed
/// over.
fn next_hop(text: &str) -> Option<NextHop> {
    let mut hop = NextHop::default();
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        match word {
            "via" => hop.gateway = Some(words.next()?.to_owned()),
            "on" | "dev" => hop.interface = Some(words.next()?.to_owned()),
            "weight" => hop.weight = Some(words.next()?.parse().ok()?),
            _ => {}
        }
    }
    (hop.gateway.is_some() || hop.interface.is_some()).then_some(hop)
}

fn within(word: &str, open: char, close: char) -> Option<&str> {
    word.strip_prefix(open)?.strip_suffix(close)
}

#[cfg(test)]
mod tests;
