#!/usr/bin/env bash
# Measures `calivet check conntrack` on tables of several sizes, in one run, and prints ratios: with --top against a bare
# netlink read of the same table and against `conntrack -L | wc -l`; without --top in milliseconds.
# Nothing here passes or fails.
#
#     benches/conntrack.sh [ROUNDS]
#
# SIZES (default "10000 100000 250000") are the numbers of entries, of SOURCES (default 1000) addresses. Each figure is
# the best of ROUNDS (default 7); beside the wall clock stands the CPU time, which other programs disturb less. It takes
# root, iproute2 and conntrack. The tables are made in a network namespace of their own, and go with it; they cannot be
# larger than the host's limit.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
rounds=${1-7}
sizes=${SIZES-10000 100000 250000} sources=${SOURCES-1000}

if [[ ${CALIVET_BENCH_INSIDE-} != yes ]]; then
    if ((EUID != 0)); then
        echo "$0: it takes root to make namespaces" >&2
        exit 1
    fi
    (cd "$here/.." && cargo build --release --locked --bin calivet --example netlink)
    echo "machine: $(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1-3 /proc/loadavg)"
    exec env CALIVET_BENCH_INSIDE=yes unshare --net -- "$(realpath "${BASH_SOURCE[0]}")" "$rounds"
fi
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
calivet=${CALIVET:-$here/../target/release/calivet}
bare=$here/../target/release/examples/netlink

# best NAME COMMAND... : milliseconds of the best round, by the wall and by the CPUs.
declare -A wall cpu
best() {
    local name=$1 round real user system now spent TIMEFORMAT='%3R %3U %3S'
    shift
    wall[$name]=''
    for ((round = 0; round < rounds; round++)); do
        read -r real user system < <({ time "$@" >/dev/null 2>&1; } 2>&1)
        now=$(awk "BEGIN { printf \"%.0f\", $real * 1000 }")
        spent=$(awk "BEGIN { printf \"%.0f\", ($user + $system) * 1000 }")
        if [[ -z ${wall[$name]} ]] || ((now < wall[$name])); then wall[$name]=$now; fi
        if ((round == 0)) || ((spent < cpu[$name])); then cpu[$name]=$spent; fi
    done
    printf '  %-32s %6d ms  %6d ms CPU\n' "$name" "${wall[$name]}" "${cpu[$name]}"
}

ratio() {
    awk -v a="${wall[$1]}" -v b="${wall[$2]}" -v c="${cpu[$1]}" -v d="${cpu[$2]}" -v name="$1 / $2" \
        'BEGIN { printf "  %-48s %6.2f (CPU %.2f)\n", name, a / (b ? b : 1), c / (d ? d : 1) }'
}

# The check fails where the table is crowded: that is an answer too.
check() {
    "$calivet" check conntrack "$@" || true
}

# As a user would count.
count() {
    conntrack -L | wc -l
}

ip link set lo up
for size in $sizes; do
    conntrack -F >/dev/null 2>&1
    awk -v count="$size" -v sources="$sources" 'BEGIN { for (n = 0; n < count; n++) {
        s = n % sources; p = int(n / sources)
        printf "-A -p tcp --src 10.1.%d.%d --dst 10.255.%d.%d --sport %d --dport 443 --state ESTABLISHED --timeout 5000 --status ASSURED,SEEN_REPLY\n",
            int(s / 256), s % 256, p % 4, int(p / 4) % 64, 1024 + p } }' |
        conntrack -R - >/dev/null
    echo "entries: $(cat /proc/sys/net/netfilter/nf_conntrack_count)"
    best 'check' check
    best 'check --top' check --top
    best 'bare read' "$bare" bare-connections
    best 'conntrack -L | wc -l' count
    ratio 'check --top' 'bare read'
    ratio 'check --top' 'conntrack -L | wc -l'
    if [[ -x /usr/bin/time ]]; then
        printf '  peak memory of --top: %s KiB\n' \
            "$(/usr/bin/time -f %M "$calivet" check conntrack --top 2>&1 >/dev/null | tail -1)"
    fi
done
