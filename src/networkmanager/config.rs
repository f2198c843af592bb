//! The configuration that `NetworkManager` computes from all its files, each value with its file and line.
//!
//! ```text
//! /usr/lib/NetworkManager/conf.d/*.conf      hidden by a file of the same name in /run or /etc
//! /run/NetworkManager/conf.d/*.conf          hidden by one in /etc
//! /etc/NetworkManager/NetworkManager.conf
//! /etc/NetworkManager/conf.d/*.conf
//! /var/lib/NetworkManager/NetworkManager-intern.conf
//! ```
//!
//! In this order, in a folder by name in byte order; what comes later replaces a value, or with `key+=` and `key-=`
//! adds to a list or takes from it (`read_entire_config` and `read_config` in `nm-config.c`).

mod condition;
mod intern;
mod merge;

use std::fmt;
use std::sync::Arc;

use super::keyfile::{self, Keyfile};
use super::{device_spec, keyfile::boolean};

/// What was found at the path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file, whole.
    Text(Vec<u8>),
    /// It is there, but it cannot be read as a file: a folder, a device, a link that leads nowhere.
    NotAFile(String),
    /// It could not be read, or not whole, by calivet: what `NetworkManager` finds in it is not known.
    Unread(String),
}

/// A file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path on the host.
    pub path: String,
    /// What is in it.
    pub content: Content,
}

/// All files from which the configuration is made. Folders may hold other files too: only names that end in
/// `.conf` count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `/usr/lib/NetworkManager/conf.d`.
    pub vendor: Vec<File>,
    /// `/run/NetworkManager/conf.d`.
    pub run: Vec<File>,
    /// `/etc/NetworkManager/conf.d`.
    pub etc: Vec<File>,
    /// `/etc/NetworkManager/nm-system-settings.conf`, which is read in place of `NetworkManager.conf`.
    pub old_main: Option<File>,
    /// `/etc/NetworkManager/NetworkManager.conf`.
    pub main: Option<File>,
    /// `/var/lib/NetworkManager/NetworkManager-intern.conf`.
    pub intern: Option<File>,
}

/// On what a file's `[.config] enable=` may depend. `None`: it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Daemon {
    /// `NetworkManager`'s version: major, minor, micro.
    pub version: Option<[u32; 3]>,
    /// `NM_CONFIG_ENABLE_TAG` in its environment, empty if it is not set.
    pub tag: Option<String>,
}

/// A file and a line in it, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file's path on the host.
    pub path: Arc<str>,
    /// The line.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.path, self.line)
    }
}

/// The merged configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Its sections, in the order of their first appearance: of `[device*]` sections, later ones count first.
    pub sections: Vec<Section>,
    /// Each line that has set `unmanaged-devices`, in the order in which they took effect.
    pub history: Vec<Step>,
    /// What became of each file.
    pub files: Vec<Read>,
}

/// A section of the merged configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Between the brackets.
    pub name: Vec<u8>,
    /// Its values, in the order in which they were first set.
    pub settings: Vec<Setting>,
}

/// A value of the merged configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub key: Vec<u8>,
    /// Its raw value.
    pub value: Vec<u8>,
    /// The line that set it last.
    pub origin: Origin,
    /// If it is a list of device specs: each with the line from which it came.
    pub specs: Vec<Spec>,
}

/// A device spec and the line from which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The spec, escapes resolved.
    pub text: Arc<[u8]>,
    /// Where it stands.
    pub origin: Origin,
}

impl AsRef<[u8]> for Spec {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// A line that has set `unmanaged-devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The line.
    pub origin: Origin,
    /// The list after it.
    pub specs: Vec<Spec>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The file.
    pub path: Arc<str>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the configuration.
    Used,
    /// A file of the same name in another folder hides it.
    HiddenBy(Arc<str>),
    /// Its own `[.config] enable=` switches it off.
    SwitchedOff(Origin),
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoConfig {
    /// `NetworkManager` refuses this file: it does not start with it, and does not reload.
    #[error("NetworkManager refuses {path}: {reason}")]
    Refused {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// It depends on what calivet could not find out.
    #[error("{path}: {reason}")]
    Unknown {
        /// The file.
        path: String,
        /// What is missing.
        reason: String,
    },
}

impl Config {
    /// The configuration that these files make.
    ///
    /// # Errors
    /// `NetworkManager` refuses one of them, or it is not known what it would make of one.
    pub fn read(files: &Files, daemon: &Daemon) -> Result<Self, NoConfig> {
        let mut config = Self::default();
        let (vendor, run, etc) = (conf(&files.vendor), conf(&files.run), conf(&files.etc));
        for file in &vendor {
            match twin(file, &etc).or_else(|| twin(file, &run)) {
                Some(other) => config.hide(file, other),
                None => config.take(file, daemon)?,
            }
        }
        for file in &run {
            match twin(file, &etc) {
                Some(other) => config.hide(file, other),
                None => config.take(file, daemon)?,
            }
        }
        config.take_main(files)?;
        for file in &etc {
            config.take(file, daemon)?;
        }
        if let Some(file) = &files.intern {
            config.take_intern(file)?;
        }
        Ok(config)
    }

    /// The section of that name.
    #[must_use]
    pub fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The value of a key.
    #[must_use]
    pub fn setting(&self, section: &[u8], key: &[u8]) -> Option<&Setting> {
        self.section(section)?.setting(key)
    }

    /// `unmanaged-devices` in `[keyfile]`.
    #[must_use]
    pub fn unmanaged_devices(&self) -> &[Spec] {
        self.setting(b"keyfile", b"unmanaged-devices").map_or(&[], |setting| &setting.specs)
    }

    /// The `[device*]` sections, the one that is asked first at the beginning: of later files, then of earlier
    /// ones, inside a file from top to bottom; the plain `[device]` last (`_match_section_infos_construct`).
    pub fn device_sections(&self) -> impl Iterator<Item = &Section> {
        let named =
            |section: &&Section| section.name.starts_with(b"device") && section.name != b"device";
        self.sections.iter().rev().filter(named).chain(self.section(b"device"))
    }

    /// The plugins that are loaded besides `keyfile`, if they are installed (`nm_settings_start`).
    #[must_use]
    pub fn has_plugin(&self, name: &str) -> bool {
        let list = self
            .setting(b"main", b"plugins")
            .and_then(|setting| keyfile::string_list(&setting.value))
            .unwrap_or_default();
        let mut named =
            list.iter().map(|it| it.trim_ascii()).filter(|it| !it.is_empty()).peekable();
        // Without a list all that the distribution builds are tried.
        named.peek().is_none() || named.any(|it| it == name.as_bytes())
    }

    /// The DHCP client that `dhcp-plugin:` is compared with; `None` if that depends on what is installed.
    #[must_use]
    pub fn dhcp_plugin(&self) -> Option<String> {
        let wanted = self
            .setting(b"main", b"dhcp")
            .and_then(|setting| keyfile::string(&setting.value))
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
            .unwrap_or_default();
        match wanted.as_str() {
            "dhclient" | "dhcpcd" | "dhcpcanon" => None,
            "systemd" | "nettools" => Some(wanted),
            // One that is not known, or none: the default.
            _ => Some("internal".to_owned()),
        }
    }

    fn hide(&mut self, file: &File, by: &File) {
        let fate = Fate::HiddenBy(by.path.as_str().into());
        self.files.push(Read { path: file.path.as_str().into(), fate });
    }

    /// Merges a file of a conf.d folder.
    fn take(&mut self, file: &File, daemon: &Daemon) -> Result<(), NoConfig> {
        let keyfile = file.parse()?;
        let path: Arc<str> = file.path.as_str().into();
        if let Some(entry) = keyfile.entry(b".config", b"enable") {
            let is_enabled =
                boolean(&entry.value).or_else(|| condition::holds(&entry.value, daemon));
            match is_enabled {
                Some(true) => {}
                Some(false) => {
                    let fate = Fate::SwitchedOff(Origin { path: path.clone(), line: entry.line });
                    self.files.push(Read { path, fate });
                    return Ok(());
                }
                None => {
                    let condition = String::from_utf8_lossy(&entry.value);
                    return Err(NoConfig::Unknown {
                        path: file.path.clone(),
                        reason: format!(
                            "`enable={condition}` depends on NetworkManager's version or its \
                             environment, which are not known"
                        ),
                    });
                }
            }
        }
        self.merge(&keyfile, &path);
        self.files.push(Read { path, fate: Fate::Used });
        Ok(())
    }

    /// Merges `NetworkManager.conf`, or the file that was so called once. `[.config]` has no say in them.
    fn take_main(&mut self, files: &Files) -> Result<(), NoConfig> {
        for (file, is_old) in [(&files.old_main, true), (&files.main, false)] {
            // A link that leads nowhere is as good as no file.
            let Some(file) = file.as_ref().filter(|file| !file.is_dangling()) else { continue };
            match file.parse() {
                Ok(keyfile) => {
                    let path: Arc<str> = file.path.as_str().into();
                    self.merge(&keyfile, &path);
                    self.files.push(Read { path, fate: Fate::Used });
                    return Ok(());
                }
                Err(NoConfig::Refused { .. }) if is_old => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn section_mut(&mut self, name: &[u8]) -> &mut Section {
        let found = self.sections.iter().position(|section| section.name == name);
        let index = found.unwrap_or_else(|| {
            self.sections.push(Section { name: name.to_vec(), settings: Vec::new() });
            self.sections.len() - 1
        });
        &mut self.sections[index]
    }

    /// Sets a value, and remembers what that makes of `unmanaged-devices`.
    fn set(&mut self, section: &[u8], setting: Setting) {
        if section == b"keyfile" && setting.key == b"unmanaged-devices" {
            let (origin, specs) = (setting.origin.clone(), setting.specs.clone());
            self.history.push(Step { origin, specs });
        }
        let section = self.section_mut(section);
        match section.settings.iter_mut().find(|it| it.key == setting.key) {
            Some(old) => *old = setting,
            None => section.settings.push(setting),
        }
    }
}

impl Section {
    /// The value of a key.
    #[must_use]
    pub fn setting(&self, key: &[u8]) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

impl Setting {
    /// A value as a line sets it.
    fn plain(section: &[u8], key: &[u8], value: &[u8], origin: Origin) -> Self {
        let specs = if merge::is_device_spec(section, key) {
            let from = |text: Vec<u8>| Spec { text: text.into(), origin: origin.clone() };
            device_spec::split(value).into_iter().map(from).collect()
        } else {
            Vec::new()
        };
        Self { key: key.to_vec(), value: value.to_vec(), origin, specs }
    }
}

/// How [`Content::NotAFile`] says that there is nothing behind a link.
pub const DANGLING: &str = "a symbolic link that leads nowhere";

impl File {
    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn is_dangling(&self) -> bool {
        self.content == Content::NotAFile(DANGLING.to_owned())
    }

    fn parse(&self) -> Result<Keyfile, NoConfig> {
        let path = self.path.clone();
        match &self.content {
            Content::Text(bytes) => keyfile::parse(bytes)
                .map_err(|refusal| NoConfig::Refused { path, reason: refusal.to_string() }),
            Content::NotAFile(reason) => Err(NoConfig::Refused { path, reason: reason.clone() }),
            Content::Unread(reason) => Err(NoConfig::Unknown { path, reason: reason.clone() }),
        }
    }
}

/// The files of a folder that count, in the order in which they are read.
fn conf(folder: &[File]) -> Vec<&File> {
    let mut files: Vec<&File> =
        folder.iter().filter(|file| file.name().as_bytes().ends_with(b".conf")).collect();
    files.sort_by_key(|file| file.name().as_bytes());
    files
}

/// The file of the same name in another folder.
fn twin<'a>(file: &File, folder: &[&'a File]) -> Option<&'a File> {
    folder.iter().find(|other| other.name() == file.name()).copied()
}

#[cfg(test)]
mod tests;
