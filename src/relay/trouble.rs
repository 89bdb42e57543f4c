//! What can go wrong with a batch, by what is to be done about it. Pure.

use crate::relay::outbox::OutboxError;
use crate::relay::sink::AppendError;

/// Why a batch did not come through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Nothing was appended and nothing is in doubt: roll back, wait, try again.
    #[error("{0}")]
    Unavailable(String),
    /// Streams refuse, and nothing was appended: roll back, and go on without them.
    #[error("refused by {0}")]
    Parked(String),
    /// Something may have been appended that is not settled, or we are not who we think: recover
    /// first.
    #[error("{}: {detail}", cause.as_str())]
    Doubt {
        /// Which kind.
        cause: Cause,
        /// In words.
        detail: String,
    },
}

/// Why a recovery runs. A closed set, because it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A new incarnation of this member.
    Start,
    /// A Postgres session was lost or refused; a commit may have no answer.
    Postgres,
    /// An append got no reply.
    Unanswered,
    /// Some streams of a batch took their events and others refused.
    PartlyAppended,
    /// Redis knows a newer generation.
    Fenced,
    /// Postgres knows a newer generation.
    Stale,
    /// Redis has lost data that it acknowledged.
    RolledBack,
    /// A row that is in flight came back in a claim.
    InFlight,
    /// A member came or went.
    Members,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Postgres,
        Self::Unanswered,
        Self::PartlyAppended,
        Self::Fenced,
        Self::Stale,
        Self::RolledBack,
        Self::InFlight,
        Self::Members,
    ];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Postgres => "postgres",
            Self::Unanswered => "unanswered",
            Self::PartlyAppended => "partly_appended",
            Self::Fenced => "fenced",
            Self::Stale => "stale",
            Self::RolledBack => "rolled_back",
            Self::InFlight => "in_flight",
            Self::Members => "members",
        }
    }
}

impl Trouble {
    /// A row came back while it was in flight.
    pub(super) fn is_in_flight(&self) -> bool {
        matches!(self, Self::Doubt { cause: Cause::InFlight, .. })
    }
}

impl From<OutboxError> for Trouble {
    fn from(error: OutboxError) -> Self {
        let cause = match &error {
            OutboxError::Refused(_) => return Self::Unavailable(error.to_string()),
            // What has changed is looked at before anything else is done; then there is a recovery
            // in any case.
            OutboxError::Postgres(_) | OutboxError::Full(_) | OutboxError::Changed(_) => {
                Cause::Postgres
            }
            OutboxError::Journal(_) => Cause::Unanswered,
            OutboxError::Stale(_) => Cause::Stale,
            OutboxError::InFlight(_) => Cause::InFlight,
        };
        Self::Doubt { cause, detail: error.to_string() }
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        let cause = match &error {
            AppendError::Unavailable(reason) => return Self::Unavailable(reason.clone()),
            AppendError::Refused(_) => return Self::Parked(error.to_string()),
            AppendError::Fenced(_) => Cause::Fenced,
            AppendError::RolledBack(_) => Cause::RolledBack,
            AppendError::Unknown(_) => Cause::Unanswered,
        };
        Self::Doubt { cause, detail: error.to_string() }
    }
}
