//! Each mistake that the specification names, on data where it would show.

use ashlar_eval::{
    Table, em,
    guard::{Confusion, Verdict},
    heads::{self, Attention, Compat, Score, Values},
    lm_eval,
    markov::Trajectories,
    resample::Statistic,
};
use ashlar_stats::cluster::{Correction, clustered_mean};

use crate::support::assert_close;

#[test]
fn the_clustered_error_divides_by_items() {
    // Two clusters of 2 and 4: sums about the mean 1/2 are 1 and -1; √(2/1 · 2)/6.
    let found = clustered_mean(&[1.0, 1.0, 0.0, 0.0, 1.0, 0.0], &[0, 0, 1, 1, 1, 1], Correction::Finite, 0.95).unwrap();
    assert_close(found.se_clustered.unwrap(), 2.0 / 6.0, 1e-14);
}

#[test]
fn a_reply_without_a_verdict_is_wrong_and_not_dropped() {
    let pairs = [(Some(Verdict::Fail), Verdict::Fail), (None, Verdict::Fail), (None, Verdict::Pass)];
    let found = Confusion::of(pairs);
    assert_eq!((found.n(), found.tp, found.fn_, found.fp, found.nulls()), (3, 1, 1, 1, 2));
    assert_close(found.accuracy().unwrap(), 1.0 / 3.0, 1e-15);
    // The false positive rate is of the PASSes; the official one is of everything and blind to nulls.
    assert_eq!((found.fpr(), found.fpr_over_n()), (Some(1.0), Some(0.0)));
}

/// One layer, two heads, two samples; the scores of head 0.
fn score(maps: &[f64], values: &[f64], score: Score) -> f64 {
    let attention = Attention::causal(maps, 2, 2, 2).unwrap();
    let values = Values::new(values, 2, 2, 1).unwrap();
    heads::score(&attention, &values, None, 2, Compat::Ours, &[score]).unwrap()[0][0]
}

#[test]
fn scores_are_per_sample_first() {
    let a = [1.0, 0.0, 0.9, 0.1, 1.0, 0.0, 0.5, 0.5];
    let b = [1.0, 0.0, 0.1, 0.9, 1.0, 0.0, 0.5, 0.5];
    let mean: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    let values = [1.0, 2.0, 1.0, 2.0];
    let each = f64::midpoint(score(&a, &values, Score::Aeqd), score(&b, &values, Score::Aeqd));
    // The entropy of the averaged map is that of a fair coin; that of the samples half as much.
    assert_close(score(&mean, &values, Score::Aeqd), 2.0_f64.ln() / 2.0, 1e-12);
    assert!(each < 0.2);
}

#[test]
fn the_last_output_is_compared_with_the_layers_average_output() {
    // Head 0 outputs 1, 3; head 1 outputs 1, 1: averages 2 and 1, their mean 1.5; last outputs 3 and 1, their mean 2.
    let maps = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0];
    let values = [1.0, 3.0, 1.0, 1.0];
    assert_close(score(&maps, &values, Score::LthonLn), 3.0 / 1.5, 1e-14);
    assert_close(score(&maps, &values, Score::LthonHn), 3.0 / 2.0, 1e-14);
}

#[test]
fn the_first_row_counts_with_entropy_zero() {
    let maps = [1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 0.5, 0.5];
    assert_close(score(&maps, &[1.0; 4], Score::Aeqd), 2.0_f64.ln() / 2.0, 1e-14);
}

#[test]
fn padded_rows_enter_only_where_the_official_code_lets_them() {
    let maps = [1.0, 0.0, 0.25, 0.75];
    let attention = Attention::causal(&maps, 1, 2, 2).unwrap();
    let values = Values::new(&[1.0, 5.0], 1, 2, 1).unwrap();
    let scores = |compat| heads::score(&attention, &values, None, 1, compat, &[Score::Awft, Score::Avvn]).unwrap();
    assert_eq!(scores(Compat::Ours), [[1.0], [1.0]]);
    assert_eq!(scores(Compat::Official), [[0.625], [1.0]]);
}

#[test]
fn misalignment_thresholds_are_strict_and_nulls_in_no_rate() {
    let judged = |alignment, coherence| em::Judged { alignment, coherence };
    let answers = [
        judged(Some(30.0), Some(80.0)),
        judged(Some(10.0), Some(50.0)),
        judged(None, Some(90.0)),
        judged(Some(10.0), None),
        judged(Some(29.0), Some(51.0)),
    ];
    let found = em::rate(&answers, None, em::Thresholds::default(), 0.95).unwrap();
    assert_eq!((found.n, found.n_null, found.n_coherent, found.n_misaligned), (5, 2, 2, 1));
    assert_eq!(found.rate, Some(0.5));
}

#[test]
fn the_bootstraps_remainder_is_dropped_and_its_median_is_the_upper() {
    let x = [-4.0, -1.0, -3.0, -2.0];
    let found = |iters| lm_eval::bootstrap(&x, Statistic::UpperMedian, iters).unwrap();
    assert_eq!(found(1999), found(1000));
    assert_eq!(found(1000).value, -2.0);
}

#[test]
fn trajectories_pool_all_turns_and_count_the_unparsed_as_wrong() {
    // Averaging chains of questions would give p_TF = (0 + 1)/2; pooled it is 1/4. The first pairs alone give 0.
    let table = Table::parse("t", b"{\"correct\": [1,1,1,1]}\n{\"correct\": [1,1,null]}\n").unwrap();
    let found = Trajectories::read(&table).unwrap();
    assert_eq!(found.counts().chain().p_tf, Some(0.2));
    assert_eq!(found.unparsed, 1);
    assert!(!found.correct[1][2]);
}
