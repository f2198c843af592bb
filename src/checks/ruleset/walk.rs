//! The walk of one packet through the chains, as the kernel's `nft_do_chain` goes it: each rule's expressions are asked in
//! their order, until one of them does not match or a verdict is given.

use serde_json::Value;

use super::packet::{Load, Packet, Registers, Truth, bytes};
use super::{Drop, Element, Firewall, Place, Rule};

/// How deep chains call each other: the kernel's `NFT_JUMP_STACK_SIZE`.
const DEPTH: usize = 16;
/// How many rules are looked at for one packet.
const RULES: usize = 200_000;

/// How the walk through a chain ended.
pub(super) enum End {
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

/// Lets a packet go through a base chain and those that it calls. How that ends, and whether something on the way may have
/// let the packet pass.
pub(super) fn through(firewall: &Firewall, packet: &Packet, base: &Place) -> (End, bool) {
    let registers = Registers::default();
    let mut walk = Walk { firewall, packet, registers, is_doubtful: false, left: RULES };
    let end = walk.chain(base, 0);
    (end, walk.is_doubtful)
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
