//! Bytes by hand, and against the count that stores past weights.

use ashlar_fl_core::SparseVec;
use ashlar_fl_core::bytes::{Accountant, Bytes, Column, Upload};

use crate::{fixture, floats32, indices};

#[test]
fn downloads_by_hand() {
    let mut accountant = Accountant::new(16, 3);
    let w0 = vec![0.0f32; 16];
    // Round 0 downloads nothing: everybody has the initial weights.
    assert_eq!(accountant.download(0, &[0, 1]).unwrap(), Bytes { paper: 0, wire: 2 * 2 });
    let mut w1 = w0.clone();
    (w1[3], w1[9]) = (1.0, -2.0);
    accountant.weights_changed(0, &w0, &w1).unwrap();
    // Client 0 lacks two coordinates, client 2 too (first time, from w⁰). Wire: tag, count, two gaps or bitmap bytes, values.
    assert_eq!(accountant.download(1, &[0, 2]).unwrap(), Bytes { paper: 16, wire: 2 * (1 + 1 + 2 + 8) });
    let mut w2 = w1.clone();
    (w2[3], w2[4]) = (0.0, 1e-30);
    accountant.weights_changed(1, &w1, &w2).unwrap();
    // Client 0: 3 and 4. Client 1 has w⁰: 4, 9, and 3, which is back at 0: counted, unlike when comparing weights.
    assert_eq!(accountant.changed_since(1), 2);
    assert_eq!(accountant.changed_since(0), 3);
    assert_eq!(accountant.download(2, &[0, 1]).unwrap().paper, 4 * (2 + 3));
    // Nothing has changed since for a client of this round.
    assert_eq!(accountant.changed_since(2), 0);
    let totals = accountant.totals();
    assert_eq!((totals.down.paper, totals.participations), (36, 6));
}

/// A change too small for ceil(|difference|) to be meant is a change; NaN counts as one as well.
#[test]
fn changed_means_unequal() {
    let mut accountant = Accountant::new(4, 1);
    let before = [1.0f32, 1.0, 0.0, f32::NAN];
    let after = [1.0f32, 1.0 + f32::EPSILON, -0.0, f32::NAN];
    accountant.weights_changed(0, &before, &after).unwrap();
    assert_eq!(accountant.changed_since(0), 2);
}

#[test]
fn downloads_match_stored_weights() {
    let expected = &fixture()["downloads"];
    let d = expected["d"].as_u64().unwrap() as usize;
    let mut accountant = Accountant::new(d, expected["clients"].as_u64().unwrap() as usize);
    let mut w = vec![0.0f32; d];
    for (t, round) in expected["rounds"].as_array().unwrap().iter().enumerate() {
        let found = accountant.download(t as u32, &indices(&round["clients"])).unwrap();
        assert_eq!(found.paper, round["paper"].as_u64().unwrap(), "round {t}");
        let next = floats32(&round["w"]);
        accountant.weights_changed(t as u32, &w, &next).unwrap();
        w = next;
    }
}

#[test]
fn uploads_of_each_mode() {
    let paper = |upload: Upload<'_>| upload.bytes().paper;
    let sparse = SparseVec::new(50_890, (0..500).map(|i| i * 100).collect(), vec![1.0; 500]).unwrap();
    assert_eq!(paper(Upload::Dense { d: 50_890 }), 203_560);
    assert_eq!(paper(Upload::Sparse(&sparse)), 2000);
    assert_eq!(paper(Upload::Table { cells: 20_000, fixed: true }), 80_000);
    let wire = |upload: Upload<'_>| upload.bytes().wire;
    assert_eq!(wire(Upload::Dense { d: 50_890 }), 1 + 3 + 203_560);
    // Gaps of 99 take a byte each.
    assert_eq!(wire(Upload::Sparse(&sparse)), 1 + 2 + 500 + 2000);
    assert_eq!(wire(Upload::Table { cells: 20_000, fixed: true }), 1 + 3 + 160_000);
    assert_eq!(wire(Upload::Table { cells: 20_000, fixed: false }), 1 + 3 + 80_000);
}

#[test]
fn compression_is_against_uncompressed_of_the_same_length() {
    let mut accountant = Accountant::new(100, 10);
    let mut w = vec![0.0f32; 100];
    for round in 0..4 {
        accountant.download(round, &[0, 1]).unwrap();
        for _ in 0..2 {
            accountant.upload(Upload::Table { cells: 20, fixed: true });
        }
        let before = w.clone();
        w[round as usize] += 1.0;
        accountant.weights_changed(round, &before, &w).unwrap();
    }
    let found = accountant.totals().compression(100, Column::Paper);
    // Up: 8 × 400 against 8 × 80. Down: 8 × 400 against 6 downloads of one coordinate.
    assert_eq!((found.up, found.down), (5.0, 3200.0 / 24.0));
    assert_eq!(found.total, 6400.0 / (640.0 + 24.0));
    let wire = accountant.totals().compression(100, Column::Wire);
    assert!(wire.up < found.up && wire.down < found.down);
}

#[test]
fn the_state_comes_back() {
    let mut accountant = Accountant::new(8, 3);
    let w: Vec<Vec<f32>> =
        (0..5).map(|t| (0..8).map(|i| if i % (t + 1) == 0 { t as f32 } else { 0.0 }).collect()).collect();
    let go = |accountant: &mut Accountant, t: usize| {
        let bytes = accountant.download(t as u32, &[t as u32 % 3]).unwrap();
        accountant.upload(Upload::Dense { d: 8 });
        accountant.weights_changed(t as u32, &w[t], &w[t + 1]).unwrap();
        bytes
    };
    (0..2).for_each(|t| {
        go(&mut accountant, t);
    });
    let mut resumed = Accountant::new(8, 3);
    resumed.load(&accountant.save()).unwrap();
    for t in 2..4 {
        assert_eq!(go(&mut accountant, t), go(&mut resumed, t));
    }
    assert_eq!(accountant.totals(), resumed.totals());
    assert_eq!(accountant.save(), resumed.save());
    for other in [Accountant::new(9, 3), Accountant::new(8, 4)] {
        assert!(other.clone().load(&accountant.save()).unwrap_err().is_input());
    }
    assert!(resumed.load(&accountant.save()[1..]).is_err());
}

#[test]
fn strangers_and_other_models_are_refused() {
    let mut accountant = Accountant::new(8, 3);
    assert!(accountant.download(0, &[3]).unwrap_err().is_input());
    assert!(accountant.weights_changed(0, &[0.0; 7], &[0.0; 8]).unwrap_err().is_input());
    assert!(accountant.weights_changed(0, &[0.0; 8], &[0.0; 9]).unwrap_err().is_input());
}
