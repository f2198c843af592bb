//! The picture of a node's network: pods on the left, the node's links in the middle, its BGP peers on the right, and
//! what is broken in red.

use maud::{Markup, html};
use serde::Deserialize;

use super::shown;
use crate::status::{NodeStatus, Peer};

/// A link, as a row of `network/links.json` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// `veth`, `vxlan`, ...; `None` for a device of a driver and for `lo`.
    pub kind: Option<String>,
    /// `ether`, `loopback`, ...
    #[serde(rename = "type")]
    pub layer: Option<String>,
    /// `up`, `lower_up`, ...
    #[serde(default)]
    pub flags: Vec<String>,
    /// Bytes.
    pub mtu: Option<u32>,
}

impl Link {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|it| it == flag)
    }

    /// Up, and whatever is below it too.
    fn is_up(&self) -> bool {
        self.has("up") && self.has("lower_up")
    }

    fn is_pod(&self) -> bool {
        self.name.starts_with("cali") && self.kind.as_deref() == Some("veth")
    }

    /// The links by which packets leave the node.
    fn is_uplink(&self) -> bool {
        // A node that is a container itself (kind) has a veth for its eth0.
        let is_own = match self.kind.as_deref() {
            None | Some("bond" | "vlan" | "team" | "macvlan" | "ipvlan") => true,
            Some("veth") => self.name.starts_with("eth"),
            Some(_) => false,
        };
        self.layer.as_deref() == Some("ether") && is_own
    }

    fn is_tunnel(&self) -> bool {
        let names = ["vxlan.calico", "vxlan-v6.calico", "tunl0", "wireguard.cali", "wg-v6.cali"];
        let kinds = ["vxlan", "ipip", "wireguard"];
        names.contains(&self.name.as_str())
            || self.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
    }
}

/// The most boxes in a column.
const MOST: usize = 16;
const BOX_HEIGHT: usize = 26;
const STEP: usize = 34;
const TOP: usize = 40;

/// A box of a column.
struct Place {
    text: String,
    is_broken: bool,
}

/// The picture, or why there is none.
pub(super) fn picture(links: Option<&[Link]>, status: &NodeStatus) -> Markup {
    let Some(links) = links else {
        return html! { p { "The node's links are not in the bundle." } };
    };
    let pods = pods(links);
    let middle = middle(links);
    let peers = peers(status);
    let rows = pods.len().max(middle.len()).max(peers.len()).max(1);
    let height = TOP + rows * STEP + 16;
    // To the row in the middle of the column of links all peers and pods are drawn.
    let hub = TOP + middle.len().max(1) * STEP / 2;
    html! {
        svg class="network" viewBox={ "0 0 960 " (height) } role="img" aria-label="pods, links and BGP peers of the node" {
            @for (x, heading) in [(120, "pods"), (480, "this node"), (840, "BGP peers")] {
                text x=(x) y="20" class="heading" { (heading) }
            }
            @for (row, place) in pods.iter().enumerate() {
                (wire(225, centre(row), 370, hub, place.is_broken))
            }
            @for (row, place) in peers.iter().enumerate() {
                (wire(590, hub, 735, centre(row), place.is_broken))
            }
            (column(15, 210, &pods))
            (column(370, 220, &middle))
            (column(735, 210, &peers))
        }
    }
}

const fn centre(row: usize) -> usize {
    TOP + row * STEP + BOX_HEIGHT / 2
}

fn wire(x1: usize, y1: usize, x2: usize, y2: usize, is_broken: bool) -> Markup {
    html! { line class=(if is_broken { "wire fail" } else { "wire" }) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} }
}

fn column(x: usize, width: usize, places: &[Place]) -> Markup {
    html! {
        @for (row, place) in places.iter().enumerate() {
            @let y = TOP + row * STEP;
            rect class=(if place.is_broken { "place fail" } else { "place" }) x=(x) y=(y) width=(width) height=(BOX_HEIGHT) rx="5" {}
            text x=(x + width / 2) y=(y + 17) { (shown(&place.text)) }
        }
    }
}

/// All pods' links that are well are one box.
fn pods(links: &[Link]) -> Vec<Place> {
    let (up, down): (Vec<&Link>, Vec<&Link>) =
        links.iter().filter(|link| link.is_pod()).partition(|link| link.is_up());
    let mut places = Vec::new();
    if !up.is_empty() || down.is_empty() {
        let text = format!("{} cali* up", up.len());
        places.push(Place { text, is_broken: false });
    }
    places.extend(broken(&down, |link| format!("{} is down", link.name)));
    places
}

fn middle(links: &[Link]) -> Vec<Place> {
    let wanted = |link: &&Link| link.is_tunnel() || link.is_uplink();
    let mut shown: Vec<&Link> = links.iter().filter(wanted).collect();
    shown.sort_by_key(|link| (link.is_up(), !link.is_tunnel()));
    let place = |link: &&Link| Place {
        text: format!(
            "{}{}{}",
            link.name,
            link.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default(),
            if link.is_up() { "" } else { ", down" }
        ),
        is_broken: !link.is_up(),
    };
    cut(shown.iter().map(place).collect(), "links")
}

fn peers(status: &NodeStatus) -> Vec<Place> {
    let all = || [&status.bgp.ipv4, &status.bgp.ipv6].into_iter().flat_map(|it| &it.peers);
    let name = |peer: &Peer| peer.address.clone().unwrap_or_else(|| peer.name.clone());
    let down: Vec<&Peer> = all().filter(|peer| !peer.established).collect();
    let mut places = broken(&down, name);
    let up: Vec<&Peer> = all().filter(|peer| peer.established).collect();
    let room = MOST.saturating_sub(places.len());
    if up.len() <= room {
        places.extend(up.iter().map(|peer| Place { text: name(peer), is_broken: false }));
    } else {
        let text = format!("{} established", up.len());
        places.push(Place { text, is_broken: false });
    }
    places
}

/// A box for each that is broken, as far as there is room.
fn broken<T>(list: &[&T], text: impl Fn(&T) -> String) -> Vec<Place> {
    let mut places: Vec<Place> =
        list.iter().take(MOST).map(|it| Place { text: text(it), is_broken: true }).collect();
    if list.len() > MOST {
        let text = format!("and {} more", list.len() - MOST);
        places.push(Place { text, is_broken: true });
    }
    places
}

fn cut(mut places: Vec<Place>, what: &str) -> Vec<Place> {
    if places.len() > MOST {
        let text = format!("and {} more {what}", places.len() - MOST);
        let is_broken = places.iter().skip(MOST).any(|place| place.is_broken);
        places.truncate(MOST);
        places.push(Place { text, is_broken });
    }
    places
}
