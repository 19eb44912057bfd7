//! Score files in Parquet, as pyarrow writes them (`scripts/fixtures/scores_parquet.py`).

use std::path::{Path, PathBuf};

use ashlar_audit::ScoreSet;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/parquet/{name}.parquet"))
}

fn read(name: &str) -> Result<ScoreSet, String> {
    ScoreSet::from_parquet(std::fs::read(path(name)).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn every_encoding_gives_the_scores_of_the_table() {
    for name in ["snappy", "gzip_float_groups", "lz4_plain", "uncompressed_v2"] {
        let scores = read(name).unwrap();
        assert_eq!(scores.members(), [0.5, -1.25, 7.0, 3.75], "{name}");
        assert_eq!(scores.nonmembers(), [1.0, 2.0, 0.5, 0.5, -2.5], "{name}");
    }
}

#[test]
fn what_is_no_score_file_is_said() {
    for (name, says) in [
        ("zstd", "ZSTD"),
        ("missing", "column `score`: a value is missing"),
        ("nan", "score[3] is NaN"),
        ("no_member", "no column `member`; there is score, label"),
        ("integers", "column `member` doesn't hold booleans"),
        ("lists", "no column `score`"),
        ("one_side", "nonmembers is empty"),
    ] {
        let error = read(name).unwrap_err();
        assert!(error.to_lowercase().contains(&says.to_lowercase()), "{name}: {error}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_command_reads_it_like_json() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("s.json");
    std::fs::write(&json, r#"{"members": [0.5, -1.25, 7, 3.75], "nonmembers": [1, 2, 0.5, 0.5, -2.5]}"#).unwrap();
    let answer = |file: &Path| {
        let mut command = assert_cmd::Command::cargo_bin("ashlar-audit").unwrap();
        command
            .args(["roc", "--fpr", "0.25", "--format", "json", "--scores"])
            .arg(file)
            .assert()
            .success()
            .get_output()
            .clone()
    };
    assert_eq!(answer(&path("snappy")).stdout, answer(&json).stdout);
    let mut command = assert_cmd::Command::cargo_bin("ashlar-audit").unwrap();
    let refused = command.args(["roc", "--fpr", "0.25", "--scores"]).arg(path("integers")).assert().code(2);
    assert!(String::from_utf8_lossy(&refused.get_output().stderr).contains("integers.parquet"));
}

#[test]
fn mutated_files_are_errors() {
    let seeds =
        ["snappy", "gzip_float_groups", "lz4_plain", "uncompressed_v2"].map(|name| std::fs::read(path(name)).unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut still = 0;
    // What the library's own assertions say is caught and need not be printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for case in 0..100_000 {
        let mut bytes = seeds[case % seeds.len()].clone();
        for _ in 0..rng.random_range(1..4_u32) {
            let at = rng.random_range(0..bytes.len() as u32) as usize;
            match rng.random_range(0..4_u32) {
                0 => bytes.truncate(at.max(8)),
                1 => drop(bytes.splice(at..at, [rng.random()])),
                _ => bytes[at] = rng.random(),
            }
        }
        still += usize::from(ScoreSet::from_parquet(bytes).is_ok());
    }
    std::panic::set_hook(hook);
    assert!(still > 100, "only {still} files were still valid");
}
