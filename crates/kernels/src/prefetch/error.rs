//! What can go wrong, with the offending values as data.

use super::ExpertId;

/// Why experts can't be held or brought.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefetchError {
    /// No such layer.
    #[error("layer {layer} of {layers}: layers are numbered from 0")]
    Layer {
        /// Asked for.
        layer: u32,
        /// How many there are.
        layers: u32,
    },
    /// No such expert.
    #[error("expert {expert} of layer {layer}, which has {experts}: experts are numbered from 0")]
    Expert {
        /// Where.
        layer: u32,
        /// Asked for.
        expert: u32,
        /// How many the layer has.
        experts: u32,
    },
    /// A record without bytes.
    #[error("{id} has no bytes")]
    Empty {
        /// Which.
        id: ExpertId,
    },
    /// The budget holds no expert at all.
    #[error("the budget of {budget} bytes holds no expert: {id} needs {bytes}")]
    Budget {
        /// Bytes allowed.
        budget: u64,
        /// The largest record.
        id: ExpertId,
        /// What it needs, rounded up to whole slots.
        bytes: u64,
    },
    /// A number that can't be used.
    #[error("{what} = {value}: {expected}")]
    Parameter {
        /// Which number.
        what: &'static str,
        /// What was given.
        value: u64,
        /// What it must be.
        expected: &'static str,
    },
    /// Everything that could make room is in use.
    #[error(
        "no slot for {id}: all {slots} slots of {place} are held by leases or demanded; release some, or give more slots"
    )]
    Full {
        /// What was demanded.
        id: ExpertId,
        /// How many slots there are.
        slots: u32,
        /// `its layer` or `the budget`.
        place: &'static str,
    },
    /// The record could not be read or copied.
    #[error("{id}: {reason}")]
    Copy {
        /// Which.
        id: ExpertId,
        /// The source's or the driver's word.
        reason: String,
    },
    /// A file whose length doesn't fit the table of its records.
    #[error("{id} is at bytes {offset}..{end} of a source of {len} bytes")]
    Outside {
        /// Which.
        id: ExpertId,
        /// Where it should begin.
        offset: u64,
        /// And end.
        end: u64,
        /// What there is.
        len: u64,
    },
    /// A ticket of a demand that was waited for or cancelled before.
    #[error("{id} was not demanded by this ticket, or it has been waited for or cancelled")]
    Ticket {
        /// Whose.
        id: ExpertId,
    },
    /// No memory for the slots, no thread, no stream.
    #[error("{what}: {reason}")]
    System {
        /// What was being done.
        what: &'static str,
        /// The system's word.
        reason: String,
    },
}

impl PrefetchError {
    /// Whether the caller's input is to blame (exit code 2), rather than the machine (exit code 1).
    pub const fn is_input(&self) -> bool {
        !matches!(self, Self::Copy { .. } | Self::System { .. })
    }
}
