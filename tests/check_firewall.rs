//! `calivet check firewall`: real rules of both back ends in namespaces, live, beneath `--root` and from a bundle of the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::agreement::{Levels, Views, changes};
use crate::lab::namespaces::Namespaces;
use crate::run::finding;

const TOOLS: &[&str] = &["iptables-legacy", "iptables-nft", "nft", "flock"];

/// A pod, and the chains that Felix makes for it with this `iptables`.
fn node(iptables: &str) -> String {
    format!(
        "ip link add cali1 type veth peer name pod1\nip link set cali1 up\nip link set pod1 up\n\
         ip link add up0 type veth peer name up1\nip address add 10.0.0.1/24 dev up0\nip link set up0 up\n\
         ip route add default via 10.0.0.2\nip route add 10.65.0.1/32 dev cali1\n\
         t() {{ {iptables} -w \"$@\"; }}\n\
         for chain in cali-INPUT cali-FORWARD cali-OUTPUT cali-tw-cali1 cali-fw-cali1; do t -N $chain; done\n\
         for hook in INPUT FORWARD OUTPUT; do t -I $hook -m comment --comment cali:a -j cali-$hook; done\n\
         t -A cali-FORWARD -o cali1 -m comment --comment cali:b -j cali-tw-cali1\n\
         t -A cali-tw-cali1 -m conntrack --ctstate INVALID -m comment --comment cali:c -j DROP\n\
         t -A FORWARD -m comment --comment cali:d -m mark --mark 0x10000/0x10000 -j ACCEPT\n"
    )
}

/// What nftables mode makes.
const NATIVE: &str = "
ip link add cali1 type veth peer name pod1
ip link set cali1 up
nft -f - <<'NFT'
table ip calico {
    chain filter-cali-tw-cali1 { drop; }
    chain filter-cali-fw-cali1 { drop; }
    chain filter-cali-FORWARD { oifname \"cali1\" jump filter-cali-tw-cali1; iifname \"cali1\" jump filter-cali-fw-cali1; }
    chain filter-FORWARD { type filter hook forward priority filter; jump filter-cali-FORWARD; }
}
NFT
";

/// What firewalld makes of what is forwarded, its zones left out.
fn firewalld(trusted: &str) -> String {
    format!(
        "nft -f - <<'NFT'
table inet firewalld {{
    chain filter_FORWARD {{
        type filter hook forward priority filter + 10; policy accept;
        ct state {{ established, related }} accept
        {trusted}
        reject with icmpx admin-prohibited
    }}
}}
NFT
"
    )
}

/// The ids of the findings about the rules that are neither `ok` nor `skip`.
pub(crate) fn trouble(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["check"] == "firewall")
        .filter(|finding| finding["level"] != "ok" && finding["level"] != "skip")
        .map(|finding| finding["id"].as_str().unwrap())
        .collect()
}

/// What follows of a kube-proxy that is there: that the two use the same mode is no longer left out.
const KUBE_PROXY: (&str, &str, &str) = ("firewall.kube-proxy", "ok", "");

/// The faults: what is done to a node, and which findings it makes: id, level, and words of the summary.
#[test]
#[expect(clippy::too_many_lines, clippy::type_complexity, reason = "a table of faults, a row each")]
fn each_fault_of_the_rules_is_found_and_nothing_else() {
    let Some(_) = Namespaces::with(TOOLS) else { return };
    let nft = node("iptables-nft");
    let legacy = node("iptables-legacy");
    let faults: &[(&str, String, &[(&str, &str, &str)])] = &[
        ("iptables-nft", nft.clone(), &[]),
        ("iptables-legacy", legacy.clone(), &[]),
        ("nftables mode", NATIVE.to_owned(), &[]),
        (
            "both back ends",
            format!(
                "{nft}iptables-legacy -N cali-FORWARD\niptables-legacy -I FORWARD -j cali-FORWARD\n"
            ),
            &[("firewall.backend", "fail", "both iptables-legacy (1) and iptables-nft (5)")],
        ),
        (
            "kube-proxy in the other",
            format!("{nft}iptables-legacy -t nat -N KUBE-SERVICES\n"),
            &[
                (
                    "firewall.backend",
                    "warn",
                    "Calico uses iptables-nft and kube-proxy iptables-legacy",
                ),
                KUBE_PROXY,
            ],
        ),
        (
            "the kubelet's hint",
            format!("{legacy}iptables-nft -t mangle -N KUBE-IPTABLES-HINT\n"),
            &[("firewall.backend", "warn", "the kubelet's hint says iptables-nft")],
        ),
        (
            "Docker started later",
            format!(
                "{nft}iptables-nft -N DOCKER-USER\niptables-nft -A DOCKER-USER -s 192.0.2.0/24 -j DROP\n\
                 iptables-nft -I FORWARD -j DOCKER-USER\n"
            ),
            &[(
                "firewall.order",
                "warn",
                "cali-FORWARD is at position 2 of FORWARD (nftables, table ip filter), behind DOCKER-USER at 1",
            )],
        ),
        (
            "Docker's empty chain",
            format!(
                "{nft}iptables-nft -N DOCKER-USER\niptables-nft -A DOCKER-USER -j RETURN\niptables-nft -I FORWARD -j DOCKER-USER\n"
            ),
            &[],
        ),
        (
            "kube-proxy before Calico",
            format!(
                "{nft}iptables-nft -N KUBE-FORWARD\niptables-nft -A KUBE-FORWARD -m mark --mark 0x4000 -j ACCEPT\niptables-nft -I FORWARD -j KUBE-FORWARD\n"
            ),
            &[KUBE_PROXY],
        ),
        (
            "a REJECT before all",
            format!(
                "{legacy}iptables-legacy -I FORWARD -j REJECT --reject-with icmp-host-prohibited\n"
            ),
            &[
                ("firewall.order", "fail", "behind REJECT at 1: no packet gets past it"),
                (
                    "firewall.forward",
                    "fail",
                    "rule 1 of FORWARD (legacy iptables, table filter) stops every packet (REJECT), and Calico accepts at 3",
                ),
            ],
        ),
        (
            "iptables.service's REJECT before Calico's accept",
            format!(
                "{nft}iptables-nft -I FORWARD 2 -j REJECT --reject-with icmp-host-prohibited\n"
            ),
            &[(
                "firewall.forward",
                "fail",
                "rule 2 of FORWARD (nftables, table ip filter) stops every packet (REJECT), and Calico accepts at 3",
            )],
        ),
        (
            "FORWARD flushed",
            format!("{nft}iptables-nft -F FORWARD\n"),
            &[("firewall.chains", "fail", "cali-FORWARD is there and FORWARD does not call it")],
        ),
        ("policy DROP, and Calico's accept", format!("{nft}iptables-nft -P FORWARD DROP\n"), &[]),
        (
            "policy DROP without Calico's accept",
            format!("{nft}iptables-nft -P FORWARD DROP\niptables-nft -D FORWARD 2\n"),
            &[(
                "firewall.forward",
                "fail",
                "the policy of FORWARD (nftables, table ip filter) is DROP",
            )],
        ),
        (
            "policy DROP in the other back end",
            format!("{nft}iptables-legacy -P FORWARD DROP\n"),
            &[(
                "firewall.forward",
                "fail",
                "the policy of FORWARD (legacy iptables, table filter) is DROP",
            )],
        ),
        (
            "firewalld",
            format!("{nft}{}", firewalld("")),
            &[("firewall.others", "fail", "(reject) drops what a pod sends to the outside")],
        ),
        (
            "firewalld that asks for a mark",
            format!("{nft}{}", firewalld("meta mark 7 accept")),
            &[("firewall.others", "warn", "(reject) may drop what a pod sends")],
        ),
        (
            "firewalld that trusts the pods",
            format!("{nft}{}", firewalld("iifname \"cali*\" accept\noifname \"cali*\" accept")),
            &[],
        ),
        (
            "a pod without chains",
            format!("{nft}ip link add cali2 type veth peer name pod2\nip link set cali2 up\n"),
            &[
                (
                    "firewall.chains",
                    "warn",
                    "1 of 2 pods' links have no chains of Felix's, cali2 first",
                ),
                // Felix has not done anything for that pod.
                ("routes.pods", "fail", ""),
            ],
        ),
        (
            "nftables mode, and kube-proxy uses iptables",
            format!("{NATIVE}iptables-nft -t nat -N KUBE-SERVICES\n"),
            &[(
                "firewall.kube-proxy",
                "warn",
                "Felix is in nftables mode and kube-proxy uses iptables",
            )],
        ),
        (
            "kube-proxy in nftables mode, and Felix uses iptables",
            format!("{nft}nft add table ip kube-proxy\nnft add chain ip kube-proxy services\n"),
            &[(
                "firewall.kube-proxy",
                "warn",
                "kube-proxy is in nftables mode and Felix uses iptables",
            )],
        ),
        (
            "the lock is held",
            format!(
                "{nft}flock /run/xtables.lock sleep 600 >/dev/null 2>&1 &\n\
                 while flock --nonblock /run/xtables.lock true; do sleep 0.02; done\n"
            ),
            &[("firewall.lock", "warn", "has held /run/xtables.lock for")],
        ),
        (
            "too many rules",
            format!(
                "{legacy}{{ echo '*filter'; for ((n = 0; n < 20001; n++)); do echo '-A OUTPUT -p tcp --dport 1 -j ACCEPT'; done; echo COMMIT; }} | iptables-legacy-restore -n\n"
            ),
            &[("firewall.rules", "warn", "(20007 of iptables-legacy), 20001 of them of others")],
        ),
    ];
    // The first of them are well; each other is one of these to which something was done.
    let mut well: Vec<(&str, Levels)> = Vec::new();
    for (name, script, expected) in faults {
        let namespaces = Namespaces::with(TOOLS).unwrap();
        namespaces.without_ipv6();
        namespaces.run(script);
        let views = Views::of(&namespaces);
        let report = views.report().unwrap_or_else(|differs| panic!("{name}: {differs}"));
        let levels = views.levels(&report);
        let Some((_, before)) = well.iter().find(|(well, _)| script.starts_with(well)) else {
            assert_eq!((trouble(&report), expected.len()), (vec![], 0), "{name}");
            well.push((script.as_str(), levels));
            continue;
        };
        let changed = changes(before, &levels);
        let wanted: BTreeSet<String> =
            expected.iter().map(|(id, level, _)| format!("{id} {level}")).collect();
        assert_eq!(changed, wanted, "{name}: {report:#}");
        for (id, _, words) in *expected {
            let finding = finding(&report, id);
            assert!(finding["summary"].as_str().unwrap().contains(words), "{name}: {finding:#}");
        }
    }
    assert_eq!(well.len(), 3);
}

#[test]
fn of_several_faults_each_is_found() {
    let Some(namespaces) = Namespaces::with(TOOLS) else { return };
    let nft = node("iptables-nft");
    namespaces.without_ipv6();
    namespaces.run(&format!(
        "{nft}{}iptables-legacy -P FORWARD DROP\niptables-nft -I FORWARD -s 192.0.2.0/24 -j DROP\n",
        firewalld("")
    ));
    let report = Views::of(&namespaces).report().unwrap();
    let failed = report["findings"].as_array().unwrap().iter();
    let failed = failed.filter(|it| it["check"] == "firewall" && it["level"] == "fail");
    assert_eq!(failed.count(), 2, "{report:#}");
}
