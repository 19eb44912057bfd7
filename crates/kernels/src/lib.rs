//! Deterministic top-k sparsification and count-sketches with the same bits on CPU and GPU.
