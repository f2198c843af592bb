//! What would have `NetworkManager` leave Calico's interfaces alone: a file of conf.d, tried before it is proposed.

use super::devices::{Subject, Subjects, TUNNELS};
use super::{Known, files};
use crate::fix::Change;
use crate::networkmanager::config::{Config, Content, File, Files};
use crate::networkmanager::keyfile;
use crate::networkmanager::live::View;
use crate::networkmanager::verdict::{Verdict, judge};

const FOLDER: &str = "/etc/NetworkManager/conf.d";

/// The name that Calico's documentation gives the file, and one that is read after every other.
const NAMES: [&str; 2] = ["calico.conf", "zzz-calico.conf"];

/// What mends it.
pub(super) struct Mend {
    /// In words, for who does it by hand.
    pub(super) words: String,
    pub(super) changes: Vec<Change>,
}

/// The smallest change after which every interface is left alone; `None` if all are, or if no file can do it.
pub(super) fn propose(
    known: &Known<'_>,
    subjects: &Subjects,
    judged: &[(&Subject, Verdict)],
) -> Option<Mend> {
    let taken: Vec<&Subject> = judged
        .iter()
        .filter(|(_, verdict)| verdict.managed == Some(true))
        .map(|(subject, _)| *subject)
        .collect();
    if taken.is_empty() {
        return None;
    }
    let files = files::read(known.evidence).ok()?;
    for name in NAMES {
        let path = format!("{FOLDER}/{name}");
        let text = text(&files, &path, &specs(subjects, &taken));
        let mut with = files.clone();
        with.etc.retain(|file| file.path != path);
        let content = Content::Text(text.clone().into_bytes());
        with.etc.push(File { path: path.clone(), content });
        let Ok(config) = Config::read(&with, &known.daemon) else { continue };
        let helps = taken.iter().all(|subject| {
            judge(&config, &known.others, &subject.device(&config)).managed == Some(false)
        });
        if !helps {
            continue;
        }
        let mut changes = vec![Change::File { path: path.clone(), text }];
        let mut words = format!("write {path}");
        if known.view.as_ref().is_ok_and(View::is_believed) {
            changes.push(Change::ReloadNetworkManager);
        }
        if known.view.as_ref().map_or(true, |view| view.running) {
            words += ", then nmcli general reload";
        }
        return Some(Mend { words, changes });
    }
    None
}

/// The specs of Calico's documentation, with the node's own prefixes and names.
fn specs(subjects: &Subjects, taken: &[&Subject]) -> String {
    let mut specs: Vec<String> =
        subjects.prefixes.iter().map(|prefix| format!("interface-name:{prefix}*")).collect();
    specs.push("interface-name:tunl*".to_owned());
    let named = TUNNELS.iter().map(|(name, _)| *name).filter(|name| *name != "tunl0");
    specs.extend(named.map(|name| format!("interface-name:{name}")));
    for subject in taken {
        let is_named = subject.name.starts_with("tunl")
            || TUNNELS.iter().any(|(name, _)| *name == subject.name)
            || subjects.prefixes.iter().any(|prefix| subject.name.starts_with(prefix.as_str()));
        if !is_named {
            let name = subject.name.replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;");
            specs.push(format!("interface-name:={name}"));
        }
    }
    specs.join(";")
}

/// The file's text. What is there and more than a list of its own stays, and the list is added to it.
fn text(files: &Files, path: &str, specs: &str) -> String {
    let list = format!("[keyfile]\nunmanaged-devices+={specs}\n");
    let old = files.etc.iter().find(|file| file.path == path);
    let old = old.and_then(|file| match &file.content {
        Content::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    match old {
        Some(old) if has_more(old) => format!("{}\n\n{list}", old.trim_end()),
        _ => {
            format!("# Calico's interfaces are Felix's: NetworkManager leaves them alone.\n{list}")
        }
    }
}

/// Whether a file says anything but which devices are left alone.
fn has_more(text: &str) -> bool {
    let Ok(keyfile) = keyfile::parse(text.as_bytes()) else { return false };
    keyfile.sections.iter().any(|section| {
        section.name != b"keyfile"
            || section.entries.iter().any(|entry| !entry.key.starts_with(b"unmanaged-devices"))
    })
}
