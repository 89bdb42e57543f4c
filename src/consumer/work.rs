//! What a worker does with an entry: one attempt, or moving it to the dead letters.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use tracing::Instrument;

use super::group::{Buried, Held};
use super::handler::{Consequence, consequence};
use super::health::Part;
use super::patience::{Interrupted, until_answered};
use super::share::Share;
use super::{Entry, Handled, Handler, HandlerError};

/// Characters of an error that a dead letter keeps.
const ERROR_CHARS_MAX: usize = 1_000;
/// What is said of an entry whose last attempt nobody survived.
pub(super) const NO_OUTCOME: &str =
    "the attempts ended without an acknowledgement: the consumer was killed during them";

impl<H: Handler> Share<H> {
    /// One attempt, which is counted already: `held.attempts` includes it.
    pub(super) async fn attempt(&self, stream: usize, held: &Held) -> Consequence {
        let metrics = &self.streams[stream].metrics;
        if held.attempts > 1 {
            metrics.retried.inc();
        }
        let fields = held.fields.as_deref().unwrap_or_default();
        let outcome = match Entry::read(self.name(stream), held.id, fields, held.attempts) {
            Ok(entry) => self.handle(stream, &entry).await,
            Err(malformed) => Err(HandlerError::Permanent(malformed.to_string())),
        };
        match &outcome {
            Ok(_) => self.health.up(Part::Handler),
            Err(HandlerError::Retry(_)) => metrics.failed("retry"),
            Err(HandlerError::Permanent(_)) => metrics.failed("permanent"),
            Err(HandlerError::Conflict(_)) => metrics.failed("conflict"),
            Err(HandlerError::Unavailable(_)) => metrics.failed("unavailable"),
        }
        consequence(outcome, held.attempts, self.settings.attempts_max)
    }

    async fn handle(&self, stream: usize, entry: &Entry) -> Result<Handled, HandlerError> {
        let metrics = &self.streams[stream].metrics;
        let span = tracing::info_span!(
            "process",
            stream = self.name(stream),
            id = %entry.id,
            event_id = entry.event_id,
            event_type = entry.kind,
            key = entry.key,
            attempt = entry.attempts,
            trace_id = entry.trace_id().unwrap_or_default(),
        );
        let started = Instant::now();
        let handling = AssertUnwindSafe(self.handler.handle(entry)).catch_unwind().instrument(span.clone());
        let outcome = handling.await.unwrap_or_else(|panic| {
            metrics.failed("panic");
            Err(HandlerError::Retry(format!("the handler panicked: {}", words(panic.as_ref()))))
        });
        metrics.handling_seconds.observe(started.elapsed().as_secs_f64());
        span.in_scope(|| match &outcome {
            Ok(handled) => tracing::debug!(outcome = ?handled, "handled"),
            Err(error) => tracing::debug!(%error, "not handled"),
        });
        if let (Ok(Handled::Done), Some(time)) = (&outcome, entry.time) {
            metrics.event_age_seconds.observe(age(time).as_secs_f64());
        }
        outcome
    }

    /// Moves an entry to the dead letters; tries until Redis has answered.
    ///
    /// # Errors
    /// [`Interrupted`]: it is still pending, unless the group is gone.
    pub(super) async fn bury(&self, stream: usize, held: &Held, error: &str) -> Result<(), Interrupted> {
        let Held { id, key, attempts, .. } = held;
        let (ours, settings) = (&self.streams[stream], &self.settings);
        let about = [
            ("dead_entry_id", id.to_string()),
            ("dead_stream", self.name(stream).to_owned()),
            ("dead_group", settings.group.clone()),
            ("dead_consumer", settings.consumer.clone()),
            ("dead_attempts", attempts.to_string()),
            ("dead_error", error.chars().take(ERROR_CHARS_MAX).collect()),
            ("dead_appended_at", id.appended_at().map(|time| time.to_string()).unwrap_or_default()),
            ("dead_at", Timestamp::now().to_string()),
        ];
        let stream = self.name(stream);
        match until_answered(&self.health, &self.stop, || ours.group.bury(*id, key, &about)).await? {
            Buried::As(dead_id) => {
                ours.metrics.dead_lettered.inc();
                let to = &ours.group.source.dead_letter_stream;
                tracing::error!(stream, %id, attempts, error, %to, %dead_id, "dead-lettered");
            }
            Buried::Gone => {
                tracing::warn!(stream, %id, error, "not dead-lettered: gone from the stream; acknowledged");
            }
            Buried::NotOurs => tracing::info!(stream, %id, "not dead-lettered: dealt with before, or taken over"),
        }
        Ok(())
    }
}

/// How long ago; zero if the clocks disagree.
fn age(time: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default()
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
