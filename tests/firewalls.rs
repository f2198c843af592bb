//! `calivet check firewall` beside the real firewalld and ufw, and the rules of a real Docker: what it says of a pod's
//! packets is what becomes of them, and what it proposes mends it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::agreement::{Levels, Views, changes};
use crate::check_firewall::trouble;
use crate::lab::firewalls::Node;
use crate::run::{finding, run};

/// The ids of what is wrong with the rules.
fn wrong(node: &Node) -> Vec<String> {
    let mut command = node.namespaces().command(env!("CARGO_BIN_EXE_calivet"));
    let report = run(command.args(["check", "firewall", "-o", "json"])).json();
    trouble(&report).into_iter().map(str::to_owned).collect()
}

/// The levels of all findings, live.
fn levels(node: &Node) -> Levels {
    let mut command = node.namespaces().command(env!("CARGO_BIN_EXE_calivet"));
    Views::of(node.namespaces()).levels(&run(command.args(["check", "-o", "json"])).json())
}

/// Asserts that all is as before.
#[track_caller]
fn is_as(before: &Levels, node: &Node) {
    assert_eq!(changes(before, &levels(node)), BTreeSet::new());
}

/// What changes when no rule of Calico's is left: of how it uses them nothing can be said.
const WITHOUT_RULES: [&str; 5] = [
    "felix.mode unknown",
    "firewall.backend skip",
    "firewall.chains fail",
    "firewall.forward skip",
    "firewall.order skip",
];

/// Asserts that these levels and nothing else have changed since the node was well, live, beneath `--root` and in a bundle.
#[track_caller]
fn only_these(node: &Node, before: &Levels, expected: &[&str]) -> Value {
    let views = Views::of(node.namespaces());
    let report = views.report().unwrap();
    let changed = changes(before, &views.levels(&report));
    assert_eq!(changed.iter().collect::<Vec<_>>(), expected, "{report:#}");
    report
}

/// The same of one finding, which is given.
#[track_caller]
fn only(node: &Node, before: &Levels, id: &str, level: &str, words: &[&str]) -> Value {
    let report = only_these(node, before, &[&format!("{id} {level}")]);
    let finding = finding(&report, id);
    for words in words {
        assert!(finding["summary"].as_str().unwrap().contains(words), "{words:?}: {finding:#}");
    }
    finding.clone()
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
    let report =
        only_these(&node, &before, &[&WITHOUT_RULES[..], &["firewall.others fail"]].concat());
    let chains = finding(&report, "firewall.chains");
    assert!(
        chains["summary"].as_str().unwrap().contains("firewalld flushes iptables"),
        "{chains:#}"
    );

    node.run("felix");
    let words = ["table inet firewalld (reject) drops what a pod sends to the outside"];
    let others = only(&node, &before, "firewall.others", "fail", &words);
    node.assert_packets(["rejected", "rejected", "lost"]);

    node.run(&commands(&others, "systemctl"));
    assert_eq!(wrong(&node), ["firewall.chains"], "it flushes iptables when it stops, too");
    node.run("felix");
    node.assert_packets(["passes"; 3]);
    is_as(&before, &node);

    node.run("firewalld\nfelix");
    let commands = commands(&others, "firewall-cmd");
    let opens = |line: &&str| line.contains("--add-port") || line.contains("--add-protocol");
    let (open, trust): (Vec<&str>, Vec<&str>) = commands.lines().partition(opens);
    node.run(&format!("{}\nfelix", trust.join("\n")));
    let words = ["drops what 10.0.0.2 sends through vxlan.calico (UDP 4789)"];
    only(&node, &before, "firewall.others", "fail", &words);
    node.assert_packets(["passes", "passes", "lost"]);
    node.run(&format!("{}\nfirewall-cmd --reload\nfelix", open.join("\n")));
    node.assert_packets(["passes"; 3]);
    is_as(&before, &node);
    let mut command = node.namespaces().command(env!("CARGO_BIN_EXE_calivet"));
    let report = run(command.args(["check", "firewall", "-o", "json"])).json();
    let others = finding(&report, "firewall.others");
    assert_eq!(others["evidence"]["chains"].as_array().unwrap().len(), 4, "{others:#}");
}

#[test]
fn firewalld_leaves_the_chains_of_iptables_legacy_alone_and_rejects_all_the_same() {
    let Some(node) = Node::start("iptables-legacy") else { return };
    node.install_firewalld();
    let before = levels(&node);
    node.run("firewalld");
    only(&node, &before, "firewall.others", "fail", &["table inet firewalld (reject)"]);
    node.assert_packets(["rejected", "rejected", "lost"]);
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
    let forward = only(&node, &before, "firewall.forward", "fail", &words);
    node.assert_packets(["rejected"; 3]);
    node.run(&format!("{}\nfelix", commands(&forward, "firewall-cmd")));
    node.assert_packets(["passes"; 3]);
    is_as(&before, &node);
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
        is_as(&before, &node);

        node.run("chain_insert_mode=-A felix");
        let order = only(
            &node,
            &before,
            "firewall.order",
            "warn",
            &["position 7 of INPUT", "ufw-before-input at 2", "ufw-after-input at 3"],
        );
        node.run(&commands(&order, "ufw"));
        is_as(&before, &node);

        node.run("ufw --force enable\nallow_action=Return felix");
        let words = ["the policy of FORWARD", "is DROP", "ufw has rules there"];
        let forward = only(&node, &before, "firewall.forward", "fail", &words);
        node.assert_packets(["lost"; 3]);
        node.run(&commands(&forward, "ufw"));
        node.assert_packets(["passes"; 3]);
        is_as(&before, &node);

        node.run("sed -i s/^MANAGE_BUILTINS=no/MANAGE_BUILTINS=yes/ /etc/default/ufw\nufw reload");
        let report = only_these(&node, &before, &WITHOUT_RULES);
        let chains = finding(&report, "firewall.chains");
        let summary = chains["summary"].as_str().unwrap();
        assert!(summary.contains("ufw flushes iptables"), "{chains:#}");
        node.run(&format!("{}\nfelix", commands(chains, "sed")));
        is_as(&before, &node);
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
        let order = only(&node, &before, "firewall.order", "warn", &words);
        assert!(order["remedy"].to_string().contains("Docker puts its chains first"), "{order:#}");
        // Docker has set the policy to DROP, and Calico's accept stands before it.
        assert!(node.run(&format!("{iptables} -S FORWARD")).contains("-P FORWARD DROP"));
        node.assert_packets(["passes"; 3]);
        node.run("felix");
        node.assert_packets(["passes"; 3]);
        is_as(&before, &node);

        node.run("allow_action=Return felix");
        let words = ["the policy of FORWARD", "Docker has rules there"];
        let forward = only(&node, &before, "firewall.forward", "fail", &words);
        node.assert_packets(["lost"; 3]);
        let accept = commands(&forward, "iptables");
        node.run(&accept.replacen("iptables", iptables, 1));
        node.assert_packets(["passes"; 3]);
        is_as(&before, &node);
    }
}
