//! Does this host's own packet filter drop a packet? The rules of nftables, those of iptables-nft included, are walked for
//! one packet, as the kernel would.
//!
//! Not all that a rule may ask for is known of a packet that was never sent (marks, limits, BPF). Where it is not, the
//! rule may match or not, and what follows from it is not certain.

mod packet;
mod walk;

use std::cell::OnceCell;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::tables;
use crate::host::Evidence;
pub(super) use packet::{Direction, IPIP, Packet, TCP, UDP};
use walk::End;

/// Where a bundle keeps the rules.
pub(super) const PATH: &str = "netfilter/nftables.json";

/// The rules of a host.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    chains: Vec<Chain>,
    rules: HashMap<Place, Vec<Rule>>,
    elements: HashMap<Place, Vec<Element>>,
}

/// Family, table, and chain or set.
type Place = (String, String, String);

#[derive(Debug, Clone, Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    r#type: Option<String>,
    hook: Option<String>,
    priority: Option<i32>,
    policy: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rule {
    family: String,
    table: String,
    chain: String,
    handle: Option<u64>,
    comment: Option<String>,
    /// Text until a packet comes to the rule, for of thousands of rules few are ever walked.
    expressions: Box<RawValue>,
    #[serde(skip)]
    walked: OnceCell<Vec<Value>>,
}

impl Rule {
    fn expressions(&self) -> &[Value] {
        self.walked.get_or_init(|| serde_json::from_str(self.expressions.get()).unwrap_or_default())
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Element {
    family: String,
    table: String,
    set: String,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    key_end: Value,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    flags: Option<Vec<String>>,
}

/// What drops a packet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drop {
    /// Where it stands and what it counted, for evidence.
    pub(super) rule: Value,
    /// The same for people.
    pub(super) words: String,
    /// The command that shows it.
    pub(super) command: String,
    /// Whether the packet comes to it and matches beyond doubt.
    pub(super) is_certain: bool,
}

impl Firewall {
    /// The rules, if all of them could be read.
    pub(super) fn read(evidence: &Evidence) -> Option<Self> {
        let mut firewall =
            Self { chains: tables::all(evidence, PATH, "chains").ok()?, ..Self::default() };
        for rule in tables::all::<Rule>(evidence, PATH, "rules").ok()? {
            let place = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
            firewall.rules.entry(place).or_default().push(rule);
        }
        for element in tables::all::<Element>(evidence, PATH, "elements").ok()? {
            let place = (element.family.clone(), element.table.clone(), element.set.clone());
            firewall.elements.entry(place).or_default().push(element);
        }
        firewall.chains.sort_by_key(|chain| chain.priority);
        Some(firewall)
    }

    /// The same rules, but those of chains whose names begin like this: whoever comes to one goes on.
    pub(super) fn without(mut self, prefix: &str) -> Self {
        self.rules.retain(|(_, _, chain), _| !chain.starts_with(prefix));
        self
    }

    /// What drops this packet on its way out of the host or into it, if anything does.
    pub(super) fn dropped(&self, packet: &Packet) -> Option<Drop> {
        self.dropped_by(packet, |_, _, _| true)
    }

    /// The same, of the base chains that are wanted, by family, table and name.
    pub(super) fn dropped_by(
        &self,
        packet: &Packet,
        is_wanted: impl Fn(&str, &str, &str) -> bool,
    ) -> Option<Drop> {
        let hooks: &[&str] = match packet.direction {
            Direction::Out => &["output", "postrouting"],
            Direction::In => &["prerouting", "input"],
            Direction::Through => &["prerouting", "forward", "postrouting"],
        };
        let mut doubtful = None;
        for hook in hooks {
            let bases = self.chains.iter().filter(|chain| {
                chain.hook.as_deref() == Some(hook)
                    && chain.r#type.as_deref() != Some("nat")
                    && (chain.family == "inet" || chain.family == packet.family())
                    && is_wanted(&chain.family, &chain.table, &chain.name)
            });
            for base in bases {
                let place = (base.family.clone(), base.table.clone(), base.name.clone());
                let (end, is_doubtful) = walk::through(self, packet, &place);
                let end = match end {
                    End::Continues if base.policy.as_deref() == Some("drop") => {
                        End::Dropped(base.policy(!is_doubtful))
                    }
                    end => end,
                };
                match end {
                    End::Dropped(drop) if drop.is_certain => return Some(drop),
                    End::Dropped(drop) => doubtful = doubtful.or(Some(drop)),
                    End::Accepted | End::Continues => {}
                }
            }
        }
        doubtful
    }
}

impl Chain {
    fn policy(&self, is_certain: bool) -> Drop {
        let Self { family, table, name, .. } = self;
        Drop {
            rule: json!({"family": family, "table": table, "chain": name, "policy": "drop"}),
            words: format!("the policy of chain {name} in table {family} {table} is drop"),
            command: format!("nft list chain {family} {table} {name}"),
            is_certain,
        }
    }
}

impl Rule {
    fn drop(&self, verdict: &str, packets: Option<u64>, is_certain: bool) -> Drop {
        let Self { family, table, chain, handle, comment, .. } = self;
        let counted =
            packets.map_or(String::new(), |packets| format!(", {packets} packets so far"));
        let number = handle.map_or(String::new(), |handle| format!(" handle {handle}"));
        let named = comment.as_ref().map_or(String::new(), |comment| format!(" (\"{comment}\")"));
        Drop {
            rule: json!({
                "family": family, "table": table, "chain": chain, "handle": handle,
                "comment": comment, "verdict": verdict, "packets": packets,
            }),
            words: format!(
                "the rule{number}{named} of chain {chain} in table {family} {table} ({verdict}{counted})"
            ),
            command: format!("nft -a list chain {family} {table} {chain}"),
            is_certain,
        }
    }
}

#[cfg(test)]
mod tests;
