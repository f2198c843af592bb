//! The peers of the lab's node: what is configured for each on both sides, and what the node's BIRD says of it
//! once nothing changes any more.
//!
//! ```text
//!  Mesh_10_0_0_2  BGP      master   up     01:43:31    Established
//!  Node_10_0_0_3  BGP      master   start  01:43:30    Active        Socket: Connection refused
//!  Node_10_0_0_14 BGP      master   down   01:43:31    Automatic shutdown: Route limit exceeded
//! ```

use std::fmt::Write;

/// One peer and what becomes of it.
pub(crate) struct Peer {
    /// The protocol's name in the node's BIRD.
    pub(crate) name: &'static str,
    /// The peer's address.
    pub(crate) address: &'static str,
    /// The peer's port, where it is not 179.
    pub(crate) port: Option<u16>,
    /// What kind of peer calivet calls it.
    pub(crate) kind: &'static str,
    /// The AS number that the node expects of it.
    pub(crate) remote_as: u32,
    /// What the node's BIRD is told of it beyond address and AS number.
    node: &'static str,
    /// What answers at its address.
    far: Far,
    /// The state of the protocol in the end.
    pub(crate) state: &'static str,
    /// The BGP states that BIRD then shows in turns, some for no more than a moment; empty where it shows none.
    pub(crate) bgp_states: &'static [&'static str],
    /// The error that BIRD then shows; empty where it shows none.
    pub(crate) error: &'static str,
}

/// What answers at a peer's address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Far {
    /// Nothing: the address does not exist.
    Absent,
    /// A host that listens on no port.
    Host,
    /// A host whose firewall drops what comes.
    Silent,
    /// A BIRD, with this in the definition of its protocol.
    Bird(&'static str),
    /// A BIRD that calls the node itself, and is shut down by its administrator once it is established.
    ShutDown,
}

/// An address family: which peers, and which of BIRD 1.6's daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Ipv4,
    Ipv6,
}

/// The AS number of the node and of most peers.
const HERE: u32 = 64512;
/// A peer's BIRD that waits for the node and expects it to be what it is.
const WILLING: Far = Far::Bird("passive on; neighbor NODE as 64512;");
const ESTABLISHED: Peer = Peer {
    name: "",
    address: "",
    port: None,
    kind: "node-to-node mesh",
    remote_as: HERE,
    node: "",
    far: WILLING,
    state: "up",
    bgp_states: &["Established"],
    error: "",
};

const IPV4: &[Peer] = &[
    Peer { name: "Mesh_10_0_0_2", address: "10.0.0.2", ..ESTABLISHED },
    Peer {
        name: "Node_10_0_0_3",
        address: "10.0.0.3",
        kind: "node specific",
        far: Far::Host,
        state: "start",
        bgp_states: &["Active", "Connect", "Idle"],
        error: "Socket: Connection refused",
        ..ESTABLISHED
    },
    Peer {
        name: "Global_10_0_0_4",
        address: "10.0.0.4",
        kind: "global",
        far: Far::Bird("passive on; neighbor NODE as 64999;"),
        state: "start",
        bgp_states: &["Idle"],
        error: "Received: Bad peer AS",
        ..ESTABLISHED
    },
    Peer {
        name: "Node_10_0_0_5",
        address: "10.0.0.5",
        kind: "node specific",
        remote_as: 65005,
        state: "start",
        bgp_states: &["Idle"],
        error: "BGP Error: Bad peer AS",
        ..ESTABLISHED
    },
    // The kernel drops what is signed with another password, and tells neither side.
    Peer {
        name: "Node_10_0_0_6",
        address: "10.0.0.6",
        kind: "node specific",
        node: "password \"lab-password-of-the-node\";",
        far: Far::Bird(
            "passive on; neighbor NODE as 64512; password \"lab-password-of-the-peer\";",
        ),
        state: "start",
        bgp_states: &["Connect"],
        ..ESTABLISHED
    },
    Peer {
        name: "Mesh_10_0_0_7",
        address: "10.0.0.7",
        node: "passive on;",
        far: Far::Host,
        state: "start",
        bgp_states: &["Passive"],
        ..ESTABLISHED
    },
    Peer {
        name: "Mesh_10_0_0_8",
        address: "10.0.0.8",
        node: "password \"lab-password-of-both\";",
        far: Far::Bird("passive on; neighbor NODE as 64512; password \"lab-password-of-both\";"),
        ..ESTABLISHED
    },
    Peer {
        name: "Node_10_0_0_9_port_1790",
        address: "10.0.0.9",
        port: Some(1790),
        kind: "node specific",
        ..ESTABLISHED
    },
    Peer {
        name: "Local_Workload_10_0_0_10",
        address: "10.0.0.10",
        kind: "local workload",
        ..ESTABLISHED
    },
    Peer {
        name: "Mesh_10_0_0_11",
        address: "10.0.0.11",
        far: Far::Absent,
        state: "start",
        bgp_states: &["Connect", "Active", "Idle"],
        error: "Socket: No route to host",
        ..ESTABLISHED
    },
    Peer {
        name: "Global_10_0_0_12",
        address: "10.0.0.12",
        kind: "global",
        node: "disabled;",
        far: Far::Host,
        state: "down",
        bgp_states: &[],
        ..ESTABLISHED
    },
    Peer {
        name: "Global_10_0_0_13",
        address: "10.0.0.13",
        kind: "global",
        far: Far::Silent,
        state: "start",
        bgp_states: &["Connect"],
        ..ESTABLISHED
    },
    Peer {
        name: "Node_10_0_0_14",
        address: "10.0.0.14",
        kind: "node specific",
        node: "import limit 1 action disable;",
        state: "down",
        bgp_states: &[],
        error: "Automatic shutdown: Route limit exceeded",
        ..ESTABLISHED
    },
    // The node itself would call again at once, be refused, and forget why the session ended.
    Peer {
        name: "Node_10_0_0_15",
        address: "10.0.0.15",
        kind: "node specific",
        node: "connect delay time 600;",
        far: Far::ShutDown,
        state: "start",
        bgp_states: &["Active"],
        error: "Received: Administrative shutdown",
        ..ESTABLISHED
    },
    Peer { name: "tor1", address: "10.0.0.16", kind: "other", ..ESTABLISHED },
];

const IPV6: &[Peer] = &[
    Peer { name: "Mesh_fd00__2", address: "fd00::2", ..ESTABLISHED },
    Peer {
        name: "Node_fd00__3",
        address: "fd00::3",
        kind: "node specific",
        far: Far::Host,
        state: "start",
        bgp_states: &["Active", "Connect", "Idle"],
        error: "Socket: Connection refused",
        ..ESTABLISHED
    },
    Peer {
        name: "Global_fd00__4",
        address: "fd00::4",
        kind: "global",
        far: Far::Bird("passive on; neighbor NODE as 64999;"),
        state: "start",
        bgp_states: &["Idle"],
        error: "Received: Bad peer AS",
        ..ESTABLISHED
    },
    Peer {
        name: "Mesh_fd00__7",
        address: "fd00::7",
        node: "passive on;",
        far: Far::Host,
        state: "start",
        bgp_states: &["Passive"],
        ..ESTABLISHED
    },
    Peer {
        name: "Node_fd00__9_port_1790",
        address: "fd00::9",
        port: Some(1790),
        kind: "node specific",
        ..ESTABLISHED
    },
    Peer {
        name: "Global_fd00__12",
        kind: "global",
        address: "fd00::12",
        node: "disabled;",
        far: Far::Host,
        state: "down",
        bgp_states: &[],
        ..ESTABLISHED
    },
];

/// The peers that the node's BIRD has in a family.
pub(crate) fn of(family: Family) -> &'static [Peer] {
    match family {
        Family::Ipv4 => IPV4,
        Family::Ipv6 => IPV6,
    }
}

/// The peers of both families.
pub(crate) fn all() -> impl Iterator<Item = &'static Peer> {
    IPV4.iter().chain(IPV6)
}

impl Peer {
    /// Whether the session with it stands in the end.
    pub(crate) fn established(&self) -> bool {
        self.bgp_states == ["Established"]
    }

    /// Whether its address exists.
    pub(crate) fn is_there(&self) -> bool {
        self.far != Far::Absent
    }

    /// Whether a firewall drops what is sent to it.
    pub(crate) fn is_silent(&self) -> bool {
        self.far == Far::Silent
    }

    /// Whether its administrator shuts it down once it is established.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.far == Far::ShutDown
    }

    /// The configuration of the BIRD 1.6 that plays it, if one does.
    pub(crate) fn configuration(&self) -> Option<String> {
        let (is_ipv6, number) =
            (self.address.contains(':'), self.address.rsplit(['.', ':']).next()?);
        let protocol = match self.far {
            Far::Absent | Far::Host | Far::Silent => return None,
            Far::Bird(protocol) => protocol,
            Far::ShutDown => "connect delay time 1; neighbor NODE as 64512;",
        };
        let protocol = protocol.replace("NODE", if is_ipv6 { "fd00::1" } else { "10.0.0.1" });
        let port = self.port.unwrap_or(179);
        let routes = (0..3).fold(String::new(), |mut routes, block| {
            let _ = if is_ipv6 {
                writeln!(routes, "  route fd00:{number}:{block}::/48 blackhole;")
            } else {
                writeln!(routes, "  route 192.168.{number}.{}/26 blackhole;", block * 64)
            };
            routes
        });
        Some(format!(
            "router id 10.0.1.{number};\nlisten bgp address {address} port {port};\n\
             protocol device {{}}\nprotocol static {{\n{routes}}}\n\
             protocol bgp node {{\n  local as {HERE};\n  source address {address};\n  multihop;\n  \
             import all;\n  export all;\n  {protocol}\n}}\n",
            address = self.address,
        ))
    }

    /// The protocol that the node's BIRD 1.6 has for it.
    pub(crate) fn in_bird1(&self) -> String {
        let Self { name, node, .. } = self;
        format!(
            "protocol bgp {name} from bgp_template {{\n  neighbor {};\n  {node}\n}}\n",
            self.neighbor()
        )
    }

    /// The protocol that the node's BIRD 2 has for it.
    pub(crate) fn in_bird2(&self) -> String {
        // What concerns routes stands in the channel.
        let channel = if self.address.contains(':') { "ipv6" } else { "ipv4" };
        let (limit, node) =
            if self.node.starts_with("import limit") { (self.node, "") } else { ("", self.node) };
        format!(
            "protocol bgp {} from bgp_template {{\n  neighbor {};\n  {channel} {{ import all; export all; {limit} }};\n  {node}\n}}\n",
            self.name,
            self.neighbor(),
        )
    }

    fn neighbor(&self) -> String {
        let port = self.port.map_or(String::new(), |port| format!(" port {port}"));
        format!("{}{port} as {}", self.address, self.remote_as)
    }
}
