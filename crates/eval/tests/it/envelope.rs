//! Approach 1: the 24 published fits, and what goes wrong.

use ashlar_eval::{
    Table,
    law::{
        Envelope, EnvelopeMethod, Points, Resource,
        envelope::{Target, bucket_minima, hull},
    },
};

use crate::support::{self, assert_close};

/// Names of published fits and the table each comes from.
const VARIANTS: [(&str, &str); 5] = [
    ("", "hot_477"),
    ("_100b+", "hot_100b+_477"),
    ("_120b+_only", "hot_120b+_only_477"),
    ("_lr_ablation", "lr_ablation_hot_477"),
    ("_cooldown", "cool_end"),
];

fn table(name: &str) -> Option<Points> {
    let path = support::data(&format!("gemstones/wandb_dfs/wandb_df_for_fitting_{name}.jsonl"))?;
    Some(Points::read(&path, None).unwrap())
}

fn plain(csv: &str) -> Points {
    Points::new(Table::parse("t.csv", csv.as_bytes()).unwrap(), None)
}

fn fit(points: &Points, target: Target, no_embeds: bool) -> ashlar_eval::Result<Envelope> {
    Envelope::fit(points, Resource::Flops, target, no_embeds, EnvelopeMethod::Hull)
}

#[test]
fn all_24_published_fits() {
    let Some(folder) = support::data("gemstones/parameters") else { return };
    let mut seen = 0;
    for (suffix, name) in VARIANTS {
        let Some(points) = table(name) else { return };
        for (target, label) in
            [(Target::Params, "params"), (Target::Tokens, "tokens"), (Target::TokensPerParam, "tokens_per_param")]
        {
            for no_embeds in [false, true] {
                let embeds = if no_embeds { "_no_embeds" } else { "" };
                // Not every combination was published.
                let path = folder.join(format!("approach_1_linear_regression_{label}{suffix}{embeds}.json"));
                if !path.exists() {
                    continue;
                }
                let published: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                let envelope = fit(&points, target, no_embeds).unwrap();
                assert_close(envelope.coef, published["coef"][0].as_f64().unwrap(), 1e-9);
                assert_close(envelope.intercept, published["intercept"].as_f64().unwrap(), 1e-9);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 24);
}

#[test]
fn oracle_2() {
    let Some(points) = table("hot_477") else { return };
    let params = fit(&points, Target::Params, false).unwrap();
    assert_close(params.coef, 0.49938021608263, 1e-12);
    assert_close(params.intercept, -2.84510769607670, 1e-11);
    assert_eq!((params.points.len(), params.n_rows, params.runs), (21, 1100, Some((9, 22))));
    let tokens = fit(&points, Target::Tokens, false).unwrap();
    assert_close(tokens.coef, 0.48098882321292, 1e-12);
    assert_close(tokens.intercept, 1.89632082733278, 1e-11);
    let bucket = Envelope::fit(&points, Resource::Flops, Target::Params, false, EnvelopeMethod::Bucket(20)).unwrap();
    assert_close(bucket.coef, 0.51793343219056, 1e-12);
    assert_close(bucket.intercept, -3.76143634063602, 1e-11);
    let hours = Envelope::fit(&points, Resource::GpuHours, Target::Params, false, EnvelopeMethod::Hull).unwrap();
    assert_close(hours.coef, 0.4771709566829, 1e-12);
    assert_close(hours.intercept, 17.2923439746, 1e-11);
}

#[test]
fn the_exponent_depends_on_the_table() {
    let exponents: Vec<f64> = ["hot_100b+_477", "hot_477", "lr_ablation_hot_477", "cool_end", "hot_120b+_only_477"]
        .iter()
        .filter_map(|name| table(name))
        .map(|points| fit(&points, Target::Params, false).unwrap().coef)
        .collect();
    assert!(exponents.windows(2).all(|pair| pair[0] < pair[1]), "{exponents:?}");
}

#[test]
fn the_hull_is_taken_in_logs() {
    // (2, 7) lies below the line from (1, 10) to (10, 1), but above it in logs.
    assert_eq!(hull(&[1.0, 2.0, 10.0], &[10.0, 7.0, 1.0]), [0, 2]);
}

#[test]
fn a_point_is_held_against_the_hull_point_before_it_and_not_against_the_lowest_so_far() {
    // In logs: A (0, 4), B (1, 2), the peak U (2, 10) on the upper side, C (4, 2.1) below the peak, though above B.
    let points = [(0.0_f64, 4.0_f64), (1.0, 2.0), (2.0, 10.0), (4.0, 2.1)];
    let resource: Vec<f64> = points.iter().map(|p| p.0.exp()).collect();
    let loss: Vec<f64> = points.iter().map(|p| p.1.exp()).collect();
    assert_eq!(hull(&resource, &loss), [0, 1, 3]);
}

#[test]
fn the_order_of_rows_and_their_repetition_change_nothing() {
    let Some(points) = table("hot_477") else { return };
    let (spent, loss) = (points.resource(Resource::Flops).unwrap(), points.loss().unwrap());
    let once = hull(&spent, &loss);
    let twice = |x: &[f64]| x.iter().rev().chain(x).copied().collect::<Vec<_>>();
    let (spent2, loss2) = (twice(&spent), twice(&loss));
    let again = hull(&spent2, &loss2);
    let values = |rows: &[usize], x: &[f64]| rows.iter().map(|&row| x[row]).collect::<Vec<_>>();
    assert_eq!(values(&once, &spent), values(&again, &spent2));
    assert_eq!(values(&once, &loss), values(&again, &loss2));
}

#[test]
fn buckets_are_closed_on_the_right_and_the_first_on_the_left_too() {
    // Edges 1, 10, 100: 10 belongs to the first bucket, 1 to it as well.
    assert_eq!(bucket_minima(&[1.0, 10.0, 11.0, 100.0], &[5.0, 4.0, 3.0, 2.0], 2).unwrap(), [1, 3]);
    // 10^log10 of a number is often above it; its row must not get lost, and of equal losses the first counts.
    for i in 1..2000 {
        let low = f64::from(i) * 1.1e17;
        assert_eq!(bucket_minima(&[low, low * 1e3], &[2.0, 1.0], 20).unwrap(), [0, 1], "{low}");
    }
    assert_eq!(bucket_minima(&[1.0, 2.0, 100.0], &[3.0, 3.0, 1.0], 2).unwrap(), [0, 2]);
    assert!(bucket_minima(&[1.0, 2.0], &[1.0, 1.0], 0).is_err());
}

#[test]
fn both_embedding_matrices_go_here_and_one_in_the_parametric_fits() {
    let csv = "params,tokens,width,depth,loss\n543482880,1e9,1024,28,3\n";
    let points = plain(csv);
    assert_eq!(points.params_no_embeds(2).unwrap(), [440_460_288.0 + 0.0]);
    assert_eq!(points.params_no_embeds(1).unwrap(), [440_460_288.0 + 50304.0 * 1024.0]);
    let small = plain("params,tokens,width,depth,loss\n1e6,1e9,1024,28,3\n");
    let error = small.params_no_embeds(1).unwrap_err().to_string();
    assert_eq!(error, "t.csv, line 2 (row 1), column `params`: 1000000 less 1 × 50304 × 1024 is not above 0");
}

#[test]
fn rows_of_step_0_are_left_aside_and_counted_but_nothing_else_is() {
    let header = "params,tokens,width,depth,step,loss\n";
    let rows = "1e8,1e9,256,80,10,4\n1e8,2e9,256,80,20,3.5\n2e8,4e9,512,40,20,3.2\n4e8,9e9,768,45,30,3\n";
    let envelope = fit(&plain(&format!("{header}1e8,0,256,80,0,11\n{rows}")), Target::Params, false).unwrap();
    assert_eq!((envelope.n_rows, envelope.n_untrained), (4, 1));
    let error = fit(&plain(&format!("{header}{rows}1e8,0,256,80,5,11\n")), Target::Params, false).unwrap_err();
    assert_eq!(error.to_string(), "t.csv, line 6 (row 5), column `tokens`: 0 is not above 0");
}

#[test]
fn frontiers_that_are_none_are_refused() {
    let same = plain("params,tokens,flops,loss\n1e8,1e9,1e18,3\n1e8,1e9,1e18,2\n1e8,1e9,1e18,4\n");
    let error = fit(&same, Target::Params, false).unwrap_err().to_string();
    assert_eq!(error, "every row of t.csv has flops = 1e18: a frontier needs several budgets");
    let two = plain("params,tokens,flops,loss\n1e8,1e9,1e18,3\n2e8,2e9,1e19,2\n");
    let error = fit(&two, Target::Params, false).unwrap_err().to_string();
    assert_eq!(error, "rows of t.csv on the frontier: 2, at least 3 are needed");
}

#[test]
fn overspending_is_measured_against_the_frontier() {
    let csv = "params,tokens,flops,loss\n1e8,1e9,1e18,4\n2e8,2e9,1e19,3\n4e8,4e9,1e20,2.5\n1e8,1e10,1e20,3\n";
    let envelope = fit(&plain(csv), Target::Params, false).unwrap();
    assert_close(envelope.overspend(1e20, 3.0).unwrap(), 900.0, 1e-12);
    assert_close(envelope.overspend(1e18, 4.0).unwrap() + 1.0, 1.0, 1e-12);
    // Half-way in both logs.
    let loss = (4.0_f64 * 3.0).sqrt();
    assert_close(envelope.overspend(1e18 * 10_f64.sqrt() * 2.0, loss).unwrap(), 100.0, 1e-9);
    assert_eq!(envelope.overspend(1e20, 2.4), None);
}
