//! Can the programs be run that the configuration names?

use std::collections::BTreeMap;

use serde_json::json;

use super::{Facts, PLUGINS, reason};
use crate::checks::figures::counted;
use crate::checks::{Finding, Level};
use crate::cni::Network;
use crate::host::Outcome;

/// Where programs are: in which listing, and of which folder that is.
pub(super) const LISTINGS: [(&str, &str); 7] = [
    ("cni/plugins", "/opt/cni/bin"),
    ("cni/plugins_debian", "/usr/lib/cni"),
    ("cni/plugins_home", "/home/kubernetes/bin"),
    ("cni/plugins_k3s", "/var/lib/rancher/k3s/data/current/bin"),
    ("cni/plugins_k3s_cni", "/var/lib/rancher/k3s/data/cni"),
    ("cni/plugins_lib", "/var/lib/cni/bin"),
    ("cni/plugins_microk8s", "/var/snap/microk8s/current/opt/cni/bin"),
];

/// Why a file cannot be run, by its line in a listing: mode, user, group, bytes, time, name. `None`: it can.
fn trouble(line: &str) -> Option<&'static str> {
    let mut words = line.split_ascii_whitespace();
    let mode = words.next().and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or(0);
    let bytes = words.nth(2);
    match mode & 0o170_000 {
        0o040_000 => Some("a folder"),
        // Where a link leads is not looked at.
        0o120_000 => None,
        _ if mode & 0o111 == 0 => Some("not executable"),
        _ if bytes == Some("0") => Some("empty"),
        _ => None,
    }
}

/// The name at the end of a line of a listing, and what stands before it.
fn name(line: &str) -> Option<&str> {
    let name = line.splitn(6, ' ').nth(5)?;
    Some(name.split(" -> ").next().unwrap_or(name))
}

/// Are they there?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let Some((file, _)) = facts.calico() else { return facts.without(PLUGINS) };
    let wanted: Vec<&str> = file.network.iter().flat_map(Network::programs).collect();
    let mut unknown = Vec::new();
    // Of a program the first place at which it can be run, else the first at which it is.
    let mut found: BTreeMap<&str, (&str, Option<&str>)> = BTreeMap::new();
    for (path, folder) in LISTINGS {
        let Some(reading) = facts.evidence.get(path) else {
            unknown.push(format!("{folder} was not listed"));
            continue;
        };
        match reading.outcome {
            Outcome::Ok => {}
            Outcome::Missing => continue,
            // What it names is there; what it does not name may be, too.
            Outcome::Truncated => unknown.push(format!("{folder}: {}", reason(reading))),
            _ => {
                unknown.push(format!("{folder}: {}", reason(reading)));
                continue;
            }
        }
        let text = reading.text();
        for line in text.lines() {
            let Some(program) = name(line).and_then(|name| wanted.iter().find(|it| **it == name))
            else {
                continue;
            };
            let trouble = trouble(line);
            match found.get(program) {
                Some((_, known)) if known.is_none() || trouble.is_some() => {}
                _ => {
                    found.insert(program, (folder, trouble));
                }
            }
        }
    }
    let mut wrong: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for program in &wanted {
        match found.get(program) {
            None => wrong.push(format!("{program} is in none of the folders")),
            Some((folder, Some(trouble))) => wrong.push(format!("{folder}/{program} is {trouble}")),
            Some((_, None)) => {}
        }
        let at = found.get(program);
        rows.push(json!({
            "program": program, "folder": at.map(|(folder, _)| folder),
            "problem": at.map_or(Some("absent"), |(_, trouble)| *trouble),
        }));
    }
    let evidence = json!({ "programs": rows, "unknown": unknown });
    let finding =
        |level, summary: String| Finding::new(PLUGINS, level, summary).evidence(evidence.clone());
    if !wrong.is_empty() && unknown.is_empty() {
        return finding(Level::Fail, format!("{}: no pod can be made", wrong.join(", ")))
            .remedy("calico, calico-ipam, bandwidth, portmap, tuning: restart calico-node, whose container install-cni copies them to /opt/cni/bin")
            .remedy("others: the package containernetworking-plugins, or whoever changed the configuration")
            .remedy("the runtime may look elsewhere: `bin_dir` in /etc/containerd/config.toml, `plugin_dirs` in /etc/crio/crio.conf");
    }
    if !wrong.is_empty() {
        return finding(Level::Unknown, format!("{}; {}", wrong.join(", "), unknown.join("; ")));
    }
    let folders: std::collections::BTreeSet<&str> =
        found.values().map(|(folder, _)| *folder).collect();
    let folders: Vec<&str> = folders.into_iter().collect();
    let programs = evidence["programs"].as_array().map_or(0, Vec::len);
    let programs = counted(programs, "program is", "programs are");
    finding(Level::Ok, format!("{programs} in {}", folders.join(" and ")))
}
