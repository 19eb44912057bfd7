//! Inactive attention heads ("Identifying and Evaluating Inactive Heads in Pretrained LLMs"): 13 scores, their
//! thresholds, and what removing the heads costs.
//!
//! Per layer and per *sample*: A is the attention after the softmax (H × S × S, causal), V the values repeated to query
//! heads (heads of one group share value scores), O_h = A_h·V_h the head's output before W_O. Norms are ℓ2 over the head's
//! dimensions, means run over tokens. Scores are taken per sample and averaged afterwards; attention averaged over a batch
//! first gives other numbers.
//!
//! | score | of head h | inactive if |
//! |---|---|---|
//! | `awft` | mean over query rows of A\[:, 0\] | above |
//! | `aeqd` | mean over query rows of −Σ A·ln A (nats; the first row counts with 0) | below |
//! | `ftvvn` | ‖V₀‖ | below |
//! | `avvn` | mean ‖V_t‖ | below |
//! | `lthon` | ‖O_last‖ | below |
//! | `ahon` | mean ‖O_t‖ | below |
//! | `fhon` | mean ‖O_t·W_O\[h\]‖, where W_O is given | below |
//! | `…-ln` | divided by its mean over the layer's heads | same |
//! | `lthon-ln` | ‖O_last‖ / the layer's mean of `ahon`, **not** of `lthon` | below |
//! | `lthon-hn` | ‖O_last‖ / the head's own `ahon` | below |
//!
//! Padding on the right is told by the valid length L: queries, keys and tokens from L on don't count. The published code
//! leaves padded keys out but averages `awft` and `aeqd` over padded query rows too ([`Compat::Official`]).

mod compute;
mod input;
mod threshold;

use std::str::FromStr;

pub use compute::score;
pub use input::{Attention, Scalar, Values};
pub use threshold::{threshold, within};

use crate::{Error, Result};

/// Which side of its threshold makes a head inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Inactive below.
    Less,
    /// Inactive above.
    Greater,
}

/// How padded query rows count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// Not at all.
    #[default]
    Ours,
    /// In the means of `awft` and `aeqd`, as in the published code.
    Official,
}

macro_rules! scores {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $side:ident;)+) => {
        /// A head's score.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Score {
            $($(#[$doc])* $variant,)+
        }

        impl Score {
            /// Every score; the last two need W_O.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Which heads it calls inactive.
            pub fn side(self) -> Side {
                match self { $(Self::$variant => Side::$side,)+ }
            }
        }
    };
}

scores! {
    /// Average weight of the first token.
    Awft = "awft", Greater;
    /// The same over the layer's mean.
    AwftLn = "awft-ln", Greater;
    /// Average entropy of the query distributions, in nats.
    Aeqd = "aeqd", Less;
    /// The same over the layer's mean.
    AeqdLn = "aeqd-ln", Less;
    /// First token's value vector norm.
    Ftvvn = "ftvvn", Less;
    /// The same over the layer's mean.
    FtvvnLn = "ftvvn-ln", Less;
    /// Average value vector norm.
    Avvn = "avvn", Less;
    /// The same over the layer's mean.
    AvvnLn = "avvn-ln", Less;
    /// Last token's head output norm.
    Lthon = "lthon", Less;
    /// The same over the layer's mean of the *average* output norms.
    LthonLn = "lthon-ln", Less;
    /// The same over the head's own average output norm.
    LthonHn = "lthon-hn", Less;
    /// Average head output norm.
    Ahon = "ahon", Less;
    /// The same over the layer's mean.
    AhonLn = "ahon-ln", Less;
    /// Average norm of the head's contribution to the residual stream, O·W_O.
    Fhon = "fhon", Less;
    /// The same over the layer's mean.
    FhonLn = "fhon-ln", Less;
}

impl Score {
    /// Whether the score needs W_O.
    pub fn needs_w_o(self) -> bool {
        matches!(self, Self::Fhon | Self::FhonLn)
    }
}

impl FromStr for Score {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|score| score.name() == name).copied().ok_or_else(|| Error::Unknown {
            noun: "score",
            found: name.to_owned(),
            valid: Self::ALL.iter().map(|score| score.name()).chain(["all"]).collect(),
        })
    }
}
