//! `check firewall`: do packets get past the rules of this host, Calico's and everybody else's?
//!
//! All of it rests on the rules of both back ends ([`crate::packet_filter`]). Chains of iptables are judged by their order;
//! base chains of other tables of nftables, where no order saves a packet that one of them drops, by walking a pod's packet
//! through them, as [`super::bgp`] does with its own.

mod backend;
mod hooks;
mod load;
mod managers;
mod others;
mod proxy;

use super::tables::{self, Link};
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Rows};
use crate::felix::settings::Settings;
use crate::host::{Evidence, Outcome, Reading};
use crate::kube_proxy;
use crate::packet_filter::{Backend, Chain, Rules, iptables, lock, nftables};
use crate::processes::{self, Process};
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "firewall",
    about: "iptables and nftables: one back end, Calico's rules reached, nobody else's in the way",
    finds: &[
        Kind { id: BACKEND, passes: "Calico's and kube-proxy's rules are in one back end." },
        Kind { id: CHAINS, passes: "Calico's chains are there and called." },
        Kind { id: ORDER, passes: "Calico's rules are asked before those of others." },
        Kind { id: FORWARD, passes: "What Calico accepts is forwarded." },
        Kind { id: OTHERS, passes: "No other table drops what pods send and receive." },
        Kind { id: PROXY, passes: "kube-proxy works in a mode that suits Felix's." },
        Kind { id: RULES, passes: "There are no more rules than the kernel takes quickly." },
        Kind { id: LOCK, passes: "Nobody holds the lock of iptables for long." },
    ],
    reads: |node, _| collectors::at(node, READ),
    later: |_, _| Rows::default(),
    judge,
};

const BACKEND: &str = "firewall.backend";
const CHAINS: &str = "firewall.chains";
const ORDER: &str = "firewall.order";
const FORWARD: &str = "firewall.forward";
const OTHERS: &str = "firewall.others";
const PROXY: &str = "firewall.kube-proxy";
const RULES: &str = "firewall.rules";
const LOCK: &str = "firewall.lock";

const NFTABLES: &str = "netfilter/nftables.json";
const LINKS: &str = "network/links.json";
const FDB: &str = "network/fdb.json";
const ROUTES: &str = "network/routes.json";
const MODULES: &str = "host/proc/modules";
/// Of each family: the tables of legacy iptables that are in use, and their rules.
const LEGACY: [(&str, &str, &str); 2] = [
    ("ip", "host/proc/net/ip_tables_names", "netfilter/ipv4_tables_legacy"),
    ("ip6", "host/proc/net/ip6_tables_names", "netfilter/ipv6_tables_legacy"),
];

/// What the verdict rests on.
const READ: &[&str] = &[
    NFTABLES,
    LINKS,
    FDB,
    ROUTES,
    MODULES,
    LEGACY[0].1,
    LEGACY[0].2,
    LEGACY[1].1,
    LEGACY[1].2,
    lock::PATH,
    collectors::conntrack::BPF_MAPS,
    "host/etc/calico",
];

/// In which form rules are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// iptables-legacy.
    Legacy,
    /// iptables-nft: chains with the names of iptables, held by nftables.
    Compatible,
    /// Tables of nftables of one's own.
    Native,
}

impl Form {
    const fn words(self) -> &'static str {
        match self {
            Self::Legacy => "iptables-legacy",
            Self::Compatible => "iptables-nft",
            Self::Native => "nftables",
        }
    }
}

/// Whose a chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Calico,
    KubeProxy,
    /// The kubelet marks the back end that it uses with a chain, and watches one of its own for being flushed.
    Kubelet,
    Other,
}

fn owner(chain: &Chain) -> Owner {
    match (chain.table.as_str(), chain.name.as_str()) {
        ("calico", _) => Owner::Calico,
        ("kube-proxy", _) => Owner::KubeProxy,
        (_, "KUBE-IPTABLES-HINT" | "KUBE-KUBELET-CANARY" | "KUBE-FIREWALL") => Owner::Kubelet,
        (_, name) if name.starts_with("cali-") => Owner::Calico,
        (_, name) if name.starts_with("KUBE-") => Owner::KubeProxy,
        _ => Owner::Other,
    }
}

fn form(chain: &Chain) -> Form {
    match (chain.backend, chain.table.as_str()) {
        (Backend::Legacy, _) => Form::Legacy,
        (Backend::Nft, "filter" | "nat" | "mangle" | "raw" | "security")
            if chain.family == "ip" || chain.family == "ip6" =>
        {
            Form::Compatible
        }
        (Backend::Nft, _) => Form::Native,
    }
}

/// What several of the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    rules: Rules,
    /// Rules that could not be read.
    unknown: Vec<String>,
    /// Whether Felix runs; `None`: not known.
    felix: Option<bool>,
    /// Whether Felix is in eBPF mode.
    is_bpf: bool,
    settings: Settings,
    processes: Option<Vec<Process>>,
    /// Links of pods that are up; `None`: not known.
    pods: Option<Vec<String>>,
    /// The forms in which Calico's chains are, and kube-proxy's.
    calico: Vec<Form>,
    proxy: Vec<Form>,
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let facts = Facts::read(evidence);
    let mut findings = vec![
        backend::judge(&facts),
        hooks::chains(&facts),
        hooks::order(&facts),
        hooks::forward(&facts),
        others::judge(&facts),
        proxy::judge(&facts),
        load::rules(&facts),
        load::lock(&facts),
    ];
    tell_once(&mut findings);
    findings
}

/// What is not known for one reason is said once: the others of the same reason refer to it.
fn tell_once(findings: &mut [Finding]) {
    let mut told: Vec<(String, &'static str)> = Vec::new();
    for finding in findings.iter_mut().filter(|finding| finding.level == Level::Unknown) {
        match told.iter().find(|(summary, _)| *summary == finding.summary) {
            None => told.push((finding.summary.clone(), finding.id)),
            Some((_, id)) => {
                finding.level = Level::Skip;
                finding.summary = format!("not judged, for the same reason as {id}");
                finding.remedy.clear();
            }
        }
    }
}

impl<'a> Facts<'a> {
    fn read(evidence: &'a Evidence) -> Self {
        let (rules, unknown) = read_rules(evidence);
        let processes = evidence
            .get(status::PROCESSES)
            .and_then(|reading| processes::parse(&reading.bytes).ok());
        let time = evidence.get(status::PROCESSES).map(|reading| reading.started);
        let felix = status::node_status(time.unwrap_or_default(), evidence).agents.felix;
        let mut settings = Settings::default();
        let process = processes::find(processes.as_deref().unwrap_or_default()).felix.process;
        settings.environment(process.iter().flat_map(|process| process.variables()));
        if let Some(file) = evidence.get("host/etc/calico/felix.cfg") {
            settings.file(&file.text());
        }
        let forms = |wanted| {
            let chains = rules.chains.iter().filter(|chain| owner(chain) == wanted);
            let mut forms: Vec<Form> = chains.map(form).collect();
            forms.sort_unstable();
            forms.dedup();
            forms
        };
        let (calico, proxy) = (forms(Owner::Calico), forms(Owner::KubeProxy));
        let maps = evidence
            .get(collectors::conntrack::BPF_MAPS)
            .is_some_and(|maps| maps.outcome == Outcome::Ok && maps.text().contains(" cali_v"));
        // Maps stay when Felix goes back to iptables: the chains of pods tell.
        let has_pods = rules.chains.iter().any(|chain| is_of_pod(&chain.name));
        let is_bpf = settings.truth("BPFEnabled").unwrap_or(maps && !has_pods);
        let prefix = settings.get("InterfacePrefix").map_or("cali", |(prefix, _)| prefix);
        let pods = pods(evidence, prefix);
        let felix = felix.presence.running;
        Self { evidence, rules, unknown, felix, is_bpf, settings, processes, pods, calico, proxy }
    }

    /// That it is not known, or of no interest, where Calico has no chain.
    fn without_calico(&self, id: &'static str) -> Option<Finding> {
        if !self.calico.is_empty() {
            return None;
        }
        Some(match &self.unknown[..] {
            [] => Finding::new(id, Level::Skip, "Calico has no chains here"),
            unknown => Finding::new(id, Level::Unknown, unread(unknown)),
        })
    }
}

/// Whether a chain is the one that judges what a pod sends or is sent.
fn is_of_pod(name: &str) -> bool {
    let name = name.strip_prefix("filter-").unwrap_or(name);
    name.starts_with("cali-tw-") || name.starts_with("cali-fw-")
}

fn unread(unknown: &[String]) -> String {
    format!("not all rules could be read: {}", unknown.join("; "))
}

/// Why something was not read, in words.
fn reason(reading: &Reading) -> String {
    reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string())
}

/// The rules of both back ends, and what could not be read of them.
fn read_rules(evidence: &Evidence) -> (Rules, Vec<String>) {
    let mut rules = Rules::default();
    let mut unknown = Vec::new();
    match evidence.get(NFTABLES) {
        Some(reading) if reading.outcome == Outcome::Ok => match nftables::parse(&reading.bytes) {
            Some(chains) => rules.extend(chains),
            None => unknown.push("nftables: what was read is not understood".to_owned()),
        },
        Some(reading) => unknown.push(format!("nftables: {}", reason(reading))),
        // It is asked where its module is there, so that nothing is loaded.
        None => match evidence.get(MODULES) {
            Some(modules) if modules.outcome == Outcome::Ok => {}
            _ => unknown.push("nftables: it is not known whether its module is loaded".to_owned()),
        },
    }
    for (family, names, saved) in LEGACY {
        let program = if family == "ip" { "iptables-legacy" } else { "ip6tables-legacy" };
        let is_used = match evidence.get(names) {
            None => Err("it was not asked".to_owned()),
            Some(reading) => match reading.outcome {
                Outcome::Ok => Ok(!reading.text().trim().is_empty()),
                Outcome::Missing => Ok(false),
                _ => Err(reason(reading)),
            },
        };
        match (is_used, evidence.get(saved)) {
            (Err(why), _) => unknown.push(format!("{program}: {why}")),
            (Ok(false), _) => {}
            (Ok(true), Some(reading)) if reading.outcome == Outcome::Ok => {
                let text = reading.text();
                if iptables::is_nft(&text) {
                    let why = "there is no iptables-legacy-save here, and iptables-save is that of nftables";
                    unknown.push(format!("{program}: {why}"));
                } else {
                    rules.extend(iptables::parse(&text, family));
                }
            }
            (Ok(true), reading) => {
                let why = reading.map_or_else(|| "it was not asked".to_owned(), reason);
                unknown.push(format!("{program}: {why}"));
            }
        }
    }
    (rules, unknown)
}

/// The links of pods that are up.
fn pods(evidence: &Evidence, prefix: &str) -> Option<Vec<String>> {
    let links: Vec<Link> = tables::all(evidence, LINKS, "links").ok()?;
    // Felix takes several prefixes, between commas.
    let is_pod = |name: &str| prefix.split(',').any(|it| !it.is_empty() && name.starts_with(it));
    let pods = links
        .into_iter()
        .filter(|link| link.kind.as_deref() == Some("veth") && link.is_up() && is_pod(&link.name));
    Some(pods.map(|link| link.name).collect())
}

/// Whether kube-proxy runs; `None`: not known.
fn kube_proxy_runs(facts: &Facts<'_>) -> Option<bool> {
    facts.processes.as_ref().map(|processes| kube_proxy::find(processes).is_some())
}

#[cfg(test)]
mod tests;
