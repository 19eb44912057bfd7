#![doc = include_str!("../README.md")]

mod error;
mod escape;
mod export;
mod html;
mod model;
mod number;
pub mod svg;

pub use error::{Error, Result};
pub use model::*;
pub use number::Format;
pub use svg::Size;
