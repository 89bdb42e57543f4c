//! What an examination finds out about a row.

use crate::relay::event::DeadReason;

/// What is the matter with a row.
pub(super) enum Verdict {
    /// It is not this member's, or somebody else has it.
    NotOurs,
    Fine,
    Dead(DeadReason, String),
    /// It cannot be taken now; whether what refuses it looks at the row.
    Refused(String, bool),
}

/// A row that may be held back.
pub(super) struct Suspect {
    pub(super) place: String,
    pub(super) words: String,
    /// What refuses it looks at the row.
    pub(super) is_of_row: bool,
}

/// What a row is called.
pub(super) struct Named {
    pub(super) row: String,
    pub(super) key: String,
    pub(super) event: String,
}

impl Named {
    /// For people.
    pub(super) fn event(self) -> String {
        if self.event.is_empty() { format!("row {}", self.row) } else { self.event }
    }
}
