#![doc = include_str!("../README.md")]

pub mod claims;
pub mod command;
pub mod doctor;
pub mod execute;
pub mod experiment;
pub mod html;
pub mod library;
pub mod metric;
pub mod outcome;
pub mod papers;
pub mod reproduce;
pub mod run;
pub mod store;
pub mod summary;

pub use command::main;

/// The repository's README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
