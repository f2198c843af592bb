//! Does `NetworkManager` take a device, and which line decides?
//!
//! In the order in which the rules count (`_get_managed_by_flags` in `nm-device.c`):
//!
//! 1. `unmanaged-devices`, and what ifupdown's plugin adds to it: nothing overrules them, and they can be reloaded;
//! 2. what the user has told `NetworkManager` (`nmcli device set`), kept in `/run/NetworkManager/devices`;
//! 3. `managed=` in a `[device*]` section, which is asked when a device appears and never again;
//! 4. udev's `NM_UNMANAGED`;
//! 5. sorts of devices that are left alone by default, or until they are up with an address.

use super::config::{Config, Origin, Section, Spec};
use super::device::{Device, Udev};
use super::device_spec::{self, Match};
use super::keyfile;

/// The answer for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether `NetworkManager` takes it; `None`: that cannot be known.
    pub managed: Option<bool>,
    /// What decides.
    pub by: By,
    /// A line of `unmanaged-devices` that would keep the device away, and what undoes it.
    pub undone: Option<Undone>,
}

/// What decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A line of `unmanaged-devices`, or of `/etc/network/interfaces`.
    Line(Origin),
    /// What the user has told `NetworkManager`; the line keeps it until the next boot.
    Told(Origin),
    /// `managed=` or `stop-match=` in a `[device*]` section.
    Section(Origin),
    /// udev's `NM_UNMANAGED`.
    Udev,
    /// The sort of device.
    Sort,
    /// It is not up with an address.
    Idle,
    /// Nothing: whatever nobody speaks for is taken.
    Nothing,
    /// It cannot be known: why.
    Unknown(String),
}

/// What undoes a line that would keep a device away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The line that names the device.
    pub line: Origin,
    /// The line that undoes it.
    pub by: Origin,
    /// By an `except:`; otherwise by replacing the list or taking the spec from it.
    pub is_except: bool,
}

/// Judges a device. `others`: specs that ifupdown's plugin adds to `unmanaged-devices`.
#[must_use]
pub fn judge(config: &Config, others: &[Spec], device: &Device) -> Verdict {
    let listed = config.unmanaged_devices();
    let specs: Vec<&Spec> = listed.iter().chain(others).collect();
    let rest = || without_list(config, device);
    let (managed, by) = match device_spec::matches(&specs, device) {
        Match::Yes(Some(index)) => (Some(false), By::Line(specs[index].origin.clone())),
        // Only `except:` stands there, so there is one.
        Match::Yes(None) => {
            let origin = specs.last().map(|spec| By::Line(spec.origin.clone()));
            (Some(false), origin.unwrap_or(By::Nothing))
        }
        Match::No | Match::Except(_) => rest(),
        Match::Unknown(index) => {
            let rest = rest();
            if rest.0 == Some(false) {
                rest
            } else {
                let spec = String::from_utf8_lossy(&specs[index].text).into_owned();
                let reason = format!(
                    "whether `{spec}` ({}) matches {} depends on what is not known of it",
                    specs[index].origin, device.name
                );
                (None, By::Unknown(reason))
            }
        }
    };
    let undone = if managed == Some(false) { None } else { undone(config, &specs, device) };
    Verdict { managed, by, undone }
}

/// What is left to decide when `unmanaged-devices` does not. What the user has told is named only where it makes a
/// difference: of every device that it manages `NetworkManager` keeps that it does.
fn without_list(config: &Config, device: &Device) -> (Option<bool>, By) {
    let rest = untold(config, device);
    match &device.told {
        Some(told) if rest.0 != Some(told.managed) => {
            let origin = Origin { path: told.path.as_str().into(), line: told.line };
            (Some(told.managed), By::Told(origin))
        }
        _ => rest,
    }
}

fn untold(config: &Config, device: &Device) -> (Option<bool>, By) {
    match managed_of_section(config, device) {
        Ok(Some((managed, origin))) => return (Some(managed), By::Section(origin)),
        Ok(None) => {}
        Err(reason) => return (None, By::Unknown(reason)),
    }
    match device.udev {
        Some(Udev::Unmanaged) => return (Some(false), By::Udev),
        Some(Udev::Managed) => return (Some(true), By::Udev),
        Some(Udev::Silent) => {}
        None => {
            let reason = format!("what udev says of {} is not known", device.name);
            return (None, By::Unknown(reason));
        }
    }
    let Some(sort) = device.sort else {
        let reason = format!("what sort of device {} is is not known", device.name);
        return (None, By::Unknown(reason));
    };
    if sort.is_unmanaged_by_default {
        match device.is_port {
            Some(true) => {}
            Some(false) => return (Some(false), By::Sort),
            None => {
                let reason = format!("whether {} is part of a bridge is not known", device.name);
                return (None, By::Unknown(reason));
            }
        }
    }
    if sort.waits_until_in_use {
        match device.in_use {
            Some(true) => {}
            Some(false) => return (Some(false), By::Idle),
            None => {
                let reason = format!("whether {} is up with an address is not known", device.name);
                return (None, By::Unknown(reason));
            }
        }
    }
    (Some(true), By::Nothing)
}

/// What the first `[device*]` section says that matches and has `managed=`, or that ends the search
/// (`_match_section_infos_lookup`). A section that ends the search without a word counts as `managed=1`, and so does
/// a value that is neither true nor false.
fn managed_of_section(config: &Config, device: &Device) -> Result<Option<(bool, Origin)>, String> {
    for section in config.device_sections() {
        let managed = section.setting(b"managed");
        let value = managed.and_then(|setting| keyfile::string(&setting.value));
        let stop = section.setting(b"stop-match");
        let stop = stop.filter(|stop| keyfile::boolean(&stop.value) == Some(true));
        let Some(setting) = managed.filter(|_| value.is_some()).or(stop) else { continue };
        match section_matches(section, device) {
            Some(true) => {
                let managed = value.as_deref().and_then(keyfile::boolean).unwrap_or(true);
                return Ok(Some((managed, setting.origin.clone())));
            }
            Some(false) => {}
            None => {
                return Err(format!(
                    "whether the section of {} matches {} depends on what is not known of it",
                    setting.origin, device.name
                ));
            }
        }
    }
    Ok(None)
}

/// A section without `match-device` matches every device, one with an empty list none.
fn section_matches(section: &Section, device: &Device) -> Option<bool> {
    let Some(setting) = section.setting(b"match-device") else { return Some(true) };
    match device_spec::matches(&setting.specs, device) {
        Match::Yes(_) => Some(true),
        Match::No | Match::Except(_) => Some(false),
        Match::Unknown(_) => None,
    }
}

/// The last line that kept the device away, and what undid it.
fn undone(config: &Config, specs: &[&Spec], device: &Device) -> Option<Undone> {
    if let Match::Except(except) = device_spec::matches(specs, device) {
        let positive: Vec<&Spec> =
            specs.iter().filter(|spec| !is_except(&spec.text)).copied().collect();
        if let Match::Yes(Some(index)) = device_spec::matches(&positive, device) {
            let line = positive[index].origin.clone();
            return Some(Undone { line, by: specs[except].origin.clone(), is_except: true });
        }
    }
    let keeps = |step: &&super::config::Step| match device_spec::matches(&step.specs, device) {
        Match::Yes(Some(index)) => Some(step.specs[index].origin.clone()),
        _ => None,
    };
    let last = config.history.iter().rposition(|step| keeps(&step).is_some())?;
    let line = keeps(&&config.history[last])?;
    let next = config.history.get(last + 1)?;
    Some(Undone { line, by: next.origin.clone(), is_except: false })
}

fn is_except(spec: &[u8]) -> bool {
    spec.get(..7).is_some_and(|tag| tag.eq_ignore_ascii_case(b"except:"))
}

#[cfg(test)]
mod tests;
