//! Does this host's own packet filter drop BGP? The rules of nftables, those of iptables-nft included, are walked for
//! one packet, as the kernel would.
//!
//! Not all that a rule may ask for is known of a packet that was never sent (marks, limits, BPF). Where it is not, the
//! rule may match or not, and what follows from it is not certain.

mod packet;

use std::cell::OnceCell;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::kernel;
use crate::host::Evidence;
pub(in crate::checks) use packet::{Direction, IPIP, Packet, TCP, UDP};
use packet::{Load, Registers, Truth, bytes};

/// Where a bundle keeps the rules.
pub(in crate::checks) const PATH: &str = "netfilter/nftables.json";

/// How deep chains call each other: the kernel's `NFT_JUMP_STACK_SIZE`.
const DEPTH: usize = 16;
/// How many rules are looked at for one packet.
const RULES: usize = 200_000;

/// The rules of a host.
#[derive(Debug, Default)]
pub(in crate::checks) struct Firewall {
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
pub(in crate::checks) struct Drop {
    /// Where it stands and what it counted, for evidence.
    pub(in crate::checks) rule: Value,
    /// The same for people.
    pub(in crate::checks) words: String,
    /// The command that shows it.
    pub(in crate::checks) command: String,
    /// Whether the packet comes to it and matches beyond doubt.
    pub(in crate::checks) is_certain: bool,
}

/// How the walk through a chain ended.
enum End {
    Accepted,
    Dropped(Drop),
    Continues,
}

/// One walk.
struct Walk<'a> {
    firewall: &'a Firewall,
    packet: &'a Packet,
    registers: Registers,
    /// Whether something may have let the packet pass already.
    is_doubtful: bool,
    left: usize,
}

impl Firewall {
    /// The rules, if all of them could be read.
    pub(in crate::checks) fn read(evidence: &Evidence) -> Option<Self> {
        let mut firewall =
            Self { chains: kernel::rows(evidence, PATH, "chains")?, ..Self::default() };
        for rule in kernel::rows::<Rule>(evidence, PATH, "rules")? {
            let place = (rule.family.clone(), rule.table.clone(), rule.chain.clone());
            firewall.rules.entry(place).or_default().push(rule);
        }
        for element in kernel::rows::<Element>(evidence, PATH, "elements")? {
            let place = (element.family.clone(), element.table.clone(), element.set.clone());
            firewall.elements.entry(place).or_default().push(element);
        }
        firewall.chains.sort_by_key(|chain| chain.priority);
        Some(firewall)
    }

    /// The same rules, but those of chains whose names begin like this: whoever comes to one goes on.
    pub(in crate::checks) fn without(mut self, prefix: &str) -> Self {
        self.rules.retain(|(_, _, chain), _| !chain.starts_with(prefix));
        self
    }

    /// What drops this packet on its way out of the host or into it, if anything does.
    pub(in crate::checks) fn dropped(&self, packet: &Packet) -> Option<Drop> {
        self.dropped_by(packet, |_, _, _| true)
    }

    /// The same, of the base chains that are wanted, by family, table and name.
    pub(in crate::checks) fn dropped_by(
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
                let mut walk = Walk {
                    firewall: self,
                    packet,
                    registers: Registers::default(),
                    is_doubtful: false,
                    left: RULES,
                };
                let place = (base.family.clone(), base.table.clone(), base.name.clone());
                let end = match walk.chain(&place, 0) {
                    End::Continues if base.policy.as_deref() == Some("drop") => {
                        End::Dropped(base.policy(!walk.is_doubtful))
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

/// What a rule says of a packet.
#[derive(Debug, Clone, Default)]
struct Said {
    matches: Truth,
    /// Whether it asked for an address or a port, and the packet has it.
    names_packet: bool,
    verdict: Option<String>,
    packets: Option<u64>,
}

impl Walk<'_> {
    fn chain(&mut self, place: &Place, depth: usize) -> End {
        let firewall = self.firewall;
        for rule in firewall.rules.get(place).map_or(&[][..], Vec::as_slice) {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 || depth > DEPTH {
                self.is_doubtful = true;
                return End::Continues;
            }
            let said = self.rule(rule);
            if said.matches == Truth::No {
                continue;
            }
            let is_sure = said.matches == Truth::Yes;
            let Some(verdict) = said.verdict.as_deref() else { continue };
            match verdict.split_once(' ').unwrap_or((verdict, "")) {
                ("drop" | "reject", _) => {
                    if is_sure || (said.names_packet && said.packets.is_some_and(|count| count > 0))
                    {
                        let is_certain = is_sure && !self.is_doubtful;
                        return End::Dropped(rule.drop(verdict, said.packets, is_certain));
                    }
                    self.is_doubtful = true;
                }
                ("accept", _) if is_sure => return End::Accepted,
                ("return", _) if is_sure => return End::Continues,
                ("accept" | "return" | "queue" | "stolen", _) => self.is_doubtful = true,
                (how @ ("jump" | "goto"), target) => {
                    let target = (place.0.clone(), place.1.clone(), target.to_owned());
                    self.is_doubtful |= !is_sure;
                    match self.chain(&target, depth + 1) {
                        End::Continues if how == "jump" || !is_sure => {}
                        End::Accepted if !is_sure => {}
                        end => return end,
                    }
                }
                _ => {}
            }
        }
        End::Continues
    }

    fn rule(&mut self, rule: &Rule) -> Said {
        let mut said = Said { matches: Truth::Yes, ..Said::default() };
        for expression in rule.expressions() {
            let truth = self.expression(rule, expression, &mut said);
            said.matches = said.matches.and(truth);
            if said.matches == Truth::No {
                break;
            }
        }
        said
    }

    fn expression(&mut self, rule: &Rule, expression: &Value, said: &mut Said) -> Truth {
        let text = |key: &str| expression[key].as_str().unwrap_or_default();
        let number = |key: &str| expression[key].as_u64().unwrap_or_default();
        let source = Registers::at(number("source"));
        match text("expression") {
            // They are written to.
            "meta" | "payload" if expression.get("source").is_some() => Truth::Yes,
            "meta" => self.load(expression, &self.packet.meta(text("key"))),
            "ct" => self.load(expression, &self.packet.tracked(text("key"))),
            "payload" => {
                let base = text("base");
                let loaded = self.packet.payload(base, number("offset"), number("bytes"));
                self.load(expression, &loaded)
            }
            "bitwise" => {
                let [mask, xor] =
                    ["mask", "xor"].map(|key| bytes(&expression[key]).unwrap_or_default());
                let result = self.registers.masked(source, number("bytes"), &mask, &xor);
                self.load(expression, &result)
            }
            "cmp" => {
                let truth = self.registers.compare(source, text("op"), bytes(&expression["data"]));
                said.names_packet |= truth == Truth::Yes && self.registers.is_of_packet(source);
                truth
            }
            "range" => {
                let (from, to) = (bytes(&expression["from"]), bytes(&expression["to"]));
                let truth = self.registers.between(source, from, to);
                let truth = if text("op") == "neq" { truth.not() } else { truth };
                said.names_packet |= truth == Truth::Yes && self.registers.is_of_packet(source);
                truth
            }
            "lookup" => {
                let place = (rule.family.clone(), rule.table.clone(), text("set").to_owned());
                let (truth, data) = self.look_up(&place, source);
                let truth = if expression["not"] == true { truth.not() } else { truth };
                match expression.get("destination").map(|_| data) {
                    // A map of verdicts.
                    Some(Some(verdict)) if number("destination") == 0 => {
                        said.verdict = verdict.as_str().map(ToOwned::to_owned);
                    }
                    Some(Some(value)) => {
                        let value = bytes(&value).unwrap_or_default();
                        let known: Vec<Option<u8>> = value.into_iter().map(Some).collect();
                        self.load(expression, &known);
                    }
                    _ => {}
                }
                said.names_packet |= truth == Truth::Yes && self.registers.is_of_packet(source);
                truth
            }
            "immediate" => {
                if let Some(verdict) = expression["verdict"].as_str() {
                    said.verdict = Some(verdict.to_owned());
                } else if number("destination") == 0 {
                    said.verdict = expression["data"].as_str().map(ToOwned::to_owned);
                } else {
                    let value = bytes(&expression["data"]).unwrap_or_default();
                    let known: Vec<Option<u8>> = value.into_iter().map(Some).collect();
                    self.load(expression, &known);
                }
                Truth::Yes
            }
            "counter" => {
                said.packets = expression["packets"].as_u64();
                Truth::Yes
            }
            "reject" => {
                said.verdict = Some("reject".to_owned());
                Truth::Yes
            }
            "match" => {
                let truth = self.packet.matches(text("match"), number("revision"), expression);
                said.names_packet |=
                    truth == Truth::Yes && matches!(text("match"), "tcp" | "multiport");
                truth
            }
            "target" => {
                if text("target") == "REJECT" {
                    said.verdict = Some("reject".to_owned());
                }
                Truth::Yes
            }
            // They do something and do not decide.
            "log" | "notrack" | "nat" | "masq" | "redir" | "objref" | "dynset" | "tproxy" => {
                Truth::Yes
            }
            _ => Truth::Unknown,
        }
    }

    fn load(&mut self, expression: &Value, value: &[Option<u8>]) -> Truth {
        let load = match expression["expression"].as_str() {
            // A byte of the header is the protocol.
            Some("payload") => Load {
                is_of_packet: expression["base"] == "transport" || expression["bytes"] != 1,
                ..Load::default()
            },
            Some("bitwise") => {
                let source = expression["source"].as_u64().unwrap_or_default();
                Load {
                    is_of_packet: self.registers.is_of_packet(Registers::at(source)),
                    mask: bytes(&expression["mask"]).unwrap_or_default(),
                    ..Load::default()
                }
            }
            _ => Load::default(),
        };
        let destination = expression["destination"].as_u64().unwrap_or_default();
        self.registers.put(Registers::at(destination), value, load);
        Truth::Yes
    }

    /// Whether a set holds what stands at a register, and what a map gives for it.
    fn look_up(&self, set: &Place, at: usize) -> (Truth, Option<Value>) {
        let elements = self.firewall.elements.get(set).map_or(&[][..], Vec::as_slice);
        let is_end =
            |element: &Element| element.flags.iter().flatten().any(|flag| flag == "interval-end");
        let is_catchall =
            |element: &Element| element.flags.iter().flatten().any(|flag| flag == "catchall");
        let is_interval = elements.iter().any(is_end);
        let mut best: Option<(Vec<u8>, &Element)> = None;
        let mut truth = Truth::No;
        for element in elements.iter().filter(|element| !is_catchall(element)) {
            let Some(key) = bytes(&element.key) else { continue };
            if let Some(end) = bytes(&element.key_end) {
                match self.registers.between_each(at, &key, &end) {
                    Truth::Yes => return (Truth::Yes, Some(element.data.clone())),
                    other => truth = truth.or(other),
                }
            } else if is_interval {
                let Some(value) = self.registers.value(at, key.len()) else {
                    return (Truth::Unknown, None);
                };
                // The nearest boundary that is not above decides; where one interval ends another may begin.
                let is_nearer = |(nearest, known): &(Vec<u8>, &Element)| {
                    key > *nearest || (key == *nearest && is_end(known))
                };
                if key <= value && best.as_ref().is_none_or(is_nearer) {
                    best = Some((key, element));
                }
            } else {
                match self.registers.compare(at, "eq", Some(key)) {
                    Truth::Yes => return (Truth::Yes, Some(element.data.clone())),
                    other => truth = truth.or(other),
                }
            }
        }
        if let Some((_, element)) = best
            && !is_end(element)
        {
            return (Truth::Yes, Some(element.data.clone()));
        }
        match elements.iter().find(|element| is_catchall(element)) {
            Some(catchall) if truth == Truth::No => (Truth::Yes, Some(catchall.data.clone())),
            _ => (truth, None),
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
