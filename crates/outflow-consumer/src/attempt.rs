//! What a worker does with entries: one attempt, or moving one to the dead letters.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::Timestamp;
use tracing::{Instrument, Span};

use super::backoff::{Interrupted, until_answered};
use super::context::Context;
use super::entry::Entry;
use super::error::HandlerError;
use super::error::in_words;
use super::group::{DeadLettered, Held};
use super::handler::{Handled, Handler};
use super::health::Part;
use super::observer::{FailureReason, Observation};
use super::outcome::{Consequence, Outcome, consequence};
use outflow_core::age::Age;

/// Characters of an error that a dead letter keeps.
const ERROR_CHARS_MAX: usize = 1_000;
/// What is said of an entry whose last attempt nobody survived.
pub(super) const NO_OUTCOME: &str = "the attempts ended without an acknowledgement: the consumer \
    was killed during them, with nothing else in hand";

/// How long an answer to the handler's probe is waited for.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// How a call of the handler ended.
enum Call<T> {
    Answered(T),
    Panicked(String),
    /// It was broken off: why, for each of its entries.
    Cut(Outcome),
}

impl<H: Handler> Context<H> {
    /// One attempt of each, counted already: `held.attempts` includes it. `None` for those that the
    /// handler left undone: it is to go on, each by itself.
    pub(super) async fn attempt(
        &self,
        stream: usize,
        held: &[&Held],
        is_alone: bool,
    ) -> Vec<Option<Consequence>> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; held.len()];
        let (mut entries, mut places) =
            (Vec::with_capacity(held.len()), Vec::with_capacity(held.len()));
        for (place, held) in held.iter().enumerate() {
            let fields = held.fields.as_deref().unwrap_or_default();
            match Entry::read(self.name(stream), held.id, fields, held.attempts) {
                Ok(entry) => {
                    entries.push(entry);
                    places.push(place);
                }
                Err(malformed) => {
                    outcomes[place] =
                        Some(Outcome::Returned(Err(HandlerError::permanent(malformed))));
                }
            }
        }
        match &entries[..] {
            [] => {}
            [entry] => outcomes[places[0]] = Some(self.handle(stream, entry).await),
            several => {
                let handled = self.handle_many(stream, several).await;
                places
                    .into_iter()
                    .zip(handled)
                    .for_each(|(place, outcome)| outcomes[place] = outcome);
            }
        }
        let noted = held.iter().zip(outcomes);
        noted
            .map(|(held, outcome)| {
                outcome.map(|outcome| self.conclude(stream, held, outcome, is_alone))
            })
            .collect()
    }

    /// Counts an outcome, and says what follows from it.
    fn conclude(
        &self,
        stream: usize,
        held: &Held,
        outcome: Outcome,
        is_alone: bool,
    ) -> Consequence {
        if held.attempts > 1 {
            self.observe(stream, &Observation::Retried);
        }
        match &outcome {
            Outcome::Returned(Ok(_)) => self.lifecycle.health.up(Part::Handler),
            Outcome::Returned(Err(error)) => {
                self.failed(stream, FailureReason::Error(error.kind()));
            }
            Outcome::TimedOut(_) => self.failed(stream, FailureReason::Timeout),
            Outcome::Abandoned => {}
        }
        // It has an outcome now, so that it counts although it began in company.
        let counted = held.counted() + u32::from(!is_alone);
        consequence(outcome, counted, self.settings.attempts_max, is_alone)
    }

    fn failed(&self, stream: usize, reason: FailureReason) {
        self.observe(stream, &Observation::Failed(reason));
    }

    async fn handle(&self, stream: usize, entry: &Entry) -> Outcome {
        let span = self.span(stream, entry);
        let started = Instant::now();
        let outcome =
            match self.within_time(self.handler.handle(entry).instrument(span.clone())).await {
                Call::Answered(told) => Outcome::Returned(told),
                Call::Panicked(words) => {
                    self.failed(stream, FailureReason::Panic);
                    let error = format!("the handler panicked: {words}");
                    Outcome::Returned(Err(HandlerError::retry(error)))
                }
                Call::Cut(outcome) => outcome,
            };
        span.in_scope(|| self.note(stream, entry, &outcome, started));
        outcome
    }

    /// Calls the handler, and breaks it off when it takes too long, or when a stop can wait no
    /// longer.
    async fn within_time<T>(&self, handling: impl Future<Output = T>) -> Call<T> {
        let handling = AssertUnwindSafe(handling).catch_unwind();
        tokio::select! {
            biased;
            ended = handling => match ended {
                Ok(answer) => return Call::Answered(answer),
                Err(panic) => return Call::Panicked(words(panic.as_ref()).to_owned()),
            },
            () = tokio::time::sleep(self.settings.attempt_timeout) => {}
            () = self.lifecycle.abandon.cancelled() => return Call::Cut(Outcome::Abandoned),
        }
        let limit = self.settings.attempt_timeout;
        Call::Cut(tokio::select! {
            probed = self.probe() => match probed {
                Ok(()) => Outcome::TimedOut(format!("no outcome after {limit:?}, though what the \
                    handler needs answers")),
                Err(cause) => {
                    let error = format!("no outcome after {limit:?}: {cause}");
                    Outcome::Returned(Err(HandlerError::unavailable(error)))
                }
            },
            () = self.lifecycle.abandon.cancelled() => Outcome::Abandoned,
        })
    }

    /// Whether what the handler needs answers.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let probing = AssertUnwindSafe(self.handler.probe()).catch_unwind();
        match tokio::time::timeout(PROBE_PATIENCE, probing).await {
            Ok(Ok(answer)) => answer.map_err(|error| in_words(&*error)),
            Ok(Err(panic)) => Err(format!("the probe panicked: {}", words(panic.as_ref()))),
            Err(_elapsed) => Err(format!("no answer within {PROBE_PATIENCE:?}")),
        }
    }

    async fn handle_many(&self, stream: usize, entries: &[Entry]) -> Vec<Option<Outcome>> {
        let (name, count, started) = (self.name(stream), entries.len(), Instant::now());
        let span = tracing::info_span!("process", stream = name, entries = count);
        let outcomes = match self
            .within_time(self.handler.handle_many(entries).instrument(span))
            .await
        {
            Call::Answered(outcomes) if outcomes.len() == count => {
                outcomes.into_iter().map(|told| told.map(Outcome::Returned)).collect()
            }
            Call::Cut(Outcome::TimedOut(error)) => {
                self.failed(stream, FailureReason::Timeout);
                tracing::warn!(
                    stream = name,
                    count,
                    error,
                    "handle_many took too long; each is handled by itself now"
                );
                vec![None; count]
            }
            Call::Cut(outcome) => vec![Some(outcome); count],
            Call::Answered(outcomes) => {
                let got = outcomes.len();
                tracing::error!(
                    stream = name,
                    count,
                    got,
                    "a bug in the handler: handle_many answered with more or fewer outcomes than \
                        it was given entries; each is handled by itself now"
                );
                vec![None; count]
            }
            Call::Panicked(panic) => {
                tracing::warn!(
                    stream = name,
                    count,
                    panic,
                    "handle_many panicked; each is handled by itself now"
                );
                vec![None; count]
            }
        };
        // A span each is for those who read what happened to it.
        let in_detail = tracing::enabled!(tracing::Level::DEBUG);
        for (entry, outcome) in entries.iter().zip(&outcomes) {
            let span = if in_detail { self.span(stream, entry) } else { Span::none() };
            let _entered = span.enter();
            if let Some(outcome) = outcome {
                self.note(stream, entry, outcome, started);
            } else {
                tracing::debug!("left undone: handled by itself next");
            }
        }
        outcomes
    }

    fn span(&self, stream: usize, entry: &Entry) -> Span {
        tracing::info_span!(
            "process",
            stream = self.name(stream),
            id = %entry.id,
            event_id = entry.event_id.as_str(),
            event_type = entry.event_type,
            key = entry.key,
            attempt = entry.attempts,
            trace_id = entry.trace_id().unwrap_or_default(),
        )
    }

    /// Measures and logs an outcome.
    fn note(&self, stream: usize, entry: &Entry, outcome: &Outcome, started: Instant) {
        self.observe(stream, &Observation::Attempt(started.elapsed()));
        match outcome {
            Outcome::Returned(Ok(handled)) => tracing::debug!(outcome = ?handled, "handled"),
            Outcome::Returned(Err(error)) => tracing::debug!(%error, "not handled"),
            Outcome::TimedOut(error) => tracing::debug!(error, "not handled"),
            Outcome::Abandoned => tracing::debug!("broken off: the stop can wait no longer"),
        }
        let time = entry.time.filter(|_| matches!(outcome, Outcome::Returned(Ok(Handled::Done))));
        // One far-off time would spoil the sum for ever.
        let age = time.and_then(|time| Age::of(time, Timestamp::now()).seconds());
        if let Some(age) = age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
            self.observe(stream, &Observation::EventAge(age));
        }
    }

    /// Moves an entry to the dead letters; tries until Redis has answered.
    ///
    /// # Errors
    /// [`Interrupted`]: it is still pending, unless the group is gone.
    pub(super) async fn dead_letter(
        &self,
        stream: usize,
        held: &Held,
        error: &str,
    ) -> Result<(), Interrupted> {
        let (Held { id, key, .. }, attempts) = (held, held.counted());
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
        let number = stream;
        let stream = self.name(number);
        match until_answered(&self.lifecycle, || ours.group.dead_letter(*id, key, &about)).await? {
            DeadLettered::As(dead_id) => {
                self.observe(number, &Observation::DeadLettered);
                let to = &ours.group.dead_letter_stream;
                tracing::error!(stream, %id, attempts, error, %to, %dead_id, "dead-lettered");
            }
            DeadLettered::Gone => {
                self.observe(number, &Observation::LostPending(1));
                tracing::warn!(stream, %id, error, "not dead-lettered: gone from the stream; \
                    acknowledged");
            }
            DeadLettered::NotOurs => {
                tracing::info!(stream, %id, "not dead-lettered: dealt with before, or taken over");
            }
        }
        Ok(())
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
