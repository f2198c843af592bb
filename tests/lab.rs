//! The lab: a Calico node whose BIRD is real, and a peer for it in every state that a session can be in.
//!
//! The node is a machine of its own ([`Namespaces`]); its peers live in a network namespace inside, at the other
//! end of one veth pair. calivet can look at it in two ways: from outside, with `--root` at [`Lab::root`], where
//! the control sockets are real and the processes are files; and from inside ([`Lab::calivet`]), where all is
//! real.

pub(crate) mod bgp;
pub(crate) mod bus;
pub(crate) mod firewalls;
pub(crate) mod http;
pub(crate) mod namespaces;
pub(crate) mod networkmanager;
pub(crate) mod peers;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::root::Root;
use http::Http;
use namespaces::Namespaces;
use peers::{Family, Peer};

/// Which daemons the node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Daemons {
    /// BIRD 1.6, one daemon for each family, as calico-node does.
    Bird1,
    /// The same as calico-node really does, with `-R` and `graceful restart`: for 240 s, or until each peer has
    /// come back, the sessions that stand are in the state `wait`.
    Bird1Recovering,
    /// BIRD 2, one daemon for both families.
    Bird2,
}

/// A running lab. All of it ends when this is dropped.
pub(crate) struct Lab {
    daemons: Daemons,
    /// Felix's health; inside only.
    pub(crate) felix: Http,
    namespaces: Namespaces,
    root: Root,
}

/// A line of `show protocols` is told from the next after this long, and a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

impl Lab {
    /// A lab whose peers have settled. `None` where there can be none.
    pub(crate) fn start(daemons: Daemons) -> Option<Self> {
        let parts = birds().and_then(|birds| Ok((birds, Namespaces::new()?)));
        let (birds, namespaces) = or_skipped(parts)?;
        let root = Root::new().calico_node();
        namespaces.run(&format!(
            "mkdir /run/calico\nmount --bind '{}' /run/calico",
            root.at("/var/run/calico").display()
        ));
        let felix = Http::start(&namespaces, 9099);
        let lab = Self { daemons, felix, namespaces, root };
        lab.start_agents();
        lab.start_network();
        lab.start_peers(&birds);
        lab.start_node(&birds);
        lab.shut_peers_down();
        lab.wait_settled();
        Some(lab)
    }

    /// The state of a peer's protocol in this lab.
    pub(crate) fn state(&self, peer: &Peer) -> &'static str {
        match self.daemons {
            Daemons::Bird1Recovering if peer.established() => "wait",
            _ => peer.state,
        }
    }

    /// The node as a folder: for `--root`.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// calivet, run on the node itself as root.
    pub(crate) fn calivet(&self) -> Command {
        self.namespaces.command(env!("CARGO_BIN_EXE_calivet"))
    }

    /// Any other program, run on the node as root.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.namespaces.command(program)
    }

    /// Runs a bash script on the node and gives what it printed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        self.namespaces.run(script)
    }

    /// Adds lines to the configuration of the node's BIRDs and has them read it again.
    pub(crate) fn configure(&self, lines: &str) {
        for daemon in self.daemons() {
            let file = self.root.at(&format!("/etc/calico/confd/config/{daemon}.cfg"));
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("{lines}\n{text}")).unwrap();
            let said = ask(&self.socket(daemon), "configure").unwrap();
            assert!(said.contains("0003 "), "BIRD did not take the configuration: {said}");
        }
        self.wait_settled();
    }

    /// Stops the process of a daemon in its tracks (SIGSTOP): it accepts no more and answers nothing.
    pub(crate) fn freeze(&self, daemon: &str) {
        self.run(&format!("kill -STOP \"$(cat /run/{daemon}.pid)\""));
    }

    /// What the node's BIRD answers.
    pub(crate) fn ask(&self, family: Family, question: &str) -> String {
        ask(&self.socket(self.daemon(family)), question).unwrap()
    }

    /// Waits until each peer is in the state in which it stays.
    #[track_caller]
    pub(crate) fn wait_settled(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut missing = String::new();
            for family in [Family::Ipv4, Family::Ipv6] {
                // The daemon may not have made its socket yet.
                let shown =
                    ask(&self.socket(self.daemon(family)), "show protocols").unwrap_or_default();
                for peer in peers::of(family) {
                    if let Err(seen) = self.has_settled(peer, &shown) {
                        let expected = (self.state(peer), peer.bgp_states, peer.error);
                        let _ =
                            writeln!(missing, "{}: expected {expected:?}, is {seen:?}", peer.name);
                    }
                }
            }
            // A session is up a moment before its routes have come: each peer sends three.
            let is_one = self.daemon(Family::Ipv4) == self.daemon(Family::Ipv6);
            for family in [Family::Ipv4, Family::Ipv6] {
                let shown = ask(&self.socket(self.daemon(family)), "show protocols all");
                let come = shown.unwrap_or_default().matches(" 3 imported").count();
                let is_served = |peer: &&Peer| {
                    is_one || peers::of(family).iter().any(|it| it.name == peer.name)
                };
                let up = peers::all().filter(is_served).filter(|it| it.established()).count();
                if come < up {
                    let _ = writeln!(
                        missing,
                        "{family:?}: routes of {come} peers have come, not of {up}"
                    );
                }
            }
            if missing.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the peers did not settle:\n{missing}{}",
                self.run("tail -n 5 /run/*.log || true")
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether what `show protocols` says of a peer is what it will be; if not, what it says.
    fn has_settled(&self, peer: &Peer, shown: &str) -> Result<(), String> {
        let line = shown
            .lines()
            .map(|line| line.strip_prefix("1002-").unwrap_or(line).trim())
            .find(|line| line.split_whitespace().next() == Some(peer.name))
            .unwrap_or_default();
        let mut words = line.split_whitespace().skip(3);
        let state = words.next().unwrap_or_default();
        let mut info: Vec<_> = words.skip(1).collect();
        // `timeformat protocol iso long` writes date and time.
        if info.first().is_some_and(|word| {
            word.contains(':') && word.starts_with(|c: char| c.is_ascii_digit())
        }) {
            info.remove(0);
        }
        let info = info.join(" ");
        let may_be = |bgp: &&str| info == format!("{bgp} {}", peer.error).trim();
        let is_right =
            peer.bgp_states.iter().any(may_be) || peer.bgp_states.is_empty() && info == peer.error;
        if state == self.state(peer) && is_right { Ok(()) } else { Err(line.to_owned()) }
    }

    /// The daemon that answers for a family.
    fn daemon(&self, family: Family) -> &'static str {
        match (self.daemons, family) {
            (Daemons::Bird2, _) | (_, Family::Ipv4) => "bird",
            (_, Family::Ipv6) => "bird6",
        }
    }

    fn daemons(&self) -> &'static [&'static str] {
        if self.daemons == Daemons::Bird2 { &["bird"] } else { &["bird", "bird6"] }
    }

    fn socket(&self, daemon: &str) -> PathBuf {
        self.root.at(&format!("/var/run/calico/{daemon}.ctl"))
    }

    /// The control socket of the BIRD that plays a peer.
    fn socket_of(&self, peer: &Peer) -> PathBuf {
        self.root.at(&format!("/tmp/{}.ctl", peer.name))
    }

    /// Starts what stands in for Felix and confd: a shell under another name whose script is a file `component`,
    /// so that its arguments are theirs.
    fn start_agents(&self) {
        self.run(
            "mkdir /run/agents\ncd /run/agents\nmkfifo never\ncp -L /bin/sh calico\n\
             echo 'exec 3<>never; read -r nothing <&3' >component\n\
             for agent in felix confd; do\n  (exec -a calico ./calico component $agent) >/dev/null 2>&1 &\ndone",
        );
    }

    /// One veth pair between the node and the namespace `peers`, with the addresses of both ends.
    fn start_network(&self) {
        let mut script = String::from(
            "ip netns add peers\nip link add node0 type veth peer name peers0 netns peers\n\
             # A neighbour that does not answer is given up after a tenth of a second, not after three.\n\
             echo 1 >/proc/sys/net/ipv4/neigh/node0/mcast_solicit\n\
             echo 100 >/proc/sys/net/ipv4/neigh/node0/retrans_time_ms\n\
             ip address add 10.0.0.1/24 dev node0\nip address add fd00::1/64 dev node0 nodad\n\
             ip link set node0 up\n\
             ip -n peers link set lo up\nip -n peers link set peers0 up\n",
        );
        let mut firewall = String::new();
        for peer in peers::all().filter(|peer| peer.is_there()) {
            let length =
                if peer.address.contains(':') { "64 dev peers0 nodad" } else { "24 dev peers0" };
            let _ = writeln!(script, "ip -n peers address add {}/{length}", peer.address);
            if peer.is_silent() {
                let _ = writeln!(firewall, "ip daddr {} drop", peer.address);
            }
        }
        let _ = write!(
            script,
            "ip netns exec peers nft -f - <<'EOF'\ntable inet lab {{\nchain in {{\n\
             type filter hook input priority 0\n{firewall}}}\n}}\nEOF\n",
        );
        self.run(&script);
    }

    /// Under a name that no agent of the node's has: they share its process table.
    fn start_peers(&self, birds: &Birds) {
        for peer in peers::all() {
            let Some(configuration) = peer.configuration() else { continue };
            let daemon = if peer.address.contains(':') { "bird6" } else { "bird" };
            self.run(&format!(
                "cat >/run/{name}.cfg <<'EOF'\n{configuration}EOF\n\
                 ip netns exec peers bash -c \"exec -a peer '{}/{daemon}' -d -c /run/{name}.cfg -s '{socket}' \
                 -P /run/{name}.pid\" >/run/{name}.log 2>&1 &",
                birds.bird1.display(),
                socket = self.socket_of(peer).display(),
                name = peer.name,
            ));
        }
    }

    fn start_node(&self, birds: &Birds) {
        for daemon in self.daemons() {
            let (folder, configuration) = match self.daemons {
                Daemons::Bird2 => (&birds.bird2, configuration_of_bird2()),
                Daemons::Bird1 | Daemons::Bird1Recovering => {
                    (&birds.bird1, self.configuration_of_bird1(daemon))
                }
            };
            let restart = if self.daemons == Daemons::Bird1Recovering { "-R" } else { "" };
            let file = self.root.at(&format!("/etc/calico/confd/config/{daemon}.cfg"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, configuration).unwrap();
            self.run(&format!(
                "exec -a {daemon} '{folder}/{daemon}' {restart} -s /var/run/calico/{daemon}.ctl -d -c '{file}' \
                 -P /run/{daemon}.pid >/run/{daemon}.log 2>&1 &",
                folder = folder.display(),
                file = file.display(),
            ));
        }
    }

    /// Has the administrators of those peers where that is to happen shut the session down that they have.
    fn shut_peers_down(&self) {
        let deadline = Instant::now() + PATIENCE;
        for peer in peers::all().filter(|peer| peer.is_shut_down()) {
            let node = self.socket(self.daemon(Family::Ipv4));
            let other = self.socket_of(peer);
            let on_node = format!("show protocols {}", peer.name);
            loop {
                // Each end gets there on its own time, and a session that only one of them has ends otherwise.
                for (socket, question) in
                    [(&node, on_node.as_str()), (&other, "show protocols node")]
                {
                    while !ask(socket, question).is_ok_and(|said| said.contains("Established")) {
                        assert!(Instant::now() < deadline, "{} was never established", peer.name);
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
                // What is on its way when a socket is closed makes the kernel reset it, and the notification is
                // lost: then once more.
                std::thread::sleep(Duration::from_millis(200));
                ask(&other, "disable node").unwrap();
                let told = (0..40).any(|_| {
                    std::thread::sleep(Duration::from_millis(50));
                    ask(&node, &on_node).is_ok_and(|said| said.contains("Administrative shutdown"))
                });
                if told {
                    break;
                }
                ask(&other, "enable node").unwrap();
                ask(&node, &format!("restart {}", peer.name)).unwrap();
            }
        }
    }

    /// As confd writes it, but for the times: a session that failed is left alone for as long as a lab lives.
    fn configuration_of_bird1(&self, daemon: &str) -> String {
        let (peers, address) = match daemon {
            "bird" => (peers::of(Family::Ipv4), "10.0.0.1"),
            _ => (peers::of(Family::Ipv6), "fd00::1"),
        };
        let restart =
            if self.daemons == Daemons::Bird1Recovering { "graceful restart;" } else { "" };
        let route = if daemon == "bird" { "192.168.0.0/26" } else { "fd00:1::/48" };
        let mut text = format!(
            "router id 10.0.0.1;\n\
             protocol kernel {{ learn; persist; scan time 2; import all; export all; {restart} }}\n\
             protocol device {{ scan time 2; }}\n\
             protocol direct {{ interface -\"cali*\", \"*\"; }}\n\
             protocol static {{ route {route} blackhole; }}\n\
             template bgp bgp_template {{\n  description \"Connection to BGP peer\";\n  local as 64512;\n  \
             multihop;\n  gateway recursive;\n  import all;\n  export all;\n  source address {address};\n  \
             add paths on;\n  {restart}\n  {TIMES}\n}}\n",
        );
        text.extend(peers.iter().map(Peer::in_bird1));
        text
    }
}

const TIMES: &str = "connect delay time 1; connect retry time 600; error wait time 600, 600;";

fn configuration_of_bird2() -> String {
    let mut text = format!(
        "router id 10.0.0.1;\n\
         protocol kernel {{ ipv4 {{ import all; export all; }}; learn; persist; scan time 2; }}\n\
         protocol kernel {{ ipv6 {{ import all; export all; }}; learn; persist; scan time 2; }}\n\
         protocol device {{ scan time 2; }}\n\
         protocol direct {{ ipv4; ipv6; interface -\"cali*\", \"*\"; }}\n\
         protocol static {{ ipv4; route 192.168.0.0/26 blackhole; }}\n\
         template bgp bgp_template {{\n  description \"Connection to BGP peer\";\n  local as 64512;\n  \
         multihop;\n  {TIMES}\n}}\n",
    );
    text.extend(peers::all().map(Peer::in_bird2));
    text
}

/// What a lab needs. `None` where there can be none: why is said on standard error, unless the environment asks for it
/// (`CALIVET_TEST_LAB=required`), then it is a failure.
fn or_skipped<T>(parts: Result<T, String>) -> Option<T> {
    match parts {
        Ok(parts) => Some(parts),
        Err(reason) => {
            assert_ne!(env::var("CALIVET_TEST_LAB").as_deref(), Ok("required"), "no lab: {reason}");
            // What `eprintln` prints is shown only when a test fails.
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            let _ = writeln!(std::io::stderr(), "{test}: skipped: {reason}");
            None
        }
    }
}

/// The folders in which `tests/run` unpacked the daemons.
#[derive(Debug)]
struct Birds {
    bird1: PathBuf,
    bird2: PathBuf,
}

fn birds() -> Result<Birds, String> {
    let find = |variable: &str, name: &str| {
        let folder = env::var_os(variable).map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/lab/{name}/usr/sbin")),
            PathBuf::from,
        );
        let daemon = folder.join("bird");
        if daemon.exists() {
            Ok(folder)
        } else {
            Err(format!("there is no {}: tests/run unpacks it", daemon.display()))
        }
    };
    Ok(Birds {
        bird1: find("CALIVET_TEST_BIRD1", "bird1")?,
        bird2: find("CALIVET_TEST_BIRD2", "bird2")?,
    })
}

/// Puts one question to the BIRD at a control socket and gives the answer up to its last line, greeting left out.
fn ask(socket: &Path, question: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(stream, "{question}")?;
    let mut reader = BufReader::new(stream);
    let mut answer = String::new();
    reader.read_line(&mut answer)?;
    answer.clear();
    loop {
        let start = answer.len();
        if reader.read_line(&mut answer)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // `0013 Daemon is up and running`: a code and a blank end the answer, a code and a minus do not.
        let line = &answer.as_bytes()[start..];
        if line.len() > 4 && line[..4].iter().all(u8::is_ascii_digit) && line[4] == b' ' {
            return Ok(answer);
        }
    }
}

#[test]
fn the_lab_reaches_every_state_and_leaves_nothing_behind() {
    let Some(lab) = Lab::start(Daemons::Bird2) else { return };
    assert!(lab.ask(Family::Ipv4, "show status").contains("BIRD 2."));
    let first = PathBuf::from(format!("/proc/{}", lab.namespaces.pid()));
    let root = lab.root().to_owned();
    assert!(first.exists() && root.exists());
    drop(lab);
    // With the first process of the namespace the kernel ended all the others.
    assert!(!first.exists() && !root.exists());
}
