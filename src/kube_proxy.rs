//! What kube-proxy makes of connection tracking when it starts: it sets the limit, and whoever set another one before
//! has lost it.
//!
//! ```text
//! /usr/local/bin/kube-proxy --config=/var/lib/kube-proxy/config.conf --hostname-override=node-1
//! ```
//!
//! ```yaml
//! apiVersion: kubeproxy.config.k8s.io/v1alpha1
//! kind: KubeProxyConfiguration
//! conntrack:
//!   maxPerCore: 32768
//!   min: null                    # null: the default
//!   tcpCloseWaitTimeout: 0s      # 0: left alone
//! ```
//!
//! The rules are those of Kubernetes: `cmd/kube-proxy/app/server_linux.go`, `pkg/proxy/apis/config/v1alpha1/defaults.go`
//! and the flags of `kube-proxy --help`. Where a configuration file is named, flags for the same settings count for
//! nothing.

use jiff::SignedDuration;
use serde::Deserialize;

use crate::processes::Process;

/// What kube-proxy sets of connection tracking. `None` of a time: it leaves it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conntrack {
    /// Entries for each CPU; 0: it leaves the limit alone.
    pub max_per_core: u64,
    /// The least that it sets.
    pub min: u64,
    /// `nf_conntrack_tcp_timeout_established`, in seconds.
    pub tcp_established: Option<u64>,
    /// `nf_conntrack_tcp_timeout_close_wait`, in seconds.
    pub tcp_close_wait: Option<u64>,
    /// `nf_conntrack_udp_timeout`, in seconds.
    pub udp: Option<u64>,
    /// `nf_conntrack_udp_timeout_stream`, in seconds.
    pub udp_stream: Option<u64>,
}

impl Default for Conntrack {
    /// What it sets where nothing is said.
    fn default() -> Self {
        Self {
            max_per_core: 32 << 10,
            min: 128 << 10,
            tcp_established: Some(24 * 3600),
            tcp_close_wait: Some(3600),
            udp: None,
            udp_stream: None,
        }
    }
}

/// The newest releases give no more than this for all CPUs together.
const MOST_BY_CPUS: u64 = 1 << 20;

impl Conntrack {
    /// The limit that it sets on a machine of so many CPUs; `None`: it leaves it alone.
    #[must_use]
    pub fn limit(&self, cpus: u64) -> Option<u64> {
        (self.max_per_core > 0).then(|| self.min.max(self.max_per_core.saturating_mul(cpus)))
    }

    /// The limit that the newest releases set.
    #[must_use]
    pub fn capped_limit(&self, cpus: u64) -> Option<u64> {
        let by_cpus = self.max_per_core.saturating_mul(cpus).min(MOST_BY_CPUS);
        (self.max_per_core > 0).then(|| self.min.max(by_cpus))
    }
}

/// What could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file is no YAML, or its settings are of another type.
    #[error("kube-proxy's configuration cannot be read")]
    Yaml(#[from] serde_yaml::Error),
    /// A value that is no number or no time.
    #[error("kube-proxy's setting {0} cannot be read: {1}")]
    Value(&'static str, String),
}

/// kube-proxy among the processes; of several the oldest. It is one only if it runs as root of the host.
#[must_use]
pub fn find(processes: &[Process]) -> Option<&Process> {
    let is_kube_proxy = |process: &&Process| {
        let program = process.argv.first().map_or("", String::as_str);
        let name = program.rsplit('/').next().unwrap_or(program);
        // hyperkube and the snap of MicroK8s name it as their first word.
        let is_named = name == "kube-proxy"
            || (matches!(name, "hyperkube" | "kubelite")
                && process.argv.get(1).is_some_and(|word| word == "kube-proxy" || word == "proxy"));
        is_named && process.host_root && !process.is_zombie()
    };
    processes.iter().filter(is_kube_proxy).min_by_key(|process| (process.start_time, process.pid))
}

/// The file that it was told to read, as it sees it.
#[must_use]
pub fn config_path(argv: &[String]) -> Option<&str> {
    flag(argv, "config").filter(|path| !path.is_empty())
}

/// The settings by the command line alone.
pub fn from_arguments(argv: &[String]) -> Result<Conntrack, SettingsError> {
    let defaults = Conntrack::default();
    let number = |name: &'static str, default| match flag(argv, name) {
        Some(text) => text.parse().map_err(|_| SettingsError::Value(name, text.to_owned())),
        None => Ok(default),
    };
    let time = |name: &'static str, default| match flag(argv, name) {
        Some(text) => seconds(name, text),
        None => Ok(default),
    };
    Ok(Conntrack {
        max_per_core: number("conntrack-max-per-core", defaults.max_per_core)?,
        min: number("conntrack-min", defaults.min)?,
        tcp_established: time("conntrack-tcp-timeout-established", defaults.tcp_established)?,
        tcp_close_wait: time("conntrack-tcp-timeout-close-wait", defaults.tcp_close_wait)?,
        udp: time("conntrack-udp-timeout", None)?,
        udp_stream: time("conntrack-udp-timeout-stream", None)?,
    })
}

/// What of the file is read.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    conntrack: Option<Section>,
    /// Where `conntrack` stands in `v1alpha2`.
    #[serde(default)]
    linux: Option<Linux>,
}

#[derive(Debug, Default, Deserialize)]
struct Linux {
    #[serde(default)]
    conntrack: Option<Section>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Section {
    max_per_core: Option<u64>,
    min: Option<u64>,
    tcp_established_timeout: Option<String>,
    tcp_close_wait_timeout: Option<String>,
    udp_timeout: Option<String>,
    udp_stream_timeout: Option<String>,
}

/// The settings by its configuration file.
pub fn from_config(text: &str) -> Result<Conntrack, SettingsError> {
    let configuration: Configuration = serde_yaml::from_str(text)?;
    let section = configuration
        .conntrack
        .or_else(|| configuration.linux.and_then(|linux| linux.conntrack))
        .unwrap_or_default();
    let defaults = Conntrack::default();
    let time = |name: &'static str, text: Option<String>, default| match text {
        Some(text) => seconds(name, &text),
        None => Ok(default),
    };
    Ok(Conntrack {
        max_per_core: section.max_per_core.unwrap_or(defaults.max_per_core),
        min: section.min.unwrap_or(defaults.min),
        tcp_established: time(
            "tcpEstablishedTimeout",
            section.tcp_established_timeout,
            defaults.tcp_established,
        )?,
        tcp_close_wait: time(
            "tcpCloseWaitTimeout",
            section.tcp_close_wait_timeout,
            defaults.tcp_close_wait,
        )?,
        udp: time("udpTimeout", section.udp_timeout, None)?,
        udp_stream: time("udpStreamTimeout", section.udp_stream_timeout, None)?,
    })
}

/// The last value of `--NAME=VALUE` or `--NAME VALUE`. Go's flags may begin with one dash, too.
fn flag<'a>(argv: &'a [String], name: &str) -> Option<&'a str> {
    let mut found = None;
    for (index, word) in argv.iter().enumerate().skip(1) {
        let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
            continue;
        };
        match rest.strip_prefix(name) {
            Some("") => found = argv.get(index + 1).map(String::as_str).or(found),
            Some(value) => found = value.strip_prefix('=').or(found),
            None => {}
        }
    }
    found
}

/// A time in Go's way (`24h0m0s`, `90s`, `0`) in whole seconds; none where it is zero.
fn seconds(name: &'static str, text: &str) -> Result<Option<u64>, SettingsError> {
    let bad = || SettingsError::Value(name, text.to_owned());
    if text == "0" {
        return Ok(None);
    }
    let time: SignedDuration = text.parse().map_err(|_| bad())?;
    let seconds = u64::try_from(time.as_secs()).map_err(|_| bad())?;
    Ok((seconds > 0).then_some(seconds))
}

#[cfg(test)]
mod tests;
