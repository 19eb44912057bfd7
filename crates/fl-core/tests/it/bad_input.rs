//! The rows of the specification's table that reach the command line: message and exit code.

use std::process::{Command, Output};

use crate::SMALL;

/// Runs the binary with a configuration laid over [`SMALL`].
fn train(sets: &[&str], flags: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    std::fs::write(&file, SMALL).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core"));
    command.arg("train").arg("--config").arg(&file).args(["--rounds", "2"]);
    for set in sets {
        command.args(["--set", set]);
    }
    command.args(flags).env("NO_COLOR", "1").output().unwrap()
}

fn refused(sets: &[&str], flags: &[&str], words: &[&str]) {
    let output = train(sets, flags);
    // Messages are wrapped at 80 columns: compare without line breaks.
    let stderr = String::from_utf8_lossy(&output.stderr).replace(['\n', '│', '|'], " ");
    let text = stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(2), "{sets:?} {flags:?}: {text}");
    for word in words {
        assert!(text.contains(word), "{sets:?} {flags:?}: `{word}` is missing in: {text}");
    }
}

#[test]
fn kept_coordinates() {
    refused(&["server.mode=true-topk", "server.k=0"], &[], &["server.k", "is 0", "1 to d"]);
    refused(&["server.mode=sketch"], &["--k", "9999999"], &["k = 9999999", "d ="]);
}

#[test]
fn sketch_shapes() {
    refused(&["server.mode=sketch", "server.cols=0"], &[], &["server.cols", "at least 1"]);
    refused(&["server.mode=sketch", "server.rows=4"], &[], &["server.rows", "odd"]);
    refused(&["server.mode=sketch", "client.momentum=0.9"], &[], &["client.momentum", "server.mode"]);
    refused(&["server.mode=sketch", "client.error=local"], &[], &["client.error", "server.mode"]);
    let few = train(&["server.mode=sketch", "server.k=500", "server.cols=100"], &[]);
    assert_eq!(few.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&few.stderr).contains("cols"), "a warning names the columns");
    // csvec alone takes an even number of rows.
    let even = train(&["server.mode=sketch", "server.rows=4", "server.hash=csvec"], &[]);
    assert_eq!(even.status.code(), Some(0), "{}", String::from_utf8_lossy(&even.stderr));
}

#[test]
fn clients_and_rounds() {
    refused(&[], &["--per-round", "51"], &["server.per_round", "data.clients = 50"]);
    refused(&[], &["--per-round", "0"], &["server.per_round", "at least 1"]);
    refused(
        &["data.train=20", "data.clients=50"],
        &["--per-round", "40"],
        &["server.per_round", "clients that hold examples"],
    );
    refused(&["data.validation=300"], &[], &["data.validation", "300"]);
    refused(&["server.momentum=1.0"], &[], &["server.momentum"]);
    refused(&["server.lr=-1"], &[], &["server.lr"]);
    refused(
        &["server.mode=local-topk", "server.state_limit_mb=1", "model.hidden=64", "server.momentum=0.0", "server.k=10"],
        &[],
        &["server.state_limit_mb", "50 clients"],
    );
}

#[test]
fn sizes_that_no_machine_has() {
    refused(&["data.clients=1000000000000"], &[], &["clients", "at most 16777216"]);
    refused(&[], &["--clients", "4294967295"], &["clients", "at most 16777216"]);
    refused(&["data.groups=4294967295"], &[], &["groups", "say 1 to"]);
    refused(&["data.train=1000000000000"], &[], &["train", "too many"]);
    refused(&["model.hidden=9000000000000000000"], &[], &["model.hidden", "at most 2^24"]);
    refused(&["model.hidden=10000000"], &[], &["parameters", "hidden"]);
    refused(
        &["server.mode=sketch", "server.cols=1099511627776"],
        &[],
        &["server.cols", "1099511627776", "at most 2^32"],
    );
    refused(&["server.mode=sketch", "server.rows=4294967295"], &[], &["rows", "at most 64"]);
    let whole = train(&["client.batch=9000000000000000000", "server.eval_every=9000000000000000000"], &[]);
    assert_eq!(whole.status.code(), Some(0), "{}", String::from_utf8_lossy(&whole.stderr));
}

#[test]
fn wrong_types_and_weights_name_their_key() {
    refused(&["client.batch=-1"], &[], &["client.batch", "-1"]);
    refused(&["server.mode=foo"], &[], &["server.mode", "unknown value `foo`"]);
    refused(&["server.init=/nonexistent/w.safetensors"], &[], &["server.init", "/nonexistent/w.safetensors"]);
}

#[test]
fn negative_numbers_reach_the_range_that_they_leave() {
    for (flags, key) in [
        (&["--lr", "-1"][..], "server.lr"),
        (&["--lr=-1e-3"], "server.lr"),
        (&["--lr", "-1e-3"], "server.lr"),
        (&["--lr", "-inf"], "server.lr"),
        (&["--lr", "-1", "--mode", "fedavg"], "client.lr"),
        (&["--momentum", "-0.5"], "server.momentum"),
        (&["--k", "-1"], "-1 is not in 0.."),
        (&["--rounds", "-1"], "-1 is not in 0.."),
        (&["--seed", "-1"], "invalid value '-1' for '--seed <N>'"),
        (&["--threads", "-1"], "-1 is not in 1..=1024"),
    ] {
        refused_as(flags, key);
    }
}

/// Refused for what a flag says; the command line alone, since a flag may stand there once.
fn refused_as(flags: &[&str], words: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core")).arg("train").args(flags).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
    assert!(text.contains(words) && !text.contains("unexpected argument"), "{flags:?}: {text}");
}

#[test]
fn a_line_that_fills_a_screen_is_clipped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let long = "x".repeat(200_000);
    for text in [format!("seed = '{long}'\n"), format!("[data]\nname = '{long}'\n"), format!("seed = {long}\n")] {
        std::fs::write(&file, text).unwrap();
        let config = file.to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core")).args(["train", "--config", config]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stderr.len() < 3_000, "{} bytes", output.stderr.len());
    }
}

#[test]
fn defences() {
    let local = ["server.mode=fedavg", "client.lr=0.1"];
    let with = |more: &[&'static str]| [&local[..], more].concat();
    refused(&with(&["defence.name=krum", "defence.f=4"]), &[], &["krum", "needs at least 11", "has 10"]);
    refused(&with(&["defence.name=bulyan", "defence.f=2"]), &[], &["bulyan", "needs at least 11"]);
    refused(&with(&["defence.name=trimmed-mean", "defence.f=5"]), &[], &["trimmed-mean", "needs at least 11"]);
    refused(&with(&["defence.name=norm-clip"]), &[], &["clip.l2"]);
    refused(&["server.mode=sparsefed"], &[], &["clip.l2"]);
    for (name, f) in [("krum", "9223372036854775807"), ("bulyan", "4611686018427387904")] {
        let (name, f) = (format!("defence.name={name}"), format!("defence.f={f}"));
        refused(&[&local[..], &[&name, &f]].concat(), &[], &["needs at least", "has 10"]);
    }
    let zero = train(&with(&["defence.name=trimmed-mean", "defence.f=0"]), &[]);
    assert_eq!(zero.status.code(), Some(0), "f = 0 is the mean");
}

#[test]
fn attacks() {
    let on = ["server.mode=fedavg", "client.lr=0.1", "attack.name=baseline", "attack.rounds=1"];
    let with = |more: &[&'static str]| [&on[..], more].concat();
    refused(&with(&["attack.start=2"]), &[], &["attack.start", "server.rounds = 2"]);
    refused(&with(&["attack.source=11"]), &[], &["attack.source", "a class of the set"]);
    refused(&with(&["attack.source=0"]), &[], &["attack.target", "another class"]);
    refused(&with(&["attack.attackers=11"]), &[], &["attack.attackers", "per_round = 10"]);
    refused(&with(&["attack.name=neurotoxin"]), &[], &["attack.start", "no global step to observe"]);
    refused(&with(&["attack.scale_to_clip=true"]), &[], &["attack.scale_to_clip"]);
    refused(&with(&["attack.epochs=0"]), &[], &["attack.epochs", "at least 1"]);
    let blind = ["attack.name=neurotoxin", "attack.observe=clean_grad", "attack.observe_clients=0"];
    refused(&with(&blind), &[], &["attack.observe_clients", "at least 1"]);
}

#[test]
fn words_and_keys() {
    refused(&["server.momentun=0.9"], &[], &["unknown key `momentun`", "did you mean `momentum`?"]);
    refused(&["attack.name=neurotoxic"], &[], &["neurotoxic", "neurotoxin"]);
    refused(&[], &["--mode", "true_topkk"], &["true_topkk", "true-topk"]);
    refused(&[], &["--collective", "mpi"], &["this binary has `local` only"]);
    refused(&[], &["--device", "cuda:0"], &["computes on the CPU"]);
}

#[test]
fn a_missing_data_folder_names_the_path_and_the_variable() {
    refused(&["data.name=mnist10k", "data.path=/nonexistent/mnist"], &[], &["/nonexistent/mnist"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core"));
    command
        .args(["train", "--set", "data.name=mnist10k"])
        .env("ASHLAR_DATA", "/nonexistent")
        .env("HOME", "/nonexistent");
    let output = command.env_remove("XDG_CACHE_HOME").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("ASHLAR_DATA") && text.contains("/nonexistent"), "{text}");
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    assert_eq!(train(&[], &["--out", out]).status.code(), Some(0));
    refused(&[], &["--out", out], &["already holds", "--resume"]);
    let file = format!("{out}/config.toml");
    refused(&[], &["--out", &file], &[&file]);
    refused(&["data.name=csv", "data.label=0", &format!("data.path={out}")], &[], &[out]);
    refused(&["data.name=image-folder", &format!("data.path={file}")], &[], &[&file]);
    refused(&["server.lr=0.2"], &["--out", out, "--resume"], &["another configuration"]);
    refused(&[], &["--out", out, "--resume", "--seed", "3"], &["another configuration"]);
    assert_eq!(train(&[], &["--out", out, "--resume"]).status.code(), Some(0), "a finished run may be resumed");
}

#[test]
fn checkpoints_of_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    assert_eq!(train(&[], &["--out", a]).status.code(), Some(0));
    assert_eq!(train(&["model.hidden=8"], &["--out", b]).status.code(), Some(0));
    refused(&["model.hidden=8"], &["--out", a, "--resume"], &["another configuration", "hidden = 16", "hidden = 8"]);
    // Checkpoints that were moved into another run's folder.
    std::fs::remove_dir_all(format!("{a}/checkpoints")).unwrap();
    std::fs::rename(format!("{b}/checkpoints"), format!("{a}/checkpoints")).unwrap();
    let d = |hidden: usize| (16 * 16 + 1) * hidden + (hidden + 1) * 10;
    let (found, expected) = (format!("d = {}", d(8)), format!("d = {}", d(16)));
    refused(&[], &["--out", a, "--resume"], &["saved state", &found, &expected]);
}

#[test]
fn a_truncated_checkpoint_is_named_and_the_previous_one_used() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let flags = ["--out", out.to_str().unwrap(), "--resume"];
    assert_eq!(train(&["server.checkpoint_every=1"], &flags).status.code(), Some(0));
    let weights = out.join("checkpoints/step-000002/model.safetensors");
    std::fs::OpenOptions::new().write(true).open(weights).unwrap().set_len(1000).unwrap();
    let output = train(&["server.checkpoint_every=1"], &flags);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("WARN") && text.contains("step-000002"), "{text}");
}

#[test]
fn clients_without_examples_are_reported_once() {
    let output = train(&["data.train=20", "data.clients=50"], &["--per-round", "5"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.matches("hold no example").count(), 1, "{text}");
}
