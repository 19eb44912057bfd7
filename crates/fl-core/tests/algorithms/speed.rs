//! Milliseconds of the steps that a round waits for, at d = 50,890 and W = 100. Run with `--ignored --nocapture`.

use std::time::Instant;

use ashlar_fl_core::aggregate::{Aggregator, Krum, Median, UpdateMatrix};
use ashlar_fl_core::bytes::Accountant;
use ashlar_fl_core::exact::{self, Reduction};
use ashlar_fl_core::{Lr, Mode, ServerSpec, Update};

use crate::noise;

fn best(name: &str, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:<28} {:>8.2} ms", best * 1e3);
}

#[test]
#[ignore = "a measurement"]
fn milliseconds() {
    let d = 50_890;
    let updates: Vec<Update> = (0..100).map(|c| Update::gradient(c, 5, noise(u64::from(c), d))).collect();
    for exact in [true, false] {
        let how = Reduction { exact, ..Reduction::default() };
        best(&format!("reduce, exact = {exact}"), || drop(exact::reduce(&updates, d, &how).unwrap()));
    }
    let aggregate = exact::reduce(&updates, d, &Reduction::default()).unwrap();
    for mode in Mode::ALL {
        let spec = ServerSpec { k: 500, cols: 4000, certify_radius: Some(0.1), ..ServerSpec::new(mode, d) };
        let mut server = spec.build().unwrap();
        let mut w = vec![0.0; d];
        best(server.name(), || drop(server.step(&aggregate, Lr::Scalar(0.1), &mut w).unwrap()));
    }
    let rows: Vec<&[f32]> = updates.iter().map(|u| u.values.sent()).collect();
    best("screening of a matrix", || drop(UpdateMatrix::new(&rows, &[1.0; 100]).unwrap()));
    let matrix = UpdateMatrix::new(&rows, &[1.0; 100]).unwrap();
    best("median", || drop(Median.aggregate(&matrix, 0).unwrap()));
    best("krum", || drop(Krum.aggregate(&matrix, 20).unwrap()));
    let mut accountant = Accountant::new(d, 1600);
    let mut w = vec![0.0f32; d];
    for round in 0..40u32 {
        let next: Vec<f32> = w
            .iter()
            .enumerate()
            .map(|(i, w)| if (i as u32 * 7 + round).is_multiple_of(101) { w + 1.0 } else { *w })
            .collect();
        let clients: Vec<u32> = (0..100).map(|j| (round * 37 + j * 16) % 1600).collect();
        accountant.download(round, &clients).unwrap();
        accountant.weights_changed(round, &w, &next).unwrap();
        w = next;
    }
    let clients: Vec<u32> = (0..100).map(|j| j * 16 + 5).collect();
    best("download of 100 clients", || {
        let _ = accountant.clone().download(40, &clients).unwrap();
    });
}
