//! The sparse operations of a runtime against those of the CPU.

use ashlar_kernels::launch::{DeviceSupport, Runtime};
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support, sddmm};

fn bits(x: &[f32]) -> Vec<u32> {
    // Which NaN comes out of two is the machine's choice.
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// Everything on one support of `outputs·inputs`, with `x` (as long) for values.
pub fn check_sparse(rt: &Runtime, at: &Support, x: &[f32], [positions, outputs, inputs]: [usize; 3], flag: bool) {
    let device = DeviceSupport::new(rt, at.clone()).unwrap();
    let mask = at.to_mask().unwrap();
    assert_eq!(device.to_mask(rt).unwrap(), mask);
    assert_eq!(DeviceSupport::from_mask(rt, &mask).unwrap().host(), at);

    let up = |x: &[f32]| rt.upload(x).unwrap();
    let kept = at.gather(x, 1).unwrap();
    assert_eq!(bits(&device.gather(rt, &up(x), 1).unwrap().to_vec().unwrap()), bits(&kept));
    let rows = Support::new(outputs as u64, (0..outputs as u32).step_by(2).collect()).unwrap();
    let lines = rows.gather(x, inputs).unwrap();
    let device_rows = DeviceSupport::new(rt, rows.clone()).unwrap();
    assert_eq!(bits(&device_rows.gather(rt, &up(x), inputs).unwrap().to_vec().unwrap()), bits(&lines));
    let (mut want, mut got) = (x.to_vec(), up(x));
    rows.axpy(-0.37, &lines, &mut want, inputs).unwrap();
    device_rows.axpy(rt, -0.37, &up(&lines), &mut got, inputs).unwrap();
    at.scatter_add(&kept, &mut want, 1).unwrap();
    device.axpy(rt, 1.0, &up(&kept), &mut got, 1).unwrap();
    assert_eq!(bits(&got.to_vec().unwrap()), bits(&want));

    let g: Vec<f32> = x.iter().rev().copied().collect();
    let g = if flag { at.gather(&g, 1).unwrap() } else { g };
    let (mut m, mut v) = (vec![0.0; at.nnz()], vec![0.0; at.nnz()]);
    let (mut dm, mut dv) = (up(&m), up(&v));
    for t in 1..3 {
        let step = AdamWStep::new(t, 0.01, [0.9, 0.999], 1e-8, 0.1, 0.7).unwrap();
        step.apply(at, &mut want, &g, &mut m, &mut v).unwrap();
        step.run(rt, &device, &mut got, &up(&g), [&mut dm, &mut dv]).unwrap();
        let step = SgdStep::new(0.1, 0.9, 0.01, flag).unwrap();
        step.apply(at, &mut want, &g, &mut m).unwrap();
        step.run(rt, &device, &mut got, &up(&g), &mut dm).unwrap();
    }
    for (got, want) in [(got, &want), (dm, &m), (dv, &v)] {
        assert_eq!(bits(&got.to_vec().unwrap()), bits(want));
    }

    let cycle = |n: usize| -> Vec<f32> { x.iter().copied().cycle().take(n).collect() };
    let (dy, x) = (cycle(positions * outputs), cycle(positions * inputs));
    let want = sddmm(at, &dy, &x, positions, outputs, inputs).unwrap();
    let got = device.sddmm(rt, &up(&dy), &up(&x), [positions, outputs, inputs]).unwrap();
    assert_eq!(bits(&got.to_vec().unwrap()), bits(&want));
}
