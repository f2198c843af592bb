//! Felix: its health as the probes see it, and its metrics.

use std::borrow::Cow;

use super::{Agent, Artifact, Collector, Node, Rows, Source, conntrack};

pub(super) const COLLECTOR: Collector = Collector {
    name: "felix",
    about: "Felix: liveness, readiness and metrics as served on this node",
    artifacts: &[conntrack::BPF_MAPS_ROW],
    trees: &[],
    more: |node| {
        let mut artifacts = health(node);
        artifacts.push(metrics(node));
        artifacts.extend(conntrack::bpf_sizes(node));
        artifacts.extend(process_status(node));
        Rows { artifacts, trees: Vec::new() }
    },
};

/// Felix's `healthPort` where neither its environment nor its configuration says otherwise
/// (`felix/config/config_params.go`).
const HEALTH_PORT: u16 = 9099;
/// Felix's `prometheusMetricsPort`.
const METRICS_PORT: u16 = 9091;

/// What the kubelet's probes ask.
pub(super) fn health(node: &Node) -> Vec<Artifact> {
    let port = port(node, "FELIX_HEALTHPORT").unwrap_or(HEALTH_PORT);
    vec![get("felix/liveness", port, "/liveness"), get("felix/readiness", port, "/readiness")]
}

/// What the kernel says of Felix's process: among the rest, what it may do.
pub(super) fn process_status(node: &Node) -> Option<Artifact> {
    let pid = node.agent(Agent::Felix)?.pid;
    Some(Artifact::file_at(format!("/proc/{pid}/status")).public())
}

/// What it counts, where it serves that.
pub(super) fn metrics(node: &Node) -> Artifact {
    let port = port(node, "FELIX_PROMETHEUSMETRICSPORT").unwrap_or(METRICS_PORT);
    get(conntrack::METRICS, port, "/metrics")
}

fn port(node: &Node, variable: &str) -> Option<u16> {
    node.agent(Agent::Felix)?.variable(variable)?.parse().ok()
}

fn get(name: &'static str, port: u16, path: &'static str) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Http { port, path: Cow::Borrowed(path) })
}
