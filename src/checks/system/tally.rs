//! How much of what something needs is there, and what follows from it.

use serde_json::{Map, Value, json};

use super::Facts;
use super::facilities::Need;
use crate::checks::dataplane::Use;
use crate::checks::{Finding, Level};
use crate::kernel::{self, Presence};

/// What of a list of needs is there.
#[derive(Debug, Default)]
pub(super) struct Tally {
    parts: Map<String, Value>,
    built_in: usize,
    loaded: usize,
    available: usize,
    /// What lacks, and without which it does not work.
    missing: Vec<String>,
    /// What lacks, and is missed only by some.
    optional: Vec<String>,
    /// Of what it could not be told, and why.
    unknown: Vec<String>,
    /// What else is to be said.
    pub(super) notes: Vec<String>,
}

/// What is judged.
pub(super) struct Subject {
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    /// How bad a lack is where no Felix runs yet.
    pub(super) open: Level,
}

impl Tally {
    pub(super) fn of(kernel: &kernel::Facts, needs: &[Need]) -> Self {
        let mut tally = Self::default();
        for need in needs {
            let presence = kernel.presence(&need.facility);
            let name = need.facility.name;
            match &presence {
                Presence::BuiltIn => tally.built_in += 1,
                Presence::Loaded => tally.loaded += 1,
                Presence::Available => tally.available += 1,
                Presence::Absent(_) | Presence::Unknown(_) if need.is_optional => {
                    tally.optional.push(name.to_owned());
                }
                Presence::Absent(why) => tally.missing.push(format!("{name} ({why})")),
                Presence::Unknown(why) => tally.unknown.push(format!("{name} ({why})")),
            }
            tally.parts.insert(name.to_owned(), presence.to_string().into());
        }
        tally
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.parts.extend(other.parts);
        self.built_in += other.built_in;
        self.loaded += other.loaded;
        self.available += other.available;
        self.missing.extend(other.missing);
        self.optional.extend(other.optional);
        self.unknown.extend(other.unknown);
        self.notes.extend(other.notes);
    }

    /// Something that is not a part of the kernel lacks.
    pub(super) fn lacks(&mut self, what: impl Into<String>) {
        self.missing.push(what.into());
    }

    /// The kernel must be as new as this.
    pub(super) fn since(
        &mut self,
        kernel: &kernel::Facts,
        version: (u32, u32, u32),
        red_hat: Option<((u32, u32, u32), u32)>,
    ) {
        let (major, minor, _) = version;
        match kernel.release {
            None => self.unknown.push("the kernel's release (not read)".to_owned()),
            Some(release) if release.has(version, red_hat) => {}
            Some(_) => self.missing.push(format!("a kernel of {major}.{minor} or later")),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.unknown.is_empty()
    }

    /// How far it is from being whole: what lacks weighs more than what is not known.
    pub(super) fn lack(&self) -> (usize, usize) {
        (self.missing.len(), self.unknown.len())
    }

    /// How many of the parts there are of each kind.
    fn counts(&self) -> String {
        let kinds = [
            (self.built_in, "built in"),
            (self.loaded, "loaded"),
            (self.available, "to be loaded when first used"),
        ];
        let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
        kinds.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    }
}

impl Subject {
    /// The verdict on a subject that is used or not.
    pub(super) fn finding(&self, facts: &Facts, usage: &Use, tally: &Tally) -> Finding {
        let what = self.what;
        let lacking = match (tally.missing.is_empty(), tally.unknown.is_empty()) {
            (false, _) => {
                format!("the kernel lacks what {what} needs: {}", tally.missing.join(", "))
            }
            (true, false) => {
                let few: Vec<&str> = tally.unknown.iter().take(3).map(String::as_str).collect();
                let more = match tally.unknown.len() - few.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("of {what}, it could not be determined: {}{more}", few.join(", "))
            }
            (true, true) => format!("the kernel has all that {what} needs ({})", tally.counts()),
        };
        let (mut level, mut summary) = match usage {
            Use::Unused(why) => (Level::Skip, format!("not used here ({why}); {lacking}")),
            _ if tally.is_whole() => (Level::Ok, lacking),
            Use::Used(_) | Use::Open if tally.missing.is_empty() => (Level::Unknown, lacking),
            Use::Used(why) => (Level::Fail, format!("{lacking}; it is used here: {why}")),
            Use::Open => (self.open, lacking),
        };
        for note in &tally.notes {
            summary = format!("{summary}; {note}");
            if level == Level::Ok {
                level = Level::Info;
            }
        }
        let (usage, why) = match usage {
            Use::Used(why) => ("used", Some(why)),
            Use::Unused(why) => ("unused", Some(why)),
            Use::Open => ("unknown", None),
        };
        let mut finding = Finding::new(self.id, level, summary).evidence(json!({
            "use": usage,
            "why": why,
            "parts": tally.parts,
            "missing": tally.missing,
            "missingOptional": tally.optional,
            "unknown": tally.unknown,
        }));
        if matches!(level, Level::Fail | Level::Warn) {
            finding = finding.remedy(remedy(facts));
        }
        if level == Level::Unknown && facts.kernel.config.is_none() {
            finding = finding.remedy(
                "calivet check system --kernel-config FILE    with the configuration of this kernel",
            );
        }
        finding
    }
}

/// How a kernel comes to have what it lacks.
fn remedy(facts: &Facts) -> &'static str {
    match facts.kernel.is_modular {
        Some(true) if facts.kernel.lacks_folder => {
            "reboot, so that the kernel runs whose modules are installed"
        }
        Some(true) => {
            "install the rest of the kernel's modules: kernel-modules-extra (RHEL, Fedora), linux-modules-extra-$(uname -r) (Ubuntu)"
        }
        _ => "run a kernel that has it: this one can load no module",
    }
}
