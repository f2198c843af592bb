//! The settings of single links. Of most, what holds is the greater of the link's and that for all
//! (`Documentation/networking/ip-sysctl.rst`).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;

use super::forwarding::is_tunnel;
use super::{ARP, EBPF, Facts, Lack, POD_LINKS, RP_FILTER, tomorrow};
use crate::checks::dataplane::{self, Link};
use crate::checks::figures::counted;
use crate::checks::settings::Tomorrow;
use crate::checks::{Finding, Level};
use crate::host::{Evidence, Outcome};

/// So many links are named.
const NAMED: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Addresses {
    addresses: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Address {
    dev: Option<String>,
    family: Option<String>,
    scope: Option<String>,
}

/// The links over which the node reaches others.
pub(super) fn uplinks(evidence: &Evidence, dataplane: &dataplane::Facts) -> Vec<String> {
    let document: Addresses = evidence
        .get("network/addresses.json")
        .and_then(|reading| serde_json::from_slice(&reading.bytes).ok())
        .unwrap_or_default();
    let addressed: BTreeSet<&str> = document
        .addresses
        .iter()
        .filter(|address| address.family.as_deref() == Some("ipv4"))
        .filter(|address| address.scope.as_deref() == Some("global"))
        .filter_map(|address| address.dev.as_deref())
        .collect();
    let is_uplink = |link: &&Link| {
        let name = link.name();
        link.is_up()
            && addressed.contains(name)
            && !dataplane.is_of_a_pod(link)
            && !is_tunnel(name)
            && !link.flags.iter().any(|flag| flag == "loopback")
            && !["docker", "virbr", "br-", "lxcbr", "cni", "kube-ipvs", "nodelocaldns"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    };
    let links = dataplane.links.iter().filter(is_uplink);
    links.map(|link| link.name().to_owned()).collect()
}

/// Why nothing is known of the links.
fn unread(facts: &Facts) -> Option<String> {
    let path = "network/links.json";
    match facts.evidence.get(path) {
        None => Some("the links were not read".to_owned()),
        Some(reading) if reading.outcome != Outcome::Ok => Some(super::why(reading, "the links")),
        Some(_) if facts.dataplane.links.iter().all(|link| link.ipv4.is_empty()) => {
            Some("what was read of the links does not tell their settings".to_owned())
        }
        Some(_) => None,
    }
}

/// The links of pods that are up.
fn pod_links<'a>(facts: &'a Facts) -> impl Iterator<Item = &'a Link> {
    facts.dataplane.links.iter().filter(|link| facts.dataplane.is_of_a_pod(link) && link.is_up())
}

/// What Felix and the CNI plugin set on the link of a pod (`felix/dataplane/linux/endpoint_mgr.go`), what a lack of it
/// breaks, and whether the setting for all can stand in for it.
const OF_PODS: [(&str, bool, Level, &str); 3] = [
    ("forwarding", false, Level::Fail, "nothing that the pod sends leaves the node"),
    ("proxy_arp", true, Level::Fail, "the pod gets no answer for its gateway 169.254.1.1"),
    (
        "route_localnet",
        true,
        Level::Warn,
        "services on the node's loopback are out of the pod's reach",
    ),
];

pub(super) fn pods(facts: &Facts) -> Finding {
    if let Some(why) = unread(facts) {
        return Finding::new(POD_LINKS, Level::Unknown, why);
    }
    let count = pod_links(facts).count();
    if count == 0 {
        return Finding::new(POD_LINKS, Level::Skip, "no link of a pod is up");
    }
    let mut level = Level::Ok;
    let (mut sentences, mut wrong, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut deciding = Vec::new();
    for (name, by_all, badness, breaks) in OF_PODS {
        let value = |link: &Link| {
            if by_all { facts.effective(link, name) } else { link.ipv4.get(name).copied() }
        };
        // What answers no ARP needs no proxy for it.
        let judged =
            |link: &&Link| name != "proxy_arp" || !link.flags.iter().any(|flag| flag == "noarp");
        if pod_links(facts).filter(judged).any(|link| value(link).is_none()) {
            unknown.push(name);
        }
        let bad: Vec<&str> = pod_links(facts)
            .filter(judged)
            .filter(|link| value(link) == Some(0))
            .map(Link::name)
            .collect();
        let Some(first) = bad.first() else { continue };
        level = if level == Level::Fail { level } else { badness };
        sentences.push(format!(
            "{name} is 0 on {} of {count} links of pods ({first}): {breaks}",
            bad.len()
        ));
        if let Tomorrow::Written { value: 0, place } =
            facts.boot.of(&[&format!("net/ipv4/conf/{first}/{name}")])
        {
            deciding.push(format!("{place} sets {name} to 0"));
        }
        let named = bad.iter().take(NAMED).collect::<Vec<_>>();
        wrong.push(json!({"setting": name, "links": named, "count": bad.len()}));
    }
    let evidence = json!({"links": count, "wrong": wrong});
    if sentences.is_empty() && !unknown.is_empty() {
        let summary = format!("of the links of pods, {} was not read", unknown.join(", "));
        return Finding::new(POD_LINKS, Level::Unknown, summary).evidence(evidence);
    }
    if sentences.is_empty() {
        let links = counted(count, "link of a pod has", "links of pods have");
        let summary = format!("{links} forwarding, proxy_arp and route_localnet");
        return Finding::new(POD_LINKS, Level::Ok, summary).evidence(evidence);
    }
    let mut finding = Finding::new(POD_LINKS, level, sentences.join("; ")).evidence(evidence);
    for place in deciding {
        finding = finding.remedy(format!("take the line out that undoes it: {place}"));
    }
    finding.remedy("restart calico-node on this node: Felix sets its links when it starts")
}

/// `IPReversePathFilter` in `/proc/net/netstat`: packets that were dropped for the way that they took.
///
/// ```text
/// TcpExt: SyncookiesSent ... IPReversePathFilter ...
/// TcpExt: 0 ... 17 ...
/// ```
fn dropped(evidence: &Evidence) -> Option<u64> {
    let reading = evidence.get("host/proc/net/netstat")?;
    let text = reading.text();
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let place = rows.next()?.split_ascii_whitespace().position(|it| it == "IPReversePathFilter")?;
    rows.next()?.split_ascii_whitespace().nth(place)?.parse().ok()
}

pub(super) fn rp_filter(facts: &Facts) -> Finding {
    if let Some(why) = unread(facts) {
        return Finding::new(RP_FILTER, Level::Unknown, why);
    }
    let all = match facts.setting("net/ipv4/conf/all/rp_filter") {
        Ok(all) => all,
        Err(Lack::Unread(why)) => return Finding::new(RP_FILTER, Level::Unknown, why),
        Err(Lack::Missing) => {
            return Finding::new(RP_FILTER, Level::Unknown, "there is no rp_filter for all");
        }
    };
    let is_judged = |link: &&Link| is_tunnel(link.name()) || facts.is_uplink(link);
    let effective = |link: &Link| facts.effective(link, "rp_filter");
    let judged: Vec<&Link> =
        facts.dataplane.links.iter().filter(|link| link.is_up()).filter(is_judged).collect();
    let strict: Vec<&str> = judged
        .iter()
        .filter(|link| effective(link) == Some(1))
        .map(|link| link.name())
        .take(NAMED)
        .collect();
    let dropped = dropped(facts.evidence);
    let after =
        ["all", "default"].map(|name| facts.boot.of(&[&format!("net/ipv4/conf/{name}/rp_filter")]));
    let evidence = json!({
        "all": all,
        "default": facts.known("net/ipv4/conf/default/rp_filter"),
        "effective": judged
            .iter()
            .map(|link| (link.name().to_owned(), json!(effective(link))))
            .take(NAMED)
            .collect::<serde_json::Map<_, _>>(),
        "strict": strict,
        "dropped": dropped,
        "afterReboot": {"all": tomorrow(&after[0]), "default": tomorrow(&after[1])},
    });
    let drops = match dropped {
        Some(0) => "no packet was dropped for it since boot".to_owned(),
        Some(count) => format!("{count} packets were dropped for it since boot"),
        None => "how many packets were dropped for it was not read".to_owned(),
    };
    let finding =
        |level, summary: String| Finding::new(RP_FILTER, level, summary).evidence(evidence.clone());
    let remedy = "sudo sysctl -w net.ipv4.conf.all.rp_filter=0 net/ipv4/conf/LINK/rp_filter=2, and the same in /etc/sysctl.d";
    if strict.is_empty() {
        let mut summary =
            format!("the reverse path filter is not strict on any link of the node's; {drops}");
        if all == 2 && facts.dataplane.variable("FELIX_IGNORELOOSERPF").is_none() {
            summary
                .push_str("; it is loose for all, at which a Felix before 3.12 refuses to start");
        }
        return finding(Level::Ok, summary);
    }
    let names = strict.join(", ");
    if facts.is_ebpf() {
        let summary = format!(
            "the reverse path filter is strict on {names}, and the eBPF dataplane returns packets by other ways than the kernel knows; {drops}"
        );
        return finding(Level::Fail, summary)
            .remedy("restart calico-node on this node: Felix sets it when it starts")
            .remedy(remedy);
    }
    let summary = format!("the reverse path filter is strict on {names}; {drops}");
    match dropped {
        Some(count) if count > 0 && facts.uplinks.len() > 1 => finding(
            Level::Warn,
            format!(
                "{summary}; with {} uplinks, answers may take another way",
                facts.uplinks.len()
            ),
        )
        .remedy(remedy),
        Some(0) => finding(Level::Ok, summary),
        _ => finding(Level::Info, summary),
    }
}

/// What Felix sets in eBPF mode (`felix/dataplane/linux/bpf_ep_mgr.go`).
pub(super) fn ebpf(facts: &Facts) -> Finding {
    if let Some(why) = &facts.dataplane.undecided {
        let summary = format!("whether the eBPF dataplane is used is not known: {why}");
        return Finding::new(EBPF, Level::Unknown, summary);
    }
    if !facts.is_ebpf() {
        let why = match &facts.dataplane.dataplane {
            Some((_, why)) => why.as_str(),
            None => "no Felix runs here",
        };
        return Finding::new(EBPF, Level::Skip, format!("the eBPF dataplane is not used: {why}"));
    }
    if let Some(why) = unread(facts) {
        return Finding::new(EBPF, Level::Unknown, why);
    }
    let uplinks: Vec<&Link> =
        facts.dataplane.links.iter().filter(|link| facts.is_uplink(link)).collect();
    let wrong: Vec<&str> = uplinks
        .iter()
        .filter(|link| facts.effective(link, "accept_local") == Some(0))
        .map(|link| link.name())
        .take(NAMED)
        .collect();
    let evidence = json!({"uplinks": facts.uplinks, "withoutAcceptLocal": wrong});
    let is_unknown = uplinks.iter().any(|link| facts.effective(link, "accept_local").is_none());
    if !wrong.is_empty() {
        let summary = format!(
            "accept_local is 0 on {}: packets to services that come back from another node with this node's address are dropped",
            wrong.join(", ")
        );
        return Finding::new(EBPF, Level::Warn, summary)
            .evidence(evidence)
            .remedy("restart calico-node on this node: Felix sets it on links that match bpfDataIfacePattern");
    }
    if is_unknown {
        return Finding::new(EBPF, Level::Unknown, "accept_local was not read").evidence(evidence);
    }
    Finding::new(EBPF, Level::Ok, "the node's links accept packets with its own address")
        .evidence(evidence)
}

/// With `arp_ignore` 8 the node answers for none of its addresses.
pub(super) fn arp(facts: &Facts) -> Finding {
    if let Some(why) = unread(facts) {
        return Finding::new(ARP, Level::Unknown, why);
    }
    let uplinks: Vec<&Link> =
        facts.dataplane.links.iter().filter(|link| facts.is_uplink(link)).collect();
    let effective = |link: &Link| facts.effective(link, "arp_ignore");
    let values: serde_json::Map<_, _> = uplinks
        .iter()
        .take(NAMED)
        .map(|link| (link.name().to_owned(), json!(effective(link))))
        .collect();
    let evidence = json!({"arpIgnore": values});
    let mute: Vec<&str> =
        uplinks.iter().filter(|link| effective(link) == Some(8)).map(|link| link.name()).collect();
    if !mute.is_empty() {
        let names = mute.join(", ");
        return Finding::new(
            ARP,
            Level::Fail,
            format!("arp_ignore is 8 on {names}: the node answers ARP for none of its addresses"),
        )
        .evidence(evidence)
        .remedy("sudo sysctl -w net.ipv4.conf.all.arp_ignore=0 net/ipv4/conf/LINK/arp_ignore=0");
    }
    if uplinks.is_empty() {
        return Finding::new(ARP, Level::Skip, "no link of the node's own has an address");
    }
    if uplinks.iter().any(|link| effective(link).is_none()) {
        return Finding::new(ARP, Level::Unknown, "arp_ignore was not read").evidence(evidence);
    }
    Finding::new(ARP, Level::Ok, "the node answers ARP for its own addresses").evidence(evidence)
}
