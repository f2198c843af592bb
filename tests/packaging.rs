//! What is packed beside the program: manifests that Kubernetes takes, with commands that calivet takes.

use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

fn packed(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A manifest as Kubernetes' own type, and that nothing in it is unknown to that type.
fn manifest<T: serde::Serialize + serde::de::DeserializeOwned>(name: &str) -> T {
    let text = packed(name);
    let typed: T = serde_yaml::from_str(&text).unwrap();
    let written: Value = serde_yaml::from_str(&text).unwrap();
    let known = serde_json::to_value(&typed).unwrap();
    is_within(&written, &known, name);
    typed
}

fn is_within(written: &Value, known: &Value, path: &str) {
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            for (name, value) in written {
                let path = format!("{path}.{name}");
                let known = known.get(name);
                is_within(value, known.unwrap_or_else(|| panic!("{path} is unknown")), &path);
            }
        }
        (Value::Array(written), Value::Array(known)) => {
            for (index, (value, known)) in written.iter().zip(known).enumerate() {
                is_within(value, known, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(written, known, "{path}"),
    }
}

/// That a pod has what calivet needs to see a node, and no more.
fn is_least(pod: &PodSpec) {
    assert_eq!((pod.host_pid, pod.host_network), (Some(true), Some(true)));
    assert_eq!(pod.automount_service_account_token, Some(false));
    let [container] = &pod.containers[..] else { panic!("one container is enough") };
    let security = container.security_context.as_ref().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.privileged, None);
    let capabilities = security.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    let told = packed("docs/install.md");
    let added = capabilities.add.as_ref().unwrap();
    for name in added {
        assert!(
            told.contains(&format!("\n| `{name}` | ")),
            "docs/install.md does not say why {name}"
        );
    }
    let documented = told.lines().filter(|line| {
        let name = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
        name.is_some_and(|(name, _)| name.chars().all(|it| it.is_ascii_uppercase() || it == '_'))
    });
    assert_eq!(documented.count(), added.len(), "docs/install.md tells others");
    for mount in container.volume_mounts.iter().flatten().filter(|mount| mount.name == "host") {
        assert_eq!((mount.mount_path.as_str(), mount.read_only), ("/host", Some(true)));
    }
    is_taken(container.args.as_ref().unwrap());
}

/// That calivet takes a command line.
fn is_taken(arguments: &[String]) {
    let line = std::iter::once("calivet").chain(arguments.iter().map(String::as_str));
    let taken = calivet::cli::tree(None).try_get_matches_from(line);
    assert!(taken.is_ok(), "{arguments:?}: {}", taken.unwrap_err());
    assert_eq!(arguments[..2], ["--root", "/host"]);
}

#[test]
fn the_manifests_are_kubernetes_own_and_ask_for_no_more_than_is_told() {
    let job: Job = manifest("packaging/kubernetes/job.yaml");
    is_least(&job.spec.unwrap().template.spec.unwrap());
    let set: DaemonSet = manifest("packaging/kubernetes/daemonset.yaml");
    let spec = set.spec;
    let labels = spec.template.metadata.unwrap().labels;
    assert_eq!(spec.selector.match_labels, labels, "it would not find its own pods");
    is_least(&spec.template.spec.unwrap());
}

#[test]
fn the_image_begins_with_a_command_that_calivet_takes() {
    let recipe = packed("packaging/Containerfile");
    let command = recipe.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    is_taken(&serde_json::from_str::<Vec<String>>(command).unwrap());
}
