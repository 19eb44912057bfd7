//! Induction heads, found and removed: the mechanism that hooks can be causal about.
//!
//! A model of two blocks learns rows of 24 random tokens that are written twice. In the second half the next token is the
//! one that followed its last occurrence; heads of the second block come to attend there (Olsson et al., 2022). Removing
//! all heads that do so (score above ½) together makes the second half unpredictable again; removing any head of the
//! first block alone costs next to nothing.
//!
//! ```text
//! CANDLE_NUM_THREADS=1 cargo run --release -p ashlar-models --example induction -- [steps] [seed] [d_model]
//! ```
//!
//! Ends with 1 if the claim doesn't hold.
#![allow(clippy::print_stdout, reason = "an example prints")]

use std::process::ExitCode;

use ashlar_kernels::rng::stream;
use ashlar_models::{
    Result,
    lm::{
        Batch, Edit, Family, HookPoint, HookSet, IGNORE, LossOptions, Model, ModelSpec, PassOptions, Site,
        train::{Learner, Schedule, TrainSpec},
    },
};
use rand::Rng;

const HALF: usize = 24;
const VOCAB: u32 = 64;
const HEADS: usize = 4;

/// Rows of `HALF` random tokens twice; what is learnt is the second half.
fn rows(seed: u64, step: u64, count: usize) -> Result<Batch> {
    let mut rng = stream(seed, &["induction", &step.to_string()]);
    let rows: Vec<Vec<u32>> = (0..count)
        .map(|_| {
            let half: Vec<u32> = (0..HALF).map(|_| rng.random_range(0..VOCAB)).collect();
            half.repeat(2)
        })
        .collect();
    let labels = rows.iter().map(|row| {
        let next = |i: usize| if i >= HALF { row.get(i + 1).map_or(IGNORE, |&id| i64::from(id)) } else { IGNORE };
        (0..row.len()).map(next).collect()
    });
    let labels = labels.collect();
    Batch::new(&rows, labels)
}

fn loss(model: &Model, batch: &Batch, hooks: &HookSet) -> Result<f64> {
    Ok(model.loss_with(batch, hooks, &LossOptions::default(), &PassOptions::default())?.parts.cross_entropy)
}

/// Mean attention of each head from the second half to what followed the token's first occurrence.
fn scores(model: &Model, batch: &Batch) -> Result<Vec<Vec<f64>>> {
    let spec = model.spec();
    let points: Vec<HookPoint> = (0..spec.n_layers).map(|l| HookPoint::of(l, Site::Pattern)).collect();
    let (hooks, captured) = HookSet::new().capture(spec, &points)?;
    model.forward(batch.input(), None, &hooks)?;
    let mut all = Vec::new();
    for point in points {
        let Some(pattern) = captured.get(point) else { continue };
        let rows = pattern.mean(0)?; // [H, T, T]
        let head = |h: usize| -> Result<f64> {
            let at: Vec<Vec<f32>> = rows.get(h)?.to_vec2()?;
            let queries = HALF..2 * HALF - 1;
            let n = queries.len() as f64;
            Ok(queries.map(|i| f64::from(at[i][i + 1 - HALF])).sum::<f64>() / n)
        };
        all.push((0..spec.n_heads).map(head).collect::<Result<_>>()?);
    }
    Ok(all)
}

fn without(model: &Model, layer: usize, heads: Vec<usize>) -> Result<HookSet> {
    HookSet::new().on(model.spec(), HookPoint::of(layer, Site::Z), Edit::ZeroHeads(heads).everywhere())
}

/// Trains, looks for the heads, removes them; whether the claim holds.
pub fn run(steps: u64, seed: u64, d: usize) -> Result<bool> {
    let model = Model::init(ModelSpec::tiny(Family::Llama, 2, d, HEADS, VOCAB as usize)?, seed)?;
    let spec = TrainSpec { steps, lr: 1e-3, schedule: Schedule::Constant, ..TrainSpec::default() };
    let mut learner = Learner::new(model, spec, 0)?;
    let start = std::time::Instant::now();
    for step in 0..steps {
        let record = learner.update(&[rows(seed, step, 64)?], &HookSet::new())?;
        if record.step.is_multiple_of(50) {
            println!("step {:4}  loss {:.4}  {:.1} s", record.step, record.loss, start.elapsed().as_secs_f64());
        }
    }
    let model = learner.model().frozen()?;
    let test = rows(seed, u64::MAX, 64)?;
    let base = loss(&model, &test, &HookSet::new())?;
    println!("second half: {base:.4} nats");
    let scores = scores(&model, &test)?;
    let mut holds = true;
    for (layer, scores) in scores.iter().enumerate() {
        for (head, score) in scores.iter().enumerate() {
            let alone = loss(&model, &test, &without(&model, layer, vec![head])?)? - base;
            println!("head {layer}.{head}: score {score:.3}, without it {alone:+.4} nats");
            if layer == 0 {
                holds &= alone <= 0.05;
            }
        }
    }
    let found: Vec<usize> = (0..HEADS).filter(|&head| scores[1][head] > 0.5).collect();
    let raised = loss(&model, &test, &without(&model, 1, found.clone())?)? - base;
    println!("without the heads {found:?} of block 1 together: {raised:+.3} nats");
    Ok(holds && !found.is_empty() && base < 0.1 && base + raised >= 2.0)
}

fn main() -> Result<ExitCode> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse::<u64>().ok());
    let mut next = |default: u64| numbers.next().flatten().unwrap_or(default);
    let (steps, seed, d) = (next(400), next(0), next(128));
    let holds = run(steps, seed, d as usize)?;
    println!("{}", if holds { "holds" } else { "does not hold" });
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
