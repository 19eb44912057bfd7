//! Where numbers stop being numbers.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Tensor};

use crate::{
    Result,
    lm::{HookCtx, HookPoint, HookSet, Input, Model, Site},
};

impl Model {
    /// The first residual of a row that isn't finite, found by reading the row once more.
    pub(super) fn first_non_finite(&self, tokens: &[u32], row: usize, hooks: &HookSet) -> Result<String> {
        let found = Arc::new(Mutex::new(None::<HookPoint>));
        let mut watched = hooks.clone();
        for layer in 0..self.spec.n_layers {
            for site in [Site::ResidPre, Site::ResidMid, Site::ResidPost] {
                let found = found.clone();
                watched = watched.on(&self.spec, HookPoint::of(layer, site), move |x: Tensor, ctx: &HookCtx| {
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if found.is_none() && !finite(&x)? {
                        *found = Some(ctx.point);
                    }
                    Ok(x)
                })?;
            }
        }
        let input = Input::rows(&[tokens.to_vec()])?.with_rows(vec![row])?;
        self.forward(&input, None, &watched)?;
        let found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(found.map_or_else(|| "the logits: every residual is finite".to_owned(), |point| point.to_string()))
    }
}

fn finite(x: &Tensor) -> Result<bool> {
    // 0 · x is 0 for numbers and NaN for all else, and so is the sum.
    let zero = (x.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()?;
    Ok(!zero.is_nan())
}
