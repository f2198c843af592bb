//! What is known of the kernel, out of what was read of the host.

use std::borrow::Cow;
use std::collections::HashSet;

use super::ipset;
use crate::checks::{Asked, dataplane};
use crate::collectors::{Node, conntrack, kernel as rows};
use crate::host::{Evidence, Outcome, Reading};
use crate::kernel::{self, Config, Release};

/// The text of what was read whole.
pub(super) fn text<'a>(evidence: &'a Evidence, path: &str) -> Option<Cow<'a, str>> {
    evidence.get(path).filter(|reading| reading.outcome == Outcome::Ok).map(Reading::text)
}

/// The names in a listing of a folder.
pub(super) fn listed(listing: &str) -> impl Iterator<Item = &str> {
    listing.lines().filter_map(|line| line.split_ascii_whitespace().nth(5))
}

pub(super) fn kernel(
    evidence: &Evidence,
    asked: &Asked,
    node: &Node,
    dataplane: &dataplane::Facts,
) -> kernel::Facts {
    let words = |path: &str, word: fn(&str) -> Option<&str>| {
        text(evidence, path)
            .map(|text| text.lines().filter_map(word).map(ToOwned::to_owned).collect())
    };
    let first: fn(&str) -> Option<&str> = |line| line.split_ascii_whitespace().next();
    let last: fn(&str) -> Option<&str> = |line| line.split_ascii_whitespace().last();
    let names = |paths: [&str; 2]| -> HashSet<String> {
        paths.into_iter().filter_map(|path| words(path, first)).flatten().collect::<HashSet<_>>()
    };
    let loaded: Option<HashSet<String>> = words(conntrack::MODULES, first);
    let is_modular = match evidence.get(conntrack::MODULES).map(|reading| reading.outcome) {
        Some(Outcome::Ok) => Some(true),
        // Of a `/proc` in which the release stands, too.
        Some(Outcome::Missing) if !node.release.is_empty() => Some(false),
        _ => None,
    };
    let built_in = format!("host/lib/modules/{}/modules.builtin", node.release);
    let available = format!("host{}", rows::modules_path(&node.release));
    let folders = text(evidence, rows::MODULE_FOLDERS).unwrap_or_default();
    kernel::Facts {
        release: Release::parse(&node.release),
        config: config(evidence, asked, node),
        is_modular,
        loaded,
        built_in: text(evidence, &built_in)
            .map(|list| rows::builtin_names(&list).into_iter().collect()),
        available: text(evidence, &available).map(|list| kernel::available(&list)),
        is_sealed: text(evidence, "host/proc/sys/kernel/modules_disabled")
            .is_some_and(|value| value.trim() == "1"),
        lacks_folder: is_modular == Some(true)
            && listed(&folders).next().is_some()
            && listed(&folders).all(|name| name != node.release),
        in_sys: text(evidence, rows::SYS_MODULE)
            .map(|listing| listed(&listing).map(ToOwned::to_owned).collect()),
        matches: names(["host/proc/net/ip_tables_matches", "host/proc/net/ip6_tables_matches"]),
        targets: names(["host/proc/net/ip_tables_targets", "host/proc/net/ip6_tables_targets"]),
        file_systems: words("host/proc/filesystems", last),
        link_kinds: dataplane.links.iter().filter_map(|link| link.kind.clone()).collect(),
        has_btf: text(evidence, rows::BTF)
            .is_some_and(|listing| listed(&listing).any(|name| name == "vmlinux")),
        set_types: ipset::types(evidence)
            .unwrap_or_default()
            .into_iter()
            .map(|row| (row.r#type, row.revision.is_some()))
            .collect(),
    }
}

/// The kernel's configuration: the file that the user gave, the kernel's own, or a distribution's.
fn config(evidence: &Evidence, asked: &Asked, node: &Node) -> Option<(Config, String)> {
    if let Some(given) = &asked.kernel_config {
        let (bytes, name) = given.as_ref();
        return Config::read(bytes).map(|config| (config, name.clone()));
    }
    let paths = rows::config_paths(&node.release);
    std::iter::once("/proc/config.gz").chain(paths.iter().map(String::as_str)).find_map(|path| {
        // Of half a file, what stands in the other half would lack.
        let reading = evidence
            .get(&format!("host{path}"))
            .filter(|reading| reading.outcome == Outcome::Ok)?;
        Some((Config::read(&reading.bytes)?, path.to_owned()))
    })
}
