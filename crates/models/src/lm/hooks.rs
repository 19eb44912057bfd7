//! Named places in the forward pass where activations are read and edited.
//!
//! The names are TransformerLens', so that published code can be transcribed: `blocks.3.hook_resid_post`,
//! `blocks.0.attn.hook_pattern`. They are resolved once, when a [`HookSet`] is built; in the forward pass a site without
//! hooks costs one bit test. Edits are made of differentiable operations.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex},
};

use candle_core::Tensor;

use super::{config::ModelSpec, family::NormPlace};
use crate::{Error, Result};

macro_rules! sites {
    ($($variant:ident, $name:literal, $layered:literal, $shape:literal, $place:literal;)*) => {
        /// A place in the forward pass.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Site {
            $(#[doc = concat!("`", $name, "` `", $shape, "`: ", $place, ".")] $variant,)*
        }

        /// Every site: its value, its name, whether each layer has one, its shape, where it stands.
        pub const SITES: &[SiteInfo] = &[
            $(SiteInfo { site: Site::$variant, name: $name, layered: $layered, shape: $shape, place: $place },)*
        ];
    };
}

/// One row of the table of sites.
#[derive(Clone, Copy, Debug)]
pub struct SiteInfo {
    /// The site.
    pub site: Site,
    /// Its name, after `blocks.{l}.` if layered.
    pub name: &'static str,
    /// Whether each layer has one.
    pub layered: bool,
    /// Shape of the tensor.
    pub shape: &'static str,
    /// Where it stands.
    pub place: &'static str,
}

sites! {
    Embed, "hook_embed", false, "[B,T,d]", "token embedding, scaled where the family scales it";
    PosEmbed, "hook_pos_embed", false, "[B,T,d]", "learned position embedding (gpt2)";
    ResidPre, "hook_resid_pre", true, "[B,T,d]", "residual stream before the block";
    Ln1, "ln1.hook_normalized", true, "[B,T,d]", "input of attention (not in olmo2)";
    Q, "attn.hook_q", true, "[B,T,H,hd]", "queries after bias, norm and clip, before rotation";
    K, "attn.hook_k", true, "[B,T,Hkv,hd]", "keys, likewise";
    V, "attn.hook_v", true, "[B,T,Hkv,hd]", "values";
    RotQ, "attn.hook_rot_q", true, "[B,T,H,hd]", "queries after rotation";
    RotK, "attn.hook_rot_k", true, "[B,T,Hkv,hd]", "keys after rotation";
    AttnScores, "attn.hook_attn_scores", true, "[B,H,T,S]", "scores after scale and softcap, before the mask";
    Pattern, "attn.hook_pattern", true, "[B,H,T,S]", "attention after the softmax";
    Z, "attn.hook_z", true, "[B,T,H,hd]", "mixed values of each head, before W_O";
    AttnResult, "attn.hook_result", true, "[B,T,H,d]", "each head's part of the output (computed only when hooked)";
    AttnOut, "hook_attn_out", true, "[B,T,d]", "what attention adds to the residual stream";
    ResidMid, "hook_resid_mid", true, "[B,T,d]", "residual stream between attention and MLP";
    Ln2, "ln2.hook_normalized", true, "[B,T,d]", "input of the MLP (not in olmo2)";
    MlpPre, "mlp.hook_pre", true, "[B,T,d_ff]", "gate before the activation (dense layers)";
    MlpPreLinear, "mlp.hook_pre_linear", true, "[B,T,d_ff]", "up projection (gated dense layers)";
    MlpPost, "mlp.hook_post", true, "[B,T,d_ff]", "the neurons: input of the down projection (dense layers)";
    RouterLogits, "mlp.hook_router_logits", true, "[N,E]", "router logits, N = B·T (sparse layers)";
    ExpertWeights, "mlp.hook_expert_weights", true, "[N,k]", "weights of the chosen experts (sparse layers)";
    ExpertIdx, "mlp.hook_expert_idx", true, "[N,k]", "indices of the chosen experts (sparse layers)";
    SharedOut, "mlp.hook_shared_out", true, "[B,T,d]", "shared expert after its gate (qwen2_moe)";
    MlpOut, "hook_mlp_out", true, "[B,T,d]", "what the MLP adds to the residual stream";
    ResidPost, "hook_resid_post", true, "[B,T,d]", "residual stream after the block";
    LnFinal, "ln_final.hook_normalized", false, "[B,T,d]", "input of the head";
    Logits, "hook_logits", false, "[B,T,V]", "logits after the final softcap";
}

impl Site {
    /// Its row of [`SITES`].
    pub fn info(self) -> &'static SiteInfo {
        &SITES[self as usize]
    }

    /// Whether a layer of this model has it.
    fn exists(self, spec: &ModelSpec, layer: usize) -> bool {
        let sparse = spec.moe[layer].is_some();
        match self {
            Self::PosEmbed => spec.learned_pos,
            Self::Ln1 | Self::Ln2 => spec.norm_place != NormPlace::Post,
            Self::RotQ | Self::RotK => spec.rope.is_some(),
            Self::MlpPre | Self::MlpPost => !sparse,
            Self::MlpPreLinear => !sparse && spec.gated,
            Self::RouterLogits | Self::ExpertWeights | Self::ExpertIdx => sparse,
            Self::SharedOut => spec.moe[layer].is_some_and(|moe| moe.shared.is_some()),
            _ => true,
        }
    }
}

/// A site in a layer, or one outside the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// The layer, `None` for `hook_embed`, `hook_pos_embed`, `ln_final.hook_normalized` and `hook_logits`.
    pub layer: Option<u16>,
    /// The site.
    pub site: Site,
}

impl HookPoint {
    /// A site of a layer.
    pub fn of(layer: usize, site: Site) -> Self {
        Self { layer: u16::try_from(layer).ok().filter(|_| site.info().layered), site }
    }

    /// Every point of a model, in the order of the forward pass.
    pub fn all(spec: &ModelSpec) -> Vec<Self> {
        let outside = |site: &&SiteInfo| !site.layered && site.site.exists(spec, 0);
        let (first, last): (Vec<_>, Vec<_>) = SITES.iter().filter(outside).partition(|i| i.site < Site::ResidPre);
        let layered = |l: usize| SITES.iter().filter(move |i| i.layered && i.site.exists(spec, l)).map(move |i| (l, i));
        let point = |info: &SiteInfo| Self { layer: None, site: info.site };
        let mut points: Vec<Self> = first.into_iter().map(point).collect();
        points.extend((0..spec.n_layers).flat_map(layered).map(|(l, info)| Self::of(l, info.site)));
        points.extend(last.into_iter().map(point));
        points
    }

    fn check(self, spec: &ModelSpec) -> Result<()> {
        let layer = self.layer.map_or(0, usize::from);
        if layer < spec.n_layers && self.layer.is_some() == self.site.info().layered && self.site.exists(spec, layer) {
            return Ok(());
        }
        let mut known: Vec<String> = SITES
            .iter()
            .filter(|i| (0..spec.n_layers).any(|l| i.site.exists(spec, l)))
            .map(|i| i.name.to_owned())
            .collect();
        known.sort();
        Err(Error::NoSite { point: self.to_string(), layers: spec.n_layers, known })
    }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "blocks.{layer}.{}", self.site.info().name),
            None => f.write_str(self.site.info().name),
        }
    }
}

impl FromStr for HookPoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::HookName { name: text.to_owned() };
        let (layer, name) = match text.strip_prefix("blocks.") {
            Some(rest) => {
                let (layer, name) = rest.split_once('.').ok_or_else(unknown)?;
                (Some(layer.parse().map_err(|_| unknown())?), name)
            }
            None => (None, text),
        };
        let found = SITES.iter().find(|i| i.name == name && i.layered == layer.is_some()).ok_or_else(unknown)?;
        Ok(Self { layer, site: found.site })
    }
}

/// What a hook is told.
#[derive(Debug)]
pub struct HookCtx<'a> {
    /// Where it stands.
    pub point: HookPoint,
    /// Position of each token in its row, padding not counted: `positions[row][column]`.
    pub positions: &'a [Vec<u32>],
    /// Whether a column of a row is a token, not padding.
    pub real: &'a [Vec<bool>],
    /// What each row is to the caller: its index among a generation's prompts, also when finished rows have left the batch.
    pub rows: &'a [usize],
    /// Tokens of each row's prompt: without a cache all of them, with one those of its first call.
    pub prompt: &'a [usize],
}

/// Reads or edits an activation.
pub trait Hook: Send + Sync {
    /// Returns the activation that the forward pass goes on with.
    ///
    /// # Errors
    /// Whatever stops the forward pass.
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor>;
}

impl<F: Fn(Tensor, &HookCtx) -> Result<Tensor> + Send + Sync> Hook for F {
    fn call(&self, x: Tensor, ctx: &HookCtx) -> Result<Tensor> {
        self(x, ctx)
    }
}

/// Activations by their place.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<BTreeMap<HookPoint, Tensor>>>);

impl Captured {
    /// The activation at a point, where it was captured.
    pub fn get(&self, point: HookPoint) -> Option<Tensor> {
        self.lock().get(&point).cloned()
    }

    /// All of them, by name.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.lock().iter().map(|(point, tensor)| (point.to_string(), tensor.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<HookPoint, Tensor>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

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

    /// Adds a hook.
    ///
    /// # Errors
    /// [`Error::NoSite`] where this model has no such point.
    pub fn on(mut self, spec: &ModelSpec, point: HookPoint, hook: impl Hook + 'static) -> Result<Self> {
        point.check(spec)?;
        self.wanted.resize(spec.n_layers + 1, 0);
        let entry = point.layer.map_or(spec.n_layers, usize::from);
        self.wanted[entry] |= 1 << point.site as u64;
        self.hooks.entry(point).or_default().push(Arc::new(hook));
        Ok(self)
    }

    /// Adds a capture at each point: the activation as it is at that place in the order.
    ///
    /// # Errors
    /// [`Error::NoSite`] where this model has no such point.
    pub fn capture(mut self, spec: &ModelSpec, points: &[HookPoint]) -> Result<(Self, Captured)> {
        let captured = Captured::default();
        for &point in points {
            let into = captured.clone();
            self = self.on(spec, point, move |x: Tensor, ctx: &HookCtx| {
                into.lock().insert(ctx.point, x.clone());
                Ok(x)
            })?;
        }
        Ok((self, captured))
    }

    /// Whether a hook stands there.
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
