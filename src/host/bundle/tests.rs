#![allow(clippy::disallowed_methods, reason = "tests make bundles in a temporary folder")]

use super::*;
use crate::archive::Output;
use crate::archive::writer::Writer;
use crate::host::{Sensitivity, Source};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fs;

fn time() -> Timestamp {
    "2026-11-23T02:33:26Z".parse().unwrap()
}

/// A bundle of these entries, in a folder that goes with it.
fn bundle(entries: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diags.tar.gz");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut writer = Writer::new(Output::create(&path, false).unwrap(), 1, 1);
        for (name, data) in entries {
            writer.add(name, data.to_vec(), time()).await.unwrap();
        }
        writer.finish().await.unwrap();
    });
    (folder, path)
}

fn open(entries: &[(&str, &[u8])]) -> Bundle {
    let (_folder, path) = bundle(entries);
    Bundle::open(&path).unwrap()
}

fn with_manifest(items: Value, entries: &[(&str, &[u8])]) -> Bundle {
    let manifest = manifest(items);
    let mut all: Vec<(&str, &[u8])> = vec![("manifest.json", b"{\"schemaVersion\": 1}")];
    all.extend_from_slice(entries);
    all.push(("manifest.json", &manifest));
    open(&all)
}

#[allow(clippy::needless_pass_by_value, reason = "it is made where it is given")]
fn manifest(items: Value) -> Vec<u8> {
    let manifest = json!({
        "schemaVersion": 1, "tool": {"name": "calivet", "version": "0"}, "node": "node-1",
        "started": "2026-11-23T01:00:00Z", "finished": "2026-11-23T01:00:01Z", "options": {},
        "interrupted": false, "complete": true, "items": items,
    });
    serde_json::to_vec(&manifest).unwrap()
}

fn item(path: &str, outcome: &str, more: &Value) -> Value {
    let mut item = json!({
        "path": path, "source": path, "collector": "c", "outcome": outcome, "reason": null, "bytes": 1,
        "originalBytes": 9, "sha256": null, "started": "2026-11-23T01:00:00.5Z", "durationMs": 1500,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        item[key] = value.clone();
    }
    item
}

fn named(name: &'static str) -> Artifact {
    Artifact::command(name, "true")
}

fn outcome(bundle: &Bundle, name: &'static str) -> (Outcome, String, String) {
    let reading = bundle.read(&named(name));
    (reading.outcome, reading.reason.clone().unwrap_or_default(), reading.text().into_owned())
}

const HI: &str = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";

#[test]
fn an_item_is_given_as_the_host_gave_it() {
    let more = json!({
        "reason": "killed after 10s", "place": "nft in calico-node", "exitStatus": 7, "sha256": HI.to_uppercase(),
        "modified": "2026-11-22T13:50:00Z"
    });
    let bundle =
        with_manifest(json!([item("nft_ruleset", "timeout", &more)]), &[("nft_ruleset", b"hi")]);
    assert_eq!(
        bundle.read(&named("nft_ruleset")),
        Reading {
            outcome: Outcome::Timeout,
            reason: Some("killed after 10s".to_owned()),
            bytes: b"hi".to_vec(),
            original_bytes: 9,
            modified: Some("2026-11-22T13:50:00Z".parse().unwrap()),
            link: None,
            place: Some("nft in calico-node".to_owned()),
            started: "2026-11-23T01:00:00.5Z".parse().unwrap(),
            duration: Duration::from_millis(1500),
            exit_status: Some(7),
        }
    );
    assert_eq!(bundle.node(), Some("node-1"));
    assert_eq!(bundle.time(), "2026-11-23T01:00:00Z".parse().unwrap());
    assert!(bundle.warnings().is_empty(), "{:?}", bundle.warnings());
}

#[test]
fn what_is_not_there_is_told_apart() {
    let denied = item("b", "denied", &json!({"reason": "permission denied (EACCES)"}));
    let items = json!([
        item("a", "ok", &json!({"sha256": HI})),
        denied,
        item("c", "truncated", &json!({"sha256": HI, "reason": "cut at 16 MiB"})),
        item("d", "ok", &json!({"sha256": HI})),
        item("e", "timeout", &json!({"sha256": HI, "reason": "slow"})),
    ]);
    let bundle = with_manifest(items, &[("d", b"other"), ("c", b"hi"), ("summary.txt", b"s")]);
    let lacks = "the manifest lists it, the archive lacks it".to_owned();
    let none = String::new;
    assert_eq!(outcome(&bundle, "a"), (Outcome::Failed, lacks.clone(), none()));
    assert_eq!(
        outcome(&bundle, "b"),
        (Outcome::Denied, "permission denied (EACCES)".to_owned(), none())
    );
    assert_eq!(
        outcome(&bundle, "c"),
        (Outcome::Truncated, "cut at 16 MiB".to_owned(), "hi".to_owned())
    );
    let differs = "its SHA-256 is not the one that the manifest lists".to_owned();
    assert_eq!(outcome(&bundle, "d"), (Outcome::Failed, differs, none()));
    assert_eq!(outcome(&bundle, "e"), (Outcome::Failed, lacks, none()));
    let missing = "the bundle does not hold it".to_owned();
    assert_eq!(outcome(&bundle, "f"), (Outcome::Skipped, missing, none()));
    assert_eq!(outcome(&bundle, "summary.txt"), (Outcome::Ok, none(), "s".to_owned()));
    assert_eq!(bundle.read(&named("f")).started, bundle.time());
}

#[test]
fn a_bundle_of_calicoctl_gives_the_files_it_has() {
    let bundle = open(&[("date", b"now"), ("ipv4_route", b"default")]);
    assert_eq!(outcome(&bundle, "date"), (Outcome::Ok, String::new(), "now".to_owned()));
    assert_eq!(outcome(&bundle, "ipsets").0, Outcome::Skipped);
    assert_eq!((bundle.node(), bundle.time()), (None, time()));
    assert!(bundle.warnings()[0].contains("no manifest"));
}

#[test]
fn logs_are_listed_and_not_kept_but_for_what_checks_rest_on() {
    let bundle = open(&[
        ("logs/felix.log", &[b'x'; 5000]),
        ("logs/kernel.log", b"<4>[1.0] x"),
        ("logs/pods_listing", b"040755"),
    ]);
    for (path, text) in [("logs/kernel.log", "<4>[1.0] x"), ("logs/pods_listing", "040755")] {
        assert_eq!(outcome(&bundle, path), (Outcome::Ok, String::new(), text.to_owned()));
    }
    let (result, reason, text) = outcome(&bundle, "logs/felix.log");
    assert_eq!(
        (result, reason.as_str(), text.len()),
        (Outcome::Skipped, "logs are not read from a bundle", 0)
    );
}

#[test]
fn a_large_entry_is_kept_in_part_and_says_so() {
    let large = vec![b'x'; (16 << 20) + 1];
    let bundle = open(&[("ss", &large), ("date", b"now")]);
    let reading = bundle.read(&named("ss"));
    assert_eq!((reading.outcome, reading.bytes.len()), (Outcome::Truncated, 16 << 20));
    assert_eq!(reading.reason.unwrap(), "16777216 of its 16777217 bytes are kept in memory");
    assert_eq!(outcome(&bundle, "date").0, Outcome::Ok);
}

#[test]
fn the_routes_are_kept_as_long_as_a_node_tells_them() {
    let long = vec![b' '; (64 << 20) + 1];
    let bundle = open(&[("network/routes.json", &long[1..])]);
    let reading = bundle.read(&named("network/routes.json"));
    assert_eq!((reading.outcome, reading.bytes.len()), (Outcome::Ok, 64 << 20));
    let bundle = open(&[("network/routes.json", &long)]);
    assert_eq!(bundle.read(&named("network/routes.json")).outcome, Outcome::Truncated);
}

#[test]
fn beyond_what_all_may_take_nothing_more_is_kept_but_the_manifest() {
    let large = vec![0; 15 << 20];
    let names: Vec<String> = ('a'..='n').map(String::from).collect();
    let mut entries: Vec<(&str, &[u8])> =
        names.iter().map(|name| (name.as_str(), large.as_slice())).collect();
    let manifest = manifest(json!([]));
    entries.push(("manifest.json", &manifest));
    let bundle = open(&entries);
    let kept: usize = bundle.entries.values().map(|entry| entry.bytes.len()).sum();
    assert_eq!(kept, (192 << 20) + manifest.len());
    assert_eq!(
        (outcome(&bundle, "l").0, outcome(&bundle, "m").0, outcome(&bundle, "n").0),
        (Outcome::Ok, Outcome::Truncated, Outcome::Truncated)
    );
    assert_eq!(bundle.node(), Some("node-1"));
}

#[test]
fn a_cut_bundle_calls_nothing_missing() {
    let opening =
        json!({"schemaVersion": 1, "node": "n", "started": time(), "finished": null, "items": []});
    let opening = serde_json::to_vec(&opening).unwrap();
    let noise: Vec<u8> =
        (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (_folder, path) = bundle(&[("manifest.json", &opening), ("date", b"now"), ("ss", &noise)]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let bundle = Bundle::open(&path).unwrap();
    assert_eq!((bundle.node(), bundle.time()), (Some("n"), time()));
    assert_eq!(outcome(&bundle, "date"), (Outcome::Ok, String::new(), "now".to_owned()));
    let partial = bundle.read(&named("ss"));
    assert_eq!(partial.outcome, Outcome::Interrupted);
    assert!(noise.starts_with(&partial.bytes) && partial.bytes.len() > 10_000);
    let (result, reason, _) = outcome(&bundle, "ipsets");
    assert_eq!(result, Outcome::Interrupted);
    assert_eq!(reason, "the bundle does not hold it, and the bundle's end is missing");
    assert_eq!(bundle.warnings(), ["the bundle's end is missing"]);
}

#[test]
fn a_damaged_bundle_does_not_pass_its_last_entry_for_whole() {
    let (_folder, path) = bundle(&[("date", b"now"), ("hostname", b"me")]);
    let mut bytes = fs::read(&path).unwrap();
    let mut rest = bytes.as_slice();
    for _ in 0..2 {
        let mut member = flate2::bufread::GzDecoder::new(rest);
        std::io::copy(&mut member, &mut std::io::sink()).unwrap();
        rest = member.into_inner();
    }
    // The checksum of the second member.
    let place = bytes.len() - rest.len() - 8;
    bytes[place] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let bundle = Bundle::open(&path).unwrap();
    assert_eq!(outcome(&bundle, "date").0, Outcome::Ok);
    assert_eq!(outcome(&bundle, "hostname").0, Outcome::Failed);
    assert!(bundle.warnings()[0].starts_with("the bundle is damaged: "), "{:?}", bundle.warnings());
}

#[test]
fn an_unpacked_bundle_answers_as_the_packed_one() {
    let items = json!([item("date", "ok", &json!({"sha256": HI}))]);
    let manifest = manifest(items);
    let (folder, packed) = bundle(&[("date", b"hi"), ("manifest.json", &manifest)]);
    let below = folder.path().join("diagnostics");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("date"), "hi").unwrap();
    let bare = Bundle::open(&below).unwrap();
    assert_eq!(outcome(&bare, "date").0, Outcome::Ok);
    fs::write(below.join("manifest.json"), &manifest).unwrap();
    let packed = Bundle::open(&packed).unwrap();
    for path in [folder.path(), &below] {
        let unpacked = Bundle::open(path).unwrap();
        assert_eq!(unpacked.read(&named("date")), packed.read(&named("date")));
        assert_eq!(unpacked.read(&named("date")).outcome, Outcome::Ok);
    }
}

#[test]
fn what_is_no_bundle_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let error = || Bundle::open(&path).unwrap_err().to_string();
    assert_eq!(error(), format!("there is no bundle {}", path.display()));
    fs::write(&path, "text").unwrap();
    assert_eq!(error(), format!("{} is no bundle: not a gzip file", path.display()));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let reason = "is not a bundle: it has neither diagnostics/ nor manifest.json";
    assert_eq!(error(), format!("{} {reason}", path.display()));
}

#[test]
fn a_newer_bundle_is_read_as_far_as_it_is_known() {
    let manifest = json!({
        "schemaVersion": 7, "node": "n", "started": time(), "finished": time(), "surprise": [1],
        "items": [item("date", "ok", &json!({"new": {}})), item("ss", "half-done", &Value::Null)],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let bundle = open(&[("date", b"hi"), ("ss", b"hi"), ("manifest.json", &manifest)]);
    assert_eq!(outcome(&bundle, "date").0, Outcome::Ok);
    // Not a success that is known.
    assert_eq!(outcome(&bundle, "ss").0, Outcome::Failed);
    assert!(bundle.warnings()[0].contains("schema version 7"), "{:?}", bundle.warnings());
}

#[test]
fn a_manifest_that_cannot_be_read_is_told() {
    for text in ["", "{", "[]", r#"{"schemaVersion": 1, "items": 3}"#] {
        let bundle = open(&[("date", b"hi"), ("manifest.json", text.as_bytes())]);
        assert!(
            bundle.warnings()[0].contains("manifest cannot be read"),
            "{:?}",
            bundle.warnings()
        );
        assert_eq!(outcome(&bundle, "date").2, "hi");
    }
}

#[test]
fn a_manifest_of_items_without_end_is_not_kept() {
    let manifest = |count: usize| {
        let items = (0..count).map(|n| format!(r#"{{"path":"{n}","outcome":"ok"}}"#));
        let items: Vec<String> = items.collect();
        format!(r#"{{"schemaVersion": 1, "items": [{}]}}"#, items.join(","))
    };
    assert_eq!(Manifest::parse(manifest(100_000).as_bytes()).unwrap().items.len(), 100_000);
    let error = Manifest::parse(manifest(100_001).as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("more than 100000 items"), "{error}");
}

#[test]
fn a_tree_is_listed_from_what_the_bundle_holds_of_it() {
    let folder = "/etc/cni/net.d";
    let link = json!({"reason": "a symbolic link to /etc/shadow, not followed"});
    let denied = json!({"reason": "failed to open /etc/cni/net.d/hidden: Permission denied"});
    let items = json!([
        item("host/etc/cni/net.d/link.conf", "skipped", &link),
        item("host/etc/cni/net.d/hidden", "denied", &denied),
        item("host/etc/cni/net.d/lost.conf", "ok", &json!({})),
    ]);
    let entries: [(&str, &[u8]); 5] = [
        ("host/etc/cni/net.d/10-calico.conflist", b"{}"),
        ("host/etc/cni/net.d/deep/x.conf", b"x"),
        ("host/etc/cni/net.d/README", b"no"),
        ("host/etc/cni/net.d2/10-other.conf", b"no"),
        ("date", b"now"),
    ];
    let bundle = with_manifest(items, &entries);
    let tree = Tree {
        name: "".into(),
        folder: Cow::Borrowed(folder),
        include: Cow::Borrowed(&["*.conf", "*.conflist", "**/x.con?"]),
        sensitivity: Sensitivity::Private,
        max_bytes: 1 << 20,
    };
    let listing = bundle.list(&tree);
    assert_eq!((listing.outcome, listing.reason), (Outcome::Ok, None));
    let found: Vec<_> = listing
        .found
        .iter()
        .map(|found| (found.path.to_str().unwrap(), found.bytes, found.refusal.clone()))
        .collect();
    let refused = |outcome, reason: &str| Some((outcome, reason.to_owned()));
    let link = refused(Outcome::Skipped, "a symbolic link to /etc/shadow, not followed");
    let denied =
        refused(Outcome::Denied, "failed to open /etc/cni/net.d/hidden: Permission denied");
    let lost = refused(Outcome::Failed, "the manifest lists it, the archive lacks it");
    assert_eq!(
        found,
        [
            ("10-calico.conflist", 2, None),
            ("deep/x.conf", 1, None),
            ("hidden", 9, denied),
            ("link.conf", 9, link),
            ("lost.conf", 9, lost),
        ]
    );
    let name = format!("host{folder}/10-calico.conflist");
    let source = Source::Leaf { folder: Cow::Borrowed(folder), path: "10-calico.conflist".into() };
    let leaf = Artifact::new(Cow::Owned(name), source);
    assert_eq!(bundle.read(&leaf).bytes, b"{}");
}

proptest! {
    #[test]
    fn no_manifest_is_a_panic(text in r#"[\[\]{}":,0-9a-z\\-]{0,200}"#) {
        let _ = Manifest::parse(text.as_bytes());
    }
}

#[test]
fn logs_without_a_summary_are_counted_as_they_stream_by_and_not_where_there_is_one() {
    let log = b"2024-05-01 09:17:48.238 [ERROR][1] felix/a.go 1: bad\n";
    let felix = [log.repeat(5 << 14), log.to_vec()].concat();
    let logs: [(&str, &[u8]); 4] = [
        ("logs/felix/current", &felix),
        ("logs/pods/kube-system_calico-node-x_1/calico-node/2.log", log),
        ("logs/pods/default_calico-node-x_1/calico-node/2.log", log),
        ("logs/kernel.log", b"<4>[1.0] text\n"),
    ];
    let bundle = open(&logs);
    let reading = bundle.read(&named(crate::logs::PATH));
    assert_eq!(reading.outcome, Outcome::Ok);
    let summary = crate::logs::Summary::parse(&reading.bytes).unwrap();
    let paths: Vec<&str> = summary.files.iter().map(|file| file.path.as_str()).collect();
    let pod = "/var/log/pods/kube-system_calico-node-x_1/calico-node/2.log";
    assert_eq!(paths, ["/var/log/calico/felix/current", pod]);
    assert_eq!(summary.files[0].looked_at, crate::logs::TAIL);
    assert_eq!(summary.messages.len(), 1);
    assert_eq!(summary.messages[0].count, crate::logs::TAIL / log.len() as u64 + 1);
    assert_eq!(outcome(&bundle, "logs/kernel.log").2, "<4>[1.0] text\n");

    let with =
        [&[(crate::logs::PATH, &b"{\"files\": [], \"messages\": []}"[..])][..], &logs].concat();
    let reading = open(&with).read(&named(crate::logs::PATH));
    assert!(crate::logs::Summary::parse(&reading.bytes).unwrap().files.is_empty());
}
