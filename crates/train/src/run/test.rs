use std::{
    fs,
    io::{Error as IoError, ErrorKind},
};

use proptest::prelude::*;
use serde_json::json;

use super::{checkpoint::save, *};

const CONFIG_TEXT: &str = "rounds = 3\n\n[model]\narch = \"mlp\"\n";

fn env() -> Env {
    Env::collect("cpu", 2, 7, CONFIG_TEXT)
}

fn new_run() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    (dir, path)
}

fn arrays(step: u64) -> Vec<(String, Array<'static>)> {
    vec![
        ("w".to_owned(), vec![step as f32, -0.0, f32::MIN_POSITIVE / 2.0].into()),
        ("optim/momentum".to_owned(), vec![0.5_f32; 4].into()),
        ("optim/seen".to_owned(), vec![u32::MAX, step as u32].into()),
        ("state/table".to_owned(), vec![i64::MIN, i64::MAX].into()),
        ("state/mask".to_owned(), vec![1_u8, 0, 255].into()),
        ("state/sums".to_owned(), vec![0.1_f64].into()),
    ]
}

/// A run with checkpoints at steps 10 and 20, and a metrics line a step up to 25.
fn run_of_25(path: &Path) {
    let mut run = RunFolder::create(path, CONFIG_TEXT, &env()).unwrap();
    for step in 1..=25_u64 {
        run.metrics(&json!({ "step": step, "train/loss": 1.0 / step as f64 })).unwrap();
        run.log(&json!({ "message": "step", "step": step })).unwrap();
        if step == 10 || step == 20 {
            run.checkpoint(step, &arrays(step), &json!({ "step": step, "x": 0.1 })).unwrap();
        }
    }
}

fn lines(path: &Path, file: &str) -> usize {
    fs::read_to_string(path.join(file)).unwrap().lines().count()
}

#[test]
fn a_checkpoint_comes_back_to_the_bit() {
    let (_dir, path) = new_run();
    run_of_25(&path);
    let run = RunFolder::resume(&path).unwrap();
    let checkpoint = run.latest().unwrap().unwrap();
    assert_eq!((checkpoint.step, run.restored_step()), (20, Some(20)));
    let mut expected = arrays(20);
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(checkpoint.tensors, expected);
    assert_eq!(checkpoint.f32("w").unwrap()[1].to_bits(), (-0.0_f32).to_bits());
    assert_eq!(checkpoint.u32("optim/seen").unwrap(), [u32::MAX, 20]);
    assert_eq!(checkpoint.i64("state/table").unwrap(), [i64::MIN, i64::MAX]);
    assert_eq!(checkpoint.state, json!({ "step": 20, "x": 0.1 }));
    let message = checkpoint.f64("w").unwrap_err().to_string();
    assert!(message.contains("no f64 array \"w\"") && message.contains("w (f32)"), "{message}");
    assert_eq!((lines(&path, METRICS), lines(&path, LOG)), (20, 20));
    let files: Vec<_> = ["model.safetensors", "optim.safetensors", "state.safetensors", "state.json"]
        .map(|file| path.join("checkpoints/step-000020").join(file).is_file())
        .into();
    assert_eq!(files, [true; 4]);
    assert_eq!(fs::read_to_string(path.join(LATEST)).unwrap(), "checkpoints/step-000020\n");
}

#[test]
fn only_the_last_checkpoints_are_kept() {
    let (_dir, path) = new_run();
    let mut run = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap().keep_last(3);
    for step in [5, 999_999, 1_000_000, 7, 1_000_001] {
        run.checkpoint(step, &[], &Value::Null).unwrap();
    }
    let mut names: Vec<_> =
        fs::read_dir(path.join(CHECKPOINTS)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["step-1000000", "step-1000001", "step-999999"]);
    assert_eq!(run.latest().unwrap().unwrap().step, 1_000_001);
}

#[test]
fn the_same_step_can_be_saved_again() {
    let (_dir, path) = new_run();
    let mut run = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap();
    for x in [1.0_f32, 2.0] {
        run.checkpoint(4, &[("w".to_owned(), vec![x].into())], &Value::Null).unwrap();
    }
    assert_eq!(run.latest().unwrap().unwrap().f32("w").unwrap(), [2.0]);
    assert_eq!(fs::read_dir(path.join(CHECKPOINTS)).unwrap().count(), 1);
}

#[test]
fn names_that_cannot_be_files_are_refused() {
    let (_dir, path) = new_run();
    let mut run = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap();
    for name in ["../w", "/w", "a b/w", "optim/", "", "model/w", "x/__metadata__"] {
        let error = run.checkpoint(1, &[(name.to_owned(), vec![0_u8].into())], &Value::Null).unwrap_err();
        assert!(matches!(error, Error::ArrayName { .. }), "{name}: {error}");
    }
    let twice = [("w".to_owned(), vec![0_u8].into()), ("w".to_owned(), vec![1_u8].into())];
    assert!(run.checkpoint(1, &twice, &Value::Null).unwrap_err().to_string().contains("twice"));
    assert_eq!(run.latest().unwrap(), None);
}

#[test]
fn a_run_is_not_overwritten() {
    let (_dir, path) = new_run();
    run_of_25(&path);
    let error = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("already holds a run"), "{error}");
    assert!(error.to_string().contains("--resume"));
    let other = path.join("elsewhere");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.tex"), "x").unwrap();
    let error = RunFolder::create(&other, CONFIG_TEXT, &env()).unwrap_err();
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}

#[test]
fn nothing_to_resume_is_said_or_started() {
    let (dir, path) = new_run();
    for folder in [&path, &dir.path().to_owned()] {
        let error = RunFolder::resume(folder).unwrap_err();
        assert!(error.is_input() && matches!(error, Error::NotARun { .. }), "{error}");
    }
    // A start that was killed between its first file and `config.toml`.
    fs::create_dir_all(path.join(CHECKPOINTS)).unwrap();
    for file in ["LOCK", ENV, METRICS, ".tmp-config.toml"] {
        fs::write(path.join(file), "half").unwrap();
    }
    let run = RunFolder::open(&path, CONFIG_TEXT, &env(), true).unwrap();
    assert_eq!((run.restored_step(), lines(&path, METRICS)), (None, 0));
    drop(run);
    // A run without a checkpoint starts over.
    let mut run = RunFolder::open(&path, CONFIG_TEXT, &env(), true).unwrap();
    run.metrics(&json!({ "step": 1 })).unwrap();
    drop(run);
    let run = RunFolder::resume(&path).unwrap();
    assert_eq!((run.restored_step(), run.latest().unwrap(), lines(&path, METRICS)), (None, None, 0));
}

#[test]
fn two_processes_cannot_share_a_folder() {
    let (_dir, path) = new_run();
    let run = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap();
    let error = RunFolder::resume(&path).unwrap_err();
    assert!(error.is_input() && error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    drop(run);
    RunFolder::resume(&path).unwrap();
}

#[test]
fn another_configuration_is_refused() {
    let (_dir, path) = new_run();
    run_of_25(&path);
    let changed = CONFIG_TEXT.replace("mlp", "linear");
    let error = RunFolder::open(&path, &changed, &env(), true).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("`arch = \"mlp\"`, now `arch = \"linear\"`"), "{error}");
    let error = RunFolder::open(&path, &format!("{CONFIG_TEXT}x = 1\n"), &env(), true).unwrap_err();
    assert!(error.to_string().contains("4 lines, now 5"), "{error}");
    // Refusing has cut nothing.
    assert_eq!(lines(&path, METRICS), 25);
    RunFolder::open(&path, CONFIG_TEXT, &env(), true).unwrap().check_config(CONFIG_TEXT).unwrap();
}

#[test]
fn metrics_can_be_cut_by_step() {
    let (_dir, path) = new_run();
    let mut run = RunFolder::create(&path, CONFIG_TEXT, &env()).unwrap();
    for record in [json!({ "step": 1 }), json!({ "round": 2 }), json!({ "note": "x" }), json!({ "step": 3 })] {
        run.metrics(&record).unwrap();
    }
    run.cut_metrics_after(2).unwrap();
    run.metrics(&json!({ "step": 9 })).unwrap();
    let text = fs::read_to_string(path.join(METRICS)).unwrap();
    assert_eq!(text, "{\"step\":1}\n{\"round\":2}\n{\"note\":\"x\"}\n{\"step\":9}\n");
}

#[test]
fn metrics_that_lost_lines_end_at_a_whole_one() {
    let (_dir, path) = new_run();
    run_of_25(&path);
    let file = path.join(METRICS);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..100]).unwrap();
    let mut run = RunFolder::resume(&path).unwrap();
    run.metrics(&json!({ "step": 21 })).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
}

#[test]
fn env_and_result_are_readable() {
    let (_dir, path) = new_run();
    let env = env().version("driver", "570.1");
    let mut run = RunFolder::create(&path, CONFIG_TEXT, &env).unwrap();
    run.result(&json!({ "acc": 0.5 })).unwrap();
    run.result(&json!({ "acc": 0.75 })).unwrap();
    let read: Env = serde_json::from_slice(&fs::read(path.join(ENV)).unwrap()).unwrap();
    assert_eq!(read, env);
    assert_eq!((read.seed, read.threads, read.device.as_str()), (7, 2, "cpu"));
    assert_eq!(read.config_hash, config_hash(&fs::read_to_string(path.join(CONFIG)).unwrap()));
    assert_eq!(config_hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert!(read.versions["rustc"].starts_with("rustc 1."), "{:?}", read.versions);
    assert_eq!(fs::read_to_string(path.join(RESULT)).unwrap(), "{\n  \"acc\": 0.75\n}\n");
    assert!(fs::read_dir(&path).unwrap().all(|e| !e.unwrap().file_name().to_string_lossy().starts_with(".tmp")));
}

/// A disk that is full after every possible number of bytes: the checkpoint of step 10 stays the newest, whole.
#[test]
fn a_full_disk_leaves_the_old_checkpoint() {
    let (_dir, path) = new_run();
    fs::create_dir_all(&path).unwrap();
    let mut total = 0;
    let mut count = |path: &Path, bytes: &[u8]| {
        total += bytes.len();
        disk::write_synced(path, bytes)
    };
    save(&path, 10, &arrays(10), &json!({ "step": 10 }), (0, 0), &mut count).unwrap();
    for room in 0..total {
        let mut left = room;
        let mut fill = |path: &Path, bytes: &[u8]| {
            let fits = bytes.len().min(left);
            left -= fits;
            fs::write(path, &bytes[..fits])?;
            if fits == bytes.len() { Ok(()) } else { Err(IoError::from(ErrorKind::StorageFull)) }
        };
        let error = save(&path, 20, &arrays(20), &json!({ "step": 20 }), (0, 0), &mut fill).unwrap_err();
        assert!(!error.is_input() && error.to_string().contains("cannot write"), "{error}");
        let (newest, broken) = checkpoint::newest(&path).unwrap();
        assert_eq!((newest.unwrap().step, broken.len()), (10, 0), "{room} bytes");
    }
    // With room again, the next save cleans up and works.
    save(&path, 20, &arrays(20), &json!({ "step": 20 }), (0, 0), &mut disk::write_synced).unwrap();
    assert_eq!(checkpoint::newest(&path).unwrap().0.unwrap().step, 20);
    assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
}

/// What a test does to a file of the newest checkpoint.
#[derive(Clone, Debug)]
enum Damage {
    Cut(f64),
    Flip(f64, u8),
    Append(u8),
    Remove,
}

impl Damage {
    fn apply(&self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        let at = |share: f64| ((bytes.len() - 1) as f64 * share) as usize;
        match *self {
            Self::Cut(share) => bytes.truncate(at(share)),
            Self::Flip(share, bit) => {
                let at = at(share);
                bytes[at] ^= 1 << bit;
            }
            Self::Append(byte) => bytes.push(byte),
            Self::Remove => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (0.0..=1.0).prop_map(Damage::Cut),
        ((0.0..=1.0), 0_u8..8).prop_map(|(share, bit)| Damage::Flip(share, bit)),
        // White space after JSON is no damage.
        any::<u8>().prop_filter("white space", |b| !b.is_ascii_whitespace()).prop_map(Damage::Append),
        Just(Damage::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn damage_to_the_newest_checkpoint_leads_to_the_previous(file in 0_usize..4, damage in damages()) {
        let (_dir, path) = new_run();
        run_of_25(&path);
        let folder = path.join("checkpoints/step-000020");
        let file = ["state.json", "model.safetensors", "optim.safetensors", "state.safetensors"][file];
        damage.apply(&folder.join(file));

        let broken = Checkpoint::load(&folder).unwrap_err();
        prop_assert!(broken.to_string().contains("step-000020"), "{}", broken);
        let mut run = RunFolder::resume(&path).unwrap();
        prop_assert_eq!(run.restored_step(), Some(10));
        prop_assert_eq!((lines(&path, METRICS), lines(&path, LOG)), (10, 10));
        // The run goes on over the broken step.
        run.checkpoint(20, &arrays(20), &json!({})).unwrap();
        prop_assert_eq!(run.latest().unwrap().unwrap().step, 20);
        prop_assert!(path.join("checkpoints/broken-step-000020").is_dir());
    }
}

#[test]
fn every_prefix_of_every_file_is_told_from_the_whole() {
    let (_dir, path) = new_run();
    run_of_25(&path);
    let folder = path.join("checkpoints/step-000020");
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&file).unwrap();
        for len in 0..bytes.len() {
            fs::write(&file, &bytes[..len]).unwrap();
            assert!(Checkpoint::load(&folder).is_err(), "{} cut to {len}", file.display());
        }
        fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(Checkpoint::load(&folder).unwrap().step, 20);
}
