//! Whether a kernel has a facility: a part of it that some kernels lack.
//!
//! A module that is not loaded is no lack: the kernel loads it when it is first used. A part that was built in is in no
//! list of modules. So several sources are asked, first those that show the part at work.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Config, Release, Set};

/// A part of the kernel that some kernels lack.
#[derive(Debug, Clone, Copy)]
pub struct Facility {
    /// As users and Calico's documentation call it.
    pub name: &'static str,
    /// The modules of which one holds it, with `_`.
    pub modules: &'static [&'static str],
    /// The options of the configuration of which one gives it, without `CONFIG_`.
    pub options: &'static [&'static str],
    /// Where the kernel itself tells of it.
    pub seen: Seen,
}

/// Where the kernel tells that it has a facility.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nowhere.
    Nowhere,
    /// A match in `/proc/net/ip_tables_matches`.
    Match(&'static str),
    /// A target in `/proc/net/ip_tables_targets`.
    Target(&'static str),
    /// `/proc/filesystems`.
    FileSystem(&'static str),
    /// A kind of link of which there is one.
    Link(&'static str),
    /// A type of ipsets that the kernel was asked for.
    SetType(&'static str),
    /// `/sys/kernel/btf/vmlinux`.
    Btf,
}

/// Whether a facility is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// A part of the kernel itself.
    BuiltIn,
    /// Its module is loaded, or it is seen at work.
    Loaded,
    /// Its module is on the disk, and the kernel loads it when it is first used.
    Available,
    /// The kernel lacks it; why that is known.
    Absent(String),
    /// It could not be determined, and why.
    Unknown(String),
}

impl fmt::Display for Presence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => formatter.write_str("built in"),
            Self::Loaded => formatter.write_str("loaded"),
            Self::Available => formatter.write_str("module"),
            Self::Absent(why) => write!(formatter, "absent: {why}"),
            Self::Unknown(why) => write!(formatter, "unknown: {why}"),
        }
    }
}

/// What is known of a kernel. `None`: it could not be read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Its release.
    pub release: Option<Release>,
    /// Its configuration, and where that was read.
    pub config: Option<(Config, String)>,
    /// Whether it can load modules at all.
    pub is_modular: Option<bool>,
    /// `/proc/modules`.
    pub loaded: Option<HashSet<String>>,
    /// `modules.builtin`.
    pub built_in: Option<HashSet<String>>,
    /// `modules.dep`.
    pub available: Option<HashSet<String>>,
    /// `kernel.modules_disabled` is 1: no module can be loaded until the next boot.
    pub is_sealed: bool,
    /// There is a `/lib/modules`, and in it no folder of this release.
    pub lacks_folder: bool,
    /// `/sys/module`: modules that are loaded, and some that are built in.
    pub in_sys: Option<HashSet<String>>,
    /// `/proc/net/ip_tables_matches`.
    pub matches: HashSet<String>,
    /// `/proc/net/ip_tables_targets`.
    pub targets: HashSet<String>,
    /// `/proc/filesystems`.
    pub file_systems: Option<HashSet<String>>,
    /// The kinds of the links that there are.
    pub link_kinds: HashSet<String>,
    /// There is a `/sys/kernel/btf/vmlinux`.
    pub has_btf: bool,
    /// Types of ipsets that the kernel was asked for, and whether it knows them.
    pub set_types: HashMap<String, bool>,
}

impl Facts {
    /// Whether the kernel has a facility.
    #[must_use]
    pub fn presence(&self, facility: &Facility) -> Presence {
        let is_in = |names: &Option<HashSet<String>>| {
            names
                .as_ref()
                .is_some_and(|names| facility.modules.iter().any(|module| names.contains(*module)))
        };
        let option = facility
            .options
            .iter()
            .filter_map(|option| self.config.as_ref()?.0.get(option))
            .max_by_key(|set| *set == Set::Yes);
        if let Seen::SetType(name) = facility.seen
            && self.set_types.get(name) == Some(&false)
        {
            return Presence::Absent("the kernel, asked for this type, knows none".to_owned());
        }
        if is_in(&self.loaded) {
            return Presence::Loaded;
        }
        if is_in(&self.built_in) || option == Some(Set::Yes) {
            return Presence::BuiltIn;
        }
        if self.is_seen(facility.seen) || is_in(&self.in_sys) {
            return if self.is_modular == Some(false) {
                Presence::BuiltIn
            } else {
                Presence::Loaded
            };
        }
        if is_in(&self.available) {
            return if self.is_sealed {
                Presence::Absent(
                    "its module is not loaded, and kernel.modules_disabled is 1".to_owned(),
                )
            } else {
                Presence::Available
            };
        }
        self.lack(facility, option)
    }

    fn is_seen(&self, seen: Seen) -> bool {
        match seen {
            Seen::Nowhere => false,
            Seen::Match(name) => self.matches.contains(name),
            Seen::Target(name) => self.targets.contains(name),
            Seen::FileSystem(name) => {
                self.file_systems.as_ref().is_some_and(|names| names.contains(name))
            }
            Seen::Link(kind) => self.link_kinds.contains(kind),
            Seen::SetType(name) => self.set_types.get(name) == Some(&true),
            Seen::Btf => self.has_btf,
        }
    }

    /// Why a facility that was found nowhere is lacking, or cannot be told to be.
    fn lack(&self, facility: &Facility, option: Option<Set>) -> Presence {
        let modules = facility.modules.join(", ");
        if option == Some(Set::Module) {
            return match (&self.available, self.lacks_folder) {
                (Some(_), _) => Presence::Absent(format!(
                    "the kernel was built with it as a module, and no file of {modules} is in /lib/modules"
                )),
                (None, true) => Presence::Absent(format!(
                    "{modules} is not loaded, and the modules of the running kernel are not on the disk"
                )),
                (None, false) => Presence::Unknown(
                    "it is a module, and the list of modules on the disk was not read".to_owned(),
                ),
            };
        }
        if let Some((_, source)) = &self.config
            && !facility.options.is_empty()
        {
            let options = facility.options.join(", CONFIG_");
            return Presence::Absent(format!("CONFIG_{options} is not set in {source}"));
        }
        // Without the configuration: what has a module must be in one of the lists.
        if facility.modules.is_empty() {
            return Presence::Unknown("the kernel's configuration was not found".to_owned());
        }
        match (&self.loaded, &self.built_in, &self.available) {
            (Some(_), Some(_), Some(_)) => Presence::Absent(format!(
                "{modules} is neither built in nor loaded nor in /lib/modules"
            )),
            (Some(_), ..) if self.lacks_folder => Presence::Absent(format!(
                "{modules} is not loaded, and the modules of the running kernel are not on the disk"
            )),
            _ => Presence::Unknown(
                "neither the kernel's configuration nor the list of its modules was found"
                    .to_owned(),
            ),
        }
    }
}
