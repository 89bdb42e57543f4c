//! How an attempt ended, and what the consumer does about it. Pure.

use super::error::{ErrorKind, HandlerError};
use super::handler::Handled;

/// How an attempt ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// The handler returned.
    Returned(Result<Handled, HandlerError>),
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
    let again = |error: String| {
        if attempts >= attempts_max {
            Consequence::DeadLetter(error)
        } else {
            Consequence::Retry(error)
        }
    };
    match outcome {
        Outcome::Abandoned => Consequence::Abandon,
        // An entry that hangs may be held up by what is handled beside it.
        Outcome::TimedOut(error) if !is_alone => Consequence::Isolate(error),
        Outcome::TimedOut(error) => again(error),
        Outcome::Returned(Ok(handled)) => Consequence::Acknowledge(handled),
        Outcome::Returned(Err(error)) => match error.kind() {
            ErrorKind::Permanent => Consequence::DeadLetter(error.to_string()),
            ErrorKind::Conflict => Consequence::Postpone(error.to_string()),
            ErrorKind::Unavailable => Consequence::Wait(error.to_string()),
            ErrorKind::Retry => again(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{Consequence, ErrorKind, Handled, HandlerError, Outcome, consequence};

    #[test]
    fn the_error_says_what_to_do() {
        let text = || "why".to_owned();
        let failed = |kind| Err(HandlerError::new(kind, "why"));
        let rows = [
            (Ok(Handled::Done), 1, Consequence::Acknowledge(Handled::Done)),
            (Ok(Handled::Duplicate), 9, Consequence::Acknowledge(Handled::Duplicate)),
            (failed(ErrorKind::Retry), 1, Consequence::Retry(text())),
            (failed(ErrorKind::Retry), 4, Consequence::Retry(text())),
            (failed(ErrorKind::Retry), 5, Consequence::DeadLetter(text())),
            (failed(ErrorKind::Retry), 6, Consequence::DeadLetter(text())),
            (failed(ErrorKind::Permanent), 1, Consequence::DeadLetter(text())),
            (failed(ErrorKind::Conflict), 5, Consequence::Postpone(text())),
            (failed(ErrorKind::Unavailable), 1, Consequence::Wait(text())),
            (failed(ErrorKind::Unavailable), 5, Consequence::Wait(text())),
        ];
        for (outcome, attempts, expected) in rows {
            for is_alone in [false, true] {
                let found = consequence(Outcome::Returned(outcome.clone()), attempts, 5, is_alone);
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
