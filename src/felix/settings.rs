//! Felix's parameters, and who sets them: its environment, its file, the datastore (for this node, for all), Felix
//! itself; the first that names a parameter wins (`felix/config/config_params.go`).
//!
//! ```text
//! FELIX_LOGSEVERITYSCREEN=Warning                    the environment
//! [global]                                           /etc/calico/felix.cfg
//! LogSeverityScreen = Warning
//! {"metadata": {"name": "node.node-1"}, "spec": {"logSeverityScreen": "Warning"}}     FelixConfiguration
//! ```
//!
//! Names are the same in upper and lower case.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

/// Who sets a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `FELIX_...` in Felix's environment.
    Environment,
    /// `/etc/calico/felix.cfg`.
    File,
    /// The `FelixConfiguration` of this node, by its name.
    Node(String),
    /// The `FelixConfiguration` named `default`.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.write_str("Felix's environment"),
            Self::File => formatter.write_str("/etc/calico/felix.cfg"),
            Self::Node(name) => write!(formatter, "FelixConfiguration {name}"),
            Self::Default => formatter.write_str("FelixConfiguration default"),
        }
    }
}

/// What is set, by whom, in the order of precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    sources: Vec<(Origin, BTreeMap<String, String>)>,
}

impl Settings {
    /// Adds variables of Felix's environment.
    pub fn environment<'a>(&mut self, variables: impl Iterator<Item = (&'a str, &'a str)>) {
        let felix = variables.filter_map(|(name, value)| {
            let (head, name) = name.split_at_checked("FELIX_".len())?;
            head.eq_ignore_ascii_case("FELIX_")
                .then(|| (name.to_ascii_lowercase(), value.to_owned()))
        });
        self.sources.push((Origin::Environment, felix.collect()));
    }

    /// Adds Felix's file.
    pub fn file(&mut self, text: &str) {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[']));
        let pairs = lines.filter_map(|line| {
            let (name, value) = line.split_once(['=', ':'])?;
            Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
        });
        self.sources.push((Origin::File, pairs.collect()));
    }

    /// Adds what the datastore has for a node, and for all: a document with the resources under `items`. `None`: it is
    /// not one.
    #[must_use]
    pub fn datastore(&mut self, bytes: &[u8], node: &str) -> Option<()> {
        #[derive(Deserialize)]
        struct Document {
            items: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            metadata: Metadata,
            #[serde(default)]
            spec: BTreeMap<String, Value>,
        }
        #[derive(Deserialize)]
        struct Metadata {
            name: String,
        }
        let Document { items } = serde_json::from_slice(bytes).ok()?;
        let own = format!("node.{node}");
        for (name, origin) in
            [(own.as_str(), Origin::Node(own.clone())), ("default", Origin::Default)]
        {
            let Some(resource) = items.iter().find(|item| item.metadata.name == name) else {
                continue;
            };
            let pairs = resource.spec.iter().filter_map(|(name, value)| {
                let value = match value {
                    Value::String(text) => text.clone(),
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    _ => return None,
                };
                Some((name.to_ascii_lowercase(), value))
            });
            self.sources.push((origin, pairs.collect()));
        }
        Some(())
    }

    /// The value of a parameter and who sets it; `None`: nobody, and Felix's own default holds.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&str, &Origin)> {
        let name = name.to_ascii_lowercase();
        self.sources.iter().find_map(|(origin, pairs)| {
            let value = pairs.get(&name).filter(|value| !value.is_empty())?;
            Some((value.as_str(), origin))
        })
    }

    /// A Boolean parameter, as Felix reads one.
    #[must_use]
    pub fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)?.0.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "t" | "enabled" => Some(true),
            "false" | "0" | "no" | "n" | "f" | "disabled" => Some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DATASTORE: &[u8] = br#"{"source": "kubernetes", "truncated": false, "items": [
        {"metadata": {"name": "default"}, "spec": {"logSeverityScreen": "Info", "bpfEnabled": true, "vxlanPort": 4790}},
        {"metadata": {"name": "node.other"}, "spec": {"logSeverityScreen": "Fatal"}},
        {"metadata": {"name": "node.node-1"}, "spec": {"logSeverityScreen": "Debug"}}]}"#;

    #[test]
    fn the_environment_goes_before_the_file_before_the_node_before_all() {
        let mut settings = Settings::default();
        settings.environment(
            [("FELIX_LOGSEVERITYSCREEN", "Error"), ("NODENAME", "node-1")].into_iter(),
        );
        settings.file("[global]\n# a = b\nLogSeverityScreen = Warning\nLogFilePath = None\n");
        settings.datastore(DATASTORE, "node-1").unwrap();
        assert_eq!(settings.get("LogSeverityScreen"), Some(("Error", &Origin::Environment)));
        assert_eq!(settings.get("logfilepath"), Some(("None", &Origin::File)));
        assert_eq!(settings.get("VXLANPort"), Some(("4790", &Origin::Default)));
        assert_eq!(settings.truth("BPFEnabled"), Some(true));
        assert_eq!(settings.get("a"), None);
        let mut settings = Settings::default();
        settings.file("LogSeverityScreen =\n");
        settings.datastore(DATASTORE, "node-1").unwrap();
        let own = Origin::Node("node.node-1".to_owned());
        assert_eq!(settings.get("LogSeverityScreen"), Some(("Debug", &own)));
        let mut settings = Settings::default();
        settings.datastore(DATASTORE, "node-2").unwrap();
        assert_eq!(settings.get("LogSeverityScreen"), Some(("Info", &Origin::Default)));
        assert_eq!(settings.datastore(b"{}", "node-2"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String, bytes: Vec<u8>) {
            let mut settings = Settings::default();
            settings.file(&text);
            settings.environment([(text.as_str(), text.as_str())].into_iter());
            let _ = settings.datastore(&bytes, &text);
            let _ = settings.get(&text);
        }
    }
}
