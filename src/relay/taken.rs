//! A claim, and what it is for. Pure.

/// What was claimed.
pub(super) struct Taken<C> {
    pub(super) claim: C,
    /// The parked stream that its event tries. `None`: it has the next rows.
    pub(super) tries: Option<String>,
}
