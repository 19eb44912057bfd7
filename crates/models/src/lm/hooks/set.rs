//! The hooks of a forward pass.

use std::{collections::BTreeMap, fmt, sync::Arc};

use candle_core::{DType, Device, Tensor, Var};

use super::{Captured, Hook, HookCtx, HookPoint, Site, point::no_site};
use crate::{
    Error, Result,
    lm::{
        config::ModelSpec,
        edits::{Coef, Edit},
        input::Input,
    },
};

/// The hooks of a forward pass; hooks of one point run in the order in which they were added.
#[derive(Clone, Default)]
pub struct HookSet {
    hooks: BTreeMap<HookPoint, Vec<Arc<dyn Hook>>>,
    /// Bit `site` of entry l: some hook stands there. The last entry is for sites outside the layers.
    wanted: Vec<u64>,
}

impl fmt::Debug for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: BTreeMap<String, usize> = self.hooks.iter().map(|(p, h)| (p.to_string(), h.len())).collect();
        f.debug_tuple("HookSet").field(&counts).finish()
    }
}

impl HookSet {
    /// No hooks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is no hook at all.
    pub fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// [`Error::NoSite`] where this model has no such point, and what [`Hook::check`] finds.
    pub fn on(self, spec: &ModelSpec, point: HookPoint, hook: impl Hook + 'static) -> Result<Self> {
        self.add(spec, point, Arc::new(hook))
    }

    /// Adds a hook at a site of every layer, and of every expert, that has it.
    ///
    /// # Errors
    /// [`Error::NoSite`] where no layer has it, and what [`Hook::check`] finds.
    pub fn on_all(mut self, spec: &ModelSpec, site: Site, hook: impl Hook + 'static) -> Result<Self> {
        let hook: Arc<dyn Hook> = Arc::new(hook);
        let layers = if site.info().layered { spec.n_layers } else { 1 };
        let points: Vec<HookPoint> = (0..layers).flat_map(|l| HookPoint::in_layer(spec, l, site)).collect();
        if points.is_empty() {
            return Err(no_site(format!("blocks.*.{}", site.info().name), spec));
        }
        for point in points {
            self = self.add(spec, point, hook.clone())?;
        }
        Ok(self)
    }

    fn add(mut self, spec: &ModelSpec, point: HookPoint, hook: Arc<dyn Hook>) -> Result<Self> {
        point.check(spec)?;
        hook.check(spec, point)?;
        self.wanted.resize(spec.n_layers + 1, 0);
        let entry = point.layer.map_or(spec.n_layers, usize::from);
        self.wanted[entry] |= 1 << point.site as u64;
        self.hooks.entry(point).or_default().push(hook);
        Ok(self)
    }

    /// Adds a capture at each point: the activation as it is at that place in the order. Where the forward pass records
    /// a graph, the captured tensors are part of it.
    ///
    /// # Errors
    /// [`Error::NoSite`] where this model has no such point.
    pub fn capture(mut self, spec: &ModelSpec, points: &[HookPoint]) -> Result<(Self, Captured)> {
        let captured = Captured::default();
        for &point in points {
            let into = captured.clone();
            self = self.on(spec, point, move |x: Tensor, ctx: &HookCtx| {
                into.whole(x.clone(), ctx);
                Ok(x)
            })?;
        }
        Ok((self, captured))
    }

    /// Adds a zero variable at each point, whose gradient is that of the loss with respect to the activation there.
    ///
    /// candle keeps gradients of variables only, so an activation's own can't be read. The pass must be one of `input`,
    /// without a cache.
    ///
    /// # Errors
    /// [`Error::NoSite`] where this model has no such point, or at an expert, whose rows aren't known beforehand.
    pub fn grad_probes(
        mut self,
        spec: &ModelSpec,
        points: &[HookPoint],
        input: &Input,
        dtype: DType,
        device: &Device,
    ) -> Result<(Self, BTreeMap<HookPoint, Var>)> {
        let mut probes = BTreeMap::new();
        let (batch, columns) = (input.batch(), input.columns());
        for &point in points {
            point.check(spec)?;
            let Some(dims) = point.dims(spec, batch, columns, columns) else {
                let expected = "a site whose shape doesn't depend on the router".to_owned();
                return Err(Error::Setting { name: "point of a gradient probe", found: point.to_string(), expected });
            };
            let probe = Var::zeros(dims, dtype, device)?;
            let v = probe.as_tensor().clone();
            self = self.on(spec, point, Edit::Add { v, coef: Coef::Abs(1.0) }.everywhere())?;
            probes.insert(point, probe);
        }
        Ok((self, probes))
    }

    /// Whether a hook stands there; at a site of experts, at any of them.
    #[inline]
    pub fn wants(&self, layer: usize, site: Site) -> bool {
        self.wanted.get(layer).is_some_and(|bits| bits & (1 << site as u64) != 0)
    }

    pub(crate) fn apply(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor> {
        let shape = x.shape().clone();
        let mut x = x;
        for hook in self.hooks.get(&ctx.point).into_iter().flatten() {
            x = hook.call(x, ctx)?;
            if *x.shape() != shape {
                let (expected, found) = (shape.dims().to_vec(), x.dims().to_vec());
                return Err(Error::HookShape { point: ctx.point.to_string(), expected, found });
            }
        }
        Ok(x)
    }
}
