//! What can go wrong, as data.

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can fail in this crate; the fields name the offending thing and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The number of kept coordinates does not fit the vector.
    #[error("k = {k} of d = {d} coordinates cannot be kept: choose k between 1 and {d}")]
    KeepCount {
        /// What was asked for.
        k: u64,
        /// The coordinates there are.
        d: u64,
    },
    /// A setting has a value that cannot work.
    #[error("`{field}` is {found}: expected {expected}")]
    Setting {
        /// The setting, spelled as in TOML.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Two settings exclude each other.
    #[error("`{first}` and `{second}` exclude each other: {why}")]
    Conflict {
        /// One setting.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// What to do instead.
        why: &'static str,
    },
    /// A vector has another length than the model.
    #[error("{what} has {found} numbers where {expected} are needed")]
    Length {
        /// Which vector.
        what: String,
        /// The length there should be.
        expected: usize,
        /// The length there is.
        found: usize,
    },
    /// A robust aggregator has too few updates for the number of attackers that it shall withstand.
    #[error(
        "{method} with f = {f} needs at least {needed} updates a round and has {found}: lower f or sample more clients"
    )]
    TooFewUpdates {
        /// The aggregator.
        method: &'static str,
        /// The assumed number of attackers.
        f: usize,
        /// The fewest updates with which it is defined.
        needed: usize,
        /// The updates there are.
        found: usize,
    },
    /// More updates held NaN or infinity than allowed.
    #[error(
        "{dropped} of {clients} updates hold NaN or infinity and `max_drop` allows {max_drop}: lower the client's learning rate"
    )]
    TooManyDropped {
        /// Updates that were not finite.
        dropped: usize,
        /// Updates in all.
        clients: usize,
        /// The limit.
        max_drop: usize,
    },
    /// No update is left to aggregate.
    #[error("no client sent a usable update in this round ({dropped} were dropped): lower the learning rate")]
    NoUpdates {
        /// Updates that were not finite.
        dropped: usize,
    },
    /// A number of the server's state is not finite.
    #[error("{what} is not finite: the run has diverged, lower the learning rate")]
    Diverged {
        /// Which number.
        what: &'static str,
    },
    /// Fixed point cannot hold a sum.
    #[error("the fixed-point sum of coordinate {index} does not fit 64 bits at scale 2^{scale_log2}")]
    FixedOverflow {
        /// The coordinate.
        index: usize,
        /// The scale in use.
        scale_log2: i32,
    },
    /// A saved state does not fit this algorithm.
    #[error("the saved state's `{tensor}` {found}, but {expected}: resume with the settings that it was saved with")]
    State {
        /// The tensor's name.
        tensor: String,
        /// What is there.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// A frame of sparse values cannot be read.
    #[error("a sparse frame is damaged at byte {offset}: {reason}")]
    Frame {
        /// Where.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Stopped by Ctrl-C.
    #[error("stopped after round {round}{}", if *saved { "; --resume goes on from there" } else { "; nothing was saved, since there is no --out" })]
    Interrupted {
        /// Rounds done.
        round: usize,
        /// Whether a checkpoint holds them.
        saved: bool,
    },
    /// A file can't be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Data sets and partitions.
    #[error(transparent)]
    Data(#[from] ashlar_data::Error),
    /// Models.
    #[error(transparent)]
    Models(#[from] ashlar_models::Error),
    /// Schedules and run folders.
    #[error(transparent)]
    Train(#[from] ashlar_train::Error),
    /// Top-k, sketches and quantisation.
    #[error(transparent)]
    Kernels(#[from] ashlar_kernels::Error),
}

impl Error {
    /// Whether the input or the usage is wrong (exit code 2) rather than the run (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::TooManyDropped { .. }
            | Self::NoUpdates { .. }
            | Self::Diverged { .. }
            | Self::FixedOverflow { .. }
            | Self::Interrupted { .. }
            | Self::Io { .. } => false,
            Self::Data(error) => error.is_input(),
            Self::Models(error) => error.is_input(),
            Self::Train(error) => error.is_input(),
            Self::Kernels(error) => error.is_input(),
            _ => true,
        }
    }

    /// Whether the numbers ran away, as with too high a learning rate.
    pub fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::TooManyDropped { .. } | Self::NoUpdates { .. } | Self::Diverged { .. } | Self::FixedOverflow { .. }
        )
    }

    pub(crate) fn setting(field: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { field, found: found.to_string(), expected: expected.into() }
    }
}

/// Checks a vector's length.
pub(crate) fn expect_len(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { what: what.to_owned(), expected, found }) }
}
