//! The procedural sets: the same for everybody, and worth learning.

use ashlar_data::{DataSpec, load, load_text};
use sha2::{Digest, Sha256};

#[path = "../../examples/net/mod.rs"]
mod net;

#[test]
fn an_mlp_learns_the_pictures_and_a_linear_model_does_not() {
    let split = load(&DataSpec { train: Some(6_000), ..DataSpec::default() }).unwrap();
    let commonest = *split.test.class_counts().iter().max().unwrap() as f64 / split.test.len() as f64;
    assert!(commonest <= 0.15);
    let [linear, mlp] = [0, 64].map(|hidden| {
        let mut net = net::Net::new(hidden, split.train.example_len(), 10);
        for epoch in 0..10 {
            net.epoch(&split.train, 0, epoch, 0.01 * (1.0 - epoch as f32 / 10.0)).unwrap();
        }
        net.accuracy(&split.test)
    });
    println!("linear {linear:.3}, MLP with 64 hidden units {mlp:.3}");
    assert!((0.80..=0.97).contains(&mlp) && linear + 0.05 <= mlp, "linear {linear}, MLP {mlp}");
}

#[test]
fn pictures_are_the_same_on_every_machine_and_a_prefix_of_a_larger_set() {
    let spec = DataSpec { train: Some(300), test: Some(50), ..DataSpec::default() };
    let small = load(&spec).unwrap();
    let hash = small.train.labels().iter().enumerate().fold(Sha256::new(), |hash, (index, label)| {
        hash.chain_update(small.train.image_u8(index).unwrap()).chain_update(label.to_le_bytes())
    });
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!(hash, @"c7f837474e46e51b80067ffe384b5ecd0b12c2f8c2841d32c99277b286212512");
    let large = load(&DataSpec { train: Some(900), test: Some(50), ..DataSpec::default() }).unwrap();
    assert_eq!(large.train.subset(&(0..300).collect::<Vec<_>>()), small.train);
    assert_eq!(large.test, small.test);
    let other = load(&DataSpec { seed: 1, ..spec }).unwrap();
    assert_ne!(other.train, small.train);
}

#[test]
fn validation_comes_on_top_of_the_training_part() {
    let spec = DataSpec { train: Some(100), validation: Some(30), test: Some(20), ..DataSpec::default() };
    let split = load(&spec).unwrap();
    let sizes = (split.train.len(), split.validation.map(|set| set.len()), split.test.len());
    assert_eq!(sizes, (100, Some(30), 20));
}

#[test]
fn standardised_pictures_have_mean_0_and_deviation_1() {
    let spec = DataSpec { train: Some(200), test: Some(20), standardise: true, ..DataSpec::default() };
    let batch = load(&spec).unwrap().train.batch(&(0..200).collect::<Vec<_>>());
    let mean = batch.iter().sum::<f32>() / batch.len() as f32;
    let variance = batch.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / batch.len() as f32;
    assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
}

#[test]
fn texts_have_users_and_depend_on_the_seed() {
    let spec = DataSpec {
        name: "procedural-text".into(),
        groups: Some(5),
        train: Some(50),
        test: Some(10),
        ..DataSpec::default()
    };
    let split = load_text(&spec).unwrap();
    assert_eq!((split.train.len(), split.test.len(), split.train.group_names().len()), (50, 10, 5));
    assert_eq!(load_text(&spec).unwrap().train, split.train);
    assert_ne!(load_text(&DataSpec { seed: 1, ..spec }).unwrap().train, split.train);
}
