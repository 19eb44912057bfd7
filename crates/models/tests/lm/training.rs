//! Fresh weights, the loss, recomputation and the training loop.

use std::sync::atomic::AtomicBool;

use ashlar_models::lm::{
    Batch, Family, HookSet, IGNORE, InitSpec, LossOptions, LossReduction, Model, ModelSpec, PassOptions, Recompute,
    train::{Around, Data, Learner, Schedule, TrainConfig, TrainSpec, Trainer, decays, train},
};
use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{self, FAMILIES, expected, rows};

const ALL: &[Family] = &[
    Family::Llama,
    Family::Mistral,
    Family::Qwen2,
    Family::Qwen3,
    Family::Gemma2,
    Family::Olmo,
    Family::Olmo2,
    Family::Gpt2,
    Family::Mixtral,
    Family::Qwen2Moe,
    Family::Qwen3Moe,
    Family::Olmoe,
];

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    values(x).into_iter().map(f32::to_bits).collect()
}

fn spread(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let square = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean, square.sqrt())
}

/// Rows of ids by formula.
fn ids(rows: usize, columns: usize, vocab: u32) -> Vec<Vec<u32>> {
    let id = |r: usize, c: usize| ((r * 31 + c * c * 7 + c * 3 + 1) as u32) % vocab;
    (0..rows).map(|r| (0..columns).map(|c| id(r, c)).collect()).collect()
}

#[test]
fn presets_are_those_of_the_specification() {
    let params = |text: &str| text.parse::<InitSpec>().unwrap().spec(65).unwrap().num_params();
    assert_eq!(params("base:llama"), 771_456);
    // 2×128 with 4 heads and ff 320, embedding and head of 65 × 128 each.
    assert_eq!(params("tiny:llama"), 2 * (4 * 128 * 128 + 3 * 128 * 320 + 256) + 128 + 2 * 65 * 128);
    assert_eq!(params("small:llama"), 4 * (4 * 192 * 192 + 3 * 192 * 512 + 384) + 192 + 2 * 65 * 192);
    let moe = "tiny:moe".parse::<InitSpec>().unwrap().spec(65).unwrap();
    assert_eq!((moe.family, moe.n_layers, moe.d_model, moe.n_heads), (Family::Mixtral, 2, 96, 4));
    let experts = moe.moe[0].unwrap();
    assert_eq!((experts.experts, experts.top_k, experts.d_ff), (8, 2, 256));
    for text in ["tiny", "tiny:none", "huge:llama", "tiny:llama:2x128", "tiny:llama:2x128x0x1", "tiny:llama:axbxc"] {
        assert!(text.parse::<InitSpec>().unwrap_err().is_input(), "{text}");
    }
    assert!("tiny:llama:2x128x3".parse::<InitSpec>().unwrap().spec(65).is_err());
    assert!("tiny:llama:0x128x4".parse::<InitSpec>().unwrap().spec(65).is_err());
}

#[test]
fn fresh_weights() {
    let spec = ModelSpec::tiny(Family::Gpt2, 3, 64, 4, 101).unwrap();
    let model = Model::init(spec.clone(), 7).unwrap();
    let of = |name: &str| values(&model.params()[name]);
    let (mean, std) = spread(&of("transformer.h.1.mlp.c_fc.weight"));
    assert!(mean.abs() < 6e-4 && (std - 0.02).abs() < 6e-4, "{mean} {std}");
    // The projections into the residual stream: 1/√(2·3).
    for name in ["transformer.h.2.mlp.c_proj.weight", "transformer.h.0.attn.c_proj.weight"] {
        let (_, std) = spread(&of(name));
        assert!((std - 0.02 / 6_f64.sqrt()).abs() < 5e-4, "{name} {std}");
    }
    assert!(of("transformer.h.0.ln_1.weight").iter().all(|&x| x == 1.0));
    assert!(of("transformer.h.0.attn.c_attn.bias").iter().all(|&x| x == 0.0));

    // A parameter's values depend on seed, name and shape alone.
    let deeper = Model::init(ModelSpec::tiny(Family::Gpt2, 3, 64, 2, 101).unwrap(), 7).unwrap();
    let name = "transformer.h.1.mlp.c_fc.weight";
    assert_eq!(bits(&deeper.params()[name]), bits(&model.params()[name]));
    let other = Model::init(spec, 8).unwrap();
    assert_ne!(bits(&other.params()[name]), bits(&model.params()[name]));

    let gemma = Model::init(ModelSpec::tiny(Family::Gemma2, 1, 32, 2, 50).unwrap(), 0).unwrap();
    assert!(values(&gemma.params()["model.norm.weight"]).iter().all(|&x| x == 0.0));
    let llama = Model::init(ModelSpec::tiny(Family::Llama, 2, 64, 4, 50).unwrap(), 0).unwrap();
    let (_, std) = spread(&values(&llama.params()["model.layers.0.mlp.down_proj.weight"]));
    assert!((std - 0.02).abs() < 1e-3, "{std}");
}

#[test]
fn a_fresh_model_of_every_family_knows_nothing_and_learns_a_row_by_heart() {
    for &family in ALL {
        let model = Model::init(ModelSpec::tiny(family, 2, 32, 2, 40).unwrap(), 1).unwrap();
        let spec = TrainSpec { lr: 1e-2, schedule: Schedule::Constant, warmup: 0.0, ..TrainSpec::default() };
        let mut learner = Learner::new(model, spec, 1).unwrap();
        let batch = Batch::stream(&ids(2, 13, 40)).unwrap();
        let first = learner.update(std::slice::from_ref(&batch), &HookSet::new()).unwrap();
        assert!((first.loss - 40_f64.ln()).abs() < 0.2, "{family:?}: {}", first.loss);
        for _ in 0..15 {
            learner.update(std::slice::from_ref(&batch), &HookSet::new()).unwrap();
        }
        let last = learner.evaluate(&ids(2, 13, 40)).unwrap();
        assert!(last < first.loss - 0.7, "{family:?}: {} -> {last}", first.loss);
    }
}

/// The loss without the router's share is what transformers gave for these checkpoints.
#[test]
fn loss_is_that_of_transformers() {
    for family in FAMILIES {
        let folder = checkpoint::checkpoint(family, 5);
        let model = Model::load(folder.path(), DType::F64, &Device::Cpu).unwrap();
        let want = expected(family);
        let batch = Batch::causal(&rows(&want)).unwrap();
        let loss = model.loss(&batch).unwrap();
        let reference = want["loss"].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
        assert!((loss.parts.cross_entropy - reference).abs() < 1e-4, "{family}: {:?}, not {reference}", loss.parts);
        assert_eq!(loss.parts.router_aux.is_some(), model.spec().moe.iter().any(Option::is_some), "{family}");
        let sum = LossOptions { reduction: LossReduction::Sum, router_aux: Some(0.0), ..LossOptions::default() };
        let sum = model.loss_with(&batch, &HookSet::new(), &sum, &PassOptions::default()).unwrap().parts;
        assert!((sum.total - reference * sum.tokens as f64).abs() < 1e-2, "{family}");
        assert_eq!(sum.router_aux, None);
    }
}

#[test]
fn labels_choose_what_is_learnt() {
    let model = Model::init(ModelSpec::tiny(Family::Llama, 1, 32, 2, 20).unwrap(), 3).unwrap();
    let ce = |batch: &Batch| model.loss(batch).unwrap().parts;
    let rows = ids(2, 9, 20);
    let stream = ce(&Batch::stream(&rows).unwrap());
    let causal = ce(&Batch::causal(&rows).unwrap());
    assert_eq!((stream.tokens, causal.tokens), (16, 16));
    assert!((stream.cross_entropy - causal.cross_entropy).abs() < 1e-5);

    // Of prompt 4 + continuation 5 the last 5 are learnt, and rows of other lengths don't disturb each other.
    let pair = |row: &[u32], at: usize| (row[..at].to_vec(), row[at..].to_vec());
    let both = Batch::completions(&[pair(&rows[0], 4), pair(&rows[1][..6], 5)]).unwrap();
    assert_eq!(both.labels()[1].iter().filter(|&&label| label != IGNORE).count(), 1);
    assert_eq!(both.labels()[1][8 - 1], i64::from(rows[1][5]));
    let one = |pair| ce(&Batch::completions(&[pair]).unwrap());
    let (a, b) = (one(pair(&rows[0], 4)), one(pair(&rows[1][..6], 5)));
    let mean = (5.0 * a.cross_entropy + b.cross_entropy) / 6.0;
    assert_eq!((a.tokens, b.tokens), (5, 1));
    assert!((ce(&both).cross_entropy - mean).abs() < 1e-5);

    // By hand: −ln softmax of one column.
    let options = LossOptions { z_loss: 0.5, ..LossOptions::default() };
    let single = Batch::new(&[vec![3, 4]], vec![vec![IGNORE, 7]]).unwrap();
    let loss = model.loss_with(&single, &HookSet::new(), &options, &PassOptions::default()).unwrap().parts;
    let logits = model.forward(single.input(), None, &HookSet::new()).unwrap();
    let row: Vec<f64> = values(&logits.narrow(1, 1, 1).unwrap()).into_iter().map(f64::from).collect();
    let lse = row.iter().map(|x| x.exp()).sum::<f64>().ln();
    assert!((loss.cross_entropy - (lse - row[7])).abs() < 1e-5);
    assert!((loss.total - (lse - row[7] + 0.5 * lse * lse)).abs() < 1e-4, "{loss:?}");

    let refused = |batch: Batch| model.loss(&batch).unwrap_err();
    assert!(
        refused(Batch::new(&[vec![1]], vec![vec![20]]).unwrap()).to_string().contains("label of column 0 of row 0")
    );
    assert!(refused(Batch::new(&[vec![1]], vec![vec![-1]]).unwrap()).is_input());
    assert!(refused(Batch::new(&[vec![1]], vec![vec![IGNORE]]).unwrap()).to_string().contains("no column"));
    assert!(Batch::stream(&[vec![1]]).is_err() && Batch::new(&[vec![1, 2]], vec![vec![1]]).is_err());
    let frozen = model.loss(&Batch::stream(&rows).unwrap()).unwrap().backward(&model).unwrap_err();
    assert!(frozen.is_input() && frozen.to_string().contains("model.layers.0.self_attn.q_proj.weight"), "{frozen}");
}

/// Gradients of all families with their blocks computed twice, to the bit.
#[test]
fn recomputed_blocks_give_the_same_bits() {
    for family in FAMILIES {
        let folder = checkpoint::checkpoint(family, 5);
        let model = Model::load(folder.path(), DType::F32, &Device::Cpu).unwrap().trainable(|_| true).unwrap();
        let batch = Batch::causal(&rows(&expected(family))).unwrap();
        let options = LossOptions { router_aux: Some(0.1), router_z: 0.01, ..LossOptions::default() };
        let gradients = |recompute: Option<Recompute>| {
            let pass = PassOptions { recompute, ..PassOptions::default() };
            let loss = model.loss_with(&batch, &HookSet::new(), &options, &pass).unwrap();
            (loss.parts, loss.backward(&model).unwrap())
        };
        let ((parts, plain), (again, recomputed)) = (gradients(None), gradients(Some(Recompute::new())));
        assert_eq!(parts, again, "{family}");
        for (name, gradient) in plain.iter() {
            let other = recomputed.get(name).unwrap_or_else(|| panic!("{family}: {name} got no gradient"));
            assert_eq!(bits(gradient), bits(other), "{family} {name}");
        }
        assert_eq!(plain.iter().count(), recomputed.iter().count(), "{family}");
    }
}

/// A variable that a hook adds inside a recomputed block gets its gradient.
#[test]
fn hooks_of_recomputed_blocks_learn() {
    use ashlar_models::lm::{HookPoint, Site, grad_probe};
    let spec = ModelSpec::tiny(Family::Llama, 2, 32, 2, 20).unwrap();
    let model = Model::init(spec.clone(), 3).unwrap().trainable(|_| true).unwrap();
    let batch = Batch::stream(&ids(2, 9, 20)).unwrap();
    let (probe, hook) = grad_probe(&[2, 8, 32], DType::F32, &Device::Cpu).unwrap();
    let hooks = HookSet::new().on(&spec, HookPoint::of(1, Site::ResidMid), hook).unwrap();
    let of = |recompute| {
        let pass = PassOptions { recompute, ..PassOptions::default() };
        let loss = model.loss_with(&batch, &hooks, &LossOptions::default(), &pass).unwrap();
        bits(loss.backward(&model).unwrap().of(probe.as_tensor()).unwrap())
    };
    assert_eq!(of(None), of(Some(Recompute::new())));
}

#[test]
fn an_adapter_leaves_the_base_alone() {
    let mut config = small(4);
    config.lora = Some("r=4,alpha=8,dropout=0.2".parse().unwrap());
    let run = |recompute: bool| {
        let mut config = config.clone();
        config.train.recompute = recompute;
        let mut trainer = Trainer::new(&config, Data::from_text(&config, &text()).unwrap()).unwrap();
        let before: Vec<Vec<u32>> = trainer.model().params().values().map(bits).collect();
        let untrained = trainer.validate().unwrap();
        let records: Vec<_> = (0..4).map(|_| trainer.step().unwrap()).collect();
        let after: Vec<Vec<u32>> = trainer.model().params().values().map(bits).collect();
        assert!(before == after && trainer.model().vars().keys().all(|name| name.contains("lora_")));
        // What is validated is base and adapter.
        assert_ne!(trainer.validate().unwrap(), untrained);
        records
    };
    // Dropped inputs are the same when a block runs again.
    assert_eq!(run(false), run(true));
}

fn small(steps: u64) -> TrainConfig {
    let mut config = TrainConfig::from_scratch("tiny:llama:2x32x2".parse().unwrap());
    config.train = TrainSpec { steps, batch: 5, seq: 12, checkpoint_every: 3, ..TrainSpec::default() };
    config
}

fn text() -> String {
    let lines: Vec<String> = (0..400).map(|i| format!("{} plus {} is {}.\n", i % 7, i % 5, i % 7 + i % 5)).collect();
    lines.concat()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads: usize| {
        let mut config = small(4);
        config.model.init = Some("tiny:moe:2x32x2".parse().unwrap());
        let mut trainer = Trainer::with_threads(&config, Data::from_text(&config, &text()).unwrap(), threads).unwrap();
        let records: Vec<_> = (0..4).map(|_| trainer.step().unwrap()).collect();
        let weights: Vec<Vec<u32>> = trainer.model().params().values().map(bits).collect();
        (records, weights, trainer.validate().unwrap().to_bits())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn micro_batches_are_one_batch_and_norms_do_not_decay() {
    let new = || Model::init(ModelSpec::tiny(Family::Llama, 1, 32, 2, 20).unwrap(), 3).unwrap();
    let spec = TrainSpec { lr: 1e-2, warmup: 0.0, ..TrainSpec::default() };
    let (mut whole, mut parts) = (Learner::new(new(), spec.clone(), 1).unwrap(), Learner::new(new(), spec, 1).unwrap());
    let rows = ids(6, 9, 20);
    let batch = |rows: &[Vec<u32>]| Batch::stream(rows).unwrap();
    // Unequal parts: each counts by its tokens.
    let one = whole.update(&[batch(&rows)], &HookSet::new()).unwrap();
    let two = parts.update(&[batch(&rows[..1]), batch(&rows[1..])], &HookSet::new()).unwrap();
    assert!((one.loss - two.loss).abs() < 1e-6 && (one.grad_norm - two.grad_norm).abs() < 1e-5, "{one:?} {two:?}");
    assert_eq!((one.tokens, one.step), (48, 1));
    assert!(decays("lm_head.weight", &[20, 32]) && decays("transformer.h.0.attn.c_attn.weight", &[96, 32]));
    assert!(!decays("model.embed_tokens.weight", &[20, 32]) && !decays("model.norm.weight", &[32]));
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.txt");
    std::fs::write(&file, text()).unwrap();
    let mut config = small(7);
    config.data.text = file.display().to_string();
    let go = |out: &std::path::Path, resume: bool, stop: bool| {
        let flag = AtomicBool::new(stop);
        let around = Around { out: Some(out), resolved: "x = 1\n", resume, threads: 1, interrupt: Some(&flag) };
        train(&config, &around, &mut |_| {})
    };
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let result = go(&whole, false, false).unwrap();
    for _ in 0..3 {
        assert!(go(&broken, true, true).unwrap_err().to_string().contains("go on with --resume"));
    }
    let resumed = go(&broken, true, false).unwrap();
    for key in ["steps", "loss_first", "loss_last", "val_loss", "params"] {
        assert_eq!(result[key], resumed[key], "{key}");
    }
    for file in ["metrics.jsonl", "model.safetensors", "config.json", "tokenizer.json"] {
        let read = |folder: &std::path::Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(&whole) == read(&broken), "{file}");
    }
    // The folder is a checkpoint of the trained model.
    let model = Model::load(&whole, DType::F32, &Device::Cpu).unwrap();
    let data = Data::load(&config).unwrap();
    let trainer = Trainer::new(&config, data).unwrap();
    let mut learner = Learner::new(model, config.train.clone(), 1).unwrap();
    let windows: Vec<Vec<u32>> = trainer.data().valid.chunks_exact(13).map(<[u32]>::to_vec).collect();
    assert!(learner.evaluate(&windows).unwrap() < trainer.learner().evaluate(&windows).unwrap());
    assert_eq!(learner.optimizer_mut().steps(), 0);
    // And can be trained further, with its tokenizer.
    config.model.path = Some(whole);
    config.model.init = None;
    let mut further = Trainer::new(&config, Data::load(&config).unwrap()).unwrap();
    assert!(further.step().unwrap().loss < result["loss_first"].as_f64().unwrap());
}

#[test]
fn wrong_settings_are_refused() {
    let refused = |edit: &dyn Fn(&mut TrainConfig)| {
        let mut config = small(3);
        edit(&mut config);
        let error = Data::from_text(&config, &text()).and_then(|data| Trainer::new(&config, data)).unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    assert!(refused(&|c| c.train.lr = 0.0).contains("lr = 0"));
    assert!(refused(&|c| c.train.steps = 0).contains("steps"));
    assert!(refused(&|c| c.train.batch = 0).contains("batch"));
    assert!(refused(&|c| c.train.betas = [0.9, 1.0]).contains("betas"));
    assert!(refused(&|c| c.train.warmup = 1.0).contains("warmup"));
    assert!(refused(&|c| c.train.clip = f64::NAN).contains("clip"));
    assert!(refused(&|c| c.train.seq = 600).contains("the 512 positions"));
    assert!(refused(&|c| c.train.seq = 1 << 19).contains("the text to train on"));
    assert!(refused(&|c| c.data.valid = 1.0).contains("valid"));
    assert!(refused(&|c| c.model.init = None).contains("model = neither"));
    assert!(refused(&|c| c.model.init.as_mut().unwrap().vocab = Some(3)).contains("vocab = 3"));
}

/// The example at half its width: what hooks remove is what did it.
#[test]
fn removing_the_induction_heads_undoes_induction() {
    assert!(crate::induction::run(220, 0, 64).unwrap());
}

/// A quarter of the run that the book reports (1.884 nats a character after 500 k tokens), with its own schedule.
#[test]
fn shakespeare_by_the_character() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let root = std::env::var("ASHLAR_DATA").unwrap_or_else(|_| default.to_owned());
    let Ok(text) = std::fs::read_to_string(std::path::Path::new(&root).join("tinyshakespeare/input.txt")) else {
        println!("skipped: no shared data (set ASHLAR_DATA)");
        return;
    };
    let mut config = TrainConfig::from_scratch("base:llama".parse().unwrap());
    config.train.steps = 244;
    let mut trainer = Trainer::new(&config, Data::from_text(&config, &text).unwrap()).unwrap();
    assert_eq!(trainer.model().spec().num_params(), 771_456);
    while trainer.steps_done() < 244 {
        trainer.step().unwrap();
    }
    let loss = trainer.validate().unwrap();
    assert!(loss < 2.25, "{loss} nats a character");
}
