//! `ashlar-models generate|score`.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    checkpoint::{self, checkpoint},
    text_model::tokenizer,
};

fn models(args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("ashlar-models").unwrap().args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn lines(args: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = models(&[args, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn folder(with_tokenizer: bool) -> TempDir {
    let folder = checkpoint("llama", 5);
    if with_tokenizer {
        tokenizer().save(folder.path()).unwrap();
        let template = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}{{ m.content }}{% endfor %}";
        std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    }
    folder
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("data.jsonl");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn generate_answers_one_object_a_row() {
    let folder = folder(true);
    let path = folder.path().to_str().unwrap();
    let data = write(
        folder.path(),
        "{\"prompt\": \"Hello\"}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}\n{\"tokens\": [3, 4]}\n",
    );
    let rows =
        lines(&["generate", path, "--prompt", "one", "--prompts", &data, "--max-new", "5", "--temperature", "1"]);
    assert_eq!(rows.len(), 4);
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["row"], i);
        let tokens: Vec<u32> = serde_json::from_value(row["tokens"].clone()).unwrap();
        assert_eq!(row["logprobs"].as_array().unwrap().len(), tokens.len());
        let text: Vec<u32> = tokens.iter().copied().filter(|&id| id != 2).collect();
        assert_eq!(row["text"], tokenizer().decode(&text).unwrap(), "{row}");
        assert!(["eos", "length"].contains(&row["finish"].as_str().unwrap()));
        assert!(row["t_prefill_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!((&rows[0]["prompt"], &rows[3]["prompt"]), (&json!("one"), &json!([3, 4])));
    // The chat template gives the same tokens as the text with its special token.
    let greedy = lines(&["generate", path, "--prompt", "Hello", "--max-new", "5"]);
    let chat = lines(&["generate", path, "--prompt", "Hello", "--max-new", "5", "--chat"]);
    assert_eq!(greedy[0]["tokens"], chat[0]["tokens"]);
    // The same row whatever the batch.
    for batch in ["1", "3"] {
        let again = lines(&[
            "generate",
            path,
            "--prompt",
            "one",
            "--prompts",
            &data,
            "--max-new",
            "5",
            "--temperature",
            "1",
            "--batch",
            batch,
        ]);
        assert_eq!(
            again.iter().map(|r| &r["tokens"]).collect::<Vec<_>>(),
            rows.iter().map(|r| &r["tokens"]).collect::<Vec<_>>()
        );
    }
    let stop = rows[0]["text"].as_str().unwrap().chars().nth(1).unwrap().to_string();
    let row =
        &lines(&["generate", path, "--prompt", "one", "--max-new", "5", "--temperature", "1", "--stop", &stop])[0];
    assert_eq!(row["finish"], "stop");
    assert!(!row["text"].as_str().unwrap().contains(&stop), "{row}");
}

#[test]
fn generate_streams() {
    let folder = folder(true);
    let path = folder.path().to_str().unwrap();
    let args = ["generate", path, "--prompt", "one", "--prompt", "another", "--max-new", "6", "--temperature", "1.2"];
    let rows = lines(&args);
    let streamed = lines(&[&args[..], &["--stream"]].concat());
    let (events, last): (Vec<&Value>, Vec<&Value>) = streamed.iter().partition(|line| line.get("piece").is_some());
    assert_eq!(last.len(), 2);
    for (i, row) in rows.iter().enumerate() {
        let pieces: String = events.iter().filter(|e| e["row"] == i).map(|e| e["piece"].as_str().unwrap()).collect();
        assert_eq!(row["text"], pieces.as_str());
        assert_eq!(row["tokens"], last[i]["tokens"]);
    }
    let (code, stdout, _) = models(&[&args[..], &["--stream"]].concat());
    let expected = format!("{}\n{}", rows[0]["text"].as_str().unwrap(), rows[1]["text"].as_str().unwrap());
    assert_eq!((code, stdout.trim_end_matches('\n')), (0, expected.trim_end_matches('\n')));
    let (_, stdout, _) = models(&args[..]);
    assert!(stdout.starts_with("[0] "), "{stdout}");
}

#[test]
fn generate_without_a_tokenizer_and_first_tokens() {
    let folder = folder(false);
    let path = folder.path().to_str().unwrap();
    let rows =
        lines(&["generate", path, "--token-ids", "3,4,5", "--token-ids", "9", "--max-new", "3", "--first-token", "60"]);
    assert_eq!((&rows[0]["tokens"][0], &rows[1]["tokens"][0]), (&json!(60), &json!(60)));
    let biased = lines(&["generate", path, "--token-ids", "3", "--max-new", "1", "--first-token", "61:1000"]);
    assert_eq!(biased[0]["tokens"][0], 61);
    let (_, stdout, _) = models(&["generate", path, "--token-ids", "3", "--max-new", "1", "--first-token", "60"]);
    assert_eq!(stdout, "60\n");
    // Several ends of text in generation_config.json.
    let free = lines(&["generate", path, "--token-ids", "3,4,5", "--max-new", "3"]);
    let second = &free[0]["tokens"][1];
    std::fs::write(folder.path().join("generation_config.json"), format!("{{\"eos_token_id\": [96, {second}]}}"))
        .unwrap();
    let ended = lines(&["generate", path, "--token-ids", "3,4,5", "--max-new", "3"]);
    assert_eq!(ended[0]["finish"], "eos");
    let with = super::text_command::folder(true);
    let path = with.path().to_str().unwrap();
    let rows = lines(&["generate", path, "--prompt", "x", "--max-new", "2", "--first-token", "猫:900"]);
    assert!(rows[0]["text"].as_str().unwrap().starts_with('猫'), "{}", rows[0]);
}

#[test]
fn score_counts_tokens_and_averages() {
    let folder = folder(true);
    let path = folder.path().to_str().unwrap();
    let data = write(
        folder.path(),
        "{\"text\": \"Hello there\"}\n{\"tokens\": [5, 6, 7]}\n{\"prompt\": \"Is it \", \"continuation\": \"so\"}\n",
    );
    let answer = &lines(&["score", path, "--data", &data])[0];
    let docs = answer["per_doc"].as_array().unwrap();
    // The start of text counts as the token before; the space moves to the continuation.
    assert_eq!(docs.iter().map(|d| d["n_tokens"].as_u64().unwrap()).collect::<Vec<_>>(), [11, 2, 3]);
    assert_eq!(answer["n_tokens"], 16);
    let total: f64 = docs.iter().map(|d| d["nll"].as_f64().unwrap() * d["n_tokens"].as_f64().unwrap()).sum();
    let nll = answer["nll"].as_f64().unwrap();
    assert!(
        (total / 16.0 - nll).abs() < 1e-9 && (nll.exp() - answer["ppl"].as_f64().unwrap()).abs() < 1e-6 * nll.exp()
    );
    let one = &lines(&["score", path, "--data", &data, "--batch", "1"])[0];
    assert!((one["nll"].as_f64().unwrap() - nll).abs() < 1e-4);
    let long = write(folder.path(), &format!("{{\"text\": \"a\"}}\n{}\n", json!({ "text": "ab".repeat(50) })));
    let (code, _, stderr) = models(&["score", path, "--data", &long]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("row 1 has 100 tokens"), "{stderr}");
    let cut = &lines(&["score", path, "--data", &long, "--truncate", "left"])[0];
    assert_eq!(cut["per_doc"][1]["n_tokens"], 63);
}

#[test]
fn wrong_input_exits_with_2() {
    let with = folder(true);
    let path = with.path().to_str().unwrap();
    let refused = |args: &[&str], part: &str| {
        let (code, stdout, stderr) = models(args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        let stderr = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
    };
    let generate = |more: &[&str], part: &str| refused(&[&["generate", path, "--prompt", "x"], more].concat(), part);
    generate(&["--top-p", "0"], "top_p = 0");
    generate(&["--top-p", "1.5"], "top_p = 1.5");
    generate(&["--top-p", "nan"], "top_p = NaN");
    generate(&["--temperature", "-1"], "temperature = -1");
    generate(&["--temperature", "inf"], "temperature = inf");
    generate(&["--top-k", "0"], "top_k = 0");
    generate(&["--min-p", "-0.5"], "min_p = -0.5");
    generate(&["--rep-penalty", "0"], "repetition_penalty = 0");
    generate(&["--max-new", "0"], "max_new = 0");
    generate(&["--batch", "0"], "--batch 0");
    generate(&["--stop", ""], "stop");
    generate(&["--first-token", "xy"], "is 2 tokens");
    generate(&["--first-token", "97"], "first_token = 97");
    generate(&["--first-token", "5", "--first-token", "6:1"], "some have a bias");
    generate(&["--prompt", "no ø here"], "no ø here");
    refused(&["generate", path], "there is no prompt");
    refused(&["generate", path, "--token-ids", "3,97"], "token 1 of row 0 is 97");
    refused(&["generate", path, "--token-ids", "3,x"], "entry 1");
    refused(&["generate", "/nowhere", "--prompt", "x"], "config.json");
    let long = "a".repeat(80);
    refused(&["generate", path, "--prompt", "x", "--prompt", &long], "row 1 has 81 tokens, but the model reads 64");
    let (code, _, stderr) = models(&["generate", path, "--prompt", &long, "--truncate", "left", "--max-new", "2"]);
    assert_eq!(code, 0, "{stderr}");
    for (text, part) in [
        ("", "no lines"),
        ("{\"prompt\": \"x\"}\nnonsense\n", "line 2: no JSON object"),
        ("{\"prompt\": 3}\n", "line 1: the prompt 3 is no text"),
        ("{\"question\": \"x\"}\n", "there is question"),
        ("{\"tokens\": [1, -2]}\n", "no list of token ids"),
        ("{\"tokens\": []}\n", "row 0 has no token"),
        ("{\"messages\": [3]}\n", "no list of objects"),
        ("{\"messages\": [{\"role\": \"system\", \"content\": \"x\"}]}\n", "refuses the conversation: no system here"),
    ] {
        refused(&["generate", path, "--prompts", &write(with.path(), text)], part);
    }
    refused(&["generate", path, "--prompts", "/nowhere.jsonl"], "/nowhere.jsonl");
    refused(&["score", path, "--data", &write(with.path(), "{\"x\": 1}\n")], "neither `text`");
    refused(&["score", path, "--data", &write(with.path(), "{\"tokens\": [1]}\n")], "no token to score");
    refused(&["score", path, "--data", &write(with.path(), "{\"tokens\": [1, 97]}\n")], "is 97");
    std::fs::remove_file(with.path().join("chat_template.jinja")).unwrap();
    generate(&["--chat"], "there is no chat template");
    let without = folder(false);
    refused(&["generate", without.path().to_str().unwrap(), "--prompt", "x"], "no tokenizer.json");
    std::fs::write(with.path().join("tokenizer.json"), "{").unwrap();
    generate(&[], "tokenizer.json");
    // An empty prompt where the tokenizer adds nothing.
    let plain = folder(false);
    ashlar_models::lm::Tokenizer::chars(&['a']).unwrap().save(plain.path()).unwrap();
    refused(&["generate", plain.path().to_str().unwrap(), "--prompt", ""], "row 0 has no token");
}

#[test]
fn numbers_that_overflow_exit_with_1() {
    let mut tensors = checkpoint::tensors("llama");
    let name = "model.layers.1.mlp.down_proj.weight";
    tensors.insert(name.to_owned(), (&tensors[name] * f64::INFINITY).unwrap());
    let folder = checkpoint::write(&tensors, &checkpoint::config("llama", 5));
    let (code, stdout, stderr) = models(&["generate", folder.path().to_str().unwrap(), "--token-ids", "3,4"]);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    let stderr = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(stderr.contains("row 0, new token 0") && stderr.contains("blocks.1.hook_resid_post"), "{stderr}");
}
