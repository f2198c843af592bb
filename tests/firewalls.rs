//! `calivet check firewall` beside the real firewalld and ufw, and the rules of a real Docker: what it says of a pod's
//! packets is what becomes of them, and what it proposes mends it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check_firewall::{bundled, live, trouble};
use crate::lab::firewalls::Node;
use crate::run::{finding, run};

/// The levels of all findings that do not follow the machine's own load, clock and log.
fn levels(node: &Node) -> BTreeMap<String, BTreeSet<String>> {
    let mut command = node.namespaces().command(env!("CARGO_BIN_EXE_calivet"));
    let skipped = "disk,time,conntrack";
    let report = run(command.args(["check", "--no-probe", "--skip", skipped, "-o", "json"])).json();
    let mut levels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for finding in report["findings"].as_array().unwrap() {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        levels.entry(text("id")).or_default().insert(text("level"));
    }
    levels
}

/// The ids of findings whose level is another than before.
fn changed(
    before: &BTreeMap<String, BTreeSet<String>>,
    after: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let ids: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    ids.into_iter().filter(|id| before.get(*id) != after.get(*id)).cloned().collect()
}

/// The ids of what is wrong with the rules.
fn wrong(node: &Node) -> Vec<String> {
    trouble(&live(node.namespaces())).into_keys().collect()
}

/// Asserts that this and nothing else is wrong with the rules, live and in a bundle, and gives the finding.
#[track_caller]
fn only(node: &Node, id: &str, level: &str, words: &[&str]) -> Value {
    let report = live(node.namespaces());
    let found = trouble(&report);
    assert_eq!(found.keys().collect::<Vec<_>>(), [id], "{found:#?}");
    let (found_level, summary) = &found[id];
    assert_eq!(found_level, level, "{summary}");
    for words in words {
        assert!(summary.contains(words), "{words:?}: {summary}");
    }
    let (judged, said) = bundled(node.namespaces());
    assert_eq!(judged, said);
    assert_eq!(judged, report["findings"]);
    finding(&report, id).clone()
}

/// The commands among a finding's remedies that begin with this word, for this node.
#[track_caller]
fn commands(finding: &Value, program: &str) -> String {
    let lines = finding["remedy"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    let commands: Vec<&str> =
        lines.filter(|line| line.split(' ').next() == Some(program)).collect();
    assert!(!commands.is_empty(), "no {program}: {finding:#}");
    commands.join("\n").replace("POD_CIDR", "10.65.0.0/16")
}

#[test]
fn firewalld_rejects_what_calico_accepts_until_it_is_stopped_or_trusts_the_pods() {
    let Some(node) = Node::start("iptables-nft") else { return };
    node.install_firewalld();
    node.assert_packets(["passes"; 3]);
    assert_eq!(wrong(&node), [""; 0]);
    let before = levels(&node);

    // It takes Calico's chains away, though its own are in nftables.
    node.run("firewalld");
    let found = trouble(&live(node.namespaces()));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["firewall.chains", "firewall.others"]);
    assert!(found["firewall.chains"].1.contains("firewalld flushes iptables"), "{found:#?}");

    node.run("felix");
    let words = ["table inet firewalld (reject) drops what a pod sends to the outside"];
    let others = only(&node, "firewall.others", "fail", &words);
    node.assert_packets(["rejected", "rejected", "lost"]);
    assert_eq!(changed(&before, &levels(&node)), ["firewall.others"]);

    node.run(&commands(&others, "systemctl"));
    assert_eq!(wrong(&node), ["firewall.chains"], "it flushes iptables when it stops, too");
    node.run("felix");
    node.assert_packets(["passes"; 3]);
    assert_eq!(changed(&before, &levels(&node)), [""; 0]);

    node.run("firewalld\nfelix");
    let commands = commands(&others, "firewall-cmd");
    let opens = |line: &&str| line.contains("--add-port") || line.contains("--add-protocol");
    let (open, trust): (Vec<&str>, Vec<&str>) = commands.lines().partition(opens);
    node.run(&format!("{}\nfelix", trust.join("\n")));
    let words = ["drops what 10.0.0.2 sends through vxlan.calico (UDP 4789)"];
    only(&node, "firewall.others", "fail", &words);
    node.assert_packets(["passes", "passes", "lost"]);
    node.run(&format!("{}\nfirewall-cmd --reload\nfelix", open.join("\n")));
    node.assert_packets(["passes"; 3]);
    assert_eq!(changed(&before, &levels(&node)), [""; 0]);
    let others = &live(node.namespaces());
    let others = finding(others, "firewall.others");
    assert_eq!(others["evidence"]["chains"].as_array().unwrap().len(), 4, "{others:#}");
}

#[test]
fn firewalld_leaves_the_chains_of_iptables_legacy_alone_and_rejects_all_the_same() {
    let Some(node) = Node::start("iptables-legacy") else { return };
    node.install_firewalld();
    let before = levels(&node);
    node.run("firewalld");
    only(&node, "firewall.others", "fail", &["table inet firewalld (reject)"]);
    node.assert_packets(["rejected", "rejected", "lost"]);
    assert_eq!(changed(&before, &levels(&node)), ["firewall.others"]);
}

#[test]
fn firewalld_of_the_back_end_iptables_rejects_before_calico_accepts() {
    let Some(node) = Node::start("iptables-nft") else { return };
    node.install_firewalld();
    let before = levels(&node);
    node.run(
        "sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' /etc/firewalld/firewalld.conf\nfirewalld",
    );
    assert_eq!(wrong(&node), ["firewall.chains"]);
    node.run("felix");
    let words =
        ["stops every packet (REJECT), and Calico accepts at 8", "firewalld has rules there"];
    let forward = only(&node, "firewall.forward", "fail", &words);
    node.assert_packets(["rejected"; 3]);
    assert_eq!(changed(&before, &levels(&node)), ["firewall.forward"]);
    node.run(&format!("{}\nfelix", commands(&forward, "firewall-cmd")));
    node.assert_packets(["passes"; 3]);
    assert_eq!(changed(&before, &levels(&node)), [""; 0]);
}

#[test]
fn ufw_is_in_the_way_only_where_felix_lets_it() {
    for (which, iptables) in [("nft", "iptables-nft"), ("legacy", "iptables-legacy")] {
        let Some(node) = Node::start(iptables) else { return };
        node.use_iptables(which);
        node.install_ufw();
        let before = levels(&node);
        // Felix's rules are first, and its accept stands before the policy that ufw sets.
        node.run("ufw --force enable\nfelix");
        assert!(node.run(&format!("{iptables} -S FORWARD")).contains("-P FORWARD DROP"));
        node.assert_packets(["passes"; 3]);
        assert_eq!(changed(&before, &levels(&node)), [""; 0], "{which}");

        node.run("chain_insert_mode=-A felix");
        let order = only(
            &node,
            "firewall.order",
            "warn",
            &["position 7 of INPUT", "ufw-before-input at 2", "ufw-after-input at 3"],
        );
        node.run(&commands(&order, "ufw"));
        assert_eq!(changed(&before, &levels(&node)), [""; 0], "{which}");

        node.run("ufw --force enable\nallow_action=Return felix");
        let words = ["the policy of FORWARD", "is DROP", "ufw has rules there"];
        let forward = only(&node, "firewall.forward", "fail", &words);
        node.assert_packets(["lost"; 3]);
        assert_eq!(changed(&before, &levels(&node)), ["firewall.forward"], "{which}");
        node.run(&commands(&forward, "ufw"));
        node.assert_packets(["passes"; 3]);
        assert_eq!(changed(&before, &levels(&node)), [""; 0], "{which}");

        node.run("sed -i s/^MANAGE_BUILTINS=no/MANAGE_BUILTINS=yes/ /etc/default/ufw\nufw reload");
        let chains = only(&node, "firewall.chains", "fail", &["ufw flushes iptables"]);
        node.run(&format!("{}\nfelix", commands(&chains, "sed")));
        assert_eq!(changed(&before, &levels(&node)), [""; 0], "{which}");
    }
}

/// `tests/samples/docker/README.md` says where they come from.
#[test]
fn docker_that_started_after_felix_decides_before_calico_until_felix_looks_again() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/docker/20.10.24");
    for iptables in ["iptables-nft", "iptables-legacy"] {
        let Some(node) = Node::start(iptables) else { return };
        let before = levels(&node);
        node.run(&format!(
            "ip link add docker0 type bridge\nip address add 172.17.0.1/16 dev docker0\nip link set docker0 up\n\
             {iptables}-restore <{sample}/iptables-save\nip6{tables}-restore <{sample}/ip6tables-save",
            tables = iptables.trim_start_matches("ip"),
        ));
        let words =
            ["cali-FORWARD is at position 7 of FORWARD", "behind DOCKER-ISOLATION-STAGE-1 at 2"];
        let order = only(&node, "firewall.order", "warn", &words);
        assert!(order["remedy"].to_string().contains("Docker puts its chains first"), "{order:#}");
        // Docker has set the policy to DROP, and Calico's accept stands before it.
        assert!(node.run(&format!("{iptables} -S FORWARD")).contains("-P FORWARD DROP"));
        node.assert_packets(["passes"; 3]);
        assert_eq!(changed(&before, &levels(&node)), ["firewall.order"]);
        node.run("felix");
        node.assert_packets(["passes"; 3]);
        assert_eq!(changed(&before, &levels(&node)), [""; 0]);

        node.run("allow_action=Return felix");
        let words = ["the policy of FORWARD", "Docker has rules there"];
        let forward = only(&node, "firewall.forward", "fail", &words);
        node.assert_packets(["lost"; 3]);
        let accept = commands(&forward, "iptables");
        node.run(&accept.replacen("iptables", iptables, 1));
        node.assert_packets(["passes"; 3]);
        assert_eq!(changed(&before, &levels(&node)), [""; 0]);
    }
}
