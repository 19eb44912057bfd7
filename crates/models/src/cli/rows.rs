//! Rows of token ids, from flags or a file.

use std::path::{Path, PathBuf};

use ashlar_cli::Failure;
use clap::Args;
use serde_json::Value;

use crate::Error;

/// Where the rows come from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Rows {
    /// One row a line: {"tokens": [3, 17, 4]}.
    #[arg(long, value_name = "FILE.jsonl")]
    data: Option<PathBuf>,
    /// Token ids of one row, separated by commas; repeat it for more rows. None is added.
    #[arg(long = "token-ids", value_name = "ID,ID,…", allow_hyphen_values = true)]
    token_ids: Vec<String>,
}

impl Rows {
    pub fn read(&self) -> Result<Vec<Vec<u32>>, Failure> {
        match &self.data {
            Some(path) => read(path),
            None => self.token_ids.iter().enumerate().map(|(row, text)| super::logits::parse(row, text)).collect(),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Vec<u32>>, Failure> {
    let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
    // A file that isn't there is a wrong path, not a failure while running.
    let text = std::fs::read_to_string(path).map_err(|error| Failure::usage(io(error).to_string()))?;
    let mut rows = Vec::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = |what: &str| {
            Failure::usage(format!("{}, line {}: {what}", path.display(), line + 1))
                .help("each line is an object with a list of token ids: {\"tokens\": [3, 17, 4]}")
        };
        let json: Value = serde_json::from_str(text).map_err(|error| wrong(&format!("not valid JSON: {error}")))?;
        let tokens = json.get("tokens").and_then(Value::as_array).ok_or_else(|| wrong("there is no list `tokens`"))?;
        let id = |(index, value): (usize, &Value)| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| wrong(&format!("entry {index} of `tokens` is {value}, not a token id")))
        };
        let row: Vec<u32> = tokens.iter().enumerate().map(id).collect::<Result<_, _>>()?;
        if row.is_empty() {
            return Err(wrong("`tokens` is empty"));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Failure::usage(format!("{}: there is no row", path.display())));
    }
    Ok(rows)
}
