//! etcd v3, asked over its JSON gateway (`/v3/...`, part of etcd since 3.4).
//!
//! ```text
//! POST /v3/kv/range {"key": "L2NhbGljby8=", "range_end": "L2NhbGljbzA=", "limit": 1}
//! {"header": {...}, "kvs": [{"key": "L2NhbGljby8uLi4=", "value": "eyJr..."}], "more": true, "count": "41"}
//! ```
//!
//! Numbers of 64 bits are texts, and what is empty or zero is left out. An etcd that takes a client's certificate for a
//! user (`--client-cert-auth` with authentication on) refuses its own gateway: there, a user and password are needed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::line::{Answer, Line};
use super::{Listed, PAGE_BYTES, Refused, cut_down, not_understood};
use crate::datastore::health::Health;
use crate::datastore::{Resource, Secret};
use crate::host::Outcome;

/// All that is Calico's.
const CALICO: &str = "/calico/";

/// What one page holds: a node's resource takes some hundred bytes to a few thousand.
const PAGE: u64 = 500;

/// What an etcd says that has its authentication off (`rpctypes.ErrGRPCAuthNotEnabled`).
const AUTH_OFF: &str = "authentication is not enabled";

/// What an etcd says to a user whose roles do not allow something (`rpctypes.ErrGRPCPermissionDenied`).
const MAY_NOT: &str = "permission denied";

/// Asks for a token, which is then shown with each question.
pub(super) async fn log_in(line: &mut Line, name: &str, password: &Secret) -> Result<(), Refused> {
    let question = json!({"name": name, "password": password.0});
    let answer = line.ask("/v3/auth/authenticate", Some(question), PAGE_BYTES).await?;
    let said = parsed(&answer);
    if let Some(token) = said.as_ref().ok().and_then(|said| said["token"].as_str()) {
        line.authorization = Some(token.to_owned());
        return Ok(());
    }
    match refusal(&answer) {
        // Then nobody needs to say who they are.
        Some(why) if why.reason.contains(AUTH_OFF) => Ok(()),
        Some(why) => Err(why),
        None => Err(not_understood("/v3/auth/authenticate")),
    }
}

/// What the member says of itself and of Calico's keys.
pub(super) async fn examine(line: &mut Line, health: &mut Health) {
    if let Some(said) = noted(line, "/version", None, health).await {
        health.version = said["etcdserver"].as_str().map(str::to_owned);
    }
    if let Some(said) = noted(line, "/health", None, health).await {
        // A text up to 3.5, and a truth value in some.
        let told = &said["health"];
        health.healthy = told.as_bool().or_else(|| told.as_str().map(|told| told == "true"));
    }
    if let Some(said) = noted(line, "/v3/maintenance/status", Some(json!({})), health).await {
        health.database_bytes = number(&said["dbSize"]);
        let complaints = said["errors"].as_array().into_iter().flatten();
        health.complaints = complaints.filter_map(Value::as_str).map(str::to_owned).collect();
        if said["leader"].as_str().is_none_or(|leader| leader == "0") {
            health.complaints.push("the member has no leader".to_owned());
        }
    }
    let alarms = json!({"action": "GET"});
    if let Some(said) = noted(line, "/v3/maintenance/alarm", Some(alarms), health).await {
        let alarms = said["alarms"].as_array().into_iter().flatten();
        let named = alarms.filter_map(|alarm| alarm["alarm"].as_str()).map(str::to_owned);
        health.alarms = Some(named.collect());
    }
    let range = json!({"key": encode(CALICO.as_bytes()), "range_end": encode(&after(CALICO)),
        "limit": 1, "keys_only": true});
    match question(line, "/v3/kv/range", Some(range)).await {
        Ok(said) => health.keys = Some(number(&said["count"]).unwrap_or(0)),
        // Who is known and may not read these is let in all the same.
        Err(why) if why.is_auth() && !why.reason.contains(MAY_NOT) => {
            health.refusal.get_or_insert(why.reason);
        }
        Err(why) => health.unknown.push(format!("Calico's keys: {}", why.reason)),
    }
}

/// All resources of a kind.
pub(super) async fn list(
    line: &mut Line,
    resource: Resource,
    listed: &mut Listed,
) -> Result<(), Refused> {
    let prefix = format!("/calico/resources/v3/projectcalico.org/{}/", resource.plural());
    listed.source = format!("{}{prefix}", line.url());
    let end = encode(&after(&prefix));
    let mut from = prefix.into_bytes();
    loop {
        let range = json!({"key": encode(&from), "range_end": end, "limit": PAGE});
        let said = question(line, "/v3/kv/range", Some(range)).await?;
        let pairs = said["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
        for pair in pairs {
            let value = pair["value"].as_str().and_then(|value| STANDARD.decode(value).ok());
            let item = value.and_then(|value| serde_json::from_slice::<Value>(&value).ok());
            let Some(item) = item.filter(Value::is_object) else {
                listed.unreadable += 1;
                continue;
            };
            if !listed.take(&cut_down(item)) {
                return Ok(());
            }
        }
        if said["more"] != true {
            return Ok(());
        }
        // The next key that there can be.
        let last = pairs.last().and_then(|pair| STANDARD.decode(pair["key"].as_str()?).ok());
        match last {
            Some(last) if last > from => from = [last.as_slice(), b"\0"].concat(),
            _ => return Err(not_understood("/v3/kv/range")),
        }
    }
}

/// Asks, and notes why it stays unknown if it does.
async fn noted(
    line: &mut Line,
    path: &str,
    body: Option<Value>,
    health: &mut Health,
) -> Option<Value> {
    match question(line, path, body).await {
        Ok(said) => Some(said),
        Err(why) => {
            health.unknown.push(format!("{path}: {}", why.reason));
            None
        }
    }
}

async fn question(line: &mut Line, path: &str, body: Option<Value>) -> Result<Value, Refused> {
    let answer = line.ask(path, body, PAGE_BYTES).await?;
    // An unhealthy member says so with 503.
    if path != "/health"
        && let Some(why) = refusal(&answer)
    {
        return Err(why);
    }
    parsed(&answer).map_err(|()| not_understood(path))
}

fn parsed(answer: &Answer) -> Result<Value, ()> {
    serde_json::from_slice(&answer.bytes).map_err(|_| ())
}

/// Why a question was refused: `{"error": "etcdserver: user name is empty", "code": 3}`.
fn refusal(answer: &Answer) -> Option<Refused> {
    if answer.status == 200 {
        return None;
    }
    let said = parsed(answer).unwrap_or_default();
    let message = said["error"].as_str().or_else(|| said["message"].as_str());
    let message = message.map_or_else(|| format!("HTTP {}", answer.status), str::to_owned);
    // The words of `rpctypes`: the status is 400, 401 or 403, by the version.
    let is_auth = ["user name", "authentication failed", "invalid auth token", MAY_NOT]
        .iter()
        .any(|words| message.contains(words))
        || matches!(answer.status, 401 | 403);
    let outcome = if is_auth { Outcome::Denied } else { Outcome::Failed };
    Some(Refused { outcome, reason: format!("etcd refused: {message}") })
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The first key after all that begin with `prefix`, which ends in a slash.
fn after(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
