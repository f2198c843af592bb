//! All that is known of a node's routes, read once.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap, HashSet};

use memchr::memmem;

use crate::checks::network::{
    LOCAL, Leftovers, MAIN, Network, PROTO_BIRD, ROUTES, TUNNELS, by_index, is_block, is_calicos,
};
use crate::checks::tables::{self, Forwarding, Link, Neighbour, Route, Rule, Type};
use crate::host::Evidence;
use crate::prefix::{Addresses, Prefix};

/// The kernel's policy rules.
pub(super) const RULES: &str = "network/rules.json";
/// The kernel's neighbours.
pub(super) const NEIGHBOURS: &str = "network/neighbours.json";
/// Where VXLAN devices send frames.
pub(super) const FDB: &str = "network/fdb.json";

/// See the module.
pub(super) struct Facts<'a> {
    pub(super) network: Network<'a>,
    /// Of all tables but `local`.
    pub(super) routes: Vec<Route>,
    /// How many there are in `local`.
    pub(super) local: usize,
    pub(super) rules: Result<Vec<Rule>, String>,
    pub(super) neighbours: Result<Vec<Neighbour>, String>,
    pub(super) fdb: Result<Vec<Forwarding>, String>,
    /// The indices of pods' links.
    pub(super) pods: HashSet<u32>,
    /// The indices of Calico's tunnels.
    pub(super) tunnels: HashSet<u32>,
    /// The names of links whose pods are gone.
    pub(super) gone: BTreeSet<String>,
    /// Made when first needed, of what may be hundreds of thousands of routes.
    ways: OnceCell<Ways>,
}

/// The way that Calico has for a destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// The lowest of its metrics.
    pub(super) metric: u32,
    /// To a pod of this node.
    pub(super) is_pods: bool,
    /// Through a tunnel, or made by Felix: surely Calico's.
    pub(super) is_certain: bool,
}

/// The ways that Calico has, by destination.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) by_destination: HashMap<Prefix, Way>,
    /// The lengths of destinations, of IPv4 and of IPv6.
    lengths: [BTreeSet<u8>; 2],
}

impl Ways {
    /// The nearest way whose destination is wider than a network and holds it.
    pub(super) fn around(&self, network: Prefix) -> Option<(Prefix, Way)> {
        let lengths = &self.lengths[usize::from(network.is_ipv6())];
        lengths.range(..network.length()).rev().find_map(|length| {
            let wider = network.widened(*length);
            self.by_destination.get(&wider).map(|way| (wider, *way))
        })
    }
}

impl<'a> Facts<'a> {
    /// # Errors
    /// The links or the routes are not known whole, and why.
    pub(super) fn read(evidence: &'a Evidence) -> Result<Self, String> {
        let network = Network::read(evidence);
        if let Err(reason) = &network.links {
            return Err(reason.clone());
        }
        // A node has an address for each service in `local`, and none of them is of interest.
        let local = Cell::new(0);
        let needle = format!("\"table\":{LOCAL},");
        let needle = memmem::Finder::new(&needle);
        let wanted = |row: &[u8]| {
            let is_local = needle.find(row).is_some();
            local.set(local.get() + usize::from(is_local));
            !is_local
        };
        let mut routes = Vec::new();
        tables::each(evidence, ROUTES, "routes", wanted, |route: Route| routes.push(route))?;
        let indices = |is_it: &dyn Fn(&Link) -> bool| -> HashSet<u32> {
            network.links().iter().filter(|link| is_it(link)).map(|link| link.index).collect()
        };
        let pods = indices(&|link| network.is_pods(link));
        let tunnels = indices(&|link| TUNNELS.iter().any(|tunnel| tunnel.name == link.name));
        let gone = match network.leftovers() {
            Leftovers::Known(gone, _) => gone,
            Leftovers::Unknown(_) | Leftovers::NotKept(_) => BTreeSet::new(),
        };
        Ok(Self {
            routes,
            local: local.get(),
            rules: tables::all(evidence, RULES, "rules"),
            neighbours: tables::all(evidence, NEIGHBOURS, "neighbours"),
            fdb: tables::all(evidence, FDB, "fdb"),
            pods,
            tunnels,
            gone,
            ways: OnceCell::new(),
            network,
        })
    }

    /// The routes of the table `main`.
    pub(super) fn main(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| route.table == MAIN)
    }

    /// Routes that lead to a pod of this node, and the index of its link.
    pub(super) fn to_pods(&self) -> impl Iterator<Item = (&Route, u32)> {
        let unicast = self.main().filter(|route| route.r#type == Type::Unicast);
        let single = unicast.filter(|route| route.destination.is_single());
        single.filter_map(|route| {
            let index = route.index.filter(|index| self.pods.contains(index))?;
            Some((route, index))
        })
    }

    /// Calico's routes to other nodes.
    pub(super) fn to_nodes(&self) -> impl Iterator<Item = &Route> {
        self.main().filter(|route| {
            route.r#type == Type::Unicast
                && is_calicos(route)
                && is_block(route.destination)
                && !route.index.is_some_and(|index| self.pods.contains(&index))
                && !self.is_a_links_own(route)
        })
    }

    /// Whether it is the network of a link that BIRD has by `protocol direct`: BIRD 2 exports that to the kernel, BIRD 1.6 does
    /// not. No node is behind it.
    fn is_a_links_own(&self, route: &Route) -> bool {
        let is_on_link = |index: u32| !self.tunnels.contains(&index);
        route.protocol == PROTO_BIRD
            && route.hops().all(|hop| hop.gateway.is_none() && hop.index.is_some_and(is_on_link))
    }

    /// The ways that Calico has to pods here and elsewhere.
    pub(super) fn ways(&self) -> &Ways {
        self.ways.get_or_init(|| self.find_ways())
    }

    fn find_ways(&self) -> Ways {
        let mut ways = Ways::default();
        let mut add = |route: &Route, is_pods: bool, is_certain: bool| {
            let destination = route.destination;
            let way = Way { metric: route.metric(), is_pods, is_certain };
            let known = ways.by_destination.entry(destination).or_insert(way);
            known.metric = known.metric.min(way.metric);
            known.is_pods |= is_pods;
            known.is_certain |= is_certain;
            ways.lengths[usize::from(destination.is_ipv6())].insert(destination.length());
        };
        for (route, _) in self.to_pods() {
            add(route, true, true);
        }
        for route in self.to_nodes() {
            let is_tunnelled =
                route.hops().any(|hop| hop.index.is_some_and(|it| self.tunnels.contains(&it)));
            add(route, false, is_tunnelled || route.protocol == 80);
        }
        ways
    }

    /// The addresses of pods, here and elsewhere: blocks and single ones.
    pub(super) fn pod_addresses(&self) -> Addresses {
        let own_blocks = self.main().filter(|route| {
            route.r#type == Type::Dropped && is_calicos(route) && is_block(route.destination)
        });
        let pods = self.to_pods().map(|(route, _)| route);
        pods.chain(self.to_nodes()).chain(own_blocks).map(|route| route.destination).collect()
    }

    /// The links by index.
    pub(super) fn by_index(&self) -> HashMap<u32, &Link> {
        by_index(self.network.links())
    }

    /// The name of a link.
    pub(super) fn name<'b>(links: &HashMap<u32, &'b Link>, index: Option<u32>) -> &'b str {
        index
            .and_then(|index| links.get(&index))
            .map_or("a link that is gone", |link| link.name.as_str())
    }
}
