//! One answer for programs and people: the text is made from the JSON object.

use ashlar_cli::Answer;
use serde_json::Value;

/// The longest list that the text shows whole.
const SHOWN: usize = 12;

/// An object as an answer; its text has one line a figure, nested keys written with dots.
pub(super) fn answer(json: Value) -> Answer {
    let mut lines = Vec::new();
    flatten("", &json, &mut lines);
    let width = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let text: Vec<String> = lines.iter().map(|(key, value)| format!("{key:<width$}  {value}")).collect();
    Answer::new(json, text.join("\n"))
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
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().map_or_else(|| number.to_string(), six),
        other => other.to_string(),
    }
}

/// Six significant digits.
fn six(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-4..1e6).contains(&size) {
        let digits = (5 - size.log10().floor() as i32).clamp(0, 9) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        format!("{value:.5e}")
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
        let expected = "p       0.74\nreason  -\nn       50\nci.lo   0.604468\nci.hi   1.00000e-9\n\
             list    1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 1.5 … (13 in all)\nrows.0  1\nrows.1  2 123457";
        assert_eq!(text, expected);
    }
}
