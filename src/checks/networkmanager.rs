//! `check networkmanager`: which of Calico's interfaces does `NetworkManager` take, and which line decides?
//!
//! The verdict is that of the files, by [`crate::networkmanager`]; what the service itself says over D-Bus is laid
//! beside it. Where they disagree, the service has not read its files since, and a reload is due.

mod devices;
mod files;
mod mend;
mod neighbours;

use std::collections::HashMap;

use serde_json::{Value, json};

use self::devices::{Subject, Subjects};
use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Rows};
use crate::host::{Evidence, Outcome};
use crate::networkmanager::config::{Config, Daemon, NoConfig, Spec};
use crate::networkmanager::live::{self, View};
use crate::networkmanager::verdict::{By, Verdict, judge};

pub(super) const CHECK: Check = Check {
    name: "networkmanager",
    about: "which of Calico's interfaces NetworkManager and its like take, and which line decides",
    finds: &[
        Kind {
            id: "networkmanager.service",
            passes: "NetworkManager's configuration can be read, and what it says of itself fits.",
        },
        Kind { id: "networkmanager.device", passes: "NetworkManager leaves the interface alone." },
        Kind {
            id: "networkmanager.reload",
            passes: "NetworkManager does with Calico's interfaces what its files say.",
        },
        Kind {
            id: "networkmanager.networkd",
            passes: "systemd-networkd leaves Calico's interfaces, routes and rules alone.",
        },
        Kind {
            id: "networkmanager.cloud-setup",
            passes: "nm-cloud-setup has made no rules that take traffic from pods.",
        },
        Kind { id: "networkmanager.dhcpcd", passes: "dhcpcd leaves Calico's interfaces alone." },
        Kind { id: "networkmanager.connman", passes: "ConnMan leaves Calico's interfaces alone." },
        Kind {
            id: "networkmanager.ifupdown",
            passes: "ifupdown and network-scripts have no configuration for Calico's interfaces.",
        },
        Kind {
            id: "networkmanager.wicked",
            passes: "wicked has no configuration for Calico's interfaces.",
        },
        Kind {
            id: "networkmanager.netplan",
            passes: "netplan generates no configuration for Calico's interfaces.",
        },
    ],
    reads: |node, _| {
        let mut rows = collectors::networkmanager(node);
        rows.artifacts.extend(collectors::links());
        rows
    },
    later: |_, _| Rows::default(),
    judge: all,
};

/// What is known of `NetworkManager`.
struct Known<'a> {
    evidence: &'a Evidence,
    config: Result<Config, NoConfig>,
    daemon: Daemon,
    /// What ifupdown's plugin adds.
    others: Vec<Spec>,
    view: Result<View, String>,
    /// The devices of the view by their names, where it is believed.
    live: HashMap<String, live::Device>,
}

fn all(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    let mut findings = network_manager(evidence, asked);
    let subjects = Subjects::find(evidence, asked);
    findings.extend(neighbours::findings(evidence, &subjects));
    findings
}

fn network_manager(evidence: &Evidence, asked: &Asked) -> Vec<Finding> {
    if let Some(finding) = absent(evidence) {
        return vec![finding];
    }
    let view = view(evidence);
    let daemon = daemon(evidence, view.as_ref().ok());
    let config = files::read(evidence).and_then(|files| Config::read(&files, &daemon));
    let others = config.as_ref().map(|config| files::ifupdown(evidence, config));
    let others = others.unwrap_or_default();
    let live = view.iter().filter(|view| view.is_believed()).flat_map(|view| &view.devices);
    let live = live.map(|device| (device.interface.clone(), device.clone())).collect();
    let known = Known { evidence, config, daemon, others, view, live };
    let mut findings = vec![service(&known)];
    let subjects = Subjects::find(evidence, asked);
    let Ok(config) = &known.config else { return findings };
    let judged: Vec<(&Subject, Verdict)> = subjects
        .all
        .iter()
        .map(|subject| (subject, judge(config, &known.others, &subject.device(config))))
        .collect();
    let mend = mend::propose(&known, &subjects, &judged);
    findings.extend(
        judged
            .iter()
            .map(|(subject, verdict)| device(&known, config, subject, verdict, mend.as_ref())),
    );
    findings.extend(reload(&known, &judged));
    findings
}

/// Not installed, or nothing is known.
fn absent(evidence: &Evidence) -> Option<Finding> {
    let version = evidence.get("networkmanager/version");
    let is_there = version.is_some_and(|reading| reading.outcome == Outcome::Ok)
        || view(evidence).is_ok_and(|view| view.running)
        || files::any(evidence);
    if is_there {
        return None;
    }
    let Some(version) = version.filter(|version| version.outcome == Outcome::Missing) else {
        let reason = version.and_then(|version| version.reason.as_deref());
        let reason = reason.unwrap_or("nothing of it was read");
        let summary = format!("it is not known whether NetworkManager is there: {reason}");
        return Some(Finding::new("networkmanager.service", Level::Unknown, summary));
    };
    let program = version.reason.as_deref().unwrap_or("no such program");
    let summary = format!("NetworkManager is not installed: {program}, and no file of its");
    Some(Finding::new("networkmanager.service", Level::Skip, summary + " configuration"))
}

fn view(evidence: &Evidence) -> Result<View, String> {
    let Some(reading) = evidence.get("networkmanager/dbus.json") else {
        return Err("D-Bus was not asked".to_owned());
    };
    if reading.outcome != Outcome::Ok {
        let reason = reading.reason.clone();
        return Err(reason.unwrap_or_else(|| reading.outcome.to_string()));
    }
    let view = live::parse(&reading.bytes).ok_or("what D-Bus said cannot be read")?;
    match view.uid {
        Some(uid) if uid != 0 => {
            Err(format!("user {uid}, not root, owns the name org.freedesktop.NetworkManager"))
        }
        _ => Ok(view),
    }
}

/// On what `[.config] enable=` depends. What is in the service's environment is known only where systemd sets
/// nothing.
fn daemon(evidence: &Evidence, view: Option<&View>) -> Daemon {
    let installed = evidence
        .get("networkmanager/version")
        .filter(|reading| reading.outcome == Outcome::Ok)
        .and_then(|reading| live::version(&reading.text()));
    Daemon { version: view.and_then(View::version).or(installed), tag: None }
}

fn service(known: &Known<'_>) -> Finding {
    const ID: &str = "networkmanager.service";
    let version =
        known.daemon.version.map(|[major, minor, micro]| format!("{major}.{minor}.{micro}"));
    let mut evidence = json!({
        "version": version,
        "running": known.view.as_ref().ok().map(|view| view.running),
        "started": known.view.as_ref().ok().and_then(|view| view.started),
        "confirmedLive": known.view.is_ok(),
        "notConfirmed": known.view.as_ref().err(),
    });
    let name = version.map_or("NetworkManager".to_owned(), |it| format!("NetworkManager {it}"));
    let config = match &known.config {
        Ok(config) => config,
        Err(refused @ NoConfig::Refused { path, .. }) => {
            let summary = format!("{refused}: it neither starts nor reloads with it");
            return Finding::new(ID, Level::Fail, summary)
                .evidence(evidence)
                .remedy(format!("mend or remove {path}, then: nmcli general reload"));
        }
        Err(unknown) => {
            let summary = format!("the configuration of {name} is not known: {unknown}");
            return Finding::new(ID, Level::Unknown, summary).evidence(evidence);
        }
    };
    let used: Vec<&str> = config
        .files
        .iter()
        .filter(|read| read.fate == crate::networkmanager::config::Fate::Used)
        .map(|read| &*read.path)
        .collect();
    evidence["files"] = json!(used);
    let files = match used.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    let (level, summary) = match &known.view {
        Ok(view) if !view.running => {
            (Level::Ok, format!("{name} does not run; judged by its {files}"))
        }
        Ok(view) if view.networking_enabled == Some(false) => (
            Level::Info,
            format!("{name} runs with networking switched off: it manages nothing until it is on"),
        ),
        Ok(view) => {
            let since = view.started.map(|time| format!(" since {time:.0}")).unwrap_or_default();
            let make = if used.len() == 1 { "makes" } else { "make" };
            (Level::Ok, format!("{name} runs{since}; {files} {make} its configuration"))
        }
        Err(reason) => {
            (Level::Info, format!("configuration of {name}: {files}; not confirmed live: {reason}"))
        }
    };
    Finding::new(ID, level, summary).evidence(evidence)
}

/// What the service says of a device: its state, and whether it manages it.
fn live<'a>(known: &'a Known<'_>, name: &str) -> Option<&'a live::Device> {
    known.live.get(name)
}

fn device(
    known: &Known<'_>,
    config: &Config,
    subject: &Subject,
    verdict: &Verdict,
    mend: Option<&mend::Mend>,
) -> Finding {
    let name = &subject.name;
    let live = live(known, name);
    let live_managed = live.and_then(|live| live.managed);
    let reason = reason(config, subject, verdict);
    let state = live.map(|live| {
        let state = live.state.map_or("in an unknown state", live::state_name);
        match &live.connection {
            Some(profile) => format!("{state}, profile \"{profile}\""),
            None => state.to_owned(),
        }
    });
    let is_running = known.view.as_ref().is_ok_and(|view| view.running);
    let tense = if subject.exists { "" } else { " (to come)" };
    let (level, summary) = match (verdict.managed, live_managed) {
        (Some(false), Some(true)) => (
            Level::Fail,
            format!(
                "NetworkManager manages {name} now ({}), although {reason}",
                state.as_deref().unwrap_or_default()
            ),
        ),
        (Some(false), _) => {
            let level = if is_lasting(&verdict.by) { Level::Ok } else { Level::Info };
            (level, format!("NetworkManager leaves {name}{tense} alone: {reason}"))
        }
        (Some(true), Some(false)) => (
            Level::Warn,
            format!("NetworkManager leaves {name} alone now but will take it: {reason}"),
        ),
        (Some(true), _) if subject.exists && (is_running || known.view.is_err()) => {
            let state = state.map(|state| format!(" ({state})")).unwrap_or_default();
            (Level::Fail, format!("NetworkManager takes {name}{state}: {reason}"))
        }
        (Some(true), _) => {
            (Level::Warn, format!("NetworkManager would take {name}{tense}: {reason}"))
        }
        (None, _) => {
            (Level::Unknown, format!("whether NetworkManager takes {name}{tense}: {reason}"))
        }
    };
    let evidence = json!({
        "interface": name,
        "exists": subject.exists,
        "managed": verdict.managed,
        "decidedBy": decided_by(verdict),
        "kind": subject.kind,
        "live": live.map_or(Value::Null, |live| json!({
            "state": live.state, "managed": live.managed, "connection": live.connection,
        })),
        "confirmedLive": known.view.is_ok(),
    });
    let mut finding = Finding::new("networkmanager.device", level, summary).evidence(evidence);
    if verdict.managed != Some(true) {
        return finding;
    }
    match mend {
        Some(mend) => {
            finding =
                finding.remedy(format!("calivet check networkmanager --fix, or: {}", mend.words));
            for change in &mend.changes {
                finding = finding.change(change.clone());
            }
        }
        None => {
            if let Some(undone) = &verdict.undone {
                finding =
                    finding.remedy(format!("take {} out: it undoes {}", undone.by, undone.line));
            }
        }
    }
    finding
}

/// Whether what leaves the device alone does so for good: nobody overrules `unmanaged-devices`.
const fn is_lasting(by: &By) -> bool {
    matches!(by, By::Line(_) | By::Section(_))
}

/// Why, in words that follow a colon or "although".
fn reason(config: &Config, subject: &Subject, verdict: &Verdict) -> String {
    let undone = verdict.undone.as_ref().map(|undone| {
        let how = if undone.is_except { "takes it back with `except:`" } else { "drops it" };
        format!("{} names it, but {} {how}", undone.line, undone.by)
    });
    match &verdict.by {
        By::Line(origin) => format!("{origin} says so"),
        By::Told(origin) if verdict.managed == Some(true) => format!(
            "NetworkManager was told so or has had it before ({origin}), and no `unmanaged-devices` \
             forbids it"
        ),
        By::Told(origin) => format!("it was told so, until the next boot ({origin})"),
        By::Section(origin) => match undone {
            Some(undone) if verdict.managed == Some(true) => {
                format!("{undone}, and {origin} says so")
            }
            _ => format!("{origin} says so"),
        },
        By::Udev if verdict.managed == Some(true) => "udev sets NM_UNMANAGED=0".to_owned(),
        By::Udev => "only udev's NM_UNMANAGED does it, no line of NetworkManager's own".to_owned(),
        By::Sort => "by default it takes no device of this sort".to_owned(),
        By::Idle => format!("only until {} is up with an address", subject.name),
        By::Nothing => undone.unwrap_or_else(|| {
            if config.unmanaged_devices().is_empty() {
                "no file has `unmanaged-devices` in [keyfile]".to_owned()
            } else {
                "no line of its configuration names it".to_owned()
            }
        }),
        By::Unknown(reason) => reason.clone(),
    }
}

/// `FILE:LINE`, or a word.
fn decided_by(verdict: &Verdict) -> Value {
    match (&verdict.by, &verdict.undone) {
        (By::Line(origin) | By::Told(origin) | By::Section(origin), _) => json!(origin.to_string()),
        (By::Nothing, Some(undone)) => json!(undone.by.to_string()),
        (By::Nothing, None) => json!("default"),
        (By::Udev, _) => json!("udev"),
        (By::Sort, _) => json!("type"),
        (By::Idle, _) => json!("not in use"),
        (By::Unknown(_), _) => Value::Null,
    }
}

/// Where the service and its files disagree.
fn reload(known: &Known<'_>, judged: &[(&Subject, Verdict)]) -> Option<Finding> {
    const ID: &str = "networkmanager.reload";
    let view = known.view.as_ref().ok().filter(|view| view.is_believed())?;
    let differs = |wanted: bool| {
        judged.iter().filter(move |(subject, verdict)| {
            verdict.managed == Some(wanted)
                && live(known, &subject.name).and_then(|live| live.managed) == Some(!wanted)
        })
    };
    let held: Vec<&(&Subject, Verdict)> = differs(false).collect();
    let spared: Vec<&str> = differs(true).map(|(subject, _)| subject.name.as_str()).collect();
    let newest = files::newest(known.evidence);
    let mut evidence = json!({
        "held": held.iter().map(|(subject, _)| &subject.name).collect::<Vec<_>>(),
        "spared": spared,
        "started": view.started,
        "newestFile": newest.as_ref().map(|(path, _)| path),
        "written": newest.as_ref().map(|(_, time)| time),
    });
    if held.is_empty() && spared.is_empty() {
        let seen =
            judged.iter().filter(|(subject, _)| live(known, &subject.name).is_some()).count();
        let summary =
            format!("NetworkManager does with {seen} of Calico's interfaces what its files say");
        let level = if seen == 0 { Level::Skip } else { Level::Ok };
        return Some(Finding::new(ID, level, summary).evidence(evidence));
    }
    let times = match (&newest, view.started) {
        (Some((path, written)), Some(started)) => {
            format!(": {path} was written {written:.0}, NetworkManager runs since {started:.0}")
        }
        _ => String::new(),
    };
    if held.is_empty() {
        let names = spared.join(", ");
        let summary = format!(
            "NetworkManager leaves {names} alone, which its files would have it take{times}"
        );
        return Some(Finding::new(ID, Level::Warn, summary).evidence(evidence));
    }
    // A `[device*]` section is asked when a device appears, and what only a start reads needs a start.
    let by_reload = held.iter().all(|(_, verdict)| matches!(verdict.by, By::Line(_)));
    let names: Vec<&str> = held.iter().map(|(subject, _)| subject.name.as_str()).collect();
    let due = if by_reload { "a reload" } else { "a restart" };
    evidence["due"] = json!(due);
    let summary = format!(
        "{due} of NetworkManager is due: it still manages {}, which its files leave alone{times}",
        names.join(", ")
    );
    let finding = Finding::new(ID, Level::Fail, summary).evidence(evidence);
    Some(if by_reload {
        finding.remedy("nmcli general reload").change(crate::fix::Change::ReloadNetworkManager)
    } else {
        finding.remedy("systemctl restart NetworkManager")
    })
}

#[cfg(test)]
mod tests;
