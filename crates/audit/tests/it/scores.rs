//! Scores beside numpy, scipy and scikit-learn, and the mistakes that published programs make.

use ashlar_audit::{
    Error, Score, TokenStats,
    scores::{
        LiraOffline, LiraOnline, Loss, MinK, MinKPlusPlus, Neighbourhood, Ratio, Recall, Rmia, Signals, Zlib, coverage,
        min_k_count, pinball_loss, pooled_sigma, quantile_score, scaled_logit, vocabulary_moments,
    },
};
use proptest::prelude::*;

use crate::fixture::{self, close, list, number, rows};

#[test]
fn min_k_and_min_k_plus_plus_equal_numpy() {
    for row in rows(&fixture::scores()["min_k"]) {
        let k = number(&row["k"]);
        let stats = TokenStats {
            mu: Some(list(&row["mu"])),
            sigma: Some(list(&row["sigma"])),
            ..TokenStats::new(list(&row["log_probs"]))
        };
        close(Loss.score(&stats).unwrap(), number(&row["loss"]), 1e-14);
        close(MinK { k }.score(&stats).unwrap(), number(&row["min_k"]), 1e-14);
        close(MinKPlusPlus { k }.score(&stats).unwrap(), number(&row["min_k_pp"]), 1e-12);
        for (t, table) in row["vocabulary"].as_array().into_iter().flatten().enumerate() {
            let (mu, sigma) = vocabulary_moments(&list(table)).unwrap();
            close(mu, list(&row["mu"])[t], 1e-13);
            close(sigma, list(&row["sigma"])[t], 1e-12);
        }
    }
}

#[test]
fn min_k_takes_at_least_one_token() {
    // The mistake: ⌊k·T⌋ = 0 tokens, whose mean is NaN.
    for tokens in 1..5 {
        assert_eq!(min_k_count(0.2, tokens).unwrap(), 1);
        let score = MinK::default().score(&TokenStats::new((1..=tokens).map(|t| -(t as f64)).collect())).unwrap();
        assert_eq!(score, -(tokens as f64));
    }
    // The floor of the f64 product: 0.29 · 100 is just below 29.
    assert_eq!(min_k_count(0.29, 100).unwrap(), 28);
    assert_eq!((min_k_count(0.3, 10).unwrap(), min_k_count(1.0, 7).unwrap()), (3, 7));
}

#[test]
fn min_k_plus_plus_survives_a_sure_token() {
    // The mistake: σ² = 0 unclamped, and 0/0 on a token of probability 1.
    let stats =
        TokenStats { mu: Some(vec![0.0, -2.0]), sigma: Some(vec![0.0, 1.0]), ..TokenStats::new(vec![0.0, -1.0]) };
    assert_eq!(MinKPlusPlus { k: 0.5 }.score(&stats).unwrap(), 0.0);
    let (mu, sigma) = vocabulary_moments(&[0.0, f64::NEG_INFINITY]).unwrap();
    assert_eq!((mu, sigma), (0.0, 1e-6));
}

#[test]
fn every_score_is_higher_for_a_member() {
    // The mistake: mixed signs. A member is more likely than others in every respect.
    let text = |level: f64, conditional: f64| TokenStats {
        mu: Some(vec![-2.0; 8]),
        sigma: Some(vec![1.0; 8]),
        reference_log_probs: Some(vec![-2.0; 8]),
        conditional_log_probs: Some(vec![conditional; 8]),
        neighbour_means: Some(vec![-2.0; 25]),
        zlib_bytes: Some(60),
        ..TokenStats::new(vec![level; 8])
    };
    // A prefix of non-members takes more from a member.
    let (member, other) = (text(-0.5, -0.9), text(-1.9, -2.0));
    let scores: [(&str, &dyn Score); 7] = [
        ("loss", &Loss),
        ("ratio", &Ratio),
        ("zlib", &Zlib),
        ("min-k", &MinK { k: 0.2 }),
        ("min-k-pp", &MinKPlusPlus { k: 0.2 }),
        ("neighbourhood", &Neighbourhood),
        ("recall", &Recall),
    ];
    for (name, score) in scores {
        assert!(score.score(&member).unwrap() > score.score(&other).unwrap(), "{name}");
    }
    let lira = LiraOnline::fit(&[3.0, 4.0], &[0.0, 1.0]).unwrap();
    assert!(lira.score(3.2).unwrap() > 0.0 && lira.score(0.7).unwrap() < 0.0);
    let offline = LiraOffline::fit(&[0.0, 1.0]).unwrap();
    assert!(offline.score(2.0).unwrap() > offline.score(0.0).unwrap());
    assert!(quantile_score(2.0, 1.0).unwrap() > quantile_score(0.5, 1.0).unwrap());
}

#[test]
fn lira_equals_scipy_with_ddof_0() {
    let fixture = fixture::scores();
    for row in rows(&fixture["lira"]) {
        let (inside, outside, observed) = (list(&row["in"]), list(&row["out"]), number(&row["observed"]));
        close(LiraOnline::fit(&inside, &outside).unwrap().score(observed).unwrap(), number(&row["online"]), 1e-12);
        close(LiraOffline::fit(&outside).unwrap().score(observed).unwrap(), number(&row["offline"]), 1e-13);
    }
    let examples: Vec<Vec<f64>> = rows(&fixture["pooled"]["examples"]).iter().map(list).collect();
    close(pooled_sigma(&examples).unwrap(), number(&fixture["pooled"]["sigma"]), 1e-14);
    // With the example's own spreads the two constructors are one.
    let lira = LiraOnline::with_sigma(&[1.0, 3.0], &[0.0, 4.0], 1.0, 2.0).unwrap();
    assert_eq!(lira, LiraOnline::fit(&[1.0, 3.0], &[0.0, 4.0]).unwrap());
}

#[test]
fn the_scaled_logit_takes_logits_or_log_probs() {
    let logits: [f64; 4] = [2.0, -1.0, 0.5, 900.0];
    let total: f64 = 900.0;
    let log_probs: Vec<f64> = logits.iter().map(|l| l - total).collect();
    close(scaled_logit(&logits, 0).unwrap(), -898.0, 1e-14);
    close(scaled_logit(&log_probs, 0).unwrap(), -898.0, 1e-14);
    close(scaled_logit(&[0.25f64.ln(), 0.75f64.ln()], 1).unwrap(), 3f64.ln(), 1e-15);
    assert!(scaled_logit(&[0.0], 0).is_err() && scaled_logit(&[0.0, 1.0], 2).is_err());
}

#[test]
fn rmia_equals_all_pairs() {
    let fixture = fixture::scores();
    for row in rows(&fixture["rmia"]) {
        let population = Signals { target: list(&row["p_z"]), ref_out: list(&row["r_z"]) };
        let attack = Rmia::new(&population, number(&row["a"]), number(&row["gamma"])).unwrap();
        let points = list(&row["p_x"]).into_iter().zip(list(&row["r_x"]));
        let got: Vec<f64> = points.map(|(p, r)| attack.score(p, r).unwrap()).collect();
        assert_eq!(got, list(&row["score"]));
    }
}

#[test]
fn rmia_wins_strictly() {
    let same = Signals { target: vec![0.5; 4], ref_out: vec![0.5; 4] };
    assert_eq!(Rmia::new(&same, 0.3, 1.0).unwrap().score(0.5, 0.5).unwrap(), 0.0);
    assert_eq!(Rmia::new(&same, 0.3, 0.999).unwrap().score(0.5, 0.5).unwrap(), 1.0);
    // Nothing of the population is likely: any chance at all beats it, and 0/0 beats nothing.
    let never = Signals { target: vec![0.0, -0.0], ref_out: vec![0.5; 2] };
    let attack = Rmia::new(&never, 0.3, 1.0).unwrap();
    assert_eq!((attack.score(0.1, 0.5).unwrap(), attack.score(0.0, 0.5).unwrap()), (1.0, 0.0));
}

#[test]
fn rmia_tunes_a_on_a_paired_model() {
    let row = &fixture::scores()["rmia_tuning"];
    let signals = |key: &str| Signals { target: list(&row[key][0]), ref_out: list(&row[key][1]) };
    let (members, others, population) = (signals("members"), signals("others"), signals("population"));
    let tuned = Rmia::tune(&members, &others, &population, 1.0).unwrap();
    assert_eq!(tuned.offline_a, number(&row["a"]));
    close(tuned.auc, list(&row["aucs"]).into_iter().fold(0.0, f64::max), 1e-13);
}

#[test]
fn pinball_loss_equals_sklearn_and_has_its_minimum_at_the_quantile() {
    let row = &fixture::scores()["pinball"];
    let (observed, predicted) = (list(&row["observed"]), list(&row["predicted"]));
    for pair in rows(&row["loss"]) {
        close(pinball_loss(&observed, &predicted, number(&pair[0])).unwrap(), number(&pair[1]), 1e-14);
    }
    assert_eq!(coverage(&observed, &predicted).unwrap(), number(&row["coverage"]));
    // Nine of ten values lie at or below the best constant for α = 0.1.
    let observed: Vec<f64> = (0..10).map(f64::from).collect();
    let loss = |q: f64| pinball_loss(&observed, &[q; 10], 0.1).unwrap();
    for other in [0.0, 4.5, 7.9, 9.1, 20.0] {
        assert!(loss(8.5) < loss(other), "{other}");
    }
}

#[test]
fn what_cannot_be_scored_says_why() {
    let message = |result: Result<f64, Error>| {
        let error = result.unwrap_err();
        assert!(error.is_input());
        error.to_string()
    };
    let stats = |log_probs: &[f64]| TokenStats::new(log_probs.to_vec());
    assert_eq!(message(Loss.score(&stats(&[]))), "log-probs is empty: at least one score is needed");
    assert_eq!(message(Loss.score(&stats(&[-1.0, f64::NAN]))), "log-probs[1] is NaN: every score must be finite");
    assert_eq!(
        message(Loss.score(&stats(&[-1.0, f64::NEG_INFINITY]))),
        "log-probs[1] is -inf: every score must be finite"
    );
    assert_eq!(
        message(Loss.score(&stats(&[1.5]))),
        "log-probs[0] = 1.5: a log-probability is at most 0 (a loss has the other sign)"
    );
    assert_eq!(message(Ratio.score(&stats(&[-1.0]))), "ratio: it needs the log-probabilities of a reference model");
    for k in [0.0, -0.1, 1.1, f64::NAN] {
        assert!(message(MinK { k }.score(&stats(&[-1.0]))).contains("it must be in (0, 1]"), "{k}");
    }
    let pp = TokenStats { mu: Some(vec![0.0]), sigma: Some(vec![1.0, 1.0]), ..stats(&[-1.0, -2.0]) };
    assert_eq!(
        message(MinKPlusPlus::default().score(&pp)),
        "log-probs has 2 values and mu has 1: they must be equally long"
    );
    assert!(message(Zlib.score(&TokenStats { zlib_bytes: Some(0), ..stats(&[-1.0]) })).contains("at least 1"));
    let few = TokenStats { neighbour_means: Some(vec![-1.0; 24]), ..stats(&[-1.0]) };
    assert!(message(Neighbourhood.score(&few)).starts_with("neighbourhood with 24 perturbed texts"));
    assert!(LiraOnline::fit(&[1.0, 1.0], &[0.0, 1.0]).unwrap_err().to_string().starts_with("spread of in = 0"));
    assert!(LiraOffline::fit(&[1.0]).unwrap_err().to_string().starts_with("spread of out = 0"));
    let population = Signals { target: vec![0.5], ref_out: vec![0.0] };
    for (a, gamma, told) in [(1.5, 1.0, "offline-a = 1.5"), (0.5, 0.0, "gamma = 0"), (0.5, -1.0, "gamma = -1")] {
        assert!(Rmia::new(&population, a, gamma).unwrap_err().to_string().starts_with(told));
    }
    assert!(Rmia::new(&population, 1.0, 1.0).unwrap_err().to_string().contains("take an offline-a below 1"));
}

proptest! {
    #[test]
    fn scores_are_finite_and_ordered(
        log_probs in prop::collection::vec(-50.0..0.0f64, 1..80), k in 0.001..=1.0f64, lift in 0.0..5.0f64,
    ) {
        let stats = TokenStats::new(log_probs.clone());
        let min_k = MinK { k }.score(&stats).unwrap();
        let loss = Loss.score(&stats).unwrap();
        prop_assert!(min_k.is_finite() && min_k <= loss + 1e-12);
        // Likelier tokens never lower the score.
        let likelier = TokenStats::new(log_probs.iter().map(|l| (l + lift).min(0.0)).collect());
        let (raised, whole) = (MinK { k }.score(&likelier).unwrap(), MinK { k: 1.0 }.score(&stats).unwrap());
        prop_assert!(raised >= min_k);
        prop_assert!((whole - loss).abs() < 1e-12 * loss.abs().max(1.0));
    }

    #[test]
    fn lira_is_antisymmetric(
        inside in prop::collection::vec(-9.0..9.0f64, 3..9), outside in prop::collection::vec(-9.0..9.0f64, 3..9),
        observed in -20.0..20.0f64,
    ) {
        let (one, other) = (LiraOnline::fit(&inside, &outside).unwrap(), LiraOnline::fit(&outside, &inside).unwrap());
        let (a, b) = (one.score(observed).unwrap(), other.score(observed).unwrap());
        prop_assert!((a + b).abs() <= 1e-12 * a.abs().max(1.0));
    }

    #[test]
    fn rmia_rises_with_the_target_probability(
        p in prop::collection::vec(0.0..=1.0f64, 1..30), x in 0.0..=1.0f64, y in 0.0..=1.0f64, a in 0.0..0.99f64,
    ) {
        let ref_out: Vec<f64> = p.iter().rev().copied().collect();
        let attack = Rmia::new(&Signals { target: p, ref_out }, a, 1.0).unwrap();
        let (low, high) = (x.min(y), x.max(y));
        prop_assert!(attack.score(low, 0.4).unwrap() <= attack.score(high, 0.4).unwrap());
    }
}
