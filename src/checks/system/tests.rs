use std::fmt::Write;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::host::{Outcome, Reading};
use crate::kernel::Facility;

const RELEASE: &str = "6.1.0-42-amd64";

/// A host whose kernel has all that is in the tables, as modules on the disk where they can be.
struct Host {
    release: &'static str,
    without: Vec<&'static str>,
    environment: serde_json::Value,
    has_felix: bool,
    folder: &'static str,
    capabilities: &'static str,
    lockdown: &'static str,
    is_modular: bool,
}

impl Host {
    fn new() -> Self {
        Self {
            release: RELEASE,
            without: Vec::new(),
            environment: json!({}),
            has_felix: true,
            folder: RELEASE,
            capabilities: "000001ffffffffff",
            lockdown: "[none] integrity confidentiality\n",
            is_modular: true,
        }
    }

    fn facilities() -> impl Iterator<Item = &'static Facility> {
        [
            facilities::LEGACY,
            facilities::ON_NFTABLES,
            facilities::IPTABLES,
            facilities::NFTABLES,
            facilities::EBPF,
            facilities::IPSET,
            facilities::CONNTRACK,
            facilities::VXLAN,
            facilities::IPIP,
            facilities::WIREGUARD,
            facilities::CALICOCTL,
        ]
        .into_iter()
        .flatten()
        .map(|need| &need.facility)
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::default();
        let mut put = |path: &str, text: &str| {
            let bytes = text.as_bytes().to_vec();
            evidence.insert(path, Reading { bytes, ..Reading::begin() });
        };
        let (mut list, mut config) = (String::new(), String::from("CONFIG_64BIT=y\n"));
        for facility in Self::facilities() {
            for module in facility.modules.iter().filter(|name| !self.without.contains(name)) {
                writeln!(list, "kernel/net/{module}.ko.xz: kernel/a.ko.xz").unwrap();
            }
            let kind = if facility.modules.is_empty() || !self.is_modular { 'y' } else { 'm' };
            for option in facility.options.iter().filter(|name| !self.without.contains(name)) {
                writeln!(config, "CONFIG_{option}={kind}").unwrap();
            }
        }
        put("host/proc/sys/kernel/osrelease", &format!("{}\n", self.release));
        put(&format!("host/boot/config-{}", self.release), &config);
        put("host/sys/kernel/security/lockdown", self.lockdown);
        put("host/proc/1/mountinfo", "1 1 0:1 / /sys/fs/bpf rw - bpf bpf rw\n");
        if self.is_modular {
            put("host/proc/modules", "veth 40960 0 - Live 0x0\n");
            put(
                "kernel/modules_listing",
                &format!("0755 root root 4096 2026-01-01T00:00:00Z {}\n", self.folder),
            );
            if self.folder == self.release {
                put(&format!("host/lib/modules/{}/modules.dep", self.release), &list);
                put(&format!("host/lib/modules/{}/modules.builtin", self.release), "kernel/a.ko\n");
            }
        }
        let felix = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "argv": ["calico", "component", "felix"],
            "environment": self.environment,
        }]);
        let processes = if self.has_felix { felix } else { json!([]) };
        put("processes.json", &processes.to_string());
        put("host/proc/412/status", &format!("Name:\tcalico\nCapEff:\t{}\n", self.capabilities));
        if !self.is_modular {
            let missing = Reading::failed(Outcome::Missing, "no such file");
            evidence.insert("host/proc/modules", missing);
        }
        evidence
    }

    fn levels(&self) -> Vec<(&'static str, Level)> {
        let findings = judge(&self.evidence(), &Asked::default());
        findings.iter().map(|finding| (finding.id, finding.level)).collect()
    }

    fn finding(&self, id: &str) -> Finding {
        let findings = judge(&self.evidence(), &Asked::default());
        findings.into_iter().find(|finding| finding.id == id).unwrap()
    }
}

/// The ids whose level is not that of a whole host with the same environment.
fn changed(host: &Host) -> Vec<(&'static str, Level)> {
    let whole = Host { environment: host.environment.clone(), ..Host::new() };
    let before = whole.levels();
    host.levels().into_iter().filter(|level| !before.contains(level)).collect()
}

#[test]
fn a_whole_kernel_passes_everything_with_and_without_modules() {
    for is_modular in [true, false] {
        let host = Host { is_modular, has_felix: false, ..Host::new() };
        for (id, level) in host.levels() {
            let expected = if id == CAPABILITIES { Level::Skip } else { Level::Ok };
            assert_eq!(level, expected, "{}", host.finding(id).summary);
        }
    }
}

#[test]
fn the_lack_of_a_part_fails_what_uses_it_and_nothing_else() {
    for (id, environment, part) in [
        (CONNTRACK, json!({}), &["nf_conntrack", "NF_CONNTRACK"][..]),
        (IPTABLES, json!({}), &["xt_comment", "NETFILTER_XT_MATCH_COMMENT"]),
        (IPTABLES, json!({"FELIX_IPTABLESBACKEND": "NFT"}), &["nft_compat", "NFT_COMPAT"]),
        (IPTABLES, json!({"FELIX_IPTABLESBACKEND": "Legacy"}), &["iptable_raw", "IP_NF_RAW"]),
        (IPSET, json!({}), &["ip_set_hash_net", "IP_SET_HASH_NET"]),
        (NFTABLES, json!({"FELIX_NFTABLESMODE": "Enabled"}), &["nft_fib", "NFT_FIB"]),
        (EBPF, json!({"FELIX_BPFENABLED": "true"}), &["CGROUP_BPF"]),
        (VXLAN, json!({"FELIX_VXLANENABLED": "true"}), &["vxlan", "VXLAN"]),
        (IPIP, json!({"CALICO_IPV4POOL_IPIP": "CrossSubnet"}), &["ipip", "NET_IPIP"]),
        (WIREGUARD, json!({"FELIX_WIREGUARDENABLED": "true"}), &["wireguard", "WIREGUARD"]),
    ] {
        let host = Host { environment, without: part.to_vec(), ..Host::new() };
        assert_eq!(changed(&host), [(id, Level::Fail)], "{part:?}: {}", host.finding(id).summary);
        assert!(!host.finding(id).remedy.is_empty(), "{id}");
    }
}

#[test]
fn a_part_that_nothing_uses_may_lack() {
    let without =
        vec!["wireguard", "WIREGUARD", "ipip", "NET_IPIP", "CGROUP_BPF", "nft_fib", "NFT_FIB"];
    let host = Host { without, ..Host::new() };
    assert_eq!(changed(&host), []);
    for id in [WIREGUARD, IPIP, EBPF, NFTABLES] {
        let finding = host.finding(id);
        assert_eq!(finding.level, Level::Skip);
        assert!(finding.summary.contains("not used here") && finding.summary.contains("lacks"));
    }
}

#[test]
fn before_calico_runs_one_dataplane_is_enough() {
    let host = |without: &[&'static str]| Host {
        has_felix: false,
        without: without.to_vec(),
        ..Host::new()
    };
    let no_set = ["xt_set", "ipt_set", "NETFILTER_XT_SET"];
    assert_eq!(host(&no_set).finding(IPTABLES).level, Level::Warn);
    assert!(host(&no_set).finding(IPTABLES).remedy.concat().contains("nftables dataplane"));
    let neither = [&no_set[..], &["nf_tables", "NF_TABLES"]].concat();
    assert_eq!(host(&neither).finding(IPTABLES).level, Level::Fail);
    assert_eq!(host(&neither).finding(NFTABLES).level, Level::Info);
}

#[test]
fn legacy_iptables_may_lack_where_nftables_stands_in_for_it() {
    let without = vec!["ip_tables", "IP_NF_IPTABLES", "IP_NF_IPTABLES_LEGACY"];
    let finding = Host { without, ..Host::new() }.finding(IPTABLES);
    assert_eq!(finding.level, Level::Ok, "{}", finding.summary);
    assert_eq!(finding.evidence["kinds"], json!({"legacy": false, "onNftables": true}));
}

#[test]
fn an_old_kernel_is_too_old_for_what_needs_a_newer_one() {
    let host = |release| Host { release, folder: release, ..Host::new() };
    for (release, level) in [
        ("5.10.0-35-amd64", Level::Ok),
        ("4.18.0-553.el8_10.x86_64", Level::Ok),
        ("4.18.0-80.el8.x86_64", Level::Warn),
        ("5.4.0-216-generic", Level::Warn),
        ("3.2.0", Level::Fail),
    ] {
        assert_eq!(host(release).finding(KERNEL).level, level, "{release}");
    }
    let nftables =
        Host { environment: json!({"FELIX_NFTABLESMODE": "Enabled"}), ..host("5.10.0-35-amd64") };
    assert_eq!(nftables.finding(NFTABLES).level, Level::Fail);
    let ebpf = |release| Host { environment: json!({"FELIX_BPFENABLED": "true"}), ..host(release) };
    assert_eq!(ebpf("4.18.0-80.el8.x86_64").finding(EBPF).level, Level::Fail);
    assert_eq!(ebpf("4.18.0-553.el8_10.x86_64").finding(EBPF).level, Level::Ok);
}

#[test]
fn a_kernel_that_was_upgraded_and_not_rebooted_is_found() {
    let host = Host { folder: "6.1.0-43-amd64", ..Host::new() };
    let modules = host.finding(MODULES);
    assert_eq!(modules.level, Level::Fail);
    assert!(modules.summary.contains("6.1.0-43-amd64"), "{}", modules.summary);
    assert_eq!(host.finding(IPTABLES).level, Level::Fail);
    assert!(host.finding(IPTABLES).remedy.concat().contains("reboot"));
}

#[test]
fn where_there_is_no_folder_of_modules_nothing_is_claimed() {
    let mut evidence = Host::new().evidence();
    let missing = || Reading::failed(Outcome::Missing, "no such file");
    for path in ["kernel/modules_listing", "host/lib/modules/6.1.0-42-amd64/modules.dep"] {
        evidence.insert(path, missing());
    }
    evidence.insert("host/boot/config-6.1.0-42-amd64", missing());
    for finding in judge(&evidence, &Asked::default()) {
        let is_known = [KERNEL, CAPABILITIES].contains(&finding.id);
        let unused = finding.level == Level::Skip;
        assert!(is_known || unused || finding.level == Level::Unknown, "{finding:?}");
    }
}

#[test]
fn the_configuration_that_the_user_gives_is_the_one_that_counts() {
    let given = Arc::new((b"CONFIG_64BIT=y\n".to_vec(), "mine".to_owned()));
    let asked = Asked { kernel_config: Some(given), ..Asked::default() };
    let host = Host { is_modular: false, ..Host::new() };
    let findings = judge(&host.evidence(), &asked);
    let iptables = findings.iter().find(|finding| finding.id == IPTABLES).unwrap();
    assert_eq!(iptables.level, Level::Fail);
    assert!(iptables.summary.contains("is not set in mine"), "{}", iptables.summary);
}

#[test]
fn a_felix_without_its_capabilities_is_found() {
    let host = Host { capabilities: "00000000a80425fb", ..Host::new() };
    assert_eq!(changed(&host), [(CAPABILITIES, Level::Fail)]);
    assert!(host.finding(CAPABILITIES).summary.contains("CAP_NET_ADMIN"));
    // CAP_NET_ADMIN, CAP_NET_RAW: enough but for eBPF.
    let some = Host { capabilities: "0000000000003000", ..Host::new() };
    assert_eq!(some.finding(CAPABILITIES).level, Level::Ok);
    let ebpf = Host { environment: json!({"FELIX_BPFENABLED": "true"}), ..some };
    assert_eq!(ebpf.finding(CAPABILITIES).level, Level::Fail);
}

#[test]
fn lockdown_in_confidentiality_is_the_end_of_ebpf() {
    let environment = json!({"FELIX_BPFENABLED": "true"});
    let lockdown = "none integrity [confidentiality]\n";
    let host = Host { environment: environment.clone(), lockdown, ..Host::new() };
    assert_eq!(changed(&host), [(EBPF, Level::Fail)]);
    let integrity = "none [integrity] confidentiality\n";
    assert_eq!(changed(&Host { environment, lockdown: integrity, ..Host::new() }), []);
}

#[test]
fn what_calicoctl_looks_for_in_vain_is_told_and_is_no_failure() {
    let host = Host { without: vec!["vfio_pci", "VFIO", "VFIO_PCI"], ..Host::new() };
    assert_eq!(changed(&host), [(CALICOCTL, Level::Info)]);
    let list = &host.finding(CALICOCTL).evidence["list"];
    assert_eq!(list.as_object().unwrap().len(), 15);
    assert_eq!(list["vfio-pci"]["calicoctl"], "FAIL");
    assert_eq!(list["xt_set"], json!({"calicoctl": "OK", "found": "module"}));
}

/// A host whose kernel was asked for its types of sets, with these sets.
fn with_sets(types: &[serde_json::Value], sets: &[serde_json::Value]) -> Evidence {
    let mut evidence = Host::new().evidence();
    let table = crate::checks::tables::tests::table(&[("types", types), ("sets", sets)]);
    evidence.insert(crate::collectors::netfilter::IPSET_TYPES, table);
    evidence
}

#[test]
fn a_type_of_sets_that_the_kernel_itself_denies_lacks_whatever_its_modules_are_called() {
    let known = |kind: &str, revision: Option<u64>| json!({"type": kind, "revision": revision, "oldest_revision": revision.map(|_| 0)});
    let finding = |evidence: &Evidence| {
        let found = judge(evidence, &Asked::default());
        found.into_iter().find(|finding| finding.id == IPSET).unwrap()
    };
    let well = finding(&with_sets(&[known("hash:ip", Some(6)), known("hash:net", Some(7))], &[]));
    assert_eq!(well.level, Level::Ok, "{well:#?}");
    assert_eq!(well.evidence["revisions"]["hash:ip"], json!([0, 6]));
    let lacking = finding(&with_sets(&[known("hash:ip", None)], &[]));
    assert_eq!(lacking.level, Level::Fail, "{lacking:#?}");
    assert!(lacking.summary.contains("hash:ip (the kernel"), "{}", lacking.summary);
}

#[test]
fn sets_of_others_that_felix_cannot_make_so_new_are_named() {
    let set = |name: &str, revision: u64| json!({"name": name, "type": "hash:ip", "family": "ipv4", "revision": revision});
    let finding = |sets: &[serde_json::Value]| {
        let found = judge(&with_sets(&[], sets), &Asked::default());
        found.into_iter().find(|finding| finding.id == IPSET).unwrap()
    };
    let own = set("cali40masq-ipam-pools", 5);
    assert_eq!(finding(&[own.clone(), set("KUBE-CLUSTER-IP", 5)]).level, Level::Ok);
    let found = finding(&[own, set("KUBE-CLUSTER-IP", 6)]);
    assert_eq!(found.level, Level::Info, "{found:#?}");
    assert_eq!(found.evidence["newerSets"], json!(["KUBE-CLUSTER-IP"]));
    // Felix has none: nothing is to be compared.
    assert_eq!(finding(&[set("KUBE-CLUSTER-IP", 6)]).level, Level::Ok);
}
