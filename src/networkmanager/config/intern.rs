//! `NetworkManager-intern.conf`, which `NetworkManager` writes for itself (`intern_config_read` and
//! `_merge_keyfiles`).
//!
//! ```text
//! [connectivity]
//! .was.enabled=true
//! .set.enabled=false
//! ```
//!
//! A value counts only as long as the other files still say what they said when it was written.

use std::sync::Arc;

use super::super::keyfile;
use super::merge::in_order;
use super::{Config, Content, Fate, File, NoConfig, Origin, Read, Setting};

impl Config {
    /// Merges the file. One that cannot be parsed is passed over, as `NetworkManager` does.
    pub(super) fn take_intern(&mut self, file: &File) -> Result<(), NoConfig> {
        let bytes = match &file.content {
            Content::Text(bytes) => bytes,
            Content::NotAFile(_) => return Ok(()),
            Content::Unread(reason) => {
                return Err(NoConfig::Unknown { path: file.path.clone(), reason: reason.clone() });
            }
        };
        let Ok(keyfile) = keyfile::parse(bytes) else { return Ok(()) };
        let path: Arc<str> = file.path.as_str().into();
        let user = self.clone();
        for section in in_order(&keyfile) {
            if section.name == b".config" {
                continue;
            }
            let is_internal = section.name.starts_with(b".intern.");
            for entry in &section.entries {
                let Some(last) = section.entry(&entry.key) else { continue };
                let origin = Origin { path: path.clone(), line: last.line };
                if is_internal {
                    let setting = Setting::plain(&section.name, &entry.key, &last.value, origin);
                    self.set(&section.name, setting);
                    continue;
                }
                let was = |key: &[u8]| section.entry(&[b".was.", key].concat()).map(|it| &it.value);
                let now = |key: &[u8]| user.setting(&section.name, key).map(|it| &it.value);
                if let Some(key) = longer_than(&entry.key, b".set.") {
                    if now(key) == was(key) {
                        let setting = Setting::plain(&section.name, key, &last.value, origin);
                        self.set(&section.name, setting);
                    }
                } else if let Some(key) = longer_than(&entry.key, b".was.") {
                    let is_set = section.entry(&[b".set.", key].concat()).is_some();
                    if !is_set && now(key) == Some(&last.value) {
                        // The value is gone.
                        let emptied = Setting::plain(&section.name, key, b"", origin);
                        self.set(&section.name, emptied);
                        self.section_mut(&section.name).settings.retain(|it| it.key != key);
                    }
                }
            }
        }
        self.files.push(Read { path, fate: Fate::Used });
        Ok(())
    }
}

fn longer_than<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    key.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}
