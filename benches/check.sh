#!/usr/bin/env bash
# Measures `calivet check` on the benchmark node, in one run, beside the commands that one would run by hand to see the
# same: time, CPU and memory, and their ratios. Fails if it takes more than is promised: 300 ms without active looks,
# and 64 MiB.
#
#     benches/check.sh [ROUNDS]
#
# CALIVET names the binary (default: the static release build), CHECKS the checks to measure each for itself (default:
# all that `calivet explain` knows; `none`: only all together). Each figure is the best of ROUNDS (default 5). Memory
# takes GNU time. It takes root and what standard-node.sh takes.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
rounds=${1-5}
readonly most_ms=300 most_mib=64

if [[ ${CALIVET_BENCH_NODE-} != yes ]]; then
    if [[ -z ${CALIVET-} ]]; then
        target=$(rustc -vV | sed -n 's/^host: //p')
        CALIVET=$here/../target/$target/release/calivet
        [[ -x $CALIVET ]] || CALIVET=$here/../target/release/calivet
    fi
    CALIVET=$(realpath "$CALIVET")
    echo "calivet: $CALIVET"
    echo "machine: $(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1-3 /proc/loadavg)"
    export CALIVET CALIVET_BENCH_NODE=yes
    exec "$here/standard-node.sh" --conntrack "${CONNTRACK-20000}" --logs "${LOGS-90}" -- "${BASH_SOURCE[0]}" "$rounds"
fi

declare -A wall cpu

# best NAME COMMAND... : milliseconds of the best round, by the wall and by the CPUs.
best() {
    local name=$1 round real user system now spent TIMEFORMAT='%3R %3U %3S'
    shift
    wall[$name]='' cpu[$name]=''
    for ((round = 0; round < rounds; round++)); do
        read -r real user system < <({ time "$@" </dev/null >/dev/null 2>&1 || true; } 2>&1)
        now=$(awk "BEGIN { printf \"%.0f\", $real * 1000 }")
        spent=$(awk "BEGIN { printf \"%.0f\", ($user + $system) * 1000 }")
        if [[ -z ${wall[$name]} ]] || ((now < wall[$name])); then wall[$name]=$now; fi
        if [[ -z ${cpu[$name]} ]] || ((spent < cpu[$name])); then cpu[$name]=$spent; fi
    done
    printf '  %-44s %6d ms  %6d ms CPU\n' "$name" "${wall[$name]}" "${cpu[$name]}"
}

# What one would run by hand, one after the other, to see what `check` judges.
# shellcheck disable=SC2317 # `best` runs it by its name.
by_hand() {
    "$CALIVET_TEST_BIRD1/birdc" -s /run/calico/bird.ctl show protocols all
    "$CALIVET_TEST_BIRD1/birdc6" -s /run/calico/bird6.ctl show protocols all
    ip -json -details link
    ip -json address
    ip -json route show table all
    ip -json rule
    ip -json neighbour
    nft --json list ruleset
    iptables-save -c
    ipset list
    ss -tuanp
    sysctl -a
    conntrack -S
    df -h
    tail -qc 4M /var/log/calico/*/current /var/log/calico/cni/cni.log | grep -E 'ERROR|FATAL|PANIC'
}

best 'check --no-probe' "$CALIVET" check --no-probe
best 'by hand' by_hand
awk -v a="${wall['check --no-probe']}" -v b="${wall['by hand']}" -v c="${cpu['check --no-probe']}" -v d="${cpu['by hand']}" \
    'BEGIN { printf "  %-44s %6.2f x   %6.2f x CPU\n", "check / by hand", a / (b ? b : 1), c / (d ? d : 1) }'

if [[ ${CHECKS-} != none ]]; then
    if [[ -n ${CHECKS-} ]]; then
        read -ra names <<<"$CHECKS"
    else
        mapfile -t names < <("$CALIVET" explain | sed -n 's/^\([a-z-]*\)\..*/\1/p' | sort -u)
    fi
    for name in "${names[@]}"; do
        best "check $name" "$CALIVET" check --no-probe --only "$name"
    done
fi

failed=0
if ((${wall['check --no-probe']} > most_ms)); then
    echo "  more than $most_ms ms"
    failed=1
fi
if [[ -x /usr/bin/time ]]; then
    # The check may fail, which is no failure of this script.
    kib=$({ /usr/bin/time -f %M "$CALIVET" check --no-probe 2>&1 >/dev/null || true; } | tail -1)
    awk -v kib="$kib" 'BEGIN { printf "  peak memory: %.1f MiB\n", kib / 1024 }'
    if ((kib > most_mib << 10)); then
        echo "  more than $most_mib MiB"
        failed=1
    fi
fi
exit "$failed"
