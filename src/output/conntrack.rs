//! What stands below the findings of `check conntrack`: a bar of use, and lists of who fills the table.

use std::fmt::Write as _;

use serde_json::Value;

use super::printable;
use crate::checks::Finding;
use crate::checks::figures::grouped;

/// Columns of a bar.
const BAR: u64 = 40;

/// The lines below a finding; none for most.
#[must_use]
pub(super) fn below(finding: &Finding) -> String {
    match finding.id {
        "conntrack.usage" => finding.evidence.get("percent").and_then(Value::as_f64).map(bar),
        "conntrack.top" => finding.evidence.get("top").filter(|top| top.is_object()).map(lists),
        _ => None,
    }
    .unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
fn bar(percent: f64) -> String {
    let percent = percent.clamp(0.0, 100.0) as u64;
    let filled = (percent * BAR).div_ceil(100);
    let [filled, empty] =
        [filled, BAR - filled].map(|columns| usize::try_from(columns).unwrap_or(0));
    format!("           [{}{}]\n", "#".repeat(filled), ".".repeat(empty))
}

/// The lists, each with its own heading.
fn lists(top: &Value) -> String {
    let mut text = String::new();
    let states = top["states"].as_object().into_iter().flatten().flat_map(|(protocol, states)| {
        let states = states.as_object().into_iter().flatten();
        states.map(move |(state, entries)| (format!("{protocol} {state}"), entries))
    });
    let protocols = top["protocols"].as_object().into_iter().flatten();
    let protocols = protocols.map(|(protocol, entries)| (protocol.clone(), entries));
    let zones = top["zones"].as_object().into_iter().flatten();
    let zones = zones.map(|(zone, entries)| (format!("zone {zone}"), entries));
    let mut kinds: Vec<(String, u64)> = protocols
        .chain(states)
        .chain(zones)
        .map(|(name, entries)| (name, entries.as_u64().unwrap_or_default()))
        .collect();
    kinds.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    let rows: Vec<(u64, Vec<String>)> =
        kinds.into_iter().map(|(name, entries)| (entries, vec![name])).collect();
    list(&mut text, "by protocol, state and zone", &rows);
    let name = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    for (key, heading) in [("sources", "by source"), ("destinations", "by destination")] {
        let row = |row: &Value| {
            let growth = row["growth"].as_i64().map(|growth| format!("{growth:+}"));
            let cells = ["address", "interface", "pod"].map(|key| name(row, key));
            (row["entries"].as_u64().unwrap_or_default(), cells.into_iter().chain(growth).collect())
        };
        let rows: Vec<_> = top[key].as_array().into_iter().flatten().map(row).collect();
        list(&mut text, heading, &rows);
    }
    let flow = |row: &Value| {
        let port = row["port"].as_u64().map(|port| format!(" {port}")).unwrap_or_default();
        let what = format!("{}{port}", name(row, "protocol"));
        let cells = vec![
            format!("{} -> {}", name(row, "source"), name(row, "destination")),
            what,
            name(row, "pod"),
        ];
        (row["entries"].as_u64().unwrap_or_default(), cells)
    };
    let rows: Vec<_> = top["flows"].as_array().into_iter().flatten().map(flow).collect();
    list(&mut text, "by source, destination and port", &rows);
    let growing = &top["growing"];
    let per_second =
        |row: &Value| format!("+{} a second", row["perSecond"].as_f64().unwrap_or_default());
    let source = |row: &Value| {
        let cells = ["address", "interface", "pod"].map(|key| name(row, key));
        let cells = std::iter::once(per_second(row)).chain(cells).collect();
        (row["entries"].as_u64().unwrap_or_default(), cells)
    };
    let rows: Vec<_> = growing["sources"].as_array().into_iter().flatten().map(source).collect();
    list(&mut text, "by net growth, source", &rows);
    let flow = |row: &Value| {
        let (entries, cells) = flow(row);
        (entries, std::iter::once(per_second(row)).chain(cells).collect())
    };
    let rows: Vec<_> = growing["flows"].as_array().into_iter().flatten().map(flow).collect();
    list(&mut text, "by net growth, source, destination and port", &rows);
    text
}

/// Rows in columns, the number first.
fn list(text: &mut String, heading: &str, rows: &[(u64, Vec<String>)]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "           {heading}:");
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(_, cells)| cells.iter().map(|cell| printable(cell).into_owned()).collect())
        .collect();
    let width = |column: usize| {
        let lengths =
            cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for ((entries, _), cells) in rows.iter().zip(&cells) {
        let mut line = format!("           {:>11}", grouped(*entries));
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::checks::Level;

    #[test]
    fn a_bar_is_as_long_as_the_use() {
        let finding = |percent: f64| {
            Finding::new("conntrack.usage", Level::Ok, "x").evidence(json!({"percent": percent}))
        };
        let filled = |percent| below(&finding(percent)).matches('#').count();
        assert_eq!([0.0, 1.0, 50.0, 100.0, 120.0].map(filled), [0, 1, 20, 40, 40]);
        assert_eq!(below(&Finding::new("conntrack.usage", Level::Unknown, "x")), "");
    }

    #[test]
    fn lists_stand_in_columns_and_do_nothing_to_a_terminal() {
        let finding = Finding::new("conntrack.top", Level::Info, "x").evidence(json!({"top": {
            "protocols": {"tcp": 5}, "states": {"tcp": {"ESTABLISHED": 3}}, "zones": {"0": 5},
            "sources": [
                {"address": "10.0.0.1", "entries": 4, "interface": "cali\u{1b}[1m", "pod": null, "growth": -2},
                {"address": "10.0.0.10", "entries": 1, "interface": null, "pod": null}],
            "destinations": [],
            "flows": [{"source": "10.0.0.1", "destination": "10.0.0.2", "protocol": "udp", "port": 53, "entries": 4}],
        }}));
        let text = below(&finding);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("                     4  10.0.0.1   cali"), "{text}");
        assert!(text.contains("  -2\n"), "{text}");
        assert!(text.contains("                     1  10.0.0.10\n"), "{text}");
        assert!(text.contains("                     4  10.0.0.1 -> 10.0.0.2  udp 53\n"), "{text}");
        assert!(!text.contains("by destination:"), "{text}");
    }
}
