//! What a user of the library writes: the handling of one entry.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;

use super::entry::Entry;
use super::error::{BoxError, HandlerError};

/// Handles entries.
///
/// # The contract
/// - `handle` may be called more than once for the same event: after a crash between the effect and
///   its acknowledgement, or after another consumer took over the entry of one that was only
///   frozen. The handler must make the effect once, as with an [`Inbox`](super::Inbox).
/// - It returns `Ok` only after the effect is committed. The consumer acknowledges the entry next,
///   and the group never sees it again.
/// - Entries of one key are handled one after another, those of different keys concurrently.
/// - A stop waits for it, at most [`stop_grace`](super::SettingsBuilder::stop_grace). Then, or
///   after [`attempt_timeout`](super::SettingsBuilder::attempt_timeout), its future is dropped,
///   wherever it is. A handler that blocks its thread cannot be canceled. Give every call in it a
///   timeout that is shorter.
/// - A panic in it is a failed attempt.
///
/// A closure from an owned [`Entry`] to a future is a handler too, and so is an `Arc` of one:
///
/// ```
/// use outflow_consumer::{Entry, Handled, Handler, HandlerError};
///
/// fn printer() -> impl Handler {
///     |entry: Entry| async move {
///         println!("{}", entry.event_type);
///         Ok::<_, HandlerError>(Handled::Done)
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Makes the effect of one entry.
    fn handle(&self, entry: &Entry) -> impl Future<Output = Result<Handled, HandlerError>> + Send;

    /// Checks whether the servers that the handler needs answer, with a `select 1`, for example.
    /// Called every few seconds for readiness, and when an attempt took too long, to decide whether
    /// the entry is to blame. May fail although the effect could be made. No answer within five
    /// seconds counts as a failure. Default: `Ok`.
    ///
    /// # Errors
    /// Why they do not answer.
    fn probe(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Makes the effects of several entries at less cost than one by one, in one transaction, for
    /// example. Called only if [`handle_batch`](super::SettingsBuilder::handle_batch) is more than
    /// 1, and never with fewer than two entries. A call has the entries that have arrived; it does
    /// not wait for more.
    ///
    /// # The contract
    /// - The entries are of one stream and of different keys, in no particular order. None was
    ///   attempted before: an entry that failed once, or may have killed a consumer, goes to
    ///   [`Handler::handle`], alone.
    /// - The answer has one place for each entry, in their order: its outcome, which means what it
    ///   means there; or `None` if nothing was done about it. Such an entry goes to
    ///   [`Handler::handle`] next, in the same attempt. So if anything fails, roll back and answer
    ///   `None` for all: the entry that is to blame shows when each is handled alone, and no other
    ///   entry pays for it with an attempt.
    /// - A panic, or an answer of another length, counts as `None` for all.
    ///
    /// Default: [`Handler::handle`] for each, concurrently.
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

impl<H: Handler> Handler for Arc<H> {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        (**self).handle(entry).await
    }

    async fn probe(&self) -> Result<(), BoxError> {
        (**self).probe().await
    }

    async fn handle_many(&self, entries: &[Entry]) -> Vec<Option<Result<Handled, HandlerError>>> {
        (**self).handle_many(entries).await
    }
}

impl<F, Handling> Handler for F
where
    F: Fn(Entry) -> Handling + Send + Sync + 'static,
    Handling: Future<Output = Result<Handled, HandlerError>> + Send,
{
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        self(entry.clone()).await
    }
}

/// What a handler did with an entry. The consumer acknowledges it in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Handled {
    /// Its effect is committed.
    Done,
    /// Its effect had been committed before; nothing was done.
    Duplicate,
    /// The handler has no effect for this type of event.
    Ignored,
}
