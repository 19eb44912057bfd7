//! The command line: answers and exit codes.

use assert_cmd::Command;
use serde_json::Value;

fn data(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar-data"));
    command.args(args).env("ASHLAR_DATA", "no-such-folder").env("ASHLAR_CACHE", "no-such-cache");
    command
}

fn json(args: &[&str]) -> Value {
    let output = data(args).args(["--format", "json"]).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn list_and_info_answer_in_json() {
    let list = json(&["list"]);
    assert_eq!(list["sets"][0]["name"], "procedural-images");
    let info = json(&["info", "procedural-images", "--set", "train=200", "--set", "test=100"]);
    assert_eq!(info["shape"], serde_json::json!([1, 16, 16]));
    assert_eq!(info["parts"]["train"]["class_counts"], serde_json::json!(vec![20; 10]));
    let text = json(&["info", "procedural-text", "--set", "train=20", "--set", "test=5"]);
    assert!(text["bits_per_char_known_user"].as_f64() < text["bits_per_char_pooled"].as_f64());
}

#[test]
fn wrong_names_and_missing_sets_exit_with_2_and_help() {
    for (args, part) in [
        (&["info", "minst"][..], "did you mean `mnist`?"),
        (&["info", "mnist10k"], "ashlar data fetch mnist10k"),
        (&["fetch", "minst"], ""),
        (&["info", "procedural-images", "--set", "tran=3"], "did you mean `train`?"),
    ] {
        let output = data(args).assert().code(2).get_output().stderr.clone();
        let text: String = String::from_utf8(output).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.replace("| ", "").contains(part), "{args:?}: {text}");
    }
}
