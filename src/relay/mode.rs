//! When a relay stops.

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// On a stop request.
    Daemon,
    /// When the outbox is empty.
    Once,
}
