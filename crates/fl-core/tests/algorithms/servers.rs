//! Trajectories: the lossless limits, SparseFed's two rounds, and the independent program's rounds, exactly.

use ashlar_fl_core::exact::{self, Divisor, Reduction};
use ashlar_fl_core::fetchsgd::{FetchSgd, Variant, reduce_sketched};
use ashlar_fl_core::local_topk::Compressor;
use ashlar_fl_core::momentum::MomentumServer;
use ashlar_fl_core::server::ErrorFeedback;
use ashlar_fl_core::sparsefed::{SparseFed, clip_l2};
use ashlar_fl_core::true_topk::TrueTopk;
use ashlar_fl_core::{CountSketch, Lr, Mode, RoundReport, ServerAlgo, Update};

use crate::{close, fixture, floats32, gradient, indices, mean, noise, sketch};

const D: usize = 64;

/// Half the squared distance to 1, weighted by 1/i.
fn quadratic(server: &mut dyn ServerAlgo, rounds: usize) -> (Vec<f32>, f64) {
    let h: Vec<f32> = (1..=D).map(|i| 1.0 / i as f32).collect();
    let mut w = vec![0.0f32; D];
    for _ in 0..rounds {
        let g = w.iter().zip(&h).map(|(w, h)| h * (w - 1.0)).collect();
        server.step(&mean(g), Lr::Scalar(0.5), &mut w).unwrap();
    }
    let loss = w.iter().zip(&h).map(|(w, h)| 0.5 * f64::from(*h) * (f64::from(*w) - 1.0).powi(2)).sum();
    (w, loss)
}

/// A shape in which no two of the 64 coordinates share a cell of any row.
fn collision_free(rows: u32) -> ashlar_fl_core::SketchConfig {
    (0..100)
        .map(|seed| sketch(D as u64, rows, 1 << 16, seed))
        .find(|config| {
            let sketch = CountSketch::new(*config).unwrap();
            (0..rows).all(|row| {
                let mut cells: Vec<u64> = (0..D as u64).map(|i| sketch.place(row, i).unwrap().0).collect();
                cells.sort_unstable();
                cells.dedup();
                cells.len() == D
            })
        })
        .unwrap()
}

/// Oracle 6.
#[test]
fn without_collisions_paper_is_momentum_sgd_and_code_plain_sgd() {
    let expected = fixture();
    for rows in [1, 3] {
        let server = |variant| FetchSgd::new(collision_free(rows), D, 0.9, variant).unwrap();
        let (paper, paper_loss) = quadratic(&mut server(Variant::Paper), 50);
        let (code, code_loss) = quadratic(&mut server(Variant::Code), 50);
        let (momentum, _) = quadratic(&mut MomentumServer::new(Mode::Uncompressed, D, 0.9).unwrap(), 50);
        let (plain, _) = quadratic(&mut MomentumServer::new(Mode::Uncompressed, D, 0.0).unwrap(), 50);
        assert_eq!(code, plain);
        // Paper's w moves by η·V like momentum SGD's; the product is rounded in the table, so equal here too.
        assert_eq!(paper, momentum);
        for (loss, spec, name) in [(paper_loss, 0.007_619_24, "paper"), (code_loss, 0.160_425_52, "code")] {
            assert!((loss - spec).abs() < 5e-7, "{name}: {loss}");
            assert!((loss - expected["lossless"][name].as_f64().unwrap()).abs() < 5e-7, "{name}: {loss}");
        }
    }
}

/// Runs the fixture's rounds of two clients with 1 and 3 examples.
fn replay(name: &str, server: &mut dyn ServerAlgo, round: impl Fn(u64) -> Vec<Update>) -> Vec<RoundReport> {
    let expected = &fixture()[name];
    let d = expected["d"].as_u64().unwrap() as usize;
    let lr = expected["lr"].as_f64().unwrap() as f32;
    for exact in [true, false] {
        let mut w = vec![0.0; d];
        let how = Reduction { exact, ..Reduction::default() };
        let state = server.save();
        for t in 0..expected["rounds"].as_u64().unwrap() {
            let aggregate = exact::reduce(&round(t), d, &how).unwrap();
            server.step(&aggregate, Lr::Scalar(lr), &mut w).unwrap();
        }
        assert_eq!(w, floats32(&expected["w"]), "exact {exact}");
        server.load(&state).unwrap();
    }
    let mut w = vec![0.0; d];
    (0..expected["rounds"].as_u64().unwrap())
        .map(|t| {
            let aggregate = exact::reduce(&round(t), d, &Reduction::default()).unwrap();
            let report = server.step(&aggregate, Lr::Scalar(lr), &mut w).unwrap();
            if let Some(delta) = &report.delta {
                let support: Vec<u32> = delta.iter().filter(|(_, v)| *v != 0.0).map(|(i, _)| i).collect();
                assert_eq!(support, indices(&expected["supports"][t as usize]), "round {t}");
            }
            report
        })
        .collect()
}

fn two_clients(t: u64, d: u64) -> Vec<Update> {
    vec![Update::gradient(0, 1, gradient(t, 0, d)), Update::gradient(1, 3, gradient(t, 1, d))]
}

#[test]
fn fetchsgd_matches_the_independent_program() {
    for (name, variant) in [("fetchsgd_code", Variant::Code), ("fetchsgd_paper", Variant::Paper)] {
        let expected = &fixture()[name];
        let at = |key: &str| expected[key].as_u64().unwrap();
        let config = sketch(at("d"), at("rows") as u32, at("cols"), at("seed"));
        let mut server = FetchSgd::new(config, at("k") as usize, 0.5, variant).unwrap();
        let reports = replay(name, &mut server, |t| two_clients(t, at("d")));
        let masked: Vec<f64> = reports.iter().filter_map(|report| report.masked_fraction).collect();
        assert_eq!(masked, crate::floats(&expected["masked_fraction"]));
    }
}

#[test]
fn true_topk_matches_the_independent_program() {
    let mut server = TrueTopk::new(50, 7, 0.5).unwrap();
    replay("true_topk", &mut server, |t| two_clients(t, 50));
}

#[test]
fn local_topk_matches_the_independent_program() {
    let client = Compressor::new(50, 7, 0.5, ErrorFeedback::Local).unwrap();
    let rounds = fixture()["local_topk"]["rounds"].as_u64().unwrap();
    let mut states = [client.fresh(), client.fresh()];
    assert_eq!(states[0].bytes(), 2 * 50 * 4);
    let mut sent = Vec::new();
    for t in 0..rounds {
        let mut update =
            |c: usize, n| client.compress(&mut states[c], c as u32, n, &gradient(t, c as u64, 50)).unwrap();
        sent.push(vec![update(0, 1), update(1, 3)]);
    }
    let mut server = MomentumServer::new(Mode::LocalTopk, 50, 0.0).unwrap();
    replay("local_topk", &mut server, |t| sent[t as usize].clone());
}

/// Oracle 9.
#[test]
fn sparsefed_two_rounds() {
    let mut server = SparseFed::new(5, 2, 0.0, Some(0.1)).unwrap();
    let mut w = vec![0.0; 5];
    let spec = [
        ([0.493_197, 0.2, 0.0, 0.0, 0.0], [0.0, 0.0, 0.15, 0.082_199, 0.0]),
        ([0.0, 0.4, 0.0, 0.0, 0.45], [0.05, 0.0, 0.3, 0.182_199, 0.0]),
    ];
    for (round, (delta, e)) in fixture()["sparsefed"].as_array().unwrap().iter().zip(spec) {
        let updates: Vec<Update> = (0..2)
            .map(|client| {
                let mut values = floats32(&round["updates"][client]);
                clip_l2(&mut values, 1.0);
                // Different numbers of examples: they must not count.
                Update::gradient(client as u32, 1 + 9 * client as u64, values).unweighted()
            })
            .collect();
        let aggregate = exact::reduce(&updates, 5, &SparseFed::reduction(2, true)).unwrap();
        let report = server.step(&aggregate, Lr::Scalar(1.0), &mut w).unwrap();
        let found = report.delta.unwrap().to_dense();
        close(&found, &delta, 1e-6);
        close(&found, &crate::floats(&round["delta"]), 1e-7);
        close(server.error(), &e, 1e-6);
        close(server.error(), &crate::floats(&round["e"]), 1e-7);
        assert!(report.certificate.is_some());
    }
    close(&w, &[-0.493_197, -0.6, 0.0, 0.0, -0.45], 1e-6);
}

#[test]
fn a_dropped_client_leaves_sparsefeds_slot_empty() {
    let updates =
        [Update::gradient(0, 1, vec![1.0, 0.0]).unweighted(), Update::gradient(1, 1, vec![f32::NAN, 0.0]).unweighted()];
    let aggregate = exact::reduce(&updates, 2, &SparseFed::reduction(2, true)).unwrap();
    assert_eq!(aggregate.dense().unwrap().as_ref(), [0.5, 0.0]);
    assert_eq!((aggregate.clients, aggregate.dropped_nonfinite), (1, 1));
    let by_weight = Reduction { divisor: Divisor::Weights, ..Reduction::default() };
    assert_eq!(exact::reduce(&updates, 2, &by_weight).unwrap().dense().unwrap().as_ref(), [1.0, 0.0]);
}

/// Oracle 4 through the server: sketching each client and merging is sketching the aggregate.
#[test]
fn sketching_clients_is_sketching_their_sum() {
    let config = sketch(5000, 5, 700, 42);
    let updates: Vec<Update> =
        (0..20u32).map(|c| Update::gradient(c, 1 + u64::from(c) % 7, noise(u64::from(c), 5000))).collect();
    for variant in [Variant::Code, Variant::Paper] {
        let run = |exact: bool, per_client: bool| {
            let how = Reduction { exact, ..Reduction::default() };
            let mut server = FetchSgd::new(config, 50, 0.9, variant).unwrap();
            let mut w = vec![0.0f32; 5000];
            for _ in 0..4 {
                let aggregate = if per_client {
                    reduce_sketched(&updates, &config, &how, None).unwrap()
                } else {
                    exact::reduce(&updates, 5000, &how).unwrap()
                };
                server.step(&aggregate, Lr::Scalar(0.1), &mut w).unwrap();
            }
            (w, server.save())
        };
        // In fixed point the same bits, in f32 the same up to rounding.
        assert_eq!(run(true, true), run(true, false));
        let (a, b) = (run(false, true).1, run(true, false).1);
        for (a, b) in a[0].1.iter().zip(&b[0].1) {
            assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{a} {b}");
        }
    }
}

#[test]
fn a_learning_rate_a_coordinate_multiplies_after_unsketching() {
    let lr: Vec<f32> = (0..64).map(|i| if i < 32 { 0.5 } else { 0.25 }).collect();
    let g: Vec<f32> = (0..64).map(|i| i as f32 - 31.5).collect();
    let mut w = vec![0.0; 64];
    let mut server = FetchSgd::new(collision_free(3), 64, 0.0, Variant::Code).unwrap();
    server.step(&mean(g.clone()), Lr::PerCoordinate(&lr), &mut w).unwrap();
    let expected: Vec<f32> = g.iter().zip(&lr).map(|(g, lr)| -lr * g).collect();
    assert_eq!(w, expected);
    let mut paper = FetchSgd::new(collision_free(3), 64, 0.0, Variant::Paper).unwrap();
    assert!(paper.step(&mean(g), Lr::PerCoordinate(&lr), &mut w).unwrap_err().is_input());
}

#[test]
fn deltas_and_gradients_move_the_weights_the_same_way() {
    let gradients = two_clients(0, 64);
    let deltas: Vec<Update> = gradients
        .iter()
        .map(|u| Update::delta(u.client, u.weight as u64, u.values.sent().iter().map(|x| -x).collect()))
        .collect();
    let servers: [fn() -> Box<dyn ServerAlgo>; 3] = [
        || Box::new(FetchSgd::new(sketch(64, 3, 50, 1), 8, 0.9, Variant::Code).unwrap()),
        || Box::new(TrueTopk::new(64, 8, 0.9).unwrap()),
        || Box::new(MomentumServer::new(Mode::Uncompressed, 64, 0.9).unwrap()),
    ];
    for server in servers {
        let run = |updates: &[Update]| {
            let mut w = vec![1.0; 64];
            let aggregate = exact::reduce(updates, 64, &Reduction::default()).unwrap();
            server().step(&aggregate, Lr::Scalar(0.5), &mut w).unwrap();
            w
        };
        assert_eq!(run(&gradients), run(&deltas));
    }
}

#[test]
fn weight_decay_is_applied_once_whatever_the_examples() {
    let w = vec![2.0f32; 64];
    for n in [1, 50] {
        let updates = [Update::gradient(0, n, vec![0.0; 64]), Update::gradient(1, n, vec![0.0; 64])];
        let mut dense = exact::reduce(&updates, 64, &Reduction::default()).unwrap();
        dense.add_weight_decay(0.1, &w).unwrap();
        assert_eq!(dense.dense().unwrap().as_ref(), vec![0.2f32; 64]);
        // The planted mistake: decay/W at each client, divided by the examples, shrinks with them.
        let mut sketched = reduce_sketched(&updates, &collision_free(3), &Reduction::default(), None).unwrap();
        sketched.add_weight_decay(0.1, &w).unwrap();
        let found = sketched.sketched(&collision_free(3)).unwrap().unsketch(64).unwrap().to_dense();
        assert_eq!(found, vec![0.2f32; 64]);
    }
}
