//! Is the procedural set worth learning? Trains a linear model and an MLP on it and prints both accuracies.
//!
//! `cargo run --release -p ashlar-data --example learnability -- [train] [epochs] [seeds] [rate × 1000]`

#![allow(clippy::print_stdout)]

use ashlar_data::{DataSpec, load};

mod net;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<usize> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let get = |place: usize, default| args.get(place).copied().unwrap_or(default);
    let (train, epochs, seeds, rate) = (get(0, 8_000), get(1, 20), get(2, 1), get(3, 10) as f32 / 1000.0);
    for seed in 0..seeds as u64 {
        let split = load(&DataSpec { seed, train: Some(train), ..DataSpec::default() })?;
        for hidden in [0, 64] {
            let mut net = net::Net::new(hidden, split.train.example_len(), split.train.classes().len());
            let mut line = Vec::new();
            for epoch in 0..epochs {
                net.epoch(&split.train, seed, epoch as u64, rate * (1.0 - epoch as f32 / epochs as f32))?;
                if (epoch + 1) % (epochs / 4).max(1) == 0 {
                    line.push(format!("{:.3}", net.accuracy(&split.test)));
                }
            }
            println!("seed {seed} hidden {hidden:2}: {} (train {:.3})", line.join(" "), net.accuracy(&split.train));
        }
    }
    Ok(())
}
