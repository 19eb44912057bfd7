//! Caches and shared prefixes against full passes.

use ashlar_models::lm::{GenConfig, HookSet, Input, KvCache, Model, Prompts, Sampler};
use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load(family: &str) -> Model {
    Model::load(checkpoint(family, 5).path(), DType::F32, &Device::Cpu).unwrap()
}

fn far(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
}

/// Logits reach 16 here; 1e-5 is relative to that.
const NEAR: f32 = 1.6e-4;

/// Ragged rows in chunks of 7 columns, past the window of 8, and one by one.
#[test]
fn a_cache_gives_the_logits_of_a_full_pass() {
    let hooks = HookSet::new();
    for family in FAMILIES {
        let model = load(family);
        let rows = rows(&expected(family));
        let full = model.forward(&Input::rows(&rows).unwrap(), None, &hooks).unwrap();
        for (row, ids) in rows.iter().enumerate() {
            let length = ids.len();
            let full = full.get(row).unwrap().narrow(0, 24 - length, length).unwrap();
            for chunk in [7, 1] {
                let mut cache = KvCache::new();
                let mut parts = Vec::new();
                for (at, ids) in ids.chunks(chunk).enumerate() {
                    if chunk == 7 && at == 2 {
                        cache.pad_left(3).unwrap(); // padding at any time changes nothing
                    }
                    let input = Input::rows(&[ids.to_vec()]).unwrap();
                    parts.push(model.forward(&input, Some(&mut cache), &hooks).unwrap().get(0).unwrap());
                }
                let far = far(&Tensor::cat(&parts, 0).unwrap(), &full);
                assert!(far < NEAR, "{family}, row {row}, chunks of {chunk}: {far:e}");
            }
        }
    }
}

#[test]
fn forks_and_kept_rows_go_their_own_way() {
    let (model, hooks) = (load("mistral"), HookSet::new());
    let rows = rows(&expected("mistral"));
    let step = |cache: &mut KvCache, ids: &[u32]| {
        let ids: Vec<Vec<u32>> = ids.iter().map(|&id| vec![id]).collect();
        model.forward(&Input::rows(&ids).unwrap(), Some(cache), &hooks).unwrap()
    };
    let mut cache = KvCache::new();
    model.forward(&Input::rows(&rows).unwrap(), Some(&mut cache), &hooks).unwrap();
    let mut fork = cache.fork().unwrap();
    let expected = step(&mut cache, &[3, 4, 5]);
    step(&mut fork, &[9, 9, 9]);
    fork.truncate(24);
    assert_eq!(far(&step(&mut fork, &[3, 4, 5]), &expected), 0.0);
    fork.truncate(24);
    fork.retain_rows(&[2, 0]).unwrap();
    let kept = step(&mut fork, &[5, 3]);
    for (at, row) in [(0, 2), (1, 0)] {
        assert!(far(&kept.get(at).unwrap(), &expected.get(row).unwrap()) < NEAR);
    }
    assert!(fork.broadcast(&[1]).is_err(), "only a cache of one row can be broadcast");
}

/// Suffixes of lengths 0 to 30: shorter and longer than the prefix, which is longer and shorter than the window.
#[test]
fn a_shared_prefix_is_as_good_as_reading_it_again() {
    let hooks = HookSet::new();
    for family in FAMILIES {
        let model = load(family);
        let long = rows(&expected(family))[0].clone();
        for length in [1, 5, 20] {
            let prefix = model.prefix(&long[..length], &hooks).unwrap();
            let suffixes: Vec<Vec<u32>> =
                [0, 1, 3, 30].iter().map(|&n| (0..n).map(|i| (i * 7 + 11) % 97).collect()).collect();
            let whole: Vec<Vec<u32>> = suffixes.iter().map(|s| [&long[..length], s].concat()).collect();
            let config = GenConfig {
                max_new: 4,
                eos: Some(Vec::new()),
                sampler: Sampler { repetition_penalty: 1.1, ..Sampler::at(0.7) },
                ..GenConfig::default()
            };
            let shared = model.generate_from(&prefix, &suffixes, &config, &hooks, &mut |_| true).unwrap();
            let apart = model.generate(&whole, &config, &hooks, &mut |_| true).unwrap();
            for (row, (a, b)) in shared.iter().zip(&apart).enumerate() {
                assert_eq!(a.tokens, b.tokens, "{family}, prefix {length}, row {row}");
                let off = a.logprobs.iter().zip(&b.logprobs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < NEAR, "{family}, prefix {length}, row {row}: {off:e}");
            }
            // The prefix is as it was.
            let batch = Prompts::new(&suffixes[1..2]).after(&prefix).as_rows(vec![1]).unwrap();
            let again = model.generate_batch(&batch, std::slice::from_ref(&config), &hooks, &mut |_| true).unwrap();
            assert_eq!(again[0].tokens, apart[1].tokens, "{family}");
        }
    }
}

#[test]
fn choices_share_their_prompt() {
    let hooks = HookSet::new();
    for family in ["llama", "mistral", "gpt2", "olmoe"] {
        let model = load(family);
        let prompt = &rows(&expected(family))[1];
        let continuations = [vec![4, 5, 6], vec![], vec![9], (20..40).collect::<Vec<u32>>()];
        let together = model.choice(prompt, &continuations, &hooks).unwrap();
        for (continuation, scored) in continuations.iter().zip(&together) {
            let alone = model.score(prompt, continuation, &hooks).unwrap();
            let whole = [prompt.as_slice(), continuation].concat();
            let all = &model.token_logprobs(&[whole], &hooks).unwrap()[0][prompt.len() - 1..];
            assert_eq!((scored.per_token.len(), all.len()), (continuation.len(), continuation.len()));
            for ((a, b), c) in scored.per_token.iter().zip(&alone.per_token).zip(all) {
                assert!((a - b).abs() < NEAR && (b - c).abs() < NEAR, "{family}: {a} {b} {c}");
            }
            assert!((scored.sum - scored.per_token.iter().map(|&p| f64::from(p)).sum::<f64>()).abs() < 1e-6);
        }
        // Many pairs, in any order: two share a prompt.
        let pairs = [
            (prompt.clone(), continuations[3].clone()),
            (prompt[..3].to_vec(), continuations[0].clone()),
            (prompt.clone(), continuations[0].clone()),
            (vec![1], vec![2]),
        ];
        for batch in [1, 2, 8] {
            let scores = model.loglikelihoods(&pairs, batch, &hooks).unwrap();
            for ((prompt, continuation), scored) in pairs.iter().zip(scores) {
                let alone = model.score(prompt, continuation, &hooks).unwrap();
                assert!((scored.sum - alone.sum).abs() < 1e-3, "{family}: {} {}", scored.sum, alone.sum);
            }
        }
        let greedy = model.generate(
            std::slice::from_ref(prompt),
            &GenConfig { max_new: 3, eos: Some(vec![]), ..GenConfig::default() },
            &hooks,
            &mut |_| true,
        );
        let greedy = &greedy.unwrap()[0].tokens;
        assert!(model.score(prompt, greedy, &hooks).unwrap().is_greedy);
        let other = [greedy[0], (greedy[1] + 1) % 97];
        assert!(!model.score(prompt, &other, &hooks).unwrap().is_greedy);
    }
    let model = load("llama");
    let fails = |pairs: &[(Vec<u32>, Vec<u32>)], part: &str| {
        let error = model.loglikelihoods(pairs, 4, &hooks).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(part), "{error}");
    };
    fails(&[(vec![1], vec![2]), (vec![], vec![2])], "row 1 has no token");
    fails(&[(vec![1], vec![2]), (vec![1; 60], vec![2; 6])], "row 1 has 65 tokens");
    fails(&[(vec![1], vec![97])], "is 97");
}
