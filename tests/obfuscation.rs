//! `calivet node diags --obfuscate`: what must not occur in the bundle, and what must be the same in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_bird::{FakeBird, Recorded};
use crate::lab::namespaces::Namespaces;
use crate::lab::{Daemons, Lab, peers};
use crate::root::Root;
use crate::run::{Run, run};

/// Writes a bundle of `root` as `NAME.tar.gz` and gives the bytes of the archive, unpacked, names included.
#[track_caller]
fn bundle(root: &Path, folder: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let archive = folder.join(format!("{name}.tar.gz"));
    let diags = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root)
        .args(["node", "diags", "-q"])
        .args(options)
        .arg("--output-file")
        .arg(&archive));
    assert!(diags.status <= 1, "{diags:?}");
    let unpacked = Command::new("gzip").arg("-dc").arg(&archive).output().unwrap();
    assert!(unpacked.status.success());
    unpacked.stdout
}

/// A document of a bundle's.
#[track_caller]
fn document(archive: &[u8], folder: &Path, path: &str) -> String {
    let unpacked = TempDir::new_in(folder).unwrap();
    let tar = unpacked.path().join("bundle.tar");
    fs::write(&tar, archive).unwrap();
    let done = run(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(unpacked.path()));
    assert_eq!((done.status, done.stderr.as_str()), (0, ""));
    fs::read_to_string(unpacked.path().join("diagnostics").join(path)).unwrap()
}

fn count(text: &[u8], wanted: &str) -> usize {
    let text = text.to_ascii_lowercase();
    let wanted = wanted.to_ascii_lowercase();
    text.windows(wanted.len()).filter(|window| *window == wanted.as_bytes()).count()
}

#[track_caller]
fn assert_mode_0600(path: &Path) {
    let mode = fs::symlink_metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600, "{}", path.display());
}

/// Names and addresses that must not leave, each planted in the root below.
const PLANTED: &[&str] = &[
    "xanadu-17",
    "xanadu-18",
    "corp.example.org",
    "hq.example.org",
    "web-7d4b9c6f5-x2x7p",
    "web--7d4b9c6f5--x2x7p",
    "calico-node-q8z7w",
    "payroll",
    "10.83.44.2",
    "10.83.44.3",
    "10_83_44_3",
    "10-83-44-9",
    "2.44.83.10.in-addr",
    "022C530A",
    "172.29.77.5",
    "198.18.77.5",
    "fd77:aaaa:1::5",
    "fd77_aaaa_1__5",
    "fd77aaaa00010000",
    "::ffff:a53:2c02",
    "52:54:00:77:88:99",
    "cali0a1b2c3d4e5",
    // In logs only.
    "osgiliath-3",
    "osgiliath--3",
    "treasury",
    "gold-6f7d9c5b4-9",
    "gold--6f7d9c5b4--9",
    "calico-node-w5v4t",
];

fn planted() -> Root {
    let log = "2026-11-23 02:33:26.123 [INFO][412] felix/x.go 12: on xanadu-17 cali0a1b2c3d4e5 10.83.44.2/32 \
        workload=payroll/web-7d4b9c6f5-x2x7p WEP xanadu--17-k8s-web--7d4b9c6f5--x2x7p-eth0 by calico-node-q8z7w\n\
        to \\n10.83.44.3\\n [::ffff:a53:2c02]:179 ip-10-83-44-9.hq.example.org 2.44.83.10.in-addr.arpa\n\
        IN=cali0a1b2c3d4e5 MAC=ee:ee:ee:ee:ee:ee:52:54:00:77:88:99:08:00 SRC=172.29.77.5 DST=198.18.77.5\n\
        bird: Mesh_10_83_44_3: up, Node_fd77_aaaa_1__5_port_1790 down fd77:aaaa:1::5\n\
        version 1.2.3.4 at 12:34:56 oid 1.3.6.1.4.1.2021 from 127.0.0.1 via 169.254.1.1\n";
    let strangers = "2026-11-23 02:33:27.001 [WARNING][412] felix/endpoint_mgr.go 12: Failed to update \
        id=proto.WorkloadEndpointID{OrchestratorId:\"k8s\", WorkloadId:\"treasury/gold-6f7d9c5b4-9\", EndpointId:\"eth0\"}\n\
        2026-11-23 02:33:27.002 [INFO][412] felix/async_calc_graph.go 1: \
        WorkloadEndpoint(node=osgiliath-3, orchestrator=k8s, workload=treasury/gold-6f7d9c5b4-9, name=eth0)\n\
        2026-11-23 02:33:27.003 [INFO][99] cni-plugin/k8s.go 83: ContainerID=\"0a1b2c3d\" Namespace=\"treasury\" \
        Pod=\"gold-6f7d9c5b4-9\" WorkloadEndpoint=\"osgiliath--3-k8s-gold--6f7d9c5b4--9-eth0\"\n\
        I1123 02:33:27.004 1 kubelet.go:2] \"SyncLoop UPDATE\" source=\"api\" pods=1 pod=\"treasury/gold-6f7d9c5b4-9\"\n\
        {\"nodeName\":\"osgiliath-3\",\"version\":\"v3.30.1\",\"msg\":\"calico-node-w5v4t left after 10s\"}\n";
    let pod = "/var/log/pods/payroll_web-7d4b9c6f5-x2x7p_0a1b2c3d-1111-4000-8000-0123456789ab";
    let calico = "/var/log/pods/kube-system_calico-node-q8z7w_0a1b2c3d-2222-4000-8000-0123456789ab";
    Root::new()
        .calico_node()
        .file("/etc/hostname", "xanadu-17\n")
        .file("/proc/sys/kernel/hostname", "xanadu-17\n")
        .file("/var/lib/calico/nodename", "xanadu-17")
        .file(
            "/etc/hosts",
            "127.0.0.1 localhost\n10.83.44.2 xanadu-17.corp.example.org xanadu-17\n10.83.44.3 xanadu-18\n",
        )
        .file("/etc/resolv.conf", "search hq.example.org svc.cluster.local\nnameserver 10.83.44.3\n")
        .file("/proc/net/route", "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t022C530A\t0003\t0\t0\t0\t00000000\n")
        .file("/proc/net/tcp", "  sl  local_address rem_address   st\n   0: 022C530A:00B3 032C530A:8F2C 01\n")
        .file("/proc/net/if_inet6", "fd77aaaa000100000000000000000005 02 40 20 80     eth0\n")
        .file("/proc/net/arp", "IP address HW type Flags HW address Mask Device\n10.83.44.3 0x1 0x2 52:54:00:77:88:99 * eth0\n")
        .file("/var/log/calico/felix/current", log)
        .file("/var/log/calico/felix/strangers", strangers)
        .file("/var/log/calico/xanadu-17.log", log)
        .file(&format!("{pod}/web/0.log"), "a workload's log is not collected")
        .file(&format!("{calico}/calico-node/0.log"), log)
}

#[test]
fn nothing_of_names_and_addresses_is_left_in_an_obfuscated_bundle() {
    let root = planted();
    let folder = TempDir::new().unwrap();
    let plain = bundle(root.path(), folder.path(), "plain", &[]);
    for planted in PLANTED {
        assert!(count(&plain, planted) > 0, "{planted} was not planted");
    }
    let hidden = bundle(root.path(), folder.path(), "hidden", &["--obfuscate"]);
    for planted in PLANTED {
        assert_eq!(count(&hidden, planted), 0, "{planted} is left");
    }
    for kept in [
        "version 1.2.3.4",
        "v3.30.1",
        "left after 10s",
        "0a1b2c3d",
        "12:34:56",
        "1.3.6.1.4.1.2021",
        "127.0.0.1",
        "169.254.1.1",
    ] {
        assert!(count(&hidden, kept) > 0, "{kept} is gone");
    }

    let manifest: Value =
        serde_json::from_str(&document(&hidden, folder.path(), "manifest.json")).unwrap();
    let node = manifest["node"].as_str().unwrap();
    assert!(node.starts_with("node-"), "{node}");
    let status: Value =
        serde_json::from_str(&document(&hidden, folder.path(), "status.json")).unwrap();
    assert_eq!(status["node"], node);

    // The key and the map stay, for their owner alone.
    let (key, map) = (
        folder.path().join("calivet-obfuscation.key"),
        folder.path().join("hidden.tar.gz.map.json"),
    );
    assert_mode_0600(&key);
    assert_mode_0600(&map);
    let map: Value = serde_json::from_str(&fs::read_to_string(map).unwrap()).unwrap();
    assert_eq!(map["names"][node], "xanadu-17");
    assert_eq!(map["keyId"], manifest["options"]["obfuscationKeyId"]);
    assert!(map["ipv4"].as_object().unwrap().values().any(|address| address == "10.83.44.2"));
    let key = fs::read_to_string(key).unwrap();
    assert_eq!(count(&hidden, key.trim()), 0);

    // The same key again: the same pseudonyms. Another one: others.
    let again = bundle(root.path(), folder.path(), "again", &["--obfuscate"]);
    assert!(count(&again, node) > 0);
    let other = folder.path().join("other.key");
    let other = bundle(
        root.path(),
        folder.path(),
        "other",
        &["--obfuscate", "--obfuscation-key", other.to_str().unwrap()],
    );
    assert_eq!(count(&other, node), 0);
}

/// What a status says beside names, addresses and times.
fn facts(status: &str) -> (Vec<Value>, Value) {
    let status: Value = serde_json::from_str(status).unwrap();
    let mut facts = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let family = &status["bgp"][family];
        for fact in ["state", "established", "notEstablished", "version", "expected", "error"] {
            facts.push(family[fact].clone());
        }
        for peer in family["peers"].as_array().unwrap() {
            for fact in ["type", "port", "state", "established", "lastError", "remoteAs", "routes"]
            {
                facts.push(peer[fact].clone());
            }
        }
    }
    let mut felix = status["agents"]["felix"].clone();
    felix
        .as_object_mut()
        .unwrap()
        .retain(|key, _| ["running", "live", "ready"].contains(&key.as_str()));
    (facts, felix)
}

#[test]
fn an_obfuscated_bundle_of_a_real_node_has_the_same_status() {
    has_the_same_status(Daemons::Bird1);
}

#[test]
fn an_obfuscated_bundle_of_a_real_node_with_bird_2_has_the_same_status() {
    has_the_same_status(Daemons::Bird2);
}

#[track_caller]
fn has_the_same_status(daemons: Daemons) {
    let Some(lab) = Lab::start(daemons) else { return };
    let folder = TempDir::new().unwrap();
    let plain = bundle(lab.root(), folder.path(), "plain", &[]);
    let hidden = bundle(lab.root(), folder.path(), "hidden", &["--obfuscate"]);

    let stored = document(&hidden, folder.path(), "status.json");
    let read = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--from")
        .arg(folder.path().join("hidden.tar.gz"))
        .args(["node", "status", "-o", "json"]));
    assert_eq!(read.stdout, stored);
    let from_plain = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--from")
        .arg(folder.path().join("plain.tar.gz"))
        .args(["node", "status", "-o", "json"]));
    assert_eq!(read.status, from_plain.status);
    assert_eq!(facts(&stored), facts(&from_plain.stdout));

    // Each peer has a pseudonym of its own, and its name and its address agree.
    let status: Value = serde_json::from_str(&stored).unwrap();
    let mut addresses = BTreeSet::new();
    for family in ["ipv4", "ipv6"] {
        for peer in status["bgp"][family]["peers"].as_array().unwrap() {
            let (name, address) =
                (peer["name"].as_str().unwrap(), peer["address"].as_str().unwrap_or("none"));
            assert!(
                peer["type"] == "other" || name.contains(&address.replace(['.', ':'], "_")),
                "{name} {address}"
            );
            addresses.insert(address.to_owned());
        }
    }
    assert_eq!(addresses.len(), peers::all().count());

    for peer in peers::all() {
        assert!(count(&plain, peer.address) > 0, "{} is not in the plain bundle", peer.address);
        for spelled in [peer.address.to_owned(), peer.address.replace(['.', ':'], "_")] {
            let left = hidden.to_ascii_lowercase();
            let left = left.windows(spelled.len() + 1).filter(|window| {
                window.starts_with(spelled.as_bytes()) && !window[spelled.len()].is_ascii_hexdigit()
            });
            assert_eq!(left.count(), 0, "{spelled} is left");
        }
    }
}

/// A network with a pod whose route leads nowhere, with strangers' connections, and closed to BGP.
const NETWORK: &str = "
ip link add eth0 type veth peer name eth1
ip address add 10.0.0.1/24 dev eth0
ip link set eth0 up
ip link set eth1 up
ip link add cali0a1b2c3d4e5 type veth peer name pod0
ip link set cali0a1b2c3d4e5 up
ip link set pod0 up
ip route add 192.168.10.5 dev cali0a1b2c3d4e5
ip route add blackhole 192.168.10.0/26
nft add table ip filter
nft 'add chain ip filter OUTPUT { type filter hook output priority 0; }'
nft add rule ip filter OUTPUT tcp dport 179 drop
for n in {1..40}; do
    conntrack -I -p tcp -s 192.168.10.5 -d 10.77.3.$((n % 5 + 1)) --sport $((2000 + n)) --dport 443 --state ESTABLISHED -u ASSURED -t 5000
done >/dev/null 2>&1
# Both bundles are to find the same addresses and routes: those of IPv6 come by themselves, within two seconds.
for n in {1..100}; do
    [[ -z $(ip -6 address show tentative) ]] && break
    sleep 0.1
done
[[ -z $(ip -6 address show tentative) ]]
";

/// A node in which much is wrong: peers that are down, a table that is full, a `NetworkManager` that takes pods' links.
fn ill() -> Root {
    let setting = |name: &str| format!("/proc/sys/net/netfilter/nf_conntrack_{name}");
    Root::new()
        .calico_node()
        .file("/etc/hostname", "xanadu-17\n")
        .file("/proc/sys/kernel/hostname", "xanadu-17\n")
        .file("/var/lib/calico/nodename", "xanadu-17")
        .file("/etc/hosts", "127.0.0.1 localhost\n10.0.0.1 xanadu-17\n10.0.0.2 xanadu-18\n")
        .file("/proc/modules", "nf_conntrack 172032 1 nf_nat, Live 0x0\nnf_nat 1 0 - Live 0x0\nnf_tables 1 0 - Live 0x0\n")
        .file("/proc/sys/kernel/osrelease", "6.1.0-13-amd64\n")
        .file("/proc/meminfo", "MemTotal:       24000000 kB\n")
        .file("/proc/1/comm", "systemd\n")
        .file("/proc/net/dev", "Inter-|\n face |\n  eth0: 0 0\n  cali0a1b2c3d4e5: 0 0\n")
        .file(&setting("count"), "950\n")
        .file(&setting("max"), "1000\n")
        .file(&setting("buckets"), "1000\n")
        .file(
            "/proc/net/stat/nf_conntrack",
            "entries  searched found new invalid insert_failed drop early_drop search_restart\n\
             000003b6 00000000 00000001 00000000 00000002 00000003 0000000d 00000000 00000005\n",
        )
        .file("/etc/sysctl.d/50-limit.conf", "net.netfilter.nf_conntrack_max = 1000\n")
        .file(
            "/etc/NetworkManager/conf.d/site.conf",
            "[keyfile]\nunmanaged-devices=interface-name:docker*\n",
        )
        .file("/etc/systemd/network/10-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n")
        .file("/etc/dhcpcd.conf", "denyinterfaces docker*\n")
        .file(
            "/etc/calico/confd/config/bird.cfg",
            "router id 10.0.0.1;\n# For peer /host/xanadu-18/ip_addr_v4\n\
             protocol bgp Mesh_10_0_0_2 from bgp_template {\n  neighbor 10.0.0.2 as 64512;\n\
               source address 10.0.0.1;\n}\n",
        )
}

/// The findings of a bundle, each as one text in which names and addresses are the true ones.
fn said(bundle: &Path, options: &[&str], originals: &BTreeMap<String, String>) -> Vec<String> {
    let checked = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["check", "-o", "json", "--from"])
        .arg(bundle)
        .args(options));
    assert_eq!(checked.status, 1, "{checked:?}");
    let mut findings = checked.json()["findings"].clone();
    for finding in findings.as_array_mut().unwrap() {
        forget_durations(finding);
        if ["disk", "time"].iter().any(|check| finding["check"] == *check) {
            // How much room there is and how late it is are other numbers each time.
            let (id, level) = (finding["id"].take(), finding["level"].take());
            *finding = json!({"id": id, "level": level});
        }
    }
    let told = findings.as_array().unwrap().iter().map(Value::to_string);
    let mut told: Vec<String> = told.map(|finding| truly(&finding, originals)).collect();
    told.sort_unstable();
    told
}

/// How long a connection took is another thing each time.
fn forget_durations(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !name.to_lowercase().ends_with("seconds"));
            members.values_mut().for_each(forget_durations);
        }
        Value::Array(values) => values.iter_mut().for_each(forget_durations),
        _ => {}
    }
}

/// The text with every pseudonym that stands as a word replaced by what it stands for. A network is just called so, for
/// the map tells addresses.
fn truly(text: &str, originals: &BTreeMap<String, String>) -> String {
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || "._:-/".contains(letter);
    let mut true_text = String::new();
    for word in text.split_inclusive(|letter: char| !is_inner(letter)) {
        let core = word.trim_end_matches(|letter: char| !is_inner(letter));
        let stem = core.trim_end_matches(['.', ':', '/', '-']);
        let network = stem.split_once('/').filter(|(address, length)| {
            address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok()
        });
        let true_word = match network {
            Some((_, length)) => Some(format!("NETWORK/{length}")),
            None => originals
                .get(stem)
                .cloned()
                .or_else(|| true_protocol(stem, originals))
                .or_else(|| true_resource(stem, originals)),
        };
        true_text += true_word.as_deref().unwrap_or(stem);
        true_text += &word[stem.len()..];
    }
    true_text
}

/// The true name of a protocol that confd named, such as `Node_10_0_0_9_port_1790`.
fn true_protocol(name: &str, originals: &BTreeMap<String, String>) -> Option<String> {
    let kinds = ["Mesh_", "Node_", "Global_", "Local_Workload_"];
    let (kind, rest) = kinds.iter().find_map(|kind| Some((kind, name.strip_prefix(kind)?)))?;
    let (address, port) =
        rest.find("_port_").map_or((rest, ""), |port| (&rest[..port], &rest[port..]));
    let spelled = [address.replace('_', "."), address.replace('_', ":")];
    let original = spelled.iter().find_map(|address| originals.get(address))?;
    Some(format!("{kind}{}{port}", original.replace(['.', ':'], "_")))
}

/// The true name of a resource that is a node's, such as `node.xanadu-17`.
fn true_resource(name: &str, originals: &BTreeMap<String, String>) -> Option<String> {
    let node = originals.get(name.strip_prefix("node.")?)?;
    Some(format!("node.{node}"))
}

/// What the pseudonyms in a bundle stand for, by the map beside it.
fn originals(bundle: &Path) -> BTreeMap<String, String> {
    let map = fs::read_to_string(format!("{}.map.json", bundle.display())).unwrap();
    let map: Value = serde_json::from_str(&map).unwrap();
    ["names", "interfaces", "macs", "ipv4", "ipv6"]
        .iter()
        .flat_map(|kind| map[kind].as_object().unwrap())
        .map(|(pseudonym, original)| (pseudonym.clone(), original.as_str().unwrap().to_owned()))
        .collect()
}

/// Writes a bundle anew, with pseudonyms.
fn obfuscated_later(old: &Path, new: &Path) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["bundle", "redact", "--obfuscate"])
        .args([old, new]))
}

#[test]
fn a_bundle_that_is_obfuscated_later_holds_nothing_of_names_and_addresses_either() {
    let root = planted();
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    bundle(root.path(), folder.path(), "plain", &[]);
    let redone = obfuscated_later(&at("plain.tar.gz"), &at("later.tar.gz"));
    assert_eq!(redone.status, 0, "{redone:?}");
    assert!(redone.stdout.contains("names and addresses"), "{redone:?}");
    assert!(redone.stderr.contains("later.tar.gz.map.json"), "{redone:?}");
    let unpacked = Command::new("gzip").arg("-dc").arg(at("later.tar.gz")).output().unwrap();
    for planted in PLANTED {
        assert_eq!(count(&unpacked.stdout, planted), 0, "{planted} is left");
    }
    assert_mode_0600(&at("calivet-obfuscation.key"));
    assert_mode_0600(&at("later.tar.gz.map.json"));
    let manifest: Value =
        serde_json::from_str(&document(&unpacked.stdout, folder.path(), "manifest.json")).unwrap();
    let node = manifest["node"].as_str().unwrap();
    assert_eq!(originals(&at("later.tar.gz"))[node], "xanadu-17");
    let verified = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["bundle", "verify"])
        .arg(at("later.tar.gz")));
    assert_eq!(verified.status, 0, "{verified:?}");

    // The same key beside it: on the node itself the pseudonyms are the same.
    let hidden = bundle(root.path(), folder.path(), "hidden", &["--obfuscate"]);
    assert!(count(&hidden, node) > 0);
    // Pseudonyms of pseudonyms could not be told apart from names.
    for obfuscated in ["later.tar.gz", "hidden.tar.gz"] {
        let again = obfuscated_later(&at(obfuscated), &at("again.tar.gz"));
        assert_eq!(again.status, 2, "{again:?}");
        assert!(again.stderr.contains("obfuscated already"), "{again:?}");
        assert!(!at("again.tar.gz").exists());
    }
    // To be redacted anew it need not be obfuscated anew.
    let redacted = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .args(["bundle", "redact"])
        .args([at("hidden.tar.gz"), at("again.tar.gz")]));
    assert_eq!(redacted.status, 0, "{redacted:?}");
}

#[test]
fn every_check_says_of_an_obfuscated_bundle_what_it_says_of_the_plain_one() {
    let Some(namespaces) = Namespaces::with(&["conntrack", "nft"]) else { return };
    namespaces.run(NETWORK);
    let root = ill();
    let _bird = FakeBird::recorded(&root.at("/var/run/calico/bird.ctl"), Recorded("1.6.8"));
    let _bird6 = FakeBird::recorded(&root.at("/var/run/calico/bird6.ctl"), Recorded("1.6.8-bird6"));
    let folder = TempDir::new().unwrap();
    let bundle = |name: &str, options: &[&str]| {
        let archive = folder.path().join(name);
        let diags = run(namespaces
            .command(env!("CARGO_BIN_EXE_calivet"))
            .arg("--root")
            .arg(root.path())
            .args(["node", "diags", "-q", "--output-file"])
            .arg(&archive)
            .args(options));
        assert!(diags.status <= 1, "{diags:?}");
        archive
    };
    let plain = bundle("plain.tar.gz", &[]);
    let hidden = bundle("hidden.tar.gz", &["--obfuscate"]);
    // Nothing but the bundle is needed for it.
    let later = folder.path().join("later.tar.gz");
    let redone = obfuscated_later(&plain, &later);
    assert_eq!(redone.status, 0, "{redone:?}");
    for options in [&[][..], &["conntrack", "--top", "10"]] {
        let expected = said(&plain, options, &BTreeMap::new());
        for hidden in [&hidden, &later] {
            let found = said(hidden, options, &originals(hidden));
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected, found, "{}", hidden.display());
            }
            assert_eq!(expected.len(), found.len());
        }
        // A test of nodes that are well would hold little.
        if options.is_empty() {
            for check in ["bgp", "conntrack", "networkmanager"] {
                let fails = |finding: &&String| {
                    finding.contains(&format!("\"check\":\"{check}\""))
                        && finding.contains("\"level\":\"fail\"")
                };
                assert!(expected.iter().find(fails).is_some(), "{check} finds no fault");
            }
        }
    }
}

#[test]
fn an_obfuscated_bundle_on_stdout_is_nothing_but_the_bundle_and_its_key_and_map_stay_here() {
    let root = planted();
    let folder = TempDir::new().unwrap();
    let diags = Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--obfuscate", "--output-file", "-"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(diags.status.code().is_some_and(|code| code <= 1), "{diags:?}");
    let archive = folder.path().join("taken.tar.gz");
    fs::write(&archive, &diags.stdout).unwrap();
    let unpacked = Command::new("gzip").arg("-dc").arg(&archive).output().unwrap();
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    for planted in PLANTED {
        assert_eq!(count(&unpacked.stdout, planted), 0, "{planted} is left");
    }
    assert_mode_0600(&folder.path().join("calivet-obfuscation.key"));
    assert_mode_0600(&folder.path().join("diags.tar.gz.map.json"));
    let manifest: Value =
        serde_json::from_str(&document(&unpacked.stdout, folder.path(), "manifest.json")).unwrap();
    let map = fs::read_to_string(folder.path().join("diags.tar.gz.map.json")).unwrap();
    let map: Value = serde_json::from_str(&map).unwrap();
    assert_eq!(map["names"][manifest["node"].as_str().unwrap()], "xanadu-17");
    let said = String::from_utf8(diags.stderr).unwrap();
    assert!(said.contains("diags.tar.gz.map.json"), "{said}");
}

#[test]
fn a_map_that_stands_there_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let map = folder.path().join("x.tar.gz.map.json");
    fs::write(&map, "mine").unwrap();
    let root = Root::new();
    let diags = run(Command::new(env!("CARGO_BIN_EXE_calivet"))
        .arg("--root")
        .arg(root.path())
        .args(["node", "diags", "--obfuscate", "--output-file"])
        .arg(folder.path().join("x.tar.gz")));
    assert_eq!(diags.status, 3, "{diags:?}");
    assert_eq!(fs::read_to_string(&map).unwrap(), "mine");
    assert!(!folder.path().join("x.tar.gz").exists());
}
