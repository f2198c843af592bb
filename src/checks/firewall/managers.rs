//! Whose rules are these? Programs that keep rules of their own are told by their chains, and what each does to Calico's
//! was seen of the real ones: firewalld 1.3.3, ufw 0.36.2 and Docker 20.10.24 (`tests/firewalls.rs`).

use crate::packet_filter::{Act, Chain, Rule, Rules};

/// A program that keeps rules on a host.
#[derive(Debug)]
pub(super) struct Manager {
    /// As it calls itself.
    pub(super) name: &'static str,
    is_its: fn(&Chain) -> bool,
    /// When it removes Calico's chains, and what has it leave them.
    pub(super) flushes: Option<(&'static str, &'static str)>,
    /// What has it let pass what Calico accepts, as commands in this order.
    pub(super) lets_pass: &'static [&'static str],
    /// What has it decide nothing before Calico does.
    pub(super) gives_way: &'static str,
}

/// Its table in nftables, or with the back end iptables the chains of its zones.
///
/// `Firewall.flush` of its `core/fw.py` goes over `all_backends`, not over those that are enabled, so that it empties
/// iptables even where its own rules are in nftables.
pub(super) const FIREWALLD: Manager = Manager {
    name: "firewalld",
    is_its: |chain| {
        let is_of_zones = chain.name.ends_with("_ZONES") && chain.table == "filter";
        chain.table == "firewalld" || is_of_zones
    },
    flushes: Some((
        "firewalld flushes iptables, Calico's chains with it, when it starts, reloads and stops",
        "systemctl disable --now firewalld    # Calico's policy takes its place; restart calico-node then",
    )),
    lets_pass: &[
        "systemctl disable --now firewalld    # Calico's policy takes its place; it flushes iptables: restart calico-node then",
        "or keep it, let in what nodes send each other (BGP, VXLAN, WireGuard, Typha, kubelet, IP in IP), and have it trust Calico's links and pools both ways:",
        "firewall-cmd --permanent --add-port=179/tcp --add-port=4789/udp --add-port=51820/udp --add-port=5473/tcp --add-port=10250/tcp",
        "firewall-cmd --permanent --add-protocol=4",
        "firewall-cmd --permanent --zone=trusted --add-interface=cali+ --add-interface=tunl0 --add-interface=vxlan.calico --add-interface=wireguard.cali",
        "firewall-cmd --permanent --zone=trusted --add-source=POD_CIDR",
        "firewall-cmd --permanent --new-policy=calico",
        "firewall-cmd --permanent --policy=calico --add-ingress-zone=ANY",
        "firewall-cmd --permanent --policy=calico --add-egress-zone=trusted",
        "firewall-cmd --permanent --policy=calico --set-target=ACCEPT",
        "firewall-cmd --reload    # it flushes iptables: restart calico-node then",
    ],
    gives_way: "systemctl disable --now firewalld    # Calico's policy takes its place",
};

/// Its chains stay when it is disabled, empty.
const UFW: Manager = Manager {
    name: "ufw",
    is_its: |chain| {
        let is_named = chain.name.starts_with("ufw-") || chain.name.starts_with("ufw6-");
        is_named && !chain.rules.is_empty()
    },
    flushes: Some((
        "ufw flushes iptables when it is enabled or reloads, if MANAGE_BUILTINS is yes",
        "sed -i s/^MANAGE_BUILTINS=yes/MANAGE_BUILTINS=no/ /etc/default/ufw    # ufw leaves the chains of others alone then",
    )),
    lets_pass: &[
        "ufw default allow routed    # Calico's policy decides what is forwarded; ufw's goes on for the host itself",
    ],
    gives_way: "ufw disable    # its chains stay, and decide nothing; where chainInsertMode is Append, set it to Insert",
};

/// It sets the policy of `FORWARD` when it is the one that turns `ip_forward` on, and only then.
const DOCKER: Manager = Manager {
    name: "Docker",
    is_its: |chain| chain.name == "DOCKER" || chain.name.starts_with("DOCKER-"),
    flushes: None,
    lets_pass: &[
        "iptables -P FORWARD ACCEPT    # Docker sets DROP when it turns ip_forward on: have a file of sysctl.d do that at boot",
    ],
    gives_way: "Docker puts its chains first when it starts, and Felix puts its own before them again",
};

const MANAGERS: &[&Manager] = &[&FIREWALLD, &UFW, &DOCKER];

/// Those of whom any chain is there.
pub(super) fn present(rules: &Rules) -> Vec<&'static Manager> {
    let is_there = |manager: &&&Manager| rules.chains.iter().any(|chain| (manager.is_its)(chain));
    MANAGERS.iter().filter(is_there).copied().collect()
}

/// Those whose chains these rules of `base` call.
pub(super) fn called(rules: &Rules, base: &Chain, by: &[Rule]) -> Vec<&'static Manager> {
    let called: Vec<&Chain> = by
        .iter()
        .filter_map(|rule| match &rule.act {
            Act::Call(name) => rules.called(base, name),
            _ => None,
        })
        .collect();
    let is_called = |manager: &&&Manager| called.iter().any(|chain| (manager.is_its)(chain));
    MANAGERS.iter().filter(is_called).copied().collect()
}
