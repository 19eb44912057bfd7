//! Draws bit for bit as CPython's (`scripts/fixtures/py_random.py`).

use ashlar_eval::{PyRandom, lm_eval, resample::Statistic};
use serde_json::Value;

use super::numbers;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../fixtures/py_random.json")).unwrap()
}

fn indices(json: &Value) -> Vec<usize> {
    json.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn integer(json: &Value) -> u64 {
    json.as_str().unwrap().parse().unwrap()
}

#[test]
fn seeds_of_any_size_and_sign() {
    let fixture = fixture();
    let rows = fixture["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 17);
    for row in rows {
        let seed = row["seed"].as_str().unwrap();
        let mut rng = PyRandom::from_decimal(seed).unwrap();
        assert_eq!([rng.random(), rng.random(), rng.random()][..], numbers(&row["random"]), "{seed:.30}");
        for pair in row["getrandbits"].as_array().unwrap() {
            let bits = pair[0].as_u64().unwrap() as u32;
            assert_eq!(rng.getrandbits(bits).unwrap(), integer(&pair[1]), "{bits} bits, seed {seed:.30}");
        }
        for pair in row["randbelow"].as_array().unwrap() {
            assert_eq!(rng.rand_below(integer(&pair[0])), integer(&pair[1]), "{pair}");
        }
        for pair in row["choices"].as_array().unwrap() {
            let n = pair[0].as_u64().unwrap() as usize;
            assert_eq!(rng.choices(n, 6).unwrap(), indices(&pair[1]), "choices of {n}");
        }
        for shuffled in row["shuffle"].as_array().unwrap() {
            let shuffled = indices(shuffled);
            let mut x: Vec<usize> = (0..shuffled.len()).collect();
            rng.shuffle(&mut x);
            assert_eq!(x, shuffled);
        }
        for _ in 0..5000 {
            rng.random();
        }
        assert_eq!(rng.random(), row["late"].as_f64().unwrap());
    }
}

#[test]
fn samples_from_pools_and_sets() {
    let fixture = fixture();
    for stream in fixture["samples"].as_array().unwrap() {
        let mut rng = PyRandom::from_decimal(stream["seed"].as_str().unwrap()).unwrap();
        for draw in stream["draws"].as_array().unwrap() {
            let (n, k) = (draw[0].as_u64().unwrap() as usize, draw[1].as_u64().unwrap() as usize);
            assert_eq!(rng.sample(n, k).unwrap(), indices(&draw[2]), "{k} of {n}");
        }
    }
}

#[test]
fn bootstraps_of_the_harness() {
    let fixture = fixture();
    for row in fixture["bootstraps"].as_array().unwrap() {
        let statistic = match row["stat"].as_str().unwrap() {
            "mean" => Statistic::Mean,
            "median" => Statistic::UpperMedian,
            _ => Statistic::Perplexity,
        };
        let iters = row["iters"].as_u64().unwrap() as usize;
        let found = lm_eval::bootstrap(&numbers(&row["values"]), statistic, iters).unwrap();
        let expected = (row["value"].as_f64().unwrap(), row["se"].as_f64().unwrap());
        assert_eq!((found.value, found.se), expected, "{} of {iters}", row["stat"]);
    }
}
