//! Generation: prompts in, tokens out, with a key-value cache.
//!
//! Rows are independent: a row's draws come from a stream of (seed, row, step), so its text doesn't depend on the batch
//! that it is in. Rows that have ended leave the batch once they are a quarter of it; until then they are padding.

mod config;
mod finite;
mod pipeline;
mod prefix;
mod score;

use ashlar_kernels::rng::stream;
use candle_core::DType;

use self::pipeline::{log_sum_exp, most_likely};
pub use self::{
    config::{Finish, FirstToken, GenConfig, Generation, NewToken},
    pipeline::Sampler,
    prefix::Prefix,
    score::LogLik,
};
use super::{cache::KvCache, forward::PassOptions, hooks::HookSet, input::Input, model::Model};
use crate::{Error, Result};

/// Prompts that are continued together.
#[derive(Clone, Debug)]
pub struct Prompts<'a> {
    tokens: &'a [Vec<u32>],
    rows: Vec<usize>,
    prefix: Option<&'a Prefix>,
}

impl<'a> Prompts<'a> {
    /// Prompts of any lengths.
    pub fn new(tokens: &'a [Vec<u32>]) -> Self {
        Self { tokens, rows: (0..tokens.len()).collect(), prefix: None }
    }

    /// Says which row each prompt is: its draws and hooks go by that, whatever the batch.
    ///
    /// # Errors
    /// Where the count differs.
    pub fn as_rows(mut self, rows: Vec<usize>) -> Result<Self> {
        crate::error::same_length("the rows' names", self.tokens.len(), rows.len())?;
        self.rows = rows;
        Ok(self)
    }

    /// Puts a prefix before each prompt, which then may be empty.
    #[must_use]
    pub fn after(mut self, prefix: &'a Prefix) -> Self {
        self.prefix = Some(prefix);
        self
    }
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
        self.generate_batch(&Prompts::new(prompts), std::slice::from_ref(config), hooks, on_token)
    }

    /// [`generate`](Self::generate) with a prefix, with rows of a larger whole, with settings for each row: `configs` has
    /// one entry, or one for each prompt. [`NewToken::row`] counts the prompts of this batch.
    ///
    /// # Errors
    /// As there. Stop strings are refused: they need a tokenizer.
    pub fn generate_batch(
        &self,
        batch: &Prompts,
        configs: &[GenConfig],
        hooks: &HookSet,
        on_token: &mut dyn FnMut(NewToken) -> bool,
    ) -> Result<Vec<Generation>> {
        let count = batch.tokens.len();
        if configs.len() != 1 {
            crate::error::same_length("the settings", count, configs.len())?;
        }
        for config in configs {
            config.check(&self.spec)?;
            if let Some(stop) = config.stop.first() {
                let expected = "empty where tokens are generated: stop strings need a tokenizer".to_owned();
                return Err(Error::Setting { name: "stop", found: format!("{stop:?}"), expected });
            }
        }
        let config = |i: usize| configs.get(i).unwrap_or(&configs[0]);
        let shared = batch.prefix.map_or(&[][..], Prefix::tokens);
        let mut rows: Vec<Row> = batch.tokens.iter().map(|prompt| Row::new(&[shared, prompt].concat())).collect();
        let mut slots: Vec<usize> = (0..count).collect();
        let (mut cache, mut input) = match batch.prefix {
            Some(prefix) => prefix.before(batch.tokens, batch.rows.clone())?,
            None => (KvCache::new(), Input::rows(batch.tokens)?.with_rows(batch.rows.clone())?),
        };
        let options = last_column();
        loop {
            let logits = self.forward_with(&input, Some(&mut cache), hooks, &options)?;
            let last = logits.squeeze(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            for (&i, logits) in slots.iter().zip(last) {
                if rows[i].finish.is_some() {
                    continue;
                }
                if logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
                    let (row, step) = (batch.rows[i], rows[i].logprobs.len());
                    let at = self.first_non_finite(&rows[i].seen, row, hooks)?;
                    return Err(Error::NonFinite { row, step, at });
                }
                let (token, logprob) = rows[i].choose(config(i), logits, batch.rows[i])?;
                let more = on_token(NewToken { row: i, token, logprob });
                rows[i].settle(config(i), config(i).eos.as_ref().unwrap_or(&self.spec.eos), self.spec.max_pos, more);
            }
            let live: Vec<usize> = (0..slots.len()).filter(|&slot| rows[slots[slot]].finish.is_none()).collect();
            if live.is_empty() {
                break;
            }
            if 4 * (slots.len() - live.len()) >= slots.len() {
                cache.retain_rows(&live)?;
                slots = live.into_iter().map(|slot| slots[slot]).collect();
            }
            let next = |&i: &usize| rows[i].finish.map_or(rows[i].seen.last().copied(), |_| None);
            let next: Vec<Option<u32>> = slots.iter().map(next).collect();
            input = Input::step(&next, slots.iter().map(|&i| batch.rows[i]).collect());
        }
        Ok(rows.into_iter().map(Row::finished).collect())
    }

    /// Continues a prefix with each of some prompts, which may be empty.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_from(
        &self,
        prefix: &Prefix,
        prompts: &[Vec<u32>],
        config: &GenConfig,
        hooks: &HookSet,
        on_token: &mut dyn FnMut(NewToken) -> bool,
    ) -> Result<Vec<Generation>> {
        self.generate_batch(&Prompts::new(prompts).after(prefix), std::slice::from_ref(config), hooks, on_token)
    }
}

/// Logits of the last column only.
#[allow(clippy::needless_update)] // more options may come
fn last_column() -> PassOptions {
    PassOptions { last_only: true, ..PassOptions::default() }
}

/// A row while it grows.
struct Row {
    /// Prompt and new tokens.
    seen: Vec<u32>,
    prompt: usize,
    logprobs: Vec<f32>,
    sampled: Vec<f32>,
    top: Vec<Vec<(u32, f32)>>,
    finish: Option<Finish>,
}

impl Row {
    fn new(prompt: &[u32]) -> Self {
        Self {
            seen: prompt.to_vec(),
            prompt: prompt.len(),
            logprobs: Vec::new(),
            sampled: Vec::new(),
            top: Vec::new(),
            finish: None,
        }
    }

    /// Chooses and notes the next token; returns it with its log-probability under the model.
    fn choose(&mut self, config: &GenConfig, mut logits: Vec<f32>, row: usize) -> Result<(u32, f32)> {
        let step = self.logprobs.len();
        let total = log_sum_exp(&logits);
        if config.logprobs > 0 {
            self.top.push(most_likely(&logits, total, config.logprobs));
        }
        let raw = logits.clone();
        let forced = match &config.first_token {
            FirstToken::Force(ids) => ids.get(step).copied(),
            _ => None,
        };
        let (token, sampled) = if let Some(token) = forced {
            (token, 0.0)
        } else {
            let mut allowed = None;
            if step == 0 {
                match &config.first_token {
                    FirstToken::Bias(bias) => bias.iter().for_each(|&(id, bias)| logits[id as usize] += bias),
                    FirstToken::OneOf(ids) => allowed = Some(ids.as_slice()),
                    FirstToken::Free | FirstToken::Force(_) => {}
                }
            }
            config.sampler.adjust(&mut logits, &self.seen, allowed);
            if logits.iter().all(|&l| l == f32::NEG_INFINITY) {
                let found = format!("every token forbidden in row {row}");
                let expected = "at least one token that may follow".to_owned();
                return Err(Error::Setting { name: "bias", found, expected });
            }
            config.sampler.pick(&logits, &mut stream(config.seed, &["sample", &row.to_string(), &step.to_string()]))
        };
        let logprob = (f64::from(raw[token as usize]) - total) as f32;
        self.seen.push(token);
        self.logprobs.push(logprob);
        self.sampled.push(sampled);
        Ok((token, logprob))
    }

    /// Ends the row, if it is time.
    fn settle(&mut self, config: &GenConfig, eos: &[u32], max_pos: usize, more: bool) {
        let full = self.seen.len() >= max_pos || self.logprobs.len() == config.max_new;
        let ends = self.seen.last().is_some_and(|token| eos.contains(token));
        self.finish = match (ends, more, full) {
            (true, ..) => Some(Finish::Eos),
            (_, false, _) => Some(Finish::Stopped),
            (_, _, true) => Some(Finish::Length),
            _ => None,
        };
    }

    fn finished(self) -> Generation {
        Generation {
            tokens: self.seen[self.prompt..].to_vec(),
            logprobs: self.logprobs,
            sampled_logprobs: self.sampled,
            top: self.top,
            finish: self.finish.unwrap_or(Finish::Length),
        }
    }
}
