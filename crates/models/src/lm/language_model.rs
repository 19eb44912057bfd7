//! What evaluations and audits ask of a language model, wherever it runs.

use candle_core::Tensor;
use serde_json::Value;

use super::generate::{Finish, GenConfig, LogLik};
use crate::{Error, Result};

/// What a model continues.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A text; the special tokens that the tokenizer adds are added.
    Text(String),
    /// Token ids; nothing is added.
    Tokens(Vec<u32>),
    /// A conversation, objects with `role` and `content`, rendered by the model's chat template up to the opening of the
    /// assistant's next message; nothing is added.
    Chat(Vec<Value>),
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u32>> for Prompt {
    fn from(tokens: Vec<u32>) -> Self {
        Self::Tokens(tokens)
    }
}

/// What is scored after a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum Continuation {
    /// A text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

impl From<&str> for Continuation {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u32>> for Continuation {
    fn from(tokens: Vec<u32>) -> Self {
        Self::Tokens(tokens)
    }
}

/// A continued prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct TextGeneration {
    /// The new text, without special tokens, cut at a stop string.
    pub text: String,
    /// The new tokens, those of a stop string and the one that ended the text included; empty where they are unknown.
    pub tokens: Vec<u32>,
    /// Their log-probabilities under the model, in nats; empty where they are unknown.
    pub logprobs: Vec<f32>,
    /// The most likely tokens at each place, as many as were asked for.
    pub top: Vec<Vec<(u32, f32)>>,
    /// Why it ended.
    pub finish: Finish,
}

/// What a model can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Log-likelihoods of given continuations.
    pub logprobs: bool,
    /// Hooks on activations.
    pub hooks: bool,
    /// Conversations.
    pub chat: bool,
    /// Hidden states.
    pub hidden_states: bool,
}

/// A language model, in this process or behind an interface.
///
/// What a model can't do it says in [`capabilities`](Self::capabilities) and refuses with [`Error::Unsupported`]; it
/// never makes up a number.
pub trait LanguageModel {
    /// Log-likelihood of each continuation after its prompt.
    ///
    /// # Errors
    /// Wrong input, with the row, or a failing model.
    fn loglikelihood(&self, pairs: &[(Prompt, Continuation)]) -> Result<Vec<LogLik>>;

    /// Continues each prompt.
    ///
    /// # Errors
    /// Wrong input, with the row, or a failing model.
    fn generate(&self, prompts: &[Prompt], config: &GenConfig) -> Result<Vec<TextGeneration>>;

    /// What the model can be asked for.
    fn capabilities(&self) -> Caps;

    /// The residual stream after a block at each token of each prompt, `[T, d]` each.
    ///
    /// # Errors
    /// Wrong input, or a model that doesn't show them.
    fn hidden_states(&self, prompts: &[Prompt], layer: usize) -> Result<Vec<Tensor>> {
        let _ = (prompts, layer);
        Err(Error::Unsupported { what: "hidden states" })
    }
}
