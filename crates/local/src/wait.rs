//! Waits for a condition with a deadline, instead of sleeping.

use std::time::Duration;

use tokio::time::Instant;

use super::Error;

/// Short enough not to slow a test down, long enough not to load the server that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What a polled condition may answer: `bool`, or an `Option` whose value is handed on.
pub trait Condition {
    /// What is known once the condition is true.
    type Value;
    /// The value, or `None` when it is not true yet.
    fn value(self) -> Option<Self::Value>;
}

impl Condition for bool {
    type Value = ();
    fn value(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Condition for Option<T> {
    type Value = T;
    fn value(self) -> Option<T> {
        self
    }
}

/// Polls `condition` every 10 ms until it is true, at most for `limit`. `what` completes "waited in
/// vain for …". A poll that hangs is cut off at the deadline too.
///
/// # Errors
/// [`Error::Late`] when `limit` has passed.
pub async fn eventually<C: Condition>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> C,
) -> Result<C::Value, Error> {
    let deadline = Instant::now() + limit;
    let asking = async {
        loop {
            if let Some(value) = condition().await.value() {
                return value;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let outcome = tokio::time::timeout_at(deadline, asking).await;
    outcome.map_err(|_elapsed| Error::Late { what: what.to_owned(), limit })
}
