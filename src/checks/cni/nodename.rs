//! Under which name does the plugin make pods, and is it this node's? It takes the file as it is, to the last byte
//! (`cni-plugin/pkg/k8s`, `utils.DetermineNodename`).

use serde_json::{Value, json};

use super::{Facts, NODENAME, reason};
use crate::checks::{Finding, Level};
use crate::host::Outcome;
use crate::status;

const FILE: &str = "/var/lib/calico/nodename";

/// Is the name there, and the right one?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let Some((file, plugin)) = facts.calico() else { return facts.without(NODENAME) };
    let text = |value: &Option<Value>| {
        value
            .as_ref()
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
    };
    let configured = text(&plugin.nodename);
    let is_optional = plugin.nodename_file_optional == Some(Value::Bool(true));
    let host = facts.evidence.get(status::HOSTNAME).filter(|it| it.outcome == Outcome::Ok);
    let host = host.map(|reading| reading.text().trim().to_owned()).filter(|name| !name.is_empty());
    let reading = facts.evidence.get(status::NODENAME);
    let held =
        reading.filter(|reading| reading.outcome == Outcome::Ok).map(|it| it.text().into_owned());
    let evidence = json!({
        "file": held, "configured": configured, "calicoNode": facts.named, "hostName": host,
    });
    let finding =
        |level, summary: String| Finding::new(NODENAME, level, summary).evidence(evidence.clone());
    if let Some(other) = text(&plugin.nodename_file).filter(|path| path != FILE) {
        return finding(
            Level::Unknown,
            format!("the plugin reads the node's name in {other}, which is not looked at"),
        );
    }
    let held = match (reading.map(|reading| reading.outcome), held) {
        (_, Some(held)) => held,
        (None, _) => return finding(Level::Unknown, format!("{FILE} was not asked for")),
        (Some(Outcome::Missing), _) if is_optional => {
            return finding(
                Level::Ok,
                format!("{FILE} is not there, and {} does without it", file.name),
            );
        }
        (Some(Outcome::Missing), _) => {
            return finding(Level::Fail, format!("{FILE} is not there: no pod can be made until calico-node has started"))
                .remedy("calivet check felix; kubectl -n kube-system logs CALICO-NODE-POD -c calico-node --previous    # why does it not start?")
                .remedy("calico-node must have the host's /var/lib/calico mounted");
        }
        (Some(_), _) => {
            let why = reading.map(reason).unwrap_or_default();
            return finding(Level::Unknown, format!("{FILE} could not be read: {why}"));
        }
    };
    let names = Names { file: &held, named: facts.named.as_deref(), configured, host };
    compared(&names, finding)
}

/// What the node is called, by whom.
struct Names<'a> {
    /// The file, as it is.
    file: &'a str,
    /// calico-node's `NODENAME`.
    named: Option<&'a str>,
    configured: Option<String>,
    host: Option<String>,
}

/// Do they all say the same?
fn compared(names: &Names<'_>, finding: impl Fn(Level, String) -> Finding) -> Finding {
    let Names { file: held, named, configured, host } = names;
    let name = held.trim();
    let rewritten = |finding: Finding, name: &str| {
        finding.remedy(format!(
            "printf %s {name} >{FILE}    # as the node is called in `kubectl get nodes`"
        ))
    };
    if name.is_empty() {
        return rewritten(
            finding(
                Level::Fail,
                format!("{FILE} is empty: pods are made on a node without a name"),
            ),
            "NODE",
        );
    }
    if name != *held {
        let what =
            if held.ends_with('\n') { "ends in a newline" } else { "has blanks around the name" };
        return rewritten(
            finding(
                Level::Fail,
                format!(
                    "{FILE} {what}, which the plugin takes for a part of it: pods are made on a node that is not there"
                ),
            ),
            name,
        );
    }
    for (other, whose) in [
        (*named, "calico-node is told (NODENAME)"),
        (configured.as_deref(), "the plugin's configuration names"),
    ] {
        if let Some(other) = other.filter(|other| *other != name) {
            return rewritten(
                finding(
                    Level::Fail,
                    format!(
                        "{FILE} says {name}, and {whose} {other}: Felix knows nothing of the pods that are made"
                    ),
                ),
                other,
            );
        }
    }
    if name.chars().any(char::is_uppercase) {
        return rewritten(
            finding(
                Level::Fail,
                format!(
                    "{FILE} says {name}, and no node of Kubernetes has capital letters in its name"
                ),
            ),
            &name.to_lowercase(),
        );
    }
    match host {
        Some(host) if host.to_lowercase() != name && named.is_none() && configured.is_none() => {
            finding(
                Level::Info,
                format!(
                    "the node is {name}, and the host {host}: well if `kubectl get nodes` says {name}"
                ),
            )
        }
        _ => finding(Level::Ok, format!("the node is {name}")),
    }
}
