//! Scaling laws (Gemstones, McLeish et al. 2025).
