//! Whether the kernel's table is the one that matters: in eBPF mode, pods' connections are in maps of Calico's own.

use serde_json::{Map, Value, json};

use super::{BPF, Facts, grouped, percent, why};
use crate::bpf_maps;
use crate::checks::dataplane::is_true;
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::host::Outcome;
use crate::{processes, status};

/// The table of one family, as far as it is known.
struct Table {
    family: &'static str,
    used: Option<u64>,
    size: Option<u64>,
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let felix = processes::find(&facts.node.processes).felix.process.cloned();
    let variable =
        |name: &str| felix.as_ref().and_then(|felix| felix.variable(name)).map(str::to_owned);
    let is_enabled = variable("FELIX_BPFENABLED").map(|value| is_true(&value));
    let listing = facts.text(rows::BPF_MAPS).unwrap_or_default();
    let maps: Vec<&str> = rows::conntrack_maps(&listing).collect();
    let configured = variable("FELIX_BPFMAPSIZECONNTRACK");
    let mut evidence = json!({"enabled": is_enabled, "maps": maps, "configuredSize": configured});
    let (level, summary) = match (is_enabled, maps.is_empty(), felix.is_some()) {
        (Some(true), ..) | (None, false, _) => {
            let configured = configured.and_then(|size| size.parse().ok());
            let tables = tables(facts, &maps, configured);
            evidence["tables"] = tables.iter().map(Table::evidence).collect::<Map<_, _>>().into();
            shown(facts, &maps, &tables)
        }
        (Some(false), false, _) => (
            Level::Info,
            format!(
                "FELIX_BPFENABLED is false, and maps of the eBPF dataplane are left: {}",
                maps.join(", ")
            ),
        ),
        (Some(false), true, _) => (Level::Ok, "Felix uses the kernel's table".to_owned()),
        (None, true, has_felix) => without_maps(facts, has_felix),
    };
    let finding = Finding::new(BPF, level, summary).evidence(evidence);
    if matches!(level, Level::Warn | Level::Fail) {
        return finding.remedy(
            "kubectl patch felixconfiguration default --type merge --patch '{\"spec\": {\"bpfMapSizeConntrack\": N}}'    \
             Felix makes a larger map and copies the entries",
        );
    }
    finding
}

/// Where no maps were seen, and Felix's environment does not say whether there are to be any.
fn without_maps(facts: &Facts, has_felix: bool) -> (Level, String) {
    let unread = facts.reading(rows::BPF_MAPS).filter(|reading| reading.outcome.is_trouble());
    match (has_felix, unread, status::unseen(facts.evidence)) {
        (true, Some(reading), _) => {
            let why = why(reading, "/sys/fs/bpf/tc/globals");
            (Level::Unknown, format!("whether Felix has a table of its own is not known: {why}"))
        }
        (true, None, _) => (Level::Ok, "Felix uses the kernel's table".to_owned()),
        (false, _, Some(why)) => {
            (Level::Unknown, format!("whether Felix runs is not known: {why}"))
        }
        (false, _, None) => (Level::Skip, "no Felix runs here".to_owned()),
    }
}

impl Table {
    fn percent(&self) -> Option<f64> {
        Some(percent(self.used?, self.size.filter(|size| *size > 0)?))
    }

    fn evidence(&self) -> (String, Value) {
        let value = json!({"used": self.used, "size": self.size, "percent": self.percent()});
        (self.family.to_owned(), value)
    }

    fn shown(&self) -> String {
        let number = |count: Option<u64>| count.map_or_else(|| "unknown".to_owned(), grouped);
        let share = self.percent().map(|share| format!(" ({share} %)")).unwrap_or_default();
        format!("{} of {} entries{share} of {}", number(self.used), number(self.size), self.family)
    }
}

/// What is known of the tables: their sizes from bpftool, else as Felix was told, and their entries from Felix.
fn tables(facts: &Facts, maps: &[&str], configured: Option<u64>) -> Vec<Table> {
    let sizes = facts
        .reading(rows::BPF_SIZES)
        .filter(|reading| reading.outcome == Outcome::Ok)
        .and_then(|reading| bpf_maps::sizes(&reading.bytes))
        .unwrap_or_default();
    let used = facts.text(rows::METRICS).map(|text| bpf_maps::used(&text)).unwrap_or_default();
    let of = |family: &'static str| {
        // Maps of an older layout are left behind by an upgrade: the newest counts.
        let is_its = |name: &&str| bpf_maps::family(name) == Some(family);
        let newest = maps.iter().copied().filter(is_its).max_by_key(|name| (name.len(), *name));
        let size = newest.and_then(|newest| sizes.get(newest).copied());
        let used = used.get(family).copied();
        (newest.is_some() || used.is_some() || family == "ipv4").then_some(Table {
            family,
            used,
            size: size.or(configured),
        })
    };
    bpf_maps::FAMILIES.into_iter().filter_map(of).collect()
}

fn shown(facts: &Facts, maps: &[&str], tables: &[Table]) -> (Level, String) {
    let worst = tables.iter().filter_map(Table::percent).fold(None, |worst: Option<f64>, share| {
        Some(worst.map_or(share, |worst| worst.max(share)))
    });
    let level = match worst {
        Some(share) if share >= f64::from(facts.asked.fail_percent) => Level::Fail,
        Some(share) if share >= f64::from(facts.asked.warn_percent) => Level::Warn,
        _ => Level::Info,
    };
    let names = if maps.is_empty() { "cali_v4_ct*".to_owned() } else { maps.join(", ") };
    let mut summary = format!(
        "eBPF dataplane: the connections of pods are in Calico's own map ({names}), the kernel's table holds those of the \
         host; "
    );
    if tables.iter().all(|table| table.used.is_none() && table.size.is_none()) {
        let reason = facts.reading(rows::METRICS).map(|reading| why(reading, "Felix's metrics"));
        let reason = reason.unwrap_or_else(|| "Felix's metrics were not read".to_owned());
        summary.push_str("how full it is is not known: ");
        summary.push_str(&reason);
    } else {
        let shown: Vec<String> = tables.iter().map(Table::shown).collect();
        summary.push_str(&shown.join(", "));
    }
    (level, summary)
}
