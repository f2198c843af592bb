//! `calivet check interfaces` and `check routes`: each fault is made of real links, routes, rules and neighbours, and must
//! change the finding that is its own and no other of any check; live, beneath `--root` and from a bundle alike.

mod node;

use std::collections::BTreeSet;

use crate::agreement::{Views, changes};
use node::Node;

/// A fault: what is done to the node, and the findings that change to these levels.
struct Fault {
    what: &'static str,
    script: &'static str,
    changes: &'static [(&'static str, &'static str)],
}

const fn fault(
    what: &'static str,
    script: &'static str,
    changes: &'static [(&'static str, &'static str)],
) -> Fault {
    Fault { what, script, changes }
}

/// What follows of a node that uses IP in IP on a kernel that does not know it.
const WITHOUT_IPIP: (&str, &str) = ("system.ipip", "fail");

const INTERFACES: &[Fault] = &[
    fault("a pod's link is down", "ip link set $POD1 down", &[("interfaces.pod-links", "fail")]),
    fault(
        "a pod's own end is down",
        "ip -n pods link set pod1 down",
        &[("interfaces.pod-links", "fail")],
    ),
    fault(
        "a pod's end never left the host",
        "ip link add $MADE mtu 1450 type veth peer name made mtu 1450\nip link set $MADE up\nip link set made up\n\
         ip route add 10.65.0.3/32 dev $MADE scope link proto 80",
        &[("interfaces.pod-links", "fail")],
    ),
    fault(
        "a link whose pod is gone",
        "ip link add $GONE mtu 1450 type veth peer name gone netns pods\nip link set $GONE up",
        &[("interfaces.leftovers", "warn")],
    ),
    fault(
        "what a CNI plugin leaves that was stopped",
        "ip link add calico_tmp_A type veth peer name tmp netns pods",
        &[("interfaces.leftovers", "warn")],
    ),
    fault(
        "a tunnel as large as its uplink",
        "ip link set eth0 mtu 1600\nip link set vxlan.calico mtu 1550\nip link set eth0 mtu 1500",
        &[("interfaces.mtu", "fail")],
    ),
    fault(
        "an uplink that is too small",
        "ip link set eth0 mtu 1400",
        &[("interfaces.mtu", "fail")],
    ),
    fault("a pod's MTU is too large", "ip link set $POD1 mtu 1500", &[("interfaces.mtu", "warn")]),
    fault(
        "new pods get too large an MTU",
        "echo 1500 >/var/lib/calico/mtu",
        &[("interfaces.mtu", "warn")],
    ),
    fault(
        "new pods get a smaller MTU than passes",
        "echo 1300 >/var/lib/calico/mtu",
        &[("interfaces.mtu", "info")],
    ),
    fault(
        "vxlan.calico is down, and its routes and neighbours with it",
        "ip link set vxlan.calico down",
        &[("interfaces.vxlan", "fail"), ("routes.blocks", "skip"), ("routes.vteps", "skip")],
    ),
    fault(
        "vxlan.calico learns",
        "ip link set vxlan.calico type vxlan learning",
        &[("interfaces.vxlan", "warn")],
    ),
    fault(
        "vxlan.calico has lost its address, and its routes and neighbours with it",
        "ip address flush dev vxlan.calico scope global",
        &[("interfaces.vxlan", "warn"), ("routes.blocks", "skip"), ("routes.vteps", "skip")],
    ),
    fault(
        "udev gave vxlan.calico a MAC address",
        // The kernel forgets the neighbours, Felix tells them again.
        "ip link set vxlan.calico address 5a:00:00:00:00:07\n\
         for number in 1 2; do ip neighbour replace 10.65.$number.0 lladdr 66:00:00:00:00:0$number dev vxlan.calico nud permanent; done",
        &[("interfaces.vxlan", "warn")],
    ),
    fault(
        "another VXLAN device has the port",
        "ip link add vxlan100 type vxlan id 100 dstport 4789 dev eth0\nip link set vxlan100 up",
        &[("interfaces.vxlan", "warn")],
    ),
    fault(
        "another VXLAN device has the port, and vxlan.calico cannot come up",
        "ip link set vxlan.calico down\nip link add vxlan100 type vxlan id 100 dstport 4789 dev eth0",
        &[("interfaces.vxlan", "fail"), ("routes.blocks", "skip"), ("routes.vteps", "skip")],
    ),
    fault(
        "the node's address is Docker's",
        "ip link add docker0 type bridge\nip address add 172.17.0.1/16 dev docker0\n\
         ip link set vxlan.calico type vxlan local 172.17.0.1",
        &[("interfaces.node-address", "fail")],
    ),
    fault(
        "the node's address is gone",
        "ip link set vxlan.calico type vxlan local 10.0.0.99",
        &[("interfaces.node-address", "fail")],
    ),
    fault(
        "the node's address is a virtual one",
        "ip address add 10.0.0.50/32 dev eth0\nip link set vxlan.calico type vxlan local 10.0.0.50",
        &[("interfaces.node-address", "warn")],
    ),
    fault(
        "the node's address is on a second network card",
        "ip link add eth1 type veth peer name peer1 netns far\nip link set eth1 up\nip -n far link set peer1 up\n\
         ip address add 10.9.0.1/24 dev eth1\nip link set vxlan.calico type vxlan local 10.9.0.1",
        &[("interfaces.node-address", "info")],
    ),
    fault(
        "Flannel has left its device",
        "ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0",
        &[("interfaces.other-plugins", "warn")],
    ),
    // The kernels of test machines know no IPIP: a bridge has its name.
    fault(
        "tunl0 is down",
        "ip link add tunl0 type bridge\nip link set tunl0 mtu 1480\nip address add 10.65.0.60/32 dev tunl0",
        &[("interfaces.ipip", "fail")],
    ),
    fault(
        "tunl0 has lost its address",
        "ip link add tunl0 type bridge\nip link set tunl0 mtu 1480 up\n\
         ip link add port0 type veth peer name port1\nip link set port0 master tunl0 up\nip link set port1 up\n\
         ip route add 10.65.9.0/26 via 10.0.0.2 dev tunl0 onlink proto 80\n\
         until ip -oneline link show tunl0 | grep -q 'state UP'; do sleep 0.02; done",
        &[("interfaces.ipip", "warn"), WITHOUT_IPIP],
    ),
];

const ROUTES: &[Fault] = &[
    fault("a pod has no route", "ip route delete 10.65.0.1/32", &[("routes.pods", "fail")]),
    fault(
        "an address leads to two pods",
        "ip route add 10.65.0.1/32 dev $POD2 scope link proto 80 metric 50",
        &[("routes.duplicates", "fail")],
    ),
    fault("a block has no route", "ip route delete 10.65.1.0/26", &[("routes.blocks", "fail")]),
    fault(
        "a VTEP has no MAC address",
        "ip neighbour delete 10.65.1.0 dev vxlan.calico",
        &[("routes.vteps", "fail")],
    ),
    fault(
        "a VTEP has no node",
        "bridge fdb delete 66:00:00:00:00:01 dev vxlan.calico dst 10.0.0.2",
        &[("routes.vteps", "fail")],
    ),
    fault(
        "two VTEPs have one MAC address",
        "ip neighbour replace 10.65.2.0 lladdr 66:00:00:00:00:01 dev vxlan.calico nud permanent",
        &[("routes.vteps", "fail")],
    ),
    fault(
        "a blackhole hides a pod",
        "ip route add blackhole 10.65.0.1/32",
        &[("routes.blackholes", "fail")],
    ),
    fault(
        "a blackhole hides a part of another node's block",
        "ip route add unreachable 10.65.1.0/27",
        &[("routes.blackholes", "fail")],
    ),
    fault(
        "Felix takes another node's block for its own",
        "ip route add blackhole 10.65.2.0/26 proto 80",
        &[("routes.blackholes", "fail")],
    ),
    fault(
        "a static route takes a part of a block",
        "ip route add 10.65.1.0/28 via 10.0.0.3 proto static",
        &[("routes.foreign", "fail")],
    ),
    fault(
        "another network lies within a block of BIRD's",
        "ip address add 10.66.1.9/28 dev eth0",
        &[("routes.foreign", "warn")],
    ),
    fault(
        "nm-cloud-setup",
        "ip route add default via 10.0.0.2 table 30400\nip rule add priority 30400 from 10.0.0.1 lookup 30400",
        // Who gave such a rule is what another finding tells.
        &[("routes.rules", "fail"), ("networkmanager.cloud-setup", "fail")],
    ),
    fault(
        "a VPN takes all",
        "ip route add default via 10.0.0.3 table 200\nip rule add priority 100 lookup 200",
        &[("routes.rules", "fail")],
    ),
    fault(
        "a VPN takes all but its own packets",
        "ip route add default via 10.0.0.3 table 200\nip rule add priority 100 not fwmark 0xca6c lookup 200",
        &[("routes.rules", "fail")],
    ),
    fault(
        "a rule refuses pods' packets",
        "ip rule add priority 100 from 10.65.0.0/16 prohibit",
        &[("routes.rules", "fail")],
    ),
    fault(
        "what has the host's address goes out by another table",
        "ip route add default via 10.0.0.3 table 100\nip rule add priority 1000 from 10.0.0.1 lookup 100",
        &[("routes.rules", "warn")],
    ),
    fault(
        "marked packets go out by another table",
        "ip route add default via 10.0.0.3 table 100\nip rule add priority 1000 fwmark 0x80000/0xff0000 lookup 100",
        &[("routes.rules", "info")],
    ),
    fault("no rule leads to main", "ip rule delete priority 32766", &[("routes.rules", "fail")]),
    fault(
        "BIRD and Felix both have a route",
        "ip route add 10.66.1.0/26 via 10.0.0.2 proto 80 metric 1024",
        &[("routes.owners", "fail")],
    ),
    fault(
        "a node does not answer",
        "ip neighbour replace 10.0.0.2 dev eth0 nud failed",
        &[("routes.next-hops", "fail")],
    ),
    fault(
        "the uplink has no carrier",
        "ip -n far link set peer0 down",
        &[("routes.links", "fail")],
    ),
    fault(
        "the network between the nodes drops VXLAN",
        "ip netns exec far nft -f - <<'EOF'\ntable inet lab { chain in { type filter hook input priority 0; udp dport 4789 drop; }; }\nEOF\n\
         for number in {1..150}; do echo hello >/dev/udp/10.65.1.9/4000; done",
        &[("routes.tunnels", "warn")],
    ),
    // A bridge has its name: the kernels of test machines know no IPIP.
    fault(
        "the network between the nodes drops IP in IP",
        "ip link add tunl0 type bridge\nip link set tunl0 mtu 1480 up\nip address add 10.65.0.60/32 dev tunl0\n\
         ip link add port0 type veth peer name port1\nip link set port0 master tunl0 up\nip link set port1 up\n\
         ip route add 10.65.9.0/26 via 10.0.0.2 dev tunl0 onlink proto 80\n\
         ip neighbour add 10.0.0.2 lladdr 66:00:00:00:00:09 dev tunl0 nud permanent\n\
         until ip -oneline link show tunl0 | grep -q 'state UP'; do sleep 0.02; done\n\
         for number in {1..150}; do echo hello >/dev/udp/10.65.9.9/4000; done",
        &[("interfaces.ipip", "ok"), ("routes.tunnels", "skip warn"), WITHOUT_IPIP],
    ),
    fault(
        "the cloud looks at source and destination",
        "mount -t tmpfs tmpfs /sys\nmkdir -p /sys/class/dmi/id\necho 'Amazon EC2' >/sys/class/dmi/id/sys_vendor",
        &[("routes.cloud", "info")],
    ),
    fault(
        "this node's block is full, and a pod has an address of another node's",
        "for number in {3..63}; do ip route add 10.65.0.$number/32 dev $POD1 scope link proto 80; done\n\
         ip route add 10.65.1.40/32 dev $POD1 scope link proto 80",
        &[("routes.addresses", "warn")],
    ),
    fault(
        "others use a table of Felix's",
        "ip route add 10.8.0.0/24 dev eth0 table 7 proto 80\nip route add 10.8.1.0/24 dev eth0 table 7 proto static",
        &[("routes.tables", "warn")],
    ),
];

/// What looks like a fault and is none.
const WELL: &[Fault] = &[
    fault(
        "a tunnel whose packets are answered",
        "ip -n far link add vxlan.calico address 66:00:00:00:00:01 type vxlan id 4096 local 10.0.0.2 dev peer0 dstport 4789 nolearning\n\
         ip -n far address add 10.65.1.0/32 dev vxlan.calico\nip -n far link set vxlan.calico up\n\
         ip -n far neighbour add 10.65.0.0 lladdr 66:00:00:00:00:00 dev vxlan.calico nud permanent\n\
         ip netns exec far bridge fdb add 66:00:00:00:00:00 dev vxlan.calico dst 10.0.0.1\n\
         ip -n far route add 10.65.0.0/26 via 10.65.0.0 dev vxlan.calico onlink\n\
         # Nobody listens: each is answered by ICMP, as often as the kernel may.\n\
         for number in {1..150}; do echo hello >/dev/udp/10.65.1.0/4000 || true; done",
        &[("routes.tunnels", "ok")],
    ),
    fault("the node as it is", "true", &[]),
    fault(
        "Docker beside Calico",
        "ip link add docker0 type bridge\nip address add 172.17.0.1/16 dev docker0\nip link set docker0 up",
        &[],
    ),
    fault(
        "wg-quick, whose first rule looks at main",
        "ip route add default via 10.0.0.3 table 51820\n\
         ip rule add priority 32764 lookup main suppress_prefixlength 0\n\
         ip rule add priority 32765 not fwmark 0xca6c lookup 51820",
        &[],
    ),
    fault(
        "a VPN that has its own networks only",
        "ip route add 100.64.0.0/10 via 10.0.0.3 table 52\nip rule add priority 5270 lookup 52",
        &[],
    ),
    fault(
        "Felix's own rule and table of WireGuard's",
        "ip route add 10.65.1.0/26 via 10.0.0.2 table 1 proto 80\nip rule add priority 99 not fwmark 0x200000/0x200000 lookup 1",
        &[],
    ),
    fault(
        "this node's block within an aggregate of the site's",
        "ip route add 10.65.0.0/20 via 10.0.0.2 proto bird",
        &[],
    ),
    fault(
        "an address of this node's lent to another",
        "ip route add 10.65.0.9/32 via 10.65.1.0 dev vxlan.calico onlink proto 80",
        &[],
    ),
    fault(
        "an overlapping network that is wider",
        "ip route add 10.64.0.0/15 via 10.0.0.3 proto static",
        &[],
    ),
];

fn inject(faults: &[Fault]) {
    let Some(well) = Node::start() else { return };
    let views = Views::of(well.namespaces());
    let before = views.levels(&views.report().unwrap());
    drop(views);
    drop(well);
    let mut wrong = Vec::new();
    for Fault { what, script, changes: expected } in faults {
        let Some(node) = Node::start() else { return };
        node.run(script);
        let views = Views::of(node.namespaces());
        let report = match views.report() {
            Ok(report) => report,
            Err(differs) => {
                wrong.push(format!("{what}: {differs}"));
                continue;
            }
        };
        let knows_ipip = before["system.ipip"].contains("ok");
        let expected = expected.iter().filter(|&&change| !(knows_ipip && change == WITHOUT_IPIP));
        let expected: BTreeSet<String> =
            expected.map(|(id, levels)| format!("{id} {levels}")).collect();
        let changed = changes(&before, &views.levels(&report));
        if changed != expected {
            wrong.push(format!("{what}: {changed:#?}, not {expected:#?}: {report:#}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_fault_of_a_link_is_found_and_nothing_else() {
    inject(INTERFACES);
}

#[test]
fn each_fault_of_a_route_or_rule_is_found_and_nothing_else() {
    inject(ROUTES);
}

#[test]
fn what_only_looks_like_a_fault_is_none() {
    inject(WELL);
}

#[test]
fn a_healthy_node_passes_every_finding_that_applies() {
    let Some(node) = Node::start() else { return };
    let views = Views::of(node.namespaces());
    let mut levels = views.levels(&views.report().unwrap());
    levels.retain(|id, _| id.starts_with("interfaces.") || id.starts_with("routes."));
    let skipped = ["interfaces.ipip", "interfaces.wireguard", "routes.tunnels", "routes.cloud"];
    for (id, level) in &levels {
        let expected = if skipped.contains(&id.as_str()) { "skip" } else { "ok" };
        assert_eq!(level.iter().collect::<Vec<_>>(), [expected], "{id}");
    }
    assert_eq!(levels.len(), 23);
}
