//! How many rules are there, and can they be changed?

use std::collections::BTreeMap;

use serde_json::json;

use super::{Facts, Form, LOCK, Owner, RULES, form, owner, reason, unread};
use crate::checks::figures::counted;
use crate::checks::{Finding, Level};
use crate::host::Outcome;
use crate::packet_filter::Rule;
use crate::packet_filter::lock::{self, Holder, Lock};

/// Legacy iptables reads and writes a whole table for each change: from here on that takes seconds.
const LEGACY_MANY: usize = 20_000;
/// A packet that no rule matches is shown to each: from here on that is felt in either back end.
const MANY: usize = 50_000;

/// How many rules are there?
pub(super) fn rules(facts: &Facts<'_>) -> Finding {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    let mut forms: BTreeMap<Form, usize> = BTreeMap::new();
    for chain in &facts.rules.chains {
        let who = match owner(chain) {
            Owner::Calico => "calico",
            Owner::KubeProxy => "kubeProxy",
            Owner::Kubelet => "kubelet",
            Owner::Other => "others",
        };
        // Those that call Calico's chains stand in the chains of the kernel.
        let is_calico = |rule: &&Rule| {
            who == "calico" || rule.comment.as_ref().is_some_and(|it| it.starts_with("cali:"))
        };
        let calico = chain.rules.iter().filter(is_calico).count();
        *owners.entry("calico").or_default() += calico;
        *owners.entry(who).or_default() += chain.rules.len() - calico;
        *forms.entry(form(chain)).or_default() += chain.rules.len();
    }
    let total: usize = forms.values().sum();
    let legacy = forms.get(&Form::Legacy).copied().unwrap_or(0);
    let by_form: BTreeMap<&str, usize> =
        forms.iter().map(|(form, count)| (form.words(), *count)).collect();
    let evidence = json!({
        "rules": total, "chains": facts.rules.chains.len(), "byForm": by_form, "byOwner": owners,
    });
    let finding =
        |level, summary: String| Finding::new(RULES, level, summary).evidence(evidence.clone());
    if legacy > LEGACY_MANY || total > MANY {
        let (most, count) = owners
            .iter()
            .max_by_key(|(_, count)| **count)
            .map_or(("", 0), |(who, count)| (*who, *count));
        let what = if legacy > LEGACY_MANY {
            "each change rewrites a whole table and holds the lock for that long"
        } else {
            "packets and changes take long"
        };
        return finding(
            Level::Warn,
            format!("{total} rules ({legacy} of iptables-legacy), {count} of them of {most}: {what}"),
        )
        .remedy("for kube-proxy's: its mode nftables or IPVS, or Felix's eBPF mode, which have no rule for each Service")
        .remedy("for Calico's: fewer and larger policies; selectors that many pods share");
    }
    if !facts.unknown.is_empty() {
        return finding(Level::Unknown, unread(&facts.unknown));
    }
    let chains = counted(facts.rules.chains.len(), "chain", "chains");
    finding(Level::Ok, format!("{} in {chains}", counted(total, "rule", "rules")))
}

/// Does somebody hold the lock?
pub(super) fn lock(facts: &Facts<'_>) -> Finding {
    let Some(reading) = facts.evidence.get(lock::PATH) else {
        return Finding::new(LOCK, Level::Unknown, "it was not looked at");
    };
    if reading.outcome != Outcome::Ok {
        let summary = format!("it is not known who holds the lock: {}", reason(reading));
        return Finding::new(LOCK, Level::Unknown, summary);
    }
    let Some(lock) = Lock::parse(&reading.bytes) else {
        return Finding::new(LOCK, Level::Unknown, "what was read of the lock is not understood");
    };
    let evidence = json!({
        "path": lock.path, "exists": lock.exists, "locks": lock.locks,
        "stillAfterMilliseconds": lock.still_after_milliseconds,
    });
    let finding =
        |level, summary: String| Finding::new(LOCK, level, summary).evidence(evidence.clone());
    let Lock { path, still, .. } = &lock;
    if !lock.exists {
        return finding(
            Level::Ok,
            format!("{path} is not there: nobody has taken it since the host started"),
        );
    }
    let Some(pid) = still.first() else {
        return finding(Level::Ok, format!("nobody holds {path} for long"));
    };
    let holder = lock.locks.iter().find(|holder| holder.pid == *pid);
    let who = match holder.and_then(|holder| holder.name.as_ref()) {
        Some(name) => format!("{name} (process {pid})"),
        None if *pid > 0 => format!("process {pid}"),
        None => "a process that cannot be seen from here".to_owned(),
    };
    let waiting = lock.locks.iter().filter(|holder: &&Holder| holder.waits).count();
    let milliseconds = lock.still_after_milliseconds.unwrap_or_default();
    finding(
        Level::Warn,
        format!("{who} has held {path} for {milliseconds} ms or longer, and {waiting} wait for it: Felix and kube-proxy cannot change legacy rules meanwhile"),
    )
    .remedy(format!("ps -o pid,etime,stat,args -p {pid}    # stopped, or stuck on a disk or a name server? (iptables -L without -n asks DNS)"))
    .remedy("fuser -v /run/xtables.lock")
}
