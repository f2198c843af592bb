//! calicoctl's configuration file, read as strictly as calicoctl does (`sigs.k8s.io/yaml`, `UnmarshalStrict`), and
//! with the line of every mistake.
//!
//! ```yaml
//! apiVersion: projectcalico.org/v3
//! kind: CalicoAPIConfig
//! metadata:
//! spec:
//!   datastoreType: etcdv3
//!   etcdEndpoints: https://10.0.0.1:2379
//! ```

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_yaml::{Error, Spanned};

use super::Problem;
use crate::datastore::variables::{Kind, SETTINGS, Setting};

/// A setting that the file gives.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) setting: &'static Setting,
    pub(super) line: u64,
    pub(super) value: String,
}

const API_VERSION: &str = "projectcalico.org/v3";
const KIND: &str = "CalicoAPIConfig";
/// The keys of the file itself.
const KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
/// A parser's message that is longer is not told.
const MAX_MESSAGE: usize = 160;
/// Of more mistakes no more is told.
const MAX_PROBLEMS: usize = 20;

/// What the file gives, and what is wrong with it.
pub(super) fn parse(text: &str) -> (Vec<Given>, Vec<Problem>) {
    let mut given = Vec::new();
    let mut problems = Vec::new();
    let text = first_document(text.strip_prefix('\u{feff}').unwrap_or(text));
    // Options without a snippet of the text, which may hold a secret.
    let options = serde_yaml::options! { with_snippet: false };
    let top: Option<Top> = match serde_yaml::from_str_with_options(text, options) {
        Ok(top) => top,
        Err(error) => {
            problems.push(syntax(text, &error));
            return (given, problems);
        }
    };
    let mut api_version = None;
    let mut kind = None;
    for (key, node) in top.map(|top| top.0).unwrap_or_default() {
        let line = line(&key);
        match (canonical(&key.value, &KEYS), node) {
            (Some("apiVersion"), Node::Other(value)) => api_version = Some((line, value)),
            (Some("kind"), Node::Other(value)) => kind = Some((line, value)),
            (Some("metadata"), Node::Other(Value::Null | Value::Object(_))) => {}
            (Some("metadata"), Node::Other(_)) => {
                problems.push(Problem::refused(line, "metadata is no mapping"));
            }
            (Some("spec"), Node::Spec(entries)) => {
                for (key, value) in entries {
                    match entry(&key, &value.value) {
                        Ok(entry) => given.extend(entry),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            (Some("spec"), Node::Other(value)) if !value.is_null() => {
                problems.push(Problem::refused(line, "spec is no mapping"));
            }
            (Some(_), _) => {}
            (None, _) => problems.push(unknown(line, &key.value, "", &KEYS)),
        }
    }
    for (name, found, wanted) in [("apiVersion", api_version, API_VERSION), ("kind", kind, KIND)] {
        let (line, value) = found.unwrap_or((0, Value::Null));
        if value.as_str() != Some(wanted) {
            let is = match &value {
                Value::Null => "is missing".to_owned(),
                Value::String(value) if is_word(value) => format!("is {value}"),
                _ => "is something else".to_owned(),
            };
            problems.push(Problem::refused(line, &format!("{name} {is}: it must be {wanted}")));
        }
    }
    problems.truncate(MAX_PROBLEMS);
    (given, problems)
}

/// A key of `spec` and its value.
fn entry(key: &Spanned<String>, value: &Value) -> Result<Option<Given>, Problem> {
    let line = line(key);
    let Some(setting) =
        SETTINGS.iter().find(|setting| setting.key.eq_ignore_ascii_case(&key.value))
    else {
        let keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
        return Err(unknown(line, &key.value, "spec.", &keys));
    };
    let wrong = |wanted| Err(Problem::refused(line, &format!("spec.{}: {wanted}", setting.key)));
    let value = match (setting.kind, value) {
        // A key without a value leaves the setting as it is.
        (_, Value::Null) => return Ok(None),
        (Kind::Text | Kind::Urls, Value::String(text)) => text.clone(),
        // A number or a truth value in the place of a text is taken for its text.
        (Kind::Text | Kind::Urls, Value::Number(_) | Value::Bool(_))
        | (Kind::Switch, Value::Bool(_))
        | (Kind::Number, Value::Number(_)) => value.to_string(),
        (Kind::Text | Kind::Urls, _) => return wrong("it must be a text"),
        (Kind::Switch, _) => return wrong("it must be true or false, without quotation marks"),
        (Kind::Number, _) => return wrong("it must be a number"),
    };
    Ok(Some(Given { setting, line, value }))
}

/// The first document: calicoctl does not look at others. Its lines keep their numbers.
fn first_document(text: &str) -> &str {
    let mut has_begun = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let marks = |mark| content == mark || line.starts_with(&format!("{mark} "));
        if has_begun && (marks("---") || marks("...")) {
            return &text[..at];
        }
        has_begun |= !(content.is_empty() || content.starts_with(['#', '%']) || content == "---");
        at += line.len();
    }
    text
}

/// The key as calicoctl knows it: capitals do not matter to Go's JSON.
fn canonical<'a>(key: &str, keys: &[&'a str]) -> Option<&'a str> {
    keys.iter().copied().find(|known| known.eq_ignore_ascii_case(key))
}

/// A key that is not known; what it may be meant for.
fn unknown(line: u64, key: &str, before: &str, keys: &[&str]) -> Problem {
    // What is no word may be a secret that slipped to the left.
    let shown = if is_word(key) { key } else { "[no key]" };
    let letters = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let meant = keys.iter().find(|known| letters(known) == letters(key));
    let nested = (before.is_empty() && canonical(key, &spec_keys()).is_some())
        .then_some(": it belongs below spec");
    let hint = match (meant, nested) {
        (Some(meant), _) => format!(": {before}{meant} is meant"),
        (None, Some(nested)) => nested.to_owned(),
        (None, None) => String::new(),
    };
    Problem::refused(line, &format!("unknown key {before}{shown}{hint}"))
}

fn spec_keys() -> Vec<&'static str> {
    SETTINGS.iter().map(|setting| setting.key).collect()
}

/// Whether a text is short and of letters, digits, and what stands in names.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
}

/// What the parser says, unless it repeats what stands in that place: that may be a password.
fn syntax(text: &str, error: &Error) -> Problem {
    let line = error.location().map_or(0, |location| location.line());
    if let Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().filter(|key| canonical(key, &spec_keys()).is_some());
        let which = key.map_or("a key".to_owned(), |key| format!("the key {key}"));
        return Problem::refused(line, &format!("{which} stands twice"));
    }
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    let number = usize::try_from(line).unwrap_or(0);
    let near = text.lines().skip(number.saturating_sub(2)).take(3);
    let mut words = near.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric()));
    let what = "it is no YAML and no JSON";
    let is_short = (1..=MAX_MESSAGE).contains(&message.len());
    if !is_short || words.any(|word| word.len() > 2 && message.contains(word)) {
        return Problem::refused(line, what);
    }
    Problem::refused(line, &format!("{what}: {message}"))
}

fn line(key: &Spanned<String>) -> u64 {
    key.referenced.line()
}

type Entries = Vec<(Spanned<String>, Spanned<Value>)>;

/// The file's mapping, with lines.
struct Top(Vec<(Spanned<String>, Node)>);

enum Node {
    Spec(Entries),
    Other(Value),
}

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TopVisitor)
    }
}

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let node = if key.value.eq_ignore_ascii_case("spec") {
                match map.next_value::<Option<Spec>>()? {
                    Some(spec) => Node::Spec(spec.0),
                    None => Node::Other(Value::Null),
                }
            } else {
                Node::Other(map.next_value()?)
            };
            entries.push((key, node));
        }
        Ok(Top(entries))
    }
}

/// What stands below `spec`, with lines.
struct Spec(Entries);

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SpecVisitor)
    }
}

struct SpecVisitor;

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = Spec;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spec, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Spec(entries))
    }
}
