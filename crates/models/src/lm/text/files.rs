//! The small JSON files beside `tokenizer.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::SpecialTokens;
use crate::{Error, Result, lm::ModelSpec};

/// A JSON object of a folder; `None`: there is no such file.
pub(super) fn object(folder: &Path, name: &str) -> Result<Option<Map<String, Value>>> {
    let path = folder.join(name);
    let Some(text) = text(&path)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(_) => Err(wrong(path, "not a JSON object".to_owned(), "write one object")),
        Err(source) => Err(Error::Json { path, source }),
    }
}

/// A text file; `None`: there is none.
pub(super) fn text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// Writes a file aside and renames it.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    let aside = path.with_file_name(name);
    let written = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path));
    written.map_err(|source| {
        // Best effort: the write's own error is the one to tell.
        let _ = std::fs::remove_file(&aside);
        Error::Io { action: "write", path: path.to_owned(), source }
    })
}

pub(super) fn wrong(path: PathBuf, problem: String, remedy: &str) -> Error {
    Error::TokenizerFile { path, problem, remedy: remedy.to_owned() }
}

/// Special tokens by role: those of `tokenizer_config.json`, then what only `special_tokens_map.json` names.
pub(super) fn special_tokens(folder: &Path) -> Result<SpecialTokens> {
    let mut tokens = SpecialTokens::new();
    for file in ["tokenizer_config.json", "special_tokens_map.json"] {
        for (role, value) in object(folder, file)?.unwrap_or_default() {
            if !role.ends_with("_token") || role.starts_with("add_") || tokens.contains_key(&role) {
                continue;
            }
            // A token is a text, or an object with its text as `content`.
            let text = match &value {
                Value::Null | Value::Bool(_) => continue,
                Value::Object(object) => object.get("content").and_then(Value::as_str),
                other => other.as_str(),
            };
            let Some(text) = text else {
                let (path, problem) = (folder.join(file), format!("{role} = {value} is no token"));
                return Err(wrong(path, problem, "write its text, or an object with the text as `content`"));
            };
            tokens.insert(role, text.to_owned());
        }
    }
    Ok(tokens)
}

/// Tokens that end a text: those of `generation_config.json` where it names any, else those of `config.json`.
///
/// # Errors
/// Where `generation_config.json` isn't JSON, or its `eos_token_id` is no id or list of ids.
pub fn effective_eos(folder: &Path, spec: &ModelSpec) -> Result<Vec<u32>> {
    const NAME: &str = "generation_config.json";
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let config = object(folder, NAME)?.unwrap_or_default();
    let ids = match config.get("eos_token_id") {
        None | Some(Value::Null) => return Ok(spec.eos.clone()),
        Some(Value::Array(ids)) => ids.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| {
        let problem = format!("eos_token_id = {} is no token id", config["eos_token_id"]);
        wrong(folder.join(NAME), problem, "write an id or a list of ids")
    })
}
