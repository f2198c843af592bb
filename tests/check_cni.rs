//! `calivet check cni`: fake roots on which one thing is wrong, live, beneath `--root` and from bundles.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::agreement::{Views, changes};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::run;

const NET_D: &str = "/etc/cni/net.d";
const CONFLIST: &str = r#"{"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [
  {"type": "calico", "datastore_type": "kubernetes", "mtu": 0, "nodename_file_optional": false,
   "ipam": {"type": "calico-ipam"}, "policy": {"type": "k8s"},
   "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}},
  {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}]}
"#;

/// A token that was issued and expires so many minutes from now.
fn token(issued: i64, expires: i64) -> String {
    let at = |minutes| (Timestamp::now() + SignedDuration::from_mins(minutes)).as_second();
    let claims =
        format!(r#"{{"iat":{},"exp":{},"sub":"calico-cni-plugin"}}"#, at(issued), at(expires));
    format!("eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJlLW9mLWEtdG9rZW4", URL_SAFE_NO_PAD.encode(claims))
}

fn kubeconfig(token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nusers:\n- name: calico\n  user:\n    token: \"{token}\"\n"
    )
}

/// A node on which all is well.
fn node() -> Root {
    let root = Root::new()
        .calico_node()
        .file("/proc/412/environ", "NODENAME=node-1\0CALICO_NETWORKING_BACKEND=bird\0")
        .file("/proc/modules", "nf_tables 1 0 - Live 0x0\n")
        .file("/var/lib/calico/nodename", "node-1")
        .file("/var/lib/calico/mtu", "1450")
        .file(
            "/var/log/calico/cni/cni.log",
            "2026-11-01 09:00:00.100 [INFO][85] cni-plugin/k8s.go 1: Made\n",
        )
        .file(&format!("{NET_D}/10-calico.conflist"), CONFLIST)
        .file(&format!("{NET_D}/calico-kubeconfig"), kubeconfig(&token(-60, 1380)));
    for program in ["calico", "calico-ipam", "portmap"] {
        fs::create_dir_all(root.at("/opt/cni/bin")).unwrap();
        let path = root.at(&format!("/opt/cni/bin/{program}"));
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    root
}

fn calivet(namespaces: &Namespaces) -> Command {
    namespaces.command(env!("CARGO_BIN_EXE_calivet"))
}

fn live(namespaces: &Namespaces, root: &Root) -> Value {
    let mut command = calivet(namespaces);
    run(command.arg("--root").arg(root.path()).args(["check", "cni", "-o", "json"])).json()
}

/// `id level` of what is not well.
fn trouble(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["level"] != "ok")
        .map(|finding| format!("{} {}", text(&finding["id"]), text(&finding["level"])))
        .collect()
}

/// What is done to a node, and what is found: ids with levels, and words of the first summary.
type Fault<'a> = (&'a str, fn(Root) -> Root, &'a [&'a str], &'a str);

const LINKS: &str = "ip link add vxlan.calico type vxlan id 4096 local 127.0.0.1 dstport 4789\n\
    ip link set vxlan.calico mtu 1450 up\nip link add cali1 mtu 1450 type veth peer name pod1\n";

const FAULTS: &[Fault<'_>] = &[
    ("all is well", |root| root, &[], ""),
    (
        "another network comes first",
        |root| {
            root.file(
                "/etc/cni/net.d/05-cilium.conflist",
                r#"{"name": "cilium", "plugins": [{"type": "cilium-cni"}]}"#,
            )
        },
        &["cni.configuration fail", "cni.other-networks info"],
        "takes 05-cilium.conflist (cilium-cni), which comes before Calico's 10-calico.conflist",
    ),
    (
        "another network comes later by its bytes",
        |root| {
            root.file(
                "/etc/cni/net.d/100-crio-bridge.conflist",
                r#"{"name": "crio", "plugins": [{"type": "bridge"}]}"#,
            )
        },
        &["cni.other-networks info"],
        "100-crio-bridge.conflist (bridge)",
    ),
    (
        "Multus comes first",
        |root| {
            root.file(
                "/etc/cni/net.d/00-multus.conf",
                r#"{"name": "multus", "type": "multus-shim"}"#,
            )
        },
        &["cni.configuration info", "cni.other-networks info"],
        "Multus",
    ),
    (
        "loopback beside it is no network",
        |root| {
            root.file("/etc/cni/net.d/99-loopback.conf", r#"{"name": "lo", "type": "loopback"}"#)
        },
        &[],
        "",
    ),
    (
        "the configuration is no JSON",
        |root| {
            root.file(
                "/etc/cni/net.d/10-calico.conflist",
                CONFLIST.replace("\"mtu\": 0,", "\"mtu\": __CNI_MTU__,"),
            )
        },
        &[
            "cni.configuration fail",
            "cni.other-networks skip",
            "cni.plugins skip",
            "cni.token skip",
            "cni.mtu skip",
            "cni.nodename skip",
        ],
        "10-calico.conflist: it is not valid JSON for a network: line 2, column",
    ),
    (
        "the installer's placeholder is left",
        |root| {
            root.file(
                "/etc/cni/net.d/10-calico.conflist",
                CONFLIST.replace(
                    "\"mtu\": 0,",
                    "\"mtu\": 0, \"nodename\": \"__KUBERNETES_NODE_NAME__\",",
                ),
            )
        },
        &["cni.configuration fail", "cni.nodename fail"],
        "still holds __KUBERNETES_",
    ),
    (
        "there is no configuration",
        |root| {
            fs::remove_file(root.at("/etc/cni/net.d/10-calico.conflist")).unwrap();
            root
        },
        &[
            "cni.configuration fail",
            "cni.other-networks skip",
            "cni.plugins skip",
            "cni.token skip",
            "cni.mtu skip",
            "cni.nodename skip",
        ],
        "no configuration of Calico's, and there is none at all",
    ),
    (
        "policy only",
        |root| {
            root.file("/proc/412/environ", "NODENAME=node-1\0CALICO_NETWORKING_BACKEND=none\0")
                .file(
                    "/etc/cni/net.d/10-calico.conflist",
                    r#"{"name": "aws", "plugins": [{"type": "aws-cni"}]}"#,
                )
        },
        &[
            "cni.configuration skip",
            "cni.other-networks skip",
            "cni.plugins skip",
            "cni.token skip",
            "cni.mtu skip",
            "cni.nodename skip",
        ],
        "Calico does policy only here",
    ),
    (
        "a program is missing",
        |root| {
            fs::remove_file(root.at("/opt/cni/bin/calico-ipam")).unwrap();
            root
        },
        &["cni.plugins fail"],
        "calico-ipam is in none of the folders",
    ),
    (
        "a program is not executable",
        |root| {
            fs::set_permissions(root.at("/opt/cni/bin/calico"), fs::Permissions::from_mode(0o644))
                .unwrap();
            root
        },
        &["cni.plugins fail"],
        "/opt/cni/bin/calico is not executable",
    ),
    (
        "a program was not written to its end",
        |root| {
            fs::write(root.at("/opt/cni/bin/portmap"), "").unwrap();
            root
        },
        &["cni.plugins fail"],
        "/opt/cni/bin/portmap is empty",
    ),
    (
        "there is no kubeconfig",
        |root| {
            fs::remove_file(root.at("/etc/cni/net.d/calico-kubeconfig")).unwrap();
            root
        },
        &["cni.token fail"],
        "calico-kubeconfig is not there",
    ),
    (
        "the token has expired",
        |root| root.file("/etc/cni/net.d/calico-kubeconfig", kubeconfig(&token(-4320, -2880))),
        &["cni.token fail"],
        "calico-kubeconfig expired 2 days ago, 3 days old",
    ),
    (
        "the token was not renewed",
        |root| root.file("/etc/cni/net.d/calico-kubeconfig", kubeconfig(&token(-1200, 241))),
        &["cni.token warn"],
        "holds for 4 hours only, 20 hours old",
    ),
    (
        "the clock is slow",
        |root| root.file("/etc/cni/net.d/calico-kubeconfig", kubeconfig(&token(601, 2000))),
        &["cni.token warn"],
        "was issued 10 hours from now",
    ),
    (
        "the token tells no times",
        |root| root.file("/etc/cni/net.d/calico-kubeconfig", kubeconfig("abcdef.0123456789abcdef")),
        &["cni.token info"],
        "does not tell",
    ),
    (
        "the kubeconfig is no YAML",
        |root| root.file("/etc/cni/net.d/calico-kubeconfig", "users: ["),
        // It may hold certificates, too.
        &["certificates.cni fail", "cni.token fail"],
        "it is no kubeconfig",
    ),
    (
        "the configuration's MTU is too large for the tunnel",
        |root| {
            root.file(
                "/etc/cni/net.d/10-calico.conflist",
                CONFLIST.replace("\"mtu\": 0", "\"mtu\": 1500"),
            )
        },
        &["cni.mtu fail"],
        "gets an MTU of 1500 (10-calico.conflist), and vxlan.calico takes 1450",
    ),
    (
        "the configuration's MTU is smaller than it could be",
        |root| {
            root.file(
                "/etc/cni/net.d/10-calico.conflist",
                CONFLIST.replace("\"mtu\": 0", "\"mtu\": 1400"),
            )
        },
        &["cni.mtu info"],
        "sets an MTU of 1400, and Felix found that 1450 would fit",
    ),
    (
        "nobody says an MTU",
        |root| {
            fs::remove_file(root.at("/var/lib/calico/mtu")).unwrap();
            root
        },
        &["cni.mtu warn"],
        "pods get 1500",
    ),
    (
        "the MTU is no number",
        |root| root.file("/var/lib/calico/mtu", ""),
        &["cni.mtu fail", "interfaces.mtu warn"],
        "holds no number",
    ),
    (
        "there is no nodename",
        |root| {
            fs::remove_file(root.at("/var/lib/calico/nodename")).unwrap();
            root
        },
        &["cni.nodename fail"],
        "/var/lib/calico/nodename is not there",
    ),
    (
        "the nodename ends in a newline",
        |root| root.file("/var/lib/calico/nodename", "node-1\n"),
        &["cni.nodename fail"],
        "ends in a newline",
    ),
    (
        "the nodename is another's",
        |root| root.file("/var/lib/calico/nodename", "node-2"),
        &["cni.nodename fail"],
        "says node-2, and calico-node is told (NODENAME) node-1",
    ),
    (
        "the nodename has capital letters",
        |root| {
            root.file("/var/lib/calico/nodename", "Node-1")
                .file("/proc/412/environ", "CALICO_NETWORKING_BACKEND=bird\0")
        },
        &["cni.nodename fail"],
        "capital letters",
    ),
    (
        "the plugin is unauthorized",
        |root| {
            let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
            root.file(
                "/var/log/calico/cni/cni.log",
                format!("{now}.100 [ERROR][85] cni-plugin/plugin.go 1: error getting ClusterInformation: connection is unauthorized: Unauthorized\n"),
            )
        },
        &["cni.errors warn", "logs.errors info warn"],
        "nauthorized",
    ),
];

#[test]
fn each_fault_of_the_plugin_is_found_and_nothing_else() {
    let Some(namespaces) = Namespaces::with(&["ip"]) else { return };
    namespaces.without_ipv6();
    namespaces.run(LINKS);
    let mut well = None;
    for (name, injure, expected, words) in FAULTS {
        let root = injure(node());
        let views = Views::inside(&namespaces, root.path());
        let report = views.report().unwrap_or_else(|differs| panic!("{name}: {differs}"));
        let levels = views.levels(&report);
        let changed = changes(well.get_or_insert_with(|| levels.clone()), &levels);
        let expected = expected.iter().map(|&change| change.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(changed, expected, "{name}: {report:#}");
        let told = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["summary"].as_str().unwrap().contains(words));
        assert!(told, "{name}: {report:#}");
        let unpacked = Command::new("tar").arg("xzOf").arg(views.bundle()).output().unwrap();
        let text = String::from_utf8_lossy(&unpacked.stdout);
        assert!(text.contains("\"schemaVersion\""), "{name}");
        assert!(!text.contains("c2lnbmF0dXJlLW9mLWEtdG9rZW4"), "{name}: a token is in the bundle");
    }
    assert!(
        well.unwrap().iter().all(|(id, levels)| !id.starts_with("cni.") || levels.contains("ok"))
    );
}

#[test]
fn links_of_another_network_and_pods_that_are_too_wide_are_told() {
    let Some(namespaces) = Namespaces::with(&["ip"]) else { return };
    namespaces.run(&format!(
        "{LINKS}ip link set cali1 mtu 1500\nip link add flannel.1 type veth peer name other\n"
    ));
    let report = live(&namespaces, &node());
    assert_eq!(trouble(&report), ["cni.other-networks warn", "cni.mtu warn"], "{report:#}");
}

#[test]
fn a_configuration_that_is_a_link_is_unknown() {
    let Some(namespaces) = Namespaces::with(&["ip"]) else { return };
    namespaces.run(LINKS);
    let root = node();
    let path = root.at("/etc/cni/net.d/10-calico.conflist");
    fs::rename(&path, root.at("/etc/calico.conflist")).unwrap();
    symlink("/etc/calico.conflist", &path).unwrap();
    let report = live(&namespaces, &root);
    assert_eq!(trouble(&report)[0], "cni.configuration unknown", "{report:#}");
}
