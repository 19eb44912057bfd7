//! Samplers: statistics against closed forms, purity, resumption.

use ashlar_data::sampler::{EpochExhaust, Poisson, Shuffled, Stratified, Uniform, eligible};

#[test]
fn uniform_takes_each_client_equally_often_and_none_twice() {
    let sampler = Uniform::new((100..200).collect(), 10, 3).unwrap();
    let mut counts = [0u32; 100];
    let rounds = 5_000;
    for round in 0..rounds {
        let clients = sampler.round(round);
        assert!(clients.len() == 10 && clients.is_sorted_by(|a, b| a < b));
        clients.iter().for_each(|&client| counts[client as usize - 100] += 1);
    }
    // Binomial(5,000, 0.1): mean 500, standard deviation 21.2; 5 of them cover 100 clients.
    assert!(counts.iter().all(|count| count.abs_diff(500) < 106), "{counts:?}");
    assert_eq!(sampler.round(7), Uniform::new((100..200).collect(), 10, 3).unwrap().round(7));
    assert_ne!(sampler.round(7), sampler.round(8));
}

#[test]
fn poisson_sizes_have_the_mean_and_variance_of_the_binomial() {
    let sampler = Poisson::new(1_000, 0.05, 1).unwrap();
    let sizes: Vec<f64> = (0..4_000).map(|round| sampler.round(round).len() as f64).collect();
    let mean = sizes.iter().sum::<f64>() / 4_000.0;
    let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / 3_999.0;
    // Standard errors: √(47.5 / 4,000) = 0.109 and 47.5·√(2 / 4,000) = 1.06.
    assert!((mean - 50.0).abs() < 0.55 && (variance - 47.5).abs() < 5.4, "{mean} {variance}");
    assert_eq!(Poisson::new(9, 1.0, 0).unwrap().round(0), (0..9).collect::<Vec<_>>());
    for rate in [0.0, -0.1, 1.5, f64::NAN] {
        assert!(Poisson::new(9, rate, 0).unwrap_err().to_string().contains("(0, 1]"));
    }
}

#[test]
fn shuffled_epochs_hold_every_index_once() {
    let sampler = Shuffled::new(23, 5, 0).unwrap();
    let batches = sampler.epoch(4);
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
    let mut all = batches.concat();
    all.sort_unstable();
    assert_eq!(all, (0..23).collect::<Vec<_>>());
    assert_ne!(sampler.epoch(4), sampler.epoch(5));
}

#[test]
fn stratified_batches_keep_the_classes_shares() {
    let labels: Vec<u32> = (0..1_000).map(|index| if index % 10 < 7 { 0 } else { 1 + index % 2 }).collect();
    let sampler = Stratified::new(&labels, 20, 9).unwrap();
    let mut seen = vec![false; 1_000];
    for round in 0..2_000 {
        let batch = sampler.round(round);
        let counts = [0, 1, 2].map(|class| batch.iter().filter(|&&index| labels[index as usize] == class).count());
        assert_eq!(counts, [14, 2, 4]);
        batch.iter().for_each(|&index| seen[index as usize] = true);
    }
    assert!(seen.iter().all(|&seen| seen));
    assert!(Stratified::new(&labels, 1_001, 0).is_err() && Stratified::new(&labels, 0, 0).is_err());
}

fn federation() -> Vec<Vec<u32>> {
    let mut next = 0;
    let sizes = [5, 0, 3, 12, 1, 7];
    sizes
        .iter()
        .map(|&size| {
            next += size;
            (next - size..next).collect()
        })
        .collect()
}

#[test]
fn an_epoch_uses_every_example_once_and_skips_empty_clients() {
    assert_eq!(eligible(&federation()), [0, 2, 3, 4, 5]);
    let mut sampler = EpochExhaust::new(federation(), 2, Some(4), 11).unwrap();
    for epoch in 0..3 {
        let mut used = Vec::new();
        while used.len() < 28 {
            let draws = sampler.next_round();
            assert_eq!(sampler.state().epoch, epoch);
            assert!(draws.len() <= 2 && draws.is_sorted_by(|a, b| a.client < b.client));
            for draw in draws {
                assert!((1..=4).contains(&draw.examples.len()) && draw.client != 1);
                used.extend(draw.examples);
            }
        }
        used.sort_unstable();
        assert_eq!(used, (0..28).collect::<Vec<_>>());
    }
}

#[test]
fn a_saved_state_goes_on_as_if_nothing_had_happened() {
    let mut undisturbed = EpochExhaust::new(federation(), 2, Some(4), 11).unwrap();
    for _ in 0..5 {
        undisturbed.next_round();
    }
    let saved = serde_json::to_string(undisturbed.state()).unwrap();
    let mut resumed = EpochExhaust::new(federation(), 2, Some(4), 11).unwrap();
    resumed.restore(serde_json::from_str(&saved).unwrap()).unwrap();
    for _ in 0..20 {
        assert_eq!(undisturbed.next_round(), resumed.next_round());
    }
    let mut state = undisturbed.state().clone();
    state.used[0] = 6;
    assert!(resumed.restore(state.clone()).unwrap_err().to_string().contains("6 of 5"));
    state.used.pop();
    assert!(resumed.restore(state).is_err());
}

/// FetchSGD's setting: 1,600 clients whose whole data is one batch, 100 a round, are through in 16 rounds.
#[test]
fn whole_client_batches_make_sixteen_rounds_an_epoch() {
    let parts: Vec<Vec<u32>> = (0..1_600).map(|client| (client * 5..client * 5 + 5).collect()).collect();
    let mut sampler = EpochExhaust::new(parts, 100, None, 0).unwrap();
    assert_eq!(sampler.rounds_per_epoch(), 16);
    let clients: std::collections::BTreeSet<u32> =
        (0..16).flat_map(|_| sampler.next_round()).map(|draw| draw.client).collect();
    assert_eq!((clients.len(), sampler.state().epoch), (1_600, 0));
    sampler.next_round();
    assert_eq!(sampler.state().epoch, 1);
}

#[test]
fn more_clients_a_round_than_hold_examples_are_refused_with_both_numbers() {
    let message = EpochExhaust::new(federation(), 6, None, 0).unwrap_err().to_string();
    assert_eq!(message, "`per_round`: 6 clients a round, but only 5 clients hold examples");
    assert!(Uniform::new(vec![1, 2], 0, 0).is_err() && Uniform::new(vec![1, 2], 3, 0).is_err());
}
