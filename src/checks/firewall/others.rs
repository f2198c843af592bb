//! Does a table that is not Calico's drop what pods send and are sent? In nftables each base chain has its say, whatever
//! its priority: what another accepted before, it may still drop.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{FDB, Facts, Form, LINKS, OTHERS, Owner, ROUTES, form, managers, owner, unread};
use crate::checks::figures::counted;
use crate::checks::ruleset::{Direction, Drop, Firewall, IPIP, Packet, TCP, UDP};
use crate::checks::tables::{self, Forwarding, Link};
use crate::checks::{Finding, Level};
use crate::packet_filter::{Act, Backend, Chain};

/// Somewhere that is no node's and no pod's: TEST-NET-2 (RFC 5737).
const OUTSIDE: [u8; 4] = [198, 51, 100, 1];

/// A port to which pods connect.
const PORT: u16 = 443;

#[derive(Deserialize)]
struct Route {
    r#type: Option<String>,
    destination: Option<String>,
    dev: Option<String>,
    table: Option<u32>,
    gateway: Option<IpAddr>,
}

/// Whether a chain is asked about packets, and is neither Calico's, kube-proxy's nor iptables'.
fn is_other(chain: &Chain) -> bool {
    form(chain) == Form::Native && owner(chain) == Owner::Other
        || form(chain) == Form::Compatible
            && !matches!(
                chain.name.as_str(),
                "INPUT" | "FORWARD" | "OUTPUT" | "PREROUTING" | "POSTROUTING"
            )
}

/// What other tables do with the packets of a pod.
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let rules = &facts.rules;
    let hooks = ["prerouting", "input", "forward", "postrouting"];
    let bases: Vec<&Chain> = rules
        .chains
        .iter()
        .filter(|chain| {
            chain.hook.as_deref().is_some_and(|hook| hooks.contains(&hook))
                && chain.kind.as_deref() != Some("nat")
                && matches!(chain.family.as_str(), "ip" | "inet")
                && is_other(chain)
        })
        .collect();
    let shown = bases.iter().map(|base| {
        json!({
            "family": base.family, "table": base.table, "chain": base.name, "hook": base.hook,
            "priority": base.priority, "policy": if base.drops { "drop" } else { "accept" },
        })
    });
    let chains: Vec<Value> = shown.collect();
    let finding = |level, summary: String, dropped: Value| {
        Finding::new(OTHERS, level, summary).evidence(json!({"chains": chains, "dropped": dropped}))
    };
    if !facts.unknown.is_empty() && bases.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown), Value::Null);
    }
    let can_drop = |base: &&&Chain| {
        base.drops || rules.any(base, |rule| matches!(rule.act, Act::Drop | Act::Reject | Act::Map))
    };
    if !bases.iter().any(|base| can_drop(&base)) {
        let summary = match bases.len() {
            0 => "no other table is asked about pods' packets".to_owned(),
            count => counted(
                count,
                "base chain of another table is asked about pods' packets, and drops nothing",
                "base chains of other tables are asked about pods' packets, and drop nothing",
            ),
        };
        return finding(Level::Ok, summary, Value::Null);
    }
    let Some(firewall) = Firewall::read(facts.evidence) else {
        return finding(
            Level::Unknown,
            "the rules of other tables are not understood".to_owned(),
            Value::Null,
        );
    };
    let names: BTreeSet<(&str, &str, &str)> = bases
        .iter()
        .map(|base| (base.family.as_str(), base.table.as_str(), base.name.as_str()))
        .collect();
    let is_wanted = |family: &str, table: &str, name: &str| names.contains(&(family, table, name));
    let mut doubtful: Option<(Drop, &str)> = None;
    for (packet, what) in packets(facts) {
        match firewall.dropped_by(&packet, is_wanted) {
            Some(drop) if drop.is_certain => {
                return told(finding, Level::Fail, &drop, what, LINKS_OF_CALICO);
            }
            Some(drop) => doubtful = doubtful.or(Some((drop, what))),
            None => {}
        }
    }
    for Tunnel { packet, what, needs } in tunnels(facts) {
        // Which of its addresses a node takes and what marks it is not known for sure: only what drops it for certain counts.
        if let Some(drop) = firewall.dropped_by(&packet, is_wanted).filter(|it| it.is_certain) {
            let needs = format!("{needs} from the other nodes");
            return told(finding, Level::Fail, &drop, &what, &needs);
        }
    }
    match doubtful {
        Some((drop, what)) => told(finding, Level::Warn, &drop, what, LINKS_OF_CALICO),
        None => finding(
            Level::Ok,
            counted(
                bases.len(),
                "base chain of another table lets pods' packets pass",
                "base chains of other tables let pods' packets pass",
            ),
            Value::Null,
        ),
    }
}

/// What another table must accept so that pods are reached.
const LINKS_OF_CALICO: &str =
    "what comes from and goes to Calico's links (cali*, tunl0, vxlan.calico, wireguard.cali)";

fn told(
    finding: impl Fn(Level, String, Value) -> Finding,
    level: Level,
    drop: &Drop,
    what: &str,
    needs: &str,
) -> Finding {
    let verb = if level == Level::Fail { "drops" } else { "may drop" };
    let found = finding(
        level,
        format!("{} {verb} {what}; that Calico accepts it does not help", drop.words),
        drop.rule.clone(),
    );
    let found = found.remedy(drop.command.clone());
    if drop.rule["table"] == "firewalld" {
        managers::FIREWALLD.lets_pass.iter().fold(found, |found, line| found.remedy(*line))
    } else {
        found.remedy(format!("have it accept {needs}"))
    }
}

/// Whether a base chain is known to let pass what pods send and are sent, whatever Calico's chains say of it. Only IPv4
/// of nftables can be walked.
pub(super) fn lets_pass(facts: &Facts<'_>, base: &Chain) -> bool {
    if (base.backend, base.family.as_str()) != (Backend::Nft, "ip") {
        return false;
    }
    let Some(firewall) = Firewall::read(facts.evidence) else { return false };
    let firewall = firewall.without("cali-");
    let is_base = |family: &str, table: &str, name: &str| {
        (family, table, name) == (&base.family, &base.table, &base.name)
    };
    packets(facts).iter().all(|(packet, _)| firewall.dropped_by(packet, is_base).is_none())
}

/// What another node sends through a tunnel of Calico's, as it comes to this host.
struct Tunnel {
    packet: Packet,
    what: String,
    needs: String,
}

/// The tunnels that are up and lead to a node. That of IP in IP has no link below: it comes over the uplink.
fn tunnels(facts: &Facts<'_>) -> Vec<Tunnel> {
    let links: Vec<Link> = tables::all(facts.evidence, LINKS, "links").unwrap_or_default();
    let tunnels = links.into_iter().filter(Link::is_up).filter_map(|link| {
        let detail = link.detail.as_ref();
        let (protocol, port, source, below, needs) = match link.name.as_str() {
            "vxlan.calico" => {
                let detail = detail?;
                let port = detail.port?;
                let rows: Vec<Forwarding> = tables::all(facts.evidence, FDB, "fdb").ok()?;
                let mut rows = rows.into_iter().filter(|row| row.index == link.index);
                let source = rows.find_map(|row| row.destination)?;
                let below = detail.link.as_ref().and_then(Value::as_str).map(str::to_owned);
                (UDP, Some(port), source, below, format!("UDP {port}"))
            }
            "tunl0" => {
                let routes = routes(facts);
                let mut own = routes.iter().filter(|it| it.dev.as_ref() == Some(&link.name));
                let source = own.find_map(|route| route.gateway)?;
                (IPIP, None, source, uplink(&routes), format!("IP protocol {IPIP}"))
            }
            _ => return None,
        };
        let packet = Packet {
            protocol,
            direction: Direction::In,
            source: Some(source),
            destination: detail.and_then(|detail| detail.local.as_deref()?.parse().ok()),
            source_port: None,
            destination_port: port,
            link: below,
            onward: None,
            is_first: true,
        };
        let what = format!("what {source} sends through {} ({needs})", link.name);
        Some(Tunnel { packet, what, needs })
    });
    tunnels.collect()
}

fn routes(facts: &Facts<'_>) -> Vec<Route> {
    tables::all(facts.evidence, ROUTES, "routes").unwrap_or_default()
}

/// The link of the default route.
fn uplink(routes: &[Route]) -> Option<String> {
    let mut defaults = routes.iter().filter(|route| {
        route.destination.as_deref() == Some("0.0.0.0/0")
            && route.table == Some(254)
            && route.r#type.as_deref() == Some("unicast")
    });
    defaults.next()?.dev.clone()
}

/// What a pod begins, and what is begun with it.
fn packets(facts: &Facts<'_>) -> Vec<(Packet, &'static str)> {
    let routes = routes(facts);
    let pods: BTreeSet<&str> = facts.pods.iter().flatten().map(String::as_str).collect();
    let own =
        routes.iter().find(|route| route.dev.as_deref().is_some_and(|dev| pods.contains(dev)));
    let address = own.and_then(|route| {
        route.destination.as_deref()?.split('/').next()?.parse::<std::net::Ipv4Addr>().ok()
    });
    // Where Calico has no pod yet, one of its links is taken as it would be called.
    let link = own.and_then(|route| route.dev.clone()).unwrap_or_else(|| "cali0".to_owned());
    let uplink = uplink(&routes);
    let out = Packet {
        protocol: TCP,
        direction: Direction::Through,
        source: address.map(Into::into),
        destination: Some(OUTSIDE.into()),
        source_port: None,
        destination_port: Some(PORT),
        link: Some(link.clone()),
        onward: uplink.clone(),
        is_first: true,
    };
    let back = Packet {
        source: Some(OUTSIDE.into()),
        destination: address.map(Into::into),
        link: uplink,
        onward: Some(link),
        ..out.clone()
    };
    vec![(out, "what a pod sends to the outside"), (back, "what is sent to a pod from the outside")]
}
