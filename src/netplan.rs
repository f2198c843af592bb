//! netplan's YAML, from which the configuration of `NetworkManager` or systemd-networkd is generated at boot.
//!
//! ```text
//! network:
//!   ethernets:
//!     all:
//!       match: {name: "cali*"}
//!       dhcp4: true
//! ```

use serde_json::{Map, Value};

use crate::fnmatch;

/// The definitions of a file, by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definitions(Vec<(String, Value)>);

impl Definitions {
    /// Of a file's text; none of what is no YAML or defines nothing.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let document: Value = serde_yaml::from_str(text).unwrap_or_default();
        let sections = document.get("network").and_then(Value::as_object);
        let sections = sections.into_iter().flat_map(Map::values).filter_map(Value::as_object);
        let all = sections.flatten().filter(|(_, definition)| definition.is_object());
        Self(all.map(|(id, definition)| (id.clone(), definition.clone())).collect())
    }

    /// The name of the definition that takes an interface. A definition takes the interface of its own name, or with
    /// `match:` whatever fits all that stands there.
    #[must_use]
    pub fn taking(&self, name: &str, kind: Option<&str>) -> Option<&str> {
        let takes = |(id, definition): &&(String, Value)| match definition.get("match") {
            Some(Value::Object(conditions)) => fits(conditions, name, kind),
            _ => id == name,
        };
        self.0.iter().find(takes).map(|(id, _)| id.as_str())
    }
}

fn fits(conditions: &Map<String, Value>, name: &str, kind: Option<&str>) -> bool {
    conditions.iter().all(|(key, wanted)| {
        let patterns: Vec<&str> = match wanted {
            Value::String(pattern) => vec![pattern],
            Value::Array(patterns) => patterns.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let value = match key.as_str() {
            "name" => Some(name),
            "driver" => kind,
            // No device that is made by software has a hardware address of its own.
            _ => None,
        };
        value.is_some_and(|value| patterns.iter().any(|pattern| fnmatch::matches(pattern, value)))
    })
}

#[cfg(test)]
mod tests {
    use super::Definitions;

    #[test]
    fn a_definition_takes_what_it_matches_or_what_it_is_called() {
        let text = "network:\n  version: 2\n  ethernets:\n    all:\n      match: {name: \"c*\", driver: veth}\n      \
                    dhcp4: true\n    eth0: {dhcp4: true}\n  tunnels:\n    tunl0: {mode: ipip}\n";
        let definitions = Definitions::parse(text);
        assert_eq!(definitions.taking("cali1", Some("veth")), Some("all"));
        assert_eq!(definitions.taking("cali1", Some("tun")), None);
        assert_eq!(definitions.taking("tunl0", Some("ipip")), Some("tunl0"));
        assert_eq!(definitions.taking("vxlan.calico", None), None);
        assert_eq!(Definitions::parse("network: [").taking("cali1", None), None);
    }
}
