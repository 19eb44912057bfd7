//! `fl-core sketch-bench`.

use std::time::Instant;

use ashlar_cli::{Answer, Failure};
use ashlar_kernels::{
    rng,
    sketch::{CountSketch, SketchConfig, TableKind},
    topk::{self, Count},
};
use clap::Args;
use rand::{Rng, seq::SliceRandom};
use serde_json::json;

use crate::{Error, config::HashName};

pub(super) const EXAMPLE: &str = "\
Example:
  ashlar fl-core sketch-bench --d 100000 --rows 5 --cols 10000 --k 1000";

/// `fl-core sketch-bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Coordinates of the vector.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub d: u64,
    /// Rows of the sketch, odd.
    #[arg(long, default_value_t = 5)]
    pub rows: u32,
    /// Columns of the sketch.
    #[arg(long, default_value_t = 10_000)]
    pub cols: u64,
    /// Coordinates to recover.
    #[arg(long, default_value_t = 1_000)]
    pub k: u64,
    /// Decay: the i-th largest magnitude is i^-ALPHA.
    #[arg(long, default_value_t = 1.0)]
    pub alpha: f64,
    /// Hash family.
    #[arg(long, value_enum, default_value_t)]
    pub hash: HashName,
    /// Largest magnitudes first, instead of at random places.
    #[arg(long)]
    pub sorted: bool,
    /// Seed of vector and hashes.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Times each step is measured; the fastest counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeats: u32,
}

pub(super) fn run(args: &BenchArgs) -> Result<Answer, Failure> {
    if args.k == 0 || args.k > args.d {
        return Err(Error::KeepCount { k: args.k, d: args.d }.into());
    }
    if !args.alpha.is_finite() {
        return Err(Failure::usage(format!("--alpha {}: a finite number is expected", args.alpha)));
    }
    let config = SketchConfig {
        d: args.d,
        rows: args.rows,
        cols: args.cols,
        seed: args.seed,
        hash: args.hash.family(),
        table: TableKind::F32,
    };
    let x = power_law(args);
    let mut sketch = CountSketch::new(config).map_err(Error::from)?;
    let accumulate_s = fastest(args.repeats, || {
        sketch.clear();
        sketch.accumulate(&x, 0)
    })?;
    let mut found = None;
    let unsketch_s = fastest(args.repeats, || {
        found = Some(sketch.unsketch(args.k)?);
        Ok(())
    })?;
    let found = found.map(|found| found.idx().to_vec()).unwrap_or_default();
    let (truth, _) = topk::select(&x, Count::Exact(args.k)).map_err(Error::from)?;
    let right = found.iter().filter(|i| truth.idx().binary_search(i).is_ok()).count();
    let recall = right as f64 / args.k as f64;
    let per_s = args.d as f64 * f64::from(args.rows) / accumulate_s;
    let table_bytes = 4 * u64::from(args.rows) * args.cols;
    Ok(Answer::new(
        json!({
            "d": args.d, "rows": args.rows, "cols": args.cols, "k": args.k, "alpha": args.alpha,
            "sorted": args.sorted, "seed": args.seed, "recall": recall, "compression": 4.0 * args.d as f64 / table_bytes as f64,
            "table_bytes": table_bytes, "accumulate_s": accumulate_s, "unsketch_s": unsketch_s, "cell_adds_per_s": per_s,
        }),
        format!(
            "recovered   {recall:.3} of the top {}\ntable       {} KiB, {:.1}x smaller than the vector\n\
             accumulate  {:.3} ms ({:.0} M cell adds/s)\nunsketch    {:.3} ms",
            args.k,
            table_bytes >> 10,
            4.0 * args.d as f64 / table_bytes as f64,
            accumulate_s * 1e3,
            per_s / 1e6,
            unsketch_s * 1e3
        ),
    ))
}

/// ±i^-α, at random places unless sorted.
fn power_law(args: &BenchArgs) -> Vec<f32> {
    let mut stream = rng::stream(args.seed, &["fl", "sketch-bench"]);
    let mut x: Vec<f32> = (1..=args.d)
        .map(|i| {
            let sign = if stream.random::<bool>() { 1.0 } else { -1.0 };
            (sign * (i as f64).powf(-args.alpha)) as f32
        })
        .collect();
    if !args.sorted {
        x.shuffle(&mut stream);
    }
    x
}

fn fastest(repeats: u32, mut work: impl FnMut() -> ashlar_kernels::Result<()>) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        work().map_err(Error::from)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}
