//! Numbers out of `result.json` by dotted keys.

use ashlar_cli::suggest::nearest;
use serde_json::Value;

/// Looks up `a.b.c`; `null` and `"nan"` are NaN, true and false are 1 and 0.
///
/// # Errors
/// A message that names the nearest key, if there is no such number.
pub fn number(result: &Value, key: &str) -> Result<f64, String> {
    match find(result, key) {
        Some(Value::Null) => Ok(f64::NAN),
        Some(Value::Bool(flag)) => Ok(f64::from(u8::from(*flag))),
        Some(Value::Number(number)) => Ok(number.as_f64().unwrap_or(f64::NAN)),
        Some(_) => Err(format!("`{key}` is no number")),
        None => {
            let keys = keys(result);
            let near = nearest(key, keys.iter().map(String::as_str));
            Err(match near {
                Some(near) => format!("there is no `{key}`; did you mean `{near}`?"),
                None => format!("there is no `{key}`; there are {}", keys.join(", ")),
            })
        }
    }
}

/// The entry of a dotted key; a key that itself contains dots is found too.
pub fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    if let Some(found) = object.get(key) {
        return Some(found);
    }
    let mut at = 0;
    while let Some(dot) = key[at..].find('.') {
        let split = at + dot;
        if let Some(found) = object.get(&key[..split]).and_then(|inner| find(inner, &key[split + 1..])) {
            return Some(found);
        }
        at = split + 1;
    }
    None
}

/// The dotted keys of all numbers.
pub fn keys(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (key, inner) in value.as_object().into_iter().flatten() {
        match inner {
            Value::Number(_) | Value::Bool(_) | Value::Null => found.push(key.clone()),
            Value::Object(_) => found.extend(keys(inner).into_iter().map(|rest| format!("{key}.{rest}"))),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dotted_keys_reach_into_objects_and_through_dotted_names() {
        let result = json!({ "a": { "b": { "c": 1.5 } }, "x.y": 2, "ok": true, "lost": null, "word": "w" });
        assert_eq!(number(&result, "a.b.c"), Ok(1.5));
        assert_eq!(number(&result, "x.y"), Ok(2.0));
        assert_eq!(number(&result, "ok"), Ok(1.0));
        assert!(number(&result, "lost").unwrap().is_nan());
        assert!(number(&result, "word").unwrap_err().contains("no number"));
        assert!(number(&result, "a.b.d").unwrap_err().contains("did you mean `a.b.c`?"));
    }
}
