//! A model with its tokenizer: text in, text out.
//!
//! # How a prompt and its continuation become tokens
//!
//! As in lm-evaluation-harness: white space at the end of the prompt moves to the start of the continuation, both
//! together are encoded, and what the prompt alone gives is cut off at the front, by count. So tokens may be merged
//! across the border only inside the continuation. A prompt without tokens is the tokenizer's `bos_token`, else its
//! `eos_token`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::{
    generate::{Finish, GenConfig, LogLik, Prompts},
    hooks::{HookPoint, HookSet, Site},
    input::Input,
    language_model::{Caps, Continuation, LanguageModel, Prompt, TextGeneration},
    model::Model,
    text::{ChatOptions, ChatTemplates, StopStrings, TextStream, Tokenizer, effective_eos},
};
use crate::{Error, Result};

/// A model, its tokenizer, its chat templates.
#[derive(Clone, Debug)]
pub struct TextModel {
    /// The model.
    pub model: Model,
    /// The tokenizer; without it prompts are token ids, and generations have no text.
    pub tokenizer: Option<Tokenizer>,
    /// Chat templates.
    pub templates: ChatTemplates,
    /// Tokens that end a text, unless a generation names others.
    pub eos: Vec<u32>,
    /// Hooks of every pass.
    pub hooks: HookSet,
    /// Most rows that are read together.
    pub batch: usize,
}

/// New text of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece<'t> {
    /// Row of the prompts.
    pub row: usize,
    /// The text, which may be empty: part of a character, or of a stop string, is held back.
    pub text: &'t str,
    /// The token with its log-probability under the model; `None` for what was held back until the row's end.
    pub token: Option<(u32, f32)>,
}

impl TextModel {
    /// A model with a tokenizer in memory.
    pub fn new(model: Model, tokenizer: Tokenizer) -> Self {
        let eos = model.spec().eos.clone();
        Self {
            model,
            tokenizer: Some(tokenizer),
            templates: ChatTemplates::default(),
            eos,
            hooks: HookSet::new(),
            batch: 8,
        }
    }

    /// Loads a checkpoint folder; `tokenizer.json` and chat templates may be missing.
    ///
    /// # Errors
    /// As [`Model::load`], and where a file beside the weights is wrong.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        Self::around(Model::load(folder, dtype, device)?, folder)
    }

    /// A model with the tokenizer, chat templates and ends of text of a folder.
    ///
    /// # Errors
    /// Where one of the files is wrong.
    pub fn around(model: Model, folder: &Path) -> Result<Self> {
        let there = folder.join("tokenizer.json").is_file();
        Ok(Self {
            tokenizer: there.then(|| Tokenizer::from_folder(folder)).transpose()?,
            templates: ChatTemplates::from_folder(folder)?,
            eos: effective_eos(folder, model.spec())?,
            model,
            hooks: HookSet::new(),
            batch: 8,
        })
    }

    fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    /// A conversation as text, up to the opening of the assistant's next message.
    ///
    /// # Errors
    /// As [`ChatTemplates::render`].
    pub fn render(&self, messages: &[serde_json::Value]) -> Result<String> {
        let options = ChatOptions { add_generation_prompt: true, ..ChatOptions::default() };
        self.templates.render(messages, self.tokenizer()?.special(), &options)
    }

    /// Tokens of a prompt.
    ///
    /// # Errors
    /// Where there is no tokenizer or no chat template, or one fails.
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        match prompt {
            Prompt::Tokens(tokens) => Ok(tokens.clone()),
            Prompt::Text(text) => self.tokenizer()?.encode_with_special(text),
            Prompt::Chat(messages) => self.tokenizer()?.encode(&self.render(messages)?),
        }
    }

    /// Tokens of a prompt and of its continuation, by the rule at the head of this module.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); [`Error::NoToken`] where the prompt has no token and none stands for that.
    pub fn encode_pair(&self, prompt: &Prompt, continuation: &Continuation) -> Result<(Vec<u32>, Vec<u32>)> {
        let text = match continuation {
            Continuation::Tokens(tokens) => return Ok((self.or_first(self.encode(prompt)?)?, tokens.clone())),
            Continuation::Text(text) => text,
        };
        let tokenizer = self.tokenizer()?;
        let (before, special) = match prompt {
            Prompt::Tokens(tokens) => return Ok((self.or_first(tokens.clone())?, tokenizer.encode(text)?)),
            Prompt::Text(before) => (before.clone(), true),
            Prompt::Chat(messages) => (self.render(messages)?, false),
        };
        let encode = |text: &str| {
            if special { tokenizer.encode_with_special(text) } else { tokenizer.encode(text) }
        };
        let stem = before.trim_end();
        let text = format!("{}{text}", &before[stem.len()..]);
        if stem.is_empty() {
            return Ok((self.or_first(encode("")?)?, tokenizer.encode(&text)?));
        }
        let prompt = encode(stem)?;
        let whole = encode(&format!("{stem}{text}"))?;
        let rest = whole.get(prompt.len()..).unwrap_or_default().to_vec();
        Ok((self.or_first(prompt)?, rest))
    }

    /// The tokens, or the one that begins a text.
    fn or_first(&self, tokens: Vec<u32>) -> Result<Vec<u32>> {
        if !tokens.is_empty() {
            return Ok(tokens);
        }
        let by_role = |role| self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.special_id(role));
        let spec = self.model.spec();
        let first = by_role("bos_token").or(spec.bos).or_else(|| by_role("eos_token")).or(self.eos.first().copied());
        first.map(|id| vec![id]).ok_or(Error::NoToken)
    }

    /// Continues each prompt; `on_piece` sees text as it becomes final and ends a row by returning false.
    ///
    /// Rows are read by length, [`batch`](Self::batch) at a time; their draws don't depend on that.
    ///
    /// # Errors
    /// Wrong settings or prompts, with the row, or a failing model.
    pub fn generate_with(
        &self,
        prompts: &[Prompt],
        config: &GenConfig,
        on_piece: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<Vec<TextGeneration>> {
        self.generate_rows(prompts, 0, config, on_piece)
    }

    /// [`generate_with`](Self::generate_with) for a part of more prompts, the first of which is row `first`.
    ///
    /// # Errors
    /// As there.
    pub fn generate_rows(
        &self,
        prompts: &[Prompt],
        first: usize,
        config: &GenConfig,
        on_piece: &mut dyn FnMut(Piece) -> bool,
    ) -> Result<Vec<TextGeneration>> {
        let stops = StopStrings::new(&config.stop)?;
        if !config.stop.is_empty() {
            self.tokenizer()?;
        }
        config.check(self.model.spec())?;
        let mut tokens = Vec::with_capacity(prompts.len());
        for (row, prompt) in prompts.iter().enumerate() {
            tokens.push(self.fit(first + row, self.encode(prompt)?, config)?);
        }
        let eos = config.eos.clone().unwrap_or_else(|| self.eos.clone());
        let config = GenConfig { stop: Vec::new(), eos: Some(eos.clone()), ..config.clone() };
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&row| (tokens[row].len(), row));
        let mut result: Vec<Option<TextGeneration>> = vec![None; prompts.len()];
        for rows in order.chunks(self.batch.max(1)) {
            let batch: Vec<Vec<u32>> = rows.iter().map(|&row| tokens[row].clone()).collect();
            let mut texts = vec![String::new(); rows.len()];
            let stream = |_| self.tokenizer.as_ref().map(|tokenizer| TextStream::new(tokenizer, stops.clone()));
            let mut streams: Vec<Option<TextStream>> = (0..rows.len()).map(stream).collect();
            let mut failed = None;
            let generations = self.model.generate_batch(
                &Prompts::new(&batch).as_rows(rows.iter().map(|row| first + row).collect())?,
                std::slice::from_ref(&config),
                &self.hooks,
                &mut |new| {
                    let stream = streams[new.row].as_mut().filter(|_| !eos.contains(&new.token));
                    let (piece, stopped) = match stream.map(|stream| (stream.push(new.token), stream.stopped())) {
                        Some((Ok(piece), stopped)) => (piece, stopped),
                        Some((Err(error), _)) => {
                            failed = Some(error);
                            (String::new(), true)
                        }
                        None => (String::new(), false),
                    };
                    texts[new.row].push_str(&piece);
                    let token = Some((new.token, new.logprob));
                    on_piece(Piece { row: first + rows[new.row], text: &piece, token }) && !stopped
                },
            )?;
            if let Some(error) = failed {
                return Err(error);
            }
            for (i, generation) in generations.into_iter().enumerate() {
                let mut finish = generation.finish;
                if let Some(stream) = &mut streams[i] {
                    let rest = stream.finish()?;
                    if !rest.is_empty() {
                        on_piece(Piece { row: first + rows[i], text: &rest, token: None });
                    }
                    texts[i].push_str(&rest);
                    if stream.stopped() {
                        finish = Finish::Stopped;
                    }
                }
                result[rows[i]] = Some(TextGeneration {
                    text: std::mem::take(&mut texts[i]),
                    tokens: generation.tokens,
                    logprobs: generation.logprobs,
                    top: generation.top,
                    finish,
                });
            }
        }
        Ok(result.into_iter().flatten().collect())
    }

    /// A prompt that the model can read, cut on the left if that is wanted.
    fn fit(&self, row: usize, mut tokens: Vec<u32>, config: &GenConfig) -> Result<Vec<u32>> {
        let spec = self.model.spec();
        if config.truncate_left {
            let room = spec.max_pos.saturating_sub(config.max_new).max(1);
            tokens.drain(..tokens.len().saturating_sub(room));
        }
        if tokens.is_empty() {
            return Err(Error::EmptyRow { row });
        }
        if let Some(column) = tokens.iter().position(|&id| id as usize >= spec.vocab) {
            return Err(Error::TokenId { row, column, id: tokens[column], vocab: spec.vocab });
        }
        if tokens.len() > spec.max_pos {
            return Err(Error::TooLong { row, found: tokens.len(), max: spec.max_pos });
        }
        Ok(tokens)
    }
}

impl LanguageModel for TextModel {
    fn loglikelihood(&self, pairs: &[(Prompt, Continuation)]) -> Result<Vec<LogLik>> {
        let encoded = pairs.iter().map(|(prompt, continuation)| self.encode_pair(prompt, continuation));
        self.model.loglikelihoods(&encoded.collect::<Result<Vec<_>>>()?, self.batch, &self.hooks)
    }

    fn generate(&self, prompts: &[Prompt], config: &GenConfig) -> Result<Vec<TextGeneration>> {
        self.generate_with(prompts, config, &mut |_| true)
    }

    fn capabilities(&self) -> Caps {
        let chat = self.tokenizer.is_some() && !self.templates.is_empty();
        Caps { logprobs: true, hooks: true, chat, hidden_states: true }
    }

    fn hidden_states(&self, prompts: &[Prompt], layer: usize) -> Result<Vec<Tensor>> {
        let spec = self.model.spec();
        let point = HookPoint::of(layer, Site::ResidPost);
        let mut states = Vec::with_capacity(prompts.len());
        for (row, prompt) in prompts.iter().enumerate() {
            let tokens = self.fit(row, self.encode(prompt)?, &GenConfig::default())?;
            let (hooks, captured) = self.hooks.clone().capture(spec, &[point])?;
            self.model.forward(&Input::rows(&[tokens])?.with_rows(vec![row])?, None, &hooks)?;
            let state = captured.get(point).ok_or(Error::Unsupported { what: "hidden states" })?;
            states.push(state.get(0)?);
        }
        Ok(states)
    }
}
