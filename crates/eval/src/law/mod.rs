//! Scaling laws: Gemstones (McLeish et al., 2025), with Chinchilla's (Hoffmann et al., 2022) and its refit (Besiroglu et
//! al., 2024) beside it.
//!
//! | question | module |
//! |---|---|
//! | what does a model of this width and depth cost? | [`shape`] |
//! | which sizes lie on the compute frontier? (approach 1) | [`envelope`] |
//! | which law do the losses follow? (approach 3) | [`parametric`] |
//! | what size and how many tokens for this budget? | [`prescribe`], [`width_depth`] |
//! | how far do the exponents depend on the table? | [`sweep`] |
//! | are these the published fits? | [`published`] |
//! | how does another quantity scale? | [`power`], [`benchmark`] |

pub mod benchmark;
pub mod envelope;
pub mod parametric;
pub mod points;
pub mod power;
pub mod prescribe;
pub mod published;
pub mod shape;
pub mod sweep;
pub mod width_depth;

pub use envelope::{Envelope, EnvelopeMethod};
pub use parametric::{Bootstrap, Fit, FitOptions, Loss, Starts};
pub use points::{Layout, Points, Resource, Variable};
pub use prescribe::Law;
pub use shape::Shape;
