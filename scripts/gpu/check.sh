#!/usr/bin/env bash
# Everything that needs a GPU.
#   scripts/gpu/check.sh            in a checkout on a machine with an NVIDIA driver: builds and runs; where nvcc is, also the
#                                   functions on candle's tensors, which need CUDA's toolkit
#   scripts/gpu/check.sh build DIR  only builds, here, without any CUDA: parity tests, bench and run.sh into DIR, to be
#                                   carried to a machine with a driver and without a toolchain, where DIR/run.sh does the rest
#   scripts/gpu/check.sh run DIR    only runs what `build` left in DIR
#   scripts/gpu/check.sh dry DIR    runs DIR's bench on a driver that computes nothing, and the table of it: to see that all
#                                   of it works; the figures mean nothing
set -euo pipefail
cd "$(dirname "$0")/../.."
mode=${1:-all}
dir=${2:-target/gpu}

built() { # built NAME ARGS…: the executable that cargo makes with these arguments becomes DIR/NAME
  local name=$1
  shift
  # Its path is in cargo's JSON messages.
  cargo "$@" --message-format=json | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1 | xargs -I{} cp {} "$dir/$name"
}

build() {
  mkdir -p "$dir"
  built parity test --locked --release -p ashlar-kernels --features cuda --test cuda --no-run
  built bench bench --locked -p ashlar-benches --features cuda --bench gpu --no-run
  cp scripts/gpu/run.sh "$dir/run.sh"
}

dry() {
  mkdir -p "$dir/fake"
  rustc --edition 2024 --crate-type cdylib -o "$dir/fake/libcuda.so.1" crates/kernels/tests/driver/libcuda.rs
  # The driver's memory is ordinary memory and its kernels do nothing, so there is no parity to ask for.
  env LD_LIBRARY_PATH="$dir/fake" FAKE_GPUS="a driver that computes nothing:9.0" FAKE_DRIVER=12040 FAKE_RUNS=1 \
    SKIP_PARITY=1 ASHLAR_GPU_BENCH_LOG2=16 OUT="$dir/dry" PATH=/usr/bin:/bin "$dir/run.sh" \
    --warm-up-time 0.01 --measurement-time 0.02
  cargo run --release --quiet -p xtask -- gpu-table "$dir/dry"
}

on_candle() {
  command -v nvcc > /dev/null || { echo "no nvcc: the functions on candle's tensors are skipped"; return; }
  ASHLAR_REQUIRE_GPU=1 cargo test --locked --release -p ashlar-kernels --features candle-cuda --test candle
}

case $mode in
  build) build ;;
  run) "$dir/run.sh" ;;
  dry) dry ;;
  all)
    build
    "$dir/run.sh"
    on_candle
    ;;
  *) echo "usage: $0 [all | build DIR | run DIR | dry DIR]" >&2; exit 2 ;;
esac
