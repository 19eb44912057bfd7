//! A mixture of experts beside its dense twin: the same steps on the same batches.
//!
//! `tiny:moe` (2×96, 8 experts of width 256, two a token, load balancing 0.01) against the model whose MLP has the width
//! of the two experts that a token uses. Claim: validation losses within 0.1 nats, and no expert with less than 2 % of the
//! tokens.
//!
//! ```text
//! CANDLE_NUM_THREADS=1 cargo run --release -p ashlar-models --example moe_twin -- input.txt [steps]
//! ```
//!
//! Ends with 1 if the claim doesn't hold.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::{path::Path, process::ExitCode};

use ashlar_models::{
    Error, Result,
    lm::{
        Batch, HookPoint, HookSet, InitSpec, Site,
        train::{Data, TrainConfig, Trainer},
    },
};

fn trained(init: InitSpec, text: &str, steps: u64) -> Result<(Trainer, f64)> {
    let mut config = TrainConfig::from_scratch(init);
    config.train.steps = steps;
    let mut trainer = Trainer::new(&config, Data::from_text(&config, text)?)?;
    while trainer.steps_done() < steps {
        trainer.step()?;
    }
    let loss = trainer.validate()?;
    Ok((trainer, loss))
}

/// Share of each expert in the choices of the held-out tokens, by sparse layer.
fn loads(trainer: &Trainer) -> Result<Vec<Vec<f64>>> {
    let model = trainer.model().frozen()?;
    let spec = model.spec();
    let points: Vec<HookPoint> = (0..spec.n_layers).map(|l| HookPoint::of(l, Site::ExpertIdx)).collect();
    let (hooks, captured) = HookSet::new().capture(spec, &points)?;
    let rows: Vec<Vec<u32>> = trainer.data().valid.chunks_exact(65).take(64).map(<[u32]>::to_vec).collect();
    model.forward(Batch::stream(&rows)?.input(), None, &hooks)?;
    let experts = spec.moe.iter().flatten().next().map_or(0, |moe| moe.experts);
    let mut all = Vec::new();
    for chosen in points.into_iter().filter_map(|point| captured.get(point)) {
        let chosen = chosen.flatten_all()?.to_vec1::<u32>()?;
        let mut load = vec![0.0; experts];
        for &expert in &chosen {
            load[expert as usize] += 1.0 / chosen.len() as f64;
        }
        all.push(load);
    }
    Ok(all)
}

fn run(text: &str, steps: u64) -> Result<bool> {
    let sparse = InitSpec { router_aux_coef: Some(0.01), .."tiny:moe".parse()? };
    let dense = InitSpec { d_ff: Some(512), ..InitSpec::new(ashlar_models::lm::Family::Mistral, 2, 96, 4) };
    let (trainer, sparse) = trained(sparse, text, steps)?;
    let (_, dense) = trained(dense, text, steps)?;
    println!("after {steps} steps: experts {sparse:.4}, dense twin {dense:.4} nats a character");
    let mut least = f64::INFINITY;
    for (layer, load) in loads(&trainer)?.iter().enumerate() {
        println!("layer {layer}: loads {}", load.iter().map(|x| format!("{x:.3}")).collect::<Vec<_>>().join(" "));
        least = load.iter().copied().fold(least, f64::min);
    }
    Ok((sparse - dense).abs() <= 0.1 && least >= 0.02)
}

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "input.txt".to_owned());
    let steps = args.next().and_then(|n| n.parse().ok()).unwrap_or(976);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io {
        action: "read",
        path: Path::new(&path).to_owned(),
        source,
    })?;
    let holds = run(&text, steps)?;
    println!("{}", if holds { "holds" } else { "does not hold" });
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
