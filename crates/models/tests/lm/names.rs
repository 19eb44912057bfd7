//! A LoRA on a trained model moves it to another text: tinyshakespeare, then names.

use std::{fs, path::PathBuf};

use ashlar_models::lm::{
    AdapterSpec, Batch, HookSet, Input, Model,
    train::{Data, Learner, TrainConfig, TrainSpec, Trainer, on_deep_stack},
};
use candle_core::Tensor;

/// The sets' folder, or nothing after saying so.
fn data() -> Option<PathBuf> {
    let usual = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("ASHLAR_DATA").map_or_else(usual, PathBuf::from);
    if folder.join("names/names.txt").is_file() && folder.join("tinyshakespeare/input.txt").is_file() {
        return Some(folder);
    }
    println!("skipped: no shared data (set ASHLAR_DATA)");
    None
}

fn bits(model: &Model) -> Vec<(String, Vec<u32>)> {
    let values =
        |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
    model.params().iter().map(|(name, x)| (name.clone(), values(x))).collect()
}

/// Losses on held-out names before and after, largest difference of a merged logit.
fn adapt(init: &str, steps: u64, adapter_steps: u64) -> Option<(f64, f64, f32)> {
    let folder = data()?;
    let text = fs::read_to_string(folder.join("tinyshakespeare/input.txt")).unwrap();
    let names = fs::read_to_string(folder.join("names/names.txt")).unwrap();
    let spec = TrainSpec { steps, ..TrainSpec::default() };
    let config = TrainConfig { train: spec, ..TrainConfig::from_scratch(init.parse().unwrap()) };
    let mut trainer = Trainer::new(&config, Data::from_text(&config, &text).unwrap()).unwrap();
    while trainer.steps_done() < steps {
        trainer.step().unwrap();
    }
    println!("{init}: {:.3} nats a character on Shakespeare after {steps} steps", trainer.validate().unwrap());

    let ids = trainer.data().tokenizer.encode(&names).unwrap();
    let (train, valid) = ids.split_at(ids.len() * 9 / 10);
    let windows = |ids: &[u32]| ids.windows(65).step_by(64).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let (train, valid) = (windows(train), windows(valid));
    let base = trainer.model().frozen().unwrap();
    let before = bits(&base);

    let spec = AdapterSpec { r: 8, alpha: 16.0, ..AdapterSpec::default() };
    let spec_of_training = TrainSpec { steps: adapter_steps, lr: 1e-2, weight_decay: 0.0, ..TrainSpec::default() };
    let model = base.inject_lora(&spec, 0).unwrap();
    let mut learner = Learner::new(model, spec_of_training, 0).unwrap();
    let start = learner.evaluate(&valid).unwrap();
    for step in 0..adapter_steps as usize {
        // Strides that visit all windows in another order.
        let rows: Vec<Vec<u32>> = (0..8).map(|i| train[(step * 8 + i) * 997 % train.len()].clone()).collect();
        learner.update(&[Batch::stream(&rows).unwrap()], &HookSet::new()).unwrap();
    }
    let end = learner.evaluate(&valid).unwrap();

    let model = learner.model();
    assert_eq!(bits(model), before, "training the adapter changed the base");
    let merged = model.merge().unwrap();
    assert_eq!(bits(&merged.unmerge().unwrap()), before);
    let input = Input::rows(&valid[..4]).unwrap();
    let logits = |model: &Model| model.forward(&input, None, &HookSet::new()).unwrap();
    let off = (logits(model) - logits(&merged)).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    Some((start, end, off.to_scalar().unwrap()))
}

fn check(init: &'static str, steps: u64, adapter_steps: u64) {
    let Some((start, end, off)) = on_deep_stack(|| adapt(init, steps, adapter_steps)).unwrap() else { return };
    println!("{init}: names {start:.3} → {end:.3} nats a character, merged − unmerged {off:.1e}");
    assert!(start - end >= 0.5, "{start} → {end}");
    assert!(off <= 1e-5, "{off:e}");
}

#[test]
fn a_small_adapter_learns_names() {
    check("tiny:llama:1x64x2", 150, 100);
}

/// The specification's model: minutes, by hand with `--ignored`.
#[test]
#[ignore = "trains small:llama for some minutes"]
fn rank_8_on_small_llama_learns_names() {
    check("small:llama", 976, 300);
}
