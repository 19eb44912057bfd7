//! 100,000 mutations of an experiment file, its stages' tables checked by the real commands: any answer will do, no panic.

use ashlar_cli::config::Source;
use ashlar_kernels::rng;
use ashlar_runner::{
    command,
    experiment::{Experiment, Options},
};
use rand::Rng;

const CASES: usize = 100_000;

const FILE: &str = r#"[experiment]
name = "probe"
title = "A probe"
seeds = [0, 1]
full = { seeds = [0, 1, 2], "server.rounds" = 50 }
[data]
name = "procedural-images"
partition = "dirichlet"
[model]
hidden = 8
[[stage]]
name = "plain"
run = "fl-core train"
grid = { "server.lr" = [0.1, 0.3] }
select = "val_acc"
with.server = { mode = "sketch", k = 10 }
[[stage]]
name = "hit"
run = "fl-core attack"
[stage.with]
attack = { name = "pgd", rounds = 3, attackers = 1 }
server = { mode = "fedavg", init = { stage = "plain", file = "model.safetensors" } }
clip.l2 = 0.5
client = { epochs = 1, lr = 0.1 }
[[claim]]
text = "near"
metric = "hit.final_acc"
op = ">="
than = "plain.final_acc"
plus = -0.1
"#;

#[test]
fn mutated_experiment_files_are_answered() {
    let commands = command::stages();
    let mut first = None;
    let mut load = |text: &str| {
        let source = Source { origin: "fuzzed.toml".to_owned(), text: text.to_owned() };
        match Experiment::load(&source, &Options::default(), &commands) {
            Ok(_) => true,
            Err(failure) => {
                assert!(!failure.message().is_empty());
                first.get_or_insert_with(|| failure.each().map(|one| one.message().to_owned()).collect::<Vec<_>>());
                false
            }
        }
    };
    assert!(load(FILE), "the unmutated file must be valid: {first:?}");
    let lines: Vec<&str> = FILE.lines().collect();
    let mut rng = rng::stream(3, &["test", "mutate", "experiment"]);
    let mut taken = 0;
    for _ in 0..CASES {
        let mut bytes = if rng.random_bool(0.5) {
            FILE.as_bytes().to_vec()
        } else {
            // Lines left out, doubled and moved keep most of the syntax and break the sense.
            let mut kept = lines.clone();
            for _ in 0..rng.random_range(1..4u32) {
                let at = rng.random_range(0..kept.len() as u32) as usize;
                let line = kept.remove(at);
                if rng.random_bool(0.5) {
                    kept.insert(rng.random_range(0..=kept.len() as u32) as usize, line);
                }
            }
            kept.join("\n").into_bytes()
        };
        for _ in 0..rng.random_range(0..4u32) {
            let at = rng.random_range(0..bytes.len() as u32) as usize;
            match rng.random_range(0..4u32) {
                0 => bytes[at] = b"0\"[]{}=.-eE9_'\n#xZ"[rng.random_range(0..18u32) as usize],
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"0\"[]{}=.-eE9_'\n#xZ"[rng.random_range(0..18u32) as usize]),
                _ => {
                    let end = bytes.len().min(at + rng.random_range(1..30u32) as usize);
                    bytes.extend_from_within(at..end);
                }
            }
        }
        taken += usize::from(load(&String::from_utf8_lossy(&bytes)));
    }
    println!("{taken} of {CASES} mutated files were still valid");
}
