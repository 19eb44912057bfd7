//! Geometry and cost of the Gemstones models (oracle 5).

use std::collections::BTreeMap;

use ashlar_eval::{
    Table,
    law::{
        Shape,
        shape::{SEQ_LEN, VOCAB, flops_per_token, relaxed_params},
    },
};

use crate::support;

#[test]
fn two_published_shapes() {
    let wide = Shape::new(1024, 28).unwrap();
    assert_eq!((wide.params, wide.params_no_embeds), (543_482_880, 440_460_288));
    assert_eq!(wide.flops_per_token, 3_578_148_864.0);
    let deep = Shape::new(256, 80).unwrap();
    assert_eq!((deep.params, deep.flops_per_token), (104_440_064, 996_737_280.0));
    // Not six times the parameters.
    assert!(wide.flops_per_token > 1.09 * wide.flops_per_token_6n);
    assert!(deep.flops_per_token > 1.5 * deep.flops_per_token_6n);
}

#[test]
fn every_model_of_the_suite_has_the_parameters_that_its_table_says() {
    let Some(path) = support::data("gemstones/wandb_dfs/wandb_df_for_fitting_hot_100b+.jsonl") else { return };
    let table = Table::read(&path).unwrap();
    let column = |name| table.column_f64(name).unwrap();
    let models: BTreeMap<(u64, u64), u64> = column("width")
        .into_iter()
        .zip(column("depth"))
        .zip(column("params_active_precise"))
        .map(|((w, d), n)| ((w as u64, d as u64), n as u64))
        .collect();
    assert_eq!(models.len(), 22);
    for ((width, depth), params) in models {
        assert_eq!(Shape::new(width, depth).unwrap().params, params, "{width}×{depth}");
    }
}

#[test]
fn whole_heads_make_the_relaxed_count_exact() {
    for (width, depth) in [(256, 80), (512, 13), (1024, 28), (2048, 5)] {
        let shape = Shape::new(width, depth).unwrap();
        let relaxed = relaxed_params(width as f64, depth as f64, VOCAB as f64);
        support::assert_close(relaxed, shape.params as f64, 1e-12);
        let flops = flops_per_token(width as f64, depth as f64, VOCAB as f64, SEQ_LEN as f64);
        assert_eq!(flops, shape.flops_per_token);
    }
}

#[test]
fn shapes_that_cannot_be_are_refused() {
    for (width, depth, vocab, seq) in [
        (127, 1, 1, 1),
        (128, 0, 1, 1),
        (128, 1, 0, 1),
        (128, 1, 1, 0),
        (u64::MAX, 1, 1, 1),
        (1_000_000_000, 1_000_000_000, 1, 1),
    ] {
        assert!(Shape::with(width, depth, vocab, seq).is_err(), "{width} {depth} {vocab} {seq}");
    }
    assert!(Shape::with(128, 1, 1, 1).is_ok());
}
