//! What a user of the library writes: the handling of one entry. And what follows from its outcome.

use std::future::Future;

use futures_util::future::join_all;

use super::Entry;
use outflow_connect::postgres::{Trouble, classify, describe};

/// Handles entries.
///
/// # The contract
/// - `handle` may be called more than once for the same event: after a crash between the effect and
///   its acknowledgement, or when an entry was taken over from a consumer that had only been
///   frozen. The effect must be made once by the handler, in the way of [`Inbox`](super::Inbox).
/// - It returns `Ok` only after the effect is committed: the entry is acknowledged next, and never
///   seen again.
/// - Entries of one key are handled one after another; those of different keys at the same time.
/// - A stop waits for it, for [`Settings::stop_grace`](super::Settings::stop_grace); then, or after
///   [`Settings::attempt_timeout`](super::Settings::attempt_timeout), its future is dropped,
///   wherever it is. One that blocks its thread cannot be broken off. Give every call in it a
///   timeout of its own that is shorter.
/// - A panic in it is a failed attempt.
pub trait Handler: Send + Sync + 'static {
    /// Makes the effect of one entry.
    fn handle(&self, entry: &Entry) -> impl Future<Output = Result<Handled, HandlerError>> + Send;

    /// Whether what the handler needs answers: a `select 1`, say. Asked every few seconds, for
    /// readiness, and when an attempt took too long, to tell whose fault that is. It may fail when
    /// the effect could be made nevertheless; no answer within some seconds counts as a failure.
    ///
    /// # Errors
    /// Why it does not.
    fn probe(&self) -> impl Future<Output = Result<(), String>> + Send {
        async { Ok(()) }
    }

    /// Makes the effects of several entries, for a handler that does so at less cost than one by
    /// one: in one transaction, say. Only called when
    /// [`Settings::handle_batch`](super::Settings::handle_batch) is more than 1, and never with
    /// fewer than two entries. What comes in is not waited for: a call has what is there.
    ///
    /// # The contract
    /// - The entries are of one stream and of different keys, in no particular order. None of them
    ///   was attempted before: what failed once, or may have killed a consumer, goes to
    ///   [`Handler::handle`], alone.
    /// - The answer has one place for each entry, in their order: its outcome, which means what it
    ///   means there; or `None` when nothing was done about it. Such an entry is handed to
    ///   [`Handler::handle`] next, in the same attempt. So whatever goes wrong, roll back and
    ///   answer `None` for all: who is to blame shows when each is handled alone, and nobody else
    ///   pays for it with an attempt.
    /// - A panic, or an answer of another length, counts as `None` for all.
    ///
    /// Unless written otherwise: [`Handler::handle`] for each, side by side.
    fn handle_many(
        &self,
        entries: &[Entry],
    ) -> impl Future<Output = Vec<Option<Result<Handled, HandlerError>>>> + Send {
        async move {
            join_all(entries.iter().map(|entry| self.handle(entry)))
                .await
                .into_iter()
                .map(Some)
                .collect()
        }
    }
}

/// What a handler did with an entry. All three are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Its effect is committed.
    Done,
    /// Its effect had been committed before: nothing was done.
    Duplicate,
    /// It is none of this handler's business.
    Ignored,
}

/// Why there was no effect, and so what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// It may go better another time: attempted again after a pause, as often as the settings
    /// allow, then dead-lettered.
    #[error("{0}")]
    Retry(String),
    /// It will never go better: dead-lettered at once.
    #[error("{0}")]
    Permanent(String),
    /// Somebody else holds what the handler needs (a lock that was not got in time, a deadlock, a
    /// serialization failure): attempted again after a pause, as often as it takes, while other
    /// entries go on. Uses up no attempts.
    #[error("{0}")]
    Conflict(String),
    /// Something that the handler needs is away, and the entry is not to blame: attempted again
    /// until it is back, however long that takes. Until then all wait, and one entry at a time is
    /// tried, each in its turn. If others get on meanwhile, it is away for this one alone, which
    /// goes on as with [`HandlerError::Conflict`]. Uses up no attempts.
    #[error("{0}")]
    Unavailable(String),
}

impl HandlerError {
    /// What an error of Postgres means for the entry that met it
    /// ([`classify`](outflow_connect::postgres::classify)), in its words.
    pub fn of_postgres(error: &tokio_postgres::Error) -> Self {
        let text = describe(error);
        match classify(error) {
            Trouble::Wait => Self::Unavailable(text),
            Trouble::Conflict => Self::Conflict(text),
            Trouble::Retry => Self::Retry(text),
            Trouble::DeadLetter => Self::Permanent(text),
        }
    }

    /// As [`HandlerError::of_postgres`], for a statement that writes nothing of the entry but its
    /// id, such as that of an [`Inbox`](super::Inbox): if Postgres refuses the row (a column was
    /// added that must not be null, a constraint, a trigger), every entry would meet the same, and
    /// none is to blame.
    pub fn of_bookkeeping(error: &tokio_postgres::Error) -> Self {
        match Self::of_postgres(error) {
            Self::Retry(text) | Self::Permanent(text) => Self::Unavailable(text),
            other @ (Self::Conflict(_) | Self::Unavailable(_)) => other,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The handler said so.
    Told(Result<Handled, HandlerError>),
    /// It took too long, though what it needs answers.
    TimedOut(String),
    /// A stop could not wait for it.
    Abandoned,
}

/// What to do with an entry after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Acknowledge it.
    Acknowledge(Handled),
    /// Move it to the dead-letter stream, with this error.
    DeadLetter(String),
    /// Pause, then attempt it once more.
    Retry(String),
    /// Take back the attempt, pause, and attempt it again; others go on.
    Postpone(String),
    /// Take back the attempt, pause with everything, and attempt it again.
    Wait(String),
    /// Take back the attempt, pause, and attempt it alone.
    Isolate(String),
    /// Take back the attempt.
    Abandon,
}

/// Decides. `attempts` are those that count, this one too.
pub(super) fn consequence(
    outcome: Outcome,
    attempts: u32,
    attempts_max: u32,
    is_alone: bool,
) -> Consequence {
    let outcome = match outcome {
        Outcome::Told(outcome) => outcome,
        // Whoever hangs may be held up by what is handled beside it.
        Outcome::TimedOut(error) if !is_alone => return Consequence::Isolate(error),
        Outcome::TimedOut(error) => Err(HandlerError::Retry(error)),
        Outcome::Abandoned => return Consequence::Abandon,
    };
    match outcome {
        Ok(handled) => Consequence::Acknowledge(handled),
        Err(HandlerError::Permanent(error)) => Consequence::DeadLetter(error),
        Err(HandlerError::Conflict(error)) => Consequence::Postpone(error),
        Err(HandlerError::Unavailable(error)) => Consequence::Wait(error),
        Err(HandlerError::Retry(error)) if attempts >= attempts_max => {
            Consequence::DeadLetter(error)
        }
        Err(HandlerError::Retry(error)) => Consequence::Retry(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Consequence, Handled, HandlerError, Outcome, consequence};

    #[test]
    fn the_error_says_what_to_do() {
        let text = || "why".to_owned();
        let rows = [
            (Ok(Handled::Done), 1, Consequence::Acknowledge(Handled::Done)),
            (Ok(Handled::Duplicate), 9, Consequence::Acknowledge(Handled::Duplicate)),
            (Err(HandlerError::Retry(text())), 1, Consequence::Retry(text())),
            (Err(HandlerError::Retry(text())), 4, Consequence::Retry(text())),
            (Err(HandlerError::Retry(text())), 5, Consequence::DeadLetter(text())),
            (Err(HandlerError::Retry(text())), 6, Consequence::DeadLetter(text())),
            (Err(HandlerError::Permanent(text())), 1, Consequence::DeadLetter(text())),
            (Err(HandlerError::Conflict(text())), 5, Consequence::Postpone(text())),
            (Err(HandlerError::Unavailable(text())), 1, Consequence::Wait(text())),
            (Err(HandlerError::Unavailable(text())), 5, Consequence::Wait(text())),
        ];
        assert_eq!(rows.len(), 10);
        for (outcome, attempts, expected) in rows {
            for is_alone in [false, true] {
                let found = consequence(Outcome::Told(outcome.clone()), attempts, 5, is_alone);
                assert_eq!(found, expected, "{outcome:?} after {attempts}");
            }
        }
    }

    #[test]
    fn what_took_too_long_counts_only_alone() {
        let late = || Outcome::TimedOut("late".to_owned());
        assert_eq!(consequence(late(), 9, 5, false), Consequence::Isolate("late".to_owned()));
        assert_eq!(consequence(late(), 4, 5, true), Consequence::Retry("late".to_owned()));
        assert_eq!(consequence(late(), 5, 5, true), Consequence::DeadLetter("late".to_owned()));
        assert_eq!(consequence(Outcome::Abandoned, 9, 5, true), Consequence::Abandon);
    }
}
