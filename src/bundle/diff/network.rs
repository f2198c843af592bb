//! Links, addresses, routes and rules, as the kernel told them.

use serde_json::{Map, Value};

use super::rows::{facts, member, rows};
use super::{Seen, Side};

/// Calico's prefix for the host's end of a pod's link.
const PODS: &str = "cali";

/// Routes of the table `local` follow from addresses.
const LOCAL_TABLE: &str = "255";

/// What the kernel counts or numbers anew, and what follows from the other end of a link.
const LINK: &[&str] =
    &["index", "name", "statistics", "carrier_changes", "link", "netnsid", "port"];

pub(super) fn links(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for row in rows(side.bundle, "network/links.json", "links")? {
        let name = member(&row, "name");
        if is_of_pod(&name) || member(&row, "kind") == "veth" {
            seen.fleeting.insert(name.clone());
        }
        let mut facts = facts(&row, LINK);
        facts.retain(|field, _| !field.contains("timer"));
        seen.facts.insert(name, facts);
    }
    Ok(seen)
}

pub(super) fn addresses(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for row in rows(side.bundle, "network/addresses.json", "addresses")? {
        let dev = member(&row, "dev");
        let name =
            format!("{}/{} on {dev}", member(&row, "address"), member(&row, "prefix_length"));
        if is_of_pod(&dev) || dev.starts_with("veth") {
            seen.fleeting.insert(name.clone());
        }
        let ignored =
            ["dev", "index", "address", "prefix_length", "valid_seconds", "preferred_seconds"];
        seen.facts.insert(name, facts(&row, &ignored));
    }
    Ok(seen)
}

pub(super) fn routes(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for row in rows(side.bundle, "network/routes.json", "routes")? {
        if member(&row, "table") == LOCAL_TABLE {
            continue;
        }
        let mut name = route(&row);
        // One destination on several links: those of IPv6's link-local addresses.
        if seen.facts.contains_key(&name) {
            name = format!("{name} dev {}", member(&row, "dev"));
        }
        if is_to_pod(&row) {
            seen.fleeting.insert(name.clone());
        }
        let ignored = [
            "destination",
            "family",
            "index",
            "metric",
            "table",
            "table_name",
            "protocol",
            "expires_ticks",
            "nexthop_id",
        ];
        seen.facts.insert(name, facts(&row, &ignored));
    }
    Ok(seen)
}

/// A route's destination and table, and what else makes it another route.
fn route(row: &Map<String, Value>) -> String {
    let table = [member(row, "table_name"), member(row, "table")];
    let table = table.iter().find(|table| !table.is_empty()).cloned().unwrap_or_default();
    let mut name = format!("{} table {table}", member(row, "destination"));
    for field in ["metric", "tos", "from"] {
        let value = member(row, field);
        if !value.is_empty() && value != "0" {
            name = format!("{name} {field} {value}");
        }
    }
    name
}

/// A route to one address that Calico made, or whatever lies on a pod's link.
fn is_to_pod(row: &Map<String, Value>) -> bool {
    let destination = member(row, "destination");
    let is_one = destination.ends_with("/32") || destination.ends_with("/128");
    let protocol = member(row, "protocol_name");
    is_of_pod(&member(row, "dev")) || (is_one && matches!(protocol.as_str(), "bird" | "calico"))
}

pub(super) fn rules(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for row in rows(side.bundle, "network/rules.json", "rules")? {
        let ignored = ["family", "priority", "table", "protocol", "tos"];
        let said: Vec<String> = facts(&row, &ignored)
            .into_iter()
            .map(|(field, value)| format!("{field} {value}"))
            .collect();
        // The name of a table stands for its number where it has one.
        let table = member(&row, "table_name");
        let table = if table.is_empty() {
            format!(" table {}", member(&row, "table"))
        } else {
            String::new()
        };
        let (family, priority) = (member(&row, "family"), member(&row, "priority"));
        let name = format!("{family} {priority}: {}{table}", said.join(" "));
        seen.facts.insert(name, std::collections::BTreeMap::new());
    }
    Ok(seen)
}

/// Whether a link is the host's end of a pod's.
pub(super) fn is_of_pod(name: &str) -> bool {
    name.starts_with(PODS)
}
