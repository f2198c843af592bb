//! What Felix measures, as it serves it on `http://127.0.0.1:9091/metrics` (Prometheus' text format 0.0.4).
//!
//! ```text
//! HTTP 200
//! # HELP felix_int_dataplane_failures Number of times dataplane updates failed and will be retried.
//! # TYPE felix_int_dataplane_failures counter
//! felix_int_dataplane_failures 3
//! felix_int_dataplane_apply_time_seconds{quantile="0.99"} 0.75
//! ```

use std::collections::BTreeMap;

/// The most values that are kept.
const MAX: usize = 20_000;

/// The values by name; of a name with labels by the labels, as they stand between the braces.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, Vec<(String, f64)>>);

impl Metrics {
    /// The values in an answer. Lines that are none are left out.
    #[must_use]
    pub fn parse(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer);
        let mut values = BTreeMap::<String, Vec<(String, f64)>>::new();
        for (name, labels, value) in text.lines().filter_map(value).take(MAX) {
            values.entry(name.to_owned()).or_default().push((labels.to_owned(), value));
        }
        Self(values)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of a name's values; `None` if it has none that is a number.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values = self.0.get(name)?.iter().map(|(_, value)| *value);
        let numbers: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum())
    }

    /// The greatest of a name's values with this label.
    #[must_use]
    pub fn greatest(&self, name: &str, label: &str) -> Option<f64> {
        let values = self.0.get(name)?.iter();
        values
            .filter(|(labels, value)| labels.contains(label) && value.is_finite())
            .map(|(_, value)| *value)
            .max_by(f64::total_cmp)
    }
}

/// Name, labels and value of a line. A timestamp may follow.
fn value(line: &str) -> Option<(&str, &str, f64)> {
    let line = line.trim_start();
    let end = line
        .find(|character: char| !(character.is_ascii_alphanumeric() || "_:".contains(character)))?;
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return None;
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(labelled) => {
            let end = closing(labelled)?;
            (labelled.get(..end)?, labelled.get(end + 1..)?)
        }
        None => ("", rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// Where the labels end: not at a brace in a value.
fn closing(labels: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, byte) in labels.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Some(index),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_with_their_labels() {
        let metrics = Metrics::parse(
            b"HTTP 200\n# HELP a b\n# TYPE a counter\na 3\n\
              b{quantile=\"0.5\"} 0.25\nb{quantile=\"0.99\"} 7.5e-1\nb_sum 12\n\
              c{iface=\"}\\\"\",x=\"y\"} 1 1714555184000\nc{iface=\"z\"} 2\nd NaN\ne +Inf\nbroken{x 1\n",
        );
        assert_eq!(metrics.sum("a"), Some(3.0));
        assert_eq!(metrics.greatest("b", "quantile=\"0.99\""), Some(0.75));
        assert_eq!(metrics.sum("c"), Some(3.0));
        for none in ["d", "e", "f", "broken", "HTTP"] {
            assert_eq!(metrics.sum(none).filter(|_| none != "HTTP"), None, "{none}");
        }
        assert!(Metrics::parse(b"").is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>, text in "[a-z]{1,3}(\\{\\PC{0,20}\\}?)? \\PC{0,9}") {
            let _ = Metrics::parse(&bytes);
            let _ = Metrics::parse(text.as_bytes());
        }
    }
}
