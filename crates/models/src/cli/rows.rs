//! Rows of token ids, from flags or a file.

use std::path::{Path, PathBuf};

use ashlar_cli::Failure;
use clap::Args;
use serde_json::Value;

use super::prompts;
use crate::lm::TextModel;

/// Where the rows come from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Rows {
    /// One row a line: {"tokens": [3, 17, 4]}, {"prompt": "…"}, {"text": "…"} or {"messages": […]}.
    #[arg(long, value_name = "FILE.jsonl")]
    data: Option<PathBuf>,
    /// Token ids of one row, separated by commas; repeat it for more rows. None is added.
    #[arg(long = "token-ids", value_name = "ID,ID,…", allow_hyphen_values = true)]
    token_ids: Vec<String>,
}

/// Rows as they were read, before there is a model.
pub(super) enum Read<'a> {
    Tokens(Vec<Vec<u32>>),
    Lines(&'a Path, Vec<prompts::Line>),
}

impl Rows {
    pub fn read(&self) -> Result<Read<'_>, Failure> {
        let ids = |(row, text): (usize, &String)| super::logits::parse(row, text);
        Ok(match &self.data {
            Some(path) => Read::Lines(path, prompts::objects(path)?),
            None => Read::Tokens(self.token_ids.iter().enumerate().map(ids).collect::<Result<_, _>>()?),
        })
    }
}

impl Read<'_> {
    /// Their tokens; text needs the checkpoint's tokenizer.
    pub fn tokens(self, model: &TextModel) -> Result<Vec<Vec<u32>>, Failure> {
        let (path, lines) = match self {
            Self::Tokens(rows) => return Ok(rows),
            Self::Lines(path, lines) => (path, lines),
        };
        let row = |(line, object): (usize, serde_json::Map<String, Value>)| {
            let ids = match object.get("tokens") {
                Some(ids) => prompts::tokens(path, line, ids)?,
                None => model.encode(&prompts::prompt(path, line, &object, false)?)?,
            };
            if ids.is_empty() { Err(prompts::wrong(path, line, "the row has no token")) } else { Ok(ids) }
        };
        lines.into_iter().map(row).collect()
    }
}
