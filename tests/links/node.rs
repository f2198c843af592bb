//! A node of Calico's made of real links and routes: an uplink, VXLAN to two others, two pods.

use crate::lab::namespaces::Namespaces;

/// The links of the pods `default/pod-1` to `default/pod-4`, by the SHA-1 of `default.pod-N`.
const POD1: &str = "cali83dbd022cd5";
const POD2: &str = "califbd243bfedd";
/// Its pod is there; a test makes the link.
const MADE: &str = "cali87081bf6f89";
/// Its pod is not there.
const GONE: &str = "calie3c692d4193";

/// See the module.
pub(crate) struct Node {
    namespaces: Namespaces,
}

/// What is written lies in file systems of the node's own.
const MAKE: &str = "\
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/calico
echo 1450 >/var/lib/calico/mtu
echo node-1 >/var/lib/calico/nodename
for number in 1 2 3; do
    mkdir -p /var/log/pods/default_pod-${number}_00000000-0000-4000-8000-00000000000$number
done
ip netns add far
ip netns add pods
ip link add eth0 type veth peer name peer0 netns far
ip address add 10.0.0.1/24 dev eth0
ip link set eth0 up
ip -n far address add 10.0.0.2/24 dev peer0
ip -n far address add 10.0.0.3/24 dev peer0
ip -n far link set peer0 up
ip route add default via 10.0.0.2
ip link add vxlan.calico address 66:00:00:00:00:00 mtu 1450 type vxlan id 4096 local 10.0.0.1 dev eth0 dstport 4789 nolearning
ip address add 10.65.0.0/32 dev vxlan.calico
ip link set vxlan.calico up
for number in 1 2; do
    pod=POD$number
    ip link add ${!pod} mtu 1450 address ee:ee:ee:ee:ee:ee type veth peer name pod$number netns pods
    ip link set ${!pod} up
    ip -n pods link set pod$number up
    ip route add 10.65.0.$number/32 dev ${!pod} scope link proto 80 metric 1024
    ip neighbour add 10.65.$number.0 lladdr 66:00:00:00:00:0$number dev vxlan.calico nud permanent
    bridge fdb add 66:00:00:00:00:0$number dev vxlan.calico dst 10.0.0.$((number + 1))
    ip route add 10.65.$number.0/26 via 10.65.$number.0 dev vxlan.calico onlink proto 80 metric 1024
done
ip route add blackhole 10.65.0.0/26 proto 80
ip route add 10.66.1.0/26 via 10.0.0.2 proto bird
# The kernel sees a carrier in its own time.
for link in eth0 $POD1 $POD2; do
    until ip -oneline link show $link | grep -q 'state UP'; do sleep 0.02; done
done";

impl Node {
    /// A healthy node. `None` where there can be none.
    pub(crate) fn start() -> Option<Self> {
        let namespaces = Namespaces::with(&["ip", "bridge"])?;
        namespaces.without_ipv6();
        let node = Self { namespaces };
        node.run(MAKE);
        Some(node)
    }

    /// Runs a script on it, which knows the links of the pods.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) {
        self.namespaces.run(&format!("POD1={POD1} POD2={POD2} MADE={MADE} GONE={GONE}\n{script}"));
    }

    pub(crate) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }
}
