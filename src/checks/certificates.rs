//! `check certificates`: which certificates of Calico's and the kubelet's on this node have expired, or soon will?

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Asked, Check, Finding, Kind, Level};
use crate::certificates::{self, Held, Role, User};
use crate::collectors::{self, Rows};
use crate::datastore::certificate::Certificate;
use crate::host::{Evidence, Outcome};

pub(super) const CHECK: Check = Check {
    name: "certificates",
    about: "certificates of calico-node, the CNI plugin, the kubelet and calicoctl: until when they hold",
    finds: &[
        Kind { id: CALICO_NODE, passes: "The certificates of calico-node hold." },
        Kind { id: CNI, passes: "The certificates of the CNI plugin hold." },
        Kind { id: KUBELET, passes: "The certificate of the kubelet holds." },
        Kind { id: CALICOCTL, passes: "The certificates that calicoctl uses hold." },
    ],
    reads: |_, asked| Rows {
        artifacts: vec![collectors::certificates(&asked.config)],
        trees: Vec::new(),
    },
    later: |_, _| Rows::default(),
    judge,
};

const CALICO_NODE: &str = "certificates.calico-node";
const CNI: &str = "certificates.cni";
const KUBELET: &str = "certificates.kubelet";
const CALICOCTL: &str = "certificates.calicoctl";

/// Who uses certificates, and how theirs are renewed.
const USERS: &[(User, &str, &str, &[&str])] = &[
    (
        User::CalicoNode,
        CALICO_NODE,
        "calico-node",
        &[
            "with the operator: kubectl delete secret -n tigera-operator node-certs typha-certs    it makes new ones",
            "otherwise: renew what the pod mounts, and kubectl rollout restart -n kube-system daemonset/calico-node",
        ],
    ),
    (
        User::Cni,
        CNI,
        "the CNI plugin",
        &[
            "renew the secret that calico-node's install-cni copies (calico-etcd-secrets), and restart calico-node",
        ],
    ),
    (
        User::Kubelet,
        KUBELET,
        "the kubelet",
        &[
            "sudo systemctl restart kubelet    asks for a new one; journalctl -u kubelet tells why there was none",
            "if it has expired: kubeadm kubeconfig user --org system:nodes --client-name system:node:NODE on a control plane gives a new kubelet.conf",
        ],
    ),
    (
        User::Calicoctl,
        CALICOCTL,
        "calicoctl",
        &[
            "renew the certificate that the setting names: calivet check environment shows where it is set",
        ],
    ),
];

/// What is left of a certificate before it is warned of: no more than a tenth of its time (the kubelet renews its own
/// when a tenth to three tenths are left), and no more than this.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

fn judge(evidence: &Evidence, _: &Asked) -> Vec<Finding> {
    let reading = evidence.get(certificates::PATH);
    let held = reading.and_then(|reading| certificates::parse(&reading.bytes));
    let (Some(reading), Some(held)) = (reading, held) else {
        let why = reading.and_then(|reading| reading.reason.clone());
        let why = why.unwrap_or_else(|| "they were not asked for".to_owned());
        return USERS.iter().map(|(_, id, ..)| Finding::new(id, Level::Unknown, &why)).collect();
    };
    let of = |(user, id, who, remedy): &(User, &'static str, &str, &[&str])| {
        let held: Vec<&Held> = held.iter().filter(|held| held.user == *user).collect();
        finding(id, who, remedy, &held, reading.started)
    };
    USERS.iter().map(of).collect()
}

/// A verdict on what is held at one place.
struct Verdict<'a> {
    held: &'a Held,
    level: Level,
    /// In words.
    what: String,
    /// The first end of what is held.
    ends: Option<Timestamp>,
}

fn finding(
    id: &'static str,
    who: &str,
    remedy: &[&str],
    held: &[&Held],
    now: Timestamp,
) -> Finding {
    if held.is_empty() {
        return Finding::new(id, Level::Skip, format!("no certificate of {who} was found here"));
    }
    let verdicts: Vec<Verdict> = held.iter().map(|held| verdict(held, now)).collect();
    let rank = |level| match level {
        Level::Fail => 3,
        Level::Unknown => 2,
        Level::Warn => 1,
        _ => 0,
    };
    let Some(worst) = verdicts.iter().max_by_key(|verdict| rank(verdict.level)) else {
        return Finding::new(id, Level::Skip, format!("no certificate of {who} was found here"));
    };
    let bad = verdicts.iter().filter(|verdict| verdict.level == worst.level).count();
    let summary = match worst.level {
        Level::Ok => {
            let first = verdicts.iter().filter_map(|verdict| verdict.ends).min();
            let until =
                first.map_or_else(String::new, |end| format!(", the first until {}", day(end)));
            format!("the certificates of {who} hold{until}")
        }
        _ if bad > 1 => format!("{}; {} more like that", worst.what, bad - 1),
        _ => worst.what.clone(),
    };
    let subjects: Vec<&str> =
        held.iter().flat_map(|held| &held.certificates).map(|it| it.subject.as_str()).collect();
    let places: Vec<Value> = verdicts.iter().map(|verdict| verdict.facts(&subjects)).collect();
    let mut finding =
        Finding::new(id, worst.level, summary).evidence(json!({"certificates": places}));
    if matches!(worst.level, Level::Fail | Level::Warn) {
        for line in remedy {
            finding = finding.remedy(*line);
        }
    }
    if worst.level == Level::Unknown {
        finding = finding.remedy("run as root to see it");
    }
    finding
}

fn verdict(held: &Held, now: Timestamp) -> Verdict<'_> {
    let place = match (&held.setting, held.container) {
        (Some(setting), true) => format!("{} in calico-node's container ({setting})", held.path),
        (None, true) => format!("{} in calico-node's container", held.path),
        (Some(setting), false) => format!("{} ({setting})", held.path),
        (None, false) => held.path.clone(),
    };
    // One end is enough for a client; of authorities, one that holds is enough.
    let ends = held.certificates.iter().filter_map(|certificate| certificate.not_after);
    let ends = match held.role {
        Role::Client => held.certificates.first().and_then(|own| own.not_after),
        Role::Authority => ends.max(),
    };
    let judged = || held.certificates.iter().map(|it| (it, state(it, now)));
    let chosen = match held.role {
        Role::Client => judged().take(1).next(),
        Role::Authority => judged().min_by_key(|(_, level)| *level),
    };
    let (level, what) = match (held.outcome, chosen) {
        (Outcome::Ok, Some((certificate, level))) => (level, words(&place, certificate, now)),
        (Outcome::Ok, None) => {
            (Level::Ok, format!("{place}: none of its authorities is needed here"))
        }
        (Outcome::Missing | Outcome::Failed | Outcome::NotApplicable, _) => {
            let reason = held.reason.clone().unwrap_or_else(|| held.outcome.to_string());
            (Level::Fail, format!("{place}: {reason}"))
        }
        (_, _) => {
            let reason = held.reason.clone().unwrap_or_else(|| held.outcome.to_string());
            (Level::Unknown, format!("{place}: {reason}"))
        }
    };
    Verdict { held, level, what, ends }
}

/// The first of these levels that applies; the order is that of [`Level`].
fn state(certificate: &Certificate, now: Timestamp) -> Level {
    if certificate.is_expired(now) || certificate.is_early(now) {
        return Level::Fail;
    }
    let (Some(begin), Some(end)) = (certificate.not_before, certificate.not_after) else {
        return Level::Unknown;
    };
    let left = end.duration_since(now);
    let whole = end.duration_since(begin);
    if left < SOON && left.as_secs() < whole.as_secs() / 10 { Level::Warn } else { Level::Ok }
}

fn words(place: &str, certificate: &Certificate, now: Timestamp) -> String {
    let subject = &certificate.subject;
    let (Some(begin), Some(end)) = (certificate.not_before, certificate.not_after) else {
        return format!("{place}: until when {subject} holds is not told");
    };
    if end < now {
        let ago = span(now.duration_since(end));
        format!("{place}: {subject} expired on {}, {ago} ago", day(end))
    } else if begin > now {
        let ahead = span(begin.duration_since(now));
        format!("{place}: {subject} holds only from {begin} on, in {ahead}: or the clock is behind")
    } else {
        format!("{place}: {subject} expires on {}, in {}", day(end), span(end.duration_since(now)))
    }
}

fn day(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn span(span: SignedDuration) -> String {
    let hours = span.as_hours();
    match hours {
        0 => format!("{} min", span.as_mins()),
        1..48 => format!("{hours} h"),
        _ => format!("{} days", hours / 24),
    }
}

impl Verdict<'_> {
    /// As evidence, with the subjects of all that is held, among which the issuer may be.
    fn facts(&self, subjects: &[&str]) -> Value {
        let Held { role, path, setting, container, held, reason, certificates, .. } = self.held;
        let first = certificates.first();
        json!({
            "path": path, "setting": setting, "container": container, "role": role, "level": self.level,
            "held": held, "reason": reason, "subject": first.map(|it| &it.subject),
            "issuer": first.map(|it| &it.issuer), "notAfter": self.ends,
            "issuerIsHere": first.map(|it| subjects.contains(&it.issuer.as_str())),
        })
    }
}

#[cfg(test)]
mod tests;
