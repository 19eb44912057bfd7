//! 100,000 mutations of command lines and score files: any answer will do, but no panic and no number that isn't finite.

use clap::Parser;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::{Cli, run};
use crate::ScoreSet;

const CASES: usize = 100_000;

/// What a list, a number or a file might be broken by.
const PIECES: [&str; 20] = [
    ",", "-", ".", "e", "E+", "9", "0", "1e308", "-1e308", "5e-324", "nan", "inf", "-inf", " ", "[", "]", "{}", "\"",
    "null", "∞",
];

fn mutated(seed: &str, rng: &mut ChaCha8Rng) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..rng.random_range(1..=4u32) {
        let at = rng.random_range(0..=text.len() as u32) as usize;
        let end = text.len().min(at + rng.random_range(0..6u32) as usize);
        match rng.random_range(0..5u32) {
            0 => drop(text.drain(at..end)),
            1 => text.truncate(at),
            2 => {
                let again: Vec<char> = text[at..end].to_vec();
                text.splice(at..at, again);
            }
            3 => {
                let piece = PIECES[rng.random_range(0..PIECES.len() as u32) as usize];
                text.splice(at..at, piece.chars());
            }
            _ => text.insert(at, char::from(rng.next_u32() as u8 & 0x7f)),
        }
    }
    text.into_iter().collect()
}

/// Whether every number of an answer is finite (JSON shows what isn't as null or as a string).
fn finite(value: &Value) -> bool {
    match value {
        Value::Number(n) => n.as_f64().is_some_and(f64::is_finite),
        Value::Array(all) => all.iter().all(finite),
        Value::Object(all) => all.values().all(finite),
        _ => true,
    }
}

#[test]
fn mutated_command_lines() {
    let neighbours = format!("--neighbour-means={}", vec!["-2"; 25].join(","));
    let seeds: Vec<Vec<&str>> = vec![
        vec!["roc", "--members=0.9,0.8,0.8,-0.6", "--nonmembers=0.7,0.6,0.5", "--fpr=0.4", "--fpr=0.5"],
        vec!["roc", "--members=1,1", "--nonmembers=1,1,1", "--fpr=0.5", "--hull"],
        vec!["score", "--method=loss", "--log-probs=-1,-2,-3.5"],
        vec!["score", "--method=ratio", "--log-probs=-1,-2", "--reference-log-probs=-3,-0.5"],
        vec!["score", "--method=zlib", "--log-probs=-1,-2", "--zlib-bytes=40"],
        vec!["score", "--method=min-k", "--log-probs=-1,-2,-0.25,-9", "--k=0.3"],
        vec!["score", "--method=min-k-pp", "--log-probs=-1,-2", "--mu=-2,-3", "--sigma=1,0.5", "--k=0.5"],
        vec!["score", "--method=neighbourhood", "--log-probs=-1,-2", &neighbours],
        vec!["score", "--method=recall", "--log-probs=-1,-2", "--conditional-log-probs=-1,-4"],
        vec!["score", "--method=lira-online", "--observed=1.5", "--in=1,2,3", "--out=-1,0,0.5"],
        vec!["score", "--method=lira-offline", "--observed=-1.5", "--out=-1,0,0.5"],
        vec![
            "score",
            "--method=rmia",
            "--target-prob=0.5",
            "--ref-out-prob=0.4",
            "--population-target-probs=0.1,0.9",
            "--population-ref-out-probs=0.2,0.8",
            "--offline-a=0.3",
            "--gamma=1",
        ],
        vec!["score", "--method=quantile", "--observed=1", "--quantile=-0.5"],
        vec!["exposure", "--rank=3", "--candidates=1000000"],
        vec!["exposure", "--canary-score=1.5", "--reference-scores=1,2,-3"],
        vec![
            "exposure",
            "--canary-score=1.5",
            "--reference-scores=1,2,-3,4,0.5,1,2.5,-1,0,1.25",
            "--estimator=skew-normal",
        ],
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut answered = 0;
    for case in 0..CASES {
        let seed = &seeds[case % seeds.len()];
        let mut line: Vec<String> = seed.iter().map(|&word| word.to_owned()).collect();
        let at = rng.random_range(1..line.len() as u32) as usize;
        // The flag stays; its value is what a user mistypes. A switch has none.
        let Some((flag, value)) = seed[at].split_once('=') else { continue };
        line[at] = format!("{flag}={}", mutated(value, &mut rng));
        let Ok(cli) = Cli::try_parse_from(std::iter::once("ashlar-audit".to_owned()).chain(line.clone())) else {
            continue;
        };
        if let Ok(answer) = run(&cli.command, &cli.global) {
            assert!(finite(&answer.json), "{line:?}: {}", answer.json);
            assert!(!answer.json.to_string().contains("null") || line[0] == "roc", "{line:?}: {}", answer.json);
            answered += 1;
        }
    }
    assert!(answered > CASES / 20, "only {answered} of {CASES} lines were understood");
}

#[test]
fn mutated_score_files() {
    let seed = r#"{"members": [0.5, -1.25e3, 7], "nonmembers": [1, 2, 0.5, 0.5]}"#;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut read = 0;
    for _ in 0..CASES {
        let mut bytes = mutated(seed, &mut rng).into_bytes();
        if rng.random_range(0..4u32) == 0 && !bytes.is_empty() {
            let at = rng.random_range(0..bytes.len() as u32) as usize;
            bytes[at] = rng.next_u32() as u8;
        }
        let Ok(scores) = ScoreSet::from_json(&bytes) else { continue };
        let roc = scores.roc();
        assert!((0.0..=1.0).contains(&roc.auc()));
        for target in [0.0, 0.3, 1.0] {
            let (plain, hull) = (roc.tpr_at(target).unwrap().tpr, roc.tpr_at_on_hull(target).unwrap().tpr);
            assert!(plain.is_none_or(|tpr| (tpr..=1.0).contains(&hull.unwrap_or(-1.0))));
        }
        read += 1;
    }
    assert!(read > CASES / 50, "only {read} files were read");
}
