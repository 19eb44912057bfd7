//! The specification's oracle rows 1 to 12, and "More", through the binary.

use super::{
    command::{json, words},
    fixture::number,
};

/// Arguments, key, value, tolerance.
const ROWS: &[(&str, &str, f64, f64)] = &[
    (
        "epsilon --method one-run --canaries 1000 --guesses 100 --correct 95 --delta 1e-5 --confidence 0.95",
        "epsilon_lower",
        2.165175799714,
        1e-10,
    ),
    (
        "epsilon --method one-run --canaries 1000 --guesses 200 --correct 180 --delta 1e-5 --confidence 0.95",
        "epsilon_lower",
        1.796285070671,
        1e-10,
    ),
    (
        "epsilon --method one-run --canaries 1000 --guesses 100 --correct 100 --delta 1e-5 --confidence 0.95",
        "epsilon_lower",
        3.465376347811,
        1e-10,
    ),
    (
        "epsilon --method one-run --canaries 1000 --guesses 100 --correct 100 --delta 0 --confidence 0.95",
        "epsilon_lower",
        3.492965431152,
        1e-10,
    ),
    ("pvalue --canaries 1000 --guesses 100 --correct 80 --epsilon 1.0 --delta 1e-5", "p_value", 0.073009115949, 1e-11),
    (
        "epsilon --method one-run-fdp --canaries 1000 --guesses 100 --correct 95 --delta 1e-5 --confidence 0.95",
        "mu_lower",
        0.786811814684,
        1e-10,
    ),
    (
        "epsilon --method one-run-fdp --canaries 1000 --guesses 100 --correct 95 --delta 1e-5 --confidence 0.95",
        "epsilon_lower",
        3.323300489140,
        1e-9,
    ),
    (
        "epsilon --method clopper-pearson --members 1000 --nonmembers 1000 --tp 950 --fp 10 --delta 1e-5 --confidence 0.95",
        "epsilon_lower",
        3.932493645866,
        1e-10,
    ),
    (
        "epsilon --method gdp --members 1000 --nonmembers 1000 --tp 950 --fp 10 --delta 1e-5 --confidence 0.95",
        "mu_lower",
        3.600932650758,
        1e-10,
    ),
    (
        "epsilon --method bayes --members 487 --nonmembers 513 --tp 487 --fp 512 --delta 1e-5 --confidence 0.9",
        "epsilon_lower",
        0.14389,
        6e-6,
    ),
    (
        "epsilon --method bayes --members 487 --nonmembers 513 --tp 487 --fp 512 --delta 1e-5 --confidence 0.9",
        "epsilon_upper",
        6.4155,
        1e-4,
    ),
    ("gdp --epsilon 4 --delta 1e-5", "mu", 0.924930897667, 1e-11),
    // "More".
    ("gdp --mu 1 --delta 1e-5", "epsilon", 4.377178095681, 1e-11),
    ("gdp --epsilon 8 --delta 1e-5", "mu", 1.666030597846, 1e-11),
    ("gdp --epsilon 1 --delta 1e-5", "mu", 0.268051123211, 1e-11),
    // The ceilings of A1.
    ("epsilon --canaries 1000 --guesses 50 --correct 7", "epsilon_ceiling", 2.756, 6e-4),
    ("epsilon --canaries 1000 --guesses 200 --correct 7", "epsilon_ceiling", 4.166, 6e-4),
    ("epsilon --canaries 1000 --guesses 300 --correct 7", "epsilon_ceiling", 4.575, 6e-4),
    ("epsilon --canaries 1000 --guesses 500 --correct 7", "epsilon_ceiling", 5.088, 6e-4),
    ("epsilon --canaries 1000 --guesses 1000 --correct 7", "epsilon_ceiling", 5.782, 6e-4),
    ("epsilon --canaries 5000 --guesses 5000 --correct 7", "epsilon_ceiling", 7.284, 6e-4),
];

#[test]
fn every_row_holds() {
    for (line, key, value, tolerance) in ROWS {
        let found = number(&json(&words(line))[key]);
        assert!((found - value).abs() <= *tolerance, "{line}: {key} {found}, expected {value}");
    }
}

#[test]
fn defaults_are_the_published_ones() {
    let [short, long] = [
        "epsilon --canaries 1000 --guesses 100 --correct 95",
        "epsilon --method one-run --canaries 1000 --guesses 100 --correct 95 --delta 1e-5 --confidence 0.95 --adjacency add-remove",
    ];
    assert_eq!(json(&words(short)), json(&words(long)));
}

#[test]
fn each_method_reports_its_own_keys() {
    let counts = "--members 100 --nonmembers 100 --tp 60 --fp 10";
    let answers =
        ["clopper-pearson", "gdp", "bayes"].map(|method| json(&words(&format!("epsilon --method {method} {counts}"))));
    let [clopper, gdp, bayes] = &answers;
    for (answer, kind, valid) in
        [(clopper, "confidence", true.into()), (gdp, "confidence", true.into()), (bayes, "credible", "credible".into())]
    {
        assert_eq!((&answer["kind"], &answer["valid"]), (&kind.into(), &valid));
        assert!(answer["p_value_at_zero"].is_null());
        assert!(answer["assumes"].as_str().unwrap().contains("independent-runs"));
    }
    assert!(clopper["fpr_upper"].is_f64() && clopper["fnr_upper"].is_f64() && clopper["mu_lower"].is_null());
    assert!(gdp["mu_lower"].is_f64() && gdp["epsilon_upper"].is_null());
    assert!(bayes["epsilon_upper"].is_f64() && bayes["fpr_upper"].is_null());
    let run = "--canaries 100 --guesses 20 --correct 18";
    let [one, fdp] = ["one-run", "one-run-fdp"].map(|method| json(&words(&format!("epsilon --method {method} {run}"))));
    assert!(one["p_value_at_zero"].is_f64() && one["mu_lower"].is_null());
    assert!(fdp["p_value_at_zero"].is_null() && fdp["mu_lower"].is_f64());
    assert_eq!((&one["assumes"], &fdp["assumes"]), (&"none".into(), &"gaussian-dp".into()));
    assert_eq!((&one["valid"], &one["adjacency"]), (&true.into(), &"add-remove".into()));
}

#[test]
fn a_rate_from_mu() {
    let found = json(&words("gdp --mu 1 --fpr 0.01"));
    assert!((number(&found["tpr"]) - 0.092_361_310_765_152_1).abs() < 1e-6, "{found}");
    assert!((number(&json(&words("gdp --mu 0 --fpr 0.25"))["tpr"]) - 0.25).abs() < 1e-15);
    assert_eq!(json(&words("gdp --mu 0 --delta 1e-5"))["epsilon"], 0.0);
    assert_eq!(json(&words("gdp --mu 0 --epsilon 1"))["delta"], 0.0);
}

#[test]
fn the_gate_exits_with_3_and_still_answers() {
    let line = "epsilon --canaries 1000 --guesses 100 --correct 95 --fail-above";
    let (answer, code) = super::command::json_with_code(&words(&format!("{line} 2")));
    assert_eq!((code, &answer["exceeded"]), (Some(3), &true.into()));
    let (answer, code) = super::command::json_with_code(&words(&format!("{line} 2.2")));
    assert_eq!((code, &answer["exceeded"]), (Some(0), &false.into()));
    // Above the ceiling nothing can be said.
    let (answer, code) = super::command::json_with_code(&words(&format!("{line} 3.5")));
    assert_eq!(code, Some(0));
    assert!(answer["notes"].to_string().contains("inconclusive"), "{answer}");
}

#[test]
fn the_answer_is_also_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let answer = json(&["gdp", "--epsilon", "4", "--delta", "1e-5", "--out", out.to_str().unwrap()]);
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("result.json")).unwrap()).unwrap();
    assert_eq!(written, answer);
}
