#!/usr/bin/env bash
# Compares calivet with what else could be done on the same node, in one run: times, CPU and memory side by side,
# and their ratios. Nothing here passes or fails.
#
#     benches/compare.sh [ROUNDS]
#
# CALIVET names the binary (default: the static release build), CALICOCTL that of calicoctl if there is one.
# Each figure is the best of ROUNDS (default 5), and the contestants take turns. Memory is the largest process's
# and takes GNU time. SOS=yes adds `sos report -o networking`, once, if it is installed: it takes more than a minute.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
rounds=${1-5}

if [[ ${CALIVET_BENCH_NODE-} != yes ]]; then
    if [[ -z ${CALIVET-} ]]; then
        target=$(rustc -vV | sed -n 's/^host: //p')
        CALIVET=$here/../target/$target/release/calivet
        [[ -x $CALIVET ]] || CALIVET=$here/../target/release/calivet
    fi
    CALIVET=$(realpath "$CALIVET")
    if [[ ! -x $CALIVET ]]; then
        echo "$0: there is no $CALIVET: cargo build --release makes it" >&2
        exit 1
    fi
    echo "calivet: $CALIVET"
    echo "machine: $(nproc) cores, Linux $(uname -r)"
    export CALIVET CALIVET_BENCH_NODE=yes
    exec "$here/standard-node.sh" --conntrack "${CONNTRACK-20000}" --logs "${LOGS-90}" -- "${BASH_SOURCE[0]}" "$rounds"
fi

work=$(mktemp -d -p /run)
cd "$work"
declare -A wall cpu peak

# once NAME REPEATS COMMAND... : runs it so many times and keeps what one run took if it is the best so far.
once() {
    local name=$1 repeats=$2 line real user system run
    shift 2
    local TIMEFORMAT='%3R %3U %3S'
    line=$({ time for ((run = 0; run < repeats; run++)); do "$@" </dev/null >/dev/null 2>&1 || true; done; } 2>&1)
    read -r real user system <<<"$line"
    wall[$name]=$(least "${wall[$name]-}" "$real * 1000 / $repeats")
    cpu[$name]=$(least "${cpu[$name]-}" "($user + $system) * 1000 / $repeats")
    if [[ -x /usr/bin/time && -z ${peak[$name]-} ]]; then
        # calivet does not write over what the run before left.
        rm -f "$work"/*.tar.gz
        # A function is one of this shell's: its largest part stands for it.
        [[ $(type -t "$1") != function ]] || set -- "$CALIVET_TEST_BIRD1/birdc" -s /run/calico/bird.ctl show protocols
        /usr/bin/time -o "$work/peak" -f %M "$@" </dev/null >/dev/null 2>&1 || true
        peak[$name]=$(awk 'END { printf "%.1f", $1 / 1024 }' "$work/peak")
    fi
    rm -rf "$work"/diags-* "$work"/*.tar.gz
}

least() {
    awk -v best="$1" "BEGIN { now = $2; if (best == \"\" || now < best) best = now; printf \"%.2f\", best }"
}

show() {
    printf '  %-44s %10s %10s %10s\n' "$2" "${wall[$1]}" "${cpu[$1]}" "${peak[$1]-?}"
}

# ratio NAME OTHER TITLE
ratio() {
    awk -v a="${wall[$1]}" -v b="${wall[$2]}" -v c="${cpu[$1]}" -v d="${cpu[$2]}" -v title="$3" 'BEGIN {
        printf "  %-44s %10s %10s\n", title, (b > 0 ? sprintf("%.2f x", a / b) : "-"), (d > 0 ? sprintf("%.2f x", c / d) : "-")
    }'
}

heading() {
    printf '\n%-46s %10s %10s %10s\n' "$1" 'wall ms' 'CPU ms' 'peak MiB'
}

# The commands and steps of calicoctl's `node diags`, one after the other.
cat >calicoctl-steps <<'STEPS'
folder=$(mktemp -d -p .)/diagnostics
mkdir "$folder"
run() {
    local name=$1
    shift
    "$@" >"$folder/$name" 2>&1
}
run date date
run hostname hostname
run ipv4_route ip -4 route
run ipv6_route ip -6 route
run ipv4_addr ip -4 addr
run ipv6_addr ip -6 addr
run nft_ruleset nft -n -a list ruleset
run ipv4_tables iptables-save -c
run ipv6_tables ip6tables-save -c
run ipsets ipset list
run ss ss -a -n
cp -a /var/log/calico "$folder/logs"
tar -zcf diags-of-steps.tar.gz -C "$folder/.." diagnostics
rm -rf "${folder%/diagnostics}"
STEPS
birds() {
    "$CALIVET_TEST_BIRD1/birdc" -s /run/calico/bird.ctl show protocols
    "$CALIVET_TEST_BIRD1/birdc6" -s /run/calico/bird6.ctl show protocols
}
readonly logs=(/var/log/calico /var/log/pods)

if [[ ${SOS-} == yes ]] && command -v sos >/dev/null; then
    once sos 1 sos report -o networking --batch --tmp-dir "$work"
fi
for ((round = 0; round < rounds; round++)); do
    once status 50 "$CALIVET" node status
    once birds 50 birds
    [[ -z ${CALICOCTL-} ]] || once calicoctl-status 20 "$CALICOCTL" node status
    once diags 1 "$CALIVET" node diags --output-file "$work/calivet.tar.gz"
    once steps 1 bash --norc calicoctl-steps
    once tar 1 tar -czf logs.tar.gz "${logs[@]}"
    for threads in 1 2; do
        once "diags$threads" 1 "$CALIVET" node diags --jobs "$threads" --output-file "$work/calivet.tar.gz"
        once "logs$threads" 1 "$CALIVET" node diags --only logs --jobs "$threads" --output-file "$work/calivet.tar.gz"
        if command -v pigz >/dev/null; then
            once "pigz$threads" 1 tar -I "pigz -6 -p $threads" -cf logs.tar.gz "${logs[@]}"
        fi
    done
    [[ -z ${CALICOCTL-} ]] || once calicoctl-diags 1 "$CALICOCTL" node diags
done

heading 'node status'
show status 'calivet node status'
show birds 'birdc and birdc6 show protocols'
ratio status birds 'calivet / birdc and birdc6'
if [[ -n ${CALICOCTL-} ]]; then
    show calicoctl-status 'calicoctl node status'
    ratio status calicoctl-status 'calivet / calicoctl'
fi

heading 'node diags'
show diags 'calivet node diags'
show steps "calicoctl's commands and steps in a shell"
show tar 'tar -cz of the logs alone'
for threads in 1 2; do
    show "diags$threads" "calivet node diags --jobs $threads"
    show "logs$threads" "calivet node diags --jobs $threads --only logs"
    [[ -z ${wall[pigz$threads]-} ]] || show "pigz$threads" "tar with pigz -6 -p $threads of the logs alone"
done
[[ -z ${wall[sos]-} ]] || show sos 'sos report -o networking'
[[ -z ${CALICOCTL-} ]] || show calicoctl-diags 'calicoctl node diags'
ratio diags steps "calivet / calicoctl's steps"
ratio diags tar 'calivet / tar -cz'
for threads in 1 2; do
    [[ -z ${wall[pigz$threads]-} ]] || ratio "diags$threads" "pigz$threads" "calivet / pigz -6, threads: $threads"
    [[ -z ${wall[pigz$threads]-} ]] || ratio "logs$threads" "pigz$threads" "the logs alone / pigz -6, threads: $threads"
done
[[ -z ${wall[sos]-} ]] || ratio diags sos 'calivet / sos report'
[[ -z ${CALICOCTL-} ]] || ratio diags calicoctl-diags 'calivet / calicoctl'
