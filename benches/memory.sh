#!/usr/bin/env bash
# Measures what memory `calivet node diags` takes, by how much there is to be read and what it is like, and fails if
# that is more than the 64 MiB that are promised.
#
#     benches/memory.sh
#
# CALIVET names the binary (default: the static release build). It takes GNU time, and 2 GB in TMPDIR; the table of
# connections takes root and what standard-node.sh takes, and is as large as the kernel lets it be (CONNECTIONS,
# default 500000).
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
readonly promised=$((64 << 10))

if [[ -z ${CALIVET-} ]]; then
    target=$(rustc -vV | sed -n 's/^host: //p')
    CALIVET=$here/../target/$target/release/calivet
    [[ -x $CALIVET ]] || CALIVET=$here/../target/release/calivet
fi
CALIVET=$(realpath "$CALIVET")
export CALIVET

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/var/log/calico "$work"/root/{etc,proc,run,sys}
logs=$work/root/var/log/calico
failed=0

# measure TITLE COMMAND... : runs calivet by GNU time, and shows what it took.
measure() {
    local title=$1 kib wall cpu verdict=''
    shift
    rm -f "$work/bundle.tar.gz"
    # 1: the bundle is not whole, as of any folder that is not all of a node.
    /usr/bin/time -o "$work/took" -f '%M %e %U %S' "$@" >/dev/null 2>&1 || (($? == 1))
    read -r kib wall cpu < <(tail -1 "$work/took" | awk '{ print $1, $2, $3 + $4 }')
    gzip -t "$work/bundle.tar.gz"
    if ((kib > promised)); then
        verdict='more than was promised'
        failed=1
    fi
    awk -v title="$title" -v kib="$kib" -v wall="$wall" -v cpu="$cpu" -v verdict="$verdict" \
        'BEGIN { printf "%-52s %8.1f MiB %8.2f s %8.2f s CPU  %s\n", title, kib / 1024, wall, cpu, verdict }'
}

if [[ ${CALIVET_BENCH_NODE-} == yes ]]; then
    measure "$(cat /proc/sys/net/netfilter/nf_conntrack_count) connections" \
        "$CALIVET" node diags --output-file "$work/bundle.tar.gz"
    exit "$failed"
fi

of_logs() {
    local jobs
    for jobs in 1 2 4; do
        measure "$1, --jobs $jobs" "$CALIVET" --root "$work/root" node diags --only logs --jobs "$jobs" \
            --output-file "$work/bundle.tar.gz"
    done
    rm -f "$logs"/*
}

# lines BYTES : lines as Felix writes them.
lines() {
    awk -v bytes="$1" 'BEGIN {
        srand(1)
        while (written < bytes) {
            line = sprintf("2026-11-22 12:%02d:%02d.%03d [INFO][%d] felix/int_dataplane.go %d: Applying updates id=\"k8s/pod-%d\" msecToApply=%.6f",
                lines / 60000 % 60, lines / 1000 % 60, lines % 1000, 60 + rand() * 9, 100 + rand() * 900, rand() * 110, rand() * 100)
            print line
            written += length(line) + 1
            lines++
        }
    }'
}

lines 60000000 >"$work/lines"
for log in {1..17}; do ln "$work/lines" "$logs/$log.log"; done
of_logs '1 GB of lines in 17 files'

for log in {1..17}; do head -c 45000000 /dev/urandom | base64 -w 120 >"$logs/$log.log"; done
of_logs '1 GB that hardly compresses in 17 files'

for log in {1..64}; do truncate -s 64M "$logs/$log.log"; done
of_logs '4 GB of holes in 64 files'

truncate -s 4G "$logs/one.log"
of_logs '4 GB of holes in one file'

if ((EUID == 0)); then
    CALIVET_BENCH_NODE=yes "$here/standard-node.sh" --conntrack "${CONNECTIONS-500000}" --logs 90 -- \
        "${BASH_SOURCE[0]}" || failed=1
else
    echo 'not measured: connections, which take root' >&2
fi
exit "$failed"
