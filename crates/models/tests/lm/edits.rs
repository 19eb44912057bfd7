use ashlar_models::lm::{
    Coef, Edit, GenConfig, HookCtx, HookPoint, HookSet, Input, KvCache, Model, Site, Where, grad_probe,
};
use candle_core::{D, DType, Device, Tensor};

use crate::checkpoint::{FAMILIES, checkpoint, expected, rows};

fn load(family: &str) -> Model {
    Model::load(checkpoint(family, 5).path(), DType::F32, &Device::Cpu).unwrap()
}

fn batch(family: &str) -> Input {
    Input::rows(&rows(&expected(family))).unwrap()
}

fn vector(model: &Model) -> Tensor {
    let d = model.spec().d_model;
    Tensor::from_vec((0..d).map(|i| (0.7 * i as f32).sin()).collect::<Vec<_>>(), d, &Device::Cpu).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn off(a: &Tensor, b: &Tensor) -> f32 {
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Every site of every family is there, has its shape, and an identity changes nothing.
#[test]
fn all_sites_can_be_captured_at_once() {
    for family in FAMILIES {
        let (model, input) = (load(family), batch(family));
        let plain = model.forward(&input, None, &HookSet::new()).unwrap();
        let points = HookPoint::all(model.spec());
        let (hooks, captured) = HookSet::new().capture(model.spec(), &points).unwrap();
        let hooked = model.forward(&input, None, &hooks).unwrap();
        // `hook_result` sums over heads in another order.
        let scale = values(&plain).iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        let (b, t) = (input.batch(), input.columns());
        for row in 0..b {
            let n = input.lengths()[row];
            let of = |x: &Tensor| x.get(row).unwrap().narrow(0, t - n, n).unwrap();
            assert!(off(&of(&plain), &of(&hooked)) < 2e-5 * scale, "{family}");
        }
        for point in &points {
            let x = captured.get(*point).unwrap_or_else(|| panic!("{family}: nothing at {point}"));
            match point.dims(model.spec(), b, t, t) {
                Some(dims) => assert_eq!(x.dims(), dims, "{family} {point}"),
                None => assert!(point.site.of_expert(), "{family} {point}"),
            }
            assert_eq!(point.to_string().parse::<HookPoint>().unwrap(), *point);
        }
    }
}

#[test]
fn an_edit_acts_at_its_tokens_only() {
    let (model, input) = (load("llama"), batch("llama"));
    let point = HookPoint::of(1, Site::ResidPost);
    let at = |place: Where| {
        let edit = Edit::Add { v: vector(&model), coef: Coef::Abs(1.0) }.at(place);
        let hooks = HookSet::new().on(model.spec(), point, edit).unwrap();
        let (hooks, captured) = hooks.capture(model.spec(), &[point]).unwrap();
        model.forward(&input, None, &hooks).unwrap();
        captured.get(point).unwrap()
    };
    let (_, plain) = {
        let (hooks, captured) = HookSet::new().capture(model.spec(), &[point]).unwrap();
        (model.forward(&input, None, &hooks).unwrap(), captured.get(point).unwrap())
    };
    let lengths = input.lengths();
    for (place, acts) in [
        (Where::All, Box::new(|_: usize, _: usize| true) as Box<dyn Fn(usize, usize) -> bool>),
        (Where::Last, Box::new(|p, n| p + 1 == n)),
        (Where::LastN(3), Box::new(|p, n| p + 3 >= n)),
        (Where::Positions(vec![0, 4, -2]), Box::new(|p, n| p == 0 || p == 4 || p + 2 == n)),
        (Where::PromptOnly, Box::new(|_, _| true)),
        (Where::GeneratedOnly, Box::new(|_, _| false)),
    ] {
        let edited = at(place.clone());
        let change = (&edited - &plain).unwrap().abs().unwrap().sum(D::Minus1).unwrap().to_vec2::<f32>().unwrap();
        for (row, &n) in lengths.iter().enumerate() {
            for position in 0..n {
                let column = input.columns() - n + position;
                assert_eq!(change[row][column] > 0.1, acts(position, n), "{place:?}, row {row}, position {position}");
            }
        }
    }
}

#[test]
fn edits_do_what_they_say() {
    let (model, input) = (load("llama"), batch("llama"));
    let at = |point: HookPoint, edit: Edit| {
        let (hooks, before) = HookSet::new().capture(model.spec(), &[point]).unwrap();
        let hooks = hooks.on(model.spec(), point, edit.everywhere()).unwrap();
        let (hooks, after) = hooks.capture(model.spec(), &[point]).unwrap();
        model.forward(&input, None, &hooks).unwrap();
        (before.get(point).unwrap(), after.get(point).unwrap())
    };
    let resid = HookPoint::of(0, Site::ResidMid);
    let v = vector(&model);
    let unit = v.broadcast_div(&v.sqr().unwrap().sum_all().unwrap().sqrt().unwrap()).unwrap();
    let along = |x: &Tensor| x.broadcast_mul(&unit).unwrap().sum(D::Minus1).unwrap();
    let size = |x: &Tensor| x.sqr().unwrap().sum(D::Minus1).unwrap().sqrt().unwrap();

    let (before, after) = at(resid, Edit::Add { v: v.clone(), coef: Coef::Rel(0.5) });
    assert!(off(&along(&(&after - &before).unwrap()), &(size(&before) * 0.5).unwrap()) < 1e-4);
    let (before, after) = at(resid, Edit::ProjectOut { basis: unit.unsqueeze(0).unwrap(), keep: 0.25 });
    assert!(off(&along(&after), &(along(&before) * 0.25).unwrap()) < 1e-5);
    let (_, after) = at(resid, Edit::SetProjection { dir: v.clone(), target: 3.0 });
    assert!(values(&along(&after)).iter().all(|x| (x - 3.0).abs() < 1e-4));
    let (before, after) = at(resid, Edit::Clamp { low: -0.1, high: 0.2 });
    assert_eq!(values(&after), values(&before).iter().map(|x| x.clamp(-0.1, 0.2)).collect::<Vec<_>>());
    let z = HookPoint::of(1, Site::Z);
    let (before, after) = at(z, Edit::ZeroHeads(vec![1, 3]));
    for head in 0..4 {
        let of = |x: &Tensor| x.narrow(2, head, 1).unwrap();
        let expected = if head % 2 == 1 { of(&before).zeros_like().unwrap() } else { of(&before) };
        assert_eq!(values(&of(&after)), values(&expected));
    }
    let mean = Tensor::ones((4, model.spec().head_dim), DType::F32, &Device::Cpu).unwrap();
    let (_, after) = at(z, Edit::MeanHeads { heads: vec![2], mean });
    assert!(values(&after.narrow(2, 2, 1).unwrap()).iter().all(|&x| x == 1.0));
    let (_, after) = at(resid, Edit::Replace(v.clone()));
    assert_eq!(values(&after.get(0).unwrap().get(3).unwrap()), values(&v));
}

/// The sum of two half vectors is the whole one, and the same edit twice acts twice: hooks see each other's output.
#[test]
fn hooks_run_in_order() {
    let (model, input) = (load("qwen3"), batch("qwen3"));
    let point = HookPoint::of(0, Site::ResidPre);
    let add = |c: f64| Edit::Add { v: vector(&model), coef: Coef::Abs(c) }.everywhere();
    let logits = |hooks: HookSet| model.forward(&input, None, &hooks).unwrap();
    let spec = model.spec();
    let twice = HookSet::new().on(spec, point, add(0.5)).unwrap().on(spec, point, add(0.5)).unwrap();
    let once = HookSet::new().on(spec, point, add(1.0)).unwrap();
    let scaled_first =
        HookSet::new().on(spec, point, Edit::Scale(2.0).everywhere()).unwrap().on(spec, point, add(1.0)).unwrap();
    let scaled_last =
        HookSet::new().on(spec, point, add(1.0)).unwrap().on(spec, point, Edit::Scale(2.0).everywhere()).unwrap();
    assert!(off(&logits(twice), &logits(once)) < 1e-4);
    assert!(off(&logits(scaled_first), &logits(scaled_last)) > 1e-2);
}

/// ∂L/∂x at a site, read through the probe, against a central difference along a direction.
#[test]
fn a_grad_probe_reads_the_gradient_of_an_activation() {
    for family in ["llama", "gemma2", "qwen2_moe"] {
        let folder = checkpoint(family, 5);
        let model = Model::load(folder.path(), DType::F64, &Device::Cpu).unwrap();
        let input = Input::rows(&[(5..15).collect::<Vec<u32>>()]).unwrap();
        let point = HookPoint::of(1, Site::AttnOut);
        let shape = [1, 10, model.spec().d_model];
        let loss =
            |hooks: &HookSet| model.forward(&input, None, hooks).unwrap().narrow(2, 7, 1).unwrap().sum_all().unwrap();
        let (probe, hook) = grad_probe(&shape, DType::F64, &Device::Cpu).unwrap();
        let gradients = loss(&HookSet::new().on(model.spec(), point, hook).unwrap()).backward().unwrap();
        let gradient = gradients.get(probe.as_tensor()).unwrap();
        let n = shape.iter().product::<usize>();
        let direction: Vec<f64> = (0..n).map(|i| (1.3 * i as f64).cos()).collect();
        let direction = Tensor::from_vec(direction, &shape, &Device::Cpu).unwrap();
        let moved = |c: f64| {
            let edit = Edit::Add { v: direction.clone(), coef: Coef::Abs(c) }.everywhere();
            loss(&HookSet::new().on(model.spec(), point, edit).unwrap()).to_scalar::<f64>().unwrap()
        };
        let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let ours = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((ours - difference).abs() < 1e-5 * difference.abs().max(1.0), "{family}: {ours} {difference}");
    }
}

#[test]
fn generated_only_leaves_the_prompt_alone() {
    let (model, prompts) = (load("llama"), rows(&expected("llama")));
    let spec = model.spec();
    let point = HookPoint::of(0, Site::ResidPost);
    let edit = Edit::Add { v: vector(&model), coef: Coef::Abs(20.0) };
    let config = GenConfig { max_new: 6, eos: Some(Vec::new()), ..GenConfig::default() };
    let run = |hooks: &HookSet| -> Vec<Vec<u32>> {
        model.generate(&prompts, &config, hooks, &mut |_| true).unwrap().into_iter().map(|g| g.tokens).collect()
    };
    let plain = run(&HookSet::new());
    let steered = run(&HookSet::new().on(spec, point, edit.clone().at(Where::GeneratedOnly)).unwrap());
    let everywhere = run(&HookSet::new().on(spec, point, edit.everywhere()).unwrap());
    for row in 0..prompts.len() {
        assert_eq!(plain[row][0], steered[row][0], "the first token comes from the prompt alone");
    }
    assert_ne!(plain, steered);
    assert_ne!(steered, everywhere);
    // Steering belongs to the run: the next one is plain again.
    assert_eq!(run(&HookSet::new()), plain);
}

#[test]
fn a_cache_can_be_forked_and_cut() {
    let (model, rows) = (load("mistral"), rows(&expected("mistral")));
    let none = HookSet::new();
    let mut cache = KvCache::new();
    model.forward(&Input::rows(&[rows[0][..20].to_vec()]).unwrap(), Some(&mut cache), &none).unwrap();
    let step = |cache: &mut KvCache, token: u32| {
        model.forward(&Input::rows(&[vec![token]]).unwrap(), Some(cache), &none).unwrap()
    };
    let mut fork = cache.fork().unwrap();
    let first = step(&mut cache, 9);
    let other = step(&mut fork, 60);
    assert!(off(&first, &other) > 1e-2);
    // Going on in one doesn't touch the other, and a cut cache repeats itself.
    cache.truncate(20);
    assert_eq!(values(&step(&mut cache, 9)), values(&first));
    fork.truncate(20);
    assert_eq!(values(&step(&mut fork, 9)), values(&first));
}

#[test]
fn sites_that_are_not_there() {
    let olmo2 = load("olmo2");
    let on = |point: &str| {
        HookSet::new().on(olmo2.spec(), point.parse().unwrap(), Edit::Scale(1.0).everywhere()).unwrap_err().to_string()
    };
    assert!(on("blocks.0.ln1.hook_normalized").contains("hook_resid_pre"));
    assert!(on("blocks.7.hook_resid_pre").contains("2 layers"));
    assert!(on("blocks.0.mlp.hook_router_logits").contains("no such site"));
    assert!("blocks.0.hook_nothing".parse::<HookPoint>().is_err());
    assert!("blocks.hook_resid_pre".parse::<HookPoint>().is_err());
    let shrink = |x: Tensor, _: &HookCtx| Ok(x.narrow(1, 0, 1)?);
    let hooks = HookSet::new().on(olmo2.spec(), HookPoint::of(0, Site::MlpOut), shrink).unwrap();
    let error = olmo2.forward(&batch("olmo2"), None, &hooks).unwrap_err().to_string();
    assert!(error.contains("blocks.0.hook_mlp_out") && error.contains("[3, 1, 64]"), "{error}");
    let heads = |site: Site, heads: Vec<usize>| {
        let hook = Edit::ZeroHeads(heads).everywhere();
        HookSet::new().on(olmo2.spec(), HookPoint::of(0, site), hook).unwrap_err().to_string()
    };
    assert!(heads(Site::ResidPre, vec![0]).contains("a site with a dimension of heads"));
    assert!(heads(Site::Z, vec![4]).contains("below the 4 heads"));
}
