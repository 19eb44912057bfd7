//! What a generation is asked for, and what comes of it.

use super::pipeline::Sampler;
use crate::{Error, Result, lm::ModelSpec};

/// What a generation is asked for.
#[derive(Clone, Debug)]
pub struct GenConfig {
    /// Most new tokens a row, at least 1.
    pub max_new: usize,
    /// How tokens are chosen.
    pub sampler: Sampler,
    /// What may come first.
    pub first_token: FirstToken,
    /// Tokens that end a row; `None`: those of the model's configuration.
    pub eos: Option<Vec<u32>>,
    /// Texts that end a row and are cut off; they need a tokenizer.
    pub stop: Vec<String>,
    /// Seed of the draws.
    pub seed: u64,
    /// How many of the most likely tokens are told with each new one.
    pub logprobs: usize,
    /// Keep the end of a prompt that is too long, with room for `max_new` tokens; else that is an error. Only where
    /// prompts are text.
    pub truncate_left: bool,
}

impl Default for GenConfig {
    fn default() -> Self {
        Self {
            max_new: 128,
            sampler: Sampler::greedy(),
            first_token: FirstToken::Free,
            eos: None,
            stop: Vec::new(),
            seed: 0,
            logprobs: 0,
            truncate_left: false,
        }
    }
}

impl GenConfig {
    /// Refuses settings that mean nothing for this model.
    ///
    /// # Errors
    /// [`Error::Setting`] with the name and the range.
    pub fn check(&self, spec: &ModelSpec) -> Result<()> {
        self.sampler.check(spec.vocab)?;
        let wrong = |name, found: String, expected: String| Err(Error::Setting { name, found, expected });
        if self.max_new == 0 {
            return wrong("max_new", "0".to_owned(), "at least 1".to_owned());
        }
        if self.logprobs > spec.vocab {
            return wrong("logprobs", self.logprobs.to_string(), format!("at most the vocabulary's {}", spec.vocab));
        }
        let bias = match &self.first_token {
            FirstToken::Bias(bias) => bias.iter().find(|(_, b)| b.is_nan() || *b == f32::INFINITY),
            FirstToken::OneOf(ids) if ids.is_empty() => {
                return wrong(
                    "first_token",
                    "no token".to_owned(),
                    "at least one token that may come first".to_owned(),
                );
            }
            _ => None,
        };
        if let Some((id, bias)) = bias {
            return wrong("first_token", format!("bias {bias} on token {id}"), "a number, or −∞".to_owned());
        }
        match self.first_token.ids().into_iter().find(|&id| id as usize >= spec.vocab) {
            Some(id) => wrong("first_token", id.to_string(), format!("below the vocabulary's {}", spec.vocab)),
            None => Ok(()),
        }
    }
}

/// What may come first: refusal tokens, prefilled answers, multiple choice.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum FirstToken {
    /// Anything.
    #[default]
    Free,
    /// Anything, with this added to logits of the first token; −∞ forbids.
    Bias(Vec<(u32, f32)>),
    /// One of these.
    OneOf(Vec<u32>),
    /// These, one after the other; they count as new tokens.
    Force(Vec<u32>),
}

impl FirstToken {
    fn ids(&self) -> Vec<u32> {
        match self {
            Self::Free => Vec::new(),
            Self::Bias(bias) => bias.iter().map(|&(id, _)| id).collect(),
            Self::OneOf(ids) | Self::Force(ids) => ids.clone(),
        }
    }
}

/// Why a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// At a token that ends a text, which is the last of `tokens`.
    Eos,
    /// At `max_new` tokens, or at the model's last position.
    Length,
    /// At a stop string, or the caller said so.
    Stopped,
}

impl Finish {
    /// As results name it: `eos`, `length`, `stop`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::Length => "length",
            Self::Stopped => "stop",
        }
    }
}

/// One row's new tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Their log-probabilities under the model, in nats.
    pub logprobs: Vec<f32>,
    /// Their log-probabilities after the pipeline, in nats: 0 for a forced token; of greedy ones those of the logits
    /// that the maximum was taken of.
    pub sampled_logprobs: Vec<f32>,
    /// The most likely tokens at each place under the model, with their log-probabilities; as many as were asked for.
    pub top: Vec<Vec<(u32, f32)>>,
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
