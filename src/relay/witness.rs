//! Keeps the witness in Postgres: the last batch that Redis has acknowledged to this member. See
//! `loss.rs`.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Relay;
use super::session::Session;
use crate::relay::outbox::{Outbox, OutboxError};
use crate::relay::sink::Sink;

/// The first batch after a pause is written down at once, those that follow at most this often:
/// what a member that is killed has not written down yet would not be missed.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A write that took t is followed by a pause of ten times t, so that a Postgres that is slow has
/// few of them; but not by a longer one than this.
const DUTY: u32 = 10;
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Pause after a write that failed.
const PAUSE_FAILED: Duration = Duration::from_secs(1);
/// How long a member that stops tries to write it down.
const LAST_LIMIT: Duration = Duration::from_secs(2);

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Writes down each batch that was appended, beside the work and not in its way. An idle member
    /// writes nothing.
    pub(super) async fn keep_witness(&self, session: &Session) -> Infallible {
        loop {
            session.moved().await;
            let started = Instant::now();
            let pause = match self.outbox.testify(session.witness()).await {
                Ok(()) => (started.elapsed() * DUTY).clamp(PAUSE_MIN, PAUSE_MAX),
                Err(error) => {
                    tracing::debug!(outbox = self.name, %error, "could not record the last \
                        acknowledged batch in Postgres: retrying");
                    session.retell();
                    PAUSE_FAILED
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The last word of a member that stops.
    pub(super) async fn last_witness(&self, session: &Session) {
        let last = async {
            match session.acknowledged() {
                0 => self.outbox.testify_last(session.witness()).await,
                _ => self.outbox.testify(session.witness()).await,
            }?;
            // No append comes that would tell the journal of this copy.
            if self.outbox.heals() {
                let told = self.sink.is_ready(session.standstill()).await;
                tracing::debug!(outbox = self.name, ?told, "told the journal of the last copy");
            }
            Ok::<_, OutboxError>(())
        };
        let said = timeout(LAST_LIMIT, last).await;
        tracing::debug!(
            outbox = self.name,
            ?said,
            "recorded the last acknowledged batch in \
            Postgres"
        );
    }
}
