//! What Felix's metrics say is wrong. Counters count from Felix's start.

use serde_json::{Map, json};

use super::{FELIX_METRICS, Facts, METRICS, reason, span};
use crate::checks::figures::counted;
use crate::checks::{Finding, Level};
use crate::felix::metrics::Metrics;
use crate::host::Outcome;

/// What is looked at in a metric.
enum Look {
    /// The sum of its values, which is to be 0.
    Sum,
    /// Its 99th percentile in seconds, which is to be less than this.
    Seconds(f64),
}

/// A metric that shows trouble (`docs/reference/felix/prometheus`, `felix/**/*.go`).
struct Row {
    name: &'static str,
    look: Look,
    level: Level,
    meaning: &'static str,
    mend: &'static str,
}

const fn failures(name: &'static str, meaning: &'static str, mend: &'static str) -> Row {
    Row { name, look: Look::Sum, level: Level::Warn, meaning, mend }
}

const ROWS: &[Row] = &[
    Row {
        name: "felix_bpf_dirty_dataplane_endpoints",
        look: Look::Sum,
        level: Level::Fail,
        meaning: "interfaces whose eBPF programs could not be attached",
        mend: "see felix.errors for the interface and the reason",
    },
    failures(
        "felix_int_dataplane_failures",
        "updates of the dataplane that failed and were tried again",
        "see felix.errors: which rule, route or set could not be programmed",
    ),
    failures(
        "felix_iptables_restore_errors",
        "failures of iptables-restore",
        "see felix.errors: a missing match or target is a missing kernel module",
    ),
    failures(
        "felix_iptables_save_errors",
        "failures of iptables-save",
        "sudo iptables-save >/dev/null   # does it work on the host?",
    ),
    failures(
        "felix_nft_errors",
        "failures of nftables transactions",
        "see felix.errors; sudo nft list ruleset >/dev/null",
    ),
    failures(
        "felix_nft_list_errors",
        "failures to list nftables",
        "sudo nft list ruleset >/dev/null   # does it work on the host?",
    ),
    failures("felix_nft_set_errors", "failures to program nftables sets", "see felix.errors"),
    failures(
        "felix_ipset_errors",
        "failures of ipset",
        "sudo ipset list -n   # does it work on the host? then see felix.errors",
    ),
    failures(
        "felix_log_errors",
        "log messages that could not be written",
        "df -h; is the container's output blocked?",
    ),
    failures(
        "felix_logs_dropped",
        "log messages that were dropped: the log says less than there was",
        "df -h /var/log; is the container's output blocked?",
    ),
    Row {
        name: "felix_calc_graph_update_time_seconds",
        look: Look::Seconds(1.0),
        level: Level::Warn,
        meaning: "s for an update of the calculation graph (99th percentile)",
        mend: "cat /proc/pressure/cpu   # is the CPU short? else there are very many policies or endpoints",
    },
    Row {
        name: "felix_int_dataplane_apply_time_seconds",
        look: Look::Seconds(10.0),
        level: Level::Warn,
        meaning: "s to apply an update to the dataplane (99th percentile)",
        mend: "sudo fuser -v /run/xtables.lock; sudo iptables-save | wc -l   # a lock that is held, or very many rules",
    },
    Row {
        name: "felix_route_table_conntrack_wait_seconds",
        look: Look::Seconds(5.0),
        level: Level::Warn,
        meaning: "s of waiting for conntrack before a route is made (99th percentile)",
        mend: "calivet check conntrack",
    },
];

/// `felix_resync_state` of a Felix that is in sync.
const IN_SYNC: f64 = 3.0;

/// So long it may take to come into sync.
const PATIENCE: i64 = 120;

/// What is wrong?
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    if let Some(skipped) = facts.skipped(METRICS) {
        return vec![skipped];
    }
    let finding = |level, summary: String| vec![Finding::new(METRICS, level, summary)];
    let Some(reading) = facts.evidence.get(FELIX_METRICS) else {
        return finding(Level::Unknown, "Felix's metrics were not asked for".to_owned());
    };
    let enabled = facts.settings.truth("PrometheusMetricsEnabled");
    match reading.outcome {
        Outcome::Ok | Outcome::Truncated => {}
        Outcome::Missing if enabled != Some(true) => {
            return finding(
                Level::Skip,
                "Felix's metrics are not served (prometheusMetricsEnabled is false unless it is set)".to_owned(),
            );
        }
        Outcome::Missing => {
            return finding(
                Level::Warn,
                format!("Felix is to serve its metrics and does not: {}", reason(reading)),
            );
        }
        Outcome::Timeout => {
            return finding(
                Level::Warn,
                format!("Felix does not answer for its metrics: {}", reason(reading)),
            );
        }
        _ => {
            return finding(
                Level::Unknown,
                format!("Felix's metrics are not known: {}", reason(reading)),
            );
        }
    }
    let metrics = Metrics::parse(&reading.bytes);
    let is_felix = metrics.sum("felix_resync_state").is_some()
        || metrics.sum("felix_int_dataplane_failures").is_some();
    if !is_felix {
        return finding(
            Level::Unknown,
            "what answers at the port of Felix's metrics has none of Felix's".to_owned(),
        );
    }
    let mut findings = Vec::new();
    findings.extend(resync(facts, &metrics));
    for row in ROWS {
        findings.extend(row.judge(&metrics));
    }
    if findings.is_empty() {
        let mut evidence = Map::new();
        for name in [
            "felix_resync_state",
            "felix_active_local_endpoints",
            "felix_cluster_num_hosts",
            "felix_int_dataplane_failures",
        ] {
            evidence.insert(name.to_owned(), json!(metrics.sum(name)));
        }
        let endpoints = metrics.sum("felix_active_local_endpoints");
        let endpoints = endpoints.map(|count| counted(count, "endpoint", "endpoints"));
        let endpoints = endpoints.map(|told| format!(", {told} on this node")).unwrap_or_default();
        let summary = format!("Felix's metrics show no trouble{endpoints}");
        return vec![Finding::new(METRICS, Level::Ok, summary).evidence(evidence.into())];
    }
    findings
}

fn resync(facts: &Facts<'_>, metrics: &Metrics) -> Option<Finding> {
    let state = metrics.sum("felix_resync_state").filter(|state| *state < IN_SYNC)?;
    let uptime = facts.uptime();
    let is_young = uptime.is_some_and(|uptime| uptime < PATIENCE);
    let doing = if state < 2.0 { "waits for the datastore" } else { "is reading the datastore" };
    let since =
        uptime.map(|uptime| format!(", {} after its start", span(uptime))).unwrap_or_default();
    let summary = format!("Felix {doing}{since}: policies and routes are not kept up to date");
    let evidence = json!({"metric": "felix_resync_state", "value": state, "uptimeSeconds": uptime});
    let level = if is_young { Level::Info } else { Level::Fail };
    Some(
        Finding::new(METRICS, level, summary)
            .evidence(evidence)
            .remedy("kubectl get pods -A -l k8s-app=calico-typha -o wide   # does Typha run, and is TCP 5473 open to it?"),
    )
}

impl Row {
    fn judge(&self, metrics: &Metrics) -> Option<Finding> {
        let (value, is_trouble) = match self.look {
            Look::Sum => metrics.sum(self.name).map(|value| (value, value > 0.0))?,
            Look::Seconds(limit) => metrics
                .greatest(self.name, "quantile=\"0.99\"")
                .map(|value| (value, value > limit))?,
        };
        is_trouble.then(|| {
            let since = if matches!(self.look, Look::Sum) && self.level == Level::Warn {
                " since Felix started"
            } else {
                ""
            };
            let value = (value * 100.0).round() / 100.0;
            let summary = format!("{value} {}{since}", self.meaning);
            Finding::new(METRICS, self.level, summary)
                .evidence(json!({"metric": self.name, "value": value}))
                .remedy(self.mend)
        })
    }
}
