use ashlar_models::lm::{
    Coef, Edit, Finish, FirstToken, GenConfig, Generation, HookPoint, HookSet, Model, Prompts, Sampler, Site,
};
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
        for row in 0..prompts.len() {
            let batch = Prompts::new(&prompts[row..=row]).as_rows(vec![row]).unwrap();
            let alone = model.generate_batch(&batch, std::slice::from_ref(&config), &HookSet::new(), &mut |_| true);
            let alone = &alone.unwrap()[0];
            assert_eq!((&alone.tokens, alone.finish), (&together[row].tokens, together[row].finish), "{family} {row}");
        }
        // Another name is another stream.
        let batch = Prompts::new(&prompts[..1]).as_rows(vec![5]).unwrap();
        let moved =
            model.generate_batch(&batch, std::slice::from_ref(&config), &HookSet::new(), &mut |_| true).unwrap();
        assert_ne!(moved[0].tokens, together[0].tokens, "{family}");
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
    let config = GenConfig {
        max_new: 5,
        first_token: FirstToken::OneOf(vec![11, 60]),
        eos: Some(Vec::new()),
        ..GenConfig::default()
    };
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
    fails(GenConfig { first_token: FirstToken::OneOf(vec![97]), ..GenConfig::default() }, &prompt, "first_token");
    fails(GenConfig { first_token: FirstToken::OneOf(Vec::new()), ..GenConfig::default() }, &prompt, "first_token");
    fails(GenConfig { first_token: FirstToken::Force(vec![97]), ..GenConfig::default() }, &prompt, "first_token");
    fails(GenConfig { logprobs: 98, ..GenConfig::default() }, &prompt, "logprobs");
    fails(GenConfig { stop: vec!["x".to_owned()], ..GenConfig::default() }, &prompt, "stop");
    fails(GenConfig::default(), &[vec![3], Vec::new()], "row 1 has no token");
    fails(GenConfig::default(), &[vec![3; 65]], "65 tokens");
    let forbid = Sampler { bias: (0..97).map(|id| (id, f32::NEG_INFINITY)).collect(), ..Sampler::greedy() };
    fails(GenConfig { sampler: forbid, ..GenConfig::default() }, &prompt, "every token forbidden");
}

#[test]
fn first_tokens_biased_and_forced() {
    let model = load("olmo2");
    let prompts = rows(&expected("olmo2"));
    let with = |first_token| {
        let config = GenConfig { max_new: 4, first_token, eos: Some(Vec::new()), ..GenConfig::default() };
        generate(&model, &prompts, &config)
    };
    let free = with(FirstToken::Free);
    for generation in with(FirstToken::Bias(vec![(70, 1e4)])) {
        assert_eq!(generation.tokens[0], 70);
        // The bias is no part of the model's own distribution, and no later token has it.
        assert!(generation.logprobs[0] < -0.01 && generation.sampled_logprobs[0] > -0.01, "{generation:?}");
        assert!(generation.tokens[1..].iter().any(|&token| token != 70), "{generation:?}");
    }
    let forbidden = with(FirstToken::Bias(vec![(free[0].tokens[0], f32::NEG_INFINITY)]));
    assert_ne!(forbidden[0].tokens[0], free[0].tokens[0]);
    for (row, generation) in with(FirstToken::Force(vec![5, 6, 7])).into_iter().enumerate() {
        assert_eq!(generation.tokens[..3], [5, 6, 7]);
        // What follows is what follows a prompt that ends with these.
        let longer = [prompts[row].as_slice(), &[5, 6, 7]].concat();
        let config = GenConfig { max_new: 1, eos: Some(Vec::new()), ..GenConfig::default() };
        assert_eq!(generation.tokens[3], generate(&model, &[longer], &config)[0].tokens[0]);
    }
}

#[test]
fn settings_of_each_row_and_the_most_likely_tokens() {
    let model = load("llama");
    let prompts = rows(&expected("llama"));
    let greedy = GenConfig { max_new: 5, eos: Some(Vec::new()), logprobs: 4, ..GenConfig::default() };
    let drawn = GenConfig { max_new: 9, sampler: Sampler::at(3.0), logprobs: 0, ..greedy.clone() };
    let configs = [greedy.clone(), drawn.clone(), greedy.clone()];
    let mixed = model.generate_batch(&Prompts::new(&prompts), &configs, &HookSet::new(), &mut |_| true).unwrap();
    assert_eq!(mixed[0], generate(&model, &prompts, &greedy)[0]);
    assert_eq!(mixed[1].tokens, generate(&model, &prompts, &drawn)[1].tokens);
    assert_eq!((mixed[1].tokens.len(), mixed[1].top.len()), (9, 0));
    for (t, top) in mixed[0].top.iter().enumerate() {
        assert_eq!((top.len(), top[0]), (4, (mixed[0].tokens[t], mixed[0].logprobs[t])));
        assert!(top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!((mixed[0].sampled_logprobs[t] - mixed[0].logprobs[t]).abs() < 1e-6);
    }
    assert!(model.generate_batch(&Prompts::new(&prompts), &configs[..2], &HookSet::new(), &mut |_| true).is_err());
}

#[test]
fn numbers_that_overflow_are_traced_to_their_layer() {
    let model = load("qwen2");
    let prompts = rows(&expected("qwen2"));
    let spec = model.spec();
    let v = candle_core::Tensor::full(f32::INFINITY, spec.d_model, &Device::Cpu).unwrap();
    let point = HookPoint::of(1, Site::MlpOut);
    let edit = Edit::Add { v, coef: Coef::Abs(1.0) }.everywhere();
    let hooks = HookSet::new().on(spec, point, edit).unwrap();
    let error = model.generate(&prompts, &GenConfig::default(), &hooks, &mut |_| true).unwrap_err();
    assert!(!error.is_input());
    assert!(
        error.to_string().contains("row 0, new token 0") && error.to_string().contains("blocks.1.hook_resid_post"),
        "{error}"
    );
}
