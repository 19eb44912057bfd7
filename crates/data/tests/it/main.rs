//! What the crate promises, from outside.

#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "http")]
mod fetch;
mod files;
mod partitions;
mod procedural;
mod real;
mod samplers;
