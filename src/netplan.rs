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

/// The name of the definition that takes an interface. A definition takes the interface of its own name, or with
/// `match:` whatever fits all that stands there.
#[must_use]
pub fn definition(text: &str, name: &str, kind: Option<&str>) -> Option<String> {
    let document: Value = serde_yaml::from_str(text).ok()?;
    let network = document.get("network")?.as_object()?;
    let definitions = network.values().filter_map(Value::as_object).flatten();
    let takes = |(id, definition): &(&String, &Value)| match definition.get("match") {
        Some(Value::Object(conditions)) => fits(conditions, name, kind),
        _ => definition.is_object() && id.as_str() == name,
    };
    definitions.into_iter().find(takes).map(|(id, _)| id.clone())
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
    use super::definition;

    #[test]
    fn a_definition_takes_what_it_matches_or_what_it_is_called() {
        let text = "network:\n  version: 2\n  ethernets:\n    all:\n      match: {name: \"c*\", driver: veth}\n      \
                    dhcp4: true\n    eth0: {dhcp4: true}\n  tunnels:\n    tunl0: {mode: ipip}\n";
        assert_eq!(definition(text, "cali1", Some("veth")).as_deref(), Some("all"));
        assert_eq!(definition(text, "cali1", Some("tun")), None);
        assert_eq!(definition(text, "tunl0", Some("ipip")).as_deref(), Some("tunl0"));
        assert_eq!(definition(text, "vxlan.calico", None), None);
        assert_eq!(definition("network: [", "cali1", None), None);
    }
}
