//! From which severity on Felix logs, who decides that, how to change it, and where the log is.

use serde_json::json;

use super::{Facts, LOG_LEVEL};
use crate::checks::{Finding, Level};
use crate::felix::settings::Origin;
use crate::logs::Severity;

/// What is in force?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let set = facts.settings.get("LogSeverityScreen");
    // Felix's own default (`felix/config/config_params.go`).
    let value = set.map_or("Info", |(value, _)| value);
    let origin =
        set.map_or_else(|| "Felix's own default".to_owned(), |(_, origin)| origin.to_string());
    // What goes before the datastore needs none.
    let is_certain =
        facts.datastore.is_none() || matches!(set, Some((_, Origin::Environment | Origin::File)));
    let has_environment =
        facts.process.as_ref().is_some_and(|process| process.environment.is_some());
    let files: Vec<&str> = facts.log_files().map(|file| file.path.as_str()).take(10).collect();
    let newest = facts.log_files().max_by_key(|file| file.modified).map(|file| file.path.clone());
    let is_debug_seen = facts.log_files().any(|file| {
        file.counted
            .severities
            .get("felix")
            .is_some_and(|counts| counts.contains_key(&Severity::Debug))
    });
    let (raise, restore) = commands(facts, set);
    let evidence = json!({
        "severity": value,
        "from": origin,
        "certain": is_certain && has_environment,
        "datastore": facts.datastore,
        "debugSeen": is_debug_seen,
        "file": facts.settings.get("LogSeverityFile").map(|(value, _)| value),
        "syslog": facts.settings.get("LogSeveritySys").map(|(value, _)| value),
        "raise": raise,
        "restore": restore,
        "logs": files,
    });
    let finding =
        |level, summary: String| Finding::new(LOG_LEVEL, level, summary).evidence(evidence.clone());
    let place = newest.map(|path| format!("; its log: {path}")).unwrap_or_default();
    if let Some(skipped) = facts.skipped(LOG_LEVEL) {
        return skipped.evidence(json!({"logs": files}));
    }
    if facts.felix.presence.running.is_none() || !has_environment {
        let why = "Felix's environment, which goes before all else, could not be read";
        return finding(
            Level::Unknown,
            format!("from which severity on Felix logs is not known: {why}{place}"),
        );
    }
    let is_none = value.eq_ignore_ascii_case("none");
    let Some(severity) = Severity::of(value).or(is_none.then_some(Severity::Panic)) else {
        return finding(
            Level::Warn,
            format!("{origin} sets LogSeverityScreen to {value:?}, which Felix does not know: it uses its default, Info"),
        )
        .remedy(raise);
    };
    let told = format!("Felix logs from {value} on ({origin}){place}");
    if severity == Severity::Debug {
        return finding(
            Level::Warn,
            format!("{told}: that costs CPU and disk, and buries what matters"),
        )
        .remedy(restore);
    }
    if severity > Severity::Warning {
        return finding(Level::Info, format!("{told}: its warnings are not in it")).remedy(raise);
    }
    if !is_certain {
        let why = facts.datastore.as_deref().unwrap_or_default();
        return finding(
            Level::Info,
            format!(
                "Felix logs from {value} on, if the datastore does not say otherwise ({why}){place}"
            ),
        )
        .remedy(raise);
    }
    finding(Level::Ok, told).remedy(raise)
}

/// The commands that let Felix on this node say more, and that take it back.
fn commands(facts: &Facts<'_>, set: Option<(&str, &Origin)>) -> (String, String) {
    const DAEMON_SET: &str = "kubectl -n calico-system set env ds/calico-node -c calico-node";
    let patch = |name: &str, value: &str| {
        format!(
            "calicoctl patch felixconfiguration {name} --type=merge -p '{{\"spec\":{{\"logSeverityScreen\":{value}}}}}'"
        )
    };
    let before = set.map_or("Info", |(value, _)| value);
    // Nothing that was read goes into a shell unless it is one plain word.
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
    };
    // What to go back to from Debug is the default.
    let before = if is_plain(before) && Severity::of(before) != Some(Severity::Debug) {
        before
    } else {
        "Info"
    };
    match set {
        Some((_, Origin::Environment)) => (
            format!(
                "{DAEMON_SET} FELIX_LOGSEVERITYSCREEN=Debug   # on all nodes, restarts them; kube-system where there is no operator"
            ),
            format!("{DAEMON_SET} FELIX_LOGSEVERITYSCREEN={before}"),
        ),
        Some((_, Origin::File)) => (
            "set LogSeverityScreen = Debug in /etc/calico/felix.cfg and restart Felix".to_owned(),
            format!("set LogSeverityScreen = {before} in /etc/calico/felix.cfg and restart Felix"),
        ),
        Some((_, Origin::Node(name))) if is_plain(name) => {
            (patch(name, "\"Debug\""), patch(name, &format!("\"{before}\"")))
        }
        _ if is_plain(&facts.node) => {
            let name = &facts.node;
            (
                format!(
                    "echo '{{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"FelixConfiguration\",\"metadata\":{{\"name\":\"node.{name}\"}},\
                     \"spec\":{{\"logSeverityScreen\":\"Debug\"}}}}' | calicoctl create -f -   # on this node; or patch felixconfiguration node.{name}, if there is one"
                ),
                if matches!(set, Some((_, Origin::Default))) {
                    format!(
                        "calicoctl delete felixconfiguration node.{name}, and {}",
                        patch("default", &format!("\"{before}\""))
                    )
                } else {
                    format!("calicoctl delete felixconfiguration node.{name}")
                },
            )
        }
        _ => (patch("default", "\"Debug\""), patch("default", &format!("\"{before}\""))),
    }
}
