#!/usr/bin/env bash
# Runs what `scripts/gpu/check.sh build` left beside this file: parity with the CPU, compute-sanitizer where it is, the
# bench. Needs an NVIDIA driver and bash, no toolchain. Everything is left in $OUT (default: results/ beside this file).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$here/results}
mkdir -p "$out"
export ASHLAR_REQUIRE_GPU=1

command -v nvidia-smi > /dev/null &&
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv | tee "$out/gpu.csv"

# The committed PTX, loaded by this driver, against the CPU bit for bit.
[ -n "${SKIP_PARITY:-}" ] || "$here/parity" --nocapture 2>&1 | tee "$out/parity.txt"

# Out-of-bounds accesses and races, on the smaller tests (each access costs a hundred times more under the tools).
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck initcheck; do
    PROPTEST_CASES=20 compute-sanitizer --tool "$tool" --error-exitcode 1 \
      "$here/parity" --skip large_inputs 2>&1 | tee "$out/$tool.txt"
  done
else
  echo "no compute-sanitizer: skipped" | tee "$out/memcheck.txt"
fi

# criterion looks for its folder in $CRITERION_HOME; arguments are filters of entries.
CRITERION_HOME=$out/criterion "$here/bench" --bench --noplot "$@" 2>&1 | tee "$out/bench.txt"
echo "the table: cargo xtask gpu-table $out"
