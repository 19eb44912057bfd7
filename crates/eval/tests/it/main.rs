//! One binary: a module a subject.

mod support;
mod tables;
