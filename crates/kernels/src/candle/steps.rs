//! Optimiser steps on kept coordinates, with state for those alone.
//!
//! ```
//! use ashlar_kernels::candle::{sparse::Kept, steps::MaskedSgd};
//! use ashlar_kernels::sparse::{SgdStep, Support};
//! use candle_core::{Device, Tensor, Var};
//!
//! let w = Var::new(&[1.0_f32, 2.0, 3.0, 4.0], &Device::Cpu)?;
//! let kept = Kept::from(Support::new(4, vec![0, 3]).map_err(candle_core::Error::wrap)?);
//! let mut optimiser = MaskedSgd::new(kept);
//! let step = SgdStep::new(0.5, 0.0, 0.0, false).map_err(candle_core::Error::wrap)?;
//! let gradient = Tensor::new(&[1.0_f32; 4], &Device::Cpu)?;
//! optimiser.step(&step, &w.detach(), &gradient)?; // detached, a variable shares its memory
//! assert_eq!(w.to_vec1::<f32>()?, [0.5, 2.0, 3.0, 3.5]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use std::cell::RefCell;

use candle_core::{Result, Tensor};

use super::inplace::{self, Both};
use super::sparse::Kept;
use crate::launch::{Buf, Runtime};
use crate::sparse::{AdamWStep, SgdStep};

/// AdamW for the kept coordinates of one tensor: moments of `nnz` values, which live where the tensor does.
#[derive(Debug)]
pub struct MaskedAdamW {
    kept: Kept,
    moments: Option<[Buf<f32>; 2]>,
}

impl MaskedAdamW {
    /// Moments of zero.
    pub const fn new(kept: Kept) -> Self {
        Self { kept, moments: None }
    }

    /// [`AdamWStep::apply`] to w in place, with gradients of all coordinates or of the kept ones alone.
    ///
    /// # Errors
    /// As there; tensors that aren't f32, a w that isn't contiguous, tensors on the tape (`.detach()` shares a variable's
    /// memory), a device other than before.
    pub fn step(&mut self, step: &AdamWStep, w: &Tensor, g: &Tensor) -> Result<()> {
        let (kept, nnz) = (&self.kept, self.kept.support().nnz());
        let moments = RefCell::new(&mut self.moments);
        let with = |rt: &Runtime, work: &mut dyn FnMut(&mut [Buf<f32>; 2]) -> crate::Result<()>| {
            let mut moments = moments.borrow_mut();
            if moments.is_none() {
                **moments = Some([rt.zeros(nnz)?, rt.zeros(nnz)?]);
            }
            moments.as_mut().map_or(Ok(()), work)
        };
        let both = Both {
            name: "masked AdamW",
            cpu: |w: &mut [f32], g: &[f32]| {
                let rt = Runtime::cpu();
                with(&rt, &mut |[m, v]| match (m.host_mut(), v.host_mut()) {
                    (Some(m), Some(v)) => step.apply(kept.support(), w, g, m, v),
                    _ => rt.check(&*m),
                })
            },
            device: |rt: &Runtime, w: &mut Buf<f32>, g: &Buf<f32>| {
                let at = kept.on(rt)?;
                with(rt, &mut |[m, v]| step.run(rt, &at, w, g, [m, v]))
            },
        };
        inplace::run(w, g, both)
    }

    /// The moments m and v `[nnz]`, to be saved; nothing before the first step.
    ///
    /// # Errors
    /// What the driver reports.
    pub fn moments(&self) -> crate::Result<Option<[Vec<f32>; 2]>> {
        self.moments.as_ref().map(|[m, v]| Ok([m.to_vec()?, v.to_vec()?])).transpose()
    }
}

/// SGD with momentum for the kept coordinates of one tensor: `nnz` values of state.
#[derive(Debug)]
pub struct MaskedSgd {
    kept: Kept,
    momentum: Option<Buf<f32>>,
}

impl MaskedSgd {
    /// Momentum of zero.
    pub const fn new(kept: Kept) -> Self {
        Self { kept, momentum: None }
    }

    /// [`SgdStep::apply`] to w in place, with gradients of all coordinates or of the kept ones alone.
    ///
    /// # Errors
    /// As [`MaskedAdamW::step`].
    pub fn step(&mut self, step: &SgdStep, w: &Tensor, g: &Tensor) -> Result<()> {
        let (kept, nnz) = (&self.kept, self.kept.support().nnz());
        let momentum = RefCell::new(&mut self.momentum);
        let with = |rt: &Runtime, work: &mut dyn FnMut(&mut Buf<f32>) -> crate::Result<()>| {
            let mut momentum = momentum.borrow_mut();
            if momentum.is_none() {
                **momentum = Some(rt.zeros(nnz)?);
            }
            momentum.as_mut().map_or(Ok(()), work)
        };
        let both = Both {
            name: "masked SGD",
            cpu: |w: &mut [f32], g: &[f32]| {
                let rt = Runtime::cpu();
                with(&rt, &mut |b| match b.host_mut() {
                    Some(b) => step.apply(kept.support(), w, g, b),
                    None => rt.check(&*b),
                })
            },
            device: |rt: &Runtime, w: &mut Buf<f32>, g: &Buf<f32>| {
                let at = kept.on(rt)?;
                with(rt, &mut |b| step.run(rt, &at, w, g, b))
            },
        };
        inplace::run(w, g, both)
    }
}
