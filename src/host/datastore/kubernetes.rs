//! The Kubernetes API, as far as Calico keeps its resources there.
//!
//! ```text
//! GET /apis/crd.projectcalico.org/v1/ippools?limit=500
//! {"kind": "IPPoolList", "metadata": {"continue": "..."}, "items": [{"metadata": {"name": "..."}, "spec": {...}}]}
//! ```
//!
//! Only `GET`: whether something is permitted is told by the answer to the question itself. Secrets are never asked for.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::line::{Answer, Line};
use super::{Listed, PAGE_BYTES, Refused, cut_down, not_understood};
use crate::datastore::Resource;
use crate::datastore::health::Health;
use crate::datastore::resources::ANNOTATION;
use crate::host::Outcome;

/// Both groups under which Calico's resources may be served, that of the custom resources behind the API first
/// (`libcalico-go/lib/backend/k8s`).
const GROUPS: [&str; 2] = ["crd.projectcalico.org/v1", "projectcalico.org/v3"];

/// What one page holds. A node's resource takes some ten thousand bytes.
const PAGE: u32 = 100;

/// What the API server says of itself.
pub(super) async fn examine(line: &mut Line, health: &mut Health) {
    match question(line, "/version").await {
        Ok(said) => health.version = said["gitVersion"].as_str().map(str::to_owned),
        Err(why) if is_stranger(&why) => health.refusal = Some(why.reason),
        Err(why) => health.unknown.push(format!("/version: {}", why.reason)),
    }
    match groups(line).await {
        Ok(groups) => health.groups = Some(groups),
        Err(why) if is_stranger(&why) => health.refusal = Some(why.reason),
        Err(why) => health.unknown.push(format!("/apis: {}", why.reason)),
    }
}

/// Whether who asks is not known at all; somebody who is known may ask all of that.
fn is_stranger(why: &Refused) -> bool {
    why.reason.starts_with("the API server answered 401") || why.reason.contains("system:anonymous")
}

/// Calico's groups that are served.
async fn groups(line: &mut Line) -> Result<Vec<String>, Refused> {
    let said = question(line, "/apis").await?;
    let groups = said["groups"].as_array().ok_or_else(|| not_understood("/apis"))?;
    let versions = groups.iter().filter_map(|group| group["versions"].as_array()).flatten();
    let served: Vec<&str> =
        versions.filter_map(|version| version["groupVersion"].as_str()).collect();
    Ok(GROUPS.iter().filter(|group| served.contains(group)).map(ToString::to_string).collect())
}

/// The group from which Calico's resources are read.
pub(super) async fn group(line: &mut Line, configured: Option<&str>) -> Result<String, Refused> {
    if let Some(group) = configured {
        return Ok(group.to_owned());
    }
    groups(line).await?.into_iter().next().ok_or_else(|| Refused {
        outcome: Outcome::Missing,
        reason: format!("the API serves neither {} nor {}", GROUPS[0], GROUPS[1]),
    })
}

/// All resources of a kind.
pub(super) async fn list(
    line: &mut Line,
    resource: Resource,
    group: &str,
    listed: &mut Listed,
) -> Result<(), Refused> {
    let base = match resource {
        Resource::Nodes => "/api/v1/nodes".to_owned(),
        other => format!("/apis/{group}/{}", other.plural()),
    };
    listed.source = format!("{}{base}", line.url());
    let mut more = String::new();
    loop {
        let path = if more.is_empty() {
            format!("{base}?limit={PAGE}")
        } else {
            format!("{base}?limit={PAGE}&continue={}", escape(&more))
        };
        let mut said = match question(line, &path).await {
            Err(why) if !more.is_empty() && why.outcome == Outcome::Missing => {
                // 410: what was begun has expired. What came is kept.
                listed.truncated = true;
                return Ok(());
            }
            said => said?,
        };
        let items = match said["items"].take() {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            _ => return Err(not_understood(&base)),
        };
        let is_empty = items.is_empty();
        for item in items {
            let item = if resource == Resource::Nodes { node(&item) } else { cut_down(item) };
            if !listed.take(&item) {
                return Ok(());
            }
        }
        let next = said["metadata"]["continue"].as_str().unwrap_or_default();
        if next.is_empty() {
            return Ok(());
        }
        if is_empty || next == more {
            return Err(not_understood(&base));
        }
        next.clone_into(&mut more);
    }
}

/// Of a node, what Calico reads of it: no images, conditions and annotations of others.
fn node(item: &Value) -> Value {
    let annotations: Map<String, Value> = item["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with(ANNOTATION))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    json!({
        "metadata": {
            "name": item["metadata"]["name"], "labels": item["metadata"]["labels"], "annotations": annotations,
        },
        "spec": {"podCIDRs": item["spec"]["podCIDRs"]},
        "status": {"addresses": item["status"]["addresses"]},
    })
}

async fn question(line: &mut Line, path: &str) -> Result<Value, Refused> {
    let answer = line.ask(path, None, PAGE_BYTES).await?;
    match answer.status {
        200 => serde_json::from_slice(&answer.bytes).map_err(|_| not_understood(path)),
        status => Err(refused(status, &answer)),
    }
}

/// Why a question was refused: a `Status` with a message.
fn refused(status: u16, answer: &Answer) -> Refused {
    let said: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    let message = said["message"].as_str().unwrap_or("no reason was given");
    let outcome = match status {
        401 | 403 => Outcome::Denied,
        404 | 410 => Outcome::Missing,
        _ => Outcome::Failed,
    };
    Refused { outcome, reason: format!("the API server answered {status}: {message}") }
}

/// What may stand in a query as it is.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
