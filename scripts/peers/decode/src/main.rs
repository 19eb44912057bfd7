//! candle-transformers' llama with the shapes of `benches/benches/decode.rs`: `cargo run --release`.

use std::{collections::HashMap, time::Instant};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Config, Llama};

const PAST: usize = 128;

fn config() -> Config {
    Config {
        hidden_size: 768,
        intermediate_size: 2048,
        vocab_size: 32_000,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        num_key_value_heads: 4,
        use_flash_attn: false,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        bos_token_id: None,
        eos_token_id: None,
        rope_scaling: None,
        max_position_embeddings: 4096,
        tie_word_embeddings: true,
    }
}

fn weights(config: &Config, dtype: DType) -> Result<(HashMap<String, Tensor>, usize)> {
    let (d, ff, kv) = (config.hidden_size, config.intermediate_size, 4 * 64);
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![config.vocab_size, d])];
    for l in 0..config.num_hidden_layers {
        for (name, shape) in [
            ("self_attn.q_proj", vec![d, d]),
            ("self_attn.k_proj", vec![kv, d]),
            ("self_attn.v_proj", vec![kv, d]),
            ("self_attn.o_proj", vec![d, d]),
            ("mlp.gate_proj", vec![ff, d]),
            ("mlp.up_proj", vec![ff, d]),
            ("mlp.down_proj", vec![d, ff]),
            ("input_layernorm", vec![d]),
            ("post_attention_layernorm", vec![d]),
        ] {
            shapes.push((format!("model.layers.{l}.{name}.weight"), shape));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![d]));
    let count = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let tensor = |shape: Vec<usize>| Tensor::randn(0f32, 0.02, shape, &Device::Cpu)?.to_dtype(dtype);
    let map = shapes.into_iter().map(|(name, shape)| Ok((name, tensor(shape)?))).collect::<Result<_>>()?;
    Ok((map, count))
}

fn rows(batch: usize, columns: usize) -> Result<Tensor> {
    let ids: Vec<u32> =
        (0..batch * columns).map(|i| ((i / columns * 7919 + i % columns * 104_729) % 32_000) as u32).collect();
    Tensor::from_vec(ids, (batch, columns), &Device::Cpu)
}

fn shortest(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn main() -> Result<()> {
    let config = config();
    for dtype in [DType::F32, DType::BF16] {
        let (map, count) = weights(&config, dtype)?;
        let model = Llama::load(VarBuilder::from_tensors(map, dtype, &Device::Cpu), &config)?;
        for batch in [1, 8] {
            let mut cache = Cache::new(true, dtype, &config, &Device::Cpu)?;
            model.forward(&rows(batch, PAST)?, 0, &mut cache)?;
            let next = rows(batch, 1)?;
            let best = shortest(10, || model.forward(&next, PAST, &mut cache.clone()).map(|_| ()))?;
            let bytes = (count * dtype.size_in_bytes()) as f64;
            println!("decode/b{batch}/{dtype:?}: {:.1} tokens/s, {:.1} GB/s", batch as f64 / best, bytes / best / 1e9);
        }
        for columns in [128, 1024] {
            let input = rows(1, columns)?;
            let best = shortest(3, || {
                let mut cache = Cache::new(true, dtype, &config, &Device::Cpu)?;
                model.forward(&input, 0, &mut cache).map(|_| ())
            })?;
            println!("prefill/{columns}/{dtype:?}: {:.0} tokens/s", columns as f64 / best);
        }
    }
    Ok(())
}
