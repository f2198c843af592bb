//! Interfaces that `/etc/network/interfaces` names: `NetworkManager`'s ifupdown plugin leaves them alone unless
//! `[ifupdown] managed=true`, and ifupdown brings them up.
//!
//! ```text
//! auto eth0
//! iface eth0 inet dhcp
//! source /etc/network/interfaces.d/*
//! ```
//!
//! Read as the plugin reads it (`nms-ifupdown-interface-parser.c` and `nms-ifupdown-plugin.c`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::{Config, Origin, Spec};
use super::{glob, keyfile};

/// The file from which all others are named.
pub const MAIN: &str = "/etc/network/interfaces";

/// The longest line that counts, in bytes.
const MAX_LINE: usize = 253;

/// How deep files may name each other.
const MAX_DEPTH: usize = 16;

/// What the files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The names, each with the line that gives it.
    pub names: Vec<(Vec<u8>, Origin)>,
    /// Lines that name files of which nothing is known.
    pub unread: Vec<Origin>,
}

/// The interfaces that the files name: their content by path.
#[must_use]
pub fn interfaces(files: &BTreeMap<String, Vec<u8>>) -> Interfaces {
    let mut found = Interfaces::default();
    read(MAIN, files, 0, &mut found);
    found
}

/// The specs that the plugin adds to `unmanaged-devices`.
#[must_use]
pub fn specs(config: &Config, interfaces: &Interfaces) -> Vec<Spec> {
    let managed = config
        .setting(b"ifupdown", b"managed")
        .and_then(|setting| keyfile::boolean(&setting.value))
        .unwrap_or(false);
    if managed || !config.has_plugin("ifupdown") {
        return Vec::new();
    }
    let spec = |(name, origin): &(Vec<u8>, Origin)| Spec {
        text: [b"interface-name:=", name.as_slice()].concat().into(),
        origin: origin.clone(),
    };
    interfaces.names.iter().map(spec).collect()
}

fn read(path: &str, files: &BTreeMap<String, Vec<u8>>, depth: usize, found: &mut Interfaces) {
    let Some(bytes) = files.get(path).filter(|_| depth < MAX_DEPTH) else { return };
    let path: Arc<str> = path.into();
    let mut bridge = false;
    for (line, number) in lines(bytes) {
        let origin = Origin { path: path.clone(), line: number };
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|it| !it.is_empty());
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        let rest: Vec<&[u8]> = words.collect();
        match first {
            _ if first.starts_with(b"#") => {}
            b"iface" if rest.len() < 2 => {}
            b"iface" => {
                // Of a bridge only the ports count.
                bridge = second.starts_with(b"br");
                if !bridge && second != b"lo" {
                    found.names.push((second.to_vec(), origin));
                }
            }
            b"mapping" => {
                bridge = false;
                let name = [vec![second], rest].concat().join(&b' ');
                found.names.push((name, origin));
            }
            b"source" | b"source-directory" => {
                let is_folder = first == b"source-directory";
                for pattern in std::iter::once(second).chain(rest) {
                    include(pattern, is_folder, &origin, files, depth, found);
                }
            }
            b"bridge-ports" | b"bridge_ports" if bridge => {
                let ports = std::iter::once(second).chain(rest);
                let ports = ports.filter(|port| !matches!(*port, b"all" | b"none"));
                found.names.extend(ports.map(|port| (port.to_vec(), origin.clone())));
            }
            _ if first == b"auto" || first.starts_with(b"allow-") => bridge = false,
            _ => {}
        }
    }
}

fn include(
    pattern: &[u8],
    is_folder: bool,
    origin: &Origin,
    files: &BTreeMap<String, Vec<u8>>,
    depth: usize,
    found: &mut Interfaces,
) {
    let mut pattern = String::from_utf8_lossy(pattern).into_owned();
    if !pattern.starts_with('/') {
        let folder = origin.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        pattern = format!("{folder}/{pattern}");
    }
    if is_folder {
        pattern = format!("{}/*", pattern.trim_end_matches('/'));
    }
    let folder = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let is_named = |path: &&String| {
        folder(path) == folder(&pattern) && glob::matches(pattern.as_bytes(), path.as_bytes())
    };
    let named: Vec<&String> = files.keys().filter(is_named).collect();
    // A folder that is read and holds nothing is no riddle; one that is not read is.
    if named.is_empty() && folder(&pattern) != "/etc/network/interfaces.d" {
        found.unread.push(origin.clone());
    }
    for path in named {
        read(path, files, depth + 1, found);
    }
}

/// Lines with their numbers; one that ends in a backslash goes on in the next, one that is too long is dropped.
fn lines(bytes: &[u8]) -> Vec<(Vec<u8>, u32)> {
    let mut lines = Vec::new();
    let mut joined: Vec<u8> = Vec::new();
    let mut first = None;
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let start = *first.get_or_insert(number);
        joined.extend_from_slice(line);
        if joined.last() == Some(&b'\\') {
            joined.pop();
            continue;
        }
        let whole = std::mem::take(&mut joined);
        first = None;
        if whole.len() <= MAX_LINE {
            lines.push((whole, start));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
