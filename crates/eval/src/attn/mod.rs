//! Attention maps of video diffusion transformers ("Analysis of Attention in Video Diffusion Transformers"): density,
//! sinks, locality, and how alike two maps are.
//!
//! A map is S × S, rows are queries and sum to 1, and tokens look both ways. Of the S tokens T·H·W are video, in the order
//! of frame, row, column; the others are text, after the video or before it ([`Grid::text_first`]).
//!
//! The paper's own metrics could not be read in full; the formulas are ours, each stated where it is computed.

mod locality;
mod similarity;
mod structure;

pub use locality::{Grid, Locality, locality};
pub use similarity::{Similarity, similarity};
pub use structure::{Sink, column_share, density, overlap, sinks, value_norm_ratio};
