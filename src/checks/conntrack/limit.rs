//! The limit after a reboot: what is written at boot, whether that can work, and who writes again later.

use serde_json::json;

use super::proxy::Proxy;
use super::{Facts, LIMIT, fix, grouped};
use crate::checks::settings::{self, decisive};
use crate::checks::{Finding, Level};
use crate::collectors::conntrack as rows;
use crate::host::Outcome;
use crate::sysctl::{self, Boot, File, Reader, Write};

/// Both names of the setting.
pub(super) const KEYS: [&str; 2] = ["net/netfilter/nf_conntrack_max", "net/nf_conntrack_max"];

/// What is known of the next boot.
pub(super) struct Tomorrow {
    pub(super) files: Vec<File>,
    modules: Vec<File>,
    /// By the program that this host runs at boot; `None`: which one that is, is not known.
    reader: Option<Reader>,
    pub(super) systemd: Boot,
    pub(super) procps: Boot,
    pub(super) module: Module,
    proxy: Proxy,
}

/// Whether the setting is there when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Module {
    /// It is a part of the kernel.
    BuiltIn,
    /// A line of modules-load.d has it loaded first.
    Listed(String),
    /// It comes later, and what was written is lost.
    Late,
    /// It is not known.
    Unknown(String),
}

impl Tomorrow {
    pub(super) fn of(facts: &Facts) -> Self {
        let evidence = facts.evidence;
        let files = settings::files(evidence, &sysctl::FOLDERS, &[sysctl::OLD_FILE]);
        let modules = settings::files(evidence, &sysctl::MODULE_FOLDERS, &[]);
        let reader = facts
            .text(rows::INIT)
            .map(|init| if init.trim() == "systemd" { Reader::Systemd } else { Reader::Procps });
        Self {
            systemd: sysctl::at_boot(&files, Reader::Systemd, &KEYS),
            procps: sysctl::at_boot(&files, Reader::Procps, &KEYS),
            module: module(facts, &modules),
            proxy: Proxy::of(facts),
            files,
            modules,
            reader,
        }
    }

    pub(super) fn module_files(&self) -> &[File] {
        &self.modules
    }

    /// The readers that this host may run at boot.
    pub(super) fn readers(&self) -> Vec<Reader> {
        self.reader.map_or_else(|| vec![Reader::Systemd, Reader::Procps], |reader| vec![reader])
    }

    pub(super) const fn boot(&self, reader: Reader) -> &Boot {
        match reader {
            Reader::Systemd => &self.systemd,
            Reader::Procps => &self.procps,
        }
    }
}

/// How `nf_conntrack` comes into the kernel at boot.
fn module(facts: &Facts, lists: &[File]) -> Module {
    let Some(loaded) = facts.reading(rows::MODULES) else {
        return Module::Unknown("/proc/modules was not read".to_owned());
    };
    if loaded.outcome == Outcome::Missing {
        // A kernel without modules.
        return Module::BuiltIn;
    }
    if loaded.outcome != Outcome::Ok {
        return Module::Unknown(super::why(loaded, "/proc/modules"));
    }
    let text = loaded.text();
    // Whatever needs it has it loaded, too.
    let row = text.lines().find(|line| line.starts_with("nf_conntrack "));
    let users = row.and_then(|row| row.split_ascii_whitespace().nth(3)).unwrap_or_default();
    let names = users.split(',').filter(|name| !matches!(*name, "" | "-"));
    let wanted = std::iter::once("nf_conntrack").chain(names);
    let listed = wanted.into_iter().find_map(|name| sysctl::loads(lists, name));
    match listed {
        Some((file, line)) => Module::Listed(format!("{file}:{line}")),
        // It is there, and is none of those that were loaded.
        None if row.is_none() && facts.node.modules.is_some() && facts.max.is_some() => {
            Module::BuiltIn
        }
        None => Module::Late,
    }
}

/// The limit that the kernel gives itself when the module is loaded (`nf_conntrack_init_start` in the kernel's
/// `nf_conntrack_core.c`): by the machine's memory, or by the number of buckets that modprobe is told.
fn kernel_default(release: &str, memory_kib: u64, buckets: Option<u64>) -> Option<u64> {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    let version = (numbers.next()??, numbers.next()??);
    if let Some(buckets) = buckets {
        return Some(buckets * 8);
    }
    let is_new = version >= (5, 15);
    let gibibytes = |count: u64| memory_kib > count << 20;
    let by_memory = (memory_kib / 16 / 8).max(if is_new { 1024 } else { 32 });
    let buckets = match (gibibytes(4), gibibytes(1)) {
        (true, _) if is_new => 262_144,
        (true, _) | (_, true) if is_new || gibibytes(4) => 65_536,
        (_, true) => 16_384,
        _ => by_memory,
    };
    Some(buckets * if is_new { 1 } else { 4 })
}

/// The limit that comes back by itself.
fn fallback(facts: &Facts) -> Option<u64> {
    let release = facts.text(rows::RELEASE)?;
    let memory = facts.text(rows::MEMINFO)?;
    let row = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let memory_kib = row.split_ascii_whitespace().next()?.parse().ok()?;
    let options = settings::files(facts.evidence, &sysctl::OPTION_FOLDERS, &[]);
    let hashsize = sysctl::option(&options, "nf_conntrack", "hashsize");
    let buckets = hashsize.and_then(|(value, ..)| value.parse().ok());
    kernel_default(release.trim(), memory_kib, buckets)
}

/// What the limit will be, and who decides.
struct Verdict {
    after: Option<u64>,
    decided_by: String,
    level: Level,
    /// What is to be said of it beside the numbers.
    notes: Vec<String>,
    remedies: Vec<String>,
    /// Why it is not known.
    unknown: Vec<String>,
}

impl Verdict {
    fn warn(&mut self, note: String) {
        self.notes.push(note);
        self.level = Level::Warn;
    }
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let tomorrow = Tomorrow::of(facts);
    let verdict = verdict(facts, &tomorrow);
    let now = facts.max.map_or_else(|| "unknown".to_owned(), grouped);
    let after = verdict.after.map_or_else(|| "not known".to_owned(), grouped);
    let mut summary = if verdict.after.is_some() && verdict.after == facts.max {
        format!("the limit is {now}, also after a reboot ({})", verdict.decided_by)
    } else {
        format!("the limit is {now}, after a reboot {after} ({})", verdict.decided_by)
    };
    for note in &verdict.notes {
        summary.push_str("; ");
        summary.push_str(note);
    }
    let place = |boot: &Boot| decisive(boot).map(|(write, _)| write.place());
    let value = |boot: &Boot| decisive(boot).map(|(_, value)| value);
    let (proxy, proxy_reason) = match &tomorrow.proxy {
        Proxy::Absent => (json!({"running": false}), None),
        Proxy::Sets(limit) => (json!({"running": true, "limit": limit}), None),
        Proxy::Unknown(reason) => (json!(null), Some(reason.clone())),
    };
    let module = match &tomorrow.module {
        Module::BuiltIn => "built in".to_owned(),
        Module::Listed(place) => place.clone(),
        Module::Late => "after the settings".to_owned(),
        Module::Unknown(_) => "unknown".to_owned(),
    };
    let fixing = fix::propose(facts, &tomorrow);
    let mut finding = Finding::new(LIMIT, verdict.level, summary).evidence(json!({
        "now": facts.max,
        "afterReboot": verdict.after,
        "decidedBy": verdict.decided_by,
        "systemd": {"value": value(&tomorrow.systemd), "decidedBy": place(&tomorrow.systemd)},
        "procps": {"value": value(&tomorrow.procps), "decidedBy": place(&tomorrow.procps)},
        "module": module,
        "kubeProxy": proxy,
        "kubeProxyReason": proxy_reason,
        "writable": fixing.writable,
    }));
    for line in verdict.remedies.into_iter().chain(fixing.remedies) {
        finding = finding.remedy(line);
    }
    fixing.changes.into_iter().fold(finding, Finding::change)
}

fn verdict(facts: &Facts, tomorrow: &Tomorrow) -> Verdict {
    let mut verdict = Verdict {
        after: None,
        decided_by: String::new(),
        level: Level::Ok,
        notes: Vec::new(),
        remedies: Vec::new(),
        unknown: Vec::new(),
    };
    compare(tomorrow, &mut verdict);
    let boot = tomorrow.boot(tomorrow.readers()[0]);
    for write in boot.writes.iter().filter(|write| sysctl::number(&write.value).is_none()) {
        verdict.warn(format!("{} is no number, and the kernel refuses it", write.place()));
    }
    for (file, why) in &boot.unread {
        verdict.unknown.push(format!("{file} was not read: {why}"));
    }
    apply(facts, tomorrow, boot, &mut verdict);
    if let (Some(after), Some(now)) = (verdict.after, facts.max)
        && after < now
        && after != 0
    {
        verdict.warn("it falls".to_owned());
        verdict.remedies.push(
            "sudo calivet check conntrack --fix    writes the limit where it wins, also at the next boot"
                .to_owned(),
        );
    }
    if verdict.after.is_none() {
        verdict.unknown.push("what the kernel's default would be is not known".to_owned());
    }
    if facts.max.is_none() {
        verdict.unknown.push("the limit of now was not read".to_owned());
    }
    if !verdict.unknown.is_empty() {
        verdict.notes.append(&mut verdict.unknown);
        verdict.level = Level::Unknown;
        verdict.after = None;
    }
    verdict
}

/// Says where the two programs would not do the same.
fn compare(tomorrow: &Tomorrow, verdict: &mut Verdict) {
    let [systemd, procps] = [&tomorrow.systemd, &tomorrow.procps].map(decisive);
    if systemd.map(|(_, value)| value) == procps.map(|(_, value)| value) {
        return;
    }
    let shown = |write: Option<(&Write, u64)>| match write {
        Some((write, value)) => format!("{} ({})", grouped(value), write.place()),
        None => "nothing".to_owned(),
    };
    verdict.warn(format!(
        "systemd-sysctl writes {}, and `sysctl --system` {}",
        shown(systemd),
        shown(procps)
    ));
    verdict.remedies.push(
        "say the same in /etc/sysctl.conf and /etc/sysctl.d, or link /etc/sysctl.d/99-sysctl.conf to the former"
            .to_owned(),
    );
    if tomorrow.readers().len() > 1 {
        verdict.unknown.push("which of the two runs at boot was not read".to_owned());
    }
}

/// What is written, whether that can work, and who writes later.
fn apply(facts: &Facts, tomorrow: &Tomorrow, boot: &Boot, verdict: &mut Verdict) {
    let written = decisive(boot);
    let is_late = tomorrow.module == Module::Late;
    if let (Module::Unknown(why), Some(_)) = (&tomorrow.module, written) {
        verdict.unknown.push(why.clone());
    }
    (verdict.after, verdict.decided_by) = match written.filter(|_| !is_late) {
        Some((write, value)) => (Some(value), write.place()),
        None => (fallback(facts), "the kernel's default".to_owned()),
    };
    match &tomorrow.proxy {
        Proxy::Sets(Some(limit)) => {
            if let Some((write, value)) = written.filter(|(_, value)| value != limit) {
                let (was, place) = (grouped(value), write.place());
                verdict.warn(format!("kube-proxy overwrites the {was} of {place}"));
                verdict.remedies.push(format!(
                    "set conntrack.maxPerCore to 0 in kube-proxy's configuration, or conntrack.min to {}",
                    value.max(facts.asked.max)
                ));
            }
            (verdict.after, verdict.decided_by) = (Some(*limit), "kube-proxy".to_owned());
        }
        proxy => {
            if let Proxy::Unknown(why) = proxy {
                verdict.unknown.push(why.clone());
            }
            if let Some((write, _)) = written.filter(|_| is_late) {
                verdict.warn(format!(
                    "{} is lost: nf_conntrack is not loaded yet when settings are applied",
                    write.place()
                ));
                verdict.remedies.push(
                    "echo nf_conntrack | sudo tee /etc/modules-load.d/nf_conntrack.conf".to_owned(),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_default_follows_version_memory_and_the_option() {
        const GIB: u64 = 1 << 20;
        for (release, memory, buckets, expected) in [
            ("6.18.44-fc", 24 * GIB, None, 262_144),
            ("5.15.0-91-generic", 2 * GIB, None, 65_536),
            ("6.1.0", GIB / 2, None, 4096),
            ("4.18.0-553.el8.x86_64", 24 * GIB, None, 262_144),
            ("5.10.0", 2 * GIB, None, 65_536),
            ("6.1.0", 24 * GIB, Some(131_072), 1_048_576),
        ] {
            assert_eq!(kernel_default(release, memory, buckets), Some(expected), "{release}");
        }
        assert_eq!(kernel_default("plan9", 1, None), None);
    }
}
