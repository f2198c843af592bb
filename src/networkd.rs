//! systemd-networkd: which of its files takes an interface, and whether it deletes the routes and rules of others.
//!
//! ```text
//! # /etc/systemd/network/50-all.network
//! [Match]
//! Name=*
//! [Network]
//! DHCP=yes
//! ```
//!
//! systemd.network(5): files of all folders are sorted by name, one in `/etc` hides one of the same name in `/run`,
//! and that one in `/usr`; the first whose `[Match]` fits takes the interface. An empty file, or a link to
//! `/dev/null`, hides and does nothing. networkd.conf(5): `ManageForeignRoutes=` is yes unless somebody says no.

use std::collections::BTreeMap;
use std::fmt;

use crate::fnmatch;

/// A file: its path on the host and what is in it; `None`: a link to `/dev/null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies.
    pub path: String,
    /// Its text.
    pub text: Option<String>,
}

/// A file and a line in it, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file's path.
    pub path: String,
    /// The line.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.path, self.line)
    }
}

/// What is known of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kernel's kind of it.
    pub kind: Option<&'a str>,
}

/// What networkd does with an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No file speaks of it: left alone.
    Nobody,
    /// This file takes it.
    Taken(Origin),
    /// This file leaves it alone (`Unmanaged=yes`).
    Unmanaged(Origin),
    /// Whether this file fits depends on what is not known.
    Unknown(Origin),
}

/// A line `Key=value` in a section.
#[derive(Debug)]
struct Line {
    section: String,
    key: String,
    value: String,
    origin: Origin,
}

/// Lines of a file; comments and what is no assignment are passed over, and a backslash at the end goes on.
fn lines(file: &File) -> Vec<Line> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut pending: Option<(String, usize)> = None;
    for (text, number) in file.text.as_deref().unwrap_or_default().lines().zip(1..) {
        let trimmed = text.trim();
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        let (mut joined, first) = pending.take().unwrap_or((String::new(), number));
        if let Some(begun) = trimmed.strip_suffix('\\') {
            joined.push_str(begun);
            joined.push(' ');
            pending = Some((joined, first));
            continue;
        }
        joined.push_str(trimmed);
        if let Some(name) = joined.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = joined.split_once('=') {
            found.push(Line {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                origin: Origin { path: file.path.clone(), line: first },
            });
        }
    }
    found
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// Folders in the order in which they hide each other.
const FOLDERS: [&str; 4] =
    ["/etc/systemd/", "/run/systemd/", "/usr/local/lib/systemd/", "/usr/lib/systemd/"];

fn rank(path: &str) -> usize {
    FOLDERS.iter().position(|folder| path.starts_with(folder)).unwrap_or(FOLDERS.len())
}

/// Of files of one name the one that counts, by name.
fn in_effect<'a>(files: impl Iterator<Item = &'a File>) -> BTreeMap<&'a str, &'a File> {
    let mut chosen: BTreeMap<&str, &File> = BTreeMap::new();
    for file in files {
        let place = chosen.entry(name_of(&file.path)).or_insert(file);
        if rank(&file.path) < rank(&place.path) {
            *place = file;
        }
    }
    chosen
}

/// All files in effect, in the order in which they are tried.
#[derive(Debug)]
pub struct Networks(Vec<Network>);

/// A file and its drop-ins.
#[derive(Debug)]
struct Network {
    path: String,
    lines: Vec<Line>,
}

impl Networks {
    /// Of all `*.network` files and their drop-ins (`NAME.network.d/*.conf`).
    #[must_use]
    pub fn of(files: &[File]) -> Self {
        let is_main =
            |file: &&File| file.path.ends_with(".network") && !file.path.contains(".network.d/");
        let mut networks = Vec::new();
        for (name, file) in in_effect(files.iter().filter(is_main)) {
            if file.text.as_deref().is_none_or(|text| text.trim().is_empty()) {
                continue;
            }
            let folder = format!("/{name}.d/");
            let drop_ins = files.iter().filter(|other| other.path.contains(&folder));
            let mut lines = lines(file);
            for drop_in in in_effect(drop_ins).values() {
                lines.extend(self::lines(drop_in));
            }
            networks.push(Network { path: file.path.clone(), lines });
        }
        Self(networks)
    }

    /// What networkd does with an interface.
    #[must_use]
    pub fn judge(&self, interface: &Interface<'_>) -> Verdict {
        for network in &self.0 {
            match fits(network, interface) {
                (Some(false), _) => {}
                (None, origin) => return Verdict::Unknown(origin),
                (Some(true), origin) => {
                    // What is neither true nor false is passed over.
                    let unmanaged = network
                        .lines
                        .iter()
                        .filter(|line| line.section == "Link" && line.key == "Unmanaged")
                        .rev()
                        .find_map(|line| Some((boolean(&line.value)?, &line.origin)));
                    return match unmanaged {
                        Some((true, line)) => Verdict::Unmanaged(line.clone()),
                        _ => Verdict::Taken(origin),
                    };
                }
            }
        }
        Verdict::Nobody
    }
}

/// Conditions that depend on what is not looked at. Other keys are no conditions, and networkd passes over them.
const UNKNOWN: [&str; 14] = [
    "Architecture",
    "BSSID",
    "Credential",
    "Firmware",
    "Host",
    "KernelCommandLine",
    "KernelVersion",
    "MACAddress",
    "Path",
    "PermanentMACAddress",
    "Property",
    "SSID",
    "Virtualization",
    "WLANInterfaceType",
];

/// Whether all conditions of `[Match]` hold, and the line of the first. A file without any is ignored
/// (`network_verify` in `networkd-network.c`).
fn fits(network: &Network, interface: &Interface<'_>) -> (Option<bool>, Origin) {
    let mut lists: Vec<(&str, Vec<Pattern<'_>>, &Origin)> = Vec::new();
    let is_condition = |line: &&Line| {
        let key = line.key.as_str();
        line.section == "Match"
            && (matches!(key, "Name" | "Kind" | "Driver" | "Type") || UNKNOWN.contains(&key))
    };
    for line in network.lines.iter().filter(is_condition) {
        let known = lists.iter().position(|(key, ..)| *key == line.key);
        let index = known.unwrap_or_else(|| {
            lists.push((&line.key, Vec::new(), &line.origin));
            lists.len() - 1
        });
        if line.value.is_empty() {
            lists[index].1.clear();
        }
        let (turned, words) = match line.value.strip_prefix('!') {
            Some(words) => (true, words),
            None => (false, line.value.as_str()),
        };
        let words = words.split_whitespace().map(|word| Pattern { turned, word });
        lists[index].1.extend(words);
    }
    let origin = lists.first().map_or_else(
        || Origin { path: network.path.clone(), line: 1 },
        |(_, _, origin)| (*origin).clone(),
    );
    lists.retain(|(_, patterns, _)| !patterns.is_empty());
    let mut answer = Some(!lists.is_empty());
    for (key, patterns, _) in &lists {
        let value = match *key {
            "Name" => Some(interface.name),
            "Kind" | "Driver" => interface.kind,
            "Type" => interface.kind.and_then(type_of),
            _ => None,
        };
        match value {
            Some(value) if !list_fits(patterns, value) => return (Some(false), origin),
            Some(_) => {}
            None => answer = None,
        }
    }
    (answer, origin)
}

/// `Type=` of a kind of link (`net_get_type_string`): the kernel's device type, or else that of its hardware.
fn type_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "veth" => "ether",
        "vxlan" => "vxlan",
        "wireguard" => "wireguard",
        "ipip" => "tunnel",
        "bridge" => "bridge",
        _ => return None,
    })
}

/// A word of a condition; one of a line that begins with `!` is turned round.
#[derive(Debug)]
struct Pattern<'a> {
    turned: bool,
    word: &'a str,
}

/// What one that is turned round matches does not fit; else one of the others must match, if there are any
/// (`net_condition_test_strv` in `net-condition.c`).
fn list_fits(patterns: &[Pattern<'_>], value: &str) -> bool {
    let matches = |turned: bool| {
        let mut words = patterns.iter().filter(move |pattern| pattern.turned == turned);
        words.any(|pattern| fnmatch::matches(pattern.word, value))
    };
    !matches(true) && (matches(false) || patterns.iter().all(|pattern| pattern.turned))
}

/// systemd's truths (`parse_boolean`).
fn boolean(value: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| value.eq_ignore_ascii_case(word));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// Whether networkd deletes what others have made (`[Network] KEY=` in networkd.conf and its drop-ins), and the
/// line that says so; `None`: no line does, and it deletes.
#[must_use]
pub fn manages_foreign(
    main: Option<&File>,
    drop_ins: &[File],
    key: &str,
) -> (bool, Option<Origin>) {
    let mut all: Vec<Line> = main.map(lines).unwrap_or_default();
    for file in in_effect(drop_ins.iter()).values() {
        all.extend(lines(file));
    }
    let says = |line: &Line| {
        let is_it = line.section == "Network" && line.key == key;
        is_it.then(|| boolean(&line.value)).flatten().map(|value| (value, line.origin.clone()))
    };
    match all.iter().rev().find_map(says) {
        Some((value, origin)) => (value, Some(origin)),
        None => (true, None),
    }
}

#[cfg(test)]
mod tests;
