//! Which dataplane is Felix's, and over what do packets leave the node: as it is told, and as the kernel has it.

use serde::Deserialize;
use serde_json::json;

use super::{Facts, IPV4_LEGACY, IPV6_LEGACY, LINKS, MODE, NFTABLES, reason};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack::BPF_MAPS;
use crate::host::Outcome;

/// The links that Felix and BIRD make for tunnels.
const TUNNELS: [(&str, &str); 6] = [
    ("vxlan.calico", "VXLAN"),
    ("vxlan-v6.calico", "VXLAN (IPv6)"),
    ("tunl0", "IPIP"),
    ("wireguard.cali", "WireGuard"),
    ("wg-v6.cali", "WireGuard (IPv6)"),
    ("egress.calico", "egress gateway"),
];

#[derive(Deserialize)]
struct Link {
    name: String,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize)]
struct Chain {
    table: String,
}

/// The rows of a table of the kernel's in which these words stand: a row is a line, and the tables are long.
fn rows<T: serde::de::DeserializeOwned>(text: &[u8], words: &str) -> Vec<T> {
    // A line is read once, however often they stand in it.
    let mut read = 0;
    memchr::memmem::find_iter(text, words)
        .filter_map(|at| {
            if at < read {
                return None;
            }
            let start = memchr::memrchr(b'\n', text.get(..at)?).map_or(0, |line| line + 1);
            let end = memchr::memchr(b'\n', text.get(at..)?).map_or(text.len(), |line| at + line);
            read = end;
            let line = text.get(start..end)?;
            serde_json::from_slice(line.strip_suffix(b",").unwrap_or(line)).ok()
        })
        .collect()
}

/// What Calico has made in the kernel.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
struct Made {
    iptables_nft: bool,
    iptables_legacy: bool,
    nftables: bool,
    bpf: bool,
    tunnels: Vec<&'static str>,
    /// What could not be looked at.
    unknown: Vec<String>,
}

impl Made {
    fn read(facts: &Facts<'_>) -> Self {
        let mut made = Self::default();
        let mut read = |path: &str, what: &str| {
            let reading = facts.evidence.get(path)?;
            match reading.outcome {
                Outcome::Ok | Outcome::Truncated => Some(&reading.bytes),
                // What is not there has nothing of Calico's.
                Outcome::Missing | Outcome::NotApplicable => None,
                _ => {
                    made.unknown.push(format!("{what}: {}", reason(reading)));
                    None
                }
            }
        };
        // iptables-nft calls the chains as iptables does; Felix itself puts all into one table (`felix/nftables/table.go`).
        let has = |text: &[u8], words: &str, is_own: bool| {
            let chains = rows::<Chain>(text, words);
            chains.iter().any(|chain| (chain.table == "calico") == is_own)
        };
        let nftables = read(NFTABLES, "nftables");
        let iptables_nft = nftables.is_some_and(|text| has(text, "\"name\":\"cali-", false));
        let nftables = nftables.is_some_and(|text| has(text, "\"name\":\"filter-cali-", true));
        let legacy = [IPV4_LEGACY, IPV6_LEGACY].map(|path| {
            let text = read(path, "legacy iptables");
            text.is_some_and(|text| memchr::memmem::find(text, b":cali-").is_some())
        });
        let maps = read(BPF_MAPS, "eBPF maps")
            .is_some_and(|text| memchr::memmem::find(text, b" cali_v").is_some());
        let links = read(LINKS, "links").cloned().unwrap_or_default();
        (made.iptables_nft, made.nftables) = (iptables_nft, nftables);
        made.iptables_legacy = legacy.contains(&true);
        made.bpf = maps;
        for (name, words) in TUNNELS {
            let found = rows::<Link>(&links, &format!("\"name\":\"{name}\""));
            let is_up = |link: &Link| link.flags.iter().any(|flag| flag.eq_ignore_ascii_case("up"));
            // tunl0 is there wherever the module is, and down where nobody uses it.
            if found.iter().any(|link| link.name == name && (name != "tunl0" || is_up(link))) {
                made.tunnels.push(words);
            }
        }
        made
    }

    fn dataplanes(&self) -> Vec<&'static str> {
        [
            (self.iptables_legacy, "iptables (legacy)"),
            (self.iptables_nft, "iptables (nft)"),
            (self.nftables, "nftables"),
            (self.bpf, "eBPF"),
        ]
        .into_iter()
        .filter_map(|(is_made, name)| is_made.then_some(name))
        .collect()
    }
}

/// In which mode does it run?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let made = Made::read(facts);
    if facts.is_absent() && made.dataplanes().is_empty() {
        return Finding::new(
            MODE,
            Level::Skip,
            "Felix does not run, and none of its rules are left",
        );
    }
    let setting = |name: &str| {
        facts
            .settings
            .get(name)
            .map(|(value, origin)| json!({"value": value, "from": origin.to_string()}))
    };
    let bpf = facts.settings.truth("BPFEnabled");
    let nftables = facts.settings.get("NFTablesMode").map(|(value, _)| value.to_ascii_lowercase());
    let told = match (bpf, nftables.as_deref()) {
        (Some(true), _) => Some("eBPF"),
        (_, Some("enabled")) => Some("nftables"),
        _ => None,
    };
    let dataplanes = made.dataplanes();
    let evidence = json!({
        "dataplane": told.or(dataplanes.first().copied()),
        "seen": dataplanes,
        "overlay": made.tunnels,
        "bpfEnabled": setting("BPFEnabled"),
        "nftablesMode": setting("NFTablesMode"),
        "iptablesBackend": setting("IptablesBackend"),
        "vxlanEnabled": setting("VXLANEnabled"),
        "ipInIpEnabled": setting("IpInIpEnabled"),
        "wireguardEnabled": setting("WireguardEnabled"),
        "datastore": facts.datastore,
        "unknown": made.unknown,
    });
    let finding =
        |level, summary: String| Finding::new(MODE, level, summary).evidence(evidence.clone());
    let overlay = match &made.tunnels[..] {
        [] => "no overlay".to_owned(),
        tunnels => tunnels.join(", "),
    };
    if facts.is_absent() {
        return finding(
            Level::Info,
            format!("Felix does not run, and its rules are still there: {}", dataplanes.join(", ")),
        );
    }
    let rules = [made.iptables_legacy, made.iptables_nft, made.nftables];
    if rules.iter().filter(|is_made| **is_made).count() > 1 {
        let sets: Vec<&str> = dataplanes.iter().filter(|name| **name != "eBPF").copied().collect();
        return finding(
            Level::Warn,
            format!("Calico's chains are in {}: packets pass both sets of rules", sets.join(" and ")),
        )
        .remedy("sudo iptables-legacy-save | grep -c cali-; sudo iptables-nft-save | grep -c cali-; sudo nft list table ip calico   # whichever Felix does not use was left: a reboot clears it");
    }
    if bpf == Some(true)
        && !made.bpf
        && made.unknown.is_empty()
        && facts.evidence.get(BPF_MAPS).is_some()
    {
        return finding(
            Level::Fail,
            format!("Felix is told to use eBPF, and none of its maps are there: it has fallen back to {}", dataplanes.first().unwrap_or(&"nothing")),
        )
        .remedy("see felix.errors: `BPF data plane mode enabled but not supported by the kernel`")
        .remedy("mount | grep -e 'type bpf' -e cgroup2; cat /sys/kernel/security/lockdown");
    }
    let dataplane = match (told, &dataplanes[..]) {
        (Some(told), _) => told,
        // In eBPF mode there are some chains as well; maps alone may have been left.
        (None, [.., "eBPF"]) if bpf.is_none() => "eBPF",
        (None, [first, ..]) => first,
        (None, []) => {
            let why = match &made.unknown[..] {
                [] => "nothing of it is seen in the kernel".to_owned(),
                unknown => unknown.join("; "),
            };
            return finding(Level::Unknown, format!("the dataplane is not known: {why}"));
        }
    };
    finding(Level::Ok, format!("dataplane {dataplane}, {overlay}"))
}
