//! Chat templates: a conversation as the text that the model was trained on.
//!
//! Rendered by minijinja as transformers renders with Jinja: blocks trimmed, Python's methods on strings and mappings,
//! `tojson`, `raise_exception`, `strftime_now` (in UTC here, local time there), values printed as Python prints them,
//! `{% generation %}` blocks. The text holds its special tokens: encode it with [`Tokenizer::encode`], which adds none.
//!
//! Templates are code from strangers: they can read nothing but their variables, and a loop without end stops after
//! 10 million steps. The size of one string that a template builds isn't bounded.

mod python;

use std::{
    collections::BTreeMap,
    error::Error as _,
    fmt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use minijinja::{
    Environment, ErrorKind, Value as Jinja,
    value::{Kwargs, ValueKind},
};
use regex::Regex;
use serde_json::{Map, Value};

use super::{SpecialTokens, files};
use crate::{Error, Result};

/// Steps after which a template is stopped; those in use take some hundreds a message.
const FUEL: u64 = 10_000_000;

/// A checkpoint's chat templates by name; the usual one is `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatTemplates {
    by_name: BTreeMap<String, String>,
}

/// What a conversation is rendered with.
#[derive(Clone, Debug, Default)]
pub struct ChatOptions {
    /// End with the opening of the assistant's next message.
    pub add_generation_prompt: bool,
    /// Tools as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Name of the template; `None`: `tool_use` with tools where there is one, else `default`.
    pub template: Option<String>,
    /// More variables, over special tokens of the same name.
    pub variables: Map<String, Value>,
    /// What `strftime_now` takes for now; `None`: the clock.
    pub now: Option<SystemTime>,
}

impl ChatTemplates {
    /// A single template.
    pub fn new(source: impl Into<String>) -> Self {
        Self { by_name: BTreeMap::from([("default".to_owned(), source.into())]) }
    }

    /// Reads `chat_template.jinja` and `additional_chat_templates/*.jinja`, or else `chat_template` of
    /// `tokenizer_config.json`: a text, or a list of `{"name", "template"}`.
    ///
    /// # Errors
    /// Where a file can't be read or the field has another form.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        let file = "tokenizer_config.json";
        match files::object(folder, file)?.unwrap_or_default().get("chat_template") {
            None | Some(Value::Null) => {}
            Some(Value::String(source)) => {
                by_name.insert("default".to_owned(), source.clone());
            }
            Some(list) => {
                let field = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
                let entry = |entry| field(entry, "name").zip(field(entry, "template"));
                by_name = list.as_array().and_then(|list| list.iter().map(entry).collect()).ok_or_else(|| {
                    let problem = "chat_template is neither a text nor a list of named templates".to_owned();
                    files::wrong(folder.join(file), problem, "write [{\"name\": …, \"template\": …}]")
                })?;
            }
        }
        if let Some(source) = files::text(&folder.join("chat_template.jinja"))? {
            by_name.insert("default".to_owned(), source);
        }
        for path in std::fs::read_dir(folder.join("additional_chat_templates")).into_iter().flatten().flatten() {
            let path = path.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jinja"));
            if let Some((name, source)) = name.zip(files::text(&path)?) {
                by_name.insert(name.to_owned(), source);
            }
        }
        Ok(Self { by_name })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Name and source of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.iter().map(|(name, source)| (name.as_str(), source.as_str()))
    }

    fn choose(&self, options: &ChatOptions) -> Result<(&str, &str)> {
        let names = match &options.template {
            Some(name) => vec![name.as_str()],
            None if options.tools.is_some() => vec!["tool_use", "default"],
            None => vec!["default"],
        };
        let found = names.iter().find_map(|name| self.by_name.get_key_value(*name));
        found.map(|(name, source)| (name.as_str(), source.as_str())).ok_or_else(|| Error::NoChatTemplate {
            wanted: options.template.clone().unwrap_or_else(|| "default".to_owned()),
            found: self.by_name.keys().cloned().collect(),
        })
    }

    /// The text of a conversation, a list of objects with `role` and `content`.
    ///
    /// # Errors
    /// Where there is no such template, it is wrong, it refuses the conversation ([`Error::ChatRefused`] has its
    /// words), or it doesn't end.
    pub fn render(&self, messages: &[Value], special: &SpecialTokens, options: &ChatOptions) -> Result<String> {
        let (name, source) = self.choose(options)?;
        let mut variables = Map::new();
        for (role, token) in special {
            variables.insert(role.clone(), Value::from(token.as_str()));
        }
        variables.extend(options.variables.clone());
        let messages: Vec<Value> = messages.iter().map(with_reasoning).collect();
        variables.insert("messages".to_owned(), Value::from(messages));
        variables.insert("tools".to_owned(), options.tools.clone().map_or(Value::Null, Value::from));
        variables.entry("documents").or_insert(Value::Null);
        variables.insert("add_generation_prompt".to_owned(), options.add_generation_prompt.into());

        let source = plain_generation(source);
        let environment = environment(options.now);
        let rendered = environment
            .template_from_named_str("chat", &source)
            .and_then(|template| template.render(Jinja::from_serialize(&variables)));
        rendered.map_err(|error| failure(name, &error))
    }
}

/// What `raise_exception` was called with.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn failure(name: &str, error: &minijinja::Error) -> Error {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return Error::ChatRefused { message: message.clone() };
        }
        source = cause.source();
    }
    let problem = if error.kind() == ErrorKind::OutOfFuel {
        format!("it was stopped after {FUEL} steps; does a loop end?")
    } else {
        error.to_string()
    };
    Error::ChatTemplate { name: name.to_owned(), problem }
}

fn environment(now: Option<SystemTime>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, _state, value| Ok(out.write_str(&python::str(value)?)?));
    environment.add_filter("tojson", |value: Jinja, kwargs: Kwargs| {
        // Jinja's own would escape HTML.
        python::Json::from_kwargs(&kwargs)?.dumps(&value)
    });
    environment.add_filter("string", |value: Jinja| python::str(&value));
    // These take anything, as Python prints it.
    environment.add_filter("trim", |value: Jinja, chars: Option<String>| {
        let text = python::str(&value)?;
        Ok::<_, minijinja::Error>(match chars {
            Some(chars) => text.trim_matches(|c| chars.contains(c)).to_owned(),
            None => text.trim().to_owned(),
        })
    });
    environment.add_filter("replace", |value: Jinja, from: &str, to: &str| {
        Ok::<_, minijinja::Error>(python::str(&value)?.replace(from, to))
    });
    // In Python texts and mappings have a length and items too.
    environment.add_test("sequence", |value: Jinja| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
    });
    environment.add_test("iterable", |value: Jinja| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Iterable)
    });
    environment.add_function("raise_exception", |message: Jinja| -> Result<Jinja, minijinja::Error> {
        let text = python::str(&message)?;
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, text.clone()).with_source(Raised(text)))
    });
    environment.add_function("strftime_now", move |format: &str| {
        let now = now.unwrap_or_else(SystemTime::now);
        let seconds = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        };
        python::strftime(format, seconds)
    });
    environment
}

/// `{% generation %}` marks the assistant's words for a mask and prints them; a `with` block has the same scope.
fn plain_generation(source: &str) -> String {
    let Ok(tag) = Regex::new(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})") else { return source.to_owned() };
    tag.replace_all(source, "${1}${2}with${3}").into_owned()
}

/// A message whose reasoning stands under each name that templates look for it, as transformers passes it.
fn with_reasoning(message: &Value) -> Value {
    let Value::Object(message) = message else { return message.clone() };
    let names = ["reasoning_content", "thinking", "reasoning"];
    let reasoning = names.iter().find_map(|name| message.get(*name).filter(|value| !value.is_null()));
    let Some(reasoning) = reasoning else { return Value::Object(message.clone()) };
    let mut all = Map::new();
    all.insert("thinking".to_owned(), reasoning.clone());
    all.extend(message.clone());
    all.insert("reasoning_content".to_owned(), reasoning.clone());
    Value::Object(all)
}
