//! Policy rules that are looked up before `main`, in which Calico's routes are.
//!
//! The kernel asks them in the order of their priorities; the first whose table has a route for the packet decides.
//! Felix has such rules itself (`WireGuard`: 99), and their tables hold routes of Felix's.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::facts::Facts;
use crate::checks::network::{LOCAL, MAIN, PROTO_FELIX, first, some};
use crate::checks::tables::{self, NOT, Rule, Type};
use crate::checks::{Finding, Level};
use crate::prefix::{Addresses, Prefix};

pub(super) const ID: &str = "routes.rules";

/// The rules of nm-cloud-setup (`nm-cloud-setup.c`).
const CLOUD_SETUP: std::ops::RangeInclusive<u32> = 30_200..=30_599;
/// Pods' blocks are longer than this, so that a look at `main` which passes over shorter routes finds them.
const SHORTER_THAN_BLOCKS: u32 = 19;

/// What of a foreign table would take pods' traffic: the longest and the widest of its routes that do.
#[derive(Debug, Clone, Copy)]
struct Taken {
    longest: Prefix,
    widest: Prefix,
}

/// A rule that takes pods' traffic.
struct Found<'a> {
    level: Level,
    rule: &'a Rule,
    /// The route in its table.
    by: Option<Prefix>,
}

pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let rules = match &facts.rules {
        Ok(rules) => rules,
        Err(reason) => {
            let summary = format!("the rules are not known: {reason}");
            return Finding::new(ID, Level::Unknown, summary);
        }
    };
    let pods = facts.pod_addresses();
    let hosts: Addresses = match &facts.network.addresses {
        Ok(all) => {
            let own = all.iter().filter_map(|row| tables::address(row.address.as_deref()?));
            own.map(Prefix::of).collect()
        }
        Err(_) => Addresses::default(),
    };
    let taken = taken(facts, &pods);
    let mut found = Vec::new();
    let mut blind = Vec::new();
    let mut is_any = false;
    for (family, is_ipv6) in [("ipv4", false), ("ipv6", true)] {
        if pods.is_empty(is_ipv6) {
            continue;
        }
        is_any = true;
        let mut own: Vec<&Rule> = rules.iter().filter(|rule| rule.family == family).collect();
        own.sort_by_key(|rule| rule.priority);
        let mut reaches_main = false;
        for rule in own {
            if is_main(rule) {
                reaches_main = true;
                break;
            }
            found.extend(takes(rule, is_ipv6, &pods, &hosts, &taken));
        }
        if !reaches_main {
            blind.push(family);
        }
    }
    if !is_any {
        return Finding::new(ID, Level::Skip, "there is no route of Calico's to pods");
    }
    told(&found, &blind, rules.len())
}

/// Whether a rule leads every packet for a pod to `main`.
fn is_main(rule: &Rule) -> bool {
    rule.action == "table"
        && rule.table == MAIN
        && rule.suppress_prefix_length.is_none_or(|length| length <= SHORTER_THAN_BLOCKS)
        && !has_condition(rule)
        && rule.from.is_none_or(|from| from.length() == 0)
        && rule.to.is_none_or(|to| to.length() == 0)
        && rule.iif.is_none()
        && !rule.flags.has(NOT)
}

/// Whether only some packets of a connection's are meant, which nobody can tell from the rules.
const fn has_condition(rule: &Rule) -> bool {
    rule.tos != 0
        || rule.oif.is_some()
        || rule.ip_protocol.is_some()
        || rule.source_ports.is_some()
        || rule.destination_ports.is_some()
        || rule.uids.is_some()
        || rule.dscp.is_some()
        || rule.tunnel_id.is_some()
        || (rule.fwmark.is_some() && !rule.flags.has(NOT))
}

/// By table and family: what is not Felix's and would take pods' traffic.
fn taken(facts: &Facts<'_>, pods: &Addresses) -> HashMap<(u32, bool), Taken> {
    let mut taken: HashMap<(u32, bool), Taken> = HashMap::new();
    for route in &facts.routes {
        let destination = route.destination;
        let is_foreign = route.table != MAIN
            && route.table != LOCAL
            && route.protocol != PROTO_FELIX
            && route.r#type != Type::Throw;
        if is_foreign && pods.overlap(destination) {
            let known = taken
                .entry((route.table, destination.is_ipv6()))
                .or_insert(Taken { longest: destination, widest: destination });
            if destination.length() > known.longest.length() {
                known.longest = destination;
            }
            if destination.length() < known.widest.length() {
                known.widest = destination;
            }
        }
    }
    taken
}

/// Whether a rule takes pods' traffic, and how sure that is.
fn takes<'a>(
    rule: &'a Rule,
    is_ipv6: bool,
    pods: &Addresses,
    hosts: &Addresses,
    taken: &HashMap<(u32, bool), Taken>,
) -> Option<Found<'a>> {
    let is_inverted = rule.flags.has(NOT);
    // The packets of a VRF are apart.
    if rule.l3mdev == Some(true) {
        return None;
    }
    if !is_inverted && rule.to.is_some_and(|to| !pods.overlap(to)) {
        return None;
    }
    let from = rule.from.filter(|_| !is_inverted);
    let is_of_pods = from.is_none_or(|from| pods.overlap(from));
    if !is_of_pods && !from.is_some_and(|from| hosts.overlap(from)) {
        return None;
    }
    let by = match rule.action.as_str() {
        "table" => {
            let Taken { longest, widest } = *taken.get(&(rule.table, is_ipv6))?;
            let meets = |route: Prefix| {
                is_inverted || rule.to.is_none_or(|to| to.contains(route) || route.contains(to))
            };
            if rule.suppress_prefix_length.is_some_and(|most| u32::from(longest.length()) <= most)
                || !(meets(longest) || meets(widest))
            {
                return None;
            }
            Some(if meets(widest) { widest } else { longest })
        }
        "blackhole" | "unreachable" | "prohibit" => None,
        _ => return None,
    };
    let level = if CLOUD_SETUP.contains(&rule.priority) && CLOUD_SETUP.contains(&rule.table) {
        Level::Fail
    } else if has_condition(rule) {
        Level::Info
    } else if is_of_pods {
        Level::Fail
    } else {
        Level::Warn
    };
    Some(Found { level, rule, by })
}

fn told(found: &[Found<'_>], blind: &[&str], rules: usize) -> Finding {
    let rows: Vec<Value> = some(found)
        .iter()
        .map(|found| {
            json!({
                "family": found.rule.family, "priority": found.rule.priority, "rule": words(found.rule),
                "table": found.rule.table, "route": found.by.map(|by| by.to_string()),
            })
        })
        .collect();
    let evidence = json!({
        "rules": rules, "taking": rows, "withoutMain": blind, "counts": {"taking": found.len()},
    });
    if !blind.is_empty() {
        let summary = format!("no rule leads all packets to the table main ({})", blind.join(", "));
        return Finding::new(ID, Level::Fail, summary)
            .evidence(evidence)
            .remedy("ip rule add priority 32766 table main (ip -6 rule for IPv6)");
    }
    let Some(level) = found.iter().map(|found| found.level).max() else {
        let summary = format!("none of {rules} rules leads pods' traffic past Calico's routes");
        return Finding::new(ID, Level::Ok, summary).evidence(evidence);
    };
    let worst: Vec<&Found<'_>> = found.iter().filter(|found| found.level == level).collect();
    let named: Vec<String> = worst
        .iter()
        .map(|found| {
            let by = found.by.map(|by| format!(", which has {by}")).unwrap_or_default();
            format!("\"{}\"{by}", words(found.rule))
        })
        .collect();
    let what = match level {
        Level::Fail => "are asked before Calico's routes and take pods' traffic",
        Level::Warn => "take what this node itself sends to pods from one of its addresses",
        _ => "take those packets to pods that they name",
    };
    let finding =
        Finding::new(ID, level, format!("{} rules {what}: {}", worst.len(), first(&named)))
            .evidence(evidence);
    if level == Level::Info {
        return finding;
    }
    let is_cloud_setup = worst.iter().any(|found| CLOUD_SETUP.contains(&found.rule.priority));
    if is_cloud_setup {
        finding.remedy(
            "systemctl disable --now nm-cloud-setup.service nm-cloud-setup.timer; ip rule delete priority N for each; reboot",
        )
    } else {
        finding.remedy(
            "see who made them (a VPN, another network plugin, cloud-init): have pods' networks left out there, or looked up \
             before: ip rule add to POD-NETWORK priority N table main",
        )
    }
}

/// A rule as `ip rule` shows it, as far as it counts here.
fn words(rule: &Rule) -> String {
    let all = |prefix: Option<Prefix>| prefix.map_or_else(|| "all".to_owned(), |it| it.to_string());
    let not = if rule.flags.has(NOT) { "not " } else { "" };
    let mut text = format!("{}: {not}from {}", rule.priority, all(rule.from));
    if let Some(to) = rule.to {
        let _ = write!(text, " to {to}");
    }
    if let Some(mark) = rule.fwmark {
        let _ = write!(text, " fwmark {mark:#x}/{:#x}", rule.fwmask.unwrap_or(u32::MAX));
    }
    for (word, name) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if let Some(name) = name {
            let _ = write!(text, " {word} {name}");
        }
    }
    match rule.action.as_str() {
        "table" => {
            let _ = write!(text, " lookup {}", rule.table);
        }
        action => {
            let _ = write!(text, " {action}");
        }
    }
    text
}
