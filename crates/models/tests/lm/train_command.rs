//! `ashlar-models train`.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn command() -> Command {
    Command::cargo_bin("ashlar-models").unwrap()
}

fn text(folder: &Path) -> String {
    let path = folder.join("text.txt");
    let lines: Vec<String> =
        (0..900).map(|i| format!("{} times {} is {}.\n", i % 9, i % 7, (i % 9) * (i % 7))).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    path.display().to_string()
}

fn json(args: &[&str]) -> Value {
    let out = command().args(args).args(["--format", "json"]).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn trains_saves_resumes_and_adapts() {
    let dir = tempfile::tempdir().unwrap();
    let text = text(dir.path());
    let out = dir.path().join("run").display().to_string();
    let base =
        ["train", "--init", "tiny:llama:1x32x2", "--data", &text, "--steps", "12", "--batch", "4", "--seq", "16"];
    let result = json(&[&base[..], &["--lr", "1e-2", "--schedule", "wsd", "--out", &out]].concat());
    assert_eq!(result["steps"], 12);
    for key in ["loss_first", "loss_last", "val_loss", "tokens_per_s", "gflops_useful", "seconds"] {
        assert!(result[key].as_f64().is_some_and(|x| x > 0.0), "{key}: {result}");
    }
    assert!(result["val_loss"].as_f64() < result["loss_first"].as_f64());
    let lines = std::fs::read_to_string(Path::new(&out).join("metrics.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 12);

    // A finished run that is resumed says the same again.
    let again = json(&[&base[..], &["--lr", "1e-2", "--schedule", "wsd", "--out", &out, "--resume"]].concat());
    assert_eq!(again["val_loss"], result["val_loss"]);

    // The folder loads, and an adapter trained on it is one.
    let adapter = dir.path().join("adapter").display().to_string();
    let adapted = json(&[
        "train",
        &out,
        "--data",
        &text,
        "--steps",
        "3",
        "--seq",
        "16",
        "--lora",
        "r=2,alpha=4,dropout=0.1",
        "--out",
        &adapter,
    ]);
    assert!(adapted["params_trained"].as_u64() < adapted["params"].as_u64());
    let logits = |extra: &[&str]| {
        let file = dir.path().join("logits.safetensors").display().to_string();
        json(&[&["logits", &out, "--token-ids", "1,2,3", "--output", &file], extra].concat())
    };
    assert_eq!(logits(&[])["shape"], logits(&["--adapter", &adapter])["shape"]);
}

#[test]
fn a_dry_run_prints_what_config_takes() {
    let dir = tempfile::tempdir().unwrap();
    let text = text(dir.path());
    let args = ["train", "--init", "tiny:qwen3:2x32x2", "--tokenizer", "bpe:300", "--data", &text, "--dry-run"];
    let out = command().args(args).output().unwrap();
    let toml = String::from_utf8(out.stdout).unwrap();
    assert!(
        toml.contains("[model.init]")
            && toml.contains("family = \"qwen3\"")
            && toml.contains("tokenizer = \"bpe:300\"")
    );
    let file = dir.path().join("run.toml");
    std::fs::write(&file, &toml).unwrap();
    let again = command().args(["train", "--config"]).arg(&file).arg("--dry-run").output().unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), toml);
}

#[test]
fn mistakes_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let text = text(dir.path());
    let init = ["--init", "tiny:llama:1x32x2"];
    let refused = |args: &[&str], says: &str| {
        let out = command().arg("train").args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    };
    let with = |rest: &[&'static str]| -> Vec<String> {
        [&init[..], &["--data", &text], rest].concat().into_iter().map(str::to_owned).collect()
    };
    let check = |rest: &[&'static str], says: &str| {
        let args = with(rest);
        refused(&args.iter().map(String::as_str).collect::<Vec<_>>(), says);
    };
    refused(&["--data", &text], "no model to train");
    refused(&init, "no text to train on");
    refused(&["--init", "tiny:bert", "--data", &text], "a family");
    refused(&[&init[..], &["--data", "no-such-set"]].concat(), "no-such-set");
    check(&["--lr", "-1"], "lr = -1");
    check(&["--steps", "0"], "steps = 0");
    check(&["--steps", "-3"], "steps");
    check(&["--seq", "600"], "512 positions");
    check(&["--schedule", "cosin"], "cosine");
    check(&["--tokenizer", "bpe:9"], "bpe:N");
    check(&["--lora", "rank=2"], "r=N");
    check(&["--lora", "targets=nothing"], "no module of the model is a target");
    check(&["--set", "train.stepz=3"], "stepz");
    check(&["--device", "cuda:0"], "computes on the CPU");
}

/// Killed, interrupted (exit code 130) and resumed with another number of threads, a run ends in the undisturbed run's files.
#[cfg(unix)]
#[test]
fn killed_and_interrupted_runs_go_on_to_the_same_bytes() {
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let text = text(dir.path());
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    let start = |out: &Path, threads: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_ashlar-models"))
            .args(["train", "--init", "tiny:llama:2x64x2", "--data", &text, "--steps", "300", "--batch", "4"])
            .args(["--seq", "32", "--set", "train.checkpoint_every=20", "--resume", "--threads", threads, "--out"])
            .arg(out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let lines =
        |out: &Path| std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |metrics| metrics.lines().count());
    assert!(start(&whole, "1").wait().unwrap().success());
    for (signal, threads) in [("-KILL", "1"), ("-KILL", "2"), ("-INT", "2")] {
        let before = lines(&broken);
        let mut child = start(&broken, threads);
        while lines(&broken) < before + 30 {
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let code = child.wait().unwrap().code();
        assert_eq!(code, if signal == "-INT" { Some(130) } else { None });
        assert!(broken.join("latest").is_file() && !broken.join("result.json").exists());
    }
    assert!(start(&broken, "2").wait().unwrap().success());
    for file in ["metrics.jsonl", "model.safetensors"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(&whole) == read(&broken), "{file}");
    }
}
