#!/usr/bin/env bash
# Runs a command on a node that looks like Calico's: 110 pods, 50 BGP peers in a real BIRD, 200 ipsets, 5,000
# iptables rules, 90 MB of logs.
#
#     benches/standard-node.sh [--conntrack ENTRIES] [--logs MEGABYTES] [--pods PODS] [--peers PEERS] [--rules RULES] \
#         COMMAND [ARGUMENT...]
#
# The node has namespaces of its own (network, mounts, processes, host name); what it writes lies on file systems
# in memory that nobody else sees. When the command ends, or this script is killed, the kernel takes all of it
# away. It takes root, the BIRD that tests/run unpacks, and of Debian's packages iproute2, iptables, nftables,
# ipset and, with --conntrack, conntrack.
set -euo pipefail

usage() {
    sed -n '2,13 s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

conntrack=0 logs=90 pods=110 peers=50 rules=5000
while (($# > 0)); do
    case $1 in
        --conntrack) conntrack=${2:?} && shift 2 ;;
        --logs) logs=${2:?} && shift 2 ;;
        --pods) pods=${2:?} && shift 2 ;;
        --peers) peers=${2:?} && shift 2 ;;
        --rules) rules=${2:?} && shift 2 ;;
        --) shift && break ;;
        -*) usage ;;
        *) break ;;
    esac
done
(($# > 0)) || usage

readonly sets=200 routes_each=4

if [[ ${CALIVET_BENCH_INSIDE-} != yes ]]; then
    export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
    if ((EUID != 0)); then
        echo "$0: it takes root to make namespaces" >&2
        exit 1
    fi
    CALIVET_TEST_BIRD1=${CALIVET_TEST_BIRD1-$(realpath "$(dirname "$0")/..")/target/lab/bird1/usr/sbin}
    if [[ ! -x $CALIVET_TEST_BIRD1/bird ]]; then
        echo "$0: there is no $CALIVET_TEST_BIRD1/bird: tests/run unpacks it" >&2
        exit 1
    fi
    tools=(ip nft iptables-restore ipset)
    ((conntrack == 0)) || tools+=(conntrack)
    for tool in "${tools[@]}"; do
        if ! command -v "$tool" >/dev/null; then
            echo "$0: there is no $tool here" >&2
            exit 1
        fi
    done
    export CALIVET_BENCH_INSIDE=yes CALIVET_TEST_BIRD1
    exec unshare --mount --net --pid --uts --ipc --fork --kill-child \
        bash "$0" --conntrack "$conntrack" --logs "$logs" --pods "$pods" --peers "$peers" --rules "$rules" -- "$@"
fi
unset CALIVET_BENCH_INSIDE

# Where everything that is written goes: nothing of it reaches the disk.
scratch=/mnt
file_systems() {
    mount -t proc proc /proc
    mount -t tmpfs -o mode=0755 tmpfs "$scratch"
    mkdir "$scratch"/{etc,lib}{,.work} "$scratch"/log
    mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/etc,workdir=$scratch/etc.work" overlay /etc
    mount -t overlay -o "lowerdir=/var/lib,upperdir=$scratch/lib,workdir=$scratch/lib.work" overlay /var/lib
    mount --bind "$scratch/log" /var/log
    mount -t tmpfs -o mode=0755 tmpfs /run
    [[ -L /var/run ]] || mount --bind /run /var/run
    mount -t tmpfs -o mode=0755 tmpfs /opt
    mkdir /run/calico
    hostname node-1
}

# Calico's name of each pod's link, by the pod's number: a line each in /run/links. The kubelet's folder of each pod.
pods() {
    local number uid
    mkdir /run/names
    for ((number = 1; number <= pods; number++)); do
        printf 'default.pod-%d' "$number" >"/run/names/$number"
        uid=$(printf '00000000-0000-4000-8000-%012d' "$number")
        mkdir -p "/var/log/pods/default_pod-${number}_$uid"
    done
    for ((number = 1; number <= pods; number++)); do
        echo "/run/names/$number"
    done | xargs sha1sum | awk '{ print "cali" substr($1, 1, 11) }' >/run/links
}

# The address of a pod, by its number.
pod() {
    echo "10.65.$(($1 / 64)).$(($1 % 64))"
}

network() {
    ip link set lo up
    ip netns add pods
    ip netns add peers
    ip link add node0 type veth peer name peers0 netns peers
    ip address add 10.0.0.1/16 dev node0
    ip link set node0 up
    ip -n peers link set lo up
    ip -n peers link set peers0 up
    ip route add default via 10.0.1.1
    ip link add vxlan.calico address 66:00:00:00:00:00 type vxlan id 4096 local 10.0.0.1 dstport 4789 nolearning
    ip address add 10.65.255.0/32 dev vxlan.calico
    ip link set vxlan.calico mtu 1450 up
    echo 1 >/proc/sys/net/ipv4/ip_forward

    local number interface interfaces links='' routes='' peer_addresses='' fdb='' ends=''
    mapfile -t -O 1 interfaces </run/links
    for ((number = 1; number <= pods; number++)); do
        interface=${interfaces[number]}
        links+="link add $interface mtu 1450 address ee:ee:ee:ee:ee:ee type veth peer name pod$number netns pods"$'\n'
        links+="link set $interface up"$'\n'
        ends+="link set pod$number up"$'\n'
        routes+="route add $(pod "$number")/32 dev $interface scope link proto 80"$'\n'
    done
    for ((number = 0; number <= pods / 64; number++)); do
        routes+="route add blackhole 10.65.$number.0/26 proto 80"$'\n'
    done
    for ((number = 1; number <= peers; number++)); do
        local mac gateway=10.65.$((100 + number)).0
        mac=$(printf '66:00:00:00:00:%02x' "$number")
        peer_addresses+="address add 10.0.1.$number/16 dev peers0"$'\n'
        fdb+="fdb add $mac dev vxlan.calico dst 10.0.1.$number"$'\n'
        links+="neighbour add $gateway lladdr $mac dev vxlan.calico nud permanent"$'\n'
        routes+="route add 10.65.$((100 + number)).0/26 via $gateway dev vxlan.calico onlink proto 80"$'\n'
    done
    ip -batch - <<<"${links%$'\n'}"
    ip -n pods -batch - <<<"${ends%$'\n'}"
    ip -batch - <<<"${routes%$'\n'}"
    # As Felix and the CNI plugin set them.
    for interface in /proc/sys/net/ipv4/conf/cali*; do
        echo 1 >"$interface/proxy_arp"
        echo 1 >"$interface/route_localnet"
    done
    ip -n peers -batch - <<<"${peer_addresses%$'\n'}"
    bridge -batch - <<<"${fdb%$'\n'}"
}

firewall() {
    local number member text=''
    for ((number = 0; number < sets; number++)); do
        text+="create $(set_name "$number") hash:net family inet maxelem 1048576"$'\n'
        for ((member = 1; member <= 20; member++)); do
            text+="add $(set_name "$number") 10.65.$((number % 250)).$member"$'\n'
        done
    done
    ipset restore <<<"${text%$'\n'}"

    # A pod has two chains of twelve rules; services have the rest.
    awk -v pods="$pods" -v rules="$rules" -v sets="$sets" '
        function comment() { return sprintf("-m comment --comment \"cali:%016x\"", ++made) }
        BEGIN {
            while ((getline link <"/run/links") > 0) links[++known] = link
            print "*filter\n:cali-FORWARD - [0:0]\n:cali-INPUT - [0:0]\n:KUBE-SERVICES - [0:0]"
            for (pod = 1; pod <= pods; pod++) {
                name = links[pod]
                print ":cali-tw-" name " - [0:0]\n:cali-fw-" name " - [0:0]"
            }
            print "-A FORWARD " comment() " -j cali-FORWARD\n-A INPUT " comment() " -j cali-INPUT"
            # What policy has accepted is marked, and accepted behind all others.
            print "-A FORWARD -m mark --mark 0x10000/0x10000 " comment() " -j ACCEPT"
            for (pod = 1; pod <= pods && made + 26 <= rules; pod++) {
                name = links[pod]
                print "-A cali-FORWARD -i " name " " comment() " -j cali-fw-" name
                print "-A cali-FORWARD -o " name " " comment() " -j cali-tw-" name
                for (way = 0; way < 2; way++) {
                    chain = (way ? "-A cali-fw-" : "-A cali-tw-") name " "
                    print chain "-m conntrack --ctstate RELATED,ESTABLISHED " comment() " -j ACCEPT"
                    print chain "-m conntrack --ctstate INVALID " comment() " -j DROP"
                    for (rule = 0; rule < 9; rule++) {
                        set = sprintf("cali40s:%022d", (pod * 9 + rule) % sets)
                        print chain "-p tcp -m set --match-set " set " src -m multiport --dports " \
                            8000 + rule " " comment() " -j ACCEPT"
                    }
                    print chain comment() " -j DROP"
                }
            }
            while (made < rules)
                print "-A KUBE-SERVICES -d 10.96." int(made / 250) "." made % 250 \
                    "/32 -p tcp -m tcp --dport 443 -m comment --comment \"default/service-" ++made \
                    " has no endpoints\" -j REJECT"
            print "COMMIT"
        }' | iptables-restore
    nft -f - <<'NFT'
table inet site {
    chain input {
        type filter hook input priority 10; policy accept;
        ct state established,related accept
        tcp dport 22 counter accept
    }
}
NFT
    ((conntrack == 0)) && return
    local most
    most=$(cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null || echo $((conntrack + 1)))
    # What goes to the network itself needs a few.
    ((conntrack < most)) || conntrack=$((most - 1000))
    awk -v entries="$conntrack" 'BEGIN {
        for (entry = 0; entry < entries; entry++)
            printf "-I -p tcp -s 10.65.%d.%d -d 10.96.%d.%d --sport %d --dport 443 --state ESTABLISHED -t 3600 -u SEEN_REPLY,ASSURED\n",
                entry % 4, entry % 250, int(entry / 60000), entry % 200 + 1, 1024 + entry % 60000
    }' | conntrack -R - >/dev/null
}

set_name() {
    printf 'cali40s:%022d' "$1"
}

bird() {
    local number route routes folder=/etc/calico/confd/config daemon
    mkdir -p "$folder"
    {
        echo 'router id 10.0.0.1;
protocol kernel { learn; persist; scan time 2; import all; export where source = RTS_BGP; }
protocol device { scan time 2; }
protocol direct { interface -"cali*", "*"; }
template bgp bgp_template {
  description "Connection to BGP peer"; local as 64512; multihop; gateway recursive; import all; export all;
  source address 10.0.0.1; add paths on; password "a-password-of-the-mesh"; connect delay time 1;
}'
        for ((number = 1; number <= peers; number++)); do
            echo "protocol bgp Mesh_10_0_1_$number from bgp_template { neighbor 10.0.1.$number as 64512; }"
        done
    } >"$folder/bird.cfg"
    printf 'router id 10.0.0.1;\nprotocol kernel { scan time 2; export none; }\nprotocol device { scan time 2; }\n' \
        >"$folder/bird6.cfg"
    # One process each: BIRD lets no two of its protocols have the same neighbour.
    for ((number = 1; number <= peers; number++)); do
        routes=''
        for ((route = 0; route < routes_each; route++)); do
            routes+=" route 10.66.$((number * routes_each + route)).0/26 blackhole;"
        done
        echo "router id 10.0.1.$number; listen bgp address 10.0.1.$number; protocol device { scan time 60; }
protocol static {$routes }
protocol bgp node { local as 64512; source address 10.0.1.$number; multihop; passive on; neighbor 10.0.0.1 as 64512;
  password \"a-password-of-the-mesh\"; import all; export all; }" >"/run/peer$number.cfg"
        echo "(exec -a peer '$CALIVET_TEST_BIRD1/bird' -d -c /run/peer$number.cfg -s /run/peer$number.ctl) &"
    done | ip netns exec peers bash >/dev/null 2>&1
    for daemon in bird bird6; do
        (exec -a $daemon "$CALIVET_TEST_BIRD1/$daemon" -s "/var/run/calico/$daemon.ctl" -d -c "$folder/$daemon.cfg") \
            >/dev/null 2>&1 &
    done
}

# Shells with the arguments of Calico's daemons (their script is a file named `component`), and a server with
# Felix's answers.
agents() {
    local agent
    mkdir /run/agents
    cd /run/agents
    mkfifo never
    cp -L /bin/sh calico
    echo 'exec 3<>never; read -r nothing <&3' >component
    for agent in felix confd 'node node-services'; do
        # shellcheck disable=SC2086 # two words of one agent
        (exec -a calico ./calico component $agent) >/dev/null 2>&1 &
    done
    cd "$OLDPWD"
    perl -MIO::Socket::INET -e '
        for my $port (9099, 9091) {
            next if $port == 9099 && !fork;  # the child goes on to the other port
            my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 16,
                ReuseAddr => 1) or die;
            my $text = $port == 9091 ? join("", "felix_resync_state 3\nfelix_active_local_endpoints $ARGV[0]\n",
                map { "felix_metric_$_ $_\n" } 1 .. 500) : "";
            while (my $client = $server->accept) {
                while (<$client>) { last if /^\r?$/ }
                print $client "HTTP/1.1 200 OK\r\nContent-Length: ", length $text,
                    "\r\nConnection: close\r\n\r\n", $text;
            }
        }' "$pods" >/dev/null 2>&1 &
}

configuration() {
    mkdir -p /etc/calico /etc/cni/net.d /var/lib/calico
    # calico-node ends neither with a newline.
    printf node-1 >/var/lib/calico/nodename
    printf 1450 >/var/lib/calico/mtu
    printf 'apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  datastoreType: etcdv3\n  %s\n  %s\n  %s\n' \
        'etcdEndpoints: https://127.0.0.1:2379' 'etcdUsername: calico' 'etcdPassword: a-password-of-etcd' \
        >/etc/calico/calicoctl.cfg
    printf '%s\n' '{"name": "k8s-pod-network", "cniVersion": "0.3.1", "plugins": [{"type": "calico", "log_level": "info",' \
        '"datastore_type": "kubernetes", "nodename": "node-1", "mtu": 0, "ipam": {"type": "calico-ipam"},' \
        '"kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"}}]}' >/etc/cni/net.d/10-calico.conflist
    local now claims
    now=$(date +%s)
    claims=$(printf '{"iat":%d,"exp":%d}' "$now" $((now + 86400)) | base64 -w0 | tr '/+' '_-' | tr -d =)
    printf '%s\n' 'apiVersion: v1' 'kind: Config' 'users:' '- name: calico' '  user:' \
        "    token: eyJhbGciOiJSUzI1NiJ9.$claims.c2lnbmF0dXJl" >/etc/cni/net.d/calico-kubeconfig
    chmod 0600 /etc/cni/net.d/calico-kubeconfig
    mkdir -p /opt/cni/bin
    local plugin
    for plugin in calico calico-ipam; do
        echo stand-in >"/opt/cni/bin/$plugin"
        chmod 0755 "/opt/cni/bin/$plugin"
    done
}

# Two thirds in /var/log/calico (svlogd: `current` and what was rotated), one third in the pod's log as the
# container runtime writes it, one long line in a thousand split in parts, and of that some rotated and compressed.
logs() {
    local pod=/var/log/pods/kube-system_calico-node-x7k2p_8a3b6c1e-0000-4000-8000-5a5a5a5a5a5a/calico-node
    mkdir -p /var/log/calico/{bird,bird6,confd,felix,cni} /var/log/containers "$pod"
    log_lines "$((logs * 10 / 90))" 1 '' >/var/log/calico/confd/current
    log_lines "$((logs * 30 / 90))" 2 '' >/var/log/calico/felix/current
    log_lines "$((logs * 10 / 90))" 3 '' >/var/log/calico/felix/@400000006553f1000000000a.s
    log_lines "$((logs * 10 / 90))" 4 '' >/var/log/calico/cni/cni.log
    log_lines 1 5 '' >/var/log/calico/bird/current
    log_lines "$((logs * 25 / 90))" 6 cri >"$pod/0.log"
    log_lines 5 7 cri | gzip >"$pod/0.log.20261122-101112.gz"
    ln -s "$pod/0.log" /var/log/containers/calico-node-x7k2p_kube-system_calico-node-0123456789abcdef.log
}

# log_lines MEGABYTES SEED [cri]
log_lines() {
    awk -v bytes="$(($1 * 1000000))" -v seed="$2" -v cri="$3" 'BEGIN {
        srand(seed)
        split("felix/endpoint_mgr.go felix/int_dataplane.go felix/ipsets.go confd/client.go felix/route_table.go", file, " ")
        split("Applying dataplane updates|Finished applying updates to dataplane.|Workload endpoint updated|Syncing route|Received interface update", text, "|")
        while (length(long) < 16384) long = long " 10.65.0." length(long) % 250
        while (written < bytes) {
            at = sprintf("2026-11-22 %02d:%02d:%02d.%03d", lines / 3600000 % 24, lines / 60000 % 60, lines / 1000 % 60, lines % 1000)
            line = sprintf("%s [INFO][%d] %s %d: %s id=\"k8s/pod-%d\" ip=10.65.%d.%d msecToApply=%.6f",
                at, 60 + rand() * 9, file[1 + int(rand() * 5)], 100 + rand() * 900, text[1 + int(rand() * 5)],
                rand() * 110, rand() * 4, rand() * 250, rand() * 100)
            if (cri != "") {
                stamp = sprintf("%sT%s%06dZ stdout ", substr(at, 1, 10), substr(at, 12), rand() * 999999)
                if (lines % 1000 == 999) { print stamp "P " long; written += length(stamp long) + 3 }
                line = stamp "F " line
            }
            print line
            written += length(line) + 1
            lines++
        }
    }'
}

# Until the sessions stand.
settle() {
    local deadline=$((SECONDS + 60)) up=0
    while ((up < peers)); do
        if ((SECONDS > deadline)); then
            echo "$0: $up of $peers BGP peers are up after a minute" >&2
            exit 1
        fi
        sleep 0.1
        up=$("$CALIVET_TEST_BIRD1/birdc" -s /run/calico/bird.ctl show protocols 2>/dev/null | grep -c Established) || true
        # What the last of them sent is also in the kernel.
        (($(ip route show proto bird | wc -l) >= peers * routes_each)) || up=0
    done
}

file_systems
pods
network
firewall
configuration
bird
agents
logs
settle
"$@"
