//! The table of sites.

use crate::lm::{config::ModelSpec, family::NormPlace};

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
    /// Shape of the tensor: B rows, T columns of this call, S columns read so far, N = B·T, n_e rows of an expert.
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
    RotQ, "attn.hook_rot_q", true, "[B,T,H,hd]", "queries after rotation (not in gpt2)";
    RotK, "attn.hook_rot_k", true, "[B,T,Hkv,hd]", "keys after rotation (not in gpt2)";
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
    RouterLogits, "mlp.hook_router_logits", true, "[N,E]", "router logits (sparse layers)";
    ExpertIdx, "mlp.hook_expert_idx", true, "[N,k]", "indices of the chosen experts (sparse layers)";
    ExpertWeights, "mlp.hook_expert_weights", true, "[N,k]", "weights of the chosen experts (sparse layers)";
    ExpertPost, "mlp.experts.{e}.hook_post", true, "[n_e,d_ff]", "the neurons of expert e, at the tokens that chose it";
    ExpertOut, "mlp.experts.{e}.hook_out", true, "[n_e,d]", "output of expert e before its weight, at the tokens that chose it";
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

    /// Whether each expert of a layer has one.
    pub fn of_expert(self) -> bool {
        matches!(self, Self::ExpertPost | Self::ExpertOut)
    }

    /// Axis of the heads.
    pub(crate) fn heads_axis(self) -> Option<usize> {
        match self {
            Self::AttnScores | Self::Pattern => Some(1), // [B, H, T, S]
            Self::Q | Self::K | Self::V | Self::RotQ | Self::RotK | Self::Z | Self::AttnResult => Some(2), // [B, T, H, ·]
            _ => None,
        }
    }

    /// Whether a layer of this model has it.
    pub(super) fn exists(self, spec: &ModelSpec, layer: usize) -> bool {
        let moe = spec.moe.get(layer).copied().flatten();
        match self {
            Self::PosEmbed => spec.learned_pos,
            Self::Ln1 | Self::Ln2 => spec.norm_place != NormPlace::Post,
            Self::RotQ | Self::RotK => spec.rope.is_some(),
            Self::MlpPre | Self::MlpPost => moe.is_none(),
            Self::MlpPreLinear => moe.is_none() && spec.gated,
            Self::RouterLogits | Self::ExpertWeights | Self::ExpertIdx | Self::ExpertPost | Self::ExpertOut => {
                moe.is_some()
            }
            Self::SharedOut => moe.is_some_and(|moe| moe.shared.is_some()),
            _ => true,
        }
    }
}
