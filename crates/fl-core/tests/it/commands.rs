//! The commands' answers: keys, formats, exit codes.

use std::{
    path::Path,
    process::{Command, Output},
};

use ashlar_cli::{DeviceArg, stage::StageContext};
use ashlar_fl_core::cli::STAGES;
use serde_json::Value;

use crate::SMALL;

fn binary(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core")).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = binary(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn file(folder: &Path) -> String {
    let file = folder.join("run.toml");
    std::fs::write(&file, SMALL).unwrap();
    file.to_str().unwrap().to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn train_leaves_the_keys_that_the_specification_pins() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let result = json(&["train", "--config", &file(folder.path()), "--rounds", "4", "--out", out, "--format", "json"]);
    for key in [
        "mode",
        "d",
        "rounds",
        "seed",
        "ranks",
        "collective",
        "exact",
        "final_acc",
        "compression",
        "compression_wire",
        "version",
        "dropped_nonfinite",
        "w_hash",
        "config_hash",
        "git",
    ] {
        assert!(result.get(key).is_some(), "{key} in {:?}", keys(&result));
    }
    assert_eq!(keys(&result["compression"]), ["up", "down", "total"]);
    let written: Value = serde_json::from_str(&std::fs::read_to_string(format!("{out}/result.json")).unwrap()).unwrap();
    assert_eq!(written, result);
    let metrics = std::fs::read_to_string(format!("{out}/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 4);
    let line: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    for key in [
        "round",
        "train_loss",
        "test_acc",
        "lr",
        "bytes_up_paper",
        "bytes_down_paper",
        "bytes_up_wire",
        "bytes_down_wire",
        "masked_fraction",
        "update_nnz",
        "v_norm",
        "e_norm",
        "clip_fraction",
        "backdoor_acc",
        "certificate_l1",
        "certificate_gain",
        "w_hash",
        "wall_s",
    ] {
        assert!(line.get(key).is_some(), "{key} in {:?}", keys(&line));
    }
}

#[test]
fn a_dry_run_prints_settings_that_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let output = binary(&["train", "--config", &file(folder.path()), "--lr", "0.25", "--mode", "sketch", "--dry-run"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["server"]["lr"].as_float(), Some(0.25));
    assert_eq!(table["server"]["mode"].as_str(), Some("sketch"));
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &text).unwrap();
    let repeated = binary(&["train", "--config", again.to_str().unwrap(), "--dry-run"]);
    assert_eq!(String::from_utf8(repeated.stdout).unwrap(), text);
}

#[test]
fn an_attack_with_a_horizon_sets_the_rounds() {
    let folder = tempfile::tempdir().unwrap();
    let result = json(&[
        "attack",
        "--config",
        &file(folder.path()),
        "--mode",
        "fedavg",
        "--lr",
        "0.1",
        "--attack",
        "baseline",
        "--start-round",
        "2",
        "--attack-rounds",
        "2",
        "--horizon",
        "3",
        "--set",
        "attack.source=4",
        "--format",
        "json",
    ]);
    assert_eq!(result["rounds"], 7);
    assert_eq!(keys(&result["lifespan"]), ["rounds", "censored", "kappa"]);
    assert!(result["acc_at_attack_end"].is_number());
    let none = binary(&["attack", "--config", &file(folder.path())]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn a_matrix_has_a_row_a_cell_with_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("matrix");
    let result = json(&[
        "matrix",
        "--config",
        &file(folder.path()),
        "--mode",
        "fedavg",
        "--lr",
        "0.1",
        "--rounds",
        "4",
        "--set",
        "attack.rounds=2",
        "--set",
        "attack.source=4",
        "--set",
        "attack.start=1",
        "--set",
        "clip.l2=0.5",
        "--attacks",
        "baseline,neurotoxin",
        "--defences",
        "none,norm-clip,sparsefed",
        "--seeds",
        "0,1",
        "--out",
        out.to_str().unwrap(),
        "--format",
        "json",
    ]);
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    for row in rows {
        assert_eq!(row["main_acc"]["each"].as_array().unwrap().len(), 2, "{row}");
        assert!(row["backdoor_acc"]["low"].as_f64().unwrap() <= row["backdoor_acc"]["mean"].as_f64().unwrap());
    }
    assert!(out.join("result.json").is_file());
}

#[test]
fn certify_reads_a_run_and_its_gate_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    json(&["train", "--config", &file(folder.path()), "--rounds", "20", "--out", out, "--format", "json"]);
    let wide = json(&["certify", "--ckpt", out, "--bound", "0", "--format", "json"]);
    let narrow = json(&["certify", "--ckpt", out, "--bound", "1.5", "--format", "json"]);
    assert!(narrow["certified_accuracy"].as_f64().unwrap() < wide["certified_accuracy"].as_f64().unwrap());
    assert_eq!(wide["certified_points"], wide["points"], "every gap is at least 0");
    let latest = std::fs::read_to_string(format!("{out}/latest")).unwrap();
    let checkpoint = format!("{out}/{}", latest.trim());
    assert_eq!(json(&["certify", "--ckpt", &checkpoint, "--bound", "0", "--format", "json"]), wide);
    let gate = binary(&["certify", "--ckpt", out, "--bound", "0", "--fail-below", "0.99"]);
    assert_eq!(gate.status.code(), Some(3));
    for share in ["NaN", "1.5"] {
        let odd = binary(&["certify", "--ckpt", out, "--bound", "0", "--fail-below", share]);
        assert_eq!(odd.status.code(), Some(2), "{share}");
    }
    let nowhere = binary(&["certify", "--ckpt", folder.path().to_str().unwrap(), "--bound", "0"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn a_run_can_start_from_anothers_weights() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    let first = first.to_str().unwrap();
    let trained =
        json(&["train", "--config", &file(folder.path()), "--rounds", "20", "--out", first, "--format", "json"]);
    for init in [first.to_owned(), format!("{first}/model.safetensors")] {
        let init = format!("server.init={init}");
        let more = json(&[
            "train",
            "--config",
            &file(folder.path()),
            "--rounds",
            "1",
            "--lr",
            "0.001",
            "--set",
            &init,
            "--format",
            "json",
        ]);
        let drop = trained["final_acc"].as_f64().unwrap() - more["final_acc"].as_f64().unwrap();
        assert!(drop.abs() < 0.05, "{drop}");
    }
}

#[test]
fn a_stage_runs_from_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let stage = |name: &str| *STAGES.iter().find(|stage| stage.name == name).unwrap();
    let table: toml::Table = SMALL.replace("rounds = 30", "rounds = 3").parse().unwrap();
    (stage("fl-core train").check)(&table).unwrap();
    assert!((stage("fl-core attack").check)(&table).unwrap_err().message().contains("attack.name"));
    let context = StageContext {
        out: folder.path().join("stage"),
        seed: 5,
        device: DeviceArg::Auto,
        threads: Some(1),
        resume: false,
        label: "stage".to_owned(),
        interrupt: ashlar_cli::interrupt::flag(),
    };
    let result = (stage("fl-core train").run)(&table, &context).unwrap();
    assert_eq!((&result["seed"], &result["rounds"]), (&Value::from(5), &Value::from(3)));
    assert!(context.out.join("model.safetensors").is_file());
    let mut typo = table;
    typo.insert("servr".to_owned(), toml::Value::Table(toml::Table::new()));
    assert!((stage("fl-core train").check)(&typo).unwrap_err().message().contains("servr"));
}

#[test]
fn the_sketch_bench_measures_recall() {
    let result =
        json(&["sketch-bench", "--d", "20000", "--cols", "4000", "--k", "200", "--repeats", "1", "--format", "json"]);
    assert!(result["recall"].as_f64().unwrap() > 0.8, "{result}");
    assert_eq!(binary(&["sketch-bench", "--k", "0"]).status.code(), Some(2));
    assert_eq!(binary(&["sketch-bench", "--rows", "2"]).status.code(), Some(2));
}

#[test]
fn every_help_has_an_example() {
    for command in ["train", "attack", "matrix", "certify", "sketch-bench"] {
        let text = String::from_utf8(binary(&[command, "--help"]).stdout).unwrap();
        assert!(text.contains(&format!("ashlar fl-core {command} --")), "{command}");
    }
}
