//! The files that say what settings and modules a host has after a boot, out of what was read of it.

use crate::collectors::conntrack as rows;
use crate::fix::Change;
use crate::host::{Evidence, Outcome, Reading};
use crate::sysctl::{self, Boot, Content, File, Reader, Write};

/// What is written to the kernel's settings at boot.
pub(super) struct AtBoot {
    files: Vec<File>,
    /// By the program that this host runs at boot; `None`: which one that is, is not known.
    reader: Option<Reader>,
}

/// What a setting is after a boot.
pub(super) enum Tomorrow {
    /// A line of a file decides.
    Written {
        value: u64,
        /// `FILE:LINE`.
        place: String,
    },
    /// No file sets it.
    Nothing,
    /// It is not known, and why.
    Unknown(String),
}

/// A setting that is to be kept in a file.
pub(super) struct Persisted {
    /// All its names, as paths below `/proc/sys`.
    pub(super) keys: &'static [&'static str],
    /// The name that is written, with dots.
    pub(super) key: &'static str,
    /// What the file's name has beside a number.
    pub(super) stem: &'static str,
    /// The line above it in a new file.
    pub(super) comment: &'static str,
}

/// The last value of a boot that the kernel takes: it refuses what is no number, and what was written before stays.
pub(super) fn decisive(boot: &Boot) -> Option<(&Write, u64)> {
    boot.writes.iter().rev().find_map(|write| Some((write, sysctl::number(&write.value)?)))
}

impl AtBoot {
    pub(super) fn read(evidence: &Evidence) -> Self {
        let init = evidence.get(rows::INIT).filter(|reading| reading.outcome == Outcome::Ok);
        Self {
            files: files(evidence, &sysctl::FOLDERS, &[sysctl::OLD_FILE]),
            reader: init.map(|init| match init.text().trim() {
                "systemd" => Reader::Systemd,
                _ => Reader::Procps,
            }),
        }
    }

    /// What one setting is after a boot; `keys` are all its names.
    pub(super) fn of(&self, keys: &[&str]) -> Tomorrow {
        let boots = self.readers().map(|reader| sysctl::at_boot(&self.files, reader, keys));
        let boots: Vec<Boot> = boots.collect();
        if let Some((file, why)) = boots.iter().find_map(|boot| boot.unread.first()) {
            return Tomorrow::Unknown(format!("{file} was not read: {why}"));
        }
        let mut decided = boots.iter().map(decisive);
        let first = decided.next().flatten();
        if decided.any(|other| other.map(|(_, value)| value) != first.map(|(_, value)| value)) {
            return Tomorrow::Unknown(
                "systemd-sysctl and `sysctl --system` would not write the same, and which of the two runs at boot was not read"
                    .to_owned(),
            );
        }
        match first {
            Some((write, value)) => Tomorrow::Written { value, place: write.place() },
            None => Tomorrow::Nothing,
        }
    }

    fn readers(&self) -> impl Iterator<Item = Reader> + use<> {
        let reader = self.reader;
        [Reader::Systemd, Reader::Procps]
            .into_iter()
            .filter(move |known| reader.is_none_or(|reader| reader == *known))
    }

    /// The file that keeps a setting by the rules of what runs at boot, and whether it does for the other program too.
    pub(super) fn winner(&self, setting: &Persisted, value: u64) -> Option<(Change, bool)> {
        winner(&self.files, &self.readers().collect::<Vec<_>>(), setting, value)
    }
}

/// The first name whose file wins by the rules of `readers`, and whether it wins by those of both programs.
pub(super) fn winner(
    files: &[File],
    readers: &[Reader],
    setting: &Persisted,
    value: u64,
) -> Option<(Change, bool)> {
    let mut second = None;
    for prefix in ["90-", "99-zz-", "zzz-"] {
        let path = format!("{}/{prefix}{}.conf", sysctl::FOLDERS[0], setting.stem);
        let Some(text) = replaceable(files, &path) else { continue };
        let text = with_value(&text, setting, value);
        let mut all: Vec<File> = files.iter().filter(|file| file.path != path).cloned().collect();
        all.push(File { path: path.clone(), content: Content::Text(text.clone()) });
        let wins = |reader: &Reader| {
            let boot = sysctl::at_boot(&all, *reader, setting.keys);
            decisive(&boot).is_some_and(|(_, decided)| decided == value)
        };
        if !readers.iter().all(wins) {
            continue;
        }
        let change = Change::File { path, text };
        if [Reader::Systemd, Reader::Procps].iter().all(wins) {
            return Some((change, true));
        }
        second = second.or(Some((change, false)));
    }
    second
}

/// What a file holds that may be written; empty if it is not there. `None`: it must be left alone.
pub(super) fn replaceable(files: &[File], path: &str) -> Option<String> {
    match files.iter().find(|file| file.path == path) {
        None => Some(String::new()),
        Some(File { content: Content::Text(text), .. }) => Some(text.clone()),
        Some(_) => None,
    }
}

/// The text with the setting in it, and with all that it says otherwise.
fn with_value(text: &str, setting: &Persisted, value: u64) -> String {
    let is_it = |line: &str| {
        let key = line.split_once('=').map_or("", |(key, _)| key.trim().trim_start_matches('-'));
        setting.keys.contains(&key.trim().replace('.', "/").as_str())
    };
    let mut lines: Vec<&str> = text.lines().filter(|line| !is_it(line)).collect();
    if lines.is_empty() {
        lines.push(setting.comment);
    }
    let line = format!("{} = {value}", setting.key);
    lines.push(&line);
    lines.join("\n") + "\n"
}

/// The files of `folders`, and single files beside them, as a program on the host would find them.
pub(super) fn files(evidence: &Evidence, folders: &[&str], single: &[&str]) -> Vec<File> {
    let mut files = Vec::new();
    for folder in folders {
        let path = format!("host{folder}");
        if let Some(reading) = evidence.get(&path)
            && !matches!(reading.outcome, Outcome::Ok | Outcome::Missing)
        {
            // What may be in it takes part, and nobody knows what it is called.
            files.push(File { path: format!("{folder}/?.conf"), content: unread(reading) });
        }
        for (name, reading) in evidence.below(&path) {
            // What lies in folders beneath is read by nobody.
            if !name.contains('/') {
                let content = content(evidence, folder, reading);
                files.push(File { path: format!("{folder}/{name}"), content });
            }
        }
    }
    for path in single {
        if let Some(reading) = evidence.get(&format!("host{path}"))
            && reading.outcome != Outcome::Missing
        {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let content = content(evidence, folder, reading);
            files.push(File { path: (*path).to_owned(), content });
        }
    }
    files
}

/// What a program gets that opens the file. A link is followed to what was read under its target's own path.
fn content(evidence: &Evidence, folder: &str, reading: &Reading) -> Content {
    let Some(link) = &reading.link else {
        return match reading.outcome {
            Outcome::Ok => Content::Text(reading.text().into_owned()),
            Outcome::Missing => Content::Nothing,
            _ => unread(reading),
        };
    };
    let target = target(folder, link);
    if target == "/dev/null" {
        return Content::Nothing;
    }
    match evidence.get(&format!("host{target}")) {
        Some(reading) if reading.outcome == Outcome::Ok => {
            Content::Text(reading.text().into_owned())
        }
        Some(reading) if reading.outcome == Outcome::Missing => Content::Nothing,
        Some(reading) => unread(reading),
        None => Content::Unread(format!("a link to {target}, which was not read")),
    }
}

fn unread(reading: &Reading) -> Content {
    Content::Unread(reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string()))
}

/// The path to which a link in `folder` leads.
fn target(folder: &str, link: &str) -> String {
    let whole = if link.starts_with('/') { link.to_owned() } else { format!("{folder}/{link}") };
    let mut components: Vec<&str> = Vec::new();
    for component in whole.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    format!("/{}", components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysctl::FOLDERS;

    fn evidence(readings: &[(&str, Reading)]) -> Evidence {
        readings.iter().map(|(path, reading)| ((*path).to_owned(), reading.clone())).collect()
    }

    fn text(text: &str) -> Reading {
        Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() }
    }

    fn link(target: &str) -> Reading {
        let reason = format!("a symbolic link to {target}, not followed");
        Reading { link: Some(target.to_owned()), ..Reading::failed(Outcome::NotApplicable, reason) }
    }

    #[test]
    fn a_link_gives_what_was_read_under_its_target() {
        let evidence = evidence(&[
            ("host/etc/sysctl.conf", text("a = 1\n")),
            ("host/etc/sysctl.d/99-sysctl.conf", link("../sysctl.conf")),
            ("host/etc/sysctl.d/50-a.conf", link("/dev/null")),
            ("host/etc/sysctl.d/60-b.conf", link("/opt/b.conf")),
            ("host/etc/sysctl.d/70-c.conf", link("/usr/lib/sysctl.d/c.conf")),
            ("host/usr/lib/sysctl.d/c.conf", text("c = 1\n")),
            ("host/usr/lib/sysctl.d/deeper/d.conf", text("d = 1\n")),
        ]);
        let files = files(&evidence, &FOLDERS, &["/etc/sysctl.conf"]);
        let of = |path: &str| &files.iter().find(|file| file.path == path).unwrap().content;
        assert_eq!(of("/etc/sysctl.d/99-sysctl.conf"), &Content::Text("a = 1\n".to_owned()));
        assert_eq!(of("/etc/sysctl.conf"), &Content::Text("a = 1\n".to_owned()));
        assert_eq!(of("/etc/sysctl.d/50-a.conf"), &Content::Nothing);
        assert!(matches!(of("/etc/sysctl.d/60-b.conf"), Content::Unread(_)));
        assert_eq!(of("/etc/sysctl.d/70-c.conf"), &Content::Text("c = 1\n".to_owned()));
        assert_eq!(files.len(), 6);
    }

    #[test]
    fn a_folder_that_cannot_be_listed_is_not_an_empty_one() {
        let denied = Reading::failed(Outcome::Denied, "no");
        let files = files(&evidence(&[("host/etc/sysctl.d", denied)]), &FOLDERS, &[]);
        assert!(matches!(files[0].content, Content::Unread(_)));
    }
}
