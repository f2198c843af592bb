//! BIRD: what it answers on its control sockets, and the configuration that confd wrote for it.

use std::borrow::Cow;

use super::{Agent, Artifact, Collector, Node, Rows, Source, Tree};
use crate::bgp::looks;
use crate::host::Family;

pub(super) const COLLECTOR: Collector = Collector {
    name: "bird",
    about: "BGP: what BIRD says of its peers and routes, and its configuration",
    artifacts: &[
        ask(Family::Ipv4, "bird/ipv4/show-status", "show status"),
        ask(Family::Ipv4, "bird/ipv4/show-protocols-all", "show protocols all"),
        ask(Family::Ipv6, "bird/ipv6/show-status", "show status"),
        ask(Family::Ipv6, "bird/ipv6/show-protocols-all", "show protocols all"),
        ask(Family::Ipv4, "bird/ipv4/show-protocols", "show protocols"),
        ask(Family::Ipv4, "bird/ipv4/show-interfaces", "show interfaces"),
        ask(Family::Ipv4, "bird/ipv4/show-memory", "show memory"),
        ask(Family::Ipv4, "bird/ipv4/show-symbols", "show symbols"),
        ask(Family::Ipv4, "bird/ipv4/show-bfd-sessions", "show bfd sessions"),
        ask(Family::Ipv4, "bird/ipv4/show-route-count", "show route count"),
        ask(Family::Ipv4, "bird/ipv4/show-route", "show route"),
        ask(Family::Ipv4, "bird/ipv4/show-route-all", "show route all"),
        ask(Family::Ipv6, "bird/ipv6/show-protocols", "show protocols"),
        ask(Family::Ipv6, "bird/ipv6/show-interfaces", "show interfaces"),
        ask(Family::Ipv6, "bird/ipv6/show-memory", "show memory"),
        ask(Family::Ipv6, "bird/ipv6/show-symbols", "show symbols"),
        ask(Family::Ipv6, "bird/ipv6/show-bfd-sessions", "show bfd sessions"),
        ask(Family::Ipv6, "bird/ipv6/show-route-count", "show route count"),
        ask(Family::Ipv6, "bird/ipv6/show-route", "show route"),
        ask(Family::Ipv6, "bird/ipv6/show-route-all", "show route all"),
    ],
    // A BIRD that the host itself runs beside Calico's.
    trees: &[Tree::new("/etc/bird", &["**/*.conf"])],
    more,
};

const fn ask(family: Family, name: &'static str, question: &'static str) -> Artifact {
    Artifact::new(Cow::Borrowed(name), Source::Bird { family, question: Cow::Borrowed(question) })
}

/// Status and protocols of both families.
pub(super) fn status() -> Vec<Artifact> {
    COLLECTOR.artifacts[..4].to_vec()
}

/// The routing tables of both families.
pub(super) fn routes() -> Vec<Artifact> {
    let is_route = |artifact: &&Artifact| matches!(&artifact.source, Source::Bird { question, .. } if question == "show route");
    COLLECTOR.artifacts.iter().filter(is_route).cloned().collect()
}

/// The files that confd renders, for IPv4 and IPv6, in the container of the daemon that reads them
/// (`/etc/calico/confd/conf.d/*.toml` of calico-node).
const RENDERED: [(Agent, &str, [&str; 3]); 2] = [
    (Agent::Bird, "ipv4", ["bird.cfg", "bird_aggr.cfg", "bird_ipam.cfg"]),
    (Agent::Bird6, "ipv6", ["bird6.cfg", "bird6_aggr.cfg", "bird6_ipam.cfg"]),
];

fn more(node: &Node) -> Rows {
    let mut artifacts = Vec::new();
    for (agent, family, files) in RENDERED {
        let Some(daemon) = node.agent(agent) else { continue };
        artifacts.extend(files.map(|file| {
            Artifact::new(
                Cow::Owned(format!("bird/{family}/{file}")),
                Source::File(Cow::Owned(format!(
                    "/proc/{}/root/etc/calico/confd/config/{file}",
                    daemon.pid
                ))),
            )
        }));
    }
    artifacts.push(probes(node, !node.passive));
    Rows { artifacts, trees: Vec::new() }
}

/// A look at the peers that are down; `connect`: also with a connection.
pub(super) fn probes(node: &Node, connect: bool) -> Artifact {
    let in_container = RENDERED.iter().filter_map(|(agent, _, [main, ..])| {
        let daemon = node.agent(*agent)?;
        Some(Cow::Owned(format!("/proc/{}/root/etc/calico/confd/config/{main}", daemon.pid)))
    });
    let on_host =
        RENDERED.iter().map(|(_, _, [main, ..])| format!("/etc/calico/confd/config/{main}").into());
    let configurations = in_container.chain(on_host).collect();
    Artifact::new(Cow::Borrowed(looks::PATH), Source::Probe { connect, configurations }).public()
}
