//! Every mistake that implementations are known to make has to show beyond the tolerance of the parity test: else the
//! fixtures would prove nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use ashlar_models::lm::{
    Act, HookCtx, HookPoint, HookSet, Input, Model, ModelSpec, NormKind, Params, RmsWeight, RopeScaling, Site,
};
use candle_core::{D, DType, Device, Tensor};

use crate::checkpoint::{checkpoint, expected, rows};

/// Largest distance of the mutated model's logits from the reference.
fn off(family: &str, mutate: impl Fn(&mut ModelSpec, &mut Params)) -> f64 {
    let folder = checkpoint(family, 5);
    let model = Model::load(folder.path(), DType::F64, &Device::Cpu).unwrap();
    let (mut spec, mut params) = (model.spec().clone(), model.params().clone());
    mutate(&mut spec, &mut params);
    let model = Model::from_params(spec, params).unwrap();
    let expected = expected(family);
    let reference = expected["logits"].to_dtype(DType::F64).unwrap();
    // One row at a time: mutations that break padding are not meant here.
    let logits: Vec<Tensor> = rows(&expected)
        .iter()
        .map(|row| {
            let input = Input::rows(std::slice::from_ref(row)).unwrap();
            model.forward(&input, None, &HookSet::new()).unwrap().squeeze(0).unwrap()
        })
        .collect();
    let distance = (Tensor::cat(&logits, 0).unwrap() - reference).unwrap().abs().unwrap();
    distance.flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap()
}

fn shows(family: &str, what: &str, mutate: impl Fn(&mut ModelSpec, &mut Params)) {
    let off = off(family, mutate);
    // NaN counts as seen.
    assert!(off > 2e-4 || off.is_nan(), "{family}: {what} moves no logit by more than {off:e}");
}

fn set_eps(spec: &mut ModelSpec, new: f64) {
    match &mut spec.norm {
        NormKind::Rms { eps, .. } | NormKind::Layer { eps, .. } => *eps = new,
    }
}

/// Rows of head h of a projection [heads · hd, in] in a new order.
fn reorder(x: &Tensor, dim: usize, order: &[u32]) -> Tensor {
    x.index_select(&Tensor::new(order, x.device()).unwrap(), dim).unwrap()
}

fn edit(params: &mut Params, end: &str, change: impl Fn(&Tensor) -> Tensor) {
    let names: Vec<String> = params.keys().filter(|name| name.ends_with(end)).cloned().collect();
    assert!(!names.is_empty(), "no parameter ends with {end}");
    for name in names {
        let changed = change(&params[&name]);
        params.insert(name, changed);
    }
}

#[test]
fn unmutated_is_equal() {
    for family in crate::checkpoint::FAMILIES {
        let off = off(family, |_, _| ());
        assert!(off <= 5e-5, "{family}: {off:e}");
    }
}

#[test]
fn caps_scales_and_norms() {
    shows("gemma2", "no attention softcap", |spec, _| spec.attn_softcap = None);
    shows("gemma2", "no final softcap", |spec, _| spec.final_softcap = None);
    shows("gemma2", "1 + w read as w", |spec, _| {
        spec.norm = NormKind::Rms { eps: 1e-6, weight: RmsWeight::AfterCast };
    });
    shows("gemma2", "scale 1/sqrt(hd)", |spec, _| spec.attn_scale = (spec.head_dim as f64).powf(-0.5));
    shows("gemma2", "embeddings not scaled", |spec, _| spec.embed_scale = None);
    shows("gemma2", "erf in place of tanh GELU", |spec, _| spec.act = Act::Gelu);
    shows("gpt2", "erf in place of tanh GELU", |spec, _| spec.act = Act::Gelu);
    for family in ["olmo2", "mixtral"] {
        shows(family, "eps 1e-6 for 1e-5", |spec, _| set_eps(spec, 1e-6));
    }
    shows("olmo", "eps 1e-6 for 1e-5", |spec, _| set_eps(spec, 1e-6));
    for family in ["olmo", "olmoe"] {
        shows(family, "no clip", |spec, _| spec.clip_qkv = None);
    }
}

#[test]
fn windows_and_positions() {
    for w in [7, 9] {
        shows("mistral", "window off by one", move |spec, _| spec.window = vec![Some(w); spec.n_layers]);
    }
    shows("mixtral", "no window", |spec, _| spec.window = vec![None; spec.n_layers]);
    shows("qwen2", "all layers slide", |spec, _| spec.window = vec![Some(8); spec.n_layers]);
    shows("gemma2", "odd layers slide", |spec, _| {
        spec.window = (0..spec.n_layers).map(|l| Some(8).filter(|_| l % 2 == 1)).collect();
    });
    shows("mixtral", "theta 1e4", |spec, _| spec.rope.as_mut().unwrap().theta = 1e4);
    shows("llama", "no llama3 scaling", |spec, _| spec.rope.as_mut().unwrap().scaling = RopeScaling::Default);
    shows("llama", "ramp inverted", |spec, _| {
        if let RopeScaling::Llama3 { low_freq_factor, high_freq_factor, .. } = &mut spec.rope.as_mut().unwrap().scaling
        {
            std::mem::swap(low_freq_factor, high_freq_factor);
        }
    });
    shows("llama", "interleaved rotation", |spec, params| {
        // Pairs (i, i + hd/2) become neighbours: the same as rotating neighbours of the original order.
        let (hd, heads) = (spec.head_dim as u32, spec.n_heads as u32);
        for (end, heads) in [("q_proj.weight", heads), ("k_proj.weight", spec.n_kv as u32)] {
            let order: Vec<u32> = (0..heads)
                .flat_map(|h| (0..hd).map(move |i| h * hd + if i < hd / 2 { 2 * i } else { 2 * i - hd + 1 }))
                .collect();
            edit(params, end, |x| reorder(x, 0, &order));
        }
    });
    shows("llama", "KV head h mod H_kv", |spec, params| {
        let hd = spec.head_dim as u32;
        let order: Vec<u32> = [0, 2, 1, 3].iter().flat_map(|h| (0..hd).map(move |i| h * hd + i)).collect();
        edit(params, "q_proj.weight", |x| reorder(x, 0, &order));
        edit(params, "o_proj.weight", |x| reorder(x, 1, &order));
    });
}

#[test]
fn experts_and_biases() {
    let renorm = |to: bool| {
        move |spec: &mut ModelSpec, _: &mut Params| {
            for moe in spec.moe.iter_mut().flatten() {
                assert_ne!(moe.renorm, to);
                moe.renorm = to;
            }
        }
    };
    shows("mixtral", "weights not renormalised", renorm(false));
    shows("qwen3_moe", "weights not renormalised", renorm(false));
    for family in ["qwen2_moe", "olmoe"] {
        shows(family, "weights renormalised", renorm(true));
    }
    shows("mixtral", "w1 and w3 exchanged", |_, params| {
        let swapped: BTreeMap<String, Tensor> = params
            .iter()
            .map(|(name, x)| {
                let name = if name.ends_with("w1.weight") {
                    name.replace("w1.weight", "w3.weight")
                } else {
                    name.replace("w3.weight", "w1.weight")
                };
                (name, x.clone())
            })
            .collect();
        *params = swapped;
    });
    shows("qwen2_moe", "shared expert always open", |_, params| {
        // σ(0) = ½, so twice the output is an open gate.
        edit(params, "shared_expert_gate.weight", |x| x.zeros_like().unwrap());
        edit(params, "shared_expert.down_proj.weight", |x| (x * 2.0).unwrap());
    });
    for (family, end) in [("qwen2", "q_proj.bias"), ("llama-tied", "up_proj.bias"), ("llama-tied", "o_proj.bias")] {
        shows(family, "bias dropped", |_, params| edit(params, end, |x| x.zeros_like().unwrap()));
    }
}

/// Distance of a family's logits from the reference, hooks standing where code would be wrong.
fn off_hooked(family: &str, mutate: impl Fn(&mut ModelSpec, &mut Params), hooks: impl Fn(&Model) -> HookSet) -> f64 {
    let model = Model::load(checkpoint(family, 5).path(), DType::F64, &Device::Cpu).unwrap();
    let (mut spec, mut params) = (model.spec().clone(), model.params().clone());
    mutate(&mut spec, &mut params);
    let hooks = hooks(&model);
    let model = Model::from_params(spec, params).unwrap();
    let expected = expected(family);
    // All rows together, padded on the left: hooks see each row's padding.
    let input = Input::rows(&rows(&expected)).unwrap();
    let logits = model.forward(&input, None, &hooks).unwrap();
    let (columns, lengths) = (input.columns(), input.lengths());
    let real: Vec<Tensor> = (0..lengths.len())
        .map(|b| logits.get(b).unwrap().narrow(0, columns - lengths[b], lengths[b]).unwrap())
        .collect();
    let reference = expected["logits"].to_dtype(DType::F64).unwrap();
    let distance = (Tensor::cat(&real, 0).unwrap() - reference).unwrap().abs().unwrap();
    distance.flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap()
}

fn rms(x: &Tensor, eps: f64) -> Tensor {
    let size = (x.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + eps).unwrap().sqrt().unwrap();
    x.broadcast_div(&size).unwrap()
}

/// The weight of the norm of queries and keys after the rotation: rotating doesn't change the root mean square, so this is
/// the whole norm after it.
#[test]
fn qk_norm_after_rope() {
    let plain = |params: &mut Params| {
        for end in ["q_norm.weight", "k_norm.weight"] {
            edit(params, end, |w| w.ones_like().unwrap());
        }
    };
    for family in ["qwen3", "qwen3_moe"] {
        let at = |model: &Model, [q, k]: [Site; 2]| {
            let mut hooks = HookSet::new();
            for l in 0..model.spec().n_layers {
                for (site, name) in [(q, "q_norm"), (k, "k_norm")] {
                    let w = model.params()[&format!("model.layers.{l}.self_attn.{name}.weight")].clone();
                    let hook = move |x: Tensor, _: &HookCtx| Ok(x.broadcast_mul(&w)?);
                    hooks = hooks.on(model.spec(), HookPoint::of(l, site), hook).unwrap();
                }
            }
            hooks
        };
        let after = off_hooked(family, |_, params| plain(params), |model| at(model, [Site::RotQ, Site::RotK]));
        assert!(after > 2e-4, "{family}: the norm after the rotation moves no logit by more than {after:e}");
        // The same formulation at the right place is the reference.
        let before = off_hooked(family, |_, params| plain(params), |model| at(model, [Site::Q, Site::K]));
        assert!(before <= 5e-5, "{family}: {before:e}");
    }
}

/// olmoe clips after the norm of queries and keys.
#[test]
fn clip_before_norm() {
    let at = |model: &Model, clip_first: bool| {
        let spec = model.spec().clone();
        let (c, NormKind::Rms { eps, .. }) = (spec.clip_qkv.unwrap(), spec.norm) else { panic!("rms") };
        let mut hooks = HookSet::new();
        for l in 0..spec.n_layers {
            let input = Arc::new(Mutex::new(None));
            let into = input.clone();
            let keep = move |x: Tensor, _: &HookCtx| {
                *into.lock().unwrap() = Some(x.clone());
                Ok(x)
            };
            hooks = hooks.on(&spec, HookPoint::of(l, Site::Ln1), keep).unwrap();
            for (site, name) in [(Site::Q, "q"), (Site::K, "k")] {
                let param =
                    |part: &str| model.params()[&format!("model.layers.{l}.self_attn.{name}_{part}.weight")].clone();
                let (w, norm, input) = (param("proj"), param("norm"), input.clone());
                let hook = move |x: Tensor, _: &HookCtx| {
                    let projected = input.lock().unwrap().clone().unwrap().broadcast_matmul(&w.t()?)?;
                    let normed = |x: &Tensor| rms(x, eps).broadcast_mul(&norm);
                    let y = if clip_first {
                        normed(&projected.clamp(-c, c)?)?
                    } else {
                        normed(&projected)?.clamp(-c, c)?
                    };
                    Ok(y.reshape(x.shape())?)
                };
                hooks = hooks.on(&spec, HookPoint::of(l, site), hook).unwrap();
            }
        }
        hooks
    };
    let first = off_hooked("olmoe", |_, _| (), |model| at(model, true));
    assert!(first > 2e-4, "clip before the norm moves no logit by more than {first:e}");
    let right = off_hooked("olmoe", |_, _| (), |model| at(model, false));
    assert!(right <= 5e-5, "{right:e}");
}

/// Columns in place of positions: with learned positions it shows; a rotation sees differences only.
#[test]
fn positions_not_shifted_by_padding() {
    let learned = off_hooked(
        "gpt2",
        |_, _| (),
        |model| {
            let table = model.params()["transformer.wpe.weight"].clone();
            let hook = move |x: Tensor, _: &HookCtx| {
                let columns = x.dim(1)?;
                Ok(table.narrow(0, 0, columns)?.unsqueeze(0)?.broadcast_as(x.shape())?.contiguous()?)
            };
            HookSet::new().on(model.spec(), HookPoint::of(0, Site::PosEmbed), hook).unwrap()
        },
    );
    assert!(learned > 2e-4, "gpt2: positions that count padding move no logit by more than {learned:e}");
    // Queries and keys turned on by the row's padding.
    let turned = off_hooked(
        "olmo",
        |_, _| (),
        |model| {
            let spec = model.spec().clone();
            let half = spec.head_dim / 2;
            let theta = spec.rope.as_ref().unwrap().theta;
            let mut hooks = HookSet::new();
            for l in 0..spec.n_layers {
                for site in [Site::RotQ, Site::RotK] {
                    let hook = move |x: Tensor, ctx: &HookCtx| {
                        let pads: Vec<f64> =
                            ctx.real.iter().map(|row| row.iter().filter(|&&real| !real).count() as f64).collect();
                        let angle = |pad: f64, i: usize| pad * theta.powf(-(i as f64) / half as f64);
                        let of = |f: fn(f64) -> f64| {
                            let flat: Vec<f64> = pads
                                .iter()
                                .flat_map(|&pad| (0..half).map(move |i| f(angle(pad, i))).collect::<Vec<_>>())
                                .collect();
                            Tensor::from_vec(flat, (pads.len(), 1, 1, half), x.device())
                        };
                        let (cos, sin) = (of(f64::cos)?, of(f64::sin)?);
                        let (a, b) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
                        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
                        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
                        Ok(Tensor::cat(&[first, second], 3)?)
                    };
                    hooks = hooks.on(&spec, HookPoint::of(l, site), hook).unwrap();
                }
            }
            hooks
        },
    );
    assert!(turned <= 5e-5, "olmo: {turned:e}");
}
