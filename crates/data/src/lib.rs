//! Datasets, partitions and samplers for trustworthy-learning experiments, with procedural sets that need no download.

pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
mod error;
#[cfg(feature = "http")]
pub mod fetch;
mod load;
pub mod partition;
mod paths;
pub mod procedural;
pub mod read;
pub mod sampler;
mod set;
mod spec;
mod text;

pub use error::{Error, Place, Result};
pub use load::load;
pub use paths::{cache_dir, shared_data_dir};
pub use set::{LabelledSet, Scaling, Split};
pub use spec::{Column, DataSpec, Fit};
pub use text::{TextSet, TextSplit, load_text};
