//! A run that is killed with SIGKILL at random moments ends as the run without a break.
//!
//! The test starts itself as a child process that trains; the parent kills it and starts it again until it is done.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use ashlar_train::{
    optim::{Optimizer, Sgd},
    run::{Env, RunFolder},
    schedule::Schedule,
};
use serde_json::json;

const FOLDER: &str = "ASHLAR_TRAIN_TEST_FOLDER";
const CONFIG: &str = "steps = 120\n";
const STEPS: u64 = 120;

/// Momentum SGD on a quadratic; state is w, the momentum and the step.
fn train(path: &Path, pause: Duration) -> ashlar_train::Result<()> {
    let env = Env::collect("cpu", 1, 0, CONFIG);
    let mut run = RunFolder::open(path, CONFIG, &env, true)?;
    let mut w: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
    let mut sgd = Sgd { momentum: 0.9, ..Sgd::default() };
    let mut done = 0;
    if let Some(checkpoint) = run.latest()? {
        done = checkpoint.step;
        w.copy_from_slice(checkpoint.f32("w")?);
        sgd.load_state(&[("momentum".to_owned(), checkpoint.f32("optim/momentum")?.to_vec())])?;
    }
    let schedule = Schedule::Triangular { pivot: 0.2, peak: 0.3 };
    for step in done..STEPS {
        let g: Vec<f32> = w.iter().enumerate().map(|(i, w)| w / (1 + i % 7) as f32 - 0.1).collect();
        sgd.step(&mut w, &g, schedule.at(step, STEPS) as f32)?;
        let loss: f64 = g.iter().map(|g| f64::from(*g).powi(2)).sum();
        run.metrics(&json!({ "step": step + 1, "train/loss": loss }))?;
        if (step + 1) % 3 == 0 {
            let momentum = sgd.buffer.as_slice().into();
            let arrays = [("w".to_owned(), w.as_slice().into()), ("optim/momentum".to_owned(), momentum)];
            run.checkpoint(step + 1, &arrays, &json!({ "step": step + 1 }))?;
        }
        sleep(pause);
    }
    let hash = w.iter().fold(0_u64, |h, w| h.wrapping_mul(1_099_511_628_211) ^ u64::from(w.to_bits()));
    run.result(&json!({ "hash": hash }))
}

/// Not a test: what the child process runs. Without the variable it does nothing.
#[test]
fn child() {
    if let Some(path) = std::env::var_os(FOLDER) {
        train(&PathBuf::from(path), Duration::from_micros(300)).unwrap();
    }
}

#[test]
fn sigkill_at_random_moments_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    train(&whole, Duration::ZERO).unwrap();

    let mut kills = 0;
    for attempt in 0_u64.. {
        assert!(attempt < 200, "no progress in {attempt} attempts");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(FOLDER, &broken)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Later attempts get longer, so that a slow machine comes to the end.
        sleep(Duration::from_micros(2_000 + (attempt * 7_919 % 25_000) + attempt * 400));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "the child failed by itself");
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills: nothing was tested");
    for file in ["metrics.jsonl", "result.json", "config.toml", "latest"] {
        let read = |path: &Path| fs::read_to_string(path.join(file)).unwrap();
        assert_eq!(read(&whole), read(&broken), "{file}");
    }
    let newest = "checkpoints/step-000120";
    for file in ["model.safetensors", "optim.safetensors"] {
        let read = |path: &Path| fs::read(path.join(newest).join(file)).unwrap();
        assert!(read(&whole) == read(&broken), "{file}");
    }
    // No half-written file is left, and the killed processes left no lock.
    let left = |path: &Path| {
        let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".tmp")).count()
    };
    assert_eq!((left(&broken), left(&broken.join("checkpoints"))), (0, 0));
    RunFolder::resume(&broken).unwrap();
}
