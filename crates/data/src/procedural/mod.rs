//! Sets made from a seed, with no download: the defaults of experiments and tests.

pub mod images;
pub mod text;
