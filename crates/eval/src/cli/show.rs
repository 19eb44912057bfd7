//! One answer for programs and people: the text is made from the JSON object.

use ashlar_cli::Answer;
use serde_json::Value;

use super::text;

/// The longest list that the text shows whole.
const SHOWN: usize = 12;

/// An object as an answer; its text has one line a figure, nested keys written with dots.
pub(super) fn answer(json: Value) -> Answer {
    let mut lines = Vec::new();
    flatten("", &json, &mut lines);
    let text = text::pairs(lines);
    Answer::new(json, text)
}

fn flatten(key: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let inner = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(name, value)| flatten(&inner(name), value, lines)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().take(SHOWN).for_each(|(i, item)| flatten(&inner(&i.to_string()), item, lines));
            if items.len() > SHOWN {
                lines.push((inner("…"), format!("{} in all", items.len())));
            }
        }
        Value::Array(items) => {
            let mut shown: Vec<String> = items.iter().take(SHOWN).map(scalar).collect();
            if items.len() > SHOWN {
                shown.push(format!("… ({} in all)", items.len()));
            }
            lines.push((key.to_owned(), shown.join(" ")));
        }
        _ => lines.push((key.to_owned(), scalar(value))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "—".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(|| number.to_string(), text::number),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_aligned_and_short() {
        let json = serde_json::json!({
            "p": 0.74, "reason": null, "n": 50, "ci": { "lo": 0.604468427351512, "hi": 1e-9 },
            "list": vec![1.5; 13], "rows": [[1.0], [2.0, 123456.789]],
        });
        let text = answer(json).text;
        let expected = "p       0.740000\nreason  —\nn       50\nci.lo   0.604468\nci.hi   1.00000e-9\nlist    "
            .to_owned()
            + &"1.50000 ".repeat(12)
            + "… (13 in all)\nrows.0  1\nrows.1  2 123457";
        assert_eq!(text, expected);
    }
}
