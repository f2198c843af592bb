//! Which MTU do pods get, and does it fit the tunnels?

use serde_json::{Value, json};

use super::{Facts, Link, MTU, MTU_FILE, reason};
use crate::checks::{Finding, Level};
use crate::host::Outcome;

/// Calico's tunnels.
const TUNNELS: &[&str] =
    &["vxlan.calico", "vxlan-v6.calico", "tunl0", "wireguard.cali", "wg-v6.cali"];

/// What a veth has where nobody says otherwise.
const DEFAULT: u64 = 1500;

/// What Felix found to fit, in `/var/lib/calico/mtu`.
enum Found {
    Bytes(u64),
    Absent,
    Strange,
    Unknown(String),
}

fn found(facts: &Facts<'_>) -> Found {
    let Some(reading) = facts.evidence.get(MTU_FILE) else {
        return Found::Unknown("it was not asked for".to_owned());
    };
    match reading.outcome {
        Outcome::Ok => match reading.text().trim().parse() {
            Ok(bytes) if bytes > 0 => Found::Bytes(bytes),
            _ => Found::Strange,
        },
        Outcome::Missing => Found::Absent,
        _ => Found::Unknown(reason(reading)),
    }
}

/// Which MTU does the next pod get?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let Some((file, plugin)) = facts.calico() else { return facts.without(MTU) };
    let configured = match &plugin.mtu {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        _ => 0,
    };
    let found = found(facts);
    let links = facts.links.iter().flatten();
    let tunnels: Vec<&Link> = links
        .clone()
        .filter(|link| TUNNELS.contains(&link.name.as_str()) && link.is_up() && link.mtu.is_some())
        .collect();
    let narrowest = tunnels.iter().min_by_key(|link| link.mtu);
    let bound = narrowest.and_then(|link| link.mtu).map(u64::from);
    let pods: Vec<&Link> = links
        .filter(|link| link.name.starts_with("cali") && link.kind.as_deref() == Some("veth"))
        .collect();
    let too_wide: Vec<&str> = pods
        .iter()
        .filter(|pod| bound.is_some_and(|bound| pod.mtu.is_some_and(|mtu| u64::from(mtu) > bound)))
        .map(|pod| pod.name.as_str())
        .collect();
    let felix = if let Found::Bytes(bytes) = found { Some(bytes) } else { None };
    let next = if configured > 0 { configured } else { felix.unwrap_or(DEFAULT) };
    let evidence = json!({
        "configured": configured,
        "felix": felix,
        "next": next,
        "tunnels": tunnels.iter().map(|link| json!({"name": link.name, "mtu": link.mtu})).collect::<Vec<Value>>(),
        "pods": pods.len(),
        "podsWiderThanTunnel": too_wide.iter().take(20).collect::<Vec<_>>(),
    });
    let finding =
        |level, summary: String| Finding::new(MTU, level, summary).evidence(evidence.clone());
    let source = if configured > 0 { file.name } else { "/var/lib/calico/mtu" };
    match found {
        Found::Unknown(why) => {
            return finding(
                Level::Unknown,
                format!("/var/lib/calico/mtu could not be read: {why}"),
            );
        }
        Found::Strange => {
            return finding(
                Level::Fail,
                "/var/lib/calico/mtu holds no number: the plugin refuses to make pods".to_owned(),
            )
            .remedy("rm /var/lib/calico/mtu, and restart calico-node: Felix writes it");
        }
        Found::Absent if configured == 0 => {
            return finding(Level::Warn, format!("neither {} nor /var/lib/calico/mtu says an MTU: pods get {DEFAULT}, whatever the tunnels take", file.name))
                .remedy("calivet check felix    # Felix writes /var/lib/calico/mtu when it starts");
        }
        Found::Absent | Found::Bytes(_) => {}
    }
    if facts.links.is_none() {
        return finding(Level::Unknown, "the links could not be read".to_owned());
    }
    if let (Some(link), Some(bound)) = (narrowest, bound) {
        if next > bound {
            return finding(
                Level::Fail,
                format!("the next pod gets an MTU of {next} ({source}), and {} takes {bound}: large packets to other nodes are lost or broken up", link.name),
            )
            .remedy(if configured > 0 { format!("set `\"mtu\": 0` in {}/{} (veth_mtu in the ConfigMap calico-config, or mtu in the Installation)", facts.folder, file.name) } else { "restart calico-node, which finds the MTU anew".to_owned() })
            .remedy("then make the pods anew: a pod keeps the MTU that it was made with");
        }
        if let [first, ..] = &too_wide[..] {
            return finding(
                Level::Warn,
                format!("{} of {} pods' links have a larger MTU than {} ({bound}), {first} first: they were made before it was lowered", too_wide.len(), pods.len(), link.name),
            )
            .remedy("make the pods anew: kubectl rollout restart, or drain the node");
        }
    }
    match felix {
        Some(felix) if configured > felix => finding(
            Level::Warn,
            format!("{} sets an MTU of {configured}, and Felix found {felix} to fit", file.name),
        )
        .remedy("set `\"mtu\": 0` there, so that the plugin takes Felix's"),
        Some(felix) if configured > 0 && configured < felix => finding(
            Level::Info,
            format!(
                "{} sets an MTU of {configured}, and Felix found that {felix} would fit",
                file.name
            ),
        ),
        _ => finding(
            Level::Ok,
            format!(
                "the next pod gets an MTU of {next} ({source}){}",
                narrowest.map_or(String::new(), |link| format!(", which fits {}", link.name))
            ),
        ),
    }
}
