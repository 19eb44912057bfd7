//! Generation: prompts in, tokens out, with a key-value cache.
//!
//! Rows are independent: a row's draws come from a stream of (seed, row, step), so its text doesn't depend on the batch
//! that it is in. Log-probabilities are those of the model itself, before any step of the pipeline.

mod pipeline;

use ashlar_kernels::rng::stream;
use candle_core::{D, DType, Tensor};

pub use self::pipeline::Sampler;
use self::pipeline::log_softmax;
use super::{cache::KvCache, forward::PassOptions, hooks::HookSet, input::Input, model::Model};
use crate::{Error, Result};

/// What a generation is asked for.
#[derive(Clone, Debug)]
pub struct GenConfig {
    /// Most new tokens a row, at least 1.
    pub max_new: usize,
    /// How tokens are chosen.
    pub sampler: Sampler,
    /// The only tokens that may come first; empty: any.
    pub first_token: Vec<u32>,
    /// Tokens that end a row; `None`: those of the model's configuration.
    pub eos: Option<Vec<u32>>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for GenConfig {
    fn default() -> Self {
        Self { max_new: 128, sampler: Sampler::greedy(), first_token: Vec::new(), eos: None, seed: 0 }
    }
}

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// At a token that ends a text, which is the last of `tokens`.
    Eos,
    /// At `max_new` tokens, or at the model's last position.
    Length,
    /// The caller said so.
    Stopped,
}

/// One row's new tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Their log-probabilities under the model, in nats.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// A token as it is chosen.
#[derive(Clone, Copy, Debug)]
pub struct NewToken {
    /// Row of the prompts.
    pub row: usize,
    /// The token.
    pub token: u32,
    /// Its log-probability under the model, in nats.
    pub logprob: f32,
}

impl Model {
    /// Continues every prompt; `on_token` sees each token and ends its row by returning false.
    ///
    /// # Errors
    /// Wrong settings or prompts, logits that are not finite, or whatever a hook says.
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        config: &GenConfig,
        hooks: &HookSet,
        on_token: &mut dyn FnMut(NewToken) -> bool,
    ) -> Result<Vec<Generation>> {
        let vocab = self.spec.vocab;
        config.sampler.check(vocab)?;
        if config.max_new == 0 {
            let (found, expected) = ("0".to_owned(), "at least 1".to_owned());
            return Err(Error::Setting { name: "max_new", found, expected });
        }
        if let Some(id) = config.first_token.iter().find(|&&id| id as usize >= vocab) {
            let expected = format!("below the vocabulary's {vocab}");
            return Err(Error::Setting { name: "first_token", found: id.to_string(), expected });
        }
        let eos = config.eos.as_deref().unwrap_or(&self.spec.eos);
        let mut rows: Vec<Row> = prompts.iter().map(|prompt| Row::new(prompt)).collect();
        let mut live: Vec<usize> = (0..rows.len()).collect();
        let mut cache = KvCache::new();
        let mut input = Input::rows(prompts)?;
        for step in 0..config.max_new {
            let options = PassOptions { last_only: true, ..PassOptions::default() };
            let logits = self.forward_with(&input, Some(&mut cache), hooks, &options)?;
            let last = logits.squeeze(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            let mut kept = Vec::with_capacity(live.len());
            for (at, (&row, mut logits)) in live.iter().zip(last).enumerate() {
                let (token, logprob) = choose(config, &rows[row], &mut logits, row, step)?;
                rows[row].push(token, logprob);
                let more = on_token(NewToken { row, token, logprob });
                let full = rows[row].seen.len() >= self.spec.max_pos || step + 1 == config.max_new;
                rows[row].finish = if eos.contains(&token) {
                    Finish::Eos
                } else if !more {
                    Finish::Stopped
                } else if full {
                    Finish::Length
                } else {
                    kept.push(at);
                    continue;
                };
            }
            if kept.is_empty() {
                break;
            }
            if kept.len() < live.len() {
                cache.retain_rows(&kept)?;
                live = kept.into_iter().map(|at| live[at]).collect();
            }
            let next: Vec<Vec<u32>> =
                live.iter().map(|&row| rows[row].seen.last().copied().into_iter().collect()).collect();
            input = Input::rows(&next)?.with_rows(live.clone())?;
        }
        Ok(rows.into_iter().map(Row::finished).collect())
    }

    /// Log-probability, in nats, of every token of each row but its first, given those before it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn token_logprobs(&self, rows: &[Vec<u32>], hooks: &HookSet) -> Result<Vec<Vec<f32>>> {
        let input = Input::rows(rows)?;
        let logits = self.forward(&input, None, hooks)?.to_dtype(DType::F32)?;
        let columns = input.columns();
        let of = |(b, row): (usize, &Vec<u32>)| -> Result<Vec<f32>> {
            let logits = logits.get(b)?.narrow(0, columns - row.len(), row.len())?;
            chosen(&logits, row)
        };
        rows.iter().enumerate().map(of).collect()
    }
}

/// log p(row[t + 1] | row[..= t]) from logits [T, V].
fn chosen(logits: &Tensor, row: &[u32]) -> Result<Vec<f32>> {
    let mut result = Vec::with_capacity(row.len().saturating_sub(1));
    debug_assert_eq!(logits.dim(D::Minus2)?, row.len());
    for (t, &next) in row.iter().enumerate().skip(1) {
        let p = log_softmax(&logits.get(t - 1)?.to_vec1::<f32>()?);
        result.push(p[next as usize]);
    }
    Ok(result)
}

fn choose(config: &GenConfig, state: &Row, logits: &mut [f32], row: usize, step: usize) -> Result<(u32, f32)> {
    if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
        return Err(Error::NonFinite { row, step });
    }
    let logprobs = log_softmax(logits);
    let allowed = (step == 0 && !config.first_token.is_empty()).then_some(config.first_token.as_slice());
    config.sampler.adjust(logits, &state.seen, allowed);
    if logits.iter().all(|&l| l == f32::NEG_INFINITY) {
        let expected = "at least one token that may follow".to_owned();
        return Err(Error::Setting { name: "bias", found: format!("every token forbidden in row {row}"), expected });
    }
    let mut rng = stream(config.seed, &["sample", &row.to_string(), &step.to_string()]);
    let token = config.sampler.draw(logits, &mut rng);
    Ok((token, logprobs[token as usize]))
}

/// A row while it grows.
struct Row {
    /// Prompt and new tokens.
    seen: Vec<u32>,
    prompt: usize,
    logprobs: Vec<f32>,
    finish: Finish,
}

impl Row {
    fn new(prompt: &[u32]) -> Self {
        Self { seen: prompt.to_vec(), prompt: prompt.len(), logprobs: Vec::new(), finish: Finish::Length }
    }

    fn push(&mut self, token: u32, logprob: f32) {
        self.seen.push(token);
        self.logprobs.push(logprob);
    }

    fn finished(self) -> Generation {
        Generation { tokens: self.seen[self.prompt..].to_vec(), logprobs: self.logprobs, finish: self.finish }
    }
}
