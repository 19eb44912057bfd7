//! Operations that change one tensor after reading another, with an answer for the host.

use std::cell::RefCell;

#[cfg(feature = "candle-cuda")]
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, Error, InplaceOp2, Layout, Result, Tensor};

use super::op::{elements, ready, untracked, writable};
use crate::launch::{Buf, Runtime};

/// The two sides of an operation.
pub(super) struct Both<C, D> {
    pub name: &'static str,
    pub cpu: C,
    #[cfg_attr(not(feature = "candle-cuda"), allow(dead_code))]
    pub device: D,
}

struct Custom<C, D, R> {
    both: Both<C, D>,
    answer: RefCell<Option<R>>,
}

impl<C, D, R> InplaceOp2 for Custom<C, D, R>
where
    C: Fn(&mut [f32], &[f32]) -> crate::Result<R>,
    D: Fn(&Runtime, &mut Buf<f32>, &Buf<f32>) -> crate::Result<R>,
{
    fn name(&self) -> &'static str {
        self.both.name
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, at_x: &Layout, y: &CpuStorage, at_y: &Layout) -> Result<()> {
        let name = self.both.name;
        let y = elements::<f32>(name, y, at_y)?;
        let (from, to) = at_x.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op: name }.bt())?;
        let CpuStorage::F32(x) = x else { candle_core::bail!("{name} takes f32") };
        *self.answer.borrow_mut() = Some((self.both.cpu)(&mut x[from..to], y).map_err(Error::wrap)?);
        Ok(())
    }

    #[cfg(feature = "candle-cuda")]
    fn cuda_fwd(
        &self,
        x: &mut candle_core::CudaStorage,
        at_x: &Layout,
        y: &candle_core::CudaStorage,
        at_y: &Layout,
    ) -> Result<()> {
        let name = self.both.name;
        let rt = Runtime::on_candle(x.device()).map_err(Error::wrap)?;
        let y = super::gpu::lend(name, &rt, y, at_y)?;
        let mut x = super::gpu::lend_mut(name, &rt, x, at_x)?;
        *self.answer.borrow_mut() = Some((self.both.device)(&rt, &mut x, &y).map_err(Error::wrap)?);
        Ok(())
    }
}

/// Changes `x` after reading `y`.
pub(super) fn run<C, D, R>(x: &Tensor, y: &Tensor, both: Both<C, D>) -> Result<R>
where
    C: Fn(&mut [f32], &[f32]) -> crate::Result<R>,
    D: Fn(&Runtime, &mut Buf<f32>, &Buf<f32>) -> crate::Result<R>,
{
    let name = both.name;
    writable::<f32>(name, x)?;
    untracked(name, y)?;
    let y = ready::<f32>(name, y)?;
    let op = Custom { both, answer: RefCell::new(None) };
    x.inplace_op2(&y, &op)?;
    match op.answer.into_inner() {
        Some(answer) => Ok(answer),
        None => candle_core::bail!("{name} didn't run: please report this"),
    }
}
