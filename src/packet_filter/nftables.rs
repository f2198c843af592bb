//! The rules in the document that calivet makes of the kernel's answer (`docs/netlink.md`).
//!
//! ```text
//! {"generation":7,
//! "chains":[
//! {"family":"ip","table":"filter","name":"FORWARD","type":"filter","hook":"forward","priority":0,"policy":"accept"}
//! ],
//! "rules":[
//! {"family":"ip","table":"filter","chain":"FORWARD","handle":4,"comment":"cali:wUHhoiAYhphO9Mso","expressions":[
//!  {"expression":"counter","bytes":0,"packets":0},{"expression":"immediate","destination":0,"verdict":"jump cali-FORWARD"}]}
//! ],"complete":true}
//! ```

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Act, Backend, Chain, Rule};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    chains: Vec<ChainRow<'a>>,
    #[serde(borrow)]
    rules: Vec<RuleRow<'a>>,
}

#[derive(Deserialize)]
struct ChainRow<'a> {
    #[serde(borrow)]
    family: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    r#type: Option<String>,
    hook: Option<String>,
    priority: Option<i32>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct RuleRow<'a> {
    #[serde(borrow)]
    family: Cow<'a, str>,
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    chain: Cow<'a, str>,
    comment: Option<String>,
    #[serde(borrow)]
    expressions: Vec<Expression<'a>>,
}

#[derive(Deserialize)]
struct Expression<'a> {
    #[serde(borrow, rename = "expression")]
    operation: Cow<'a, str>,
    destination: Option<u64>,
    data: Option<Value>,
    verdict: Option<Value>,
    r#match: Option<Value>,
    target: Option<Value>,
}

/// The chains with their rules. `None`: it is no such document.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Chain>> {
    let Document { chains, rules } = serde_json::from_slice(bytes).ok()?;
    let mut places = HashMap::new();
    let mut found: Vec<Chain> = Vec::with_capacity(chains.len());
    for row in chains {
        found.push(Chain {
            backend: Backend::Nft,
            family: row.family.to_string(),
            table: row.table.to_string(),
            name: row.name.to_string(),
            hook: row.hook,
            kind: row.r#type,
            priority: row.priority,
            drops: row.policy.as_deref() == Some("drop"),
            rules: Vec::new(),
        });
        places.insert((row.family, row.table, row.name), found.len() - 1);
    }
    for row in rules {
        let rule = of(row.expressions, row.comment);
        let place = (row.family, row.table, row.chain);
        if let Some(chain) = places.get(&place).and_then(|at| found.get_mut(*at)) {
            chain.rules.push(rule);
        }
    }
    Some(found)
}

fn of(expressions: Vec<Expression<'_>>, comment: Option<String>) -> Rule {
    let mut rule = Rule { comment, ..Rule::default() };
    for expression in expressions {
        match expression.operation.as_ref() {
            "immediate" => {
                let verdict = expression.verdict.or(expression.data);
                if let Some(verdict) = verdict.as_ref().and_then(Value::as_str)
                    && expression.destination.unwrap_or(0) == 0
                {
                    rule.act = act(verdict);
                }
            }
            "reject" => rule.act = Act::Reject,
            "target" if expression.target.as_ref().is_some_and(|name| name == "REJECT") => {
                rule.act = Act::Reject;
            }
            "match" => {
                rule.is_conditional |= expression.r#match.is_none_or(|name| name != "comment");
            }
            // A map of verdicts decides for the packets that it knows.
            "lookup" => {
                rule.is_conditional = true;
                if expression.destination == Some(0) {
                    rule.act = Act::Map;
                }
            }
            // What is loaded is asked of by others; the rest decides nothing.
            "meta" | "payload" | "ct" | "fib" | "rt" | "exthdr" | "socket" | "tunnel" | "osf"
            | "hash" | "numgen" | "bitwise" | "byteorder" | "counter" | "log" | "target"
            | "notrack" | "nat" | "masq" | "redir" | "objref" | "dynset" | "tproxy" | "dup"
            | "fwd" | "queue" | "synproxy" => {}
            // cmp, range, limit, quota, connlimit, and whatever is not known.
            _ => rule.is_conditional = true,
        }
    }
    rule
}

fn act(verdict: &str) -> Act {
    match verdict.split_once(' ').unwrap_or((verdict, "")) {
        ("accept", _) => Act::Accept,
        ("drop", _) => Act::Drop,
        ("return", _) => Act::Return,
        ("jump" | "goto", chain) => Act::Call(chain.to_owned()),
        _ => Act::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"generation":7,"chains":[
{"family":"ip","table":"filter","name":"FORWARD","type":"filter","hook":"forward","priority":0,"policy":"drop"},
{"family":"ip","table":"filter","name":"cali-FORWARD","type":null,"hook":null,"priority":null,"policy":null}
],"rules":[
{"family":"ip","table":"filter","chain":"FORWARD","handle":4,"comment":"cali:a","expressions":[{"expression":"match","match":"comment"},{"expression":"counter","bytes":0,"packets":0},{"expression":"immediate","destination":0,"verdict":"jump cali-FORWARD"}]},
{"family":"ip","table":"filter","chain":"FORWARD","handle":5,"comment":null,"expressions":[{"expression":"meta","key":"iifname","destination":1},{"expression":"cmp","source":1,"op":"eq","data":"0x6c6f"},{"expression":"target","target":"REJECT"}]},
{"family":"ip","table":"filter","chain":"FORWARD","handle":6,"comment":null,"expressions":[{"expression":"meta","key":"iifname","destination":1},{"expression":"lookup","set":"__map0","source":1,"destination":0}]}
],"complete":true}"#;

    #[test]
    fn rules_say_what_they_do_and_whether_they_ask() {
        let chains = parse(DOCUMENT.as_bytes()).unwrap();
        assert_eq!((chains.len(), chains[0].drops, chains[1].drops), (2, true, false));
        let rules: Vec<(&Act, bool)> =
            chains[0].rules.iter().map(|rule| (&rule.act, rule.is_conditional)).collect();
        let jump = Act::Call("cali-FORWARD".to_owned());
        assert_eq!(rules, [(&jump, false), (&Act::Reject, true), (&Act::Map, true)]);
        assert_eq!(chains[0].rules[0].comment.as_deref(), Some("cali:a"));
    }

    #[test]
    fn what_is_cut_off_is_no_document() {
        assert!(parse(&DOCUMENT.as_bytes()[..600]).is_none());
    }
}
