//! The families of decoder-only transformers, one row each.
//!
//! What distinguishes llama from gemma2 is data: where the norms stand, which projections have a bias, which layers
//! slide a window, what a missing key of `config.json` means. [`FAMILIES`] holds it; everything else is one
//! implementation. The defaults are those of the classes in `transformers` 5, since a file that omits a key means them.

use Family::{Gemma2, Gpt2, Llama, Mistral, Mixtral, Olmo, Olmo2, Olmoe, Qwen2, Qwen2Moe, Qwen3, Qwen3Moe};

/// A family, by the `model_type` of its `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the families' own names")]
pub enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Gemma2,
    Olmo,
    Olmo2,
    Gpt2,
    Mixtral,
    Qwen2Moe,
    Qwen3Moe,
    Olmoe,
}

/// When the RMS norm's weight is applied, which differs in bf16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmsWeight {
    /// Cast the normalised value to the model's dtype, then multiply by w (llama, qwen, mixtral, olmoe).
    AfterCast,
    /// Multiply by w in f32, cast last (olmo2).
    BeforeCast,
    /// Multiply by 1 + w in f32, cast last (gemma).
    PlusOne,
}

/// Kind of normalisation with its epsilon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// x / sqrt(mean(x²) + eps), times a weight.
    Rms {
        /// Added to the mean square.
        eps: f64,
        /// How the weight enters.
        weight: RmsWeight,
    },
    /// (x − mean) / sqrt(var + eps), with weight and bias if affine.
    Layer {
        /// Added to the variance.
        eps: f64,
        /// Whether there are weight and bias.
        affine: bool,
    },
}

/// Where the norms of a block stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// x + f(norm(x)).
    Pre,
    /// x + norm(f(x)).
    Post,
    /// x + norm(f(norm(x))).
    PreAndPost,
}

/// Normalisation of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// None.
    None,
    /// Each head's vector, weight of `head_dim`, after the reshape to heads.
    PerHead,
    /// The whole projection, weight of `heads · head_dim`, before the reshape.
    Whole,
}

/// Which attention projections have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BiasRule {
    /// None ever.
    Never,
    /// q, k, v and o if `attention_bias`.
    Key,
    /// q, k and v always, o never.
    Qkv,
    /// q, k and v unless `qkv_bias` is false, o never.
    QkvKey,
    /// All of them, and the MLP's (GPT-2).
    Always,
}

/// Which layers slide a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowRule {
    /// None; `sliding_window` is ignored.
    Never,
    /// All, where `sliding_window` is a number; absent means this.
    All {
        /// Window of a file without the key.
        absent: Option<usize>,
    },
    /// `layer_types`, else layers 0, 2, 4, … (Gemma 2).
    Even,
    /// If `use_sliding_window`: `layer_types`, else layers ≥ `max_window_layers`.
    FromMaxWindowLayers,
    /// If `use_sliding_window`: `layer_types`, else even layers < `max_window_layers`.
    EvenBelowMaxWindowLayers,
    /// If `use_sliding_window`: all.
    AllIfUsed,
}

/// Mixture-of-experts defaults of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MoeRule {
    /// Where the width of an expert stands.
    pub width_key: &'static str,
    /// Experts a token, where the key is absent.
    pub top_k: usize,
    /// Whether the top-k weights always sum to 1; otherwise `norm_topk_prob`, absent = false.
    pub renorm_always: bool,
    /// Whether there is a shared expert behind a sigmoid gate.
    pub shared: bool,
    /// Whether `decoder_sparse_step` and `mlp_only_layers` choose the sparse layers.
    pub sparse_step: bool,
    /// `router_aux_loss_coef` of a file without the key.
    pub aux_coef: f64,
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyRow {
    pub family: Family,
    pub model_type: &'static str,
    /// Epsilon of a file without the key.
    pub norm: NormKind,
    /// Where the epsilon stands; `None`: it is fixed.
    pub eps_key: Option<&'static str>,
    pub place: NormPlace,
    pub qk_norm: QkNorm,
    pub bias: BiasRule,
    /// Where the activation stands, and its default.
    pub act: (&'static str, &'static str),
    /// `tie_word_embeddings` of a file without the key.
    pub tied: bool,
    /// Base of the rotary embedding of a file without the key; `None`: learned positions.
    pub rope_theta: Option<f64>,
    /// Whether queries and keys are rotated in f32 and cast afterwards.
    pub rope_in_f32: bool,
    /// Head size of a file without the key; `None`: d / heads.
    pub head_dim: Option<usize>,
    /// Whether `num_key_value_heads` may be absent (then one per query head).
    pub kv_absent_is_heads: bool,
    pub window: WindowRule,
    pub clip_qkv: bool,
    pub moe: Option<MoeRule>,
}

const LLAMA_NORM: NormKind = NormKind::Rms { eps: 1e-6, weight: RmsWeight::AfterCast };

const LLAMA: FamilyRow = FamilyRow {
    family: Llama,
    model_type: "llama",
    norm: LLAMA_NORM,
    eps_key: Some("rms_norm_eps"),
    place: NormPlace::Pre,
    qk_norm: QkNorm::None,
    bias: BiasRule::Key,
    act: ("hidden_act", "silu"),
    tied: false,
    rope_theta: Some(1e4),
    rope_in_f32: false,
    head_dim: None,
    kv_absent_is_heads: true,
    window: WindowRule::Never,
    clip_qkv: false,
    moe: None,
};

const MISTRAL: FamilyRow = FamilyRow {
    family: Mistral,
    model_type: "mistral",
    bias: BiasRule::Never,
    kv_absent_is_heads: false,
    window: WindowRule::All { absent: Some(4096) },
    ..LLAMA
};

const QWEN2: FamilyRow = FamilyRow {
    family: Qwen2,
    model_type: "qwen2",
    bias: BiasRule::Qkv,
    window: WindowRule::FromMaxWindowLayers,
    ..MISTRAL
};

const QWEN3: FamilyRow = FamilyRow {
    family: Qwen3,
    model_type: "qwen3",
    bias: BiasRule::Key,
    qk_norm: QkNorm::PerHead,
    head_dim: Some(128),
    ..QWEN2
};

/// All families that can be loaded.
pub(crate) const FAMILIES: &[FamilyRow] = &[
    LLAMA,
    MISTRAL,
    QWEN2,
    QWEN3,
    FamilyRow {
        family: Gemma2,
        model_type: "gemma2",
        norm: NormKind::Rms { eps: 1e-6, weight: RmsWeight::PlusOne },
        place: NormPlace::PreAndPost,
        act: ("hidden_activation", "gelu_pytorch_tanh"),
        tied: true,
        head_dim: Some(256),
        kv_absent_is_heads: false,
        window: WindowRule::Even,
        ..LLAMA
    },
    FamilyRow {
        family: Olmo,
        model_type: "olmo",
        norm: NormKind::Layer { eps: 1e-5, affine: false },
        eps_key: None,
        rope_in_f32: true,
        clip_qkv: true,
        ..LLAMA
    },
    FamilyRow {
        family: Olmo2,
        model_type: "olmo2",
        norm: NormKind::Rms { eps: 1e-5, weight: RmsWeight::BeforeCast },
        place: NormPlace::Post,
        qk_norm: QkNorm::Whole,
        rope_in_f32: true,
        ..LLAMA
    },
    FamilyRow {
        family: Gpt2,
        model_type: "gpt2",
        norm: NormKind::Layer { eps: 1e-5, affine: true },
        eps_key: Some("layer_norm_epsilon"),
        bias: BiasRule::Always,
        act: ("activation_function", "gelu_new"),
        tied: true,
        rope_theta: None,
        ..LLAMA
    },
    FamilyRow {
        family: Mixtral,
        model_type: "mixtral",
        norm: NormKind::Rms { eps: 1e-5, weight: RmsWeight::AfterCast },
        rope_theta: Some(1e6),
        window: WindowRule::All { absent: None },
        moe: Some(MoeRule {
            width_key: "intermediate_size",
            top_k: 2,
            renorm_always: true,
            shared: false,
            sparse_step: false,
            aux_coef: 0.001,
        }),
        ..MISTRAL
    },
    FamilyRow {
        family: Qwen2Moe,
        model_type: "qwen2_moe",
        bias: BiasRule::QkvKey,
        window: WindowRule::EvenBelowMaxWindowLayers,
        moe: Some(MoeRule {
            width_key: "moe_intermediate_size",
            top_k: 4,
            renorm_always: false,
            shared: true,
            sparse_step: true,
            aux_coef: 0.001,
        }),
        ..QWEN2
    },
    FamilyRow {
        family: Qwen3Moe,
        model_type: "qwen3_moe",
        head_dim: None,
        window: WindowRule::AllIfUsed,
        moe: Some(MoeRule {
            width_key: "moe_intermediate_size",
            top_k: 8,
            renorm_always: false,
            shared: false,
            sparse_step: true,
            aux_coef: 0.001,
        }),
        ..QWEN3
    },
    FamilyRow {
        family: Olmoe,
        model_type: "olmoe",
        norm: NormKind::Rms { eps: 1e-5, weight: RmsWeight::AfterCast },
        qk_norm: QkNorm::Whole,
        clip_qkv: true,
        moe: Some(MoeRule {
            width_key: "intermediate_size",
            top_k: 8,
            renorm_always: false,
            shared: false,
            sparse_step: false,
            aux_coef: 0.01,
        }),
        ..LLAMA
    },
];

impl Family {
    /// The `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        self.row().model_type
    }

    /// Every `model_type` that can be loaded.
    pub fn model_types() -> Vec<&'static str> {
        FAMILIES.iter().map(|row| row.model_type).collect()
    }

    /// The family of a `model_type`.
    pub fn find(model_type: &str) -> Option<Self> {
        FAMILIES.iter().find(|row| row.model_type == model_type).map(|row| row.family)
    }

    pub(crate) fn row(self) -> &'static FamilyRow {
        // The rows stand in the order of the enum; a test walks them.
        &FAMILIES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_enums_order() {
        for (i, row) in FAMILIES.iter().enumerate() {
            assert_eq!(row.family as usize, i, "{}", row.model_type);
            assert_eq!(Family::find(row.model_type), Some(row.family));
        }
    }
}
