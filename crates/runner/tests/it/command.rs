//! The binary: exit codes, what is printed, help.

use assert_cmd::Command;
use serde_json::Value;

fn ashlar(args: &[&str]) -> assert_cmd::assert::Assert {
    let folder = tempfile::tempdir().unwrap();
    Command::cargo_bin("ashlar").unwrap().current_dir(&folder).env("NO_COLOR", "1").args(args).assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn the_list_of_papers_is_one_array() {
    let list: Vec<Value> =
        serde_json::from_str(&stdout(&ashlar(&["reproduce", "--list", "--format", "json"]).success())).unwrap();
    assert_eq!(list.len(), 33);
    for paper in &list {
        let keys: Vec<&String> = paper.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["paper", "title", "crate", "claim", "ready"]);
        assert!(paper["ready"].is_boolean());
        assert!(!paper["claim"].as_str().unwrap().is_empty());
    }
    let text = stdout(&ashlar(&["reproduce", "--list"]).success());
    assert!(text.contains("dynaguard") && text.contains("not built yet"));
}

#[test]
fn a_paper_that_is_not_built_says_which_are() {
    let failed = ashlar(&["reproduce", "dynaguard"]).code(2);
    assert!(stderr(&failed).contains("not built yet"), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("ready:"));
    let failed = ashlar(&["reproduce", "fetchsdg"]).code(2);
    assert!(stderr(&failed).contains("did you mean `fetchsgd`?"));
    ashlar(&["reproduce"]).code(2);
}

#[test]
fn an_experiment_that_is_not_there_is_wrong_usage() {
    let failed = ashlar(&["run", "nothing.toml"]).code(2);
    assert!(stderr(&failed).contains("there is no experiment file"), "{}", stderr(&failed));
    ashlar(&["run"]).code(2);
    ashlar(&["run", "quickstart", "--resume"]).code(2);
    ashlar(&["run", "quickstart", "--no-such-flag"]).code(2);
}

#[test]
fn completions_are_a_script() {
    assert!(stdout(&ashlar(&["completions", "bash"]).success()).contains("_ashlar()"));
    ashlar(&["completions", "tcl"]).code(2);
}
