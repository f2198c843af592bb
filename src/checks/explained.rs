//! What each finding means, from the documentation itself, which is part of the binary: `docs/checks.md`.
//!
//! ```text
//! ## conntrack                 a check
//! ### `conntrack.usage`        one of its findings
//! ```

use schemars::JsonSchema;
use serde::Serialize;

/// The document of `calivet explain -o json`.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanations {
    /// The version of this document's schema: 1.
    pub schema_version: u32,
    /// Of the findings that were asked for, in the order of the checks.
    pub explanations: Vec<Explanation>,
}

/// A finding that a check can make.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The finding: `bgp.peer`.
    pub id: &'static str,
    /// The check that makes it, as it is named on the command line.
    pub check: &'static str,
    /// A sentence that is true when it passes.
    pub passes: &'static str,
    /// Its section of `docs/checks.md`, in Markdown.
    pub text: &'static str,
}

/// The documentation of the checks, in Markdown.
const DOCS: &str = include_str!("../../docs/checks.md");

/// The section of a finding's id or of a whole check, from its heading to the next one of its depth.
#[must_use]
pub fn section(id: &str) -> Option<&'static str> {
    let heading = if id.contains('.') { format!("### `{id}`") } else { format!("## {id}") };
    let begins = heading_at(DOCS, &heading)?;
    let depth = heading.bytes().take_while(|byte| *byte == b'#').count();
    let section = DOCS.get(begins..)?;
    let mut length = 0;
    let mut is_code = false;
    for (number, line) in section.split_inclusive('\n').enumerate() {
        is_code ^= line.starts_with("```");
        let hashes = line.bytes().take_while(|byte| *byte == b'#').count();
        if number > 0 && !is_code && (1..=depth).contains(&hashes) {
            break;
        }
        length += line.len();
    }
    section.get(..length)
}

/// Where a line that is this heading begins.
fn heading_at(text: &str, heading: &str) -> Option<usize> {
    let mut begins = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == heading {
            return Some(begins);
        }
        begins += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CHECKS;

    #[test]
    fn every_finding_and_every_check_is_explained_in_words_of_its_own() {
        for check in CHECKS {
            let whole = section(check.name).unwrap_or_else(|| panic!("{} is missing", check.name));
            for kind in check.finds {
                let part = section(kind.id).unwrap_or_else(|| panic!("{} is missing", kind.id));
                assert!(whole.contains(part), "{} is not beneath {}", kind.id, check.name);
                assert!(part.lines().count() > 2, "{} is empty", kind.id);
                assert_eq!(part.matches("\n### ").count(), 0, "{} runs on", kind.id);
            }
        }
    }

    #[test]
    fn what_is_no_finding_has_no_section() {
        for id in ["", "bgp.", "bgp.pee", "bgp.peer ", "nothing", "`"] {
            assert_eq!(section(id), None, "{id:?}");
        }
    }
}
