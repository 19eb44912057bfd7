//! The commands `roc`, `score` and `exposure` through the binary.

use std::{fs, process::Output};

use assert_cmd::Command;
use serde_json::Value;

fn audit(args: &[&str]) -> Output {
    Command::cargo_bin("ashlar-audit").unwrap().args(args).output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = audit(&[args, &["--format", "json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code 2 and a message with these words.
#[track_caller]
fn refused(args: &[&str], words: &[&str]) {
    let output = audit(args);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{args:?}: no `{word}` in: {message}");
    }
    assert!(output.stdout.is_empty(), "{args:?}");
}

const MEMBERS: &str = "--members=0.9,0.8,0.8,0.6,0.3";
const NONMEMBERS: &str = "--nonmembers=0.7,0.6,0.5,0.4,0.2,0.2,0.1,0.1,0.05,0.0";

#[test]
fn oracle_13() {
    let found = json(&["roc", MEMBERS, NONMEMBERS, "--fpr", "0.1"]);
    assert_eq!(found["tpr"], 0.6);
    // Of the thresholds that reach it the one that accuses fewest.
    assert_eq!((&found["threshold"], &found["fpr"], &found["target_fpr"]), (&0.8.into(), &0.0.into(), &0.1.into()));
    assert_eq!((found["auc"].as_f64(), found["balanced_accuracy"].as_f64()), (Some(0.89), Some(0.8)));
    assert_eq!(found["curve"][0]["threshold"], "inf");
    assert_eq!(found["curve"].as_array().unwrap().len(), 12);
}

#[test]
fn oracle_14() {
    let log_probs = "--log-probs=-0.1,-2.3,-0.7,-5.0,-1.1,-0.2,-3.4,-0.9,-0.05,-4.2";
    assert_eq!(json(&["score", "--method", "min-k", log_probs, "--k", "0.2"])["score"], -4.6);
    // As two words, and k's default.
    let found = json(&["score", "--method", "min-k", "--log-probs", &log_probs[12..]]);
    assert_eq!((&found["score"], &found["method"]), (&(-4.6).into(), &"min-k".into()));
}

#[test]
fn oracle_15() {
    let found = json(&["exposure", "--rank", "3", "--candidates", "1000000"]);
    assert!((found["exposure"].as_f64().unwrap() - 18.346606068603).abs() < 1e-12);
    assert_eq!(found["rank"], 3);
}

#[test]
fn roc_from_a_file_with_several_rates_and_a_plot() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let nonmembers: Vec<f64> = (0..200).map(|i| f64::from(i) / 200.0).collect();
    let text = serde_json::json!({ "members": [0.999, 0.7, 0.98], "nonmembers": nonmembers }).to_string();
    fs::write(path("scores.json"), text).unwrap();
    let (file, svg, out) = (path("scores.json"), path("roc.svg"), path("run"));
    let found = json(&[
        "roc", "--scores", &file, "--fpr", "0.02", "--fpr", "0.001", "--fpr", "0.5", "--plot", &svg, "--out", &out,
    ]);
    let at: Vec<(f64, Option<f64>)> = found["at"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rate| (rate["target_fpr"].as_f64().unwrap(), rate["tpr"].as_f64()))
        .collect();
    assert_eq!(at, [(0.02, Some(2.0 / 3.0)), (0.001, None), (0.5, Some(1.0))]);
    assert_eq!(found["tpr"].as_f64(), Some(2.0 / 3.0));
    assert!(found["notes"][0].as_str().unwrap().contains("FPR 0.001 cannot be resolved by 200 non-members"));
    assert!(found["notes"][0].as_str().unwrap().ends_with("0.005"));
    let drawn = fs::read_to_string(&svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("false-positive rate"));
    // Nothing half-written stays behind.
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["roc.svg", "run", "scores.json"]);
    let saved: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("run/result.json")).unwrap()).unwrap();
    assert_eq!(saved, found);
}

#[test]
fn a_plot_that_cannot_be_written_is_a_failure_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("missing/roc.svg").display().to_string();
    let output = audit(&["roc", MEMBERS, NONMEMBERS, "--plot", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write"));
}

#[test]
fn the_hull_interpolates_and_says_so() {
    let found = json(&["roc", MEMBERS, NONMEMBERS, "--fpr", "0.1", "--hull"]);
    assert!((found["tpr"].as_f64().unwrap() - 0.7).abs() < 1e-12);
    assert_eq!((&found["threshold"], &found["hull"]), (&Value::Null, &true.into()));
    assert!(found["curve"].as_array().unwrap().len() < 12);
    let text = String::from_utf8(audit(&["roc", MEMBERS, NONMEMBERS, "--fpr", "0.1", "--hull"]).stdout).unwrap();
    assert!(text.contains("TPR at FPR <= 0.1  0.700000 on the hull, between two thresholds"), "{text}");
}

#[test]
fn roc_notes() {
    let notes = |members: &str, nonmembers: &str| {
        json(&["roc", members, nonmembers, "--fpr", "0.5"])["notes"].as_array().unwrap().clone()
    };
    assert_eq!(notes("--members=1,1", "--nonmembers=1,1,1"), ["constant scores"]);
    assert_eq!(notes("--members=-3,-4", "--nonmembers=-1,-2"), ["scores look negated"]);
    assert!(notes("--members=3,4", "--nonmembers=1,2").is_empty());
    let found = json(&["roc", "--members=1", "--nonmembers=0,0.5", "--fpr", "0.4"]);
    assert_eq!((&found["tpr"], &found["threshold"]), (&Value::Null, &Value::Null));
}

#[test]
fn roc_refuses() {
    refused(&["roc"], &["--scores", "--members", "--nonmembers"]);
    refused(&["roc", MEMBERS], &["--members needs --nonmembers"]);
    refused(&["roc", NONMEMBERS], &["--nonmembers needs --members"]);
    refused(&["roc", MEMBERS, NONMEMBERS, "--scores", "x.json"], &["--scores", "--members"]);
    refused(&["roc", "--members=1,NaN", NONMEMBERS], &["members[1] is NaN"]);
    refused(&["roc", MEMBERS, "--nonmembers=1,2,-inf"], &["nonmembers[2] is -inf"]);
    refused(&["roc", "--members=", NONMEMBERS], &["--members"]);
    refused(&["roc", MEMBERS, "--nonmembers=1,x"], &["--nonmembers", "`x`"]);
    for fpr in ["-0.1", "1.5", "nan"] {
        refused(&["roc", MEMBERS, NONMEMBERS, "--fpr", fpr], &["--fpr", "in [0, 1]"]);
    }
    refused(&["roc", "--scores", "no-such-file.json"], &["no-such-file.json"]);
    let dir = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("", "not a score file"),
        ("{\"members\": [1], \"nonmembers\": []}", "nonmembers is empty"),
        ("{\"members\": [1], \"nonmembers\": [2, \"x\"]}", "line 1"),
        ("{\"members\": [1]}", "nonmembers"),
        ("{\"members\": [1e999], \"nonmembers\": [1]}", "scores.json"),
    ] {
        let file = dir.path().join("scores.json").display().to_string();
        fs::write(&file, text).unwrap();
        refused(&["roc", "--scores", &file], &["scores.json", words]);
    }
}

#[test]
fn every_score_method() {
    let neighbours = format!("--neighbour-means={}", vec!["-2.5"; 25].join(","));
    let log_probs = "--log-probs=-1,-2,-3";
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.txt");
    fs::write(&text, "a".repeat(1000)).unwrap();
    let text = text.display().to_string();
    let lira = ["--observed=1", "--in=1,3", "--out=-1,1"];
    // φ = 1 is at −1 and +1 standard deviations, of 1 each.
    let rows: [(&str, &[&str], f64); 13] = [
        ("loss", &[log_probs], -2.0),
        ("ratio", &[log_probs, "--reference-log-probs=-2.5,-3"], 0.75),
        ("zlib", &[log_probs, "--zlib-bytes", "40"], -0.05),
        ("zlib", &[log_probs, "--text", &text], -2.0 / 17.0),
        ("min-k", &[log_probs], -3.0),
        ("min-k", &[log_probs, "--k=0.7"], -2.5),
        ("min-k-pp", &[log_probs, "--mu=-2,-2,-2", "--sigma=0.5,1,0.25", "--k=1"], -2.0 / 3.0),
        ("neighbourhood", &[log_probs, &neighbours], 0.5),
        ("recall", &[log_probs, "--conditional-log-probs=-3,-3,-3"], 1.5),
        ("lira-online", &lira, 0.0),
        ("lira-offline", &["--observed=1", "--out=-1,1"], 0.8413447460685429),
        (
            "rmia",
            &[
                "--target-prob=0.8",
                "--ref-out-prob=0.5",
                "--population-target-probs=0.5,0.9,0.2",
                "--population-ref-out-probs=0.5,0.5,0.5",
                "--offline-a=1",
                "--gamma=1",
            ],
            2.0 / 3.0,
        ),
        ("quantile", &["--observed=-1.5", "--quantile=-2"], 0.5),
    ];
    for (method, flags, want) in rows {
        let found = json(&[&["score", "--method", method], flags].concat());
        let score = found["score"].as_f64().unwrap();
        assert!((score - want).abs() < 1e-14, "{method}: {score} against {want}");
    }
    assert_eq!(json(&["score", "--method", "zlib", log_probs, "--text", &text])["zlib_bytes"], 17);
}

#[test]
fn a_missing_flag_is_named() {
    let log_probs = "--log-probs=-1,-2";
    let rows: [(&str, &[&str], &str); 14] = [
        ("loss", &[], "--log-probs"),
        ("ratio", &[log_probs], "--reference-log-probs"),
        ("zlib", &[log_probs], "--zlib-bytes"),
        ("min-k", &["--k=0.2"], "--log-probs"),
        ("min-k-pp", &[log_probs, "--mu=1,2"], "--sigma"),
        ("min-k-pp", &[log_probs], "--mu, --sigma"),
        ("neighbourhood", &[log_probs], "--neighbour-means"),
        ("recall", &[log_probs], "--conditional-log-probs"),
        ("lira-online", &["--observed=1", "--out=1,2"], "--in"),
        ("lira-online", &["--in=1,2", "--out=1,2"], "--observed"),
        ("lira-offline", &["--observed=1"], "--out"),
        ("rmia", &["--target-prob=1"], "--ref-out-prob, --population-target-probs, --population-ref-out-probs"),
        (
            "rmia",
            &["--target-prob=1", "--ref-out-prob=1", "--population-target-probs=1", "--population-ref-out-probs=1"],
            "--offline-a",
        ),
        ("quantile", &["--observed=1"], "--quantile"),
    ];
    for (method, flags, missing) in rows {
        let words = format!("--method {method} needs {missing}");
        refused(&[&["score", "--method", method], flags].concat(), &[&words]);
    }
    refused(&["score", log_probs], &["--method"]);
}

#[test]
fn score_refuses() {
    let min_k = ["score", "--method", "min-k", "--log-probs=-1,-2"];
    for k in ["0", "-0.2", "1.01", "nan"] {
        refused(&[&min_k[..], &["--k", k]].concat(), &["--k", "in (0, 1]"]);
    }
    refused(&[&min_k[..], &["--gamma", "1"]].concat(), &["--gamma has no meaning with --method min-k"]);
    refused(&["score", "--method", "loss", "--log-probs=-1,nan"], &["log-probs[1] is NaN"]);
    refused(&["score", "--method", "loss", "--log-probs=-1,,2"], &["--log-probs"]);
    refused(&["score", "--method", "loss", "--log-probs=2.5"], &["log-probs[0] = 2.5", "a loss has the other sign"]);
    refused(&["score", "--method", "nonsense"], &["--method", "min-k-pp"]);
    let rmia = |a: &'static str, gamma: &'static str| {
        [
            "score",
            "--method",
            "rmia",
            "--target-prob=0.5",
            "--ref-out-prob=0.5",
            "--population-target-probs=0.5",
            "--population-ref-out-probs=0.5",
            "--offline-a",
            a,
            "--gamma",
            gamma,
        ]
    };
    refused(&rmia("0.5", "0"), &["--gamma 0", "above 0"]);
    refused(&rmia("0.5", "-1"), &["--gamma -1", "above 0"]);
    refused(&rmia("1.5", "1"), &["--offline-a 1.5", "in [0, 1]"]);
    refused(&["score", "--method", "zlib", "--log-probs=-1", "--zlib-bytes", "0"], &["--zlib-bytes 0"]);
    refused(&["score", "--method", "zlib", "--log-probs=-1", "--text", "no-such-file"], &["no-such-file"]);
    refused(&["score", "--method", "lira-online", "--observed=1", "--in=1", "--out=1,2"], &["spread of in = 0"]);
}

#[test]
fn exposure_among_references() {
    let found = json(&["exposure", "--canary-score=-1.5", "--reference-scores=-1,-2,-3,-4"]);
    assert_eq!((found["exposure"].as_f64(), found["rank"].as_u64()), (Some(1.0), Some(2)));
    let last = json(&["exposure", "--canary-score=-9", "--reference-scores=-1,-2"]);
    assert!(last["notes"][0].as_str().unwrap().contains("none of the reference scores"));
    let references: Vec<String> = (0..40).map(|i| format!("{}", f64::from(i * i % 41) / 10.0)).collect();
    let flag = format!("--reference-scores={}", references.join(","));
    let found = json(&["exposure", "--canary-score=8", &flag, "--estimator", "skew-normal"]);
    assert!(found["exposure"].as_f64().unwrap() > 40f64.log2());
    assert_eq!((&found["rank"], &found["estimator"]), (&1.into(), &"skew-normal".into()));
    assert!(found["fit"]["scale"].as_f64().unwrap() > 0.0);
}

#[test]
fn exposure_refuses() {
    refused(&["exposure"], &["--rank", "--candidates", "--canary-score"]);
    refused(&["exposure", "--rank", "3"], &["--rank needs --candidates"]);
    refused(&["exposure", "--candidates", "3"], &["--candidates needs --rank"]);
    refused(&["exposure", "--canary-score=1"], &["--canary-score needs --reference-scores"]);
    refused(&["exposure", "--reference-scores=1"], &["--reference-scores needs --canary-score"]);
    refused(&["exposure", "--rank", "0", "--candidates", "3"], &["--rank 0", "at least 1"]);
    refused(&["exposure", "--rank", "4", "--candidates", "3"], &["--rank 4", "--candidates 3"]);
    refused(&["exposure", "--rank", "-1", "--candidates", "3"], &["--rank", "-1"]);
    refused(&["exposure", "--rank", "1", "--candidates", "3", "--canary-score=1"], &["--canary-score"]);
    refused(&["exposure", "--canary-score=nan", "--reference-scores=1"], &["canary-score[0] is NaN"]);
    refused(&["exposure", "--canary-score=1", "--reference-scores=1,inf"], &["reference-scores[1] is inf"]);
    refused(
        &["exposure", "--canary-score=1", "--reference-scores=1,2", "--estimator", "skew-normal"],
        &["2 reference scores", "at least 10"],
    );
}
