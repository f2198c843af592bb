//! All that is known of a node's BGP, read once.

use std::cell::OnceCell;
use std::collections::HashMap;

use jiff::Timestamp;

use super::cluster::Cluster;
use super::kernel::{self, Address, Dropped, Route, Socket};
use crate::bgp::looks;
use crate::bgp::looks::{Look, Looks};
use crate::bird::configuration::{self, Configuration, Session};
use crate::bird::reply;
use crate::bird::routes::{self as bird_routes, Routes};
use crate::checks::Asked;
use crate::checks::ruleset::Firewall;
use crate::host::{Evidence, Family, Outcome};
use crate::status::{self, Answers, FamilyStatus, NodeStatus};

/// See the module.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) status: NodeStatus,
    /// When the node was asked.
    pub(super) time: Timestamp,
    /// What BIRD reads, by family; of BIRD 2 and 3 the first is both.
    pub(super) files: [Option<File>; 2],
    /// Looks at the peers that are down, by name.
    pub(super) looks: HashMap<String, Look>,
    /// Whether connections may be told of.
    pub(super) probe: bool,
    pub(super) addresses: Option<Vec<Address>>,
    pub(super) sockets: Option<Vec<Socket>>,
    /// See [`Facts::routes`].
    routes: OnceCell<Option<Vec<Route>>>,
    /// See [`Facts::firewall`].
    firewall: OnceCell<Option<Firewall>>,
    pub(super) dropped: Option<Dropped>,
    pub(super) cluster: Cluster,
}

/// A configuration file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) configuration: Configuration,
    /// When it was last written.
    pub(super) modified: Option<Timestamp>,
}

/// Both places of a family's file: in the daemon's container, and on a host without one.
const FILES: [[&str; 2]; 2] = [
    ["bird/ipv4/bird.cfg", "host/etc/calico/confd/config/bird.cfg"],
    ["bird/ipv6/bird6.cfg", "host/etc/calico/confd/config/bird6.cfg"],
];

impl<'a> Facts<'a> {
    pub(super) fn read(evidence: &'a Evidence, asked: &Asked) -> Self {
        let status_of = Answers::of(Family::Ipv4).status;
        let time = evidence.get(status_of).map_or(Timestamp::UNIX_EPOCH, |reading| reading.started);
        let looks = evidence
            .get(looks::PATH)
            .and_then(|reading| Looks::parse(&reading.bytes))
            .unwrap_or_default();
        let looks = looks.looks.into_iter().map(|mut look| {
            if !asked.probe && look.connection.take().is_some() {
                look.untried = Some("connections are left out by --no-probe".to_owned());
            }
            (look.name.clone(), look)
        });
        let netstat = evidence.get("host/proc/net/netstat");
        Self {
            evidence,
            status: status::node_status(time, evidence),
            time,
            files: FILES.map(|places| file(evidence, places)),
            looks: looks.collect(),
            probe: asked.probe,
            addresses: kernel::rows(evidence, "network/addresses.json", "addresses"),
            sockets: kernel::rows(evidence, "network/sockets.json", "sockets"),
            routes: OnceCell::new(),
            firewall: OnceCell::new(),
            dropped: netstat.and_then(|reading| Dropped::parse(&reading.text())),
            cluster: Cluster::read(evidence),
        }
    }

    /// Both families with what BIRD says of them.
    pub(super) fn families(&self) -> [(Family, &FamilyStatus); 2] {
        [(Family::Ipv4, &self.status.bgp.ipv4), (Family::Ipv6, &self.status.bgp.ipv6)]
    }

    /// Whether one daemon serves both families.
    pub(super) fn is_one_daemon(&self) -> bool {
        self.status.bgp.ipv6.daemon == Family::Ipv4.daemon()
    }

    /// Whether all processes were seen, and none is Calico's.
    pub(super) fn is_without_calico(&self) -> bool {
        let agents = &self.status.agents;
        let daemons = [&agents.bird, &agents.bird6, &agents.confd];
        let presences = daemons.map(|daemon| &daemon.presence);
        presences.into_iter().chain([&agents.felix.presence]).all(|it| it.running == Some(false))
    }

    /// Whether an answer of a daemon is longer than is kept, which is no fault of its own.
    pub(super) fn is_cut(&self, family: Family) -> bool {
        let answers = Answers::of(family);
        [answers.status, answers.protocols].into_iter().any(|path| {
            self.evidence.get(path).is_some_and(|reading| reading.outcome == Outcome::Truncated)
        })
    }

    /// The file that the daemon of a family reads.
    pub(super) fn file(&self, family: Family) -> Option<&File> {
        self.files[self.daemon(family)].as_ref()
    }

    /// Whether it was looked for in the daemon's own file system and is not there.
    pub(super) fn lacks_file(&self, family: Family) -> bool {
        let [contained, _] = FILES[self.daemon(family)];
        self.evidence.get(contained).is_some_and(|it| it.outcome == Outcome::Missing)
    }

    /// Which daemon serves a family.
    fn daemon(&self, family: Family) -> usize {
        usize::from(family == Family::Ipv6 && !self.is_one_daemon())
    }

    /// How a session is configured.
    pub(super) fn session(&self, family: Family, name: &str) -> Option<&Session> {
        let file = self.file(family)?;
        file.configuration.peers.iter().find(|session| session.name == name)
    }

    /// What the daemon of a family has in its routing tables; `None` if that is not known whole.
    pub(super) fn table(&self, family: Family) -> Option<Routes> {
        let reading = self.evidence.get(Answers::of(family).route)?;
        let reply = reply::parse(&reading.bytes);
        (reading.outcome == Outcome::Ok && reply.is_whole() && reply.refusal().is_none())
            .then(|| bird_routes::parse(&reply))
    }

    /// The kernel's routes, if they were read whole; looked at only where BIRD has some to compare, for there may be
    /// hundreds of thousands.
    pub(super) fn routes(&self) -> Option<&[Route]> {
        let read = || kernel::rows(self.evidence, "network/routes.json", "routes");
        self.routes.get_or_init(read).as_deref()
    }

    /// The packet filter's rules, if they could be read; looked at only where a session is down, for there may be
    /// thousands.
    pub(super) fn firewall(&self) -> Option<&Firewall> {
        self.firewall.get_or_init(|| Firewall::read(self.evidence)).as_ref()
    }

    /// Whether all rules of this host's packet filter are known: those of legacy iptables are not.
    pub(super) fn knows_firewall(&self) -> bool {
        let is_unused = |path: &str| {
            self.evidence.get(path).is_some_and(|names| {
                names.outcome == Outcome::Missing
                    || names.outcome == Outcome::Ok && names.text().trim().is_empty()
            })
        };
        self.firewall().is_some()
            && is_unused("host/proc/net/ip_tables_names")
            && is_unused("host/proc/net/ip6_tables_names")
    }

    /// The port on which the daemon of a family is to listen.
    pub(super) fn listen_port(&self, family: Family) -> u16 {
        let port = self.file(family).and_then(|file| file.configuration.listen_port);
        port.unwrap_or(configuration::PORT)
    }
}

/// What a daemon reads. Where its own file is there and cannot be read, the host's may be one that was left behind.
fn file(evidence: &Evidence, [contained, on_host]: [&str; 2]) -> Option<File> {
    let is_absent = evidence.get(contained).is_none_or(|it| it.outcome == Outcome::Missing);
    let path = if is_absent { on_host } else { contained };
    let reading = evidence.get(path)?;
    (reading.outcome == Outcome::Ok).then(|| File {
        path: path.to_owned(),
        configuration: configuration::parse(&reading.text()),
        modified: reading.modified,
    })
}
