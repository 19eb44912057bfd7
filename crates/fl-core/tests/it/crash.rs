//! A run that is killed at any moment and resumed leaves what an undisturbed run leaves, byte for byte.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rand::Rng;
use serde_json::Value;

use crate::SMALL;

/// Everything that a checkpoint must hold: clients' momentum, an epoch's sampler, an attack's curve.
const STATEFUL: &str = r#"
checkpoint_every = 7
mode = "true-topk"
k = 300
[client]
momentum = 0.5
batch = 5
[attack]
name = "neurotoxin"
start = 20
rounds = 60
source = 4
"#;

/// Long enough that a signal finds a fast machine still at work.
const ROUNDS: usize = 1200;

fn start(config: &Path, out: &Path, threads: &str) -> Child {
    let rounds = format!("server.rounds={ROUNDS}");
    Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core"))
        .arg("train")
        .arg("--config")
        .arg(config)
        .arg("--out")
        .arg(out)
        .args(["--resume", "--threads", threads, "--set", &rounds, "--set", "data.sampling=epoch_exhaust"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn lines(out: &Path) -> usize {
    fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// Metrics, result and last weights, without what measures time.
fn left(out: &Path) -> (Vec<Value>, Value, Vec<u8>) {
    let timeless = |text: &str| {
        let mut value: Value = serde_json::from_str(text).unwrap();
        value.as_object_mut().unwrap().retain(|key, _| key != "time" && key != "wall_s");
        value
    };
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let latest = fs::read_to_string(out.join("latest")).unwrap();
    (
        metrics.lines().map(timeless).collect(),
        timeless(&fs::read_to_string(out.join("result.json")).unwrap()),
        fs::read(out.join(latest.trim()).join("model.safetensors")).unwrap(),
    )
}

#[test]
fn killed_ten_times_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    fs::write(&config, format!("{SMALL}{STATEFUL}")).unwrap();
    for threads in ["1", "2"] {
        let whole = folder.path().join(format!("whole-{threads}"));
        assert!(start(&config, &whole, threads).wait().unwrap().success());
        let broken = folder.path().join(format!("broken-{threads}"));
        let mut random = ashlar_kernels::rng::stream(7, &["test", "crash", threads]);
        let mut kills = 0;
        while kills < 10 {
            let mut child = start(&config, &broken, threads);
            // Anywhere from the start of the process to some rounds beyond the first new one.
            let before = lines(&broken);
            let deadline = Instant::now() + Duration::from_secs(20);
            while kills % 3 != 0 && lines(&broken) <= before && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(random.random_range(0..30_000)));
            if child.try_wait().unwrap().is_some() {
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        assert_eq!(kills, 10, "the run ended before it was killed ten times: make it longer");
        assert!(start(&config, &broken, threads).wait().unwrap().success());
        let (a, b) = (left(&whole), left(&broken));
        assert_eq!(a.0, b.0, "metrics, {threads} threads");
        assert_eq!(a.1, b.1, "result, {threads} threads");
        assert!(a.2 == b.2, "weights, {threads} threads");
    }
}

/// Ctrl-C: a checkpoint and exit code 130; resuming ends as if nothing had happened.
#[cfg(unix)]
#[test]
fn interrupted_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    fs::write(&config, format!("{SMALL}{STATEFUL}").replace("checkpoint_every = 7\n", "")).unwrap();
    let whole = folder.path().join("whole");
    assert!(start(&config, &whole, "2").wait().unwrap().success());
    let out = folder.path().join("run");
    let mut child = start(&config, &out, "2");
    while lines(&out) < 3 {
        std::thread::sleep(Duration::from_millis(1));
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines(&out) < ROUNDS && out.join("latest").is_file() && !out.join("result.json").exists());
    assert!(start(&config, &out, "1").wait().unwrap().success());
    let (a, b) = (left(&whole), left(&out));
    assert_eq!(a.0, b.0);
    assert!(a.2 == b.2);
}

/// Ctrl-C twice: the second one ends the process inside its round, which here would take days.
#[cfg(unix)]
#[test]
fn interrupted_twice_stops_inside_the_round() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    fs::write(&config, SMALL).unwrap();
    let out = folder.path().join("run");
    let endless = ["server.mode=fedavg", "client.lr=0.001", "client.batch=1", "client.epochs=1000000000"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_ashlar-fl-core"))
        .arg("train")
        .arg("--config")
        .arg(&config)
        .arg("--out")
        .arg(&out)
        .args(endless.map(|set| format!("--set={set}")))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let interrupt = |child: &Child| {
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    };
    // The handler stands before the folder is made.
    while !out.join("config.toml").is_file() {
        std::thread::sleep(Duration::from_millis(1));
        assert!(child.try_wait().unwrap().is_none(), "the run ended too soon");
    }
    interrupt(&child);
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(stderr.any(|line| line.unwrap().contains("again to stop at once")), "the first Ctrl-C is announced");
    assert!(child.try_wait().unwrap().is_none(), "the first Ctrl-C waits for the round");
    interrupt(&child);
    // Only so that a failure doesn't run for days.
    let deadline = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines(&out) == 0 && !out.join("latest").exists() && !out.join("result.json").exists());
}
