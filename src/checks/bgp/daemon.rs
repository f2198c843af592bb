//! Does BIRD run, does it answer, and does it run what is configured?

use jiff::SignedDuration;
use serde_json::json;

use super::facts::{Facts, File};
use crate::bird::reply::Trouble;
use crate::checks::{Finding, Level};
use crate::host::Family;
use crate::status::{FamilyStatus, State};

/// confd reloads BIRD at once, and BIRD tells whole seconds.
const RELOAD: SignedDuration = SignedDuration::from_secs(5);

/// One finding for each daemon, and what else there is to say of it.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (family, status) in facts.families() {
        if family == Family::Ipv6 && facts.is_one_daemon() {
            continue;
        }
        findings.push(daemon(facts, family, status));
        if status.state == Some(State::Ready) {
            findings.push(configuration(facts, family, status));
            findings.push(graceful_restart(status));
        }
    }
    // A node without any BIRD needs to be told so once.
    if findings.iter().all(|finding| finding.level == Level::Skip) {
        findings.truncate(1);
    }
    findings
}

fn daemon(facts: &Facts<'_>, family: Family, status: &FamilyStatus) -> Finding {
    const ID: &str = "bgp.daemon";
    let name = status.daemon;
    let error = status.error.as_deref().unwrap_or("no reason was given");
    let backend = facts.status.networking_backend.as_deref();
    let finding = match (status.state, status.trouble) {
        (Some(State::Ready), _) => {
            let version = status.version.as_deref().unwrap_or("of an unknown version");
            let level = if status.error.is_none() { Level::Ok } else { Level::Unknown };
            let rest = status.error.as_ref().map_or(String::new(), |error| format!(", but {error}"));
            Finding::new(ID, level, format!("{name} answers: BIRD {version}{rest}"))
        }
        (Some(State::Disabled), _) => Finding::new(
            ID,
            Level::Skip,
            format!(
                "this node runs no BIRD, as it should: CALICO_NETWORKING_BACKEND is {}, so that Felix alone programs \
                 routes and there are no BGP peers",
                backend.unwrap_or("not bird")
            ),
        ),
        (Some(State::NotRunning), _) => match (status.expected, family) {
            (Some(true), _) => Finding::new(ID, Level::Fail, format!("{name} does not run: {error}"))
                .remedy("kubectl logs -n calico-system -l k8s-app=calico-node -c calico-node --tail=100 | grep -E 'bird|confd'")
                .remedy("look for a configuration that BIRD refuses, and in eBPF or VXLAN clusters for probes `-bird-ready` that should not be there"),
            (Some(false), _) => Finding::new(
                ID,
                Level::Skip,
                format!("{name} does not run, and is not meant to on this node"),
            ),
            (None, Family::Ipv4) if facts.cluster.is_vxlan_only() => Finding::new(
                ID,
                Level::Skip,
                format!("{name} does not run, and no pool of the datastore needs it: all are VXLAN"),
            ),
            (None, Family::Ipv4) if facts.is_without_calico() => Finding::new(
                ID,
                Level::Skip,
                format!("{name} does not run, and nothing else of Calico's"),
            ),
            (None, Family::Ipv4) => Finding::new(
                ID,
                Level::Unknown,
                format!(
                    "{name} does not run, and whether it is meant to is not known (the environment of Calico's processes \
                     was not seen): {error}"
                ),
            ),
            (None, Family::Ipv6) => Finding::new(
                ID,
                Level::Skip,
                format!("{name} does not run: most nodes have no IPv6"),
            ),
        },
        (Some(State::Unreachable), Some(Trouble::Blocked | Trouble::TimedOut)) => Finding::new(
            ID,
            Level::Fail,
            format!("{name} is blocked: it is alive and does not answer on its control socket: {error}"),
        )
        .evidence(json!({"cause": "bird-blocked"}))
        .remedy("see what it waits for: cat /proc/$(pidof -s bird)/status /proc/$(pidof -s bird)/stack")
        .remedy("if it stays so, restart it: kubectl delete pod -n calico-system POD (its sessions restart gracefully)"),
        (Some(State::Unreachable), Some(trouble))
            if trouble == Trouble::Failed || facts.is_cut(family) =>
        {
            Finding::new(ID, Level::Unknown, format!("{name} could not be asked: {error}"))
        }
        (Some(State::Unreachable), Some(Trouble::Denied)) | (None, _) => {
            Finding::new(ID, Level::Unknown, format!("{name} could not be asked: {error}"))
                .remedy("run calivet as root")
        }
        (Some(State::Unreachable), Some(Trouble::Refused)) => Finding::new(
            ID,
            Level::Fail,
            format!("{name} has ended: its control socket is there and nobody listens on it: {error}"),
        )
        .remedy("kubectl logs -n calico-system -l k8s-app=calico-node -c calico-node --tail=100 | grep -E 'bird|confd'"),
        (Some(State::Unreachable), _) => {
            Finding::new(ID, Level::Fail, format!("{name} does not answer as BIRD does: {error}"))
        }
    };
    finding.evidence(json!({
        "daemon": name, "state": status.state, "trouble": status.trouble, "error": status.error,
        "version": status.version, "routerId": status.router_id, "expected": status.expected,
        "backend": backend,
    }))
}

/// Whether the file on disk is what BIRD runs.
fn configuration(facts: &Facts<'_>, family: Family, status: &FamilyStatus) -> Finding {
    const ID: &str = "bgp.configuration";
    let name = status.daemon;
    let Some(File { path, configuration, modified }) = facts.file(family) else {
        if facts.lacks_file(family) {
            let summary = format!(
                "{name} has no file where Calico's is: /etc/calico/confd/config/{name}.cfg"
            );
            return Finding::new(ID, Level::Unknown, summary)
                .remedy(format!("which one does it read? ps -o args -C {name}"));
        }
        let summary = format!("the configuration of {name} could not be read");
        return Finding::new(ID, Level::Unknown, summary)
            .remedy("run calivet as root: the file is in the container of calico-node");
    };
    let known = |session: &str| {
        facts.families().iter().any(|(_, status)| status.peers.iter().any(|it| it.name == session))
    };
    let whole = facts.families().iter().all(|(it, status)| {
        (*it != family && !facts.is_one_daemon()) || status.established.is_some()
    });
    let missing: Vec<&str> = configuration
        .peers
        .iter()
        .map(|session| session.name.as_str())
        .filter(|session| whole && !known(session))
        .collect();
    let loaded = status.reconfiguration_time;
    let newer_by = modified.zip(loaded).map(|(written, loaded)| written.duration_since(loaded));
    let is_newer = newer_by.is_some_and(|span| span > RELOAD);
    let evidence = json!({
        "daemon": name, "file": path, "modified": modified, "reconfigured": loaded,
        "missing": missing, "peers": configuration.peers.len(),
    });
    let finding = if !missing.is_empty() {
        let summary = format!(
            "{name} does not run the configuration on disk: {} of its {} sessions are unknown to it",
            missing.len(),
            configuration.peers.len()
        );
        Finding::new(ID, Level::Fail, summary)
    } else if is_newer {
        let span = newer_by.unwrap_or_default();
        let summary = format!(
            "the configuration on disk is {span:#} newer than what {name} runs: it was not reloaded, or was refused"
        );
        Finding::new(ID, Level::Warn, summary)
    } else {
        let summary = format!("{name} runs the configuration on disk");
        return Finding::new(ID, Level::Ok, summary).evidence(evidence);
    };
    let (daemon, file) = match family {
        Family::Ipv4 => ("bird", "bird.cfg"),
        Family::Ipv6 => ("bird6", "bird6.cfg"),
    };
    finding
        .evidence(evidence)
        .remedy(format!(
            "is it refused? in the container of calico-node: {daemon} -p -c /etc/calico/confd/config/{file}"
        ))
        .remedy(format!("if it is not, have it loaded: sv hup {daemon}"))
}

fn graceful_restart(status: &FamilyStatus) -> Finding {
    const ID: &str = "bgp.graceful-restart";
    let name = status.daemon;
    let Some(restart) = &status.graceful_restart else {
        return Finding::new(ID, Level::Ok, format!("{name} has recovered from its last start"));
    };
    let left = restart.wait_timer.as_ref().and_then(|timer| timer.split('/').next()).map_or_else(
        || "for up to 240 more seconds".to_owned(),
        |seconds| format!("for up to {seconds} more seconds"),
    );
    let down: Vec<&str> = status
        .peers
        .iter()
        .filter(|peer| !peer.established)
        .filter_map(|peer| peer.address.as_deref())
        .collect();
    let waiting = restart.waiting_for.map_or(String::new(), |count| format!(" {count}"));
    let summary = format!(
        "{name} withholds all BGP routes from the kernel {left}, while it waits for{waiting} protocols after its start"
    );
    Finding::new(ID, Level::Fail, summary)
        .evidence(json!({"daemon": name, "waitingFor": restart.waiting_for, "waitTimer": restart.wait_timer, "down": down}))
        .remedy("mend the peers below that are down, or wait: it ends when all are back, or with the timer")
        .remedy("a peer that will never come back is a node to delete: calicoctl delete node NAME, or kubectl delete bgppeer NAME")
}
