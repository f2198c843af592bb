//! Programs that do the same harm as `NetworkManager`: systemd-networkd, nm-cloud-setup, dhcpcd, `ConnMan`, ifupdown,
//! wicked, and netplan, which writes the configuration of others.

use serde_json::{Value, json};

use super::devices::{Subject, Subjects};
use super::files;
use crate::checks::tables::{self, Rule};
use crate::checks::{Finding, Level};
use crate::host::{Evidence, Outcome, Reading};
use crate::netplan::Definitions;
use crate::networkd::{self, File, Interface, Networks, Verdict};
use crate::networkmanager::ifupdown;
use crate::{connman, dhcpcd};

/// A finding for each of them.
pub(super) fn findings(evidence: &Evidence, subjects: &Subjects) -> Vec<Finding> {
    vec![
        networkd(evidence, subjects),
        cloud_setup(evidence),
        dhcpcd(evidence, subjects),
        connman(evidence, subjects),
        ifupdown(evidence, subjects),
        wicked(evidence, subjects),
        netplan(evidence, subjects),
    ]
}

/// Whether something is there; `None`: it could not be seen, or was not asked for.
fn is_there(evidence: &Evidence, path: &str) -> Option<bool> {
    match evidence.get(path)?.outcome {
        Outcome::Ok | Outcome::Truncated => Some(true),
        Outcome::Missing => Some(false),
        _ => None,
    }
}

fn text(reading: Option<&Reading>) -> Option<String> {
    reading.filter(|it| it.outcome == Outcome::Ok).map(|it| it.text().into_owned())
}

/// Why something at these places is not known, or in these folders.
fn unread(evidence: &Evidence, places: impl IntoIterator<Item = String>) -> Option<String> {
    places.into_iter().find_map(|place| {
        let kept = format!("host{place}");
        let own = evidence.get(&kept).into_iter().map(|reading| (String::new(), reading));
        let below = evidence.below(&kept).map(|(name, reading)| (format!("/{name}"), reading));
        let (name, reading) = own.chain(below).find(|(_, reading)| reading.outcome.is_trouble())?;
        let why = reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string());
        Some(format!("{place}{name} was not read: {why}"))
    })
}

/// systemd's folders of a purpose, by rank.
fn systemd_folders(purpose: &str) -> [String; 4] {
    ["/etc", "/run", "/usr/local/lib", "/usr/lib"].map(|it| format!("{it}/systemd/{purpose}"))
}

/// The files below systemd's folders of the same purpose.
fn systemd_files(evidence: &Evidence, purpose: &str) -> Vec<File> {
    let mut found = Vec::new();
    for folder in systemd_folders(purpose) {
        for (name, reading) in evidence.below(&format!("host{folder}")) {
            let is_masked = reading.link.as_deref() == Some("/dev/null");
            let text = text(Some(reading));
            if is_masked || text.is_some() {
                found.push(File { path: format!("{folder}/{name}"), text });
            }
        }
    }
    found
}

fn networkd(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.networkd";
    match is_there(evidence, "host/run/systemd/netif/state") {
        Some(true) => {}
        Some(false) => return Finding::new(ID, Level::Skip, "systemd-networkd does not run"),
        None => {
            let summary = "it is not known whether systemd-networkd runs";
            return Finding::new(ID, Level::Unknown, summary);
        }
    }
    let files = systemd_files(evidence, "network");
    let main = text(evidence.get("host/etc/systemd/networkd.conf"));
    let main =
        main.map(|text| File { path: "/etc/systemd/networkd.conf".to_owned(), text: Some(text) });
    let drop_ins = systemd_files(evidence, "networkd.conf.d");
    let networks = Networks::of(&files);
    let mut taken = Vec::new();
    let mut unknown = Vec::new();
    for subject in &subjects.all {
        let interface = Interface { name: &subject.name, kind: subject.kind.as_deref() };
        match networks.judge(&interface) {
            Verdict::Taken(origin) => taken.push((subject, origin)),
            Verdict::Unknown(origin) => unknown.push((subject, origin)),
            Verdict::Nobody | Verdict::Unmanaged(_) => {}
        }
    }
    let foreign = |key| networkd::manages_foreign(main.as_ref(), &drop_ins, key);
    let (routes, routes_by) = foreign("ManageForeignRoutes");
    let (rules, rules_by) = foreign("ManageForeignRoutingPolicyRules");
    let list = |found: &[(&Subject, networkd::Origin)]| -> Vec<Value> {
        let member = |(subject, origin): &(&Subject, networkd::Origin)| json!({"interface": subject.name, "by": origin.to_string()});
        found.iter().map(member).collect()
    };
    let facts = json!({
        "taken": list(&taken),
        "unknown": list(&unknown),
        "manageForeignRoutes": routes,
        "manageForeignRoutesBy": routes_by.map(|origin| origin.to_string()),
        "manageForeignRoutingPolicyRules": rules,
        "manageForeignRoutingPolicyRulesBy": rules_by.map(|origin| origin.to_string()),
    });
    let finding = |level, summary: String| Finding::new(ID, level, summary).evidence(facts.clone());
    if let Some((subject, origin)) = taken.first() {
        let more = match taken.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        return finding(
            Level::Fail,
            format!("systemd-networkd takes {}{more}: {origin}", subject.name),
        )
        .remedy(
            "write /etc/systemd/network/00-calico.network: [Match] Name=cali* tunl* vxlan.calico \
                 vxlan-v6.calico wireguard.cali wg-v6.cali, [Link] Unmanaged=yes",
        )
        .remedy("networkctl reload");
    }
    if routes || rules {
        let what = match (routes, rules) {
            (true, true) => "routes and rules",
            (true, false) => "routes",
            _ => "rules",
        };
        return finding(
            Level::Warn,
            format!("systemd-networkd deletes {what} that it has not made, Calico's too, when it restarts"),
        )
        .remedy(
            "write /etc/systemd/networkd.conf.d/calico.conf: [Network] ManageForeignRoutes=no \
             ManageForeignRoutingPolicyRules=no",
        );
    }
    if let Some((subject, origin)) = unknown.first() {
        let summary = format!(
            "whether systemd-networkd takes {} depends on what is not known: {origin}",
            subject.name
        );
        return finding(Level::Unknown, summary);
    }
    let places = [systemd_folders("network"), systemd_folders("networkd.conf.d")].concat();
    if let Some(why) =
        unread(evidence, places.into_iter().chain(["/etc/systemd/networkd.conf".to_owned()]))
    {
        return finding(Level::Unknown, format!("what systemd-networkd takes is not known: {why}"));
    }
    finding(
        Level::Ok,
        format!("systemd-networkd leaves {} interfaces of Calico's alone", subjects.all.len()),
    )
}

/// Rules that nm-cloud-setup makes for each address of a cloud's interface (`nm-cloud-setup/main.c`): 30200, 30350
/// and 30400 and what comes after each.
fn cloud_setup(evidence: &Evidence) -> Finding {
    const ID: &str = "networkmanager.cloud-setup";
    let Ok(rules) = tables::all::<Rule>(evidence, "network/rules.json", "rules") else {
        return Finding::new(ID, Level::Unknown, "the kernel's rules could not be read");
    };
    let found: Vec<(u32, u32)> = rules
        .iter()
        .map(|rule| (rule.priority, rule.table))
        .filter(|(priority, table)| {
            (30200..30600).contains(priority) && (30200..30600).contains(table)
        })
        .collect();
    let facts = json!({
        "rules": found.iter()
            .map(|(priority, table)| json!({"priority": priority, "table": table}))
            .collect::<Vec<_>>(),
    });
    let Some((priority, table)) = found.first() else {
        return Finding::new(ID, Level::Ok, "no rules of nm-cloud-setup's").evidence(facts);
    };
    let summary = format!(
        "nm-cloud-setup sends traffic past Calico's routes: rule {priority} to table {table}, {} in all",
        found.len()
    );
    Finding::new(ID, Level::Fail, summary)
        .evidence(facts)
        .remedy("systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service")
        .remedy("reboot, or delete its rules: ip rule del priority PRIORITY")
}

fn dhcpcd(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.dhcpcd";
    const CONFIG: &str = "host/etc/dhcpcd.conf";
    let pids = ["host/run/dhcpcd/pid", "host/run/dhcpcd.pid"].map(|path| is_there(evidence, path));
    let runs = pids.contains(&Some(true));
    if evidence.get(CONFIG).is_none() {
        return Finding::new(ID, Level::Unknown, "it is not known whether dhcpcd is there");
    }
    let config = text(evidence.get(CONFIG));
    let Some(config) = config.or_else(|| runs.then(String::new)) else {
        let is_absent = is_there(evidence, CONFIG) == Some(false);
        return if is_absent {
            Finding::new(ID, Level::Skip, "dhcpcd is not there: no /etc/dhcpcd.conf")
        } else {
            Finding::new(ID, Level::Unknown, "/etc/dhcpcd.conf could not be read")
        };
    };
    let taken: Vec<&str> = subjects
        .all
        .iter()
        .filter(|subject| {
            matches!(dhcpcd::judge(&config, &subject.name), dhcpcd::Verdict::Taken(_))
        })
        .map(|subject| subject.name.as_str())
        .collect();
    let facts = json!({"running": runs, "taken": taken});
    let Some(first) = taken.first() else {
        let summary = "/etc/dhcpcd.conf denies dhcpcd Calico's interfaces";
        return Finding::new(ID, Level::Ok, summary).evidence(facts);
    };
    let (level, verb) = if runs { (Level::Fail, "takes") } else { (Level::Warn, "would take") };
    let summary = format!(
        "dhcpcd {verb} {first} and {} more: no line of /etc/dhcpcd.conf denies it",
        taken.len() - 1
    );
    let summary = summary.replace(" and 0 more", "");
    Finding::new(ID, level, summary)
        .evidence(facts)
        .remedy(
            "add to /etc/dhcpcd.conf: denyinterfaces cali* tunl* vxlan.calico vxlan-v6.calico \
             wireguard.cali wg-v6.cali",
        )
        .remedy("systemctl restart dhcpcd")
}

/// It takes every interface that looks like a cable, as a pod's does, unless its name begins as its list says; tunnels it
/// leaves alone.
fn connman(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.connman";
    const CONFIG: &str = "host/etc/connman/main.conf";
    let node = crate::collectors::Node::from_evidence(evidence);
    let runs = node.processes.iter().any(|process| {
        let program = process.argv.first().map_or("", String::as_str);
        program.rsplit('/').next() == Some("connmand") && process.host_root && !process.is_zombie()
    });
    let config = match (text(evidence.get(CONFIG)), is_there(evidence, CONFIG)) {
        (Some(config), _) => config,
        (None, Some(false)) if runs => String::new(),
        (None, Some(false)) => {
            return Finding::new(
                ID,
                Level::Skip,
                "ConnMan is not there: no /etc/connman/main.conf",
            );
        }
        _ => return Finding::new(ID, Level::Unknown, "/etc/connman/main.conf was not read"),
    };
    let is_cable = |subject: &&Subject| subject.kind.as_deref().is_none_or(|kind| kind == "veth");
    let names = subjects.all.iter().filter(is_cable).map(|subject| subject.name.as_str());
    let taken: Vec<&str> = names.filter(|name| !connman::leaves_alone(&config, name)).collect();
    let facts = json!({"running": runs, "taken": taken});
    let Some(first) = taken.first() else {
        let summary = "/etc/connman/main.conf has ConnMan leave Calico's interfaces alone";
        return Finding::new(ID, Level::Ok, summary).evidence(facts);
    };
    let (level, verb) = if runs { (Level::Fail, "takes") } else { (Level::Warn, "would take") };
    let more = match taken.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let summary = format!(
        "ConnMan {verb} {first}{more}: NetworkInterfaceBlacklist of /etc/connman/main.conf does not name it"
    );
    Finding::new(ID, level, summary)
        .evidence(facts)
        .remedy(format!(
            "in [General] of /etc/connman/main.conf: NetworkInterfaceBlacklist=vmnet,vboxnet,virbr,ifb,ve-,vb-,{}",
            subjects.prefixes.join(",")
        ))
        .remedy("systemctl restart connman")
}

/// ifupdown's files, and those of Red Hat's network-scripts, name interfaces one by one.
fn ifupdown(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.ifupdown";
    if is_there(evidence, "host/etc/network/interfaces").is_none() {
        return Finding::new(ID, Level::Unknown, "it is not known what ifupdown does");
    }
    let places = ["interfaces", "interfaces.d"].map(|name| format!("/etc/network/{name}"));
    let places = places.into_iter().chain(["/etc/sysconfig/network-scripts".to_owned()]);
    let interfaces = ifupdown::interfaces(&files::interfaces(evidence));
    let named = |subject: &Subject| {
        let line = interfaces.names.iter().find(|(name, _)| name == subject.name.as_bytes());
        let line = line.map(|(_, origin)| origin.to_string());
        line.or_else(|| ifcfg(evidence, "/etc/sysconfig/network-scripts", subject))
    };
    let ok = "no file of ifupdown's or of network-scripts' names an interface of Calico's";
    let finding = configured(ID, subjects, named, ok);
    match unread(evidence, places).filter(|_| finding.level == Level::Ok) {
        Some(why) => {
            Finding::new(ID, Level::Unknown, format!("what ifupdown does is not known: {why}"))
        }
        None => finding,
    }
}

/// wicked's files are named after interfaces (`ifcfg(5)`).
fn wicked(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.wicked";
    const FOLDER: &str = "/etc/sysconfig/network";
    let folder = format!("host{FOLDER}");
    if let Some(reading) = evidence.get(&folder).filter(|reading| reading.outcome.is_trouble()) {
        let why = reading.reason.clone().unwrap_or_else(|| reading.outcome.to_string());
        return Finding::new(ID, Level::Unknown, format!("{FOLDER} could not be read: {why}"));
    }
    if evidence.below(&folder).next().is_none() {
        let summary = format!("wicked is not used here: no ifcfg- file in {FOLDER}");
        return Finding::new(ID, Level::Skip, summary);
    }
    let named = |subject: &Subject| ifcfg(evidence, FOLDER, subject);
    configured(ID, subjects, named, "no file of wicked's is for an interface of Calico's")
}

/// The file in a folder that is named after an interface, if there is one.
fn ifcfg(evidence: &Evidence, folder: &str, subject: &Subject) -> Option<String> {
    let path = format!("{folder}/ifcfg-{}", subject.name);
    evidence.get(&format!("host{path}")).map(|_| path)
}

/// Which interfaces of Calico's a program's files name, and where.
fn configured(
    id: &'static str,
    subjects: &Subjects,
    named: impl Fn(&Subject) -> Option<String>,
    ok: &str,
) -> Finding {
    let found: Vec<(&Subject, String)> = subjects
        .all
        .iter()
        .filter_map(|subject| named(subject).map(|place| (subject, place)))
        .collect();
    let facts = json!({
        "named": found.iter()
            .map(|(subject, place)| json!({"interface": subject.name, "by": place}))
            .collect::<Vec<_>>(),
    });
    match found.first() {
        None => Finding::new(id, Level::Ok, ok),
        Some((subject, place)) => {
            let summary = format!("{place} configures {}, which is Felix's", subject.name);
            Finding::new(id, Level::Warn, summary).remedy(format!("take it out of {place}"))
        }
    }
    .evidence(facts)
}

fn netplan(evidence: &Evidence, subjects: &Subjects) -> Finding {
    const ID: &str = "networkmanager.netplan";
    const FOLDER: &str = "host/etc/netplan";
    if let Some(why) = unread(evidence, ["/etc/netplan".to_owned()]) {
        return Finding::new(ID, Level::Unknown, format!("what netplan does is not known: {why}"));
    }
    let files: Vec<(&str, &Reading)> = evidence.below(FOLDER).collect();
    if files.is_empty() {
        return Finding::new(ID, Level::Skip, "netplan has no files here");
    }
    let mut found = Vec::new();
    for (name, reading) in &files {
        let Some(text) = text(Some(reading)) else {
            let summary = format!("/etc/netplan/{name} could not be read");
            return Finding::new(ID, Level::Unknown, summary);
        };
        let definitions = Definitions::parse(&text);
        for subject in &subjects.all {
            if let Some(id) = definitions.taking(&subject.name, subject.kind.as_deref()) {
                found.push((&subject.name, format!("/etc/netplan/{name}"), id.to_owned()));
            }
        }
    }
    let facts = json!({
        "definitions": found.iter()
            .map(|(name, path, id)| json!({"interface": name, "file": path, "definition": id}))
            .collect::<Vec<_>>(),
    });
    match found.first() {
        None => {
            Finding::new(ID, Level::Ok, "no definition of netplan's takes an interface of Calico's")
        }
        Some((name, path, id)) => {
            let summary = format!("netplan takes {name}: `{id}` in {path}");
            Finding::new(ID, Level::Fail, summary)
                .remedy(format!("narrow `match:` of `{id}` in {path}, then: netplan apply"))
        }
    }
    .evidence(facts)
}
