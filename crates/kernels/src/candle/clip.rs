//! Clipped sums of per-example gradients: [`Clipper`] on tensors.
//!
//! A batch of gradients is `[N, …]` with D elements an example. None of these has a gradient: a private step's sum is the
//! end of the graph. [`sum`] says so when a loss is propagated back through it; the others change a tensor in place and
//! refuse one that is on the tape.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Shape, Tensor};

use super::inplace::{self, Both};
use super::op::{self, Op1};
use crate::clip::{Clipper, Factors, Finish};
use crate::launch::{Buf, Runtime};

pub(super) struct Sum {
    pub clipper: Clipper,
    pub factors: Arc<OnceLock<Factors>>,
}

impl Op1 for Sum {
    const NAME: &'static str = "clipped sum";
    type In = f32;
    type Out = f32;

    fn shape(&self, _: &Shape) -> Shape {
        Shape::from(self.clipper.columns())
    }

    fn cpu(&self, gradients: &[f32], _: &[usize]) -> crate::Result<Vec<f32>> {
        let mut sum = vec![0.0; self.clipper.columns()];
        let _ = self.factors.set(self.clipper.accumulate(gradients, &mut sum)?);
        Ok(sum)
    }

    fn device(&self, rt: &Runtime, gradients: &Buf<f32>, _: &[usize]) -> crate::Result<Buf<f32>> {
        let mut sum = rt.zeros(self.clipper.columns())?;
        let _ = self.factors.set(self.clipper.run(rt, gradients, &mut sum, None)?);
        Ok(sum)
    }
}

/// Σᵢ cᵢ·gᵢ `[D]` of gradients `[N, …]`, and the factors. No gradient.
///
/// # Errors
/// As [`Clipper::accumulate`]; gradients that aren't f32.
pub fn sum(clipper: &Clipper, gradients: &Tensor) -> Result<(Tensor, Factors)> {
    check(clipper, gradients)?;
    let factors = Arc::new(OnceLock::new());
    let sum = op::apply(Sum { clipper: clipper.clone(), factors: factors.clone() }, gradients)?;
    match Arc::try_unwrap(factors).map_or_else(|shared| shared.get().cloned(), OnceLock::into_inner) {
        Some(factors) => Ok((sum, factors)),
        None => candle_core::bail!("the clipped sum has no factors: please report this"),
    }
}

/// Adds Σᵢ cᵢ·gᵢ of gradients `[N, …]` to `sum` (D elements), in place: a microbatch.
///
/// # Errors
/// As [`Clipper::accumulate`]; tensors that aren't f32, a sum that isn't contiguous, tensors on the tape.
pub fn accumulate(clipper: &Clipper, gradients: &Tensor, sum: &Tensor) -> Result<Factors> {
    into_sum(clipper, gradients, sum, None)
}

/// As [`accumulate`], and turns `sum` into (sum + scale·z)/divisor: the last microbatch of a step.
///
/// # Errors
/// As [`Clipper::finish`] and [`accumulate`].
pub fn finish(clipper: &Clipper, gradients: &Tensor, sum: &Tensor, finish: &Finish) -> Result<Factors> {
    into_sum(clipper, gradients, sum, Some(finish))
}

fn into_sum(clipper: &Clipper, gradients: &Tensor, sum: &Tensor, finish: Option<&Finish>) -> Result<Factors> {
    check(clipper, gradients)?;
    let both = Both {
        name: "clipped sum in place",
        cpu: |sum: &mut [f32], gradients: &[f32]| match finish {
            Some(finish) => clipper.finish(gradients, sum, finish),
            None => clipper.accumulate(gradients, sum),
        },
        device: |rt: &Runtime, sum: &mut Buf<f32>, gradients: &Buf<f32>| clipper.run(rt, gradients, sum, finish),
    };
    inplace::run(sum, gradients, both)
}

/// A batch's first dimension is the examples': a transposed one would be summed along the wrong axis without complaint.
fn check(clipper: &Clipper, gradients: &Tensor) -> Result<()> {
    let columns: usize = gradients.dims().iter().skip(1).product();
    if gradients.rank() == 0 || columns != clipper.columns() {
        candle_core::bail!(
            "the clipper is for gradients of {} elements an example, [N, …], not {:?}",
            clipper.columns(),
            gradients.dims()
        );
    }
    Ok(())
}
