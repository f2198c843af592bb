//! What kube-proxy makes of the limit and of timeouts when it starts.

use super::{Facts, grouped, why};
use crate::collectors::conntrack as rows;
use crate::host::Outcome;
use crate::kube_proxy::{self, Conntrack};

/// What kube-proxy will do with the limit.
pub(super) enum Proxy {
    /// There is none.
    Absent,
    /// It sets this limit; `None`: it leaves it alone.
    Sets(Option<u64>),
    /// It is not known.
    Unknown(String),
}

impl Proxy {
    pub(super) fn of(facts: &Facts) -> Self {
        let settings = match settings(facts) {
            Ok(Some(settings)) => settings,
            Ok(None) => return Self::Absent,
            Err(reason) => return Self::Unknown(reason),
        };
        let cpus = facts.text(rows::CPUS).map(|text| {
            let is_cpu = |line: &&str| {
                line.strip_prefix("cpu")
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            };
            text.lines().filter(is_cpu).count() as u64
        });
        match cpus.filter(|cpus| *cpus > 0) {
            None if settings.limit(0).is_none() => Self::Sets(None),
            None => Self::Unknown("how many CPUs there are was not read".to_owned()),
            Some(cpus) => limit(facts, settings.limit(cpus), settings.capped_limit(cpus)),
        }
    }
}

/// Old and new releases set different limits on many CPUs; which one this is, the limit of now tells.
fn limit(facts: &Facts, old: Option<u64>, new: Option<u64>) -> Proxy {
    if let (Some(of_old), Some(of_new)) = (old, new)
        && of_old != of_new
        && facts.max != old
        && facts.max != new
    {
        let (old, new) = (grouped(of_old), grouped(of_new));
        return Proxy::Unknown(format!("kube-proxy sets {old} or, if it is new, {new}"));
    }
    Proxy::Sets(if facts.max == new { new } else { old })
}

/// What kube-proxy was told; `None`: there is none here. Why it is not known.
pub(super) fn settings(facts: &Facts) -> Result<Option<Conntrack>, String> {
    let table = facts.reading(rows::PROCESSES).ok_or("the processes were not read")?;
    let Some(process) = kube_proxy::find(&facts.node.processes) else {
        return match table.outcome {
            Outcome::Ok => Ok(None),
            _ => Err(why(table, "the processes")),
        };
    };
    let settings = match kube_proxy::config_path(&process.argv) {
        None => kube_proxy::from_arguments(&process.argv),
        Some(path) => match facts.reading(&format!("host/proc/{}/root{path}", process.pid)) {
            Some(reading) if reading.outcome == Outcome::Ok => {
                kube_proxy::from_config(&reading.text())
            }
            Some(reading) => return Err(why(reading, "kube-proxy's configuration")),
            None => return Err("kube-proxy's configuration was not read".to_owned()),
        },
    };
    settings.map(Some).map_err(|error| error.to_string())
}
