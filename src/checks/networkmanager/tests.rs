//! Verdicts on evidence that is made up.

use super::*;
use crate::checks::tables::tests::table;
use crate::host::Reading;

const CALICO: &str = "[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:tunl*\n";

/// Evidence of a node on which `NetworkManager` is installed and systemd-networkd runs, with these files.
fn node(files: &[(&str, &str)]) -> Evidence {
    let text = |text: &str| Reading { bytes: text.as_bytes().to_vec(), ..Reading::begin() };
    let missing = || Reading::failed(Outcome::Missing, "no such file");
    let absent = ["host/run/dhcpcd/pid", "host/run/dhcpcd.pid", "host/etc/dhcpcd.conf"]
        .into_iter()
        .chain([
            "host/etc/connman/main.conf",
            "host/etc/network/interfaces",
            "host/run/systemd/netif/state",
        ])
        .map(|path| (path.to_owned(), missing()));
    let usual = [
        ("networkmanager/version", "1.42.4\n"),
        ("networkmanager/dbus.json", "{\"running\":false}"),
        ("network/rules.json", "{\"source\":\"RTM\",\n\"rules\":[]}"),
        ("network/addresses.json", "{\"source\":\"RTM\",\n\"addresses\":[]}"),
        (
            "network/links.json",
            "{\"source\":\"RTM\",\n\"links\":[\n{\"index\":7,\"name\":\"cali1\",\"kind\":\"veth\",\"flags\":[\"up\"]}\n]}",
        ),
    ];
    let there = usual.iter().chain(files).map(|(path, it)| ((*path).to_owned(), text(it)));
    absent.chain(there).collect()
}

fn judged(files: &[(&str, &str)]) -> Vec<Finding> {
    all(&node(files), &Asked::default())
}

fn find<'a>(findings: &'a [Finding], id: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.id == id).unwrap()
}

fn cali1(files: &[(&str, &str)]) -> Finding {
    let findings = judged(files);
    let is_it = |finding: &&Finding| finding.evidence.get("interface") == Some(&json!("cali1"));
    findings.iter().find(is_it).unwrap().clone()
}

#[test]
fn files_of_others_that_may_not_be_read_leave_open_what_they_do() {
    let ifupdown = ("host/etc/network/interfaces", "auto lo\n");
    let unmanaged = (
        "host/etc/systemd/network/00-calico.network",
        "[Match]\nName=cali* tunl* vxlan.calico vxlan-v6.calico wireguard.cali wg-v6.cali\n[Link]\nUnmanaged=yes\n",
    );
    let settings = (
        "host/etc/systemd/networkd.conf",
        "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n",
    );
    let netplan = ("host/etc/netplan/a.yaml", "network: {version: 2}\n");
    let state = ("host/run/systemd/netif/state", "OPER_STATE=routable\n");
    let whole = node(&[ifupdown, unmanaged, settings, netplan, state]);
    for (id, place) in [
        ("networkmanager.networkd", "host/run/systemd/network/x.network"),
        ("networkmanager.networkd", "host/etc/systemd/networkd.conf.d"),
        ("networkmanager.ifupdown", "host/etc/network/interfaces.d/x"),
        ("networkmanager.netplan", "host/etc/netplan/b.yaml"),
        ("networkmanager.netplan", "host/etc/netplan"),
    ] {
        let of = |evidence: &Evidence| find(&all(evidence, &Asked::default()), id).clone();
        assert_eq!(of(&whole).level, Level::Ok, "{:#?}", of(&whole));
        let mut denied = whole.clone();
        denied.insert(place, Reading::failed(Outcome::Denied, "permission denied"));
        let finding = of(&denied);
        assert_eq!(finding.level, Level::Unknown, "{place}: {finding:#?}");
        assert!(finding.summary.contains("permission denied"), "{finding:#?}");
    }
}

#[test]
fn the_file_of_calicos_documentation_is_well_and_without_it_the_veth_is_taken() {
    let conf = "host/etc/NetworkManager/conf.d/calico.conf";
    let finding = cali1(&[(conf, CALICO)]);
    assert_eq!(finding.level, Level::Ok, "{}", finding.summary);
    assert_eq!(finding.evidence["decidedBy"], "/etc/NetworkManager/conf.d/calico.conf:2");
    let finding = cali1(&[(conf, "")]);
    assert_eq!(finding.evidence["managed"], true, "{}", finding.summary);
    assert_eq!(finding.changes.len(), 1, "nobody runs who could reload");
}

#[test]
fn what_udev_marks_is_left_alone_but_not_by_a_line_that_lasts() {
    let udev = ("host/run/udev/data/n7", "I:1\nE:ID_NET_DRIVER=veth\nE:NM_UNMANAGED=1\n");
    let finding = cali1(&[udev]);
    assert_eq!((finding.level, &finding.evidence["decidedBy"]), (Level::Info, &json!("udev")));
    // udev knows others, so it has not come to this one yet.
    let finding = cali1(&[("host/run/udev/data/n2", "I:1\n")]);
    assert_eq!(finding.level, Level::Unknown, "{}", finding.summary);
}

#[test]
fn a_file_that_glib_refuses_fails_and_no_interface_is_judged() {
    let findings = judged(&[("host/etc/NetworkManager/conf.d/x.conf", "unmanaged")]);
    let service = find(&findings, "networkmanager.service");
    assert_eq!(service.level, Level::Fail);
    assert!(
        service.summary.contains("/etc/NetworkManager/conf.d/x.conf: line 1"),
        "{}",
        service.summary
    );
}

#[test]
fn who_is_not_root_and_owns_the_name_is_not_believed() {
    let lie =
        "{\"running\":true,\"uid\":1000,\"devices\":[{\"interface\":\"cali1\",\"managed\":false}]}";
    let conf = ("host/etc/NetworkManager/conf.d/a.conf", "");
    let finding = cali1(&[("networkmanager/dbus.json", lie), conf]);
    assert_eq!((finding.level, &finding.evidence["live"]), (Level::Fail, &Value::Null));
}

#[test]
fn networkd_that_takes_a_pods_interface_is_named_with_its_line() {
    let state = ("host/run/systemd/netif/state", "OPER_STATE=routable\n");
    let all = ("host/etc/systemd/network/50-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
    let findings = judged(&[state, all]);
    let finding = find(&findings, "networkmanager.networkd");
    assert_eq!(finding.level, Level::Fail);
    assert!(
        finding.summary.contains("/etc/systemd/network/50-all.network:2"),
        "{}",
        finding.summary
    );
    let findings = judged(&[state]);
    assert_eq!(find(&findings, "networkmanager.networkd").level, Level::Warn, "foreign routes");
    let no = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n";
    let findings = judged(&[state, ("host/etc/systemd/networkd.conf.d/calico.conf", no)]);
    assert_eq!(find(&findings, "networkmanager.networkd").level, Level::Ok);
    assert_eq!(find(&judged(&[]), "networkmanager.networkd").level, Level::Skip);
}

#[test]
fn rules_of_nm_cloud_setup_fail_and_name_the_timer() {
    let rule = |number: u32, table: u32| json!({"family": "ipv4", "priority": number, "action": "table", "table": table, "flags": []});
    let rules = table(&[("rules", &[rule(0, 255), rule(30400, 30400)])]);
    let findings = judged(&[("network/rules.json", &rules.text())]);
    let finding = find(&findings, "networkmanager.cloud-setup");
    assert_eq!(finding.level, Level::Fail);
    assert!(finding.remedy[0].contains("nm-cloud-setup.timer"));
}

#[test]
fn dhcpcd_ifupdown_and_netplan_are_found_out() {
    let findings = judged(&[
        ("host/etc/dhcpcd.conf", "denyinterfaces eth0\n"),
        ("host/run/dhcpcd/pid", "7\n"),
        ("host/etc/connman/main.conf", "[General]\nNetworkInterfaceBlacklist=cali*\n"),
        ("host/etc/network/interfaces", "iface cali1 inet dhcp\n"),
        ("host/etc/netplan/a.yaml", "network: {ethernets: {x: {match: {name: \"cal*\"}}}}\n"),
    ]);
    assert_eq!(find(&findings, "networkmanager.dhcpcd").level, Level::Fail);
    assert_eq!(find(&findings, "networkmanager.netplan").level, Level::Fail);
    let connman = find(&findings, "networkmanager.connman");
    assert_eq!(connman.level, Level::Warn, "it does not run");
    assert!(
        connman.summary.starts_with("ConnMan would take cali1 and 1 more"),
        "{}",
        connman.summary
    );
    let ifupdown = find(&findings, "networkmanager.ifupdown");
    assert_eq!(ifupdown.level, Level::Warn);
    assert!(ifupdown.summary.starts_with("/etc/network/interfaces:1"), "{}", ifupdown.summary);
}

#[test]
fn wicked_is_judged_by_its_own_files_and_apart_from_network_scripts() {
    const WICKED: &str = "networkmanager.wicked";
    const OTHERS: &str = "networkmanager.ifupdown";
    let level = |path: &str, id: &str| {
        let interfaces = ("host/etc/network/interfaces", "auto lo\n");
        find(&judged(&[interfaces, (path, "BOOTPROTO='dhcp'\n")]), id).level
    };
    let [mine, foreign, scripts] = [
        "host/etc/sysconfig/network/ifcfg-cali1",
        "host/etc/sysconfig/network/ifcfg-eth0",
        "host/etc/sysconfig/network-scripts/ifcfg-cali1",
    ];
    assert_eq!((level(mine, WICKED), level(mine, OTHERS)), (Level::Warn, Level::Ok));
    assert_eq!((level(foreign, WICKED), level(foreign, OTHERS)), (Level::Ok, Level::Ok));
    assert_eq!((level(scripts, WICKED), level(scripts, OTHERS)), (Level::Skip, Level::Warn));

    let mut evidence = node(&[]);
    let refused = Reading::failed(Outcome::Denied, "permission denied");
    evidence.insert("host/etc/sysconfig/network".to_owned(), refused);
    let findings = all(&evidence, &Asked::default());
    assert_eq!(find(&findings, WICKED).level, Level::Unknown);
}

#[test]
fn only_the_interfaces_that_were_asked_for_are_judged() {
    let asked =
        Asked { interfaces: vec!["cali1".to_owned(), "caliX".to_owned()], ..Asked::default() };
    let findings = all(&node(&[("host/etc/NetworkManager/conf.d/a.conf", CALICO)]), &asked);
    let names: Vec<_> = findings
        .iter()
        .filter(|finding| finding.id == "networkmanager.device")
        .map(|finding| (finding.evidence["interface"].clone(), finding.evidence["exists"].clone()))
        .collect();
    assert_eq!(names, [(json!("cali1"), json!(true)), (json!("caliX"), json!(false))]);
}

/// As many interfaces as no node has: what takes a few microseconds for each must not take that for each pair.
#[test]
fn ten_thousand_interfaces_are_judged_in_no_time() {
    const COUNT: usize = 10_000;
    let name = |number: usize| format!("cali{number:011x}");
    let links: Vec<Value> = (0..COUNT)
        .map(|number| json!({"index": number, "name": name(number), "kind": "veth", "flags": ["up"]}))
        .collect();
    let devices: Vec<Value> = (0..COUNT)
        .map(|number| json!({"interface": name(number), "managed": true, "state": 100}))
        .collect();
    let view = json!({"running": true, "uid": 0, "networkingEnabled": true, "devices": devices});
    let evidence = node(&[
        ("network/links.json", &table(&[("links", &links)]).text()),
        ("networkmanager/dbus.json", &view.to_string()),
    ]);
    let started = std::time::Instant::now();
    let findings = all(&evidence, &Asked::default());
    let took = started.elapsed();
    let taken = findings.iter().filter(|finding| finding.id == "networkmanager.device");
    assert!(taken.filter(|finding| finding.level == Level::Fail).count() >= COUNT);
    println!("{COUNT} interfaces took {took:?}");
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
