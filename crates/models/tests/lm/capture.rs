//! `ashlar-models capture`.

use std::collections::HashMap;

use ashlar_models::lm::{HookPoint, Input, Model};
use assert_cmd::Command;
use candle_core::{DType, Device, Tensor};

use crate::checkpoint::checkpoint;

fn capture(args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("ashlar-models").unwrap().arg("capture").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn integers(tensors: &HashMap<String, Tensor>, name: &str) -> Vec<i64> {
    tensors[name].flatten_all().unwrap().to_vec1().unwrap()
}

/// Five rows through the model two by two are the rows alone, token by token.
#[test]
fn files_hold_the_selected_tokens() {
    let folder = checkpoint("qwen2_moe", 5);
    let path = folder.path().to_str().unwrap();
    let data = folder.path().join("rows.jsonl");
    let rows: Vec<Vec<u32>> = [5_u32, 2, 7, 1, 9].iter().map(|&n| (n..2 * n).collect()).collect();
    let lines: Vec<String> = rows.iter().map(|row| serde_json::json!({ "tokens": row }).to_string()).collect();
    std::fs::write(&data, lines.join("\n\n")).unwrap();
    let out = folder.path().join("acts.safetensors");
    let at = "blocks.*.hook_resid_post@-2..,blocks.0.hook_mlp_out@mean,blocks.1.mlp.experts.*.hook_out,\
              blocks.1.mlp.hook_expert_idx@last,blocks.2.attn.hook_pattern@last";
    let output = out.to_str().unwrap();
    let args =
        [path, "--data", data.to_str().unwrap(), "--at", at, "--out", output, "--batch", "2", "--format", "json"];
    let (code, stdout, stderr) = capture(&args);
    assert_eq!(code, 0, "{stderr}");
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(answer["rows"], 5);
    assert_eq!(answer["tensors"]["blocks.0.hook_mlp_out"], serde_json::json!([5, 64]));

    let file = candle_core::safetensors::load(&out, &Device::Cpu).unwrap();
    assert_eq!(integers(&file, "lengths"), [5, 2, 7, 1, 9]);
    assert_eq!(file["tokens"].dims(), [5, 9]);
    assert_eq!(integers(&file, "tokens")[9..14], [2, 3, -1, -1, -1]);

    let model = Model::load(folder.path(), DType::F32, &Device::Cpu).unwrap();
    let alone = |row: usize, name: &str| {
        let point: HookPoint = name.parse().unwrap();
        let input = Input::rows(&rows[row..=row]).unwrap();
        model.capture(&input, &name.parse().unwrap()).unwrap().get(point).unwrap()
    };
    let close = |a: &Tensor, b: &Tensor| {
        let (a, b) =
            (a.flatten_all().unwrap().to_vec1::<f32>().unwrap(), b.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert_eq!(a.len(), b.len());
        let scale = b.iter().fold(1.0, |max: f32, x| max.max(x.abs()));
        let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 2e-5 * scale, "{off:e} of {scale}");
    };
    let name = "blocks.2.hook_resid_post";
    let (row, position) = (integers(&file, &format!("{name}@row")), integers(&file, &format!("{name}@position")));
    assert_eq!(row, [0, 0, 1, 1, 2, 2, 3, 4, 4]);
    assert_eq!(position, [3, 4, 0, 1, 5, 6, 0, 7, 8]);
    for (i, (&row, &position)) in row.iter().zip(&position).enumerate() {
        let alone = alone(row as usize, name).get(0).unwrap().get(position as usize).unwrap();
        close(&file[name].get(i).unwrap(), &alone);
    }
    let name = "blocks.0.hook_mlp_out";
    assert!(!file.contains_key(&format!("{name}@position")));
    for row in 0..5 {
        close(&file[name].get(row).unwrap(), &alone(row, name).get(0).unwrap().mean(0).unwrap());
    }
    // Every token goes to k = 2 of the experts.
    let experts = (0..6).map(|e| file[&format!("blocks.1.mlp.experts.{e}.hook_out")].dim(0).unwrap()).sum::<usize>();
    assert_eq!(experts, 2 * (5 + 2 + 7 + 1 + 9));
    assert_eq!(file["blocks.1.mlp.hook_expert_idx"].dtype(), DType::I64);
    // Batches differ in their longest row: keys are padded to the longest of all.
    let pattern = &file["blocks.2.attn.hook_pattern"];
    assert_eq!(pattern.dims(), [5, 4, 9]);
    for (row, heads) in pattern.to_vec3::<f32>().unwrap().iter().enumerate() {
        for head in heads {
            let n = rows[row].len();
            assert!((head[..n].iter().sum::<f32>() - 1.0).abs() < 1e-5 && head[n..].iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn wrong_input_exits_with_2_and_writes_nothing() {
    let folder = checkpoint("llama", 5);
    let path = folder.path().to_str().unwrap();
    let out = folder.path().join("acts.safetensors");
    let data = folder.path().join("rows.jsonl");
    let at = "blocks.0.hook_resid_pre@last";
    for (ids, at, part) in [
        ("3,x", at, "entry 1"),
        ("3,97", at, "token 1 of row 0 is 97"),
        ("3", "blocks.0.hook_resid_pre@first", "after @"),
        ("3", "blocks.0.nothing", "no site is called so"),
        ("3", "blocks.9.hook_resid_pre", "2 layers"),
        ("3", "", "no site is called so"),
    ] {
        let (code, _, stderr) = capture(&[path, "--token-ids", ids, "--at", at, "--out", out.to_str().unwrap()]);
        assert_eq!(code, 2, "{ids} {at}: {stderr}");
        assert!(stderr.contains(part) && !out.exists(), "{ids} {at}: {stderr}");
    }
    for (text, part) in [
        ("", "no lines"),
        ("{\"tokens\": [3]}\n{\"tokens\": [", "line 2"),
        ("{\"tokens\": [3, -1]}", "no list of token ids"),
        ("{\"tokens\": []}", "no token"),
        ("{\"ids\": [3]}", "there is ids"),
        ("{\"text\": \"a\"}", "tokenizer"),
        ("{\"tokens\": [3]}\n{\"tokens\": [3, 4, 98]}", "token 2 of row 1 is 98"),
    ] {
        std::fs::write(&data, text).unwrap();
        let (code, _, stderr) =
            capture(&[path, "--data", data.to_str().unwrap(), "--at", at, "--out", out.to_str().unwrap()]);
        assert_eq!(code, 2, "{text}: {stderr}");
        assert!(stderr.contains(part) && !out.exists(), "{text}: {stderr}");
    }
    let (code, _, stderr) = capture(&[path, "--data", "/nowhere.jsonl", "--at", at, "--out", "x.safetensors"]);
    assert_eq!(code, 2, "{stderr}");
    let (code, _, _) = capture(&[path, "--token-ids", "3", "--at", at, "--out", "x.safetensors", "--batch", "0"]);
    assert_eq!(code, 2);
    let (code, _, stderr) = capture(&[path, "--token-ids", "3", "--at", at, "--out", "/nowhere/acts.safetensors"]);
    assert_eq!(code, 1, "{stderr}");
}
