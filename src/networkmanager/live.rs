//! What `NetworkManager` itself says over D-Bus of its devices, as [`crate::host`] keeps it.
//!
//! ```text
//! {"running":true,"pid":812,"uid":0,"started":"2026-11-23T13:50:00Z","version":"1.42.4","devices":[
//!  {"interface":"cali0a1b2c3d4e5","managed":true,"state":70,"type":20,"driver":"veth","driverVersion":"1.0",
//!   "connection":"Wired connection 1"}]}
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The service's own view.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    /// Somebody owns the name `org.freedesktop.NetworkManager`.
    pub running: bool,
    /// The process that owns it.
    pub pid: Option<u32>,
    /// Its user. Only what root says is believed.
    pub uid: Option<u32>,
    /// When it started, which is the earliest moment at which it read its files.
    pub started: Option<Timestamp>,
    /// `Version`.
    pub version: Option<String>,
    /// `NetworkingEnabled`: while it is off, nothing is managed.
    pub networking_enabled: Option<bool>,
    /// The devices, in the service's order.
    pub devices: Vec<Device>,
    /// There are more devices than are kept.
    pub more_devices: bool,
}

/// A device as the service shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// `Interface`.
    pub interface: String,
    /// `Managed`.
    pub managed: Option<bool>,
    /// `State` (`NMDeviceState`): 10 is unmanaged, 100 activated.
    pub state: Option<u32>,
    /// `DeviceType` (`NMDeviceType`).
    pub r#type: Option<u32>,
    /// `Driver`.
    pub driver: Option<String>,
    /// `DriverVersion`.
    pub driver_version: Option<String>,
    /// The name of its active connection profile.
    pub connection: Option<String>,
}

/// The view in a document; `None` if it is none.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<View> {
    serde_json::from_slice(bytes).ok()
}

impl View {
    /// The version as numbers.
    #[must_use]
    pub fn version(&self) -> Option<[u32; 3]> {
        version(self.version.as_deref()?)
    }

    /// Whether root itself answered.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.running && self.uid == Some(0)
    }
}

/// A version such as `1.42.4` or `1.42.4-1.el9` as numbers.
#[must_use]
pub fn version(text: &str) -> Option<[u32; 3]> {
    let number = |part: &str| {
        let end = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
        part[..end].parse().ok()
    };
    let mut parts = text.trim().splitn(3, '.').map(number);
    Some([parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)])
}

/// `NMDeviceState` in words.
#[must_use]
pub const fn state_name(state: u32) -> &'static str {
    match state {
        10 => "unmanaged",
        20 => "unavailable",
        30 => "disconnected",
        40 => "preparing",
        50 => "configuring",
        60 => "waiting for secrets",
        70 => "getting an IP configuration",
        80 => "checking its IP connectivity",
        90 => "waiting for a secondary connection",
        100 => "activated",
        110 => "deactivating",
        120 => "failed",
        _ => "in an unknown state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_less_in_it_is_read_and_garbage_is_none() {
        let view = parse(br#"{"running":true,"uid":0,"version":"1.42.4-1.el9"}"#).unwrap();
        assert!(view.is_believed() && view.devices.is_empty());
        assert_eq!(view.version(), Some([1, 42, 4]));
        assert_eq!(parse(b"running"), None);
        assert_eq!(version("1.50"), Some([1, 50, 0]));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn who_is_not_root_is_not_believed() {
        let view = View { running: true, uid: Some(1000), ..View::default() };
        assert!(!view.is_believed());
    }
}
