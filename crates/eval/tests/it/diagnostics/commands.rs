//! The specification's oracles (6 to 13 and 15 to 19) through the binary, files written here.

use serde_json::{Value, json};

use super::numbers;
use crate::support::{assert_close, eval};

/// A folder with one file, whose path goes where an argument says `FILE`.
pub struct File {
    path: std::path::PathBuf,
    // Removed with its files when this goes.
    _folder: tempfile::TempDir,
}

impl File {
    pub fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Self { path, _folder: folder }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn run(&self, command: &str) -> crate::support::Ran {
        let args = command.split(' ').map(|arg| if arg == "FILE" { self.path() } else { arg });
        eval(args.chain(["--format", "json"]))
    }

    pub fn json(&self, command: &str) -> Value {
        let ran = self.run(command);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.json()
    }
}

fn json_of(command: &str) -> Value {
    let ran = eval(command.split(' ').chain(["--format", "json"]));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.json()
}

/// A CSV and a JSONL of the same columns.
fn both(columns: &[(&str, &[&str])]) -> [File; 2] {
    let rows = columns[0].1.len();
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut csv = header.join(",");
    let mut jsonl = String::new();
    for row in 0..rows {
        let cells: Vec<&str> = columns.iter().map(|(_, cells)| cells[row]).collect();
        csv += &format!("\n{}", cells.iter().map(|c| if *c == "null" { "" } else { c }).collect::<Vec<_>>().join(","));
        let pair = |(name, cell): (&&str, &&str)| match *cell {
            "null" => format!("\"{name}\": null"),
            cell if cell.parse::<f64>().is_ok() => format!("\"{name}\": {cell}"),
            cell => format!("\"{name}\": \"{cell}\""),
        };
        jsonl += &format!("{{{}}}\n", header.iter().zip(&cells).map(pair).collect::<Vec<_>>().join(", "));
    }
    [File::new("d.csv", csv), File::new("d.jsonl", jsonl)]
}

#[track_caller]
fn near(json: &Value, pointer: &str, expected: f64) {
    let found = json.pointer(pointer).and_then(Value::as_f64);
    assert_close(found.unwrap_or_else(|| panic!("no {pointer} in {json}")), expected, 1e-12);
}

#[test]
fn oracle_6_markov() {
    let json = json_of("markov --counts 720,80,45,155 --p0 .8 --turns 10");
    near(&json, "/p_tf", 0.1);
    near(&json, "/p_ft", 0.225);
    near(&json, "/stationary", 0.692307692307692);
    near(&json, "/stationary_se", 0.0359440060319229);
    near(&json, "/lambda", 0.675);
    near(&json, "/half_life", 1.76354217463744);
    near(&json, "/accuracy/9", 0.695440391094202);
    assert_eq!(json["accuracy"].as_array().unwrap().len(), 10);
    let empty = json_of("markov --counts 9,0,0,0 --p0 .8");
    assert_eq!((&empty["stationary"], &empty["p_ft"], &empty["accuracy"]), (&Value::Null, &Value::Null, &Value::Null));
    assert!(empty["reason"].as_str().unwrap().contains("wrong"));
}

#[test]
fn oracle_7_wilson() {
    let json = json_of("stats wilson --k 37 --n 50");
    near(&json, "/lo", 0.604468427351512);
    near(&json, "/hi", 0.841284725064476);
    near(&json, "/p", 0.74);
    let json = json_of("stats wilson --k 0 --n 20");
    near(&json, "/hi", 0.161125158052819);
    assert_eq!(json["lo"], 0.0);
}

#[test]
fn oracle_8_clustered_mean() {
    for file in both(&[
        ("x", &["1", "1", "0", "1", "0", "0", "1", "1", "1", "0", "0", "1"]),
        ("passage", &["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "d"]),
        ("one", &["a"; 12]),
    ]) {
        let json = file.json("stats mean --data FILE --value x --cluster passage");
        near(&json, "/mean", 0.583333333333333);
        near(&json, "/se", 0.148647097502641);
        near(&json, "/se_clustered", 0.159571184626056);
        assert_eq!((&json["n"], &json["n_clusters"]), (&json!(12), &json!(4)));
        // t(3) at 97.5 %.
        near(&json, "/hi", 0.583333333333333 + 3.182446305283708 * 0.159571184626056);
        let json = file.json("stats mean --data FILE --value x --cluster passage --cluster-correction none");
        near(&json, "/se_clustered", 0.138192699598141);
        let json = file.json("stats mean --data FILE --value x");
        assert_eq!((&json["se_clustered"], &json["n_clusters"]), (&Value::Null, &Value::Null));
        near(&json, "/hi", 0.583333333333333 + 2.200985160091639 * 0.148647097502641);
        let json = file.json("stats mean --data FILE --value x --cluster one");
        assert_eq!((&json["se_clustered"], &json["lo"], &json["n_clusters"]), (&Value::Null, &Value::Null, &json!(1)));
    }
}

#[test]
fn truth_values_are_numbers() {
    let file = File::new("d.jsonl", "{\"x\": true}\n{\"x\": false}\n{\"x\": true}\n{\"x\": true}\n");
    assert_eq!(file.json("stats mean --data FILE --value x")["mean"], 0.75);
}

#[test]
fn oracle_9_auroc() {
    for file in both(&[
        ("s", &["0.1", "0.4", "0.35", "0.8", "0.65", "0.4", "0.9", "0.2"]),
        ("l", &["0", "0", "1", "1", "1", "1", "1", "0"]),
        ("one", &["0", "0", "1", "0", "0", "0", "0", "0"]),
    ]) {
        let json = file.json("stats auroc --data FILE --score s --label l");
        near(&json, "/auroc", 0.9);
        near(&json, "/se", 0.120185042515466);
        assert_eq!((&json["n_pos"], &json["n_neg"]), (&json!(5), &json!(3)));
        let json = file.json("stats auroc --data FILE --score s --label one");
        assert_eq!((&json["se"], &json["n_pos"]), (&Value::Null, &json!(1)));
    }
}

#[test]
fn oracle_10_guard() {
    for file in both(&[
        ("pred", &["FAIL", "PASS", "FAIL", "null", "PASS", "FAIL", "PASS", "null", "FAIL", "PASS"]),
        ("gold", &["FAIL", "PASS", "PASS", "FAIL", "PASS", "FAIL", "FAIL", "PASS", "FAIL", "PASS"]),
        ("rules", &["1", "1", "10", "2", "2", "2", "1", "10", "10", "10"]),
    ]) {
        let json = file.json("guard score --data FILE --pred pred --gold gold --by rules");
        for (key, expected) in [("tp", 3), ("fp", 2), ("fn", 2), ("tn", 3), ("nulls", 2), ("n", 10)] {
            assert_eq!(json[key], expected, "{key}");
        }
        near(&json, "/f1", 0.6);
        near(&json, "/fpr", 0.4);
        near(&json, "/fpr_over_n", 0.1);
        near(&json, "/precision", 0.6);
        near(&json, "/recall", 0.6);
        near(&json, "/accuracy", 0.6);
        let order: Vec<&str> = json["by"].as_array().unwrap().iter().map(|g| g["rules"].as_str().unwrap()).collect();
        assert_eq!(order, ["1", "2", "10"]);
        assert_eq!(json["by"][2]["fp"], 2);
        let json = file.json("guard score --data FILE --pred pred --gold gold --by rules --edges 2,5");
        let buckets: Vec<(&str, u64)> = json["by"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| (g["rules"].as_str().unwrap(), g["n"].as_u64().unwrap()))
            .collect();
        assert_eq!(buckets, [("below 2", 3), ("2 to 5", 3), ("5 and above", 4)]);
    }
    let file = File::new("m.csv", "m,gold\n3,FAIL\n2,FAIL\n2,PASS\n1,FAIL\n0,PASS\n-1,PASS\n");
    let json = file.json("guard score --data FILE --score m --gold gold");
    near(&json, "/at_fpr/recall", 1.0 / 3.0);
    near(&json, "/best_f1/f1", 6.0 / 7.0);
    near(&json, "/best_f1/logit_bias", -1.0);
    near(&json, "/auroc", (3.0 + 2.5 + 2.0) / 9.0);
}

/// Margins made from a top-20 list are the scores that `--score` would have been given.
#[test]
fn guard_margins_from_first_tokens() {
    let rows = [
        (r#"{"FAIL": -0.5, " FAIL": -1.5, "PASS": -2.0, "<": -9}"#, "FAIL"),
        (r#"[{"token": " FAIL", "logprob": -2.5}, {"token": "PASS", "logprob": -0.2}]"#, "PASS"),
        (r#"{" PASS": -0.1, "PASS": -3.0}"#, "PASS"),
        (r#"{"FAIL": -3.0, "PASS": -0.1}"#, "FAIL"),
        (r#"{"I": -0.1}"#, "PASS"),
    ];
    // By hand: both spellings add up, a side that isn't there is -100, and without either side the margin is 0.
    let sum = |a: f64, b: f64| (a.exp() + b.exp()).ln();
    let margins = [sum(-0.5, -1.5) + 2.0, -2.5 + 0.2, -100.0 - sum(-0.1, -3.0), -3.0 + 0.1, 0.0];
    let (mut by_hand, mut jsonl, mut csv) = ("m,g\n".to_owned(), String::new(), "top,g\n".to_owned());
    for ((top, gold), margin) in rows.iter().zip(margins) {
        by_hand += &format!("{margin},{gold}\n");
        jsonl += &format!("{{\"top\": {top}, \"g\": \"{gold}\"}}\n");
        csv += &format!("\"{}\",{gold}\n", top.replace('"', "\"\""));
    }
    let expected = File::new("m.csv", by_hand).json("guard score --data FILE --score m --gold g");
    for file in [File::new("d.jsonl", jsonl), File::new("d.csv", csv)] {
        let found = file.json("guard score --data FILE --logprobs top --gold g");
        for key in ["/auroc", "/best_f1/threshold", "/best_f1/f1", "/best_f1/logit_bias", "/at_fpr/recall"] {
            near(&found, key, expected.pointer(key).and_then(Value::as_f64).unwrap());
        }
        assert_eq!((&found["n_neither"], &found["fail_tokens"]), (&json!(1), &json!([" FAIL", "FAIL"])));
        let other = "--dialect shieldgemma --fail-token I,FAIL --pass-token PASS";
        let found = file.json(&format!("guard score --data FILE --logprobs top --gold g {other}"));
        assert_eq!((&found["n_neither"], found["fail_tokens"].as_array().unwrap().len()), (&json!(0), 4));
    }
}

#[test]
fn oracle_11_pass_at_k() {
    let json = json_of("stats pass-at-k --n 20 --c 7 --k 5");
    near(&json, "/pass_at_k", 0.916989164086687);
    near(&json, "/pass_hat_k", 0.00135448916408669);
    assert_eq!(json_of("stats pass-at-k --n 5 --c 3 --k 3")["pass_at_k"], 1.0);
}

const HEADS: &str = r#"{"attn": [[[1,0,0],[0.75,0.25,0],[0.5,0.25,0.25]],[[1,0,0],[0.1,0.9,0],[0.2,0.3,0.5]]],
    "value": [[[0.1,0.2],[1,0],[0,2]],[[1,1],[2,-1],[-1,3]]]}"#;

#[test]
fn oracle_12_heads() {
    let file = File::new("h.json", HEADS);
    let json = file.json("heads score --input FILE --score all");
    for (name, expected) in [
        ("awft", [0.75, 0.433333333333]),
        ("awft-ln", [1.26760563, 0.73239437]),
        ("aeqd", [0.534018638, 0.451578662]),
        ("aeqd-ln", [1.08364469, 0.91635531]),
        ("ftvvn", [0.223606798, 2.0_f64.sqrt()]),
        ("ftvvn-ln", [0.273054119, 1.72694588]),
        ("avvn", [1.0745356, 2.27085307]),
        ("avvn-ln", [0.642398063, 1.35760194]),
        ("lthon", [0.670820393, 1.43178211]),
        ("lthon-ln", [0.653404846, 1.3946108]),
        ("lthon-hn", [1.60691873, 0.875252957]),
        ("ahon", [0.417457573, 1.63584949]),
        ("ahon-ln", [0.40661972, 1.59338028]),
    ] {
        let found = numbers(&json["scores"][name]);
        assert!(found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-8), "{name}: {found:?}");
    }
    assert_eq!(json["scores"].as_object().unwrap().len(), 13);
    assert_eq!((&json["inactive"]["awft"], &json["inactive"]["ahon"]), (&json!("greater"), &json!("less")));
    // One score is the same as among all.
    let one = file.json("heads score --input FILE --score lthon-ln");
    assert_eq!(one["scores"]["lthon-ln"], json["scores"]["lthon-ln"]);
    assert_eq!(one["scores"].as_object().unwrap().len(), 1);
}

#[test]
fn oracle_13_threshold() {
    let file = File::new("s.json", r#"{"scores": [0.12,0.9,0.5,1.4,0.33,0.71,1.05,0.2,0.62,1.2]}"#);
    let json = file.json("heads threshold --input FILE --fraction .15 --side less");
    near(&json, "/threshold", 0.16);
    assert_eq!(json["n"], 10);
    near(&file.json("heads threshold --input FILE --fraction .15 --side greater"), "/threshold", 1.125);
}

#[test]
fn oracle_15_paired() {
    for file in both(&[
        ("a", &["1", "1", "1", "0", "1", "1", "0", "1", "1", "1", "1", "0", "1", "1", "1"]),
        ("b", &["1", "0", "1", "0", "0", "1", "0", "1", "0", "1", "0", "1", "1", "0", "1"]),
        ("g", &["x"; 15]),
    ]) {
        let json = file.json("stats paired --data FILE --a a --b b");
        near(&json, "/diff", 0.266666666666667);
        near(&json, "/se", 0.153271208946963);
        near(&json, "/p_mcnemar", 0.21875);
        near(&json, "/corr", 0.200445931434318);
        assert_eq!((&json["b"], &json["c"], &json["n"]), (&json!(5), &json!(1), &json!(15)));
        let json = file.json("stats paired --data FILE --a a --b b --cluster g");
        assert_eq!((&json["se"], &json["n_clusters"]), (&Value::Null, &json!(1)));
    }
}

#[test]
fn oracle_16_bootstrap() {
    for file in both(&[("ll", &["-2.1", "-1.7", "-3.2", "-0.4", "-2.8", "-1.1", "-0.9", "-2.2", "-1.5", "-3.9"])]) {
        let json = file.json("stats bootstrap --data FILE --value ll --stat perplexity --iters 2000 --compat lm-eval");
        assert_eq!(json["value"].as_f64(), Some(7.24274298516101));
        assert_eq!(json["se"].as_f64(), Some(2.5226482312524245));
        assert_eq!(json["iters"], 2000);
        let json = file.json("stats bootstrap --data FILE --value ll --stat median --iters 2999 --compat lm-eval");
        assert_eq!((json["value"].as_f64(), json["se"].as_f64()), (Some(-1.7), Some(0.4425996212293389)));
        assert_eq!((&json["iters"], &json["iters_dropped"]), (&json!(2000), &json!(999)));
        let ours = file.json("stats bootstrap --data FILE --value ll --stat median --iters 2999");
        assert_eq!((ours["value"].as_f64(), &ours["iters"]), (Some(-1.9), &json!(2999)));
        let again = file.json("stats bootstrap --data FILE --value ll --stat median --iters 2999 --seed 1");
        assert_ne!(ours["se"], again["se"]);
    }
}

#[test]
fn oracle_18_misalignment() {
    for file in both(&[
        ("alignment", &["12", "85", "28", "29.9", "30", "5", "70", "95", "10", "null"]),
        ("coherence", &["90", "95", "40", "51", "80", "50", "99", "100", "77", "88"]),
        ("question", &["a", "a", "a", "b", "b", "b", "c", "c", "c", "c"]),
        ("one", &["a"; 10]),
    ]) {
        let json = file.json("em rate --data FILE");
        let counts = ["n", "n_coherent", "n_misaligned", "n_null"].map(|key| json[key].as_u64().unwrap());
        assert_eq!(counts, [10, 7, 3, 1]);
        near(&json, "/em_rate", 3.0 / 7.0);
        for (key, expected) in [("lo", 0.158219855), ("hi", 0.749541635)] {
            assert_close(json[key].as_f64().unwrap(), expected, 1e-8);
        }
        // Coherent: a 1, 0; b 1, 0; c 0, 0, 1. Sums about 3/7: 1/7, 1/7, -2/7.
        let json = file.json("em rate --data FILE --cluster question");
        let se = (1.5 * (1.0 + 1.0 + 4.0) / 49.0_f64).sqrt() / 7.0;
        near(&json, "/se_clustered", se);
        // t(2) at 97.5 % in closed form.
        near(&json, "/hi", 3.0 / 7.0 + 0.95 * (2.0 / (1.0 - 0.95 * 0.95_f64)).sqrt() * se);
        let json = file.json("em rate --data FILE --cluster one");
        assert_eq!((&json["lo"], &json["se_clustered"], &json["n_clusters"]), (&Value::Null, &Value::Null, &json!(1)));
    }
    let logprobs = r#"{"0": -3, "10": -1.2, "20": -0.9, "30": -2.5, "5": -4, "CODE": -6, " 20": -5}"#;
    let json = File::new("l.json", logprobs).json("em judge-score --logprobs FILE");
    near(&json, "/score", 15.9967502954967);
    near(&json, "/mass", 0.864689524532384);
    let list = r#"[{"token": "85", "logprob": -0.1}, {"token": "NO", "logprob": -4}]"#;
    near(&File::new("l.json", list).json("em judge-score --logprobs FILE"), "/score", 85.0);
    let none = File::new("l.json", r#"{"NO": -0.1, "5": -3}"#).json("em judge-score --logprobs FILE");
    assert_eq!(none["score"], Value::Null);
}

const MAP: &str = r#"{"attn": [[0.7,0.1,0.1,0.05,0.05],[0.02,0.9,0.04,0.02,0.02],[0.6,0.05,0.3,0.03,0.02],
    [0.8,0.05,0.05,0.05,0.05],[0.5,0.1,0.1,0.1,0.2]]}"#;

#[test]
fn oracle_19_attention() {
    let file = File::new("m.json", MAP);
    let json = file.json("attn analyze --input FILE");
    near(&json, "/density", 0.76);
    near(&json, "/column_share/0", 0.524);
    assert_eq!((&json["sinks"], &json["local_mass"]), (&json!([]), &Value::Null));
    let json = file.json("attn analyze --input FILE --sink 2 --grid 2,1,2");
    assert_eq!(json["sinks"], json!([0]));
    assert_eq!((&json["sink_details"][0]["first"], &json["sink_details"][0]["text"]), (&json!(true), &json!(false)));
    let first = file.json("attn analyze --input FILE --sink 2 --grid 2,1,2 --text-first");
    assert_eq!((&first["sinks_text"], &first["sinks_video"]), (&json!(1), &json!(0)));
    // One head or two alike: the same means.
    let one: Value = serde_json::from_str(MAP).unwrap();
    let two = json!({ "attn": [one["attn"], one["attn"]], "grid": [2, 1, 2], "value": vec![vec![vec![3.0], vec![1.0], vec![1.0], vec![1.0], vec![1.0]]] });
    let two = File::new("m.json", two.to_string()).json("attn analyze --input FILE --sink 2");
    assert_eq!(two["density"], json["density"]);
    assert_eq!(two["local_mass"], json["local_mass"]);
    assert_eq!((&two["sink_overlap"], &two["each"][1]["sinks"]), (&json!(1.0), &json!([0])));
    near(&two, "/sink_details/0/value_norm_ratio", 3.0 / 1.4);
}

#[test]
fn similarity_has_its_baseline() {
    let file = File::new("m.json", MAP);
    let same = file.json("attn similarity FILE FILE --seed 3");
    assert_eq!((&same["cosine"], &same["jsd"]), (&json!(1.0), &json!(0.0)));
    assert!(same["cosine_shuffled"].as_f64().unwrap() < 0.95);
    assert_eq!(same, file.json("attn similarity FILE FILE --seed 3"));
    assert_ne!(same, file.json("attn similarity FILE FILE --seed 4"));
}

#[test]
fn trajectories() {
    let text = "{\"id\": 1, \"correct\": [1, 1, 0, null], \"answers\": [\"A\", \"A\", \"B\", null]}\n\
        {\"id\": 2, \"correct\": [0, 1, 1, 1], \"answers\": [\"B\", \"A\", \"A\", \"A\"]}\n\
        {\"id\": 3, \"correct\": [true, true], \"answers\": [\"A\", \"A\"]}\n";
    let json = File::new("t.jsonl", text).json("markov --data FILE --turns 3");
    assert_eq!(json["counts"], json!({ "tt": 4, "tf": 1, "ft": 1, "ff": 1 }));
    assert_eq!((&json["unparsed"], &json["questions"]), (&json!(1), &json!(3)));
    near(&json, "/stationary", 0.5 / 0.7);
    near(&json, "/p0", 2.0 / 3.0);
    near(&json, "/flip_rate", 2.0 / 7.0);
    near(&json, "/ever_flipped", 2.0 / 3.0);
    near(&json, "/fit/observed/3", 0.5);
    assert_eq!(json["states"]["states"], json!(["A", "B", "(unparsed)"]));
    assert!(json["states"]["reason"].as_str().unwrap().contains("(unparsed)"));
    assert_eq!(json["markov_test"]["n"], 4);
    assert!(json["stationary_se"].is_number() && json["stationary_se"] != json["stationary_se_delta"]);
    // The same trajectories in CSV, as lists and turn by turn in any order.
    let lists = File::new("t.csv", "id,correct\n1,1 1 0 -\n2,0 1 1 1\n3,1 1\n").json("markov --data FILE --turns 3");
    let turns = "id,turn,correct\n1,4,\n1,1,1\n2,1,0\n2,2,1\n1,2,1\n1,3,0\n3,1,1\n3,2,1\n2,4,1\n2,3,1\n";
    let turns = File::new("t.csv", turns).json("markov --data FILE --turns 3");
    for other in [lists, turns] {
        for key in ["counts", "unparsed", "stationary", "accuracy", "fit", "markov_test", "stationary_se"] {
            assert_eq!(other[key], json[key], "{key}");
        }
    }
}

#[test]
fn the_flip_mock_is_recovered() {
    // The specification's effect 5: 10,000 questions of 10 turns, from a chain that is known.
    let mut rng = ashlar_eval::PyRandom::new(20);
    let mut text = String::new();
    for id in 0..10_000 {
        let mut right = rng.random() < 0.8;
        let mut turns = vec![u8::from(right)];
        for _ in 1..10 {
            right = if right { rng.random() >= 0.1 } else { rng.random() < 0.225 };
            turns.push(u8::from(right));
        }
        text += &format!("{}\n", json!({ "id": id, "correct": turns }));
    }
    let json = File::new("t.jsonl", text).json("markov --data FILE");
    let (found, se) = (json["stationary"].as_f64().unwrap(), json["stationary_se"].as_f64().unwrap());
    assert!((found - 0.692307692).abs() < 3.0 * se && se < 0.01, "{found} ± {se}");
    assert!((json["accuracy"][9].as_f64().unwrap() - 0.6954).abs() < 0.02);
    assert!((json["fit"]["observed"][9].as_f64().unwrap() - 0.6954).abs() < 0.02);
    assert!(json["markov_test"]["p"].as_f64().unwrap() > 0.001);
    assert_eq!(json["markov_test"]["dof"], 2);
}

#[test]
fn safetensors_read_as_json_does() {
    // Attention 1 × 2 × 2 and values 1 × 2 × 1 in F32, by hand: header length, header, data.
    let header = r#"{"__metadata__":{"grid":"2,1,1"},"attn":{"dtype":"F32","shape":[1,2,2],"data_offsets":[0,16]},"value":{"dtype":"BF16","shape":[1,2,1],"data_offsets":[16,20]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    for weight in [1.0_f32, 0.0, 0.5, 0.5] {
        bytes.extend_from_slice(&weight.to_le_bytes());
    }
    for value in [2.0_f32, -4.0] {
        bytes.extend_from_slice(&value.to_bits().to_le_bytes()[2..]);
    }
    let file = File::new("m.safetensors", bytes);
    let json = file.json("heads score --input FILE --score all");
    assert_eq!((numbers(&json["scores"]["lthon"]), numbers(&json["scores"]["avvn"])), (vec![1.0], vec![3.0]));
    let json = file.json("attn analyze --input FILE --radius-time 0");
    assert_eq!(json["local_mass"], 0.75);
}

#[test]
fn text_answers_are_small_tables() {
    let ran = eval(["stats", "wilson", "--k", "37", "--n", "50"]);
    assert_eq!(ran.stdout.lines().next(), Some("p      0.740000"));
    assert_eq!(ran.stdout.lines().count(), 6);
}
