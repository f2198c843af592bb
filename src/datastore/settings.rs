//! What calicoctl would use to reach the datastore: all of it from its configuration file if there is one, else all of
//! it from the environment (`calicoctl/commands/clientmgr`, `libcalico-go/lib/apiconfig/load.go`).
//!
//! A file that is there means that the environment is ignored whole. Each variable is also read with `CALICO_` before
//! its name, and that wins. The type of the datastore is etcd v3 if there are endpoints of etcd, else Kubernetes.

mod connection;
mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Connection;
use super::url::{self, SECRET};
use super::variables::{self, Kind, SETTINGS, Setting, UNREAD};

/// Where calicoctl looks for its configuration file.
pub const DEFAULT_PATH: &str = "/etc/calico/calicoctl.cfg";

/// calicoctl's configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// None was named, and there is none at [`DEFAULT_PATH`].
    Absent,
    /// It was named, and there is none.
    Missing,
    /// It is there and cannot be read, and why.
    Unreadable(String),
    /// Its text.
    Text(String),
}

/// Where all settings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The configuration file.
    File,
    /// Variables of the environment.
    Environment,
}

/// What is in force, and where it comes from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where all of it comes from.
    pub origin: Origin,
    /// The settings that are in force.
    pub effective: Vec<Effective>,
    /// Variables that are set and ignored, for there is a file.
    pub ignored: Vec<String>,
    /// Mistakes.
    pub problems: Vec<Problem>,
    /// The URLs of the datastore, each for itself.
    pub endpoints: Vec<Endpoint>,
    /// Files that the settings name.
    pub files: Vec<Named>,
    /// What calicoctl would connect to; `None` if it would not even try.
    pub connection: Option<Connection>,
}

/// A setting that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Its key in the file.
    pub setting: String,
    /// Its value, as far as it can be shown.
    pub shown: String,
    /// The variable that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The line of the file that it comes from. Without either, it is calicoctl's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

/// A mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong, without a value.
    pub what: String,
    /// Whether calicoctl refuses to go on.
    pub refused: bool,
}

/// A URL of the datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The setting's key.
    pub setting: String,
    /// As far as it can be shown.
    pub shown: String,
    /// `http`, `https`; `None` where it is no URL.
    pub scheme: Option<String>,
    /// Why it is no URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// A file that a setting names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The setting's key.
    pub setting: &'static str,
    /// The file, as it is named.
    pub path: PathBuf,
    /// Whether it holds a credential: others must not read it.
    pub credential: bool,
}

impl Problem {
    fn refused(line: u64, what: &str) -> Self {
        Self { line: (line > 0).then_some(line), what: what.to_owned(), refused: true }
    }

    fn odd(line: Option<u64>, what: String) -> Self {
        Self { line, what, refused: false }
    }
}

/// A setting's value and where it stands.
struct Value {
    text: String,
    variable: Option<String>,
    line: Option<u64>,
}

/// By the setting's key; none is empty.
type Values = BTreeMap<&'static str, Value>;

/// What calicoctl would use, by its configuration file and this environment.
#[must_use]
pub fn settings(file: &File, environment: &BTreeMap<String, String>) -> Settings {
    let mut problems = Vec::new();
    let mut values = match file {
        File::Absent => from_environment(environment, &mut problems),
        File::Missing => {
            problems
                .push(Problem::refused(0, "the configuration file that was named is not there"));
            Values::new()
        }
        File::Unreadable(reason) => {
            problems.push(Problem::refused(
                0,
                &format!("the configuration file cannot be read: {reason}"),
            ));
            Values::new()
        }
        File::Text(text) => {
            let (given, mistakes) = file::parse(text);
            problems.extend(mistakes);
            let value = |given: file::Given| {
                let value = Value { text: given.value, variable: None, line: Some(given.line) };
                (given.setting.key, value)
            };
            given.into_iter().map(value).collect()
        }
    };
    values.retain(|_, value| !value.text.is_empty());
    let (origin, ignored) = if *file == File::Absent {
        (Origin::Environment, Vec::new())
    } else {
        let set = variables::set(environment).into_iter().map(|(name, _)| name);
        (Origin::File, set.collect())
    };
    let store = store(&mut values, &mut problems);
    check(store, &values, &mut problems);
    let is_refused = problems.iter().any(|problem| problem.refused);
    Settings {
        origin,
        effective: SETTINGS.iter().filter_map(|setting| effective(setting, &values)).collect(),
        ignored,
        endpoints: connection::endpoints(store, &values),
        files: connection::files(store, &values),
        connection: (!is_refused).then(|| connection::of(store, &values)),
        problems,
    }
}

/// The kind of datastore.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Etcd,
    Kubernetes,
}

/// The values in an environment.
fn from_environment(environment: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Values {
    let mut values = Values::new();
    for setting in SETTINGS {
        let names = setting.variables();
        let Some((name, value)) =
            names.into_iter().find_map(|name| environment.get_key_value(&name))
        else {
            continue;
        };
        let text = match setting.kind {
            Kind::Switch => match value.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => "true".to_owned(),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => "false".to_owned(),
                _ => {
                    problems.push(Problem::refused(0, &format!("{name} must be true or false")));
                    continue;
                }
            },
            Kind::Number if value.parse::<f32>().is_err() => {
                problems.push(Problem::refused(0, &format!("{name} must be a number")));
                continue;
            }
            Kind::Text | Kind::Urls | Kind::Number => value.clone(),
        };
        values.insert(setting.key, Value { text, variable: Some(name.clone()), line: None });
    }
    for (name, key) in UNREAD {
        if environment.get(name).is_some_and(|value| !value.is_empty()) {
            let instead = Setting::named(key).and_then(|setting| setting.variables().pop());
            let instead = instead.map_or(String::new(), |variable| format!(", but {variable}"));
            let what = format!("calicoctl does not read {name}{instead}");
            problems.push(Problem::odd(None, what));
        }
    }
    values
}

/// Which datastore it is, and calicoctl's default for it.
fn store(values: &mut Values, problems: &mut Vec<Problem>) -> Store {
    let (store, name) = match values.get("datastoreType") {
        Some(value) => match value.text.as_str() {
            "etcdv3" => return Store::Etcd,
            "kubernetes" => return Store::Kubernetes,
            _ => {
                let place = value.variable.clone().unwrap_or("spec.datastoreType".to_owned());
                let what = format!("{place} is neither kubernetes nor etcdv3");
                problems.push(Problem { line: value.line, what, refused: true });
                values.remove("datastoreType");
                return Store::Kubernetes;
            }
        },
        None if values.contains_key("etcdEndpoints") => (Store::Etcd, "etcdv3"),
        None => (Store::Kubernetes, "kubernetes"),
    };
    values.insert("datastoreType", Value { text: name.to_owned(), variable: None, line: None });
    store
}

/// Mistakes in what the values mean together.
fn check(store: Store, values: &Values, problems: &mut Vec<Problem>) {
    let line = |key: &str| values.get(key).and_then(|value| value.line);
    if store == Store::Kubernetes {
        return;
    }
    let mut refuse = |key: &str, what: &str| {
        problems.push(Problem { line: line(key), what: what.to_owned(), refused: true });
    };
    match (values.contains_key("etcdEndpoints"), values.contains_key("etcdDiscoverySrv")) {
        (true, true) => {
            refuse("etcdDiscoverySrv", "etcdEndpoints and etcdDiscoverySrv are both set");
        }
        (false, false) => {
            refuse("datastoreType", "the datastore is etcd, and no endpoint of it is named");
        }
        _ => {}
    }
    let inline =
        ["etcdKey", "etcdCert", "etcdCACert"].into_iter().find(|key| values.contains_key(key));
    let files = ["etcdKeyFile", "etcdCertFile", "etcdCACertFile"];
    if let (Some(inline), Some(file)) =
        (inline, files.into_iter().find(|key| values.contains_key(key)))
    {
        refuse(
            inline,
            &format!(
                "{inline} and {file} are both set: certificates stand in the file or beside it"
            ),
        );
    }
    for (certificate, key) in [("etcdCertFile", "etcdKeyFile"), ("etcdCert", "etcdKey")] {
        for (has, lacks) in [(certificate, key), (key, certificate)] {
            if values.contains_key(has) && !values.contains_key(lacks) {
                refuse(has, &format!("{has} is set and {lacks} is not: both or neither"));
            }
        }
    }
    for (has, lacks) in [("etcdUsername", "etcdPassword"), ("etcdPassword", "etcdUsername")] {
        if values.contains_key(has) && !values.contains_key(lacks) {
            let what = format!("{has} is set and {lacks} is not: calicoctl uses neither");
            problems.push(Problem::odd(line(has), what));
        }
    }
}

fn effective(setting: &Setting, values: &Values) -> Option<Effective> {
    let value = values.get(setting.key)?;
    let shown = match setting.kind {
        _ if setting.secret => SECRET.to_owned(),
        Kind::Urls => url::shown(&value.text),
        _ => value.text.clone(),
    };
    let setting = setting.key.to_owned();
    Some(Effective { setting, shown, variable: value.variable.clone(), line: value.line })
}

#[cfg(test)]
mod tests;
