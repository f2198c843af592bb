//! What goes out through a tunnel, and whether anything comes back.
//!
//! A network between two nodes that drops IP protocol 4, or UDP of VXLAN, says so to nobody: BGP stands, and pods of other
//! nodes are not reached. Of that, this node sees that it sends and never receives.

use std::net::IpAddr;

use serde_json::json;

use super::cloud::Cloud;
use super::facts::Facts;
use crate::checks::network::{COUNTERS, COUNTERS_LATER};
use crate::checks::tables::Link;
use crate::checks::{Finding, Level};
use crate::host::{Evidence, Outcome};

pub(super) const ID: &str = "routes.tunnels";

/// Those whose packets ask nobody first, as `WireGuard`'s do.
const NAMES: [&str; 3] = ["tunl0", "vxlan.calico", "vxlan-v6.calico"];

/// So many packets are more than a few words that ask for no answer.
const MANY: u64 = 100;

/// The same between two looks.
const SOME: u64 = 20;

/// What a link has carried since it was made, in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Carried {
    received: u64,
    sent: u64,
}

/// The counters of one link in `/proc/net/dev`:
///
/// ```text
/// Inter-|   Receive                                                |  Transmit
///  face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
///  tunl0:       0       0    0    0    0     0          0         0    88800    1057    0    0    0     0       0          0
/// ```
fn carried(table: &str, name: &str) -> Option<Carried> {
    let of_link =
        |line: &'_ str| line.trim_start().strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
    let counters = table.lines().find_map(of_link)?;
    let mut counters = counters.split_ascii_whitespace().map(|number| number.parse::<u64>().ok());
    let received = counters.nth(1)??;
    // Eight counters lie between one number of packets and the other.
    let sent = counters.nth(7)??;
    Some(Carried { received, sent })
}

/// The counters of a link at one look, or why they are not known.
fn look(evidence: &Evidence, path: &str, name: &str) -> Result<Carried, String> {
    let reading = evidence.get(path).ok_or_else(|| format!("{path} was not read"))?;
    if reading.outcome != Outcome::Ok {
        let reason = reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string());
        return Err(format!("{path}: {reason}"));
    }
    carried(&reading.text(), name).ok_or_else(|| format!("{path} does not tell it of {name}"))
}

/// One finding for each tunnel through which Calico's routes lead, or one that there is none; `twice`: a second look counts.
pub(super) fn judge(facts: &Facts<'_>, cloud: Option<&Cloud>, twice: bool) -> Vec<Finding> {
    let used = NAMES.into_iter().filter_map(|name| {
        let link = facts.network.link(name)?;
        let mut hops = facts.to_nodes().filter_map(|route| {
            route.hops().find(|hop| hop.index == Some(link.index)).map(|hop| hop.gateway)
        });
        // Of VXLAN it is the other node's own end of the tunnel.
        let gateway = hops.next()?;
        Some(Used { link, routes: 1 + hops.count(), gateway })
    });
    let findings: Vec<Finding> =
        used.map(|used| tunnel(facts.network.evidence, &used, cloud, twice)).collect();
    if findings.is_empty() {
        let summary = "no route of Calico's leads over IPIP or VXLAN";
        return vec![Finding::new(ID, Level::Skip, summary)];
    }
    findings
}

/// A tunnel through which routes lead, and the next hop of the first of them.
struct Used<'a> {
    link: &'a Link,
    routes: usize,
    gateway: Option<IpAddr>,
}

fn tunnel(evidence: &Evidence, used: &Used<'_>, cloud: Option<&Cloud>, twice: bool) -> Finding {
    let Used { link, routes, gateway } = *used;
    let name = link.name.as_str();
    let is_external = link.detail.as_ref().and_then(|detail| detail.external) == Some(true);
    if is_external {
        let summary = format!("in eBPF mode not all that is received passes {name}");
        return Finding::new(ID, Level::Skip, summary);
    }
    let first = match look(evidence, COUNTERS, name) {
        Ok(carried) => carried,
        Err(reason) => {
            let summary = format!("what {name} carries is not known: {reason}");
            return Finding::new(ID, Level::Unknown, summary);
        }
    };
    let later = twice.then(|| look(evidence, COUNTERS_LATER, name).ok()).flatten();
    let now = later.unwrap_or(first);
    // A counter that went backwards is that of another link of this name.
    let grown = later.and_then(|later| {
        Some((later.sent.checked_sub(first.sent)?, later.received.checked_sub(first.received)?))
    });
    let seconds = evidence
        .get(COUNTERS_LATER)
        .zip(evidence.get(COUNTERS))
        .map(|(later, first)| later.started.as_second().saturating_sub(first.started.as_second()));
    let never = now.received == 0 && now.sent >= MANY;
    let no_more = grown.is_some_and(|(sent, received)| sent >= SOME && received == 0);
    let certainty = (never || no_more).then_some("likely");
    let finding = |level, summary: String| {
        Finding::new(ID, level, summary).evidence(json!({
            "interface": name, "routes": routes, "sent": now.sent, "received": now.received, "certainty": certainty,
            "grown": grown.map(|(sent, received)| json!({"sent": sent, "received": received, "seconds": seconds})),
        }))
    };
    let Carried { received, sent } = now;
    if !never && !no_more {
        return if received == 0 {
            finding(
                Level::Skip,
                format!("packets through {name}: {sent} out, none in: too few to judge by"),
            )
        } else {
            finding(Level::Ok, format!("packets through {name}: {sent} out, {received} in"))
        };
    }
    let port = link.detail.as_ref().and_then(|detail| detail.port).unwrap_or(4789);
    let (what, filter) = if name == "tunl0" {
        ("IP protocol 4 (IP in IP)".to_owned(), "ip proto 4".to_owned())
    } else {
        (format!("UDP port {port} (VXLAN)"), format!("udp port {port}"))
    };
    let seen = match grown.filter(|_| !never) {
        Some((sent, _)) => format!(
            "{sent} packets went out through {name} within {} s and none came",
            seconds.unwrap_or_default()
        ),
        None => format!("{sent} packets went out through {name} and none ever came"),
    };
    let warning = finding(
        Level::Warn,
        format!(
            "{seen}, though routes to other nodes lead through it: likely {what} is dropped on the way; what asks for no \
             answer, as UDP may, looks the same"
        ),
    );
    let warning = match gateway.filter(|_| name != "tunl0") {
        Some(gateway) => warning.remedy(format!(
            "ask for an answer: ping -c 3 {gateway}, the other end of the tunnel; if one comes, the way is open"
        )),
        None => warning,
    };
    let warning = warning
    .remedy(format!("on another node, see whether it arrives: tcpdump -ni any {filter}"))
    .remedy(format!(
        "let {what} pass between the nodes, in security groups and in firewalls of the nodes (calivet check firewall)"
    ));
    if name != "tunl0" {
        return warning.remedy("if it arrives there and is lost: calivet check interfaces there (checksum-offload, vxlan)");
    }
    let vxlan = "calicoctl patch ippool NAME -p '{\"spec\":{\"ipipMode\":\"Never\",\"vxlanMode\":\"Always\"}}'";
    match cloud.filter(|cloud| !cloud.passes_ipip) {
        Some(cloud) => {
            warning.remedy(format!("{} passes no IP in IP: use VXLAN, {vxlan}", cloud.name))
        }
        None => warning.remedy(format!("or use VXLAN: {vxlan}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_a_link_are_those_behind_its_name() {
        let table = "Inter-|   Receive |  Transmit\n face |bytes    packets errs\n\
                     \x20   lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n\
                     tunl0: 0 7 0 0 0 0 0 0 88800 1057 0 0 0 0 0 0\nvxlan.calico:1 2 3 4\n x: a b\n";
        assert_eq!(carried(table, "tunl0"), Some(Carried { received: 7, sent: 1057 }));
        assert_eq!(carried(table, "lo"), Some(Carried { received: 1, sent: 1 }));
        for name in ["tunl", "vxlan.calico", "x", "eth0", ""] {
            assert_eq!(carried(table, name), None, "{name}");
        }
    }
}
