//! How a file changes what the files before it have made (`read_config`).

use std::sync::Arc;

use super::super::device_spec;
use super::super::keyfile::{self, Keyfile};
use super::{Config, Origin, Setting, Spec};

impl Config {
    pub(super) fn merge(&mut self, keyfile: &Keyfile, path: &Arc<str>) {
        for section in in_order(keyfile) {
            if section.name == b".config" || section.name.starts_with(b".intern.") {
                continue;
            }
            for entry in &section.entries {
                if is_protected(&entry.key) {
                    continue;
                }
                // Of a key that stands twice the last value counts, at both places.
                let Some(last) = section.entry(&entry.key) else { continue };
                let origin = Origin { path: path.clone(), line: last.line };
                match entry.key.split_last() {
                    Some((operator @ (b'+' | b'-'), key)) if !key.is_empty() => {
                        let adds = *operator == b'+';
                        self.change_list(&section.name, key, &last.value, adds, origin);
                    }
                    _ => {
                        let setting =
                            Setting::plain(&section.name, &entry.key, &last.value, origin);
                        self.set(&section.name, setting);
                    }
                }
            }
        }
    }

    /// `key+=value` and `key-=value`, which do nothing to a key that is no list.
    fn change_list(
        &mut self,
        section: &[u8],
        key: &[u8],
        value: &[u8],
        adds: bool,
        origin: Origin,
    ) {
        if is_string_list(section, key) {
            self.change_strings(section, key, value, adds, origin);
        } else if is_device_spec(section, key) || is_connection_spec(section, key) {
            let new = device_spec::split(value);
            let mut specs = self.specs(section, key);
            if adds {
                let is_new = |spec: &Vec<u8>| !specs.iter().any(|old| *old.text == **spec);
                let added: Vec<Spec> = new
                    .into_iter()
                    .filter(is_new)
                    .map(|text| Spec { text: text.into(), origin: origin.clone() })
                    .collect();
                specs.extend(added);
            } else {
                specs.retain(|old| !new.iter().any(|spec| *old.text == **spec));
            }
            let value = device_spec::join(specs.iter().map(|spec| &*spec.text));
            // What counts is the list that is read from the joined text: a blank inside a spec costs it another
            // character each time. Most have none, and are what they were.
            if value.iter().any(u8::is_ascii_whitespace) {
                let texts = device_spec::split(&value);
                let read = texts.into_iter().zip(specs);
                specs = read.map(|(text, old)| Spec { text: text.into(), ..old }).collect();
            }
            self.set(section, Setting { key: key.to_vec(), value, origin, specs });
        }
    }

    /// The specs of a setting, which of those of connections are not kept.
    fn specs(&self, section: &[u8], key: &[u8]) -> Vec<Spec> {
        let Some(setting) = self.setting(section, key) else { return Vec::new() };
        if is_device_spec(section, key) {
            return setting.specs.clone();
        }
        let from = |text: Vec<u8>| Spec { text: text.into(), origin: setting.origin.clone() };
        device_spec::split(&setting.value).into_iter().map(from).collect()
    }

    fn change_strings(
        &mut self,
        section: &[u8],
        key: &[u8],
        value: &[u8],
        adds: bool,
        origin: Origin,
    ) {
        let old = self.setting(section, key).map(|setting| setting.value.clone());
        // Unlike the others, `plugins` has a default at which one starts, and which then counts as set.
        let was_set = (section, key) == (b"main".as_slice(), b"plugins".as_slice());
        let mut list = old.as_deref().and_then(keyfile::string_list).unwrap_or_default();
        let new = keyfile::string_list(value).unwrap_or_default();
        if adds {
            let added: Vec<_> = new.into_iter().filter(|piece| !list.contains(piece)).collect();
            list.extend(added);
        } else {
            list.retain(|piece| !new.contains(piece));
        }
        if list.is_empty() && !was_set {
            if let Some(section) = self.sections.iter_mut().find(|it| it.name == section) {
                section.settings.retain(|setting| setting.key != key);
            }
            return;
        }
        let value = keyfile::join_strings(&list);
        self.set(section, Setting { key: key.to_vec(), value, origin, specs: Vec::new() });
    }
}

/// The sections of a file in the order in which they are merged (`_nm_config_sort_groups`): `[device*]` after the
/// others, `[connection*]` at the end, both backwards, because in the merged configuration later ones count first.
pub(super) fn in_order(keyfile: &Keyfile) -> Vec<&keyfile::Section> {
    let rank = |section: &keyfile::Section| match section.name.as_slice() {
        name if name.starts_with(b"connection") => 2,
        name if name.starts_with(b"device") => 1,
        _ => 0,
    };
    let of_rank = |wanted| keyfile.sections.iter().filter(move |section| rank(section) == wanted);
    of_rank(0).chain(of_rank(1).rev()).chain(of_rank(2).rev()).collect()
}

/// Keys that only `NetworkManager` itself writes.
fn is_protected(key: &[u8]) -> bool {
    let is_longer_than = |prefix: &[u8]| key.starts_with(prefix) && key.len() > prefix.len();
    key == b".was" || is_longer_than(b".was.") || is_longer_than(b".set.")
}

/// `_setting_is_device_spec`.
pub(super) fn is_device_spec(section: &[u8], key: &[u8]) -> bool {
    match section {
        b"main" => matches!(key, b"no-auto-default" | b"ignore-carrier" | b"assume-ipv6ll-only"),
        b"keyfile" => key == b"unmanaged-devices",
        _ => {
            (section.starts_with(b"connection") || section.starts_with(b"device"))
                && key == b"match-device"
        }
    }
}

/// `_setting_is_connection_spec`.
fn is_connection_spec(section: &[u8], key: &[u8]) -> bool {
    section.starts_with(b"device") && key == b"allowed-connections"
}

/// `_setting_is_string_list`.
fn is_string_list(section: &[u8], key: &[u8]) -> bool {
    match section {
        b"main" => matches!(key, b"plugins" | b"debug"),
        b"logging" => key == b"domains",
        _ => section.starts_with(b".test-append-stringlist"),
    }
}
