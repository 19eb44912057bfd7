use ashlar_models::lm::{Finish, GenConfig, Generation, HookSet, Model, Sampler};
use candle_core::{DType, Device};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load(family: &str) -> Model {
    Model::load(checkpoint(family, 5).path(), DType::F32, &Device::Cpu).unwrap()
}

fn generate(model: &Model, prompts: &[Vec<u32>], config: &GenConfig) -> Vec<Generation> {
    model.generate(prompts, config, &HookSet::new(), &mut |_| true).unwrap()
}

#[test]
fn greedy_is_transformers_for_every_family() {
    for family in FAMILIES {
        let expected = expected(family);
        let config = GenConfig { max_new: 8, eos: Some(Vec::new()), ..GenConfig::default() };
        let generations = generate(&load(family), &rows(&expected), &config);
        let greedy = expected["greedy"].to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
        for (ours, theirs) in generations.iter().zip(greedy) {
            assert!(ours.tokens.iter().zip(theirs).all(|(&a, b)| i64::from(a) == b), "{family}");
            assert_eq!((ours.tokens.len(), ours.finish), (8, Finish::Length));
        }
    }
}

/// Rows end at different steps here, so that rows leave the batch while others go on.
#[test]
fn a_rows_sample_does_not_depend_on_its_batch() {
    for family in ["llama", "gpt2", "qwen2_moe", "mistral"] {
        let model = load(family);
        let prompts = rows(&expected(family));
        let config = GenConfig {
            max_new: 30,
            sampler: Sampler { top_k: Some(40), top_p: Some(0.95), ..Sampler::at(1.3) },
            eos: Some((0..97).step_by(9).collect()),
            seed: 7,
            ..GenConfig::default()
        };
        let together = generate(&model, &prompts, &config);
        let lengths: Vec<usize> = together.iter().map(|g| g.tokens.len()).collect();
        assert!(
            lengths.iter().any(|n| *n != lengths[0]),
            "{family}: all rows have {lengths:?} tokens: this tests nothing"
        );
        // Row 0 of a batch of one is row 0 here; the others move.
        let alone = generate(&model, &prompts[..1], &config);
        assert_eq!(alone[0].tokens, together[0].tokens, "{family}");
        let other = generate(&model, &prompts, &GenConfig { seed: 8, ..config.clone() });
        assert_ne!(other[0].tokens, together[0].tokens, "{family}");
    }
}

#[test]
fn log_probabilities_are_the_models_own() {
    let model = load("llama");
    let prompts = rows(&expected("llama"));
    let config = GenConfig { max_new: 6, sampler: Sampler::at(2.0), eos: Some(Vec::new()), ..GenConfig::default() };
    let generations = generate(&model, &prompts, &config);
    let whole: Vec<Vec<u32>> =
        prompts.iter().zip(&generations).map(|(p, g)| [p.as_slice(), &g.tokens].concat()).collect();
    let scored = model.token_logprobs(&whole, &HookSet::new()).unwrap();
    for ((prompt, generation), scored) in prompts.iter().zip(&generations).zip(scored) {
        for (a, b) in generation.logprobs.iter().zip(&scored[prompt.len() - 1..]) {
            // One query at a time and all at once add up in another order; f32 alone is 1e-4 off f64 here.
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn the_first_token_can_be_constrained_and_rows_stopped() {
    let model = load("qwen3");
    let prompts = rows(&expected("qwen3"));
    let config = GenConfig { max_new: 5, first_token: vec![11, 60], eos: Some(Vec::new()), ..GenConfig::default() };
    for generation in generate(&model, &prompts, &config) {
        assert!([11, 60].contains(&generation.tokens[0]), "{generation:?}");
    }
    let stopped = model.generate(&prompts, &config, &HookSet::new(), &mut |new| new.row != 1).unwrap();
    let finishes: Vec<(usize, Finish)> = stopped.iter().map(|g| (g.tokens.len(), g.finish)).collect();
    assert_eq!(finishes, [(5, Finish::Length), (1, Finish::Stopped), (5, Finish::Length)]);
    // 64 positions: a prompt of 24 leaves room for 40.
    let long = generate(&model, &prompts, &GenConfig { max_new: 1000, eos: Some(Vec::new()), ..GenConfig::default() });
    assert_eq!(long.iter().map(|g| g.tokens.len()).collect::<Vec<_>>(), [40, 43, 59]);
}

#[test]
fn wrong_settings() {
    let model = load("llama");
    let fails = |config: GenConfig, prompts: &[Vec<u32>], part: &str| {
        let error = model.generate(prompts, &config, &HookSet::new(), &mut |_| true).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.is_input(), "{error}");
    };
    let prompt = vec![vec![3, 4]];
    fails(GenConfig { max_new: 0, ..GenConfig::default() }, &prompt, "max_new");
    fails(GenConfig { first_token: vec![97], ..GenConfig::default() }, &prompt, "first_token");
    fails(GenConfig::default(), &[vec![3], Vec::new()], "row 1 has no token");
    fails(GenConfig::default(), &[vec![3; 65]], "65 tokens");
    let forbid = Sampler { bias: (0..97).map(|id| (id, f32::NEG_INFINITY)).collect(), ..Sampler::greedy() };
    fails(GenConfig { sampler: forbid, ..GenConfig::default() }, &prompt, "every token forbidden");
}
