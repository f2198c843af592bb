//! The schemas that scripts rely on are those of the types, and what calivet writes keeps to them.
//!
//! `CALIVET_BLESS=1 cargo test schemas` writes them anew: look at the difference before you commit it. Fields may
//! be added, never renamed or taken away.

use std::fs;
use std::path::PathBuf;

use calivet::bundle::diff::Diff;
use calivet::bundle::inventory::{List, Overview, Verification};
use calivet::bundle::manifest::Manifest;
use calivet::bundle::plan::Plan;
use calivet::bundle::redacted::Redacted;
use calivet::checks::Report;
use calivet::checks::explained::Explanations;
use calivet::status::NodeStatus;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

#[track_caller]
fn is_current(name: &str, schema: &Schema) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/schema").join(name);
    let mut text = serde_json::to_string_pretty(schema).unwrap();
    text.push('\n');
    if std::env::var_os("CALIVET_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is not current: CALIVET_BLESS=1 writes it", path.display());
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    is_current("node-status.json", &schema::<NodeStatus>());
    is_current("manifest.json", &schema::<Manifest>());
    is_current("check.json", &schema::<Report>());
    is_current("bundle-show.json", &schema::<Overview>());
    is_current("bundle-list.json", &schema::<List>());
    is_current("bundle-redact.json", &schema::<Redacted>());
    is_current("bundle-verify.json", &schema::<Verification>());
    is_current("bundle-diff.json", &schema::<Diff>());
    is_current("explain.json", &schema::<Explanations>());
    is_current("node-diags-dry-run.json", &schema::<Plan>());
}

/// The paths of all properties of a schema, such as `bgp.ipv4.peers[].name`.
fn properties(root: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    let resolved = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    for choice in ["anyOf", "oneOf"] {
        for schema in resolved[choice].as_array().into_iter().flatten() {
            properties(root, schema, path, found);
        }
    }
    if let Some(items) = resolved.get("items") {
        properties(root, items, &format!("{path}[]"), found);
    }
    for (name, schema) in resolved["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push(path.clone());
        properties(root, schema, &path, found);
    }
}

/// The names that scripts were promised. One that is missing here is a broken promise, not a test to be changed.
#[test]
fn every_promised_field_is_in_the_schemas() {
    let fields = |schema: Schema| {
        let root = Value::from(schema);
        let mut found = Vec::new();
        properties(&root, &root, "", &mut found);
        found
    };
    let status = fields(schema::<NodeStatus>());
    let agents =
        ["felix", "bird", "bird6", "confd"].map(|agent| format!(".agents.{agent}.running"));
    let felix =
        ["pid", "command", "live", "ready", "reason"].map(|field| format!(".agents.felix.{field}"));
    let family = [
        "state",
        "version",
        "routerId",
        "bootTime",
        "reconfigurationTime",
        "gracefulRestart",
        "error",
        "established",
        "notEstablished",
        "peers",
    ];
    let peer = [
        "name",
        "address",
        "port",
        "type",
        "state",
        "since",
        "sinceTime",
        "info",
        "bgpState",
        "lastError",
        "remoteAs",
        "localAs",
        "sourceAddress",
        "routes",
        "routes.imported",
        "routes.exported",
        "routes.preferred",
        "holdTimer",
        "keepaliveTimer",
    ];
    let mut promised = vec![".schemaVersion".to_owned(), ".node".to_owned(), ".time".to_owned()];
    promised.extend(agents.into_iter().chain(felix));
    promised.push(".agents.bird.socket".to_owned());
    for version in ["ipv4", "ipv6"] {
        promised.extend(family.map(|field| format!(".bgp.{version}.{field}")));
        promised.extend(peer.map(|field| format!(".bgp.{version}.peers[].{field}")));
    }
    for field in promised {
        assert!(status.contains(&field), "{field} is not in the status");
    }
    let manifest = fields(schema::<Manifest>());
    let top = [
        "schemaVersion",
        "tool",
        "node",
        "started",
        "finished",
        "options",
        "interrupted",
        "complete",
        "untouched",
        "items",
    ];
    let item = [
        "path",
        "source",
        "collector",
        "outcome",
        "reason",
        "bytes",
        "originalBytes",
        "sha256",
        "started",
        "durationMs",
        "exitStatus",
        "redactions",
    ];
    let item = item.map(|field| format!(".items[].{field}"));
    for field in top.map(|field| format!(".{field}")).into_iter().chain(item) {
        assert!(manifest.contains(&field), "{field} is not in the manifest");
    }
    let report = fields(schema::<Report>());
    let levels = ["ok", "info", "warn", "fail", "unknown", "skip"];
    let finding = ["id", "check", "level", "summary", "evidence", "remedy", "docs"];
    let promised = ["schemaVersion", "node", "time", "summary", "findings"]
        .map(|field| format!(".{field}"))
        .into_iter()
        .chain(levels.map(|level| format!(".summary.{level}")))
        .chain(finding.map(|field| format!(".findings[].{field}")));
    for field in promised {
        assert!(report.contains(&field), "{field} is not in the report of check");
    }
}
