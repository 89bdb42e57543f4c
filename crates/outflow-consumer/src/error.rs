//! Why a handler made no effect: an error of any type, and what the consumer does about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use deadpool_postgres::PoolError;

use super::inbox::InboxError;
use outflow_connect::postgres::{Trouble, classify, describe, describe_pool};

/// An error of any type.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What the consumer does with an entry whose handler returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The next attempt may succeed. The entry is attempted again after a pause, up to
    /// [`attempts_max`](super::SettingsBuilder::attempts_max) times, and then dead-lettered.
    Retry,
    /// No attempt will succeed. The entry is dead-lettered at once.
    Permanent,
    /// Another session holds what the handler needs (a lock, a deadlock, a serialization failure).
    /// The entry is attempted again after a pause, as often as necessary, while other entries go
    /// on. Does not use up attempts.
    Conflict,
    /// A server that the handler needs is away. The entry is not to blame: the consumer pauses and
    /// tries one entry at a time until the server is back. If other entries succeed meanwhile, this
    /// entry continues as with [`ErrorKind::Conflict`]. Does not use up attempts.
    Unavailable,
}

/// Why a handler made no effect.
///
/// `?` converts any error into it and keeps the error as the source. The conversion decides the
/// kind: an error of Postgres, of its pool or of an [`Inbox`](super::Inbox), wherever in the chain
/// of sources it is, is classified by its SQLSTATE ([`classify`](super::classify)); any other error
/// is [`ErrorKind::Retry`]. To decide otherwise, use one of the constructors:
///
/// ```
/// # use outflow_consumer::{Handled, HandlerError};
/// fn amount(text: &str) -> Result<u32, HandlerError> {
///     // A text that is no number now never will be.
///     text.parse().map_err(HandlerError::permanent)
/// }
/// ```
///
/// Like `anyhow::Error` it does not implement [`Error`] itself, because then it could not be
/// converted from every error; [`HandlerError::error`] gives the error in it.
#[derive(Debug, Clone)]
pub struct HandlerError {
    kind: ErrorKind,
    error: Arc<dyn Error + Send + Sync + 'static>,
}

impl HandlerError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, error: impl Into<BoxError>) -> Self {
        Self { kind, error: Arc::from(error.into()) }
    }

    /// The next attempt may succeed: [`ErrorKind::Retry`].
    pub fn retry(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Retry, error)
    }

    /// No attempt will succeed: [`ErrorKind::Permanent`].
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Permanent, error)
    }

    /// Another session is in the way: [`ErrorKind::Conflict`].
    pub fn conflict(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Conflict, error)
    }

    /// A server that the handler needs is away: [`ErrorKind::Unavailable`].
    pub fn unavailable(error: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Unavailable, error)
    }

    /// An error of a statement that writes nothing of the entry but its id. If Postgres refuses
    /// such a row (a new column that must not be null, a constraint, a trigger), it would refuse
    /// that of every entry, and none is to blame: [`ErrorKind::Unavailable`], unless it is a
    /// conflict. [`InboxError`] is classified like this by itself.
    pub fn bookkeeping(error: impl Into<BoxError>) -> Self {
        let Self { kind, error } = Self::from(error.into());
        Self { kind: of_bookkeeping(kind), error }
    }

    /// What the consumer does about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error itself, for its type or its sources.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

/// The error with its sources, in the words of the server where one said something.
impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&in_words(&*self.error))
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let error = error.into();
        Self::new(kind_of(&*error), error)
    }
}

fn of_bookkeeping(kind: ErrorKind) -> ErrorKind {
    match kind {
        ErrorKind::Retry | ErrorKind::Permanent => ErrorKind::Unavailable,
        ErrorKind::Conflict | ErrorKind::Unavailable => kind,
    }
}

fn kind_of(error: &(dyn Error + 'static)) -> ErrorKind {
    for error in chain(error) {
        if let Some(error) = error.downcast_ref::<InboxError>() {
            return of_bookkeeping(of_postgres(error.postgres()));
        }
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return of_postgres(error);
        }
        if error.is::<PoolError>() {
            return ErrorKind::Unavailable;
        }
    }
    ErrorKind::Retry
}

fn of_postgres(error: &tokio_postgres::Error) -> ErrorKind {
    match classify(error) {
        Trouble::Wait => ErrorKind::Unavailable,
        Trouble::Conflict => ErrorKind::Conflict,
        Trouble::Retry => ErrorKind::Retry,
        Trouble::DeadLetter => ErrorKind::Permanent,
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// An error with its sources. `Display` of a Postgres error says no more than "db error".
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in chain(error) {
        // Both have the words of their sources already.
        let of_server = error
            .downcast_ref::<tokio_postgres::Error>()
            .map(describe)
            .or_else(|| error.downcast_ref::<PoolError>().map(describe_pool));
        let is_last = of_server.is_some();
        let words = of_server.unwrap_or_else(|| error.to_string());
        // Many errors repeat their source.
        if !text.contains(&words) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = text + separator + &words;
        }
        if is_last {
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use deadpool_postgres::{PoolError, TimeoutType};

    use super::{BoxError, ErrorKind, HandlerError};

    #[derive(Debug, thiserror::Error)]
    #[error("the mail was not sent")]
    struct Unsent(#[source] BoxError);

    fn asked(error: impl Into<BoxError>) -> HandlerError {
        let ask = || -> Result<(), HandlerError> { Err(error.into())? };
        ask().expect_err("what it was given")
    }

    #[test]
    fn any_error_is_taken_and_kept() {
        let error = asked(Unsent(io::Error::other("the disk is on fire").into()));
        assert_eq!(error.to_string(), "the mail was not sent: the disk is on fire");
        assert_eq!(error.kind(), ErrorKind::Retry);
        let source = error.error().source().expect("a source");
        assert!(source.is::<io::Error>() && error.error().is::<Unsent>());
        assert_eq!(asked("a text").to_string(), "a text");
        let parsed = "x".parse::<u32>().map_err(HandlerError::permanent);
        assert_eq!(parsed.expect_err("no number").kind(), ErrorKind::Permanent);
    }

    #[test]
    fn a_pool_without_a_connection_is_an_outage_wherever_it_is_in_the_chain() {
        let timeout = || PoolError::Timeout(TimeoutType::Wait);
        assert_eq!(asked(timeout()).kind(), ErrorKind::Unavailable);
        let error = asked(Unsent(timeout().into()));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "the mail was not sent: no connection was free in time");
    }

    #[test]
    fn bookkeeping_blames_no_entry() {
        assert_eq!(HandlerError::bookkeeping("refused").kind(), ErrorKind::Unavailable);
    }
}
