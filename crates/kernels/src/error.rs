//! What can go wrong, with the offending values as data.

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a kernel refuses or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing would be selected.
    #[error("k must be at least 1")]
    ZeroK,
    /// More is asked for than there is.
    #[error("k = {k} exceeds the {len} elements of {of}")]
    KTooLarge {
        /// Elements asked for.
        k: u64,
        /// Elements there are.
        len: u64,
        /// What was searched (`the input`, or a quoted tensor name).
        of: String,
    },
    /// A share that is no share.
    #[error("the fraction {value} is outside (0, 1]")]
    Fraction {
        /// What was given.
        value: f64,
    },
    /// Indices don't fit 32 bits.
    #[error("{len} elements exceed 32-bit indices: call `{call}`")]
    TooLong {
        /// Elements given.
        len: u64,
        /// The function that takes them.
        call: &'static str,
    },
    /// A NaN where `NanPolicy::Error` forbids it.
    #[error("NaN at index {index}: clean the input or choose NanPolicy::Largest or NanPolicy::AsZero")]
    Nan {
        /// Place of the first one.
        index: u64,
    },
    /// Two slices that belong together have different lengths.
    #[error("{left_name} has {left} elements and {right_name} has {right}: they must be equal")]
    LengthMismatch {
        /// Name of the first.
        left_name: &'static str,
        /// Its length.
        left: u64,
        /// Name of the second.
        right_name: &'static str,
        /// Its length.
        right: u64,
    },
    /// A sparse vector's index is out of range or out of order.
    #[error("index {index} at position {position} is not strictly increasing or not below the length {len}")]
    SparseIndex {
        /// Where in the index list.
        position: usize,
        /// The index.
        index: u64,
        /// Length of the vector.
        len: u64,
    },
    /// Bytes that are no index list.
    #[error("index code at byte {offset}: {reason}")]
    IndexCode {
        /// Where the number starts that can't be read.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A sketch configuration that can't work.
    #[error("sketch {field} = {value}: {expected}")]
    SketchConfig {
        /// Which field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A table that the system has no memory for.
    #[error("no memory for a sketch of {rows} x {cols} cells ({bytes} bytes): take fewer columns")]
    SketchMemory {
        /// Rows asked for.
        rows: u32,
        /// Columns asked for.
        cols: u64,
        /// Size of the table.
        bytes: u64,
    },
    /// Two sketches that don't belong together.
    #[error("the sketches differ in {field}: {left} and {right}")]
    SketchMismatch {
        /// Which field of the configuration.
        field: &'static str,
        /// Value on this side.
        left: String,
        /// Value on the other side.
        right: String,
    },
    /// An operation that this table kind doesn't have.
    #[error("{operation} needs a table of kind {expected}, this sketch has {found}")]
    TableKind {
        /// What was called.
        operation: &'static str,
        /// Kind it works on.
        expected: &'static str,
        /// Kind it met.
        found: &'static str,
    },
    /// Coordinates outside the sketched vector.
    #[error("coordinates {offset}..{end} are outside the sketched vector of {d}")]
    OutOfRange {
        /// First coordinate.
        offset: u64,
        /// One past the last.
        end: u64,
        /// Length of the sketched vector.
        d: u64,
    },
    /// NaN or infinity where only finite values have a meaning.
    #[error("{what} holds {value} at index {index}: only finite values can be used here")]
    NonFinite {
        /// What was read (`the input`, `the sketch table`, …).
        what: &'static str,
        /// Place.
        index: u64,
        /// The value.
        value: f32,
    },
    /// A value or sum that doesn't fit the fixed-point table.
    #[error(
        "{what} at index {index} overflows fixed point with scale 2^{scale_log2}: use a smaller scale_log2 (see scale_for)"
    )]
    Overflow {
        /// What was computed.
        what: &'static str,
        /// Place (coordinate, or cell of the table).
        index: u64,
        /// The scale in use.
        scale_log2: i32,
    },
    /// A number that can't be used.
    #[error("{what} = {value}: {expected}")]
    Parameter {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// No randomness for a secure key.
    #[error("the operating system gives no entropy for a secure key: {reason}")]
    Entropy {
        /// What it says.
        reason: String,
    },
    /// A file that can't be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file's contents that can't be used.
    #[error("{path}: {problem}")]
    File {
        /// Which file.
        path: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// A device that can't be had, or fails.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// Experts that can't be held or brought.
    #[error(transparent)]
    Prefetch(#[from] crate::prefetch::PrefetchError),
}

impl Error {
    /// Whether the caller's input is to blame (exit code 2), rather than the machine (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            Self::Device(error) => error.is_input(),
            Self::Prefetch(error) => error.is_input(),
            Self::Io { action, .. } => *action != "write",
            Self::Entropy { .. } => false,
            _ => true,
        }
    }

    pub(crate) fn parameter(what: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::Parameter { what, value: value.to_string(), expected }
    }

    /// The same error about a named thing, where the message names one.
    #[must_use]
    pub fn of(mut self, name: &str) -> Self {
        if let Self::KTooLarge { of, .. } = &mut self {
            *of = format!("'{name}'");
        }
        self
    }
}
