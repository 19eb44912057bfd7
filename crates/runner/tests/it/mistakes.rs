//! Every mistake of an experiment file, with its place, before anything runs.

use ashlar_runner::run::How;
use insta::assert_snapshot;

use crate::fake::{describe, dry, mistakes};

const GOOD: &str = r#"
[experiment]
name = "probe"
title = "A probe"
seeds = [0, 1]
full = { seeds = [0, 1, 2], "stage.sketch.server.k" = 50, data = { name = "big" } }

[data]
name = "small"

[[stage]]
name = "plain"
run = "fake train"
with.server.lr = 0.3

[[stage]]
name = "sketch"
run = "fake train"
grid = { "server.lr" = [0.1, 0.3] }
select = "val_acc"
[stage.with]
server = { mode = "sketch", k = 10 }
weights = { stage = "plain", file = "model.safetensors" }

[[stage]]
name = "long"
run = "fake train"
only = "full"

[[claim]]
text = "near"
metric = "sketch.final_acc"
op = ">="
than = "plain.final_acc"
plus = -0.2

[[claim]]
text = "long too"
metric = "long.final_acc"
op = ">"
value = 0.5
only = "full"
"#;

/// GOOD with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[test]
fn unknown_keys_are_placed_where_they_stand() {
    assert_snapshot!("shared_table", mistakes(&with("name = \"small\"", "nane = \"small\"")));
    assert_snapshot!("stage_table", mistakes(&with("k = 10", "kk = 10")));
    assert_snapshot!("dotted_stage_table", mistakes(&with("with.server.lr", "with.server.lrr")));
    assert_snapshot!("grid", mistakes(&with("\"server.lr\" =", "\"server.rl\" =")));
    assert_snapshot!("value", mistakes(&with("mode = \"sketch\"", "mode = \"skech\"")));
    assert_snapshot!("type", mistakes(&with("k = 10", "k = \"ten\"")));
    assert_snapshot!("header", mistakes(&with("title = \"A probe\"", "titel = \"A probe\"")));
    assert_snapshot!("claim", mistakes(&with("plus = -0.2", "pluss = -0.2")));
    assert_snapshot!("op", mistakes(&with("op = \">=\"", "op = \"=>\"")));
    assert_snapshot!("table", mistakes(&with("[data]", "[dat]")));
    assert_snapshot!("beyond_types", mistakes(&with("k = 10", "k = 1000")));
}

#[test]
fn references_go_backwards_to_stages_that_exist() {
    assert_snapshot!("unknown_stage", mistakes(&with("stage = \"plain\", file", "stage = \"plan\", file")));
    assert_snapshot!("own_output", mistakes(&with("stage = \"plain\", file", "stage = \"sketch\", file")));
    assert_snapshot!("later", mistakes(&with("stage = \"plain\", file", "stage = \"long\", file")));
    assert_snapshot!("claim_stage", mistakes(&with("metric = \"sketch.", "metric = \"sketsh.")));
    assert_snapshot!("only_full", mistakes(&with("value = 0.5\nonly = \"full\"", "value = 0.5")));
    assert_snapshot!("other_seeds", mistakes(&with("name = \"plain\"", "name = \"plain\"\nseeds = [0]")));
}

#[test]
fn the_rest_of_what_can_be_wrong() {
    assert_snapshot!("command", mistakes(&with("run = \"fake train\"", "run = \"fake trian\"")));
    assert_snapshot!("twice", mistakes(&with("name = \"sketch\"", "name = \"plain\"")));
    assert_snapshot!("no_select", mistakes(&with("select = \"val_acc\"\n", "")));
    assert_snapshot!("empty_grid", mistakes(&with("[0.1, 0.3]", "[]")));
    assert_snapshot!("select_alone", mistakes(&with("grid = { \"server.lr\" = [0.1, 0.3] }\n", "")));
    assert_snapshot!("name", mistakes(&with("name = \"probe\"", "name = \"a/b\"")));
    assert_snapshot!("paper", mistakes(&with("title =", "paper = \"fetchsdg\"\ntitle =")));
    assert_snapshot!("seeds", mistakes(&with("seeds = [0, 1]", "seeds = [1, 1]")));
    assert_snapshot!("both", mistakes(&with("plus = -0.2", "value = 1.0")));
    assert_snapshot!("neither", mistakes(&with("than = \"plain.final_acc\"\nplus = -0.2", "")));
    assert_snapshot!(
        "interval",
        mistakes(&with("seeds = [0, 1]", "seeds = [0]").replacen("plus = -0.2", "interval = \"bootstrap\"", 1))
    );
    assert_snapshot!("syntax", mistakes(&with("[data]", "[data")));
    assert_snapshot!("no_stage", mistakes("[experiment]\nname = \"a\"\ntitle = \"b\"\n"));
}

#[test]
fn thresholds_and_seeds_are_numbers_that_exist() {
    let nan = mistakes(&with("value = 0.5", "value = nan"));
    assert!(nan.contains("NaN is no threshold"), "{nan}");
    for seed in [u64::MAX, i64::MAX as u64] {
        let failure = dry(GOOD, How { seed: Some(seed), ..How::default() }).unwrap_err();
        assert!(failure.to_string().contains("too large"), "{failure}");
        assert_eq!(failure.exit(), ashlar_cli::Exit::Usage);
    }
}

#[test]
fn all_mistakes_of_a_file_come_at_once() {
    let text = with("k = 10", "kk = 10").replacen("run = \"fake train\"", "run = \"fake\"", 1).replacen(
        "than = \"plain.",
        "than = \"plane.",
        1,
    );
    assert_snapshot!("several", mistakes(&text));
}

#[test]
fn sets_that_fit_nothing_are_told() {
    let set = |set: &str| {
        let how = How { sets: vec![set.to_owned()], ..How::default() };
        describe(&dry(GOOD, how).expect_err(set))
    };
    assert_snapshot!("set_stage", set("stage.sketh.server.k=3"));
    assert_snapshot!("set_no_key", set("stage.sketch=3"));
    assert_snapshot!("set_no_value", set("stage.sketch.server.k"));
    assert_snapshot!("set_shared", set("data.nmae=x"));
    assert_snapshot!("set_stage_key", set("stage.sketch.server.kay=3"));
}

#[test]
fn sets_full_and_seed_change_what_runs() {
    let how = How {
        sets: vec!["data.name=mine".to_owned(), "stage.sketch.server.lr=0.7".to_owned()],
        seed: Some(10),
        ..How::default()
    };
    assert_snapshot!("resolved", dry(GOOD, how).unwrap());
    assert_snapshot!("resolved_full", dry(GOOD, How { full: true, ..How::default() }).unwrap());
}

#[test]
fn a_resolved_experiment_resolves_to_itself() {
    let once = dry(GOOD, How::default()).unwrap();
    assert_eq!(dry(&once, How::default()).unwrap(), once);
}
