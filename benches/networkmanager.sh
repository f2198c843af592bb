#!/usr/bin/env bash
# What the verdict on NetworkManager's files costs: a host of 50 files, judged by the release binary, against a host
# without any; from a bundle (offline), and beneath a root. CPU time of many runs, so that other work on the machine
# matters little.
#
# usage: benches/networkmanager.sh [RUNS]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${1:-200}
calivet=${CALIVET:-target/release/calivet}
[[ -x $calivet ]] || cargo build --release --locked

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# host FOLDER FILES
host() {
    local root=$1 number folder
    mkdir -p "$root"/{proc/net,etc,run} "$root"/{usr/lib,run,etc}/NetworkManager/conf.d
    printf 'Inter-|\n face |\n  lo: 0 0\n  cali0123456789b: 0 0\n' >"$root/proc/net/dev"
    for ((number = 0; number < $2; number++)); do
        folder=("$root"/{usr/lib,run,etc}/NetworkManager/conf.d)
        printf '[keyfile]\nunmanaged-devices+=interface-name:cali%s*;driver:x%s\n[device-%s]\nmatch-device=interface-name:eth%s\nmanaged=0\n' \
            "$number" "$number" "$number" "$number" >"${folder[number % 3]}/$number.conf"
    done
}

# seconds OPTION PLACE: user and system time of all runs
seconds() {
    local TIMEFORMAT='%U %S' run
    { time for ((run = 0; run < runs; run++)); do
        "$calivet" "$1" "$2" check networkmanager -o json >/dev/null || true
    done; } 2>&1 | awk '{print $1 + $2}'
}

for files in 0 50; do
    host "$scratch/$files" "$files"
    "$calivet" --root "$scratch/$files" node diags --quiet --only networkmanager \
        --output-file "$scratch/$files.tar.gz" >/dev/null || true
done
for _ in 1 2 3; do
    for option in --from --root; do
        suffix=
        [[ $option == --from ]] && suffix=.tar.gz
        none=$(seconds "$option" "$scratch/0$suffix")
        fifty=$(seconds "$option" "$scratch/50$suffix")
        awk -v option="$option" -v none="$none" -v fifty="$fifty" -v runs="$runs" 'BEGIN {
            printf "%s: 50 files %.2f ms CPU a run, no files %.2f ms: the files cost %.2f ms\n",
                option, 1000 * fifty / runs, 1000 * none / runs, 1000 * (fifty - none) / runs
        }'
    done
done
