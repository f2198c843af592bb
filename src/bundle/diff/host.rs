//! The kernel's settings and modules, versions, and when the node was booted.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::network::is_of_pod;
use super::rows::text;
use super::{Seen, Side};

/// Settings that count or change by themselves.
const COUNTERS: &[&str] = &[
    "fs.aio-nr",
    "fs.dentry-negative",
    "fs.dentry-state",
    "fs.file-nr",
    "fs.inode-nr",
    "fs.inode-state",
    "fs.quota.",
    "kernel.ns_last_pid",
    "kernel.perf_event_max_sample_rate",
    "kernel.pty.nr",
    "kernel.random.",
    "net.netfilter.nf_conntrack_count",
];

/// As `sysctl -a` writes them: `net.ipv4.ip_forward = 1`.
pub(super) fn sysctls(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let text = text(side.bundle, "kernel/sysctl")?.unwrap_or_default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
        if COUNTERS.iter().any(|counter| name.starts_with(counter)) {
            continue;
        }
        // net.ipv4.conf.cali0123.rp_filter; a link's dots are slashes there.
        if name.split('.').nth(3).is_some_and(|link| is_of_pod(link) || link.starts_with("veth")) {
            seen.fleeting.insert(name.to_owned());
        }
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        seen.facts.insert(name.to_owned(), fact("value", words.join(" ")));
    }
    Ok(seen)
}

/// By name: `nf_conntrack 172032 4 xt_conntrack, Live 0x0`.
pub(super) fn modules(side: &Side) -> Result<Seen, String> {
    let text = text(side.bundle, "host/proc/modules")?.unwrap_or_default();
    let names = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
    let facts = names.map(|name| (name.to_owned(), BTreeMap::new()));
    Ok(Seen { facts: facts.collect(), ..Seen::default() })
}

pub(super) fn versions(side: &Side) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let mut is = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            seen.facts.insert(name.to_owned(), fact("version", value));
        }
    };
    let line = |path: &str| -> Result<Option<String>, String> {
        let text = text(side.bundle, path)?;
        Ok(text.and_then(|text| Some(text.lines().next()?.trim().to_owned())))
    };
    is("kernel", line("host/proc/sys/kernel/osrelease")?);
    is("kernel command line", line("host/proc/cmdline")?);
    is("NetworkManager", line("networkmanager/version")?);
    is("BIRD", side.status.bgp.ipv4.version.clone());
    is("BIRD (IPv6)", side.status.bgp.ipv6.version.clone());
    let release = text(side.bundle, "host/etc/os-release")?.unwrap_or_default();
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    is("operating system", pretty.map(|name| name.trim_matches('"').to_owned()));
    Ok(seen)
}

/// When each was booted, where that differs: `btime` of proc(5), which a clock that was set moves too.
pub(super) fn boots(before: &Side, after: &Side) -> Option<(Timestamp, Timestamp)> {
    /// Seconds by which a clock is put right in passing.
    const SLEW: i64 = 120;
    let booted = |side: &Side| {
        let stat = text(side.bundle, "host/proc/stat").ok()??;
        let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
        Timestamp::from_second(seconds.trim().parse().ok()?).ok()
    };
    let (one, other) = (booted(before)?, booted(after)?);
    (other.duration_since(one).as_secs().abs() > SLEW).then_some((one, other))
}

fn fact(name: &str, value: String) -> BTreeMap<String, String> {
    [(name.to_owned(), value)].into()
}
