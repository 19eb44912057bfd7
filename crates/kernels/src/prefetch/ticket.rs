//! Requests.

use super::ExpertId;

/// A request for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a demand holds its record until its ticket is waited for or cancelled"]
pub struct Ticket {
    pub(super) id: ExpertId,
    pub(super) demand: bool,
}

impl Ticket {
    /// Which record.
    pub const fn id(&self) -> ExpertId {
        self.id
    }

    /// Whether it holds the record until it is waited for or cancelled.
    pub const fn is_demand(&self) -> bool {
        self.demand
    }
}
