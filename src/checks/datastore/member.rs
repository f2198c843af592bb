//! The server itself: does it let this node in, does it say that it is well, which version is it?

use serde_json::json;

use super::{AUTH, Facts, HEALTH, VERSION};
use crate::checks::{Finding, Level};
use crate::datastore::Resource;
use crate::datastore::health::{Health, Kind};

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let health = &facts.health;
    let mut findings = vec![auth(health)];
    if health.kind == Kind::Etcd {
        findings.push(well(health));
    }
    findings.push(version(facts));
    findings
}

fn auth(health: &Health) -> Finding {
    let evidence = json!({"user": health.user});
    if let Some(refusal) = &health.refusal {
        let remedy = match health.kind {
            Kind::Etcd => {
                "set etcdUsername and etcdPassword, or correct them; etcdctl user get NAME shows the user's roles"
            }
            Kind::Kubernetes => {
                "kubectl auth whoami; get a new token or certificate for the kubeconfig"
            }
        };
        return Finding::new(AUTH, Level::Fail, format!("this node is not let in: {refusal}"))
            .evidence(evidence)
            .remedy(remedy);
    }
    let summary = match &health.user {
        Some(user) => format!("this node is let in by its {user}"),
        None => "this node is let in without saying who it is".to_owned(),
    };
    // A user's name says by itself what it is.
    let summary = match (&health.user, health.kind) {
        (Some(user), Kind::Etcd) if user != "client certificate" => {
            format!("this node is let in as user {user}")
        }
        _ => summary,
    };
    Finding::new(AUTH, Level::Ok, summary).evidence(evidence)
}

fn well(health: &Health) -> Finding {
    let evidence = json!({
        "healthy": health.healthy, "alarms": health.alarms, "complaints": health.complaints,
        "databaseBytes": health.database_bytes,
    });
    let alarms = health.alarms.as_deref().unwrap_or_default();
    let mut troubles: Vec<String> = alarms.iter().map(|alarm| format!("alarm {alarm}")).collect();
    if health.healthy == Some(false) {
        troubles.push("/health says false".to_owned());
    }
    // The member complains of its alarms in its own words, too.
    if troubles.is_empty() {
        troubles.extend(health.complaints.iter().cloned());
    }
    if !troubles.is_empty() {
        let finding =
            Finding::new(HEALTH, Level::Fail, format!("etcd is not well: {}", troubles.join("; ")));
        let is_full = alarms.iter().any(|alarm| alarm == "NOSPACE");
        let finding = if is_full {
            finding
                .remedy("etcdctl compact REVISION && etcdctl defrag && etcdctl alarm disarm: until then etcd takes no writes")
        } else {
            finding.remedy("etcdctl endpoint status --cluster -w table; etcdctl alarm list; look at etcd's log")
        };
        return finding.evidence(evidence);
    }
    match (health.healthy, &health.alarms) {
        (Some(true), Some(_)) => {
            Finding::new(HEALTH, Level::Ok, "etcd says that it is well, and no alarm is raised")
        }
        (Some(true), None) => Finding::new(
            HEALTH,
            Level::Ok,
            "etcd says that it is well; whether an alarm is raised it does not tell this node",
        ),
        _ => {
            let why = health.unknown.join("; ");
            Finding::new(
                HEALTH,
                Level::Unknown,
                format!("whether etcd is well is not known: {why}"),
            )
        }
    }
    .evidence(evidence)
}

fn version(facts: &Facts<'_>) -> Finding {
    let health = &facts.health;
    let list = facts.list(Resource::ClusterInformations);
    let spec = list.as_ref().and_then(|list| list.spec("default"));
    let text = |field: &str| spec.and_then(|spec| spec[field].as_str()).map(str::to_owned);
    let (calico, cluster) = (text("calicoVersion"), text("clusterType"));
    let kind = match health.kind {
        Kind::Etcd => "etcd",
        Kind::Kubernetes => "Kubernetes",
    };
    let evidence =
        json!({"version": health.version, "calicoVersion": calico, "clusterType": cluster});
    let of_calico =
        calico.map_or("of Calico's none is told".to_owned(), |it| format!("Calico is {it}"));
    let finding = if let Some(version) = &health.version {
        Finding::new(VERSION, Level::Ok, format!("{kind} is {version}, {of_calico}"))
    } else {
        let why = health.unknown.iter().chain(&health.refusal).next();
        let why = why.map_or("it was not told", String::as_str);
        Finding::new(VERSION, Level::Unknown, format!("the version of {kind} is not known: {why}"))
    };
    finding.evidence(evidence)
}
