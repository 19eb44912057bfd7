//! From a text to batches.

use std::path::Path;

use ashlar_kernels::rng::stream;
use rand::Rng;

use super::{
    config::TrainConfig,
    tokens::{self, TokenizerKind},
};
use crate::{Error, Result, lm::Tokenizer};

/// Token streams to train and to validate on, with their tokenizer.
#[derive(Debug)]
pub struct Data {
    /// What is trained on.
    pub train: Vec<u32>,
    /// What is held out.
    pub valid: Vec<u32>,
    /// How the text became ids.
    pub tokenizer: Tokenizer,
}

impl Data {
    /// Reads the file or set that the configuration names.
    ///
    /// # Errors
    /// Where it can't be read, or is too short for one row.
    pub fn load(config: &TrainConfig) -> Result<Self> {
        config.check()?;
        let path = Path::new(&config.data.text);
        if path.is_file() {
            let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
                action: "read",
                path: path.to_owned(),
                source,
            })?;
            return Self::from_text(config, &text);
        }
        let spec = ashlar_data::DataSpec { name: config.data.text.clone(), seed: config.seed, ..Default::default() };
        let split = ashlar_data::load_text(&spec)?;
        let joined = |set: &ashlar_data::TextSet| set.texts().iter().flat_map(|text| [text.as_str(), "\n"]).collect();
        let (train, valid): (String, String) = (joined(&split.train), joined(&split.test));
        Self::from_parts(config, &train, &valid)
    }

    /// Of a text whose end is held out.
    ///
    /// # Errors
    /// Where it is too short for one row.
    pub fn from_text(config: &TrainConfig, text: &str) -> Result<Self> {
        config.check()?;
        let mut at = ((text.len() as f64) * (1.0 - config.data.valid)) as usize;
        while !text.is_char_boundary(at) {
            at += 1;
        }
        Self::from_parts(config, &text[..at], &text[at..])
    }

    fn from_parts(config: &TrainConfig, train: &str, valid: &str) -> Result<Self> {
        let tokenizer = match &config.model.path {
            Some(folder) => Tokenizer::from_folder(folder)?,
            None => config.data.tokenizer.build(train, valid)?,
        };
        let characters = config.model.path.is_none() && config.data.tokenizer == TokenizerKind::Char;
        let encode = |text: &str| match characters.then(|| tokens::encode_characters(&tokenizer, text)).flatten() {
            Some(ids) => Ok(ids),
            None => tokens::encode(&tokenizer, text),
        };
        let (train, valid) = (encode(train)?, encode(valid)?);
        for (what, ids) in [("the text to train on", &train), ("the text to validate on", &valid)] {
            if ids.len() <= config.train.seq {
                return Err(Error::Length { what, expected: config.train.seq + 1, found: ids.len() });
            }
        }
        Ok(Self { train, valid, tokenizer })
    }

    /// Tokens of the vocabulary.
    pub fn vocab(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// The rows of a batch, `seq` + 1 ids each: a function of seed, step and micro-batch.
    pub(super) fn rows(&self, config: &TrainConfig, step: u64, micro: usize) -> Vec<Vec<u32>> {
        let length = config.train.seq + 1;
        let mut rng = stream(config.seed, &["train", "batch", &step.to_string(), &micro.to_string()]);
        let starts = 0..=(self.train.len() - length);
        (0..config.train.batch)
            .map(|_| {
                let start = rng.random_range(starts.clone());
                self.train[start..start + length].to_vec()
            })
            .collect()
    }

    /// Windows that cover the held-out tokens one after the other; the last, which isn't full, is left out.
    pub(super) fn windows(&self, seq: usize) -> Vec<Vec<u32>> {
        let starts = (0..self.valid.len().saturating_sub(seq)).step_by(seq);
        starts.map(|start| self.valid[start..=start + seq].to_vec()).collect()
    }
}
