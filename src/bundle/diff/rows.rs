//! What stands in a bundle at a path: text, or the rows of one of the kernel's tables.
//!
//! ```text
//! {"source":"RTM_GETROUTE",
//! "routes":[
//! {"family":"ipv4","type":"unicast","destination":"0.0.0.0/0","table":254},
//! {"family":"ipv4","type":"unicast","destination":"192.168.1.0/26","table":254}
//! ],
//! "consistent":true,"complete":true}
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::host::Outcome;
use crate::host::bundle::Bundle;

/// The text of an item; `None`: the node had no such thing.
///
/// # Errors
/// It is not known what it said: why.
pub(super) fn text(bundle: &Bundle, path: &str) -> Result<Option<String>, String> {
    let reading = bundle.at(path);
    match reading.outcome {
        Outcome::Ok => Ok(Some(reading.text().into_owned())),
        Outcome::Missing | Outcome::NotApplicable => Ok(None),
        // What a manifest does not list, the node did not have to be asked for.
        Outcome::Skipped if bundle.has_manifest() && !bundle.lists(path) => Ok(None),
        outcome => {
            let reason = reading.reason.unwrap_or_else(|| outcome.to_string());
            Err(format!("{path}: {reason}"))
        }
    }
}

/// The rows of a list in a document of [`crate::host::netlink`], one a line; none where the node has no such table.
///
/// # Errors
/// It is not known what it said: why.
pub(super) fn rows(
    bundle: &Bundle,
    path: &str,
    list: &str,
) -> Result<Vec<Map<String, Value>>, String> {
    let Some(text) = text(bundle, path)? else { return Ok(Vec::new()) };
    parse(&text, list).ok_or_else(|| format!("{path}: it is no such document, or not whole"))
}

/// `None`: it is not whole.
fn parse(text: &str, list: &str) -> Option<Vec<Map<String, Value>>> {
    let opening = format!("\"{list}\":[");
    let mut rows = Vec::new();
    let mut is_inside = false;
    let mut is_whole = false;
    for line in text.lines() {
        if is_inside && line.starts_with('{') {
            rows.push(serde_json::from_str(line.trim_end_matches(',')).ok()?);
        } else if line.starts_with(']') {
            is_inside = false;
        } else if line.starts_with(&opening) {
            is_inside = !line.trim_end_matches(',').ends_with(']');
        } else if line.ends_with("\"complete\":true}") {
            is_whole = true;
        }
    }
    is_whole.then_some(rows)
}

/// The members of a row as facts, those within others as `detail.id`; what is `null`, empty or `ignored` is none.
pub(super) fn facts(row: &Map<String, Value>, ignored: &[&str]) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for (name, value) in row.iter().filter(|(name, _)| !ignored.contains(&name.as_str())) {
        flatten(name, value, &mut facts);
    }
    facts
}

fn flatten(name: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                flatten(&format!("{name}.{member}"), value, facts);
            }
        }
        Value::Array(list) if list.is_empty() => {}
        Value::Array(list) => {
            let shown: Vec<String> = list.iter().map(said).collect();
            facts.insert(name.to_owned(), shown.join(", "));
        }
        Value::Null => {}
        value => {
            facts.insert(name.to_owned(), said(value));
        }
    }
}

/// A value as it stands in a sentence.
fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// A member of a row as text; empty where it is `null` or absent.
pub(super) fn member(row: &Map<String, Value>, name: &str) -> String {
    row.get(name).filter(|value| !value.is_null()).map(said).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "{\"source\":\"X\",\n\"sets\":[],\n\"routes\":[\n{\"a\":1,\"b\":null,\"c\":{\"d\":[\"x\",2]}},\n{\"a\":2}\n],\n\"others\":[\n{\"a\":3}\n],\n\"consistent\":true,\"complete\":true}\n";

    #[test]
    fn rows_are_those_of_the_list_that_is_asked_for() {
        let rows = parse(DOCUMENT, "routes").unwrap();
        assert_eq!(rows.len(), 2);
        let expected = [("a", "1"), ("c.d", "x, 2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(facts(&rows[0], &[]), expected.into());
        assert_eq!(parse(DOCUMENT, "sets").unwrap().len(), 0);
        assert_eq!(parse(DOCUMENT, "others").unwrap().len(), 1);
    }

    #[test]
    fn a_document_that_is_not_whole_has_no_rows() {
        assert_eq!(
            parse(&DOCUMENT.replace("\"complete\":true", "\"complete\":false"), "routes"),
            None
        );
        assert_eq!(parse(&DOCUMENT[..60], "routes"), None);
        assert_eq!(parse(&DOCUMENT.replace("{\"a\":2}", "{\"a\":"), "routes"), None);
    }
}
