//! What the parts of one outbox report, and how it stands.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec};

use super::{OutboxMetrics, Report, STREAM_LABELS_MAX, Standing};
use crate::encode::Entries;
use crate::event::Batch;
use crate::outbox::Woken;
use crate::relay::Cause;
use crate::sink::{AppendError, Refusal};
use crate::spans::Spans;

impl OutboxMetrics {
    /// How this outbox stands.
    pub fn standing(&self) -> Standing {
        let problem = self.health.problem();
        let Report { events_per_second, parked, .. } = self.progress.report();
        let known = |of: &GaugeVec| Some(self.real(of).get()).filter(|value| !value.is_nan());
        Standing {
            outbox: self.outbox.clone(),
            problem_seconds: problem.as_ref().map(|(_, since)| since.as_secs()),
            problem: problem.map(|(problem, _)| problem),
            stalled_seconds: self.health.stalled().map(|silent| silent.as_secs()),
            delivered: self.delivered(),
            events_per_second,
            parked,
            backlog_events: known(&self.all.backlog_events),
            oldest_event_age_seconds: known(&self.all.oldest_event_age),
            generation: self.gauge(&self.all.generation).get(),
            slots_owned: self.gauge(&self.all.slots_owned).get(),
            asleep: self.gauge(&self.all.asleep).get() == 1,
            streams_parked: self.gauge(&self.all.streams_parked).get(),
        }
    }

    /// The same, with spans for its batches.
    pub(crate) fn traced(self, spans: Option<Spans>) -> Self {
        Self { spans, ..self }
    }

    pub(crate) fn claimed(&self, events: usize, took: Duration) {
        self.health.beat();
        self.all.claims.with_label_values(&[&self.outbox]).inc();
        self.all.claim_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 10,000 events")]
        self.all.batch_events.with_label_values(&[&self.outbox]).observe(events as f64);
    }

    pub(crate) fn appended(&self, batch: &Batch, entries: &Entries, took: Duration) {
        self.health.beat();
        self.delivered.fetch_add(entries.entries.len() as u64, Ordering::Relaxed);
        self.all.append_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        if let Some(spans) = &self.spans {
            spans.sent(batch, entries, took);
        }
        let mut counts = vec![0; entries.streams.len()];
        for entry in &entries.entries {
            counts[entry.stream] += 1;
        }
        for (stream, count) in entries.streams.iter().zip(counts).filter(|(_, count)| *count > 0) {
            self.all.published.with_label_values(&[&self.outbox, self.label(stream)]).inc_by(count);
        }
        if let Some(time) =
            entries.entries.first().and_then(|entry| batch.events[entry.event].time.as_ref())
        {
            self.delivered_after(time);
        }
    }

    pub(crate) fn settled(&self, entries: &Entries, took: Duration) {
        self.health.beat();
        self.all.settle_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        for letter in &entries.dead {
            self.died(letter.reason, letter.stream.as_deref());
        }
    }

    pub(crate) fn append_failed(&self, error: &AppendError) {
        let reason = match error {
            AppendError::Unavailable(_) => "unavailable",
            AppendError::Fenced(_) => "fenced",
            AppendError::RolledBack(_) => "rolled_back",
            AppendError::Unknown(_) => "unanswered",
            // Counted for each stream.
            AppendError::Refused(_) => return,
        };
        self.all.append_failures.with_label_values(&[&self.outbox, reason]).inc();
        if let Some(spans) = &self.spans {
            spans.failed(reason, &error.to_string());
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal, pause: Duration) {
        self.progress.refused(refusal, pause);
        if let Some(spans) = &self.spans {
            spans.failed("refused", &format!("{}: {}", refusal.stream, refusal.message));
        }
        self.all.append_failures.with_label_values(&[&self.outbox, "refused"]).inc();
    }

    pub(crate) fn recovered(&self, cause: Cause, events: u64, generation: i64) {
        self.all.recoveries.with_label_values(&[&self.outbox, cause.as_str()]).inc();
        self.all.recovered.with_label_values(&[&self.outbox]).inc_by(events);
        self.all.generation.with_label_values(&[&self.outbox]).set(generation);
        self.up();
    }

    pub(crate) fn rolled_back(&self) {
        self.all.redis_rollbacks.with_label_values(&[&self.outbox]).inc();
    }

    /// A stream that was parked takes its events again.
    pub(crate) fn took(&self, stream: &str) {
        self.progress.took(stream);
    }

    /// Another relay begins, which finds out anew.
    pub(crate) fn unparked(&self) {
        self.progress.unparked();
        self.parked(0);
    }

    pub(crate) fn parked(&self, streams: usize) {
        self.gauge(&self.all.streams_parked).set(i64::try_from(streams).unwrap_or(i64::MAX));
    }

    /// The outbox is not ours any more: what it stood at is nobody's concern. What was counted
    /// stays.
    pub(crate) fn retire(&self) {
        let all = &self.all;
        for gauge in [&all.generation, &all.asleep, &all.slots_owned, &all.streams_parked, &all.up]
        {
            // Fails only if it is gone already.
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
        for gauge in [&all.oldest_event_age, &all.backlog_events, &all.dead_letters] {
            let _ = gauge.remove_label_values(&[&self.outbox]);
        }
    }

    pub(crate) fn asleep(&self, asleep: bool) {
        self.health.rests(asleep);
        self.gauge(&self.all.asleep).set(i64::from(asleep));
    }

    pub(crate) fn woken(&self, woken: Woken) {
        let cause = match woken {
            Woken::Notified => "notified",
            Woken::Elapsed => "polled",
            Woken::Disconnected => "disconnected",
        };
        self.all.wakeups.with_label_values(&[&self.outbox, cause]).inc();
    }

    pub(crate) fn owns(&self, slots: usize) {
        // A standby waits for a change.
        self.health.rests(slots == 0);
        self.gauge(&self.all.slots_owned).set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    /// Events can be delivered, or this is a healthy standby: it serves nobody, and takes over when
    /// it must.
    pub(crate) fn up(&self) {
        self.gauge(&self.all.up).set(1);
        self.health.set(None);
    }

    pub(crate) fn down(&self, reason: &str) {
        self.gauge(&self.all.up).set(0);
        self.health.set(Some(reason));
    }

    pub(super) fn real(&self, of: &GaugeVec) -> Gauge {
        of.with_label_values(&[&self.outbox])
    }

    pub(super) fn gauge(&self, of: &IntGaugeVec) -> IntGauge {
        of.with_label_values(&[&self.outbox])
    }

    /// The stream's own label while there is room for one.
    fn label<'a>(&self, stream: &'a str) -> &'a str {
        let mut known = self.streams.lock();
        if known.contains(stream) {
            return stream;
        }
        if known.len() >= STREAM_LABELS_MAX {
            return "other";
        }
        known.insert(stream.to_owned());
        stream
    }
}
