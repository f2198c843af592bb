//! `calivet check system` and `check sysctl` beside the kernel: its own configuration, settings in network namespaces, fake
//! roots, bundles.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::agreement::{Views, changes};
use crate::lab::namespaces::Namespaces;
use crate::root::Root;
use crate::run::{Run, finding, run};

const RELEASE: &str = "6.1.0-42-amd64";

/// A host with a modular kernel, of which these modules are on the disk.
fn node(modules: &[&str]) -> Root {
    let lines: Vec<String> =
        modules.iter().map(|name| format!("kernel/net/{name}.ko.xz:\n")).collect();
    let list = lines.concat();
    Root::new()
        .calico_node()
        .file("/proc/sys/kernel/osrelease", format!("{RELEASE}\n"))
        .file("/proc/modules", "veth 40960 0 - Live 0x0\n")
        .file(&format!("/lib/modules/{RELEASE}/modules.dep"), list)
        .file(&format!("/lib/modules/{RELEASE}/modules.builtin"), "kernel/net/core/sock.ko\n")
}

fn on(root: &Root, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
    run(command.arg("--root").arg(root.path()).args(arguments))
}

#[test]
fn a_module_that_is_on_the_disk_is_enough_and_one_that_is_not_lacks() {
    let root = node(&["nf_conntrack", "nf_conntrack_netlink"]);
    let run = on(&root, &["check", "system", "-o", "json"]);
    let report = run.json();
    assert_eq!(finding(&report, "system.conntrack")["level"], "ok", "{report}");
    let ipset = finding(&report, "system.ipset");
    assert_eq!(ipset["level"], "fail", "{ipset}");
    let missing = ipset["evidence"]["missing"].to_string();
    assert!(
        missing.contains("ip_set is neither built in nor loaded nor in /lib/modules"),
        "{missing}"
    );
    assert_eq!(run.status, 1);
}

#[test]
fn node_checksystem_is_the_same_check() {
    let root = node(&["nf_conntrack"]);
    let [one, other] = [&["check", "system"][..], &["node", "checksystem"]].map(|words| {
        let run = on(&root, words);
        (run.status, run.stdout, run.stderr)
    });
    assert_eq!(one, other);
    let junit = on(&root, &["node", "checksystem", "-o", "junit"]).stdout;
    assert!(junit.contains("<testcase "), "{junit}");
}

#[test]
fn a_configuration_can_be_given_and_one_that_is_none_is_refused() {
    let root = Root::new()
        .file("/proc/sys/kernel/osrelease", "6.1.0\n")
        .file("/tmp/config", "CONFIG_NF_CONNTRACK=y\nCONFIG_NF_CT_NETLINK=y\n")
        .file("/tmp/none", "hello\n");
    let before = on(&root, &["node", "checksystem", "-o", "json"]).json();
    assert_eq!(finding(&before, "system.conntrack")["level"], "unknown", "{before}");
    let path = |name: &str| root.at(name).display().to_string();
    let given =
        on(&root, &["node", "checksystem", "-f", &path("/tmp/config"), "-o", "json"]).json();
    assert_eq!(finding(&given, "system.conntrack")["level"], "ok", "{given}");
    assert_eq!(finding(&given, "system.ipip")["level"], "info", "{given}");
    for (name, says) in [("/tmp/none", "is no configuration"), ("/tmp/nothing", "No such file")] {
        let run = on(&root, &["check", "system", "--kernel-config", &path(name)]);
        assert_eq!((run.status, run.stdout.as_str()), (3, ""), "{name}");
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
}

#[test]
fn a_bundle_gives_the_same_verdict_on_the_kernel() {
    let root = node(&["nf_conntrack", "xt_set"])
        .file(&format!("/boot/config-{RELEASE}"), "CONFIG_NF_CONNTRACK=m\nCONFIG_BPF_SYSCALL=y\n")
        .file("/sys/module/ip_set/refcnt", "0\n")
        .file("/proc/filesystems", "nodev\tcgroup2\nnodev\tbpf\n")
        .file("/proc/1/mountinfo", "30 29 0:27 / /sys/fs/bpf rw - bpf bpf rw\n")
        .file("/proc/sys/net/ipv4/ip_forward", "0\n")
        .file("/etc/sysctl.d/50-forward.conf", "net.ipv4.ip_forward = 0\n");
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("b.tar.gz");
    let collected = on(&root, &["node", "diags", "-q", "--output-file", bundle.to_str().unwrap()]);
    assert!(bundle.exists(), "{collected:?}");
    // The links are this machine's own, on which other tests work: what they say of pods may change meanwhile.
    for check in ["system", "sysctl"] {
        let live = on(&root, &["check", check, "-o", "json"]).json();
        let mut command = Command::new(env!("CARGO_BIN_EXE_calivet"));
        let offline = run(command.arg("--from").arg(&bundle).args(["check", check, "-o", "json"]));
        assert_eq!(offline.json()["findings"], live["findings"]);
    }
}

/// Lets something run in the lab that has the arguments of Felix, with this environment.
fn felix(namespaces: &Namespaces, environment: &str) {
    namespaces.run(&format!(
        "mkdir -p /run/agents && cd /run/agents\n\
         [[ -p never ]] || mkfifo never\n\
         cp -L /bin/sh calico\n\
         echo 'exec 3<>never; read -r nothing <&3' >component\n\
         ({environment} exec -a calico ./calico component felix) >/dev/null 2>&1 &\n\
         until grep -qz felix /proc/$!/cmdline; do sleep 0.05; done"
    ));
}

/// A node with two uplinks, a tunnel and two pods, set as Felix does.
const NETWORK: &str = "
for folder in /etc/sysctl.d /run/sysctl.d; do
    if [[ -d $folder ]]; then mount -t tmpfs tmpfs $folder; fi
done
echo 1 >/proc/sys/net/ipv4/ip_forward
ip netns add other
for number in 0 1; do
    ip link add up$number type veth peer name there$number netns other
    ip address add 10.$number.0.1/24 dev up$number
    ip link set up$number up
    ip -n other link set there$number up
    pod=cali0000000000$number
    ip link add $pod type veth peer name pod$number netns other
    ip link set $pod up
    for setting in proxy_arp route_localnet; do echo 1 >/proc/sys/net/ipv4/conf/$pod/$setting; done
done
ip link add vxlan.calico type vxlan id 4096 local 10.0.0.1 dstport 4789
ip link set vxlan.calico up
";

fn lab() -> Option<Namespaces> {
    let namespaces = Namespaces::with(&["ip"])?;
    namespaces.without_ipv6();
    namespaces.run(NETWORK);
    felix(&namespaces, "");
    Some(namespaces)
}

fn sysctl(namespaces: &Namespaces, arguments: &[&str]) -> Run {
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    run(command.args(["check", "sysctl", "-o", "json"]).args(arguments))
}

#[test]
fn faults_in_a_namespaces_settings_are_found_one_by_one_live_and_from_a_bundle() {
    let Some(namespaces) = lab() else { return };
    let views = Views::of(&namespaces);
    let levels = || views.levels(&views.report().unwrap());
    let healthy = levels();
    for (id, levels) in healthy.iter().filter(|(id, _)| id.starts_with("sysctl.")) {
        assert!(levels.iter().all(|level| level == "ok" || level == "skip"), "{id}: {levels:?}");
    }
    let conf = "/proc/sys/net/ipv4/conf";
    for (file, value, expected) in [
        // The kernel takes it from each link.
        (
            "/proc/sys/net/ipv4/ip_forward".to_owned(),
            0,
            &["sysctl.ipv4-forwarding fail", "sysctl.pod-links fail"][..],
        ),
        (format!("{conf}/up1/forwarding"), 0, &["sysctl.ipv4-forwarding fail"]),
        (format!("{conf}/cali00000000000/proxy_arp"), 0, &["sysctl.pod-links fail"]),
        (format!("{conf}/cali00000000001/route_localnet"), 0, &["sysctl.pod-links warn"]),
        (format!("{conf}/up0/arp_ignore"), 8, &["sysctl.arp fail"]),
    ] {
        let before = namespaces.run(&format!("cat {file}; echo {value} >{file}"));
        let changed = changes(&healthy, &levels());
        assert_eq!(changed.iter().collect::<Vec<_>>(), expected, "{file}");
        namespaces.run(&format!("echo {} >{file}", before.trim()));
        namespaces.run(&format!(
            "for link in up0 up1 vxlan.calico cali00000000000 cali00000000001; do echo 1 >{conf}/$link/forwarding; done"
        ));
    }
    assert_eq!(changes(&healthy, &levels()), BTreeSet::new());
}

#[test]
fn packets_that_the_reverse_path_filter_drops_are_counted() {
    let Some(namespaces) = lab() else { return };
    let views = Views::of(&namespaces);
    namespaces.run("echo 1 >/proc/sys/net/ipv4/conf/up0/rp_filter");
    let report = views.report().unwrap();
    let (healthy, before) = (views.levels(&report), finding(&report, "sysctl.rp-filter"));
    assert_eq!((&before["level"], &before["evidence"]["dropped"]), (&json!("ok"), &json!(0)));
    assert_eq!(before["evidence"]["strict"], json!(["up0"]));
    // From an address that is behind the other uplink.
    namespaces.run(
        "mac=$(ip -brief link show up0 | awk '{ print $3 }')\n\
         ip -n other address add 10.1.0.9/32 dev there0\n\
         ip -n other route add 10.0.0.0/24 dev there0 src 10.1.0.9\n\
         ip -n other neighbour add 10.0.0.1 lladdr $mac dev there0\n\
         ip netns exec other bash -c 'for n in 1 2 3; do echo x >/dev/udp/10.0.0.1/9; done'\n\
         dropped() {\n\
             awk '$1 == \"TcpExt:\" && !known { for (n = 2; n <= NF; n++) name[n] = $n; known = 1; next }\n\
                 $1 == \"TcpExt:\" { for (n = 2; n <= NF; n++) if (name[n] == \"IPReversePathFilter\") print $n }' /proc/net/netstat\n\
         }\n\
         until [[ $(dropped) == 3 ]]; do sleep 0.02; done",
    );
    let report = views.report().unwrap();
    let changed = changes(&healthy, &views.levels(&report));
    assert_eq!(changed.iter().collect::<Vec<_>>(), ["sysctl.rp-filter warn"], "{report:#}");
    assert_eq!(finding(&report, "sysctl.rp-filter")["evidence"]["dropped"], 3, "{report:#}");
    // The setting for all is the greater one, and lets them pass.
    namespaces.run("echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter");
    let report = sysctl(&namespaces, &[]).json();
    let loose = finding(&report, "sysctl.rp-filter");
    assert_eq!(
        (&loose["level"], &loose["evidence"]["effective"]["up0"]),
        (&json!("ok"), &json!(2))
    );
}

#[test]
fn the_fix_has_the_namespace_forward_now_and_after_a_boot() {
    let Some(namespaces) = lab() else { return };
    let folder = namespaces.run("if [[ -d /etc/sysctl.d ]]; then echo yes; fi");
    if folder.trim() != "yes" {
        eprintln!("skipped: there is no /etc/sysctl.d over which the lab could lay one of its own");
        return;
    }
    namespaces.run(
        "echo 0 >/proc/sys/net/ipv4/ip_forward\n\
         echo 'net.ipv4.ip_forward = 0' >/etc/sysctl.d/99-hardening.conf",
    );
    let fixed = sysctl(&namespaces, &["--fix", "--yes"]);
    let report = fixed.json();
    let changes = report["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2, "{report}");
    assert!(changes.iter().all(|change| change["outcome"] == "done"), "{report}");
    let forwarding = finding(&report, "sysctl.ipv4-forwarding");
    assert_eq!(forwarding["level"], "ok", "{forwarding}");
    assert_eq!(forwarding["evidence"]["afterReboot"]["value"], 1, "{forwarding}");
    assert_eq!(namespaces.run("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    let written = namespaces.run("cat /etc/sysctl.d/*calivet*");
    assert!(written.ends_with("\nnet.ipv4.ip_forward = 1\n"), "{written}");
    let again = sysctl(&namespaces, &["--fix", "--yes"]).json();
    assert_eq!(again["changes"], json!([]));
}

#[test]
fn ebpf_wants_settings_of_its_own() {
    let Some(namespaces) = Namespaces::with(&["ip"]) else { return };
    namespaces.without_ipv6();
    namespaces.run(NETWORK);
    felix(&namespaces, "FELIX_BPFENABLED=true");
    let views = Views::of(&namespaces);
    let levels = || views.levels(&views.report().unwrap());
    let faulty = levels();
    namespaces
        .run("for link in up0 up1; do echo 1 >/proc/sys/net/ipv4/conf/$link/accept_local; done");
    let healthy = levels();
    assert_eq!(changes(&healthy, &faulty).iter().collect::<Vec<_>>(), ["sysctl.ebpf warn"]);
    for id in ["sysctl.ebpf", "sysctl.rp-filter"] {
        assert!(healthy[id].iter().eq(["ok"]), "{id}: {healthy:?}");
    }
    namespaces.run("echo 1 >/proc/sys/net/ipv4/conf/up1/rp_filter");
    assert_eq!(changes(&healthy, &levels()).iter().collect::<Vec<_>>(), ["sysctl.rp-filter fail"]);
}

#[test]
fn what_the_links_tell_of_their_settings_is_what_the_files_say() {
    let Some(namespaces) = lab() else { return };
    let conf = "/proc/sys/net/ipv4/conf/up0";
    let names = [
        "forwarding",
        "proxy_arp",
        "rp_filter",
        "arp_filter",
        "arp_announce",
        "arp_ignore",
        "accept_local",
        "src_valid_mark",
        "route_localnet",
    ];
    // A value of its own for each, so that none can stand in for another.
    for name in names {
        namespaces.run(&format!("echo 0 >{conf}/{name}"));
    }
    let six = "/proc/sys/net/ipv6/conf/up0";
    for (path, names) in
        [(conf, &names[..]), (six, &["forwarding", "accept_ra", "proxy_ndp", "disable_ipv6"])]
    {
        let family = if path == six { "ipv6" } else { "ipv4" };
        for set in names {
            namespaces.run(&format!(
                "for name in {}; do echo 0 >{path}/$name; done; echo 1 >{path}/{set}",
                names.join(" ")
            ));
            let link = up0(&namespaces);
            for name in names {
                let expected = namespaces.run(&format!("cat {path}/{name}"));
                let expected: i64 = expected.trim().parse().unwrap();
                assert_eq!(link[family][name], expected, "{set}: {name} of {family}: {link}");
            }
        }
    }
}

/// The row of a link in a bundle.
fn up0(namespaces: &Namespaces) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("b.tar.gz");
    let mut command = namespaces.command(env!("CARGO_BIN_EXE_calivet"));
    command.args(["node", "diags", "-q", "--only", "network", "--output-file"]);
    run(command.arg(&bundle));
    let unpacked = Command::new("tar")
        .args(["-xzOf", bundle.to_str().unwrap(), "--wildcards", "*/network/links.json"])
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&unpacked.stdout).unwrap();
    let links = document["links"].as_array().unwrap();
    links.iter().find(|link| link["name"] == "up0").unwrap().clone()
}
