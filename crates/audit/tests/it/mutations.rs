//! Score files that were damaged in every way: an error or an answer, never a panic.

use ashlar_audit::{Error, Plan, ScoreSet, Select, bound::Method};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEEDS: [&str; 4] = [
    r#"{"members":[0.9,0.8,0.8,0.6,0.3],"nonmembers":[0.7,0.6,0.5,0.4,-0.2,0.2,0.1]}"#,
    r#"{"nonmembers": [1e-3, 2.5E+2, -0, 3], "members": [NaN, Infinity, -1e308]}"#,
    "{\n \"members\": [null, \"inf\", 1e999],\n \"nonmembers\": [ ]\n}",
    r#"{"members":[1,1,1,1],"nonmembers":[1,1,1]}"#,
];
const PIECES: [&str; 16] =
    ["NaN", "1e308", "-1e308", "5e-324", "null", "\"", "\\", "[", "]", "{", "}", ",", ":", "members", "-", "1e400"];

fn mutated(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut text = SEEDS[rng.random_range(0..SEEDS.len())].as_bytes().to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=text.len());
        let end = (at + rng.random_range(0..6)).min(text.len());
        match rng.random_range(0..5) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, PIECES[rng.random_range(0..PIECES.len())].bytes())),
            2 => text.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.random()),
            3 => text = [&text[..end], &text[at..]].concat(),
            _ => text.truncate(at),
        }
    }
    text
}

#[test]
fn score_files_survive() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let methods = [
        Method::OneRun,
        Method::OneRunFdp,
        Method::ClopperPearson,
        Method::Gdp,
        Method::Bayes,
        Method::OneShotGaussian,
    ];
    let selects = [Select::Fixed, Select::Bonferroni, Select::Split, Select::MaxUncorrected];
    let (mut read, mut refused, mut named) = (0, 0, 0);
    for round in 0..120_000_u32 {
        match ScoreSet::from_json(&mutated(&mut rng)) {
            Ok(scores) => {
                read += 1;
                // Whatever can be read can be audited.
                let method = methods[rng.random_range(0..methods.len())];
                let select =
                    if method == Method::OneShotGaussian { Select::Fixed } else { selects[rng.random_range(0..4)] };
                if let Ok(audit) = scores.audit(&Plan { select, seed: u64::from(round), ..Plan::new(method) }) {
                    assert!(audit.bound.epsilon_lower >= 0.0);
                }
            }
            Err(error) => {
                refused += 1;
                named += u32::from(matches!(error, Error::NotFinite { .. }));
                assert!(error.is_input() && !error.to_string().is_empty());
            }
        }
    }
    assert!(read > 1000 && refused > 1000 && named > 1000, "{read} {refused} {named}");
}
