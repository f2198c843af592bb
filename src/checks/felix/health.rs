//! Felix's health: what the kubelet's probes get, and which component is not well.

use serde_json::{Value, json};

use super::{Facts, HEALTH, reason, span};
use crate::checks::{Finding, Level};
use crate::felix::{self, Component, Health, Probe};
use crate::host::{Outcome, Reading};
use crate::status;

/// What a component's trouble means (`felix/daemon/daemon.go`, `felix/dataplane/linux/int_dataplane.go`,
/// `felix/calc/calc_graph.go`), and where to look.
const COMPONENTS: [(&str, &str, &str); 8] = [
    (
        "FelixStartup",
        "it has not started yet: it waits for its configuration, the datastore or Typha",
        "kubectl get pods -A -l k8s-app=calico-typha -o wide   # does Typha run, and is TCP 5473 open to it?",
    ),
    (
        "CalculationGraph",
        "it waits for the datastore or Typha, or cannot keep up with what they send",
        "kubectl get pods -A -l k8s-app=calico-typha -o wide   # does Typha run, and is TCP 5473 open to it?",
    ),
    (
        "AsyncCalcGraph",
        "it waits for the datastore or Typha, or cannot keep up with what they send",
        "kubectl get pods -A -l k8s-app=calico-typha -o wide   # does Typha run, and is TCP 5473 open to it?",
    ),
    (
        "InternalDataplaneMainLoop",
        "it cannot program the kernel (rules, sets, routes), or the node is too slow for it",
        "see felix.errors: what could not be programmed; cat /proc/pressure/cpu   # is the CPU short?",
    ),
    (
        "BPFEndpointManager",
        "eBPF programs could not be attached to an interface",
        "see felix.errors; mount | grep -e bpf -e cgroup2",
    ),
    (
        "BPFHostIP",
        "the address of an interface of this host is not known to the eBPF dataplane",
        "ip -br address   # do the interfaces have their addresses, and does bpfDataIfacePattern match them?",
    ),
    (
        "AWSSourceDestinationCheck",
        "the source/destination check of AWS could not be set",
        "the instance's role needs ec2:ModifyNetworkInterfaceAttribute",
    ),
    ("LiveMigration", "the watch of live migrations is not in sync", "see felix.errors"),
];

/// Is it live, and ready?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    if let Some(skipped) = facts.skipped(HEALTH) {
        return skipped;
    }
    let answers = [
        (Probe::Liveness, facts.evidence.get(status::FELIX_LIVENESS)),
        (Probe::Readiness, facts.evidence.get(status::FELIX_READINESS)),
    ];
    let parsed = answers.map(|(_, reading)| {
        let reading = reading.filter(|it| matches!(it.outcome, Outcome::Ok | Outcome::Truncated));
        reading.and_then(|reading| felix::parse(&reading.bytes))
    });
    let endpoint =
        endpoint(&answers.map(|(_, reading)| reading), parsed.iter().any(Option::is_some));
    let [live, ready] = &parsed;
    let unwell: Vec<&Component> = components(live.as_ref(), ready.as_ref())
        .filter(|component| trouble(component).is_some())
        .collect();
    let enabled = facts.settings.truth("HealthEnabled");
    let evidence = json!({
        "live": live.as_ref().map(Health::is_good),
        "ready": ready.as_ref().map(Health::is_good),
        "endpoint": endpoint,
        "enabled": enabled,
        "enabledBy": facts.settings.get("HealthEnabled").map(|(_, origin)| origin.to_string()),
        "components": components(live.as_ref(), ready.as_ref()).map(component).collect::<Vec<Value>>(),
    });
    let finding =
        |level, summary: String| Finding::new(HEALTH, level, summary).evidence(evidence.clone());
    if let (Some(live), Some(ready)) = (live, ready) {
        return answered(facts, &finding, live, ready, &unwell);
    }
    let why = answers.iter().find_map(|(_, reading)| {
        reading.filter(|reading| reading.outcome != Outcome::Ok).map(reason)
    });
    let why = why.unwrap_or_else(|| "it was not asked".to_owned());
    let patch = "calicoctl patch felixconfiguration default --type=merge -p '{\"spec\":{\"healthEnabled\":true}}'";
    match (endpoint, enabled) {
        ("hangs", _) => finding(
            Level::Fail,
            format!("Felix takes a connection to its health port and does not answer: it hangs, or the node is overloaded ({why})"),
        )
        .remedy("cat /proc/pressure/cpu /proc/pressure/memory   # is the node short of either?")
        .remedy("kubectl logs -n calico-system ds/calico-node -c calico-node --tail=50   # in kube-system where there is no operator"),
        ("absent", Some(true)) => finding(
            Level::Fail,
            format!("Felix is to serve its health and does not: the kubelet's probes fail ({why})"),
        )
        .remedy("sudo ss -tlnp 'sport = 9099'   # does another process hold the port?"),
        ("absent", Some(false)) => finding(
            Level::Info,
            "Felix does not serve its health (healthEnabled is false): whether it is well is not told".to_owned(),
        )
        .remedy(patch),
        ("absent", None) => finding(
            Level::Unknown,
            format!("nobody serves Felix's health ({why}), and whether it is to be served is not known: its own default is no"),
        )
        .remedy(patch),
        ("foreign", _) => finding(
            Level::Unknown,
            "what answers at Felix's health port is not Felix's health".to_owned(),
        )
        .remedy("sudo ss -tlnp 'sport = 9099'   # who is it?"),
        _ => finding(Level::Unknown, format!("Felix's health is not known: {why}")),
    }
}

/// What there is of the endpoint, in a word.
fn endpoint(readings: &[Option<&Reading>; 2], has_health: bool) -> &'static str {
    let any = |outcome| readings.iter().flatten().any(|reading| reading.outcome == outcome);
    if any(Outcome::Timeout) {
        "hangs"
    } else if has_health {
        "answers"
    } else if any(Outcome::Missing) {
        "absent"
    } else if any(Outcome::Ok) || any(Outcome::Failed) {
        "foreign"
    } else {
        "unknown"
    }
}

fn answered(
    facts: &Facts<'_>,
    finding: &dyn Fn(Level, String) -> Finding,
    live: &Health,
    ready: &Health,
    unwell: &[&Component],
) -> Finding {
    let told: Vec<String> = unwell.iter().map(|it| told(it)).collect();
    if live.is_good() && ready.is_good() {
        let count = ready.components.len();
        let parts = if count == 0 { String::new() } else { format!(": {count} components") };
        return finding(Level::Ok, format!("Felix is live and ready{parts}"));
    }
    let (word, answer) = if live.is_good() { ("ready", ready) } else { ("live", live) };
    let mut summary = format!("Felix is not {word} (HTTP {})", answer.status);
    if !told.is_empty() {
        summary = format!("{summary}: {}", told.join("; "));
    }
    // A few minutes after its start it may well be on its way.
    let is_young = facts.uptime().is_some_and(|uptime| uptime < 60) && live.is_good();
    if is_young {
        let uptime = facts.uptime().unwrap_or_default();
        summary = format!("{summary}; it started {} ago", span(uptime));
    }
    let mut finding = finding(if is_young { Level::Warn } else { Level::Fail }, summary);
    let mut lines: Vec<&str> = unwell.iter().filter_map(|it| Some(known(&it.name)?.2)).collect();
    lines.dedup();
    for line in lines {
        finding = finding.remedy(line);
    }
    if unwell.is_empty() {
        finding = finding.remedy("see felix.errors: Felix's log says why");
    }
    finding
}

/// The components of both answers, which are the same table.
fn components<'a>(
    live: Option<&'a Health>,
    ready: Option<&'a Health>,
) -> impl Iterator<Item = &'a Component> {
    let fuller = match (live, ready) {
        (Some(live), Some(ready)) if ready.components.len() >= live.components.len() => Some(ready),
        (live, ready) => live.or(ready),
    };
    fuller.into_iter().flat_map(|health| &health.components).take(50)
}

/// What is wrong with a component, as Felix says it.
fn trouble(component: &Component) -> Option<&str> {
    let rows = [(&component.liveness, "reporting live"), (&component.readiness, "reporting ready")];
    rows.into_iter()
        .find(|(said, good)| said.as_str() != *good && said.as_str() != "-" && !said.is_empty())
        .map(|(said, _)| said.as_str())
}

fn known(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    COMPONENTS.iter().find(|(known, ..)| *known == name)
}

/// A component that is not well, with what that means.
fn told(component: &Component) -> String {
    let short = |text: &str| text.chars().take(200).collect::<String>();
    let mut told =
        format!("{} {}", short(&component.name), short(trouble(component).unwrap_or_default()));
    if !component.detail.is_empty() {
        told = format!("{told} ({})", short(&component.detail));
    }
    match known(&component.name) {
        Some((_, meaning, _)) => format!("{told}: {meaning}"),
        None => told,
    }
}

fn component(component: &Component) -> Value {
    let short = |text: &str| text.chars().take(500).collect::<String>();
    json!({
        "name": short(&component.name),
        "timeout": short(&component.timeout),
        "liveness": short(&component.liveness),
        "readiness": short(&component.readiness),
        "detail": short(&component.detail),
        "meaning": trouble(component).and_then(|_| known(&component.name)).map(|(_, meaning, _)| meaning),
    })
}
