#![doc = include_str!("../README.md")]

pub mod accountant;
pub mod calibrate;
#[cfg(feature = "cli")]
pub mod cli;
pub mod convert;
mod error;
mod event;
pub mod gdp;
pub mod hpo;
pub mod pld;
pub mod pure;
pub mod rdp;
pub mod zcdp;

pub use accountant::{Accountant, Bound, BoundKind, Kind};
pub use calibrate::calibrate;
pub use error::{Error, Result};
pub use event::{Event, Mechanism, Neighboring};
