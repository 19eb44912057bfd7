//! The specification's table of bad input, as far as it belongs to bounds: each row with its message and exit code.

use super::command::{audit, file, json, refused, words};

const RUN: &str = "--canaries 1000 --guesses 100 --correct 95";
const MATRIX: &str = "--members 100 --nonmembers 100 --tp 60 --fp 10";

#[test]
fn counts_that_exceed_their_whole() {
    for method in ["one-run", "one-run-fdp"] {
        let line = |counts: &str| format!("epsilon --method {method} {counts}");
        refused(&line("--canaries 1000 --guesses 100 --correct 101"), &["--correct 101", "--guesses 100"]);
        refused(&line("--canaries 99 --guesses 100 --correct 10"), &["--guesses 100", "--canaries 99"]);
        refused(&line("--canaries 99 --guesses -3 --correct 10"), &["--guesses", "-3", "whole number"]);
        refused(&line("--canaries 99 --guesses 1.5 --correct 10"), &["--guesses", "1.5"]);
        refused(&line("--canaries 99999999999999999999 --guesses 1 --correct 1"), &["--canaries"]);
    }
    refused("pvalue --canaries 1000 --guesses 100 --correct 101 --epsilon 1", &["--correct 101", "--guesses 100"]);
    for method in ["clopper-pearson", "gdp", "bayes"] {
        let line = |counts: &str| format!("epsilon --method {method} {counts}");
        refused(&line("--members 10 --nonmembers 20 --tp 11 --fp 1"), &["--tp 11", "--members 10"]);
        refused(&line("--members 10 --nonmembers 20 --tp 1 --fp 21"), &["--fp 21", "--nonmembers 20"]);
        refused(&line("--members 0 --nonmembers 20 --tp 0 --fp 1"), &["--members 0", "at least 1"]);
        refused(&line("--members 10 --nonmembers 20 --tp -1 --fp 1"), &["--tp", "-1"]);
    }
}

#[test]
fn numbers_outside_their_interval() {
    for (method, counts) in
        [("one-run", RUN), ("one-run-fdp", RUN), ("clopper-pearson", MATRIX), ("gdp", MATRIX), ("bayes", MATRIX)]
    {
        for confidence in ["0.5", "1", "0", "-0.95", "95", "nan"] {
            let line = format!("epsilon --method {method} {counts} --confidence {confidence}");
            refused(&line, &["--confidence", "(0.5, 1)"]);
        }
        for delta in ["-1e-5", "1", "1.5", "nan"] {
            refused(&format!("epsilon --method {method} {counts} --delta {delta}"), &["--delta", "1)"]);
        }
        for claim in ["-1", "nan", "inf"] {
            refused(&format!("epsilon --method {method} {counts} --fail-above {claim}"), &["--fail-above", "finite"]);
        }
    }
    for method in ["one-run-fdp", "gdp"] {
        let counts = if method == "gdp" { MATRIX } else { RUN };
        refused(&format!("epsilon --method {method} {counts} --delta 0"), &["--delta 0", "(0, 1)", "no pure epsilon"]);
    }
    refused("pvalue --canaries 10 --guesses 5 --correct 4 --epsilon -1", &["--epsilon -1", "at least 0"]);
    refused("pvalue --canaries 10 --guesses 5 --correct 4 --epsilon inf", &["--epsilon inf"]);
    refused("pvalue --canaries 10 --guesses 5 --correct 4 --epsilon 1 --delta 1", &["--delta 1", "[0, 1)"]);
    refused("gdp --mu -1 --delta 1e-5", &["--mu -1"]);
    refused("gdp --mu 1 --delta 0", &["--delta 0", "(0, 1)"]);
    refused("gdp --mu 1 --fpr 1.5", &["--fpr 1.5", "[0, 1]"]);
    refused("gdp --epsilon -1 --delta 1e-5", &["--epsilon -1"]);
    refused("gdp --mu nan --epsilon 1", &["--mu NaN"]);
}

#[test]
fn flags_that_are_missing_or_do_not_belong() {
    refused("epsilon --canaries 100 --guesses 10", &["--correct", "--scores FILE"]);
    refused(
        "epsilon --method gdp --canaries 100 --guesses 10 --correct 5",
        &["--canaries is not a count of --method gdp"],
    );
    refused("epsilon --method one-shot-gaussian", &["--scores FILE"]);
    refused(&format!("epsilon {RUN} --select bonferroni"), &["--scores"]);
    refused(&format!("epsilon {RUN} --method fancy"), &["fancy", "one-run-fdp"]);
    refused("gdp --mu 1", &["two of --mu, --epsilon and --delta"]);
    refused("gdp --mu 1 --epsilon 1 --delta 1e-5", &["two of"]);
    refused("gdp --epsilon 1 --fpr 0.1", &["two of"]);
    refused("epsilon --scores /nowhere.json", &["/nowhere.json"]);
}

#[test]
fn score_files() {
    let folder = tempfile::tempdir().unwrap();
    let with = |text: &str, flags: &str, parts: &[&str]| {
        let path = file(folder.path(), "scores.json", text);
        refused(&format!("epsilon --scores {path} {flags}"), parts);
    };
    for (text, parts) in [
        (r#"{"members": [1, 2, NaN], "nonmembers": [0]}"#, ["members[2]", "NaN"]),
        (r#"{"members": [1, 2], "nonmembers": [0, -Infinity]}"#, ["nonmembers[1]", "-inf"]),
        (r#"{"members": [1, null], "nonmembers": [0]}"#, ["members[1]", "NaN"]),
        (r#"{"members": [1, "inf"], "nonmembers": [0]}"#, ["members[1]", "inf"]),
        (r#"{"members": [1, 1e999], "nonmembers": [0]}"#, ["members[1]", "inf"]),
        (r#"{"members": [], "nonmembers": [0]}"#, ["members is empty", "at least one"]),
        (r#"{"members": [1], "nonmembers": []}"#, ["nonmembers is empty", "at least one"]),
        (r#"{"members": [1]}"#, ["nonmembers", "missing"]),
        (r#"{"members": [1], "nonmembers": [0], "nonmember": [0]}"#, ["unknown field", "nonmember"]),
        (r#"{"members": [1, "x"], "nonmembers": [0]}"#, ["line 1", "expected f64"]),
        ("[1, 2", ["not a score file", "line 1"]),
        ("", ["not a score file", "line 1"]),
    ] {
        with(text, "", &parts);
        with(text, "--method one-shot-gaussian", &parts);
    }
    let good = r#"{"members": [3, 2, 1], "nonmembers": [0, 1, -1]}"#;
    with(good, "--k-plus 4 --k-minus 3", &["k-plus + k-minus 7", "6"]);
    with(good, "--k-plus 18446744073709551615 --k-minus 3", &["k-plus + k-minus"]);
    with(good, "--k-plus 1,2 --k-minus 1,2,3 --select bonferroni", &["k-plus has 2", "k-minus has 3"]);
    with(good, "--k-plus 1,2", &["--select fixed", "bonferroni"]);
    with(good, "--k-plus -1", &["--k-plus", "-1"]);
    with(good, "--method gdp --k-plus 1 --k-minus 1", &["--k-minus", "gdp"]);
    with(good, "--method one-shot-gaussian --select split", &["nothing to select"]);
    with(good, "--method one-shot-gaussian --delta 0", &["--delta 0", "(0, 1)"]);
    with(good, "--canaries 6", &["--canaries and --scores"]);
    with(good, "--select max-uncorrected --fail-above 1", &["no bound"]);
    with(good, "--k-plus 3 --k-minus 1 --select split", &["k-plus + k-minus 4", "3"]);
    with(r#"{"members": [3], "nonmembers": [0, 1, -1]}"#, "--method one-shot-gaussian", &["members holds 1"]);
}

#[test]
fn warnings_come_with_the_result() {
    let line = "epsilon --canaries 1000 --guesses 100 --correct 95 --delta";
    let swallowed = json(&words(&format!("{line} 1e-3")));
    assert!(swallowed["notes"][0].as_str().unwrap().contains("2*m*delta"), "{swallowed}");
    assert!(swallowed["epsilon_lower"].is_f64());
    assert_eq!(json(&words(&format!("{line} 9.9e-4")))["notes"].as_array().unwrap().len(), 0);
    // On stderr as well, and in the text.
    let output = audit(&words(&format!("{line} 0.01")));
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        output.status.success() && out.contains("may swallow the bound") && err.contains("may swallow the bound"),
        "{out}{err}"
    );
    assert!(
        json(&words("pvalue --canaries 10 --guesses 5 --correct 4 --epsilon 1 --delta 0.1"))["notes"][0].is_string()
    );
    // Coins that were no coins.
    let balanced = json(&words("epsilon --canaries 1000 --guesses 100 --correct 95 --balanced"));
    assert_eq!(balanced["valid"], "heuristic");
}

/// Ties and splits are all that is drawn: the same seed is the same answer, another one is another draw.
#[test]
fn the_seed_decides_what_is_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let scores = super::selection::gaussian(60, 70, 2.5, 1);
    // Tied in groups.
    let tied = |side: &[f64]| side.iter().map(|score| (3.0 * score).round()).collect::<Vec<_>>();
    let text = serde_json::json!({"members": tied(scores.members()), "nonmembers": tied(scores.nonmembers())});
    let path = file(folder.path(), "scores.json", &text.to_string());
    for flags in ["--k-plus 60 --k-minus 60", "--select split", "--select multi-split", "--method gdp --select split"] {
        let stdout = |seed: &str| {
            let line = format!("epsilon --scores {path} {flags} {seed} --quiet");
            let output = audit(&words(&line));
            assert_eq!(output.status.code(), Some(0), "{line}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(stdout("--seed 7"), stdout("--seed 7"), "{flags}");
        assert_eq!(stdout(""), stdout("--seed 0"), "{flags}");
        let drawn = |seed: u64| json(&words(&format!("epsilon --scores {path} {flags} --seed {seed}")));
        assert_eq!(drawn(18_446_744_073_709_551_615)["seed"], 18_446_744_073_709_551_615_u64);
        let figures: std::collections::BTreeSet<String> =
            (0..8).map(drawn).map(|a| format!("{} {}", a["epsilon_lower"], a["correct"])).collect();
        assert!(figures.len() > 1, "{flags}: {figures:?}");
    }
    // Every command takes the flag, as the specification says, also where nothing is drawn.
    for line in [
        "epsilon --canaries 1000 --guesses 100 --correct 95",
        "pvalue --canaries 1000 --guesses 100 --correct 80 --epsilon 1",
        "gdp --epsilon 4 --delta 1e-5",
        "roc --members=1,2 --nonmembers=0,1",
        "score --method loss --log-probs=-0.1,-2.3",
        "exposure --rank 3 --candidates 1000",
    ] {
        assert_eq!(json(&words(line)), json(&words(&format!("{line} --seed 5"))), "{line}");
        refused(&format!("{line} --seed=-1"), &["--seed"]);
    }
}

#[test]
fn scores_through_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let scores = super::selection::gaussian(60, 70, 2.0, 1);
    let text = serde_json::json!({"members": scores.members(), "nonmembers": scores.nonmembers()}).to_string();
    let path = file(folder.path(), "scores.json", &text);
    let run = |flags: &str| json(&words(&format!("epsilon --scores {path} {flags}")));
    for method in ["one-run", "one-run-fdp", "clopper-pearson", "gdp", "bayes"] {
        for select in ["fixed", "bonferroni", "split", "multi-split", "max-uncorrected"] {
            let answer = run(&format!("--method {method} --select {select}"));
            assert_eq!((&answer["method"], &answer["select"]), (&method.into(), &select.into()));
            assert_eq!(answer["valid"] == false, select == "max-uncorrected");
            assert!(answer["epsilon_ceiling"].is_f64(), "{answer}");
            if select != "multi-split" {
                assert!(answer["threshold"].is_f64() && answer["guesses"].is_u64() && answer["correct"].is_u64());
            }
        }
    }
    let shot = run("--method one-shot-gaussian");
    assert_eq!((&shot["valid"], &shot["select"], &shot["threshold"]), (&"asymptotic".into(), &().into(), &().into()));
    // Infinite bounds are the string "inf".
    let apart = file(folder.path(), "apart.json", r#"{"members": [1, 1, 2], "nonmembers": [0, 0, 0]}"#);
    let answer = json(&words(&format!("epsilon --scores {apart} --method one-shot-gaussian")));
    assert_eq!((&answer["epsilon_lower"], &answer["mu_lower"]), (&"inf".into(), &"inf".into()));
    let constant = file(folder.path(), "constant.json", r#"{"members": [1, 1], "nonmembers": [1]}"#);
    let answer = json(&words(&format!("epsilon --scores {constant}")));
    assert_eq!(answer["epsilon_lower"], 0.0);
    assert!(answer["notes"].to_string().contains("constant scores"));
}

#[test]
fn counts_at_the_ends_of_their_range() {
    for (line, key) in [
        ("epsilon --canaries 1000000000000 --guesses 1000000000000 --correct 600000000000 --delta 0", "epsilon_lower"),
        ("epsilon --canaries 18446744073709551615 --guesses 1 --correct 1 --delta 0", "epsilon_lower"),
        ("epsilon --canaries 0 --guesses 0 --correct 0", "epsilon_lower"),
        ("epsilon --method one-run-fdp --canaries 0 --guesses 0 --correct 0", "epsilon_lower"),
        ("epsilon --method one-run-fdp --canaries 1 --guesses 1 --correct 1", "epsilon_lower"),
        (
            "epsilon --method clopper-pearson --members 1000000000000 --nonmembers 1 --tp 1000000000000 --fp 0",
            "epsilon_lower",
        ),
        ("epsilon --method gdp --members 1000000000 --nonmembers 1000000000 --tp 1000000000 --fp 0", "epsilon_lower"),
        (
            "epsilon --method bayes --members 1 --nonmembers 1 --tp 1 --fp 0 --confidence 0.9999999999999999",
            "epsilon_upper",
        ),
        ("epsilon --method bayes --members 100000000 --nonmembers 3 --tp 100000000 --fp 0 --delta 0", "epsilon_upper"),
        ("pvalue --canaries 1000 --guesses 1000 --correct 1000 --epsilon 1e6 --delta 0", "p_value"),
        ("gdp --mu 1e9 --delta 1e-300", "epsilon"),
        ("gdp --epsilon 1e9 --delta 1e-300", "mu"),
    ] {
        let answer = json(&words(line));
        assert!(answer[key].is_number(), "{line}: {answer}");
    }
    // v = 0 is no evidence, whatever δ is.
    assert_eq!(json(&words("pvalue --canaries 10 --guesses 5 --correct 0 --epsilon 0 --delta 0"))["p_value"], 1.0);
    assert_eq!(json(&words("pvalue --canaries 10 --guesses 0 --correct 0 --epsilon 3"))["p_value"], 1.0);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_without_its_feature_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scores.parquet");
    std::fs::write(&file, b"PAR1....PAR1").unwrap();
    let mut command = assert_cmd::Command::cargo_bin("ashlar-audit").unwrap();
    let refused = command.args(["roc", "--fpr", "0.1", "--scores"]).arg(&file).assert().code(2);
    let said = String::from_utf8_lossy(&refused.get_output().stderr).replace('\n', " ");
    assert!(said.contains("scores.parquet") && said.contains("--features parquet"), "{said}");
}
