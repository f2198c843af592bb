#!/usr/bin/env bash
# Compares calivet with the real NetworkManager on many random configurations: the merged configuration with what
# `NetworkManager --print-config` prints, and the verdict on each device with what the running service does. Takes
# about a third of a second for each of the second sort; meant for the night.
#
# usage: benches/networkmanager-differential.sh [CONFIGURATIONS [FIRST SEED]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CALIVET_TEST_CONFIGURATIONS=${1:-2000} CALIVET_TEST_SEED=${2:-1}
exec bash tests/run --test main -- networkmanager::differential --nocapture
