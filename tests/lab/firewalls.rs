//! A node of Calico's, in namespaces of its own, on which the real firewalld and ufw run.
//!
//! `/etc` and `/usr/lib` are the machine's with a layer of memory above: nothing is installed, and nothing of the
//! machine is written. A pod and somebody outside try to reach each other, so that what calivet says of their packets
//! can be held against what becomes of them. Felix is a process of its name, and a shell function that writes what
//! Felix would.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::bus;
use super::namespaces::Namespaces;

/// What `PATH` must lead to.
const TOOLS: &[&str] = &["iptables-legacy", "iptables-nft", "nft", "dbus-daemon"];

/// A node that is well, until something is done to it.
pub(crate) struct Node {
    namespaces: Namespaces,
}

/// What each script begins with.
///
/// `felix` is what Felix does when it starts, and each `iptablesRefreshInterval`: its chains are as it wants them, and
/// its rules first (with `chain_insert_mode=-A`, last) in the chains of the kernel; what it has accepted, a rule at the
/// end of `FORWARD` accepts (not with `allow_action=Return`).
const FUNCTIONS: &str = r#"
export LC_ALL=C
t() { $calico -w "$@"; }
felix() {
    local chain hook
    for chain in cali-INPUT cali-FORWARD cali-OUTPUT cali-tw-cali1 cali-fw-cali1; do
        t -F $chain 2>/dev/null || t -N $chain
    done
    t -A cali-INPUT -p udp --dport 4789 -m comment --comment cali:f -j ACCEPT
    t -A cali-FORWARD -o cali1 -m comment --comment cali:b -j cali-tw-cali1
    t -A cali-FORWARD -m comment --comment cali:e -j MARK --set-xmark 0x10000/0x10000
    t -A cali-tw-cali1 -m conntrack --ctstate INVALID -m comment --comment cali:c -j DROP
    for hook in INPUT FORWARD OUTPUT; do
        t -D $hook -m comment --comment cali:a -j cali-$hook 2>/dev/null || true
        t ${chain_insert_mode--I} $hook -m comment --comment cali:a -j cali-$hook
    done
    t -D FORWARD -m comment --comment cali:d -m mark --mark 0x10000/0x10000 -j ACCEPT 2>/dev/null || true
    [[ ${allow_action-} == Return ]] ||
        t -A FORWARD -m comment --comment cali:d -m mark --mark 0x10000/0x10000 -j ACCEPT
}
# listen NETNS ADDRESS
listen() {
    ip netns exec "$1" /usr/bin/python3 -c 'import socket
server = socket.create_server(("", 443))
while True:
    server.accept()' >/run/listen.log 2>&1 &
    until ip netns exec "$1" bash -c "exec 3<>/dev/tcp/$2/443" 2>/dev/null; do
        kill -0 $! || { cat /run/listen.log; return 1; }
    done
}
# reach NETNS ADDRESS SECONDS
reach() {
    local said status=0
    said=$(ip netns exec "$1" timeout "$3" bash -c "exec 3<>/dev/tcp/$2/443" 2>&1) || status=$?
    case $status:$said in
    0:*) echo passes ;;
    124:*) echo lost ;;
    *refused* | *'No route to host'*) echo rejected ;;
    *) echo "$said" ;;
    esac
}
"#;

/// A pod behind `cali1`; somebody outside behind the uplink, whose address is the one that calivet asks the rules about,
/// and who is another node, too, with a pod that comes through VXLAN.
const NETWORK: &str = "
echo 1 >/proc/sys/net/ipv4/ip_forward
ip netns add pod
ip link add cali1 type veth peer name eth0 netns pod
ip link set cali1 up
echo 1 >/proc/sys/net/ipv4/conf/cali1/proxy_arp
ip route add 10.65.0.1/32 dev cali1
ip -n pod link set lo up
ip -n pod link set eth0 up
ip -n pod address add 10.65.0.1/32 dev eth0
ip -n pod route add 169.254.1.1 dev eth0
ip -n pod route add default via 169.254.1.1
ip netns add outside
ip netns exec outside bash -c 'cd /proc/sys/net/ipv4; echo 1 >ip_forward; for of in all default; do echo 0 >conf/$of/rp_filter; done'
ip link add up0 type veth peer name eth0 netns outside
ip link set up0 up
ip address add 10.0.0.1/24 dev up0
ip route add default via 10.0.0.2
ip -n outside link set lo up
ip -n outside link set eth0 up
ip -n outside address add 10.0.0.2/24 dev eth0
ip -n outside address add 198.51.100.1/32 dev lo
ip -n outside route add 10.65.0.0/16 via 10.0.0.1 src 198.51.100.1
ip link add vxlan.calico address 66:00:00:00:00:01 type vxlan id 4096 dstport 4789 local 10.0.0.1 dev up0 nolearning
ip link set vxlan.calico up
ip address add 10.65.0.0/32 dev vxlan.calico
ip neigh add 10.65.9.0 lladdr 66:00:00:00:00:02 dev vxlan.calico nud permanent
bridge fdb append 66:00:00:00:00:02 dev vxlan.calico dst 10.0.0.2
ip route add 10.65.9.0/26 via 10.65.9.0 dev vxlan.calico onlink
ip -n outside link add vxlan.calico address 66:00:00:00:00:02 type vxlan id 4096 dstport 4789 local 10.0.0.2 dev eth0 nolearning
ip -n outside link set vxlan.calico up
ip -n outside address add 10.65.9.0/32 dev vxlan.calico
ip -n outside neigh add 10.65.0.0 lladdr 66:00:00:00:00:01 dev vxlan.calico nud permanent
bridge -n outside fdb append 66:00:00:00:00:01 dev vxlan.calico dst 10.0.0.1
ip netns add other
ip -n outside link add cali9 type veth peer name eth0 netns other
ip -n outside link set cali9 up
ip -n outside address add 169.254.1.1/32 dev cali9
ip -n outside route add 10.65.9.1/32 dev cali9
ip -n outside rule add iif cali9 lookup 100
ip -n outside route add 10.65.0.0/26 via 10.65.0.0 dev vxlan.calico onlink table 100
ip -n other link set eth0 up
ip -n other address add 10.65.9.1/32 dev eth0
ip -n other route add 169.254.1.1 dev eth0
ip -n other route add default via 169.254.1.1
";

/// A shell under Felix's name, whose script waits for what never comes.
const FELIX: &str = "
mkdir /run/agents
cd /run/agents
mkfifo never
cp -L /bin/sh calico
echo 'exec 3<>never; read -r nothing <&3' >component
(exec -a calico ./calico component felix) >/dev/null 2>&1 &
until grep -qz felix /proc/$!/cmdline; do sleep 0.01; done
";

impl Node {
    /// A node whose Calico uses this `iptables`, which is not Debian's choice for others (iptables-nft).
    pub(crate) fn start(iptables: &str) -> Option<Self> {
        let namespaces = Namespaces::with(TOOLS)?;
        namespaces.without_ipv6();
        namespaces.layer(&["/etc", "/usr/lib"]);
        // No module is to be loaded on this machine.
        namespaces
            .run("[[ ! -e /usr/sbin/modprobe ]] || mount --bind /usr/bin/true /usr/sbin/modprobe");
        let node = Self { namespaces };
        fs::write(node.at("/run/node.sh"), format!("calico={iptables}\n{FUNCTIONS}")).unwrap();
        node.use_iptables("nft");
        node.run(NETWORK);
        node.run("listen pod 10.65.0.1\nlisten outside 198.51.100.1");
        node.run(FELIX);
        node.run("felix");
        Some(node)
    }

    /// What `iptables` is to everybody but Calico: `nft` or `legacy` (update-alternatives(1)).
    pub(crate) fn use_iptables(&self, which: &str) {
        self.run(&format!(
            "for program in iptables ip6tables; do\n  for what in '' -save -restore; do\n    \
             ln -sf /usr/sbin/$program-{which}$what /etc/alternatives/$program$what\n  done\ndone"
        ));
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Runs a bash script that knows `felix`, and the programs that were unpacked.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        self.namespaces.run(&format!(". /run/node.sh\n{script}"))
    }

    /// Where a file of the node lies, as the test sees it.
    fn at(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.namespaces.pid()))
    }

    /// Lets scripts know more functions.
    fn add_functions(&self, functions: &str) {
        let path = self.at("/run/node.sh");
        let known = fs::read_to_string(&path).unwrap();
        fs::write(path, known + functions).unwrap();
    }

    /// What becomes of packets: of the pod's to the outside, of those from there to the pod, and of those of another
    /// node's pod: `passes`, `rejected` or `lost`.
    #[track_caller]
    pub(crate) fn assert_packets(&self, expected: [&str; 3]) {
        let ways = [("pod", "198.51.100.1"), ("outside", "10.65.0.1"), ("other", "10.65.0.1")];
        let became = ways.iter().zip(expected).map(|((from, to), expected)| {
            // What is lost is lost for ever; what gets an answer may wait for it.
            let seconds = if expected == "lost" { 2 } else { 60 };
            self.run(&format!("reach {from} {to} {seconds}")).trim().to_owned()
        });
        assert_eq!(became.collect::<Vec<_>>(), expected);
    }

    /// Puts firewalld on the node: `firewalld` starts it and waits until it runs, `firewall-cmd` is its own program, and
    /// `systemctl` knows how to stop it.
    pub(crate) fn install_firewalld(&self) {
        let package = package("CALIVET_TEST_FIREWALLD", "firewalld");
        self.run(&format!(
            "cp -r --no-preserve=ownership '{0}'/usr/lib/* /usr/lib/\n\
             cp -r --no-preserve=ownership '{0}'/etc/firewalld /etc/",
            package.display()
        ));
        bus::start(&self.namespaces);
        self.add_functions(&format!(
            r#"
firewall-cmd() {{ /usr/bin/python3 -sP '{0}/usr/bin/firewall-cmd' "$@"; }}
firewalld() {{
    /usr/bin/python3 -sP '{0}/usr/sbin/firewalld' --nofork --nopid --log-target=console \
        >/run/firewalld.log 2>&1 &
    echo $! >/run/firewalld.pid
    until [[ $(firewall-cmd --state 2>&1) == running ]]; do
        kill -0 "$(</run/firewalld.pid)" || {{ cat /run/firewalld.log; return 1; }}
    done
}}
systemctl() {{
    [[ $* == 'disable --now firewalld' ]]
    kill "$(</run/firewalld.pid)"
    while kill -0 "$(</run/firewalld.pid)" 2>/dev/null; do sleep 0.02; done
}}
"#,
            package.display()
        ));
    }

    /// Puts ufw on the node, as its package would when it is installed; `ufw` is not enabled.
    pub(crate) fn install_ufw(&self) {
        let package = package("CALIVET_TEST_UFW", "ufw");
        self.run(&format!(
            "cd '{}'\n\
             cp -r --no-preserve=ownership etc/ufw etc/default /etc/\n\
             cp -r --no-preserve=ownership lib/ufw usr/lib/python3 /usr/lib/\n\
             cp --no-preserve=ownership usr/share/ufw/iptables/* usr/share/ufw/ufw.conf usr/share/ufw/*.init /etc/ufw/",
            package.display()
        ));
        self.add_functions(&format!(
            "ufw() {{ /usr/bin/python3 -s '{}/usr/sbin/ufw' \"$@\"; }}\n",
            package.display()
        ));
    }
}

/// The folder into which tests/run unpacked a package.
#[track_caller]
fn package(variable: &str, name: &str) -> PathBuf {
    let folder = env::var_os(variable).map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/lab/{name}")),
        PathBuf::from,
    );
    assert!(folder.join("usr/sbin").join(name).is_file(), "no {name} in {}", folder.display());
    folder
}
