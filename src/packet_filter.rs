//! The rules of a host's packet filter, alike for both back ends: what `iptables-legacy-save` writes ([`iptables`]), and
//! what the kernel tells of nftables ([`nftables`]), the rules of iptables-nft included.
//!
//! Of a rule is kept what it does, and whether it asks anything of the packet before. That is enough to tell which chains
//! call which, in which order, and what no packet gets past.

pub mod iptables;
pub mod lock;
pub mod nftables;

use std::collections::HashMap;
use std::fmt;

/// Which part of the kernel holds the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// `ip_tables` and `ip6_tables`: iptables-legacy.
    Legacy,
    /// `nf_tables`: nft and iptables-nft.
    Nft,
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Legacy => "legacy iptables",
            Self::Nft => "nftables",
        })
    }
}

/// What becomes of a packet that a rule matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Act {
    /// It has passed this base chain.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and its sender is told.
    Reject,
    /// Back to the chain that called.
    Return,
    /// Another chain is asked (jump and goto).
    Call(String),
    /// Marks, counters, logs, NAT: nothing that ends its way.
    #[default]
    Other,
    /// What a map of verdicts says, which is not looked at here.
    Map,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// What it does.
    pub act: Act,
    /// Whether it asks anything of a packet: if not, it is for all of them.
    pub is_conditional: bool,
    /// Its comment; Felix's begin with `cali:`.
    pub comment: Option<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Who holds it.
    pub backend: Backend,
    /// `ip`, `ip6`, `inet`, ...
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where packets come into it (`forward`); `None`: it is only called.
    pub hook: Option<String>,
    /// `filter`, `nat` or `route`, of a base chain.
    pub kind: Option<String>,
    /// The lower, the sooner it is asked among those of the same hook.
    pub priority: Option<i32>,
    /// Whether its policy is to drop.
    pub drops: bool,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// `table ip filter of nftables`.
    #[must_use]
    pub fn place(&self) -> String {
        let Self { backend, family, table, .. } = self;
        match (backend, family.as_str()) {
            (Backend::Legacy, "ip6") => format!("legacy ip6tables, table {table}"),
            (Backend::Legacy, _) => format!("legacy iptables, table {table}"),
            (Backend::Nft, _) => format!("nftables, table {family} {table}"),
        }
    }

    /// The command that shows it.
    #[must_use]
    pub fn command(&self) -> String {
        let Self { backend, family, table, name, .. } = self;
        match (backend, family.as_str()) {
            (Backend::Legacy, "ip6") => {
                format!("ip6tables-legacy -t {table} -nvL {name} --line-numbers")
            }
            (Backend::Legacy, _) => {
                format!("iptables-legacy -t {table} -nvL {name} --line-numbers")
            }
            (Backend::Nft, _) => format!("nft -a list chain {family} {table} {name}"),
        }
    }
}

/// All chains of a host.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The chains, in the order in which they were told.
    pub chains: Vec<Chain>,
    places: HashMap<(Backend, String, String, String), usize>,
}

impl Rules {
    /// Adds chains.
    pub fn extend(&mut self, chains: impl IntoIterator<Item = Chain>) {
        for chain in chains {
            let Chain { backend, family, table, name, .. } = &chain;
            let place = (*backend, family.clone(), table.clone(), name.clone());
            self.places.insert(place, self.chains.len());
            self.chains.push(chain);
        }
    }

    /// The chain that a rule of another calls by this name.
    #[must_use]
    pub fn called(&self, from: &Chain, name: &str) -> Option<&Chain> {
        let place = (from.backend, from.family.clone(), from.table.clone(), name.to_owned());
        self.chains.get(*self.places.get(&place)?)
    }

    /// Whether a rule of this chain, or of one that it calls, does what is asked for. Each chain is looked at once.
    #[must_use]
    pub fn any(&self, chain: &Chain, is_wanted: impl Fn(&Rule) -> bool) -> bool {
        let mut seen: Vec<&str> = vec![&chain.name];
        let mut known: std::collections::HashSet<&str> = seen.iter().copied().collect();
        while let Some(name) = seen.pop() {
            let Some(at) = self.called(chain, name) else { continue };
            for rule in &at.rules {
                if is_wanted(rule) {
                    return true;
                }
                if let Act::Call(name) = &rule.act
                    && known.insert(name)
                {
                    seen.push(name);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(name: &str, rules: &[Act]) -> Chain {
        let rules = rules.iter().map(|act| Rule { act: act.clone(), ..Rule::default() });
        Chain {
            backend: Backend::Nft,
            family: "ip".to_owned(),
            table: "filter".to_owned(),
            name: name.to_owned(),
            hook: None,
            kind: None,
            priority: None,
            drops: false,
            rules: rules.collect(),
        }
    }

    #[test]
    fn what_a_called_chain_does_is_found_and_a_circle_ends() {
        let mut rules = Rules::default();
        rules.extend([
            chain("a", &[Act::Call("b".to_owned())]),
            chain("b", &[Act::Call("a".to_owned()), Act::Call("gone".to_owned()), Act::Drop]),
        ]);
        let a = &rules.chains[0];
        assert!(rules.any(a, |rule| rule.act == Act::Drop));
        assert!(!rules.any(a, |rule| rule.act == Act::Reject));
    }
}
