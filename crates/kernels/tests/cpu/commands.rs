//! The command `ashlar-kernels` from outside: answers, files, exit codes.

use std::{path::Path, process::Command};

use ashlar_kernels::{SparseVec, files, files::DenseTensor};

/// Exit code, stdout, stderr.
fn run(folder: &Path, line: &str) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ashlar-kernels"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// A folder with `x.safetensors`, whose tensor `residual` is 0, −1, 2, … −99.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let values = (0..100).map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) }).collect();
    let tensor = DenseTensor { shape: vec![10, 10], values };
    let empty = SparseVec::new(100, vec![], vec![]).unwrap();
    std::fs::write(folder.path().join("x.safetensors"), files::sparse_bytes(&empty, Some(&tensor)).unwrap()).unwrap();
    folder
}

#[test]
fn topk_answers_and_writes() {
    let folder = folder();
    let line = "topk --input x.safetensors --tensor residual -k 3% --zero-source --out s.safetensors --format json";
    let (code, out, err) = run(folder.path(), line);
    assert_eq!(code, 0, "{err}");
    let answer: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["n", "k", "threshold", "nnz", "nan_count", "device", "wall_s", "gb_per_s"]);
    assert_eq!((&answer["n"], &answer["k"], &answer["threshold"]), (&100.into(), &3.into(), &97.0.into()));
    let written = folder.path().join("s.safetensors");
    let top = files::read_sparse(&written).unwrap();
    assert_eq!((top.idx(), top.val()), (&[97, 98, 99][..], &[-97.0, 98.0, -99.0][..]));
    let left = files::read_tensor(&written, "residual").unwrap();
    assert_eq!((left.shape, left.values[96], left.values[99]), (vec![10, 10], 96.0, 0.0));
}

#[test]
fn sketches_from_file_to_file() {
    let folder = folder();
    for name in ["a", "b"] {
        let line = format!(
            "sketch accumulate --input x.safetensors --tensor residual --cols 100000 --scale-log2 20 --out {name}.safetensors"
        );
        assert_eq!(run(folder.path(), &line).0, 0);
    }
    assert_eq!(run(folder.path(), "sketch merge a.safetensors b.safetensors --out sum.safetensors").0, 0);
    let (code, out, _) = run(folder.path(), "sketch info sum.safetensors --format json");
    let info: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &info["d"], &info["cols"], &info["table"]["fixed"]["scale_log2"]),
        (0, &100.into(), &100_000.into(), &20.into())
    );
    assert_eq!(run(folder.path(), "sketch unsketch sum.safetensors -k 2 --out top.safetensors").0, 0);
    let top = files::read_sparse(&folder.path().join("top.safetensors")).unwrap();
    assert_eq!((top.idx(), top.val()), (&[98, 99][..], &[196.0, -198.0][..]));
    assert_eq!(
        run(
            folder.path(),
            "sketch accumulate --sketch sum.safetensors --input x.safetensors --tensor residual --out sum.safetensors"
        )
        .0,
        0
    );
}

#[test]
fn bad_input_is_exit_2_and_leaves_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("cut.safetensors"), [200, 0, 0, 0, 0, 0, 0, 0, b'{']).unwrap();
    let top = "topk --input x.safetensors --tensor residual --out out.safetensors";
    for (line, message) in [
        (format!("{top} -k 101"), "k = 101 exceeds the 100 elements of 'residual'"),
        (format!("{top} -k 0"), "k must be at least 1"),
        (format!("{top} -k 0%"), "outside (0%, 100%]"),
        (format!("{top} -k many"), "`many` is no count"),
        (format!("{top} -k -1"), "`-1` is no count"),
        (format!("{top} -k -1%"), "`-1%` is outside (0%, 100%]"),
        ("bench --n -1".to_owned(), "-1 is not in 1024..="),
        (
            "sketch accumulate --input x.safetensors --tensor residual --cols -9 --out out.safetensors".to_owned(),
            "invalid value '-9' for '--cols <COLS>'",
        ),
        ("topk --input x.safetensors --tensor g -k 1 --out out.safetensors".to_owned(), "no tensor `g`"),
        ("topk --input none.safetensors --tensor g -k 1".to_owned(), "cannot read none.safetensors"),
        ("topk --input cut.safetensors --tensor g -k 1 --out out.safetensors".to_owned(), "not a safetensors file"),
        ("sketch info cut.safetensors".to_owned(), "not a safetensors file"),
        ("sketch info x.safetensors".to_owned(), "no sketch"),
        (
            "sketch accumulate --input x.safetensors --tensor residual --rows 4 --cols 9 --out out.safetensors"
                .to_owned(),
            "rows must be odd",
        ),
        ("bench --filter nothing --n 1024".to_owned(), "no benchmark's name contains `nothing`"),
    ] {
        let (code, out, err) = run(folder.path(), &line);
        // The message may be wrapped.
        let words = |text: &str| text.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(words(&err).contains(message), "{line}: {err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    let (code, ..) = run(folder.path(), &format!("{top} -k 1").replace("out.saf", "none/out.saf"));
    assert_eq!(code, 1);
}
