//! What is not a part of the kernel that it has or lacks: its age, its modules on the disk, what it lets Felix do.

use serde_json::json;

use super::read::{listed, text};
use super::tally::Tally;
use super::{CAPABILITIES, Facts, KERNEL, MODULES};
use crate::checks::dataplane::Dataplane;
use crate::checks::{Finding, Level};
use crate::collectors::kernel as rows;
use crate::host::Outcome;
use crate::kernel;

/// The oldest kernel that Calico's documentation asks for; of Red Hat's, that of RHEL 8.4.
const DOCUMENTED: (u32, u32, u32) = (5, 10, 0);
const DOCUMENTED_RED_HAT: ((u32, u32, u32), u32) = ((4, 18, 0), 305);
/// Before this one, nobody runs current versions of Calico.
const ANCIENT: (u32, u32, u32) = (3, 10, 0);
/// Up to this one, Felix takes checksum offload on tunnels for broken (`felix/environment/feature_detect_linux.go`).
const OFFLOAD_BROKEN: (u32, u32, u32) = (5, 7, 1);

const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const SYS_MODULE: u32 = 16;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Is the kernel as new as Calico's documentation asks for?
pub(super) fn release(facts: &Facts) -> Finding {
    let Some(release) = facts.kernel.release else {
        return Finding::new(KERNEL, Level::Unknown, "the kernel's release was not read");
    };
    let shown = &facts.node.release;
    let (level, summary) = if release.has(DOCUMENTED, Some(DOCUMENTED_RED_HAT)) {
        (Level::Ok, format!("the kernel is {shown}"))
    } else {
        let level = if release.has(ANCIENT, None) { Level::Warn } else { Level::Fail };
        let summary = format!(
            "the kernel is {shown}, older than the 5.10 (RHEL: 4.18.0-305) that Calico's documentation asks for"
        );
        (level, summary)
    };
    let mut finding = Finding::new(KERNEL, level, summary).evidence(json!({
        "release": shown,
        "redHatBuild": release.red_hat,
        "configuration": facts.kernel.config.as_ref().map(|(_, source)| source),
        "loadsModules": facts.kernel.is_modular,
        "checksumOffloadBroken": !release.has(OFFLOAD_BROKEN, None),
    }));
    if level != Level::Ok {
        finding = finding.remedy("install a newer kernel of the distribution's and reboot");
    }
    finding
}

/// Can the kernel load its modules?
pub(super) fn modules(facts: &Facts) -> Finding {
    let release = &facts.node.release;
    let folders = text(facts.evidence, rows::MODULE_FOLDERS);
    let folders: Vec<&str> =
        folders.as_deref().map(|all| listed(all).collect()).unwrap_or_default();
    let list = facts.evidence.get(&format!("host{}", rows::modules_path(release)));
    let kernel = &facts.kernel;
    let count = |names: &Option<std::collections::HashSet<String>>| {
        names.as_ref().map(std::collections::HashSet::len)
    };
    let evidence = json!({
        "release": release,
        "folders": folders,
        "loaded": count(&kernel.loaded),
        "onDisk": count(&kernel.available),
        "modulesDisabled": kernel.is_sealed,
    });
    let finding =
        |level, summary: String| Finding::new(MODULES, level, summary).evidence(evidence.clone());
    match (kernel.is_modular, &kernel.available) {
        (Some(false), _) => finding(
            Level::Ok,
            "this kernel loads no modules: what it has is built in".to_owned(),
        ),
        (None, _) => finding(Level::Unknown, "/proc/modules was not read".to_owned()),
        (Some(true), _) if kernel.is_sealed => finding(
            Level::Info,
            "kernel.modules_disabled is 1: what is not loaded now stays out until the next boot"
                .to_owned(),
        ),
        (Some(true), Some(available)) => finding(
            Level::Ok,
            format!(
                "{} modules are loaded, and {} are on the disk for {release}",
                kernel.loaded.as_ref().map_or(0, std::collections::HashSet::len),
                available.len()
            ),
        ),
        (Some(true), None) if kernel.lacks_folder => finding(
            Level::Fail,
            format!(
                "the kernel that runs is {release}, and /lib/modules has {}: what is not loaded now cannot be",
                folders.join(", ")
            ),
        )
        .remedy("reboot, so that the kernel runs whose modules are installed"),
        (Some(true), None) if folders.contains(&release.as_str())
            && list.is_some_and(|list| list.outcome == Outcome::Missing) =>
        {
            finding(
                Level::Fail,
                format!("/lib/modules/{release} has no modules.dep: no module can be loaded by its name"),
            )
            .remedy(format!("sudo depmod -a {release}"))
        }
        (Some(true), None) => {
            let why = list.map_or_else(
                || "it was not asked for".to_owned(),
                |list| list.reason.clone().unwrap_or_else(|| list.outcome.to_string()),
            );
            finding(
                Level::Unknown,
                format!("the modules on the disk are not known: {why}; in a container, say --root"),
            )
        }
    }
}

/// May Felix do what it has to?
pub(super) fn capabilities(facts: &Facts) -> Finding {
    let Some(felix) = facts.node.agents().felix.process else {
        return match &facts.dataplane.unread {
            Some(why) => Finding::new(CAPABILITIES, Level::Unknown, why.clone()),
            None => Finding::new(CAPABILITIES, Level::Skip, "no Felix runs here"),
        };
    };
    let path = format!("host/proc/{}/status", felix.pid);
    let held =
        text(facts.evidence, &path).and_then(|status| kernel::capabilities(&status, "CapEff"));
    let Some(held) = held else {
        return Finding::new(CAPABILITIES, Level::Unknown, "Felix's capabilities were not read");
    };
    let has = |capability: u32| held & (1 << capability) != 0;
    let is_ebpf = matches!(facts.dataplane.dataplane, Some((Dataplane::Ebpf, _)));
    let mut missing = Vec::new();
    for (capability, name) in [(NET_ADMIN, "CAP_NET_ADMIN"), (NET_RAW, "CAP_NET_RAW")] {
        if !has(capability) {
            missing.push(name);
        }
    }
    if is_ebpf && !has(SYS_ADMIN) && !(has(BPF) && has(PERFMON)) {
        missing.push("CAP_SYS_ADMIN (or CAP_BPF and CAP_PERFMON)");
    }
    let evidence = json!({
        "pid": felix.pid,
        "effective": format!("{held:016x}"),
        "missing": missing,
        "loadsModules": has(SYS_MODULE),
    });
    if missing.is_empty() {
        return Finding::new(CAPABILITIES, Level::Ok, "Felix holds the capabilities that it needs")
            .evidence(evidence);
    }
    Finding::new(CAPABILITIES, Level::Fail, format!("Felix lacks {}", missing.join(", ")))
        .evidence(evidence)
        .remedy("run the calico-node container privileged, as its manifest does")
}

/// Lockdown in the mode `confidentiality` keeps eBPF programs from the kernel's memory.
pub(super) fn lockdown(facts: &Facts, tally: &mut Tally) {
    let file = text(facts.evidence, "host/sys/kernel/security/lockdown");
    if file.as_deref().and_then(kernel::lockdown) == Some("confidentiality") {
        tally.lacks("a kernel that is not locked down (lockdown is in the mode confidentiality)");
    }
}

/// Where Felix keeps its maps and attaches its programs.
pub(super) fn mounts(facts: &Facts, tally: &mut Tally) {
    let table =
        text(facts.evidence, rows::MOUNTS).or_else(|| text(facts.evidence, rows::OWN_MOUNTS));
    let Some(table) = table else { return };
    let is_used = matches!(facts.dataplane.dataplane, Some((Dataplane::Ebpf, _)));
    let mounts = kernel::mounts(&table);
    let has_bpf = mounts.iter().any(|mount| mount.point == "/sys/fs/bpf" && mount.kind == "bpf");
    if is_used && !has_bpf {
        tally.notes.push(
            "no bpf file system is mounted at /sys/fs/bpf: maps do not outlive a restart of calico-node"
                .to_owned(),
        );
    }
}
