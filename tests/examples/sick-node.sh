#!/usr/bin/env bash
# Makes the bundle that the documentation's examples are read from: of a node that has several faults at once.
#
#     tests/examples/sick-node.sh BUNDLE CALIVET
#
# It is the node of benches/standard-node.sh, smaller and broken, and takes what that takes. Everything is made in
# namespaces of its own. What is of the machine itself (the kernel's log, its command line) is left out.
set -euo pipefail

if [[ ${1-} != inside ]]; then
    (($# == 2)) || { sed -n '2,7 s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
    bundle=$(realpath "$1") calivet=$(realpath "$2")
    here=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
    CALIVET_TEST_BIRD1=${CALIVET_TEST_BIRD1-$here/target/lab/bird1/usr/sbin}
    # Paths of this machine are no part of the example.
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cp "$here/benches/standard-node.sh" "$0" "$calivet" "$CALIVET_TEST_BIRD1"/* "$scratch"
    export CALIVET_TEST_BIRD1=$scratch
    cd "$scratch"
    # shellcheck disable=SC2016 # it is the inner shell that expands
    unshare --mount bash -c '
        awk "\$2 ~ \"^/(mnt|media|srv)/\" { print \$2 }" /proc/mounts | xargs -r umount --lazy
        exec "$@"' - \
        "$scratch/standard-node.sh" --logs 2 --pods 3 --peers 6 --rules 400 --conntrack 250000 -- \
        "$scratch/sick-node.sh" inside "$scratch"
    mv "$scratch"/node-1.tar.gz "$bundle"
    exit
fi

scratch=$2
birdc() {
    "$scratch/birdc" -s /run/calico/bird.ctl "$@" >/dev/null
}

# What is of the machine beneath: its kernel's log, its load, what it ran out of, and its other file systems.
mount --bind /dev/null /dev/kmsg
sed 's/^oom_kill .*/oom_kill 0/' /proc/vmstat >/mnt/vmstat
mount --bind /mnt/vmstat /proc/vmstat
sed 's/([^)]*@[^)]*)/(builder@example)/' /proc/version >/mnt/version
mount --bind /mnt/version /proc/version
printf '%s avg10=1.20 avg60=0.80 avg300=0.70 total=1000000\n' some full >/mnt/pressure
for kind in cpu io memory; do
    mount --bind /mnt/pressure "/proc/pressure/$kind"
done
grep -oE '^/dev/[^ ]+ [^ ]+' /proc/mounts | while read -r _ folder; do
    case $folder in / | /etc/* | "$scratch"*) ;; *) umount --lazy "$folder" 2>/dev/null || true ;; esac
done

# The clock is kept, as far as one can see from here.
mkdir -p /run/systemd/timesync
touch /run/systemd/timesync/synchronized
(exec -a /lib/systemd/systemd-timesyncd sleep 600) &

# BGP: disabled by hand, dropped by a rule of this host, another password, shut down at the other end.
iptables -I OUTPUT -p tcp -d 10.0.1.4 --dport 179 -j DROP
iptables -I INPUT -p tcp -s 10.0.1.4 -j DROP
sed -i '/10.0.1.5 as/ s/; }/; password "another"; }/' /etc/calico/confd/config/bird.cfg
birdc configure
birdc restart Mesh_10_0_1_4
birdc restart Mesh_10_0_1_5
birdc disable Mesh_10_0_1_3
pkill -f 'peer -d -c /run/peer6.cfg' || true

# NetworkManager runs, and nobody has told it to leave Calico's interfaces alone.
mkdir -p /etc/NetworkManager/conf.d
rm -f /etc/NetworkManager/conf.d/*
printf '[main]\nplugins=keyfile\n' >/etc/NetworkManager/NetworkManager.conf
(exec -a /usr/sbin/NetworkManager sleep 600) &

# Felix was told to log everything once, and nobody took that back.
pkill -f 'calico component felix' || true
(
    cd /run/agents
    export FELIX_LOGSEVERITYSCREEN=Debug FELIX_PROMETHEUSMETRICSENABLED=true
    exec -a calico ./calico component felix
) &
pod=(/var/log/pods/kube-system_calico-node-*/calico-node)
now=$(date +%s)
{
    for ((second = 0; second < 40; second++)); do
        stamp=$(date -u -d "@$((now - 400 + second))" +'%Y-%m-%d %H:%M:%S')
        echo "${stamp/ /T}.000000000Z stdout F $stamp.000 [DEBUG][66] felix/int_dataplane.go 2103: Got 1 update id=\"pod-$second\""
        echo "${stamp/ /T}.000000000Z stdout F $stamp.000 [ERROR][66] felix/route_table.go 1140: Failed to add route error=network is down ifaceName=\"vxlan.calico\""
    done
} >"${pod[0]}/0.log"

# Of the other logs a little is enough.
rm -f "${pod[0]}"/0.log.* /var/log/calico/felix/@*
for log in /var/log/calico/*/*; do
    tail -n 50 "$log" >/mnt/log.tail && cat /mnt/log.tail >"$log"
done

# calicoctl's settings are in the shell of whoever administers the node, and sudo leaves them behind.
rm -f /etc/calico/calicoctl.cfg
export SUDO_USER=alice SUDO_UID=1000 SUDO_COMMAND=/usr/bin/calivet

sleep 8
cd "$scratch"
"$scratch/calivet" node diags --output-file "$scratch/node-1.tar.gz" --since 2h --max-size 500KB || true
"$scratch/calivet" check -o short || true
