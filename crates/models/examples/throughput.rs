//! Gradients and evaluations a second of each network: `cargo run --release -p ashlar-models --example throughput [ARCH]`.
//!
//! One thread for the gradients, all for the evaluation of 2,000 images; the median of 5 repetitions.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use ashlar_models::{Arch, ModelSpec, Result, VisionModel};
use candle_core::Device;

fn median(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[2])
}

fn main() -> Result<()> {
    let cases = [
        (Arch::Linear, [1, 28, 28], 10, 5, 2000),
        (Arch::Mlp, [1, 28, 28], 10, 5, 2000),
        (Arch::Mlp, [1, 28, 28], 10, 20, 1000),
        (Arch::SmallCnn, [3, 32, 32], 10, 5, 20),
        (Arch::SmallCnn, [3, 32, 32], 10, 64, 4),
        (Arch::LeafCnn, [1, 28, 28], 62, 20, 4),
        (Arch::Resnet9, [3, 32, 32], 10, 32, 1),
        (Arch::Resnet9Gn, [3, 32, 32], 10, 32, 1),
    ];
    println!(
        "{:12} {:>9} {:>6} {:>12} {:>12} {:>16}",
        "arch", "d", "batch", "gradients/s", "images/s", "eval images/s"
    );
    let only = std::env::args().nth(1);
    for (arch, input, classes, batch, calls) in cases {
        if only.as_ref().is_some_and(|name| name != arch.name()) {
            continue;
        }
        let model = VisionModel::new(&ModelSpec::new(arch), input, classes, &Device::Cpu, 1)?;
        let w = model.bind(&model.init_flat())?;
        let x: Vec<f32> = (0..2000 * model.features()).map(|i| (i % 251) as f32 / 251.0).collect();
        let labels: Vec<u32> = (0..batch as u32).map(|i| i % classes as u32).collect();
        let mut grad = vec![0.0; model.num_params()];
        let seconds = median(|| {
            for _ in 0..calls {
                model.loss_and_grad(&w, &x[..batch * model.features()], &labels, &mut grad)?;
            }
            Ok(())
        })?;
        let n = if model.num_params() > 1_000_000 { 200 } else { 2000 };
        let eval = median(|| model.logits(&w, &x[..n * model.features()], n).map(|_| ()))?;
        let rate = f64::from(calls) / seconds;
        println!(
            "{:12} {:>9} {batch:>6} {rate:>12.0} {:>12.0} {:>16.0}",
            arch.name(),
            model.num_params(),
            rate * batch as f64,
            n as f64 / eval
        );
    }
    Ok(())
}
