//! Which of Calico's dataplanes a node uses, and which tunnels, as far as the node itself tells: by Felix's environment,
//! which overrules the datastore, and else by what Felix has made.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::collectors::{Node, conntrack as rows};
use crate::host::{Evidence, Outcome};
use crate::status;

/// The kernel's nftables.
const TABLES: &str = "netfilter/nftables.json";

/// What Felix programs rules into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dataplane {
    /// iptables, of the legacy kind or on top of nftables.
    Iptables,
    /// nftables itself.
    Nftables,
    /// eBPF.
    Ebpf,
}

/// Whether a node uses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// It does, and how that is known.
    Used(String),
    /// It does not, and how that is known.
    Unused(String),
    /// No Felix was found that would tell, or it does not.
    Open,
}

/// What is known of a node's dataplane.
#[derive(Debug)]
pub(super) struct Facts {
    /// The dataplane and how it is known; `None`: no Felix was found, or it is not known which it uses.
    pub(super) dataplane: Option<(Dataplane, String)>,
    /// Whether a Felix was found.
    pub(super) has_felix: bool,
    /// Why the dataplane is not known; `None` where it is, or where surely no Felix runs.
    pub(super) undecided: Option<String>,
    /// Why Felix's variables are not known; `None` likewise.
    pub(super) unread: Option<String>,
    environment: BTreeMap<String, String>,
    /// Names and kinds of the links.
    pub(super) links: Vec<Link>,
}

/// A link of the node, as `network/links.json` has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) flags: Vec<String>,
    pub(super) master: Option<String>,
    pub(super) ipv4: BTreeMap<String, i64>,
    pub(super) ipv6: BTreeMap<String, i64>,
}

impl Link {
    /// Its name; empty where it has none.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Whether it was set up.
    pub(super) fn is_up(&self) -> bool {
        self.flags.iter().any(|flag| flag == "up")
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Links {
    links: Vec<Link>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tables {
    tables: Vec<Table>,
}

#[derive(Debug, Deserialize)]
struct Table {
    name: String,
}

/// The links of the node; none where they were not read.
pub(super) fn links(evidence: &Evidence) -> Vec<Link> {
    let reading = evidence.get("network/links.json");
    reading
        .and_then(|reading| serde_json::from_slice::<Links>(&reading.bytes).ok())
        .map(|document| document.links)
        .unwrap_or_default()
}

impl Facts {
    pub(super) fn read(evidence: &Evidence, node: &Node) -> Self {
        let felix = node.agents().felix.process;
        let known = felix.map(|felix| felix.environment.clone());
        let unread = match &known {
            None => status::unseen(evidence)
                .map(|why| format!("whether Felix runs is not known: {why}")),
            Some(None) => Some("Felix's environment could not be read".to_owned()),
            Some(Some(_)) => None,
        };
        let environment = known.flatten().unwrap_or_default();
        let decided = felix.map(|_| dataplane(evidence, &environment)).transpose();
        let undecided = match &decided {
            Err(why) => Some(why.clone()),
            Ok(None) => unread.clone(),
            Ok(Some(_)) => None,
        };
        Self {
            dataplane: decided.ok().flatten(),
            has_felix: felix.is_some(),
            undecided,
            unread,
            environment,
            links: links(evidence),
        }
    }

    /// A variable of Felix's environment.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    /// Whether a dataplane is the one that is used.
    pub(super) fn uses(&self, wanted: Dataplane) -> Use {
        match &self.dataplane {
            None => Use::Open,
            Some((dataplane, why)) if *dataplane == wanted => Use::Used(why.clone()),
            Some((_, why)) => Use::Unused(why.clone()),
        }
    }

    /// Whether a kind of tunnel is used: by its devices, and by variables that are true or name a mode.
    pub(super) fn uses_tunnel(&self, devices: &[&str], variables: &[&str]) -> Use {
        let device = self.links.iter().find(|link| devices.contains(&link.name()));
        // tunl0 comes with the module and is there, down, wherever that is loaded.
        if let Some(link) = device.filter(|link| link.is_up()) {
            return Use::Used(format!("{} is up", link.name()));
        }
        let set = variables.iter().find_map(|name| {
            let value = self.variable(name)?;
            let is_on = is_true(value)
                || matches!(
                    value.to_ascii_lowercase().as_str(),
                    "always" | "crosssubnet" | "cross-subnet"
                );
            is_on.then(|| format!("{name} is {value}"))
        });
        match (set, &self.dataplane) {
            (Some(why), _) => Use::Used(why),
            (None, None) => Use::Open,
            (None, Some(_)) => {
                Use::Unused(format!("there is no {} that is up", devices.join(" or ")))
            }
        }
    }

    /// With what the names of pods' links begin.
    pub(super) fn prefixes(&self) -> Vec<&str> {
        let prefixes = self.variable("FELIX_INTERFACEPREFIX").unwrap_or("cali");
        prefixes.split(',').map(str::trim).filter(|prefix| !prefix.is_empty()).collect()
    }

    /// Whether a link is a pod's.
    pub(super) fn is_of_a_pod(&self, link: &Link) -> bool {
        self.prefixes().iter().any(|prefix| link.name().starts_with(prefix))
    }
}

/// The dataplane of a node on which Felix runs.
///
/// # Errors
/// Nothing tells it, and something that might was not read: why.
fn dataplane(
    evidence: &Evidence,
    environment: &BTreeMap<String, String>,
) -> Result<(Dataplane, String), String> {
    let variable =
        |name: &str| environment.get(name).map(|value| (value, format!("{name} is {value}")));
    let ebpf = variable("FELIX_BPFENABLED");
    if let Some((_, why)) = ebpf.as_ref().filter(|(value, _)| is_true(value)) {
        return Ok((Dataplane::Ebpf, why.clone()));
    }
    if ebpf.is_none() && has_maps(evidence) {
        return Ok((Dataplane::Ebpf, "its maps are in /sys/fs/bpf/tc/globals".to_owned()));
    }
    match variable("FELIX_NFTABLESMODE") {
        Some((value, why)) if value.eq_ignore_ascii_case("enabled") => {
            return Ok((Dataplane::Nftables, why));
        }
        Some((value, why)) if value.eq_ignore_ascii_case("disabled") => {
            return Ok((Dataplane::Iptables, why));
        }
        _ => {}
    }
    if has_table(evidence) {
        return Ok((Dataplane::Nftables, "Felix's table calico is in nftables".to_owned()));
    }
    // No sign of the others is one only where signs could be seen.
    for path in [rows::BPF_MAPS, TABLES] {
        if let Some(reading) = evidence.get(path).filter(|reading| reading.outcome.is_trouble()) {
            let why = reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string());
            return Err(format!("which dataplane Felix uses is not known: {why}"));
        }
    }
    Ok((Dataplane::Iptables, "Felix runs, and shows no sign of nftables mode or eBPF".to_owned()))
}

/// Whether maps of the eBPF dataplane are pinned.
fn has_maps(evidence: &Evidence) -> bool {
    let listing = evidence.get(rows::BPF_MAPS).filter(|reading| reading.outcome == Outcome::Ok);
    listing.is_some_and(|listing| listing.text().lines().any(|line| line.contains(" cali_v4_ct")))
}

/// Whether Felix's own table is in nftables (`felix/nftables/table.go`).
fn has_table(evidence: &Evidence) -> bool {
    let reading = evidence.get(TABLES);
    reading
        .and_then(|reading| serde_json::from_slice::<Tables>(&reading.bytes).ok())
        .is_some_and(|document| document.tables.iter().any(|table| table.name == "calico"))
}

/// As Felix reads a Boolean parameter.
pub(super) fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "y" | "t" | "enabled")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Reading;

    fn facts(processes: Reading, refused: Option<&str>) -> Facts {
        let mut evidence = Evidence::default();
        evidence.insert(status::PROCESSES, processes);
        if let Some(path) = refused {
            evidence.insert(path, Reading::failed(Outcome::Denied, "permission denied"));
        }
        let node = Node::from_evidence(&evidence);
        Facts::read(&evidence, &node)
    }

    fn felix(environment: &str) -> Reading {
        let bytes = format!(
            "[{{\"pid\": 412, \"hostRoot\": true, \"state\": \"S\", \"argv\": [\"calico-node\", \"-felix\"]{environment}}}]"
        );
        Reading { bytes: bytes.into_bytes(), ..Reading::begin() }
    }

    #[test]
    fn without_a_sign_it_is_iptables_only_where_signs_could_be_seen() {
        let told = ", \"environment\": {\"NODENAME\": \"n\"}";
        let seen = facts(felix(told), None);
        assert_eq!(seen.dataplane.map(|it| it.0), Some(Dataplane::Iptables));
        assert_eq!((seen.undecided, seen.unread), (None, None));
        for path in [TABLES, rows::BPF_MAPS] {
            let blind = facts(felix(told), Some(path));
            assert_eq!((blind.dataplane, blind.has_felix), (None, true));
            assert!(blind.undecided.unwrap().ends_with("permission denied"));
        }
        let nftables = ", \"environment\": {\"FELIX_NFTABLESMODE\": \"Disabled\"}";
        assert!(facts(felix(nftables), Some(TABLES)).dataplane.is_some());
    }

    #[test]
    fn whose_environment_or_processes_are_hidden_is_not_known() {
        let hidden = facts(felix(""), None);
        assert_eq!(hidden.unread.as_deref(), Some("Felix's environment could not be read"));
        let nobody = Reading { bytes: b"[]".to_vec(), ..Reading::begin() };
        let none = facts(nobody, None);
        assert_eq!((none.has_felix, none.undecided, none.unread), (false, None, None));
        let unseen = facts(Reading::failed(Outcome::Denied, "hidepid"), None);
        assert!(!unseen.has_felix && unseen.undecided == unseen.unread);
        assert!(unseen.unread.unwrap().ends_with("hidepid"));
    }
}
