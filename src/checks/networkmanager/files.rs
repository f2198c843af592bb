//! `NetworkManager`'s files in the evidence.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::host::{Evidence, Outcome, Reading};
use crate::networkmanager::config::{Config, Content, File, Files, NoConfig, Spec};
use crate::networkmanager::ifupdown;

const VENDOR: &str = "/usr/lib/NetworkManager/conf.d";
const RUN: &str = "/run/NetworkManager/conf.d";
const ETC: &str = "/etc/NetworkManager/conf.d";
const MAIN: &str = "/etc/NetworkManager/NetworkManager.conf";
const OLD_MAIN: &str = "/etc/NetworkManager/nm-system-settings.conf";
const INTERN: &str = "/var/lib/NetworkManager/NetworkManager-intern.conf";

/// Whether any file of its configuration is there.
pub(super) fn any(evidence: &Evidence) -> bool {
    let is_there = |path: &&str| {
        evidence
            .get(&format!("host{path}"))
            .is_some_and(|it| !matches!(it.outcome, Outcome::Missing | Outcome::Skipped))
    };
    [MAIN, OLD_MAIN, INTERN].iter().any(is_there)
        || [VENDOR, RUN, ETC]
            .iter()
            .any(|folder| evidence.below(&format!("host{folder}")).count() > 0)
}

/// The files, as far as they were read.
pub(super) fn read(evidence: &Evidence) -> Result<Files, NoConfig> {
    Ok(Files {
        vendor: folder(evidence, VENDOR)?,
        run: folder(evidence, RUN)?,
        etc: folder(evidence, ETC)?,
        old_main: single(evidence, OLD_MAIN),
        main: single(evidence, MAIN),
        intern: single(evidence, INTERN),
    })
}

fn folder(evidence: &Evidence, folder: &str) -> Result<Vec<File>, NoConfig> {
    // Only what could not be listed stands under the folder's own path.
    let listing = evidence.get(&format!("host{folder}"));
    if let Some(listing) = listing.filter(|listing| listing.outcome != Outcome::Missing) {
        let reason = listing.reason.clone().unwrap_or_else(|| listing.outcome.to_string());
        return Err(NoConfig::Unknown { path: folder.to_owned(), reason });
    }
    let kept = format!("host{folder}");
    let files = evidence
        .below(&kept)
        .filter(|(name, reading)| !name.contains('/') && reading.outcome != Outcome::Missing)
        .map(|(name, reading)| File {
            path: format!("{folder}/{name}"),
            content: content(evidence, folder, reading),
        });
    Ok(files.collect())
}

fn single(evidence: &Evidence, path: &str) -> Option<File> {
    let reading = evidence.get(&format!("host{path}"))?;
    let is_there = reading.outcome != Outcome::Missing;
    is_there.then(|| File { path: path.to_owned(), content: content(evidence, "", reading) })
}

fn content(evidence: &Evidence, folder: &str, reading: &Reading) -> Content {
    if let Some(target) = &reading.link {
        return linked(evidence, folder, target);
    }
    match reading.outcome {
        Outcome::Ok => Content::Text(reading.bytes.clone()),
        Outcome::NotApplicable => Content::NotAFile("not a regular file".to_owned()),
        outcome => Content::Unread(reading.reason.clone().unwrap_or_else(|| outcome.to_string())),
    }
}

/// A link in a folder is not followed, but what it leads to may have been read for itself.
fn linked(evidence: &Evidence, folder: &str, target: &str) -> Content {
    if target == "/dev/null" {
        return Content::NotAFile("a link to /dev/null, which is not a regular file".to_owned());
    }
    let path =
        if target.starts_with('/') { target.to_owned() } else { format!("{folder}/{target}") };
    match evidence.get(&format!("host{path}")) {
        Some(found) if found.outcome == Outcome::Ok => Content::Text(found.bytes.clone()),
        _ => Content::Unread(format!("a symbolic link to {target}, not followed")),
    }
}

/// The specs of ifupdown's plugin.
pub(super) fn ifupdown(evidence: &Evidence, config: &Config) -> Vec<Spec> {
    ifupdown::specs(config, &ifupdown::interfaces(&interfaces(evidence)))
}

/// `/etc/network/interfaces` and what lies in its folder.
pub(super) fn interfaces(evidence: &Evidence) -> BTreeMap<String, Vec<u8>> {
    const FOLDER: &str = "/etc/network/interfaces.d";
    let main = evidence.get("host/etc/network/interfaces");
    let main = main.map(|reading| (ifupdown::MAIN.to_owned(), reading));
    let others = evidence.below("host/etc/network/interfaces.d");
    main.into_iter()
        .chain(others.map(|(name, reading)| (format!("{FOLDER}/{name}"), reading)))
        .filter(|(_, reading)| reading.outcome == Outcome::Ok)
        .map(|(path, reading)| (path, reading.bytes.clone()))
        .collect()
}

/// The file that was written last.
pub(super) fn newest(evidence: &Evidence) -> Option<(String, Timestamp)> {
    let single = [MAIN, OLD_MAIN]
        .into_iter()
        .map(|path| (path.to_owned(), evidence.get(&format!("host{path}"))));
    let folders = [VENDOR, RUN, ETC].into_iter().flat_map(|folder| {
        let kept = format!("host{folder}");
        let found = evidence.below(&kept);
        found.map(|(name, reading)| (format!("{folder}/{name}"), Some(reading))).collect::<Vec<_>>()
    });
    single
        .chain(folders)
        .filter_map(|(path, reading)| Some((path, reading?.modified?)))
        .max_by_key(|(_, modified)| *modified)
}
