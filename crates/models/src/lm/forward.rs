//! The forward pass around the blocks.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::{
    adapter::{self, Dropout},
    block::Block,
    cache::KvCache,
    config::ModelSpec,
    executor,
    hooks::{HookCtx, HookPoint, HookSet, Layout, Site},
    input::{self, Input},
    model::Model,
    ops::Ops,
    recompute::Recompute,
    tape::Tape,
};
use crate::{Error, Result};

/// What a pass is asked for beside logits.
#[derive(Clone, Debug, Default)]
pub struct PassOptions {
    /// Logits of the last column only, [B, 1, V]: all that a generation reads of a prompt.
    pub last_only: bool,
    /// Keep only each block's input and run the block again in the backward pass.
    pub recompute: Option<Recompute>,
    /// Record what gradients of every example need, in place of the weight gradients; see [`Model::per_sample`].
    pub tape: Option<Tape>,
    /// Dropout of adapters that have it; without this they have none.
    pub dropout: Option<Dropout>,
}

/// What one pass carries from block to block.
pub(super) struct Pass<'a> {
    pub spec: &'a ModelSpec,
    pub ops: Ops,
    pub hooks: &'a HookSet,
    pub dropout: Option<Dropout>,
    pub cache: Option<&'a mut KvCache>,
    /// cos and sin, [B or 1, T, 1, hd].
    pub rotation: Option<(Tensor, Tensor)>,
    pub tape: Option<Tape>,
    pub executor: Option<&'a executor::Shared>,
    pub blocks: &'a [Block],
    /// Rows and positions, as hooks see them.
    pub layout: Arc<Layout>,
    /// One mask for each window that occurs.
    masks: Vec<(Option<usize>, Tensor)>,
}

/// What a block needs to run once more: the pass without its cache.
pub(super) struct KeptPass {
    pub spec: ModelSpec,
    pub hooks: HookSet,
    pub blocks: Vec<Block>,
    ops: Ops,
    dropout: Option<Dropout>,
    rotation: Option<(Tensor, Tensor)>,
    executor: Option<executor::Shared>,
    layout: Arc<Layout>,
    masks: Vec<(Option<usize>, Tensor)>,
}

impl KeptPass {
    fn new(pass: &Pass) -> Self {
        Self {
            spec: pass.spec.clone(),
            hooks: pass.hooks.clone(),
            blocks: pass.blocks.to_vec(),
            ops: pass.ops,
            dropout: pass.dropout,
            rotation: pass.rotation.clone(),
            executor: pass.executor.cloned(),
            layout: pass.layout.clone(),
            masks: pass.masks.clone(),
        }
    }

    /// The pass again, with these hooks.
    pub fn pass<'a>(&'a self, hooks: &'a HookSet) -> Pass<'a> {
        Pass {
            spec: &self.spec,
            hooks,
            blocks: &self.blocks,
            ops: self.ops,
            dropout: self.dropout,
            cache: None,
            rotation: self.rotation.clone(),
            tape: None,
            executor: self.executor.as_ref(),
            layout: self.layout.clone(),
            masks: self.masks.clone(),
        }
    }
}

impl Pass<'_> {
    /// x Wᵀ + b, recorded where there is a tape.
    pub fn linear(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
        match &self.tape {
            Some(tape) => tape.linear(self.ops, x, w, b),
            None => self.ops.linear(x, w, b),
        }
    }

    /// Rows of a table, recorded where there is a tape.
    fn embedding(&self, table: &Tensor, ids: &Tensor) -> Result<Tensor> {
        match &self.tape {
            Some(tape) => tape.embedding(self.ops, table, ids),
            None => self.ops.embedding(table, ids),
        }
    }

    /// Runs the hooks of a site; without any this is one bit test.
    #[inline]
    pub fn at(&self, layer: usize, site: Site, x: Tensor) -> Result<Tensor> {
        if self.hooks.wants(layer, site) { self.hooked(layer, site, x) } else { Ok(x) }
    }

    /// The same for rows of an expert; `tokens` are their places among the N = B·T.
    pub fn at_expert(&self, layer: usize, site: Site, expert: usize, tokens: &[u32], x: Tensor) -> Result<Tensor> {
        if !self.hooks.wants(layer, site) {
            return Ok(x);
        }
        let point = HookPoint::expert(layer, expert, site);
        self.hooks.apply(x, &HookCtx { point, tokens: Some(tokens), layout: &self.layout })
    }

    fn hooked(&self, layer: usize, site: Site, x: Tensor) -> Result<Tensor> {
        let point = HookPoint::of(layer, site);
        self.hooks.apply(x, &HookCtx { point, tokens: None, layout: &self.layout })
    }

    pub fn mask(&self, layer: usize) -> Result<&Tensor> {
        let window = self.spec.window[layer];
        let found = self.masks.iter().find(|(of, _)| *of == window).map(|(_, mask)| mask);
        found.ok_or_else(|| Error::NoParam { name: format!("mask of layer {layer}") })
    }
}

impl Model {
    /// Logits [B, T, V] of a batch; with a cache, of the columns that follow those it holds.
    ///
    /// # Errors
    /// Ids outside the vocabulary, rows longer than the model reads, a cache of another batch, or whatever a hook says.
    pub fn forward(&self, input: &Input, cache: Option<&mut KvCache>, hooks: &HookSet) -> Result<Tensor> {
        self.forward_with(input, cache, hooks, &PassOptions::default())
    }

    /// [`forward`](Self::forward) with options.
    ///
    /// # Errors
    /// As there.
    pub fn forward_with(
        &self,
        input: &Input,
        cache: Option<&mut KvCache>,
        hooks: &HookSet,
        options: &PassOptions,
    ) -> Result<Tensor> {
        let spec = &self.spec;
        let (outside, device) = (spec.n_layers, self.embedding.device());
        let past: Vec<Vec<bool>> = cache.as_ref().map_or_else(Vec::new, |cache| cache.real.clone());
        if !past.is_empty() && past.len() != input.batch() {
            return Err(Error::Length { what: "the batch", expected: past.len(), found: input.batch() });
        }
        input.check(spec, &past)?;
        let positions = input.positions(&past);
        let columns = past.first().map_or(0, Vec::len);
        let real: Vec<Vec<bool>> = if past.is_empty() {
            input.real.clone()
        } else {
            past.iter().zip(&input.real).map(|(past, new)| [past.as_slice(), new].concat()).collect()
        };
        let mut windows = spec.window.clone();
        windows.sort_unstable();
        windows.dedup();
        let mask = |window: Option<usize>| {
            input::mask(&real, columns, window, self.dtype(), device).map(|mask| (window, mask))
        };
        // Blocks that run again capture their routers.
        let whole_layout = !hooks.is_empty() || self.executor.is_some() || options.recompute.is_some();
        let mut pass = Pass {
            spec,
            ops: self.ops,
            hooks,
            dropout: options.dropout,
            rotation: self.rotation(&positions)?,
            tape: options.tape.clone(),
            masks: windows.into_iter().map(mask).collect::<Result<_>>()?,
            executor: self.executor.as_ref(),
            blocks: &self.blocks,
            layout: Arc::new(input.layout(positions, cache.as_deref(), whole_layout)),
            cache,
        };

        if let Some(tape) = &pass.tape {
            tape.start(input.batch(), input.columns())?;
        }
        let ids = input.tensor(device)?.flatten_all()?;
        let mut x = pass.embedding(&self.embedding, &ids)?;
        for change in &self.table_lora {
            x = (x + change.rows(&ids, &pass)?)?;
        }
        x = x.reshape((input.batch(), input.columns(), spec.d_model))?;
        if let Some(scale) = spec.embed_scale {
            // The factor is rounded to the model's dtype, as in the original.
            x = x.broadcast_mul(&Tensor::new(scale, device)?.to_dtype(self.dtype())?)?;
        }
        x = pass.at(outside, Site::Embed, x)?;
        if let Some(table) = &self.positions {
            let flat: Vec<u32> = pass.layout.positions.iter().flatten().copied().collect();
            let n = flat.len();
            let at = pass.embedding(table, &Tensor::from_vec(flat, n, device)?)?.reshape(x.shape())?;
            x = (x + pass.at(outside, Site::PosEmbed, at)?)?;
        }
        // What a cache holds can't be read twice, and a tape keeps what recomputing would drop.
        let recompute = options.recompute.as_ref().filter(|_| pass.cache.is_none() && pass.tape.is_none());
        let recompute = recompute.map(|left| (left, Arc::new(KeptPass::new(&pass))));
        for (l, block) in self.blocks.iter().enumerate() {
            x = match &recompute {
                Some((left, kept)) => left.block(kept, &x, l)?,
                None => block.forward(x, l, &mut pass)?,
            };
        }
        // Hooks at the end see all columns, as everywhere.
        let hooked = hooks.wants(outside, Site::LnFinal) || hooks.wants(outside, Site::Logits);
        let last = |x: Tensor| x.narrow(1, input.columns() - 1, 1)?.contiguous();
        if options.last_only && !hooked {
            x = last(x)?;
        }
        x = pass.at(outside, Site::LnFinal, self.final_norm.forward(&x, &pass)?)?;
        let mut logits =
            adapter::project(&self.head_lora, &x, self.head.as_ref().unwrap_or(&self.embedding), None, &pass)?;
        if let Some(cap) = spec.final_softcap {
            logits = self.ops.softcap(&logits, cap)?;
        }
        let mut logits = pass.at(outside, Site::Logits, logits)?;
        if options.last_only && hooked {
            logits = last(logits)?;
        }
        if let Some(cache) = pass.cache {
            cache.note(input, real);
        }
        Ok(logits)
    }

    /// cos and sin of the positions' angles, which are computed in f32 from integers.
    fn rotation(&self, positions: &[Vec<u32>]) -> Result<Option<(Tensor, Tensor)>> {
        let Some(rope) = &self.spec.rope else { return Ok(None) };
        let hd = self.spec.head_dim;
        let frequencies = rope.inverse_frequencies(hd);
        // Without padding all rows share their positions.
        let same = positions.iter().all(|row| row == &positions[0]);
        let rows = if same { &positions[..1] } else { positions };
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for &position in rows.iter().flatten() {
            // Both halves of the last dimension have the same angles.
            for _half in 0..2 {
                for f in &frequencies {
                    let angle = position as f32 * f;
                    cos.push(angle.cos());
                    sin.push(angle.sin());
                }
            }
        }
        let dtype = match (self.dtype(), self.spec.rope_in_f32) {
            (DType::F64, _) => DType::F64,
            (_, true) => DType::F32,
            (dtype, false) => dtype,
        };
        let shape = (rows.len(), positions[0].len(), 1, hd);
        let tensor =
            |values: Vec<f32>| Tensor::from_vec(values, shape, self.embedding.device()).and_then(|x| x.to_dtype(dtype));
        Ok(Some((tensor(cos)?, tensor(sin)?)))
    }
}
