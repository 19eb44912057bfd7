//! On a GPU: the bits of the CPU, for every layout, forwards and backwards. `cargo test -p ashlar-kernels --features
//! candle-cuda --test candle` needs CUDA's toolkit to build; elsewhere `cargo xtask stub` checks the types.

use ashlar_kernels::candle::sparse::Kept;
use ashlar_kernels::candle::steps::{MaskedAdamW, MaskedSgd};
use ashlar_kernels::candle::{clip, dequant, ghost, noise, sketch, topk};
use ashlar_kernels::clip::ghost::NormMethod;
use ashlar_kernels::clip::{ClipRule, Clipper};
use ashlar_kernels::dequant::Format;
use ashlar_kernels::noise::NoiseKey;
use ashlar_kernels::sketch::SketchConfig;
use ashlar_kernels::sparse::{AdamWStep, SgdStep, Support};
use ashlar_kernels::topk::{Count, TopK};
use candle_core::{DType, Device, Result, Tensor, Var};

use super::{bits, elements, layouts, numbers, tensor};

/// candle's first GPU, or a line that says why the test is skipped.
macro_rules! gpu {
    () => {
        match Device::new_cuda(0) {
            Ok(device) => device,
            Err(error) => {
                let required = std::env::var("ASHLAR_REQUIRE_GPU").is_ok_and(|value| value == "1");
                assert!(!required, "ASHLAR_REQUIRE_GPU=1, but {error}");
                println!("skipped: {error}");
                return;
            }
        }
    };
}

/// Result and gradient of a weighted sum of it.
fn both(f: &impl Fn(&Tensor) -> Result<Tensor>, x: &Tensor, differentiable: bool) -> Result<[Vec<u32>; 2]> {
    let x = Var::from_tensor(x)?;
    let y = f(&x)?;
    if !differentiable {
        return Ok([bits(&elements(&y)), Vec::new()]);
    }
    let weights = Tensor::from_vec(numbers(y.elem_count(), 77), y.shape(), &Device::Cpu)?.to_device(x.device())?;
    let gradients = (y.clone() * weights)?.sum_all()?.backward()?;
    let gradient = gradients.get(&x).map(elements).unwrap_or_default();
    Ok([bits(&elements(&y)), bits(&gradient)])
}

fn same(device: &Device, differentiable: bool, f: impl Fn(&Tensor) -> Result<Tensor>) {
    for (x, _) in layouts(13, 29) {
        // The layout as it is there, not the contiguous copy that a transfer makes of it.
        let there = x.to_device(device).and_then(|x| Tensor::cat(&[&x, &x], 0)?.narrow(0, 13, 13)).expect("a copy");
        let expected = both(&f, &x, differentiable).expect("on the CPU");
        assert_eq!(both(&f, &there, differentiable).expect("on the GPU"), expected);
        let turned = there.t().and_then(|x| x.contiguous()?.t()).expect("a matrix");
        assert_eq!(f(&turned).map(|y| bits(&elements(&y))).expect("on the GPU"), expected[0]);
    }
}

#[test]
fn every_function_has_the_bits_of_the_cpu() {
    let gpu = gpu!();
    let ask = TopK::new(Count::Fraction(0.1));
    same(&gpu, true, |x| Ok(topk::sparsify(x, &ask)?.0));
    same(&gpu, true, |x| Ok(topk::top_k(x, &ask)?.1));
    same(&gpu, true, |x| noise::add_and_divide(x, &NoiseKey::philox(1).gaussian(2, 3), 77, 0.5, 4.0));
    for config in [SketchConfig::new(500, 3, 17, 7), SketchConfig::new(500, 5, 100, 7).fixed(40)] {
        same(&gpu, true, |x| sketch::sketch(x, &config, 100));
        same(&gpu, true, |x| sketch::estimate(&sketch::sketch(x, &config, 100)?, &config, 90, 300));
    }
    let clipper = Clipper::new(ClipRule::Flat, 1.5, 29).expect("a bound");
    same(&gpu, false, |x| Ok(clip::sum(&clipper, x)?.0));
    same(&gpu, false, |x| ghost::linear_weighted_sum(x, &x.detach(), &[0.5; 13]));
    same(&gpu, true, |x| ghost::channel_gradients(None, &x.reshape((1, 13, 29))?));
    same(&gpu, true, |x| ghost::channel_gradients(Some(&x.reshape((13, 1, 29))?), &x.detach().reshape((13, 1, 29))?));
    let kept = Kept::from(Support::new(13, vec![1, 4, 12]).expect("increasing"));
    same(&gpu, true, |x| kept.gather(x));
    same(&gpu, true, |x| kept.scatter(&x.narrow(0, 3, 3)?));
    same(&gpu, true, |x| kept.axpy(x, -0.5, &x.narrow(0, 3, 3)?));
    // Its gradients are matmuls, whose bits are the library's.
    let all = Kept::from(Support::new(841, (0..841).step_by(5).collect()).expect("increasing"));
    same(&gpu, false, |x| all.sddmm(x, &x.detach()));
}

#[test]
fn what_works_in_place_and_what_answers_the_host() {
    let gpu = gpu!();
    let (x, y) = (tensor(&[40, 25], 1), tensor(&[40, 25], 2));
    let on = |device: &Device| -> Result<_> {
        let (e, g) = (x.copy()?.to_device(device)?, y.to_device(device)?);
        let sent = topk::error_feedback(&e, &g, 0.1, &TopK::new(Count::Exact(30)))?.0;
        let norms = ghost::linear_squared_norms(&e, &g, NormMethod::Mixed)?;
        let clipper = Clipper::new(ClipRule::Flat, 1.0, 25).map_err(candle_core::Error::wrap)?;
        let sum = Tensor::zeros(25, DType::F32, device)?;
        let factors = clip::accumulate(&clipper, &g, &sum)?;
        let kept = Kept::from(Support::new(1000, (0..1000).step_by(3).collect()).map_err(candle_core::Error::wrap)?);
        let (w, g) = (e.flatten_all()?, g.flatten_all()?);
        let adamw = AdamWStep::new(1, 0.1, [0.9, 0.999], 1e-8, 0.01, 1.0).map_err(candle_core::Error::wrap)?;
        MaskedAdamW::new(kept.clone()).step(&adamw, &w, &g)?;
        MaskedSgd::new(kept.clone()).step(
            &SgdStep::new(0.1, 0.9, 0.0, false).map_err(candle_core::Error::wrap)?,
            &w,
            &g,
        )?;
        kept.axpy_in_place(&w, 0.5, &kept.gather(&g)?)?;
        let packed = Format::Q8_0.quantise(&numbers(640, 3)).map_err(candle_core::Error::wrap)?;
        let packed = Tensor::new(packed, device)?;
        let weights = dequant::dequantise(&packed, &Format::Q8_0, (20, 32), DType::BF16)?;
        Ok((sent, norms, factors, [e, sum, w, weights].map(|x| bits(&elements(&x)))))
    };
    assert_eq!(on(&gpu).expect("on the GPU"), on(&Device::Cpu).expect("on the CPU"));
}
