//! What Felix says of its health on `http://127.0.0.1:9099/liveness` and `/readiness`.
//!
//! The status line as `HTTP 503`, then a table for people, or nothing (204):
//!
//! ```text
//! HTTP 503
//! +---------------------------+---------+----------------+---------------------+------------------+
//! | COMPONENT                 | TIMEOUT | LIVENESS       | READINESS           | DETAIL           |
//! +---------------------------+---------+----------------+---------------------+------------------+
//! | CalculationGraph          | 30s     | reporting live | reporting non-ready | not yet in sync  |
//! | InternalDataplaneMainLoop | 1m30s   | reporting live | timed out           |                  |
//! +---------------------------+---------+----------------+---------------------+------------------+
//! ```

pub mod metrics;
pub mod settings;

use std::fmt::Write;

/// One of the two questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Should it be restarted?
    Liveness,
    /// Does it serve?
    Readiness,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// HTTP status: 200 and 204 are good, 503 is bad.
    pub status: u16,
    /// The components in the table.
    pub components: Vec<Component>,
}

/// A part of Felix that reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// How long it may stay silent: `1m30s`, `-`.
    pub timeout: String,
    /// `reporting live`, `reporting non-live`, `timed out`, or `-` if it does not report.
    pub liveness: String,
    /// `reporting ready`, `reporting non-ready`, `timed out`, or `-`.
    pub readiness: String,
    /// What it adds.
    pub detail: String,
}

/// The longest reason that is given, in characters.
const MAX_REASON: usize = 500;

/// An answer as the host keeps it; `None` if it is not one.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Health> {
    let text = String::from_utf8_lossy(bytes);
    let (first, body) = text.split_once('\n').unwrap_or((&text, ""));
    let status = first.strip_prefix("HTTP ")?.split_ascii_whitespace().next()?;
    let status = status.parse().ok().filter(|status| (100..600).contains(status))?;
    let mut components: Vec<Component> = Vec::new();
    for line in body.lines() {
        let Some(row) = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            continue;
        };
        // A detail may hold a bar itself.
        let mut cells = row.splitn(5, '|').map(str::trim);
        let mut cell = || cells.next().unwrap_or_default().to_owned();
        let component = Component {
            name: cell(),
            timeout: cell(),
            liveness: cell(),
            readiness: cell(),
            detail: cell(),
        };
        match components.last_mut() {
            _ if component.name == "COMPONENT" => {}
            // A row without a name goes on with the detail of the row above.
            Some(above) if component.name.is_empty() => {
                above.detail.push(' ');
                above.detail.push_str(&component.detail);
            }
            None if component.name.is_empty() => {}
            _ => components.push(component),
        }
    }
    Some(Health { status, components })
}

impl Health {
    /// Whether the answer is a good one.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// What the probe would say of a bad answer, and which components are not well: `readiness probe reporting
    /// 503: CalculationGraph reporting non-ready (not yet in sync)`.
    #[must_use]
    pub fn reason(&self, probe: Probe) -> Option<String> {
        if self.is_good() {
            return None;
        }
        let mut reason = format!("{} reporting {}", probe.words(), self.status);
        let mut separator = ": ";
        for component in &self.components {
            let (said, good) = match probe {
                Probe::Liveness => (&component.liveness, "reporting live"),
                Probe::Readiness => (&component.readiness, "reporting ready"),
            };
            if said != good && said != "-" {
                // Writing to a string does not fail.
                let _ = write!(reason, "{separator}{} {said}", component.name);
                if !component.detail.is_empty() {
                    let _ = write!(reason, " ({})", component.detail);
                }
                separator = ", ";
            }
        }
        if let Some((end, _)) = reason.char_indices().nth(MAX_REASON) {
            reason.truncate(end);
            reason.push('…');
        }
        Some(reason)
    }
}

impl Probe {
    /// As calico/node's own probe names it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Liveness => "liveness probe",
            Self::Readiness => "readiness probe",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNREADY: &str = "\
HTTP 503
+---------------------------+---------+----------------+---------------------+-----------------+
| COMPONENT                 | TIMEOUT | LIVENESS       | READINESS           | DETAIL          |
+---------------------------+---------+----------------+---------------------+-----------------+
| CalculationGraph          | 30s     | reporting live | reporting non-ready | not yet in sync |
| FelixStartup              | -       | -              | reporting ready     |                 |
| InternalDataplaneMainLoop | 1m30s   | reporting live | timed out           |                 |
+---------------------------+---------+----------------+---------------------+-----------------+
";

    #[test]
    fn an_unready_answer_names_the_components_that_are_not_ready() {
        let health = parse(UNREADY.as_bytes()).unwrap();
        assert_eq!(health.components.len(), 3);
        assert!(!health.is_good());
        assert_eq!(
            health.reason(Probe::Readiness).as_deref(),
            Some(
                "readiness probe reporting 503: CalculationGraph reporting non-ready (not yet in \
                 sync), InternalDataplaneMainLoop timed out"
            )
        );
        assert_eq!(
            health.reason(Probe::Liveness).as_deref(),
            Some("liveness probe reporting 503"),
            "no component is to blame"
        );
    }

    #[test]
    fn a_good_answer_has_no_reason_and_needs_no_table() {
        for answer in ["HTTP 204\n", "HTTP 204", &UNREADY.replace("HTTP 503", "HTTP 200")] {
            let health = parse(answer.as_bytes()).unwrap();
            assert!(health.is_good());
            assert_eq!(health.reason(Probe::Readiness), None);
        }
    }

    #[test]
    fn a_detail_may_hold_a_bar_and_go_on_below() {
        let health =
            parse(b"HTTP 503\n| A | - | - | timed out | x | y |\n|   |   |   |   | z |\n").unwrap();
        assert_eq!(health.components.len(), 1);
        assert_eq!(health.components[0].detail, "x | y z");
    }

    #[test]
    fn what_has_no_status_line_is_no_answer() {
        for answer in ["", "503", "HTTP", "HTTP x\n", "HTTP 99999\n", "| A | - |"] {
            assert_eq!(parse(answer.as_bytes()), None, "{answer}");
        }
    }

    #[test]
    fn a_reason_is_bounded() {
        let answer = format!("HTTP 503\n| {} | - | - | timed out | |\n", "é".repeat(9999));
        let reason = parse(answer.as_bytes()).unwrap().reason(Probe::Readiness).unwrap();
        assert_eq!(reason.chars().count(), MAX_REASON + 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in "(\\PC|\\||\n){0,200}", bytes: Vec<u8>) {
            let mut answer = format!("HTTP 503\n{body}").into_bytes();
            answer.extend(bytes);
            let _ = parse(&answer).unwrap().reason(Probe::Liveness);
        }
    }
}
