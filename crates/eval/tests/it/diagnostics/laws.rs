//! Laws that hold for any input.

use ashlar_eval::{
    PyRandom, attn,
    guard::{Confusion, Verdict, threshold::calibrate},
    heads::{self, Attention, Compat, Score, Side, Values},
    markov::{Counts, StateTable, second_order},
    resample::{Statistic, bootstrap},
};
use ashlar_stats::rank;
use proptest::prelude::*;

fn counts() -> impl Strategy<Value = Counts> {
    let count = prop_oneof![0..5_u64, 0..1000_u64, 0..1_000_000_000_000_u64];
    [count.clone(), count.clone(), count.clone(), count].prop_map(|[tt, tf, ft, ff]| Counts { tt, tf, ft, ff })
}

/// Causal maps of 3 heads and 6 tokens, values of `kv` heads and 2 dimensions.
fn layer() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let weights = prop::collection::vec(0.01..1.0_f64, 3 * 6 * 6);
    let maps = weights.prop_map(|mut w| {
        for (at, row) in w.chunks_mut(6).enumerate() {
            row[at % 6 + 1..].fill(0.0);
            let sum: f64 = row.iter().sum();
            for w in row {
                *w /= sum;
            }
        }
        w
    });
    (maps, prop::collection::vec(-2.0..2.0_f64, 3 * 6 * 2))
}

fn scores(maps: &[f64], values: &[f64]) -> Vec<Vec<f64>> {
    let attention = Attention::causal(maps, 3, 6, 6).unwrap();
    let values = Values::new(values, 3, 6, 2).unwrap();
    heads::score(&attention, &values, None, 6, Compat::Ours, &Score::ALL[..13]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_chain_is_a_chain(counts in counts(), first in 0.0..=1.0_f64) {
        let chain = counts.chain();
        for p in [chain.p_tf, chain.p_ft, chain.stationary, counts.flip_rate()].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&p));
        }
        prop_assert_eq!(chain.stationary.is_none(), chain.reason.is_some());
        if let (Some(pi), Some(a), Some(b)) = (chain.stationary, chain.p_tf, chain.p_ft) {
            // One more turn leaves it.
            prop_assert!((pi * (1.0 - a) + (1.0 - pi) * b - pi).abs() < 1e-12);
            prop_assert!(chain.stationary_se.unwrap() >= 0.0);
            let accuracy = chain.accuracy(first, 200).unwrap().unwrap();
            prop_assert!(accuracy.iter().all(|p| (0.0..=1.0).contains(p)));
            for pair in accuracy.windows(2) {
                prop_assert!((pair[0] * (1.0 - a) + (1.0 - pair[0]) * b - pair[1]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn rows_of_a_state_chain_sum_to_one(turns in prop::collection::vec(prop::collection::vec(0..4_u8, 0..9), 1..9)) {
        let letter = |&answer: &u8| (answer > 0).then(|| answer.to_string());
        let answers: Vec<Vec<Option<String>>> = turns.iter().map(|t| t.iter().map(letter).collect()).collect();
        let chain = StateTable::of(&answers).chain();
        for row in chain.transition.iter().filter(|row| !row.is_empty()) {
            prop_assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        if let Some(p) = chain.stationary.filter(|p| !p.is_empty()) {
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for j in 0..p.len() {
                let next: f64 = (0..p.len()).map(|i| p[i] * chain.transition[i][j]).sum();
                prop_assert!((next - p[j]).abs() < 1e-9);
            }
        }
        let right: Vec<Vec<bool>> = turns.iter().map(|t| t.iter().map(|&a| a > 1).collect()).collect();
        if let Some(test) = second_order(&right) {
            prop_assert!(test.lr >= 0.0 && test.dof <= 2);
            prop_assert!(test.p.is_none_or(|p| (0.0..=1.0).contains(&p)));
            // A memory that can't be tested can't be found either.
            prop_assert!(test.dof > 0 || test.lr < 1e-9);
        }
    }

    #[test]
    fn turning_scores_around_complements_the_auroc(rows in prop::collection::vec((-5..5_i32, any::<bool>()), 4..60)) {
        let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.0)).collect();
        let labels: Vec<bool> = rows.iter().map(|r| r.1).collect();
        let turned: Vec<f64> = scores.iter().map(|s| -s).collect();
        if let (Ok(a), Ok(b)) = (rank::auc(&scores, &labels), rank::auc(&turned, &labels)) {
            prop_assert!((a + b - 1.0).abs() < 1e-12);
            let found = calibrate(&scores, &labels, 0.2).unwrap();
            prop_assert!(found.at_fpr.fpr <= 0.2);
            // No threshold beats the ones found.
            for &threshold in &scores {
                let said = scores.iter().map(|&s| Some(if s >= threshold { Verdict::Fail } else { Verdict::Pass }));
                let truth = labels.iter().map(|&l| if l { Verdict::Fail } else { Verdict::Pass });
                let here = Confusion::of(said.zip(truth));
                prop_assert!(here.f1().unwrap_or(0.0) <= found.best_f1.f1 + 1e-12);
                prop_assert!(here.fpr().unwrap() > 0.2 || here.recall().unwrap() <= found.at_fpr.recall + 1e-12);
            }
        }
    }

    #[test]
    fn head_scores_keep_their_invariances((maps, values) in layer(), factor in 0.1..10.0_f64) {
        let plain = scores(&maps, &values);
        let scaled = scores(&maps, &values.iter().map(|v| v * factor).collect::<Vec<_>>());
        for (at, score) in Score::ALL[..13].iter().enumerate() {
            // Norms scale with the values, attention and ratios don't.
            let scales = matches!(score, Score::Ftvvn | Score::Avvn | Score::Lthon | Score::Ahon);
            for (a, b) in plain[at].iter().zip(&scaled[at]) {
                let expected = if scales { a * factor } else { *a };
                prop_assert!((b - expected).abs() <= 1e-9 * (1.0 + expected.abs()), "{}", score.name());
            }
            // Relative to the layer's mean: the mean over heads is 1 (lthon-ln has another denominator).
            if score.name().ends_with("-ln") && *score != Score::LthonLn {
                prop_assert!((plain[at].iter().sum::<f64>() / 3.0 - 1.0).abs() < 1e-12);
            }
        }
        prop_assert!(plain[0].iter().all(|w| *w > 0.0 && *w <= 1.0));
        prop_assert!(plain[2].iter().all(|h| *h >= 0.0 && *h <= 6.0_f64.ln()));
        // Outputs are averages of values: no longer than the longest.
        let longest = values.chunks(2).map(|v| v[0].hypot(v[1])).fold(0.0, f64::max);
        prop_assert!(plain[11].iter().all(|o| *o <= longest + 1e-12));
        // Heads in another order, scores in that order.
        let turned = scores(&maps.chunks(36).rev().collect::<Vec<_>>().concat(), &values.chunks(12).rev().collect::<Vec<_>>().concat());
        for (a, b) in plain.iter().zip(&turned) {
            prop_assert!(a.iter().zip(b.iter().rev()).all(|(a, b)| (a - b).abs() <= 1e-12 * (1.0 + a.abs())));
        }
    }

    #[test]
    fn thresholds_take_their_fraction(scores in prop::collection::vec(-10.0..10.0_f64, 1..80), p in 0.0..=1.0_f64) {
        let less = heads::threshold(&scores, p, Side::Less).unwrap();
        let greater = heads::threshold(&scores, 1.0 - p, Side::Greater).unwrap();
        prop_assert!((less - greater).abs() < 1e-6);
        let below = scores.iter().filter(|&&s| s < less).count() as f64 / scores.len() as f64;
        prop_assert!(below <= p + 1e-9);
        let upto = scores.iter().filter(|&&s| s <= less).count() as f64 / scores.len() as f64;
        prop_assert!(upto + 1.0 / scores.len() as f64 >= p - 1e-9);
    }

    #[test]
    fn maps_hold_their_mass((maps, _) in layer(), theta in 0.05..=1.0_f64) {
        let attention = Attention::bidirectional(&maps, 3, 6).unwrap();
        for head in 0..3 {
            prop_assert!((attn::column_share(&attention, head).iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let density = attn::density(&attention, head, theta);
            prop_assert!(density > 0.0 && density <= attn::density(&attention, head, 1.0) && density <= 1.0);
            let grid = attn::Grid::new([2, 1, 3], 6, false).unwrap();
            let all = attn::locality(&attention, head, &grid, (9, 9));
            prop_assert!((all.local_mass.unwrap() - 1.0).abs() < 1e-12 && all.uniform == 1.0);
        }
        let both = attn::similarity(&attention, &attention, None, 2, 1).unwrap();
        prop_assert!(both.iter().all(|s| s.cosine > 1.0 - 1e-12 && s.jsd == 0.0 && (0.0..=1.0).contains(&s.jsd_shuffled)));
    }

    #[test]
    fn draws_stay_in_their_ranges(seed: u64, n in 1..5000_usize, part in 0.0..=1.0_f64) {
        let mut rng = PyRandom::new(seed);
        let k = (part * n as f64) as usize;
        let sample = rng.sample(n, k).unwrap();
        let distinct: std::collections::BTreeSet<usize> = sample.iter().copied().collect();
        prop_assert_eq!(distinct.len(), k);
        prop_assert!(distinct.iter().all(|&i| i < n));
        prop_assert!(rng.choices(n, 20).unwrap().iter().all(|&i| i < n));
        prop_assert!((0.0..1.0).contains(&rng.random()));
        let mut x: Vec<usize> = (0..n).collect();
        rng.shuffle(&mut x);
        x.sort_unstable();
        prop_assert!(x.into_iter().eq(0..n));
    }

    #[test]
    fn a_constant_has_no_error(value in -5.0..5.0_f64, n in 1..20_usize, iters in 2..50_usize) {
        for statistic in [Statistic::Mean, Statistic::Median, Statistic::UpperMedian, Statistic::Perplexity] {
            let found = bootstrap(&vec![value; n], statistic, iters, 1).unwrap();
            prop_assert!(found.se < 1e-9 && found.iters == iters);
        }
    }
}
