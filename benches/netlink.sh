#!/usr/bin/env bash
# Compares what calivet reads over netlink with what else reads the same tables, in one run, and prints ratios:
# routes against `ip route`, connections against a bare netlink read of the same table and against `conntrack -L`.
# Nothing here passes or fails.
#
#     benches/netlink.sh [ROUNDS]
#
# ROUTES (default 200000) and CONNECTIONS (default 250000) say how large the tables are. Each figure is the best of
# ROUNDS (default 5). What reads is the release build of benches/netlink.rs, which calls the same code as
# `calivet node diags`; the bare read is in it too. It takes root, iproute2 and conntrack. The tables are made in a
# network namespace of their own, and go with it.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
rounds=${1-5}
routes=${ROUTES-200000} connections=${CONNECTIONS-250000}

if [[ ${CALIVET_BENCH_INSIDE-} != yes ]]; then
    if ((EUID != 0)); then
        echo "$0: it takes root to make namespaces" >&2
        exit 1
    fi
    (cd "$here/.." && cargo build --release --locked --example netlink)
    echo "machine: $(nproc) cores, Linux $(uname -r)"
    exec env CALIVET_BENCH_INSIDE=yes unshare --net -- "$(realpath "${BASH_SOURCE[0]}")" "$rounds"
fi
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
read_with=$here/../target/release/examples/netlink

ip link set lo up
ip link add eth0 type veth peer name eth1
ip address add 10.0.0.1/8 dev eth0
ip link set eth0 up
ip link set eth1 up
# 172.16/12 and on, one /32 after the other.
awk -v count="$routes" 'BEGIN { for (n = 0; n < count; n++)
    printf "route add 172.%d.%d.%d/32 via 10.0.0.2 dev eth0 proto bird\n", 16 + int(n / 65536), int(n / 256) % 256, n % 256 }' |
    ip -batch -
awk -v count="$connections" 'BEGIN { for (n = 0; n < count; n++)
    printf "-A -p tcp --src 10.%d.%d.%d --dst 10.255.0.1 --sport 1000 --dport 443 --state ESTABLISHED --timeout 5000 --status ASSURED,SEEN_REPLY\n", int(n / 65536), int(n / 256) % 256, n % 256 }' |
    conntrack -R - >/dev/null
echo "routes: $routes, connections: $(cat /proc/sys/net/netfilter/nf_conntrack_count)"

# best NAME COMMAND... : milliseconds of the best round.
declare -A best
best() {
    local name=$1 round real now TIMEFORMAT=%3R
    shift
    for ((round = 0; round < rounds; round++)); do
        real=$({ time "$@" >/dev/null 2>&1; } 2>&1)
        now=$(awk "BEGIN { printf \"%.0f\", $real * 1000 }")
        if [[ -z ${best[$name]-} ]] || ((now < best[$name])); then best[$name]=$now; fi
    done
    printf '  %-40s %6d ms\n' "$name" "${best[$name]}"
}

ratio() {
    awk -v a="${best[$1]}" -v b="${best[$2]}" -v name="$1 / $2" 'BEGIN { printf "  %-40s %6.2f\n", name, a / b }'
}

best 'calivet routes' "$read_with" routes
best 'bare read of routes' "$read_with" bare-routes
best 'ip route' ip route
best 'ip -j route' ip -j route
best 'calivet connections' "$read_with" connections
best 'bare read of connections' "$read_with" bare-connections
best 'conntrack -L' conntrack -L
best '/proc/net/nf_conntrack' cat /proc/net/nf_conntrack
ratio 'calivet routes' 'ip route'
ratio 'calivet routes' 'bare read of routes'
ratio 'calivet connections' 'bare read of connections'
ratio 'calivet connections' 'conntrack -L'
if [[ -x /usr/bin/time ]]; then
    printf '  peak memory: %s KiB for all connections\n' \
        "$(/usr/bin/time -f %M "$read_with" connections 2>&1 >/dev/null | tail -1)"
else
    # What the reader itself says at its end.
    "$read_with" connections 2>&1 >/dev/null | tail -1
fi
