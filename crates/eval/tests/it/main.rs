//! One binary: a module a subject.

mod diagnostics;
mod support;
mod tables;
