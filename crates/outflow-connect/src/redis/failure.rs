//! Why there is no reply.

/// Why a command has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Redis answered with an error: a definite outcome, nothing of the command was done unless it
    /// says so itself.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// There was no connection to send it on: nothing was done.
    #[error("no connection to Redis: {0}")]
    NotSent(String),
    /// It may have been done, or not, or it may still be done later: a timeout or a connection lost
    /// in between.
    #[error("no answer from Redis: {0}")]
    Unknown(String),
}

impl Failure {
    /// The error code of a refusal (`WRONGTYPE`, `OOM`, `BUSYGROUP` …), which is its first word.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(message) => message.split_whitespace().next(),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }
}

/// An address that cannot be used, with what is expected. Holds no part of the address: it may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub(super) String);

impl BadUrl {
    /// An address that cannot be used with these streams.
    pub fn because(reason: String) -> Self {
        Self(reason)
    }
}
