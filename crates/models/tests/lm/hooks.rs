//! Edits by row, token and mask, patches, probes, executors.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ashlar_models::{
    Error,
    lm::{
        Align, CaptureSpec, Coef, Edit, ExpertCall, ExpertExecutor, GenConfig, HookCtx, HookPoint, HookSet, Input,
        KvCache, Model, Patch, Phase, Site, Where,
    },
};
use candle_core::{D, DType, Device, Tensor, Var};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load_as(family: &str, dtype: DType) -> Model {
    Model::load(checkpoint(family, 5).path(), dtype, &Device::Cpu).unwrap()
}

fn load(family: &str) -> Model {
    load_as(family, DType::F32)
}

fn wave(n: usize, phase: f32) -> Tensor {
    Tensor::from_vec((0..n).map(|i| (0.7 * i as f32 + phase).sin()).collect::<Vec<_>>(), n, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn off(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn logits(model: &Model, input: &Input, hooks: &HookSet) -> Tensor {
    model.forward(input, None, hooks).unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    values(x).into_iter().map(f32::to_bits).collect()
}

/// Positions of a row at which an edit acts, row by row, in two calls: a ragged prompt, then two tokens more.
fn touched(place: &Where, ids: &[usize]) -> Vec<Vec<usize>> {
    let model = load("llama");
    let point = HookPoint::of(0, Site::ResidPre);
    let (hooks, before) = HookSet::new().capture(model.spec(), &[point]).unwrap();
    let hooks = hooks.on(model.spec(), point, Edit::Scale(2.0).at(place.clone())).unwrap();
    let (hooks, after) = hooks.capture(model.spec(), &[point]).unwrap();
    let mut cache = KvCache::new();
    let mut found = vec![Vec::new(); 2];
    let lengths = [3_usize, 5];
    let calls = [vec![vec![7, 8, 9], vec![5, 7, 6, 9, 4]], vec![vec![8, 5], vec![9, 8]]];
    for (call, rows) in calls.into_iter().enumerate() {
        let input = Input::rows(&rows).unwrap().with_rows(ids.to_vec()).unwrap();
        model.forward(&input, Some(&mut cache), &hooks).unwrap();
        let change = (after.get(point).unwrap() - before.get(point).unwrap()).unwrap();
        let change = change.abs().unwrap().sum(D::Minus1).unwrap().to_vec2::<f32>().unwrap();
        for (row, found) in found.iter_mut().enumerate() {
            let columns = change[row].len();
            let n = if call == 0 { lengths[row] } else { 2 };
            let start = if call == 0 { 0 } else { lengths[row] };
            // Padding is touched by nothing but `All`.
            assert!(change[row][..columns - n].iter().all(|&x| x == 0.0 || *place == Where::All), "{place:?}");
            let here = (0..n).filter(|p| change[row][columns - n + p] > 0.0).map(|p| start + p);
            found.extend(here);
        }
    }
    found
}

#[test]
fn tokens_at_which_an_edit_acts() {
    let all = vec![(0..5).collect::<Vec<_>>(), (0..7).collect()];
    assert_eq!(touched(&Where::All, &[0, 1]), all);
    // The last of each call, also in the row that is padded.
    assert_eq!(touched(&Where::Last, &[0, 1]), [vec![2, 4], vec![4, 6]]);
    assert_eq!(touched(&Where::PromptOnly, &[0, 1]), [vec![0, 1, 2], vec![0, 1, 2, 3, 4]]);
    assert_eq!(touched(&Where::GeneratedOnly, &[0, 1]), [vec![3, 4], vec![5, 6]]);
    // From the token on, itself included, wherever it first stands; 8 comes to row 1 after its prompt.
    assert_eq!(touched(&Where::FromToken(8), &[0, 1]), [vec![1, 2, 3, 4], vec![6]]);
    assert_eq!(touched(&Where::FromToken(6), &[0, 1]), [vec![], vec![2, 3, 4, 5, 6]]);
    let mask = Tensor::new(&[[0_u8, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 1]], &Device::Cpu).unwrap();
    assert_eq!(touched(&Where::mask(&mask).unwrap(), &[0, 1]), [vec![1, 4], vec![0, 5]]);
    assert_eq!(touched(&Where::All.in_rows([1]), &[0, 1]), [vec![], (0..7).collect()]);
    assert_eq!(touched(&Where::GeneratedOnly.in_rows([0]), &[0, 1]), [vec![3, 4], vec![]]);
    // Rows are what the caller calls them, not where they stand in the batch.
    assert_eq!(touched(&Where::All.in_rows([1]), &[1, 0]), [(0..5).collect(), vec![]]);
    assert_eq!(touched(&Where::mask(&mask).unwrap(), &[1, 0]), [vec![0], vec![1, 4]]);
    assert!(Where::mask(&wave(3, 0.0)).is_err());
}

/// Eight settings as rows of one generation, rows ending at different steps, against eight generations.
#[test]
fn settings_as_rows_of_one_batch() {
    for family in ["llama", "qwen2_moe"] {
        let model = load(family);
        let spec = model.spec();
        let prompt = rows(&expected(family))[0].clone();
        // Plenty of tokens end a row, so that rows leave the batch while others go on; the first is the prompt's alone.
        let mut config = GenConfig { max_new: 12, eos: Some(Vec::new()), ..GenConfig::default() };
        let first = model.generate(std::slice::from_ref(&prompt), &config, &HookSet::new(), &mut |_| true).unwrap()[0]
            .tokens[0];
        config.eos = Some((0..97).step_by(5).filter(|&id| id != first).collect());
        let v = wave(spec.d_model, 0.3);
        let hook = |setting: usize| {
            let coef = Coef::Rel(0.2 * setting as f64);
            (HookPoint::of(setting % spec.n_layers, Site::ResidPost), Edit::Add { v: v.clone(), coef })
        };
        let mut hooks = HookSet::new();
        for setting in 0..8 {
            let (point, edit) = hook(setting);
            hooks = hooks.on(spec, point, edit.at(Where::GeneratedOnly.in_rows([setting]))).unwrap();
        }
        let together = model.generate(&vec![prompt.clone(); 8], &config, &hooks, &mut |_| true).unwrap();
        let mut lengths = Vec::new();
        for (setting, together) in together.iter().enumerate() {
            let (point, edit) = hook(setting);
            let alone = HookSet::new().on(spec, point, edit.at(Where::GeneratedOnly)).unwrap();
            let alone = model.generate(std::slice::from_ref(&prompt), &config, &alone, &mut |_| true).unwrap();
            assert_eq!(alone[0].tokens, together.tokens, "{family}, setting {setting}");
            lengths.push(together.tokens.len());
        }
        lengths.sort_unstable();
        lengths.dedup();
        println!("{family}: lengths {lengths:?}");
        assert!(family != "llama" || lengths.len() > 1, "no row left early: this tests nothing");
    }
}

#[test]
fn a_steered_row_leaves_the_others_as_they_are() {
    let model = load("gemma2");
    let input = Input::rows(&vec![(3..19).collect::<Vec<u32>>(); 3]).unwrap();
    let plain = logits(&model, &input, &HookSet::new());
    let edit = Edit::Add { v: wave(64, 0.0), coef: Coef::Abs(5.0) }.at(Where::All.in_rows([1]));
    let hooks = HookSet::new().on_all(model.spec(), Site::ResidMid, edit).unwrap();
    let steered = logits(&model, &input, &hooks);
    for (row, same) in [(0, true), (1, false), (2, true)] {
        assert_eq!(bits(&plain.get(row).unwrap()) == bits(&steered.get(row).unwrap()), same, "row {row}");
    }
}

#[test]
fn a_site_of_all_layers() {
    let model = load("qwen2_moe"); // layer 1 of 3 is sparse
    let spec = model.spec();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = |site: Site| {
        calls.store(0, Ordering::Relaxed);
        let calls = calls.clone();
        let hook = move |x: Tensor, _: &HookCtx| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok(x)
        };
        HookSet::new()
            .on_all(spec, site, hook)
            .map(|hooks| logits(&model, &Input::rows(&[vec![4, 5]]).unwrap(), &hooks))
    };
    for (site, wanted) in
        [(Site::ResidPre, 3), (Site::MlpPost, 2), (Site::RouterLogits, 1), (Site::ExpertOut, 6), (Site::Logits, 1)]
    {
        count(site).unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), wanted, "{site:?}");
    }
    let error = count(Site::PosEmbed).unwrap_err().to_string();
    assert!(error.contains("hook_pos_embed") && error.contains("hook_resid_pre"), "{error}");
}

/// Σ over experts of weight · output is what the layer adds; the hook's rows are the tokens that it is told.
#[test]
fn single_experts_can_be_read_and_edited() {
    for family in ["mixtral", "qwen3_moe", "olmoe"] {
        let model = load(family);
        let spec = model.spec();
        let layer = (0..spec.n_layers).find(|&l| spec.moe[l].is_some()).unwrap();
        let experts = spec.moe[layer].unwrap().experts;
        let input = Input::rows(&rows(&expected(family))).unwrap();
        let of = |e: usize| HookPoint::expert(layer, e, Site::ExpertOut);
        let mut points: Vec<HookPoint> = (0..experts).map(of).collect();
        points.extend([Site::ExpertIdx, Site::ExpertWeights, Site::MlpOut].map(|site| HookPoint::of(layer, site)));
        let (hooks, captured) = HookSet::new().capture(spec, &points).unwrap();
        let plain = logits(&model, &input, &hooks);
        let get = |site| captured.get(HookPoint::of(layer, site)).unwrap();
        let (idx, weights) = (get(Site::ExpertIdx), get(Site::ExpertWeights));
        let (idx, weights) = (idx.to_vec2::<u32>().unwrap(), weights.to_vec2::<f32>().unwrap());
        let mut sum = vec![vec![0.0_f32; spec.d_model]; idx.len()];
        let mut seen = vec![0; experts];
        for e in 0..experts {
            let out = captured.get(of(e)).unwrap();
            let chose: Vec<usize> = (0..idx.len()).filter(|&n| idx[n].contains(&(e as u32))).collect();
            assert_eq!(out.dims(), [chose.len(), spec.d_model]);
            let tokens = captured.tokens(of(e)).unwrap();
            for ((row, &n), token) in out.to_vec2::<f32>().unwrap().iter().zip(&chose).zip(tokens) {
                assert_eq!(token.row, n / input.columns());
                let slot = idx[n].iter().position(|&i| i == e as u32).unwrap();
                sum[n].iter_mut().zip(row).for_each(|(sum, y)| *sum += weights[n][slot] * y);
            }
            seen[e] = chose.len();
        }
        let sum = Tensor::new(sum, &Device::Cpu).unwrap();
        let out = get(Site::MlpOut).flatten(0, 1).unwrap();
        assert!(off(&sum, &out) < 1e-4 * values(&out).iter().fold(1.0, |max: f32, x| max.max(x.abs())), "{family}");

        // Silencing every expert is silencing the layer; one that no token chose can be edited too.
        let zero = |site| HookSet::new().on_all(spec, site, Edit::Scale(0.0).everywhere()).unwrap();
        let silent = logits(&model, &input, &zero(Site::ExpertOut));
        let neurons = logits(&model, &input, &zero(Site::ExpertPost));
        assert!(off(&silent, &neurons) < 1e-5, "{family}");
        assert!(off(&silent, &plain) > 1e-2, "{family}");
        let one = (0..experts).find(|&e| seen[e] > 0).unwrap();
        let edit = || Edit::Scale(0.0).at(Where::Last.in_rows([2]));
        let hooks = HookSet::new().on(spec, of(one), edit()).unwrap();
        let edited = logits(&model, &input, &hooks);
        for row in 0..2 {
            assert_eq!(bits(&edited.get(row).unwrap()), bits(&plain.get(row).unwrap()), "{family}, row {row}");
        }
        assert!(HookSet::new().on(spec, of(experts), edit()).is_err());
        assert!(format!("blocks.{layer}.mlp.experts.x.hook_out").parse::<HookPoint>().is_err());
    }
}

/// The clean run's last residual stream brings the clean run's logits; before it, tokens are patched one by one.
#[test]
fn activations_of_another_run() {
    let model = load("llama");
    let spec = model.spec();
    let clean_rows = vec![(10..20).collect::<Vec<u32>>(), (30..37).collect()];
    let other_rows = vec![(50..60).collect::<Vec<u32>>(), (60..67).collect()];
    let (clean, other) = (Input::rows(&clean_rows).unwrap(), Input::rows(&other_rows).unwrap());
    let last = HookPoint::of(spec.n_layers - 1, Site::ResidPost);
    for what in ["blocks.*.hook_resid_post,blocks.*.attn.hook_z,blocks.*.mlp.hook_post", "blocks.*.hook_resid_post@all"]
    {
        let (wanted, captured) = model.run_with_cache(&clean, &what.parse().unwrap()).unwrap();
        let hooks = HookSet::new().on(spec, last, Edit::patch(&captured).everywhere()).unwrap();
        let patched = logits(&model, &other, &hooks);
        assert_eq!(bits(&patched.get(0).unwrap()), bits(&wanted.get(0).unwrap()));
        assert_eq!(
            bits(&patched.get(1).unwrap().narrow(0, 3, 7).unwrap()),
            bits(&wanted.get(1).unwrap().narrow(0, 3, 7).unwrap())
        );
        // One token of one row.
        let hooks =
            HookSet::new().on(spec, last, Edit::patch(&captured).at(Where::Positions(vec![4]).in_rows([1]))).unwrap();
        let (plain, patched) = (logits(&model, &other, &HookSet::new()), logits(&model, &other, &hooks));
        assert_eq!(bits(&plain.get(0).unwrap()), bits(&patched.get(0).unwrap()));
        for position in 0..7 {
            let of = |x: &Tensor| x.get(1).unwrap().get(3 + position).unwrap();
            let source = if position == 4 { &wanted } else { &plain };
            assert_eq!(bits(&of(&patched)), bits(&of(source)), "position {position}");
        }
    }
    // Rows crosswise and positions shifted: the clean row 0, one position further on.
    let captured = model.capture(&clean, &"blocks.*.hook_resid_post@all".parse().unwrap()).unwrap();
    let patch = Patch::new(&captured).rows(&[(1, 0)]).align(Align::Shift(1));
    let hooks = HookSet::new().on(spec, last, Edit::Patch(patch).everywhere()).unwrap();
    let (hooks, after) = hooks.capture(spec, &[last]).unwrap();
    logits(&model, &other, &hooks);
    let (after, from) = (after.get(last).unwrap(), captured.get(last).unwrap());
    assert_eq!(bits(&after.get(1).unwrap().narrow(0, 3, 7).unwrap()), bits(&from.narrow(0, 1, 7).unwrap()));
    // What was not captured.
    let captured = model.capture(&clean, &"blocks.1.hook_resid_post@last".parse().unwrap()).unwrap();
    let run = |point: HookPoint| {
        HookSet::new()
            .on(spec, point, Edit::patch(&captured).everywhere())
            .and_then(|hooks| model.forward(&other, None, &hooks))
            .unwrap_err()
            .to_string()
    };
    assert!(run(HookPoint::of(1, Site::ResidPost)).contains("row 0, position 0"));
    assert!(run(HookPoint::of(0, Site::ResidPost)).contains("no single tokens"));
    assert!(run(HookPoint::of(0, Site::Pattern)).contains("hook_z"));
}

/// Attribution patching: one forward and backward give what patching each head by a small step gives.
#[test]
fn attribution_of_every_head_in_one_backward() {
    for family in ["llama", "gemma2", "mixtral"] {
        let model = load_as(family, DType::F64);
        let spec = model.spec();
        let clean = Input::rows(&[(10..22).collect(), (30..37).collect::<Vec<u32>>()]).unwrap();
        let other = Input::rows(&[(40..52).collect(), (60..67).collect::<Vec<u32>>()]).unwrap();
        let points: Vec<HookPoint> = (0..spec.n_layers).map(|l| HookPoint::of(l, Site::Z)).collect();
        let (_, there) = {
            let (hooks, captured) = HookSet::new().capture(spec, &points).unwrap();
            (logits(&model, &other, &hooks), captured)
        };
        let metric = |hooks: &HookSet| {
            let last = logits(&model, &clean, hooks).narrow(1, 11, 1).unwrap();
            last.narrow(2, 7, 1).unwrap().sum_all().unwrap()
        };
        let (hooks, here) = HookSet::new().capture(spec, &points).unwrap();
        let (hooks, probes) = hooks.grad_probes(spec, &points, &clean, DType::F64, &Device::Cpu).unwrap();
        let gradients = metric(&hooks).backward().unwrap();
        let mut largest = 0.0_f64;
        for point in &points {
            let step = (there.get(*point).unwrap() - here.get(*point).unwrap()).unwrap().detach();
            let gradient = gradients.get(probes[point].as_tensor()).unwrap();
            let attribution = (gradient * &step).unwrap().sum((0, 1, 3)).unwrap().to_vec1::<f64>().unwrap(); // [H]
            for (head, ours) in attribution.into_iter().enumerate() {
                let mut only = vec![0.0; spec.n_heads];
                only[head] = 1.0;
                let only = Tensor::from_vec(only, (1, 1, spec.n_heads, 1), &Device::Cpu).unwrap();
                let step = step.broadcast_mul(&only).unwrap();
                let moved = |c: f64| {
                    let edit = Edit::Add { v: step.clone(), coef: Coef::Abs(c) }.everywhere();
                    metric(&HookSet::new().on(spec, *point, edit).unwrap()).to_scalar::<f64>().unwrap()
                };
                let difference = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                largest = largest.max(difference.abs());
                // transformers' rounding of norms to f32 is not in the f64 path: this is smooth.
                assert!(
                    (ours - difference).abs() < 1e-4 * difference.abs().max(1.0),
                    "{family} {point} {head}: {ours} {difference}"
                );
            }
        }
        assert!(largest > 1e-2, "{family}: no head matters");
        let expert = HookPoint::of(0, Site::ExpertOut);
        assert!(HookSet::new().grad_probes(spec, &[expert], &clean, DType::F64, &Device::Cpu).is_err());
    }
}

/// A probe at every site of every family has its shape and gets a gradient.
#[test]
fn probes_at_every_site() {
    for family in FAMILIES {
        let model = load(family);
        let spec = model.spec();
        let input = Input::rows(&[vec![4, 9, 11, 30], vec![8, 2]]).unwrap();
        let points: Vec<HookPoint> = HookPoint::all(spec)
            .into_iter()
            .filter(|point| !point.site.of_expert() && point.site != Site::ExpertIdx)
            .collect();
        let (hooks, probes) = HookSet::new().grad_probes(spec, &points, &input, DType::F32, &Device::Cpu).unwrap();
        let loss = logits(&model, &input, &hooks).sqr().unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        for (point, probe) in probes {
            let gradient = gradients.get(probe.as_tensor()).unwrap_or_else(|| panic!("{family}: nothing at {point}"));
            assert_eq!(gradient.dims(), probe.dims());
            assert!(values(gradient).iter().any(|&x| x != 0.0), "{family} {point}");
        }
    }
}

/// The gradient of a trainable steering vector is the sum of the probe's over the edited tokens.
#[test]
fn gradients_flow_through_edits() {
    let model = load("qwen3");
    let spec = model.spec();
    let input = Input::rows(&[vec![4, 9, 11, 30], vec![8, 2]]).unwrap();
    let point = HookPoint::of(0, Site::ResidPost);
    let v = Var::from_tensor(&wave(spec.d_model, 1.0)).unwrap();
    let edit = Edit::Add { v: v.as_tensor().clone(), coef: Coef::Abs(2.0) }.at(Where::LastN(2));
    let hooks = HookSet::new().on(spec, point, edit).unwrap();
    let (hooks, probes) = hooks.grad_probes(spec, &[point], &input, DType::F32, &Device::Cpu).unwrap();
    let gradients = logits(&model, &input, &hooks).narrow(2, 5, 1).unwrap().sum_all().unwrap().backward().unwrap();
    let probe = gradients.get(probes[&point].as_tensor()).unwrap();
    let sum = (probe.narrow(1, 2, 2).unwrap().sum((0, 1)).unwrap() * 2.0).unwrap();
    let ours = gradients.get(v.as_tensor()).unwrap();
    assert!(off(ours, &sum) < 1e-4 * values(&sum).iter().fold(1.0, |max: f32, x| max.max(x.abs())));
}

/// Keys and values that an edited prompt left in the cache stay edited; another cache knows nothing of it.
#[test]
fn a_cache_keeps_what_edits_left_in_it() {
    let model = load("llama");
    let spec = model.spec();
    let prompt = Input::rows(&[(5..17).collect::<Vec<u32>>()]).unwrap();
    let token = Input::rows(&[vec![42]]).unwrap();
    let none = HookSet::new();
    let after = |first: &HookSet, then: &HookSet| {
        let mut cache = KvCache::new();
        model.forward(&prompt, Some(&mut cache), first).unwrap();
        model.forward(&token, Some(&mut cache), then).unwrap()
    };
    let plain = after(&none, &none);
    let last = spec.n_layers - 1;
    for (layer, site, stays) in [
        (0, Site::ResidPost, true),
        (0, Site::K, true),
        (last, Site::V, true),
        // Nothing reads keys or values above the last block.
        (last, Site::ResidPost, false),
        (last, Site::MlpOut, false),
        // Queries are no part of the cache; what they change in their own layer is read above it.
        (last, Site::Q, false),
        (0, Site::Q, true),
    ] {
        let point = HookPoint::of(layer, site);
        let edit = || Edit::Clamp { low: -0.05, high: 0.1 }.at(Where::Positions(vec![3]));
        let hooks = HookSet::new().on(spec, point, edit()).unwrap();
        let moved = off(&after(&hooks, &none), &plain);
        assert_eq!(moved > 1e-4, stays, "{point}: {moved:e}");
        // Position 3 was read: the same edit has nothing to act on later.
        assert_eq!(bits(&after(&none, &hooks)), bits(&plain), "{point}");
    }

    // Off in the middle: the tokens read meanwhile stay steered, in this cache only.
    let steer = Edit::Add { v: wave(spec.d_model, 0.0), coef: Coef::Rel(1.0) }.at(Where::GeneratedOnly);
    let steer = HookSet::new().on(spec, HookPoint::of(0, Site::ResidPost), steer).unwrap();
    let run = |middle: &HookSet| {
        let mut cache = KvCache::new();
        model.forward(&prompt, Some(&mut cache), &none).unwrap();
        model.forward(&token, Some(&mut cache), middle).unwrap();
        model.forward(&token, Some(&mut cache), &none).unwrap()
    };
    let unsteered = run(&none);
    assert!(off(&run(&steer), &unsteered) > 1e-4);
    assert_eq!(bits(&run(&none)), bits(&unsteered));
}

#[test]
fn a_hook_knows_the_phase() {
    let model = load("gpt2");
    let phases = Arc::new(std::sync::Mutex::new(Vec::new()));
    let into = phases.clone();
    let hook = move |x: Tensor, ctx: &HookCtx| {
        into.lock().unwrap().push((ctx.phase, ctx.ids.clone()));
        Ok(x)
    };
    let hooks = HookSet::new().on(model.spec(), HookPoint::of(0, Site::Embed), hook).unwrap();
    let config = GenConfig { max_new: 3, eos: Some(Vec::new()), ..GenConfig::default() };
    let made = model.generate(&[vec![3, 4], vec![5]], &config, &hooks, &mut |_| true).unwrap();
    let seen = phases.lock().unwrap().clone();
    assert_eq!(seen[0], (Phase::Prefill, vec![vec![3, 4], vec![5]]));
    assert_eq!(
        seen.iter().map(|s| s.0).collect::<Vec<_>>()[1..],
        [Phase::Decode { step: 0 }, Phase::Decode { step: 1 }]
    );
    assert_eq!(seen[2].1[1], [vec![5], made[1].tokens[..2].to_vec()].concat());
}

/// What an edit can't do at a point is said when it is added.
#[test]
fn edits_that_do_not_fit() {
    let model = load("mixtral");
    let spec = model.spec();
    let (resid, z) = (HookPoint::of(0, Site::ResidPre), HookPoint::of(0, Site::Z));
    let short = wave(63, 0.0);
    let square = Tensor::ones((4, 63), DType::F32, &Device::Cpu).unwrap();
    for (point, edit, part) in [
        (resid, Edit::Add { v: short.clone(), coef: Coef::Abs(1.0) }, "vector"),
        (resid, Edit::ProjectOut { basis: square.clone(), keep: 0.0 }, "basis"),
        (resid, Edit::SetProjection { dir: square.clone(), target: 0.0 }, "direction"),
        (resid, Edit::Replace(short.clone()), "value"),
        (resid, Edit::MaskNeurons(short.clone()), "mask"),
        (z, Edit::MeanHeads { heads: vec![0], mean: square }, "mean"),
        (z, Edit::ZeroHeads(vec![4]), "below the 4 heads"),
        (HookPoint::of(0, Site::K), Edit::ZeroHeads(vec![2]), "below the 2 heads"),
        (resid, Edit::ZeroHeads(vec![0]), "dimension of heads"),
        (HookPoint::of(9, Site::ResidPre), Edit::Scale(1.0), "layers has no such site"),
        (HookPoint::of(70_000, Site::ResidPre), Edit::Scale(1.0), "no such site"),
        (HookPoint { layer: None, ..resid }, Edit::Scale(1.0), "no such site"),
        (HookPoint { expert: Some(0), ..resid }, Edit::Scale(1.0), "no such site"),
    ] {
        let error = HookSet::new().on(spec, point, edit.everywhere()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(part), "{error}");
    }
    // Custom edits act at some tokens like the others.
    let double = Edit::custom(|x: Tensor, _: &HookCtx| Ok((x * 2.0)?)).at(Where::Last);
    let input = Input::rows(&[vec![3, 4, 5]]).unwrap();
    let ours = logits(&model, &input, &HookSet::new().on(spec, resid, double).unwrap());
    let theirs = Edit::Scale(2.0).at(Where::Last);
    assert_eq!(bits(&ours), bits(&logits(&model, &input, &HookSet::new().on(spec, resid, theirs).unwrap())));
}

/// Counts what it is asked, and lets the model do it.
#[derive(Default)]
struct Counting {
    rows: AtomicUsize,
    predicted: AtomicUsize,
    hooks: bool,
}

impl ExpertExecutor for Counting {
    fn run(&self, call: &ExpertCall) -> ashlar_models::Result<Tensor> {
        assert_eq!(call.routing.logits.dims(), [call.x.dim(0)?, call.experts()]);
        self.rows.fetch_add(call.is_token().filter(|&real| real).count(), Ordering::Relaxed);
        // The layer's own norm and router on its residual stream say what the call says.
        let again = call.route(call.layer, call.residual)?;
        assert_eq!(again.idx.to_vec2::<u32>()?, call.routing.idx.to_vec2::<u32>()?);
        if let Some(next) = call.next_sparse() {
            assert_eq!(call.route(next, call.residual)?.idx.dims(), call.routing.idx.dims());
            self.predicted.fetch_add(1, Ordering::Relaxed);
        }
        assert!(call.route(99, call.residual).is_err());
        call.own()
    }

    fn runs_hooks(&self) -> bool {
        self.hooks
    }
}

/// Runs every expert on every token, which costs E/k times as much and gives the same.
struct Dense;

impl ExpertExecutor for Dense {
    fn run(&self, call: &ExpertCall) -> ashlar_models::Result<Tensor> {
        let mut out = call.x.zeros_like()?;
        for e in 0..call.experts() {
            let chosen = call.routing.idx.eq(e as u32)?.to_dtype(call.routing.weights.dtype())?;
            let weight = (chosen * &call.routing.weights)?.sum_keepdim(1)?;
            out = (out + call.expert(e, call.x)?.broadcast_mul(&weight)?)?;
        }
        Ok(out)
    }
}

struct Wrong;

impl ExpertExecutor for Wrong {
    fn run(&self, call: &ExpertCall) -> ashlar_models::Result<Tensor> {
        Ok(call.x.narrow(1, 0, 1)?)
    }
}

#[test]
fn something_else_runs_the_experts() {
    for family in ["mixtral", "qwen2_moe", "qwen3_moe", "olmoe"] {
        let model = load(family);
        let spec = model.spec();
        let sparse = spec.moe.iter().flatten().count();
        let input = Input::rows(&rows(&expected(family))).unwrap();
        let tokens: usize = input.lengths().iter().sum();
        let plain = logits(&model, &input, &HookSet::new());
        let counting = Arc::new(Counting { hooks: true, ..Counting::default() });
        let counted = model.clone().with_executor(counting.clone());
        assert_eq!(bits(&logits(&counted, &input, &HookSet::new())), bits(&plain), "{family}");
        assert_eq!(counting.rows.load(Ordering::Relaxed), sparse * tokens, "{family}");
        assert_eq!(counting.predicted.load(Ordering::Relaxed), sparse - 1, "{family}");
        let scale = values(&plain).iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        let dense = logits(&model.clone().with_executor(Arc::new(Dense)), &input, &HookSet::new());
        assert!(off(&dense, &plain) < 2e-5 * scale, "{family}");

        // A trainable copy keeps its executor, and gradients are those of the model's own experts.
        let gradient = |model: &Model| {
            let model = model.trainable(|name| name.contains(".gate.") || name.contains("experts.0.")).unwrap();
            let loss = logits(&model, &input, &HookSet::new()).sqr().unwrap().mean_all().unwrap();
            let gradients = loss.backward().unwrap();
            let of = |(name, var): (&String, &Var)| {
                (name.clone(), gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}")).clone())
            };
            model.vars().iter().map(of).collect::<Vec<_>>()
        };
        let own = gradient(&model);
        assert!(own.len() > sparse && own.iter().all(|(_, g)| values(g).iter().all(|x| x.is_finite())));
        for ((name, own), (_, dense)) in own.iter().zip(gradient(&model.clone().with_executor(Arc::new(Dense)))) {
            let scale = values(own).iter().fold(1e-3, |max: f32, x| max.max(x.abs()));
            assert!(off(own, &dense) < 1e-3 * scale, "{family} {name}");
        }
        for ((name, own), (_, counted)) in own.iter().zip(gradient(&counted)) {
            assert_eq!(bits(own), bits(&counted), "{family} {name}");
        }

        // Hooks at single experts, where nobody would run them.
        let hooks = HookSet::new().on_all(spec, Site::ExpertOut, Edit::Scale(0.5).everywhere()).unwrap();
        assert_eq!(bits(&logits(&counted, &input, &hooks)), bits(&logits(&model, &input, &hooks)), "{family}");
        let error = model.clone().with_executor(Arc::new(Dense)).forward(&input, None, &hooks).unwrap_err();
        assert!(matches!(error, Error::ExecutorHooks { .. }), "{error}");
        let wrong = model.clone().with_executor(Arc::new(Wrong));
        let error = wrong.forward(&input, None, &HookSet::new()).unwrap_err().to_string();
        assert!(error.contains("in place of") && error.contains("64"), "{error}");
    }
}

#[test]
fn what_to_capture_by_name() {
    let model = load("qwen2_moe");
    let spec = model.spec();
    let points = |text: &str| -> Vec<String> {
        let found = text.parse::<CaptureSpec>().unwrap().resolve(spec).unwrap();
        found.iter().map(|(point, select)| format!("{point}{select}")).collect()
    };
    assert_eq!(points("blocks.*.hook_resid_post@last").len(), 3);
    assert_eq!(
        points("hook_logits@0, blocks.0.*.hook_z@-2,blocks.2.hook_*_out@1..3"),
        ["blocks.0.attn.hook_z@-2", "blocks.2.hook_attn_out@1..3", "blocks.2.hook_mlp_out@1..3", "hook_logits@0"]
    );
    assert_eq!(points("blocks.*.mlp.experts.*.hook_out@mean").len(), 6);
    assert_eq!(points("blocks.1.mlp.experts.2.hook_post@-3.."), ["blocks.1.mlp.experts.2.hook_post@-3.."]);
    assert_eq!(points("hook_embed"), ["hook_embed"]);
    for (text, part) in [
        ("", "no site is called so"),
        ("hook_embed,", "no site is called so"),
        ("blocks.x.hook_resid_pre", "no site is called so"),
        ("blocks.0.hook_resid_prä", "no site is called so"),
        ("blocks.hook_resid_pre", "no site is called so"),
        ("hook_embed@", "after @"),
        ("hook_embed@first", "after @"),
        ("hook_embed@1..x", "after @"),
        ("hook_embed@99999999999999999999", "after @"),
    ] {
        let error = CaptureSpec::parse(text).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(part), "{text}: {error}");
    }
    for (text, part) in [
        ("blocks.7.hook_resid_pre", "3 layers"),
        ("blocks.0.mlp.hook_router_logits", "no such site"),
        ("hook_pos_embed", "hook_resid_pre"),
        ("blocks.*.hook_z", "no site is called so"),
        ("hook_embed@last,hook_*@all", "meant twice"),
        ("blocks.1.mlp.hook_expert_idx@mean", "no mean"),
    ] {
        let error = CaptureSpec::parse(text).and_then(|what| what.resolve(spec)).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(part), "{text}: {error}");
    }
}

/// Selected tokens are those of each row alone, wherever the padding is.
#[test]
fn captures_are_of_tokens_not_columns() {
    let model = load("qwen3_moe");
    let rows = vec![(10..19).collect::<Vec<u32>>(), vec![40, 41, 42], vec![7]];
    let input = Input::rows(&rows).unwrap().with_rows(vec![5, 3, 8]).unwrap();
    let site = "blocks.1.hook_resid_mid";
    let point: HookPoint = site.parse().unwrap();
    let alone: Vec<Tensor> = rows
        .iter()
        .map(|row| {
            let input = Input::rows(std::slice::from_ref(row)).unwrap();
            model.capture(&input, &site.parse().unwrap()).unwrap().get(point).unwrap().get(0).unwrap()
        })
        .collect();
    for (at, wanted) in [
        ("last", vec![(0, 8), (1, 2), (2, 0)]),
        ("0", vec![(0, 0), (1, 0), (2, 0)]),
        ("-3", vec![(0, 6), (1, 0)]),
        ("1..3", vec![(0, 1), (0, 2), (1, 1), (1, 2)]),
        ("-2..", vec![(0, 7), (0, 8), (1, 1), (1, 2), (2, 0)]),
        ("..-8", vec![(0, 0)]),
        ("100..", vec![]),
        ("all", (0..3).flat_map(|r| (0..rows[r].len()).map(move |p| (r, p))).collect()),
    ] {
        let captured = model.capture(&input, &format!("{site}@{at}").parse().unwrap()).unwrap();
        let tokens = captured.tokens(point).unwrap();
        let found: Vec<(usize, usize)> = tokens.iter().map(|t| (t.row, t.position as usize)).collect();
        let named: Vec<(usize, usize)> = wanted.iter().map(|&(r, p)| ([5, 3, 8][r], p)).collect();
        assert_eq!(found, named, "@{at}");
        let x = captured.get(point).unwrap();
        assert_eq!(x.dims(), [wanted.len(), 64]);
        for (i, (r, p)) in wanted.into_iter().enumerate() {
            assert!(off(&x.get(i).unwrap(), &alone[r].get(p).unwrap()) < 2e-5, "@{at} {r} {p}");
        }
    }
    let captured = model.capture(&input, &format!("{site}@mean").parse().unwrap()).unwrap();
    assert_eq!(captured.rows(point).unwrap(), [5, 3, 8]);
    for (r, alone) in alone.iter().enumerate() {
        let mean = captured.get(point).unwrap().get(r).unwrap();
        assert!(off(&mean, &alone.mean(0).unwrap()) < 2e-5, "mean {r}");
    }

    // Keys of attention are the row's own: rows sum to 1 over its tokens, and what isn't there is NaN.
    let captured = model.capture(&input, &"blocks.0.attn.hook_pattern@last".parse().unwrap()).unwrap();
    let pattern = captured.get("blocks.0.attn.hook_pattern".parse().unwrap()).unwrap().to_vec3::<f32>().unwrap();
    for (row, pattern) in rows.iter().zip(pattern) {
        for head in pattern {
            assert_eq!(head.len(), 9);
            assert!((head[..row.len()].iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(head[row.len()..].iter().all(|x| x.is_nan()));
        }
    }

    // Tokens of padding go through experts, but are never among those selected.
    let captured = model.capture(&input, &"blocks.*.mlp.experts.*.hook_out@all".parse().unwrap()).unwrap();
    let sparse = model.spec().moe.iter().flatten().map(|moe| moe.top_k).sum::<usize>();
    let count: usize = captured.points().iter().map(|&point| captured.tokens(point).unwrap().len()).sum();
    assert_eq!(count, sparse * (9 + 3 + 1));
}

/// A capture sees the edits before it, not those after.
#[test]
fn captures_stand_in_the_order() {
    let model = load("llama");
    let spec = model.spec();
    let input = Input::rows(&[vec![5, 6, 7]]).unwrap();
    let point = HookPoint::of(0, Site::ResidPre);
    let what: CaptureSpec = "blocks.0.hook_resid_pre@all".parse().unwrap();
    let (hooks, before) = what.hooks(spec, HookSet::new()).unwrap();
    let hooks = hooks.on(spec, point, Edit::Scale(3.0).everywhere()).unwrap();
    let (hooks, after) = what.hooks(spec, hooks).unwrap();
    let hooks = hooks.on(spec, point, Edit::Scale(5.0).everywhere()).unwrap();
    logits(&model, &input, &hooks);
    assert!(off(&after.get(point).unwrap(), &(before.get(point).unwrap() * 3.0).unwrap()) < 1e-6);
}
