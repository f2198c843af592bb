//! Every row is held to the rules of its table.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::status as judged;

/// A node on which every row exists.
pub(crate) fn full() -> Node {
    let process = |pid, argv: &[&str]| Process {
        pid,
        host_root: true,
        state: "S".to_owned(),
        argv: argv.iter().map(ToString::to_string).collect(),
        environment: Some([("FELIX_HEALTHPORT".to_owned(), "19099".to_owned())].into()),
        ..Process::default()
    };
    let processes = [
        process(10, &["calico-node", "-felix"]),
        process(11, &["bird", "-R"]),
        process(12, &["bird6", "-R"]),
        process(13, &["/usr/sbin/chronyd"]),
    ];
    Node {
        name: "node-1".to_owned(),
        processes: processes.to_vec(),
        interfaces: vec!["lo".to_owned(), "vxlan.calico".to_owned()],
        legacy_iptables: true,
        legacy_ip6tables: true,
        modules: None,
        release: "6.1.0-13-amd64".to_owned(),
        ebpf: true,
        systemd: true,
        log_dir: PathBuf::from("/var/log/calico"),
        since: Some(Duration::from_secs(7200)),
        max_file_bytes: 1 << 20,
        config: PathBuf::from("/root/calicoctl.cfg"),
        passive: false,
        credentials: vec![PathBuf::from("/root/.kube/config")],
    }
}

fn artifacts(collector: &Collector, node: &Node) -> Vec<Artifact> {
    rows(collector, node).artifacts
}

#[test]
fn collectors_have_unique_kebab_case_names_and_say_what_they_are() {
    let mut names = BTreeSet::new();
    for collector in COLLECTORS {
        assert!(names.insert(collector.name), "{} stands twice", collector.name);
        assert!(collector.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        assert!(!collector.about.is_empty() && !collector.about.ends_with('.'));
    }
}

#[test]
fn no_two_artifacts_share_a_place_in_the_bundle() {
    let mut paths = BTreeSet::new();
    for collector in COLLECTORS {
        for artifact in artifacts(collector, &full()) {
            let path = artifact.path().into_owned();
            assert!(paths.insert(path.clone()), "{path} stands twice");
            assert!(!path.starts_with('/') && !path.contains(".."), "{path} leaves the bundle");
        }
    }
}

#[test]
fn files_and_folders_are_absolute_and_questions_are_single_lines() {
    for collector in COLLECTORS {
        for artifact in artifacts(collector, &full()) {
            match &artifact.source {
                Source::File(path) | Source::Listing(path) | Source::Logs(path) => {
                    assert!(Path::new(path.as_ref()).is_absolute(), "{path}");
                }
                Source::Bird { question, .. } => assert!(question.starts_with("show ")),
                Source::Http { path, .. } => assert!(path.starts_with('/')),
                Source::Command(argv) => assert!(!argv.starts_with('/') && !argv.contains('\n')),
                Source::Leaf { .. }
                | Source::Processes(_)
                | Source::KernelLog
                | Source::Settings
                | Source::Netlink(_)
                | Source::NetworkManager
                | Source::CniCredentials
                | Source::XtablesLock
                | Source::Probe { .. }
                | Source::Environment { .. }
                | Source::Clock
                | Source::FileSystems
                | Source::Certificates { .. }
                | Source::Datastore { .. } => {}
            }
        }
        for tree in rows(collector, &full()).trees {
            assert!(tree.folder.starts_with('/') && !tree.folder.ends_with('/'), "{}", tree.folder);
            assert!(!tree.include.is_empty(), "{} takes nothing", tree.folder);
        }
    }
}

#[test]
fn the_evidence_of_the_status_is_what_a_bundle_holds() {
    let node = full();
    let held: BTreeSet<String> = COLLECTORS
        .iter()
        .flat_map(|collector| artifacts(collector, &node))
        .map(|artifact| artifact.path().into_owned())
        .collect();
    let release = crate::host::Reading {
        bytes: node.release.clone().into_bytes(),
        ..crate::host::Reading::begin()
    };
    let evidence = [(kernel::RELEASE.path().into_owned(), release)].into_iter().collect();
    let then = then(&evidence);
    assert_eq!(then.len(), 1);
    let asked = [status(), vec![AGENTS], health(&node), routes(), FIRST.to_vec(), then].concat();
    for artifact in asked {
        assert!(held.contains(artifact.path().as_ref()), "{} is in no bundle", artifact.path());
    }
    let answers = crate::host::Family::ALL.map(judged::Answers::of);
    let asked =
        answers.iter().flat_map(|answers| [answers.status, answers.protocols, answers.route]);
    let single = [judged::PROCESSES, judged::FELIX_LIVENESS, judged::FELIX_READINESS];
    for path in single.into_iter().chain([judged::NODENAME, judged::HOSTNAME]).chain(asked) {
        assert!(held.contains(path), "{path} is in no bundle");
    }
}

#[test]
fn felix_is_asked_at_the_port_that_its_environment_names() {
    let health = felix::health(&full());
    assert!(
        health.iter().all(|artifact| matches!(artifact.source, Source::Http { port: 19099, .. }))
    );
    let health = felix::health(&Node::default());
    assert!(
        health.iter().all(|artifact| matches!(artifact.source, Source::Http { port: 9099, .. }))
    );
}

#[test]
fn legacy_tables_are_read_only_where_they_are_in_use() {
    let legacy = |node: &Node| {
        let rows = (netfilter::COLLECTOR.more)(node).artifacts;
        rows.iter().any(
            |artifact| matches!(&artifact.source, Source::Command(argv) if argv.contains("legacy")),
        )
    };
    assert!(legacy(&full()));
    assert!(!legacy(&Node { legacy_iptables: false, legacy_ip6tables: false, ..full() }));
}

#[test]
fn nothing_is_asked_of_a_module_that_is_not_loaded() {
    let node = Node { modules: Some(Vec::new()), ..Node::default() };
    assert!((netfilter::COLLECTOR.more)(&node).artifacts.is_empty());
}
