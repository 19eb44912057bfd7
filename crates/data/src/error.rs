//! What can go wrong with data, as fields a program can use and one sentence that says what to do.

use std::{fmt, io, path::PathBuf};

/// Shorthand with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a file the problem lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A byte, counted from 0.
    Byte(u64),
    /// A record (image, example), counted from 0.
    Record(u64),
    /// A line of text, counted from 1.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Byte(n) => write!(f, ", byte {n}"),
            Self::Record(n) => write!(f, ", record {n}"),
            Self::Line(n) => write!(f, ", line {n}"),
        }
    }
}

/// Everything this crate refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `write`, ….
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// A file is not what its format demands.
    #[error("{}{place}: {problem}; {remedy}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Byte, record or line.
        place: Place,
        /// What was found and what was expected.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
    /// A set that has to be on the disk is not there.
    #[error(
        "no data for `{name}`: looked for {}; set `path` or ASHLAR_DATA{}",
        list(tried),
        if *fetchable { format!(", or run `ashlar data fetch {name}`") } else { String::new() }
    )]
    Missing {
        /// The set.
        name: String,
        /// Every path that was looked at, in order.
        tried: Vec<PathBuf>,
        /// Whether `ashlar data fetch` can bring it.
        fetchable: bool,
    },
    /// No set has this name.
    #[error("`{name}` is no data set; say one of {}", known.join(", "))]
    UnknownSet {
        /// As the user wrote it.
        name: String,
        /// The names that exist here.
        known: Vec<&'static str>,
    },
    /// A field of a specification (or an argument) has a value that cannot work.
    #[error("`{field}`: {problem}")]
    Value {
        /// The field or argument.
        field: &'static str,
        /// What was given, and what works.
        problem: String,
    },
    /// Arrays that must agree in length do not.
    #[error("{what} has {found} elements, expected {expected}")]
    Length {
        /// The array.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits the others.
        expected: usize,
    },
    /// An example of a set being built is wrong.
    #[error("example {index}: {problem}")]
    Example {
        /// Counted from 0.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A download failed.
    #[error("cannot fetch {url}: {problem}; {remedy}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// What happened.
        problem: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Error {
    /// Whether the caller's input is to blame (exit code 2) rather than the disk or the network (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
                matches!(source.kind(), NotFound | IsADirectory | NotADirectory)
            }
            Self::Fetch { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn value(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Value { field, problem: problem.into() }
    }

    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
