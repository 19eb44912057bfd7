//! `fit-law …` as people and programs run it.

use std::fs;

use serde_json::Value;

use crate::support::{self, assert_close, eval};

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn wandb(name: &str) -> Option<String> {
    let path = support::data(&format!("gemstones/wandb_dfs/wandb_df_for_fitting_{name}.jsonl"))?;
    Some(path.display().to_string())
}

fn fit_law(args: &str) -> support::Ran {
    eval(["fit-law"].into_iter().chain(args.split_whitespace()).chain(["--format", "json"]))
}

#[test]
fn shape_and_prescribe_answer_with_the_oracles() {
    let shape = fit_law("shape --width 1024 --depth 28").json();
    assert_eq!(shape["params"], 543_482_880);
    assert_eq!(number(&shape, "flops_per_token"), 3_578_148_864.0);
    let plan = fit_law("prescribe --law 482.00572,2085.4342,1.81686,.34781,.36585 --flops 1e21 --overtrain 10").json();
    assert_close(number(&plan["overtrain"], "loss"), 2.34628215576, 1e-11);
    assert_close(number(&plan["overtrain"], "compute_equivalent"), 1.57962919094, 1e-11);
}

#[test]
fn parametric_answers_with_every_key() {
    let Some(path) = support::data("gemstones/data/epoch_chinchilla_svg_extracted_data.csv") else { return };
    let path = path.display();
    let answer =
        fit_law(&format!("parametric --data {path} --drop-highest-loss 5 --delta 1e-3 --starts 300 --bootstrap 20"));
    let json = answer.json();
    assert_close(number(&json, "objective"), 0.0010182740178, 1e-9);
    assert_eq!((json["n"].as_u64(), json["starts"].as_u64()), (Some(240), Some(300)));
    assert_eq!(json["vars"], serde_json::json!(["params", "tokens"]));
    assert_eq!((&json["converged"], &json["degenerate"]), (&Value::Bool(true), &Value::Bool(false)));
    let keys = ["A", "B", "E", "alpha", "beta", "a", "b", "G", "delta", "irreducible_error", "grad_inf"];
    assert!(keys.iter().all(|key| json[key].is_f64()), "{json}");
    for key in ["se", "lo", "hi", "names"] {
        assert_eq!(json["boot"][key].as_array().unwrap().len(), 5);
    }
    let lad = fit_law(&format!("parametric --data {path} --drop-highest-loss 5 --loss lad --starts 300")).json();
    assert_close(number(&lad, "A"), 482.00, 1e-4);
    assert_close(number(&lad, "beta"), 0.365854, 1e-4);
}

#[test]
fn the_same_bits_from_one_thread_and_two() {
    let Some(path) = wandb("hot_sampled_like_chinchilla") else { return };
    let on = |threads| fit_law(&format!("parametric --data {path} --threads {threads} --bootstrap 10")).stdout;
    assert_eq!(on(1), on(2));
}

#[test]
fn a_law_without_a_floor_says_so() {
    let Some(path) = wandb("hot_100b+") else { return };
    let json = fit_law(&format!("parametric --data {path} --vars width,depth,tokens --starts 150")).json();
    assert_eq!((&json["irreducible_error"], &json["degenerate"]), (&Value::Null, &Value::Bool(true)));
    assert_eq!(number(&json, "E"), 0.0);
    let text = eval(["fit-law", "parametric", "--data", &path, "--vars", "width,depth,tokens", "--starts", "150"]);
    assert!(text.stdout.contains("they do not identify E"), "{}", text.stdout);
}

#[test]
fn envelope_sweep_and_power_answer_and_draw() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("plot.svg");
    let drawn = || {
        let text = fs::read_to_string(&svg).unwrap();
        fs::remove_file(&svg).unwrap();
        text.contains("<svg")
    };
    let power = folder.path().join("power.jsonl");
    let sizes = [0.27, 0.5, 1.5, 3.0, 7.0, 14.0, 32.0, 70.0];
    let aware = [0.03, 0.05, 0.07, 0.08, 0.11, 0.14, 0.20, 0.24];
    let rows: Vec<String> = sizes.iter().zip(aware).map(|(n, y)| format!("{{\"n\":{},\"y\":{y}}}", n * 1e9)).collect();
    fs::write(&power, rows.join("\n")).unwrap();
    let json = fit_law(&format!("power --data {} --x n --y y --form sqrt --predict 4e9", power.display())).json();
    assert_close(number(&json, "coef"), 0.0266068680324971, 1e-12);
    assert_close(number(&json, "prediction"), 0.0332025690814067 + 2.0 * 0.0266068680324971, 1e-12);

    let Some(path) = wandb("hot_477") else { return };
    let json =
        fit_law(&format!("envelope --data {path} --resource flops --target params --plot {}", svg.display())).json();
    assert_close(number(&json, "coef"), 0.49938021608263, 1e-12);
    assert_eq!((json["n_envelope"].as_u64(), json["envelope"].as_array().map(Vec::len)), (Some(21), Some(21)));
    assert!(drawn());
    for data in
        [path, support::data("gemstones/data/epoch_chinchilla_svg_extracted_data.csv").unwrap().display().to_string()]
    {
        assert_eq!(fit_law(&format!("parametric --data {data} --starts 20 --plot {}", svg.display())).code, 0);
        assert!(drawn());
    }
    let dir = support::data("gemstones/wandb_dfs").unwrap();
    let ran = fit_law(&format!("sweep --dir {} --plot {}", dir.display(), svg.display()));
    let json = ran.json();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 15);
    let cool = rows.iter().find(|row| row["file"] == "wandb_df_for_fitting_cool_end.jsonl").unwrap();
    assert_close(number(cool, "coef"), 0.596981, 1e-5);
    assert_close(number(cool, "coef_no_embeds"), 0.724154, 1e-5);
    assert!(drawn());
}

/// Arguments (DATA stands for the file), the file's text, and what the message must contain.
const REFUSED: &[(&str, &str, &str)] = &[
    ("parametric --data DATA", "params,tokens\n1,2\n", "line 2: no column `loss`; the columns are params, tokens"),
    (
        "parametric --data DATA",
        "{\"final_loss\": 1}\n",
        "line 1: no column `params_active_precise`; the columns are final_loss",
    ),
    ("parametric --data DATA", "params,tokens,loss\n1,2,3\n1,2,0\n", "line 3 (row 2), column `loss`: 0 is not above 0"),
    (
        "parametric --data DATA",
        "params,tokens,loss\n1,2,3\n-1,2,1\n",
        "line 3 (row 2), column `params`: -1 is not above 0",
    ),
    (
        "parametric --data DATA",
        "params,tokens,loss\n1,2,3\n1,nan,1\n",
        "line 3 (row 2), column `tokens`: `nan` is not a finite number",
    ),
    (
        "parametric --data DATA",
        "params,tokens,loss\n1,2,3\n2,3,4\n",
        "rows for a law of 5 parameters: 2, at least 6 are needed",
    ),
    ("parametric --data DATA --delta 0", SIX, "delta = 0: it must be finite and above 0"),
    ("parametric --data DATA --delta -1", SIX, "delta = -1: it must be finite and above 0"),
    ("parametric --data DATA --delta nan", SIX, "delta = NaN"),
    (
        "parametric --data DATA --vars params,tokns",
        SIX,
        "unknown variable `tokns`: valid are params, tokens, width, depth",
    ),
    ("parametric --data DATA --starts 0", SIX, "a number of starts from 1"),
    ("parametric --data DATA --drop-highest-loss 9", SIX, "rows for a law of 5 parameters: 0, at least 6"),
    ("parametric --data DATA --starts 1 --bootstrap 1", SIX, "bootstrap = 1: it must be 0 or at least 2"),
    ("parametric --data DATA --no-embeds", SIX, "no column `width`"),
    ("parametric --data nowhere.csv", "", "cannot read nowhere.csv"),
    ("envelope --data DATA", "params,tokens,flops,loss\n1,1,5,3\n1,1,5,2\n", "every row of"),
    ("envelope --data DATA", "params,tokens,flops,loss\n1,1,5,3\n1,1,6,2\n", "on the frontier: 2, at least 3"),
    ("envelope --data DATA --method bucket --buckets 0", "params,tokens,flops,loss\n1,1,5,3\n1,1,6,2\n", "buckets = 0"),
    ("envelope --data DATA --resource gpu-hours", SIX, "no column `gpu_hours`"),
    ("power --data DATA --x params --y loss", "params,loss\n1,2\n2,3\n2,4\n", "different sizes: 2, at least 3"),
    ("power --data DATA --x params --y lss", SIX, "no column `lss`; the columns are params, tokens, loss"),
    ("power --data DATA --x params --y loss --predict -1", SIX, "predict = -1"),
    ("shape --width 100 --depth 1", "", "width = 100: it must be from 128"),
    ("prescribe --law 1,2,3 --flops 1e20", "", "--law has 3 numbers: give A,B,E,alpha,beta"),
    ("prescribe --law 1,2,-1,.3,.3 --flops 1e20", "", "E = -1: it must be finite and not below 0"),
    ("prescribe --law 1,2,1,.3,.3 --flops -1", "", "flops = -1"),
    ("prescribe --law 1,2,1,.3,.3 --flops 1e20 --overtrain 0", "", "overtrain = 0"),
    ("sweep --dir nowhere", "", "cannot read nowhere"),
    ("sweep --dir FOLDER", SIX, "tables with a frontier"),
];

const SIX: &str = "params,tokens,loss\n1,1,9\n2,5,8\n3,2,7\n4,9,6\n5,3,5\n6,8,4\n";

#[test]
fn bad_input_ends_with_exit_code_2_and_says_where() {
    for (args, text, message) in REFUSED {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, text).unwrap();
        let args =
            args.replace("DATA", &path.display().to_string()).replace("FOLDER", &folder.path().display().to_string());
        let ran = fit_law(&args);
        assert_eq!(ran.code, 2, "{args}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{args}");
        assert!(ran.stderr.contains(message), "{args}: {}", ran.stderr);
    }
}

#[test]
fn a_figure_that_cannot_be_written_is_a_failure_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, SIX).unwrap();
    let ran = fit_law(&format!("parametric --data {} --starts 1 --plot nowhere/p.svg", path.display()));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot write nowhere/p.svg"), "{}", ran.stderr);
}
