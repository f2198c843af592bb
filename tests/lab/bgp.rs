//! A node whose sessions are down, each for a cause of its own: what is injected on either side of each, on a real
//! kernel and between real BIRDs.
//!
//! ```text
//! node (its own mount, process and network namespace)          namespace "peers"
//!   BIRD 1.6 (bird and bird6) or 2    node0 ------------ peers0   a BIRD 1.6 for each peer that has one
//!   docker0 172.17.0.1
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::namespaces::Namespaces;
use super::{Birds, Daemons, PATIENCE, ask, birds};

/// What is injected into one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    /// What it is, for the table that the test prints.
    pub(crate) injected: &'static str,
    /// Its name is this and the address, as confd writes it.
    pub(crate) kind: &'static str,
    /// The last part of the peer's address; 1 is the node itself.
    pub(crate) number: u8,
    /// What the node's BIRD is told of it.
    pub(crate) node: &'static str,
    /// What answers at the peer's address.
    pub(crate) far: Far,
    /// What `nft` or `ip` are told on the node; `PEER` stands for the address, `FAMILY` for nft's name of its family.
    pub(crate) host: &'static str,
    /// The same in the namespace of the peers.
    pub(crate) there: &'static str,
    /// What BIRD must show of it before it is judged; empty: nothing special.
    pub(crate) until: &'static str,
    /// The causes that are right; the first is the best.
    pub(crate) causes: &'static [&'static str],
}

/// What answers at a peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    /// Nothing: the address does not exist.
    Absent,
    /// An address that no route leads to.
    Elsewhere,
    /// The node itself.
    Own,
    /// A host that listens on no port.
    Host,
    /// A BIRD that waits, with this in the definition of its session with the node.
    Bird(&'static str),
    /// A BIRD with this in it that calls by itself.
    Caller(&'static str),
    /// A BIRD that has a session with another node.
    Stranger,
    /// A BIRD that is stopped in its tracks before the node knows of it.
    Frozen,
    /// A BIRD that is stopped as soon as the session stands.
    FreezesLater,
    /// A BIRD whose administrator shuts the session down once it stands.
    ShutDown,
    /// A BIRD that the node is not told of before its file is written.
    NotLoaded,
}

/// Nothing.
pub(crate) const FAULT: Fault = Fault {
    injected: "",
    kind: "Node",
    number: 0,
    node: "",
    far: Far::Bird(""),
    host: "",
    there: "",
    until: "",
    causes: &[],
};

/// The causes that can be made to stand side by side.
pub(crate) const FAULTS: &[Fault] = &[
    Fault { injected: "none", kind: "Mesh", number: 2, until: "Established", ..FAULT },
    Fault {
        injected: "none, with the same password on both ends",
        number: 3,
        node: "password \"lab-password-of-both\";",
        far: Far::Bird("password \"lab-password-of-both\";"),
        until: "Established",
        ..FAULT
    },
    Fault {
        injected: "no BIRD at the peer",
        kind: "Mesh",
        number: 4,
        far: Far::Host,
        until: "Connection refused",
        causes: &["refused"],
        ..FAULT
    },
    Fault {
        injected: "no BIRD at the peer that is to call",
        kind: "Mesh",
        number: 5,
        node: "passive on;",
        far: Far::Host,
        causes: &["refused"],
        ..FAULT
    },
    Fault {
        injected: "the peer's host is off",
        kind: "Mesh",
        number: 6,
        far: Far::Absent,
        causes: &["neighbour-unreachable"],
        ..FAULT
    },
    Fault {
        injected: "no route to the peer",
        number: 7,
        far: Far::Elsewhere,
        until: "unreachable",
        causes: &["no-route"],
        ..FAULT
    },
    Fault {
        injected: "a prohibit route to the peer",
        number: 8,
        host: "ip route add prohibit PEER",
        causes: &["no-route"],
        ..FAULT
    },
    Fault {
        injected: "the peer's firewall drops",
        number: 9,
        there: "nft add rule inet lab in FAMILY daddr PEER tcp dport 179 drop",
        causes: &["filtered"],
        ..FAULT
    },
    Fault {
        injected: "the peer's firewall rejects as firewalld does",
        number: 10,
        there: "nft add rule inet lab in FAMILY daddr PEER tcp dport 179 reject with icmpx type admin-prohibited",
        causes: &["filtered"],
        ..FAULT
    },
    Fault {
        injected: "a rule of this host drops calls to the peer",
        number: 11,
        host: "nft add rule inet lab out FAMILY daddr PEER tcp dport 179 counter drop",
        causes: &["filtered-here"],
        ..FAULT
    },
    Fault {
        injected: "a rule of this host drops the peer's answers",
        number: 12,
        host: "nft add rule inet lab in FAMILY saddr PEER tcp sport 179 counter drop",
        causes: &["filtered-here"],
        ..FAULT
    },
    Fault {
        injected: "a rule of this host rejects calls to the peer",
        number: 13,
        host: "nft add rule inet lab out FAMILY daddr PEER tcp dport 179 counter reject",
        causes: &["filtered-here"],
        ..FAULT
    },
    Fault {
        injected: "a rule of this host drops the calls of the peer that is to call",
        kind: "Mesh",
        number: 14,
        node: "passive on;",
        far: Far::Caller(""),
        host: "nft add rule inet lab in FAMILY saddr PEER tcp dport 179 counter drop",
        causes: &["filtered-here"],
        ..FAULT
    },
    Fault {
        injected: "the peer expects another AS",
        number: 15,
        far: Far::Bird("neighbor NODE as 64999;"),
        until: "Received: Bad peer AS",
        causes: &["bad-peer-as"],
        ..FAULT
    },
    Fault {
        injected: "the node expects another AS",
        number: 16,
        node: "neighbor PEER as 65016;",
        until: "BGP Error: Bad peer AS",
        causes: &["bad-peer-as"],
        ..FAULT
    },
    Fault {
        injected: "different passwords",
        number: 17,
        node: "password \"lab-password-of-the-node\";",
        far: Far::Bird("password \"lab-password-of-the-peer\";"),
        causes: &["authentication"],
        ..FAULT
    },
    Fault {
        injected: "a password here only",
        number: 18,
        node: "password \"lab-password-of-the-node\";",
        causes: &["authentication"],
        ..FAULT
    },
    Fault {
        injected: "a password at the peer only, which calls as well",
        number: 19,
        far: Far::Caller("password \"lab-password-of-the-peer\";"),
        causes: &["authentication"],
        ..FAULT
    },
    Fault {
        injected: "both ends wait",
        kind: "Mesh",
        number: 20,
        node: "passive on;",
        causes: &["both-passive"],
        ..FAULT
    },
    Fault {
        injected: "the peer has no session with the node",
        number: 21,
        far: Far::Stranger,
        causes: &["peer-does-not-know-us"],
        ..FAULT
    },
    Fault {
        injected: "the peer that is to call has no session with the node",
        kind: "Mesh",
        number: 22,
        node: "passive on;",
        far: Far::Stranger,
        causes: &["peer-does-not-know-us"],
        ..FAULT
    },
    Fault {
        injected: "disabled here",
        kind: "Global",
        number: 23,
        node: "disabled;",
        causes: &["disabled-here"],
        ..FAULT
    },
    Fault {
        injected: "more routes than the limit",
        number: 24,
        node: "LIMIT",
        until: "Route limit exceeded",
        causes: &["route-limit"],
        ..FAULT
    },
    Fault {
        injected: "shut down by the peer's administrator",
        number: 25,
        node: "connect delay time 600;",
        far: Far::ShutDown,
        until: "Administrative shutdown",
        causes: &["shut-down-by-peer"],
        ..FAULT
    },
    Fault {
        injected: "the source address is on no link",
        number: 26,
        node: "source address GONE;",
        causes: &["source-address-missing"],
        ..FAULT
    },
    Fault {
        injected: "the source address is docker0's",
        number: 27,
        node: "source address DOCKER;",
        causes: &["wrong-source-address"],
        ..FAULT
    },
    Fault {
        injected: "both have one router id",
        number: 28,
        far: Far::Bird("ROUTERID"),
        until: "Bad BGP identifier",
        causes: &["router-id-collision"],
        ..FAULT
    },
    Fault {
        injected: "TTL security here only",
        number: 29,
        node: "ttl security on; multihop 1;",
        causes: &["ttl-security"],
        ..FAULT
    },
    // With a BIRD that has it, the first message may pass before the kernel is told: the rule drops what the kernel would.
    Fault {
        injected: "TTL security at the peer only",
        number: 30,
        there: "nft add rule inet lab in FAMILY daddr PEER tcp dport 179 'tcp flags & syn == 0' drop",
        until: "OpenSent",
        causes: &["ttl-security"],
        ..FAULT
    },
    Fault {
        injected: "the peer's BIRD hangs",
        number: 31,
        far: Far::Frozen,
        until: "OpenSent",
        causes: &["bird-blocked", "hold-timer"],
        ..FAULT
    },
    Fault {
        injected: "the peer's BIRD hangs once the session stands",
        number: 32,
        node: "hold time 3;",
        far: Far::FreezesLater,
        until: "Hold timer expired",
        causes: &["hold-timer"],
        ..FAULT
    },
    Fault {
        injected: "the peer's address is the node's own",
        kind: "Mesh",
        number: 33,
        far: Far::Own,
        causes: &["stale-node"],
        ..FAULT
    },
    Fault {
        injected: "in the file, and BIRD was not told",
        kind: "Mesh",
        number: 34,
        far: Far::NotLoaded,
        causes: &["config-not-loaded"],
        ..FAULT
    },
];

/// The node and its peers; all of it ends when this is dropped.
pub(crate) struct Faulty {
    namespaces: Namespaces,
    folder: TempDir,
    daemons: Daemons,
    faults: Vec<(Fault, bool)>,
    birds: Birds,
    /// After so long BIRD puts back what somebody took out of the kernel.
    scan_time: Duration,
}

impl Fault {
    /// The peer's address.
    pub(crate) fn address(&self, is_ipv6: bool) -> String {
        let number = self.number;
        match (self.far, is_ipv6) {
            (Far::Elsewhere, false) => format!("10.99.0.{number}"),
            (Far::Elsewhere, true) => format!("fd99::{number}"),
            // The node's second address: of the first, BIRD's own sessions begin.
            (_, false) => format!("10.0.0.{number}"),
            (_, true) => format!("fd00::{number}"),
        }
    }

    /// The protocol's name.
    pub(crate) fn name(&self, is_ipv6: bool) -> String {
        format!("{}_{}", self.kind, self.address(is_ipv6).replace(['.', ':'], "_"))
    }

    fn has_bird(&self) -> bool {
        !matches!(self.far, Far::Absent | Far::Elsewhere | Far::Own | Far::Host)
    }
}

impl Faulty {
    /// A node with these faults in both families, once what is to be seen of each has come. `None` where there can be
    /// no lab.
    pub(crate) fn start(daemons: Daemons, faults: &[Fault]) -> Option<Self> {
        Self::start_after(daemons, faults, "")
    }

    /// The same, whose BIRD does not look at the kernel's routes again as long as it lives.
    pub(crate) fn start_blind(daemons: Daemons, faults: &[Fault]) -> Option<Self> {
        Self::make(daemons, faults, "", Duration::from_secs(3600))
    }

    /// The same, once the node has run a bash script.
    pub(crate) fn start_after(daemons: Daemons, faults: &[Fault], script: &str) -> Option<Self> {
        Self::make(daemons, faults, script, Duration::from_secs(2))
    }

    fn make(daemons: Daemons, faults: &[Fault], script: &str, scan_time: Duration) -> Option<Self> {
        let parts = birds().and_then(|birds| Ok((birds, Namespaces::new()?)));
        let (birds, namespaces) = super::or_skipped(parts)?;
        let both = |fault: &Fault| [(*fault, false), (*fault, true)];
        let node = Self {
            namespaces,
            folder: TempDir::with_prefix("calivet-bgp-").unwrap(),
            daemons,
            faults: faults.iter().flat_map(both).collect(),
            birds,
            scan_time,
        };
        node.start_host();
        node.start_peers();
        node.run(&script.replace("BIRD1", &node.birds.bird1.display().to_string()));
        node.start_node();
        node.disturb();
        node.wait();
        Some(node)
    }

    /// What was injected, and whether into an IPv6 session.
    pub(crate) fn faults(&self) -> &[(Fault, bool)] {
        &self.faults
    }

    /// calivet, run on the node as root.
    pub(crate) fn calivet(&self) -> Command {
        self.namespaces.command(env!("CARGO_BIN_EXE_calivet"))
    }

    /// Runs a bash script on the node and gives what it printed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        self.namespaces.run(script)
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// A folder that lives as long as the node.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn daemon(&self, is_ipv6: bool) -> &'static str {
        if is_ipv6 && self.daemons != Daemons::Bird2 { "bird6" } else { "bird" }
    }

    fn socket(&self, is_ipv6: bool) -> PathBuf {
        self.folder.path().join(format!("{}.ctl", self.daemon(is_ipv6)))
    }

    fn start_host(&self) {
        let mut script = format!(
            "mkdir /run/calico /run/up /run/work /run/up2 /run/work2\nmount --bind '{}' /run/calico\n\
             mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc\n\
             mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/up2,workdir=/run/work2 /var/lib\n\
             mkdir -p /var/lib/calico /etc/calico/confd/config\n\
             printf node-1 >/var/lib/calico/nodename\ntouch -d '-1 hour' /var/lib/calico/nodename\n\
             mkdir /run/agents\n(cd /run/agents; mkfifo never; cp -L /bin/sh calico\n\
             echo 'exec 3<>never; read -r nothing <&3' >component\n\
             for agent in felix confd; do\n  (exec -a calico ./calico component $agent) >/dev/null 2>&1 &\ndone)\n\
             ip netns add peers\nip link add node0 type veth peer name peers0 netns peers\n\
             ip address add 10.0.0.1/24 dev node0\nip address add fd00::1/64 dev node0 nodad\n\
             ip address add 10.0.0.33/24 dev node0\nip address add fd00::33/64 dev node0 nodad\n\
             ip link set node0 up\n\
             ip link add docker0 type bridge\nip address add 172.17.0.1/16 dev docker0\n\
             ip address add fd17::1/64 dev docker0 nodad\nip link set docker0 up\n\
             ip -n peers link set lo up\nip -n peers link set peers0 up\n\
             for place in '' 'ip netns exec peers'; do\n$place nft -f - <<'EOF'\ntable inet lab {{\n\
             chain in {{ type filter hook input priority 0; }}\nchain out {{ type filter hook output priority 0; }}\n}}\nEOF\ndone\n",
            self.folder.path().display()
        );
        for (fault, is_ipv6) in &self.faults {
            let address = fault.address(*is_ipv6);
            if !matches!(fault.far, Far::Absent | Far::Elsewhere | Far::Own) {
                let length = if *is_ipv6 { "64 dev peers0 nodad" } else { "24 dev peers0" };
                let _ = writeln!(script, "ip -n peers address add {address}/{length}");
            }
            let told = |text: &str| {
                let family = if *is_ipv6 { "ip6" } else { "ip" };
                text.replace("PEER", &address).replace("FAMILY", family)
            };
            if !fault.host.is_empty() {
                let _ = writeln!(script, "{}", told(fault.host));
            }
            if !fault.there.is_empty() {
                let _ = writeln!(script, "ip netns exec peers {}", told(fault.there));
            }
        }
        self.run(&script);
    }

    /// Each peer is a BIRD of its own, bound to its own address.
    fn start_peers(&self) {
        for (fault, is_ipv6) in &self.faults {
            if !fault.has_bird() {
                continue;
            }
            let (node, daemon) = if *is_ipv6 { ("fd00::1", "bird6") } else { ("10.0.0.1", "bird") };
            let (address, number) = (fault.address(*is_ipv6), fault.number);
            let protocol = match fault.far {
                Far::Bird(text) if text.contains("neighbor") => format!("passive on; {text}"),
                Far::Bird(text) => format!("passive on; neighbor {node} as 64512; {text}"),
                Far::Caller(text) => format!("neighbor {node} as 64512; {text}"),
                Far::Stranger if *is_ipv6 => "passive on; neighbor fd00::77 as 64512;".to_owned(),
                Far::Stranger => "passive on; neighbor 10.0.0.77 as 64512;".to_owned(),
                Far::ShutDown => format!("connect delay time 1; neighbor {node} as 64512;"),
                _ => format!("passive on; neighbor {node} as 64512;"),
            };
            let is_double = protocol.contains("ROUTERID");
            let id = if is_double { "10.0.0.1".to_owned() } else { format!("10.0.1.{number}") };
            let protocol = protocol.replace("ROUTERID", "").replace("NODE", node);
            let route = if *is_ipv6 {
                format!(
                    "route fd00:{number}:1::/48 blackhole; route fd00:{number}:2::/48 blackhole;"
                )
            } else {
                format!(
                    "route 192.168.{number}.0/26 blackhole; route 192.168.{number}.64/26 blackhole;"
                )
            };
            let name = fault.name(*is_ipv6);
            self.run(&format!(
                "cat >/run/{name}.cfg <<'EOF'\nrouter id {id};\nlisten bgp address {address} port 179;\n\
                 protocol device {{}}\nprotocol static {{ {route} }}\n\
                 protocol bgp node {{ local as 64512; source address {address}; multihop; import all; export all; \
                 connect retry time 5; error wait time 5, 30; {protocol} }}\nEOF\n\
                 ip netns exec peers bash -c \"exec -a peer '{}/{daemon}' -d -c /run/{name}.cfg \
                 -s '{socket}/{name}.ctl' -P /run/{name}.pid\" >/run/{name}.log 2>&1 &",
                self.birds.bird1.display(),
                socket = self.folder.path().display(),
            ));
            if fault.far == Far::Frozen {
                self.run(&format!(
                    "for i in {{1..100}}; do [[ -s /run/{name}.pid && -S '{}/{name}.ctl' ]] && break; sleep 0.05; done\n\
                     sleep 0.2\nkill -STOP \"$(cat /run/{name}.pid)\"",
                    self.folder.path().display()
                ));
            }
        }
    }

    /// As confd writes it.
    fn configuration(&self, daemon: &str, loaded: bool) -> String {
        let is_2 = self.daemons == Daemons::Bird2;
        let restart =
            if self.daemons == Daemons::Bird1Recovering { "graceful restart;" } else { "" };
        let kernel = if is_2 {
            "protocol kernel kernel1 { ipv4 { import all; export all; }; learn; persist; scan time SCAN; }\n\
             protocol kernel kernel2 { ipv6 { import all; export all; }; learn; persist; scan time SCAN; }\n"
        } else {
            "protocol kernel kernel1 { learn; persist; scan time SCAN; import all; export all; RESTART }\n"
        };
        let kernel = kernel.replace("RESTART", restart);
        let kernel = kernel.replace("SCAN", &self.scan_time.as_secs().to_string());
        let direct = if is_2 { "ipv4; ipv6;" } else { "" };
        let body =
            if is_2 { "" } else { "gateway recursive; import all; export all; add paths on;" };
        let mut text = format!(
            "router id 10.0.0.1;\n{kernel}protocol device device1 {{ scan time 2; }}\n\
             protocol direct direct1 {{ {direct} interface \"*\"; }}\n\
             template bgp bgp_template {{ local as 64512; multihop; {body} {restart}\n  connect delay time 2; connect retry time 5; \
             error wait time 5, 30; }}\n"
        );
        for (fault, is_ipv6) in &self.faults {
            let is_here = self.daemon(*is_ipv6) == daemon;
            if !is_here || (fault.far == Far::NotLoaded && !loaded) {
                continue;
            }
            let (channel, source) =
                if *is_ipv6 { ("ipv6", "fd00::1") } else { ("ipv4", "10.0.0.1") };
            let address = fault.address(*is_ipv6);
            let limit = if fault.node == "LIMIT" { "import limit 1 action disable;" } else { "" };
            let (gone, docker) =
                if *is_ipv6 { ("fd00::250", "fd17::1") } else { ("10.0.0.250", "172.17.0.1") };
            let node = fault
                .node
                .replace("LIMIT", if is_2 { "" } else { limit })
                .replace("GONE", gone)
                .replace("DOCKER", docker)
                .replace("PEER", &address);
            let channel = if is_2 {
                format!(
                    "{channel} {{ import all; export all; {limit} gateway recursive; add paths on; }};"
                )
            } else {
                String::new()
            };
            let usual =
                |word: &str, line: String| if node.contains(word) { String::new() } else { line };
            let _ = writeln!(
                text,
                "protocol bgp {} from bgp_template {{ {channel} {} {} {node} }}",
                fault.name(*is_ipv6),
                usual("neighbor", format!("neighbor {address} as 64512;")),
                usual("source address", format!("source address {source};")),
            );
        }
        text
    }

    fn write_configuration(&self, daemon: &str, loaded: bool) {
        let text = self.configuration(daemon, loaded);
        self.run(&format!("cat >/etc/calico/confd/config/{daemon}.cfg <<'EOF'\n{text}EOF"));
    }

    fn daemons(&self) -> &'static [&'static str] {
        if self.daemons == Daemons::Bird2 { &["bird"] } else { &["bird", "bird6"] }
    }

    fn start_node(&self) {
        let folder =
            if self.daemons == Daemons::Bird2 { &self.birds.bird2 } else { &self.birds.bird1 };
        let restart = if self.daemons == Daemons::Bird1Recovering { "-R" } else { "" };
        for daemon in self.daemons() {
            self.write_configuration(daemon, false);
            self.run(&format!(
                "CALICO_NETWORKING_BACKEND=bird IP6=autodetect bash -c \"exec -a {daemon} '{}/{daemon}' {restart} \
                 -s /var/run/calico/{daemon}.ctl -d -c /etc/calico/confd/config/{daemon}.cfg -P /run/{daemon}.pid\" \
                 >/run/{daemon}.log 2>&1 &",
                folder.display()
            ));
        }
    }

    fn says(&self, fault: &Fault, is_ipv6: bool) -> String {
        let question = format!("show protocols all {}", fault.name(is_ipv6));
        ask(&self.socket(is_ipv6), &question).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, fault: &Fault, is_ipv6: bool, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.says(fault, is_ipv6);
            if said.contains(wanted) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: never {wanted:?}:\n{said}\n{}",
                fault.name(is_ipv6),
                self.run("tail -n 20 /run/bird*.log")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Does to sessions that stand what is to be done to them.
    fn disturb(&self) {
        for is_ipv6 in [false, true] {
            let deadline = Instant::now() + PATIENCE;
            // It has read its file.
            while ask(&self.socket(is_ipv6), "show status").is_err() {
                assert!(Instant::now() < deadline, "{}", self.run("tail -n 20 /run/bird*.log"));
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        for (fault, is_ipv6) in &self.faults {
            let name = fault.name(*is_ipv6);
            match fault.far {
                Far::FreezesLater => {
                    self.until(fault, *is_ipv6, "Established");
                    self.run(&format!("kill -STOP \"$(cat /run/{name}.pid)\""));
                }
                Far::ShutDown => {
                    let there = self.folder.path().join(format!("{name}.ctl"));
                    let deadline = Instant::now() + PATIENCE;
                    loop {
                        self.until(fault, *is_ipv6, "Established");
                        std::thread::sleep(Duration::from_millis(300));
                        ask(&there, "disable node").unwrap();
                        std::thread::sleep(Duration::from_millis(300));
                        // The kernel may have reset the connection before the notification was read: once more.
                        if self.says(fault, *is_ipv6).contains("Administrative shutdown") {
                            break;
                        }
                        assert!(Instant::now() < deadline, "{name} was never shut down");
                        ask(&there, "enable node").unwrap();
                        ask(&self.socket(*is_ipv6), &format!("restart {name}")).unwrap();
                    }
                }
                _ => {}
            }
        }
        for daemon in self.daemons() {
            self.write_configuration(daemon, true);
        }
    }

    /// Waits until of each session is shown what must be, and all have been tried a few times.
    fn wait(&self) {
        let begun = Instant::now();
        for (fault, is_ipv6) in &self.faults {
            if !fault.until.is_empty() && fault.far != Far::NotLoaded {
                self.until(fault, *is_ipv6, fault.until);
            }
        }
        std::thread::sleep(Duration::from_secs(8).saturating_sub(begun.elapsed()));
    }
}
