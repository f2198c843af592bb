//! What `--fix` does: the limit now, in a file that wins at boot, and the module loaded before.

use super::limit::{KEYS, Module, Tomorrow};
use super::{Facts, grouped};
use crate::checks::settings::{self, Persisted, decisive};
use crate::collectors::conntrack as rows;
use crate::fix::Change;
use crate::sysctl::{self, Reader};

/// The changes, and what is to be said of them.
pub(super) struct Fixing {
    pub(super) changes: Vec<Change>,
    pub(super) remedies: Vec<String>,
    /// Whether the limit can be set from here; `None`: that is not known.
    pub(super) writable: Option<bool>,
}

const KEY: &str = "net.netfilter.nf_conntrack_max";

const SETTING: Persisted = Persisted {
    keys: &KEYS,
    key: KEY,
    stem: "calivet-conntrack",
    comment: "# The table of connections may hold so many entries (calivet check conntrack --fix).",
};

const MODULE_FILE: &str = "/etc/modules-load.d/nf_conntrack.conf";

/// A limit is only ever raised: whoever set a higher one has a reason.
pub(super) fn propose(facts: &Facts, tomorrow: &Tomorrow) -> Fixing {
    let max = facts.asked.max;
    let writable = writable(facts);
    let mut fixing = Fixing { changes: Vec::new(), remedies: Vec::new(), writable };
    if facts.max.is_some_and(|now| now != 0 && now < max) {
        // The kernel first: where it refuses, nothing is written that would look as if it had worked.
        fixing.changes.push(Change::Sysctl { key: KEY.to_owned(), value: max.to_string() });
        if writable == Some(false) {
            fixing.remedies.push(
                "--fix cannot work here: the setting is read-only in a network namespace other than the host's own; run calivet on the host"
                    .to_owned(),
            );
            return fixing;
        }
    }
    let is_enough = |reader| {
        decisive(tomorrow.boot(reader)).is_some_and(|(_, value)| value >= max || value == 0)
    };
    if !(is_enough(Reader::Systemd) && is_enough(Reader::Procps)) {
        let won = settings::winner(&tomorrow.files, &tomorrow.readers(), &SETTING, max);
        let Some((change, wins_for_all)) = won else {
            let boot = tomorrow.boot(tomorrow.readers()[0]);
            let place = decisive(boot)
                .map_or_else(|| sysctl::FOLDERS[0].to_owned(), |(write, _)| write.place());
            fixing
                .remedies
                .push(format!("no file of calivet's can win: set {KEY} = {max} in {place}"));
            return fixing;
        };
        fixing.changes.push(change);
        if let Some((write, value)) = decisive(&tomorrow.procps).filter(|_| !wins_for_all) {
            fixing.remedies.push(format!(
                "{} is read last by `sysctl --system` and sets {}: change it there, too",
                write.place(),
                grouped(value)
            ));
        }
    }
    if tomorrow.module == Module::Late {
        match settings::replaceable(tomorrow.module_files(), MODULE_FILE) {
            Some(text) => fixing.changes.push(Change::File {
                path: MODULE_FILE.to_owned(),
                text: with_line(&text, "nf_conntrack"),
            }),
            None => fixing.remedies.push(format!("add nf_conntrack to {MODULE_FILE}")),
        }
    }
    fixing
}

fn with_line(text: &str, line: &str) -> String {
    let mut all = text.to_owned();
    if !all.is_empty() && !all.ends_with('\n') {
        all.push('\n');
    }
    all + line + "\n"
}

/// Whether the setting may be written: its mode in the listing of its folder. The kernel makes it read-only in every
/// network namespace but the first.
fn writable(facts: &Facts) -> Option<bool> {
    let listing = facts.text(rows::MODES)?;
    let row = listing.lines().find(|line| line.ends_with(" nf_conntrack_max"))?;
    let mode = u32::from_str_radix(row.split(' ').next()?, 8).ok()?;
    Some(mode & 0o200 != 0)
}
