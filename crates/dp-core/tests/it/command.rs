//! The binary, as the other modules call it, and its answers in both formats.

use std::fs;

use assert_cmd::Command;
use serde_json::Value;

/// What the binary said.
pub(crate) struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command line (split at blanks).
pub(crate) fn run(line: &str) -> Said {
    run_words(&line.split_whitespace().collect::<Vec<_>>())
}

/// Runs a command given in words.
pub(crate) fn run_words(words: &[&str]) -> Said {
    let output = Command::cargo_bin("ashlar-dp-core").unwrap().args(words).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The JSON answer of a command that succeeds.
pub(crate) fn json(line: &str) -> Value {
    let said = run(&format!("{line} --format json"));
    assert_eq!(said.code, 0, "{line}: {}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

const RUN: &str = "--mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000";

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn epsilon_and_delta_have_the_keys_of_the_specification() {
    let epsilon = json(&format!("epsilon {RUN} --delta 1e-5"));
    assert_eq!(
        keys(&epsilon),
        [
            "epsilon",
            "epsilon_lower",
            "epsilon_upper",
            "delta",
            "accountant",
            "neighboring",
            "bound",
            "order",
            "events",
            "warnings"
        ]
    );
    assert_eq!(epsilon["events"][0]["noise_multiplier"], 1.0);
    assert_eq!((&epsilon["accountant"], &epsilon["neighboring"]), (&Value::from("pld"), &Value::from("add-remove")));
    let (low, value, high) =
        (epsilon["epsilon_lower"].as_f64(), epsilon["epsilon"].as_f64(), epsilon["epsilon_upper"].as_f64());
    assert!(low <= value && value <= high && low > Some(0.0));
    let delta = json(&format!("delta {RUN} --epsilon 1.0"));
    assert_eq!(keys(&delta)[..4], ["delta", "delta_lower", "delta_upper", "epsilon"]);
}

#[test]
fn calibrate_states_what_it_reached() {
    let found = json("calibrate --mechanism gaussian --steps 100 --epsilon 1.0 --delta 1e-5 --accountant rdp");
    for key in ["noise_multiplier", "epsilon", "target_epsilon", "delta", "accountant"] {
        assert!(!found[key].is_null(), "{key}");
    }
    let (epsilon, target) = (found["epsilon"].as_f64().unwrap(), 1.0);
    assert!(epsilon <= target && epsilon > target * (1.0 - 1e-4), "{epsilon}");
    // What is spent already asks for more noise.
    let more = json(
        "calibrate --mechanism gaussian --steps 100 --epsilon 1.0 --delta 1e-5 --accountant rdp \
         --fixed-event gaussian:nm=100,steps=20",
    );
    assert!(more["noise_multiplier"].as_f64() > found["noise_multiplier"].as_f64());
    assert_eq!(more["fixed_events"][0]["steps"], 20);
}

#[test]
fn text_states_relation_accountant_and_kind_of_bound() {
    let text = run(&format!("epsilon {RUN} --delta 1e-5 --accountant rdp")).stdout;
    for part in ["2.101366", "certified upper bound", "rdp, order 7.8", "add-remove (one example added or removed)"] {
        assert!(text.contains(part), "{text}");
    }
    let text = run(&format!("epsilon {RUN} --delta 1e-5 --accountant gdp")).stdout;
    assert!(text.contains("APPROXIMATE") && text.contains("under-report"), "{text}");
    let text = run("epsilon --mechanism laplace --noise-multiplier 2 --delta 0 --accountant pure").stdout;
    assert!(text.contains("0.5  exact"), "{text}");
}

#[test]
fn an_approximation_has_no_upper_bound_and_warns() {
    let answer = json(&format!("epsilon {RUN} --delta 1e-5 --accountant gdp"));
    assert_eq!(answer["bound"], "approximate");
    assert!(answer["epsilon_upper"].is_null() && answer["epsilon_lower"].is_null());
    assert!(answer["warnings"][0].as_str().unwrap().contains("under-report"));
    // A full batch is exact, and says so.
    let answer = json("epsilon --mechanism gaussian --noise-multiplier 50 --steps 100 --delta 1e-5 --accountant gdp");
    assert_eq!((&answer["bound"], answer["warnings"].as_array().unwrap().len()), (&Value::from("exact"), 0));
}

#[test]
fn a_delta_of_one_over_n_runs_with_a_warning() {
    for (line, warns) in [("--delta 1e-3 --examples 1000", true), ("--delta 1e-3 --examples 999", false)] {
        let answer = json(&format!("epsilon {RUN} --accountant rdp {line}"));
        assert_eq!(!answer["warnings"].as_array().unwrap().is_empty(), warns, "{line}");
    }
    let answer = json(&format!("delta {RUN} --accountant rdp --epsilon 0.1 --examples 60000"));
    assert!(answer["warnings"][0].as_str().unwrap().contains("1/60000"));
}

#[test]
fn files_flags_and_event_flags_mean_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("run.toml");
    fs::write(&toml, "[[event]]\nmechanism = \"gaussian\"\nnoise_multiplier = 1.0\nsample_rate = 0.01\nsteps = 1000\n")
        .unwrap();
    let history = folder.path().join("history.json");
    fs::write(&history, "[[1.0, 0.01, 600], [1.0, 0.01, 400]]").unwrap();
    let tail = "--delta 1e-5 --accountant rdp --format json";
    let epsilon = |words: String| -> f64 {
        let said = run(&words);
        assert_eq!(said.code, 0, "{}", said.stderr);
        serde_json::from_str::<Value>(&said.stdout).unwrap()["epsilon"].as_f64().unwrap()
    };
    let one = epsilon(format!("epsilon {RUN} {tail}"));
    assert_eq!(one, epsilon(format!("epsilon --event gaussian:nm=1.0,q=0.01,steps=1000 {tail}")));
    assert_eq!(one, epsilon(format!("epsilon --events {} {tail}", toml.display())));
    let split = epsilon(format!("epsilon --events {} {tail}", history.display()));
    assert!((split / one - 1.0).abs() < 1e-12, "{split} {one}");
}

#[test]
fn the_plot_is_an_svg_with_a_curve_an_accountant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("epsilon.svg");
    let line = format!("epsilon --event gaussian:nm=4,steps=30 --delta 1e-5 --plot {}", file.display());
    let answer = json(&line);
    assert_eq!(answer["plot"], file.display().to_string());
    let svg = fs::read_to_string(&file).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for name in ["pld", "rdp", "zcdp", "gdp"] {
        assert!(svg.contains(name), "{name}");
    }
    assert!(!svg.contains("pure"));
    // Nothing is left beside it, and a folder that isn't there is told.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let said = run(&format!("epsilon {RUN} --delta 1e-5 --accountant rdp --plot {}/no/e.svg", folder.path().display()));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("cannot write"), "{}", said.stderr);
}

#[test]
fn orders_can_be_listed_or_continuous() {
    let order = |orders: &str| {
        let answer = json(&format!("epsilon {RUN} --delta 1e-5 --accountant rdp --orders {orders}"));
        (answer["epsilon"].as_f64().unwrap(), answer["order"].as_f64().unwrap())
    };
    let (default, continuous, list) = (order("default"), order("continuous"), order("2,7.8,32"));
    assert_eq!((default.1, list.1), (7.8, 7.8));
    assert_eq!(default.0, list.0);
    assert!(continuous.0 <= default.0 && (continuous.1 - 7.8).abs() < 0.1, "{continuous:?}");
}

#[test]
fn infinity_is_the_string_inf() {
    let answer = json("epsilon --mechanism gaussian --noise-multiplier 1e-200 --delta 1e-5 --accountant rdp");
    assert_eq!(answer["epsilon"], "inf");
}

/// A budget that the trials have spent is a gate's "no": 3, with the figures on stdout; anything left is 0.
#[test]
fn a_search_without_a_budget_left_is_told_by_the_exit_code() {
    let line = "hpo-budget --trials 0.5x30 --target 1.0 --delta 1e-5";
    let said = run(&format!("{line} --format json"));
    assert_eq!(said.code, 3, "{}", said.stderr);
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((answer["final_epsilon"].as_f64(), answer["target"].as_f64()), (Some(0.0), Some(1.0)));
    let trials = json("hpo-budget --trials 0.5x29 --final 0.5 --delta 1e-5");
    for key in ["epsilon", "mu_total"] {
        let (found, expected) = (answer[key].as_f64().unwrap(), trials[key].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-9 * expected && found > 0.2, "{key}: {found} {expected}");
    }
    let said = run(line);
    assert!(said.code == 3 && said.stdout.contains("nothing is left of epsilon 1"), "{}", said.stdout);
    // The target to the last digit is spent too, and what is infinite is no panic.
    assert_eq!(run("hpo-budget --trials 1.0x1 --target 1.0 --delta 1e-5").code, 3);
    assert_eq!(run("hpo-budget --trials 1e300x1000 --target 1.0 --delta 1e-5 --format json").code, 3);
    assert_eq!(run("hpo-budget --trials 0.5x3 --target 1.0 --delta 1e-5").code, 0);
    assert_eq!(run("hpo-budget --trials 0.5x30 --final 1.0 --delta 1e-5").code, 0);
    let help = run("hpo-budget --help").stdout;
    assert!(help.contains("3 if the trials alone cost"), "{help}");
}

#[test]
fn every_command_shows_an_example_in_its_help() {
    for command in ["epsilon", "delta", "calibrate", "convert", "hpo-budget"] {
        let said = run(&format!("{command} --help"));
        assert!(said.code == 0 && said.stdout.contains("ashlar dp-core"), "{command}");
    }
}
