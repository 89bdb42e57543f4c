//! A session of the pool that is closed, not given back, when its user is cut short in the middle
//! of something: by a timeout, or by a future that is dropped.

use std::ops::Deref;

use super::OutboxError;
use super::refusal::failed;
use super::session::Session;

/// Holds a session until it is [released](Lease::release).
pub(super) struct Lease(Option<Session>);

impl Lease {
    pub(super) fn new(client: Session) -> Self {
        Self(Some(client))
    }

    /// It is at rest, or somebody else looks after it.
    pub(super) fn release(mut self) -> Session {
        self.0.take().expect("released once")
    }
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.0.as_ref().expect("not released")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            client.close();
        }
    }
}

/// As [`roll_back`], after an error: what a session has prepared may no longer fit the table.
pub(super) async fn roll_back_and_close(client: Lease) -> Result<(), OutboxError> {
    client.batch_execute("rollback").await.map_err(|error| failed(&error))
}

/// Ends a transaction of which nothing shall stay.
pub(super) async fn roll_back(client: Lease) -> Result<(), OutboxError> {
    client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
    drop(client.release());
    Ok(())
}

/// Closes a session whose state is not known instead of giving it back to the pool.
pub(super) fn abandon(client: Session, error: OutboxError) -> OutboxError {
    client.close();
    error
}
