//! `ashlar-models inspect|logits|verify`.

use assert_cmd::Command;
use candle_core::{DType, Device};
use serde_json::Value;

use crate::checkpoint::{FAMILIES, checkpoint, expected, fixture, rows};

pub fn models(args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("ashlar-models").unwrap().args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

pub fn json(args: &[&str]) -> Value {
    let (code, stdout, stderr) = models(&[args, &["--format", "json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn verify_says_equal_for_every_family() {
    for family in FAMILIES {
        let folder = checkpoint(family, 5);
        let path = folder.path().to_str().unwrap();
        let expected = fixture(family, "expected.safetensors");
        let answer = json(&["verify", path, "--fixture", expected.to_str().unwrap()]);
        assert_eq!(answer["ok"], true, "{family}: {answer}");
        assert_eq!(answer["top1_agree"], 1.0, "{family}: {answer}");
    }
    let folder = checkpoint("llama", 5);
    let other = fixture("mistral", "expected.safetensors");
    let (code, stdout, _) = models(&["verify", folder.path().to_str().unwrap(), "--fixture", other.to_str().unwrap()]);
    assert_eq!(code, 3, "{stdout}");
    assert!(stdout.contains("NOT equal"), "{stdout}");
}

#[test]
fn logits_of_ragged_rows() {
    let folder = checkpoint("gpt2", 5);
    let out = folder.path().join("out.safetensors");
    let expected = expected("gpt2");
    let rows = rows(&expected);
    let list = |row: &[u32]| row.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let lists: Vec<String> = rows.iter().map(|row| list(row)).collect();
    let mut args = vec!["logits", folder.path().to_str().unwrap(), "--output", out.to_str().unwrap()];
    for list in &lists {
        args.extend(["--token-ids", list]);
    }
    let answer = json(&args);
    assert_eq!(answer["shape"], serde_json::json!([3, 24, 97]));
    let written = candle_core::safetensors::load(&out, &Device::Cpu).unwrap();
    assert_eq!(written["lengths"].to_vec1::<i64>().unwrap(), [24, 21, 5]);
    assert_eq!(written["logits"].dtype(), DType::F32);
    let logits = written["logits"].to_vec3::<f32>().unwrap();
    let mut reference = expected["logits"].to_vec2::<f32>().unwrap().into_iter();
    for (b, row) in rows.iter().enumerate() {
        for t in 0..24 {
            if t >= row.len() {
                assert!(logits[b][t].iter().all(|x| x.is_nan()), "row {b}, column {t}");
                continue;
            }
            let reference = reference.next().unwrap();
            let off = logits[b][t].iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off <= 2e-4, "row {b}, column {t}: {off:e}");
        }
        let last = &logits[b][row.len() - 1];
        let top = (0..97).max_by(|&i, &j| last[i].total_cmp(&last[j])).unwrap();
        assert_eq!(answer["top1"][b], top);
    }
}

#[test]
fn inspect_lists_what_there_is() {
    let folder = checkpoint("qwen2_moe", 4);
    let answer = json(&["inspect", folder.path().to_str().unwrap()]);
    assert_eq!(answer["family"], "qwen2_moe");
    assert_eq!(answer["layers"], 3);
    assert_eq!(answer["moe"]["experts"], 6);
    assert_eq!(answer["moe"]["layers"], serde_json::json!([1]));
    let params = answer["params"].as_u64().unwrap();
    // The f32 file is its parameters and a header.
    let bytes = answer["bytes"].as_u64().unwrap();
    assert!(bytes > 4 * params && bytes < 4 * params + 20_000, "{bytes} bytes, {params} parameters");
    let hooks = answer["hooks"].as_array().unwrap();
    for (name, there) in [
        ("blocks.1.mlp.hook_router_logits", true),
        ("blocks.0.mlp.hook_router_logits", false),
        ("blocks.1.mlp.hook_shared_out", true),
        ("blocks.0.mlp.hook_post", true),
        ("hook_embed", true),
        ("hook_pos_embed", false),
    ] {
        assert_eq!(hooks.iter().any(|hook| hook == name), there, "{name}");
    }
}

#[test]
fn wrong_input_exits_with_2_and_writes_nothing() {
    let folder = checkpoint("llama", 5);
    let path = folder.path().to_str().unwrap();
    let out = folder.path().join("out.safetensors");
    let output = out.to_str().unwrap();
    let long = vec!["3"; 65].join(",");
    for (ids, part) in [
        ("3,x,4", "entry 1"),
        ("", "entry 0"),
        ("3,,4", "entry 1"),
        ("-3", "entry 0"),
        ("3,97", "token 1 of row 0 is 97"),
        ("3,4294967296", "entry 1"),
        (long.as_str(), "row 0 has 65 tokens, but the model reads 64"),
    ] {
        let (code, _, stderr) = models(&["logits", path, "--token-ids", ids, "--output", output]);
        assert_eq!(code, 2, "{ids}: {stderr}");
        assert!(stderr.contains(part), "{ids}: {stderr}");
        assert!(!out.exists(), "{ids}");
    }
    let (code, _, stderr) = models(&["logits", "/nowhere", "--token-ids", "3", "--output", output]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("config.json"), "{stderr}");
    let (code, _, stderr) = models(&["logits", path, "--token-ids", "3", "--output", "/nowhere/out.safetensors"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("/nowhere/out.safetensors"), "{stderr}");
    let (code, _, stderr) = models(&["verify", path, "--fixture", &format!("{path}/config.json")]);
    assert_eq!(code, 2, "{stderr}");
    let (code, _, stderr) = models(&["verify", path, "--fixture", &format!("{path}/model.safetensors")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`mask`"), "{stderr}");
}
