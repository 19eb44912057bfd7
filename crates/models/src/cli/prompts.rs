//! Prompts and documents from flags and JSON lines.

use std::path::Path;

use ashlar_cli::Failure;
use serde_json::{Map, Value};

use crate::{Error, lm::Prompt};

/// An object with the number of its line.
pub(super) type Line = (usize, Map<String, Value>);

/// Objects of a JSON-lines file.
pub(super) fn objects(path: &Path) -> Result<Vec<Line>, Failure> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source });
    let bytes = bytes.map_err(|error| Failure::usage(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::usage(format!("{}: not UTF-8 at byte {at}", path.display()))
    })?;
    let lines = text.lines().zip(1_usize..).filter(|(line, _)| !line.trim().is_empty());
    let object = |(line, number): (&str, usize)| {
        let object =
            serde_json::from_str(line).map_err(|error| wrong(path, number, &format!("no JSON object ({error})")));
        Ok((number, object?))
    };
    let objects = lines.map(object).collect::<Result<Vec<_>, Failure>>()?;
    if objects.is_empty() {
        return Err(Failure::usage(format!("{}: no lines", path.display())).help("write one JSON object a line"));
    }
    Ok(objects)
}

pub(super) fn wrong(path: &Path, line: usize, what: &str) -> Failure {
    Failure::usage(format!("{}, line {line}: {what}", path.display()))
        .help("write one JSON object a line: {\"prompt\": \"…\"}, {\"messages\": […]} or {\"tokens\": […]}")
}

/// Token ids as a line lists them.
pub(super) fn tokens(path: &Path, line: usize, value: &Value) -> Result<Vec<u32>, Failure> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = value.as_array().and_then(|ids| ids.iter().map(id).collect());
    ids.ok_or_else(|| wrong(path, line, &format!("tokens = {value} is no list of token ids")))
}

/// A line as a prompt.
pub(super) fn prompt(path: &Path, line: usize, object: &Map<String, Value>, chat: bool) -> Result<Prompt, Failure> {
    if let Some(ids) = object.get("tokens") {
        return Ok(Prompt::Tokens(tokens(path, line, ids)?));
    }
    if let Some(messages) = object.get("messages") {
        let messages = messages.as_array().filter(|messages| messages.iter().all(Value::is_object));
        let messages = messages.ok_or_else(|| wrong(path, line, "`messages` is no list of objects"))?;
        return Ok(Prompt::Chat(messages.clone()));
    }
    match ["prompt", "text"].iter().find_map(|key| object.get(*key)) {
        Some(Value::String(text)) => Ok(text_prompt(text, chat)),
        Some(other) => Err(wrong(path, line, &format!("the prompt {other} is no text"))),
        None => {
            let has = object.keys().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(wrong(path, line, &format!("neither `prompt` nor `messages` nor `tokens`; there is {has}")))
        }
    }
}

/// A text, as it stands or as a user's message.
pub(super) fn text_prompt(text: &str, chat: bool) -> Prompt {
    if chat {
        Prompt::Chat(vec![serde_json::json!({ "role": "user", "content": text })])
    } else {
        Prompt::Text(text.to_owned())
    }
}
