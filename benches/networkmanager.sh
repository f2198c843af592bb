#!/usr/bin/env bash
# How long the offline verdict on NetworkManager's files takes: a host of 50 files, judged by the release binary,
# against a host without any. Prints CPU seconds of many runs, so that other work on the machine matters little.
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

# seconds HOST: user and system time of all runs
seconds() {
    local TIMEFORMAT='%U %S' run
    { time for ((run = 0; run < runs; run++)); do
        "$calivet" --root "$1" check networkmanager -o json >/dev/null || true
    done; } 2>&1 | awk '{print $1 + $2}'
}

host "$scratch/none" 0
host "$scratch/fifty" 50
for _ in 1 2 3; do
    none=$(seconds "$scratch/none")
    fifty=$(seconds "$scratch/fifty")
    awk -v none="$none" -v fifty="$fifty" -v runs="$runs" 'BEGIN {
        printf "50 files: %.2f ms CPU a run; no files: %.2f ms; the files cost %.2f ms\n",
            1000 * fifty / runs, 1000 * none / runs, 1000 * (fifty - none) / runs
    }'
done
