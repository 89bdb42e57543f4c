//! When a relay stops.

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When asked to.
    Daemon,
    /// When the outbox is empty.
    Once,
}
