//! `adapters CHECKPOINT OUT`: adapters of every kind that the checkpoint's family can have, with random values, and the
//! logits that they give, for `scripts/checks/peft_loads.py`.

use std::{collections::HashMap, env, fs, path::PathBuf};

use ashlar_models::lm::{AdapterSpec, HookSet, InitA, Input, Model, Targets};
use candle_core::{DType, Device, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(out)) = (paths.next(), paths.next()) else { return Err("usage: adapters FROM OUT".into()) };
    let base = Model::load(&from, DType::F64, &Device::Cpu)?;
    fs::create_dir_all(&out)?;
    let ids: Vec<u32> = (3..20).collect();
    let experts = base.spec().moe.iter().any(Option::is_some);
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    // PEFT 0.21 on transformers 5 reads every gate_proj, up_proj and down_proj of these families as their experts'.
    let mixed =
        experts && base.params().keys().any(|name| name.ends_with("gate_proj.weight") && !name.contains(".experts."));
    let targets =
        if mixed { Targets::List(list(&["q_proj", "k_proj", "v_proj", "o_proj"])) } else { Targets::AllLinear };
    let small = || AdapterSpec { r: 4, alpha: 8.0, targets: targets.clone(), ..AdapterSpec::default() };
    let mut kinds = vec![
        ("lora", small()),
        ("rslora", AdapterSpec { rs: true, init: InitA::Gaussian, ..small() }),
        ("dora", AdapterSpec { dora: true, ..small() }),
        (
            "patterns",
            AdapterSpec {
                targets: Targets::Regex(r".*(self_attn\.[qkvo]_proj|attn\.c_\w+)".to_owned()),
                rank_pattern: vec![("1.(self_attn.q_proj|attn.c_attn)".to_owned(), 2), ("c_attn|q_proj".to_owned(), 3)],
                alpha_pattern: vec![("[kqc]_(proj|attn)".to_owned(), 5.0)],
                ..small()
            },
        ),
        (
            "layers",
            AdapterSpec {
                targets: Targets::List(list(&["q_proj", "v_proj", "c_fc"])),
                exclude: Some(Targets::List(list(&["self_attn.v_proj"]))),
                layers: Some(vec![1]),
                ..small()
            },
        ),
    ];
    if base.spec().qkv_bias && base.spec().family.model_type() != "gpt2" {
        let targets = Targets::List(list(&["q_proj", "v_proj"]));
        kinds.push(("bias", AdapterSpec { bias: true, targets, ..small() }));
    }
    if experts {
        let target_parameters = list(&["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.gate.weight"]);
        kinds.push(("experts", AdapterSpec { target_parameters, ..small() }));
    }
    for (kind, spec) in kinds {
        let model = base.inject_lora(&spec, 1)?;
        for (name, var) in model.vars() {
            let noise = Tensor::randn_like(var.as_tensor(), 0.0, 0.15)?;
            let start = if name.ends_with("magnitude_vector") { 1.0 } else { 0.5 };
            var.set(&((var.as_tensor() * start)? + noise)?)?;
        }
        model.save_adapter(&out.join(kind))?;
        let logits = |model: &Model| model.forward(&Input::rows(std::slice::from_ref(&ids))?, None, &HookSet::new());
        let tensors = HashMap::from([
            ("logits", logits(&model)?),
            ("merged", logits(&model.merge()?)?),
            ("base", logits(&base)?),
        ]);
        candle_core::safetensors::save(&tensors, out.join(format!("{kind}.safetensors")))?;
    }
    Ok(())
}
