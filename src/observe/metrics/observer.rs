//! Counts what a relay tells of its work.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::OutboxMetrics;
use crate::relay::encode::Entries;
use crate::relay::event::{Batch, DeadReason};
use crate::relay::observer::Observer;
use crate::relay::outbox::Woken;
use crate::relay::pause::Pauses;
use crate::relay::sink::{AppendError, Refusal};
use crate::relay::trouble::Cause;

impl Observer for OutboxMetrics {
    fn claimed(&self, events: usize, took: Duration) {
        self.health.beat();
        self.all.claims.with_label_values(&[&self.outbox]).inc();
        self.all.claim_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most 10,000 events")]
        self.all.batch_events.with_label_values(&[&self.outbox]).observe(events as f64);
    }

    fn appended(&self, batch: &Batch, entries: &Entries, took: Duration) {
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

    fn settled(&self, entries: &Entries, took: Duration) {
        self.health.beat();
        self.all.settle_seconds.with_label_values(&[&self.outbox]).observe(took.as_secs_f64());
        for letter in &entries.dead {
            self.died(letter.reason, letter.stream.as_deref());
        }
    }

    fn append_failed(&self, error: &AppendError) {
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

    fn refused(&self, refusal: &Refusal, pause: Duration) {
        self.progress.refused(refusal, pause);
        if let Some(spans) = &self.spans {
            spans.failed("refused", &format!("{}: {}", refusal.stream, refusal.message));
        }
        self.all.append_failures.with_label_values(&[&self.outbox, "refused"]).inc();
    }

    fn parked(&self, streams: usize) {
        self.gauge(&self.all.streams_parked).set(i64::try_from(streams).unwrap_or(i64::MAX));
    }

    fn unparked(&self) {
        self.progress.unparked();
        self.parked(0);
    }

    fn paused(&self, pauses: &Pauses) {
        self.set_pauses(pauses);
    }

    fn took(&self, stream: &str) {
        self.progress.took(stream);
    }

    fn dead_lettered(&self, reason: DeadReason, event: &str, words: &str) {
        self.health.beat();
        self.died(reason, None);
        self.deaths.example(event, words);
    }

    fn recovered(&self, cause: Cause, events: u64, generation: i64) {
        self.all.recoveries.with_label_values(&[&self.outbox, cause.as_str()]).inc();
        self.all.recovered.with_label_values(&[&self.outbox]).inc_by(events);
        self.all.generation.with_label_values(&[&self.outbox]).set(generation);
        self.up();
    }

    fn rolled_back(&self) {
        self.all.redis_rollbacks.with_label_values(&[&self.outbox]).inc();
    }

    fn postgres_went_back(&self) {
        self.all.postgres_rollbacks.with_label_values(&[&self.outbox]).inc();
    }

    fn seated(&self, seat: i32) {
        self.progress.seated(seat);
    }

    fn owns(&self, slots: usize, leads: bool) {
        self.lead(leads);
        // A standby waits for a change.
        self.health.rests(slots == 0);
        self.gauge(&self.all.slots_owned).set(i64::try_from(slots).unwrap_or(i64::MAX));
    }

    fn stands_by(&self, why: Option<&str>) {
        self.progress.stands_by(why);
    }

    fn asleep(&self, asleep: bool) {
        self.health.rests(asleep);
        self.gauge(&self.all.asleep).set(i64::from(asleep));
    }

    fn woken(&self, woken: Woken) {
        let cause = match woken {
            Woken::Notified => "notified",
            Woken::Elapsed => "polled",
            Woken::Disconnected => "disconnected",
        };
        self.all.wakeups.with_label_values(&[&self.outbox, cause]).inc();
    }

    fn up(&self) {
        self.gauge(&self.all.up).set(1);
        self.health.set(None);
    }

    fn down(&self, reason: &str) {
        self.gauge(&self.all.up).set(0);
        self.health.set(Some(reason));
    }
}
