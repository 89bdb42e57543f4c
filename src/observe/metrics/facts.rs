//! What is known of an outbox beyond its batches: ages, dead letters, the backlog, what the member
//! says of itself.

use std::sync::atomic::Ordering;

use jiff::Timestamp;

use super::{Deliveries, FirstInLine, OutboxMetrics, Report};
use crate::relay::event::DeadReason;
use outflow_core::age::Age;

impl OutboxMetrics {
    /// One far-off time would spoil the sum for ever.
    pub(super) fn delivered_after(&self, time: &[u8]) {
        let time = std::str::from_utf8(time).ok().and_then(|time| time.parse().ok());
        let reason = match time.map(|time| Age::of(time, Timestamp::now())) {
            Some(Age::Seconds(age)) => {
                self.all.delivery_seconds.with_label_values(&[&self.outbox]).observe(age);
                return;
            }
            Some(Age::Future) => "future",
            Some(Age::Past) => "past",
            None => "unreadable",
        };
        self.all.implausible_times.with_label_values(&[&self.outbox, reason]).inc();
    }

    /// An event was moved to the dead letters.
    pub(crate) fn died(&self, reason: DeadReason, stream: Option<&str>) {
        self.all.dead_lettered.with_label_values(&[&self.outbox, reason.as_str()]).inc();
        self.deaths.add(reason.as_str(), stream);
    }

    /// Logs what has died since the last time.
    pub(crate) fn tell_deaths(&self, last: bool) {
        self.deaths.tell(&self.outbox, last);
    }

    /// So many events were sent again because Redis had lost them, and so often Postgres was found
    /// to have gone back.
    pub(crate) fn healed(&self, events: u64, rollbacks: u64) {
        self.all.healed.with_label_values(&[&self.outbox]).inc_by(events);
        self.all.postgres_rollbacks.with_label_values(&[&self.outbox]).inc_by(rollbacks);
    }

    /// How many dead letters there are; `None`: not known.
    pub(crate) fn dead_letters(&self, letters: Option<f64>) {
        self.real(&self.all.dead_letters).set(letters.unwrap_or(f64::NAN));
    }

    /// The number of that row, once there is one.
    pub(crate) fn seat(&self) -> Option<i32> {
        self.progress.seat()
    }

    pub(crate) fn paced(&self, events_per_second: f64, delivery_seconds: Option<f64>) {
        self.progress.paced(events_per_second, delivery_seconds);
    }

    /// How long events have taken since the start: the sum in seconds, and of how many.
    pub(crate) fn deliveries(&self) -> Deliveries {
        let all = self.all.delivery_seconds.with_label_values(&[&self.outbox]);
        Deliveries { seconds: all.get_sample_sum(), events: all.get_sample_count() }
    }

    /// The first event in line, once it has been so for long.
    pub(crate) fn first_in_line(&self, first: Option<FirstInLine>) {
        self.progress.first_in_line(first);
    }

    /// What this member says of itself.
    pub(crate) fn report(&self) -> Report {
        let holds = self.all.holds.of(&self.outbox);
        Report { problem: self.health.trouble(), holds, ..self.progress.report() }
    }

    /// Events appended since the start.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// How many events wait, and how long the first of them has done so. `None`: not known.
    pub(crate) fn behind(&self, events: Option<f64>, oldest_seconds: Option<f64>) {
        self.real(&self.all.backlog_events).set(events.unwrap_or(f64::NAN));
        self.real(&self.all.oldest_event_age).set(oldest_seconds.unwrap_or(f64::NAN));
    }

    /// Until when a certificate is valid; `None`: not known, or there is none.
    pub(crate) fn certificate_expires(
        &self,
        server: &str,
        certificate: &str,
        until: Option<Timestamp>,
    ) {
        let gauge = self.all.certificate_expiry.with_label_values(&[server, certificate]);
        #[expect(clippy::cast_precision_loss, reason = "whole seconds of the next thousand years")]
        gauge.set(until.map_or(f64::NAN, |until| until.as_second() as f64));
    }
}
