use std::{
    io,
    path::{Path, PathBuf},
};

/// What can go wrong in this crate; [`is_input`](Error::is_input) tells a wrong input from a failure while running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice has another length than the one it must match.
    #[error("{what} has {found} elements, but {expected} were expected")]
    Length {
        /// The offending slice.
        what: String,
        /// Length asked for.
        expected: usize,
        /// Length given.
        found: usize,
    },
    /// A number lies outside its range.
    #[error("{field} = {value} is not valid: it must be {expected}")]
    Value {
        /// Name as in the configuration.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// An optimiser's saved state doesn't fit it.
    #[error("the saved state has no {expected} (it has: {found}); it belongs to another optimiser")]
    State {
        /// Name looked for.
        expected: String,
        /// Names there.
        found: String,
    },
    /// A folder that can't start a new run.
    #[error("{} already holds {what}: choose another folder, or resume the run with --resume", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
        /// What is in the way.
        what: String,
    },
    /// A folder that holds no run to resume.
    #[error("{} holds no run to resume: there is no config.toml", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// Another process works in the folder.
    #[error("{} is in use by another process{}", path.display(), pid.as_ref().map(|p| format!(" (pid {p})")).unwrap_or_default())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Process that wrote the lock, if readable.
        pid: Option<String>,
    },
    /// The configuration isn't the one that the run was started with.
    #[error(
        "{} was started with another configuration (hash {expected}, now {found}; first difference: {difference}): resume with the original one or choose another folder",
        path.display()
    )]
    ConfigChanged {
        /// The folder.
        path: PathBuf,
        /// Hash in the folder.
        expected: String,
        /// Hash of the configuration given.
        found: String,
        /// First line that differs.
        difference: String,
    },
    /// A checkpoint is incomplete or damaged.
    #[error("checkpoint {} is broken: {reason}", path.display())]
    Broken {
        /// Its folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint doesn't hold an array, or holds it with another type.
    #[error("the checkpoint has no {dtype} array {name:?} (it has: {found})")]
    NoArray {
        /// Name looked for.
        name: String,
        /// Type looked for.
        dtype: &'static str,
        /// What is there.
        found: String,
    },
    /// A name that can't be used in a checkpoint.
    #[error("array name {name:?} is not valid: {reason}")]
    ArrayName {
        /// The name.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Turning tensors into safetensors failed.
    #[error("cannot encode {what}: {source}")]
    Encode {
        /// The file's name.
        what: String,
        /// The library's answer.
        source: safetensors::SafeTensorError,
    },
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// Whether the input or the usage is wrong (exit code 2) rather than the run (exit code 1).
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            // A file where a folder must be: the wrong path was given.
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotADirectory,
            Self::Encode { .. } | Self::Candle(_) | Self::Broken { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn same_length(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what: what.to_owned(), expected, found }) }
}
