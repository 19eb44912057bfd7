//! Settings and inputs that cannot work are refused with what they were and what is needed.

use ashlar_fl_core::exact::{self, Reduction};
use ashlar_fl_core::fetchsgd::reduce_sketched;
use ashlar_fl_core::local_topk::Compressor;
use ashlar_fl_core::optim::Rule;
use ashlar_fl_core::server::ErrorFeedback;
use ashlar_fl_core::true_topk::mask_client_velocity;
use ashlar_fl_core::{Aggregate, Lr, Mode, ServerSpec, SparseVec, Update};

use crate::{mean, sketch};

#[test]
fn k_names_both_numbers() {
    for mode in [Mode::Sketch, Mode::TrueTopk, Mode::SparseFed] {
        for k in [0, 101] {
            let refused = ServerSpec { k, ..ServerSpec::new(mode, 100) }.build().err().unwrap();
            assert!(refused.is_input());
            let text = refused.to_string();
            assert!(text.contains(&format!("k = {k}")) && text.contains("100"), "{text}");
        }
    }
    assert!(Compressor::new(100, 0, 0.0, ErrorFeedback::Local).is_err());
    assert!(Compressor::new(100, 101, 0.0, ErrorFeedback::Local).is_err());
    assert!(Compressor::new(100, 5, 0.0, ErrorFeedback::Virtual).is_err());
}

#[test]
fn sketch_shapes() {
    for (rows, cols) in [(4, 50), (0, 50), (5, 0)] {
        assert!(ServerSpec { rows, cols, ..ServerSpec::new(Mode::Sketch, 100) }.build().err().unwrap().is_input());
    }
    // Fewer columns than k: a warning only.
    assert!(ServerSpec { k: 50, cols: 10, ..ServerSpec::new(Mode::Sketch, 100) }.build().is_ok());
}

#[test]
fn momentum_and_optimisers() {
    for mode in Mode::ALL {
        for momentum in [1.0, -0.1, f32::NAN] {
            assert!(ServerSpec { momentum, ..ServerSpec::new(mode, 100) }.build().err().unwrap().is_input());
        }
    }
    let misplaced = ServerSpec { optimizer: Some(Rule::adam()), ..ServerSpec::new(Mode::Sketch, 100) };
    assert!(misplaced.build().err().unwrap().to_string().contains("fedavg"));
    let radius = ServerSpec { certify_radius: Some(f64::NAN), ..ServerSpec::new(Mode::SparseFed, 100) };
    assert!(radius.build().is_err());
}

#[test]
fn modes_are_spelt_either_way() {
    for (name, mode) in [("true-topk", Mode::TrueTopk), ("true_topk", Mode::TrueTopk), ("fedavg", Mode::FedAvg)] {
        assert_eq!(name.parse::<Mode>().unwrap(), mode);
        assert_eq!(serde_json::from_value::<Mode>(name.into()).unwrap(), mode);
    }
    for mode in Mode::ALL {
        assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        assert_eq!(ServerSpec::new(mode, 10).build().unwrap().name(), mode.name());
    }
    let refused = "sketchy".parse::<Mode>().unwrap_err().to_string();
    assert!(refused.contains("sketchy") && refused.contains("local-topk"), "{refused}");
}

#[test]
fn lengths_everywhere() {
    for mode in Mode::ALL {
        let mut server = ServerSpec::new(mode, 100).build().unwrap();
        assert!(server.step(&mean(vec![0.0; 99]), Lr::Scalar(1.0), &mut [0.0; 100]).unwrap_err().is_input());
        assert!(server.step(&mean(vec![0.0; 100]), Lr::Scalar(1.0), &mut [0.0; 99]).unwrap_err().is_input());
        let short = Lr::PerCoordinate(&[1.0; 99]);
        assert!(server.step(&mean(vec![0.0; 100]), short, &mut [0.0; 100]).unwrap_err().is_input());
    }
    let short = exact::reduce(&[Update::gradient(7, 1, vec![0.0; 3])], 4, &Reduction::default()).unwrap_err();
    assert!(short.to_string().contains("client 7"), "{short}");
    let mixed = [Update::gradient(0, 1, vec![0.0; 3]), Update::delta(1, 1, vec![0.0; 3])];
    assert!(exact::reduce(&mixed, 3, &Reduction::default()).unwrap_err().is_input());
    let delta = SparseVec::new(5, vec![1], vec![1.0]).unwrap();
    assert!(mask_client_velocity(&mut [0.0; 4], &delta).is_err());
    let mut velocity = [1.0; 5];
    mask_client_velocity(&mut velocity, &delta).unwrap();
    assert_eq!(velocity, [1.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn sketches_do_not_mix() {
    let config = sketch(100, 3, 20, 1);
    let updates = [Update::gradient(0, 1, vec![1.0; 100])];
    let table = |seed| reduce_sketched(&updates, &sketch(100, 3, 20, seed), &Reduction::default(), None).unwrap();
    let mut server = ServerSpec { rows: 3, cols: 20, seed: 1, ..ServerSpec::new(Mode::Sketch, 100) }.build().unwrap();
    assert_eq!(server.name(), "sketch");
    assert!(server.step(&table(1), Lr::Scalar(1.0), &mut [0.0; 100]).is_ok());
    let refused = server.step(&table(2), Lr::Scalar(1.0), &mut [0.0; 100]).unwrap_err();
    assert!(refused.to_string().contains("seed"), "{refused}");
    let mut dense = ServerSpec::new(Mode::Uncompressed, 100).build().unwrap();
    assert!(dense.step(&table(1), Lr::Scalar(1.0), &mut [0.0; 100]).unwrap_err().is_input());
    // Clipping sketches needs f32 tables.
    assert!(reduce_sketched(&updates, &config, &Reduction::default(), Some(1.0)).unwrap_err().is_input());
    let float = Reduction { exact: false, ..Reduction::default() };
    let clipped = reduce_sketched(&updates, &config, &float, Some(1.0)).unwrap().sketched(&config).unwrap();
    assert!((clipped.l2() - 1.0).abs() < 1e-5);
    // A mean that is not finite is found.
    let nan = Aggregate::mean(vec![f32::NAN; 100], 1.0);
    assert!(server.step(&nan, Lr::Scalar(1.0), &mut [0.0; 100]).is_err());
}
