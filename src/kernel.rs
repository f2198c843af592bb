//! What a kernel can do: its release, its configuration, and the modules that it holds, has loaded or could load.
//!
//! ```text
//! 4.18.0-305.el8.x86_64                                          /proc/sys/kernel/osrelease
//! CONFIG_VXLAN=m                                                 /boot/config-VERSION, /proc/config.gz
//! # CONFIG_WIREGUARD is not set
//! kernel/net/netfilter/xt_set.ko.zst: kernel/net/...             /lib/modules/VERSION/modules.dep
//! 30 29 0:27 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700       /proc/1/mountinfo
//! none [integrity] confidentiality                               /sys/kernel/security/lockdown
//! ```

mod presence;

use std::collections::{HashMap, HashSet};
use std::io::Read;

use flate2::read::GzDecoder;

pub use presence::{Facility, Facts, Presence, Seen};

/// The most that a packed configuration may hold: those of distributions have 300 KB.
const CONFIG_BYTES: u64 = 4 << 20;

/// A kernel's release, as `uname -r` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Version, patch level and sublevel.
    pub version: (u32, u32, u32),
    /// The build of a kernel of Red Hat's (`4.18.0-305.el8`: 305), into which features of newer versions were carried.
    pub red_hat: Option<u32>,
}

impl Release {
    /// Reads a release.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (version, rest) = text.split_once('-').unwrap_or((text, ""));
        let leading = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part.get(..end)?.parse::<u32>().ok()
        };
        let mut parts = version.split('.').map(leading);
        let version = (parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0));
        let red_hat = rest.contains(".el").then(|| leading(rest)).flatten();
        Some(Self { version, red_hat })
    }

    /// Whether it is as new as `version`, or a kernel of Red Hat's as new as `red_hat`: version and build.
    #[must_use]
    pub fn has(&self, version: (u32, u32, u32), red_hat: Option<((u32, u32, u32), u32)>) -> bool {
        let carried = match (self.red_hat, red_hat) {
            (Some(build), Some((base, least))) => self.version == base && build >= least,
            _ => false,
        };
        self.version >= version || carried
    }
}

/// How a kernel was configured to have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// `=y`, or a value.
    Yes,
    /// `=m`.
    Module,
}

/// A kernel's configuration: the options that are set, without `CONFIG_`.
#[derive(Debug, Clone, Default)]
pub struct Config(HashMap<String, Set>);

impl Config {
    /// Reads a configuration; `None` if it has no line of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut options = HashMap::new();
        for line in text.lines() {
            let Some((name, value)) =
                line.strip_prefix("CONFIG_").and_then(|line| line.split_once('='))
            else {
                continue;
            };
            let value = match value.trim() {
                "n" => continue,
                "m" => Set::Module,
                _ => Set::Yes,
            };
            options.insert(name.to_owned(), value);
        }
        (!options.is_empty()).then_some(Self(options))
    }

    /// Reads one that may be packed, as `/proc/config.gz` is.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Self::unpack(bytes),
            _ => Self::parse(&String::from_utf8_lossy(bytes)),
        }
    }

    fn unpack(bytes: &[u8]) -> Option<Self> {
        let mut text = Vec::new();
        GzDecoder::new(bytes).take(CONFIG_BYTES).read_to_end(&mut text).ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// How an option is set; `None`: it is not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Set> {
        self.0.get(name).copied()
    }
}

/// The names in `modules.dep`, with `_` for `-` as the kernel has them.
#[must_use]
pub fn available(list: &str) -> HashSet<String> {
    let name = |line: &str| {
        let path = line.split_once(':')?.0;
        let name = path.rsplit('/').next()?.split_once(".ko")?.0;
        Some(name.replace('-', "_"))
    };
    list.lines().filter_map(name).collect()
}

/// A mount point and the type of its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: String,
    /// What it is: `bpf`, `cgroup2`, ...
    pub kind: String,
}

/// The mounts in a `mountinfo` (`proc_pid_mountinfo(5)`).
#[must_use]
pub fn mounts(table: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.to_owned();
        Some(Mount { point, kind: after.split(' ').next()?.to_owned() })
    };
    table.lines().filter_map(mount).collect()
}

/// The mode of lockdown that holds: the word in brackets (`kernel_lockdown(7)`).
#[must_use]
pub fn lockdown(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0)
}

/// A capability set of `/proc/PID/status`, such as `CapEff` (capabilities(7)).
#[must_use]
pub fn capabilities(status: &str, set: &str) -> Option<u64> {
    let row = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'))?;
    u64::from_str_radix(row.trim(), 16).ok()
}

#[cfg(test)]
mod tests;
