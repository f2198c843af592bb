//! The files that say what settings and modules a host has after a boot, out of what was read of it.

use crate::host::{Evidence, Outcome, Reading};
use crate::sysctl::{Content, File};

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
