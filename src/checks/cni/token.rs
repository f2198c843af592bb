//! Does the plugin's token hold? Only its times are known here, never the token ([`crate::cni::credentials`]).

use jiff::Timestamp;
use serde_json::json;

use super::{CREDENTIALS, Facts, TOKEN, reason};
use crate::checks::{Finding, Level};
use crate::cni::credentials::{Credential, Credentials, Kind};
use crate::host::Outcome;

/// A clock that is off by less is as good as right.
const SKEW: i64 = 60;

/// A token is renewed long before its last quarter (`node/pkg/cni/token_watch.go`).
const LAST_PART: i64 = 4;

/// Is the kubeconfig there, and does its token hold?
pub(super) fn judge(facts: &Facts<'_>) -> Finding {
    let Some((file, plugin)) = facts.calico() else { return facts.without(TOKEN) };
    let at = format!("{}/{}", facts.folder, file.name);
    let path = match (plugin.kubeconfig(), plugin.token()) {
        (Some(path), _) => path.to_owned(),
        (None, Some(_)) => at,
        (None, None) => {
            return Finding::new(
                TOKEN,
                Level::Skip,
                format!("{at} names no kubeconfig: the plugin uses etcd"),
            );
        }
    };
    let finding = |level, summary: String| Finding::new(TOKEN, level, summary);
    let Some(reading) = facts.evidence.get(CREDENTIALS) else {
        return finding(Level::Unknown, "the times of tokens were not asked for".to_owned());
    };
    let Some(Credentials { files }) = Credentials::parse(&reading.bytes) else {
        return finding(
            Level::Unknown,
            format!("the times of tokens are not known: {}", reason(reading)),
        );
    };
    let Some(credential) = files.iter().find(|credential| credential.path == path) else {
        return finding(Level::Unknown, format!("{path} was not looked at: {}", reason(reading)));
    };
    of(credential, reading.started)
}

fn of(credential: &Credential, now: Timestamp) -> Finding {
    let Credential { path, outcome, reason, modified, users } = credential;
    let user = users.first();
    let times = user.and_then(|user| user.times.as_ref());
    let age = |time: Timestamp| now.duration_since(time).as_secs();
    let evidence = json!({
        "path": path,
        "outcome": outcome,
        "modified": modified,
        "by": user.map(|user| user.by),
        "issued": times.and_then(|times| times.issued),
        "expires": times.and_then(|times| times.expires),
        "now": now,
    });
    let finding =
        |level, summary: String| Finding::new(TOKEN, level, summary).evidence(evidence.clone());
    let renewed = |finding: Finding| {
        finding
            .remedy("kubectl -n kube-system logs CALICO-NODE-POD -c calico-node | grep -i 'cni.*token'    # cni-config-monitor renews it")
            .remedy("kubectl -n kube-system delete pod CALICO-NODE-POD    # writes a new one at once")
    };
    let why = reason.clone().unwrap_or_else(|| outcome.to_string());
    match (outcome, user) {
        (Outcome::Missing, _) => {
            return renewed(finding(
                Level::Fail,
                format!(
                    "{path} is not there: the plugin cannot reach the API server, and no pod can be made"
                ),
            ));
        }
        (Outcome::Failed, _) => return renewed(finding(Level::Fail, format!("{path}: {why}"))),
        (Outcome::Ok, Some(user)) if user.by == Kind::None => {
            return renewed(finding(
                Level::Fail,
                format!("{path} has a user without any credential"),
            ));
        }
        (Outcome::Ok, Some(user)) if user.by != Kind::Token => {
            return finding(
                Level::Ok,
                format!(
                    "{path} has no token but {}, which is not judged",
                    if user.by == Kind::Certificate {
                        "a client certificate"
                    } else {
                        "another credential"
                    }
                ),
            );
        }
        (Outcome::Ok, Some(_)) => {}
        (Outcome::Ok, None) => return renewed(finding(Level::Fail, format!("{path} has no user"))),
        _ => return finding(Level::Unknown, format!("{path} could not be read: {why}")),
    }
    let Some(times) = times.filter(|times| times.is_jwt) else {
        return finding(
            Level::Info,
            format!("the token of {path} does not tell how long it holds"),
        );
    };
    if let Some(issued) = times.issued.filter(|issued| age(*issued) < -SKEW) {
        return finding(
            Level::Warn,
            format!("the token of {path} was issued {} from now, by the clock of this node: the clock is slow", span(-age(issued))),
        )
        .remedy("timedatectl; chronyc tracking");
    }
    let Some(expires) = times.expires else {
        return finding(Level::Ok, format!("the token of {path} does not expire"));
    };
    let left = -age(expires);
    let old =
        times.issued.map_or_else(String::new, |issued| format!(", {} old", span(age(issued))));
    if left <= 0 {
        let summary = format!(
            "the token of {path} expired {} ago{old}: pods cannot be made or removed (`Unauthorized`)",
            span(-left)
        );
        return renewed(finding(Level::Fail, summary))
            .remedy("timedatectl    # is the clock right?");
    }
    let is_late = times.issued.is_some_and(|issued| {
        let whole = expires.duration_since(issued).as_secs();
        left < whole / LAST_PART
    });
    if is_late {
        let summary = format!(
            "the token of {path} holds for {} only{old}: it should have been renewed by now",
            span(left)
        );
        return renewed(finding(Level::Warn, summary));
    }
    finding(Level::Ok, format!("the token of {path} holds for {}{old}", span(left)))
}

/// A span of time in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7_200.. => format!("{} hours", seconds / 3_600),
        120.. => format!("{} minutes", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
