//! What a consumer can be watched by: one method, and the observations that it gets.

use std::sync::Arc;
use std::time::Duration;

use super::error::ErrorKind;
use super::handler::Handled;

/// Receives what a consumer counts and measures. With the feature `prometheus`,
/// `Metrics` is one.
///
/// Called on the consumer's own tasks, several times per entry: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// Notes one observation about a stream.
    fn observe(&self, stream: &str, observation: &Observation);
}

/// One observation.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Observation {
    /// An entry is handled and will be acknowledged.
    Handled(Handled),
    /// An attempt made no effect.
    Failed(FailureReason),
    /// An attempt ended that was not the entry's first.
    Retried,
    /// An entry was moved to the dead-letter stream.
    DeadLettered,
    /// Entries were taken over from other consumers.
    Reclaimed(u64),
    /// Entries left the stream (trimmed or deleted) before the group read them.
    LostUnread(u64),
    /// Pending entries left the stream (trimmed or deleted).
    LostPending(u64),
    /// How long one call of the handler took.
    Attempt(Duration),
    /// Time from the outbox to the effect.
    EventAge(Duration),
    /// The state of the group, every five seconds.
    Group(GroupState),
    /// The state of the group is not known any more: Redis does not answer, or another process has
    /// the consumer's name.
    GroupUnknown,
    /// Whether the consumer is paused: at the start, and at each change.
    Paused(bool),
    /// Number of dead letters, of all groups; `None` if the consumer may not count them.
    DeadLetters(Option<u64>),
}

/// Why an attempt made no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureReason {
    /// The handler returned an error of this kind.
    Error(ErrorKind),
    /// The handler panicked.
    Panic,
    /// The handler took too long, though what it needs answers.
    Timeout,
}

/// The state of a group on one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GroupState {
    /// Entries that the group has read and not acknowledged.
    pub pending: u64,
    /// Time since the oldest of these was appended; zero if there is none.
    pub oldest_pending_age: Duration,
    /// Entries that the group has not read. `None`: Redis does not know. That is so after entries
    /// were deleted from the middle of what the group has not read, until it has read past them.
    pub lag: Option<u64>,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Error(ErrorKind::Retry),
        Self::Error(ErrorKind::Permanent),
        Self::Error(ErrorKind::Conflict),
        Self::Error(ErrorKind::Unavailable),
        Self::Panic,
        Self::Timeout,
    ];

    /// A word for it, such as a metric's label wants.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error(ErrorKind::Retry) => "retry",
            Self::Error(ErrorKind::Permanent) => "permanent",
            Self::Error(ErrorKind::Conflict) => "conflict",
            Self::Error(ErrorKind::Unavailable) => "unavailable",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
        }
    }
}

/// Notes nothing.
impl Observer for () {
    fn observe(&self, _stream: &str, _observation: &Observation) {}
}

impl<O: Observer> Observer for Arc<O> {
    fn observe(&self, stream: &str, observation: &Observation) {
        (**self).observe(stream, observation);
    }
}
