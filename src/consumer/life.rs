//! An entry's life in this consumer: attempted until it is acknowledged, dead-lettered, or somebody else's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::group::{Buried, Held};
use super::handler::{Consequence, consequence};
use super::health::Part;
use super::patience::{Interrupted, Pauses, until_answered};
use super::settings::RETRY_DELAY_MAX;
use super::{Consumer, Entry, Handled, Handler, HandlerError};

/// Characters of an error that a dead letter keeps.
const ERROR_CHARS_MAX: usize = 1_000;
const NO_OUTCOME: &str = "the attempts ended without an acknowledgement: the consumer was killed during them";

impl<H: Handler> Consumer<H> {
    /// Works on one entry of our own pending list until it is off that list.
    ///
    /// # Errors
    /// [`Interrupted`]: the entry is still pending, unless the group is gone.
    pub(super) async fn live(&self, held: Held, stop: &CancellationToken) -> Result<(), Interrupted> {
        let Held { id, mut attempts, mut fields } = held;
        let mut retries = Pauses::new(self.settings.retry_delay, RETRY_DELAY_MAX);
        let mut waits = Pauses::for_outage();
        if attempts >= self.settings.attempts_max {
            return self.bury(&id, attempts, NO_OUTCOME, stop).await;
        }
        loop {
            attempts += 1;
            let Some(known) = self.begin(&id, attempts, fields, stop).await? else { return Ok(()) };
            match self.attempt(&id, &known, attempts).await {
                Consequence::Acknowledge(handled) => return self.acknowledge(&id, handled, stop).await,
                Consequence::DeadLetter(error) => return self.bury(&id, attempts, &error, stop).await,
                Consequence::Retry(error) => {
                    tracing::warn!(%id, attempts, %error, "attempt failed; trying again");
                    retries.pause(stop).await?;
                }
                Consequence::Wait(error) => {
                    self.health.down(Part::Handler, &error);
                    attempts -= 1;
                    self.answered(stop, || self.group.attempt(&id, attempts, false)).await?;
                    waits.pause(stop).await?;
                }
            }
            fields = Some(known);
        }
    }

    /// Counts an attempt, and returns the entry's fields. `None` when there is nothing to attempt: the entry was taken
    /// over by another consumer, or its message is gone from the stream, and it is acknowledged.
    async fn begin(
        &self,
        id: &str,
        attempts: u32,
        fields: Option<Vec<Bytes>>,
        stop: &CancellationToken,
    ) -> Result<Option<Vec<Bytes>>, Interrupted> {
        let fetch = fields.is_none();
        let Some(fetched) = self.answered(stop, || self.group.attempt(id, attempts, fetch)).await? else {
            tracing::info!(id, "taken over by another consumer meanwhile");
            return Ok(None);
        };
        if fetch && fetched.is_empty() {
            tracing::warn!(id, "pending, but gone from the stream (deleted or trimmed): acknowledged");
            self.answered(stop, || self.group.acknowledge(id)).await?;
            return Ok(None);
        }
        Ok(Some(fields.unwrap_or(fetched)))
    }

    async fn attempt(&self, id: &str, fields: &[Bytes], attempts: u32) -> Consequence {
        let metrics = &self.metrics;
        if attempts > 1 {
            metrics.retried.inc();
        }
        let started = Instant::now();
        let outcome = match Entry::read(id, fields, attempts) {
            Ok(entry) => {
                let outcome = self.handler.handle(&entry).await;
                metrics.handling_seconds.observe(started.elapsed().as_secs_f64());
                if let (Ok(Handled::Done), Some(time)) = (&outcome, entry.time) {
                    metrics.event_age_seconds.observe(age(time).as_secs_f64());
                }
                outcome
            }
            Err(malformed) => Err(HandlerError::Permanent(malformed.to_string())),
        };
        match &outcome {
            Ok(_) => self.health.up(Part::Handler),
            Err(HandlerError::Retry(_)) => metrics.failed.with_label_values(&["retry"]).inc(),
            Err(HandlerError::Permanent(_)) => metrics.failed.with_label_values(&["permanent"]).inc(),
            Err(HandlerError::Unavailable(_)) => metrics.failed.with_label_values(&["unavailable"]).inc(),
        }
        consequence(outcome, attempts, self.settings.attempts_max)
    }

    async fn acknowledge(&self, id: &str, handled: Handled, stop: &CancellationToken) -> Result<(), Interrupted> {
        match handled {
            Handled::Done => self.metrics.handled.inc(),
            Handled::Duplicate => self.metrics.duplicates.inc(),
            Handled::Ignored => self.metrics.ignored.inc(),
        }
        self.answered(stop, || self.group.acknowledge(id)).await
    }

    async fn bury(&self, id: &str, attempts: u32, error: &str, stop: &CancellationToken) -> Result<(), Interrupted> {
        let settings = &self.settings;
        let about = [
            ("dead_entry_id", id.to_owned()),
            ("dead_stream", settings.stream.clone()),
            ("dead_group", settings.group.clone()),
            ("dead_consumer", settings.consumer.clone()),
            ("dead_attempts", attempts.to_string()),
            ("dead_error", error.chars().take(ERROR_CHARS_MAX).collect()),
            ("dead_appended_at", appended_at(id).map(|time| time.to_string()).unwrap_or_default()),
            ("dead_at", Timestamp::now().to_string()),
        ];
        match self.answered(stop, || self.group.bury(id, &about)).await? {
            Buried::As(dead_id) => {
                self.metrics.dead_lettered.inc();
                let stream = &settings.dead_letter_stream;
                tracing::error!(id, attempts, error, %stream, %dead_id, "dead-lettered");
            }
            Buried::Gone => tracing::warn!(id, error, "not dead-lettered: gone from the stream; acknowledged"),
            Buried::NotOurs => tracing::info!(id, "not dead-lettered: dealt with before, or taken over"),
        }
        Ok(())
    }

    async fn answered<T, F: Future<Output = Result<T, crate::redis::Failure>>>(
        &self,
        stop: &CancellationToken,
        send: impl FnMut() -> F,
    ) -> Result<T, Interrupted> {
        until_answered(&self.health, stop, send).await
    }
}

/// How long ago; zero if the clocks disagree.
fn age(time: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default()
}

/// The time in an entry's id, by Redis's clock.
fn appended_at(id: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(id.split('-').next()?.parse().ok()?).ok()
}
