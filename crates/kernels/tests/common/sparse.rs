//! The sparse operations of a runtime against those of the CPU.

use ashlar_kernels::launch::{DeviceSupport, Runtime};
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support, sddmm};
use proptest::prelude::*;

use super::{bits_but_nan as bits, makes, vector};

/// A support on a matrix `[outputs, inputs]`, and as many values.
#[derive(Clone, Debug)]
pub struct Problem {
    at: Support,
    positions: usize,
    outputs: usize,
    inputs: usize,
    x: Vec<f32>,
    /// Gradients of the kept coordinates alone; Nesterov.
    flag: bool,
}

/// Supports that are empty, full, of single coordinates, random and in runs.
pub fn problems() -> impl Strategy<Value = Problem> {
    let sides = prop::sample::select(vec![1_usize, 2, 7, 31, 32, 33, 64, 100, 150]);
    let kept = prop::sample::select(vec![0_u64, 1, 10, 100, 500, 1000]);
    let positions = prop::sample::select(vec![0_usize, 1, 5, 31, 32, 33, 64, 80, 129]);
    (sides.clone(), sides, positions, kept, any::<[bool; 2]>(), makes(), any::<u64>()).prop_map(
        |(outputs, inputs, positions, kept, [flag, runs], make, seed)| {
            let n = outputs * inputs;
            let draw = |i: u64| (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(29) % 1000;
            let on = |i: &u32| draw(*i as u64 / if runs { 40 } else { 1 }) < kept;
            let at = Support::new(n as u64, (0..n as u32).filter(on).collect()).expect("in order");
            Problem { at, positions, outputs, inputs, x: vector(make, n, seed), flag }
        },
    )
}

/// Every operation.
pub fn check_sparse(rt: &Runtime, problem: &Problem) {
    let Problem { at, positions, outputs, inputs, x, flag } = problem;
    let (positions, outputs, inputs, flag) = (*positions, *outputs, *inputs, *flag);
    let device = DeviceSupport::new(rt, at.clone()).expect("upload");
    let mask = at.to_mask().expect("a short mask");
    assert_eq!(device.to_mask(rt).expect("a mask"), mask);
    assert_eq!(DeviceSupport::from_mask(rt, &mask).expect("indices").host(), at);

    let up = |x: &[f32]| rt.upload(x).expect("upload");
    let kept = at.gather(x, 1).expect("lengths");
    assert_eq!(bits(&device.gather(rt, &up(x), 1).and_then(|x| x.to_vec()).expect("lengths")), bits(&kept));
    let rows = Support::new(outputs as u64, (0..outputs as u32).step_by(2).collect()).expect("in order");
    let lines = rows.gather(x, inputs).expect("lengths");
    let device_rows = DeviceSupport::new(rt, rows.clone()).expect("upload");
    assert_eq!(bits(&device_rows.gather(rt, &up(x), inputs).and_then(|x| x.to_vec()).expect("lengths")), bits(&lines));
    let (mut want, mut got) = (x.clone(), up(x));
    rows.axpy(-0.37, &lines, &mut want, inputs).expect("lengths");
    device_rows.axpy(rt, -0.37, &up(&lines), &mut got, inputs).expect("lengths");
    at.scatter_add(&kept, &mut want, 1).expect("lengths");
    device.scatter_add(rt, &up(&kept), &mut got, 1).expect("lengths");
    assert_eq!(bits(&got.to_vec().expect("download")), bits(&want));

    let g: Vec<f32> = x.iter().rev().copied().collect();
    let g = if flag { at.gather(&g, 1).expect("lengths") } else { g };
    let (mut m, mut v) = (vec![0.0; at.nnz()], vec![0.0; at.nnz()]);
    let (mut dm, mut dv) = (up(&m), up(&v));
    for t in 1..3 {
        let step = AdamWStep::new(t, 0.01, [0.9, 0.999], 1e-8, 0.1, 0.7).expect("options");
        step.apply(at, &mut want, &g, &mut m, &mut v).expect("lengths");
        step.run(rt, &device, &mut got, &up(&g), [&mut dm, &mut dv]).expect("lengths");
        let step = SgdStep::new(0.1, 0.9, 0.01, flag).expect("options");
        step.apply(at, &mut want, &g, &mut m).expect("lengths");
        step.run(rt, &device, &mut got, &up(&g), &mut dm).expect("lengths");
    }
    for (got, want) in [(got, &want), (dm, &m), (dv, &v)] {
        assert_eq!(bits(&got.to_vec().expect("download")), bits(want));
    }

    let cycle = |n: usize| -> Vec<f32> { x.iter().copied().cycle().take(n).collect() };
    let (dy, x) = (cycle(positions * outputs), cycle(positions * inputs));
    let want = sddmm(at, &dy, &x, positions, outputs, inputs).expect("lengths");
    let got = device.sddmm(rt, &up(&dy), &up(&x), [positions, outputs, inputs]).expect("lengths");
    assert_eq!(bits(&got.to_vec().expect("download")), bits(&want));
}
