//! `check datastore`: can this node reach its datastore, is it let in, and is what it needs there?

mod contents;
mod endpoints;
mod member;

use jiff::Timestamp;

use super::{Asked, Check, Finding, Kind, Level};
use crate::collectors::{self, Rows};
use crate::datastore::Resource;
use crate::datastore::health::{self, Health};
use crate::datastore::resources::List;
use crate::host::{Evidence, Outcome, Reading};
use crate::status;

pub(super) const CHECK: Check = Check {
    name: "datastore",
    about: "etcd or the Kubernetes API: reached, let in, well, and Calico's resources in it",
    finds: &[
        Kind { id: REACHABLE, passes: "The datastore answers." },
        Kind { id: TLS, passes: "The certificates are good, and will be for a while." },
        Kind { id: AUTH, passes: "The datastore knows who this node is." },
        Kind { id: HEALTH, passes: "The datastore says that it is well." },
        Kind { id: KEYS, passes: "Calico's resources are in the datastore." },
        Kind { id: PERMISSIONS, passes: "What is needed may be read." },
        Kind { id: NODE, passes: "This node is in the datastore." },
        Kind { id: VERSION, passes: "The versions are known." },
        Kind { id: LATENCY, passes: "The datastore answers quickly." },
    ],
    reads: |node, _| Rows { artifacts: collectors::datastore(node), trees: Vec::new() },
    later: |_, _| Rows::default(),
    judge,
};

const REACHABLE: &str = "datastore.reachable";
const TLS: &str = "datastore.tls";
const AUTH: &str = "datastore.auth";
const HEALTH: &str = "datastore.health";
const KEYS: &str = "datastore.keys";
const PERMISSIONS: &str = "datastore.permissions";
const NODE: &str = "datastore.node";
const VERSION: &str = "datastore.version";
const LATENCY: &str = "datastore.latency";

/// What the findings rest on.
struct Facts<'a> {
    evidence: &'a Evidence,
    health: Health,
    /// When the datastore was asked: certificates are judged by it.
    time: Timestamp,
    /// The node's name, else the host's.
    node: Option<String>,
}

impl<'a> Facts<'a> {
    /// What was read of the resources of a kind.
    fn reading(&self, resource: Resource) -> Option<&'a Reading> {
        self.evidence.get(resource.path())
    }

    /// The resources of a kind, as far as they were read.
    fn list(&self, resource: Resource) -> Option<List> {
        let reading = self.reading(resource)?;
        matches!(reading.outcome, Outcome::Ok | Outcome::Truncated)
            .then(|| List::parse(&reading.bytes))?
    }
}

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let Some(reading) = evidence.get(health::PATH) else {
        return vec![Finding::new(REACHABLE, Level::Unknown, "the datastore was not asked")];
    };
    let health = match (reading.outcome, Health::parse(&reading.bytes)) {
        (Outcome::Ok, Some(health)) => health,
        (Outcome::Ok, None) => {
            let summary = "what is known of the datastore is not understood";
            return vec![Finding::new(REACHABLE, Level::Unknown, summary)];
        }
        (outcome, _) => return vec![not_asked(outcome, reading.reason.as_deref())],
    };
    let time = reading.started;
    let (node, _) = status::node_name(evidence);
    let facts = Facts { evidence, health, time, node };
    let mut findings = endpoints::judge(&facts);
    if facts.health.endpoints.iter().all(|endpoint| endpoint.failure.is_some()) {
        // Nothing else could be asked, and one failure is said once.
        return findings;
    }
    findings.extend(member::judge(&facts));
    // Who is not let in sees nothing else.
    if facts.health.refusal.is_none() {
        findings.extend(contents::judge(&facts));
    }
    findings
}

/// Why nothing is known of the datastore at all.
fn not_asked(outcome: Outcome, reason: Option<&str>) -> Finding {
    let reason = reason.unwrap_or("no reason was given");
    let finding =
        |level| Finding::new(REACHABLE, level, format!("the datastore was not asked: {reason}"));
    match outcome {
        Outcome::NotApplicable => finding(Level::Skip)
            .remedy("name it in /etc/calico/calicoctl.cfg, or in the environment: sudo -E calivet check datastore"),
        // That others may not read the credentials is as it should be.
        Outcome::Denied => finding(Level::Unknown)
            .remedy("run as root (sudo -E calivet check datastore), or name a configuration that you may read: -c FILE"),
        Outcome::Skipped | Outcome::Timeout | Outcome::Truncated | Outcome::Interrupted => {
            finding(Level::Unknown)
        }
        // A setting or a file that is wrong stops calicoctl as well.
        _ => finding(Level::Fail).remedy("calivet check environment"),
    }
}

#[cfg(test)]
mod tests;
