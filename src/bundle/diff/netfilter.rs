//! Tables and chains of nftables and of iptables, without their counters.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::rows::{member, rows, text};
use super::{Seen, Side};

/// Chains of one endpoint (Felix), of one pod behind a service (kube-proxy).
const FLEETING: [&str; 3] = ["cali-tw-", "cali-fw-", "KUBE-SEP-"];

/// Chains whose rules follow which endpoints there are; that they are there, and where, does not.
const SHIFTING: [&str; 7] = [
    "wl-dispatch",
    "cali-from-endpoint-mark",
    "cali-set-endpoint-mark",
    "KUBE-SVC-",
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-EXT-",
];

const RULESET: &str = "netfilter/nftables.json";

pub(super) fn nftables(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    for row in rows(side.bundle, RULESET, "tables")? {
        let name = format!("table {} {}", member(&row, "family"), member(&row, "name"));
        seen.facts.insert(name, BTreeMap::new());
    }
    for row in rows(side.bundle, RULESET, "chains")? {
        let chain = member(&row, "name");
        let mut facts = BTreeMap::new();
        for field in ["type", "hook", "priority", "policy", "devices"] {
            let value = member(&row, field);
            if !value.is_empty() {
                facts.insert(field.to_owned(), value);
            }
        }
        let name = format!("{} {} {chain}", member(&row, "family"), member(&row, "table"));
        note_pods(&mut seen, &name, &chain);
        seen.facts.insert(name, facts);
    }
    let mut rules: BTreeMap<String, Rules> = BTreeMap::new();
    for row in rows(side.bundle, RULESET, "rules")? {
        let chain = member(&row, "chain");
        let name = format!("{} {} {chain}", member(&row, "family"), member(&row, "table"));
        if !is_shifting(&chain) {
            let mut row = Value::Object(row);
            forget_counts(&mut row);
            rules.entry(name).or_default().add(&row.to_string());
        }
    }
    tell(&mut seen, rules);
    Ok(seen)
}

/// Takes out what is counted and numbered.
fn forget_counts(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| {
                !matches!(name.as_str(), "handle" | "packets" | "bytes" | "position")
            });
            members.values_mut().for_each(forget_counts);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_counts),
        _ => {}
    }
}

/// `iptables-save -c`. Where the bundle has the rule set of nftables, what iptables-nft made is in that.
///
/// ```text
/// *filter
/// :INPUT ACCEPT [12:840]
/// [0:0] -A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
/// COMMIT
/// ```
pub(super) fn iptables(side: &Side) -> Result<Seen, String> {
    let has_ruleset = side.bundle.files().any(|file| file.path == RULESET);
    let mut seen = Seen::default();
    for (family, path) in [
        ("ipv4", "ipv4_tables"),
        ("ipv6", "ipv6_tables"),
        ("ipv4 legacy", "netfilter/ipv4_tables_legacy"),
        ("ipv6 legacy", "netfilter/ipv6_tables_legacy"),
    ] {
        let is_legacy = path.starts_with("netfilter/");
        // calicoctl has no legacy files, and nothing to say of them.
        if (has_ruleset && !is_legacy) || (is_legacy && !side.bundle.has_manifest()) {
            continue;
        }
        if let Some(text) = text(side.bundle, path)? {
            save(family, &text, &mut seen);
        }
    }
    Ok(seen)
}

fn save(family: &str, text: &str, seen: &mut Seen) {
    let mut table = "";
    let mut rules: BTreeMap<String, Rules> = BTreeMap::new();
    for line in text.lines() {
        let without_counts = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((_, rule)) => rule,
            None => line,
        };
        if let Some(name) = line.strip_prefix('*') {
            table = name.trim();
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_ascii_whitespace();
            let chain = words.next().unwrap_or_default();
            let name = format!("{family} {table} {chain}");
            let policy = words.next().filter(|policy| *policy != "-");
            let facts = policy.map(|policy| ("policy".to_owned(), policy.to_owned()));
            note_pods(seen, &name, chain);
            seen.facts.insert(name, facts.into_iter().collect());
        } else if let Some(rule) = without_counts.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap_or_default();
            if !is_shifting(chain) {
                rules.entry(format!("{family} {table} {chain}")).or_default().add(rule);
            }
        }
    }
    tell(seen, rules);
}

/// How many rules a chain has, and a hash of what they say, in their order.
#[derive(Default)]
struct Rules {
    count: usize,
    hash: u64,
}

impl Rules {
    fn add(&mut self, rule: &str) {
        let mut hasher = DefaultHasher::new();
        (self.hash, rule).hash(&mut hasher);
        (self.count, self.hash) = (self.count + 1, hasher.finish());
    }
}

fn tell(seen: &mut Seen, rules: BTreeMap<String, Rules>) {
    for (name, Rules { count, hash }) in rules {
        let facts = seen.facts.entry(name).or_default();
        facts.insert("rules".to_owned(), format!("{count} ({:08x})", hash >> 32));
    }
}

fn note_pods(seen: &mut Seen, name: &str, chain: &str) {
    if FLEETING.iter().any(|part| chain.contains(part)) {
        seen.fleeting.insert(name.to_owned());
    }
}

fn is_shifting(chain: &str) -> bool {
    SHIFTING.iter().any(|part| chain.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Seen {
        let mut seen = Seen::default();
        save("ipv4", text, &mut seen);
        seen
    }

    #[test]
    fn counters_are_no_difference_and_order_is() {
        let text = "*filter\n:INPUT ACCEPT [1:2]\n:cali-tw-cali1 - [0:0]\n[1:2] -A INPUT -j A\n[0:0] -A INPUT -j B\nCOMMIT\n";
        let counted = text.replace("[1:2]", "[9:9]");
        assert_eq!(seen(text).facts, seen(&counted).facts);
        let turned = text.replace("-j A\n[0:0]", "-j B\n[0:0]").replacen(
            "-A INPUT -j B\nCOMMIT",
            "-A INPUT -j A\nCOMMIT",
            1,
        );
        assert_ne!(seen(text).facts, seen(&turned).facts);
        assert_eq!(seen(text).facts["ipv4 filter INPUT"]["policy"], "ACCEPT");
        assert!(seen(text).fleeting.contains("ipv4 filter cali-tw-cali1"));
    }

    #[test]
    fn what_an_expression_counts_is_forgotten() {
        let mut row = serde_json::json!({"handle": 4, "expressions": [{"counter": {"packets": 1, "bytes": 2}}, {"cmp": 3}]});
        forget_counts(&mut row);
        assert_eq!(row, serde_json::json!({"expressions": [{"counter": {}}, {"cmp": 3}]}));
    }
}
