use serde_json::{Value, json};

use super::*;
use crate::checks::Level;
use crate::fix::Change;

/// A node with an uplink, a tunnel and a pod, set as Felix sets it.
struct Host {
    links: Value,
    settings: Vec<(&'static str, &'static str)>,
    files: Vec<(&'static str, &'static str)>,
    environment: Value,
    dropped: u64,
    arp: &'static str,
}

fn link(name: &str, ipv4: &Value) -> Value {
    let mut settings = json!({
        "forwarding": 1, "rp_filter": 0, "proxy_arp": 0, "route_localnet": 0, "accept_local": 0,
        "arp_ignore": 0,
    });
    for (key, value) in ipv4.as_object().unwrap() {
        settings[key] = value.clone();
    }
    json!({"name": name, "kind": "veth", "flags": ["up"], "ipv4": settings})
}

impl Host {
    fn new() -> Self {
        Self {
            links: json!([
                link("eth0", &json!({})),
                link("eth1", &json!({})),
                link("vxlan.calico", &json!({})),
                link("cali0123456789a", &json!({"proxy_arp": 1, "route_localnet": 1})),
            ]),
            settings: Vec::new(),
            files: Vec::new(),
            environment: json!({"IP6": "fd00::1"}),
            dropped: 0,
            arp: "entries table_fulls\n00000010 00000000\n00000010 00000000\n",
        }
    }

    /// The same with a link's setting changed.
    fn with(mut self, place: usize, name: &str, value: i64) -> Self {
        self.links[place]["ipv4"][name] = value.into();
        self
    }

    fn findings(&self) -> Vec<Finding> {
        let mut evidence = Evidence::default();
        let mut put = |path: &str, text: &str| {
            let bytes = text.as_bytes().to_vec();
            evidence.insert(path, Reading { bytes, ..Reading::begin() });
        };
        put("host/proc/1/comm", "systemd\n");
        for (key, value) in [
            ("net/ipv4/ip_forward", "1\n"),
            ("net/ipv6/conf/all/forwarding", "1\n"),
            ("net/ipv4/conf/all/rp_filter", "0\n"),
            ("net/ipv4/conf/all/proxy_arp", "0\n"),
            ("net/ipv4/conf/all/route_localnet", "0\n"),
            ("net/ipv4/conf/all/accept_local", "0\n"),
            ("net/ipv4/conf/all/arp_ignore", "0\n"),
            ("net/ipv4/neigh/default/gc_thresh3", "1024\n"),
            ("net/ipv6/neigh/default/gc_thresh3", "1024\n"),
            ("net/bridge/bridge-nf-call-iptables", "1\n"),
        ]
        .iter()
        .chain(&self.settings)
        {
            put(&format!("host/proc/sys/{key}"), value);
        }
        for (path, text) in &self.files {
            put(&format!("host{path}"), text);
        }
        put("network/links.json", &json!({"links": self.links}).to_string());
        let address = |dev: &str| json!({"dev": dev, "family": "ipv4", "scope": "global"});
        let addresses = json!({"addresses": [address("eth0"), address("eth1")]});
        put("network/addresses.json", &addresses.to_string());
        let netstat = format!("TcpExt: A IPReversePathFilter B\nTcpExt: 0 {} 7\n", self.dropped);
        put("host/proc/net/netstat", &netstat);
        put("host/proc/net/stat/arp_cache", self.arp);
        put("host/proc/net/stat/ndisc_cache", "entries table_fulls\n00000002 00000000\n");
        let felix = json!([{
            "pid": 412, "hostRoot": true, "state": "S", "argv": ["calico", "component", "felix"],
            "environment": self.environment,
        }]);
        put("processes.json", &felix.to_string());
        judge(&evidence, &Asked::default())
    }

    fn finding(&self, id: &str) -> Finding {
        self.findings().into_iter().find(|finding| finding.id == id).unwrap()
    }

    /// The findings whose level is not that of a healthy host.
    fn changed(&self) -> Vec<(&'static str, Level)> {
        let healthy = Self { environment: self.environment.clone(), ..Self::new() }.findings();
        let changed = self.findings().into_iter().zip(healthy);
        changed
            .filter(|(finding, before)| finding.level != before.level)
            .map(|(finding, _)| (finding.id, finding.level))
            .collect()
    }
}

#[test]
fn whether_pods_have_ipv6_is_not_known_where_felixs_environment_is_not() {
    let level = |environment| Host { environment, ..Host::new() }.finding(IPV6).level;
    assert_eq!(level(json!({"IP": "autodetect"})), Level::Skip);
    assert_eq!(level(Value::Null), Level::Unknown);
}

#[test]
fn a_healthy_node_gives_no_alarm() {
    for finding in Host::new().findings() {
        let expected = if finding.id == EBPF { Level::Skip } else { Level::Ok };
        assert_eq!(finding.level, expected, "{}", finding.summary);
        assert!(finding.changes.is_empty(), "{}", finding.id);
    }
}

#[test]
fn each_fault_is_found_and_changes_nothing_else() {
    let ebpf = json!({"FELIX_BPFENABLED": "true", "IP6": "fd00::1"});
    let set = |key, value| Host { settings: vec![(key, value)], ..Host::new() };
    for (host, expected) in [
        (set("net/ipv4/ip_forward", "0\n"), (IPV4, Level::Fail)),
        (Host::new().with(0, "forwarding", 0), (IPV4, Level::Fail)),
        (set("net/ipv6/conf/all/forwarding", "0\n"), (IPV6, Level::Fail)),
        (Host::new().with(3, "proxy_arp", 0), (POD_LINKS, Level::Fail)),
        (Host::new().with(3, "forwarding", 0), (POD_LINKS, Level::Fail)),
        (Host::new().with(3, "route_localnet", 0), (POD_LINKS, Level::Warn)),
        (Host { dropped: 17, ..Host::new().with(0, "rp_filter", 1) }, (RP_FILTER, Level::Warn)),
        (Host::new().with(1, "arp_ignore", 8), (ARP, Level::Fail)),
        (set("net/ipv4/neigh/default/gc_thresh3", "20\n"), (NEIGHBOURS, Level::Warn)),
        (set("net/ipv4/neigh/default/gc_thresh3", "16\n"), (NEIGHBOURS, Level::Fail)),
        (
            Host { arp: "entries table_fulls\n00000001 00000005\n", ..Host::new() },
            (NEIGHBOURS, Level::Warn),
        ),
    ] {
        assert_eq!(host.changed(), [expected], "{}", host.finding(expected.0).summary);
    }
    let strict = Host { environment: ebpf.clone(), ..Host::new().with(0, "rp_filter", 1) };
    assert_eq!(strict.changed(), [(RP_FILTER, Level::Fail)]);
    let well = Host { environment: ebpf, ..Host::new() };
    assert_eq!(well.finding(EBPF).level, Level::Warn, "accept_local is 0");
    let well = well.with(0, "accept_local", 1).with(1, "accept_local", 1);
    assert_eq!(well.finding(EBPF).level, Level::Ok);
}

#[test]
fn a_bridge_that_bypasses_iptables_is_told_where_it_has_ports() {
    let mut host =
        Host { settings: vec![("net/bridge/bridge-nf-call-iptables", "0\n")], ..Host::new() };
    assert_eq!(host.finding(BRIDGE).level, Level::Ok);
    let links = host.links.as_array_mut().unwrap();
    links.push(json!({"name": "cni0", "kind": "bridge", "flags": ["up"]}));
    links.push(json!({"name": "veth1", "kind": "veth", "master": "cni0"}));
    assert_eq!(host.finding(BRIDGE).level, Level::Info);
}

#[test]
fn the_setting_for_all_counts_where_it_is_greater() {
    let host = Host {
        settings: vec![("net/ipv4/conf/all/rp_filter", "1\n")],
        dropped: 17,
        ..Host::new().with(1, "rp_filter", 2)
    };
    let finding = host.finding(RP_FILTER);
    assert_eq!(finding.level, Level::Warn);
    assert_eq!(finding.evidence["effective"]["eth0"], 1);
    assert_eq!(finding.evidence["effective"]["eth1"], 2, "loose beats strict");
    let by_all = Host {
        settings: vec![("net/ipv4/conf/all/proxy_arp", "1\n")],
        ..Host::new().with(3, "proxy_arp", 0)
    };
    assert_eq!(by_all.finding(POD_LINKS).level, Level::Ok);
}

#[test]
fn a_file_that_ends_forwarding_is_named_and_a_file_that_wins_mends_it() {
    let file = ("/etc/sysctl.d/99-hardening.conf", "# CIS\nnet.ipv4.ip_forward = 0\n");
    let host = Host { files: vec![file], ..Host::new() };
    let finding = host.finding(IPV4);
    assert_eq!(finding.level, Level::Warn);
    assert!(finding.summary.contains("/etc/sysctl.d/99-hardening.conf:2"), "{}", finding.summary);
    let [Change::File { path, text }] = &finding.changes[..] else { panic!("{finding:?}") };
    assert_eq!(path, "/etc/sysctl.d/99-zz-calivet-forwarding.conf");
    assert!(text.ends_with("\nnet.ipv4.ip_forward = 1\n"), "{text}");

    // Its other name decides as well.
    let alias = ("/etc/sysctl.d/zz.conf", "net.ipv4.conf.all.forwarding=0\n");
    let now =
        Host { files: vec![alias], settings: vec![("net/ipv4/ip_forward", "0\n")], ..Host::new() };
    let finding = now.finding(IPV4);
    assert_eq!(finding.level, Level::Fail);
    let [Change::Sysctl { key, value }, Change::File { .. }] = &finding.changes[..] else {
        panic!("{finding:?}")
    };
    assert_eq!((key.as_str(), value.as_str()), ("net.ipv4.ip_forward", "1"));
}

#[test]
fn the_line_that_undoes_a_pods_link_is_named() {
    let file = ("/etc/sysctl.d/50-arp.conf", "net.ipv4.conf.*.proxy_arp = 0\n");
    let host = Host { files: vec![file], ..Host::new().with(3, "proxy_arp", 0) };
    let finding = host.finding(POD_LINKS);
    assert!(finding.remedy.concat().contains("/etc/sysctl.d/50-arp.conf:1"), "{finding:?}");
}

#[test]
fn a_link_that_is_down_is_not_judged() {
    let mut host = Host::new().with(3, "proxy_arp", 0);
    host.links[3]["flags"] = json!([]);
    assert_eq!(host.finding(POD_LINKS).level, Level::Skip);
}

#[test]
fn what_does_not_tell_the_settings_of_links_is_unknown_and_not_well() {
    let mut host = Host::new();
    host.links = json!([{"name": "cali0123456789a", "flags": ["up"]}]);
    for id in [POD_LINKS, RP_FILTER, ARP] {
        assert_eq!(host.finding(id).level, Level::Unknown, "{id}");
    }
}
