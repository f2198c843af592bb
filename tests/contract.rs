//! What scripts that read calivet's JSON were promised: `docs/schema/v1` holds the schemas and the ids of findings as they
//! were released, and those of today may have more than them and nothing less.
//!
//! `CALIVET_RELEASE=1 cargo test contract` makes today's the promised ones, if they keep the old promises: a part of each
//! release.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use calivet::checks::CHECKS;
use serde_json::{Value, json};

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema")
}

fn read(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a document may be at one place, alternatives put together.
#[derive(Debug, Default)]
struct Shape<'a> {
    types: BTreeSet<&'a str>,
    /// The only texts that it may be; `None`: any.
    texts: Option<BTreeSet<&'a str>>,
    formats: BTreeSet<&'a str>,
    properties: BTreeMap<&'a str, Vec<&'a Value>>,
    /// Properties that every alternative which is an object has.
    required: Option<BTreeSet<&'a str>>,
    items: Vec<&'a Value>,
    /// Of the members of a map.
    members: Vec<&'a Value>,
    is_anything: bool,
}

impl<'a> Shape<'a> {
    fn of(root: &'a Value, alternatives: &[&'a Value]) -> Self {
        let mut shape = Self::default();
        for alternative in alternatives {
            shape.add(root, alternative);
        }
        shape
    }

    fn add(&mut self, root: &'a Value, schema: &'a Value) {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.add(root, root.pointer(reference.trim_start_matches('#')).unwrap());
        }
        let choices = ["anyOf", "oneOf"].iter().filter_map(|choice| schema[choice].as_array());
        let choices: Vec<&Value> = choices.flatten().collect();
        for choice in &choices {
            self.add(root, choice);
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let is_object = types.contains(&"object") || schema.get("properties").is_some();
        self.is_anything |= types.is_empty() && choices.is_empty() && !is_object;
        if types.contains(&"string") {
            let texts = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
            let texts: BTreeSet<&str> = texts.filter_map(Value::as_str).collect();
            if texts.is_empty() {
                self.texts = None;
                self.types.insert("text");
            } else if !self.types.contains("text") {
                self.texts.get_or_insert_default().extend(texts);
            }
            self.formats.extend(schema["format"].as_str());
        }
        self.types.extend(types);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            self.properties.entry(name).or_default().push(property);
        }
        if is_object {
            let names = schema["required"].as_array().into_iter().flatten();
            let names: BTreeSet<&str> = names.filter_map(Value::as_str).collect();
            self.required = Some(match self.required.take() {
                Some(others) => others.intersection(&names).copied().collect(),
                None => names,
            });
        }
        self.items.extend(schema.get("items"));
        self.members.extend(schema.get("additionalProperties").filter(|schema| schema.is_object()));
    }
}

/// What a reader of the old documents would stumble over in the new ones.
fn broken(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, seen: BTreeSet::new(), broken: Vec::new() };
    comparison.compare("", &[old], &[new]);
    comparison.broken
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    /// Pairs that are compared already: a schema may hold itself.
    seen: BTreeSet<(Vec<*const Value>, Vec<*const Value>)>,
    broken: Vec<String>,
}

impl<'a> Comparison<'a> {
    fn compare(&mut self, path: &str, olds: &[&'a Value], news: &[&'a Value]) {
        let resolve = |root: &'a Value, schema: &'a Value| match schema["$ref"].as_str() {
            Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => schema,
        };
        let place = |root, schemas: &[&'a Value]| -> Vec<*const Value> {
            schemas.iter().map(|&schema| std::ptr::from_ref(resolve(root, schema))).collect()
        };
        if !self.seen.insert((place(self.old, olds), place(self.new, news))) {
            return;
        }
        let (was, is) = (Shape::of(self.old, olds), Shape::of(self.new, news));
        let mut breaks = |what: String| self.broken.push(format!("{path}: {what}"));
        if was.is_anything {
            return;
        }
        if is.is_anything {
            breaks("it may be anything now".to_owned());
            return;
        }
        for kind in is.types.difference(&was.types).filter(|kind| **kind != "text") {
            // Every integer is a number.
            if !(*kind == "integer" && was.types.contains("number")) {
                breaks(format!("it may be {kind} now"));
            }
        }
        match (&was.texts, &is.texts) {
            (Some(was), Some(is)) => {
                for text in was.difference(is) {
                    breaks(format!("{text} is no value any more"));
                }
            }
            (Some(_), None) if is.types.contains("string") => {
                breaks("it may be any text now".to_owned());
            }
            _ => {}
        }
        if is.types.contains("string") && !was.formats.is_empty() && was.formats != is.formats {
            breaks(format!("its format was {:?} and is {:?}", was.formats, is.formats));
        }
        let none = BTreeSet::new();
        let required = is.required.as_ref().unwrap_or(&none);
        for name in was.properties.keys().filter(|name| !is.properties.contains_key(*name)) {
            breaks(format!("{name} is gone"));
        }
        for name in was.required.iter().flatten().filter(|name| !required.contains(*name)) {
            if is.properties.contains_key(name) {
                breaks(format!("{name} may be missing now"));
            }
        }
        for (name, olds) in &was.properties {
            if let Some(news) = is.properties.get(name) {
                self.compare(&format!("{path}.{name}"), olds, news);
            }
        }
        if !was.items.is_empty() && !is.items.is_empty() {
            self.compare(&format!("{path}[]"), &was.items, &is.items);
        }
        if !was.members.is_empty() && !is.members.is_empty() {
            self.compare(&format!("{path}.*"), &was.members, &is.members);
        }
    }
}

fn promised() -> Vec<PathBuf> {
    let files = fs::read_dir(schemas().join("v1")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| !path.ends_with("finding-ids.json")).collect();
    files.sort();
    files
}

fn ids() -> BTreeSet<&'static str> {
    CHECKS.iter().flat_map(|check| check.finds).map(|kind| kind.id).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn what_was_promised_to_readers_of_json_is_kept() {
    let mut all = Vec::new();
    for path in promised() {
        let today = schemas().join(name(&path));
        if today.exists() {
            let broken = broken(&read(&path), &read(&today));
            all.extend(broken.into_iter().map(|what| format!("{}{what}", name(&path))));
        } else {
            all.push(format!("{} is gone", name(&path)));
        }
    }
    let released = read(&schemas().join("v1/finding-ids.json"));
    let released = released.as_array().unwrap().iter().filter_map(Value::as_str);
    all.extend(released.filter(|id| !ids().contains(id)).map(|id| format!("no check finds {id}")));
    assert!(all.is_empty(), "scripts would break: {all:#?}");
    if std::env::var_os("CALIVET_RELEASE").is_some() {
        release();
    }
}

/// Makes today's schemas and ids the promised ones.
fn release() {
    for entry in fs::read_dir(schemas()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            fs::copy(&path, schemas().join("v1").join(name(&path))).unwrap();
        }
    }
    let mut text = serde_json::to_string_pretty(&ids()).unwrap();
    text.push('\n');
    fs::write(schemas().join("v1/finding-ids.json"), text).unwrap();
}

#[test]
fn every_schema_has_been_promised() {
    let promised: BTreeSet<String> = promised().iter().map(|path| name(path).to_owned()).collect();
    for entry in fs::read_dir(schemas()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(promised.contains(name(&path)), "{}: CALIVET_RELEASE=1", path.display());
        }
    }
}

/// A schema with all that occurs in calivet's.
fn sample() -> Value {
    json!({
        "type": "object",
        "required": ["schemaVersion", "node", "findings", "counts"],
        "properties": {
            "schemaVersion": {"type": "integer", "format": "uint32", "minimum": 0},
            "node": {"type": ["string", "null"]},
            "time": {"type": "string", "format": "date-time"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "tool": {"anyOf": [{"$ref": "#/$defs/Tool"}, {"type": "null"}]},
            "options": true,
            "findings": {"type": "array", "items": {"$ref": "#/$defs/Finding"}}
        },
        "$defs": {
            "Tool": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "Finding": {
                "type": "object",
                "required": ["id", "level"],
                "properties": {
                    "id": {"type": "string"},
                    "level": {"oneOf": [{"type": "string", "const": "ok"}, {"type": "string", "const": "fail"}]},
                    "causes": {"type": "array", "items": {"$ref": "#/$defs/Finding"}}
                }
            }
        }
    })
}

/// Sets what lies at a pointer, or takes it away.
fn changed(pointer: &str, value: Option<Value>) -> Value {
    let mut schema = sample();
    let (above, name) = pointer.rsplit_once('/').unwrap();
    let above = schema.pointer_mut(above).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => above.insert(name.to_owned(), value),
        None => above.remove(name),
    };
    schema
}

#[test]
fn a_change_that_breaks_readers_is_told_with_its_place() {
    let level = "/$defs/Finding/properties/level";
    let cases = [
        (changed("/properties/node", None), ": node is gone"),
        (changed("/$defs/Finding/properties/id", None), ".findings[]: id is gone"),
        (changed("/$defs/Tool/properties/name", None), ".tool: name is gone"),
        (changed("/properties/node/type", Some(json!("integer"))), ".node: it may be integer now"),
        (
            changed("/$defs/Finding/properties/id/type", Some(json!(["string", "null"]))),
            ".findings[].id: it may be null now",
        ),
        (
            changed("/properties/counts/additionalProperties/type", Some(json!("string"))),
            ".counts.*: it may be string now",
        ),
        (
            changed("/required", Some(json!(["schemaVersion", "findings", "counts"]))),
            ": node may be missing now",
        ),
        (
            changed("/$defs/Finding/required", Some(json!(["id"]))),
            ".findings[]: level may be missing now",
        ),
        (
            changed(level, Some(json!({"type": "string", "const": "ok"}))),
            ".findings[].level: fail is no value any more",
        ),
        (
            changed(level, Some(json!({"type": "string"}))),
            ".findings[].level: it may be any text now",
        ),
        (
            changed("/properties/time/format", None),
            ".time: its format was {\"date-time\"} and is {}",
        ),
        (changed("/properties/time", Some(json!(true))), ".time: it may be anything now"),
    ];
    for (new, expected) in cases {
        assert_eq!(broken(&sample(), &new), [expected]);
    }
}

#[test]
fn a_change_that_only_adds_is_none_to_readers() {
    let finding = "/$defs/Finding/properties";
    let cases = [
        sample(),
        changed("/properties/more", Some(json!({"type": "string"}))),
        changed(&format!("{finding}/more"), Some(json!({"$ref": "#/$defs/Tool"}))),
        changed("/required", Some(json!(["schemaVersion", "node", "findings", "counts", "time"]))),
        changed("/properties/node/type", Some(json!("string"))),
        changed("/properties/options", Some(json!({"type": "object"}))),
        changed(
            &format!("{finding}/level"),
            Some(json!({"type": "string", "enum": ["ok", "fail", "unknown"]})),
        ),
        changed("/$defs/Tool/description", Some(json!("who wrote it"))),
    ];
    for new in cases {
        assert_eq!(broken(&sample(), &new), Vec::<String>::new());
    }
}

#[test]
fn every_document_says_the_version_of_its_schema() {
    for path in promised() {
        let schema = read(&path);
        let version = &schema["properties"]["schemaVersion"];
        assert_eq!(version["type"], "integer", "{}", path.display());
        let required = schema["required"].as_array().unwrap();
        assert!(required.contains(&json!("schemaVersion")), "{}", path.display());
    }
}
