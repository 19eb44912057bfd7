//! Partitions: every example exactly once, whatever the arguments.

use ashlar_data::partition::{Partition, split, summary};
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Partition> {
    prop_oneof![
        Just(Partition::Iid),
        (1usize..4).prop_map(|classes_per_client| Partition::ByClass { classes_per_client }),
        (0.001f64..50.0).prop_map(|alpha| Partition::Dirichlet { alpha }),
        (0.001f64..50.0).prop_map(|alpha| Partition::DirichletClient { alpha }),
        Just(Partition::Natural),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_example_goes_to_exactly_one_client(
        labels in prop::collection::vec(0u32..7, 0..300), clients in 1usize..60, kind in kinds(), seed in any::<u64>(),
    ) {
        let groups: Vec<u32> = (0..labels.len() as u32).map(|index| index % 13).collect();
        let Ok(parts) = split(&labels, Some(&groups), clients, &kind, seed) else {
            // Only these two have preconditions.
            let limited = matches!(kind, Partition::ByClass { .. } | Partition::Natural);
            prop_assert!(limited);
            return Ok(());
        };
        prop_assert_eq!(parts.len(), clients);
        prop_assert!(parts.iter().all(|part| part.is_sorted_by(|a, b| a < b)));
        let mut all = parts.concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
        prop_assert_eq!(&parts, &split(&labels, Some(&groups), clients, &kind, seed).unwrap());
        if matches!(kind, Partition::Iid | Partition::DirichletClient { .. }) {
            let summary = summary(&parts, &labels);
            prop_assert!(summary.largest - summary.smallest <= 1);
        }
    }
}

/// Class sizes like MNIST's: 8,000 examples.
fn uneven_labels() -> Vec<u32> {
    let sizes = [784, 905, 826, 806, 786, 723, 765, 824, 780, 801];
    let mut labels: Vec<u32> = (0u32..).zip(sizes).flat_map(|(class, size)| vec![class; size]).collect();
    labels.rotate_left(1234);
    labels
}

#[test]
fn sixteen_hundred_clients_hold_five_images_of_one_class() {
    let labels = uneven_labels();
    assert_eq!(labels.len(), 8_000);
    let parts = split(&labels, None, 1_600, &Partition::ByClass { classes_per_client: 1 }, 0).unwrap();
    let summary = summary(&parts, &labels);
    assert_eq!((summary.mean_classes, summary.empty.len()), (1.0, 0));
    assert!(summary.smallest >= 4 && summary.largest <= 6, "{summary:?}");
    let five = parts.iter().filter(|part| part.len() == 5).count();
    assert!(five > 1_500, "{five} clients of 1,600 have exactly five");
}

#[test]
fn two_classes_a_client_are_two_classes() {
    let labels = uneven_labels();
    let parts = split(&labels, None, 100, &Partition::ByClass { classes_per_client: 2 }, 0).unwrap();
    assert_eq!(summary(&parts, &labels).mean_classes, 2.0);
}

#[test]
fn alpha_orders_the_skew_of_both_dirichlet_definitions() {
    let labels = uneven_labels();
    let classes =
        |partition: Partition| summary(&split(&labels, None, 100, &partition, 5).unwrap(), &labels).mean_classes;
    let major = [0.05, 0.5, 100.0].map(|alpha| classes(Partition::Dirichlet { alpha }));
    let client = [0.05, 0.5, 100.0].map(|alpha| classes(Partition::DirichletClient { alpha }));
    // Not 10: the last clients of the client-major form find classes used up.
    for by_alpha in [major, client] {
        assert!(by_alpha.is_sorted() && by_alpha[0] < 4.0 && by_alpha[2] > 9.5, "{by_alpha:?}");
    }
}

/// Class-major: a client's share of a class is Beta(α, (N − 1)·α), whose variance is (N − 1) / (N²·(N·α + 1)).
#[test]
fn class_major_shares_have_the_variance_of_the_dirichlet() {
    let (n, alpha) = (10usize, 0.9);
    let labels = vec![0; 2_000];
    let mut squares = 0.0;
    for seed in 0..300 {
        for part in split(&labels, None, n, &Partition::Dirichlet { alpha }, seed).unwrap() {
            squares += (part.len() as f64 / 2_000.0 - 1.0 / n as f64).powi(2);
        }
    }
    let (found, n) = (squares / 3_000.0, n as f64);
    let expected = (n - 1.0) / (n * n * (n * alpha + 1.0));
    assert!((found / expected - 1.0).abs() < 0.12, "{found} {expected}");
}

#[test]
fn tiny_alpha_neither_underflows_nor_loses_examples() {
    let labels = uneven_labels();
    for partition in [Partition::Dirichlet { alpha: 1e-6 }, Partition::DirichletClient { alpha: 1e-6 }] {
        assert_eq!(split(&labels, None, 50, &partition, 1).unwrap().concat().len(), 8_000);
    }
}

#[test]
fn natural_gives_each_group_to_one_client() {
    let labels = [0; 12];
    let groups = [5, 5, 7, 9, 9, 9, 7, 5, 2, 2, 2, 2];
    let parts = split(&labels, Some(&groups), 4, &Partition::Natural, 0).unwrap();
    assert_eq!(parts, [vec![8, 9, 10, 11], vec![0, 1, 7], vec![2, 6], vec![3, 4, 5]]);
    let two = split(&labels, Some(&groups), 2, &Partition::Natural, 0).unwrap();
    for group in [2, 5, 7, 9] {
        let holders = two.iter().filter(|part| part.iter().any(|&index| groups[index as usize] == group)).count();
        assert_eq!(holders, 1);
    }
}

#[test]
fn wrong_arguments_say_what_works() {
    let message = |result: ashlar_data::Result<Vec<Vec<u32>>>| {
        let error = result.unwrap_err();
        assert!(error.is_input());
        error.to_string()
    };
    let labels = [0, 1, 2];
    assert_eq!(message(split(&labels, None, 0, &Partition::Iid, 0)), "`clients`: 0 clients; say 1 or more");
    for clients in [(1 << 24) + 1, 1_000_000_000_000, usize::MAX] {
        assert!(message(split(&labels, None, clients, &Partition::Iid, 0)).contains("at most 16777216"));
    }
    assert!(message(split(&labels, None, 2, &Partition::ByClass { classes_per_client: 1 }, 0)).contains("3 classes"));
    assert!(message(split(&labels, None, 2, &Partition::ByClass { classes_per_client: 0 }, 0)).contains("1 or more"));
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(message(split(&labels, None, 2, &Partition::Dirichlet { alpha }, 0)).contains("above 0"));
    }
    assert!(message(split(&labels, None, 2, &Partition::Natural, 0)).contains("who made each example"));
    assert!(message(split(&labels, Some(&[0, 0, 1]), 3, &Partition::Natural, 0)).contains("2 groups"));
    let known = Partition::from_name("by-clas", 1.0, 1).unwrap_err().to_string();
    assert!(known.contains("by_class"), "{known}");
    // Labels near 2³² must not make a table of that length.
    assert_eq!(split(&[u32::MAX, 3], None, 2, &Partition::Dirichlet { alpha: 1.0 }, 0).unwrap().concat().len(), 2);
}

#[test]
fn partitions_read_from_toml_by_name() {
    let read = |text: &str| toml::from_str::<Partition>(text);
    assert_eq!(read("kind = 'dirichlet'\nalpha = 0.3").unwrap(), Partition::Dirichlet { alpha: 0.3 });
    assert_eq!(read("kind = 'by_class'").unwrap(), Partition::ByClass { classes_per_client: 1 });
    assert!(read("kind = 'dirichlet'\nalhpa = 0.3").is_err());
    for name in Partition::NAMES {
        assert_eq!(Partition::from_name(name, 0.5, 1).unwrap().name(), name);
    }
}
