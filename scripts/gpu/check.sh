#!/usr/bin/env bash
# Everything that needs a GPU: run it in a checkout on a machine with an NVIDIA driver and the Rust toolchain.
#   scripts/gpu/check.sh            parity, memory checks where compute-sanitizer is installed, benches
#   scripts/gpu/check.sh build DIR  only builds: test and bench binaries into DIR, for a machine without a toolchain
#   scripts/gpu/check.sh run DIR    only runs what `build` left in DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-all}
dir=${2:-target/gpu}
out=${OUT:-$dir/results}

build() {
  mkdir -p "$dir"
  # The path of each binary, from cargo's JSON messages.
  cargo test --release -p ashlar-kernels --features cuda --test cuda --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1 | xargs -I{} cp {} "$dir/parity"
  cargo build --release -p ashlar-kernels --features cuda --example gpu-bench
  cp "${CARGO_TARGET_DIR:-target}/release/examples/gpu-bench" "$dir/bench"
}

run() {
  mkdir -p "$out"
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv | tee "$out/gpu.csv"
  # The committed PTX, loaded by this driver, against the CPU bit for bit.
  ASHLAR_REQUIRE_GPU=1 "$dir/parity" --nocapture 2>&1 | tee "$out/parity.txt"
  # Out-of-bounds and races, on the smaller tests (each access costs a hundred times more under the tools).
  if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
      ASHLAR_REQUIRE_GPU=1 PROPTEST_CASES=20 compute-sanitizer --tool "$tool" --error-exitcode 1 \
        "$dir/parity" --skip large_inputs 2>&1 | tee "$out/$tool.txt"
    done
  else
    echo "no compute-sanitizer: skipped" | tee "$out/memcheck.txt"
  fi
  "$dir/bench" 26 | tee "$out/bench.jsonl"
}

case $mode in
  build) build ;;
  run) run ;;
  all) build && run ;;
  *) echo "usage: $0 [all | build DIR | run DIR]" >&2; exit 2 ;;
esac
