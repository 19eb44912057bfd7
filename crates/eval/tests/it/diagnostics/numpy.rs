//! Head scores, maps, guards and clustered errors beside numpy, scipy, scikit-learn and statsmodels
//! (`scripts/fixtures/heads.py`).

use ashlar_eval::{
    attn::{self, Grid},
    guard::{Confusion, Verdict, threshold::calibrate},
    heads::{self, Attention, Compat, Score, Values},
};
use ashlar_stats::{cluster::Correction, cluster::clustered_mean, rank};
use serde_json::Value;

use super::{flat, numbers};
use crate::support::assert_close;

fn fixture(key: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../fixtures/heads.json")).unwrap();
    all[key].as_array().unwrap().clone()
}

fn shape(json: &Value) -> Vec<usize> {
    std::iter::successors(Some(json), |j| j.get(0)).map_while(|j| j.as_array().map(Vec::len)).collect()
}

#[test]
fn every_head_score_with_and_without_padding() {
    for row in fixture("heads") {
        let (attn, value, w_o) = (flat(&row["attn"]), flat(&row["value"]), flat(&row["w_o"]));
        let (a, v, w) = (shape(&row["attn"]), shape(&row["value"]), shape(&row["w_o"]));
        let valid = row["valid"].as_u64().unwrap() as usize;
        for (name, compat) in [("ours", Compat::Ours), ("official", Compat::Official)] {
            let attention = Attention::causal(&attn, a[0], a[1], a[1]).unwrap();
            let values = Values::new(&value, v[0], v[1], v[2]).unwrap();
            let found = heads::score(&attention, &values, Some((&w_o, w[2])), valid, compat, Score::ALL).unwrap();
            for (score, found) in Score::ALL.iter().zip(found) {
                let expected = numbers(&row[name][score.name()]);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.into_iter().zip(expected) {
                    assert!(
                        (found - expected).abs() <= 1e-12 * (1.0 + expected.abs())
                            || found.is_nan() && expected.is_nan(),
                        "{name} {} of {a:?}: {found} {expected}",
                        score.name()
                    );
                }
            }
            // Single precision in, the same to its rounding.
            let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
            let (attn, value, w_o) = (narrow(&attn), narrow(&value), narrow(&w_o));
            let attention = Attention::causal(&attn, a[0], a[1], a[1]).unwrap();
            let values = Values::new(&value, v[0], v[1], v[2]).unwrap();
            let found = heads::score(&attention, &values, Some((&w_o, w[2])), valid, compat, &[Score::Ahon]).unwrap();
            found[0].iter().zip(numbers(&row[name]["ahon"])).for_each(|(a, b)| assert_close(*a, b, 1e-5));
        }
    }
}

#[test]
fn maps() {
    for row in fixture("maps") {
        let (a, b) = (flat(&row["a"]), flat(&row["b"]));
        let len = row["a"].as_array().unwrap().len();
        let grid: Vec<usize> = numbers(&row["grid"]).iter().map(|&n| n as usize).collect();
        let grid = Grid::new([grid[0], grid[1], grid[2]], len, row["text_first"] == true).unwrap();
        let a = Attention::bidirectional(&a, 1, len).unwrap();
        let b = Attention::bidirectional(&b, 1, len).unwrap();
        let number = |key: &str| row[key].as_f64().unwrap();
        assert_close(attn::density(&a, 0, 0.95), number("density"), 1e-12);
        let shares = attn::column_share(&a, 0);
        shares.iter().zip(numbers(&row["column_share"])).for_each(|(a, b)| assert_close(*a, b, 1e-12));
        let local = attn::locality(&a, 0, &grid, (1, 1));
        assert_close(local.local_mass.unwrap(), number("local_mass"), 1e-12);
        assert_close(local.uniform, number("uniform"), 1e-12);
        let profile: Vec<f64> = local.profile.concat();
        profile.iter().zip(flat(&row["profile"])).for_each(|(a, b)| assert_close(*a, b, 1e-12));
        let alike = attn::similarity(&a, &b, Some(&grid), 4, 0).unwrap()[0];
        assert_close(alike.cosine, number("cosine"), 1e-12);
        assert_close(alike.jsd, number("jsd"), 1e-12);
    }
}

#[test]
fn guards() {
    for row in fixture("guards") {
        let words = |key: &str| row[key].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned());
        let gold: Vec<Verdict> = words("gold").map(|w| Verdict::from_word(&w).unwrap()).collect();
        let counts = Confusion::of(words("pred").map(|w| Verdict::from_word(&w)).zip(gold.iter().copied()));
        let number = |key: &str| row[key].as_f64().unwrap();
        for (found, key) in [
            (counts.f1(), "f1"),
            (counts.precision(), "precision"),
            (counts.recall(), "recall"),
            (counts.accuracy(), "accuracy"),
            (counts.fpr(), "fpr"),
            (counts.fpr_over_n(), "fpr_over_n"),
        ] {
            assert_close(found.unwrap(), number(key), 1e-12);
        }
        let f1 = counts.f1_interval(0.95).unwrap().unwrap();
        assert!(f1.contains(counts.f1().unwrap()) && f1.width() < 1.0);
        let margin = numbers(&row["margin"]);
        let fail: Vec<bool> = gold.iter().map(|&g| g == Verdict::Fail).collect();
        assert_close(rank::auc(&margin, &fail).unwrap(), number("auroc"), 1e-12);
        let found = calibrate(&margin, &fail, 0.05).unwrap();
        assert_close(found.best_f1.f1, number("best_f1"), 1e-12);
        assert!((found.at_fpr.recall - number("recall_at_fpr")).abs() < 1e-12);
    }
}

#[test]
fn clustered_errors() {
    for row in fixture("clustered") {
        let names: Vec<&str> = row["group"].as_array().unwrap().iter().map(|g| g.as_str().unwrap()).collect();
        let of: Vec<usize> = names.iter().map(|name| name[1..].parse().unwrap()).collect();
        for (key, correction) in [("none", Correction::None), ("finite", Correction::Finite)] {
            let found = clustered_mean(&numbers(&row["x"]), &of, correction, 0.95).unwrap();
            assert_close(found.se_clustered.unwrap(), row[key].as_f64().unwrap(), 1e-9);
        }
    }
}
