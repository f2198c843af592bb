//! Calico's own tables of connections in the eBPF dataplane: how large its maps are, and how many entries Felix counts.
//!
//! Sizes are those of `bpftool -j map show`, in which a name has at most 15 characters:
//!
//! ```json
//! [{"id":12,"type":"hash","name":"cali_v4_ct4","flags":1,"bytes_key":16,"bytes_value":88,"max_entries":512000}]
//! ```
//!
//! Felix counts the entries when it sweeps the map (every 10 s) and serves the number among its metrics, one for each
//! family or, before Calico 3.30 or so, one:
//!
//! ```text
//! # TYPE felix_bpf_conntrack_used gauge
//! felix_bpf_conntrack_used{ip_family="4"} 1234
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

/// The families, as [`family`] and [`used`] name them.
pub const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// The family whose connections a map of this name holds. The digits at its end are the version of its layout;
/// `cali_v4_ct_nats2` is another one.
#[must_use]
pub fn family(name: &str) -> Option<&'static str> {
    let is_version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    match (name.strip_prefix("cali_v4_ct"), name.strip_prefix("cali_v6_ct")) {
        (Some(rest), _) if is_version(rest) => Some("ipv4"),
        (_, Some(rest)) if is_version(rest) => Some("ipv6"),
        _ => None,
    }
}

#[derive(Debug, Deserialize)]
struct Map {
    #[serde(default)]
    name: String,
    #[serde(default)]
    max_entries: u64,
}

/// The most entries that each table may hold, by the name of its map. `None`: bpftool did not say.
#[must_use]
pub fn sizes(json: &[u8]) -> Option<BTreeMap<String, u64>> {
    let maps: Vec<Map> = serde_json::from_slice(json).ok()?;
    let tables = maps.into_iter().filter(|map| family(&map.name).is_some() && map.max_entries > 0);
    Some(tables.map(|map| (map.name, map.max_entries)).collect())
}

/// The entries of each family at Felix's last sweep, among its metrics. Where they are not told apart, they are those of
/// IPv4.
#[must_use]
pub fn used(metrics: &str) -> BTreeMap<&'static str, u64> {
    let mut found = BTreeMap::new();
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("felix_bpf_conntrack_used") else { continue };
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => match rest.split_once('}') {
                Some(parts) => parts,
                None => continue,
            },
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let Some(count) = value.split_ascii_whitespace().next().and_then(number) else { continue };
        let family = if labels.contains('6') { "ipv6" } else { "ipv4" };
        found.insert(family, count);
    }
    found
}

/// A number as Prometheus writes it: `1234`, `1.234567e+06`.
fn number(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    (0.0..9e15).contains(&number).then_some(number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_connections_is_known_by_its_name() {
        assert_eq!(family("cali_v4_ct4"), Some("ipv4"));
        assert_eq!(family("cali_v6_ct12"), Some("ipv6"));
        for other in ["cali_v4_ct_nats2", "cali_ctlb_conn", "cali_v4_ccq2", "ct4", ""] {
            assert_eq!(family(other), None, "{other}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_tables_and_of_no_other_map() {
        let json = br#"[{"id":12,"type":"hash","name":"cali_v4_ct4","max_entries":512000},
            {"id":13,"type":"hash","name":"cali_v4_ct_nats2","max_entries":1},{"id":14,"type":"array"}]"#;
        assert_eq!(sizes(json), Some(BTreeMap::from([("cali_v4_ct4".to_owned(), 512_000)])));
        assert_eq!(sizes(b"[]"), Some(BTreeMap::new()));
        assert_eq!(sizes(b"Error: can't get next map: Operation not permitted"), None);
    }

    #[test]
    fn entries_are_told_with_and_without_a_family() {
        let labelled = "# HELP felix_bpf_conntrack_used x\n\
            felix_bpf_conntrack_used{ip_family=\"4\"} 1.234567e+06\nfelix_bpf_conntrack_used{ip_family=\"6\"} 5\n";
        assert_eq!(used(labelled), BTreeMap::from([("ipv4", 1_234_567), ("ipv6", 5)]));
        assert_eq!(used("HTTP 200\nfelix_bpf_conntrack_used 7\n"), BTreeMap::from([("ipv4", 7)]));
        let others = "felix_bpf_conntrack_used_total 7\nfelix_bpf_conntrack_used{\nfelix_bpf_conntrack_used NaN\n";
        assert!(used(others).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = (family(&text), sizes(text.as_bytes()), used(&text));
        }
    }
}
